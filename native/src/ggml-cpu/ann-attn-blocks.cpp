// GGML_ANN_ATTN without candidates, for many queries: a thread takes a block of queries of one K/V head and walks the
// cells tile by tile, so that the rows of a tile are converted once for some hundred products with them. Contract in
// ggml-ann.h; ann-attn.cpp decides when.

#include "ann-attn.h"
#include "ann-tile.h"

namespace ann {
namespace {

constexpr int64_t N_ROWS = 96; // (token, query head) pairs of a block: 48 kB of queries of 128 dims

// row r of a block = token t0 + r/n_group, head h_kv*n_group + r % n_group
int64_t n_block_tokens(const attn_args & a) { return std::min(std::max<int64_t>(1, N_ROWS/a.n_group), a.n_tokens); }
int64_t n_block_rows  (const attn_args & a) { return GGML_PAD(n_block_tokens(a)*a.n_group, N_TILE_ROWS); }
int64_t n_v_columns   (const attn_args & a) { return GGML_PAD(a.dv, VF); }

struct block_memory {
    float * q;        // [n_block_rows][dk]
    float * partials; // [n_block_rows][2 + n_v_columns]
    float * scores;   // [n_block_rows][N_TILE_CELLS], then probabilities
    float * k;        // [dk][N_TILE_CELLS]
    float * v;        // [N_TILE_CELLS][n_v_columns]
    float * tmp;      // [4][dk], or [dv]

    static size_t n_floats(const attn_args & a) {
        return n_block_rows(a)*(a.dk + 2 + n_v_columns(a) + N_TILE_CELLS) +
            N_TILE_CELLS*(a.dk + n_v_columns(a)) + std::max(4*a.dk, a.dv);
    }
    block_memory(const attn_args & a, float * p) :
        q(p), partials(q + n_block_rows(a)*a.dk), scores(partials + n_block_rows(a)*(2 + n_v_columns(a))),
        k(scores + n_block_rows(a)*N_TILE_CELLS), v(k + a.dk*N_TILE_CELLS), tmp(v + N_TILE_CELLS*n_v_columns(a)) {}
};

bool is_visible(const attn_args & a, const char * mask_row, int64_t cell) {
    return a.mask->type == GGML_TYPE_F16 ? ((const ggml_fp16_t *) mask_row)[cell] != 0xFC00 : ((const float *) mask_row)[cell] != -INFINITY;
}

int64_t count_visible(const attn_args & a, int64_t t, int64_t s, int64_t c0, int64_t n) {
    const char * row = (const char *) a.mask->data + t*a.mask->nb[1] + s*a.mask->nb[3];
    int64_t n_visible = 0;
    for (int64_t j = 0; j < n; ++j) {
        n_visible += is_visible(a, row, c0 + j);
    }
    return n_visible;
}

// scores of one row -> probabilities with the row's new maximum; zeros where nothing is visible
void softmax_row(const attn_args & a, int64_t t, int64_t s, int64_t c0, int64_t n, int64_t n_visible, float * x, float * partial) {
    if (n_visible > 0) {
        for (int64_t j = 0; j < n; ++j) {
            x[j] = a.logit(x[j]);
        }
        if (n_visible < n) {
            const char * row = (const char *) a.mask->data + t*a.mask->nb[1] + s*a.mask->nb[3];
            for (int64_t j = 0; j < n; ++j) {
                x[j] = is_visible(a, row, c0 + j) ? x[j] : -INFINITY;
            }
        }
        partial_advance(partial, x, n, a.dv);
    } else {
        n = 0;
    }
    std::fill(x + n, x + N_TILE_CELLS, 0.0f);
}

// tokens [t0, t1) of stream s, heads of K/V head h
void attend_block(const attn_args & a, int64_t t0, int64_t t1, int64_t h, int64_t s, const block_memory & m) {
    const int64_t n_rows = (t1 - t0)*a.n_group;
    const int64_t n_pad  = GGML_PAD(n_rows, N_TILE_ROWS);
    const int64_t dv_pad = n_v_columns(a);

    std::fill(m.q + n_rows*a.dk, m.q + n_pad*a.dk, 0.0f);
    for (int64_t r = 0; r < n_rows; ++r) {
        const float * q = a.query(t0 + r/a.n_group, h*a.n_group + r % a.n_group, s);
        std::copy(q, q + a.dk, m.q + r*a.dk);
    }
    for (int64_t r = 0; r < n_pad; ++r) {
        partial_reset(partial_at(m.partials, r, dv_pad), dv_pad);
    }

    for (int64_t c0 = 0; c0 < a.n_kv; c0 += N_TILE_CELLS) {
        const int64_t n = std::min(N_TILE_CELLS, a.n_kv - c0);
        int64_t n_visible[N_ROWS]; // of each token
        int64_t any = 0;
        for (int64_t t = t0; t < t1; ++t) {
            any |= n_visible[t - t0] = count_visible(a, t, s, c0, n);
        }
        if (any == 0) {
            continue;
        }

        transpose_tile(a.k->type, a.row(a.k, c0, h, s), a.k->nb[1], n, a.dk, m.tmp, m.k);
        for (int64_t j = 0; j < n; ++j) {
            const float * v = row_as_f32(a.v->type, a.row(a.v, c0 + j, h, s), a.dv, m.tmp);
            std::copy(v, v + a.dv, m.v + j*dv_pad);
            std::fill(m.v + j*dv_pad + a.dv, m.v + (j + 1)*dv_pad, 0.0f);
        }

        for (int64_t r0 = 0; r0 < n_pad; r0 += N_TILE_ROWS) {
            const float * q[N_TILE_ROWS];
            const float * p[N_TILE_ROWS];
            float       * x[N_TILE_ROWS];
            float       * out[N_TILE_ROWS];
            for (int64_t i = 0; i < N_TILE_ROWS; ++i) {
                q[i]   = m.q + (r0 + i)*a.dk;
                p[i]   = x[i] = m.scores + (r0 + i)*N_TILE_CELLS;
                out[i] = partial_at(m.partials, r0 + i, dv_pad) + 2;
            }
            tile_product<false>(q, m.k, a.dk, N_TILE_CELLS, x);
            for (int64_t i = 0; i < N_TILE_ROWS && r0 + i < n_rows; ++i) {
                const int64_t t = (r0 + i)/a.n_group;
                softmax_row(a, t0 + t, s, c0, n, n_visible[t], x[i], partial_at(m.partials, r0 + i, dv_pad));
            }
            tile_product<true>(p, m.v, n, dv_pad, out);
        }
    }

    for (int64_t r = 0; r < n_rows; ++r) {
        finish_head(a, partial_at(m.partials, r, dv_pad), 1, 0, t0 + r/a.n_group, h*a.n_group + r % a.n_group, s);
    }
}

} // namespace

size_t attn_blocks_work_size(const attn_args & a, int n_tasks) {
    return n_tasks*block_memory::n_floats(a)*sizeof(float);
}

void attend_blocks(const attn_args & a, const ggml_compute_params * params) {
    const block_memory memory(a, (float *) params->wdata + params->ith*block_memory::n_floats(a));

    // blocks of one K/V head follow one another, so that the threads share its rows in the last-level cache
    const int64_t n_per_block = n_block_tokens(a);
    const int64_t n_block     = (a.n_tokens + n_per_block - 1)/n_per_block;
    for (int64_t u = params->ith; u < a.n_stream*a.n_head_kv*n_block; u += params->nth) {
        const int64_t t0 = (u % n_block)*n_per_block;
        const int64_t h  = u/n_block % a.n_head_kv;
        attend_block(a, t0, std::min(a.n_tokens, t0 + n_per_block), h, u/n_block/a.n_head_kv, memory);
    }
}

} // namespace ann
