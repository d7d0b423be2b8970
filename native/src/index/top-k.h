// The best top_k of a stream of scored cells.
#pragma once

#include "scored-cell.h"

#include <algorithm>
#include <functional>
#include <vector>

namespace ann_idx {

// Keeps up to twice top_k keys and drops the worse half when full, so most cells of a long scan cost one comparison.
class top_k_collector {
  public:
    void reset(int top_k) {
        top_k_     = size_t(top_k);
        threshold_ = 0;
        keys_.clear();
        keys_.reserve(2 * top_k_ + 64);
    }

    void add(float score, int32_t cell) { add(key_of(score, cell)); }

    void add(rank_key key) {
        if (key > threshold_) {
            keys_.push_back(key);
            if (keys_.size() == keys_.capacity()) {
                shrink();
            }
        }
    }

    // Best first; appends nothing when nothing was added.
    void append_to(std::vector<scored_cell> & out) {
        const size_t n = std::min(top_k_, keys_.size());
        std::partial_sort(keys_.begin(), keys_.begin() + ptrdiff_t(n), keys_.end(), std::greater<rank_key>());
        for (size_t i = 0; i < n; ++i) {
            out.push_back(scored_cell_of(keys_[i]));
        }
    }

  private:
    void shrink() {
        const auto last = keys_.begin() + ptrdiff_t(top_k_ - 1);
        std::nth_element(keys_.begin(), last, keys_.end(), std::greater<rank_key>());
        threshold_ = *last;
        keys_.resize(top_k_);
    }

    size_t                top_k_     = 0;
    rank_key              threshold_ = 0;
    std::vector<rank_key> keys_;
};

}  // namespace ann_idx
