// The layout of every struct, as compiled: AbiTests of the bindings compare theirs with it.

#include "ann-train.h"
#include "guard.h"

#include <sstream>

uint32_t ann_abi_version(void) { return ANN_ABI_VERSION; }

namespace {

class describer {
public:
    void begin(const char * name, size_t size) {
        out << (first_struct ? "" : ",") << '"' << name << "\":{\"size\":" << size << ",\"fields\":{";
        first_struct = false;
        first_field  = true;
    }
    void field(const char * name, size_t offset, size_t size) {
        out << (first_field ? "" : ",") << '"' << name << "\":{\"offset\":" << offset << ",\"size\":" << size << '}';
        first_field = false;
    }
    void end() { out << "}}"; }

    std::string str() const { return "{\"structs\":{" + out.str() + "}}"; }

private:
    std::ostringstream out;
    bool first_struct = true;
    bool first_field  = true;
};

#define STRUCT(type)       d.begin(#type, sizeof(type)); { using current = type;
#define FIELD(name)        d.field(#name, offsetof(current, name), sizeof(current::name));
#define END                } d.end();

std::string describe() {
    describer d;
    STRUCT(ann_error) FIELD(struct_size) FIELD(status) FIELD(message) END
    STRUCT(ann_model_params)
        FIELD(struct_size) FIELD(n_gpu_layers) FIELD(main_gpu) FIELD(split_mode) FIELD(use_mmap) FIELD(use_mlock)
        FIELD(check_tensors) FIELD(vocab_only) FIELD(progress) FIELD(progress_user_data)
    END
    STRUCT(ann_model_info)
        FIELD(struct_size) FIELD(n_layer) FIELD(n_embd) FIELD(n_head) FIELD(n_head_kv) FIELD(n_embd_head_k) FIELD(n_embd_head_v)
        FIELD(n_vocab) FIELD(n_ctx_train) FIELD(n_layer_search) FIELD(n_embd_search) FIELD(top_k) FIELD(n_sink) FIELD(n_window)
        FIELD(metric) FIELD(n_rot_search) FIELD(rope_freq_base_search) FIELD(can_shift) FIELD(n_params) FIELD(size_bytes)
    END
    STRUCT(ann_search_params)
        FIELD(struct_size) FIELD(mode) FIELD(top_k) FIELD(n_sink) FIELD(n_window) FIELD(prefill) FIELD(min_context)
        FIELD(n_layers) FIELD(layers) FIELD(selector) FIELD(seed) FIELD(n_frozen)
        FIELD(ef_search) FIELD(index_m) FIELD(index_ef_construction) FIELD(index_threads)
        FIELD(index_min_context) FIELD(index_eager) FIELD(index_max_bytes) FIELD(index_in_state) FIELD(reserved_)
    END
    STRUCT(ann_context_params)
        FIELD(struct_size) FIELD(n_ctx) FIELD(n_batch) FIELD(n_ubatch) FIELD(n_seq_max) FIELD(n_threads) FIELD(n_threads_batch)
        FIELD(flash_attention) FIELD(kv_unified) FIELD(offload_kqv) FIELD(embeddings) FIELD(check_memory)
        FIELD(type_k) FIELD(type_v) FIELD(type_search) FIELD(search) FIELD(pooling) FIELD(search_memory)
    END
    STRUCT(ann_context_memory)
        FIELD(struct_size) FIELD(n_ctx) FIELD(k_bytes) FIELD(v_bytes) FIELD(search_bytes) FIELD(compute_bytes)
        FIELD(model_bytes) FIELD(total_bytes) FIELD(available_bytes)
    END
    STRUCT(ann_batch) FIELD(struct_size) FIELD(n_tokens) FIELD(tokens) FIELD(positions) FIELD(sequences) FIELD(outputs) END
    STRUCT(ann_layer_stats)
        FIELD(struct_size) FIELD(layer) FIELD(searched) FIELD(reserved_) FIELD(n_query) FIELD(n_dense) FIELD(n_visible) FIELD(n_attended)
        FIELD(n_measured) FIELD(mass_sum) FIELD(recall_teacher_sum) FIELD(recall_index_sum) FIELD(search_ns) FIELD(attention_ns)
        FIELD(n_scored)
    END
    STRUCT(ann_index_stats)
        FIELD(struct_size) FIELD(layer) FIELD(n_graphs) FIELD(n_indexed) FIELD(n_erased) FIELD(n_pending) FIELD(n_inserted)
        FIELD(insert_ns) FIELD(n_searched) FIELD(n_exact) FIELD(n_expanded) FIELD(n_scored) FIELD(search_ns) FIELD(bytes)
        FIELD(n_measured) FIELD(recall_index_sum)
    END
    STRUCT(ann_index_calibration)
        FIELD(struct_size) FIELD(n_embd_search) FIELD(n_threads) FIELD(top_k) FIELD(ef_search) FIELD(measure_again)
        FIELD(type_search) FIELD(min_context) FIELD(n_cells) FIELD(exact_ns) FIELD(hnsw_ns) FIELD(exact_ns_per_cell)
        FIELD(measured_at) FIELD(from_file) FIELD(is_kept)
    END
    STRUCT(ann_context_stats)
        FIELD(struct_size) FIELD(n_layer) FIELD(n_decode) FIELD(n_tokens) FIELD(decode_ns) FIELD(search_ns) FIELD(attention_ns) FIELD(other_ns)
    END
    STRUCT(ann_captured)
        FIELD(struct_size) FIELD(layer) FIELD(n_tokens) FIELD(n_embd) FIELD(n_head) FIELD(n_head_kv) FIELD(n_embd_head)
        FIELD(kq_scale) FIELD(softcap) FIELD(reserved_) FIELD(h) FIELD(q) FIELD(k)
    END
    STRUCT(ann_train_params)
        FIELD(struct_size) FIELD(n_embd_search) FIELD(n_rot) FIELD(rope_freq_base) FIELD(n_window) FIELD(n_sink) FIELD(teacher)
        FIELD(by_mass) FIELD(kl) FIELD(kl_unit) FIELD(contrastive) FIELD(temperature) FIELD(n_positives) FIELD(learning_rate)
        FIELD(learning_rate_end) FIELD(weight_decay) FIELD(clip) FIELD(n_steps) FIELD(n_warmup) FIELD(n_ctx) FIELD(n_updates)
        FIELD(n_queries) FIELD(n_threads) FIELD(n_layers) FIELD(seed)
        FIELD(pack) FIELD(reserved_) FIELD(layers) FIELD(device)
    END
    STRUCT(ann_train_report) FIELD(struct_size) FIELD(n_updates) FIELD(step) FIELD(learning_rate) FIELD(loss) END
    STRUCT(ann_sampler_params)
        FIELD(struct_size) FIELD(seed) FIELD(temperature) FIELD(top_k) FIELD(top_p) FIELD(min_p) FIELD(typical_p) FIELD(top_n_sigma)
        FIELD(xtc_probability) FIELD(xtc_threshold) FIELD(penalty_last_n) FIELD(penalty_repeat) FIELD(penalty_frequency)
        FIELD(penalty_presence) FIELD(dry_multiplier) FIELD(dry_base) FIELD(dry_allowed_length) FIELD(dry_penalty_last_n)
        FIELD(n_logit_bias) FIELD(reserved_) FIELD(logit_bias_tokens) FIELD(logit_bias_values) FIELD(grammar)
        FIELD(grammar_prefix) FIELD(grammar_trigger_patterns) FIELD(grammar_trigger_tokens) FIELD(n_grammar_trigger_patterns)
        FIELD(n_grammar_trigger_tokens)
    END
    return d.str();
}

} // namespace

const char * ann_abi_describe(void) {
    static const std::string text = describe();
    return text.c_str();
}
