// Cells that were written and are not indexed yet, in the order they were written.
#pragma once

#include "cell-bits.h"

#include <cstdint>
#include <vector>

namespace ann_idx {

class pending_cells {
  public:
    explicit pending_cells(int32_t n_cells) : bits_(n_cells) {}

    int32_t size() const { return size_; }

    const cell_bits & bits() const { return bits_; }

    void add(int32_t cell) {
        if (bits_.insert(cell)) {
            queue_.push_back(cell);
            ++size_;
        }
    }

    void remove(int32_t cell) {
        if (bits_.test(cell)) {
            bits_.unset(cell);
            --size_;
        }
    }

    // The oldest cell; -1 when there is none.
    int32_t first() {
        for (; first_ < queue_.size(); ++first_) {
            if (bits_.test(queue_[first_])) {  // not removed since
                return queue_[first_];
            }
        }
        drop_queue();
        return -1;
    }

    // The cells in order, removed ones left out.
    std::vector<int32_t> list() const {
        std::vector<int32_t> res;
        cell_bits            left = bits_;
        for (size_t i = first_; i < queue_.size(); ++i) {
            if (left.test(queue_[i])) {
                left.unset(queue_[i]);
                res.push_back(queue_[i]);
            }
        }
        return res;
    }

    void clear() {
        bits_.clear();
        drop_queue();
        size_ = 0;
    }

    size_t memory_bytes() const { return bits_.memory_bytes() + queue_.capacity() * sizeof(int32_t); }

  private:
    // A prompt's queue is given back, a few tokens' kept: no allocation for each token.
    void drop_queue() {
        if (queue_.capacity() > 1024) {
            queue_ = std::vector<int32_t>();
        }
        queue_.clear();
        first_ = 0;
    }

    cell_bits            bits_;
    std::vector<int32_t> queue_;      // may repeat cells, and hold removed ones
    size_t               first_ = 0;
    int32_t              size_  = 0;
};

}  // namespace ann_idx
