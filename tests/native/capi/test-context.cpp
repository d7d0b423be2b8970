// A context with search keys behaves as one without, wherever the two must agree.

#include "harness.h"

using namespace harness;

namespace {

void set_search(ann_context * c, int32_t mode, int32_t top_k = 0, int32_t n_sink = -1, int32_t n_window = -1) {
    ann_search_params s;
    ann_search_params_default(&s);
    s.mode = mode;
    s.top_k = top_k;
    s.n_sink = n_sink;
    s.n_window = n_window;
    OK(ann_context_set_search(c, &s, &e_));
}

} // namespace

TEST("K >= visible cells gives upstream's logits, every cache type within its own error; dense mode likewise") {
    // Two comparisons with each. With f32 weights nothing but attention differs: f16 and f32 caches agree to the rounding of
    // upstream's f16 query and accumulator (1e-3); with quantised K upstream quantises the query as well, this op does
    // not, and the difference stays within twice what the cache type itself costs, measured here against an f16 cache.
    // With the q8_0 weights of the file each product quantises its activations, so that a rounding in one layer flips a
    // few int8 steps in the next: a floor of about 1e-2 under any two implementations.
    struct row { const char * k; const char * v; const char * s; int32_t flash; };
    const row rows[] = {
        { "f16",  "f16",  "f16",  -1 }, { "f16",  "f16",  "f16",   0 }, { "f32",  "f32",  "f32",   0 }, { "f16",  "f16",  "q8_0",  1 },
        { "q8_0", "q8_0", "q8_0",  1 }, { "q4_0", "q4_0", "f16",   1 }, { "q8_0", "f16",  "f16",   0 },
    };
    auto run = [](const row & r, int32_t mode, ann_model * m) {
        auto p = params(1024, mode, 1024);
        std::snprintf(p.type_k, sizeof(p.type_k), "%s", r.k);
        std::snprintf(p.type_v, sizeof(p.type_v), "%s", r.v);
        std::snprintf(p.type_search, sizeof(p.type_search), "%s", r.s);
        p.flash_attention = r.flash;
        p.search.min_context = 0; // or nothing would be sparse
        auto c = create(p, m);
        std::vector<std::vector<float>> res = { feed(c.get(), slice(0, 700)) };
        OK(try_decode(c.get(), { 17 }, &e_));
        res.push_back(logits(c.get()));
        return res;
    };
    for (ann_model * m : { f32_model(), model() }) {
        const auto f16 = run(rows[0], ANN_SEARCH_OFF, m);
        for (const row & r : rows) {
            const auto upstream = run(r, ANN_SEARCH_OFF, m), dense = run(r, ANN_SEARCH_DENSE, m), exact = run(r, ANN_SEARCH_EXACT, m);
            for (size_t i = 0; i < 2; ++i) {
                const double own = relative(f16[i], upstream[i]);
                const double error[2] = { relative(upstream[i], exact[i]), relative(upstream[i], dense[i]) };
                std::printf("     %s weights, %s/%s/%s fa %2d, %s: exact %.1e, dense %.1e (the type costs %.1e)\n",
                    m == model() ? "q8_0" : "f32 ", r.k, r.v, r.s, r.flash, i == 0 ? "prefill" : "decode ", error[0], error[1], own);
                for (double e : error) {
                    CHECK_LE(e, std::max(2*own, m == model() ? 2e-2 : 1e-3));
                    CHECK(e > 0.0); // the two paths really differ
                }
            }
        }
    }
}

TEST("modes and parameters change between decodes") {
    auto c = create(params(1024, ANN_SEARCH_EXACT));
    auto d = create(params(1024, ANN_SEARCH_DENSE));
    const auto tokens = slice(0, 600);
    feed(c.get(), tokens);
    set_search(c.get(), ANN_SEARCH_DENSE);
    const auto before = feed(c.get(), slice(600, 1));
    set_search(c.get(), ANN_SEARCH_EXACT, 64);
    OK(ann_context_seq_rm(c.get(), 0, 600, -1, &e_));
    const auto k64 = feed(c.get(), slice(600, 1));
    set_search(c.get(), ANN_SEARCH_EXACT, 256);
    OK(ann_context_seq_rm(c.get(), 0, 600, -1, &e_));
    const auto k256 = feed(c.get(), slice(600, 1));
    CHECK(k64 != k256);
    set_search(c.get(), ANN_SEARCH_EXACT, 64);
    OK(ann_context_seq_rm(c.get(), 0, 600, -1, &e_));
    CHECK(feed(c.get(), slice(600, 1)) == k64);
    CHECK_LE(relative(before, k256), relative(before, k64));
}

TEST("prefill: sparse or dense, by parameter") {
    const auto tokens = slice(0, 700);
    auto p = params(1024, ANN_SEARCH_EXACT, 64);
    p.search.prefill = ANN_PREFILL_DENSE;
    auto dense_prefill = create(p);
    auto dense = create(params(1024, ANN_SEARCH_DENSE));
    auto sparse = create(params(1024, ANN_SEARCH_EXACT, 64));
    const auto a = feed(dense_prefill.get(), tokens);
    CHECK(a == feed(dense.get(), tokens));
    CHECK(a != feed(sparse.get(), tokens));
    CHECK(feed(dense_prefill.get(), { 5 }) != feed(dense.get(), { 5 })); // decode is sparse
}

TEST("no searched layer is dense, and layers can be chosen") {
    const auto tokens = slice(0, 700);
    auto p = params(1024, ANN_SEARCH_EXACT, 64);
    p.search.n_layers = 0;
    auto none = create(p);
    auto dense = create(params(1024, ANN_SEARCH_DENSE));
    CHECK(feed(none.get(), tokens) == feed(dense.get(), tokens));
    const int32_t layers[] = { 2, 4, 6, 8 };
    p.search.n_layers = 4;
    p.search.layers   = layers;
    auto pilot = create(p);
    auto all = create(params(1024, ANN_SEARCH_EXACT, 64));
    CHECK(feed(pilot.get(), tokens) != feed(all.get(), tokens));
    ann_search_params s = {};
    s.struct_size = sizeof(s);
    OK(ann_context_get_search(pilot.get(), &s, &e_));
    CHECK_EQ(s.n_layers, 4);
    CHECK_EQ(s.layers[2], 6);
    CHECK_EQ(s.n_window, 32);
    CHECK_EQ(s.n_sink, 4);
}

TEST("a sequence's results do not change when others share the batch") {
    for (int32_t unified : { 1, 0 }) {
        auto p = params(4096, ANN_SEARCH_EXACT, 64);
        p.n_seq_max = 4;
        p.kv_unified = unified;
        auto alone = create(p);
        auto shared = create(p);
        const std::vector<std::vector<int32_t>> prompts = { slice(0, 300), slice(5000, 420), slice(9000, 380) };
        std::vector<std::vector<float>> expected;
        for (int32_t s = 0; s < 3; ++s) {
            OK(ann_context_clear(alone.get(), &e_));
            feed(alone.get(), prompts[s], s);
            OK(try_decode(alone.get(), { 100 + s }, &e_, s));
            expected.push_back(logits(alone.get()));
        }
        for (int32_t s = 0; s < 3; ++s) {
            feed(shared.get(), prompts[s], s);
        }
        const int32_t tokens[] = { 100, 101, 102 }, sequences[] = { 0, 1, 2 };
        const int8_t outputs[] = { 1, 1, 1 };
        ann_batch b = { sizeof(b), 3, tokens, nullptr, sequences, outputs };
        OK(ann_context_decode(shared.get(), &b, &e_));
        for (int32_t s = 0; s < 3; ++s) {
            // the same cells are chosen; matrix products of three rows round otherwise than those of one
            CHECK_LE(relative(expected[s], logits(shared.get(), s)), 2e-2);
            CHECK_EQ(argmax(expected[s]), argmax(logits(shared.get(), s)));
        }
    }
}

TEST("copied, kept and removed sequences go on as if computed") {
    for (int32_t unified : { 1, 0 }) {
        auto p = params(4096, ANN_SEARCH_EXACT, 64);
        p.n_seq_max = 3;
        p.kv_unified = unified;
        auto c = create(p);
        const auto a = slice(0, 500), b = slice(3000, 333);
        feed(c.get(), a, 0);
        const auto expected = greedy(c.get(), 12, 0);
        OK(ann_context_seq_rm(c.get(), 0, 500, -1, &e_));

        feed(c.get(), b, 1);
        OK(ann_context_seq_cp(c.get(), 0, 2, -1, -1, &e_));
        OK(ann_context_seq_rm(c.get(), 0, -1, -1, &e_)); // the copy must not need its source
        OK(ann_context_seq_rm(c.get(), 2, 499, -1, &e_));
        OK(try_decode(c.get(), { a.back() }, &e_, 2));
        CHECK(greedy(c.get(), 12, 2) == expected);

        if (unified) {
            OK(ann_context_seq_keep(c.get(), 1, &e_));
            int32_t p_min = 0, p_max = 0;
            OK(ann_context_seq_range(c.get(), 2, &p_min, &p_max, &e_));
            CHECK_EQ(p_max, -1);
            OK(ann_context_seq_range(c.get(), 1, &p_min, &p_max, &e_));
            CHECK_EQ(p_max, 332);
        }
        // removed cells are reused by a new sequence
        feed(c.get(), a, 0);
        CHECK(greedy(c.get(), 12, 0) == expected);
    }
}

TEST("a hole in a sequence is never attended") {
    // cells 100..299 are removed without shifting: sinks, window and search go around them, K >= visible is dense
    std::vector<std::vector<float>> res;
    for (int32_t mode : { ANN_SEARCH_DENSE, ANN_SEARCH_EXACT }) {
        auto p = params(1024, mode, 1024);
        p.search.min_context = 0;
        auto c = create(p, f32_model());
        feed(c.get(), slice(0, 400));
        OK(ann_context_seq_rm(c.get(), 0, 100, 300, &e_));
        res.push_back(feed(c.get(), slice(400, 60)));
    }
    CHECK_LE(relative(res[0], res[1]), 1e-3);
}

TEST("a context shift re-rotates the search keys with K") {
    // 600 tokens, the first 200 removed, the rest moved down: search must find what a fresh run of the same cells finds
    auto run = [](int32_t mode, int32_t top_k, const char * type_search) {
        auto p = params(1024, mode, top_k);
        p.search.min_context = 0;
        std::snprintf(p.type_search, sizeof(p.type_search), "%s", type_search);
        auto c = create(p, f32_model());
        feed(c.get(), slice(0, 600));
        OK(ann_context_seq_rm(c.get(), 0, 0, 200, &e_));
        OK(ann_context_seq_add(c.get(), 0, 200, -1, -200, &e_));
        return feed(c.get(), slice(600, 40));
    };
    const auto dense = run(ANN_SEARCH_DENSE, 0, "f16");
    CHECK_LE(relative(dense, run(ANN_SEARCH_EXACT, 1024, "f16")), 2e-3);
    const double k128 = relative(dense, run(ANN_SEARCH_EXACT, 128, "f16"));
    const double q128 = relative(dense, run(ANN_SEARCH_EXACT, 128, "q8_0"));
    std::printf("     after a shift, K = 128 against dense: f16 %.3f, q8_0 %.3f\n", k128, q128);
    CHECK_LE(k128, 0.25); // keys left unrotated lose the distant half of the cells: 0.5 and more
    CHECK_LE(q128, 0.25);
}

TEST("positions divided: the search keys follow") {
    std::vector<std::vector<float>> res;
    for (int32_t mode : { ANN_SEARCH_DENSE, ANN_SEARCH_EXACT }) {
        auto p = params(1024, mode, 1024);
        p.search.min_context = 0;
        auto c = create(p, f32_model());
        feed(c.get(), slice(0, 512));
        OK(ann_context_seq_div(c.get(), 0, -1, -1, 2, &e_));
        res.push_back(feed(c.get(), slice(512, 20)));
    }
    CHECK_LE(relative(res[0], res[1]), 1e-3);
}

TEST("state of one sequence and of the context: the continuation is unchanged") {
    for (const char * type_search : { "f16", "q8_0", "f32" }) {
        for (int32_t unified : { 1, 0 }) {
            auto p = params(2048, ANN_SEARCH_EXACT, 64);
            p.n_seq_max = 2;
            p.kv_unified = unified;
            std::snprintf(p.type_search, sizeof(p.type_search), "%s", type_search);
            auto c = create(p);
            feed(c.get(), slice(4000, 100), 1); // so that cells of the sequence do not begin at 0
            feed(c.get(), slice(0, 500), 0);
            OK(try_decode(c.get(), { 7 }, &e_, 0));

            auto save = [&](int32_t seq) {
                size_t n = 0;
                ann_error e = new_error();
                CHECK_EQ((int) ann_context_state_get(c.get(), seq, nullptr, 0, &n, &e), (int) ANN_ERROR_BUFFER_TOO_SMALL);
                std::vector<uint8_t> state(n);
                OK(ann_context_state_get(c.get(), seq, state.data(), state.size(), &n, &e_));
                state.resize(n);
                return state;
            };
            const auto one = save(0), whole = save(-1);
            const auto expected = greedy(c.get(), 16, 0);

            auto other = create(p);
            feed(other.get(), slice(7000, 222), 1); // other cells are taken here
            OK(ann_context_state_set(other.get(), 0, one.data(), one.size(), &e_));
            OK(ann_context_seq_rm(other.get(), 0, 500, -1, &e_));
            OK(try_decode(other.get(), { 7 }, &e_, 0));
            CHECK(greedy(other.get(), 16, 0) == expected);

            auto third = create(p);
            OK(ann_context_state_set(third.get(), -1, whole.data(), whole.size(), &e_));
            OK(ann_context_seq_rm(third.get(), 0, 500, -1, &e_));
            OK(try_decode(third.get(), { 7 }, &e_, 0));
            CHECK(greedy(third.get(), 16, 0) == expected);
        }
    }
}

TEST("state: foreign, damaged and cut states are refused with a sentence, and nothing crashes") {
    auto p = params(1024, ANN_SEARCH_EXACT, 64);
    auto c = create(p);
    feed(c.get(), slice(0, 300));
    size_t n = 0;
    ann_context_state_get(c.get(), 0, nullptr, 0, &n, nullptr);
    std::vector<uint8_t> state(n);
    OK(ann_context_state_get(c.get(), 0, state.data(), state.size(), &n, &e_));
    state.resize(n);

    REFUSED(ANN_ERROR_BAD_STATE, "cut off", ann_context_state_set(c.get(), 0, state.data(), 10, &e_));
    REFUSED(ANN_ERROR_BAD_STATE, "cut off", ann_context_state_set(c.get(), 0, state.data(), state.size() - 1, &e_));
    REFUSED(ANN_ERROR_BAD_STATE, "whole context", ann_context_state_set(c.get(), -1, state.data(), state.size(), &e_));
    auto damaged = state;
    damaged[damaged.size()/2] ^= 1;
    REFUSED(ANN_ERROR_BAD_STATE, "damaged", ann_context_state_set(c.get(), 0, damaged.data(), damaged.size(), &e_));
    std::vector<uint8_t> foreign(1000, 'x');
    REFUSED(ANN_ERROR_BAD_STATE, "not an AnnRuntime state", ann_context_state_set(c.get(), 0, foreign.data(), foreign.size(), &e_));

    auto off = create(params(1024, ANN_SEARCH_OFF));
    REFUSED(ANN_ERROR_BAD_STATE, "saved with search keys", ann_context_state_set(off.get(), 0, state.data(), state.size(), &e_));
    feed(off.get(), slice(0, 50));
    ann_context_state_get(off.get(), 0, nullptr, 0, &n, nullptr);
    std::vector<uint8_t> plain(n);
    OK(ann_context_state_get(off.get(), 0, plain.data(), plain.size(), &n, &e_));
    REFUSED(ANN_ERROR_BAD_STATE, "saved without search keys", ann_context_state_set(c.get(), 0, plain.data(), n, &e_));

    std::snprintf(p.type_search, sizeof(p.type_search), "q8_0");
    auto other = create(p);
    REFUSED(ANN_ERROR_BAD_STATE, "search key type is f16, this context's is q8_0", ann_context_state_set(other.get(), 0, state.data(), state.size(), &e_));
    auto small = create(params(256, ANN_SEARCH_EXACT, 64));
    REFUSED(ANN_ERROR_BAD_STATE, "cannot be restored", ann_context_state_set(small.get(), 0, state.data(), state.size(), &e_));
    feed(small.get(), slice(0, 20)); // still works
}

TEST("statistics: counts, time, mass, candidates") {
    auto c = create(params(2048, ANN_SEARCH_EXACT, 128));
    feed(c.get(), slice(0, 1000));
    OK(ann_context_set_stats(c.get(), ANN_STATS_TIME | ANN_STATS_MASS, 2, &e_));
    for (int i = 0; i < 4; ++i) {
        OK(try_decode(c.get(), { 50 + i }, &e_));
    }
    ann_layer_stats s = {};
    s.struct_size = sizeof(s);
    OK(ann_context_get_layer_stats(c.get(), 3, &s, &e_));
    CHECK_EQ(s.searched, 1);
    CHECK_EQ(s.n_query, 4u);
    CHECK_EQ(s.n_visible, 1001u + 1002u + 1003u + 1004u);
    CHECK_EQ(s.n_attended, 4u*128u);
    CHECK_EQ(s.n_scored, s.n_visible); // exact search compares with all of them
    CHECK_EQ(s.n_measured, 2u); // every second decode
    CHECK(s.mass_sum > 0.5 && s.mass_sum <= 2.0);
    CHECK(s.search_ns > 0 && s.attention_ns > 0);
    OK(ann_context_set_stats(c.get(), ANN_STATS_MASS, 1, &e_));
    OK(try_decode(c.get(), { 3 }, &e_));
    int32_t positions[256];
    size_t n = 0;
    OK(ann_context_get_candidates(c.get(), 3, positions, 256, &n, &e_));
    CHECK_EQ(n, 128u);
    CHECK_EQ(positions[0], 0);    // sinks
    CHECK_EQ(positions[3], 3);
    CHECK_EQ(positions[127], 1004); // window
    CHECK_EQ(positions[127 - 31], 1004 - 31);
    ann_context_stats t = {};
    t.struct_size = sizeof(t);
    OK(ann_context_get_stats(c.get(), &t, &e_));
    CHECK_EQ(t.n_decode, 1u);
}

TEST("statistics do not change results") {
    auto a = create(params(1024, ANN_SEARCH_EXACT, 64));
    auto b = create(params(1024, ANN_SEARCH_EXACT, 64));
    OK(ann_context_set_stats(b.get(), ANN_STATS_TIME | ANN_STATS_MASS, 1, &e_));
    CHECK(feed(a.get(), slice(0, 600)) == feed(b.get(), slice(0, 600)));
}

TEST("memory is reported by part and as estimated") {
    for (const char * type_search : { "f16", "q8_0" }) {
        auto p = params(4096, ANN_SEARCH_EXACT);
        std::snprintf(p.type_search, sizeof(p.type_search), "%s", type_search);
        ann_context_memory estimate = {}, actual = {};
        estimate.struct_size = actual.struct_size = sizeof(actual);
        OK(ann_context_estimate(model(), &p, &estimate, &e_));
        auto c = create(p);
        OK(ann_context_get_memory(c.get(), &actual, &e_));
        CHECK_EQ(actual.k_bytes, estimate.k_bytes);
        CHECK_EQ(actual.v_bytes, estimate.v_bytes);
        CHECK_EQ(actual.search_bytes, estimate.search_bytes);
        CHECK_EQ(actual.k_bytes, 4096ull*12*128*2);
        CHECK_EQ(actual.search_bytes, 4096ull*12*(type_search[0] == 'f' ? 128 : 68));
        CHECK(actual.compute_bytes > 0);
    }
}

TEST("on the CPU search keys are in the same memory wherever they were asked for") {
    auto logits_of = [](int32_t mode, int32_t search_memory, int32_t offload_kqv) {
        auto p = params(1024, mode, 64);
        p.search_memory      = search_memory;
        p.offload_kqv        = offload_kqv;
        p.search.index_eager = 1;
        auto c = create(p);
        return feed(c.get(), slice(0, 600));
    };
    for (int32_t mode : { ANN_SEARCH_EXACT, ANN_SEARCH_HNSW }) {
        const auto expected = logits_of(mode, ANN_SEARCH_MEMORY_AUTO, 1);
        for (int32_t memory : { ANN_SEARCH_MEMORY_AUTO, ANN_SEARCH_MEMORY_DEVICE, ANN_SEARCH_MEMORY_HOST }) {
            for (int32_t offload_kqv : { 0, 1 }) {
                CHECK(logits_of(mode, memory, offload_kqv) == expected);
            }
        }
    }
    auto p = params(1024, ANN_SEARCH_OFF);
    p.search_memory = ANN_SEARCH_MEMORY_HOST; // there are none
    create(p);
}

TEST("a random fill can be decoded on") {
    auto c = create(params(8192, ANN_SEARCH_EXACT));
    OK(ann_context_fill_random(c.get(), 8000, 1, &e_));
    OK(try_decode(c.get(), { 5 }, &e_));
    CHECK(std::isfinite(logits(c.get())[0]));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "not empty", ann_context_fill_random(c.get(), 10, 1, &e_));
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
