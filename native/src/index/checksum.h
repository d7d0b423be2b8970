// A checksum of bytes that tells accidents, not attacks.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ann_idx {

// 64 bits in four lanes of 8 bytes each (the construction of xxHash, with constants of its own), so that memory is the
// limit. A change within 8 aligned bytes always changes the result; any other change does but for one case in 2^64.
// Parts are chained by passing the result of one as the seed of the next.
uint64_t checksum(const void * data, size_t n_bytes, uint64_t seed);

}  // namespace ann_idx
