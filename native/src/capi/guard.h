// C++ ends here: every exported function runs in ann_guard, every input is checked with the helpers below.
#pragma once

#include "ann-runtime.h"

#include <atomic>
#include <cstddef>
#include <cstdarg>
#include <cstring>
#include <new>
#include <stdexcept>
#include <string>

namespace ann {

struct failure : std::runtime_error {
    failure(ann_status status, const std::string & message) : std::runtime_error(message), status(status) {}
    ann_status status;
};

[[noreturn]] void fail(ann_status status, const char * format, ...) __attribute__((format(printf, 2, 3)));

void set_error(ann_error * error, ann_status status, const char * message);

// What llama.cpp logged as errors on this thread since the scope began: the reason behind its null results.
class log_scope {
public:
    log_scope();
    ~log_scope();
    log_scope(const log_scope &) = delete;
    log_scope & operator=(const log_scope &) = delete;

    // Errors are kept but no longer passed on once *cancelled: a cancelled decode is no error, upstream logs it as several.
    void silence_when(const std::atomic<bool> & cancelled);

    // the messages joined, without their function-name prefixes; `otherwise` if there were none
    std::string reason(const char * otherwise) const;
};

template <typename F> ann_status guard(ann_error * error, F && body) noexcept {
    try {
        body();
        return ANN_OK;
    } catch (const failure & e) {
        set_error(error, e.status, e.what());
        return e.status;
    } catch (const std::bad_alloc &) {
        set_error(error, ANN_ERROR_OUT_OF_MEMORY, "out of memory");
        return ANN_ERROR_OUT_OF_MEMORY;
    } catch (const std::exception & e) {
        set_error(error, ANN_ERROR_INTERNAL, e.what());
        return ANN_ERROR_INTERNAL;
    } catch (...) {
        set_error(error, ANN_ERROR_INTERNAL, "unknown exception");
        return ANN_ERROR_INTERNAL;
    }
}

template <typename T> const T & require(const T * pointer, const char * name) {
    if (!pointer) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "%s is NULL", name);
    }
    return *pointer;
}

template <typename T> T & require(T * pointer, const char * name) {
    if (!pointer) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "%s is NULL", name);
    }
    return *pointer;
}

void require_range(const char * name, int64_t value, int64_t min, int64_t max);

void check_struct_size(const char * name, uint32_t size, size_t known);

// The caller's struct over the defaults: fields that an older caller does not know keep them.
template <typename T> T read_struct(const T * from, T defaults, const char * name) {
    if (from) {
        check_struct_size(name, from->struct_size, sizeof(T));
        std::memcpy(&defaults, from, from->struct_size);
        defaults.struct_size = sizeof(T);
    }
    return defaults;
}

// Fields beyond the caller's struct_size are not written.
template <typename T> void write_struct(T * to, T value, const char * name) {
    check_struct_size(name, require(to, name).struct_size, sizeof(T));
    value.struct_size = to->struct_size;
    std::memcpy(to, &value, to->struct_size);
}

// call-twice convention of ann-runtime.h
void write_text(const std::string & value, char * buffer, size_t capacity, size_t * n_written);
void write_items(const int32_t * items, size_t n, int32_t * buffer, size_t capacity, size_t * n_written);

// byte offset of the first invalid sequence, or n_bytes
size_t find_invalid_utf8(const char * bytes, size_t n_bytes);
std::string require_text(const char * text, const char * name); // zero-terminated, valid UTF-8

} // namespace ann
