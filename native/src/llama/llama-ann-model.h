// What a model file says about its search projections. Included by llama-model.h: keep it small.
#pragma once

#include "llama-arch.h"

#include <cstdint>
#include <string>
#include <vector>

struct llama_cparams;
struct llama_hparams;
struct llama_memory_i;
struct llama_memory_params;
struct llama_model;
struct llama_model_loader;

enum llama_ann_metric {
    LLAMA_ANN_METRIC_COSINE = 0, // search keys are normalised before they are stored
    LLAMA_ANN_METRIC_IP     = 1,
};

struct llama_ann_model {
    int64_t n_embd_search = 0;   // dims of a search vector; 0: the file has no projections

    std::vector<int32_t> layers; // layers with projections, ascending; the others are reserved

    llm_tensor tensor_q = LLM_TENSOR_INDEXER_PROJ;
    llm_tensor tensor_k = LLM_TENSOR_INDEXER_ATTN_K;

    // the file's defaults, cells per query
    int32_t top_k    = 0;
    int32_t n_sink   = 0;
    int32_t n_window = 0;

    llama_ann_metric metric = LLAMA_ANN_METRIC_COSINE;

    int32_t n_rot     = 0;       // leading dims of search vectors that are rotated (NeoX halves), 0: none
    float   freq_base = 10000.0f;

    std::string checkpoint;      // provenance, free text
    std::string config;

    bool has_search(int32_t il) const;
};

// Reads the ANN keys and checks the projection tensors of any architecture. Throws std::runtime_error that names the key
// or tensor, what was found and what was expected. A file without projections gives an empty llama_ann_model.
llama_ann_model llama_ann_load_hparams(llama_model_loader & ml, llm_arch arch, const llama_hparams & hparams);

// The cache with search keys if one was asked for (llama_ann_init_from_model), else null: upstream's.
llama_memory_i * llama_ann_create_memory(const llama_model & model, const llama_memory_params & params, const llama_cparams & cparams);
