// The index inside the cache against an exact search, over random interleavings of everything a cache can do.
//
// Of every query that the index answers: visible cells only, each once, as many as exact search finds, sinks and window
// among them, and of the exact answer a share (recall_index) that has a floor.

#include "../check.h"

#include "ggml-backend.h"
#include "llama-ann.h"
#include "llama-kv-cache-ann.h"
#include "llama-model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <thread>

namespace {

constexpr int32_t TOP_K = 32, N_SEQ = 3, N_CTX = 2048;

struct observer {
    int64_t n_query = 0, n_found = 0, n_wanted = 0;
    int64_t n_ranges = 0, n_masks = 0; // what the visible cells were told by
    const llama_kv_cache_ann * cache = nullptr;
    llama_seq_id seq   = 0; // of the batch
    llama_pos    first = 0;
    std::string failure;

    static bool call(ggml_tensor * t, bool ask, void * self) {
        const bool is_visible = std::strncmp(t->name, LLAMA_ANN_NODE_VISIBLE "-", 12) == 0;
        const bool is_search  = std::strncmp(t->name, LLAMA_ANN_NODE_TOPK "-", 9) == 0 && t->op == GGML_OP_CUSTOM;
        if (ask) {
            return is_visible || is_search;
        }
        auto & o = *(observer *) self;
        if (is_visible) {
            o.check_visible(t);
        } else {
            o.check_search(t);
        }
        return true;
    }

    template <typename T> static const T * row(const ggml_tensor * t, int64_t i) {
        return (const T *) ((const char *) t->data + i % t->ne[1]*t->nb[1] + i/t->ne[1]*t->nb[3]);
    }
    static bool bit(const ggml_tensor * visible, int64_t i, int64_t cell) {
        return row<uint64_t>(visible, i)[cell/64] >> cell % 64 & 1;
    }
    void require(bool ok, const std::string & what) {
        if (!ok && failure.empty()) {
            failure = what;
        }
    }

    void check_visible(const ggml_tensor * t) {
        ++(t->src[0]->type == GGML_TYPE_I32 ? n_ranges : n_masks);
        const auto & cells = cache->get_cells(seq);
        for (int64_t i = 0; i < t->ne[1]*t->ne[3]; ++i) {
            for (uint32_t j = 0; j < cells.used_max_p1(); ++j) {
                const bool visible = !cells.is_empty(j) && cells.seq_has(j, seq) && cells.pos_get(j) <= first + (llama_pos) i;
                require(bit(t, i, j) == visible, "a bit of the visible cells differs from the cells");
            }
        }
    }

    void check_search(const ggml_tensor * t) {
        const ggml_tensor * q = t->src[0], * k = t->src[1], * visible = t->src[2], * always = t->src[3];
        const int64_t d = q->ne[0];
        std::vector<float> key(d);
        for (int64_t i = 0; i < t->ne[1]*t->ne[3]; ++i) {
            const int32_t * list = row<int32_t>(always, i);
            std::vector<int32_t> expected;
            for (int64_t a = 0; a < always->ne[0]; ++a) {
                if (list[a] >= 0) {
                    expected.push_back(list[a]);
                }
            }
            const size_t n_always = expected.size();
            std::vector<std::pair<double, int32_t>> rest;
            for (int64_t j = 0; j < k->ne[1]; ++j) {
                if (!bit(visible, i, j) || std::count(list, list + always->ne[0], (int32_t) j)) {
                    continue;
                }
                const char * at = (const char *) k->data + j*k->nb[1] + i/t->ne[1]*k->nb[3];
                if (k->type == GGML_TYPE_F32) {
                    std::memcpy(key.data(), at, (size_t) d*sizeof(float));
                } else {
                    ggml_get_type_traits(k->type)->to_float(at, key.data(), d);
                }
                double x = 0.0;
                for (int64_t e = 0; e < d; ++e) {
                    x -= (double) row<float>(q, i)[e]*key[e];
                }
                rest.emplace_back(x, (int32_t) j);
            }
            std::sort(rest.begin(), rest.end());
            rest.resize(std::min<size_t>(rest.size(), TOP_K - always->ne[0]));
            for (const auto & r : rest) {
                expected.push_back(r.second);
            }

            std::vector<int32_t> got(row<int32_t>(t, i), row<int32_t>(t, i) + t->ne[0]);
            const size_t n_got = got.size() - std::count(got.begin(), got.end(), -1);
            require(n_got == expected.size(), std::to_string(n_got) + " cells chosen, " + std::to_string(expected.size()) + " expected");
            require(std::count(got.begin() + n_got, got.end(), -1) == (int64_t) (got.size() - n_got), "a hole in the list");
            got.resize(n_got);
            require(std::is_sorted(got.begin(), got.end()) && std::adjacent_find(got.begin(), got.end()) == got.end(),
                "cells are not ascending");
            for (int32_t cell : got) {
                require(cell >= 0 && bit(visible, i, cell), "cell " + std::to_string(cell) + " is not visible");
            }
            for (size_t e = 0; e < expected.size(); ++e) {
                const bool found = std::binary_search(got.begin(), got.end(), expected[e]);
                require(found || e >= n_always, "a sink or a cell of the window is missing");
                n_found  += e >= n_always && found;
                n_wanted += e >= n_always;
            }
            n_query += 1;
        }
    }
};

llama_ann_params small_index(bool eager) {
    llama_ann_params p;
    p.mode = LLAMA_ANN_MODE_HNSW;
    p.top_k = TOP_K;
    p.n_sink = 2;
    p.n_window = 6;
    p.index_m = 4; // small graphs: walked from about 400 cells
    p.ef_search = 32;
    p.index_ef_construction = 40;
    p.index_threads = 2;
    p.index_eager = eager;
    p.layers.assign(12, 1);
    return p;
}

struct session {
    std::unique_ptr<llama_context, decltype(&llama_free)> ctx { nullptr, llama_free };
    observer o;
    bool unified, eager;
    std::vector<llama_token> tokens;
    std::mt19937 rng;

    session(llama_model * model, bool unified, bool eager, uint32_t seed) : session(model, unified, small_index(eager), seed) {}

    session(llama_model * model, bool unified, const llama_ann_params & p, uint32_t seed)
        : session(model, unified, p, seed, seed % 2 ? GGML_TYPE_F16 : GGML_TYPE_Q8_0) {} // odd seeds: states fit

    session(llama_model * model, bool unified, const llama_ann_params & p, uint32_t seed, ggml_type type_s)
        : unified(unified), eager(p.index_eager), rng(seed) {
        llama_context_params cp = llama_context_default_params();
        cp.n_ctx = unified ? N_CTX : N_CTX*N_SEQ;
        cp.n_seq_max = N_SEQ;
        cp.kv_unified = unified;
        cp.n_threads = cp.n_threads_batch = 2;
        ctx.reset(llama_ann_init_from_model(model, cp, p, type_s));
        CHECK(ctx != nullptr);
        std::ifstream in(ANN_TEST_DATA_DIR "/heldout-131k.txt", std::ios::binary);
        const std::string text(std::istreambuf_iterator<char>(in), {});
        tokens.resize(40000);
        const int32_t n = llama_tokenize(llama_model_get_vocab(model), text.data(), 60000, tokens.data(), 40000, false, false);
        CHECK(n > 8000);
        tokens.resize((size_t) n);
        llama_ann_set_eval_callback(ctx.get(), observer::call, &o);
    }

    llama_memory_t mem() const { return llama_get_memory(ctx.get()); }
    int32_t below(int32_t n) { return (int32_t) (rng() % (uint32_t) n); }
    llama_pos end(llama_seq_id s) const { return llama_memory_seq_pos_max(mem(), s) + 1; }

    int32_t used() const {
        int32_t n = 0;
        for (llama_seq_id s = 0; s < N_SEQ; ++s) {
            n += end(s);
        }
        return n;
    }

    void decode(llama_seq_id s, int32_t n) {
        llama_batch b = llama_batch_init(n, 0, 1);
        b.n_tokens = n;
        const size_t from = (size_t) below((int32_t) tokens.size() - n);
        for (int32_t i = 0; i < n; ++i) {
            b.token[i] = tokens[from + i];
            b.pos[i] = end(s) + i;
            b.n_seq_id[i] = 1;
            b.seq_id[i][0] = s;
            b.logits[i] = i + 1 == n;
        }
        o.cache = dynamic_cast<llama_kv_cache_ann *>(mem());
        o.seq   = s;
        o.first = end(s);
        const int32_t res = llama_decode(ctx.get(), b);
        llama_batch_free(b);
        if (res == 1) { // no room: divided positions leave more cells than used() counts
            llama_memory_clear(mem(), true);
            return;
        }
        CHECK_EQ(res, 0);
        if (!eager) { // its threads work until the next call, or longer
            llama_ann_idle(ctx.get());
            if (below(3) == 0) {
                std::this_thread::sleep_for(std::chrono::microseconds(below(6000)));
            } else if (below(3) == 0) {
                rest();
            }
        }
    }

    int64_t n_pending() const {
        int64_t res = 0;
        for (int32_t il = 0; il < 12; ++il) {
            res += (int64_t) stats(il).n_pending;
        }
        return res;
    }

    // until nothing is pending
    void rest() {
        for (int i = 0; i < 3000 && n_pending() > 0; ++i) {
            llama_ann_idle(ctx.get());
            std::this_thread::sleep_for(std::chrono::milliseconds(2));
        }
        CHECK_EQ(n_pending(), 0);
    }

    llama_ann_index_stats stats(int32_t il) const { return llama_ann_get_index_stats(ctx.get(), il); }

    std::vector<uint8_t> state() const {
        std::vector<uint8_t> res(llama_state_get_size(ctx.get()));
        CHECK_EQ(llama_state_get_data(ctx.get(), res.data(), res.size()), res.size());
        return res;
    }

    void set_state(const std::vector<uint8_t> & data) {
        CHECK_EQ(llama_state_set_data(ctx.get(), data.data(), data.size()), data.size());
        llama_ann_idle(ctx.get());
    }

    void save_and_load(llama_seq_id s) {
        std::vector<uint8_t> state(llama_state_seq_get_size(ctx.get(), s));
        CHECK_EQ(llama_state_seq_get_data(ctx.get(), state.data(), state.size(), s), state.size());
        llama_memory_seq_rm(mem(), s, -1, -1);
        CHECK_EQ(llama_state_seq_set_data(ctx.get(), state.data(), state.size(), s), state.size());
    }

    void step() {
        const llama_seq_id s = below(N_SEQ), other = (s + 1) % N_SEQ;
        if (used() + 300 > N_CTX) {
            llama_memory_seq_rm(mem(), s, -1, -1);
        }
        const llama_pos n = end(s), first = n > 0 ? below(n) : 0;
        switch (below(14)) {
            case 0: if (n > 20) { llama_memory_seq_rm(mem(), s, n - 1 - below(15), -1); } break;
            case 1:
                llama_memory_seq_rm(mem(), other, -1, -1);
                llama_memory_seq_cp(mem(), s, other, -1, -1);
                break;
            case 2: // a context shift: a piece goes, what follows moves down
                if (first + 40 < n) {
                    llama_memory_seq_rm(mem(), s, first, first + 32);
                    llama_memory_seq_add(mem(), s, first + 32, -1, -32);
                }
                break;
            case 3: save_and_load(s); break;
            case 4: if (below(6) == 0) { llama_memory_seq_keep(mem(), s); } break;
            case 5: if (below(12) == 0) { llama_memory_clear(mem(), true); } break;
            case 6: if (n > 60 && below(4) == 0) { llama_memory_seq_div(mem(), s, n/2, -1, 2); } break;
            case 7: case 8: decode(s, 40 + below(160)); break;
            default: decode(s, 1 + below(3)); break;
        }
        decode(s, 1);
    }
};

llama_model * load() {
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
    static std::unique_ptr<llama_model, decltype(&llama_model_free)> model(nullptr, llama_model_free);
    if (!model) {
        ggml_backend_load_all_from_path(ANN_BIN_DIR);
        model.reset(llama_model_load_from_file(ANN_MODELS_DIR "/ann-rotated-d64-q8_0.gguf", llama_model_default_params()));
    }
    CHECK(model != nullptr);
    return model.get();
}

void run(bool unified, bool eager, uint32_t seed) {
    session s(load(), unified, eager, seed);
    s.decode(0, 700);
    for (int i = 0; i < 60; ++i) {
        s.step();
        CHECK_EQ(s.o.failure, std::string());
    }
    const double recall = (double) s.o.n_found/(double) s.o.n_wanted;
    llama_ann_index_stats stats = llama_ann_get_index_stats(s.ctx.get(), 2);
    std::printf("     %lld queries, recall_index %.4f; layer 2: %llu inserted, %llu of its searches scanned; cells by ranges %lld times, by masks %lld\n",
        (long long) s.o.n_query, recall, (unsigned long long) stats.n_inserted, (unsigned long long) stats.n_exact, (long long) s.o.n_ranges,
        (long long) s.o.n_masks);
    CHECK(!eager || (s.o.n_ranges > 0 && s.o.n_masks > 0)); // with time it may be chance
    CHECK(s.o.n_query > (eager ? 500 : 100)); // not eager: exact search answers while much is pending
    CHECK(stats.n_inserted > 700);
    CHECK(recall > 0.85);
}

} // namespace

TEST("sequences that share a stream")  { run(true, true, 1); run(true, true, 2); }
TEST("sequences of their own streams") { run(false, true, 3); run(false, true, 4); }
TEST("an index that grows in the background, sequences that share a stream")  { run(true, false, 5); }
TEST("an index that grows in the background, sequences of their own streams") { run(false, false, 6); }

// Rows of f32 are long enough for the index to walk codes of them.
static void shift_context(ggml_type type_s, int32_t n_graphs) {
    llama_ann_params p = small_index(true);
    p.index_threads = n_graphs;
    session s(load(), true, p, 9, type_s);
    s.decode(0, 200);
    for (int i = 0; i < 4; ++i) {
        s.decode(0, 200);
    }
    const auto before = s.stats(2);
    CHECK_EQ(before.n_indexed, 1000u);
    s.o.n_found = s.o.n_wanted = 0;
    llama_memory_seq_rm(s.mem(), 0, 100, 160);
    llama_memory_seq_add(s.mem(), 0, 160, -1, -60);
    for (int i = 0; i < 10; ++i) {
        s.decode(0, 1);
    }
    CHECK_EQ(s.o.failure, std::string());
    const auto after = s.stats(2);
    CHECK_EQ(after.n_pending, 0u);
    CHECK_EQ(after.n_indexed, 1000u - 60 + 10);
    CHECK_EQ(after.n_inserted - before.n_inserted, 100u + 10); // cells 0..99 stayed, 840 moved together
    CHECK(s.o.n_wanted > 0);
    CHECK(n_graphs > 1 || after.n_exact == before.n_exact); // one graph of all is large enough to be walked
    CHECK((double) s.o.n_found > 0.85*(double) s.o.n_wanted);
}

TEST("after a context shift only what moved against the rest is indexed again") {
    shift_context(GGML_TYPE_F16, 2);
    shift_context(GGML_TYPE_F16, 1);
    shift_context(GGML_TYPE_F32, 1);
}

TEST("a prompt costs no insertion, idle time indexes it, a pause anywhere loses nothing") {
    session s(load(), true, false, 10);
    s.decode(0, 300);
    s.rest();
    CHECK_EQ(s.stats(2).n_indexed, 300u);
    s.decode(0, 1);
    s.rest();
    CHECK_EQ(s.stats(2).n_indexed, 301u);
    CHECK_EQ(s.stats(2).n_inserted, 301u);
}

// Another context of the same parameters is as far as the first one, without an insertion.
TEST("a saved state brings its index") {
    session s(load(), true, true, 11);
    for (int i = 0; i < 4; ++i) {
        s.decode(0, 200);
    }
    const auto data = s.state();
    session other(load(), true, true, 13);
    other.decode(0, 50); // what was there goes
    other.set_state(data);
    const auto loaded = other.stats(2);
    CHECK_EQ(loaded.n_indexed, 800u);
    CHECK_EQ(loaded.n_pending, 0u);
    const auto n_before = loaded.n_inserted;
    for (int i = 0; i < 20; ++i) {
        other.decode(0, 1);
    }
    CHECK_EQ(other.stats(2).n_inserted, n_before + 20);
    CHECK_EQ(other.o.failure, std::string());

    llama_ann_params p = small_index(true);
    p.index_in_state = false;
    session without(load(), true, p, 15);
    without.set_state(data);
    CHECK_EQ(without.stats(2).n_indexed, 800u);
    CHECK(without.state().size() < data.size());

    p.index_ef_construction = 30; // a graph of other parameters is not ours
    session foreign(load(), true, p, 17);
    foreign.set_state(data);
    CHECK_EQ(foreign.stats(2).n_indexed, 0u);
    CHECK_EQ(foreign.stats(2).n_pending, 800u);
}

TEST("a damaged index in a state is built anew") {
    session s(load(), true, true, 15);
    for (int i = 0; i < 3; ++i) {
        s.decode(0, 200);
    }
    const auto data = s.state();
    const std::string magic = "ANNINDEX";
    std::vector<size_t> at; // of each layer's index
    for (auto it = data.begin(); (it = std::search(it, data.end(), magic.begin(), magic.end())) != data.end(); ++it) {
        at.push_back((size_t) (it - data.begin()));
    }
    CHECK_EQ(at.size(), 12u);
    session other(load(), true, true, 17);
    for (int i = 0; i < 40; ++i) {
        auto damaged = data;
        const size_t n = at[3] - at[2] - 16; // without the head of the next one
        damaged[at[2] + (size_t) other.below((int32_t) n)] ^= (uint8_t) (1 + other.below(255));
        other.set_state(damaged);
        CHECK_EQ(other.stats(1).n_indexed, 600u);
        CHECK_EQ(other.stats(2).n_indexed, 0u);
        CHECK_EQ(other.stats(2).n_pending, 600u);
    }
    for (int i = 0; i < 20; ++i) {
        other.decode(0, 1);
    }
    CHECK_EQ(other.stats(2).n_pending, 0u);
    CHECK_EQ(other.o.failure, std::string());
}

TEST("layers beyond the memory budget search exactly") {
    llama_ann_params p = small_index(true);
    p.index_max_bytes = 3*(8*4 + 24)*N_CTX + 100;
    session s(load(), true, p, 17);
    for (int i = 0; i < 4; ++i) {
        s.decode(0, 200);
    }
    s.decode(0, 1);
    CHECK(s.stats(2).n_indexed == 801 && s.stats(3).n_indexed == 0 && s.stats(3).bytes == 0);
    CHECK_EQ(s.o.n_query, 3);
    CHECK_EQ(s.o.failure, std::string());
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
