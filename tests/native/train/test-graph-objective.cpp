// The objective as a graph against the plain one, on the CPU backend and on every GPU found: sums and gradients of the same
// layer, weights and queries, whole and in several blocks, from the host and from the device's own memory.
#include "../check.h"
#include "random-layer.h"

#include "train/graph-objective.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <mutex>

using namespace ann;

namespace {

std::vector<ggml_backend_dev_t> devices() {
    static std::once_flag once;
    std::call_once(once, [] { ggml_backend_load_all_from_path(ANN_BIN_DIR); });
    std::vector<ggml_backend_dev_t> res;
    for (size_t i = 0; i < ggml_backend_dev_count(); ++i) {
        res.push_back(ggml_backend_dev_get(i));
    }
    CHECK(!res.empty());
    return res;
}

// a GPU multiplies in TF32: 10 bits of mantissa
double tolerance(ggml_backend_dev_t dev) { return ggml_backend_dev_type(dev) == GGML_BACKEND_DEVICE_TYPE_CPU ? 2e-5 : 5e-3; }

double distance(const std::vector<float> & a, const std::vector<float> & b) {
    double off = 0.0, length = 0.0;
    CHECK_EQ(a.size(), b.size());
    for (size_t i = 0; i < a.size(); ++i) {
        off    += ((double) a[i] - b[i])*((double) a[i] - b[i]);
        length += (double) b[i]*b[i];
    }
    CHECK(length > 0.0);
    return std::sqrt(off/length);
}

void check_equal(const objective_sums & got, const objective_sums & expected, double tolerance) {
    CHECK_LE(distance(got.gradient.q, expected.gradient.q), tolerance);
    CHECK_LE(distance(got.gradient.k, expected.gradient.k), tolerance);
    CHECK(expected.loss_weight > 0.0);
    for (double objective_sums::* value : { &objective_sums::weight, &objective_sums::loss_weight, &objective_sums::kl,
            &objective_sums::kl_unit, &objective_sums::contrastive }) {
        CHECK_LE(std::fabs(got.*value - expected.*value), tolerance*(1.0 + std::fabs(expected.*value)));
    }
}

// a layer's three as tensors of a device, the queries strided as attention gets them
struct on_device {
    ggml_context_ptr        ctx { ggml_init({ 8*ggml_tensor_overhead(), nullptr, true }) };
    ggml_backend_ptr        backend;
    ggml_backend_buffer_ptr buffer;
    captured_layer          layer;

    on_device(const captured_layer & x, ggml_backend_dev_t dev) : backend(ggml_backend_dev_init(dev, nullptr)), layer(x) {
        ggml_tensor * h = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, x.n_embd, x.n_tokens);
        ggml_tensor * q = ggml_new_tensor_3d(ctx.get(), GGML_TYPE_F32, x.n_embd_head, x.n_head, x.n_tokens);
        ggml_tensor * k = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, x.n_embd_head*x.n_head_kv, x.n_tokens);
        buffer.reset(ggml_backend_alloc_ctx_tensors(ctx.get(), backend.get()));
        ggml_backend_tensor_set(h, x.h.data(), 0, ggml_nbytes(h));
        ggml_backend_tensor_set(q, x.q.data(), 0, ggml_nbytes(q));
        ggml_backend_tensor_set(k, x.k.data(), 0, ggml_nbytes(k));
        layer.device_h = h, layer.device_k = k;
        layer.device_q = ggml_permute(ctx.get(), q, 0, 2, 1, 3);
        ggml_backend_view_init(layer.device_q);
        layer.h.clear(), layer.q.clear(), layer.k.clear();
    }
};

} // namespace

TEST("sums and gradients equal those of the plain objective, in one block and in several") {
    for (ggml_backend_dev_t dev : devices()) {
        for (bool pack : { false, true }) for (const auto & v : random_variants()) {
            const auto x = pack ? packed(random_layer(11, v.softcap)) : random_layer(11, v.softcap);
            const auto w = random_weights(v.shape, 5);
            objective_sums expected;
            layer_objective(v.shape, v.params, 2).add(x, some_queries(), w, expected);
            for (size_t block_bytes : { (size_t) 1 << 30, (size_t) 400000 }) { // 400000: 24 to 32 queries
                objective_sums got;
                graph_objective objective(v.shape, v.params, dev, block_bytes);
                CHECK_EQ(objective.missing(x.n_tokens, x.n_head, x.n_head_kv, x.n_embd_head, v.softcap > 0.0f), std::string());
                objective.add(x, some_queries(), w, got);
                check_equal(got, expected, tolerance(dev));
            }
        }
    }
}

TEST("a layer in the device's memory gives what one on the host gives") {
    for (ggml_backend_dev_t dev : devices()) {
        const auto v = random_variants()[4];
        const auto x = random_layer(12, v.softcap);
        const auto w = random_weights(v.shape, 6);
        const on_device there(x, dev);
        graph_objective objective(v.shape, v.params, dev);
        objective_sums a, b;
        objective.add(x, some_queries(), w, a);
        objective.add(there.layer, some_queries(), w, b);
        check_equal(b, a, 1e-6);
    }
}

TEST("a copy for a device keeps values and strides") {
    for (ggml_backend_dev_t dev : devices()) {
        const auto x = random_layer(13);
        const on_device there(x, dev);
        device_copy copy(ggml_backend_dev_buffer_type(dev));
        const ggml_tensor * q = copy.take(there.layer.device_q);
        CHECK(q && std::memcmp(q->nb, there.layer.device_q->nb, sizeof(q->nb)) == 0);
        std::vector<float> values(x.q.size());
        CHECK_EQ(ggml_nbytes(q), values.size()*sizeof(float));
        ggml_backend_tensor_get(q, values.data(), 0, ggml_nbytes(q));
        CHECK(values == x.q);
    }
}

TEST("the mass of a search equals that of the plain objective") {
    for (ggml_backend_dev_t dev : devices()) {
        const auto v = random_variants()[2];
        const auto w = random_weights(v.shape, 8);
        for (bool pack : { false, true }) for (int32_t top_k : { 10, 40, 400 }) { // window and sinks alone; some; all
            const auto x = pack ? packed(random_layer(14)) : random_layer(14);
            const double expected = layer_objective(v.shape, v.params, 2).mass(x, some_queries(), w, top_k);
            const double got      = graph_objective(v.shape, v.params, dev, 400000).mass(x, some_queries(), w, top_k);
            CHECK_LE(std::fabs(got - expected), tolerance(dev));
        }
    }
}

TEST("rows that are sorted in two stages give the same best cells") {
    for (ggml_backend_dev_t dev : devices()) {
        const auto v = random_variants()[3];
        const auto x = random_layer(15, 0.0f, 2048);
        const auto w = random_weights(v.shape, 9);
        std::vector<int32_t> queries;
        for (int32_t i = 10; i < x.n_tokens; i += 61) {
            queries.push_back(i);
        }
        objective_sums expected, got;
        layer_objective(v.shape, v.params, 2).add(x, queries, w, expected);
        graph_objective objective(v.shape, v.params, dev);
        objective.add(x, queries, w, got);
        check_equal(got, expected, tolerance(dev));
        const double mass = layer_objective(v.shape, v.params, 2).mass(x, queries, w, 40);
        CHECK_LE(std::fabs(objective.mass(x, queries, w, 40) - mass), tolerance(dev));
    }
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
