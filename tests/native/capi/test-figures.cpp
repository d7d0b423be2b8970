// The embedded model's figures against an independent PyTorch implementation (models/cards, models/recipe): the first
// window of 4096 tokens of held-out text by figures of that window (tests/data/reference-windows.json), with
// ANN_TEST_LONG=1 eight windows by the card's. Every query sparse, fp32 in PyTorch; here q8_0 weights, f16 caches.

#include "reference.h"

using namespace figures;

namespace {

const std::vector<int32_t> pilot = { 2, 4, 6, 8 }, reserved = { 2, 3, 4, 5, 6, 7, 8, 9, 10 };
const std::vector<int32_t> all = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };

double gap_percent(ann_context * c, double dense, int32_t top_k, const std::vector<int32_t> & layers, int n_windows) {
    set_search(c, ANN_SEARCH_EXACT, top_k, layers);
    return (perplexity(c, n_windows)/dense - 1.0)*100.0;
}

} // namespace

TEST("one window: perplexity, gap, attention mass and teacher recall of every layer") {
    const json file = json::parse(read_text(std::string(ANN_TEST_DATA_DIR) + "/reference-windows.json"));
    const json & window = window_of(file, N_CTX);
    const json & expected = row_of(window, "rotated", "all", 128, "own");
    auto c = create(params(N_CTX, ANN_SEARCH_DENSE));
    const double dense = perplexity(c.get(), 1), full = window["dense_nll"];
    std::printf("     dense %.4f (PyTorch %.4f)\n", dense, std::exp(full));
    CHECK_LE(std::abs(dense/std::exp(full) - 1.0), 0.002);

    OK(ann_context_set_stats(c.get(), ANN_STATS_MASS, 1, &e_)); // of the sparse trajectory, as the reference
    const double gap  = gap_percent(c.get(), dense, 128, all, 1);
    const double want = (std::exp(expected["nll"].get<double>() - full) - 1.0)*100.0;
    std::printf("     all, K = 128: gap %+.2f %% (PyTorch %+.2f %%)\n", gap, want);
    CHECK_LE(std::abs(gap - want), 0.3);
    const layer_figures got = measured(c.get());
    CHECK_EQ(got.n_measured, (uint64_t) N_CTX);
    CHECK_LE(worst_difference(got, expected), 0.01);
}

TEST("eight windows: perplexity, gaps of layer subsets, attention mass") {
    if (!std::getenv("ANN_TEST_LONG")) {
        std::printf("     skipped; ANN_TEST_LONG=1 takes ten minutes on two cores\n");
        return;
    }
    constexpr int n_windows = 8;
    auto c = create(params(N_CTX, ANN_SEARCH_DENSE));
    const double dense = perplexity(c.get(), n_windows);
    std::printf("     dense %.4f (PyTorch 13.6183)\n", dense);
    CHECK_LE(std::abs(dense/13.6183 - 1.0), 0.002);

    struct row { const char * name; std::vector<int32_t> layers; int32_t top_k; double gap; };
    const std::vector<row> rows = { { "pilot", pilot, 256, 0.39 }, { "reserved", reserved, 128, 3.15 }, { "reserved", reserved, 256, 0.90 },
        { "all", all, 256, 0.87 }, { "pilot", pilot, 128, 1.41 }, { "all", all, 128, 2.36 } };
    double worst = 0.0;
    for (const row & r : rows) {
        if (&r == &rows.back()) {
            OK(ann_context_set_stats(c.get(), ANN_STATS_MASS, 1, &e_));
        }
        const double gap = gap_percent(c.get(), dense, r.top_k, r.layers, n_windows);
        std::printf("     %-8s K = %d: gap %+.2f %% (PyTorch %+.2f %%)\n", r.name, r.top_k, gap, r.gap);
        std::fflush(stdout);
        worst = std::max(worst, std::abs(gap - r.gap));
    }
    CHECK_LE(worst, 0.3);

    // PyTorch's masses are of projections trained alike but without InfoNCE; of this file it gave gaps only
    const double mass_expected[] = { .306, .638, .748, .787, .760, .780, .798, .844, .958, .862, .844, .815 };
    const layer_figures got = measured(c.get());
    CHECK_EQ(got.n_measured, (uint64_t) N_CTX*n_windows);
    worst = 0.0;
    for (int il = 0; il < 12; ++il) {
        std::printf("     layer %2d: mass %.3f (PyTorch %.3f), recall_teacher %.3f\n", il, got.mass[il], mass_expected[il], got.recall[il]);
        worst = std::max(worst, std::abs(got.mass[il] - mass_expected[il]));
    }
    CHECK_LE(worst, 0.01);
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
