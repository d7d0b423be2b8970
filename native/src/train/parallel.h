// Work on a few threads. A slot is a fixed share of the work, so that sums that are kept per slot do not depend on the
// number of threads.
#pragma once

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace ann {

// body(slot) for every slot 0..n_slots-1, each once; rethrows the first exception
template <typename F> void for_slots(int n_slots, int n_threads, F && body) {
    std::atomic<int> next { 0 };
    std::exception_ptr problem;
    std::mutex         gate;
    auto work = [&] {
        try {
            for (int slot; (slot = next++) < n_slots; ) {
                body(slot);
            }
        } catch (...) {
            const std::lock_guard<std::mutex> lock(gate);
            problem = problem ? problem : std::current_exception();
            next    = n_slots;
        }
    };
    std::vector<std::thread> threads;
    for (int i = 1; i < n_threads && i < n_slots; ++i) {
        threads.emplace_back(work);
    }
    work();
    for (auto & thread : threads) {
        thread.join();
    }
    if (problem) {
        std::rethrow_exception(problem);
    }
}

} // namespace ann
