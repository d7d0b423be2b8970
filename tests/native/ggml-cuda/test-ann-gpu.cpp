// The GPU's kernels against double precision and the CPU's: on every GPU found; on a machine without one the same kernels
// on the host (emulator/). Types, shapes, masks, ties, streams; decode and prefill.

#include "topk-case.h"
#include "vectors-case.h"

namespace {

const std::vector<std::unique_ptr<target>> & targets() {
    static const auto all = [] {
        auto res = gpus_found();
        std::printf("GPUs found: %zu%s\n", res.size(), res.empty() ? " (the kernels run on the host only)" : "");
        if (res.empty()) {
            res.push_back(make_emulated(true, 4));
            res.push_back(make_emulated(false, 13)); // the other scores kernel; attention has one
        }
        return res;
    }();
    return all;
}

void on(target & t, const std::function<void(target &)> & body) {
    try {
        body(t);
    } catch (const std::exception & e) {
        throw test_failure(t.name() + ": " + e.what());
    }
}

void on_all(const std::function<void(target &)> & body) {
    for (const auto & t : targets()) {
        on(*t, body);
    }
}

void on_first(const std::function<void(target &)> & body) { on(*targets()[0], body); }

} // namespace

TEST("top-k: types, masks, one query") {
    on_all([](target & where) {
        for (ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
            for (ggml_type mask : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_I32 }) {
                topk_case c;
                c.type = type;
                c.type_mask = mask;
                check_topk(c, 1, where);
                c.n_tokens = 21;
                c.n_always = 5;
                check_topk(c, 2, where);
            }
        }
    });
}

TEST("top-k: vector sizes with matrix units and without") {
    on_all([](target & where) {
        for (ggml_type type : { GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
            for (int64_t d : { 32, 64, 96, 128, 256, 512 }) {
                for (int64_t n_tokens : { 3, 21 }) {
                    topk_case c;
                    c.type = type;
                    c.d = d;
                    c.n_tokens = n_tokens;
                    c.n_kv = 233;
                    check_topk(c, (uint32_t) (d + n_tokens), where);
                }
            }
        }
    });
}

TEST("top-k: many queries, in groups, over streams") {
    on_all([](target & where) {
        for (int64_t n_tokens : { 5, 16, 17, 65, 130 }) {
            for (int64_t n_stream : { 1, 3 }) {
                if (n_tokens*n_stream > 130) {
                    continue;
                }
                topk_case c;
                c.n_tokens = n_tokens;
                c.n_stream = n_stream;
                c.n_kv = 601;
                c.n_always = 8;
                check_topk(c, (uint32_t) n_tokens, where);
            }
        }
        topk_case c; // more keys than a group holds: several groups
        c.n_kv = where.is_emulated() ? 900 : 200001;
        c.n_tokens = 150;
        c.n_top_k = 30;
        check_topk(c, 3, where);
    });
}

TEST("top-k: always-attended cells count and come first") {
    on_all([](target & where) {
        for (int32_t n_always : { 1, 8, 39, 40 }) {
            for (int64_t n_tokens : { 1, 20 }) {
                topk_case c;
                c.n_always = n_always;
                c.n_tokens = n_tokens;
                check_topk(c, 7, where);
            }
        }
    });
}

TEST("top-k: fewer visible cells than k gives all of them, nothing else, no cell twice") {
    on_all([](target & where) {
        for (double visible : { 0.0, 0.01, 0.05 }) {
            for (int64_t n_tokens : { 1, 20 }) {
                topk_case c;
                c.visible = visible;
                c.n_tokens = n_tokens;
                c.n_always = 3;
                check_topk(c, 11, where);
            }
        }
    });
}

TEST("top-k: ties go to the lower cell, also when all cells tie") {
    on_all([](target & where) {
        for (ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
            for (int64_t n_tokens : { 1, 20 }) {
                for (int64_t n_kv : { 3000, where.is_emulated() && n_tokens > 1 ? 4000 : 30000 }) { // beyond the list of candidates
                    topk_case c;
                    c.type = type;
                    c.keys = keys_like::ties;
                    c.n_tokens = n_tokens;
                    c.n_kv = n_kv;
                    c.n_always = n_kv > 3000 ? 4 : 0;
                    check_topk(c, 13, where);
                }
            }
        }
    });
}

TEST("top-k: scores in a narrow range") {
    on_all([](target & where) {
        for (ggml_type type : { GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
            for (int64_t n_tokens : { 1, 20 }) {
                topk_case c;
                c.type = type;
                c.keys = keys_like::close;
                c.d = 128;
                c.n_kv = where.is_emulated() && n_tokens > 1 ? 3000 : 20000;
                c.n_tokens = n_tokens;
                c.n_top_k = 128;
                c.n_always = 36;
                check_topk(c, 15, where);
            }
        }
    });
}

TEST("top-k: long contexts, large k") {
    on_first([](target & where) {
        topk_case c;
        c.n_kv = where.is_emulated() ? 40000 : 131072;
        c.n_top_k = 128;
        c.d = 128;
        check_topk(c, 17, where);
        c.n_top_k = 256;
        c.type = GGML_TYPE_Q8_0;
        check_topk(c, 18, where);
        c.n_top_k = 2048;
        c.n_kv = 5000;
        check_topk(c, 19, where);
        c.n_top_k = 4096;
        c.n_tokens = 17;
        check_topk(c, 20, where);
        c.d = 32;
        c.n_top_k = 1;
        check_topk(c, 29, where);
    });
}

TEST("attention over candidates and over all cells: cache types") {
    on_first([](target & where) {
        for (ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0 }) {
            for (int64_t n_list : { 50, 200 }) {
                attn_case c;
                c.type_k = c.type_v = type;
                c.n_list = n_list;
                check_attn(c, 1, where);
                c.dense = true;
                check_attn(c, 1, where);
            }
        }
    });
}

TEST("attention: heads, dims, tokens, streams, softcap, sinks; listed and dense") {
    on_first([](target & where) {
        for (bool dense : { false, true }) {
            for (int64_t n_tokens : { 1, 3 }) {
                attn_case c;
                c.dense = dense;
                c.n_tokens = n_tokens;
                for (int64_t group : { 1, 2, 3, 4, 7, 8, 12 }) {
                    c.n_head = group*c.n_head_kv;
                    check_attn(c, (uint32_t) group, where);
                }
                c.dk = 128;
                c.dv = 96;
                c.n_head = 8;
                c.n_head_kv = 8;
                c.n_stream = 2;
                check_attn(c, 3, where);
                c.n_head_kv = 1;
                c.softcap = 5.0f;
                check_attn(c, 4, where);
                c.sinks = true;
                check_attn(c, 5, where);
                c.dk = 80;
                c.dv = 40;
                check_attn(c, 6, where);
                c.dk = c.dv = 256;
                check_attn(c, 7, where);
            }
        }
    });
}

TEST("search vectors with their search: types, rotation, norm, tokens, streams") {
    on_all([](target & where) {
        uint32_t seed = 0;
        for (ggml_type type : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
            for (ggml_type type_w : { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0 }) {
                for (int64_t n_tokens : { 1, 7 }) {
                    for (int64_t n_stream : { 1, 2 }) {
                        vectors_case c;
                        c.type     = type;
                        c.type_w   = type_w;
                        c.n_tokens = n_tokens;
                        c.n_stream = n_stream;
                        c.n_rot    = seed % 3 == 0 ? 0 : seed % 3 == 1 ? 64 : 32;
                        c.norm     = seed % 2 == 0;
                        c.d        = seed % 5 == 0 ? 96 : seed % 5 == 1 ? 128 : 64;
                        c.n_in     = seed % 4 == 0 ? 3520 : 96; // more than is read early
                        check_vectors(c, ++seed, where);
                    }
                }
            }
        }
    });
}

TEST("a layer as one: search vectors, search, attention that finds its cells") {
    on_first([](target & where) {
        uint32_t seed = 100;
        for (int32_t n_top_k : { 1, 40, 128, 300, 512, 600 }) {
            for (int64_t n_tokens : { 1, 3 }) {
                for (int64_t n_stream : { 1, 2 }) {
                    vectors_case c;
                    c.attend    = true;
                    c.n_top_k   = n_top_k;
                    c.n_always  = seed % 2 == 0 ? 0 : std::min(n_top_k, 36);
                    c.n_kv      = seed % 3 == 0 ? 400 : 2100;
                    c.n_tokens  = n_tokens;
                    c.n_stream  = n_stream;
                    c.type      = seed % 2 == 0 ? GGML_TYPE_F16 : GGML_TYPE_Q8_0;
                    c.type_kv   = (const ggml_type[]) { GGML_TYPE_F16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0, GGML_TYPE_F32, GGML_TYPE_BF16 }[seed % 5];
                    c.n_head    = c.n_head_kv*(1 + seed % 8);
                    c.d_head    = seed % 7 == 0 ? 256 : 128;
                    check_vectors(c, ++seed, where);
                }
            }
        }
    });
}

TEST("a search that begins with the first projection of its hidden state, beside what lies between") {
    on_all([](target & where) {
        uint32_t seed = 200;
        for (bool attend : { false, true }) {
            for (bool masked : { false, true }) {
                for (int32_t n_top_k : { 40, 600 }) {
                    for (int64_t n_tokens : { 1, 4 }) {
                        vectors_case c;
                        c.beside   = true;
                        c.masked   = masked;
                        c.attend   = attend;
                        c.n_top_k  = n_top_k;
                        c.n_tokens = n_tokens;
                        c.n_stream = n_tokens == 4 ? 2 : 1;
                        c.n_kv     = 700;
                        c.n_always = 8;
                        c.n_rot    = 64;
                        c.n_layers = 3;
                        check_vectors(c, ++seed, where);
                    }
                }
            }
        }
    });
}

TEST("search keys of many layers at once") {
    on_first([](target & where) {
        for (int32_t n_layers : { 1, 5, 40 }) {
            for (int64_t n_tokens : { 1, 3 }) {
                vectors_case c;
                c.search   = false;
                c.n_layers = n_layers;
                c.n_tokens = n_tokens;
                c.n_rot    = 64;
                c.type     = n_layers == 5 ? GGML_TYPE_Q8_0 : GGML_TYPE_F16;
                check_vectors(c, (uint32_t) n_layers, where);
            }
        }
    });
}

TEST("a mask of ranges is that of its cells") {
    on_first([](target & where) {
        std::mt19937 rng(5);
        for (ggml_type type : { GGML_TYPE_F16, GGML_TYPE_F32 }) {
            for (int64_t n_kv : { 1, 7, 256, 4099 }) {
                const int64_t n_tokens = 3, n_stream = 2;
                std::vector<int32_t> data;
                for (int64_t i = 0; i < 2*n_tokens*n_stream; i += 2) {
                    data.push_back((int32_t) (rng() % (n_kv + 1)));
                    data.push_back((int32_t) (data.back() + rng() % (n_kv - data.back() + 1)));
                }
                graph g;
                auto * ranges = g.tensor(GGML_TYPE_I32, 2, n_tokens, 1, n_stream);
                auto * mask   = ggml_ann_mask(g.ctx.get(), ranges, type, n_kv);
                g.run(where, mask, [&] { ggml_backend_tensor_set(ranges, data.data(), 0, ggml_nbytes(ranges)); });
                const auto got = to_floats(mask);
                for (int64_t i = 0; i < n_kv*n_tokens*n_stream; ++i) {
                    const int64_t row = i/n_kv, j = i % n_kv;
                    CHECK_EQ(got[i], j >= data[2*row] && j < data[2*row + 1] ? 0.0f : -INFINITY);
                }
            }
        }
    });
}

TEST("random shapes") {
    on_first([](target & where) {
        const bool slow = where.is_emulated();
        std::mt19937 rng(2024);
        auto pick = [&](std::initializer_list<int64_t> of) { return *(of.begin() + rng() % of.size()); };
        const ggml_type types[] = { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_BF16, GGML_TYPE_Q8_0, GGML_TYPE_Q4_0 };
        for (int i = 0; i < (slow ? 10 : 40); ++i) {
            attn_case c;
            c.type_k    = c.type_v = types[rng() % 5];
            c.dk        = ggml_is_quantized(c.type_k) ? pick({ 64, 96, 128, 256 }) : pick({ 64, 80, 96, 112, 128, 192, 256 });
            c.dv        = rng() % 2 ? c.dk : pick({ 64, 128 });
            c.n_head_kv = pick({ 1, 2, 3, 8 });
            c.n_head    = c.n_head_kv*(1 + (int64_t) (rng() % 16));
            c.n_kv      = 1 + (int64_t) (rng() % (slow ? 900 : 4500));
            c.n_list    = std::min<int64_t>(c.n_kv, pick({ 1, 2, 63, 64, 65, 128, 129, 1000, 4096 }));
            c.n_tokens  = pick({ 1, 1, 2, 5 });
            c.n_stream  = pick({ 1, 1, 2 });
            c.dense     = rng() % 3 == 0;
            c.softcap   = rng() % 5 == 0 ? 20.0f : 0.0f;
            c.sinks     = rng() % 4 == 0;
            check_attn(c, (uint32_t) i, where);
        }
        for (int i = 0; i < (slow ? 15 : 80); ++i) {
            topk_case c;
            c.d         = 32*(1 + (int64_t) (rng() % 8));
            c.n_kv      = 1 + (int64_t) (rng() % (slow ? 2500 : 20000));
            c.n_tokens  = pick({ 1, 1, 2, 9, 33 });
            c.n_stream  = pick({ 1, 1, 3 });
            c.n_top_k   = (int32_t) pick({ 1, 2, 17, 128, 500, 4096 });
            c.n_always  = (int32_t) std::min<int64_t>(c.n_top_k, pick({ 0, 0, 1, 36 }));
            c.type      = (const ggml_type[]) { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_Q8_0 }[rng() % 3];
            c.type_mask = (const ggml_type[]) { GGML_TYPE_F32, GGML_TYPE_F16, GGML_TYPE_I32 }[rng() % 3];
            c.visible   = (const double[]) { 0.02, 0.5, 0.99, 1.0 }[rng() % 4];
            c.keys      = rng() % 6 == 0 ? keys_like::ties : keys_like::normal;
            check_topk(c, (uint32_t) i, where);
        }
    });
}

TEST("what the kernels do not take is left to the CPU") {
    on_first([](target & where) {
        graph g;
        auto * q = g.tensor(GGML_TYPE_F32, 64, 1, 2);
        auto * list = g.tensor(GGML_TYPE_I32, 8, 1);
        auto * mask = g.tensor(GGML_TYPE_F16, 100, 1);
        auto * k16 = g.tensor(GGML_TYPE_F16, 64, 100, 2);
        auto * v8 = g.tensor(GGML_TYPE_Q8_0, 64, 100, 2);
        auto * k5 = g.tensor(GGML_TYPE_Q5_1, 64, 100, 2);
        ggml_context * ctx = g.ctx.get();
        CHECK( where.supports(ggml_ann_attn(ctx, q, k16, k16, list, nullptr, nullptr, 1.0f, 0.0f)));
        CHECK(!where.supports(ggml_ann_attn(ctx, q, k16, v8, list, nullptr, nullptr, 1.0f, 0.0f)));
        CHECK(!where.supports(ggml_ann_attn(ctx, q, k5, k5, list, nullptr, nullptr, 1.0f, 0.0f)));
        CHECK(!where.supports(ggml_ann_measure(ctx, q, k16, list, mask, 8, 1.0f, 0.0f)));
        auto * q_search = g.tensor(GGML_TYPE_F32, 64, 1);
        auto * k_search = g.tensor(GGML_TYPE_F16, 64, 100);
        CHECK( where.supports(ggml_ann_topk(ctx, q_search, k_search, mask, nullptr, 4096)));
        CHECK(!where.supports(ggml_ann_topk(ctx, q_search, k_search, mask, nullptr, 4097)));
        auto * wide = g.tensor(GGML_TYPE_F16, 2048, 100);
        CHECK(!where.supports(ggml_ann_topk(ctx, g.tensor(GGML_TYPE_F32, 2048, 1), wide, mask, nullptr, 8)));
    });
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
