// The builder's threads against an owner that stops them at any moment: run it under the thread sanitizer. And a process
// that is killed while they work: what it saved last is whole.
#include "background-builder.h"
#include "check.h"
#include "search-checks.h"
#include "synthetic-keys.h"

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

using namespace ann_idx;
using namespace ann_test;

namespace {

constexpr int     dim      = 32;
constexpr int32_t n_cells  = 3000;
constexpr auto    at_once  = std::chrono::microseconds(0);

void sleep_us(int us) {
    std::this_thread::sleep_for(std::chrono::microseconds(us));
}

struct fixture {
    std::vector<float>     values = token_keys(dim, 5).keys(n_cells);
    key_rows               rows   = store_rows(vector_type::f16, dim, values);
    std::vector<index_set> sets;

    explicit fixture(int n_sets, int n_shards) {
        for (int i = 0; i < n_sets; ++i) {
            sets.emplace_back(rows.view, index_set_params{ { 8, 60, 1 }, n_shards });
        }
    }

    std::vector<index_set *> pointers() {
        std::vector<index_set *> res;
        for (index_set & set : sets) {
            res.push_back(&set);
        }
        return res;
    }

    int32_t n_pending() const {
        int32_t n = 0;
        for (const index_set & set : sets) {
            n += set.stats().n_pending;
        }
        return n;
    }

    void mark(int32_t first, int32_t n) {
        std::vector<int32_t> cells;
        for (int32_t cell = first; cell < first + n; ++cell) {
            cells.push_back(cell);
        }
        for (index_set & set : sets) {
            set.mark_written(cells.data(), cells.size());
        }
    }
};

// Complete at every moment, near to the oracle, scored with the rows as they are.
void check_search(const index_set & set, const fixture & f, int32_t n_known, random_source & random) {
    const float *     query = f.values.data() + size_t(random.below(n_cells)) * dim;
    search_scratch    scratch;
    std::vector<scored_cell> exact;
    set.search_exact({ query, 16, 64, cell_filter::all(n_cells) }, scratch, exact);
    const found_cells found = search(set, query, 16, 128, cell_filter::all(n_cells));
    CHECK(exact.size() == size_t(std::min(n_known, 16)) && found.size() == exact.size());
    CHECK(is_ranked(found) && has_no_repeats(found) && has_current_scores(found, f.rows.view, query));
    CHECK(n_common(found, exact) + 2 >= exact.size());
}

void an_owner_may_stop_it_at_any_moment() {
    fixture            f(3, 2);
    background_builder builder(f.pointers(), 3, at_once);
    random_source      random(2);
    int32_t            n_known = 0;
    int                n_partly = 0;
    while (n_known < n_cells) {
        const int32_t n = std::min(1 + random.below(200), n_cells - n_known);
        f.mark(n_known, n);
        n_known += n;
        if (random.below(4) == 0) {  // a row changes
            const int32_t cell = random.below(n_known);
            store_row(f.rows.view, cell, f.values.data() + size_t(random.below(n_cells)) * dim);
            for (index_set & set : f.sets) {
                set.mark_written(&cell, 1);
            }
        }
        builder.resume();
        sleep_us(random.below(3000));
        builder.pause();
        n_partly += f.n_pending() > 0;
        for (const index_set & set : f.sets) {
            CHECK(set.stats().total.n_indexed <= n_known);
            check_search(set, f, n_known, random);
        }
    }
    CHECK(n_partly > 0);  // it was stopped in the middle of its work
    for (int i = 0; f.n_pending() > 0 && i < 5000; ++i) {
        builder.resume();
        sleep_us(2000);
        builder.pause();
    }
    CHECK(f.n_pending() == 0);
    for (const index_set & set : f.sets) {
        CHECK(set.stats().total.n_indexed == n_cells);
        check_search(set, f, n_cells, random);
    }
    CHECK(!builder.has_failed());
}

void it_sleeps_without_work_and_within_the_delay() {
    fixture            f(1, 1);
    background_builder idle(f.pointers(), 2, at_once);
    idle.resume();
    CHECK(!idle.is_running());
    background_builder slow(f.pointers(), 1, std::chrono::hours(1));
    f.mark(0, 100);
    slow.resume();
    CHECK(slow.is_running());
    slow.pause();
    slow.resume();  // and its destructor ends it
    CHECK(f.n_pending() == 100);
}

// The child of a fork: works, saves, renames, until it is killed.
[[noreturn]] void work_until_killed(fixture & f, const std::string & path) {
    background_builder builder(f.pointers(), 2, at_once);
    f.mark(0, n_cells);
    while (true) {
        builder.resume();
        sleep_us(500);
        builder.pause();
        std::vector<uint8_t> data;
        f.sets[0].save(data);
        const std::string temporary = path + ".tmp";
        {
            std::ofstream out(temporary, std::ios::binary);
            out.write(reinterpret_cast<const char *>(data.data()), std::streamsize(data.size()));
        }
        if (std::rename(temporary.c_str(), path.c_str()) != 0) {
            std::_Exit(1);
        }
    }
}

void a_kill_loses_nothing() {
    const std::string folder = "/tmp/ann-background-" + std::to_string(getpid());
    random_source     random(3);
    for (int round = 0; round < 6; ++round) {
        fixture           f(1, 2);
        const std::string path = folder + "-" + std::to_string(round);
        const pid_t       child = fork();
        if (child == 0) {
            work_until_killed(f, path);
        }
        CHECK(child > 0);
        for (int i = 0; i < 5000 && access(path.c_str(), R_OK) != 0; ++i) {
            sleep_us(1000);
        }
        sleep_us(random.below(20000));
        kill(child, SIGKILL);
        int status = 0;
        CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
        std::ifstream              in(path, std::ios::binary);
        const std::vector<uint8_t> data(std::istreambuf_iterator<char>(in), {});
        std::string                why_not;
        CHECK(f.sets[0].load(data.data(), data.size(), why_not));
        const index_set_stats stats = f.sets[0].stats();
        CHECK(stats.total.n_indexed + stats.n_pending == n_cells);
        check_search(f.sets[0], f, n_cells, random);
        f.sets[0].build(2);
        CHECK(f.sets[0].stats().total.n_indexed == n_cells);
        check_search(f.sets[0], f, n_cells, random);
        (void) std::remove(path.c_str());
        (void) std::remove((path + ".tmp").c_str());
    }
}

}  // namespace

int main() {
    a_kill_loses_nothing();  // first: no thread has started yet
    an_owner_may_stop_it_at_any_moment();
    it_sleeps_without_work_and_within_the_delay();
    return result();
}
