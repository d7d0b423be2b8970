// Inner products of one query with many rows, in the widest instructions this machine has.
#pragma once

#include "vectors.h"

#include <cstdint>
#include <vector>

namespace ann_idx {

// A query in the form its row type's kernel multiplies with.
//
// f32, f16 rows: f32[dim]
// q8_0 rows:     q8[dim] with scale[dim / 32], quantised like a row but with an f32 scale
// q4 rows:       q8[dim] with scale[1], and offset: -7.5 times the sum of q8
//
// Quantising costs at most max|q| / 254 per value of a block, the same step as in the rows; on unit vectors of 64 to 128
// values the score moves by about 0.001 (standard deviation). Two rows are compared without any further error.
struct dot_query {
    std::vector<float>  f32;
    std::vector<int8_t> q8;
    std::vector<float>  scale;
    float               offset = 0;

    void assign(const vector_rows & rows, const float * query);
    void assign_row(const vector_rows & rows, int32_t cell);

  private:
    void set_offset();
};

// dst = f32[dim], the values of a row that is no code.
void row_to_f32(const vector_rows & rows, int32_t cell, float * dst);

// The kernels of one instruction set.
//
// scores: out[i] = dot(query, row cells[i]) for n cells. A row's score depends on the row and the query only, not on
//         its place in the list, so equal rows have equal scores and a.b == b.a.
struct dot_kernels {
    const char * name;
    void (*scores[4])(const dot_query & query, const vector_rows & rows, const int32_t * cells, int n, float * out);
    void (*f16_to_f32)(const uint16_t * src, int n, float * dst);
};

// Every kernel set this machine can run, portable first, best last.
const std::vector<dot_kernels> & dot_kernel_sets();

// The best of them, chosen once. All indexes of a process use the same one.
const dot_kernels & best_dot_kernels();

inline void dot_scores(const dot_query & query, const vector_rows & rows, const int32_t * cells, int n, float * out) {
    static const dot_kernels & kernels = best_dot_kernels();
    kernels.scores[int(rows.type)](query, rows, cells, n, out);
}

}  // namespace ann_idx
