// A cell and its score, and the one order of both.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace ann_idx {

struct scored_cell {
    float   score;
    int32_t cell;
};

// Higher scores first, equal scores: the lower cell.
inline bool operator<(const scored_cell & a, const scored_cell & b) {
    return a.score != b.score ? a.score > b.score : a.cell < b.cell;
}

// The same order in one number, larger is better: the score's bits made monotone, then the cell's complement. The two
// lowest bits are free for flags. A score that is not a number counts as -INFINITY.
using rank_key = uint64_t;

inline rank_key key_of(float score, int32_t cell) {
    score = score >= -INFINITY ? score + 0.0f : -INFINITY;  // and -0 becomes 0
    int32_t bits;
    std::memcpy(&bits, &score, sizeof(bits));
    const uint32_t ordered = uint32_t(bits) ^ (uint32_t(bits >> 31) | 0x80000000u);
    return uint64_t(ordered) << 32 | uint32_t(~uint32_t(cell) << 2);
}

inline int32_t cell_of(rank_key key) {
    return int32_t(~uint32_t(key) >> 2);
}

inline float score_of(rank_key key) {
    const uint32_t ordered = uint32_t(key >> 32);
    const uint32_t bits    = ordered ^ (ordered >> 31 ? 0x80000000u : 0xffffffffu);
    float          score;
    std::memcpy(&score, &bits, sizeof(score));
    return score;
}

inline scored_cell scored_cell_of(rank_key key) {
    return { score_of(key), cell_of(key) };
}

}  // namespace ann_idx
