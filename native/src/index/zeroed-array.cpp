#include "zeroed-array.h"

#include <cstdlib>
#include <new>

#if defined(__linux__)
#    include <sys/mman.h>
#endif

namespace ann_idx {

#if defined(__linux__)

void * allocate_zeroed_pages(size_t n_bytes) {
    if (n_bytes == 0) {
        return nullptr;
    }
    void * pages = mmap(nullptr, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        throw std::bad_alloc();
    }
    madvise(pages, n_bytes, MADV_HUGEPAGE);  // a wish: a walk visits lists at random, and misses the TLB on small pages
    return pages;
}

void free_zeroed_pages(void * pages, size_t n_bytes) {
    if (pages != nullptr) {
        munmap(pages, n_bytes);
    }
}

#else

namespace {

constexpr size_t page_bytes = 4096;

}

void * allocate_zeroed_pages(size_t n_bytes) {
    if (n_bytes == 0) {
        return nullptr;
    }
    // The address that calloc gave stands in front of the aligned part.
    void * whole = std::calloc(1, n_bytes + page_bytes + sizeof(void *));
    if (whole == nullptr) {
        throw std::bad_alloc();
    }
    const uintptr_t at    = (uintptr_t(whole) + sizeof(void *) + page_bytes - 1) / page_bytes * page_bytes;
    reinterpret_cast<void **>(at)[-1] = whole;
    return reinterpret_cast<void *>(at);
}

void free_zeroed_pages(void * pages, size_t) {
    if (pages != nullptr) {
        std::free(static_cast<void **>(pages)[-1]);
    }
}

#endif

}  // namespace ann_idx
