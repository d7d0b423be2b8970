// Numbers to bytes and back, with every read checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace ann_idx {

// Numbers are stored as little-endian machines hold them; on others a saved index names an unknown version.
class byte_writer {
  public:
    explicit byte_writer(std::vector<uint8_t> & out) : out_(out) {}

    template <class T> void put(const T & value) { put_array(&value, 1); }

    template <class T> void put_array(const T * values, size_t n) {
        const auto * bytes = reinterpret_cast<const uint8_t *>(values);
        out_.insert(out_.end(), bytes, bytes + n * sizeof(T));
    }

  private:
    std::vector<uint8_t> & out_;
};

// False once there is less left than is asked for; the value is not touched then.
class byte_reader {
  public:
    byte_reader(const uint8_t * data, size_t n_bytes) : at_(data), left_(n_bytes) {}

    template <class T> bool get(T & value) { return get_array(&value, 1); }

    template <class T> bool get_array(T * values, size_t n) {
        if (n > left_ / sizeof(T)) {
            return false;
        }
        if (n > 0) {
            std::memcpy(values, at_, n * sizeof(T));
        }
        at_ += n * sizeof(T);
        left_ -= n * sizeof(T);
        return true;
    }

    const uint8_t * at() const { return at_; }

    size_t left() const { return left_; }

  private:
    const uint8_t * at_;
    size_t          left_;
};

}  // namespace ann_idx
