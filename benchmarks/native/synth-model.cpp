// A model of the shape of Qwen3-4B with random weights, for speed only; for machines without .NET (elsewhere: ann synth).
//
//   synth-model f16|q4_0 RESERVED OUT    RESERVED: layers without search projections, spread evenly; -1: no projections

#include "ggml-cpp.h"
#include "gguf.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr int N_LAYER = 36, N_EMBD = 2560, N_HEAD = 32, N_HEAD_KV = 8, N_EMBD_HEAD = 128, N_FF = 9728, N_VOCAB = 151936, N_SEARCH = 128;

class writer {
public:
    writer(ggml_type type, size_t bytes) : type(type), ctx(ggml_init({ bytes, nullptr, false })), gguf(gguf_init_empty()) {
        std::normal_distribution<float> normal(0.0f, 0.02f);
        std::mt19937 rng(1);
        noise_f32.resize(1 << 22);
        for (float & x : noise_f32) {
            x = normal(rng);
        }
    }

    gguf_context * meta() { return gguf.get(); }

    void ones(const std::string & name, int64_t n) {
        ggml_tensor * t = add(name, GGML_TYPE_F32, n, 1);
        std::fill_n((float *) t->data, n, 1.0f);
    }

    void random(const std::string & name, int64_t n_in, int64_t n_out) { random(name, type, n_in, n_out); }

    void random(const std::string & name, ggml_type of, int64_t n_in, int64_t n_out) {
        ggml_tensor * t = add(name, of, n_in, n_out);
        std::vector<uint8_t> & noise = of == GGML_TYPE_F16 ? noise_f16 : noise_type;
        if (noise.empty()) {
            noise.resize(ggml_row_size(of, (int64_t) noise_f32.size()));
            ggml_quantize_chunk(of, noise_f32.data(), noise.data(), 0, 1, (int64_t) noise_f32.size(), nullptr);
        }
        const size_t bytes = ggml_nbytes(t);
        for (size_t done = 0; done < bytes;) { // shifted copies
            const size_t from = shift++ % 1009*ggml_type_size(of);
            const size_t n    = std::min(noise.size() - from, bytes - done);
            std::memcpy((char *) t->data + done, noise.data() + from, n);
            done += n;
        }
    }

    bool write(const char * path) { return gguf_write_to_file(gguf.get(), path, false); }

private:
    ggml_type        type;
    ggml_context_ptr ctx;
    gguf_context_ptr gguf;
    std::vector<float>   noise_f32;
    std::vector<uint8_t> noise_f16, noise_type;
    size_t shift = 0;

    ggml_tensor * add(const std::string & name, ggml_type of, int64_t a, int64_t b) {
        ggml_tensor * t = b == 1 ? ggml_new_tensor_1d(ctx.get(), of, a) : ggml_new_tensor_2d(ctx.get(), of, a, b);
        ggml_set_name(t, name.c_str());
        gguf_add_tensor(gguf.get(), t);
        return t;
    }
};

void write_metadata(gguf_context * g, bool search) {
    auto number = [&](const char * key, uint32_t value) { gguf_set_val_u32(g, (std::string("qwen3.") + key).c_str(), value); };
    gguf_set_val_str(g, "general.architecture", "qwen3");
    gguf_set_val_str(g, "general.name", "random weights, for speed only");
    number("block_count", N_LAYER);
    number("context_length", 1 << 20);
    number("embedding_length", N_EMBD);
    number("feed_forward_length", N_FF);
    number("attention.head_count", N_HEAD);
    number("attention.head_count_kv", N_HEAD_KV);
    number("attention.key_length", N_EMBD_HEAD);
    number("attention.value_length", N_EMBD_HEAD);
    gguf_set_val_f32(g, "qwen3.rope.freq_base", 1e6f);
    gguf_set_val_f32(g, "qwen3.attention.layer_norm_rms_epsilon", 1e-6f);
    gguf_set_val_str(g, "tokenizer.ggml.model", "none");
    number("vocab_size", N_VOCAB);
    if (search) {
        number("attention.indexer.head_count", 1);
        number("attention.indexer.key_length", N_SEARCH);
        number("attention.indexer.top_k", 128);
    }
}

void add_layer(writer & w, int il, bool search) {
    const std::string b = "blk." + std::to_string(il) + ".";
    for (const char * name : { "attn_norm.weight", "ffn_norm.weight" }) {
        w.ones(b + name, N_EMBD);
    }
    for (const char * name : { "attn_q_norm.weight", "attn_k_norm.weight" }) {
        w.ones(b + name, N_EMBD_HEAD);
    }
    w.random(b + "attn_q.weight", N_EMBD, N_HEAD*N_EMBD_HEAD);
    w.random(b + "attn_k.weight", N_EMBD, N_HEAD_KV*N_EMBD_HEAD);
    w.random(b + "attn_v.weight", N_EMBD, N_HEAD_KV*N_EMBD_HEAD);
    w.random(b + "attn_output.weight", N_HEAD*N_EMBD_HEAD, N_EMBD);
    w.random(b + "ffn_gate.weight", N_EMBD, N_FF);
    w.random(b + "ffn_up.weight", N_EMBD, N_FF);
    w.random(b + "ffn_down.weight", N_FF, N_EMBD);
    if (search) {
        w.random(b + "indexer.proj.weight", GGML_TYPE_F16, N_EMBD, N_SEARCH);
        w.random(b + "indexer.attn_k.weight", GGML_TYPE_F16, N_EMBD, N_SEARCH);
    }
}

} // namespace

int main(int argc, char ** argv) {
    if (argc != 4 || (std::strcmp(argv[1], "f16") != 0 && std::strcmp(argv[1], "q4_0") != 0)) {
        std::fprintf(stderr, "usage: synth-model f16|q4_0 RESERVED OUT\n");
        return 2;
    }
    const ggml_type type = std::strcmp(argv[1], "f16") == 0 ? GGML_TYPE_F16 : GGML_TYPE_Q4_0;
    const int n_reserved = std::atoi(argv[2]);
    std::vector<bool> search(N_LAYER, n_reserved >= 0);
    for (int i = 0; i < n_reserved; ++i) {
        search[n_reserved == 1 ? 0 : i*(N_LAYER - 1)/(n_reserved - 1)] = false;
    }
    writer w(type, (size_t) (type == GGML_TYPE_F16 ? 9000 : 2800) << 20);
    write_metadata(w.meta(), n_reserved >= 0);
    w.random("token_embd.weight", N_EMBD, N_VOCAB);
    w.ones("output_norm.weight", N_EMBD);
    for (int il = 0; il < N_LAYER; ++il) {
        add_layer(w, il, search[il]);
    }
    if (!w.write(argv[3])) {
        std::fprintf(stderr, "synth-model: %s cannot be written\n", argv[3]);
        return 1;
    }
    return 0;
}
