// Which cells a search may return.
#pragma once

#include "cell-bits.h"

#include <cstdint>

namespace ann_idx {

// A view of somebody else's mask, never copied.
//
// all:      every cell
// bits:     cell j is visible when bit j % 64 of word j / 64 is set; the cheapest to test and to count
// mask_f16: an attention mask's row, -INFINITY = not visible, anything else = visible
// mask_f32: likewise
//
// A stripe of a filter answers for cells first, first + step, ... under the numbers 0, 1, ...
class cell_filter {
  public:
    static cell_filter all(int32_t n_cells) { return { kind::all, nullptr, n_cells, n_cells }; }

    // n_visible decides between the graph and the exact scan; negative: counted here, in one pass over the mask.
    static cell_filter bits(const uint64_t * words, int32_t n_cells, int32_t n_visible = -1) {
        return { kind::bits, words, n_cells, n_visible };
    }

    static cell_filter mask_f16(const uint16_t * row, int32_t n_cells, int32_t n_visible = -1) {
        return { kind::mask_f16, row, n_cells, n_visible };
    }

    static cell_filter mask_f32(const float * row, int32_t n_cells, int32_t n_visible = -1) {
        return { kind::mask_f32, row, n_cells, n_visible };
    }

    // Cells at and above n_cells are not visible.
    bool visible(int32_t cell) const {
        if (cell >= n_cells_ || (hidden_ != nullptr && hidden_->test(cell))) {
            return false;
        }
        const size_t j = size_t(first_) + size_t(cell) * size_t(step_);
        switch (kind_) {
            case kind::all:
                return true;
            case kind::bits:
                return static_cast<const uint64_t *>(data_)[j >> 6] >> (j & 63) & 1;
            case kind::mask_f16:
                return static_cast<const uint16_t *>(data_)[j] != 0xfc00;
            case kind::mask_f32:
                return static_cast<const float *>(data_)[j] > -3.4028235e38f;
        }
        return false;
    }

    // Those of 64 cells from 64 * word on that are visible; bit i of cells stands for cell 64 * word + i.
    uint64_t visible_among(size_t word, uint64_t cells) const;

    int32_t n_cells() const { return n_cells_; }

    // Of a stripe: its share, rounded up.
    int32_t n_visible() const { return n_visible_; }

    cell_filter stripe(int32_t first, int32_t step) const;

    // The same without some cells; n_visible keeps counting them.
    cell_filter hiding(const cell_bits & hidden) const;

  private:
    enum class kind { all, bits, mask_f16, mask_f32 };

    cell_filter(kind kind, const void * data, int32_t n_cells, int32_t n_visible);

    int32_t count() const;

    kind              kind_;
    const void *      data_;
    int32_t           n_cells_;
    int32_t           n_visible_;
    int32_t           first_  = 0;
    int32_t           step_   = 1;
    const cell_bits * hidden_ = nullptr;
};

}  // namespace ann_idx
