// Training through the C ABI, on the embedded model.
#include "harness.h"

#include "ann-train.h"

#include <algorithm>
#include <atomic>
#include <thread>

using namespace harness;

namespace {

using train_ptr = std::unique_ptr<ann_train, decltype(&ann_train_free)>;

constexpr size_t N_WINDOW = 400, N_VALUES = 32*384;
const int32_t LAYERS[] = { 3, 7 };

ann_train_params small() {
    ann_train_params p;
    ann_train_params_default(&p);
    p.n_embd_search = 32;
    p.n_ctx     = 512;
    p.n_updates = 2;
    p.n_queries = 128;
    p.n_steps   = 12;
    p.n_warmup  = 2;
    p.n_threads = 2;
    p.n_layers  = 2;
    p.layers    = LAYERS;
    return p;
}

train_ptr create(const ann_train_params & p, ann_model * m = model()) {
    ann_train * t = nullptr;
    OK(ann_train_create(m, &p, &t, &e_));
    return train_ptr(t, ann_train_free);
}

double learn(ann_train * t, size_t step) {
    const auto tokens = slice(20000 + step*N_WINDOW, N_WINDOW);
    ann_train_report s = {};
    s.struct_size = sizeof(s);
    double loss[2] = {};
    OK(ann_train_window(t, tokens.data(), tokens.size(), nullptr, 0, &s, loss, &e_));
    CHECK_EQ(s.step, (int64_t) (step + 1)*2);
    CHECK_LE(std::fabs(s.loss - (loss[0] + loss[1])/2), 1e-9);
    return s.loss;
}

std::vector<float> tensor(ann_train * t, int32_t index, int32_t which) {
    std::vector<float> res(N_VALUES);
    OK(ann_train_get_tensor(t, index, which, res.data(), res.size(), &e_));
    return res;
}

std::vector<double> masses(ann_train * t) {
    const auto tokens = slice(0, N_WINDOW);
    std::vector<double> res(2);
    OK(ann_train_evaluate(t, tokens.data(), tokens.size(), 64, 3, res.data(), &e_));
    return res;
}

} // namespace

TEST("training lowers the loss and raises the mass on text that it has not seen") {
    auto t = create(small());
    const auto before = masses(t.get());
    const double first = learn(t.get(), 0);
    double last = 0.0;
    for (size_t step = 1; step < 6; ++step) {
        last = learn(t.get(), step);
    }
    const auto after = masses(t.get());
    CHECK(last < first);
    for (size_t i = 0; i < 2; ++i) {
        CHECK(before[i] > 0.0 && after[i] <= 1.0);
        CHECK(after[i] > before[i] + 0.01);
    }
}

TEST("a resumed training equals one without a break, on any number of threads") {
    auto p = small();
    auto whole = create(p), first = create(p);
    for (size_t step = 0; step < 4; ++step) {
        learn(whole.get(), step);
    }
    learn(first.get(), 0);
    learn(first.get(), 1);
    p.n_threads = 1;
    auto second = create(p);
    for (int32_t i = 0; i < 2; ++i) {
        for (int32_t which = 0; which <= ANN_TRAIN_V_K; ++which) {
            const auto values = tensor(first.get(), i, which);
            OK(ann_train_set_tensor(second.get(), i, which, values.data(), values.size(), &e_));
        }
    }
    OK(ann_train_set_step(second.get(), 4, &e_));
    learn(second.get(), 2);
    learn(second.get(), 3);
    for (int32_t i = 0; i < 2; ++i) {
        for (int32_t which = 0; which <= ANN_TRAIN_V_K; ++which) {
            CHECK(tensor(whole.get(), i, which) == tensor(second.get(), i, which));
        }
    }
}

TEST("defaults are resolved from the model") {
    ann_train_params p;
    ann_train_params_default(&p);
    p.n_ctx = 512;
    p.n_queries = 64;
    auto t = create(p);
    ann_train_params r = {};
    r.struct_size = sizeof(r);
    OK(ann_train_get_params(t.get(), &r, &e_));
    CHECK_EQ(r.rope_freq_base, 1e6f); // of the model's own attention
    CHECK_EQ(r.n_rot, 64);
    CHECK_EQ(r.n_layers, 12);
    CHECK_EQ(r.layers[11], 11);
    CHECK(r.n_threads > 0);
}

TEST("an abort leaves the trainer as it was") {
    auto p = small();
    p.n_ctx = 4096;
    auto a = create(p), b = create(p);
    const auto tokens = slice(0, 4096);
    std::atomic<bool> done { false };
    std::thread stop([&] { // again and again: a GPU needs only milliseconds for a window
        while (!done) {
            ann_train_abort(a.get());
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
    });
    ann_error e = new_error();
    ann_train_report s = {};
    s.struct_size = sizeof(s);
    const ann_status status = ann_train_window(a.get(), tokens.data(), tokens.size(), nullptr, 0, &s, nullptr, &e);
    done = true;
    stop.join();
    CHECK_EQ((int) status, (int) ANN_ERROR_CANCELLED);
    learn(a.get(), 0);
    learn(b.get(), 0);
    CHECK(tensor(a.get(), 1, ANN_TRAIN_W_K) == tensor(b.get(), 1, ANN_TRAIN_W_K));
}

TEST("documents of a packed window do not attend to each other") {
    const auto first = slice(3000, 201), second = slice(9000, 200);
    auto p = small();
    p.pack = 1;
    auto a = create(p), b = create(small());
    auto mass_of = [&](ann_train * t, const std::vector<int32_t> & tokens) { // of every query
        std::vector<double> res(2);
        OK(ann_train_evaluate(t, tokens.data(), tokens.size(), 64, 1, res.data(), &e_));
        return res;
    };
    std::vector<int32_t> one = first, both = first;
    one.back() = both.back() = ann_token_eos(model());
    both.insert(both.end(), second.begin(), second.end());
    const auto whole = mass_of(a.get(), both), x = mass_of(b.get(), one), y = mass_of(b.get(), second), mixed = mass_of(b.get(), both);
    for (size_t i = 0; i < 2; ++i) {
        const double expected = (x[i]*201 + y[i]*200)/401;
        CHECK_LE(std::fabs(whole[i] - expected), 1e-3);
        CHECK(std::fabs(mixed[i] - expected) > 1e-2); // without: they do
    }
    ann_train_report s = {};
    s.struct_size = sizeof(s);
    OK(ann_train_window(a.get(), both.data(), both.size(), nullptr, 0, &s, nullptr, &e_));
    CHECK(s.loss > 0.0 && std::isfinite(s.loss));
}

TEST("wrong arguments are refused with name, value and range") {
    auto refused = [&](const char * text, void (* change)(ann_train_params &)) {
        auto p = small();
        change(p);
        ann_train * t = nullptr;
        REFUSED(ANN_ERROR_INVALID_ARGUMENT, text, ann_train_create(model(), &p, &t, &e_));
        CHECK(t == nullptr);
    };
    refused("multiple of 32", [](ann_train_params & p) { p.n_embd_search = 40; });
    refused("n_rot is 33", [](ann_train_params & p) { p.n_rot = 33; });
    refused("nothing to learn", [](ann_train_params & p) { p.kl_unit = p.contrastive = 0.0f; });
    refused("n_ctx is 20, expected 39", [](ann_train_params & p) { p.n_ctx = 20; });
    refused("n_updates is 0", [](ann_train_params & p) { p.n_updates = 0; });
    refused("layers is 12", [](ann_train_params & p) { static const int32_t bad[] = { 3, 12 }; p.layers = bad; });
    refused("layers is 3, expected 4", [](ann_train_params & p) { static const int32_t bad[] = { 3, 3 }; p.layers = bad; });
    refused("temperature is nan", [](ann_train_params & p) { p.temperature = NAN; });

    auto t = create(small());
    const auto tokens = slice(0, 600);
    ann_train_report s = {};
    s.struct_size = sizeof(s);
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "n_tokens is 600", ann_train_window(t.get(), tokens.data(), 600, nullptr, 0, &s, nullptr, &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "n_tokens is 10", ann_train_window(t.get(), tokens.data(), 10, nullptr, 0, &s, nullptr, &e_));
    const int32_t beyond = 400, unknown = 8192;
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "marked is 400", ann_train_window(t.get(), tokens.data(), 400, &beyond, 1, &s, nullptr, &e_));
    std::vector<int32_t> odd(100, unknown);
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "batch.tokens[0] is 8192", ann_train_window(t.get(), odd.data(), 100, nullptr, 0, &s, nullptr, &e_));
    std::vector<float> values(N_VALUES, NAN);
    REFUSED(ANN_ERROR_BAD_STATE, "finite", ann_train_set_tensor(t.get(), 0, ANN_TRAIN_W_Q, values.data(), values.size(), &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "32 x 384", ann_train_set_tensor(t.get(), 0, ANN_TRAIN_W_Q, values.data(), 7, &e_));
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
