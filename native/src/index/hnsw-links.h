// The lists of a layered graph: who is linked to whom, nothing else.
#pragma once

#include "cell-bits.h"
#include "zeroed-array.h"

#include <cstdint>
#include <unordered_map>
#include <utility>
#include <vector>

namespace ann_idx {

// Every cell's level and lists, reserved for all cells at once; memory is taken when lists are written.
//
// A list holds neighbour + 1, and ends at its capacity or at the first 0. Level 0 has 2 m entries a cell: 128 bytes at
// m = 16, two cache lines; the last entry is the cell's twin. A cell is on level l with probability m^-l, drawn from
// its number and the seed.
//
// Twins are cells with equal rows. They stand in a ring; one of them, the head, has lists, the others follow it and have
// none. So a thousand equal rows cost the graph one node, and whoever reaches one of them reaches all.
class hnsw_links {
  public:
    hnsw_links(int32_t n_cells, int m, uint64_t seed);

    int32_t n_cells() const { return n_cells_; }

    int m() const { return m_; }

    int level(int32_t cell) const {
        if (!uppers_.test(cell)) {
            return 0;
        }
        const uint32_t i = n_uppers_before(cell);
        return int(upper_start_[i + 1] - upper_start_[i]);
    }

    int capacity(int level) const { return level == 0 ? 2 * m_ - 1 : m_; }

    uint32_t * list(int32_t cell, int level) { return const_cast<uint32_t *>(std::as_const(*this).list(cell, level)); }

    const uint32_t * list(int32_t cell, int level) const {
        return level == 0 ? lowest_.data() + size_t(cell) * size_t(2 * m_) :
                            upper_.data() + (size_t(upper_start_[n_uppers_before(cell)]) + size_t(level) - 1) * size_t(m_);
    }

    int count(int32_t cell, int level) const;

    void assign(int32_t cell, int level, const int32_t * neighbours, int n);

    // False when the list is full.
    bool append(int32_t cell, int level, int32_t neighbour);

    // False when the list has no such link.
    bool remove(int32_t cell, int level, int32_t neighbour);

    bool contains(int32_t cell, int level, int32_t neighbour) const;

    // The next cell of the ring, -1 for a cell without twins.
    int32_t twin(int32_t cell) const { return int32_t(list(cell, 0)[2 * m_ - 1]) - 1; }

    bool is_follower(int32_t cell) const { return followers_.test(cell); }

    void follow(int32_t cell, int32_t head);

    // Takes a cell out of its ring. The cell that is the ring's head afterwards and was not before: it has no lists yet.
    // -1 when there is none.
    int32_t leave_ring(int32_t cell);

    void clear();

    // The lists of the first n cells of links of the same shape; the other cells get none.
    void copy_from(const hnsw_links & other, int32_t n);

    // For loading: makes a ring of cells, all but the first of which follow. They are not in a ring yet.
    void make_ring(const std::vector<int32_t> & cells);

    size_t memory_bytes() const;

  private:
    void set_twins(int32_t cell, int32_t next);

    // How many cells before this one have upper levels; also for cell n_cells.
    uint32_t n_uppers_before(int32_t cell) const {
        const size_t   word = size_t(cell) >> 6;
        const uint64_t bits = (cell & 63) == 0 ? 0 : uppers_.words()[word] & ((uint64_t(1) << (cell & 63)) - 1);
        return word_start_[word] + uint32_t(n_bits(bits));
    }

    int32_t                              n_cells_;
    int                                  m_;
    cell_bits                            uppers_;       // cells with upper levels, about one of m
    std::vector<uint32_t>                word_start_;   // [words + 1], how many of uppers_ are in the words before
    std::vector<uint32_t>                upper_start_;  // [uppers + 1], in lists of m links, one for each level above 0
    zeroed_array<uint32_t>               lowest_;
    zeroed_array<uint32_t>               upper_;
    std::unordered_map<int32_t, int32_t> twin_before_;  // the rings backwards
    cell_bits                            followers_;
};

}  // namespace ann_idx
