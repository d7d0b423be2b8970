// GGML_ANN_ATTN. Contract in ggml-ann.h.
//
// With candidates: a thread takes whole (token, K/V head) units; K and V rows of the listed cells are read in place.
// Without, few queries: threads split the cells and merge their running softmaxes. Both go through the same step: a chunk
// of at most 64 cells, wherever they lie, added to running softmaxes of all heads, row by row. Without, many queries:
// ann-attn-blocks.cpp.

#include "ann-attn.h"
#include "ann-cpu.h"
#include "ann-simd.h"

#include "ggml-ann.h"

namespace {

using namespace ann;

constexpr int64_t N_CHUNK = 64; // cells of one softmax step
constexpr int     N_ROWS  = 4;  // rows of cells computed together
constexpr int     N_AHEAD = 8; // cells from a row to the one prefetched with it
constexpr int     N_GROUP = 4;  // most query heads computed together

// ---------------------------------------------------------------------------------------------------------------------
// kernels: NG query heads of one K/V head and N_ROWS cells whose rows lie anywhere

// scores[g*N_CHUNK + r] = dot(k[r], q[g])
template <int NG, typename T>
void score_rows(const T * const * k, const float * const * q, int64_t d, float * scores) {
    constexpr int NR = NG <= 3 ? 4 : 2; // rows together, so that the sums stay in 16 registers
    const int64_t d_vec = d - d % VF;
    for (int r0 = 0; r0 < N_ROWS; r0 += NR) {
        vf acc[NG][4] = {};
        for (int64_t e = 0; e < d_vec; e += VF) {
            vf x[NR];
            for (int r = 0; r < NR; ++r) {
                x[r] = load_any(k[r0 + r] + e);
            }
            for (int g = 0; g < NG; ++g) {
                const vf y = load(q[g] + e);
                for (int r = 0; r < NR; ++r) {
                    acc[g][r] += x[r]*y;
                }
            }
        }
        for (int g = 0; g < NG; ++g) {
            float sums[4];
            sum4(acc[g], sums);
            for (int r = 0; r < NR; ++r) {
                for (int64_t e = d_vec; e < d; ++e) {
                    sums[r] += scalar_of(k[r0 + r][e])*q[g][e];
                }
                scores[g*N_CHUNK + r0 + r] = sums[r];
            }
        }
    }
}

// the same for q8_0, converted in registers
template <int NG>
void score_rows(const block_q8_0 * const * k, const float * const * q, int64_t d, float * scores) {
    constexpr int NR = NG <= 3 ? 4 : 2;
    for (int r0 = 0; r0 < N_ROWS; r0 += NR) {
        vf acc[NG][4] = {};
        for (int64_t b = 0; b < d/QK8_0; ++b) {
            vf scale[NR];
            for (int r = 0; r < NR; ++r) {
                scale[r] = splat(scalar_of(k[r0 + r][b].d));
            }
            for (int e = 0; e < QK8_0; e += VF) {
                vf y[NG];
                for (int g = 0; g < NG; ++g) {
                    y[g] = load(q[g] + b*QK8_0 + e);
                }
                for (int r = 0; r < NR; ++r) {
                    const vf x = load_i8(k[r0 + r][b].qs + e)*scale[r];
                    for (int g = 0; g < NG; ++g) {
                        acc[g][r] += x*y[g];
                    }
                }
            }
        }
        for (int g = 0; g < NG; ++g) {
            float sums[4];
            sum4(acc[g], sums);
            std::copy(sums, sums + NR, scores + g*N_CHUNK + r0);
        }
    }
}

// out[g] += sum over r of p[g*N_CHUNK + r] * v[r]
template <int NG, typename T>
void mix_rows(const T * const * v, const float * p, int64_t d, float * const * out) {
    constexpr int NR = NG <= 2 ? 4 : 2; // rows together, so that their weights stay in registers
    for (int r0 = 0; r0 < N_ROWS; r0 += NR) {
        vf w[NG][NR];
        for (int g = 0; g < NG; ++g) {
            for (int r = 0; r < NR; ++r) {
                w[g][r] = splat(p[g*N_CHUNK + r0 + r]);
            }
        }
        int64_t e = 0;
        for (; e + VF <= d; e += VF) {
            vf x[NR];
            for (int r = 0; r < NR; ++r) {
                x[r] = load_any(v[r0 + r] + e);
            }
            for (int g = 0; g < NG; ++g) {
                vf acc = load(out[g] + e);
                for (int r = 0; r < NR; ++r) {
                    acc += w[g][r]*x[r];
                }
                store(out[g] + e, acc);
            }
        }
        for (; e < d; ++e) {
            for (int g = 0; g < NG; ++g) {
                for (int r = 0; r < NR; ++r) {
                    out[g][e] += w[g][r][0]*scalar_of(v[r0 + r][e]);
                }
            }
        }
    }
}

template <int NG>
void mix_rows(const block_q8_0 * const * v, const float * p, int64_t d, float * const * out) {
    constexpr int NR = NG <= 2 ? 4 : 2;
    for (int r0 = 0; r0 < N_ROWS; r0 += NR) {
        vf w[NG][NR];
        for (int g = 0; g < NG; ++g) {
            for (int r = 0; r < NR; ++r) {
                w[g][r] = splat(p[g*N_CHUNK + r0 + r]);
            }
        }
        for (int64_t b = 0; b < d/QK8_0; ++b) {
            vf scale[NR];
            for (int r = 0; r < NR; ++r) {
                scale[r] = splat(scalar_of(v[r0 + r][b].d));
            }
            for (int e = 0; e < QK8_0; e += VF) {
                vf x[NR];
                for (int r = 0; r < NR; ++r) {
                    x[r] = load_i8(v[r0 + r][b].qs + e)*scale[r];
                }
                for (int g = 0; g < NG; ++g) {
                    float * y = out[g] + b*QK8_0 + e;
                    vf acc = load(y);
                    for (int r = 0; r < NR; ++r) {
                        acc += w[g][r]*x[r];
                    }
                    store(y, acc);
                }
            }
        }
    }
}

template <typename T>
void score_rows(int ng, const T * const * k, const float * const * q, int64_t d, float * scores) {
    switch (ng) {
        case 1:  score_rows<1>(k, q, d, scores); break;
        case 2:  score_rows<2>(k, q, d, scores); break;
        case 3:  score_rows<3>(k, q, d, scores); break;
        default: score_rows<4>(k, q, d, scores); break;
    }
}

template <typename T>
void mix_rows(int ng, const T * const * v, const float * p, int64_t d, float * const * out) {
    switch (ng) {
        case 1:  mix_rows<1>(v, p, d, out); break;
        case 2:  mix_rows<2>(v, p, d, out); break;
        case 3:  mix_rows<3>(v, p, d, out); break;
        default: mix_rows<4>(v, p, d, out); break;
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// the step that adds a chunk of cells: a few rows at a time go through all heads, so that the cache is read row by row

// floats per thread: scores of all heads, converted rows
size_t n_scratch(const attn_args & a) { return a.n_head*N_CHUNK + N_ROWS*std::max(a.dk, a.dv); }

// rows of K or V of the cells i ... i + N_ROWS - 1, past the end the last one again; the same of the next cells come
// into the cache meanwhile. f16, f32 and q8_0 in place, other types as f32 in tmp.
struct chunk_rows {
    const void * rows[N_ROWS];

    chunk_rows(const ggml_tensor * x, int64_t d, const int32_t * cells, int64_t n, int64_t i, int64_t h, int64_t s, float * tmp) {
        const size_t n_bytes = ggml_row_size(x->type, d);
        for (int64_t r = 0; r < N_ROWS; ++r) {
            rows[r] = attn_args::row(x, cells[std::min(i + r, n - 1)], h, s);
            prefetch(attn_args::row(x, cells[std::min(i + N_AHEAD + r, n - 1)], h, s), n_bytes);
            if (x->type != GGML_TYPE_F16 && x->type != GGML_TYPE_Q8_0) {
                rows[r] = row_as_f32(x->type, (const char *) rows[r], d, tmp + r*d);
            }
        }
    }
    template <typename T> const T * const * as() const { return (const T * const *) rows; }
};

void score_chunk(const attn_args & a, const int32_t * cells, int64_t n, int64_t t, int64_t h0, int64_t h1, int64_t s, float * scores, float * tmp) {
    for (int64_t i = 0; i < n; i += N_ROWS) {
        for (int64_t h = h0; h < h1; ++h) {
            const chunk_rows k(a.k, a.dk, cells, n, i, h, s, tmp);
            for (int64_t g0 = 0; g0 < a.n_group; g0 += N_GROUP) {
                const int ng = (int) std::min<int64_t>(N_GROUP, a.n_group - g0);
                const float * q[N_GROUP];
                for (int g = 0; g < ng; ++g) {
                    q[g] = a.query(t, h*a.n_group + g0 + g, s);
                }
                float * x = scores + (h*a.n_group + g0)*N_CHUNK + i;
                switch (a.k->type) {
                    case GGML_TYPE_F16:  score_rows(ng, k.as<ggml_fp16_t>(), q, a.dk, x); break;
                    case GGML_TYPE_Q8_0: score_rows(ng, k.as<block_q8_0>(),  q, a.dk, x); break;
                    default:             score_rows(ng, k.as<float>(),       q, a.dk, x);
                }
            }
        }
    }
}

// scores of one head -> probabilities with its new maximum, zeros past the end
void softmax_chunk(const attn_args & a, int64_t n, float * x, float * partial) {
    for (int64_t i = 0; i < n; ++i) {
        x[i] = a.logit(x[i]);
    }
    partial_advance(partial, x, n, a.dv);
    std::fill(x + n, x + GGML_PAD(n, N_ROWS), 0.0f);
}

void mix_chunk(const attn_args & a, const int32_t * cells, int64_t n, int64_t h0, int64_t h1, int64_t s, const float * p, float * partials, float * tmp) {
    for (int64_t i = 0; i < n; i += N_ROWS) {
        for (int64_t h = h0; h < h1; ++h) {
            const chunk_rows v(a.v, a.dv, cells, n, i, h, s, tmp);
            for (int64_t g0 = 0; g0 < a.n_group; g0 += N_GROUP) {
                const int ng = (int) std::min<int64_t>(N_GROUP, a.n_group - g0);
                float * out[N_GROUP];
                for (int g = 0; g < ng; ++g) {
                    out[g] = partial_at(partials, h*a.n_group + g0 + g, a.dv) + 2;
                }
                const float * x = p + (h*a.n_group + g0)*N_CHUNK + i;
                switch (a.v->type) {
                    case GGML_TYPE_F16:  mix_rows(ng, v.as<ggml_fp16_t>(), x, a.dv, out); break;
                    case GGML_TYPE_Q8_0: mix_rows(ng, v.as<block_q8_0>(),  x, a.dv, out); break;
                    default:             mix_rows(ng, v.as<float>(),       x, a.dv, out);
                }
            }
        }
    }
}

// adds n <= N_CHUNK cells to the running softmaxes of the query heads of K/V heads [h0, h1)
void attend_chunk(const attn_args & a, const int32_t * cells, int64_t n, int64_t t, int64_t h0, int64_t h1, int64_t s, float * partials, float * scratch) {
    float * scores = scratch;
    float * tmp    = scratch + a.n_head*N_CHUNK;
    score_chunk(a, cells, n, t, h0, h1, s, scores, tmp);
    for (int64_t h = h0*a.n_group; h < h1*a.n_group; ++h) {
        softmax_chunk(a, n, scores + h*N_CHUNK, partial_at(partials, h, a.dv));
    }
    mix_chunk(a, cells, n, h0, h1, s, scores, partials, tmp);
}

// ---------------------------------------------------------------------------------------------------------------------
// listed cells: K/V heads [h0, h1) of one token

void attend_listed(const attn_args & a, int64_t t, int64_t s, int64_t h0, int64_t h1, float * partials, float * scratch) {
    const int32_t * cells = (const int32_t *) ((const char *) a.candidates->data + t*a.candidates->nb[1] + s*a.candidates->nb[3]);
    const int64_t n = std::find(cells, cells + a.n_list, -1) - cells;
    for (int64_t h = h0*a.n_group; h < h1*a.n_group; ++h) {
        partial_reset(partial_at(partials, h, a.dv), a.dv);
    }
    for (int64_t i = 0; i < n; i += N_CHUNK) {
        attend_chunk(a, cells + i, std::min(N_CHUNK, n - i), t, h0, h1, s, partials, scratch);
    }
    for (int64_t h = h0*a.n_group; h < h1*a.n_group; ++h) {
        finish_head(a, partial_at(partials, h, a.dv), 1, 0, t, h, s);
    }
}

size_t n_listed_partials(const attn_args & a) { return a.n_head*(2 + a.dv); } // floats per thread

void attend_listed(const attn_args & a, const ggml_compute_params * params) {
    float * partials = (float *) params->wdata + params->ith*(n_listed_partials(a) + n_scratch(a));
    float * scratch  = partials + n_listed_partials(a);

    // units of (token, K/V head), contiguous, so that a thread has neighbouring heads of the same rows
    const int64_t n_units = a.n_stream*a.n_tokens*a.n_head_kv;
    const int64_t n_per   = (n_units + params->nth - 1)/params->nth;
    const int64_t end     = std::min(n_units, (params->ith + 1)*n_per);
    for (int64_t u = params->ith*n_per; u < end;) {
        const int64_t h  = u % a.n_head_kv;
        const int64_t n  = std::min(a.n_head_kv - h, end - u);
        const int64_t row = u/a.n_head_kv;
        attend_listed(a, row % a.n_tokens, row/a.n_tokens, h, h + n, partials, scratch);
        u += n;
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// all visible cells, few queries

size_t n_dense_partials(const attn_args & a) { return a.n_tokens*a.n_stream*n_listed_partials(a); } // floats per thread

// cells of [j0, j1) that the mask shows
int64_t visible_cells(const attn_args & a, int64_t j0, int64_t j1, int64_t t, int64_t s, int32_t * cells) {
    const char * row = (const char *) a.mask->data + t*a.mask->nb[1] + s*a.mask->nb[3];
    int64_t n = 0;
    for (int64_t j = j0; j < j1; ++j) {
        const bool hidden = a.mask->type == GGML_TYPE_F16 ? ((const ggml_fp16_t *) row)[j] == 0xFC00 : ((const float *) row)[j] == -INFINITY;
        cells[n] = (int32_t) j;
        n += !hidden;
    }
    return n;
}

void attend_dense(const attn_args & a, const ggml_compute_params * params) {
    const int64_t n_rows = a.n_tokens*a.n_stream;
    const int64_t n_per  = GGML_PAD((a.n_kv + params->nth - 1)/params->nth, N_CHUNK);
    const int64_t c0     = std::min(a.n_kv, n_per*params->ith);
    const int64_t c1     = std::min(a.n_kv, c0 + n_per);

    float * all     = (float *) params->wdata;
    float * mine    = all + params->ith*n_dense_partials(a);
    float * scratch = all + params->nth*n_dense_partials(a) + params->ith*n_scratch(a);
    for (int64_t i = 0; i < n_rows*a.n_head; ++i) {
        partial_reset(partial_at(mine, i, a.dv), a.dv);
    }
    for (int64_t j0 = c0; j0 < c1; j0 += N_CHUNK) {
        for (int64_t r = 0; r < n_rows; ++r) {
            const int64_t t = r % a.n_tokens;
            const int64_t s = r/a.n_tokens;
            int32_t cells[N_CHUNK];
            const int64_t n = visible_cells(a, j0, std::min(c1, j0 + N_CHUNK), t, s, cells);
            if (n > 0) {
                attend_chunk(a, cells, n, t, 0, a.n_head_kv, s, mine + r*n_listed_partials(a), scratch);
            }
        }
    }

    ggml_barrier(params->threadpool);

    for (int64_t i = params->ith; i < n_rows*a.n_head; i += params->nth) {
        const int64_t h = i % a.n_head;
        const int64_t r = i/a.n_head;
        finish_head(a, partial_at(all, i, a.dv), params->nth, n_dense_partials(a), r % a.n_tokens, h, r/a.n_tokens);
    }
}

// From this many queries a tile of cells is worth converting and transposing for all of them.
bool in_blocks(const attn_args & a) { return a.n_tokens > 8; }

} // namespace

size_t ggml_ann_attn_work_size(const ggml_tensor * op, int n_tasks) {
    const attn_args a(const_cast<ggml_tensor *>(op));
    if (!a.candidates && in_blocks(a)) {
        return attn_blocks_work_size(a, n_tasks);
    }
    const size_t n_partials = a.candidates ? n_listed_partials(a) : n_dense_partials(a);
    return n_tasks*(n_partials + n_scratch(a))*sizeof(float);
}

void ggml_compute_forward_ann_attn(const ggml_compute_params * params, ggml_tensor * dst) {
    const attn_args a(dst);
    if (a.candidates) {
        attend_listed(a, params);
    } else if (in_blocks(a)) {
        attend_blocks(a, params);
    } else {
        attend_dense(a, params);
    }
}
