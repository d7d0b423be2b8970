// Adds the life time of a scope to a counter of nanoseconds.
#pragma once

#include <chrono>
#include <cstdint>

namespace ann_idx {

class stopwatch {
  public:
    explicit stopwatch(int64_t & total_ns) : total_ns_(total_ns), start_(clock::now()) {}

    ~stopwatch() {
        total_ns_ += std::chrono::duration_cast<std::chrono::nanoseconds>(clock::now() - start_).count();
    }

    stopwatch(const stopwatch &)             = delete;
    stopwatch & operator=(const stopwatch &) = delete;

  private:
    using clock = std::chrono::steady_clock;

    int64_t &         total_ns_;
    clock::time_point start_;
};

}  // namespace ann_idx
