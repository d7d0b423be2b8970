// Search vectors of few tokens (decode): the projections of any number of layers in one launch, rotated, and keys
// normalised and stored as the cache holds them. As the ops it stands for (ann-fuse.cu), but for the order of sums.
#pragma once

#include "ann-cuda.cuh"
#include "ann-device.cuh"

constexpr int N_PROJECT = 128; // threads of a block, which computes two elements of a vector
constexpr int N_EARLY   = 6;   // quadruples of a row of weights that a thread reads before it waits for the input
constexpr int N_LAYERS  = 36;  // of one launch: arguments of a kernel are 4 KB at most

struct project_part {
    const char    * w;   // [n_in, d]
    const char    * x;   // [n_in, n_tokens] f32
    float         * dst; // [d, n_tokens]
    const int32_t * pos; // [n_tokens], when n_rot > 0
    int64_t nbw1, nbx1;
    int     n_in, d, n_rot;
    float   theta_scale;
};

template <int N> struct project_args {
    project_part part[N];
    int          n_tokens;
    uint32_t   * zero; // memory to be zeroed on the way
    int          n_zero;
};

// keys [d, n_tokens] f32 to rows of a cache
struct store_args {
    const float   * raw; // null: nothing to store
    const int64_t * idxs;
    char          * rows;
    int64_t   nb1;
    ggml_type type;
    int       d, n_tokens;
    bool      norm;
    float     eps;
};

struct stores_args {
    store_args part[N_LAYERS];
};

template <typename T> static __device__ __forceinline__ T ann_sum_lanes(T x) {
    for (int n = ANN_LANES/2; n > 0; n /= 2) {
        x += ann_shfl_xor(x, n);
    }
    return x;
}

// All N threads of the block; sums: [N/32] of shared memory.
template <int N> static __device__ void ann_store_key(const store_args & a, int t, float * sums) {
    const int lane = threadIdx.x % ANN_LANES;
    const float * raw = a.raw + (int64_t) t*a.d;
    float scale = 1.0f;
    if (a.norm) {
        float sum = 0.0f;
        for (int e = threadIdx.x; e < a.d; e += N) {
            sum += raw[e]*raw[e];
        }
        sum = ann_sum_lanes(sum);
        __syncthreads();
        if (lane == 0) {
            sums[threadIdx.x/ANN_LANES] = sum;
        }
        __syncthreads();
        sum = 0.0f;
        for (int i = 0; i < N/ANN_LANES; ++i) {
            sum += sums[i];
        }
        scale = rsqrtf(fmaxf(sum, a.eps*a.eps));
    }
    char * row = a.rows + a.idxs[t]*a.nb1;
    for (int e = threadIdx.x; e < a.d; e += N) { // d is a multiple of 32: whole groups of lanes
        const float x = raw[e]*scale;
        if (a.type == GGML_TYPE_F16) {
            ((half *) row)[e] = __float2half(x);
        } else if (a.type == GGML_TYPE_F32) {
            ((float *) row)[e] = x;
        } else { // q8_0
            float amax = fabsf(x);
            for (int n = ANN_LANES/2; n > 0; n /= 2) {
                amax = fmaxf(amax, ann_shfl_xor(amax, n));
            }
            const float d  = amax/127.0f;
            const float id = d > 0.0f ? 1.0f/d : 0.0f;
            char * block = row + e/32*34;
            if (lane == 0) {
                *(half *) block = __float2half(d);
            }
            ((int8_t *) block)[2 + lane] = (int8_t) roundf(x*id);
        }
    }
}

// the types of weights that ann_project reads
bool ann_projects(ggml_type type);

// Some projections, and n_zero words zeroed on the way.
void ann_project(ggml_backend_cuda_context & ctx, ggml_type type, const project_args<2> & a, int n);

// Keys of many layers, and their places. The raw vectors of the stores are the destinations of the parts.
void ann_project_and_store(ggml_backend_cuda_context & ctx, ggml_type type, const project_args<N_LAYERS> & a, const stores_args & stores, int n);
