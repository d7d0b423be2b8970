// Where an op is computed: on a GPU that was found, or by the same kernels on the host (emulator/).
#pragma once

#include "../ggml-cpu/ops.h"

#include "ggml-ann.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

class target {
public:
    virtual ~target() = default;

    virtual std::string name() const = 0;
    virtual bool is_emulated() const { return false; }
    virtual ggml_backend_t memory() const = 0; // where the tensors of a case are
    virtual bool supports(const ggml_tensor * op) const = 0;
    virtual void compute(ggml_context * ctx, ggml_tensor * op) = 0;

    // all nodes in their order; returns how many of them were not computed one by one (-1: not known)
    virtual int compute_graph(ggml_cgraph * graph) = 0;

    // kernels so far that were enqueued beside the nodes of a graph (-1: not known)
    virtual int n_beside() const { return -1; }
};

// any backend of ggml
class backend_target : public target {
public:
    explicit backend_target(ggml_backend_t backend) : backend(backend) {}

    std::string name() const override { return ggml_backend_name(backend); }
    ggml_backend_t memory() const override { return backend; }
    bool supports(const ggml_tensor * op) const override { return ggml_backend_supports_op(backend, op); }

    void compute(ggml_context * ctx, ggml_tensor * op) override {
        ggml_cgraph * gf = ggml_new_graph(ctx);
        ggml_build_forward_expand(gf, op);
        compute_graph(gf);
    }

    int compute_graph(ggml_cgraph * graph) override {
        if (ggml_backend_graph_compute(backend, graph) != GGML_STATUS_SUCCESS) {
            throw test_failure("graph_compute failed on " + name());
        }
        return -1;
    }

private:
    ggml_backend_t backend;
};

// The kernels of native/src/ggml-cuda on the host: a device of n_sm multiprocessors, with matrix units or without.
std::unique_ptr<target> make_emulated(bool matrix_units, int n_sm);

inline std::vector<std::unique_ptr<target>> gpus_found() {
    std::vector<std::unique_ptr<target>> res;
    ops::cpu(); // loads the libraries
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        ggml_backend_dev_t dev = ggml_backend_dev_get(i);
        if (ggml_backend_dev_type(dev) == GGML_BACKEND_DEVICE_TYPE_GPU || ggml_backend_dev_type(dev) == GGML_BACKEND_DEVICE_TYPE_IGPU) {
            res.push_back(std::make_unique<backend_target>(ggml_backend_dev_init(dev, nullptr)));
        }
    }
    return res;
}
