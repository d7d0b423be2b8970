#include "llama-ann-index.h"

#include "llama-impl.h"
#include "llama-kv-cache.h"

#include "ggml.h"

#include <algorithm>
#include <climits>
#include <stdexcept>

using ann_idx::cell_bits;
using ann_idx::cell_filter;
using ann_idx::scored_cell;

namespace {

constexpr int64_t N_CHUNK  = 64; // words of visible cells that are counted together
constexpr int32_t N_INSERT = 16; // eager: pending cells of a shard that one token indexes, besides its own

// Pending cells scanned in the time that one takes to be inserted (one thread, 128k cells: 9 to 40 ns a cell, 56 to 80 us an insertion).
constexpr int64_t N_SCANNED = 8192;

// Between two tokens of a generation nothing begins.
constexpr std::chrono::milliseconds IDLE_DELAY(1);

// A row of the tensor of visible cells: words, then a count for each chunk of them.
struct visible_shape {
    int64_t n_words, n_chunks;

    explicit visible_shape(int64_t n_kv) : n_words((n_kv + 63)/64), n_chunks((n_words + N_CHUNK - 1)/N_CHUNK) {}

    int64_t n_values() const { return 2*n_words + GGML_PAD(n_chunks, 2); } // rows of whole words
};

template <typename T> T * ann_row(const ggml_tensor * x, int64_t row) {
    return (T *) ((char *) x->data + (row % x->ne[1])*x->nb[1] + (row/x->ne[1])*x->nb[3]);
}

template <typename T> uint64_t ann_visible_word(const T * mask, int64_t n, T hidden) {
    uint64_t res = 0;
    for (int64_t i = 0; i < n; ++i) {
        res |= (uint64_t) (mask[i] != hidden) << i;
    }
    return res;
}

// cells first .. first + n of which the range shows some
uint64_t ann_range_word(const int32_t * range, int64_t first, int64_t n) {
    const int64_t from = std::max<int64_t>(range[0] - first, 0), to = std::min<int64_t>(range[1] - first, n);
    return from >= to ? 0 : (~(uint64_t) 0 >> (64 - (to - from))) << from;
}

ann_idx::vector_type ann_vector_type(ggml_type type) {
    return type == GGML_TYPE_F32 ? ann_idx::vector_type::f32 :
           type == GGML_TYPE_F16 ? ann_idx::vector_type::f16 : ann_idx::vector_type::q8_0;
}

ann_idx::vector_rows ann_rows(const ggml_tensor * keys, int64_t stream) {
    ann_idx::vector_rows res;
    res.base         = (const uint8_t *) keys->data + stream*keys->nb[2];
    res.stride_bytes = keys->nb[1];
    res.type         = ann_vector_type(keys->type);
    res.dim          = (int32_t) keys->ne[0];
    res.n_rows       = (int32_t) keys->ne[1];
    return res;
}

size_t layer_bytes_of(const llama_kv_cache & twin, int32_t m) {
    const auto ids = twin.get_layer_ids();
    if (ids.empty()) {
        return 0;
    }
    const ggml_tensor * keys = twin.get_k_storage((int32_t) ids.front());
    return (size_t) llama_ann_index_bytes(keys->type, (int32_t) keys->ne[0], (uint64_t) twin.get_size()*twin.get_n_stream(), m);
}

// Keeps the builder from the sets for a look at them.
class paused_scope {
public:
    explicit paused_scope(ann_idx::background_builder & builder) : builder(builder), was_running(builder.is_running()) { builder.pause(); }
    ~paused_scope() {
        if (was_running) {
            builder.resume();
        }
    }
    paused_scope(const paused_scope &) = delete;
    paused_scope & operator=(const paused_scope &) = delete;

private:
    ann_idx::background_builder & builder;
    const bool was_running;
};

} // namespace

uint64_t llama_ann_index_bytes(ggml_type type_s, int32_t n_embd_search, uint64_t n_cells, int32_t m) {
    return ann_idx::index_bytes(ann_vector_type(type_s), n_embd_search, n_cells, m);
}

llama_ann_index::llama_ann_index(const llama_kv_cache & twin, const llama_ann_params & params) :
    twin(twin), n_shards(std::max(1, std::min(params.index_threads, 64))), is_eager(params.index_eager) {
    ann_idx::index_set_params p;
    p.n_shards              = n_shards;
    p.graph.m               = params.index_m;
    p.graph.ef_construction = params.index_ef_construction;
    const size_t layer_bytes = layer_bytes_of(twin, params.index_m);
    size_t       left        = params.index_max_bytes == 0 ? SIZE_MAX : (size_t) params.index_max_bytes;
    std::vector<ann_idx::index_set *> all;
    for (uint32_t il : twin.get_layer_ids()) {
        const ggml_tensor * keys = twin.get_k_storage((int32_t) il);
        if (!ggml_backend_buffer_is_host(keys->buffer)) {
            throw std::runtime_error("the index needs its search keys in host memory, and they lie on a GPU: use exact search, "
                "which is fast there, or create the context with search_memory = host");
        }
        if (left < layer_bytes) {
            continue;
        }
        left -= layer_bytes;
        auto l = std::make_unique<layer>();
        l->owner = this;
        l->keys  = keys;
        for (uint32_t s = 0; s < twin.get_n_stream(); ++s) {
            l->sets.emplace_back(ann_rows(keys, s), p);
        }
        for (auto & set : l->sets) {
            all.push_back(&set);
        }
        l->scratch.resize((size_t) n_shards);
        l->n_scored.resize((size_t) n_shards);
        l->n_expanded.resize((size_t) n_shards);
        l->debt.resize((size_t) n_shards*twin.get_n_stream());
        layers[(int32_t) il] = std::move(l);
    }
    if (layers.empty()) {
        throw std::runtime_error(format("search.index_max_bytes is %zu, expected at least the %zu of one layer's index, or 0 for no limit",
            (size_t) params.index_max_bytes, layer_bytes));
    }
    if (layers.size() < twin.get_layer_ids().size()) {
        LLAMA_LOG_WARN("%s: index_max_bytes = %zu reaches for %zu of %zu layers; the others search exactly\n", __func__,
            (size_t) params.index_max_bytes, layers.size(), twin.get_layer_ids().size());
    }
    builder = std::make_unique<ann_idx::background_builder>(std::move(all), n_shards, IDLE_DELAY);
    known.assign(twin.get_n_stream(), cell_bits((int32_t) twin.get_size()));
    set_params(params);
}

void llama_ann_index::set_params(const llama_ann_params & value) {
    builder->pause();
    ef_search   = value.ef_search;
    is_eager    = value.index_eager;
    min_context = value.index_min_context;
    measure   = value.measure || value.measure_index;
}

void llama_ann_index::idle() {
    builder->pause();
    take_offers();
    int32_t n_most = 0;
    for (const auto & bits : known) {
        n_most = std::max(n_most, bits.count());
    }
    if (!is_eager && n_most >= min_context/2) {
        builder->resume();
    }
}

bool llama_ann_index::can_serve(const llama_kv_cache & twin) {
    const auto ids = twin.get_layer_ids();
    return std::all_of(ids.begin(), ids.end(), [&](uint32_t il) {
        return ggml_backend_buffer_is_host(twin.get_k_storage((int32_t) il)->buffer);
    });
}

std::vector<bool> llama_ann_index::ready() const {
    builder->pause();
    std::vector<bool> res;
    for (const auto & [il, l] : layers) {
        int64_t n_indexed = 0, n_pending = 0;
        for (const auto & set : l->sets) {
            const auto stats = set.stats();
            n_indexed += stats.total.n_indexed;
            n_pending += stats.n_pending;
        }
        res.resize((size_t) il + 1);
        res[(size_t) il] = is_eager || 8*n_pending <= n_indexed;
    }
    return res;
}

// ---------------------------------------------------------------------------------------------------------------------
// what the cache tells

void llama_ann_index::mark_written(uint32_t stream, const std::vector<uint32_t> & cells) {
    builder->pause();
    const std::vector<int32_t> list(cells.begin(), cells.end());
    for (int32_t cell : list) {
        known[stream].set(cell);
    }
    for (auto & [il, l] : layers) {
        l->sets[stream].mark_written(list.data(), list.size());
    }
}

void llama_ann_index::mark_unknown() {
    builder->pause();
    for (uint32_t s = 0; s < known.size(); ++s) {
        const auto & cells = twin.get_cells((llama_seq_id) s); // stream s is that of sequence s
        std::vector<uint32_t> list;
        for (uint32_t j = 0; j < cells.used_max_p1(); ++j) {
            if (!cells.is_empty(j) && !known[s].test((int32_t) j)) {
                list.push_back(j);
            }
        }
        mark_written(s, list);
    }
}

void llama_ann_index::mark_emptied() {
    builder->pause();
    for (uint32_t s = 0; s < known.size(); ++s) {
        const auto & cells = twin.get_cells((llama_seq_id) s);
        std::vector<int32_t> list;
        known[s].for_each([&](int32_t cell) {
            if (cells.is_empty((uint32_t) cell)) {
                list.push_back(cell);
            }
        });
        for (int32_t cell : list) {
            known[s].unset(cell);
        }
        for (auto & [il, l] : layers) {
            l->sets[s].mark_removed(list.data(), list.size());
            for (int shard = 0; shard < n_shards; ++shard) {
                if (l->sets[s].needs_rebuild(shard)) {
                    l->sets[s].rebuild(shard);
                }
            }
        }
    }
}

void llama_ann_index::mark_shifted(const llama_kv_cache & base) {
    take_offers();
    for (uint32_t s = 0; s < known.size(); ++s) {
        const auto & cells = base.get_cells((llama_seq_id) s);
        std::map<llama_pos, std::vector<uint32_t>> by_shift;
        known[s].for_each([&](int32_t cell) {
            if (!cells.is_empty((uint32_t) cell)) {
                by_shift[cells.get_shift((uint32_t) cell)].push_back((uint32_t) cell);
            }
        });
        const auto most = std::max_element(by_shift.begin(), by_shift.end(),
            [](const auto & a, const auto & b) { return a.second.size() < b.second.size(); });
        for (auto it = by_shift.begin(); it != by_shift.end(); ++it) {
            if (it != most) {
                mark_written(s, it->second);
            }
        }
    }
}

void llama_ann_index::mark_rotated(const llama_kv_cache & base) {
    for (uint32_t s = 0; s < known.size(); ++s) {
        if (base.get_cells((llama_seq_id) s).get_has_shift()) {
            for (auto & [il, l] : layers) {
                l->sets[s].mark_moved();
            }
        }
    }
}

void llama_ann_index::copy_stream(uint32_t src, uint32_t dst) {
    take_offers();
    for (auto & [il, l] : layers) {
        l->sets[dst].copy_from(l->sets[src]);
    }
    known[dst] = known[src];
}

void llama_ann_index::clear() {
    builder->pause();
    failed = false;
    offers.clear();
    for (auto & [il, l] : layers) {
        for (auto & set : l->sets) {
            set.clear();
        }
    }
    for (auto & bits : known) {
        bits.clear();
    }
}

void llama_ann_index::build(int n_threads) {
    builder->pause();
    for (auto & [il, l] : layers) {
        for (auto & set : l->sets) {
            set.build(n_threads);
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// saved indexes

std::vector<std::pair<int32_t, std::vector<uint8_t>>> llama_ann_index::save(uint32_t stream) const {
    builder->pause(); // until idle(): a state has the size that was asked for before
    std::vector<std::pair<int32_t, std::vector<uint8_t>>> res;
    for (const auto & [il, l] : layers) {
        res.emplace_back(il, std::vector<uint8_t>());
        l->sets[stream].save(res.back().second);
    }
    return res;
}

void llama_ann_index::offer(int32_t il, uint32_t stream, std::vector<uint8_t> data) {
    offers.push_back({ il, stream, std::move(data) });
}

void llama_ann_index::take_offers() {
    builder->pause();
    for (const auto & o : offers) {
        const auto it = layers.find(o.il);
        if (it == layers.end() || o.stream >= it->second->sets.size()) {
            continue;
        }
        auto & set = it->second->sets[o.stream];
        std::string why_not;
        if (!set.load(o.data.data(), o.data.size(), why_not)) {
            LLAMA_LOG_WARN("%s: layer %d: %s; it is built anew\n", __func__, o.il, why_not.c_str());
            continue;
        }
        std::vector<int32_t> missing, surplus;
        for (int32_t cell = 0; cell < set.rows().n_rows; ++cell) {
            if (set.contains(cell) != known[o.stream].test(cell)) {
                (known[o.stream].test(cell) ? missing : surplus).push_back(cell);
            }
        }
        set.mark_written(missing.data(), missing.size());
        set.mark_removed(surplus.data(), surplus.size());
    }
    offers.clear();
}

bool llama_ann_index::holds_only(uint32_t stream, llama_seq_id seq) const {
    const auto & cells = twin.get_cells((llama_seq_id) stream);
    bool res = true;
    known[stream].for_each([&](int32_t cell) {
        res = res && (cells.is_empty((uint32_t) cell) || cells.seq_has((uint32_t) cell, seq));
    });
    return res;
}

// ---------------------------------------------------------------------------------------------------------------------
// ops

ggml_tensor * llama_ann_index::build_visible(ggml_context * ctx, ggml_tensor * visible, int64_t n_kv) {
    return ggml_custom_4d(ctx, GGML_TYPE_I32, visible_shape(n_kv).n_values(), visible->ne[1], 1, visible->ne[3],
        &visible, 1, run_visible, GGML_N_TASKS_MAX, (void *) (intptr_t) n_kv);
}

ggml_tensor * llama_ann_index::build_search(ggml_context * ctx, ggml_tensor * q, ggml_tensor * k, ggml_tensor * visible,
        ggml_tensor * always, int32_t top_k, int32_t il) {
    builder->pause();
    layer & l = *layers.at(il);
    l.parts.resize(std::max(l.parts.size(), (size_t) (q->ne[1]*q->ne[3]*n_shards)));
    ggml_tensor * args[] = { q, k, visible, always };
    return ggml_custom_4d(ctx, GGML_TYPE_I32, top_k, q->ne[1], 1, q->ne[3], args, always ? 4 : 3, run_search,
        GGML_N_TASKS_MAX, &l);
}

ggml_tensor * llama_ann_index::build_insert(ggml_context * ctx, int64_t n_tokens, int32_t il) {
    builder->pause();
    if (!is_eager && n_tokens > max_queries) {
        return nullptr; // the queries of a prompt are answered exactly: pending cells cost them nothing
    }
    layer & l = *layers.at(il);
    ggml_tensor * keys = const_cast<ggml_tensor *>(l.keys);
    // as many values as there are tokens: the op finds its number there
    return ggml_custom_4d(ctx, GGML_TYPE_I32, n_tokens, 1, 1, 1, &keys, 1, run_insert, GGML_N_TASKS_MAX, &l);
}

void llama_ann_index::run_visible(ggml_tensor * dst, int ith, int nth, void * user_data) {
    const ggml_tensor * src  = dst->src[0];
    const int64_t       n_kv = (intptr_t) user_data;
    const visible_shape shape(n_kv);
    for (int64_t row = 0; row < dst->ne[1]*dst->ne[3]; ++row) {
        uint64_t * words  = ann_row<uint64_t>(dst, row);
        int32_t  * counts = (int32_t *) (words + shape.n_words);
        for (int64_t chunk = ith; chunk < shape.n_chunks; chunk += nth) {
            counts[chunk] = 0;
            for (int64_t w = chunk*N_CHUNK; w < std::min(shape.n_words, (chunk + 1)*N_CHUNK); ++w) {
                const int64_t n = std::min<int64_t>(64, n_kv - w*64);
                words[w] = src->type == GGML_TYPE_I32 ? ann_range_word(ann_row<int32_t>(src, row), w*64, n) :
                    src->type == GGML_TYPE_F16 ?
                    ann_visible_word<uint16_t>(ann_row<uint16_t>(src, row) + w*64, n, 0xFC00) :
                    ann_visible_word<float>(ann_row<float>(src, row) + w*64, n, -INFINITY);
                counts[chunk] += __builtin_popcountll(words[w]);
            }
        }
    }
}

void llama_ann_index::insert_some(layer & l, size_t stream, int shard, int64_t n_queries) {
    auto & set = l.sets[stream];
    if (l.owner->is_eager) {
        set.insert_pending(shard, N_INSERT + (int32_t) n_queries, l.scratch[(size_t) shard]);
        return;
    }
    int64_t & debt = l.debt[stream*(size_t) l.owner->n_shards + (size_t) shard];
    debt += n_queries*set.n_pending(shard);
    set.insert_pending(shard, (int32_t) (debt/N_SCANNED), l.scratch[(size_t) shard]);
    debt %= N_SCANNED;
}

void llama_ann_index::search_shard(layer & l, const ggml_tensor * dst, int shard) {
    const ggml_tensor * q       = dst->src[0];
    const ggml_tensor * k       = dst->src[1];
    const ggml_tensor * visible = dst->src[2];
    const visible_shape shape(k->ne[1]);
    const int64_t       s0 = ((const char *) k->data - (const char *) l.keys->data)/(int64_t) l.keys->nb[2];
    for (int64_t s = 0; s < q->ne[3]; ++s) {
        auto & set = l.sets[(size_t) (s0 + s)];
        insert_some(l, (size_t) (s0 + s), shard, q->ne[1]);
        const auto before = l.scratch[(size_t) shard].counters;
        for (int64_t t = 0; t < q->ne[1]; ++t) {
            const int64_t    row    = s*q->ne[1] + t;
            const uint64_t * words  = ann_row<uint64_t>(visible, row);
            const int32_t  * counts = (const int32_t *) (words + shape.n_words);
            int32_t n_visible = 0;
            for (int64_t chunk = 0; chunk < shape.n_chunks; ++chunk) {
                n_visible += counts[chunk];
            }
            auto & part = l.parts[(size_t) (row*l.owner->n_shards + shard)];
            part.clear();
            l.n_visible += shard == 0 ? (uint64_t) n_visible : 0;
            set.search_shard(shard, { ann_row<float>(q, row), (int) dst->ne[0], l.owner->ef_search,
                cell_filter::bits(words, (int32_t) k->ne[1], n_visible) }, l.scratch[(size_t) shard], part);
        }
        const auto & after = l.scratch[(size_t) shard].counters;
        l.n_scored[(size_t) shard]   += (uint64_t) (after.n_scored - before.n_scored);
        l.n_expanded[(size_t) shard] += (uint64_t) (after.n_expanded - before.n_expanded);
    }
}

// Of each query: the always-attended cells and the best others, ascending, then -1.
void llama_ann_index::merge(layer & l, ggml_tensor * dst) {
    const ggml_tensor * q      = dst->src[0];
    const ggml_tensor * k      = dst->src[1];
    const ggml_tensor * always = dst->src[3];
    const int64_t       s0     = ((const char *) k->data - (const char *) l.keys->data)/(int64_t) l.keys->nb[2];
    const int32_t       n_top  = (int32_t) dst->ne[0];
    const int32_t       n_list = always ? (int32_t) always->ne[0] : 0;
    std::vector<scored_cell> found, exact;
    for (int64_t row = 0; row < dst->ne[1]*dst->ne[3]; ++row) {
        found.clear();
        for (int shard = 0; shard < l.owner->n_shards; ++shard) {
            const auto & part = l.parts[(size_t) (row*l.owner->n_shards + shard)];
            found.insert(found.end(), part.begin(), part.end());
        }
        ann_idx::index_set::merge(found, n_top);

        if (l.owner->measure) {
            const visible_shape shape(k->ne[1]);
            l.sets[(size_t) (s0 + row/dst->ne[1])].search_exact({ ann_row<float>(q, row), n_top, 0,
                cell_filter::bits(ann_row<uint64_t>(dst->src[2], row), (int32_t) k->ne[1]) }, l.measure_scratch, exact);
            const auto n = std::count_if(exact.begin(), exact.end(), [&](const scored_cell & e) {
                return std::any_of(found.begin(), found.end(), [&](const scored_cell & f) { return f.cell == e.cell; });
            });
            l.n_measured += 1;
            l.recall     += exact.empty() ? 1.0 : (double) n/(double) exact.size();
        }

        const int32_t * list = always ? ann_row<int32_t>(always, row) : nullptr;
        int32_t * res = ann_row<int32_t>(dst, row);
        int32_t   n   = 0;
        for (int32_t i = 0; i < n_list; ++i) {
            if (list[i] >= 0) {
                res[n++] = list[i];
            }
        }
        const int32_t n_always = n;
        const int32_t n_most   = n_always + n_top - n_list; // as exact search: unused places of `always` stay empty
        for (size_t i = 0; i < found.size() && n < n_most; ++i) {
            if (std::find(res, res + n_always, found[i].cell) == res + n_always) {
                res[n++] = found[i].cell;
            }
        }
        std::sort(res, res + n);
        std::fill(res + n, res + n_top, -1);
    }
}

void llama_ann_index::run_search(ggml_tensor * dst, int ith, int nth, void * user_data) {
    layer & l = *(layer *) user_data;
    try {
        for (int shard = ith; shard < l.owner->n_shards; shard += nth) {
            search_shard(l, dst, shard);
        }
    } catch (...) {
        l.owner->failed = true;
    }
    if (l.n_done.fetch_add(1) + 1 < nth) {
        return;
    }
    l.n_done = 0;
    try {
        merge(l, dst);
    } catch (...) {
        l.owner->failed = true;
    }
    if (l.owner->failed) {
        std::fill_n((int32_t *) dst->data, ggml_nelements(dst), -1); // nothing attended; the decode is refused
    }
}

void llama_ann_index::run_insert(ggml_tensor * dst, int ith, int nth, void * user_data) {
    layer & l = *(layer *) user_data;
    try {
        for (int shard = ith; shard < l.owner->n_shards; shard += nth) {
            for (size_t s = 0; s < l.sets.size(); ++s) {
                insert_some(l, s, shard, dst->ne[0]);
            }
        }
    } catch (...) {
        l.owner->failed = true;
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// statistics

llama_ann_index_stats llama_ann_index::stats(int32_t il) const {
    const paused_scope paused(*builder);
    llama_ann_index_stats res;
    const auto it = layers.find(il);
    if (it == layers.end()) {
        return res;
    }
    res.n_graphs = (uint64_t) n_shards;
    for (const auto & set : it->second->sets) {
        const auto s = set.stats();
        res.n_indexed  += (uint64_t) s.total.n_indexed;
        res.n_erased   += (uint64_t) s.total.n_erased;
        res.n_pending  += (uint64_t) s.n_pending;
        res.n_inserted += (uint64_t) s.total.n_inserted;
        res.insert_ns  += (uint64_t) s.total.insert_ns;
        res.bytes      += (uint64_t) s.total.memory_bytes;
    }
    for (uint64_t n : it->second->n_scored) {
        res.n_scored += n;
    }
    for (uint64_t n : it->second->n_expanded) {
        res.n_expanded += n;
    }
    res.n_visible = it->second->n_visible;
    for (const auto & scratch : it->second->scratch) {
        res.n_searched += (uint64_t) scratch.counters.n_searches;
        res.n_exact    += (uint64_t) scratch.counters.n_exact;
        res.search_ns  += (uint64_t) scratch.counters.search_ns;
    }
    res.n_measured = it->second->n_measured;
    res.recall_sum = it->second->recall;
    return res;
}

void llama_ann_index::reset_stats() {
    const paused_scope paused(*builder);
    for (auto & [il, l] : layers) {
        for (auto & scratch : l->scratch) {
            scratch.counters = {};
        }
        std::fill(l->n_scored.begin(), l->n_scored.end(), 0);
        std::fill(l->n_expanded.begin(), l->n_expanded.end(), 0);
        l->n_visible  = 0;
        l->n_measured = 0;
        l->recall     = 0;
    }
}

size_t llama_ann_index::memory_bytes() const {
    const paused_scope paused(*builder);
    size_t res = 0;
    for (const auto & [il, l] : layers) {
        for (const auto & set : l->sets) {
            res += (size_t) set.stats().total.memory_bytes;
        }
    }
    return res;
}
