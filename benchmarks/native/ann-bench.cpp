// The twin of native/stock/stock-bench.cpp over our C ABI, for machines without .NET: the same commands, one JSON line in,
// one out. "open" takes our options too: "mode" (0 off, 1 dense, 2 exact, 3 HNSW, 4 auto), "ef", "top_k", "min_context", "type_s", "layers" (searched),
// "gpu" (layers), "kv_memory" ("device", "host"), "search_memory" ("auto", "device", "host").
// "fill" and "run" as there; "generate" ("prompt": tokens, "n") answers the n tokens of a greedy answer and the "ns" from its
// first to its last; "stats" answers {"search_ns", "attention_ns", "other_ns"} of one decoded token, "index" what the index did
// for "n" of them: recall_index, and per query cells visited and keys compared.
//
//   ann-bench < commands

#include "../../native/stock/json-lines.h"

#include "ann-runtime.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

using nlohmann::json;

namespace {

using clock_type = std::chrono::steady_clock;

int64_t ns_since(clock_type::time_point start) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(clock_type::now() - start).count();
}

class bench {
public:
    json handle(const json & r) {
        const std::string cmd = r.at("cmd");
        if (cmd == "open")  { return open(r); }
        if (cmd == "close") { ctx.reset(); return json::object(); }
        if (!ctx) {
            throw std::runtime_error("no context is open");
        }
        if (cmd == "fill")  { return fill(r.at("n"), r.at("seed")); }
        if (cmd == "run")   { return run(r.at("pp"), r.at("tg")); }
        if (cmd == "generate") { return generate(r.at("prompt"), r.at("n")); }
        if (cmd == "stats") { return stats(); }
        if (cmd == "index") { return index(r.at("n")); }
        throw std::runtime_error("'" + cmd + "' is no command");
    }

private:
    struct free_model   { void operator()(ann_model   * m) const { ann_model_free(m); } };
    struct free_context { void operator()(ann_context * c) const { ann_context_free(c); } };
    struct free_sampler { void operator()(ann_sampler * s) const { ann_sampler_free(s); } };

    std::unique_ptr<ann_model, free_model>     model;
    std::unique_ptr<ann_context, free_context> ctx;
    std::string path;
    int32_t n_batch = 2048, n_ubatch = 512, n_vocab = 0, depth = 0;
    std::mt19937 tokens{1};

    template <typename F> static void call(F && f) {
        ann_error error = {};
        error.struct_size = sizeof(error);
        if (f(&error) != ANN_OK) {
            throw std::runtime_error(error.message);
        }
    }

    static void set_type(char (&to)[16], const std::string & name) { std::snprintf(to, sizeof(to), "%s", name.c_str()); }

    static int32_t place(const std::string & name, const std::vector<std::string> & names) {
        const auto it = std::find(names.begin(), names.end(), name);
        if (it == names.end()) {
            throw std::runtime_error("'" + name + "' is no memory");
        }
        return (int32_t) (it - names.begin());
    }

    json open(const json & r) {
        const auto start = clock_type::now();
        const std::string wanted = r.at("model");
        ctx.reset();
        if (!model || path != wanted) {
            model.reset();
            ann_model_params p;
            ann_model_params_default(&p);
            p.n_gpu_layers = r.value("gpu", -1);
            ann_model * m = nullptr;
            call([&](ann_error * e) { return ann_model_load(wanted.c_str(), &p, &m, e); });
            model.reset(m);
            path = wanted;
        }
        ann_model_info info = {};
        info.struct_size = sizeof(info);
        call([&](ann_error * e) { return ann_model_get_info(model.get(), &info, e); });
        n_vocab = info.n_vocab;

        ann_context_params p;
        ann_context_params_default(&p);
        p.n_ctx           = r.at("n_ctx");
        p.n_batch         = n_batch = r.value("n_batch", 2048);
        p.n_ubatch        = n_ubatch = r.value("n_ubatch", 512);
        p.n_threads       = r.at("threads");
        p.flash_attention = r.at("flash");
        p.check_memory    = 0; // of the host
        set_type(p.type_k, r.at("type_k"));
        set_type(p.type_v, r.at("type_v"));
        set_type(p.type_search, r.value("type_s", "f16"));
        p.search.mode  = r.value("mode", 2);
        p.search.top_k = r.value("top_k", 0);
        p.search.ef_search = r.value("ef", 0);
        p.search.min_context = r.value("min_context", -1);
        const auto layers = r.value("layers", std::vector<int32_t>());
        if (!layers.empty()) {
            p.search.n_layers = (int32_t) layers.size();
            p.search.layers   = layers.data();
        }
        p.offload_kqv   = place(r.value("kv_memory", "device"), { "host", "device" });
        p.search_memory = place(r.value("search_memory", "auto"), { "auto", "device", "host" }); // as ann_search_memory
        ann_context * c = nullptr;
        call([&](ann_error * e) { return ann_context_create(model.get(), &p, &c, e); });
        ctx.reset(c);
        depth = 0;
        ann_context_memory memory = {};
        memory.struct_size = sizeof(memory);
        call([&](ann_error * e) { return ann_context_get_memory(ctx.get(), &memory, e); });
        return { { "ns", ns_since(start) }, { "n_ctx", memory.n_ctx }, { "k_bytes", memory.k_bytes }, { "v_bytes", memory.v_bytes },
                 { "search_bytes", memory.search_bytes }, { "compute_bytes", memory.compute_bytes }, { "model_bytes", memory.model_bytes } };
    }

    json fill(uint32_t n, uint64_t seed) {
        const auto start = clock_type::now();
        call([&](ann_error * e) { return ann_context_fill_random(ctx.get(), n, seed, e); });
        depth = (int32_t) n;
        return { { "ns", ns_since(start) } };
    }

    void decode_tokens(const int32_t * ids, int32_t n) {
        ann_batch b = {};
        b.struct_size = sizeof(b);
        b.n_tokens    = (uint32_t) n;
        b.tokens      = ids;
        call([&](ann_error * e) { return ann_context_decode(ctx.get(), &b, e); });
    }

    void decode(int32_t n) {
        std::vector<int32_t> ids(n);
        for (int32_t & t : ids) {
            t = (int32_t) (tokens() % (uint32_t) n_vocab);
        }
        for (int32_t i = 0; i < n; i += n_batch) {
            decode_tokens(ids.data() + i, std::min(n_batch, n - i));
        }
    }

    void back() {
        call([&](ann_error * e) { return ann_context_seq_rm(ctx.get(), 0, depth, -1, e); });
    }

    json run(int32_t pp, int32_t tg) {
        const auto start = clock_type::now();
        if (pp > 0) {
            decode(pp);
        }
        for (int32_t i = 0; i < tg; ++i) {
            decode(1);
        }
        const int64_t ns = ns_since(start);
        back();
        return { { "ns", ns } };
    }

    json generate(const std::vector<int32_t> & prompt, int32_t n) {
        ann_sampler_params p;
        ann_sampler_params_default(&p);
        p.temperature = 0.0f;
        ann_sampler * s = nullptr;
        call([&](ann_error * e) { return ann_sampler_create(model.get(), &p, &s, e); });
        const std::unique_ptr<ann_sampler, free_sampler> sampler(s);

        depth = 0;
        back();
        for (size_t i = 0; i < prompt.size(); i += (size_t) n_ubatch) {
            decode_tokens(prompt.data() + i, (int32_t) std::min(prompt.size() - i, (size_t) n_ubatch));
        }
        std::vector<int32_t> ids((size_t) n);
        call([&](ann_error * e) { return ann_sampler_sample(sampler.get(), ctx.get(), -1, &ids[0], e); });
        const auto start = clock_type::now();
        for (size_t i = 1; i < ids.size(); ++i) {
            decode_tokens(&ids[i - 1], 1);
            call([&](ann_error * e) { return ann_sampler_sample(sampler.get(), ctx.get(), -1, &ids[i], e); });
        }
        return { { "ns", ns_since(start) }, { "tokens", ids } };
    }

    json stats() {
        call([&](ann_error * e) { return ann_context_set_stats(ctx.get(), ANN_STATS_TIME, 1, e); });
        decode(1);
        ann_context_stats s = {};
        s.struct_size = sizeof(s);
        call([&](ann_error * e) { return ann_context_get_stats(ctx.get(), &s, e); });
        call([&](ann_error * e) { return ann_context_set_stats(ctx.get(), 0, 1, e); });
        back();
        return { { "search_ns", s.search_ns }, { "attention_ns", s.attention_ns }, { "other_ns", s.other_ns } };
    }

    json index(int32_t n) {
        call([&](ann_error * e) { return ann_context_set_stats(ctx.get(), ANN_STATS_INDEX, 1, e); });
        for (int32_t i = 0; i < n; ++i) {
            decode(1);
        }
        ann_index_stats s = {};
        s.struct_size = sizeof(s);
        call([&](ann_error * e) { return ann_context_get_index_stats(ctx.get(), -1, &s, e); });
        call([&](ann_error * e) { return ann_context_set_stats(ctx.get(), 0, 1, e); });
        back();
        const double n_query = (double) std::max<uint64_t>(1, s.n_measured), n_insert = (double) std::max<uint64_t>(1, s.n_inserted);
        return { { "n_measured", s.n_measured }, { "recall_index", s.recall_index_sum/n_query }, { "visited", (double) s.n_expanded/n_query },
                 { "compared", (double) s.n_scored/n_query }, { "n_exact", s.n_exact }, { "n_indexed", s.n_indexed }, { "n_pending", s.n_pending },
                 { "insert_ns", (double) s.insert_ns/n_insert }, { "index_bytes", s.bytes } };
    }
};

} // namespace

int main() {
    bench b;
    answer_json_lines([&](const json & command) { return b.handle(command); });
    return 0;
}
