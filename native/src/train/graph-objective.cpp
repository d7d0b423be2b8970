#include "graph-objective.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace ann {

namespace {

constexpr float  HIDDEN  = 1e30f; // what masks subtract; finite, for rows without a visible cell
constexpr float  TINY    = 1e-37f;

} // namespace

// Tensors of one block: T tokens, n queries, d dims of a search vector.
struct graph_objective::graph {
    const search_shape &     shape;
    const objective_params & params;
    ggml_context * ctx;
    ggml_cgraph *  nodes;

    // inputs
    ggml_tensor * wq, * wk;         // [n_embd, d]
    ggml_tensor * h, * q, * k;      // nullptr: those of the device
    ggml_tensor * rows, * rows_of_heads, * positions; // [n] i32, [n, n_head] i32, [T] i32
    ggml_tensor * place, * start, * valid;            // [1, n]; start: of the query's document, nullptr where there is but one

    // results
    ggml_tensor * gradient_q = nullptr, * gradient_k = nullptr, * weight = nullptr;
    ggml_tensor * kl = nullptr, * kl_unit = nullptr, * contrastive = nullptr; // [1, n/8], not weighted
    ggml_tensor * kept = nullptr;                                              // [1, n]

    // between the two
    ggml_tensor * searched, * searched_mask, * causal_mask;            // [T, n]: 1 on A; 0 there, else -HIDDEN
    ggml_tensor * sum, * teacher, * mass;                              // [T, n] on A (sum over heads; teacher: sum 1), [1, n]
    ggml_tensor * hq, * hk, * u, * v, * u_unit, * v_unit, * u_length, * v_length; // [n_embd, n|T], [d, n|T], [1, n|T]

    graph(const search_shape & shape, const objective_params & params, const captured_layer & x, int64_t n, std::vector<uint8_t> & memory) :
        shape(shape), params(params) {
        const size_t n_nodes = 384 + 8*(size_t) x.n_head; // about 200 and at most 5 a head are used
        memory.resize(ggml_tensor_overhead()*n_nodes + ggml_graph_overhead_custom(n_nodes, false));
        ctx   = ggml_init({ memory.size(), memory.data(), true });
        nodes = ggml_new_graph_custom(ctx, n_nodes, false);
        build_inputs(x, n);
        build_masks(x, n);
        build_teacher(x, n);
        build_vectors(x);
    }
    ~graph() { ggml_free(ctx); }
    graph(const graph &) = delete;
    graph & operator=(const graph &) = delete;

    ggml_tensor * input(ggml_type type, int64_t ne0, int64_t ne1 = 1, int64_t ne2 = 1) {
        ggml_tensor * t = ggml_new_tensor_3d(ctx, type, ne0, ne1, ne2);
        ggml_set_input(t);
        return t;
    }
    ggml_tensor * result(ggml_tensor * t) {
        ggml_set_output(t);
        ggml_build_forward_expand(nodes, t);
        return t;
    }
    ggml_tensor * transposed(ggml_tensor * t) { return ggml_cont(ctx, ggml_transpose(ctx, t)); }
    ggml_tensor * row_sums(ggml_tensor * t)   { return ggml_sum_rows(ctx, t); }
    ggml_tensor * at_least(ggml_tensor * t, float min) { return ggml_clamp(ctx, t, min, INFINITY); }
    ggml_tensor * above(ggml_tensor * t, float limit) { return ggml_step(ctx, ggml_scale_bias(ctx, t, 1.0f, -limit)); } // 1 or 0

    void build_inputs(const captured_layer & x, int64_t n);
    void build_masks(const captured_layer & x, int64_t n);
    void build_teacher(const captured_layer & x, int64_t n);
    void build_vectors(const captured_layer & x);
    void build_gradient();
    void build_mass(int32_t n_search, float share_of_head);

    ggml_tensor * rotate(ggml_tensor * t, ggml_tensor * at, bool back);
    ggml_tensor * across(ggml_tensor * t, ggml_tensor * unit, ggml_tensor * length);
    ggml_tensor * softmax(ggml_tensor * t, float scale) { return ggml_soft_max_ext(ctx, t, searched_mask, scale, 0.0f); }
    ggml_tensor * best_cells(ggml_tensor * t, int64_t n_best);
    ggml_tensor * less_positives(ggml_tensor * p);
    ggml_tensor * every_8th(ggml_tensor * t);
    ggml_tensor * divergence(ggml_tensor * p);
};

void graph_objective::graph::build_inputs(const captured_layer & x, int64_t n) {
    const int64_t T = x.n_tokens;
    wq = input(GGML_TYPE_F32, shape.n_embd, shape.n_embd_search);
    wk = input(GGML_TYPE_F32, shape.n_embd, shape.n_embd_search);
    rows          = input(GGML_TYPE_I32, n);
    rows_of_heads = input(GGML_TYPE_I32, n, x.n_head);
    positions     = input(GGML_TYPE_I32, T);
    place         = input(GGML_TYPE_F32, 1, n);
    start         = x.starts.empty() ? nullptr : input(GGML_TYPE_F32, 1, n);
    valid         = input(GGML_TYPE_F32, 1, n);
    h = q = k = nullptr;
    if (!x.device_h) {
        h = input(GGML_TYPE_F32, x.n_embd, T);
        q = input(GGML_TYPE_F32, x.n_embd_head, x.n_head, T);
        k = input(GGML_TYPE_F32, x.n_embd_head, x.n_head_kv, T);
    }
}

void graph_objective::graph::build_masks(const captured_layer & x, int64_t n) {
    const int64_t T = x.n_tokens;
    ggml_tensor * cells = ggml_arange(ctx, 0.0f, (float) T, 1.0f);
    ggml_tensor * back  = ggml_add(ctx, ggml_repeat_4d(ctx, ggml_neg(ctx, cells), T, n, 1, 1), place); // place - cell
    ggml_tensor * since = start ? ggml_sub(ctx, ggml_repeat_4d(ctx, cells, T, n, 1, 1), start) : cells; // cell - start
    searched      = ggml_mul(ctx, above(back, (float) shape.n_window - 0.5f), above(since, (float) shape.n_sink - 0.5f));
    searched_mask = ggml_scale_bias(ctx, searched, HIDDEN, -HIDDEN);
    causal_mask   = ggml_scale(ctx, ggml_clamp(ctx, back, -1.0f, 0.0f), HIDDEN);
    if (start) {
        causal_mask = ggml_add(ctx, causal_mask, ggml_scale(ctx, ggml_clamp(ctx, since, -1.0f, 0.0f), HIDDEN));
    }
}

void graph_objective::graph::build_teacher(const captured_layer & x, int64_t n) {
    const int64_t T = x.n_tokens;
    ggml_tensor * queries = x.device_q ? x.device_q : ggml_permute(ctx, q, 0, 2, 1, 3);
    ggml_tensor * keys    = x.device_k ? ggml_reshape_3d(ctx, ggml_cont(ctx, x.device_k), x.n_embd_head, x.n_head_kv, T) : k;
    queries = ggml_get_rows(ctx, queries, rows_of_heads);
    keys    = ggml_cont(ctx, ggml_permute(ctx, keys, 0, 2, 1, 3));

    ggml_tensor * scores = ggml_mul_mat(ctx, keys, queries); // [T, n, n_head]
    float scale = x.kq_scale;
    if (x.softcap > 0.0f) {
        scores = ggml_scale(ctx, ggml_tanh(ctx, ggml_scale(ctx, scores, scale/x.softcap)), x.softcap);
        scale  = 1.0f;
    }
    ggml_tensor * probs = ggml_soft_max_ext(ctx, scores, causal_mask, scale, 0.0f);
    std::vector<ggml_tensor *> heads;
    for (int32_t head = 0; head < x.n_head; ++head) { // all before the first sum: CUDA makes one kernel of a row of sums
        heads.push_back(ggml_view_2d(ctx, probs, T, n, probs->nb[1], (size_t) head*probs->nb[2]));
        ggml_build_forward_expand(nodes, heads.back());
    }
    ggml_tensor * max = heads[0];
    sum = heads[0];
    for (size_t head = 1; head < heads.size(); ++head) {
        sum = ggml_add(ctx, sum, heads[head]);
    }
    sum  = ggml_mul(ctx, sum, searched);
    ggml_build_forward_expand(nodes, sum);
    mass = row_sums(sum);
    ggml_tensor * total = mass, * on_a = sum;
    if (!params.teacher_mean) {
        for (size_t head = 1; head < heads.size(); ++head) {
            max = ggml_add(ctx, max, ggml_relu(ctx, ggml_sub(ctx, heads[head], max)));
        }
        on_a  = ggml_mul(ctx, max, searched);
        total = row_sums(on_a);
    }
    mass    = ggml_scale(ctx, mass, 1.0f/(float) x.n_head);
    teacher = ggml_div(ctx, on_a, at_least(total, TINY));
    weight  = ggml_mul(ctx, params.by_mass ? mass : above(total, 0.0f), valid);
}

// halves as NeoX; [d, n]
ggml_tensor * graph_objective::graph::rotate(ggml_tensor * t, ggml_tensor * at, bool back) {
    if (shape.n_rot == 0) {
        return t;
    }
    const auto f = back ? ggml_rope_ext_back : ggml_rope_ext;
    ggml_tensor * res = f(ctx, ggml_reshape_3d(ctx, t, t->ne[0], 1, t->ne[1]), at, nullptr, shape.n_rot, GGML_ROPE_TYPE_NEOX, 0,
        shape.freq_base, 1.0f, 0.0f, 1.0f, 0.0f, 0.0f);
    return ggml_reshape_2d(ctx, res, t->ne[0], t->ne[1]);
}

void graph_objective::graph::build_vectors(const captured_layer & x) {
    hk = x.device_h ? x.device_h : h;
    hq = ggml_get_rows(ctx, hk, rows);
    u  = rotate(ggml_mul_mat(ctx, wq, hq), rows, false);
    v  = rotate(ggml_mul_mat(ctx, wk, hk), positions, false);
    u_unit   = ggml_l2_norm(ctx, u, 1e-6f);
    v_unit   = ggml_l2_norm(ctx, v, 1e-6f);
    u_length = at_least(ggml_sqrt(ctx, row_sums(ggml_sqr(ctx, u))), 1e-6f);
    v_length = at_least(ggml_sqrt(ctx, row_sums(ggml_sqr(ctx, v))), 1e-6f);
}

// The n_best largest of each row, [n_best, n] i32, best first. In two stages where rows are long: what the groups' sorts
// leave is sorted again. GPUs sort a group in one workgroup; whole rows are sorted in global memory, many times slower.
ggml_tensor * graph_objective::graph::best_cells(ggml_tensor * t, int64_t n_best) {
    const int64_t T = t->ne[0], n = t->ne[1];
    auto sorted = [&](ggml_tensor * x) { return ggml_cont(ctx, ggml_argsort_top_k(ctx, x, (int) n_best)); };
    int64_t group = std::min<int64_t>(T, 1024);
    while (T % group != 0) {
        --group;
    }
    if (group == T || group < 2*n_best) {
        return sorted(t);
    }
    const int64_t n_groups = T/group;
    ggml_tensor * inside = sorted(ggml_reshape_3d(ctx, t, group, n_groups, n)); // [n_best, n_groups, n]
    ggml_tensor * values = ggml_get_rows(ctx, ggml_reshape_4d(ctx, t, 1, group, n_groups, n), inside);
    ggml_tensor * order  = sorted(ggml_reshape_2d(ctx, values, n_best*n_groups, n));
    ggml_tensor * starts = ggml_reshape_2d(ctx, ggml_arange(ctx, 0.0f, (float) T, (float) group), 1, n_groups);
    ggml_tensor * cells  = ggml_add(ctx, ggml_cast(ctx, inside, GGML_TYPE_F32), starts);
    ggml_tensor * best   = ggml_get_rows(ctx, ggml_reshape_3d(ctx, cells, 1, n_best*n_groups, n), order);
    return ggml_reshape_2d(ctx, ggml_cast(ctx, best, GGML_TYPE_I32), n_best, n);
}

// p - positives, in p's memory: 1/(their number) is taken from the teacher's best cells. Also their cross entropy.
ggml_tensor * graph_objective::graph::less_positives(ggml_tensor * p) {
    constexpr int64_t every = objective_sums::LOSS_EVERY;
    const int64_t T = teacher->ne[0], n = teacher->ne[1], n_best = std::min<int64_t>(params.n_positives, T);
    auto columns = [&](ggml_tensor * t) { return ggml_reshape_3d(ctx, t, 1, T, n); };
    ggml_tensor * best  = best_cells(teacher, n_best); // [n_best, n]
    ggml_tensor * some  = ggml_step(ctx, ggml_reshape_2d(ctx, ggml_get_rows(ctx, columns(teacher), best), n_best, n));
    ggml_tensor * share = ggml_div(ctx, some, at_least(row_sums(some), 1.0f));
    ggml_tensor * found = ggml_reshape_2d(ctx, ggml_get_rows(ctx, columns(p), best), n_best, n);
    ggml_tensor * loss  = row_sums(ggml_mul(ctx, share, ggml_neg(ctx, ggml_log(ctx, ggml_scale_bias(ctx, found, 1.0f, TINY)))));
    contrastive = result(ggml_cont(ctx, ggml_view_2d(ctx, loss, 1, (n + every - 1)/every, loss->nb[1]*every, 0)));
    ggml_tensor * rest  = ggml_reshape_3d(ctx, ggml_sub(ctx, found, share), 1, n_best, n);
    return ggml_reshape_2d(ctx, ggml_set_rows(ctx, columns(p), rest, ggml_reshape_3d(ctx, best, n_best, n, 1)), T, n);
}

ggml_tensor * graph_objective::graph::every_8th(ggml_tensor * t) {
    constexpr int64_t every = objective_sums::LOSS_EVERY;
    return ggml_cont(ctx, ggml_view_2d(ctx, t, t->ne[0], (t->ne[1] + every - 1)/every, t->nb[1]*every, 0));
}

// Kullback-Leibler divergence of every 8th row, [1, n/8]
ggml_tensor * graph_objective::graph::divergence(ggml_tensor * p) {
    auto logarithm = [&](ggml_tensor * t) { return ggml_log(ctx, ggml_scale_bias(ctx, t, 1.0f, TINY)); };
    ggml_tensor * t = every_8th(teacher);
    return row_sums(ggml_mul(ctx, t, ggml_sub(ctx, logarithm(t), logarithm(every_8th(p)))));
}

// the part of a gradient by a unit vector that is across it, by the vector itself
ggml_tensor * graph_objective::graph::across(ggml_tensor * t, ggml_tensor * unit, ggml_tensor * length) {
    ggml_tensor * along = ggml_mul(ctx, unit, row_sums(ggml_mul(ctx, t, unit)));
    return ggml_div(ctx, ggml_sub(ctx, t, along), length);
}

// With g the derivative of the loss by a softmax's argument, [T, n]: by u it is V g, by v it is g U.
void graph_objective::graph::build_gradient() {
    ggml_tensor * du = nullptr, * dv = nullptr, * dv_unit = nullptr;
    auto add = [&](ggml_tensor *& to, ggml_tensor * t) { to = to ? ggml_add(ctx, to, t) : t; };
    auto weighted = [&](ggml_tensor * g, float scale) { return ggml_mul(ctx, g, ggml_scale(ctx, weight, scale)); };
    auto by_query = [&](ggml_tensor * g, ggml_tensor * keys)    { return ggml_mul_mat(ctx, transposed(keys), g); };                // [d, n]
    auto by_key   = [&](ggml_tensor * g, ggml_tensor * queries) { return ggml_mul_mat(ctx, transposed(queries), transposed(g)); }; // [d, T]
    if (params.kl > 0.0f) {
        const float scale = 1.0f/std::sqrt((float) shape.n_embd_search);
        ggml_tensor * p = softmax(ggml_mul_mat(ctx, v, u), scale);
        kl = result(divergence(p));
        ggml_tensor * g = weighted(ggml_sub(ctx, p, teacher), params.kl*scale);
        add(du, by_query(g, v));
        add(dv, by_key(g, u));
    }
    if (params.kl_unit > 0.0f) {
        ggml_tensor * p = softmax(ggml_mul_mat(ctx, v_unit, u), 1.0f);
        kl_unit = result(divergence(p));
        ggml_tensor * g = weighted(ggml_sub(ctx, p, teacher), params.kl_unit);
        add(du, by_query(g, v_unit));
        add(dv_unit, by_key(g, u));
    }
    if (params.contrastive > 0.0f) {
        ggml_tensor * p = softmax(ggml_mul_mat(ctx, v_unit, u_unit), 1.0f/params.temperature);
        ggml_tensor * g = weighted(less_positives(p), params.contrastive/params.temperature);
        add(du, across(by_query(g, v_unit), u_unit, u_length));
        add(dv_unit, by_key(g, u_unit));
    }
    if (dv_unit) {
        add(dv, across(dv_unit, v_unit, v_length));
    }
    du = rotate(du, rows, true);
    dv = rotate(dv, positions, true);
    gradient_q = result(ggml_mul_mat(ctx, transposed(hq), transposed(du)));
    gradient_k = result(ggml_mul_mat(ctx, transposed(hk), transposed(dv)));
    weight = result(weight);
}

void graph_objective::graph::build_mass(int32_t n_search, float share_of_head) {
    const int64_t T = sum->ne[0], n = sum->ne[1], n_best = std::min<int64_t>(n_search, T);
    kept = ggml_scale_bias(ctx, mass, -1.0f, 1.0f);
    if (n_best > 0) {
        ggml_tensor * scores = ggml_add(ctx, ggml_mul_mat(ctx, v_unit, u), searched_mask);
        ggml_tensor * best   = best_cells(scores, n_best);
        ggml_tensor * found  = ggml_get_rows(ctx, ggml_reshape_3d(ctx, sum, 1, T, n), best);
        kept = ggml_add(ctx, kept, ggml_scale(ctx, row_sums(ggml_reshape_2d(ctx, found, n_best, n)), share_of_head));
    }
    kept = result(kept);
}

// ---------------------------------------------------------------------------------------------------------------------

graph_objective::graph_objective(const search_shape & shape, const objective_params & params, ggml_backend_dev_t device, size_t block_bytes) :
    shape(shape), params(params), block_bytes(block_bytes), backend(ggml_backend_dev_init(device, nullptr)) {
    if (!backend) {
        throw std::runtime_error(std::string("device ") + ggml_backend_dev_name(device) + " cannot be opened");
    }
    memory.reset(ggml_gallocr_new(ggml_backend_get_default_buffer_type(backend.get())));
}

std::string graph_objective::missing(int32_t n_tokens, int32_t n_head, int32_t n_head_kv, int32_t n_embd_head, bool softcap) {
    captured_layer x;
    x.n_tokens = n_tokens, x.n_embd = shape.n_embd, x.n_head = n_head, x.n_head_kv = n_head_kv, x.n_embd_head = n_embd_head;
    x.kq_scale = 1.0f, x.softcap = softcap ? 1.0f : 0.0f;
    for (bool learn : { true, false }) {
        graph g(shape, params, x, objective_sums::LOSS_EVERY, nodes);
        learn ? g.build_gradient() : g.build_mass(1, 1.0f);
        for (int i = 0; i < ggml_graph_n_nodes(g.nodes); ++i) {
            const ggml_tensor * node = ggml_graph_node(g.nodes, i);
            if (!ggml_backend_supports_op(backend.get(), node)) {
                return std::string("operation ") + ggml_op_desc(node) + " of " + std::to_string(node->ne[0]) + " x " + std::to_string(node->ne[1]);
            }
        }
    }
    return "";
}

// scores and probabilities of every head, and about 16 planes more, of a query
size_t graph_objective::block_size(const captured_layer & x) const {
    const size_t query = (size_t) x.n_tokens*((size_t) x.n_head*2 + 16)*sizeof(float);
    const size_t n     = block_bytes/query;
    return std::max<size_t>(n - n % objective_sums::LOSS_EVERY, objective_sums::LOSS_EVERY);
}

void graph_objective::compute(graph & g, const captured_layer & x, const std::vector<int32_t> & queries, size_t first, size_t n,
        const projection_pair & w) {
    if (!ggml_gallocr_alloc_graph(memory.get(), g.nodes)) {
        throw std::bad_alloc();
    }
    auto set = [](ggml_tensor * t, const auto & values) {
        if (t && t->buffer) { // without: nothing in the graph needs it
            ggml_backend_tensor_set(t, values.data(), 0, ggml_nbytes(t));
        }
    };
    std::vector<int32_t> rows(queries.begin() + (ptrdiff_t) first, queries.begin() + (ptrdiff_t) (first + n)), all, positions((size_t) x.n_tokens);
    for (int32_t i = 0; i < x.n_head; ++i) {
        all.insert(all.end(), rows.begin(), rows.end());
    }
    for (size_t i = 0; i < positions.size(); ++i) {
        positions[i] = (int32_t) i;
    }
    std::vector<float> place(rows.begin(), rows.end()), start, valid;
    for (int32_t row : rows) {
        start.push_back((float) document_start(x, row));
        valid.push_back(row - document_start(x, row) - shape.n_window + 1 - shape.n_sink < 2 ? 0.0f : 1.0f); // one cell alone teaches nothing
    }
    set(g.wq, w.q);
    set(g.wk, w.k);
    set(g.rows, rows);
    set(g.rows_of_heads, all);
    set(g.positions, positions);
    set(g.place, place);
    set(g.start, start);
    set(g.valid, valid);
    set(g.h, x.h);
    set(g.q, x.q);
    set(g.k, x.k);
    const ggml_status status = ggml_backend_graph_compute(backend.get(), g.nodes);
    if (status != GGML_STATUS_SUCCESS) {
        throw std::runtime_error(std::string("device ") + ggml_backend_name(backend.get()) + " failed: " + ggml_status_to_string(status));
    }
}

static std::vector<float> ann_read(ggml_tensor * t) {
    std::vector<float> res(t ? (size_t) ggml_nelements(t) : 0);
    if (t) {
        ggml_backend_tensor_get(t, res.data(), 0, ggml_nbytes(t));
    }
    return res;
}

void graph_objective::add(const captured_layer & x, const std::vector<int32_t> & queries, const projection_pair & w, objective_sums & sums) {
    constexpr size_t every = objective_sums::LOSS_EVERY;
    sums.gradient.q.resize(w.q.size());
    sums.gradient.k.resize(w.k.size());
    const size_t n_block = block_size(x);
    for (size_t first = 0; first < queries.size(); first += n_block) {
        const size_t n = std::min(n_block, queries.size() - first);
        graph g(shape, params, x, (int64_t) n, nodes);
        g.build_gradient();
        compute(g, x, queries, first, n, w);
        for (auto [to, t] : { std::pair<std::vector<float> *, ggml_tensor *>(&sums.gradient.q, g.gradient_q), { &sums.gradient.k, g.gradient_k } }) {
            const std::vector<float> part = ann_read(t);
            std::transform(part.begin(), part.end(), to->begin(), to->begin(), [](float a, float b) { return a + b; });
        }
        const std::vector<float> weight = ann_read(g.weight);
        for (size_t i = 0; i < n; ++i) {
            sums.weight      += weight[i];
            sums.loss_weight += i % every == 0 ? weight[i] : 0.0f;
        }
        for (auto [to, t] : { std::pair<double *, ggml_tensor *>(&sums.kl, g.kl), { &sums.kl_unit, g.kl_unit }, { &sums.contrastive, g.contrastive } }) {
            const std::vector<float> loss = ann_read(t);
            for (size_t i = 0; i < loss.size(); ++i) {
                *to += weight[i*every] > 0.0f ? (double) weight[i*every]*loss[i] : 0.0;
            }
        }
    }
}

double graph_objective::mass(const captured_layer & x, const std::vector<int32_t> & queries, const projection_pair & w, int32_t top_k) {
    const size_t n_block = block_size(x);
    double sum = 0.0;
    for (size_t first = 0; first < queries.size(); first += n_block) {
        const size_t n = std::min(n_block, queries.size() - first);
        graph g(shape, params, x, (int64_t) n, nodes);
        g.build_mass(std::max(0, top_k - shape.n_window - shape.n_sink), 1.0f/(float) x.n_head);
        compute(g, x, queries, first, n, w);
        for (float kept : ann_read(g.kept)) {
            sum += kept;
        }
    }
    return sum/(double) queries.size();
}

} // namespace ann
