// The index in a real session: a model reads TOKENS of a text, then COUNT more one by one, forced, by exact search and by
// the index: perplexity and recall beside each other; then the session is saved, loaded with and without its index.
//
//   index-session MODEL TEXT TOKENS COUNT [TYPE_SEARCH [EF [THREADS]]]
//
// One JSON line. Times are wall time. idle_build_ms: from the end of the prompt until nothing was pending.

#include "ann-runtime.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace {

template <typename F> void call(F && f) {
    ann_error error = {};
    error.struct_size = sizeof(error);
    if (f(&error) != ANN_OK) {
        std::fprintf(stderr, "index-session: %s\n", error.message);
        std::exit(1);
    }
}

double now_ms() {
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

using context_ptr = std::unique_ptr<ann_context, decltype(&ann_context_free)>;

context_ptr create(ann_model * model, const ann_context_params & p) {
    ann_context * c = nullptr;
    call([&](ann_error * e) { return ann_context_create(model, &p, &c, e); });
    return context_ptr(c, ann_context_free);
}

void decode(ann_context * c, const int32_t * tokens, size_t n) {
    ann_batch b = {};
    b.struct_size = sizeof(b);
    b.n_tokens    = (uint32_t) n;
    b.tokens      = tokens;
    call([&](ann_error * e) { return ann_context_decode(c, &b, e); });
}

ann_index_stats stats(ann_context * c) {
    ann_index_stats s = {};
    s.struct_size = sizeof(s);
    call([&](ann_error * e) { return ann_context_get_index_stats(c, -1, &s, e); });
    return s;
}

double rest(ann_context * c) {
    const double start = now_ms();
    while (stats(c).n_pending > 0) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    return now_ms() - start;
}

double nll(ann_context * c, int32_t target) {
    const float * logits = nullptr;
    size_t n = 0;
    call([&](ann_error * e) { return ann_context_get_logits(c, -1, &logits, &n, e); });
    double most = logits[0], sum = 0;
    for (size_t i = 0; i < n; ++i) {
        most = std::fmax(most, logits[i]);
    }
    for (size_t i = 0; i < n; ++i) {
        sum += std::exp(logits[i] - most);
    }
    return most + std::log(sum) - logits[target];
}

struct forced {
    double nll = 0, ms = 0, recall = 0;
    ann_index_stats index;
};

// COUNT tokens behind the prompt, and back again
forced run(ann_context * c, ann_search_params search, int32_t mode, const int32_t * tokens, size_t n_prompt, size_t count, int32_t flags) {
    search.mode = mode;
    call([&](ann_error * e) { return ann_context_set_search(c, &search, e); });
    call([&](ann_error * e) { return ann_context_set_stats(c, flags, 1, e); });
    forced res;
    const double start = now_ms();
    for (size_t i = 0; i < count; ++i) {
        decode(c, tokens + n_prompt + i, 1);
        res.nll += nll(c, tokens[n_prompt + i + 1])/(double) count;
    }
    res.ms    = (now_ms() - start)/(double) count;
    res.index = stats(c);
    res.recall = res.index.n_measured ? res.index.recall_index_sum/(double) res.index.n_measured : 1.0;
    call([&](ann_error * e) { return ann_context_seq_rm(c, 0, (int32_t) n_prompt, -1, e); });
    return res;
}

std::vector<uint8_t> save(ann_context * c, double & ms) {
    size_t n = 0;
    (void) ann_context_state_get(c, 0, nullptr, 0, &n, nullptr);
    std::vector<uint8_t> data(n);
    const double start = now_ms();
    call([&](ann_error * e) { return ann_context_state_get(c, 0, data.data(), data.size(), &n, e); });
    ms = now_ms() - start;
    data.resize(n);
    return data;
}

double load(ann_model * model, const ann_context_params & p, const std::vector<uint8_t> & data, double & build_ms, ann_index_stats & s) {
    const context_ptr c = create(model, p);
    const double start = now_ms();
    call([&](ann_error * e) { return ann_context_state_set(c.get(), 0, data.data(), data.size(), e); });
    const double ms = now_ms() - start;
    build_ms = rest(c.get());
    s = stats(c.get());
    return ms;
}

} // namespace

int main(int argc, char ** argv) {
    if (argc < 5) {
        std::fprintf(stderr, "index-session: expected MODEL TEXT TOKENS COUNT [TYPE_SEARCH [EF [THREADS]]]\n");
        return 2;
    }
    const size_t n_prompt = (size_t) std::atoll(argv[3]), count = (size_t) std::atoll(argv[4]);
    ann_model * m = nullptr;
    call([&](ann_error * e) { return ann_model_load(argv[1], nullptr, &m, e); });
    const std::unique_ptr<ann_model, decltype(&ann_model_free)> model(m, ann_model_free);
    std::ifstream in(argv[2], std::ios::binary);
    const std::string text(std::istreambuf_iterator<char>(in), {});
    std::vector<int32_t> tokens(text.size() + 1);
    size_t n_tokens = 0;
    call([&](ann_error * e) { return ann_tokenize(m, text.data(), text.size(), 0, 0, tokens.data(), tokens.size(), &n_tokens, e); });
    if (n_tokens < n_prompt + count + 1) {
        std::fprintf(stderr, "index-session: the text has %zu tokens, %zu are needed\n", n_tokens, n_prompt + count + 1);
        return 2;
    }

    ann_context_params p;
    ann_context_params_default(&p);
    p.n_ctx = (uint32_t) (n_prompt + count + 1);
    p.n_threads = argc > 7 ? std::atoi(argv[7]) : 0;
    std::snprintf(p.type_search, sizeof(p.type_search), "%s", argc > 5 ? argv[5] : "f16");
    p.search.mode      = ANN_SEARCH_HNSW;
    p.search.ef_search = argc > 6 ? std::atoi(argv[6]) : 0;
    const context_ptr c = create(m, p);

    const double start = now_ms();
    for (size_t i = 0; i < n_prompt; i += p.n_batch) {
        decode(c.get(), tokens.data() + i, std::min((size_t) p.n_batch, n_prompt - i));
    }
    const double prompt_ms = now_ms() - start;
    const double idle_ms   = rest(c.get());
    ann_search_params search = {};
    search.struct_size = sizeof(search);
    call([&](ann_error * e) { return ann_context_get_search(c.get(), &search, e); });

    run(c.get(), search, ANN_SEARCH_EXACT, tokens.data(), n_prompt, 8, 0); // warm
    const forced exact    = run(c.get(), search, ANN_SEARCH_EXACT, tokens.data(), n_prompt, count, 0);
    const forced hnsw     = run(c.get(), search, ANN_SEARCH_HNSW,  tokens.data(), n_prompt, count, 0);
    const forced measured = run(c.get(), search, ANN_SEARCH_HNSW,  tokens.data(), n_prompt, count, ANN_STATS_INDEX);

    rest(c.get());
    double save_ms = 0, save_without_ms = 0, rebuild_ms = 0, left_ms = 0;
    const auto with = save(c.get(), save_ms);
    search.mode = ANN_SEARCH_HNSW;
    search.index_in_state = 0;
    call([&](ann_error * e) { return ann_context_set_search(c.get(), &search, e); });
    const auto without = save(c.get(), save_without_ms);
    ann_index_stats loaded, rebuilt;
    const double load_ms         = load(m, p, with, left_ms, loaded);
    const double load_without_ms = load(m, p, without, rebuild_ms, rebuilt);

    const double n_query = (double) measured.index.n_measured;
    std::printf("{\"n_prompt\": %zu, \"n_forced\": %zu, \"type_search\": \"%s\", \"n_threads\": %d, \"n_top_k\": %d, \"ef\": %d, "
        "\"prompt_ms\": %.0f, \"idle_build_ms\": %.0f, \"insert_us\": %.1f, "
        "\"exact_ppl\": %.5f, \"hnsw_ppl\": %.5f, \"ppl_gap_percent\": %.4f, \"recall_index\": %.4f, \"visited\": %.0f, \"compared\": %.0f, "
        "\"exact_ms_per_token\": %.3f, \"hnsw_ms_per_token\": %.3f, "
        "\"index_bytes\": %llu, \"state_bytes\": %zu, \"state_without_index_bytes\": %zu, \"save_ms\": %.0f, \"save_without_ms\": %.0f, "
        "\"load_ms\": %.0f, \"load_without_ms\": %.0f, \"left_to_build_ms\": %.0f, \"rebuild_ms\": %.0f, \"inserted_after_load\": %llu}\n",
        n_prompt, count, p.type_search, search.index_threads, search.top_k, search.ef_search, prompt_ms, idle_ms,
        (double) measured.index.insert_ns/1e3/(double) measured.index.n_inserted,
        std::exp(exact.nll), std::exp(measured.nll), 100*(std::exp(measured.nll - exact.nll) - 1), measured.recall,
        (double) measured.index.n_expanded/n_query, (double) measured.index.n_scored/n_query, exact.ms, hnsw.ms,
        (unsigned long long) measured.index.bytes, with.size(), without.size(), save_ms, save_without_ms,
        load_ms, load_without_ms, left_ms, rebuild_ms, (unsigned long long) loaded.n_inserted);
    return 0;
}
