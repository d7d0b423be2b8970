// Quest's pages: what no key of a page can exceed, by the smallest and the largest value of each of its dims.

#include "ann-select.h"

#include <algorithm>

using namespace ann;

namespace {

// bounds of one page and head: [2][d], smallest then largest
void add_key(const select_args & a, int64_t cell, int64_t h, int64_t s, float * bounds, float * scratch) {
    const float * key = row_floats(a.k->type, row_of(a.k, cell, h, s), a.d, scratch);
    for (int64_t i = 0; i < a.d; ++i) {
        bounds[i]       = std::min(bounds[i], key[i]);
        bounds[a.d + i] = std::max(bounds[a.d + i], key[i]);
    }
}

void reset(const select_args & a, float * bounds) {
    std::fill(bounds, bounds + a.d, INFINITY);
    std::fill(bounds + a.d, bounds + 2*a.d, -INFINITY);
}

float bound_of(const float * q, const float * bounds, int64_t d) {
    float sum = 0.0f;
    for (int64_t i = 0; i < d; ++i) {
        sum += std::max(q[i]*bounds[i], q[i]*bounds[d + i]);
    }
    return sum;
}

int64_t n_pages(const select_args & a) { return (a.n_kv + N_PAGE - 1)/N_PAGE; }

} // namespace

// [n_stream][n_head_kv][n_pages][2][d]
size_t ann::pages_bytes(const select_args & a) { return a.n_stream*a.n_head_kv*n_pages(a)*2*a.d*sizeof(float); }

void ann::pages_prepare(const select_args & a, int ith, int nth, float * shared, float * scratch) {
    for (int64_t i = ith; i < a.n_stream*a.n_head_kv*n_pages(a); i += nth) {
        const int64_t p = i % n_pages(a), h = i/n_pages(a) % a.n_head_kv, s = i/(n_pages(a)*a.n_head_kv);
        float * bounds = shared + i*2*a.d;
        reset(a, bounds);
        for (int64_t j = p*N_PAGE; j < std::min(a.n_kv, (p + 1)*N_PAGE); ++j) {
            add_key(a, j, h, s, bounds, scratch);
        }
    }
}

void ann::score_pages(const select_args & a, int64_t t, int64_t s, const float * shared, float * scores, float * scratch) {
    float * own = scratch + a.d; // bounds of a page of which the query sees a part: [2][d]
    for (int64_t p = 0; p < n_pages(a); ++p) {
        const int64_t j0 = p*N_PAGE, j1 = std::min(a.n_kv, j0 + N_PAGE);
        int64_t n_visible = 0;
        for (int64_t j = j0; j < j1; ++j) {
            n_visible += is_visible(a.mask, j, t, s);
        }
        if (n_visible == 0) {
            continue;
        }
        float best = -INFINITY;
        for (int64_t h = 0; h < a.n_head; ++h) {
            const int64_t hk = h/a.n_group;
            const float * bounds = shared + ((s*a.n_head_kv + hk)*n_pages(a) + p)*2*a.d;
            if (n_visible < j1 - j0) {
                if (h % a.n_group == 0) {
                    reset(a, own);
                    for (int64_t j = j0; j < j1; ++j) {
                        if (is_visible(a.mask, j, t, s)) {
                            add_key(a, j, hk, s, own, scratch);
                        }
                    }
                }
                bounds = own;
            }
            best = std::max(best, bound_of(a.query(t, h, s), bounds, a.d));
        }
        for (int64_t j = j0; j < j1; ++j) {
            scores[j] = scores[j] == -INFINITY ? scores[j] : best;
        }
    }
}
