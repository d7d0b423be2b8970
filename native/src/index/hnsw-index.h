// The graph index as the rest of index/ sees it: ann_index, and what saving and copying need.
#pragma once

#include "hnsw-walk.h"
#include "index.h"

namespace ann_idx {

class hnsw_index final : public ann_index {
  public:
    hnsw_index(const vector_rows & rows, const hnsw_params & params);

    void insert(int32_t cell, search_scratch & scratch) override;
    void erase(int32_t cell) override;
    void clear() override;
    bool contains(int32_t cell) const override { return graph_.live.test(cell); }
    void search(const search_request & request, search_scratch & scratch, std::vector<scored_cell> & out) const override;
    index_stats stats() const override;

    // All rows have moved alike, so that their scores with each other are what they were: the graph stays.
    void take_rows_anew();

    // The other index's graph over this index's rows, which hold the same vectors. Shapes and parameters are equal.
    void copy_from(const hnsw_index & other);

    const hnsw_params & params() const { return params_; }

    const hnsw_graph & graph() const { return graph_; }

    // For loading: takes over a graph whose rows, levels and lists fit.
    void set_graph(hnsw_graph && graph, int32_t n_overwritten);

  private:
    bool walk(const search_request & request, int ef, search_scratch & scratch) const;
    bool take_found(const cell_filter & filter, int32_t n_wanted, search_scratch & scratch) const;

    hnsw_params params_;
    hnsw_graph  graph_;
    index_stats stats_;
};

}  // namespace ann_idx
