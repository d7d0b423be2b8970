// The frontier and the found cells of one graph walk, in one sorted list.
#pragma once

#include "scored-cell.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace ann_idx {

// The best cells met so far, best first. A cell counts when the search may return it; the others are kept only to be
// expanded. When ef cells count, the list ends with the worst of them, and nothing below it is taken any more: that is
// also when an unexpanded cell could not improve the result.
class candidate_pool {
  public:
    // capacity limits cells that do not count; has_overflowed() tells that the limit was met.
    void reset(int ef, int capacity) {
        ef_           = ef;
        n_            = 0;
        n_counted_    = 0;
        next_         = 0;
        has_overflow_ = false;
        entries_.resize(size_t(std::max(capacity, ef + 1)));
    }

    // False for a key that insert would ignore.
    bool wants(rank_key key) const { return n_counted_ < ef_ || key > entries_[size_t(n_ - 1)]; }

    void insert(rank_key key, bool counts) {
        if (n_ == int(entries_.size())) {
            has_overflow_ = true;
            return;
        }
        rank_key * begin = entries_.data();
        rank_key * place = begin + n_better(key);
        std::memmove(place + 1, place, size_t(begin + n_ - place) * sizeof(rank_key));
        *place = counts ? key : key | uncounted;
        ++n_;
        next_ = std::min(next_, int(place - begin));
        n_counted_ += counts ? 1 : 0;
        if (n_counted_ > ef_) {
            drop_last();
        } else if (n_counted_ == ef_) {
            trim();
        }
    }

    // The best cell not expanded yet, now marked as expanded; -1 when there is none.
    int32_t expand_next() {
        if (next_ >= n_) {
            return -1;
        }
        const int32_t cell = cell_of(entries_[size_t(next_)]);
        entries_[size_t(next_)] |= expanded;
        next_ = next_unexpanded(next_ + 1);
        return cell;
    }

    // The cell that expand_next() would return; -1 when there is none.
    int32_t peek() const { return next_ < n_ ? cell_of(entries_[size_t(next_)]) : -1; }

    bool has_overflowed() const { return has_overflow_; }

    // visit(key, flags cleared) for the cells that count, best first, until it returns false.
    template <class Visit> void for_each_counted(Visit visit) const {
        for (int i = 0; i < n_; ++i) {
            const rank_key key = entries_[size_t(i)];
            if ((key & uncounted) == 0 && !visit(key & ~flags)) {
                return;
            }
        }
    }

  private:
    static constexpr rank_key expanded  = 1;
    static constexpr rank_key uncounted = 2;
    static constexpr rank_key flags     = 3;

    // A binary search without branches, which would be mispredicted half the time.
    int n_better(rank_key key) const {
        const rank_key * base = entries_.data();
        for (int n = n_; n > 0;) {
            const int half = (n + 1) / 2;
            base += -int(base[half - 1] > key) & half;
            n -= half;
        }
        return int(base - entries_.data());
    }

    int next_unexpanded(int i) const {
        while (i < n_ && (entries_[size_t(i)] & expanded) != 0) {
            ++i;
        }
        return i;
    }

    // The last entry counts: trim() has seen to it.
    void drop_last() {
        --n_;
        --n_counted_;
        trim();
    }

    void trim() {
        while (n_ > 0 && (entries_[size_t(n_ - 1)] & uncounted) != 0) {
            --n_;
        }
    }

    std::vector<rank_key> entries_;
    int                   ef_           = 0;
    int                   n_            = 0;
    int                   n_counted_    = 0;
    int                   next_         = 0;  // no unexpanded entry before it
    bool                  has_overflow_ = false;
};

}  // namespace ann_idx
