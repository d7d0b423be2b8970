#include "llama-kv-cache-ann.h"

#include "llama-batch.h"
#include "llama-context.h"
#include "llama-impl.h"
#include "llama-model.h"

#include "ggml-cpp.h"

#include "clustered-keys.h"

#include <algorithm>
#include <random>

// ---------------------------------------------------------------------------------------------------------------------
// creation

namespace {

// One head of n_embd_search dims, no V ("MLA" to llama_kv_cache), never rotated by it.
llama_hparams ann_twin_hparams(const llama_model & model) {
    llama_hparams res = model.hparams;
    const uint32_t d = (uint32_t) model.ann.n_embd_search;
    std::fill(res.n_head_kv_arr.begin(), res.n_head_kv_arr.end(), 1);
    res.n_embd_head_k_full     = d;
    res.n_embd_head_k_mla_impl = d;
    res.n_embd_head_v_mla_impl = d;
    res.rope_type              = LLAMA_ROPE_TYPE_NONE;
    return res;
}

} // namespace

llama_kv_cache_ann::llama_kv_cache_ann(const llama_model & model, const llama_memory_params & mparams, const llama_cparams & cparams,
        const llama_ann_params & ann, ggml_type type_search, llama_ann_search_memory memory) :
    llama_kv_cache(model, model.hparams, mparams.type_k, mparams.type_v,
        /*v_trans*/ false, // rows of V are gathered
        cparams.offload_kqv, cparams.kv_unified, cparams.n_ctx_seq, cparams.n_seq_max, /*n_pad*/ 1,
        model.hparams.n_swa, model.hparams.swa_type, nullptr,
        [&model](int32_t il) { return il < (int32_t) model.hparams.n_layer(); }, nullptr, nullptr),
    ann_model(model.ann),
    hparams_twin(ann_twin_hparams(model)),
    twin(std::make_unique<llama_kv_cache>(model, hparams_twin, type_search, type_search, false,
        !llama_ann_search_on_host(ann, memory, cparams.offload_kqv), cparams.kv_unified, cparams.n_ctx_seq, cparams.n_seq_max, 1,
        0, LLAMA_SWA_TYPE_NONE, nullptr,
        [&model](int32_t il) { return model.ann.has_search(il); }, nullptr, nullptr, "idx_")),
    params(ann),
    hooked(model.hparams.n_layer_all, false),
    contiguous(LLAMA_MAX_SEQ) {
    set_params(ann);
}

void llama_kv_cache_ann::set_params(const llama_ann_params & value) {
    const bool other_graphs = value.index_m != params.index_m || value.index_ef_construction != params.index_ef_construction ||
        value.index_threads != params.index_threads || value.index_max_bytes != params.index_max_bytes;
    if (value.mode == LLAMA_ANN_MODE_HNSW && value.index_auto && !llama_ann_index::can_serve(*twin)) {
        params      = value;
        params.mode = LLAMA_ANN_MODE_EXACT; // on a GPU it is the faster one, too
        ++generation;
        return;
    }
    if (value.mode == LLAMA_ANN_MODE_HNSW && (!index || other_graphs)) {
        index = std::make_unique<llama_ann_index>(*twin, value);
        index->mark_unknown();
    }
    if (index) {
        index->set_params(value);
    }
    params = value;
    ++generation;
}

void llama_kv_cache_ann::pause_index() {
    if (index) {
        index->pause();
    }
}

void llama_kv_cache_ann::forget_emptied() const {
    if (index && has_emptied) {
        index->mark_emptied();
        has_emptied = false;
    }
}

void llama_kv_cache_ann::mark_written(const slot_info & sinfo) {
    if (!index) {
        return;
    }
    index->take_offers();
    forget_emptied();
    for (size_t s = 0; s < sinfo.n_stream(); ++s) {
        index->mark_written((uint32_t) sinfo.strm[s], sinfo.idxs[s]);
    }
}

// ---------------------------------------------------------------------------------------------------------------------
// batches

llama_memory_context_ptr llama_kv_cache_ann::init_batch(llama_batch_allocr & balloc, uint32_t n_ubatch, bool embd_all) {
    GGML_UNUSED(embd_all);

    pause_index();
    if (index && index->has_failed()) {
        LLAMA_LOG_ERROR("%s: the index over the search keys ran out of memory; use exact search\n", __func__);
        return std::make_unique<llama_kv_cache_ann_context>(LLAMA_MEMORY_STATUS_FAILED_PREPARE);
    }

    // as llama_kv_cache::init_batch, with this class's context
    balloc.split_reset();
    std::vector<llama_ubatch> ubatches;
    while (true) {
        auto ubatch = get_n_stream() == 1 ? balloc.split_simple(n_ubatch) : balloc.split_equal(n_ubatch, true, 0);
        if (ubatch.n_tokens == 0) {
            break;
        }
        ubatches.push_back(std::move(ubatch));
    }
    if (balloc.get_n_used() < balloc.get_n_tokens()) {
        return std::make_unique<llama_kv_cache_ann_context>(LLAMA_MEMORY_STATUS_FAILED_PREPARE);
    }
    auto sinfos = prepare(ubatches);
    if (sinfos.empty()) {
        return std::make_unique<llama_kv_cache_ann_context>(LLAMA_MEMORY_STATUS_FAILED_PREPARE);
    }
    return std::make_unique<llama_kv_cache_ann_context>(this, std::move(sinfos), std::move(ubatches));
}

llama_memory_context_ptr llama_kv_cache_ann::init_full() {
    pause_index();
    return std::make_unique<llama_kv_cache_ann_context>(this);
}

namespace {

// pending shifts and stream copies of both caches
class ann_update_context : public llama_memory_context_i {
public:
    ann_update_context(const llama_kv_cache_ann * kv, llama_context * lctx, llama_memory_context_ptr base, llama_memory_context_ptr twin) :
        kv(kv), lctx(lctx), base(std::move(base)), twin(std::move(twin)) {}

    bool next() override { return false; }

    bool apply() override {
        // pending stream copies of the twin first: the shift is of the copied cells as well
        bool res = true;
        if (twin->get_status() == LLAMA_MEMORY_STATUS_SUCCESS) {
            res = twin->apply();
        }
        if (kv->get_has_shift()) {
            res = kv->apply_shift(lctx) && res;
        }
        if (base->get_status() == LLAMA_MEMORY_STATUS_SUCCESS) {
            res = base->apply() && res;
        }
        return res;
    }

    llama_memory_status get_status() const override {
        return llama_memory_status_combine(base->get_status(), twin->get_status());
    }

    const llama_ubatch & get_ubatch() const override { return base->get_ubatch(); }

private:
    const llama_kv_cache_ann * kv;
    llama_context            * lctx;
    llama_memory_context_ptr   base;
    llama_memory_context_ptr   twin;
};

} // namespace

llama_memory_context_ptr llama_kv_cache_ann::init_update(llama_context * lctx, bool optimize) {
    pause_index();
    auto base = llama_kv_cache::init_update(lctx, optimize);
    auto t    = twin->init_update(lctx, optimize);
    return std::make_unique<ann_update_context>(this, lctx, std::move(base), std::move(t));
}

// ---------------------------------------------------------------------------------------------------------------------
// sequences: base first, it may refuse

void llama_kv_cache_ann::clear(bool data) {
    pause_index(); // rows become zeros
    llama_kv_cache::clear(data);
    forget_contiguous();
    if (twin) {
        twin->clear(data);
    }
    if (index) {
        index->clear();
    }
}

bool llama_kv_cache_ann::seq_rm(llama_seq_id seq_id, llama_pos p0, llama_pos p1) {
    has_emptied = true;
    if (seq_id >= 0 && (p1 < 0 || p1 > seq_pos_max(seq_id))) {
        shorten_contiguous(seq_id, p0); // the end of a sequence: what generation takes back
    } else {
        forget_contiguous();
    }
    const bool res = llama_kv_cache::seq_rm(seq_id, p0, p1);
    return res && twin->seq_rm(seq_id, p0, p1);
}

void llama_kv_cache_ann::seq_cp(llama_seq_id seq_id_src, llama_seq_id seq_id_dst, llama_pos p0, llama_pos p1) {
    forget_contiguous();
    pause_index();
    llama_kv_cache::seq_cp(seq_id_src, seq_id_dst, p0, p1);
    twin->seq_cp(seq_id_src, seq_id_dst, p0, p1);
    if (index && get_n_stream() > 1 && seq_id_src != seq_id_dst) {
        index->copy_stream((uint32_t) seq_id_src, (uint32_t) seq_id_dst); // the whole stream is copied
    }
}

void llama_kv_cache_ann::seq_keep(llama_seq_id seq_id) {
    has_emptied = true;
    forget_contiguous();
    llama_kv_cache::seq_keep(seq_id);
    twin->seq_keep(seq_id);
}

void llama_kv_cache_ann::seq_add(llama_seq_id seq_id, llama_pos p0, llama_pos p1, llama_pos shift) {
    has_emptied = true; // cells shifted below position 0 are
    forget_contiguous();
    llama_kv_cache::seq_add(seq_id, p0, p1, shift);
    twin->seq_add(seq_id, p0, p1, shift);
}

void llama_kv_cache_ann::seq_div(llama_seq_id seq_id, llama_pos p0, llama_pos p1, int d) {
    forget_contiguous();
    llama_kv_cache::seq_div(seq_id, p0, p1, d);
    twin->seq_div(seq_id, p0, p1, d);
}

std::map<ggml_backend_buffer_type_t, size_t> llama_kv_cache_ann::memory_breakdown() const {
    auto res = llama_kv_cache::memory_breakdown();
    for (const auto & [buft, size] : twin->memory_breakdown()) {
        res[buft] += size;
    }
    return res;
}

// ---------------------------------------------------------------------------------------------------------------------
// shift

namespace {

class ann_input_shift : public llm_graph_input_i {
public:
    explicit ann_input_shift(const llama_kv_cache_ann * kv) : kv(kv) {}

    void set_input(const llama_ubatch *) override { kv->set_input_k_shift(shift); }

    ggml_tensor * shift = nullptr; // I32 [kv_size*n_stream]

private:
    const llama_kv_cache_ann * kv;
};

} // namespace

bool llama_kv_cache_ann::apply_shift(llama_context * lctx) const {
    if (ann_model.n_rot == 0) {
        return true; // search keys without position do not change
    }
    if (index) {
        index->mark_shifted(*this);
    }
    auto * sched = lctx->get_sched();
    ggml_backend_sched_reset(sched);

    auto * res = lctx->get_gf_res_reserve();
    res->reset();
    auto * ctx = res->get_ctx();
    auto * gf  = res->get_gf();

    auto inp = std::make_unique<ann_input_shift>(this);
    inp->shift = ggml_new_tensor_1d(ctx, GGML_TYPE_I32, (int64_t) get_size()*get_n_stream());
    ggml_set_input(inp->shift);

    const int64_t d = ann_model.n_embd_search;
    for (uint32_t il : twin->get_layer_ids()) {
        ggml_tensor * k   = twin->get_k_storage((int32_t) il);
        ggml_tensor * cur = ggml_view_3d(ctx, k, d, 1, k->ne[1]*k->ne[2], k->nb[1], k->nb[1], 0);
        if (ggml_is_quantized(k->type)) {
            ggml_tensor * tmp = ggml_cast(ctx, cur, GGML_TYPE_F32);
            tmp = ggml_rope_ext(ctx, tmp, inp->shift, nullptr, ann_model.n_rot, GGML_ROPE_TYPE_NEOX, 0,
                ann_model.freq_base, 1.0f, 0.0f, 1.0f, 0.0f, 0.0f);
            cur = ggml_cpy(ctx, tmp, cur);
        } else {
            cur = ggml_rope_ext_inplace(ctx, cur, inp->shift, nullptr, ann_model.n_rot, GGML_ROPE_TYPE_NEOX, 0,
                ann_model.freq_base, 1.0f, 0.0f, 1.0f, 0.0f, 0.0f);
        }
        ggml_build_forward_expand(gf, cur);
    }
    res->add_input(std::move(inp));

    if (!ggml_backend_sched_alloc_graph(sched, gf)) {
        LLAMA_LOG_ERROR("%s: failed to allocate the graph that shifts the search keys\n", __func__);
        return false;
    }
    res->set_inputs(nullptr);
    if (lctx->graph_compute(gf, false) != GGML_STATUS_SUCCESS) {
        LLAMA_LOG_ERROR("%s: failed to shift the search keys\n", __func__);
        return false;
    }
    if (index) {
        ggml_backend_sched_synchronize(sched);
        index->mark_rotated(*this);
    }
    return true;
}

// ---------------------------------------------------------------------------------------------------------------------
// always-attended cells

bool llama_kv_cache_ann::find_always_contiguous(llama_seq_id seq, llama_pos pos, uint32_t cell, int32_t * res) const {
    const auto & cells = get_cells(seq);

    const llama_pos p_min = cells.seq_pos_min(seq);
    const int64_t   first = (int64_t) cell - (pos - p_min);
    if (p_min < 0 || first < 0) {
        return false;
    }
    const int32_t n_visible = pos - p_min + 1;
    const int32_t n_sink    = std::min(params.n_sink, n_visible);
    const int32_t n_window  = std::min(params.n_window, n_visible - n_sink);

    int32_t n = 0;
    auto add = [&](int32_t offset) {
        const uint32_t j = (uint32_t) first + offset;
        if (cells.is_empty(j) || !cells.seq_has(j, seq) || cells.pos_get(j) != p_min + offset) {
            return false;
        }
        res[n++] = (int32_t) j;
        return true;
    };
    for (int32_t i = 0; i < n_sink; ++i) {
        if (!add(i)) {
            return false;
        }
    }
    for (int32_t i = n_visible - n_window; i < n_visible; ++i) {
        if (!add(i)) {
            return false;
        }
    }
    std::fill(res + n, res + params.n_sink + params.n_window, -1);
    return true;
}

int64_t llama_kv_cache_ann::find_always(llama_seq_id seq, llama_pos pos, uint32_t cell, bool count, int32_t * res) const {
    if (!count && find_always_contiguous(seq, pos, cell, res)) {
        return -1;
    }
    if (sorted_seq != seq) {
        const auto & cells = get_cells(seq);
        sorted.clear();
        for (uint32_t j = 0; j < cells.used_max_p1(); ++j) {
            if (!cells.is_empty(j) && cells.seq_has(j, seq)) {
                sorted.emplace_back(cells.pos_get(j), (int32_t) j);
            }
        }
        if (!std::is_sorted(sorted.begin(), sorted.end())) {
            std::sort(sorted.begin(), sorted.end());
        }
        sorted_seq = seq;
    }
    const int64_t n_visible = std::upper_bound(sorted.begin(), sorted.end(), std::make_pair(pos, INT32_MAX)) - sorted.begin();
    const int64_t n_sink    = std::min<int64_t>(params.n_sink, n_visible);
    const int64_t n_window  = std::min<int64_t>(params.n_window, n_visible - n_sink);
    int32_t n = 0;
    for (int64_t i = 0; i < n_sink; ++i) {
        res[n++] = sorted[i].second;
    }
    for (int64_t i = n_visible - n_window; i < n_visible; ++i) {
        res[n++] = sorted[i].second;
    }
    std::fill(res + n, res + params.n_sink + params.n_window, -1);
    return n_visible;
}

// ---------------------------------------------------------------------------------------------------------------------
// visible cells as ranges

void llama_kv_cache_ann::shorten_contiguous(llama_seq_id seq, llama_pos p0) {
    auto & c = contiguous.at(seq);
    if (c.scattered || p0 <= c.p_min) {
        c = {};
    } else {
        c.n = (uint32_t) std::min<int64_t>(c.n, p0 - c.p_min);
    }
}

bool llama_kv_cache_ann::find_range(llama_seq_id seq, llama_pos pos, uint32_t cell, int32_t * range) const {
    auto & c = contiguous.at(seq);
    const auto & cells = get_cells(seq);
    const llama_pos p_min = cells.seq_pos_min(seq);
    const int64_t   first = (int64_t) cell - (pos - p_min);
    if (c.scattered || p_min < 0 || pos < p_min || first < 0) {
        return false;
    }
    auto is_at = [&](uint32_t j) {
        return !cells.is_empty(j) && cells.seq_has(j, seq) && cells.pos_get(j) == p_min + (llama_pos) (j - first);
    };
    if (!c.known || c.p_min != p_min || c.first != first) {
        c = { true, false, (uint32_t) first, 0, p_min };
        for (uint32_t j = 0; j < cells.used_max_p1(); ++j) {
            if (!cells.is_empty(j) && cells.seq_has(j, seq) && (j < first || !is_at(j))) {
                c.scattered = true; // until cells are taken away
                return false;
            }
        }
    }
    const uint32_t n = (uint32_t) (pos - p_min) + 1;
    for (; c.n < n; ++c.n) {
        if (!is_at(c.first + c.n)) {
            c.scattered = true;
            return false;
        }
    }
    range[0] = (int32_t) c.first;
    range[1] = (int32_t) (c.first + n);
    return true;
}

// ---------------------------------------------------------------------------------------------------------------------
// benchmarks

namespace {

// Rows [0, n) of a cache tensor. Shifted copies of one noise are as good as fresh noise here, and fast: no two of the
// copied pieces begin at the same element, and a device gets few large ones.
void ann_fill_tensor(ggml_tensor * t, int64_t n_rows, std::mt19937_64 & rng) {
    const int64_t ne = (int64_t) 1 << 20;
    std::vector<float> noise(ne);
    std::normal_distribution<float> normal;
    for (float & x : noise) {
        x = normal(rng);
    }
    const size_t unit  = ggml_type_size(t->type);
    const size_t bytes = ggml_row_size(t->type, t->ne[0])*n_rows;
    std::vector<uint8_t> raw(ggml_row_size(t->type, ne));
    ggml_quantize_chunk(t->type, noise.data(), raw.data(), 0, 1, ne, nullptr);
    for (size_t done = 0; done < bytes;) {
        const size_t from = rng() % 4096*unit;
        const size_t n    = std::min(raw.size() - from, bytes - done);
        ggml_backend_tensor_set(t, raw.data() + from, done, n);
        done += n;
    }
}

// Search keys: clustered, since an index over noise would tell nothing.
void ann_fill_keys(ggml_tensor * t, int64_t n_rows, uint64_t seed) {
    const int64_t d = t->ne[0];
    ann_idx::clustered_keys keys((int) d, seed);
    const int64_t n_block = 4096;
    std::vector<float>   rows((size_t) (n_block*d));
    std::vector<uint8_t> raw(ggml_row_size(t->type, d)*n_block);
    for (int64_t done = 0; done < n_rows; done += n_block) {
        const int64_t n = std::min(n_block, n_rows - done);
        for (int64_t i = 0; i < n; ++i) {
            keys.next(rows.data() + i*d);
        }
        ggml_quantize_chunk(t->type, rows.data(), raw.data(), 0, n, d, nullptr);
        ggml_backend_tensor_set(t, raw.data(), ggml_row_size(t->type, d)*done, ggml_row_size(t->type, d)*n);
    }
}

} // namespace

bool llama_kv_cache_ann::fill_random(uint32_t n, uint64_t seed) {
    if (seq_pos_max(0) >= 0 || n > get_size()) {
        return false;
    }
    std::mt19937_64 rng(seed);
    llama_batch_allocr balloc(1);
    llama_ubatch ubatch = balloc.ubatch_reserve(n, 1);
    llama_seq_id seq = 0;
    ubatch.seq_id_unq[0] = seq;
    for (uint32_t i = 0; i < n; ++i) {
        ubatch.pos[i]      = (llama_pos) i;
        ubatch.n_seq_id[i] = 1;
        ubatch.seq_id[i]   = &seq;
        ubatch.token[i]    = 0;
    }
    const auto sinfo = find_slot(ubatch, true);
    if (sinfo.empty()) {
        return false;
    }
    forget_contiguous();
    apply_ubatch(sinfo, ubatch);
    twin->apply_ubatch(sinfo, ubatch);
    mark_written(sinfo);

    ggml_init_params ip = { ggml_tensor_overhead()*8, nullptr, true };
    for (uint32_t il : get_layer_ids()) {
        ggml_context_ptr ctx(ggml_init(ip));
        ann_fill_tensor(get_k_storage((int32_t) il), n, rng);
        ann_fill_tensor(get_v(ctx.get(), (int32_t) il, get_size(), sinfo)->view_src, n, rng);
        if (ann_model.has_search((int32_t) il)) {
            ann_fill_keys(twin->get_k_storage((int32_t) il), n, rng());
        }
    }
    if (index && params.mode == LLAMA_ANN_MODE_HNSW) {
        index->build(params.index_threads);
    }
    return true;
}

// ---------------------------------------------------------------------------------------------------------------------
// llama_kv_cache_ann_context

llama_kv_cache_ann_context::llama_kv_cache_ann_context(llama_memory_status status) : llama_kv_cache_context(status) {}

llama_kv_cache_ann_context::llama_kv_cache_ann_context(llama_kv_cache_ann * kv) :
    llama_kv_cache_context(kv), kv(kv), ctx_twin(std::make_unique<llama_kv_cache_context>(kv->get_twin())) {}

llama_kv_cache_ann_context::llama_kv_cache_ann_context(llama_kv_cache_ann * kv, slot_info_vec_t sinfos, std::vector<llama_ubatch> ubatches) :
    llama_kv_cache_context(kv, sinfos, ubatches), kv(kv),
    sinfos(sinfos),
    ctx_twin(std::make_unique<llama_kv_cache_context>(kv->get_twin(), std::move(sinfos), std::move(ubatches))) {}

bool llama_kv_cache_ann_context::next() {
    ctx_twin->next();
    ++i_cur;
    return llama_kv_cache_context::next();
}

bool llama_kv_cache_ann_context::apply() {
    const bool res = llama_kv_cache_context::apply();
    if (res && !sinfos.empty()) {
        kv->mark_written(get_sinfo());
    }
    return ctx_twin->apply() && res;
}

uint32_t llama_kv_cache_ann_context::get_n_used(const llama_ubatch & ubatch) const {
    if (!has_sinfo()) {
        return get_n_kv(); // a graph that memory is reserved for: the largest
    }
    uint32_t res = 0;
    for (uint32_t s = 0; s < ubatch.n_seqs_unq; ++s) {
        res = std::max(res, kv->get_cells(ubatch.seq_id_unq[s]).used_max_p1());
    }
    return res;
}
