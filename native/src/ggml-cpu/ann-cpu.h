// CPU side of GGML_OP_ANN: what ggml-cpu.c calls, and the parts its kinds share.
#pragma once

#include "ggml.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ggml_compute_params;

void   ggml_compute_forward_ann(const struct ggml_compute_params * params, struct ggml_tensor * dst);
size_t ggml_ann_work_size(const struct ggml_tensor * op, int n_tasks); // bytes

#ifdef __cplusplus
}

// one op per file; all threads of the pool enter each of them
void ggml_compute_forward_ann_topk   (const ggml_compute_params * params, ggml_tensor * dst);
void ggml_compute_forward_ann_attn   (const ggml_compute_params * params, ggml_tensor * dst);
void ggml_compute_forward_ann_measure(const ggml_compute_params * params, ggml_tensor * dst);
void ggml_compute_forward_ann_mask   (const ggml_compute_params * params, ggml_tensor * dst);
void ggml_compute_forward_ann_select (const ggml_compute_params * params, ggml_tensor * dst);

size_t ggml_ann_topk_work_size   (const ggml_tensor * op, int n_tasks);
size_t ggml_ann_attn_work_size   (const ggml_tensor * op, int n_tasks);
size_t ggml_ann_measure_work_size(const ggml_tensor * op, int n_tasks);
size_t ggml_ann_select_work_size (const ggml_tensor * op, int n_tasks);
#endif
