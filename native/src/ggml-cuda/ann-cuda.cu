#include "ann-cuda.cuh"

#include "ggml-ann.h"

void ggml_cuda_ann(ggml_backend_cuda_context & ctx, ggml_tensor * dst) {
    switch (ggml_ann_get_kind(dst)) {
        case GGML_ANN_TOPK: ggml_cuda_ann_topk(ctx, dst); break;
        case GGML_ANN_ATTN: ggml_cuda_ann_attn(ctx, dst); break;
        case GGML_ANN_MASK: ggml_cuda_ann_mask(ctx, dst); break;
        default:            GGML_ABORT("not a kind that ggml_cuda_ann_supported accepts");
    }
}

bool ggml_cuda_ann_supported(int device, const ggml_tensor * op) {
    GGML_UNUSED(device);
    switch (ggml_ann_get_kind(op)) {
        case GGML_ANN_TOPK: return ggml_cuda_ann_topk_supported(op);
        case GGML_ANN_ATTN: return ggml_cuda_ann_attn_supported(op);
        case GGML_ANN_MASK: return ggml_cuda_ann_mask_supported(op);
        default:            return false; // measured on the CPU: it is the oracle
    }
}
