#include "guard.h"

#include <cstdio>

namespace ann {

static std::string format_list(const char * format, va_list args) {
    va_list copy;
    va_copy(copy, args);
    const int n = std::vsnprintf(nullptr, 0, format, copy);
    va_end(copy);
    std::string res(n > 0 ? (size_t) n : 0, '\0');
    std::vsnprintf(&res[0], res.size() + 1, format, args);
    return res;
}

void fail(ann_status status, const char * format, ...) {
    va_list args;
    va_start(args, format);
    std::string message = format_list(format, args);
    va_end(args);
    throw failure(status, message);
}

void set_error(ann_error * error, ann_status status, const char * message) {
    // a caller with a smaller struct of another version gets the status at least
    if (!error || error->struct_size < offsetof(ann_error, message)) {
        return;
    }
    error->status = status;
    const size_t capacity = (error->struct_size < sizeof(ann_error) ? error->struct_size : sizeof(ann_error)) - offsetof(ann_error, message);
    if (capacity > 0) {
        std::snprintf(error->message, capacity, "%s", message);
    }
}

void require_range(const char * name, int64_t value, int64_t min, int64_t max) {
    if (value < min || value > max) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "%s is %lld, expected %lld to %lld", name, (long long) value, (long long) min, (long long) max);
    }
}

void check_struct_size(const char * name, uint32_t size, size_t known) {
    if (size < sizeof(uint32_t) || size > known) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "%s.struct_size is %u, expected 4 to %zu (a newer header than this library?)", name, size, known);
    }
}

void write_text(const std::string & value, char * buffer, size_t capacity, size_t * n_written) {
    require(n_written, "n_written") = value.size();
    if (capacity <= value.size()) {
        fail(ANN_ERROR_BUFFER_TOO_SMALL, "the text needs %zu bytes, capacity is %zu", value.size() + 1, capacity);
    }
    require(buffer, "buffer");
    std::memcpy(buffer, value.c_str(), value.size() + 1);
}

void write_items(const int32_t * items, size_t n, int32_t * buffer, size_t capacity, size_t * n_written) {
    require(n_written, "n_written") = n;
    if (capacity < n) {
        fail(ANN_ERROR_BUFFER_TOO_SMALL, "the result needs %zu items, capacity is %zu", n, capacity);
    }
    if (n > 0) {
        require(buffer, "buffer");
        std::memcpy(buffer, items, n*sizeof(int32_t));
    }
}

// length of the well-formed sequence at p (RFC 3629), 0 if there is none
static size_t utf8_length(const unsigned char * p, size_t n) {
    auto tail = [&](size_t i, unsigned char lo, unsigned char hi) { return i < n && p[i] >= lo && p[i] <= hi; };
    if (p[0] < 0x80) {
        return 1;
    }
    if (p[0] >= 0xC2 && p[0] <= 0xDF) {
        return tail(1, 0x80, 0xBF) ? 2 : 0;
    }
    if (p[0] >= 0xE0 && p[0] <= 0xEF) {
        const unsigned char lo = p[0] == 0xE0 ? 0xA0 : 0x80;
        const unsigned char hi = p[0] == 0xED ? 0x9F : 0xBF;
        return tail(1, lo, hi) && tail(2, 0x80, 0xBF) ? 3 : 0;
    }
    if (p[0] >= 0xF0 && p[0] <= 0xF4) {
        const unsigned char lo = p[0] == 0xF0 ? 0x90 : 0x80;
        const unsigned char hi = p[0] == 0xF4 ? 0x8F : 0xBF;
        return tail(1, lo, hi) && tail(2, 0x80, 0xBF) && tail(3, 0x80, 0xBF) ? 4 : 0;
    }
    return 0;
}

size_t find_invalid_utf8(const char * bytes, size_t n_bytes) {
    const unsigned char * p = (const unsigned char *) bytes;
    size_t i = 0;
    while (i < n_bytes) {
        const size_t n = utf8_length(p + i, n_bytes - i);
        if (n == 0) {
            return i;
        }
        i += n;
    }
    return n_bytes;
}

std::string require_text(const char * text, const char * name) {
    require(text, name);
    const size_t n = std::strlen(text);
    const size_t bad = find_invalid_utf8(text, n);
    if (bad < n) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "%s is not valid UTF-8: byte 0x%02x at offset %zu", name, (unsigned char) text[bad], bad);
    }
    return std::string(text, n);
}

} // namespace ann
