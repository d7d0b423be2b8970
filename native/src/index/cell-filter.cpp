#include "cell-filter.h"

#include "vectors.h"

namespace ann_idx {

cell_filter::cell_filter(kind kind, const void * data, int32_t n_cells, int32_t n_visible) :
    kind_(kind),
    data_(data),
    n_cells_(n_cells),
    n_visible_(n_visible) {
    if (n_visible_ < 0) {
        n_visible_ = count();
    }
}

int32_t cell_filter::count() const {
    int32_t n = 0;
    for (int32_t cell = 0; cell < n_cells_; ++cell) {
        n += visible(cell) ? 1 : 0;
    }
    return n;
}

uint64_t cell_filter::visible_among(size_t word, uint64_t cells) const {
    const bool is_whole_word = (word + 1) * 64 <= size_t(n_cells_);
    if (is_whole_word && (kind_ == kind::all || (kind_ == kind::bits && step_ == 1 && first_ == 0))) {
        const uint64_t shown = kind_ == kind::all ? ~uint64_t(0) : static_cast<const uint64_t *>(data_)[word];
        return cells & shown & ~(hidden_ != nullptr ? hidden_->words()[word] : 0);
    }
    uint64_t res = 0;
    for (uint64_t left = cells; left != 0; left &= left - 1) {
        const int i = lowest_bit(left);
        res |= uint64_t(visible(int32_t(word * 64) + i)) << i;
    }
    return res;
}

cell_filter cell_filter::stripe(int32_t first, int32_t step) const {
    cell_filter res = *this;
    res.first_      = first_ + first * step_;
    res.step_       = step_ * step;
    res.n_cells_    = stripe_size(n_cells_, first, step);
    res.n_visible_  = (n_visible_ + step - 1) / step;
    return res;
}

cell_filter cell_filter::hiding(const cell_bits & hidden) const {
    cell_filter res = *this;
    res.hidden_     = &hidden;
    return res;
}

}  // namespace ann_idx
