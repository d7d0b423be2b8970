// What attention gets, read from the nodes of a running graph: no patch, no second forward, any architecture whose
// attention is llama.cpp's shared K/V-cache attention.
#pragma once

#include "ggml.h"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace ann {

// One layer of one ubatch.
//
// h: [n_embd,      n_tokens]             f32, the hidden state entering attention (projections are applied to it)
// q: [n_embd_head, n_head,    n_tokens]  f32, as attention gets it: after norm and RoPE
// k: [n_embd_head, n_head_kv, n_tokens]  f32, likewise
struct captured_layer {
    int32_t layer       = -1;
    int32_t n_tokens    = 0;
    int32_t n_embd      = 0;
    int32_t n_head      = 0;
    int32_t n_head_kv   = 0;
    int32_t n_embd_head = 0;
    float   kq_scale    = 0.0f; // attention logit = kq_scale * dot(q, k)
    float   softcap     = 0.0f; // 0: none; else logit = softcap * tanh(logit / softcap)

    std::vector<float> h, q, k;
};

// A callback of ggml_backend_sched: collects a layer's three tensors and hands it over at the layer's attention node.
class node_capture {
public:
    using sink = std::function<bool(const captured_layer &)>; // false: stop

    explicit node_capture(sink on_layer) : on_layer(std::move(on_layer)) {}

    // as ggml_backend_sched_eval_callback; after a false answer the graph stops
    bool operator()(ggml_tensor * t, bool ask);

    // why the capture stopped by itself; empty: it did not
    const std::string & problem() const { return reason; }

private:
    sink           on_layer;
    captured_layer current;
    std::string    reason;

    void keep_attention(const ggml_tensor * t);
    bool fail(const std::string & why);
};

} // namespace ann
