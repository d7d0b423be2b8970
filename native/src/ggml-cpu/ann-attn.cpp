// GGML_ANN_ATTN. Contract in ggml-ann.h.
//
// With candidates: a thread takes whole (token, K/V head) units; K and V rows of the listed cells are read in place,
// each once for all query heads of the group. Without, few queries: threads split the cells (rows are then read front to
// back, which is several times faster than head by head) and merge their running softmaxes. Both go through the same
// step: a chunk of at most 64 cells, wherever they lie, added to running softmaxes. Without, many queries:
// ann-attn-blocks.cpp.

#include "ann-attn.h"
#include "ann-cpu.h"
#include "ann-simd.h"

#include "ggml-ann.h"

namespace {

using namespace ann;

constexpr int64_t N_CHUNK = 64; // cells of one softmax step
constexpr int     N_GROUP = 4;  // most query heads computed together

// ---------------------------------------------------------------------------------------------------------------------
// kernels: NG query heads of one K/V head over a chunk of cells whose rows lie anywhere

// scores[g*N_CHUNK + i] = dot(k[i], q[g])
template <typename T, int NG>
void chunk_scores(const T * const * k, int64_t n, const float * const * q, int64_t d, float * scores) {
    constexpr int NC = NG <= 3 ? 4 : 2; // cells together, so that the sums stay in 16 registers
    const int64_t d_vec = d - d % VF;
    for (int64_t i = 0; i < n; i += NC) {
        const T * row[NC];
        for (int c = 0; c < NC; ++c) {
            row[c] = k[std::min(i + c, n - 1)];
        }
        vf acc[NG][4] = {};
        for (int64_t e = 0; e < d_vec; e += VF) {
            vf x[NC];
            for (int c = 0; c < NC; ++c) {
                x[c] = load_any(row[c] + e);
            }
            for (int g = 0; g < NG; ++g) {
                const vf y = load(q[g] + e);
                for (int c = 0; c < NC; ++c) {
                    acc[g][c] += x[c]*y;
                }
            }
        }
        for (int g = 0; g < NG; ++g) {
            float sums[4];
            sum4(acc[g], sums);
            for (int c = 0; c < NC && i + c < n; ++c) {
                float tail = 0.0f;
                for (int64_t e = d_vec; e < d; ++e) {
                    tail += scalar_of(row[c][e])*q[g][e];
                }
                scores[g*N_CHUNK + i + c] = sums[c] + tail;
            }
        }
    }
}

// out[g] += sum over i of p[g*N_CHUNK + i] * v[i]
template <typename T, int NG>
void chunk_mix(const T * const * v, int64_t n, const float * p, int64_t d, float * const * out) {
    constexpr int NB = (NG == 1 ? 8 : NG == 2 ? 4 : NG == 3 ? 3 : 2)*(VF == 16 ? 2 : 1); // accumulators of one head
    int64_t e = 0;
    for (; e + NB*VF <= d; e += NB*VF) {
        vf acc[NG][NB];
        for (int g = 0; g < NG; ++g) {
            for (int b = 0; b < NB; ++b) {
                acc[g][b] = load(out[g] + e + b*VF);
            }
        }
        for (int64_t i = 0; i < n; ++i) {
            vf x[NB];
            for (int b = 0; b < NB; ++b) {
                x[b] = load_any(v[i] + e + b*VF);
            }
            for (int g = 0; g < NG; ++g) {
                const vf w = splat(p[g*N_CHUNK + i]);
                for (int b = 0; b < NB; ++b) {
                    acc[g][b] += w*x[b];
                }
            }
        }
        for (int g = 0; g < NG; ++g) {
            for (int b = 0; b < NB; ++b) {
                store(out[g] + e + b*VF, acc[g][b]);
            }
        }
    }
    for (; e + VF <= d; e += VF) {
        for (int g = 0; g < NG; ++g) {
            vf acc = load(out[g] + e);
            for (int64_t i = 0; i < n; ++i) {
                acc += splat(p[g*N_CHUNK + i])*load_any(v[i] + e);
            }
            store(out[g] + e, acc);
        }
    }
    for (; e < d; ++e) {
        for (int g = 0; g < NG; ++g) {
            for (int64_t i = 0; i < n; ++i) {
                out[g][e] += p[g*N_CHUNK + i]*scalar_of(v[i][e]);
            }
        }
    }
}

template <typename T>
void chunk_scores_any(int ng, const T * const * k, int64_t n, const float * const * q, int64_t d, float * scores) {
    switch (ng) {
        case 1:  chunk_scores<T, 1>(k, n, q, d, scores); break;
        case 2:  chunk_scores<T, 2>(k, n, q, d, scores); break;
        case 3:  chunk_scores<T, 3>(k, n, q, d, scores); break;
        default: chunk_scores<T, 4>(k, n, q, d, scores); break;
    }
}

template <typename T>
void chunk_mix_any(int ng, const T * const * v, int64_t n, const float * p, int64_t d, float * const * out) {
    switch (ng) {
        case 1:  chunk_mix<T, 1>(v, n, p, d, out); break;
        case 2:  chunk_mix<T, 2>(v, n, p, d, out); break;
        case 3:  chunk_mix<T, 3>(v, n, p, d, out); break;
        default: chunk_mix<T, 4>(v, n, p, d, out); break;
    }
}

// rows of a quantised type as f32, into tmp [n][d]
void convert_rows(const ggml_tensor * x, const void ** rows, int64_t n, int64_t d, float * tmp) {
    const auto to_float = ggml_get_type_traits(x->type)->to_float;
    for (int64_t i = 0; i < n; ++i) {
        to_float(rows[i], tmp + i*d, d);
        rows[i] = tmp + i*d;
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// the step that adds a chunk of cells

size_t n_scratch(const attn_args & a) { // floats per thread
    return N_GROUP*N_CHUNK + N_CHUNK*std::max(a.dk, a.dv);
}

// adds n <= N_CHUNK cells to the running softmaxes of the query heads of one K/V head
void attend_chunk(const attn_args & a, const int32_t * cells, int64_t n, int64_t t, int64_t h_kv, int64_t s, float * partials, float * scratch) {
    float * scores = scratch;
    float * tmp    = scratch + N_GROUP*N_CHUNK;

    const void * k[N_CHUNK];
    const void * v[N_CHUNK];
    for (int64_t i = 0; i < n; ++i) {
        k[i] = a.row(a.k, cells[i], h_kv, s);
        v[i] = a.row(a.v, cells[i], h_kv, s);
    }
    for (int64_t g0 = 0; g0 < a.n_group; g0 += N_GROUP) {
        const int ng = (int) std::min<int64_t>(N_GROUP, a.n_group - g0);
        const float * q[N_GROUP];
        float * p[N_GROUP];
        float * out[N_GROUP];
        for (int g = 0; g < ng; ++g) {
            q[g]   = a.query(t, h_kv*a.n_group + g0 + g, s);
            p[g]   = partial_at(partials, h_kv*a.n_group + g0 + g, a.dv);
            out[g] = p[g] + 2;
        }

        const void * rows[N_CHUNK];
        std::copy(k, k + n, rows);
        if (a.k->type == GGML_TYPE_F16) {
            chunk_scores_any(ng, (const ggml_fp16_t * const *) rows, n, q, a.dk, scores);
        } else {
            if (a.k->type != GGML_TYPE_F32) {
                convert_rows(a.k, rows, n, a.dk, tmp);
            }
            chunk_scores_any(ng, (const float * const *) rows, n, q, a.dk, scores);
        }

        for (int g = 0; g < ng; ++g) {
            float * x = scores + g*N_CHUNK;
            for (int64_t i = 0; i < n; ++i) {
                x[i] = a.logit(x[i]);
            }
            const float max  = std::max(p[g][0], max_of(x, n));
            const float keep = p[g][0] == -INFINITY ? 0.0f : std::exp(p[g][0] - max);
            if (keep != 1.0f && p[g][0] != -INFINITY) {
                scale(out[g], keep, a.dv);
            }
            p[g][1] = p[g][1]*keep + (float) ggml_vec_soft_max_f32((int) n, x, x, max);
            p[g][0] = max;
        }

        std::copy(v, v + n, rows);
        if (a.v->type == GGML_TYPE_F16) {
            chunk_mix_any(ng, (const ggml_fp16_t * const *) rows, n, scores, a.dv, out);
        } else {
            if (a.v->type != GGML_TYPE_F32) {
                convert_rows(a.v, rows, n, a.dv, tmp);
            }
            chunk_mix_any(ng, (const float * const *) rows, n, scores, a.dv, out);
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// listed cells: K/V heads [h0, h1) of one token

void attend_listed(const attn_args & a, int64_t t, int64_t s, int64_t h0, int64_t h1, float * partials, float * scratch) {
    const int32_t * cells = (const int32_t *) ((const char *) a.candidates->data + t*a.candidates->nb[1] + s*a.candidates->nb[3]);
    const int64_t n = std::find(cells, cells + a.n_list, -1) - cells;
    const size_t k_bytes = ggml_row_size(a.k->type, a.dk)*(h1 - h0); // heads of a cell lie side by side in the cache
    const size_t v_bytes = ggml_row_size(a.v->type, a.dv)*(h1 - h0);

    for (int64_t h = h0*a.n_group; h < h1*a.n_group; ++h) {
        partial_reset(partial_at(partials, h, a.dv), a.dv);
    }
    for (int64_t i = 0; i < n; i += N_CHUNK) {
        const int64_t n_chunk = std::min(N_CHUNK, n - i);
        for (int64_t j = i; j < i + n_chunk; ++j) {
            prefetch(a.row(a.k, cells[j], h0, s), k_bytes);
        }
        for (int64_t j = i; j < i + n_chunk; ++j) {
            prefetch(a.row(a.v, cells[j], h0, s), v_bytes);
        }
        for (int64_t h = h0; h < h1; ++h) {
            attend_chunk(a, cells + i, n_chunk, t, h, s, partials, scratch);
        }
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
    const size_t k_bytes = ggml_row_size(a.k->type, a.dk)*a.n_head_kv;
    const size_t v_bytes = ggml_row_size(a.v->type, a.dv)*a.n_head_kv;

    for (int64_t i = 0; i < n_rows*a.n_head; ++i) {
        partial_reset(partial_at(mine, i, a.dv), a.dv);
    }
    for (int64_t j0 = c0; j0 < c1; j0 += N_CHUNK) {
        for (int64_t r = 0; r < n_rows; ++r) {
            const int64_t t = r % a.n_tokens;
            const int64_t s = r/a.n_tokens;
            int32_t cells[N_CHUNK];
            const int64_t n = visible_cells(a, j0, std::min(c1, j0 + N_CHUNK), t, s, cells);
            for (int64_t i = 0; i < n; ++i) { // whole rows, front to back: the heads below touch them at a stride
                prefetch(a.row(a.k, cells[i], 0, s), k_bytes);
            }
            for (int64_t i = 0; i < n; ++i) {
                prefetch(a.row(a.v, cells[i], 0, s), v_bytes);
            }
            for (int64_t h = 0; n > 0 && h < a.n_head_kv; ++h) {
                attend_chunk(a, cells, n, t, h, s, mine + r*n_listed_partials(a), scratch);
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
