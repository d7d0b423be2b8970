// The embedded model's figures against an independent PyTorch implementation (models/cards, models/recipe).
//
// Windows of 4096 tokens of held-out text, every query sparse, fp32 in PyTorch; here q8_0 weights and f16 caches.

#include "harness.h"

using namespace harness;

namespace {

constexpr int N_CTX = 4096, N_WINDOWS = 8;

double log_sum_exp(const float * x, size_t n) {
    float max = x[0];
    for (size_t i = 1; i < n; ++i) {
        max = std::max(max, x[i]);
    }
    double sum = 0.0;
    for (size_t i = 0; i < n; ++i) {
        sum += std::exp(x[i] - max); // in float: 8192 terms, 1e-7 each
    }
    return max + std::log(sum);
}

double perplexity(ann_context * c) {
    double nll = 0.0;
    int64_t n_targets = 0;
    for (int w = 0; w < N_WINDOWS; ++w) {
        OK(ann_context_clear(c, &e_));
        const auto window = slice((size_t) w*N_CTX, N_CTX);
        for (int i = 0; i < N_CTX; i += 512) {
            OK(try_decode(c, std::vector<int32_t>(window.begin() + i, window.begin() + i + 512), &e_, 0, true));
            for (int j = 0; j < 512 && i + j + 1 < N_CTX; ++j) {
                const float * p = nullptr;
                size_t n = 0;
                OK(ann_context_get_logits(c, j, &p, &n, &e_));
                nll += log_sum_exp(p, n) - p[window[i + j + 1]];
                ++n_targets;
            }
        }
    }
    return std::exp(nll/n_targets);
}

void set_search(ann_context * c, int32_t mode, int32_t top_k, const std::vector<int32_t> & layers) {
    ann_search_params s;
    ann_search_params_default(&s);
    s.mode = mode;
    s.top_k = top_k;
    s.n_layers = (int32_t) layers.size();
    s.layers = layers.data();
    OK(ann_context_set_search(c, &s, &e_));
}

} // namespace

TEST("perplexity, gaps of layer subsets, attention mass: the PyTorch figures") {
    const std::vector<int32_t> pilot = { 2, 4, 6, 8 }, reserved = { 2, 3, 4, 5, 6, 7, 8, 9, 10 };
    const std::vector<int32_t> all = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
    auto c = create(params(N_CTX, ANN_SEARCH_DENSE));
    const double dense = perplexity(c.get());
    std::printf("     dense %.4f (PyTorch 13.6163)\n", dense);
    CHECK_LE(std::abs(dense/13.6163 - 1.0), 0.002);

    struct row { const char * name; const std::vector<int32_t> & layers; int32_t top_k; double gap; };
    const row rows[] = {
        { "pilot", pilot, 128, 1.68 }, { "reserved", reserved, 128, 5.31 }, { "all", all, 256, 1.49 }, { "all", all, 128, 3.96 },
    };
    double worst = 0.0;
    for (const row & r : rows) {
        set_search(c.get(), ANN_SEARCH_EXACT, r.top_k, r.layers);
        if (&r == rows + 3) {
            OK(ann_context_set_stats(c.get(), ANN_STATS_MASS, 1, &e_)); // of the sparse trajectory, as the reference
        }
        const double gap = (perplexity(c.get())/dense - 1.0)*100.0;
        std::printf("     %-8s K = %d: gap %+.2f %% (PyTorch %+.2f %%)\n", r.name, r.top_k, gap, r.gap);
        std::fflush(stdout);
        worst = std::max(worst, std::abs(gap - r.gap));
    }
    CHECK_LE(worst, 0.3);

    const double mass_expected[] = { .303, .632, .741, .780, .744, .769, .794, .839, .954, .836, .828, .810 };
    worst = 0.0;
    for (int il = 0; il < 12; ++il) {
        ann_layer_stats s = {};
        s.struct_size = sizeof(s);
        OK(ann_context_get_layer_stats(c.get(), il, &s, &e_));
        CHECK_EQ(s.n_measured, (uint64_t) N_CTX*N_WINDOWS);
        const double mass = s.mass_sum/s.n_measured;
        std::printf("     layer %2d: mass %.3f (PyTorch %.3f), recall_teacher %.3f\n", il, mass, mass_expected[il], s.recall_teacher_sum/s.n_measured);
        worst = std::max(worst, std::abs(mass - mass_expected[il]));
    }
    CHECK_LE(worst, 0.01);
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
