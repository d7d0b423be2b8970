// The vectors an index searches: rows of somebody else's buffer, read in place.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ann_idx {

// How one row is stored. The numbers are part of the saved index.
enum class vector_type : uint32_t {
    f32  = 0,
    f16  = 1,
    q8_0 = 2,
    q4   = 3,  // codes of rows, see row-codes.h: what an index makes for itself, not what it is given
};

constexpr int q8_block_size = 32;

// One block of a q8_0 row, as ggml writes it: value[i] = scale * values[i], values within [-127, 127].
struct q8_block {
    uint16_t scale;  // fp16
    int8_t   values[q8_block_size];
};

static_assert(sizeof(q8_block) == 34, "a q8_0 row is a packed array of blocks");

// Rows of one stream: row j is the search key of cell j. Nothing is owned, nothing is written.
//
// base:         first byte of row 0, aligned to a value; the rows outlive every index over them
// stride_bytes: distance of two rows, at least row_bytes(type, dim)
// dim:          values in a row, a multiple of 32
// n_rows:       cells, at most max_cells
//
// Scores are inner products: a caller who wants cosine stores normalised rows.
struct vector_rows {
    const uint8_t * base         = nullptr;
    size_t          stride_bytes = 0;
    vector_type     type         = vector_type::f32;
    int32_t         dim          = 0;
    int32_t         n_rows       = 0;

    const uint8_t * row(int32_t cell) const { return base + size_t(cell) * stride_bytes; }

    // Rows first, first + step, first + 2 * step, ... as a view of its own.
    vector_rows stripe(int32_t first, int32_t step) const;
};

// Cells an index can hold; two bits of a cell number carry flags inside a search.
constexpr int32_t max_cells = 1 << 30;

size_t row_bytes(vector_type type, int32_t dim);

// Throws std::invalid_argument that names the field, its value and its range.
void check_rows(const vector_rows & rows);

// Cells first, first + step, ... below n.
int32_t stripe_size(int32_t n, int32_t first, int32_t step);

float    fp16_to_float(uint16_t bits);
uint16_t float_to_fp16(float value);  // rounds to nearest even

}  // namespace ann_idx
