// What mode auto has measured on this machine, kept for the next process.
#pragma once

#include "ann-runtime.h"

#include <string>
#include <vector>

namespace ann {

struct calibration_record {
    std::string           machine; // CPU, its kernels and the library: taken where equal only
    ann_index_calibration figures;
};

// JSON: {"version", "checksum", "records": [{"machine", "n_embd_search", ..., "exact_ns_per_cell"}]}, newest last. The
// checksum is that of the text of "records". What follows from the figures (min_context) is not in it.
//
// A file that is missing, longer than a file of this kind can be, damaged, of another version or with a value out of range
// holds nothing: it is replaced by the next store().
class calibration_file {
public:
    // path: "" keeps nothing
    explicit calibration_file(std::string path) : path_(std::move(path)) {}

    const std::string & path() const { return path_; }

    std::vector<calibration_record> load() const;

    // Adds a record, or replaces the one of the same machine and question; the folder is made where it is missing. Readers
    // see the old file or the new one, never a part. Of two writers at a time one may lose its record. False when it could not
    // be written.
    bool store(const calibration_record & record) const;

private:
    std::string path_;
};

bool same_question(const ann_index_calibration & a, const ann_index_calibration & b);

// ANN_CALIBRATION_FILE ("off": none), or calibration.json in ann-runtime in the user's folder of caches: LOCALAPPDATA,
// ~/Library/Caches, XDG_CACHE_HOME or ~/.cache. "" where there is none of these.
std::string default_calibration_path();

} // namespace ann
