#include "capture.h"

#include "ggml-ann.h"
#include "llama-ann.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ann {

namespace {

// "blk.3.attn_q.weight" -> 3 for the weights that the hidden state entering attention meets first, else -1
int32_t attention_weight_layer(const char * name) {
    int32_t layer = -1;
    int     n     = 0;
    if (std::sscanf(name, "blk.%d.%n", &layer, &n) != 1 || n == 0) {
        return -1;
    }
    static const char * weights[] = { "attn_q.weight", "attn_k.weight", "attn_qkv.weight" };
    for (const char * weight : weights) {
        if (std::strcmp(name + n, weight) == 0) {
            return layer;
        }
    }
    return -1;
}

// "cache_k_l3" -> 3
int32_t key_cache_layer(const char * name) {
    constexpr char prefix[] = "cache_k_l";
    return std::strncmp(name, prefix, sizeof(prefix) - 1) == 0 ? std::atoi(name + sizeof(prefix) - 1) : -1;
}

// rotation: nothing is read there; a backend that fuses it with the write of the keys (CUDA) would not leave them behind
enum class node_kind { other, hidden, rotation, key, attention };

struct node_role {
    node_kind kind  = node_kind::other;
    int32_t   layer = -1;
};

node_role role_of(const ggml_tensor * t) {
    if (t->op == GGML_OP_MUL_MAT) {
        const int32_t layer = attention_weight_layer(t->src[0]->name);
        if (layer >= 0) {
            return { node_kind::hidden, layer };
        }
        int32_t il = -1;
        return std::sscanf(t->name, "kq-%d", &il) == 1 ? node_role { node_kind::attention, il } : node_role();
    }
    if (t->op == GGML_OP_ROPE) {
        return { node_kind::rotation, -1 };
    }
    if (t->op == GGML_OP_SET_ROWS && t->view_src) {
        const int32_t layer = key_cache_layer(t->view_src->name);
        return layer >= 0 ? node_role { node_kind::key, layer } : node_role();
    }
    if (t->op == GGML_OP_FLASH_ATTN_EXT) {
        return { node_kind::attention, -1 }; // named after it is built; the layer is that of the keys before it
    }
    if (t->op == GGML_OP_ANN && std::strncmp(t->name, LLAMA_ANN_NODE_ATTN "-", sizeof(LLAMA_ANN_NODE_ATTN)) == 0) {
        return { node_kind::attention, -1 };
    }
    return {};
}

// any strided f32 tensor, densely, in the order of its dims
std::vector<float> read_f32(const ggml_tensor * t) {
    std::vector<uint8_t> bytes(ggml_nbytes(t));
    ggml_backend_tensor_get(t, bytes.data(), 0, bytes.size());
    std::vector<float> res((size_t) ggml_nelements(t));
    float * out = res.data();
    for (int64_t i3 = 0; i3 < t->ne[3]; ++i3) {
        for (int64_t i2 = 0; i2 < t->ne[2]; ++i2) {
            for (int64_t i1 = 0; i1 < t->ne[1]; ++i1, out += t->ne[0]) {
                std::memcpy(out, bytes.data() + i1*t->nb[1] + i2*t->nb[2] + i3*t->nb[3], (size_t) t->ne[0]*sizeof(float));
            }
        }
    }
    return res;
}

float float_param(const ggml_tensor * t, size_t i) {
    float value;
    std::memcpy(&value, (const uint8_t *) t->op_params + i*sizeof(float), sizeof(value));
    return value;
}

} // namespace

ggml_tensor * device_copy::take(const ggml_tensor * t) {
    const size_t n_bytes = ggml_nbytes(t);
    if (!buffer || ggml_backend_buffer_get_size(buffer.get()) < n_bytes) {
        buffer.reset();
        buffer.reset(ggml_backend_buft_alloc_buffer(buft, n_bytes));
        if (!buffer) {
            return nullptr;
        }
    }
    ctx.reset(ggml_init({ ggml_tensor_overhead(), nullptr, true }));
    ggml_tensor * res = ggml_new_tensor(ctx.get(), t->type, GGML_MAX_DIMS, t->ne);
    std::copy_n(t->nb, GGML_MAX_DIMS, res->nb);
    if (ggml_backend_tensor_alloc(buffer.get(), res, ggml_backend_buffer_get_base(buffer.get())) != GGML_STATUS_SUCCESS) {
        return nullptr;
    }
    ggml_backend_tensor_copy(const_cast<ggml_tensor *>(t), res);
    return res;
}

node_capture::node_capture(sink on_layer, ggml_backend_buffer_type_t device) : on_layer(std::move(on_layer)),
    device(device ? new copies { device_copy(device), device_copy(device), device_copy(device) } : nullptr) {}

bool node_capture::fail(const std::string & why) {
    reason = why;
    return false;
}

bool node_capture::keep(const ggml_tensor * t, device_copy copies::* where, std::vector<float> & host, ggml_tensor *& on_device) {
    if (!device) {
        host = read_f32(t);
        return true;
    }
    on_device = (*device.*where).take(t);
    return on_device || fail("the device has no memory left for " + std::to_string(ggml_nbytes(t)) + " bytes of a layer's window");
}

// q arrives permuted: [n_embd_head, n_tokens, n_head, 1]
bool node_capture::keep_attention(const ggml_tensor * t) {
    const ggml_tensor * q = t->op == GGML_OP_MUL_MAT ? t->src[1] : t->src[0];
    const size_t n_keys = device ? (size_t) ggml_nelements(current.device_k) : current.k.size();
    current.n_embd_head = (int32_t) q->ne[0];
    current.n_head      = (int32_t) q->ne[2];
    current.n_head_kv   = (int32_t) (n_keys/(size_t) (q->ne[0]*q->ne[1]));
    if (t->op == GGML_OP_FLASH_ATTN_EXT) {
        current.kq_scale = float_param(t, 0);
        current.softcap  = float_param(t, 2);
    } else if (t->op == GGML_OP_ANN) {
        current.kq_scale = float_param(t, 2); // as ggml_ann_attn stores them
        current.softcap  = float_param(t, 3);
    }
    std::vector<float> by_head;
    if (!keep(q, &copies::q, by_head, current.device_q)) {
        return false;
    }
    current.q.resize(by_head.size());
    const size_t n = (size_t) q->ne[0];
    for (int64_t h = 0; h < q->ne[2] && !by_head.empty(); ++h) {
        for (int64_t i = 0; i < q->ne[1]; ++i) {
            std::memcpy(current.q.data() + ((size_t) i*q->ne[2] + h)*n, by_head.data() + ((size_t) h*q->ne[1] + i)*n, n*sizeof(float));
        }
    }
    return true;
}

bool node_capture::operator()(ggml_tensor * t, bool ask) {
    const node_role role = role_of(t);
    const bool has_h = !current.h.empty() || current.device_h, has_k = !current.k.empty() || current.device_k;
    if (ask) {
        return role.kind == node_kind::hidden    ? current.layer != role.layer || !has_h :
               role.kind == node_kind::rotation  ? has_h && !has_k :
               role.kind == node_kind::key       ? current.layer == role.layer && !has_k :
               role.kind == node_kind::attention;
    }
    switch (role.kind) {
        case node_kind::other:
        case node_kind::rotation:
            return true;
        case node_kind::hidden:
            current = {};
            current.layer    = role.layer;
            current.n_embd   = (int32_t) t->src[1]->ne[0];
            current.n_tokens = (int32_t) t->src[1]->ne[1];
            if (t->src[1]->type != GGML_TYPE_F32) {
                return fail(std::string("the hidden state is ") + ggml_type_name(t->src[1]->type) + ", expected f32");
            }
            return keep(t->src[1], &copies::h, current.h, current.device_h);
        case node_kind::key: // the first rows stored for the layer are K; search keys come after them
            if (t->src[0]->type != GGML_TYPE_F32) {
                return fail(std::string("keys are ") + ggml_type_name(t->src[0]->type) + ", expected f32");
            }
            return keep(t->src[0], &copies::k, current.k, current.device_k);
        case node_kind::attention:
            if (!has_h || !has_k) {
                return fail("the graph of this architecture does not show hidden state and keys before attention");
            }
            if (t->op == GGML_OP_MUL_MAT) {
                return fail("attention is computed without flash attention; create the context with flash_attention = 1");
            }
            if (!keep_attention(t)) {
                return false;
            }
            {
                captured_layer whole = std::move(current);
                current = {};
                return on_layer(whole);
            }
    }
    return true;
}

} // namespace ann
