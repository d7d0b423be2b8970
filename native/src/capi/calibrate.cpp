// From which depth on is the index faster than exact search on this machine?

#include "calibration-file.h"
#include "objects.h"

#include "clustered-keys.h"
#include "index-set.h"

#include "ggml-ann.h"
#include "ggml-backend.h"
#include "ggml-cpp.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <cmath>
#include <ctime>
#include <functional>
#include <mutex>

using namespace ann;

namespace {

constexpr int32_t N_CELLS   = 16384; // measured here; an index of more takes too long to build
constexpr int32_t N_QUERIES = 40;
constexpr int32_t N_MOST    = 1 << 24;

// Growth of a search by index from one doubling of the cells to the next, measured from 16k to 128k cells (d 128, f16, ef 160,
// warm and cold: docs/notes/2026-11-25-index-runtime.md): more levels, and fewer of the rows in a cache.
constexpr double GROWTH = 0.12;

// Of n runs the shortest: other work of the machine only adds.
double least_ns(int n, const std::function<void(int)> & work) {
    double res = INFINITY;
    for (int i = 0; i < n; ++i) {
        const auto start = std::chrono::steady_clock::now();
        work(i);
        res = std::min(res, (double) std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now() - start).count());
    }
    return res;
}

// What a graph of one search is made of; keys: [n_embd_search, N_CELLS].
struct bench {
    ggml_backend_ptr        backend;
    ggml_context_ptr        ctx;
    ggml_backend_buffer_ptr buffer;
    ggml_tensor * keys, * query, * mask;
    std::vector<float> queries; // [N_QUERIES][n_embd_search]

    bench(int32_t d, ggml_type type, int32_t n_threads) {
        ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
        backend.reset(cpu ? ggml_backend_dev_init(cpu, nullptr) : nullptr);
        if (!backend) {
            fail(ANN_ERROR_INTERNAL, "no CPU backend to measure with");
        }
        auto set_n_threads = (ggml_backend_set_n_threads_t) ggml_backend_reg_get_proc_address(
            ggml_backend_dev_backend_reg(cpu), "ggml_backend_set_n_threads");
        if (set_n_threads) {
            set_n_threads(backend.get(), n_threads);
        }
        ctx.reset(ggml_init({ ggml_tensor_overhead()*16 + ggml_graph_overhead()*4, nullptr, true }));
        keys  = ggml_new_tensor_2d(ctx.get(), type, d, N_CELLS);
        query = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F32, d, 1);
        mask  = ggml_new_tensor_2d(ctx.get(), GGML_TYPE_F16, N_CELLS, 1);
        buffer.reset(ggml_backend_alloc_ctx_tensors(ctx.get(), backend.get()));
        if (!buffer) {
            throw std::bad_alloc();
        }
        ggml_backend_buffer_clear(buffer.get(), 0); // the mask: everything is visible
        ann_idx::clustered_keys source(d, 1);
        std::vector<float> rows((size_t) d*N_CELLS);
        for (int32_t j = 0; j < N_CELLS; ++j) {
            source.next(rows.data() + (size_t) j*d);
        }
        ggml_quantize_chunk(type, rows.data(), keys->data, 0, N_CELLS, d, nullptr);
        queries.resize((size_t) d*N_QUERIES);
        for (int32_t i = 0; i < N_QUERIES; ++i) {
            source.next(queries.data() + (size_t) i*d);
        }
    }

    // of a graph whose op makes its result from query, keys and mask
    double measure_ns(const std::function<ggml_tensor * (ggml_context *)> & op) {
        ggml_context_ptr gctx(ggml_init({ ggml_tensor_overhead()*16 + ggml_graph_overhead(), nullptr, true }));
        ggml_tensor * res = op(gctx.get());
        ggml_cgraph * gf  = ggml_new_graph(gctx.get());
        ggml_build_forward_expand(gf, res);
        ggml_backend_buffer_ptr results(ggml_backend_alloc_ctx_tensors(gctx.get(), backend.get()));
        if (!results) {
            throw std::bad_alloc();
        }
        auto run = [&](int i) {
            ggml_backend_tensor_set(query, queries.data() + (size_t) i*query->ne[0], 0, ggml_nbytes(query));
            ggml_backend_graph_compute(backend.get(), gf);
        };
        run(0);
        return least_ns(N_QUERIES, run);
    }

    double exact_ns(int64_t n_cells, int32_t top_k) {
        return measure_ns([&](ggml_context * g) {
            return ggml_ann_topk(g, query, ggml_view_2d(g, keys, keys->ne[0], n_cells, keys->nb[1], 0),
                ggml_view_2d(g, mask, n_cells, 1, mask->nb[1], 0), nullptr, top_k);
        });
    }

    struct shards {
        ann_idx::index_set set;
        std::vector<ann_idx::search_scratch> scratch;
        std::vector<std::vector<ann_idx::scored_cell>> found;
        int32_t top_k, ef;
    };

    static void search(ggml_tensor * dst, int ith, int nth, void * user_data) {
        auto & s = *(shards *) user_data;
        for (int i = ith; i < s.set.n_shards(); i += nth) {
            s.found[(size_t) i].clear();
            s.set.search_shard(i, { (const float *) dst->src[0]->data, s.top_k, s.ef, ann_idx::cell_filter::all(N_CELLS) },
                s.scratch[(size_t) i], s.found[(size_t) i]);
        }
    }

    double hnsw_ns(int32_t n_threads, int32_t top_k, int32_t ef) {
        ann_idx::vector_rows rows;
        rows.base         = (const uint8_t *) keys->data;
        rows.stride_bytes = keys->nb[1];
        rows.type         = keys->type == GGML_TYPE_F32 ? ann_idx::vector_type::f32 :
                            keys->type == GGML_TYPE_F16 ? ann_idx::vector_type::f16 : ann_idx::vector_type::q8_0;
        rows.dim          = (int32_t) keys->ne[0];
        rows.n_rows       = N_CELLS;
        ann_idx::index_set_params p;
        p.n_shards = std::min(n_threads, 8);
        p.graph.ef_construction = DEFAULT_EF_CONSTRUCTION;
        shards s { ann_idx::index_set(rows, p), {}, {}, top_k, ef };
        s.scratch.resize((size_t) p.n_shards);
        s.found.resize((size_t) p.n_shards);
        std::vector<int32_t> cells(N_CELLS);
        for (int32_t j = 0; j < N_CELLS; ++j) {
            cells[(size_t) j] = j;
        }
        s.set.mark_written(cells.data(), cells.size());
        s.set.build(n_threads);
        return measure_ns([&](ggml_context * g) {
            return ggml_custom_4d(g, GGML_TYPE_I32, 1, 1, 1, 1, &query, 1, search, GGML_N_TASKS_MAX, &s);
        });
    }
};

// The smallest depth at which exact search takes longer, from what was measured at N_CELLS.
int32_t min_context_of(const ann_index_calibration & figures) {
    double hnsw = figures.hnsw_ns/(1 + 2*GROWTH);
    for (double n = N_CELLS/4; n <= N_MOST; n *= 1.0905, hnsw *= 1 + GROWTH*0.125) { // an eighth of a doubling a step
        if (figures.exact_ns + (n - N_CELLS)*figures.exact_ns_per_cell > hnsw) {
            return (int32_t) (n/256)*256;
        }
    }
    return INT32_MAX;
}

void measure(ann_index_calibration & of) {
    bench b(of.n_embd_search, parse_type(of.type_search, "calibration.type_search", true), of.n_threads);
    const double quarter = b.exact_ns(N_CELLS/4, of.top_k);
    of.n_cells  = N_CELLS;
    of.exact_ns = b.exact_ns(N_CELLS, of.top_k);
    of.hnsw_ns  = b.hnsw_ns(of.n_threads, of.top_k, of.ef_search);
    of.exact_ns_per_cell = std::max(of.exact_ns - quarter, 1.0)/(N_CELLS - N_CELLS/4);
    of.measured_at = (int64_t) std::time(nullptr);
    of.from_file   = 0;
}

std::mutex calibration_mutex;
calibration_file calibrations_kept(default_calibration_path());
std::vector<ann_index_calibration> calibrations; // of this process

// What a measurement depends on besides its question.
std::string machine() {
    ggml_backend_dev_t cpu = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    return std::string(cpu ? ggml_backend_dev_description(cpu) : "") + ", " + cpu_library() + ", " + library_version();
}

// asked: the question, resolved. Its answer of this process, of the file, or measured now.
ann_index_calibration calibrated(const ann_index_calibration & asked) {
    const std::lock_guard<std::mutex> lock(calibration_mutex);
    const auto same  = [&](const ann_index_calibration & c) { return same_question(c, asked); };
    const auto known = std::find_if(calibrations.begin(), calibrations.end(), same);
    if (known != calibrations.end() && !asked.measure_again) {
        return *known;
    }
    ann_index_calibration res = asked;
    res.measure_again = 0;
    bool found = false;
    if (!asked.measure_again) {
        for (const calibration_record & r : calibrations_kept.load()) {
            if (r.machine == machine() && same(r.figures) && r.figures.n_cells == N_CELLS) {
                res = r.figures;
                res.from_file = res.is_kept = 1;
                found = true;
            }
        }
    }
    if (!found) {
        measure(res);
        res.is_kept = calibrations_kept.store({ machine(), res });
        if (!res.is_kept && !calibrations_kept.path().empty()) {
            log_message(ANN_LOG_WARN, "the calibration of mode auto could not be kept in " + calibrations_kept.path() +
                ": it is measured again by the next process");
        }
    }
    res.min_context = min_context_of(res);
    if (known != calibrations.end()) {
        *known = res;
    } else {
        calibrations.push_back(res);
    }
    return res;
}

} // namespace

int32_t ann::calibrated_min_context(int32_t n_embd_search, ggml_type type, int32_t n_threads, int32_t top_k, int32_t ef_search) {
    ann_index_calibration asked = {};
    asked.n_embd_search = n_embd_search;
    asked.n_threads     = n_threads;
    asked.top_k         = std::min(top_k, N_CELLS);
    asked.ef_search     = ef_search;
    std::snprintf(asked.type_search, sizeof(asked.type_search), "%s", ggml_type_name(type));
    return calibrated(asked).min_context;
}

ann_status ann_index_calibrate(ann_index_calibration * calibration, ann_error * error) {
    return guard(error, [&] {
        const ann_index_calibration p = read_struct(&require(calibration, "calibration"), ann_index_calibration(), "calibration");
        require_range("calibration.n_embd_search", p.n_embd_search, 32, 1024);
        require_range("calibration.n_threads", p.n_threads, 0, 512);
        require_range("calibration.top_k", p.top_k, 0, N_CELLS);
        require_range("calibration.ef_search", p.ef_search, 0, 1 << 16);
        require_range("calibration.measure_again", p.measure_again, 0, 1);
        if (p.n_embd_search % 32 != 0) {
            fail(ANN_ERROR_INVALID_ARGUMENT, "calibration.n_embd_search is %d, expected a multiple of 32", p.n_embd_search);
        }
        ann_index_calibration asked = {};
        asked.n_embd_search = p.n_embd_search;
        asked.n_threads     = p.n_threads == 0 ? physical_cores() : p.n_threads;
        asked.top_k         = p.top_k == 0 ? 128 : p.top_k;
        asked.ef_search     = std::max(asked.top_k, p.ef_search == 0 ? default_ef_search(asked.top_k) : p.ef_search);
        asked.measure_again = p.measure_again;
        std::snprintf(asked.type_search, sizeof(asked.type_search), "%s",
            ggml_type_name(parse_type(p.type_search, "calibration.type_search", true)));
        runtime_init(nullptr);
        write_struct(calibration, calibrated(asked), "calibration");
    });
}

ann_status ann_index_calibration_file(char * buffer, size_t capacity, size_t * n_written, ann_error * error) {
    return guard(error, [&] {
        const std::lock_guard<std::mutex> lock(calibration_mutex);
        write_text(calibrations_kept.path(), buffer, capacity, n_written);
    });
}

ann_status ann_index_set_calibration_file(const char * path, ann_error * error) {
    return guard(error, [&] {
        const std::string wanted = path ? require_text(path, "path") : default_calibration_path();
        const std::lock_guard<std::mutex> lock(calibration_mutex);
        calibrations_kept = calibration_file(wanted);
        calibrations.clear();
    });
}
