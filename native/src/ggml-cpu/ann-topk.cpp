// GGML_ANN_TOPK. Contract in ggml-ann.h.
//
// Few queries (decode): every thread scans its range of the cells for all queries, then the ranges are merged.
// Many queries (prefill): every thread takes blocks of queries and scans all cells; a tile of keys is converted and
// transposed once per block. Both stream through ann::collector, so no [n_kv x n_tokens] matrix exists.

#include "ann-cpu.h"
#include "ann-collect.h"
#include "ann-simd.h"
#include "ann-tile.h"

#include "ggml-ann.h"
#include "ggml-cpu-impl.h"

namespace {

using namespace ann;

constexpr int64_t N_TILE  = 256; // cells of a decode query scored before they are filtered
constexpr int64_t N_AHEAD = 2048; // bytes of keys prefetched ahead: one key is shorter than what hardware follows
constexpr int64_t N_BLOCK = 24;  // most queries that share a transposed tile

struct topk_args {
    const ggml_tensor * q;
    const ggml_tensor * k;
    const ggml_tensor * mask;
    const ggml_tensor * always; // may be null
    ggml_tensor       * dst;

    int64_t d, n_kv, n_tokens, n_rows;
    int32_t n_top_k, n_always, n_search;

    explicit topk_args(ggml_tensor * op) :
        q(op->src[0]), k(op->src[1]), mask(op->src[2]), always(op->src[3]), dst(op),
        d(k->ne[0]), n_kv(k->ne[1]), n_tokens(q->ne[1]), n_rows(q->ne[1]*q->ne[3]),
        n_top_k((int32_t) op->ne[0]), n_always(always ? (int32_t) always->ne[0] : 0), n_search(n_top_k - n_always) {}

    // row = s*n_tokens + t
    template <typename T> T * at(const ggml_tensor * x, int64_t row) const {
        return (T *) ((char *) x->data + (row % n_tokens)*x->nb[1] + (row/n_tokens)*x->nb[3]);
    }
    const char * key(int64_t cell, int64_t s) const { return (const char *) k->data + cell*k->nb[1] + s*k->nb[3]; }
};

// visible and not always attended
bool is_wanted(const topk_args & a, int64_t row, int64_t cell) {
    bool hidden;
    switch (a.mask->type) {
        case GGML_TYPE_I32: hidden = cell < a.at<int32_t>(a.mask, row)[0] || cell >= a.at<int32_t>(a.mask, row)[1]; break;
        case GGML_TYPE_F16: hidden = a.at<ggml_fp16_t>(a.mask, row)[cell] == 0xFC00; break;
        default:            hidden = a.at<float>(a.mask, row)[cell] == -INFINITY; break;
    }
    if (hidden || a.n_always == 0) {
        return !hidden;
    }
    const int32_t * always = a.at<int32_t>(a.always, row);
    return std::find(always, always + a.n_always, (int32_t) cell) == always + a.n_always;
}

bool any_visible(const topk_args & a, int64_t row, int64_t c0, int64_t n) {
    if (a.mask->type == GGML_TYPE_I32) {
        const int32_t * range = a.at<int32_t>(a.mask, row);
        return std::max<int64_t>(c0, range[0]) < std::min<int64_t>(c0 + n, range[1]);
    }
    if (a.mask->type == GGML_TYPE_F16) {
        const ggml_fp16_t * m = a.at<ggml_fp16_t>(a.mask, row) + c0;
        int visible = 0;
        for (int64_t j = 0; j < n; ++j) {
            visible |= m[j] ^ 0xFC00;
        }
        return visible != 0;
    }
    const float * m = a.at<float>(a.mask, row) + c0;
    bool visible = false;
    for (int64_t j = 0; j < n; ++j) {
        visible |= m[j] != -INFINITY;
    }
    return visible;
}

// Few scores pass the threshold, so the mask is asked only for those.
void collect(const topk_args & a, int64_t row, collector & c, const float * scores, int64_t c0, int64_t n) {
    for (int64_t j = 0; j < n; j += 16) {
        const int64_t n_step = std::min<int64_t>(16, n - j);
        int hits = 0;
        for (int64_t i = 0; i < n_step; ++i) {
            hits += scores[j + i] > c.threshold;
        }
        for (int64_t i = 0; hits != 0 && i < n_step; ++i) {
            if (scores[j + i] > c.threshold && is_wanted(a, row, c0 + j + i)) {
                c.add(scores[j + i], (int32_t) (c0 + j + i));
            }
        }
    }
}

// scores of n cells from c0, keys read in place; query: float of f16 and f32 keys, query_i16 of q8_0 keys
template <typename T, typename Q>
void score(const topk_args & a, int64_t s, int64_t c0, int64_t n, const Q & query, float * scores) {
    const size_t n_bytes = 4*a.k->nb[1];
    for (int64_t j = 0; j < n; j += 4) {
        prefetch(a.key(c0 + j, s) + N_AHEAD, n_bytes);
        const T * k[4];
        for (int64_t i = 0; i < 4; ++i) {
            k[i] = (const T *) a.key(c0 + std::min(j + i, n - 1), s); // past the end: the last one again
        }
        dot4(k, query, a.d, scores + j);
    }
}

// one query against cells [c0, c1)
void scan(const topk_args & a, int64_t row, int64_t c0, int64_t c1, collector & c) {
    const float * q = a.at<float>(a.q, row);
    const int64_t s = row/a.n_tokens;

    query_i16 qi;
    if (a.k->type == GGML_TYPE_Q8_0) {
        qi.set(q, a.d);
    }

    float scores[N_TILE + 4];
    for (int64_t t0 = c0; t0 < c1; t0 += N_TILE) {
        const int64_t n = std::min(N_TILE, c1 - t0);
        if (!any_visible(a, row, t0, n)) {
            continue;
        }
        switch (a.k->type) {
            case GGML_TYPE_Q8_0: score<block_q8_0> (a, s, t0, n, qi, scores); break;
            case GGML_TYPE_F16:  score<ggml_fp16_t>(a, s, t0, n, q,  scores); break;
            default:             score<float>      (a, s, t0, n, q,  scores); break;
        }
        collect(a, row, c, scores, t0, n);
    }
}

// queries [r0, r1) of one stream against all cells; memory: n_block_floats
void scan_block(const topk_args & a, int64_t r0, int64_t r1, float * memory, collector * c) {
    const int64_t s = r0/a.n_tokens;
    float * tile = memory;
    float * tmp  = tile + a.d*N_TILE_CELLS;
    float scores[N_TILE_ROWS*N_TILE_CELLS];
    float * x[N_TILE_ROWS];
    for (int64_t i = 0; i < N_TILE_ROWS; ++i) {
        x[i] = scores + i*N_TILE_CELLS;
    }
    for (int64_t c0 = 0; c0 < a.n_kv; c0 += N_TILE_CELLS) {
        const int64_t n = std::min(N_TILE_CELLS, a.n_kv - c0);
        int64_t seers[N_BLOCK]; // queries that see a cell of the tile
        int64_t n_seers = 0;
        for (int64_t r = r0; r < r1; ++r) {
            if (any_visible(a, r, c0, n)) {
                seers[n_seers++] = r;
            }
        }
        if (n_seers == 0) {
            continue;
        }
        if (n_seers == 1) { // generation of several sequences: transposing pays for nobody
            scan(a, seers[0], c0, c0 + n, c[seers[0] - r0]);
            continue;
        }
        transpose_tile(a.k->type, a.key(c0, s), a.k->nb[1], n, a.d, tmp, tile);
        for (int64_t i0 = 0; i0 < n_seers; i0 += N_TILE_ROWS) {
            const int64_t nr = std::min<int64_t>(N_TILE_ROWS, n_seers - i0);
            const float * q[N_TILE_ROWS];
            for (int64_t i = 0; i < N_TILE_ROWS; ++i) {
                q[i] = a.at<float>(a.q, seers[i0 + std::min(i, nr - 1)]); // past the end: the last one again
            }
            tile_product<false>(q, tile, a.d, N_TILE_CELLS, x);
            for (int64_t i = 0; i < nr; ++i) {
                collect(a, seers[i0 + i], c[seers[i0 + i] - r0], x[i], c0, n);
            }
        }
    }
}

// always cells and the collected ones, ascending, -1 padded
void write_row(const topk_args & a, int64_t row, collector & c) {
    int32_t * res = a.at<int32_t>(a.dst, row);
    int32_t   n   = 0;
    const int32_t * always = a.always ? a.at<int32_t>(a.always, row) : nullptr;
    for (int32_t i = 0; i < a.n_always; ++i) {
        if (always[i] >= 0) {
            res[n++] = always[i];
        }
    }
    c.shrink();
    for (int32_t i = 0; i < c.n; ++i) {
        res[n++] = cell_of(c.items[i]);
    }
    std::sort(res, res + n);
    std::fill(res + n, res + a.n_top_k, -1);
}

bool by_rows(const topk_args & a, int nth) { return a.n_rows >= 4*nth; }

// every thread scans its cells for all queries; then rows are merged by threads
void topk_by_cells(const topk_args & a, const ggml_compute_params * params) {
    const int64_t capacity = collector::capacity_for(a.n_search);
    const int64_t n_per    = GGML_PAD((a.n_kv + params->nth - 1)/params->nth, 64);
    const int64_t c0       = std::min(a.n_kv, n_per*params->ith);
    const int64_t c1       = std::min(a.n_kv, c0 + n_per);

    // [n_rows][nth] collectors, then their items
    collector * all   = (collector *) params->wdata;
    uint64_t  * items = (uint64_t *) (all + a.n_rows*params->nth);

    for (int64_t r = 0; r < a.n_rows; ++r) {
        const int64_t i = r*params->nth + params->ith;
        all[i].reset(items + i*capacity, a.n_search);
        scan(a, r, c0, c1, all[i]);
        all[i].shrink();
    }

    ggml_barrier(params->threadpool);

    for (int64_t r = params->ith; r < a.n_rows; r += params->nth) {
        collector & c = all[r*params->nth];
        for (int i = 1; i < params->nth; ++i) {
            const collector & other = all[r*params->nth + i];
            for (int32_t j = 0; j < other.n; ++j) {
                c.items[c.n++] = other.items[j];
                if (c.n == c.capacity) {
                    c.shrink();
                }
            }
        }
        write_row(a, r, c);
    }
}

// a transposed tile and the rows it is made of
size_t n_block_floats(const topk_args & a) { return a.d*(N_TILE_CELLS + 4); }

void topk_by_rows(const topk_args & a, const ggml_compute_params * params) {
    const int64_t capacity = collector::capacity_for(a.n_search);

    float    * tiles = (float *) params->wdata;
    uint64_t * items = (uint64_t *) (tiles + params->nth*n_block_floats(a));

    float    * tile = tiles + params->ith*n_block_floats(a);
    uint64_t * mine = items + params->ith*N_BLOCK*capacity;

    const int64_t n_stream = a.n_rows/a.n_tokens;
    const int64_t block    = std::min(N_BLOCK, GGML_PAD(a.n_rows/params->nth, N_TILE_ROWS)); // every thread gets one
    const int64_t n_block  = (a.n_tokens + block - 1)/block;

    for (int64_t b = params->ith; b < n_stream*n_block; b += params->nth) {
        const int64_t s  = b/n_block;
        const int64_t t0 = (b % n_block)*block;
        const int64_t r0 = s*a.n_tokens + t0;
        const int64_t r1 = s*a.n_tokens + std::min(a.n_tokens, t0 + block);

        collector c[N_BLOCK];
        for (int64_t r = r0; r < r1; ++r) {
            c[r - r0].reset(mine + (r - r0)*capacity, a.n_search);
        }
        scan_block(a, r0, r1, tile, c);
        for (int64_t r = r0; r < r1; ++r) {
            write_row(a, r, c[r - r0]);
        }
    }
}

} // namespace

size_t ggml_ann_topk_work_size(const ggml_tensor * op, int n_tasks) {
    const topk_args a(const_cast<ggml_tensor *>(op));
    const size_t capacity = collector::capacity_for(a.n_search);
    // ggml-cpu may run with fewer threads than planned: by cells happens only below 4 rows a thread
    const size_t by_cells = a.n_rows < 4*n_tasks ? a.n_rows*n_tasks*(sizeof(collector) + capacity*sizeof(uint64_t)) : 0;
    const size_t by_block = n_tasks*(n_block_floats(a)*sizeof(float) + N_BLOCK*capacity*sizeof(uint64_t));
    return std::max(by_cells, by_block);
}

void ggml_compute_forward_ann_topk(const ggml_compute_params * params, ggml_tensor * dst) {
    const topk_args a(dst);
    if (by_rows(a, params->nth)) {
        topk_by_rows(a, params);
    } else {
        topk_by_cells(a, params);
    }
}
