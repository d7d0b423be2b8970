#include "exact-scan.h"

namespace ann_idx {

namespace {

constexpr size_t batch_size = 256;

}  // namespace

int32_t score_batch(const vector_rows & rows, search_scratch & scratch) {
    const int n = int(scratch.cells.size());
    scratch.scores.resize(size_t(n));
    dot_scores(scratch.query, rows, scratch.cells.data(), n, scratch.scores.data());
    for (int i = 0; i < n; ++i) {
        scratch.top_k.add(scratch.scores[size_t(i)], scratch.cells[size_t(i)]);
    }
    scratch.counters.n_scored += n;
    scratch.cells.clear();
    return n;
}

void exact_scan(const vector_rows & rows, const cell_bits & cells, const cell_filter & filter, search_scratch & scratch) {
    scratch.cells.clear();
    for (size_t word = 0; word < cells.words().size(); ++word) {
        uint64_t left = cells.words()[word];
        left          = left == 0 ? 0 : filter.visible_among(word, left);
        for (; left != 0; left &= left - 1) {
            scratch.cells.push_back(int32_t(word * 64) + lowest_bit(left));
        }
        if (scratch.cells.size() >= batch_size) {
            score_batch(rows, scratch);
        }
    }
    score_batch(rows, scratch);
}

}  // namespace ann_idx
