// Statistics: what the node callback of the scheduler sees.

#include "objects.h"

#include "ggml-ann.h"
#include "ggml-backend.h"

#include <algorithm>
#include <cstdlib>

using namespace ann;

namespace {

// "ann_topk-7" -> 7 if it begins with the prefix, else -1
int32_t layer_of(const ggml_tensor * t, const char * prefix) {
    const size_t n = std::strlen(prefix);
    return std::strncmp(t->name, prefix, n) == 0 && t->name[n] == '-' ? std::atoi(t->name + n + 1) : -1;
}

int32_t any_layer(const ggml_tensor * t) {
    const char * dash = std::strrchr(t->name, '-');
    return dash && dash[1] >= '0' && dash[1] <= '9' ? std::atoi(dash + 1) : -1;
}

// attention of a layer that does not search: flash attention, or the nodes it is composed of
bool is_dense_attention(const ggml_tensor * t) {
    if (t->op == GGML_OP_FLASH_ATTN_EXT) {
        return true;
    }
    static const char * names[] = { "kq", "kq_soft_max", "kqv", "v_cont", "kqv_out" };
    for (const char * name : names) {
        if (layer_of(t, name) >= 0) {
            return true;
        }
    }
    return false;
}

ann_layer_sums * sums_of(ann_context & c, int32_t layer) {
    return layer >= 0 && (size_t) layer < c.layers.size() ? &c.layers[(size_t) layer] : nullptr;
}

void add_time(ann_context & c, const ggml_tensor * t, uint64_t ns) {
    const int32_t searched = std::max({ layer_of(t, LLAMA_ANN_NODE_TOPK), layer_of(t, LLAMA_ANN_NODE_VISIBLE),
        layer_of(t, LLAMA_ANN_NODE_INSERT) });
    if (auto * sums = sums_of(c, searched)) {
        sums->search_ns += ns;
        c.search_ns     += ns;
    } else if (layer_of(t, LLAMA_ANN_NODE_MEASURE) >= 0) {
        // not part of the work that is timed
    } else if (layer_of(t, LLAMA_ANN_NODE_ATTN) >= 0 || is_dense_attention(t)) {
        if (auto * attention = sums_of(c, any_layer(t))) {
            attention->attention_ns += ns;
        }
        c.attention_ns += ns;
    } else {
        c.other_ns += ns;
    }
}

void add_measure(ann_context & c, int32_t layer, const ggml_tensor * t) {
    std::vector<float> rows((size_t) ggml_nelements(t));
    ggml_backend_tensor_get(t, rows.data(), 0, rows.size()*sizeof(float));
    auto & sums = c.layers[(size_t) layer];
    for (size_t i = 0; i < rows.size(); i += GGML_ANN_MEASURE_COUNT) {
        sums.n_measured += 1;
        sums.mass       += rows[i + GGML_ANN_MEASURE_MASS];
        sums.recall     += rows[i + GGML_ANN_MEASURE_RECALL];
    }
}

void keep_candidates(ann_context & c, int32_t layer, const ggml_tensor * t) {
    auto & list = c.layers[(size_t) layer].candidates;
    list.resize((size_t) t->ne[0]);
    ggml_backend_tensor_get(t, list.data(), (t->ne[1] - 1)*t->nb[1] + (t->ne[3] - 1)*t->nb[3], list.size()*sizeof(int32_t));
}

} // namespace

bool ann::stats_callback(ggml_tensor * t, bool ask, void * user_data) {
    ann_context & c = *(ann_context *) user_data;
    const int32_t measured = layer_of(t, LLAMA_ANN_NODE_MEASURE);
    const int32_t searched = layer_of(t, LLAMA_ANN_NODE_TOPK);
    if (ask) {
        return (c.stats_flags & ANN_STATS_TIME) || (c.measuring && (measured >= 0 || searched >= 0));
    }
    if (c.stats_flags & ANN_STATS_TIME) {
        const uint64_t now = now_ns();
        add_time(c, t, now - c.node_start_ns);
    }
    if (c.measuring && measured >= 0) {
        add_measure(c, measured, t);
    }
    if (c.measuring && searched >= 0) {
        keep_candidates(c, searched, t);
    }
    c.node_start_ns = now_ns();
    return true;
}

ann_status ann_context_set_stats(ann_context * context, int32_t flags, int32_t every, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        require_range("flags", flags, 0, ANN_STATS_TIME | ANN_STATS_MASS | ANN_STATS_INDEX);
        require_range("every", every, 1, INT32_MAX);
        if ((flags & (ANN_STATS_MASS | ANN_STATS_INDEX)) && !c.has_search) {
            fail(ANN_ERROR_UNSUPPORTED, "mass and recall need a context with search keys (mode dense, exact, HNSW or auto)");
        }
        if (flags && c.capture) {
            fail(ANN_ERROR_UNSUPPORTED, "statistics and a capture cannot run at once; end the capture first (ann_context_set_capture with NULL)");
        }
        c.stats_flags = flags;
        c.stats_every = every;
        c.n_decode = c.n_tokens = c.decode_ns = c.other_ns = c.attention_ns = c.search_ns = 0;
        for (auto & layer : c.layers) {
            layer = {};
        }
        if (c.has_search) {
            llama_ann_params p = *llama_ann_get_params(c.ctx);
            p.count   = flags != 0;
            p.measure = p.measure_index = c.measuring = c.measuring_index = false; // the next decode decides
            llama_ann_set_params(c.ctx, p);
            llama_ann_reset_counts(c.ctx);
        }
        if (!c.capture) {
            llama_ann_set_eval_callback(c.ctx, flags ? stats_callback : nullptr, flags ? &c : nullptr);
        }
    });
}

ann_status ann_context_get_stats(ann_context * context, ann_context_stats * stats, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        ann_context_stats res = {};
        res.n_layer      = (int32_t) c.layers.size();
        res.n_decode     = c.n_decode;
        res.n_tokens     = c.n_tokens;
        res.decode_ns    = c.decode_ns;
        res.search_ns    = c.search_ns;
        res.attention_ns = c.attention_ns;
        res.other_ns     = c.other_ns;
        write_struct(stats, res, "stats");
    });
}

ann_status ann_context_get_layer_stats(ann_context * context, int32_t layer, ann_layer_stats * stats, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        require_range("layer", layer, 0, (int64_t) c.layers.size() - 1);
        const auto & sums = c.layers[(size_t) layer];
        const llama_ann_params * p = llama_ann_get_params(c.ctx);
        ann_layer_stats res = {};
        res.layer    = layer;
        res.searched = p && p->layers[(size_t) layer];
        if (res.searched) {
            const llama_ann_counts counts = llama_ann_get_counts(c.ctx);
            res.n_query    = counts.n_query;
            res.n_dense    = counts.n_dense;
            res.n_visible  = counts.n_visible;
            res.n_attended = counts.n_attended;
        } else {
            res.n_dense    = c.n_tokens;
        }
        res.n_measured         = sums.n_measured;
        res.mass_sum           = sums.mass;
        res.recall_teacher_sum = sums.recall;
        const llama_ann_index_stats index = llama_ann_get_index_stats(c.ctx, layer);
        // exact search is its own reference, also of the queries that an index did not answer
        res.recall_index_sum   = (double) sums.n_measured - (double) index.n_measured + index.recall_sum;
        res.n_scored           = res.n_visible - std::min(res.n_visible, index.n_visible) + index.n_scored;
        res.search_ns          = sums.search_ns;
        res.attention_ns       = sums.attention_ns;
        write_struct(stats, res, "stats");
    });
}

ann_status ann_context_get_index_stats(ann_context * context, int32_t layer, ann_index_stats * stats, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        require_range("layer", layer, -1, (int64_t) c.layers.size() - 1);
        ann_index_stats res = {};
        res.layer = layer;
        for (int32_t il = std::max(layer, 0); il < (layer < 0 ? (int32_t) c.layers.size() : layer + 1); ++il) {
            const llama_ann_index_stats s = llama_ann_get_index_stats(c.ctx, il);
            res.n_graphs   += s.n_graphs;
            res.n_indexed  += s.n_indexed;
            res.n_erased   += s.n_erased;
            res.n_pending  += s.n_pending;
            res.n_inserted += s.n_inserted;
            res.insert_ns  += s.insert_ns;
            res.n_searched += s.n_searched;
            res.n_exact    += s.n_exact;
            res.n_expanded += s.n_expanded;
            res.n_scored   += s.n_scored;
            res.search_ns  += s.search_ns;
            res.bytes      += s.bytes;
            res.n_measured += s.n_measured;
            res.recall_index_sum += s.recall_sum;
        }
        write_struct(stats, res, "stats");
    });
}

ann_status ann_context_get_candidates(ann_context * context, int32_t layer, int32_t * positions, size_t capacity, size_t * n_written, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        require_range("layer", layer, 0, (int64_t) c.layers.size() - 1);
        if (!(c.stats_flags & ANN_STATS_MASS)) {
            fail(ANN_ERROR_UNSUPPORTED, "candidates are kept only with ANN_STATS_MASS (ann_context_set_stats)");
        }
        const auto found = llama_ann_positions(c.ctx, c.last_seq, c.layers[(size_t) layer].candidates);
        write_items(found.data(), found.size(), positions, capacity, n_written);
    });
}
