// One bit per cell.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

namespace ann_idx {

// The lowest set bit's number; word is not 0.
inline int lowest_bit(uint64_t word) {
#if defined(__GNUC__)
    return __builtin_ctzll(word);
#else
    int n = 0;
    while ((word >> n & 1) == 0) {
        ++n;
    }
    return n;
#endif
}

inline int n_bits(uint64_t word) {
#if defined(__GNUC__)
    return __builtin_popcountll(word);
#else
    int n = 0;
    for (; word != 0; word &= word - 1) {
        ++n;
    }
    return n;
#endif
}

// A set of cells below n_cells. Cells out of range are the caller's mistake.
class cell_bits {
  public:
    cell_bits() = default;

    explicit cell_bits(int32_t n_cells) { reset(n_cells); }

    // Empty, and large enough for n_cells; keeps its memory.
    void reset(int32_t n_cells) { words_.assign((size_t(n_cells) + 63) / 64, 0); }

    void clear() { std::fill(words_.begin(), words_.end(), 0); }

    bool test(int32_t cell) const { return words_[size_t(cell) >> 6] >> (cell & 63) & 1; }

    void set(int32_t cell) { words_[size_t(cell) >> 6] |= uint64_t(1) << (cell & 63); }

    void unset(int32_t cell) { words_[size_t(cell) >> 6] &= ~(uint64_t(1) << (cell & 63)); }

    // True when the cell was not in the set before.
    bool insert(int32_t cell) {
        uint64_t &     word = words_[size_t(cell) >> 6];
        const uint64_t bit  = uint64_t(1) << (cell & 63);
        const bool     is_new = (word & bit) == 0;
        word |= bit;
        return is_new;
    }

    // The highest cell, -1 when the set is empty.
    int32_t last() const {
        for (size_t w = words_.size(); w > 0; --w) {
            for (int bit = 63; words_[w - 1] != 0 && bit >= 0; --bit) {
                if (words_[w - 1] >> bit & 1) {
                    return int32_t((w - 1) * 64) + bit;
                }
            }
        }
        return -1;
    }

    int32_t count() const {
        int32_t n = 0;
        for (const uint64_t word : words_) {
            n += n_bits(word);
        }
        return n;
    }

    template <class Visit> void for_each(Visit visit) const {
        for (size_t w = 0; w < words_.size(); ++w) {
            for (uint64_t left = words_[w]; left != 0; left &= left - 1) {
                visit(int32_t(w * 64) + lowest_bit(left));
            }
        }
    }

    std::vector<uint64_t> &       words() { return words_; }

    const std::vector<uint64_t> & words() const { return words_; }

    size_t memory_bytes() const { return words_.capacity() * sizeof(uint64_t); }

  private:
    std::vector<uint64_t> words_;
};

}  // namespace ann_idx
