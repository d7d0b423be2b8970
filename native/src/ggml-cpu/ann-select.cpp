// GGML_ANN_SELECT. Contract in ggml-ann.h. Row-parallel, no tricks: every selector is a score per cell.

#include "ann-cpu.h"
#include "ann-collect.h"
#include "ann-select.h"

#include "ggml-cpu-impl.h"

using namespace ann;

void ann::score_dot(const select_args & a, int64_t t, int64_t s, float * scores, float * scratch) {
    for (int64_t j = 0; j < a.n_kv; ++j) {
        if (scores[j] == -INFINITY) {
            continue;
        }
        float best = -INFINITY;
        for (int64_t h = 0; h < a.n_head; ++h) {
            best = std::max(best, dot_row(a.k->type, row_of(a.k, j, h/a.n_group, s), a.query(t, h, s), a.d, scratch));
        }
        scores[j] = best;
    }
}

namespace {

void score_recent(const select_args & a, float * scores) {
    for (int64_t j = 0; j < a.n_kv; ++j) {
        scores[j] = scores[j] == -INFINITY ? scores[j] : (float) j; // exact up to 2^24 cells
    }
}

// the last n_recent cells, then random ones
void score_random(const select_args & a, int64_t n_visible, int64_t n_recent, float * scores) {
    for (int64_t j = a.n_kv - 1; j >= 0; --j) {
        if (scores[j] != -INFINITY) {
            scores[j] = n_recent-- > 0 ? 2.0f : (float) (hash(a.seed + (uint64_t) n_visible*0x10001, (uint64_t) j) >> 40)/(1 << 24);
        }
    }
}

// [scores n_kv][items capacity][scratch] of one thread
struct thread_memory {
    uint64_t * items;
    float    * scores;
    float    * scratch;

    static size_t bytes(const select_args & a) {
        return GGML_PAD(collector::capacity_for(a.n_search)*sizeof(uint64_t) + (a.n_kv + select_scratch_floats(a))*sizeof(float), 64);
    }
    thread_memory(const select_args & a, char * p) :
        items((uint64_t *) p), scores((float *) (items + collector::capacity_for(a.n_search))), scratch(scores + a.n_kv) {}
};

size_t shared_bytes(const select_args & a) {
    const size_t n = a.selector == GGML_ANN_SELECTOR_PAGES ? pages_bytes(a) : a.selector == GGML_ANN_SELECTOR_LSH ? lsh_bytes(a) : 0;
    return GGML_PAD(n, 64);
}

void select_row(const select_args & a, int64_t t, int64_t s, const void * shared, const thread_memory & m) {
    const int32_t * always = a.always ? (const int32_t *) ((const char *) a.always->data + t*a.always->nb[1] + s*a.always->nb[3]) : nullptr;
    int32_t * res = (int32_t *) ((char *) a.dst->data + t*a.dst->nb[1] + s*a.dst->nb[3]);

    int64_t n_visible = 0;
    for (int64_t j = 0; j < a.n_kv; ++j) {
        const bool visible = is_visible(a.mask, j, t, s);
        n_visible  += visible;
        m.scores[j] = visible && j < a.n_frozen ? 0.0f : -INFINITY;
    }
    int32_t n = 0;
    for (int32_t i = 0; i < a.n_always; ++i) {
        if (always[i] >= 0) {
            m.scores[always[i]] = -INFINITY;
            res[n++] = always[i];
        }
    }

    switch (a.selector) {
        case GGML_ANN_SELECTOR_DOT:     score_dot(a, t, s, m.scores, m.scratch); break;
        case GGML_ANN_SELECTOR_PAGES:   score_pages(a, t, s, (const float *) shared, m.scores, m.scratch); break;
        case GGML_ANN_SELECTOR_RECENT:  score_recent(a, m.scores); break;
        case GGML_ANN_SELECTOR_BIGBIRD: score_random(a, n_visible, a.n_search/2, m.scores); break;
        case GGML_ANN_SELECTOR_LSH:     score_lsh(a, t, s, (const uint8_t *) shared, m.scores, m.scratch); break;
        default:                        score_random(a, n_visible, 0, m.scores); break;
    }

    collector c;
    c.reset(m.items, a.n_search);
    for (int64_t j = 0; j < a.n_kv; ++j) {
        c.add(m.scores[j], (int32_t) j);
    }
    c.shrink();
    for (int32_t i = 0; i < c.n; ++i) {
        res[n++] = cell_of(c.items[i]);
    }
    std::sort(res, res + n);
    std::fill(res + n, res + a.n_top_k, -1);
}

} // namespace

size_t ggml_ann_select_work_size(const ggml_tensor * op, int n_tasks) {
    const select_args a(const_cast<ggml_tensor *>(op));
    return shared_bytes(a) + n_tasks*thread_memory::bytes(a);
}

void ggml_compute_forward_ann_select(const ggml_compute_params * params, ggml_tensor * dst) {
    const select_args a(dst);
    char * shared = (char *) params->wdata;
    const thread_memory m(a, shared + shared_bytes(a) + params->ith*thread_memory::bytes(a));

    if (a.selector == GGML_ANN_SELECTOR_PAGES) {
        pages_prepare(a, params->ith, params->nth, (float *) shared, m.scratch);
    } else if (a.selector == GGML_ANN_SELECTOR_LSH) {
        lsh_prepare(a, params->ith, params->nth, (uint8_t *) shared, m.scratch);
    }
    ggml_barrier(params->threadpool);
    for (int64_t r = params->ith; r < a.n_tokens*a.n_stream; r += params->nth) {
        select_row(a, r % a.n_tokens, r/a.n_tokens, shared, m);
    }
}
