// What ann-fuse.cu finds in a graph and ann-topk.cu launches.
#pragma once

#include "ann-project.cuh"

// The queries of a search and the keys of the same tokens, still to be projected; destinations are the search's matter.
struct ann_projected {
    ggml_type       type;    // of the weights of both
    project_args<2> project; // query, key
    store_args      store;   // of the key
};

bool ann_topk_is_few(const ggml_tensor * op); // queries: only those can be projected on the way

// Attention that finds its cells itself in what a search of its own queries collected: of few, with short lists.
bool ann_attn_finds(const ggml_tensor * topk, const ggml_tensor * attn);

struct topk_args;

// found: what a search has collected of the cells; null: they are listed
void ann_attn(ggml_backend_cuda_context & ctx, ggml_tensor * dst, const topk_args * found);
