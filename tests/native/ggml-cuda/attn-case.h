#pragma once

// Attention on a target against double precision and the CPU's.

#include "gpu-graph.h"

#include "../ggml-cpu/attn-case.h"

using ops::attn_case;
using ops::attn_data;
using ops::reference_attn;

inline std::vector<float> compute_attn(const attn_case & c, const attn_data & data, target & where, std::vector<float> & k_stored, std::vector<float> & v_stored) {
    graph g;
    const ops::attn_tensors t(c, g);
    g.run(where, t.res, [&] { t.fill(data); });
    k_stored = to_floats(t.k_rows);
    v_stored = to_floats(t.v_rows);
    return to_floats(t.res);
}

inline void check_attn(const attn_case & c, uint32_t seed, target & where) {
    std::mt19937 rng(seed);
    const attn_data data(c, rng);
    std::vector<float> k, v;
    const auto got = compute_attn(c, data, where, k, v);
    backend_target cpu(ops::cpu());
    const auto cpus = compute_attn(c, data, cpu, k, v);
    CHECK_LE(ops::worst_difference(reference_attn(c, data, k, v), got), 2e-5);
    CHECK_LE(ops::worst_difference({ cpus.begin(), cpus.end() }, got), 4e-5);
}
