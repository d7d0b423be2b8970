// A large array of zeroes whose untouched part costs no memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace ann_idx {

// Pages come from the system, zeroed, on huge pages where it offers them; throws std::bad_alloc.
void * allocate_zeroed_pages(size_t n_bytes);
void   free_zeroed_pages(void * pages, size_t n_bytes);

// Elements start at 0, aligned to a page. T is a plain number.
template <class T> class zeroed_array {
  public:
    zeroed_array() = default;

    explicit zeroed_array(size_t n) : data_(static_cast<T *>(allocate_zeroed_pages(n * sizeof(T)))), n_(n) {}

    zeroed_array(zeroed_array && other) noexcept { swap(other); }

    zeroed_array & operator=(zeroed_array && other) noexcept {
        swap(other);
        return *this;
    }

    ~zeroed_array() { free_zeroed_pages(data_, n_ * sizeof(T)); }

    T *       data() { return data_; }

    const T * data() const { return data_; }

    size_t size() const { return n_; }

    void swap(zeroed_array & other) noexcept {
        std::swap(data_, other.data_);
        std::swap(n_, other.n_);
    }

  private:
    T *    data_ = nullptr;
    size_t n_    = 0;
};

}  // namespace ann_idx
