// What the kernel files share: rows are scored four at a time.
#pragma once

#include "dot.h"
#include "row-codes.h"

#include <cstring>

namespace ann_idx {

// score4 writes the products of the query with four rows. It is compiled for its instruction set, this loop is not.
using score4_function = void (*)(const dot_query & query, const uint8_t * const row[4], int dim, float out[4]);

// The last group repeats its last row, so every row takes the same path to its score.
template <score4_function score4>
void score_in_fours(const dot_query & query, const vector_rows & rows, const int32_t * cells, int n, float * out) {
    int i = 0;
    for (; i + 4 <= n; i += 4) {
        const uint8_t * const row[4] = { rows.row(cells[i]), rows.row(cells[i + 1]), rows.row(cells[i + 2]),
                                         rows.row(cells[i + 3]) };
        score4(query, row, rows.dim, out + i);
    }
    if (i < n) {
        const uint8_t * row[4];
        for (int r = 0; r < 4; ++r) {
            row[r] = rows.row(cells[i + r < n ? i + r : n - 1]);
        }
        float last[4];
        score4(query, row, rows.dim, last);
        std::memcpy(out + i, last, size_t(n - i) * sizeof(float));
    }
}

// From the sum of products of q8 and the numbers of a code, which is exact: so these scores are equal on every processor.
inline float code_score(const dot_query & query, const uint8_t * code, int32_t sum) {
    return (float(sum) + query.offset) * (query.scale[0] * code_scale(code));
}

inline uint16_t q8_scale_bits(const uint8_t * block) {
    uint16_t bits;
    std::memcpy(&bits, block, sizeof(bits));
    return bits;
}

// The sets of other files; null when the compiler does not target the processor family.
const dot_kernels * dot_kernels_avx2();
const dot_kernels * dot_kernels_avx512();
const dot_kernels * dot_kernels_neon();

}  // namespace ann_idx
