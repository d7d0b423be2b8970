// What mode auto measures is kept for later processes, and a file that is not as it was written is not believed.

#include "harness.h"

#include "checksum.h"

#include <cstring>
#include <filesystem>
#include <functional>
#include <iterator>

using namespace harness;
namespace fs = std::filesystem;

namespace {

// a folder of this process, empty
fs::path folder() {
    static const fs::path path = temporary_directory("calibration");
    fs::remove_all(path);
    fs::create_directories(path);
    return path;
}

// as a new process would be: with this file, and without what was measured
void begin(const fs::path & file) { OK(ann_index_set_calibration_file(file.c_str(), &e_)); }

ann_index_calibration calibrate(int32_t top_k = 16, int32_t again = 0) {
    ann_index_calibration k = {};
    k.struct_size   = sizeof(k);
    k.n_embd_search = 32;
    k.n_threads     = 2;
    k.top_k         = top_k;
    k.ef_search     = top_k;
    k.measure_again = again;
    std::strcpy(k.type_search, "q8_0");
    OK(ann_index_calibrate(&k, &e_));
    return k;
}

bool same_figures(const ann_index_calibration & a, const ann_index_calibration & b) {
    return a.exact_ns == b.exact_ns && a.hnsw_ns == b.hnsw_ns && a.exact_ns_per_cell == b.exact_ns_per_cell &&
        a.min_context == b.min_context && a.n_cells == b.n_cells && a.measured_at == b.measured_at && a.top_k == b.top_k;
}

std::string read(const fs::path & file) {
    std::ifstream in(file, std::ios::binary);
    return { std::istreambuf_iterator<char>(in), {} };
}

void write(const fs::path & file, const std::string & text) { std::ofstream(file, std::ios::binary) << text; }

std::string replaced(std::string text, const std::string & what, const std::string & by) {
    const size_t at = text.find(what);
    CHECK(at != std::string::npos);
    return text.replace(at, what.size(), by);
}

// the file with the checksum that its records have: what a forger or another version of ours would write
std::string sealed(const std::string & text) {
    const size_t at = text.find("\"records\": ") + 11;
    std::string compact; // as dumped without indentation: strings of this file hold blanks of their own
    bool in_string = false;
    for (size_t i = at; i < text.rfind('}'); ++i) {
        in_string ^= text[i] == '"';
        if (in_string || !std::strchr(" \n", text[i])) {
            compact += text[i];
        }
    }
    char sum[17];
    std::snprintf(sum, sizeof(sum), "%016llx", (unsigned long long) ann_idx::checksum(compact.data(), compact.size(), 1));
    const size_t old = text.find("\"checksum\": \"") + 13;
    return std::string(text).replace(old, 16, sum);
}

} // namespace

TEST("a calibration is read by the next process, and measured again when asked") {
    const fs::path file = folder() / "deep" / "calibration.json"; // a folder that does not exist yet
    begin(file);
    const auto first = calibrate();
    CHECK_EQ(first.from_file, 0);
    CHECK(first.measured_at > 1700000000 && first.exact_ns > 0 && first.hnsw_ns > 0);
    begin(file);
    const auto second = calibrate();
    CHECK_EQ(second.from_file, 1);
    CHECK(first.is_kept == 1 && second.is_kept == 1);
    CHECK(same_figures(first, second));

    const auto other = calibrate(24); // another question: its own record beside the first
    CHECK_EQ(other.from_file, 0);
    begin(file);
    CHECK(calibrate().from_file == 1 && calibrate(24).from_file == 1);
    CHECK(same_figures(calibrate(24), other));

    const auto again = calibrate(16, 1);
    CHECK_EQ(again.from_file, 0);
    CHECK(again.exact_ns != first.exact_ns || again.hnsw_ns != first.hnsw_ns);
    CHECK(same_figures(calibrate(), again)); // this process
    begin(file);
    CHECK(same_figures(calibrate(), again)); // and the next
    CHECK_EQ(std::distance(fs::directory_iterator(file.parent_path()), fs::directory_iterator()), 1); // no parts left
}

TEST("a file that is damaged, foreign, of another version or out of range is measured anew and replaced") {
    const fs::path file = folder() / "calibration.json";
    begin(file);
    calibrate();
    const std::string good = read(file);
    CHECK(good == sealed(good)); // or the cases below would all be refused for their checksum
    const size_t digit = good.find_first_of("0123456789", good.find("\"exact_ns\": ") + 12);
    std::string  flipped = good;
    flipped[digit] = flipped[digit] == '9' ? '8' : (char) (flipped[digit] + 1);
    const std::string figure = good.substr(good.find("\"hnsw_ns\": "), good.find(',', good.find("\"hnsw_ns\": ")) - good.find("\"hnsw_ns\": "));
    const std::vector<std::pair<const char *, std::string>> bad = {
        { "empty", "" },
        { "cut", good.substr(0, good.size()/2) },
        { "a digit changed", flipped },
        { "no JSON", "calibration" },
        { "another shape", "{\"version\": 1, \"checksum\": 5, \"records\": {}}" },
        { "another version", replaced(good, "\"version\": 1", "\"version\": 2") },
        { "a negative time", sealed(replaced(good, figure, "\"hnsw_ns\": -1.0")) },
        { "no number", sealed(replaced(good, figure, "\"hnsw_ns\": \"1\"")) },
        { "a field missing", sealed(replaced(good, figure + ",", "")) },
        { "another depth measured", sealed(replaced(good, "\"n_cells\": 16384", "\"n_cells\": 8192")) },
        { "another processor", sealed(replaced(good, "\"machine\": \"", "\"machine\": \"other ")) },
        { "too long", std::string((size_t) 1 << 20, ' ') + good },
    };
    for (const auto & [what, text] : bad) {
        write(file, text);
        begin(file);
        const auto measured = calibrate();
        if (measured.from_file != 0) {
            throw test_failure(std::string("believed: ") + what);
        }
        begin(file);
        const auto kept = calibrate();
        CHECK(kept.from_file == 1 && same_figures(kept, measured));
    }
}

TEST("calibrations can be kept nowhere, and a file that cannot be written is no failure") {
    const fs::path file = folder() / "file";
    write(file, "text");
    begin(file / "calibration.json"); // below a file
    CHECK(calibrate().from_file == 0 && calibrate().is_kept == 0);
    CHECK_EQ(calibrate().from_file, 0);
    CHECK(read(file) == "text");
    OK(ann_index_set_calibration_file("", &e_));
    char path[4096] = "x";
    size_t n = 1;
    OK(ann_index_calibration_file(path, sizeof(path), &n, &e_));
    CHECK(n == 0 && path[0] == 0);
    CHECK(calibrate().from_file == 0 && calibrate().is_kept == 0);
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "path", ann_index_set_calibration_file("\xff", &e_));
    ann_index_calibration k = {};
    k.struct_size   = sizeof(k);
    k.n_embd_search = 64;
    k.measure_again = 2;
    REFUSED(ANN_ERROR_INVALID_ARGUMENT, "calibration.measure_again is 2", ann_index_calibrate(&k, &e_));
}

TEST("the default is the environment's file, then the user's folder of caches") {
    const auto expect = [](const std::string & expected) {
        OK(ann_index_set_calibration_file(nullptr, &e_));
        char path[4096];
        size_t n = 0;
        OK(ann_index_calibration_file(path, sizeof(path), &n, &e_));
        CHECK_EQ(std::string(path), expected);
    };
    setenv("ANN_CALIBRATION_FILE", "/somewhere/else.json", 1);
    expect("/somewhere/else.json");
    setenv("ANN_CALIBRATION_FILE", "off", 1);
    expect("");
    unsetenv("ANN_CALIBRATION_FILE");
#if defined(__linux__)
    setenv("XDG_CACHE_HOME", "/caches", 1);
    expect("/caches/ann-runtime/calibration.json");
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", "/home/user", 1);
    expect("/home/user/.cache/ann-runtime/calibration.json");
    unsetenv("HOME");
    expect("");
#endif
    fs::remove_all(folder());
}

int main(int argc, char ** argv) {
    OK(ann_index_set_calibration_file("", &e_)); // never the user's
    quiet();
    return run_tests(argc, argv);
}
