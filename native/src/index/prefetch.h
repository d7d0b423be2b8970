// Asks for cache lines that will be read soon.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ann_idx {

inline void prefetch(const void * data, size_t n_bytes) {
#if defined(__GNUC__)
    constexpr uintptr_t line = 64;
    const uintptr_t     end  = uintptr_t(data) + n_bytes;
    for (uintptr_t at = uintptr_t(data) & ~(line - 1); at < end; at += line) {
        __builtin_prefetch(reinterpret_cast<const void *>(at));
    }
#else
    (void) data;
    (void) n_bytes;
#endif
}

}  // namespace ann_idx
