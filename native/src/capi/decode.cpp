// Batches, logits, abort, saved state.

#include "objects.h"

#include <algorithm>
#include <climits>

using namespace ann;

namespace {

struct batch_arrays {
    std::vector<llama_token>    tokens;
    std::vector<llama_pos>      positions;
    std::vector<int32_t>        n_seq_id;
    std::vector<llama_seq_id>   sequences;
    std::vector<llama_seq_id *> seq_id;
    std::vector<int8_t>         outputs;

    // first position of the batch in each sequence, -1: not in it
    std::vector<llama_pos>      first;

    llama_batch view() {
        return { (int32_t) tokens.size(), tokens.data(), nullptr, positions.data(), n_seq_id.data(), seq_id.data(), outputs.data() };
    }
};

// The whole batch is checked here: what llama_decode would assert on never reaches it.
batch_arrays read_batch(const ann_context & c, const ann_batch & b) {
    require_range("batch.n_tokens", b.n_tokens, 1, c.params.n_batch);
    if ((c.pooled || !c.causal) && b.n_tokens > c.params.n_ubatch) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "batch.n_tokens is %u, expected at most params.n_ubatch = %u: %s", b.n_tokens, c.params.n_ubatch,
            c.pooled ? "sequences are pooled whole" : "this model's tokens attend to all others");
    }
    require(b.tokens, "batch.tokens");
    const size_t  n       = b.n_tokens;
    const int32_t n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(c.model.get()));
    llama_memory_t memory = llama_get_memory(c.ctx);

    batch_arrays a;
    a.tokens.assign(b.tokens, b.tokens + n);
    a.positions.resize(n);
    a.n_seq_id.assign(n, 1);
    a.sequences.assign(n, 0);
    a.seq_id.resize(n);
    a.outputs.assign(n, 0);
    a.first.assign(c.params.n_seq_max, -1);

    std::vector<llama_pos> next(c.params.n_seq_max, -1);
    for (size_t i = 0; i < n; ++i) {
        if (a.tokens[i] < 0 || a.tokens[i] >= n_vocab) {
            fail(ANN_ERROR_INVALID_ARGUMENT, "batch.tokens[%zu] is %d, expected 0 to %d", i, a.tokens[i], n_vocab - 1);
        }
        const int32_t seq = b.sequences ? b.sequences[i] : 0;
        if (seq < 0 || seq >= (int32_t) c.params.n_seq_max) {
            fail(ANN_ERROR_INVALID_ARGUMENT, "batch.sequences[%zu] is %d, expected 0 to %u", i, seq, c.params.n_seq_max - 1);
        }
        if (next[seq] < 0) {
            next[seq] = memory ? llama_memory_seq_pos_max(memory, seq) + 1 : 0;
        }
        const llama_pos pos = b.positions ? b.positions[i] : next[seq];
        if (pos != next[seq]) {
            fail(ANN_ERROR_INVALID_ARGUMENT, "batch.positions[%zu] is %d, but sequence %d goes on at position %d", i, pos, seq, next[seq]);
        }
        if (c.pooled && a.first[seq] < 0 && pos > 0) {
            fail(ANN_ERROR_INVALID_ARGUMENT, "batch.positions[%zu] is %d, but sequences are pooled whole, from position 0; remove what sequence %d holds",
                i, pos, seq);
        }
        a.first[seq]    = a.first[seq] < 0 ? pos : a.first[seq];
        next[seq]       = pos + 1;
        a.positions[i]  = pos;
        a.sequences[i]  = seq;
        a.seq_id[i]     = &a.sequences[i];
        a.outputs[i]    = c.params.embeddings || (b.outputs ? b.outputs[i] != 0 : i + 1 == n);
    }
    return a;
}

void remove_batch(ann_context & c, const batch_arrays & a) {
    for (size_t seq = 0; seq < a.first.size(); ++seq) {
        if (a.first[seq] >= 0) {
            llama_memory_seq_rm(llama_get_memory(c.ctx), (llama_seq_id) seq, a.first[seq], -1);
        }
    }
}

void begin_stats(ann_context & c) {
    const bool now           = c.stats_flags != 0 && c.n_decode % (uint64_t) c.stats_every == 0;
    const bool measure       = now && (c.stats_flags & ANN_STATS_MASS);
    const bool measure_index = now && (c.stats_flags & ANN_STATS_INDEX);
    if (c.has_search && (measure != c.measuring || measure_index != c.measuring_index)) {
        llama_ann_params p = *llama_ann_get_params(c.ctx);
        p.measure       = c.measuring       = measure;
        p.measure_index = c.measuring_index = measure_index;
        llama_ann_set_params(c.ctx, p);
    }
    c.node_start_ns = now_ns();
}

} // namespace

void ann::require_output(const ann_context & c, int32_t index) {
    if (c.outputs.empty()) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "nothing was decoded yet");
    }
    require_range("index", index, -1, (int64_t) c.outputs.size() - 1);
    const bool any = std::find(c.outputs.begin(), c.outputs.end(), 1) != c.outputs.end();
    if (index == -1 ? !any : !c.outputs[(size_t) index]) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "index %d: no output was asked for that token of the last batch (batch.outputs)", index);
    }
}

ann_status ann_context_decode(ann_context * context, const ann_batch * batch, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        ann_batch none = {};
        none.struct_size = sizeof(none);
        batch_arrays a = read_batch(c, read_struct(&require(batch, "batch"), none, "batch"));

        c.abort.store(false, std::memory_order_relaxed);
        begin_stats(c);
        log_scope log;
        log.silence_when(c.abort);
        const uint64_t start = now_ns();
        int32_t rc;
        try {
            rc = llama_decode(c.ctx, a.view());
            llama_synchronize(c.ctx);
        } catch (...) {
            c.outputs.clear();
            remove_batch(c, a);
            throw;
        }
        if (rc == 1) {
            // nothing was stored; the outputs of the batch before are gone all the same
            c.outputs.clear();
            fail(ANN_ERROR_CONTEXT_FULL, "the context of %u cells has no room for %zu more tokens", llama_n_ctx(c.ctx), a.tokens.size());
        }
        if (rc == 0 && c.capture && c.abort.load(std::memory_order_relaxed)) {
            rc = 2; // stopped by the capture in the last part of the graph
        }
        if (rc != 0) {
            c.outputs.clear();
            remove_batch(c, a);
            if (c.capture && !c.capture->problem().empty()) {
                fail(ANN_ERROR_UNSUPPORTED, "cannot capture: %s", c.capture->problem().c_str());
            }
            if (rc == 2) {
                fail(ANN_ERROR_CANCELLED, "decoding was cancelled; the %zu tokens of the batch are not in the cache", a.tokens.size());
            }
            fail(ANN_ERROR_INTERNAL, "llama_decode failed (%d): %s", rc, log.reason("no reason given").c_str());
        }
        if (llama_ann_index_has_failed(c.ctx)) {
            c.outputs.clear();
            remove_batch(c, a);
            fail(ANN_ERROR_OUT_OF_MEMORY, "the index over the search keys ran out of memory; the %zu tokens of the batch are not in "
                "the cache. Clear the context, or create one with exact search", a.tokens.size());
        }
        c.n_decode  += 1;
        c.n_tokens  += a.tokens.size();
        c.decode_ns += now_ns() - start;
        c.last_seq   = a.sequences.back();
        c.sequences.assign(a.sequences.begin(), a.sequences.end());
        c.outputs.assign(a.outputs.begin(), a.outputs.end());
        llama_ann_idle(c.ctx);
    });
}

void ann_context_abort(ann_context * context) {
    if (context) {
        context->abort.store(true, std::memory_order_relaxed);
    }
}

ann_status ann_context_get_logits(ann_context * context, int32_t index, const float ** logits, size_t * n_logits, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        require(logits, "logits") = nullptr;
        require_output(c, index);
        const float * res = llama_get_logits_ith(c.ctx, index);
        if (!res) {
            fail(ANN_ERROR_UNSUPPORTED, "the context has no logits (embeddings = 1)");
        }
        *logits = res;
        require(n_logits, "n_logits") = (size_t) llama_vocab_n_tokens(llama_model_get_vocab(c.model.get()));
    });
}

ann_status ann_context_get_embeddings(ann_context * context, int32_t index, const float ** values, size_t * n_values, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        require(values, "values") = nullptr;
        if (!c.params.embeddings) {
            fail(ANN_ERROR_UNSUPPORTED, "the context has no embeddings; create it with embeddings = 1");
        }
        require_output(c, index);
        const float * res = c.pooled ? llama_get_embeddings_seq(c.ctx, index < 0 ? c.last_seq : c.sequences[(size_t) index]) :
            llama_get_embeddings_ith(c.ctx, index);
        if (!res) {
            fail(ANN_ERROR_UNSUPPORTED, "llama.cpp gave no embedding for token %d", index);
        }
        *values = res;
        require(n_values, "n_values") = (size_t) llama_model_n_embd_out(c.model.get());
    });
}

// ---------------------------------------------------------------------------------------------------------------------
// saved state

namespace {

constexpr char     STATE_MAGIC[8] = { 'A', 'N', 'N', 'S', 'T', 'A', 'T', 'E' };
constexpr uint32_t STATE_VERSION  = 1;

struct state_header {
    char     magic[8];
    uint32_t version;
    int32_t  whole;        // 1: the context, 0: one sequence
    uint64_t model;        // fingerprint
    int32_t  has_search;
    uint32_t n_seq_max;    // of the context, where it is whole
    int32_t  kv_unified;
    uint32_t n_embd_search;
    char     type_k[16];
    char     type_v[16];
    char     type_search[16];
    uint64_t payload_bytes;
    uint64_t payload_hash;
};

uint64_t hash_bytes(const void * data, size_t n, uint64_t h = 0xcbf29ce484222325ull) {
    // FNV-1a over 8-byte words: a check against damage, not against intent
    const uint8_t * p = (const uint8_t *) data;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t x;
        std::memcpy(&x, p, 8);
        h = (h ^ x)*0x100000001b3ull;
        h ^= h >> 29;
    }
    for (; n > 0; --n, ++p) {
        h = (h ^ *p)*0x100000001b3ull;
    }
    return h;
}

// every metadata key and value, the shape, and the search projections' place
uint64_t fingerprint(const llama_model * m) {
    uint64_t h = hash_bytes("", 0);
    const uint64_t shape[] = { llama_model_n_params(m), llama_model_size(m), (uint64_t) llama_vocab_n_tokens(llama_model_get_vocab(m)) };
    h = hash_bytes(shape, sizeof(shape), h);
    for (int32_t i = 0; i < llama_model_meta_count(m); ++i) {
        for (auto get : { llama_model_meta_key_by_index, llama_model_meta_val_str_by_index }) {
            const int32_t n = get(m, i, nullptr, 0);
            std::string s((size_t) std::max(n, 0), '\0');
            get(m, i, &s[0], s.size() + 1);
            h = hash_bytes(s.data(), s.size(), h);
        }
    }
    return h;
}

state_header make_header(const ann_context & c, bool whole) {
    state_header h = {};
    std::memcpy(h.magic, STATE_MAGIC, sizeof(h.magic));
    h.version       = STATE_VERSION;
    h.whole         = whole;
    h.model         = fingerprint(c.model.get());
    h.has_search    = c.has_search;
    h.n_seq_max     = whole ? c.params.n_seq_max : 0;
    h.kv_unified    = whole ? c.params.kv_unified : 0;
    h.n_embd_search = c.has_search ? (uint32_t) llama_ann_get_model(c.model.get()).n_embd_search : 0;
    std::memcpy(h.type_k, c.params.type_k, sizeof(h.type_k));
    std::memcpy(h.type_v, c.params.type_v, sizeof(h.type_v));
    if (c.has_search) {
        std::memcpy(h.type_search, c.params.type_search, sizeof(h.type_search));
    }
    return h;
}

void check_header(const ann_context & c, const state_header & h, size_t n_bytes, bool whole) {
    if (std::memcmp(h.magic, STATE_MAGIC, sizeof(h.magic)) != 0) {
        fail(ANN_ERROR_BAD_STATE, "this is not an AnnRuntime state; session files of llama.cpp hold no search keys and cannot be read");
    }
    if (h.version != STATE_VERSION) {
        fail(ANN_ERROR_BAD_STATE, "the state has version %u, expected %u", h.version, STATE_VERSION);
    }
    if ((h.whole != 0) != whole) {
        fail(ANN_ERROR_BAD_STATE, "the state is of %s, but %s was asked for", h.whole ? "a whole context" : "one sequence", whole ? "a whole context" : "one sequence");
    }
    if (h.payload_bytes != n_bytes - sizeof(h)) {
        fail(ANN_ERROR_BAD_STATE, "the state is cut off: it holds %zu bytes, expected %llu", n_bytes - sizeof(h), (unsigned long long) h.payload_bytes);
    }
    if (h.model != fingerprint(c.model.get())) {
        fail(ANN_ERROR_BAD_STATE, "the state is of another model file");
    }
    if ((h.has_search != 0) != c.has_search) {
        fail(ANN_ERROR_BAD_STATE, "the state was saved %s search keys, this context is %s them", h.has_search ? "with" : "without", c.has_search ? "with" : "without");
    }
    const state_header mine = make_header(c, whole);
    auto same = [&](const char * what, const char * a, const char * b) {
        if (std::strncmp(a, b, 16) != 0) {
            fail(ANN_ERROR_BAD_STATE, "the state's %s type is %.15s, this context's is %.15s", what, a, b);
        }
    };
    same("K", h.type_k, mine.type_k);
    same("V", h.type_v, mine.type_v);
    same("search key", h.type_search, mine.type_search);
    if (h.n_seq_max != mine.n_seq_max || h.kv_unified != mine.kv_unified) {
        fail(ANN_ERROR_BAD_STATE, "the state is of a context with %u sequences (unified %d), this one has %u (%d)", h.n_seq_max, h.kv_unified, mine.n_seq_max, mine.kv_unified);
    }
}

} // namespace

ann_status ann_context_state_get(ann_context * context, int32_t seq, uint8_t * buffer, size_t capacity, size_t * n_written, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        require_range("seq", seq, -1, (int64_t) c.params.n_seq_max - 1);
        const size_t n_payload = seq < 0 ? llama_state_get_size(c.ctx) : llama_state_seq_get_size(c.ctx, seq);
        const size_t n_total   = sizeof(state_header) + n_payload;
        require(n_written, "n_written") = n_total;
        if (capacity < n_total) {
            fail(ANN_ERROR_BUFFER_TOO_SMALL, "the state needs %zu bytes, capacity is %zu", n_total, capacity);
        }
        require(buffer, "buffer");
        uint8_t * payload = buffer + sizeof(state_header);
        const size_t n = seq < 0 ? llama_state_get_data(c.ctx, payload, n_payload) : llama_state_seq_get_data(c.ctx, payload, n_payload, seq);
        if (n == 0 || n > n_payload) {
            fail(ANN_ERROR_INTERNAL, "llama.cpp wrote %zu bytes of state, expected up to %zu", n, n_payload);
        }
        state_header h = make_header(c, seq < 0);
        h.payload_bytes = n;
        h.payload_hash  = hash_bytes(payload, n);
        std::memcpy(buffer, &h, sizeof(h));
        *n_written = sizeof(h) + n;
        llama_ann_idle(c.ctx); // asking for the size has stopped the index's threads
    });
}

ann_status ann_context_state_set(ann_context * context, int32_t seq, const uint8_t * buffer, size_t n_bytes, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        require_range("seq", seq, -1, (int64_t) c.params.n_seq_max - 1);
        require(buffer, "buffer");
        state_header h = {};
        if (n_bytes < sizeof(h)) {
            fail(ANN_ERROR_BAD_STATE, "the state is cut off: %zu bytes, its header alone has %zu", n_bytes, sizeof(h));
        }
        std::memcpy(&h, buffer, sizeof(h));
        check_header(c, h, n_bytes, seq < 0);
        const uint8_t * payload = buffer + sizeof(h);
        if (hash_bytes(payload, h.payload_bytes) != h.payload_hash) {
            fail(ANN_ERROR_BAD_STATE, "the state is damaged: its checksum does not match");
        }
        log_scope log;
        c.outputs.clear();
        const size_t n = seq < 0 ? llama_state_set_data(c.ctx, payload, h.payload_bytes) : llama_state_seq_set_data(c.ctx, payload, h.payload_bytes, seq);
        if (n == 0) {
            if (seq < 0) {
                llama_memory_clear(llama_get_memory(c.ctx), true);
            } else {
                llama_memory_seq_rm(llama_get_memory(c.ctx), seq, -1, -1);
            }
            fail(ANN_ERROR_BAD_STATE, "the state cannot be restored: %s", log.reason("it does not fit this context").c_str());
        }
        llama_ann_idle(c.ctx); // the index of the state is taken over, what it lacks is inserted
    });
}
