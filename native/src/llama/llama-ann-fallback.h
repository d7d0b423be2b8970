// What of a searched layer a device would leave to the CPU.
#pragma once

#include "llama-ann.h"

#include <functional>
#include <string>

// Empty, or what is computed on the CPU and why, as the end of a sentence. supports_kv, supports_search: of the device that
// holds the layer's K and V, and its search keys, as ggml_backend_dev_supports_op; empty: they are on the host, where nothing
// is missing.
LLAMA_API std::string llama_ann_describe_fallback(const llama_model & model, const llama_ann_params & params, int32_t il, ggml_type type_k,
        ggml_type type_v, ggml_type type_search, const std::function<bool(const ggml_tensor *)> & supports_kv,
        const std::function<bool(const ggml_tensor *)> & supports_search);
