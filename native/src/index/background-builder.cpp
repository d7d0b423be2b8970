#include "background-builder.h"

#include <system_error>

#if defined(__linux__)
#    include <sys/resource.h>
#    include <sys/syscall.h>
#    include <unistd.h>
#endif

namespace ann_idx {

namespace {

// Of the calling thread only; a wish.
void lower_priority() {
#if defined(__linux__)
    (void) setpriority(PRIO_PROCESS, id_t(syscall(SYS_gettid)), 10);
#endif
}

}  // namespace

background_builder::background_builder(std::vector<index_set *> sets, int n_threads, std::chrono::microseconds delay) :
    n_threads_(size_t(n_threads)),
    delay_(delay) {
    for (index_set * set : sets) {
        for (int s = 0; s < set->n_shards(); ++s) {
            units_.push_back({ set, s });
        }
    }
}

background_builder::~background_builder() {
    pause();
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        is_ending_ = true;
    }
    wake_.notify_all();
    for (std::thread & thread : threads_) {
        thread.join();
    }
}

bool background_builder::has_work() const {
    for (const unit & of : units_) {
        if (of.set->n_pending(of.shard) > 0) {
            return true;
        }
    }
    return false;
}

// As many as there are to be had: with none the cells stay pending, which is right, only slower.
void background_builder::start_threads() {
    try {
        while (threads_.size() < n_threads_) {
            threads_.emplace_back([this] { run(); });
        }
    } catch (const std::system_error &) {
        n_threads_ = threads_.size();
    }
}

void background_builder::resume() {
    if (is_running_ || has_failed_ || !has_work()) {
        return;
    }
    start_threads();
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        next_unit_  = 0;
        is_paused_  = false;
        is_running_ = true;
        ++n_resumed_;
    }
    wake_.notify_all();
}

void background_builder::pause() {
    if (!is_running_) {
        return;
    }
    std::unique_lock<std::mutex> lock(mutex_);
    is_paused_  = true;
    is_running_ = false;
    wake_.notify_all();
    rest_.wait(lock, [&] { return n_busy_ == 0; });
}

void background_builder::run() {
    lower_priority();
    search_scratch               scratch;
    uint64_t                     n_seen = 0;
    std::unique_lock<std::mutex> lock(mutex_);
    while (true) {
        wake_.wait(lock, [&] { return is_ending_ || (is_running_ && n_resumed_ != n_seen); });
        if (is_ending_) {
            return;
        }
        n_seen = n_resumed_;
        if (wake_.wait_for(lock, delay_, [&] { return is_ending_ || !is_running_ || n_resumed_ != n_seen; })) {
            continue;
        }
        ++n_busy_;
        lock.unlock();
        work(scratch);
        lock.lock();
        if (--n_busy_ == 0) {
            rest_.notify_all();
        }
    }
}

void background_builder::work(search_scratch & scratch) {
    try {
        for (size_t i = next_unit_.fetch_add(1); i < units_.size(); i = next_unit_.fetch_add(1)) {
            const unit & of = units_[i];
            while (!is_paused_ && of.set->insert_pending(of.shard, 1, scratch) > 0) {
            }
            if (is_paused_) {
                return;
            }
        }
    } catch (...) {
        has_failed_ = true;
    }
}

}  // namespace ann_idx
