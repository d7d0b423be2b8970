// The frontier and the found cells of one graph walk, in one sorted list.
#pragma once

#include "scored-cell.h"

#include <algorithm>
#include <functional>
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
        capacity_     = std::max(capacity, ef + 1);
        batch_.clear();
    }

    // False for a key that insert would ignore.
    bool wants(rank_key key) const { return n_counted_ < ef_ || key > entries_[size_t(n_ - 1)]; }

    // Adds one key that it wants.
    void insert(rank_key key, bool counts) {
        batch_.assign(1, counts ? key : key | uncounted);
        merge_batch();
    }

    // The same for many: add_to_batch() each, then merge_batch() once, which moves every entry at most once.
    void add_to_batch(rank_key key, bool counts) { batch_.push_back(counts ? key : key | uncounted); }

    void merge_batch() {
        std::sort(batch_.begin(), batch_.end(), std::greater<rank_key>());
        int from  = n_ - 1;
        int added = int(batch_.size()) - 1;
        n_ += added + 1;
        if (size_t(n_) > entries_.size()) {
            entries_.resize(size_t(n_));
        }
        for (int to = n_ - 1; added >= 0; --to) {
            const rank_key key = batch_[size_t(added)];
            if (from >= 0 && entries_[size_t(from)] < key) {
                entries_[size_t(to)] = entries_[size_t(from--)];
            } else {
                entries_[size_t(to)] = key;
                n_counted_ += (key & uncounted) == 0 ? 1 : 0;
                next_ = std::min(next_, to);
                --added;
            }
        }
        batch_.clear();
        if (n_counted_ >= ef_) {
            trim();
        }
        while (n_counted_ > ef_) {
            drop_last();
        }
        if (n_ > capacity_) {
            has_overflow_ = true;
            n_            = capacity_;
        }
    }

    // Whether a key would be among the next to be expanded, unless better ones come.
    bool is_near_front(rank_key key) const { return next_ + n_near >= n_ || key > entries_[size_t(next_ + n_near)]; }

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

    // visit(cell) for the first n cells that expand_next() would return.
    template <class Visit> void for_each_next(int n, Visit visit) const {
        for (int i = next_; i < n_ && n > 0; i = next_unexpanded(i + 1), --n) {
            visit(cell_of(entries_[size_t(i)]));
        }
    }

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
    static constexpr int      n_near    = 4;

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
    std::vector<rank_key> batch_;
    int                   ef_           = 0;
    int                   capacity_     = 0;
    int                   n_            = 0;
    int                   n_counted_    = 0;
    int                   next_         = 0;  // no unexpanded entry before it
    bool                  has_overflow_ = false;
};

}  // namespace ann_idx
