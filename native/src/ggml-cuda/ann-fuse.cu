// Finds in a graph what our launches do at once. Nodes of one vector, in this order, with views between them:
//
//   key      MUL_MAT(w, x), [ROPE], [L2_NORM], SET_ROWS
//   query    MUL_MAT(w, x), [ROPE]
//
// A run of keys (llama-ann-graph.cpp puts those of a dense graph's layers behind each other) is two launches. A key, a query,
// the GGML_ANN_TOPK of that query and the GGML_ANN_ATTN of its cells are four instead of up to ten, and the first three of
// these run beside the projections of Q, K and V.

#include "ann-topk.cuh"

#include "ggml-ann.h"

#include <cstring>
#include <memory>
#include <vector>

namespace {

struct vector_nodes {
    ggml_tensor * mul_mat  = nullptr;
    ggml_tensor * rope     = nullptr;
    ggml_tensor * norm     = nullptr;
    ggml_tensor * set_rows = nullptr; // of a key
    ggml_tensor * result   = nullptr; // of a query: what the search reads
    std::vector<int> nodes;
    int last = 0;
};

bool is_view(const ggml_tensor * t) {
    return ggml_is_empty(t) || t->op == GGML_OP_RESHAPE || t->op == GGML_OP_VIEW || t->op == GGML_OP_PERMUTE ||
        t->op == GGML_OP_TRANSPOSE || t->op == GGML_OP_NONE;
}

int skip_views(const ggml_cgraph * graph, int i) {
    while (i < graph->n_nodes && is_view(graph->nodes[i])) {
        ++i;
    }
    return i;
}

bool is_projection(const ggml_tensor * t) {
    if (t->op != GGML_OP_MUL_MAT) {
        return false;
    }
    const ggml_tensor * w = t->src[0], * x = t->src[1];
    // by name: projections to K and V would match too, and upstream's kernels are better for those
    return std::strstr(w->name, "indexer.") && ann_projects(w->type) && ggml_is_contiguous(w) && w->ne[2]*w->ne[3] == 1 &&
        w->ne[1] % 32 == 0 && w->ne[0] % 32 == 0 && x->type == GGML_TYPE_F32 && x->nb[0] == sizeof(float) && x->nb[1] % 16 == 0 &&
        (uintptr_t) x->data % 16 == 0 && x->ne[2]*x->ne[3] == 1;
}

bool is_plain_rope(const ggml_tensor * t, int64_t d, int64_t n_tokens) {
    const int32_t * p = (const int32_t *) t->op_params;
    float scale, ext, attn;
    std::memcpy(&scale, p + 6, sizeof(float));
    std::memcpy(&ext,   p + 7, sizeof(float));
    std::memcpy(&attn,  p + 8, sizeof(float));
    return p[2] == GGML_ROPE_TYPE_NEOX && p[1] > 0 && p[1] <= d && p[1] % 2 == 0 && p[15] == 0 && scale == 1.0f && ext == 0.0f &&
        attn == 1.0f && !t->src[2] && t->ne[0] == d && t->ne[1] == 1 && t->ne[2] == n_tokens;
}

// a projection from node i on, to where nothing follows that belongs to it
bool find_vector(const ggml_cgraph * graph, int i, vector_nodes & v) {
    if (i >= graph->n_nodes || !is_projection(graph->nodes[i])) {
        return false;
    }
    v.mul_mat = v.result = graph->nodes[i];
    v.nodes   = { i };
    v.last    = i;
    const int64_t d = v.mul_mat->ne[0], n_tokens = v.mul_mat->ne[1];
    for (int j = i + 1; j < graph->n_nodes; ++j) {
        ggml_tensor * t = graph->nodes[j];
        if (t->src[0] != v.result) {
            if (is_view(t)) {
                continue; // of something else
            }
            break;
        }
        if (t->op == GGML_OP_SET_ROWS) {
            if (t->src[1]->type == GGML_TYPE_I64 && t->src[0]->ne[0] == d && t->src[0]->ne[1] == n_tokens && t->ne[0] == d &&
                    (t->type == GGML_TYPE_F32 || t->type == GGML_TYPE_F16 || t->type == GGML_TYPE_Q8_0)) {
                v.set_rows = t;
                v.nodes.push_back(j);
                v.last = j;
            }
            break;
        }
        if (t->op == GGML_OP_ROPE && !v.rope && !v.norm && is_plain_rope(t, d, n_tokens)) {
            v.rope = t;
        } else if (t->op == GGML_OP_L2_NORM && !v.norm && t->ne[0] == d) {
            v.norm = t;
        } else if (!is_view(t) || t->ne[0] != d) {
            break;
        }
        if (!ggml_is_contiguous(t) || ggml_nelements(t) != d*n_tokens) {
            break;
        }
        v.result = t;
        v.nodes.push_back(j);
        v.last = j;
    }
    return true;
}

// nothing else may want what the nodes but the last one compute
bool is_closed(const ggml_cgraph * graph, const std::vector<int> & nodes) {
    std::vector<ggml_op> ops;
    for (int i : nodes) {
        ops.push_back(graph->nodes[i]->op);
    }
    return ggml_can_fuse_subgraph_ext(graph, nodes.data(), (int) nodes.size(), ops.data(), &nodes.back(), 1);
}

project_part part_of(const vector_nodes & v) {
    const ggml_tensor * w = v.mul_mat->src[0], * x = v.mul_mat->src[1];
    project_part p = {};
    p.w    = (const char *) w->data;
    p.x    = (const char *) x->data;
    p.nbw1 = w->nb[1];
    p.nbx1 = x->nb[1];
    p.n_in = (int) w->ne[0];
    p.d    = (int) w->ne[1];
    if (v.rope) {
        float base;
        std::memcpy(&base, (const int32_t *) v.rope->op_params + 5, sizeof(float));
        p.pos   = (const int32_t *) v.rope->src[1]->data;
        p.n_rot = ((const int32_t *) v.rope->op_params)[1];
        p.theta_scale = powf(base, -2.0f/p.n_rot);
    }
    return p;
}

store_args store_of(const vector_nodes & v) {
    store_args s = {};
    s.idxs     = (const int64_t *) v.set_rows->src[1]->data;
    s.rows     = (char *) v.set_rows->data;
    s.nb1      = v.set_rows->nb[1];
    s.type     = v.set_rows->type;
    s.d        = (int) v.mul_mat->ne[0];
    s.n_tokens = (int) v.mul_mat->ne[1];
    s.norm     = v.norm != nullptr;
    if (v.norm) {
        std::memcpy(&s.eps, v.norm->op_params, sizeof(float));
    }
    return s;
}

bool is_key(const ggml_cgraph * graph, int i, vector_nodes & v) {
    return find_vector(graph, i, v) && v.set_rows && is_closed(graph, v.nodes);
}

const ggml_tensor * root_of(const ggml_tensor * t) { return t->view_src ? t->view_src : t; }

// the attention that can find the cells of the search of node i itself; 0: none
int finding_attn(const ggml_cgraph * graph, int i) {
    const int next = skip_views(graph, i + 1);
    return next < graph->n_nodes && ann_attn_finds(graph->nodes[i], graph->nodes[next]) ? next : 0;
}

// A key, the query of the same tokens, and the search of that query in the cache that the key goes to.
struct search_nodes {
    vector_nodes key, query;
    int topk = 0;
    int attn = 0; // 0: the search ends with a list
    int last() const { return attn ? attn : topk; }
};

bool find_search(const ggml_cgraph * graph, const vector_nodes & key, search_nodes & s) {
    s.key = key;
    vector_nodes & query = s.query;
    if (!find_vector(graph, skip_views(graph, key.last + 1), query) || query.set_rows || query.norm) {
        return false;
    }
    s.topk = skip_views(graph, query.last + 1);
    const ggml_tensor * topk = s.topk < graph->n_nodes ? graph->nodes[s.topk] : nullptr;
    if (!topk || topk->op != GGML_OP_ANN || ggml_ann_get_kind(topk) != GGML_ANN_TOPK || topk->src[0] != query.result ||
            !ann_topk_is_few(topk) || query.mul_mat->src[0]->type != key.mul_mat->src[0]->type ||
            query.mul_mat->ne[0] != key.mul_mat->ne[0] || query.mul_mat->ne[1] != key.mul_mat->ne[1] ||
            topk->ne[1]*topk->ne[3] != query.mul_mat->ne[1] || topk->src[1]->type != key.set_rows->type ||
            topk->src[1]->nb[1] != key.set_rows->nb[1] || root_of(topk->src[1]) != root_of(key.set_rows)) {
        return false;
    }
    query.nodes.push_back(s.topk);
    s.attn = finding_attn(graph, s.topk);
    return is_closed(graph, query.nodes);
}

std::unique_ptr<ann_search> enqueue(ggml_backend_cuda_context & ctx, const ggml_cgraph * graph, const search_nodes & s) {
    ann_projected p = {};
    p.type             = s.query.mul_mat->src[0]->type;
    p.project.part[0]  = part_of(s.query);
    p.project.part[1]  = part_of(s.key);
    p.project.n_tokens = (int) s.query.mul_mat->ne[1];
    p.store            = store_of(s.key);
    return std::make_unique<ann_search>(ctx, graph->nodes[s.topk], &p, s.attn == 0);
}

// ---------------------------------------------------------------------------------------------------------------------
// A search needs the hidden state only, which the model's own projections read, too: it begins with the first of these, on a
// stream of its own, and the context's stream waits for it where its nodes are. Between the two lie the projections, norms,
// rotations and stores of Q, K and V. What the search reads stays as it is until then: in the graph its nodes come last of the
// two, so their inputs' memory is not given away before them; and it is enqueued behind all that came before.

constexpr int SEARCH_STREAM = GGML_CUDA_MAX_STREAMS - 1; // upstream's own branches count from 1
constexpr int N_AHEAD       = 48; // nodes between the first projection and the search key's; some 30 in Qwen3

struct begun_search {
    const ggml_tensor *         topk;
    std::unique_ptr<ann_search> search;
    cudaEvent_t                 done;
};

thread_local std::unique_ptr<begun_search> begun; // a graph is enqueued by one thread, and no search begins before the last is taken

// its kernels get multiprocessors before those of the others
cudaStream_t search_stream(ggml_backend_cuda_context & ctx) {
#if !defined(ANN_EMULATED) && !defined(GGML_USE_HIP) && !defined(GGML_USE_MUSA)
    cudaStream_t & stream = ctx.streams[ctx.device][SEARCH_STREAM]; // the context destroys it
    if (!stream) {
        int least, most;
        CUDA_CHECK(cudaDeviceGetStreamPriorityRange(&least, &most));
        CUDA_CHECK(cudaStreamCreateWithPriority(&stream, cudaStreamNonBlocking, most));
    }
#endif
    return ctx.stream(ctx.device, SEARCH_STREAM);
}

cudaEvent_t record(cudaStream_t stream) {
    cudaEvent_t event;
    CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    CUDA_CHECK(cudaEventRecord(event, stream));
    return event;
}

void wait_for(cudaStream_t stream, cudaEvent_t event) {
    CUDA_CHECK(cudaStreamWaitEvent(stream, event, 0));
    CUDA_CHECK(cudaEventDestroy(event)); // it lives on where it is still waited for, and in a captured graph
}

bool is_leaf(const ggml_tensor * t) { return !t || root_of(t)->op == GGML_OP_NONE; }

// node i is the first to read a hidden state: begins the search of that state, if one follows
void begin_search(ggml_backend_cuda_context & ctx, const ggml_cgraph * graph, int i) {
    const ggml_tensor * x = graph->nodes[i]->src[1];
    if (begun || ctx.curr_stream_no != 0) {
        return;
    }
    int first = i + 1;
    while (first < graph->n_nodes && first <= i + N_AHEAD && !(graph->nodes[first]->src[1] == x && is_projection(graph->nodes[first]))) {
        ++first;
    }
    vector_nodes key;
    search_nodes s;
    if (first > i + N_AHEAD || !is_key(graph, first, key) || !find_search(graph, key, s) || s.query.mul_mat->src[1] != x) {
        return;
    }
    const ggml_tensor * topk = graph->nodes[s.topk];
    if (!is_leaf(topk->src[2]) || !is_leaf(topk->src[3]) || !is_leaf(s.key.set_rows->src[1]) ||
            (s.key.rope && !is_leaf(s.key.rope->src[1])) || (s.query.rope && !is_leaf(s.query.rope->src[1]))) {
        return; // computed by nodes that may come after i
    }
    const cudaStream_t stream = search_stream(ctx);
    wait_for(stream, record(ctx.stream()));
    ctx.curr_stream_no = SEARCH_STREAM;
    auto search = enqueue(ctx, graph, s);
    ctx.curr_stream_no = 0;
    begun = std::make_unique<begun_search>(begun_search { topk, std::move(search), record(stream) });
}

// enqueued at its own place, or taken if it has begun before; the last node that is done
int search_and_attend(ggml_backend_cuda_context & ctx, const ggml_cgraph * graph, const search_nodes & s) {
    std::unique_ptr<ann_search> search;
    if (begun && begun->topk == graph->nodes[s.topk]) {
        wait_for(ctx.stream(), begun->done);
        search = std::move(begun->search);
        begun.reset();
    } else {
        search = enqueue(ctx, graph, s);
    }
    if (s.attn) {
        ann_attn(ctx, graph->nodes[s.attn], &search->found());
    }
    return s.last();
}

} // namespace

int ggml_cuda_ann_fuse(ggml_backend_cuda_context & ctx, const ggml_cgraph * graph, int i) {
    constexpr int64_t MAX_TOKENS = 16;
    const ggml_tensor * node = graph->nodes[i];
    if (node->op == GGML_OP_ANN && ggml_ann_get_kind(node) == GGML_ANN_TOPK) {
        const int attn = finding_attn(graph, i);
        if (attn) {
            const ann_search search(ctx, node, nullptr, false);
            ann_attn(ctx, graph->nodes[attn], &search.found());
        }
        return attn ? attn - i : 0;
    }
    if (node->op != GGML_OP_MUL_MAT || node->ne[1] > MAX_TOKENS) {
        return 0;
    }
    vector_nodes key;
    if (!is_key(graph, i, key)) {
        begin_search(ctx, graph, i);
        return 0;
    }
    search_nodes s;
    if (find_search(graph, key, s)) {
        return search_and_attend(ctx, graph, s) - i;
    }
    project_args<N_LAYERS> project = {};
    stores_args            stores  = {};
    const ggml_type type = key.mul_mat->src[0]->type;
    const int64_t   n_tokens = key.mul_mat->ne[1];
    std::vector<vector_nodes> keys = { key };
    size_t n_values = key.mul_mat->ne[0]*n_tokens;
    while (keys.size() < N_LAYERS) {
        vector_nodes next;
        if (!is_key(graph, skip_views(graph, keys.back().last + 1), next) || next.mul_mat->src[0]->type != type || next.mul_mat->ne[1] != n_tokens) {
            break;
        }
        n_values += next.mul_mat->ne[0]*n_tokens;
        keys.push_back(next);
    }
    ggml_cuda_pool_alloc<float> raw(ctx.pool(), n_values);
    float * to = raw.get();
    for (size_t n = 0; n < keys.size(); ++n) {
        project.part[n]     = part_of(keys[n]);
        project.part[n].dst = to;
        stores.part[n]      = store_of(keys[n]);
        stores.part[n].raw  = to;
        to += keys[n].mul_mat->ne[0]*n_tokens;
    }
    project.n_tokens = (int) n_tokens;
    ann_project_and_store(ctx, type, project, stores, (int) keys.size());
    return keys.back().last - i;
}
