// CUDA and HIP side of GGML_OP_ANN: what ggml-cuda.cu calls, one op per file behind it.
#pragma once

#include "common.cuh"

// Enqueues the op on the context's stream. Allocates from its pool only and never waits: usable in a captured graph.
void ggml_cuda_ann(ggml_backend_cuda_context & ctx, ggml_tensor * dst);

// False: the scheduler computes the op on the CPU. Kinds, types and shapes are in docs/notes (cuda).
bool ggml_cuda_ann_supported(int device, const ggml_tensor * op);

// Nodes that begin at i and that one of our launches stands for are computed; returns how many follow the first of them
// (0: none were). Few tokens only: projection, rotation, norm and storing of search keys, of one layer together with its
// search, or of many layers.
int ggml_cuda_ann_fuse(ggml_backend_cuda_context & ctx, const ggml_cgraph * graph, int i);

void ggml_cuda_ann_topk(ggml_backend_cuda_context & ctx, ggml_tensor * dst);
void ggml_cuda_ann_attn(ggml_backend_cuda_context & ctx, ggml_tensor * dst);
void ggml_cuda_ann_mask(ggml_backend_cuda_context & ctx, ggml_tensor * dst);

bool ggml_cuda_ann_topk_supported(const ggml_tensor * op);
bool ggml_cuda_ann_attn_supported(const ggml_tensor * op);
bool ggml_cuda_ann_mask_supported(const ggml_tensor * op);
