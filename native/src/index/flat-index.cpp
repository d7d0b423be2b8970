// The oracle: every indexed cell is scored.
#include "exact-scan.h"
#include "index.h"
#include "stopwatch.h"

namespace ann_idx {

namespace {

class flat_index final : public ann_index {
  public:
    explicit flat_index(const vector_rows & rows) : rows_(rows), cells_(rows.n_rows) {}

    void insert(int32_t cell, search_scratch &) override {
        const stopwatch watch(stats_.insert_ns);
        if (cells_.insert(cell)) {
            ++stats_.n_indexed;
        } else {
            ++stats_.n_overwritten;
        }
        ++stats_.n_inserted;
    }

    void erase(int32_t cell) override {
        if (cells_.test(cell)) {
            cells_.unset(cell);
            --stats_.n_indexed;
        }
    }

    void clear() override {
        cells_.clear();
        stats_.n_indexed     = 0;
        stats_.n_overwritten = 0;
    }

    bool contains(int32_t cell) const override { return cells_.test(cell); }

    void search(const search_request & request, search_scratch & scratch, std::vector<scored_cell> & out) const override {
        const stopwatch watch(scratch.counters.search_ns);
        ++scratch.counters.n_searches;
        ++scratch.counters.n_exact;
        scratch.query.assign(rows_, request.query);
        scratch.top_k.reset(request.top_k);
        exact_scan(rows_, cells_, request.filter, scratch);
        scratch.top_k.append_to(out);
    }

    index_stats stats() const override {
        index_stats res  = stats_;
        res.memory_bytes = int64_t(cells_.memory_bytes());
        return res;
    }

  private:
    vector_rows rows_;
    cell_bits   cells_;
    index_stats stats_;
};

}  // namespace

std::unique_ptr<ann_index> make_flat_index(const vector_rows & rows) {
    check_rows(rows);
    return std::make_unique<flat_index>(rows);
}

}  // namespace ann_idx
