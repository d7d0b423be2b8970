#include "cell-filter.h"
#include "check.h"
#include "synthetic-keys.h"

#include <limits>

using namespace ann_idx;
using namespace ann_test;

namespace {

// All kinds of masks of the same cells agree, whole and in stripes.
void kinds_agree(int32_t n) {
    random_source         random(static_cast<uint64_t>(n));
    cell_bits             bits(n);
    std::vector<uint16_t> half(static_cast<size_t>(n), 0xfc00);
    std::vector<float>    full(static_cast<size_t>(n), -std::numeric_limits<float>::infinity());
    int32_t               n_visible = 0;
    for (int32_t cell = 0; cell < n; ++cell) {
        if (random.below(3) == 0) {
            bits.set(cell);
            half[size_t(cell)] = random.below(2) == 0 ? 0 : 0xb800;  // a bias is not a mask
            full[size_t(cell)] = random.below(2) == 0 ? 0 : -0.5f;
            ++n_visible;
        }
    }
    const cell_filter filters[] = { cell_filter::bits(bits.words().data(), n), cell_filter::mask_f16(half.data(), n),
                                    cell_filter::mask_f32(full.data(), n) };
    for (const cell_filter & filter : filters) {
        CHECK(filter.n_visible() == n_visible);
        CHECK(!filter.visible(n));
        for (const int32_t step : { 1, 2, 3, 8 }) {
            for (int32_t first = 0; first < step; ++first) {
                const cell_filter stripe = filter.stripe(first, step);
                cell_bits         hidden_here(n + 1);
                hidden_here.set(0);
                for (int32_t i = 0; i < stripe.n_cells(); ++i) {
                    CHECK(stripe.visible(i) == bits.test(first + i * step));
                    CHECK(stripe.hiding(hidden_here).visible(i) == (i > 0 && stripe.visible(i)));
                }
                for (size_t word = 0; word < (size_t(stripe.n_cells()) + 63) / 64; ++word) {
                    const uint64_t among = stripe.hiding(hidden_here).visible_among(word, 0x5555555555555555);
                    for (int32_t i = 0; i < 64; ++i) {
                        const int32_t cell = int32_t(word * 64) + i;
                        CHECK((among >> i & 1) == (i % 2 == 0 && stripe.hiding(hidden_here).visible(cell)));
                    }
                }
            }
        }
    }
    CHECK(cell_filter::all(n).n_visible() == n);
}

}  // namespace

int main() {
    for (const int32_t n : { 0, 1, 63, 64, 65, 1000 }) {
        kinds_agree(n);
    }
    return result();
}
