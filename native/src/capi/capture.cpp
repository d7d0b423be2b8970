// Capture: hidden state, queries and keys of a decode, handed to the caller layer by layer.

#include "objects.h"

using namespace ann;

namespace {

ann_captured describe(const captured_layer & layer) {
    ann_captured res = {};
    res.struct_size = sizeof(res);
    res.layer       = layer.layer;
    res.n_tokens    = layer.n_tokens;
    res.n_embd      = layer.n_embd;
    res.n_head      = layer.n_head;
    res.n_head_kv   = layer.n_head_kv;
    res.n_embd_head = layer.n_embd_head;
    res.kq_scale    = layer.kq_scale;
    res.softcap     = layer.softcap;
    res.h           = layer.h.data();
    res.q           = layer.q.data();
    res.k           = layer.k.data();
    return res;
}

} // namespace

bool ann::capture_callback(ggml_tensor * t, bool ask, void * user_data) {
    ann_context & c = *(ann_context *) user_data;
    if (ask && c.abort.load(std::memory_order_relaxed)) {
        return false;
    }
    const bool go_on = (*c.capture)(t, ask);
    if (!ask && !go_on) {
        c.abort.store(true, std::memory_order_relaxed);
    }
    return go_on;
}

ann_status ann_context_set_capture(ann_context * context, ann_capture_callback callback, void * user_data, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        if (!callback) {
            if (c.capture) {
                llama_ann_set_eval_callback(c.ctx, nullptr, nullptr);
                c.capture.reset();
            }
            return;
        }
        if (c.params.n_seq_max != 1) {
            fail(ANN_ERROR_UNSUPPORTED, "capture needs a context of one sequence, this one has params.n_seq_max = %u", c.params.n_seq_max);
        }
        if (c.stats_flags) {
            fail(ANN_ERROR_UNSUPPORTED, "statistics and a capture cannot run at once; switch statistics off first (ann_context_set_stats with 0)");
        }
        c.capture = std::make_unique<node_capture>([callback, user_data](const captured_layer & layer) {
            const ann_captured captured = describe(layer);
            return callback(&captured, user_data) != 0;
        });
        llama_ann_set_eval_callback(c.ctx, capture_callback, &c);
    });
}
