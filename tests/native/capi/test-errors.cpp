// Every mistake a caller can make is answered with a status and a sentence.

#include "harness.h"

#include <atomic>
#include <chrono>
#include <thread>

using namespace harness;

namespace {

void create_refused(const ann_context_params & p, ann_status status, const char * text) {
    ann_context * c = (ann_context *) 1;
    REFUSED(status, text, ann_context_create(model(), &p, &c, &e_));
    CHECK(c == nullptr);
}

} // namespace

TEST("NULL where it must not be") {
    ann_model * m = nullptr;
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "path is NULL", ann_model_load(nullptr, nullptr, &m, &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "model is NULL", ann_model_load("x", nullptr, nullptr, &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "context is NULL", ann_context_clear(nullptr, &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "sampler is NULL", ann_sampler_reset(nullptr, &e_));
    ann_model_info info = {};
    info.struct_size = sizeof(info);
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "model is NULL", ann_model_get_info(nullptr, &info, &e_));
    CHECK_EQ((int) ann_context_clear(nullptr, nullptr), (int) ANN_ERROR_INVALID_ARGUMENT); // the error may be NULL
    ann_model_free(nullptr);
    ann_context_free(nullptr);
    ann_sampler_free(nullptr);
    ann_context_abort(nullptr);
}

TEST("struct sizes: an older caller is served, a newer one refused") {
    auto p = params(512, ANN_SEARCH_EXACT);
    p.struct_size = offsetof(ann_context_params, n_threads);
    create(p);
    p.struct_size   = offsetof(ann_context_params, search_memory);
    p.search_memory = 99; // not the caller's
    create(p);
    p.struct_size = sizeof(p) + 8;
    create_refused(p, ANN_ERROR_INVALID_ARGUMENT, "struct_size");
    p.struct_size = 0;
    create_refused(p, ANN_ERROR_INVALID_ARGUMENT, "struct_size");
    ann_model_info info = {};
    info.struct_size = offsetof(ann_model_info, n_head);
    info.n_head = 77;
    OK(ann_model_get_info(model(), &info, &e_));
    CHECK_EQ(info.n_layer, 12);
    CHECK_EQ(info.n_head, 77);
}

TEST("context parameters out of range") {
    auto p = params(512, ANN_SEARCH_EXACT);
    p.n_batch = 0;
    create_refused(p, ANN_ERROR_INVALID_ARGUMENT, "params.n_batch is 0");
    p = params(512, ANN_SEARCH_EXACT);
    p.n_seq_max = 257;
    create_refused(p, ANN_ERROR_INVALID_ARGUMENT, "params.n_seq_max is 257, expected 1 to 256");
    p = params(512, ANN_SEARCH_EXACT);
    p.search_memory = 3;
    create_refused(p, ANN_ERROR_INVALID_ARGUMENT, "params.search_memory is 3, expected 0 to 2");
    p.search_memory = -1;
    create_refused(p, ANN_ERROR_INVALID_ARGUMENT, "params.search_memory is -1, expected 0 to 2");
    p = params(512, ANN_SEARCH_EXACT);
    p.n_threads = -1;
    create_refused(p, ANN_ERROR_INVALID_ARGUMENT, "params.n_threads is -1");
    p = params(512, 9);
    create_refused(p, ANN_ERROR_INVALID_ARGUMENT, "mode is 9");
    p = params(512, ANN_SEARCH_EXACT, -1);
    create_refused(p, ANN_ERROR_INVALID_ARGUMENT, "search.top_k is -1");
    p = params(512, ANN_SEARCH_EXACT, 35);
    create_refused(p, ANN_ERROR_INVALID_ARGUMENT, "4 + 32, expected at most search.top_k = 35");
    p = params(512, ANN_SEARCH_EXACT);
    p.search.n_window = -2;
    create_refused(p, ANN_ERROR_INVALID_ARGUMENT, "search.n_window is -2");
    const int32_t layers[] = { 3, 12 };
    p = params(512, ANN_SEARCH_EXACT);
    p.search.n_layers = 2;
    p.search.layers = layers;
    create_refused(p, ANN_ERROR_INVALID_ARGUMENT, "search.layers[1] is 12");
    p = params(512, ANN_SEARCH_EXACT);
    std::snprintf(p.type_k, sizeof(p.type_k), "q9_9");
    create_refused(p, ANN_ERROR_INVALID_ARGUMENT, "params.type_k is \"q9_9\", expected one of");
    std::snprintf(p.type_k, sizeof(p.type_k), "f16");
    std::snprintf(p.type_search, sizeof(p.type_search), "q4_0");
    create_refused(p, ANN_ERROR_INVALID_ARGUMENT, "params.type_search is \"q4_0\", expected one of f32, f16, q8_0");
    p = params(512, ANN_SEARCH_EXACT);
    std::snprintf(p.type_v, sizeof(p.type_v), "q8_0");
    p.flash_attention = 0;
    create_refused(p, ANN_ERROR_INVALID_ARGUMENT, "needs flash attention");
}

TEST("a context larger than memory is refused by its estimate") {
    auto p = params(2000000000u, ANN_SEARCH_EXACT);
    create_refused(p, ANN_ERROR_OUT_OF_MEMORY, "MiB are available");
    ann_context_memory m = {};
    m.struct_size = sizeof(m);
    OK(ann_context_estimate(model(), &p, &m, &e_));
    CHECK(m.total_bytes > m.available_bytes);
}

TEST("batches") {
    auto c = create(params(512, ANN_SEARCH_EXACT));
    ann_batch b = {};
    b.struct_size = sizeof(b);
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "batch is NULL", ann_context_decode(c.get(), nullptr, &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "batch.n_tokens is 0", ann_context_decode(c.get(), &b, &e_));
    b.n_tokens = 1;
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "batch.tokens is NULL", ann_context_decode(c.get(), &b, &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "batch.tokens[0] is 8192, expected 0 to 8191", try_decode(c.get(), { 8192 }, &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "batch.tokens[1] is -5", try_decode(c.get(), { 1, -5 }, &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "batch.sequences[0] is 1, expected 0 to 0", try_decode(c.get(), { 1 }, &e_, 1));
    const int32_t tokens[] = { 1, 2 }, positions[] = { 0, 2 };
    b = { sizeof(b), 2, tokens, positions, nullptr, nullptr };
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "batch.positions[1] is 2, but sequence 0 goes on at position 1", ann_context_decode(c.get(), &b, &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "batch.n_tokens is 3000, expected 1 to 2048", try_decode(c.get(), std::vector<int32_t>(3000, 1), &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "nothing was decoded yet", [&](ann_error * e) { const float * p; size_t n; return ann_context_get_logits(c.get(), -1, &p, &n, e); }(&e_));
    feed(c.get(), slice(0, 30));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "no output was asked for", [&](ann_error * e) { const float * p; size_t n; return ann_context_get_logits(c.get(), 3, &p, &n, e); }(&e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "index is 30, expected -1 to 29", [&](ann_error * e) { const float * p; size_t n; return ann_context_get_logits(c.get(), 30, &p, &n, e); }(&e_));
}

TEST("a full context says so and keeps what it has") {
    auto c = create(params(256, ANN_SEARCH_EXACT, 64));
    feed(c.get(), slice(0, 250));
    REFUSED(ANN_ERROR_CONTEXT_FULL, "256 cells has no room for 10 more tokens", try_decode(c.get(), slice(250, 10), &e_));
    int32_t p_min = 0, p_max = 0;
    OK(ann_context_seq_range(c.get(), 0, &p_min, &p_max, &e_));
    CHECK_EQ(p_max, 249);
    feed(c.get(), slice(250, 6));
}

TEST("text: invalid UTF-8, unknown tokens, buffers too small") {
    size_t n = 0;
    int32_t tokens[4];
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "byte 0xff at offset 3", ann_tokenize(model(), "abc\xff" "d", 5, 0, 0, tokens, 4, &n, &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "byte 0xe2 at offset 1", ann_tokenize(model(), "a\xe2\x82", 3, 0, 0, tokens, 4, &n, &e_));
    OK(ann_tokenize(model(), "", 0, 0, 0, tokens, 4, &n, &e_));
    CHECK_EQ(n, 0u);
    OK(ann_tokenize(model(), nullptr, 0, 0, 0, nullptr, 0, &n, &e_));
    const std::string text = "a sentence of rather more than four tokens, to be sure";
    REFUSED(ANN_ERROR_BUFFER_TOO_SMALL, "capacity is 4", ann_tokenize(model(), text.data(), text.size(), 0, 0, tokens, 4, &n, &e_));
    CHECK(n > 4);
    char piece[2];
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "token is 8192", ann_token_to_piece(model(), 8192, 1, piece, 2, &n, &e_));
    REFUSED(ANN_ERROR_BUFFER_TOO_SMALL, "capacity is 2", ann_token_to_piece(model(), 8189, 1, piece, 2, &n, &e_));
    CHECK_EQ(ann_token_is_eog(model(), 123456), 0);
}

TEST("tokens and text are inverse") {
    const std::string text = "Überraschung, naïve façade: 𝄞 and 日本語\r\n\tend <|im_end|>";
    for (int32_t special : { 0, 1 }) {
        std::vector<int32_t> tokens(256);
        size_t n = 0;
        OK(ann_tokenize(model(), text.data(), text.size(), 0, special, tokens.data(), tokens.size(), &n, &e_));
        tokens.resize(n);
        std::string back;
        for (int32_t t : tokens) {
            char piece[64];
            OK(ann_token_to_piece(model(), t, 1, piece, sizeof(piece), &n, &e_));
            back.append(piece, n);
        }
        CHECK_EQ(back, text);
    }
}

TEST("chat templates") {
    std::vector<char> buffer(1 << 16);
    size_t n = 0;
    OK(ann_chat_apply(model(), R"({"messages":[{"role":"user","content":"Hi"}]})", buffer.data(), buffer.size(), &n, &e_));
    CHECK_CONTAINS(buffer.data(), "<|im_start|>user\\nHi<|im_end|>");
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "not valid JSON", ann_chat_apply(model(), "{", buffer.data(), buffer.size(), &n, &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "request.messages", ann_chat_apply(model(), "{}", buffer.data(), buffer.size(), &n, &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "chat template", ann_chat_apply(model(), R"({"messages":[{"content":1}]})", buffer.data(), buffer.size(), &n, &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "chat template", ann_chat_apply(model(), R"({"messages":[{"role":"user","content":"Hi"}],"template":"{% for %}"})", buffer.data(), buffer.size(), &n, &e_));
    OK(ann_json_schema_to_grammar(R"({"type":"object","properties":{"a":{"type":"integer"}}})", buffer.data(), buffer.size(), &n, &e_));
    CHECK_CONTAINS(buffer.data(), "root ::=");
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "JSON schema", ann_json_schema_to_grammar("{", buffer.data(), buffer.size(), &n, &e_));
}

TEST("samplers: ranges, grammar, seeds, greedy") {
    auto c = create(params(512, ANN_SEARCH_EXACT));
    feed(c.get(), slice(0, 40));
    auto make = [&](const std::function<void(ann_sampler_params &)> & change) {
        ann_sampler_params p;
        ann_sampler_params_default(&p);
        change(p);
        ann_sampler * s = nullptr;
        OK(ann_sampler_create(model(), &p, &s, &e_));
        return std::unique_ptr<ann_sampler, decltype(&ann_sampler_free)>(s, ann_sampler_free);
    };
    auto sample = [&](ann_sampler * s) {
        int32_t t = -1;
        OK(ann_sampler_sample(s, c.get(), -1, &t, &e_));
        return t;
    };
    CHECK_EQ(sample(make([](auto & p) { p.temperature = 0; }).get()), argmax(logits(c.get())));
    auto seeded = [&](uint32_t seed) {
        auto s = make([&](auto & p) { p.seed = seed; p.temperature = 1.5f; });
        std::vector<int32_t> res;
        for (int i = 0; i < 20; ++i) {
            res.push_back(sample(s.get()));
        }
        return res;
    };
    CHECK(seeded(1) == seeded(1));
    CHECK(seeded(1) != seeded(2));
    auto digits = make([](auto & p) { p.grammar = "root ::= [0-9]+"; });
    for (int i = 0; i < 5; ++i) {
        char piece[16];
        size_t n = 0;
        OK(ann_token_to_piece(model(), sample(digits.get()), 0, piece, sizeof(piece), &n, &e_));
        for (size_t j = 0; j < n; ++j) {
            CHECK(piece[j] >= '0' && piece[j] <= '9');
        }
    }
    const int32_t token = 321;
    const float bias = 1e4f;
    CHECK_EQ(sample(make([&](auto & p) { p.n_logit_bias = 1; p.logit_bias_tokens = &token; p.logit_bias_values = &bias; }).get()), 321);

    ann_sampler_params p;
    ann_sampler_params_default(&p);
    ann_sampler * s = nullptr;
    p.top_p = 1.5f;
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "params.top_p is 1.5, expected 0 to 1", ann_sampler_create(model(), &p, &s, &e_));
    ann_sampler_params_default(&p);
    p.temperature = std::nanf("");
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "params.temperature is", ann_sampler_create(model(), &p, &s, &e_));
    ann_sampler_params_default(&p);
    p.grammar = "root ::= (";
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "not a valid GBNF grammar", ann_sampler_create(model(), &p, &s, &e_));
}

TEST("a cancelled load and a cancelled decode") {
    ann_model_params mp;
    ann_model_params_default(&mp);
    mp.progress = [](float, void *) { return 0; };
    ann_model * m = nullptr;
    REFUSED(ANN_ERROR_CANCELLED, "was cancelled", ann_model_load(model_path().c_str(), &mp, &m, &e_));

    auto c = create(params(8192, ANN_SEARCH_EXACT));
    feed(c.get(), slice(0, 100));
    std::atomic<bool> done { false };
    std::thread killer([&] {
        while (!done) {
            ann_context_abort(c.get());
            std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
    });
    ann_error e = new_error();
    const ann_status status = try_decode(c.get(), slice(100, 2048), &e);
    done = true;
    killer.join();
    CHECK_EQ((int) status, (int) ANN_ERROR_CANCELLED);
    int32_t p_min = 0, p_max = 0;
    OK(ann_context_seq_range(c.get(), 0, &p_min, &p_max, &e_));
    CHECK_EQ(p_max, 99); // as before the batch
    auto d = create(params(8192, ANN_SEARCH_EXACT));
    feed(d.get(), slice(0, 100));
    CHECK(feed(c.get(), slice(100, 50)) == feed(d.get(), slice(100, 50)));
}

TEST("two threads on one context: the second is refused, the first unharmed") {
    auto c = create(params(8192, ANN_SEARCH_EXACT));
    std::atomic<bool> done { false };
    std::atomic<int> refused { 0 };
    std::thread other([&] {
        while (!done) {
            ann_error e = new_error();
            if (ann_context_clear(c.get(), &e) == ANN_ERROR_BUSY) {
                ++refused;
            }
        }
    });
    // either call may be the one that is turned away
    ann_status status;
    do {
        ann_error e = new_error();
        status = try_decode(c.get(), slice(0, 1500), &e);
    } while (status == ANN_ERROR_BUSY);
    done = true;
    other.join();
    CHECK_EQ((int) status, (int) ANN_OK);
    CHECK(refused > 0);
}

TEST("handles die in any order") {
    auto m = load();
    auto c = create(params(512, ANN_SEARCH_EXACT), m.get());
    ann_sampler * s = nullptr;
    OK(ann_sampler_create(m.get(), nullptr, &s, &e_));
    m.reset(); // the context and the sampler keep the weights and the vocabulary
    feed(c.get(), { 1, 2, 3 });
    int32_t t = -1;
    OK(ann_sampler_sample(s, c.get(), -1, &t, &e_));
    c.reset();
    OK(ann_sampler_reset(s, &e_));
    ann_sampler_free(s);
}

TEST("a model of vocabulary only: tokens and metadata, no context") {
    ann_model_params mp;
    ann_model_params_default(&mp);
    mp.vocab_only = 1;
    ann_model * m = nullptr;
    OK(ann_model_load(model_path().c_str(), &mp, &m, &e_));
    model_ptr owner(m, ann_model_free);
    ann_model_info info = {};
    info.struct_size = sizeof(info);
    OK(ann_model_get_info(m, &info, &e_));
    CHECK_EQ(info.n_vocab, 8192);
    CHECK(tokenize("some text", m) == tokenize("some text"));
    size_t n = 0;
    ann_error e = new_error();
    CHECK_EQ((int) ann_model_describe(m, nullptr, 0, &n, &e), (int) ANN_ERROR_BUFFER_TOO_SMALL);
    int32_t layers[12];
    OK(ann_model_get_search_layers(m, layers, 12, &n, &e_));
    auto p = params(512, ANN_SEARCH_OFF);
    ann_context * c = nullptr;
    REFUSED(ANN_ERROR_UNSUPPORTED, "vocabulary only", ann_context_create(m, &p, &c, &e_));
    ann_context_memory memory = {};
    memory.struct_size = sizeof(memory);
    REFUSED(ANN_ERROR_UNSUPPORTED, "vocabulary only", ann_context_estimate(m, &p, &memory, &e_));
    ann_sampler * s = nullptr;
    OK(ann_sampler_create(m, nullptr, &s, &e_));
    ann_sampler_free(s);
}

TEST("sequences out of range, and what a model cannot do") {
    auto c = create(params(512, ANN_SEARCH_EXACT));
    feed(c.get(), slice(0, 10));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "seq is 1, expected -1 to 0", ann_context_seq_rm(c.get(), 1, 0, -1, &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "seq_dst is 3", ann_context_seq_cp(c.get(), 0, 3, 0, -1, &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "divisor is 0", ann_context_seq_div(c.get(), 0, 0, -1, 0, &e_));
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "seq is 9", ann_context_state_get(c.get(), 9, nullptr, 0, nullptr, &e_));
    auto p = params(1024, ANN_SEARCH_EXACT);
    p.n_seq_max = 2;
    p.kv_unified = 0;
    auto streams = create(p);
    REFUSED(ANN_ERROR_UNSUPPORTED, "only whole sequences", ann_context_seq_cp(streams.get(), 0, 1, 3, 7, &e_));
    ann_search_params s;
    ann_search_params_default(&s);
    s.mode = ANN_SEARCH_OFF;
    REFUSED(ANN_ERROR_UNSUPPORTED, "create another context", ann_context_set_search(c.get(), &s, &e_));
    auto off = create(params(512, ANN_SEARCH_OFF));
    s.mode = ANN_SEARCH_EXACT;
    REFUSED(ANN_ERROR_UNSUPPORTED, "without search keys", ann_context_set_search(off.get(), &s, &e_));
    REFUSED(ANN_ERROR_UNSUPPORTED, "search keys", ann_context_set_stats(off.get(), ANN_STATS_MASS, 1, &e_));
}

TEST("the library describes itself") {
    CHECK_EQ(ann_abi_version(), (uint32_t) ANN_ABI_VERSION);
    CHECK_CONTAINS(ann_abi_describe(), "\"ann_error\":{\"size\":1024");
    std::vector<char> buffer(1 << 16);
    size_t n = 0;
    OK(ann_runtime_info(buffer.data(), buffer.size(), &n, &e_));
    CHECK_CONTAINS(buffer.data(), "\"llama_cpp\":\"v0.5.0\"");
    CHECK_CONTAINS(buffer.data(), "cpu_variant");
    OK(ann_model_describe(model(), nullptr, 0, &n, nullptr) == ANN_ERROR_BUFFER_TOO_SMALL ? ANN_OK : ANN_ERROR_INTERNAL);
    buffer.resize(n + 1);
    OK(ann_model_describe(model(), buffer.data(), buffer.size(), &n, &e_));
    CHECK_CONTAINS(buffer.data(), "\"d_search\":64");
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
