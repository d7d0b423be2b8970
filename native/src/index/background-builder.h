// Threads that grow indexes while nobody else uses them.
#pragma once

#include "index-set.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

namespace ann_idx {

// Between resume() and pause() the sets are the builder's: it inserts their pending cells, a shard of a set on one thread
// at a time, set by set, and sleeps when none is left. Outside of that they are the owner's, as if there were no builder.
// What was not inserted when pause() returns is pending as before, so nothing is lost, however often and wherever it is
// stopped.
//
// sets:      outlive the builder
// n_threads: at least 1; they start with the first resume() that finds work, and yield to other threads (nice 10)
// delay:     a pause within it costs no insertion: between the tokens of a generation nothing begins
//
// resume, pause and the destructor belong to the owner's thread.
class background_builder {
  public:
    background_builder(std::vector<index_set *> sets, int n_threads, std::chrono::microseconds delay);
    ~background_builder();

    background_builder(const background_builder &)             = delete;
    background_builder & operator=(const background_builder &) = delete;

    void resume();

    // Waits for the insertions under way, one a thread.
    void pause();

    bool is_running() const { return is_running_; }

    // Out of memory once: the cells stay pending, and resume() does nothing any more.
    bool has_failed() const { return has_failed_.load(); }

  private:
    struct unit {
        index_set * set;
        int         shard;
    };

    bool has_work() const;
    void start_threads();
    void run();
    void work(search_scratch & scratch);

    std::vector<unit>               units_;
    size_t                          n_threads_;
    const std::chrono::microseconds delay_;
    std::vector<std::thread>        threads_;

    std::mutex              mutex_;
    std::condition_variable wake_;
    std::condition_variable rest_;
    bool                    is_running_ = false;
    bool                    is_ending_  = false;
    uint64_t                n_resumed_  = 0;
    int                     n_busy_     = 0;

    std::atomic<bool>   is_paused_{ true };  // what a thread looks at between two insertions
    std::atomic<size_t> next_unit_{ 0 };
    std::atomic<bool>   has_failed_{ false };
};

}  // namespace ann_idx
