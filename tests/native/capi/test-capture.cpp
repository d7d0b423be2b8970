// Capture against what the model file and its searched attention say: the projections of the captured hidden states are
// the search keys that the cache holds, and the captured q and k give the attention mass that the runtime measures.
#include "harness.h"

#include <algorithm>

using namespace harness;

namespace {

struct layer_rows {
    int32_t n_embd = 0, n_head = 0, n_head_kv = 0, n_embd_head = 0, n_tokens = 0;
    float   kq_scale = 0.0f;
    std::vector<float> h, q, k;
};

struct collected {
    std::vector<layer_rows> layers = std::vector<layer_rows>(12);
    int32_t calls = 0, stop_at = -1;
};

void append(std::vector<float> & to, const float * from, size_t n) { to.insert(to.end(), from, from + n); }

int32_t collect(const ann_captured * a, void * user_data) {
    auto & c = *(collected *) user_data;
    CHECK_EQ(a->struct_size, (uint32_t) sizeof(*a));
    layer_rows & l = c.layers.at((size_t) a->layer);
    l.n_embd = a->n_embd, l.n_head = a->n_head, l.n_head_kv = a->n_head_kv, l.n_embd_head = a->n_embd_head;
    l.kq_scale = a->kq_scale;
    const auto n = (size_t) a->n_tokens;
    append(l.h, a->h, n*a->n_embd);
    append(l.q, a->q, n*a->n_head*a->n_embd_head);
    append(l.k, a->k, n*a->n_head_kv*a->n_embd_head);
    l.n_tokens += a->n_tokens;
    return ++c.calls != c.stop_at;
}

context_ptr capturing(collected & to, int32_t mode, int32_t top_k, ann_model * m = model()) {
    ann_context_params p = params(1024, mode, top_k);
    p.n_ubatch = 100; // several ubatches, the last one shorter
    p.flash_attention = 1;
    auto c = create(p, m);
    OK(ann_context_set_capture(c.get(), collect, &to, &e_));
    return c;
}

void check_shapes(const collected & got, int32_t n_tokens) {
    for (const auto & l : got.layers) {
        CHECK_EQ(l.n_tokens, n_tokens);
        CHECK_EQ(l.n_embd, 384);
        CHECK_EQ(l.n_head, 6);
        CHECK_EQ(l.n_head_kv, 2);
        CHECK_EQ(l.n_embd_head, 64);
        CHECK(std::fabs(l.kq_scale - 0.125f) < 1e-6f);
        CHECK_EQ(l.h.size(), (size_t) n_tokens*384);
        CHECK_EQ(l.q.size(), (size_t) n_tokens*384);
        CHECK_EQ(l.k.size(), (size_t) n_tokens*128);
    }
}

// mean over heads of the full attention of query i that lies on `cells`
double mass_on(const layer_rows & l, int32_t i, const std::vector<int32_t> & cells) {
    double mass = 0.0;
    for (int32_t h = 0; h < l.n_head; ++h) {
        const float * q = &l.q[((size_t) i*l.n_head + h)*l.n_embd_head];
        std::vector<double> e((size_t) i + 1);
        double max = -1e30, sum = 0.0;
        for (int32_t j = 0; j <= i; ++j) {
            const float * k = &l.k[((size_t) j*l.n_head_kv + h/(l.n_head/l.n_head_kv))*l.n_embd_head];
            double s = 0.0;
            for (int32_t d = 0; d < l.n_embd_head; ++d) {
                s += (double) q[d]*k[d];
            }
            e[(size_t) j] = s*l.kq_scale;
            max = std::max(max, e[(size_t) j]);
        }
        for (double & x : e) {
            sum += x = std::exp(x - max);
        }
        for (int32_t j : cells) {
            mass += e[(size_t) j]/sum/l.n_head;
        }
    }
    return mass;
}

} // namespace

TEST("captured queries and keys give the mass that the runtime measures") {
    const auto tokens = slice(5000, 600);
    collected got;
    auto c = capturing(got, ANN_SEARCH_DENSE, 128);
    feed(c.get(), tokens);
    check_shapes(got, 600);

    // the last token alone, measured by the runtime on the same (dense) trajectory
    ann_context_params p = params(1024, ANN_SEARCH_DENSE, 128);
    auto m = create(p);
    feed(m.get(), std::vector<int32_t>(tokens.begin(), tokens.end() - 1));
    OK(ann_context_set_stats(m.get(), ANN_STATS_MASS, 1, &e_));
    OK(try_decode(m.get(), { tokens.back() }, &e_));
    for (int32_t il = 0; il < 12; ++il) {
        std::vector<int32_t> cells(1024);
        size_t n = 0;
        OK(ann_context_get_candidates(m.get(), il, cells.data(), cells.size(), &n, &e_));
        cells.resize(n);
        CHECK_EQ(n, (size_t) 128);
        ann_layer_stats s = {};
        s.struct_size = sizeof(s);
        OK(ann_context_get_layer_stats(m.get(), il, &s, &e_));
        const double expected = s.mass_sum/s.n_measured;
        const double mass = mass_on(got.layers[(size_t) il], 599, cells);
        CHECK_LE(std::fabs(mass - expected), 0.01);
    }
}

TEST("every mode is captured; a sparse trajectory leaves the full one") {
    const auto tokens = slice(9000, 300);
    collected sparse, off;
    feed(capturing(sparse, ANN_SEARCH_EXACT, 64).get(), tokens);
    check_shapes(sparse, 300);
    feed(capturing(off, ANN_SEARCH_OFF, 0).get(), tokens);
    check_shapes(off, 300);
    // below top_k cells nothing is left out, so the first tokens agree; later ones follow their own trajectory
    double first = 0.0, last = 0.0;
    for (size_t i = 0; i < 384; ++i) {
        first = std::max(first, (double) std::fabs(sparse.layers[11].h[10*384 + i] - off.layers[11].h[10*384 + i]));
        last  = std::max(last,  (double) std::fabs(sparse.layers[11].h[299*384 + i] - off.layers[11].h[299*384 + i]));
    }
    CHECK(first < 0.05);
    CHECK(last > first);
}

TEST("a callback that stops cancels the decode and leaves the context usable") {
    const auto tokens = slice(0, 300);
    collected got;
    got.stop_at = 5;
    auto c = capturing(got, ANN_SEARCH_OFF, 0);
    REFUSED(ANN_ERROR_CANCELLED, "cancelled", try_decode(c.get(), tokens, &e_));
    CHECK(got.calls < 12);
    got.stop_at = -1;
    got.calls = 0;
    OK(try_decode(c.get(), std::vector<int32_t>(tokens.begin(), tokens.begin() + 50), &e_)); // the context still works
    CHECK_EQ(got.calls, 12);

    REFUSED(ANN_ERROR_UNSUPPORTED, "end the capture first", ann_context_set_stats(c.get(), ANN_STATS_TIME, 1, &e_));
    OK(ann_context_set_capture(c.get(), nullptr, nullptr, &e_));
    OK(ann_context_set_stats(c.get(), ANN_STATS_TIME, 1, &e_));
    REFUSED(ANN_ERROR_UNSUPPORTED, "switch statistics off first", ann_context_set_capture(c.get(), collect, &got, &e_));
    OK(try_decode(c.get(), { tokens[50] }, &e_));
    CHECK_EQ(got.calls, 12); // no longer called
}

TEST("what cannot be captured is refused with a sentence") {
    collected got;
    ann_context_params p = params(1024, ANN_SEARCH_OFF);
    p.n_seq_max = 2;
    auto two = create(p);
    REFUSED(ANN_ERROR_UNSUPPORTED, "n_seq_max = 2", ann_context_set_capture(two.get(), collect, &got, &e_));

    p = params(1024, ANN_SEARCH_OFF);
    p.flash_attention = 0;
    auto c = create(p);
    OK(ann_context_set_capture(c.get(), collect, &got, &e_));
    REFUSED(ANN_ERROR_UNSUPPORTED, "flash_attention = 1", try_decode(c.get(), slice(0, 20), &e_));
    CHECK_EQ(got.calls, 0);
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
