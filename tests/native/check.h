// The little that native tests need: named cases, checks that say what they saw, one summary line.
//
//   TEST("name") { CHECK(x == y); CHECK_LE(error, 1e-3); }
//   int main(int argc, char ** argv) { return run_tests(argc, argv); }   // arguments: names to run
#pragma once

#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <sstream>
#include <string>
#include <vector>

struct test_case {
    const char * name;
    std::function<void()> body;
};

inline std::vector<test_case> & test_cases() {
    static std::vector<test_case> cases;
    return cases;
}

struct test_failure : std::exception {
    std::string text;
    explicit test_failure(std::string text) : text(std::move(text)) {}
    const char * what() const noexcept override { return text.c_str(); }
};

struct test_registration {
    test_registration(const char * name, std::function<void()> body) { test_cases().push_back({ name, std::move(body) }); }
};

#define TEST_JOIN2(a, b) a##b
#define TEST_JOIN(a, b)  TEST_JOIN2(a, b)
#define TEST(name)                                                                         \
    static void TEST_JOIN(test_body_, __LINE__)();                                         \
    static const test_registration TEST_JOIN(test_reg_, __LINE__)(name, TEST_JOIN(test_body_, __LINE__)); \
    static void TEST_JOIN(test_body_, __LINE__)()

#define CHECK_FAIL(text_)                                                                  \
    do {                                                                                   \
        std::ostringstream out_;                                                           \
        out_ << __FILE__ << ':' << __LINE__ << ": " << text_;                              \
        throw test_failure(out_.str());                                                    \
    } while (0)

#define CHECK(condition)       do { if (!(condition)) { CHECK_FAIL("not true: " #condition); } } while (0)
#define CHECK_EQ(a, b)         do { const auto a_ = (a); const auto b_ = (b); if (!(a_ == b_)) { CHECK_FAIL(#a " is " << a_ << ", expected " << b_); } } while (0)
#define CHECK_LE(a, b)         do { const auto a_ = (a); const auto b_ = (b); if (!(a_ <= b_)) { CHECK_FAIL(#a " is " << a_ << ", expected at most " << b_); } } while (0)
#define CHECK_CONTAINS(a, b)   do { const std::string a_ = (a); if (a_.find(b) == std::string::npos) { CHECK_FAIL(#a " is \"" << a_ << "\", expected to contain \"" << (b) << '"'); } } while (0)

inline int run_tests(int argc, char ** argv) {
    int n_passed = 0, n_failed = 0;
    for (const auto & c : test_cases()) {
        bool wanted = argc < 2;
        for (int i = 1; i < argc; ++i) {
            wanted |= std::strstr(c.name, argv[i]) != nullptr;
        }
        if (!wanted) {
            continue;
        }
        std::string failure;
        try {
            c.body();
        } catch (const std::exception & e) {
            failure = e.what();
        }
        std::printf("%s %s%s%s\n", failure.empty() ? "ok  " : "FAIL", c.name, failure.empty() ? "" : ": ", failure.c_str());
        std::fflush(stdout);
        (failure.empty() ? n_passed : n_failed)++;
    }
    std::printf("%d passed, %d failed\n", n_passed, n_failed);
    return n_failed == 0 && n_passed > 0 ? 0 : 1;
}
