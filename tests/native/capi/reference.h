// Figures of the independent PyTorch implementation, from tests/data.
#pragma once

#include "figures.h"

#include <nlohmann/json.hpp>

namespace figures {

using json = nlohmann::json;

// a window of tests/data/reference-windows.json, and a row of its figures
inline const json & window_of(const json & file, int length) {
    for (const auto & window : file["windows"]) {
        if (window["length"] == length) {
            return window;
        }
    }
    throw test_failure("no reference of a window of " + std::to_string(length) + " tokens");
}

inline const json & row_of(const json & window, const char * search, const char * layers, int top_k, const char * trajectory) {
    for (const auto & row : window["figures"]) {
        if (row["search"] == search && row["layers"] == layers && row["k"] == top_k && row["trajectory"] == trajectory) {
            return row;
        }
    }
    throw test_failure(std::string("no reference of ") + search + ", " + layers + ", K = " + std::to_string(top_k));
}

// of mass and recall_teacher in any layer, from a row of all layers
inline double worst_difference(const layer_figures & got, const json & row) {
    double worst = 0.0;
    for (int il = 0; il < 12; ++il) {
        const double mass = row["mass"][il], recall = row["recall_teacher"][il];
        std::printf("     layer %2d: mass %.3f (PyTorch %.3f), recall_teacher %.3f (%.3f)\n", il, got.mass[il], mass, got.recall[il], recall);
        worst = std::max({ worst, std::abs(got.mass[il] - mass), std::abs(got.recall[il] - recall) });
    }
    return worst;
}

} // namespace figures
