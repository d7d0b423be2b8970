// GGML_ANN_MASK. Contract in ggml-ann.h.

#include "ann-cuda.cuh"
#include "ann-device.cuh"

namespace {

constexpr int N_MASK = 256; // threads
constexpr int N_EACH = 8;   // neighbouring cells of one

struct mask_args {
    const char * ranges;
    char       * dst;
    int64_t nbr1, nbr3, nb1, nb3;
    int     n_kv, n_tokens;
};

// grid: (parts of a row, rows). T: the bits of an element
template <typename T> static __global__ void __launch_bounds__(N_MASK) write_mask(const mask_args a, T hidden) {
    const int t = blockIdx.y % a.n_tokens;
    const int s = blockIdx.y / a.n_tokens;
    ann_begin();
    const int32_t * range = (const int32_t *) (a.ranges + t*a.nbr1 + s*a.nbr3);
    const int begin = range[0], end = range[1];
    T * row = (T *) (a.dst + t*a.nb1 + s*a.nb3);
    for (int j = (blockIdx.x*N_MASK + threadIdx.x)*N_EACH; j < a.n_kv; j += gridDim.x*N_MASK*N_EACH) {
        alignas(16) T x[N_EACH];
#pragma unroll
        for (int i = 0; i < N_EACH; ++i) {
            x[i] = j + i >= begin && j + i < end ? 0 : hidden;
        }
        if (j + N_EACH <= a.n_kv && (uintptr_t) (row + j) % 16 == 0) {
#pragma unroll
            for (int i = 0; i < (int) sizeof(x)/16; ++i) {
                ((uint4 *) (row + j))[i] = ((const uint4 *) x)[i];
            }
        } else {
            for (int i = 0; i < N_EACH && j + i < a.n_kv; ++i) {
                row[j + i] = x[i];
            }
        }
    }
}

} // namespace

bool ggml_cuda_ann_mask_supported(const ggml_tensor * op) {
    return op->ne[0] < INT32_MAX - 4096 && op->ne[1]*op->ne[3] < 65536;
}

void ggml_cuda_ann_mask(ggml_backend_cuda_context & ctx, ggml_tensor * dst) {
    const ggml_tensor * ranges = dst->src[0];
    mask_args a = {};
    a.ranges   = (const char *) ranges->data;
    a.dst      = (char *) dst->data;
    a.nbr1     = ranges->nb[1];
    a.nbr3     = ranges->nb[3];
    a.nb1      = dst->nb[1];
    a.nb3      = dst->nb[3];
    a.n_kv     = (int) dst->ne[0];
    a.n_tokens = (int) dst->ne[1];
    const dim3 grid((a.n_kv + N_MASK*N_EACH - 1)/(N_MASK*N_EACH), (unsigned) (dst->ne[1]*dst->ne[3]));
    if (dst->type == GGML_TYPE_F16) {
        ann_launch(write_mask<uint16_t>, grid, dim3(N_MASK), ctx.stream(), a, (uint16_t) 0xFC00);
    } else {
        ann_launch(write_mask<uint32_t>, grid, dim3(N_MASK), ctx.stream(), a, 0xFF800000u);
    }
}
