// Projections of few tokens. What for: ann-project.cuh.

#include "ann-project.cuh"

namespace {

// grid: (pairs of elements of a vector, parts). Two elements a block because rotation mixes them: e and e + n_rot/2.
template <ggml_type type, int N>
static __global__ void __launch_bounds__(N_PROJECT) project(const project_args<N> a) {
    constexpr int N_WARPS = N_PROJECT/ANN_LANES;
    __shared__ float sums[2][N_WARPS];

    const project_part & p = a.part[blockIdx.y];
    const int pair = blockIdx.x;
    if (2*pair >= p.d) { // another part has longer vectors
        ann_begin();
        return;
    }
    const int e0 = 2*pair < p.n_rot ? pair              : 2*pair;
    const int e1 = 2*pair < p.n_rot ? pair + p.n_rot/2  : 2*pair + 1;
    const char * w0 = p.w + e0*p.nbw1;
    const char * w1 = p.w + e1*p.nbw1;

    float4 early[2][N_EARLY]; // weights do not depend on anything that still runs
#pragma unroll
    for (int i = 0; i < N_EARLY; ++i) {
        const int c = 4*(threadIdx.x + i*N_PROJECT);
        early[0][i] = c < p.n_in ? ann_row<type>::load4(w0, c) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        early[1][i] = c < p.n_in ? ann_row<type>::load4(w1, c) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    }
    ann_begin();

    for (int i = (blockIdx.y*gridDim.x + blockIdx.x)*N_PROJECT + threadIdx.x; i < a.n_zero; i += gridDim.x*gridDim.y*N_PROJECT) {
        a.zero[i] = 0;
    }
    for (int t = 0; t < a.n_tokens; ++t) {
        const char * x = p.x + t*p.nbx1;
        float sum0 = 0.0f, sum1 = 0.0f;
        auto add = [&](const float4 & u0, const float4 & u1, int c) {
            const float4 y = *(const float4 *) (x + c*sizeof(float));
            sum0 += u0.x*y.x + u0.y*y.y + u0.z*y.z + u0.w*y.w;
            sum1 += u1.x*y.x + u1.y*y.y + u1.z*y.z + u1.w*y.w;
        };
#pragma unroll
        for (int i = 0; i < N_EARLY; ++i) {
            const int c = 4*(threadIdx.x + i*N_PROJECT);
            if (c < p.n_in) {
                add(early[0][i], early[1][i], c);
            }
        }
        for (int c = 4*(threadIdx.x + N_EARLY*N_PROJECT); c < p.n_in; c += 4*N_PROJECT) {
            add(ann_row<type>::load4(w0, c), ann_row<type>::load4(w1, c), c);
        }
        sum0 = ann_sum_lanes(sum0);
        sum1 = ann_sum_lanes(sum1);
        if (threadIdx.x % ANN_LANES == 0) {
            sums[0][threadIdx.x/ANN_LANES] = sum0;
            sums[1][threadIdx.x/ANN_LANES] = sum1;
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            float y0 = 0.0f, y1 = 0.0f;
            for (int i = 0; i < N_WARPS; ++i) {
                y0 += sums[0][i];
                y1 += sums[1][i];
            }
            if (2*pair < p.n_rot) {
                const float theta = p.pos[t]*powf(p.theta_scale, (float) pair);
                const float c = cosf(theta), s = sinf(theta);
                const float z0 = y0*c - y1*s;
                y1 = y0*s + y1*c;
                y0 = z0;
            }
            p.dst[(int64_t) t*p.d + e0] = y0;
            p.dst[(int64_t) t*p.d + e1] = y1;
        }
        __syncthreads();
    }
}

// grid: (tokens, parts)
static __global__ void __launch_bounds__(N_PROJECT) store_keys(const stores_args a) {
    __shared__ float sums[N_PROJECT/ANN_LANES];
    ann_begin();
    ann_store_key<N_PROJECT>(a.part[blockIdx.y], blockIdx.x, sums);
}

template <int N> void launch(ggml_backend_cuda_context & ctx, ggml_type type, const project_args<N> & a, int n) {
    int n_pairs = 0;
    for (int i = 0; i < n; ++i) {
        n_pairs = std::max(n_pairs, a.part[i].d/2);
    }
    void (*kernel)(const project_args<N>) = nullptr;
    switch (type) {
        case GGML_TYPE_F32:  kernel = project<GGML_TYPE_F32,  N>; break;
        case GGML_TYPE_F16:  kernel = project<GGML_TYPE_F16,  N>; break;
        case GGML_TYPE_BF16: kernel = project<GGML_TYPE_BF16, N>; break;
        case GGML_TYPE_Q8_0: kernel = project<GGML_TYPE_Q8_0, N>; break;
        default:             GGML_ABORT("not a type that ann_projects accepts");
    }
    ann_launch(kernel, dim3(n_pairs, n), dim3(N_PROJECT), ctx.stream(), a);
}

} // namespace

bool ann_projects(ggml_type type) {
    return type == GGML_TYPE_F32 || type == GGML_TYPE_F16 || type == GGML_TYPE_BF16 || type == GGML_TYPE_Q8_0;
}

void ann_project(ggml_backend_cuda_context & ctx, ggml_type type, const project_args<2> & a, int n) { launch(ctx, type, a, n); }

void ann_project_and_store(ggml_backend_cuda_context & ctx, ggml_type type, const project_args<N_LAYERS> & a, const stores_args & stores, int n) {
    launch(ctx, type, a, n);
    ann_launch(store_keys, dim3(a.n_tokens, n), dim3(N_PROJECT), ctx.stream(), stores);
}
