// The index of a context through the C ABI: statistics, parameters, mode auto, saved states.

#include "harness.h"

#include <chrono>
#include <climits>
#include <thread>

using namespace harness;

namespace {

// Graphs that are walked from about a thousand cells on.
ann_context_params indexed(uint32_t n_ctx, int32_t mode = ANN_SEARCH_HNSW) {
    ann_context_params p = params(n_ctx, mode, 32);
    p.search.n_sink   = 2;
    p.search.n_window = 6;
    p.search.ef_search = 48;
    p.search.index_m  = 6;
    p.search.index_threads = 2;
    return p;
}

ann_index_stats index_stats(ann_context * c, int32_t layer = -1) {
    ann_index_stats s = {};
    s.struct_size = sizeof(s);
    OK(ann_context_get_index_stats(c, layer, &s, &e_));
    return s;
}

// idle until everything is indexed
void rest(ann_context * c) {
    for (int i = 0; i < 5000 && index_stats(c).n_pending > 0; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    CHECK_EQ(index_stats(c).n_pending, 0u);
}

std::vector<uint8_t> state(ann_context * c, int32_t seq) {
    size_t n = 0;
    ann_error e = new_error();
    CHECK_EQ((int) ann_context_state_get(c, seq, nullptr, 0, &n, &e), (int) ANN_ERROR_BUFFER_TOO_SMALL);
    std::vector<uint8_t> res(n);
    OK(ann_context_state_get(c, seq, res.data(), res.size(), &n, &e_));
    res.resize(n);
    return res;
}

} // namespace

TEST("statistics of the index: what it holds, what it did, what it found") {
    const context_ptr c = create(indexed(2048));
    CHECK_EQ(index_stats(c.get()).n_graphs, 12u*2);
    feed(c.get(), slice(0, 1500));
    rest(c.get());
    const ann_index_stats built = index_stats(c.get(), 3);
    CHECK_EQ(built.n_indexed, 1500u);
    CHECK_EQ(built.n_inserted, 1500u);
    CHECK_EQ(built.n_graphs, 2u);
    CHECK(built.insert_ns > 0 && built.bytes > 1500*4*6);
    CHECK_EQ(built.n_searched, 0u); // prompts search exactly

    OK(ann_context_set_stats(c.get(), ANN_STATS_INDEX, 2, &e_));
    for (int i = 0; i < 10; ++i) {
        feed(c.get(), { heldout()[1500 + (size_t) i] });
    }
    const ann_index_stats s = index_stats(c.get(), 3);
    CHECK_EQ(s.layer, 3);
    CHECK_EQ(s.n_searched, 20u);
    CHECK(s.n_exact < s.n_searched && s.n_expanded > 10*48/4 && s.n_scored > s.n_expanded && s.search_ns > 0);
    CHECK_EQ(s.n_measured, 5u); // every second decode
    CHECK(s.recall_index_sum > 5*0.8 && s.recall_index_sum <= 5.0);
    const ann_index_stats all = index_stats(c.get());
    CHECK_EQ(all.layer, -1);
    CHECK_EQ(all.n_searched, 12*s.n_searched);
    CHECK(all.bytes > 11*s.bytes);

    OK(ann_context_set_stats(c.get(), 0, 1, &e_)); // and from zero again
    CHECK_EQ(index_stats(c.get(), 3).n_searched, 0u);
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "layer is 12, expected -1 to 11", ann_context_get_index_stats(c.get(), 12, nullptr, &e_));
    const context_ptr exact = create(params(512, ANN_SEARCH_EXACT));
    CHECK_EQ(index_stats(exact.get()).n_graphs, 0u);
}

TEST("parameters of the index are checked, and come back as resolved") {
    const auto refused = [](const char * text, ann_status status, auto change) {
        ann_context_params p = indexed(512);
        change(p.search);
        ann_context * c = nullptr;
        REFUSED(status, text, ann_context_create(model(), &p, &c, &e_));
    };
    const auto invalid = ANN_ERROR_INVALID_ARGUMENT;
    refused("search.ef_search is 20, expected at least search.top_k = 32", invalid, [](auto & s) { s.ef_search = 20; });
    refused("search.index_m is 129, expected 0 to 128", invalid, [](auto & s) { s.index_m = 129; });
    refused("search.index_m is 1,", invalid, [](auto & s) { s.index_m = 1; });
    refused("search.index_ef_construction is 4097, expected 0 to 4096", invalid, [](auto & s) { s.index_ef_construction = 4097; });
    refused("search.index_threads is 65, expected 0 to 64", invalid, [](auto & s) { s.index_threads = 65; });
    refused("search.index_eager is 2, expected 0 to 1", invalid, [](auto & s) { s.index_eager = 2; });
    refused("search.index_in_state is -1, expected 0 to 1", invalid, [](auto & s) { s.index_in_state = -1; });
    refused("search.mode is 5, expected 0 to 4", invalid, [](auto & s) { s.mode = 5; });
    refused("search.index_max_bytes is 5, expected at least the ", ANN_ERROR_UNSUPPORTED, [](auto & s) { s.index_max_bytes = 5; });

    ann_context_params p = indexed(512);
    p.search.index_m = p.search.ef_search = p.search.index_threads = 0;
    p.search.index_eager = 1;
    p.search.index_max_bytes = 1 << 20;
    const context_ptr c = create(p);
    ann_search_params s = {};
    s.struct_size = sizeof(s);
    OK(ann_context_get_search(c.get(), &s, &e_));
    CHECK_EQ(s.mode, (int32_t) ANN_SEARCH_HNSW);
    CHECK_EQ(s.index_m, 16);
    CHECK_EQ(s.index_ef_construction, 200);
    CHECK(s.ef_search >= 32 && s.index_threads >= 1);
    CHECK_EQ(s.index_eager, 1);
    CHECK_EQ(s.index_in_state, 1);
    CHECK_EQ(s.index_max_bytes, 1u << 20);
    s.index_max_bytes = 7; // refused later too, and nothing has changed
    REFUSED(ANN_ERROR_UNSUPPORTED, "search.index_max_bytes is 7", ann_context_set_search(c.get(), &s, &e_));
    OK(ann_context_get_search(c.get(), &s, &e_));
    CHECK_EQ(s.index_max_bytes, 1u << 20);
}

TEST("mode auto searches exactly below its depth and the index above it") {
    ann_context_params p = indexed(2048, ANN_SEARCH_AUTO);
    p.search.index_min_context = 1024;
    const context_ptr c = create(p);
    ann_search_params s = {};
    s.struct_size = sizeof(s);
    OK(ann_context_get_search(c.get(), &s, &e_));
    CHECK_EQ(s.mode, (int32_t) ANN_SEARCH_AUTO);
    CHECK_EQ(s.index_min_context, 1024);
    feed(c.get(), slice(0, 400));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    feed(c.get(), slice(400, 1));
    CHECK_EQ(index_stats(c.get()).n_inserted, 0u); // not yet worth it
    feed(c.get(), slice(401, 1000));
    rest(c.get());
    CHECK_EQ(index_stats(c.get(), 0).n_searched, 0u);
    feed(c.get(), slice(1401, 1));
    CHECK_EQ(index_stats(c.get(), 0).n_searched, 2u);
}

TEST("the depth of mode auto is measured") {
    ann_index_calibration k = {};
    k.struct_size   = sizeof(k);
    k.n_embd_search = 64;
    k.n_threads     = 2;
    std::strcpy(k.type_search, "f16");
    OK(ann_index_calibrate(&k, &e_));
    CHECK(k.exact_ns > 0 && k.hnsw_ns > 0 && k.exact_ns_per_cell > 0 && k.n_cells > 0);
    CHECK(k.min_context >= 4096 && k.top_k == 128 && k.ef_search >= 128);
    const ann_index_calibration first = k;
    OK(ann_index_calibrate(&k, &e_)); // once in a process
    CHECK(k.exact_ns == first.exact_ns && k.hnsw_ns == first.hnsw_ns && k.min_context == first.min_context);

    ann_context_params p = params(512, ANN_SEARCH_AUTO, 128);
    const context_ptr c = create(p);
    ann_search_params s = {};
    s.struct_size = sizeof(s);
    OK(ann_context_get_search(c.get(), &s, &e_));
    CHECK_EQ(s.index_min_context, k.min_context);

    k.n_embd_search = 48;
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "calibration.n_embd_search is 48, expected a multiple of 32", ann_index_calibrate(&k, &e_));
    k.n_embd_search = 64;
    std::strcpy(k.type_search, "q4_0");
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "calibration.type_search is \"q4_0\", expected one of", ann_index_calibrate(&k, &e_));
}

TEST("a saved state brings its index, of one sequence or of the whole context") {
    const context_ptr a = create(indexed(2048));
    feed(a.get(), slice(0, 1200));
    rest(a.get());
    for (int32_t seq : { 0, -1 }) {
        const auto data = state(a.get(), seq);
        const context_ptr b = create(indexed(2048));
        OK(ann_context_state_set(b.get(), seq, data.data(), data.size(), &e_));
        CHECK_EQ(index_stats(b.get(), 5).n_indexed, 1200u);
        CHECK_EQ(index_stats(b.get()).n_inserted, 0u);
        const context_ptr plain = create(indexed(2048, ANN_SEARCH_EXACT)); // has no use for it
        OK(ann_context_state_set(plain.get(), seq, data.data(), data.size(), &e_));
        const auto expected = feed(a.get(), slice(1200, 1)), got = feed(b.get(), slice(1200, 1));
        CHECK_LE(relative(expected, got), 0.0); // the same graph: the same cells
        OK(ann_context_seq_rm(a.get(), 0, 1200, -1, &e_));
    }
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
