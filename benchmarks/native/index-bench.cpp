// Insert, search and scan of the indexes on clustered keys; with ANN_HNSWLIB also of hnswlib on the same rows.
//
//   index-bench [--n 32768,131072] [--dim 64,128] [--type f16,q8_0] [--set A,B] [--ef 128,160,192,256,320,512]
//               [--index scan,hnsw,hnswlib,hnswlib-inline] [--queries 200] [--m 16] [--ef-construction 100]
//               [--shards 1] [--cold 1] [--keys FILE] [--layers 0,1,..] [--json FILE]
//
// --keys: keys and queries of a model that read a text (key-dump), set T of every layer in place of the sets A and B; the
// first n tokens are keys, queries are spread over the tokens behind them.
//
// Times are CPU time of one thread, medians over the queries. A search is warm after the searches before it, cold after
// other memory went through the caches, as between two layers of a decode step. recall_index is against the scan of the
// same rows, at K = 128. --shards N: the cells are dealt to N graphs, as a cache with N index threads does; one thread searches
// all of them. --cold 0: no cold searches. hnswlib keeps pointers to the rows; hnswlib-inline keeps copies of them beside its links.
#include "index-set.h"
#include "index.h"
#include "search-scratch.h"
#include "synthetic-keys.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <map>
#include <memory>
#include <string>

#if defined(ANN_HNSWLIB)
#    include <hnswlib/hnswlib.h>
#    include <immintrin.h>
#endif

using namespace ann_idx;

namespace {

constexpr int top_k = 128;

class options {
  public:
    options(int argc, char ** argv) {
        for (int i = 1; i < argc; i += 2) {
            const std::string name = argv[i];
            if (i + 1 == argc || name.size() < 3 || values_.count(name.substr(2)) == 0) {
                std::fprintf(stderr, "index-bench: unknown option or no value: %s\n", argv[i]);
                std::exit(2);
            }
            values_[name.substr(2)] = argv[i + 1];
        }
    }

    const std::string & text(const std::string & name) const { return values_.at(name); }

    std::vector<std::string> list(const std::string & name) const {
        std::vector<std::string> res(1);
        for (const char c : values_.at(name)) {
            if (c == ',') {
                res.emplace_back();
            } else {
                res.back() += c;
            }
        }
        return res;
    }

    std::vector<int> numbers(const std::string & name) const {
        std::vector<int> res;
        for (const std::string & item : list(name)) {
            res.push_back(std::atoi(item.c_str()));
        }
        return res;
    }

    int number(const std::string & name) const { return std::atoi(text(name).c_str()); }

  private:
    std::map<std::string, std::string> values_ = {
        { "n", "32768,131072" },
        { "dim", "64,128" },
        { "type", "f16,q8_0" },
        { "set", "A,B" },
        { "ef", "128,160,192,256,320,512" },
        { "index", "scan,hnsw,hnswlib,hnswlib-inline" },
        { "queries", "200" },
        { "keys", "" },
        { "layers", "" },
        { "m", "16" },
        { "ef-construction", "100" },
        { "shards", "1" },
        { "cold", "1" },
        { "json", "" },
    };
};

double cpu_us() {
    timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return double(now.tv_sec) * 1e6 + double(now.tv_nsec) * 1e-3;
}

double median(std::vector<double> values) {
    std::nth_element(values.begin(), values.begin() + ptrdiff_t(values.size() / 2), values.end());
    return values[values.size() / 2];
}

// Fills the caches with something else: 64 MB, read and written.
void evict_caches() {
    static std::vector<uint64_t> other(size_t(8) << 20);
    for (size_t i = 0; i < other.size(); i += 8) {
        other[i] += i;
    }
}

using search_function = std::function<void(const float * query, int ef, std::vector<scored_cell> & out)>;

// An index over the rows of one case, and what building it took.
struct subject {
    std::string     name;
    double          insert_us     = 0;
    double          bytes_per_key = 0;
    search_function search;
};

struct query_set {
    std::string                           name;
    std::vector<float>                    values;
    std::vector<std::vector<scored_cell>> exact;
};

struct search_figures {
    double recall_index;
    double warm_us;
    double cold_us;
};

search_figures measure(const subject & of, const query_set & queries, int dim, int ef, bool with_cold) {
    std::vector<double> warm_us, cold_us;
    size_t              n_hits = 0;
    for (const bool is_cold : { false, true }) {
        if (is_cold && !with_cold) {
            cold_us.push_back(0);
            break;
        }
        for (size_t i = 0; i < queries.exact.size(); ++i) {
            std::vector<scored_cell> out;
            if (is_cold) {
                evict_caches();
            }
            const double start = cpu_us();
            of.search(queries.values.data() + i * size_t(dim), ef, out);
            (is_cold ? cold_us : warm_us).push_back(cpu_us() - start);
            for (const scored_cell & hit : out) {
                const auto & exact = queries.exact[i];
                n_hits += !is_cold && std::any_of(exact.begin(), exact.end(),
                                                  [&](const scored_cell & e) { return e.cell == hit.cell; });
            }
        }
    }
    return { double(n_hits) / double(queries.exact.size() * top_k), median(warm_us), median(cold_us) };
}

subject own_subject(const std::string & name, std::shared_ptr<ann_index> index, int32_t n) {
    subject      res;
    auto         scratch = std::make_shared<search_scratch>();
    const double start   = cpu_us();
    for (int32_t cell = 0; cell < n; ++cell) {
        index->insert(cell, *scratch);
    }
    res.name          = name;
    res.insert_us     = (cpu_us() - start) / n;
    res.bytes_per_key = double(index->stats().memory_bytes) / n;
    res.search        = [index, scratch, n](const float * query, int ef, std::vector<scored_cell> & out) {
        index->search({ query, top_k, ef, cell_filter::all(n) }, *scratch, out);
    };
    return res;
}

subject sharded_subject(const vector_rows & rows, const hnsw_params & params, int n_shards) {
    subject              res;
    auto                 set     = std::make_shared<index_set>(rows, index_set_params{ params, n_shards });
    auto                 scratch = std::make_shared<search_scratch>();
    std::vector<int32_t> cells(size_t(rows.n_rows));
    for (int32_t cell = 0; cell < rows.n_rows; ++cell) {
        cells[size_t(cell)] = cell;
    }
    set->mark_written(cells.data(), cells.size());
    const double start = cpu_us();
    for (int shard = 0; shard < n_shards; ++shard) {
        set->insert_pending(shard, rows.n_rows, *scratch);
    }
    res.name          = "hnsw/" + std::to_string(n_shards);
    res.insert_us     = (cpu_us() - start) / rows.n_rows;
    res.bytes_per_key = double(set->stats().total.memory_bytes) / rows.n_rows;
    res.search        = [set, scratch, rows](const float * query, int ef, std::vector<scored_cell> & out) {
        set->search({ query, top_k, ef, cell_filter::all(rows.n_rows) }, *scratch, out);
    };
    return res;
}

#if defined(ANN_HNSWLIB)

#    define ANN_PEER __attribute__((target("avx2,fma,f16c")))

ANN_PEER float sum_of(__m256 v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s        = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_shuffle_ps(s, s, 1)));
}

ANN_PEER __m256 load_f16(const uint16_t * values) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(values)));
}

ANN_PEER float distance_f16(const void * a, const void * b, const void * dim) {
    const auto * x       = static_cast<const uint16_t *>(a);
    const auto * y       = static_cast<const uint16_t *>(b);
    __m256       sums[4] = { _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps(), _mm256_setzero_ps() };
    for (int i = 0; i < *static_cast<const int *>(dim); i += 32) {
        for (int j = 0; j < 4; ++j) {
            sums[j] = _mm256_fmadd_ps(load_f16(x + i + 8 * j), load_f16(y + i + 8 * j), sums[j]);
        }
    }
    return 1 - sum_of(_mm256_add_ps(_mm256_add_ps(sums[0], sums[1]), _mm256_add_ps(sums[2], sums[3])));
}

ANN_PEER float distance_q8(const void * a, const void * b, const void * dim) {
    const auto * x   = static_cast<const q8_block *>(a);
    const auto * y   = static_cast<const q8_block *>(b);
    __m256       sum = _mm256_setzero_ps();
    for (int i = 0; i < *static_cast<const int *>(dim) / q8_block_size; ++i) {
        const __m256i p     = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(x[i].values));
        const __m256i q     = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(y[i].values));
        const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(p, q));
        const __m256  dot   = _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
        sum                 = _mm256_fmadd_ps(_mm256_set1_ps(_cvtsh_ss(x[i].scale) * _cvtsh_ss(y[i].scale)), dot, sum);
    }
    return 1 - sum_of(sum);
}

// What hnswlib stores as a vector: a pointer to a row, or a copy of it.
class peer_space final : public hnswlib::SpaceInterface<float> {
  public:
    peer_space(const vector_rows & rows, bool is_inline) :
        dim_(rows.dim),
        bytes_(row_bytes(rows.type, rows.dim)),
        is_inline_(is_inline),
        distance_(rows.type == vector_type::f16 ? distance_f16 : distance_q8) {}

    size_t get_data_size() override { return is_inline_ ? bytes_ : sizeof(void *); }

    hnswlib::DISTFUNC<float> get_dist_func() override { return is_inline_ ? distance_ : distance_of_pointed; }

    void * get_dist_func_param() override { return is_inline_ ? static_cast<void *>(&dim_) : this; }

    const void * vector(const uint8_t * const & row) const {
        return is_inline_ ? static_cast<const void *>(row) : static_cast<const void *>(&row);
    }

  private:
    static float distance_of_pointed(const void * a, const void * b, const void * self) {
        const auto * space = static_cast<const peer_space *>(self);
        return space->distance_(*static_cast<const void * const *>(a), *static_cast<const void * const *>(b), &space->dim_);
    }

    int                      dim_;
    size_t                   bytes_;
    bool                     is_inline_;
    hnswlib::DISTFUNC<float> distance_;
};

struct peer_index {
    peer_space                      space;
    hnswlib::HierarchicalNSW<float> graph;

    peer_index(const vector_rows & rows, bool is_inline, int m, int ef_construction) :
        space(rows, is_inline),
        graph(&space, size_t(rows.n_rows), size_t(m), size_t(ef_construction)) {}
};

subject peer_subject(const vector_rows & rows, bool is_inline, const options & opt) {
    subject      res;
    auto         peer  = std::make_shared<peer_index>(rows, is_inline, opt.number("m"), opt.number("ef-construction"));
    const double start = cpu_us();
    for (int32_t cell = 0; cell < rows.n_rows; ++cell) {
        const uint8_t * row = rows.row(cell);
        peer->graph.addPoint(peer->space.vector(row), size_t(cell));
    }
    res.name      = is_inline ? "hnswlib-inline" : "hnswlib";
    res.insert_us = (cpu_us() - start) / rows.n_rows;
    size_t bytes  = size_t(rows.n_rows) * (peer->graph.size_data_per_element_ + sizeof(void *) + sizeof(int));
    for (const int level : peer->graph.element_levels_) {
        bytes += size_t(level) * peer->graph.size_links_per_element_;
    }
    bytes += peer->graph.label_lookup_.size() * 2 * sizeof(void *) + peer->graph.link_list_locks_.size() * sizeof(std::mutex);
    res.bytes_per_key = double(bytes) / rows.n_rows;
    auto stored       = std::make_shared<ann_test::key_rows>(ann_test::make_rows(rows.type, rows.dim, 1));
    res.search        = [peer, stored](const float * query, int ef, std::vector<scored_cell> & out) {
        ann_test::store_row(stored->view, 0, query);
        peer->graph.setEf(size_t(ef));
        const uint8_t * row   = stored->bytes.data();
        auto            found = peer->graph.searchKnn(peer->space.vector(row), top_k);
        for (; !found.empty(); found.pop()) {
            out.push_back({ 1 - found.top().first, int32_t(found.top().second) });
        }
    };
    return res;
}

#endif

subject build(const std::string & name, const vector_rows & rows, const options & opt) {
    if (name == "scan") {
        return own_subject(name, make_flat_index(rows), rows.n_rows);
    }
    hnsw_params params;
    params.m               = opt.number("m");
    params.ef_construction = opt.number("ef-construction");
    if (name == "hnsw") {
        if (opt.number("shards") > 1) {
            return sharded_subject(rows, params, opt.number("shards"));
        }
        return own_subject(name, make_hnsw_index(rows, params), rows.n_rows);
    }
#if defined(ANN_HNSWLIB)
    if (name == "hnswlib" || name == "hnswlib-inline") {
        return peer_subject(rows, name == "hnswlib-inline", opt);
    }
#endif
    return {};
}

void print(FILE * json, const vector_rows & rows, const std::string & type, const std::string & set, const subject & of, int ef,
           search_figures f) {
    std::printf("%4d %7d %-5s %-3s %-15s %9.1f %9.0f %5d %8.4f %9.1f %9.1f\n", rows.dim, rows.n_rows, type.c_str(), set.c_str(),
                of.name.c_str(), of.insert_us, of.bytes_per_key, ef, f.recall_index, f.warm_us, f.cold_us);
    std::fflush(stdout);
    if (json != nullptr) {
        std::fprintf(json,
                     "{\"dim\": %d, \"n_kv\": %d, \"type\": \"%s\", \"set\": \"%s\", \"search\": \"%s\", \"insert_us\": %.2f, "
                     "\"bytes_per_key\": %.1f, \"n_top_k\": %d, \"ef\": %d, \"recall_index\": %.4f, \"warm_us\": %.1f, "
                     "\"cold_us\": %.1f}\n",
                     rows.dim, rows.n_rows, type.c_str(), set.c_str(), of.name.c_str(), of.insert_us, of.bytes_per_key, top_k, ef,
                     f.recall_index, f.warm_us, f.cold_us);
    }
}

vector_type type_of(const std::string & name) {
    return name == "f16" ? vector_type::f16 : vector_type::q8_0;
}

void run_rows(const options & opt, FILE * json, const std::string & type_name, const ann_test::key_rows & rows, std::vector<query_set> sets) {
    const int dim = rows.view.dim;
    const subject exact = build("scan", rows.view, opt);
    for (query_set & set : sets) {
        set.exact.resize(set.values.size() / size_t(dim));
        for (size_t i = 0; i < set.exact.size(); ++i) {
            exact.search(set.values.data() + i * size_t(dim), top_k, set.exact[i]);
        }
    }
    for (const std::string & name : opt.list("index")) {
        const subject of = build(name, rows.view, opt);
        if (of.search == nullptr) {
            continue;
        }
        for (const query_set & set : sets) {
            const bool has_ef = name != "scan";
            for (const int ef : has_ef ? opt.numbers("ef") : std::vector<int>{ top_k }) {
                print(json, rows.view, type_name, set.name, of, ef, measure(of, set, dim, ef, opt.number("cold") != 0));
            }
        }
    }
}

void run_case(const options & opt, FILE * json, int dim, int32_t n, const std::string & type_name) {
    ann_test::token_keys   keys(dim, 1);
    const auto             rows = ann_test::store_rows(type_of(type_name), dim, keys.keys(n));
    std::vector<query_set> sets;
    for (const std::string & name : opt.list("set")) {
        const int n_queries = opt.number("queries");
        sets.push_back({ name, name == "A" ? keys.queries_a(n_queries) : keys.queries_b(n_queries), {} });
    }
    run_rows(opt, json, type_name, rows, sets);
}

// What key-dump wrote.
class traced_keys {
  public:
    explicit traced_keys(const std::string & path) : file_(std::fopen(path.c_str(), "rb")) {
        char magic[8] = {};
        require(file_ != nullptr && std::fread(magic, 1, 8, file_) == 8 && std::memcmp(magic, "ANNKEYS1", 8) == 0);
        n_layers = number();
        dim      = number();
        n_tokens = number();
    }

    ~traced_keys() { std::fclose(file_); }

    // The next layer.
    int read(std::vector<float> & keys, std::vector<float> & queries) {
        const int layer = number();
        for (std::vector<float> * values : { &keys, &queries }) {
            values->resize(size_t(n_tokens) * size_t(dim));
            require(std::fread(values->data(), sizeof(float), values->size(), file_) == values->size());
        }
        return layer;
    }

    int n_layers = 0, dim = 0, n_tokens = 0;

  private:
    static void require(bool ok) {
        if (!ok) {
            std::fprintf(stderr, "index-bench: --keys names no file of key-dump, or a part of one\n");
            std::exit(2);
        }
    }

    int number() {
        uint32_t value = 0;
        require(std::fread(&value, sizeof(value), 1, file_) == 1);
        return int(value);
    }

    FILE * file_;
};

void run_traced(const options & opt, FILE * json) {
    traced_keys        file(opt.text("keys"));
    const auto         wanted = opt.text("layers").empty() ? std::vector<int>() : opt.numbers("layers");
    std::vector<float> keys, queries;
    for (int i = 0; i < file.n_layers; ++i) {
        const int layer = file.read(keys, queries);
        if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), layer) == wanted.end()) {
            continue;
        }
        for (const int n : opt.numbers("n")) {
            const int n_queries = std::min(opt.number("queries"), file.n_tokens - n);
            if (n_queries < 1) {
                continue;
            }
            query_set set{ "T" + std::to_string(layer), {}, {} };
            for (int q = 0; q < n_queries; ++q) {
                const float * from = queries.data() + (size_t(n) + size_t(q) * size_t(file.n_tokens - n) / size_t(n_queries)) * size_t(file.dim);
                set.values.insert(set.values.end(), from, from + file.dim);
            }
            const std::vector<float> first(keys.begin(), keys.begin() + ptrdiff_t(n) * file.dim);
            for (const std::string & type : opt.list("type")) {
                run_rows(opt, json, type, ann_test::store_rows(type_of(type), file.dim, first), { set });
            }
        }
    }
}

}  // namespace

int main(int argc, char ** argv) {
    const options opt(argc, argv);
    FILE *        json = opt.text("json").empty() ? nullptr : std::fopen(opt.text("json").c_str(), "a");
    std::printf("%4s %7s %-5s %-3s %-15s %9s %9s %5s %8s %9s %9s\n", "dim", "n", "type", "Q", "index", "insert_us",
                "bytes/key", "ef", "recall", "warm_us", "cold_us");
    if (!opt.text("keys").empty()) {
        run_traced(opt, json);
    }
    for (const int dim : opt.text("keys").empty() ? opt.numbers("dim") : std::vector<int>()) {
        for (const int n : opt.numbers("n")) {
            for (const std::string & type : opt.list("type")) {
                run_case(opt, json, dim, n, type);
            }
        }
    }
    if (json != nullptr) {
        std::fclose(json);
    }
    return 0;
}
