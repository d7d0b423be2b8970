#include "ann-cpu.h"

#include "ggml-ann.h"
#include "ggml-cpu-impl.h"

void ggml_compute_forward_ann(const ggml_compute_params * params, ggml_tensor * dst) {
    switch (ggml_ann_get_kind(dst)) {
        case GGML_ANN_TOPK:    ggml_compute_forward_ann_topk   (params, dst); break;
        case GGML_ANN_ATTN:    ggml_compute_forward_ann_attn   (params, dst); break;
        case GGML_ANN_MEASURE: ggml_compute_forward_ann_measure(params, dst); break;
        case GGML_ANN_MASK:    ggml_compute_forward_ann_mask   (params, dst); break;
        case GGML_ANN_SELECT:  ggml_compute_forward_ann_select (params, dst); break;
    }
}

size_t ggml_ann_work_size(const ggml_tensor * op, int n_tasks) {
    switch (ggml_ann_get_kind(op)) {
        case GGML_ANN_TOPK:    return ggml_ann_topk_work_size   (op, n_tasks);
        case GGML_ANN_ATTN:    return ggml_ann_attn_work_size   (op, n_tasks);
        case GGML_ANN_MEASURE: return ggml_ann_measure_work_size(op, n_tasks);
        case GGML_ANN_MASK:    return 0;
        case GGML_ANN_SELECT:  return ggml_ann_select_work_size (op, n_tasks);
    }
    return 0;
}
