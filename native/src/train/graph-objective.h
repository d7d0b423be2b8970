// The objective as a ggml graph, for any ggml backend that has its operations: CUDA, HIP, the CPU.
//
// One graph for a block of queries, its gradients written out as products: ggml's autograd knows few of these operations.
// What grows with queries x cells lives for a block only; a block is as large as `block_bytes` allows. Equal to
// layer_objective within rounding (tests/native/train/test-graph-objective.cpp); CUDA multiplies f32 matrices in TF32.
#pragma once

#include "objective.h"

namespace ann {

class graph_objective final : public objective {
public:
    static constexpr size_t BLOCK_BYTES = (size_t) 2 << 30;

    // throws std::runtime_error if the device cannot be opened
    graph_objective(const search_shape & shape, const objective_params & params, ggml_backend_dev_t device, size_t block_bytes = BLOCK_BYTES);

    // What a model of these shapes needs and the device has not, as "operation X"; empty: nothing. Computes nothing.
    std::string missing(int32_t n_tokens, int32_t n_head, int32_t n_head_kv, int32_t n_embd_head, bool softcap);

    // x on the host or on this device
    void   add(const captured_layer & x, const std::vector<int32_t> & queries, const projection_pair & w, objective_sums & sums) override;
    double mass(const captured_layer & x, const std::vector<int32_t> & queries, const projection_pair & w, int32_t top_k) override;

private:
    struct graph;

    const search_shape     shape;
    const objective_params params;
    const size_t           block_bytes;
    ggml_backend_ptr       backend;
    ggml_gallocr_ptr       memory;
    std::vector<uint8_t>   nodes; // the graph's own memory: its tensors lie where those of the last block lay

    size_t block_size(const captured_layer & x) const;
    void   compute(graph & g, const captured_layer & x, const std::vector<int32_t> & queries, size_t first, size_t n, const projection_pair & w);
};

} // namespace ann
