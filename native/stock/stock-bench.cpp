// The peer of `ann bench`: times the unpatched library. A parent writes one JSON command a line to stdin and reads one
// JSON answer a line from stdout; what fails answers {"error": text}.
//
//   stock-bench BACKEND_DIR
//
//   {"cmd": "open", "model": path, "n_ctx", "type_k", "type_v", "flash": 0|1, "threads", "n_batch", "n_ubatch"}
//                                       -> {"ns", "n_ctx", "k_bytes", "v_bytes", "model_bytes"}; replaces an open context
//   {"cmd": "fill", "n", "seed"}        -> {"ns"}: cells [0, n) used, with random K and V that nothing computed
//   {"cmd": "prefill", "n"}             -> {"ns"}: n tokens computed and kept
//   {"cmd": "run", "pp", "tg"}          -> {"ns", "peak_rss_bytes"}: a prompt of pp tokens, then tg tokens one by one,
//                                          from the present depth and back to it
//   {"cmd": "close"}                    -> {}: frees the context; the model stays for the next open

#include "json-lines.h"

#include "ggml-backend.h"
#include "ggml-cpp.h"
#include "llama-kv-cache.h"
#include "llama.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
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

ggml_type type_of(const std::string & name) {
    for (int i = 0; i < GGML_TYPE_COUNT; ++i) {
        const char * known = ggml_type_name((ggml_type) i);
        if (known && name == known) {
            return (ggml_type) i;
        }
    }
    throw std::runtime_error("'" + name + "' is no type of ggml");
}

// bytes, from "VmHWM:   123 kB"; 0 where there is no such file
int64_t peak_rss_bytes() {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
        if (line.compare(0, 6, "VmHWM:") == 0) {
            return std::stoll(line.substr(6))*1024;
        }
    }
    return 0;
}

// Random rows. Shifted copies of one noise are as good as fresh noise here, and fast.
void fill_tensor(ggml_tensor * t, int64_t n_rows, std::mt19937_64 & rng) {
    const int64_t ne = (int64_t) 1 << 20;
    std::vector<float> noise(ne);
    std::normal_distribution<float> normal;
    for (float & x : noise) {
        x = normal(rng);
    }
    const size_t unit  = ggml_type_size(t->type);
    const size_t bytes = ggml_row_size(t->type, t->ne[0])*n_rows;
    std::vector<uint8_t> raw(ggml_row_size(t->type, ne));
    ggml_quantize_chunk(t->type, noise.data(), raw.data(), 0, 1, ne, nullptr);
    for (size_t done = 0; done < bytes;) {
        const size_t from = rng() % 4096*unit;
        const size_t n    = std::min(raw.size() - from, bytes - done);
        ggml_backend_tensor_set(t, raw.data() + from, done, n);
        done += n;
    }
}

class bench {
public:
    json handle(const json & request) {
        const std::string cmd = request.at("cmd");
        if (cmd == "open")    { return open(request); }
        if (cmd == "fill")    { return fill(request.at("n"), request.at("seed")); }
        if (cmd == "prefill") { return prefill(request.at("n")); }
        if (cmd == "run")     { return run(request.at("pp"), request.at("tg")); }
        if (cmd == "close")   { ctx.reset(); return json::object(); }
        throw std::runtime_error("'" + cmd + "' is no command");
    }

private:
    struct free_model   { void operator()(llama_model   * m) const { llama_model_free(m); } };
    struct free_context { void operator()(llama_context * c) const { llama_free(c); } };

    std::unique_ptr<llama_model, free_model>     model;
    std::unique_ptr<llama_context, free_context> ctx; // goes before its model
    std::string  path;
    int32_t      n_batch = 2048;
    std::mt19937 tokens{1};

    json open(const json & r) {
        const auto start = clock_type::now();
        const std::string wanted = r.at("model");
        ctx.reset();
        if (!model || path != wanted) {
            model.reset(llama_model_load_from_file(wanted.c_str(), llama_model_default_params()));
            if (!model) {
                throw std::runtime_error("the model " + wanted + " cannot be loaded");
            }
            path = wanted;
        }
        llama_context_params p = llama_context_default_params();
        p.n_ctx           = r.at("n_ctx");
        p.n_batch         = n_batch = r.value("n_batch", 2048);
        p.n_ubatch        = r.value("n_ubatch", 512);
        p.n_seq_max       = 1;
        p.n_threads       = p.n_threads_batch = r.at("threads");
        p.flash_attn_type = r.at("flash") == 1 ? LLAMA_FLASH_ATTN_TYPE_ENABLED : LLAMA_FLASH_ATTN_TYPE_DISABLED;
        p.type_k          = type_of(r.at("type_k"));
        p.type_v          = type_of(r.at("type_v"));
        p.no_perf         = true;
        ctx.reset(llama_init_from_model(model.get(), p));
        if (!ctx) {
            throw std::runtime_error("no context of " + std::to_string(p.n_ctx) + " cells; the library's reason is on stderr");
        }
        llama_kv_cache & kv = cache();
        uint64_t k_bytes = 0, v_bytes = 0;
        for (uint32_t il : kv.get_layer_ids()) {
            k_bytes += ggml_nbytes(kv.get_k_storage((int32_t) il));
            v_bytes += ggml_nbytes(v_storage(kv, il));
        }
        return { { "ns", ns_since(start) }, { "n_ctx", llama_n_ctx(ctx.get()) }, { "k_bytes", k_bytes }, { "v_bytes", v_bytes },
                 { "model_bytes", llama_model_size(model.get()) } };
    }

    llama_context * context() const {
        if (!ctx) {
            throw std::runtime_error("no context is open");
        }
        return ctx.get();
    }

    llama_kv_cache & cache() const {
        auto * kv = dynamic_cast<llama_kv_cache *>(llama_get_memory(context()));
        if (!kv) {
            throw std::runtime_error("this model's cache is not a plain K/V cache");
        }
        return *kv;
    }

    // the whole V tensor of a layer, in whichever layout
    static ggml_tensor * v_storage(const llama_kv_cache & kv, uint32_t il) {
        ggml_init_params ip = { ggml_tensor_overhead()*8, nullptr, true };
        ggml_context_ptr views(ggml_init(ip));
        llama_kv_cache::slot_info sinfo;
        sinfo.s0 = sinfo.s1 = 0;
        return kv.get_v(views.get(), (int32_t) il, kv.get_size(), sinfo)->view_src;
    }

    json fill(uint32_t n, uint64_t seed) {
        const auto start = clock_type::now();
        llama_kv_cache & kv = cache();
        if (kv.seq_pos_max(0) >= 0 || n < 1 || n > kv.get_size()) {
            throw std::runtime_error("fill of " + std::to_string(n) + " cells: the cache of " + std::to_string(kv.get_size()) +
                    " must be empty and hold them");
        }
        llama_batch_allocr balloc(1);
        llama_ubatch ubatch = balloc.ubatch_reserve(n, 1);
        llama_seq_id seq = 0;
        ubatch.seq_id_unq[0] = seq;
        for (uint32_t i = 0; i < n; ++i) {
            ubatch.pos[i]      = (llama_pos) i;
            ubatch.n_seq_id[i] = 1;
            ubatch.seq_id[i]   = &seq;
            ubatch.token[i]    = 0;
        }
        const auto sinfo = kv.find_slot(ubatch, true);
        if (sinfo.empty()) {
            throw std::runtime_error("no slot of " + std::to_string(n) + " cells");
        }
        kv.apply_ubatch(sinfo, ubatch);
        std::mt19937_64 rng(seed);
        for (uint32_t il : kv.get_layer_ids()) {
            // rows of a transposed V are not cells (without flash attention), so all of them are filled
            ggml_tensor * v = v_storage(kv, il);
            fill_tensor(kv.get_k_storage((int32_t) il), n, rng);
            fill_tensor(v, v->ne[1], rng);
        }
        return { { "ns", ns_since(start) } };
    }

    void decode(int32_t n) {
        const int32_t n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model.get()));
        std::vector<llama_token> batch(n);
        for (llama_token & t : batch) {
            t = (llama_token) (tokens() % (uint32_t) n_vocab);
        }
        for (int32_t i = 0; i < n; i += n_batch) {
            const int32_t n_now = std::min(n_batch, n - i);
            const int32_t res = llama_decode(context(), llama_batch_get_one(batch.data() + i, n_now));
            if (res != 0) {
                throw std::runtime_error("decode of " + std::to_string(n_now) + " tokens returned " + std::to_string(res));
            }
        }
        llama_synchronize(context());
    }

    json prefill(int32_t n) {
        const auto start = clock_type::now();
        decode(n);
        return { { "ns", ns_since(start) } };
    }

    json run(int32_t pp, int32_t tg) {
        llama_memory_t memory = llama_get_memory(context());
        const llama_pos depth = llama_memory_seq_pos_max(memory, 0) + 1;
        const auto start = clock_type::now();
        if (pp > 0) {
            decode(pp);
        }
        for (int32_t i = 0; i < tg; ++i) {
            decode(1);
        }
        const int64_t ns = ns_since(start);
        if (!llama_memory_seq_rm(memory, 0, depth, -1)) {
            throw std::runtime_error("the cache cannot go back to depth " + std::to_string(depth));
        }
        return { { "ns", ns }, { "peak_rss_bytes", peak_rss_bytes() } };
    }
};

} // namespace

int main(int argc, char ** argv) {
    if (argc != 2) {
        std::fprintf(stderr, "usage: stock-bench BACKEND_DIR, then JSON lines on stdin\n");
        return 2;
    }
    std::signal(SIGINT, SIG_IGN); // Ctrl-C reaches the whole process group; the parent decides
    llama_log_set([](ggml_log_level level, const char * text, void *) {
        if (level == GGML_LOG_LEVEL_ERROR) {
            std::fputs(text, stderr);
        }
    }, nullptr);
    ggml_backend_load_all_from_path(argv[1]);
    bench b;
    answer_json_lines([&](const json & command) { return b.handle(command); });
    return 0;
}
