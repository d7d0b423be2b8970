// The smallest test framework: CHECK(condition), and a count of failures for main to return.
#pragma once

#include <cstdio>

namespace ann_test {

inline int & n_failures() {
    static int n = 0;
    return n;
}

inline bool check(bool ok, const char * text, const char * file, int line) {
    if (!ok) {
        ++n_failures();
        std::fprintf(stderr, "%s:%d: failed: %s\n", file, line, text);
    }
    return ok;
}

// What main returns: 0 when nothing failed.
inline int result() {
    std::printf(n_failures() == 0 ? "passed\n" : "%d failures\n", n_failures());
    return n_failures() == 0 ? 0 : 1;
}

}  // namespace ann_test

#define CHECK(condition) ann_test::check((condition), #condition, __FILE__, __LINE__)

// The statement throws this exception.
#define CHECK_THROWS(statement, exception)                                     \
    do {                                                                       \
        bool has_thrown = false;                                               \
        try {                                                                  \
            statement;                                                         \
        } catch (const exception &) {                                          \
            has_thrown = true;                                                 \
        }                                                                      \
        ann_test::check(has_thrown, #statement " throws", __FILE__, __LINE__); \
    } while (false)
