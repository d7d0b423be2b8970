// Times the ops of ANN attention and what they are measured against, on one device: one JSON line a measurement.
//
//   ann-op-bench BACKEND_DIR [--device NAME] [--only TEXT] [--heads N] [--threads N]
//
// A graph holds the op once per "layer", each with buffers of its own, so that no layer finds its keys in a cache; the
// time is that of the whole graph over its layers (median of samples). bytes: what has to be read and written at least.
// --heads: query heads, 32 by default, of 8 K/V heads of 128. On a CPU lists are drawn anew for every sample, for its last
// cache may hold all rows of a sample, and "rows read" reads the listed rows and does nothing else, with one thread.

#include "ggml-ann.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr int64_t N_HEAD_KV = 8, N_EMBD_HEAD = 128, N_EMBD_SEARCH = 128; // Qwen3-4B
constexpr int     N_SINK = 4, N_WINDOW = 32;
constexpr int     N_SAMPLES = 15;

ggml_backend_t backend;
std::string    only;
int64_t        n_head = 32;
bool           is_cpu = false;

struct model {
    ggml_context_ptr        ctx { ggml_init({ 8 << 20, nullptr, true }) };
    ggml_backend_buffer_ptr buffer;
    std::vector<ggml_tensor *> noise;    // to be filled with random contents
    std::vector<ggml_tensor *> lists;    // candidates: cells ascending
    std::vector<ggml_tensor *> always;
    std::vector<ggml_tensor *> masks;    // causal, the queries last
    std::vector<ggml_tensor *> results;

    ggml_tensor * tensor(ggml_type type, int64_t a, int64_t b, int64_t c = 1, int64_t d = 1) {
        return ggml_new_tensor_4d(ctx.get(), type, a, b, c, d);
    }
    ggml_tensor * random(ggml_type type, int64_t a, int64_t b, int64_t c = 1) {
        noise.push_back(tensor(type, a, b, c));
        return noise.back();
    }
};

void fill_noise(ggml_tensor * t, std::mt19937 & rng) {
    const int64_t n = 1 << 20;
    std::vector<float> values(n);
    std::normal_distribution<float> normal;
    for (float & x : values) {
        x = normal(rng);
    }
    const size_t unit = ggml_type_size(t->type);
    std::vector<uint8_t> raw(ggml_row_size(t->type, n));
    ggml_quantize_chunk(t->type, values.data(), raw.data(), 0, 1, n, nullptr);
    for (size_t done = 0; done < ggml_nbytes(t);) { // shifted copies: no two rows are equal
        const size_t from  = rng() % 1000*unit;
        const size_t bytes = std::min(raw.size() - from, ggml_nbytes(t) - done);
        ggml_backend_tensor_set(t, raw.data() + from, done, bytes);
        done += bytes;
    }
}

void draw_lists(model & m, int64_t n_kv, std::mt19937 & rng) {
    for (ggml_tensor * t : m.lists) {
        std::vector<int32_t> cells(ggml_nelements(t));
        for (int64_t i = 0; i < t->ne[1]; ++i) {
            int32_t * row = cells.data() + i*t->ne[0];
            for (int64_t j = 0; j < t->ne[0]; ++j) { // distinct: one of every stretch
                row[j] = (int32_t) (j*(n_kv/t->ne[0]) + rng() % (n_kv/t->ne[0]));
            }
        }
        ggml_backend_tensor_set(t, cells.data(), 0, ggml_nbytes(t));
    }
}

void fill(model & m, int64_t n_kv, std::mt19937 & rng) {
    for (ggml_tensor * t : m.noise) {
        fill_noise(t, rng);
    }
    for (ggml_tensor * t : m.masks) {
        std::vector<uint16_t> mask(ggml_nelements(t), 0);
        for (int64_t i = 0; i < t->ne[1]; ++i) {
            std::fill(mask.begin() + i*n_kv + n_kv - t->ne[1] + i + 1, mask.begin() + (i + 1)*n_kv, 0xFC00);
        }
        ggml_backend_tensor_set(t, mask.data(), 0, ggml_nbytes(t));
    }
    for (ggml_tensor * t : m.always) {
        std::vector<int32_t> cells;
        for (int64_t i = 0; i < t->ne[1]; ++i) {
            for (int j = 0; j < N_SINK + N_WINDOW; ++j) {
                cells.push_back((int32_t) (j < N_SINK ? j : n_kv - t->ne[1] + i - (N_SINK + N_WINDOW - 1 - j)));
            }
        }
        ggml_backend_tensor_set(t, cells.data(), 0, ggml_nbytes(t));
    }
    draw_lists(m, n_kv, rng);
}

using compute_function = std::function<void(model &, ggml_cgraph *)>;

void compute_graph(model &, ggml_cgraph * graph) {
    ggml_backend_graph_compute(backend, graph);
}

// Reads the K and V rows of all lists, those eight cells on asked for beforehand; rows are a multiple of 256 bytes.
void read_rows(model & m, ggml_cgraph *) {
    constexpr int64_t ahead = 8;
    uint64_t          sum   = 0;
    for (size_t il = 0; il < m.lists.size(); ++il) {
        const auto *  cells = (const int32_t *) m.lists[il]->data;
        const int64_t n     = m.lists[il]->ne[0];
        for (int of = 1; of <= 2; ++of) { // noise: q, k, v of every layer
            const ggml_tensor * rows = m.noise[3*il + of];
            const char * base = (const char *) rows->data;
            for (int64_t j = 0; j < n; j += 4) { // four rows side by side, as the op reads them
                for (size_t i = 0; i < 4*rows->nb[2]; i += 64) {
                    const int64_t r    = j + i/256 % 4;
                    const size_t  from = i/1024*256 + i % 256;
                    __builtin_prefetch(base + cells[std::min(r + ahead, n - 1)]*rows->nb[2] + from);
                    uint64_t words[8];
                    std::memcpy(words, base + cells[std::min(r, n - 1)]*rows->nb[2] + from, sizeof(words));
                    for (const uint64_t word : words) {
                        sum += word;
                    }
                }
            }
        }
    }
    volatile uint64_t sink = sum; // or the reads would be left out
    (void) sink;
}

// build adds one layer and returns its last node; bytes and flops are of one layer
void measure(const std::string & name, int64_t n_kv, int n_layer, double bytes, const std::function<ggml_tensor *(model &)> & build,
        const compute_function & compute = compute_graph) {
    if (name.find(only) == std::string::npos) {
        return;
    }
    model m;
    ggml_cgraph * graph = ggml_new_graph(m.ctx.get());
    for (int i = 0; i < n_layer; ++i) {
        ggml_build_forward_expand(graph, build(m));
    }
    m.buffer.reset(ggml_backend_alloc_ctx_tensors(m.ctx.get(), backend));
    if (!m.buffer) {
        std::printf("{\"test\": \"%s\", \"error\": \"not enough memory\"}\n", name.c_str());
        return;
    }
    for (int i = 0; i < ggml_graph_n_nodes(graph); ++i) {
        if (!ggml_backend_supports_op(backend, ggml_graph_node(graph, i))) {
            std::printf("{\"test\": \"%s\", \"error\": \"not supported\"}\n", name.c_str());
            return;
        }
    }
    std::mt19937 rng(1);
    fill(m, n_kv, rng);
    std::vector<double> us;
    for (int i = 0; i < N_SAMPLES + 3; ++i) {
        if (is_cpu) {
            draw_lists(m, n_kv, rng);
        }
        const auto start = std::chrono::steady_clock::now();
        compute(m, graph);
        const double ns = (double) std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count();
        if (i >= 3) {
            us.push_back(ns/1e3/n_layer);
        }
    }
    std::sort(us.begin(), us.end());
    std::printf("{\"test\": \"%s\", \"n_kv\": %lld, \"median_us\": %.2f, \"min_us\": %.2f, \"max_us\": %.2f, \"bytes\": %.0f, \"gb_per_s\": %.0f}\n",
        name.c_str(), (long long) n_kv, us[us.size()/2], us.front(), us.back(), bytes, bytes/us[us.size()/2]/1e3);
    std::fflush(stdout);
}

ggml_tensor * add_topk(model & m, ggml_type type, int64_t n_kv, int64_t n_tokens, int32_t n_top_k) {
    auto * q = m.random(GGML_TYPE_F32, N_EMBD_SEARCH, n_tokens);
    auto * k = m.random(type, N_EMBD_SEARCH, n_kv);
    if (m.masks.empty()) { // as in a model: one for all layers
        m.masks.push_back(m.tensor(GGML_TYPE_F16, n_kv, n_tokens));
        m.always.push_back(m.tensor(GGML_TYPE_I32, N_SINK + N_WINDOW, n_tokens));
    }
    return ggml_ann_topk(m.ctx.get(), q, k, m.masks[0], m.always[0], n_top_k);
}

ggml_tensor * add_attn(model & m, ggml_type type, int64_t n_kv, int64_t n_tokens, int32_t n_top_k, ggml_tensor * list) {
    auto * q = m.random(GGML_TYPE_F32, N_EMBD_HEAD, n_tokens, n_head);
    auto * k = m.random(type, N_EMBD_HEAD, N_HEAD_KV, n_kv);
    auto * v = m.random(type, N_EMBD_HEAD, N_HEAD_KV, n_kv);
    if (!list) {
        list = m.tensor(GGML_TYPE_I32, n_top_k, n_tokens);
        m.lists.push_back(list);
    }
    return ggml_ann_attn(m.ctx.get(), q, ggml_permute(m.ctx.get(), k, 0, 2, 1, 3), ggml_permute(m.ctx.get(), v, 0, 2, 1, 3), list,
        nullptr, nullptr, 0.088f, 0.0f);
}

// attention to all cells by our op, one query
ggml_tensor * add_attn_all(model & m, ggml_type type, int64_t n_kv) {
    auto * q = m.random(GGML_TYPE_F32, N_EMBD_HEAD, 1, n_head);
    auto * k = m.random(type, N_EMBD_HEAD, N_HEAD_KV, n_kv);
    auto * v = m.random(type, N_EMBD_HEAD, N_HEAD_KV, n_kv);
    if (m.masks.empty()) {
        m.masks.push_back(m.tensor(GGML_TYPE_F16, n_kv, 1));
    }
    return ggml_ann_attn(m.ctx.get(), q, ggml_permute(m.ctx.get(), k, 0, 2, 1, 3), ggml_permute(m.ctx.get(), v, 0, 2, 1, 3), nullptr,
        m.masks[0], nullptr, 0.088f, 0.0f);
}

ggml_tensor * add_dense(model & m, int64_t n_kv, int64_t n_tokens) {
    auto * q = m.random(GGML_TYPE_F32, N_EMBD_HEAD, n_tokens, n_head);
    auto * k = m.random(GGML_TYPE_F16, N_EMBD_HEAD, N_HEAD_KV, n_kv);
    auto * v = m.random(GGML_TYPE_F16, N_EMBD_HEAD, N_HEAD_KV, n_kv);
    if (m.masks.empty()) {
        m.masks.push_back(m.tensor(GGML_TYPE_F16, n_kv, n_tokens));
    }
    return ggml_flash_attn_ext(m.ctx.get(), q, ggml_permute(m.ctx.get(), k, 0, 2, 1, 3), ggml_permute(m.ctx.get(), v, 0, 2, 1, 3),
        m.masks[0], 0.088f, 0.0f, 0.0f);
}

void run_all() {
    const int64_t copied = 1ll << 30;
    measure("copy", 0, 4, 2.0*copied, [&](model & m) {
        return ggml_cpy(m.ctx.get(), m.random(GGML_TYPE_F16, copied/2/4096, 4096), m.tensor(GGML_TYPE_F16, copied/2/4096, 4096));
    });
    for (int64_t n_kv : { 32768, 131072, 262144 }) {
        const int    n_layer = n_kv <= 32768 ? 16 : n_kv <= 131072 ? 8 : 4; // 4.3 GB of K and V
        const double row_kv  = 2.0*N_EMBD_HEAD*N_HEAD_KV*2;
        for (ggml_type type : { GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
            const double key = (double) ggml_row_size(type, N_EMBD_SEARCH);
            const std::string keys = ggml_type_name(type);
            for (int32_t n_top_k : { 128, 256 }) {
                const std::string of = keys + " k" + std::to_string(n_top_k);
                measure("topk " + of, n_kv, n_layer, key*n_kv, [&](model & m) { return add_topk(m, type, n_kv, 1, n_top_k); });
                measure("layer " + of, n_kv, n_layer, key*n_kv + row_kv*n_top_k, [&](model & m) {
                    return add_attn(m, GGML_TYPE_F16, n_kv, 1, n_top_k, add_topk(m, type, n_kv, 1, n_top_k));
                });
            }
        }
        for (int32_t n_top_k : { 128, 256 }) {
            const std::string of = " k" + std::to_string(n_top_k);
            measure("attn f16" + of, n_kv, n_layer, row_kv*n_top_k, [&](model & m) { return add_attn(m, GGML_TYPE_F16, n_kv, 1, n_top_k, nullptr); });
            if (is_cpu) {
                measure("rows read" + of, n_kv, n_layer, row_kv*n_top_k,
                    [&](model & m) { return add_attn(m, GGML_TYPE_F16, n_kv, 1, n_top_k, nullptr); }, read_rows);
                measure("attn q8_0" + of, n_kv, n_layer, row_kv*n_top_k*34/64, [&](model & m) { return add_attn(m, GGML_TYPE_Q8_0, n_kv, 1, n_top_k, nullptr); });
            }
            measure("attn q4_0" + of, n_kv, n_layer, row_kv*n_top_k*18/64, [&](model & m) { return add_attn(m, GGML_TYPE_Q4_0, n_kv, 1, n_top_k, nullptr); });
        }
        if (is_cpu) {
            measure("attn all f16",  n_kv, n_layer, row_kv*n_kv,       [&](model & m) { return add_attn_all(m, GGML_TYPE_F16,  n_kv); });
            measure("attn all q8_0", n_kv, n_layer, row_kv*n_kv*34/64, [&](model & m) { return add_attn_all(m, GGML_TYPE_Q8_0, n_kv); });
        }
        measure("flash attention", n_kv, n_layer, row_kv*n_kv, [&](model & m) { return add_dense(m, n_kv, 1); });
    }
    const int64_t n_kv = 131072, n_tokens = 512;
    for (ggml_type type : { GGML_TYPE_F16, GGML_TYPE_Q8_0 }) {
        measure(std::string("prefill topk ") + ggml_type_name(type) + " k128", n_kv, 3, (double) ggml_row_size(type, N_EMBD_SEARCH)*n_kv,
            [&](model & m) { return add_topk(m, type, n_kv, n_tokens, 128); });
    }
    measure("prefill attn f16 k128", n_kv, 3, 4096.0*128*n_tokens, [&](model & m) { return add_attn(m, GGML_TYPE_F16, n_kv, n_tokens, 128, nullptr); });
    measure("prefill flash attention", n_kv, 2, 4096.0*n_kv, [&](model & m) { return add_dense(m, n_kv, n_tokens); });
}

} // namespace

int main(int argc, char ** argv) {
    std::string device;
    int         n_threads = 0;
    for (int i = 2; i + 1 < argc; i += 2) {
        const std::string name = argv[i];
        if (name == "--heads") {
            n_head = std::atoi(argv[i + 1]);
        } else if (name == "--threads") {
            n_threads = std::atoi(argv[i + 1]);
        } else {
            (name == "--device" ? device : only) = argv[i + 1];
        }
    }
    if (n_head < N_HEAD_KV || n_head % N_HEAD_KV != 0) {
        std::fprintf(stderr, "ann-op-bench: --heads is no multiple of %d\n", (int) N_HEAD_KV);
        return 2;
    }
    if (argc < 2) {
        std::fprintf(stderr, "usage: ann-op-bench BACKEND_DIR [--device NAME] [--only TEXT] [--heads N] [--threads N]\n");
        return 2;
    }
    ggml_backend_load_all_from_path(argv[1]);
    ggml_backend_dev_t dev = device.empty() ? ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_GPU) : ggml_backend_dev_by_name(device.c_str());
    if (!dev) {
        std::fprintf(stderr, "ann-op-bench: no device %s\n", device.empty() ? "that is a GPU" : device.c_str());
        return 1;
    }
    backend = ggml_backend_dev_init(dev, nullptr);
    is_cpu  = ggml_backend_dev_type(dev) == GGML_BACKEND_DEVICE_TYPE_CPU;
    if (n_threads > 0) {
        auto set = (ggml_backend_set_n_threads_t) ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(dev), "ggml_backend_set_n_threads");
        if (set) {
            set(backend, n_threads);
        }
    }
    std::printf("{\"test\": \"device\", \"gpu_info\": \"%s\"}\n", ggml_backend_dev_description(dev));
    run_all();
    ggml_backend_free(backend);
    return 0;
}
