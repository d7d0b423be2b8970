#include "../gpu-target.h"

#include "ann-cuda.cuh"

namespace {

class emulated_target : public target {
public:
    emulated_target(bool matrix_units, int n_sm) : cc(matrix_units ? 900 : 700), n_sm(n_sm) {}

    std::string name() const override {
        return "emulated, " + std::to_string(n_sm) + " multiprocessors" + (cc >= 800 ? ", matrix units" : "");
    }
    bool is_emulated() const override { return true; }
    ggml_backend_t memory() const override { return ops::cpu(); }
    bool supports(const ggml_tensor * op) const override { return ggml_cuda_ann_supported(0, op); }

    void compute(ggml_context *, ggml_tensor * op) override {
        ggml_cuda_info().devices[0] = { cc, n_sm };
        ggml_backend_cuda_context ctx;
        ggml_cuda_ann(ctx, op);
    }

    int compute_graph(ggml_cgraph * graph) override {
        ggml_cuda_info().devices[0] = { cc, n_sm };
        ggml_backend_cuda_context ctx;
        int fused = 0;
        for (int i = 0; i < graph->n_nodes; ++i) { // as ggml-cuda.cu does, with the CPU for the ops of others
            ggml_tensor * node = graph->nodes[i];
            if (const int n = ggml_cuda_ann_fuse(ctx, graph, i)) {
                fused += n;
                i += n;
            } else if (node->op == GGML_OP_ANN) {
                ggml_cuda_ann(ctx, node);
            } else {
                ggml_cgraph one = ggml_graph_view(graph, i, i + 1);
                ggml_backend_graph_compute(ops::cpu(), &one);
            }
        }
        CHECK(emulator::enqueued.empty());
        return fused;
    }

    int n_beside() const override { return emulator::n_enqueued; }

private:
    int cc, n_sm;
};

} // namespace

std::unique_ptr<target> make_emulated(bool matrix_units, int n_sm) {
    return std::make_unique<emulated_target>(matrix_units, n_sm);
}
