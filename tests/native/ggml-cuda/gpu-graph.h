#pragma once

// What the cases of the GPU's tests share: the tensors of a case in a target's memory.

#include "gpu-target.h"

using ops::normal;
using ops::set_floats;
using ops::to_floats;
using ops::to_ints;

// runs in a target's memory
struct graph : ops::graph {
    void run(target & where, ggml_tensor * op, const std::function<void()> & fill) {
        CHECK(where.supports(op));
        buffer.reset(ggml_backend_alloc_ctx_tensors(ctx.get(), where.memory()));
        CHECK(buffer);
        std::vector<uint8_t> garbage(ggml_nbytes(op), 0x7b); // what nothing writes shows
        ggml_backend_tensor_set(op, garbage.data(), 0, garbage.size());
        fill();
        where.compute(ctx.get(), op);
    }
};
