// One op on the CPU backend, and its data as floats.
#pragma once

#include "../check.h"

#include "ggml-ann.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"

#include <cstring>
#include <functional>
#include <random>

namespace ops {

inline ggml_backend_t cpu() {
    static ggml_backend_t backend = [] {
        ggml_backend_load_all_from_path(ANN_BIN_DIR);
        return ggml_backend_init_by_type(GGML_BACKEND_DEVICE_TYPE_CPU, nullptr);
    }();
    return backend;
}

inline void set_threads(int n) {
    auto * reg = ggml_backend_dev_backend_reg(ggml_backend_get_device(cpu()));
    ((ggml_backend_set_n_threads_t) ggml_backend_reg_get_proc_address(reg, "ggml_backend_set_n_threads"))(cpu(), n);
}

struct graph {
    ggml_context_ptr ctx { ggml_init({ 1 << 20, nullptr, true }) };
    ggml_backend_buffer_ptr buffer;

    ggml_tensor * tensor(ggml_type type, int64_t a, int64_t b, int64_t c = 1, int64_t d = 1) {
        return ggml_new_tensor_4d(ctx.get(), type, a, b, c, d);
    }

    void run(ggml_tensor * res, const std::function<void()> & fill, int n_threads) {
        buffer.reset(ggml_backend_alloc_ctx_tensors(ctx.get(), cpu()));
        fill();
        ggml_cgraph * gf = ggml_new_graph(ctx.get());
        ggml_build_forward_expand(gf, res);
        set_threads(n_threads);
        if (ggml_backend_graph_compute(cpu(), gf) != GGML_STATUS_SUCCESS) {
            throw test_failure("graph_compute failed");
        }
    }
};

inline std::vector<float> to_floats(const ggml_tensor * t) {
    std::vector<uint8_t> raw(ggml_nbytes(t));
    ggml_backend_tensor_get(t, raw.data(), 0, raw.size());
    std::vector<float> res(ggml_nelements(t));
    if (t->type == GGML_TYPE_F32) {
        std::memcpy(res.data(), raw.data(), raw.size());
    } else {
        ggml_get_type_traits(t->type)->to_float(raw.data(), res.data(), (int64_t) res.size());
    }
    return res;
}

inline std::vector<int32_t> to_ints(const ggml_tensor * t) {
    std::vector<int32_t> res(ggml_nelements(t));
    ggml_backend_tensor_get(t, res.data(), 0, ggml_nbytes(t));
    return res;
}

inline void set_floats(ggml_tensor * t, const std::vector<float> & values) {
    std::vector<uint8_t> raw(ggml_nbytes(t));
    ggml_quantize_chunk(t->type, values.data(), raw.data(), 0, ggml_nrows(t), t->ne[0], nullptr);
    ggml_backend_tensor_set(t, raw.data(), 0, raw.size());
}

inline std::vector<float> normal(size_t n, std::mt19937 & rng, float scale = 1.0f) {
    std::normal_distribution<float> d(0.0f, scale);
    std::vector<float> res(n);
    for (float & x : res) {
        x = d(rng);
    }
    return res;
}

} // namespace ops
