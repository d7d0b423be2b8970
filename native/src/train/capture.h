// What attention gets, read from the nodes of a running graph: no patch, no second forward, any architecture whose
// attention is llama.cpp's shared K/V-cache attention.
#pragma once

#include "ggml-backend.h"
#include "ggml-cpp.h"

#include <cstdint>
#include <functional>
#include <memory>
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

    std::vector<float> h, q, k; // empty where the three are on a device

    // [n_tokens] first row of a row's document, which is all that it attends to; empty: the window is one document.
    // Set by who packed the window.
    std::vector<int32_t> starts;

    // on a device, f32, of any strides; nullptr: on the host
    // h: [n_embd, n_tokens]   q: [n_embd_head, n_tokens, n_head]   k: n_embd_head*n_head_kv*n_tokens values in the order above
    ggml_tensor * device_h = nullptr;
    ggml_tensor * device_q = nullptr;
    ggml_tensor * device_k = nullptr;
};

// A copy of a tensor in a device's memory, with the strides of its source; lives until the next copy.
class device_copy {
public:
    explicit device_copy(ggml_backend_buffer_type_t buft) : buft(buft) {}

    // nullptr: the device has not the memory
    ggml_tensor * take(const ggml_tensor * t);

private:
    ggml_backend_buffer_type_t buft;
    ggml_backend_buffer_ptr    buffer;
    ggml_context_ptr           ctx;
};

// A callback of ggml_backend_sched: collects a layer's three tensors and hands it over at the layer's attention node.
class node_capture {
public:
    using sink = std::function<bool(captured_layer &)>; // false: stop

    // device: where the three are kept, in memory of its own; nullptr: on the host
    explicit node_capture(sink on_layer, ggml_backend_buffer_type_t device = nullptr);

    // as ggml_backend_sched_eval_callback; after a false answer the graph stops
    bool operator()(ggml_tensor * t, bool ask);

    // why the capture stopped by itself; empty: it did not
    const std::string & problem() const { return reason; }

private:
    struct copies {
        device_copy h, q, k;
    };

    sink                    on_layer;
    std::unique_ptr<copies> device;
    captured_layer          current;
    std::string             reason;

    bool keep(const ggml_tensor * t, device_copy copies::* where, std::vector<float> & host, ggml_tensor *& on_device);
    bool keep_attention(const ggml_tensor * t);
    bool fail(const std::string & why);
};

} // namespace ann
