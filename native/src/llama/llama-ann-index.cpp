#include "llama-ann-index.h"

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
constexpr int32_t N_INSERT = 16; // pending cells of a shard that one token indexes, besides its own

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

ann_idx::vector_rows ann_rows(const ggml_tensor * keys, int64_t stream) {
    ann_idx::vector_rows res;
    res.base         = (const uint8_t *) keys->data + stream*keys->nb[2];
    res.stride_bytes = keys->nb[1];
    res.type         = keys->type == GGML_TYPE_F32 ? ann_idx::vector_type::f32 :
                       keys->type == GGML_TYPE_F16 ? ann_idx::vector_type::f16 : ann_idx::vector_type::q8_0;
    res.dim          = (int32_t) keys->ne[0];
    res.n_rows       = (int32_t) keys->ne[1];
    return res;
}

} // namespace

llama_ann_index::llama_ann_index(const llama_kv_cache & twin, const llama_ann_params & params) :
    twin(twin), n_shards(std::max(1, std::min(params.index_threads, 64))) {
    ann_idx::index_set_params p;
    p.n_shards              = n_shards;
    p.graph.m               = params.index_m;
    p.graph.ef_construction = params.index_ef_construction;
    for (uint32_t il : twin.get_layer_ids()) {
        const ggml_tensor * keys = twin.get_k_storage((int32_t) il);
        if (!ggml_backend_buffer_is_host(keys->buffer)) {
            throw std::runtime_error("the index needs its search keys in host memory; use exact search, or offload_kqv = 0");
        }
        auto l = std::make_unique<layer>();
        l->owner = this;
        l->keys  = keys;
        for (uint32_t s = 0; s < twin.get_n_stream(); ++s) {
            l->sets.emplace_back(ann_rows(keys, s), p);
        }
        l->scratch.resize((size_t) n_shards);
        l->n_scored.resize((size_t) n_shards);
        layers[(int32_t) il] = std::move(l);
    }
    known.assign(twin.get_n_stream(), cell_bits((int32_t) twin.get_size()));
    set_params(params);
}

void llama_ann_index::set_params(const llama_ann_params & value) {
    ef_search = value.ef_search;
    measure   = value.measure;
}

// ---------------------------------------------------------------------------------------------------------------------
// what the cache tells

void llama_ann_index::mark_written(uint32_t stream, const std::vector<uint32_t> & cells) {
    const std::vector<int32_t> list(cells.begin(), cells.end());
    for (int32_t cell : list) {
        known[stream].set(cell);
    }
    for (auto & [il, l] : layers) {
        l->sets[stream].mark_written(list.data(), list.size());
    }
}

void llama_ann_index::mark_unknown() {
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

void llama_ann_index::mark_shifted() {
    for (uint32_t s = 0; s < known.size(); ++s) {
        const auto & cells = twin.get_cells((llama_seq_id) s);
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

void llama_ann_index::copy_stream(uint32_t src, uint32_t dst) {
    for (auto & [il, l] : layers) {
        l->sets[dst].copy_from(l->sets[src]);
    }
    known[dst] = known[src];
}

void llama_ann_index::clear() {
    failed = false;
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
    for (auto & [il, l] : layers) {
        for (auto & set : l->sets) {
            set.build(n_threads);
        }
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// ops

ggml_tensor * llama_ann_index::build_visible(ggml_context * ctx, ggml_tensor * mask) {
    return ggml_custom_4d(ctx, GGML_TYPE_I32, visible_shape(mask->ne[0]).n_values(), mask->ne[1], 1, mask->ne[3],
        &mask, 1, run_visible, GGML_N_TASKS_MAX, nullptr);
}

ggml_tensor * llama_ann_index::build_search(ggml_context * ctx, ggml_tensor * q, ggml_tensor * k, ggml_tensor * visible,
        ggml_tensor * always, int32_t top_k, int32_t il) {
    layer & l = *layers.at(il);
    l.parts.resize(std::max(l.parts.size(), (size_t) (q->ne[1]*q->ne[3]*n_shards)));
    ggml_tensor * args[] = { q, k, visible, always };
    return ggml_custom_4d(ctx, GGML_TYPE_I32, top_k, q->ne[1], 1, q->ne[3], args, always ? 4 : 3, run_search,
        GGML_N_TASKS_MAX, &l);
}

ggml_tensor * llama_ann_index::build_insert(ggml_context * ctx, int64_t n_tokens, int32_t il) {
    layer & l = *layers.at(il);
    ggml_tensor * keys = const_cast<ggml_tensor *>(l.keys);
    // as many values as there are tokens: the op finds its number there
    return ggml_custom_4d(ctx, GGML_TYPE_I32, n_tokens, 1, 1, 1, &keys, 1, run_insert, GGML_N_TASKS_MAX, &l);
}

void llama_ann_index::run_visible(ggml_tensor * dst, int ith, int nth, void *) {
    const ggml_tensor * mask = dst->src[0];
    const visible_shape shape(mask->ne[0]);
    for (int64_t row = 0; row < dst->ne[1]*dst->ne[3]; ++row) {
        uint64_t * words  = ann_row<uint64_t>(dst, row);
        int32_t  * counts = (int32_t *) (words + shape.n_words);
        for (int64_t chunk = ith; chunk < shape.n_chunks; chunk += nth) {
            counts[chunk] = 0;
            for (int64_t w = chunk*N_CHUNK; w < std::min(shape.n_words, (chunk + 1)*N_CHUNK); ++w) {
                const int64_t n = std::min<int64_t>(64, mask->ne[0] - w*64);
                words[w] = mask->type == GGML_TYPE_F16 ?
                    ann_visible_word<uint16_t>(ann_row<uint16_t>(mask, row) + w*64, n, 0xFC00) :
                    ann_visible_word<float>(ann_row<float>(mask, row) + w*64, n, -INFINITY);
                counts[chunk] += __builtin_popcountll(words[w]);
            }
        }
    }
}

void llama_ann_index::search_shard(layer & l, const ggml_tensor * dst, int shard) {
    const ggml_tensor * q       = dst->src[0];
    const ggml_tensor * k       = dst->src[1];
    const ggml_tensor * visible = dst->src[2];
    const visible_shape shape(k->ne[1]);
    const int64_t       s0 = ((const char *) k->data - (const char *) l.keys->data)/(int64_t) l.keys->nb[2];
    for (int64_t s = 0; s < q->ne[3]; ++s) {
        auto & set = l.sets[(size_t) (s0 + s)];
        set.insert_pending(shard, N_INSERT + (int32_t) q->ne[1], l.scratch[(size_t) shard]);
        const int64_t n_before = l.scratch[(size_t) shard].counters.n_scored;
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
        l.n_scored[(size_t) shard] += (uint64_t) (l.scratch[(size_t) shard].counters.n_scored - n_before);
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
                cell_filter::bits(ann_row<uint64_t>(dst->src[2], row), (int32_t) k->ne[1]) }, l.scratch[0], exact);
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
            for (auto & set : l.sets) {
                set.insert_pending(shard, N_INSERT + (int32_t) dst->ne[0], l.scratch[(size_t) shard]);
            }
        }
    } catch (...) {
        l.owner->failed = true;
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// statistics

llama_ann_index_stats llama_ann_index::stats(int32_t il) const {
    llama_ann_index_stats res;
    const auto it = layers.find(il);
    if (it == layers.end()) {
        return res;
    }
    for (const auto & set : it->second->sets) {
        const auto s = set.stats();
        res.n_indexed  += (uint64_t) s.total.n_indexed;
        res.n_pending  += (uint64_t) s.n_pending;
        res.n_inserted += (uint64_t) s.total.n_inserted;
        res.insert_ns  += (uint64_t) s.total.insert_ns;
        res.bytes      += (uint64_t) s.total.memory_bytes;
    }
    for (uint64_t n : it->second->n_scored) {
        res.n_scored += n;
    }
    res.n_visible = it->second->n_visible;
    for (const auto & scratch : it->second->scratch) {
        res.n_exact   += (uint64_t) scratch.counters.n_exact;
        res.search_ns += (uint64_t) scratch.counters.search_ns;
    }
    res.n_measured = it->second->n_measured;
    res.recall_sum = it->second->recall;
    return res;
}

void llama_ann_index::reset_stats() {
    for (auto & [il, l] : layers) {
        for (auto & scratch : l->scratch) {
            scratch.counters = {};
        }
        std::fill(l->n_scored.begin(), l->n_scored.end(), 0);
        l->n_visible  = 0;
        l->n_measured = 0;
        l->recall     = 0;
    }
}

size_t llama_ann_index::memory_bytes() const {
    size_t res = 0;
    for (const auto & [il, l] : layers) {
        for (const auto & set : l->sets) {
            res += (size_t) set.stats().total.memory_bytes;
        }
    }
    return res;
}
