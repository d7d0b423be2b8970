// A GPU for machines without one: a device of its own memory, which only its functions may read, that takes the ops that
// CUDA takes of ours and lets the CPU compute them. What the scheduler makes of it is what it makes of a GPU: where nodes
// run, what is copied.
#pragma once

#include "ggml-ann.h"
#include "ggml-backend-impl.h"

#include <cstdlib>
#include <cstring>
#include <new>

namespace pretended {

inline ggml_backend_dev_t device();

inline ggml_backend_dev_t cpu() { return ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU); }

// ---------------------------------------------------------------------------------------------------------------------
// memory

inline const char * buft_name(ggml_backend_buffer_type_t) { return "Pretended"; }
inline size_t alignment(ggml_backend_buffer_type_t) { return 128; }

inline ggml_backend_buffer_t alloc_buffer(ggml_backend_buffer_type_t buft, size_t size) {
    ggml_backend_buffer_i iface = {};
    iface.free_buffer   = [](ggml_backend_buffer_t b) { std::free(b->context); };
    iface.get_base      = [](ggml_backend_buffer_t b) { return b->context; };
    iface.memset_tensor = [](ggml_backend_buffer_t, ggml_tensor * t, uint8_t value, size_t offset, size_t n) { std::memset((char *) t->data + offset, value, n); };
    iface.set_tensor    = [](ggml_backend_buffer_t, ggml_tensor * t, const void * data, size_t offset, size_t n) { std::memcpy((char *) t->data + offset, data, n); };
    iface.get_tensor    = [](ggml_backend_buffer_t, const ggml_tensor * t, void * data, size_t offset, size_t n) { std::memcpy(data, (const char *) t->data + offset, n); };
    iface.clear         = [](ggml_backend_buffer_t b, uint8_t value) { std::memset(b->context, value, b->size); };
    void * base = std::aligned_alloc(128, GGML_PAD(size + 1, (size_t) 128));
    return base ? ggml_backend_buffer_init(buft, iface, base, size) : nullptr;
}

inline ggml_backend_buffer_type_t buffer_type(ggml_backend_dev_t) {
    static ggml_backend_buffer_type type = { { buft_name, alloc_buffer, alignment, nullptr, nullptr, nullptr }, device(), nullptr };
    return &type;
}

// ---------------------------------------------------------------------------------------------------------------------
// computation

inline const char * name(ggml_backend_t) { return "Pretended"; }

inline ggml_status graph_compute(ggml_backend_t backend, ggml_cgraph * graph) {
    return ggml_backend_graph_compute((ggml_backend_t) backend->context, graph);
}

inline ggml_backend_t init_backend(ggml_backend_dev_t dev, const char *) {
    ggml_backend_i iface = {};
    iface.get_name      = name;
    iface.free          = [](ggml_backend_t b) { ggml_backend_free((ggml_backend_t) b->context); delete b; };
    iface.graph_compute = graph_compute;
    ggml_backend_t inner = ggml_backend_dev_init(cpu(), nullptr);
    auto set_threads = (ggml_backend_set_n_threads_t) ggml_backend_reg_get_proc_address(ggml_backend_dev_backend_reg(cpu()), "ggml_backend_set_n_threads");
    set_threads(inner, 2);
    static ggml_guid guid = { 0x70, 0x72, 0x65, 0x74, 0x65, 0x6e, 0x64, 0x65, 0x64, 0, 0, 0, 0, 0, 0, 1 };
    return new ggml_backend { &guid, iface, dev, inner };
}

inline bool supports_op(ggml_backend_dev_t, const ggml_tensor * op) {
    if (op->op == GGML_OP_ANN) {
        switch (ggml_ann_get_kind(op)) { // as ggml_cuda_ann_supported
            case GGML_ANN_TOPK: case GGML_ANN_MASK: return true;
            case GGML_ANN_ATTN: return op->src[1]->type == op->src[2]->type;
            default:            return false;
        }
    }
    const bool custom = op->op == GGML_OP_CUSTOM || op->op == GGML_OP_MAP_CUSTOM1 || op->op == GGML_OP_MAP_CUSTOM2 || op->op == GGML_OP_MAP_CUSTOM3;
    return !custom && ggml_backend_dev_supports_op(cpu(), op);
}

inline ggml_backend_dev_t device() {
    static ggml_backend_device dev = [] {
        ggml_backend_device res = {};
        res.iface.get_name        = [](ggml_backend_dev_t) { return "Pretended0"; };
        res.iface.get_description = [](ggml_backend_dev_t) { return "the CPU, as a GPU"; };
        res.iface.get_memory      = [](ggml_backend_dev_t, size_t * free, size_t * total) { *free = *total = (size_t) 8 << 30; };
        res.iface.get_type        = [](ggml_backend_dev_t) { return GGML_BACKEND_DEVICE_TYPE_GPU; };
        res.iface.get_props       = [](ggml_backend_dev_t d, ggml_backend_dev_props * p) {
            *p = {};
            p->name        = d->iface.get_name(d);
            p->description = d->iface.get_description(d);
            p->type        = GGML_BACKEND_DEVICE_TYPE_GPU;
            d->iface.get_memory(d, &p->memory_free, &p->memory_total);
        };
        res.iface.init_backend    = init_backend;
        res.iface.get_buffer_type = buffer_type;
        res.iface.supports_op     = supports_op;
        res.iface.supports_buft   = [](ggml_backend_dev_t d, ggml_backend_buffer_type_t buft) { return buft == buffer_type(d); };
        // products with weights in main memory, for prompts, as CUDA does
        res.iface.offload_op      = [](ggml_backend_dev_t, const ggml_tensor * op) { return op->op == GGML_OP_MUL_MAT && op->ne[1] >= 32; };
        return res;
    }();
    return &dev;
}

// Once a process, before a model is loaded.
inline void register_device() {
    static ggml_backend_reg reg = [] {
        ggml_backend_reg res = {};
        res.api_version = GGML_BACKEND_API_VERSION;
        res.iface.get_name         = [](ggml_backend_reg_t) { return "Pretended"; };
        res.iface.get_device_count = [](ggml_backend_reg_t) { return (size_t) 1; };
        res.iface.get_device       = [](ggml_backend_reg_t, size_t) { return device(); };
        return res;
    }();
    device()->reg = &reg;
    ggml_backend_register(&reg);
}

} // namespace pretended
