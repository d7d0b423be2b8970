#include "calibration-file.h"

#include "checksum.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <system_error>

using json = nlohmann::ordered_json;
namespace fs = std::filesystem;

namespace ann {

namespace {

constexpr int    VERSION   = 1;
constexpr size_t N_MOST    = 64;                // records kept, the newest
constexpr size_t MAX_BYTES = N_MOST*1024 + 1024;

std::string text_of(const json & value, int indent) {
    return value.dump(indent, ' ', false, json::error_handler_t::replace); // a processor may call itself anything
}

std::string checksum_text(const json & records) {
    const std::string text = text_of(records, -1);
    char res[17];
    std::snprintf(res, sizeof(res), "%016llx", (unsigned long long) ann_idx::checksum(text.data(), text.size(), VERSION));
    return res;
}

json to_json(const calibration_record & r) {
    const ann_index_calibration & f = r.figures;
    return {
        { "machine", r.machine }, { "n_embd_search", f.n_embd_search }, { "n_threads", f.n_threads }, { "top_k", f.top_k },
        { "ef_search", f.ef_search }, { "type_search", f.type_search }, { "n_cells", f.n_cells }, { "measured_at", f.measured_at },
        { "exact_ns", f.exact_ns }, { "hnsw_ns", f.hnsw_ns }, { "exact_ns_per_cell", f.exact_ns_per_cell },
    };
}

template <typename T> T number(const json & of, const char * name, double least, double most) {
    const json & value = of.at(name);
    const double x = value.is_number() ? value.get<double>() : NAN;
    if (!(x >= least && x <= most) || (std::is_integral<T>::value && !value.is_number_integer())) {
        throw std::out_of_range(name);
    }
    return value.get<T>();
}

calibration_record from_json(const json & of) {
    calibration_record res = { of.at("machine").get<std::string>(), {} };
    ann_index_calibration & f = res.figures;
    const std::string type = of.at("type_search").get<std::string>();
    if (type.size() >= sizeof(f.type_search)) {
        throw std::out_of_range("type_search");
    }
    std::memcpy(f.type_search, type.c_str(), type.size() + 1);
    f.n_embd_search     = number<int32_t>(of, "n_embd_search", 32, 1024);
    f.n_threads         = number<int32_t>(of, "n_threads", 1, 512);
    f.top_k             = number<int32_t>(of, "top_k", 1, 1 << 20);
    f.ef_search         = number<int32_t>(of, "ef_search", 1, 1 << 20);
    f.n_cells           = number<int32_t>(of, "n_cells", 1, 1 << 24);
    f.measured_at       = number<int64_t>(of, "measured_at", 1, 1e11);
    f.exact_ns          = number<double>(of, "exact_ns", 1, 1e12);
    f.hnsw_ns           = number<double>(of, "hnsw_ns", 1, 1e12);
    f.exact_ns_per_cell = number<double>(of, "exact_ns_per_cell", 1e-9, 1e9);
    return res;
}

std::string read_whole(const std::string & path) {
    std::error_code error;
    if (!fs::is_regular_file(path, error) || fs::file_size(path, error) > MAX_BYTES || error) {
        return "";
    }
    std::ifstream in(path, std::ios::binary);
    return { std::istreambuf_iterator<char>(in), {} };
}

// A new file; false when it could not be made whole.
bool write_whole(const std::string & path, const std::string & text) {
    std::FILE * file = std::fopen(path.c_str(), "wbx");
    if (!file) {
        return false;
    }
    const bool written = std::fwrite(text.data(), 1, text.size(), file) == text.size() && std::fflush(file) == 0;
    return std::fclose(file) == 0 && written;
}

const char * variable(const char * name) {
    const char * value = std::getenv(name);
    return value && *value ? value : nullptr;
}

} // namespace

bool same_question(const ann_index_calibration & a, const ann_index_calibration & b) {
    return a.n_embd_search == b.n_embd_search && a.n_threads == b.n_threads && a.top_k == b.top_k && a.ef_search == b.ef_search &&
        std::strcmp(a.type_search, b.type_search) == 0;
}

std::vector<calibration_record> calibration_file::load() const {
    std::vector<calibration_record> res;
    const json file = path_.empty() ? json() : json::parse(read_whole(path_), nullptr, false);
    try {
        if (file.is_object() && file.at("version") == VERSION && file.at("checksum") == checksum_text(file.at("records"))) {
            for (const json & record : file.at("records")) {
                res.push_back(from_json(record));
            }
        }
    } catch (const std::exception &) { // a field that is missing, of another type or out of range
        res.clear();
    }
    return res;
}

bool calibration_file::store(const calibration_record & record) const {
    if (path_.empty()) {
        return false;
    }
    std::vector<calibration_record> records = load();
    records.erase(std::remove_if(records.begin(), records.end(), [&](const calibration_record & r) {
        return r.machine == record.machine && same_question(r.figures, record.figures);
    }), records.end());
    records.push_back(record);
    json list = json::array();
    for (size_t i = records.size() > N_MOST ? records.size() - N_MOST : 0; i < records.size(); ++i) {
        list.push_back(to_json(records[i]));
    }
    const json file = { { "version", VERSION }, { "checksum", checksum_text(list) }, { "records", list } };

    const fs::path to = path_;
    std::error_code error;
    if (to.has_parent_path()) {
        fs::create_directories(to.parent_path(), error);
    }
    const std::string part = path_ + "." + std::to_string(std::random_device()()) + ".part";
    if (write_whole(part, text_of(file, 1) + "\n")) {
        fs::rename(part, to, error);
        if (!error) {
            return true;
        }
    }
    fs::remove(part, error);
    return false;
}

std::string default_calibration_path() {
    if (const char * path = variable("ANN_CALIBRATION_FILE")) {
        return std::strcmp(path, "off") == 0 ? "" : path;
    }
    fs::path folder;
#if defined(_WIN32)
    if (const char * local = variable("LOCALAPPDATA")) {
        folder = local;
    }
#else
    const char * cache = variable("XDG_CACHE_HOME");
    const char * home  = variable("HOME");
#    if defined(__APPLE__)
    const char * below = "Library/Caches";
#    else
    const char * below = ".cache";
#    endif
    if (cache && fs::path(cache).is_absolute()) { // the specification has relative ones ignored
        folder = cache;
    } else if (home) {
        folder = fs::path(home) / below;
    }
#endif
    return folder.empty() ? "" : (folder / "ann-runtime" / "calibration.json").string();
}

} // namespace ann
