#include "hnsw-links.h"

#include <algorithm>
#include <cstring>

namespace ann_idx {

namespace {

constexpr int max_level = 30;

// A permutation of the 64-bit numbers without visible pattern (splitmix64).
uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

int draw_level(int32_t cell, int m, uint64_t seed) {
    int level = 0;
    for (uint64_t x = mix(seed ^ mix(uint64_t(cell))); level < max_level && x % uint64_t(m) == 0; x = mix(x)) {
        ++level;
    }
    return level;
}

}  // namespace

hnsw_links::hnsw_links(int32_t n_cells, int m, uint64_t seed) : n_cells_(n_cells), m_(m) {
    uppers_.reset(n_cells);
    word_start_.resize(uppers_.words().size() + 1);
    upper_start_.assign(1, 0);
    for (int32_t cell = 0; cell < n_cells; ++cell) {
        if (const int level = draw_level(cell, m, seed); level > 0) {
            uppers_.set(cell);
            upper_start_.push_back(upper_start_.back() + uint32_t(level));
        }
        word_start_[size_t(cell) / 64 + 1] = uint32_t(upper_start_.size()) - 1;
    }
    upper_start_.shrink_to_fit();
    clear();
}

int hnsw_links::count(int32_t cell, int level) const {
    const uint32_t * links = list(cell, level);
    return int(std::find(links, links + capacity(level), 0u) - links);
}

void hnsw_links::assign(int32_t cell, int level, const int32_t * neighbours, int n) {
    uint32_t * links = list(cell, level);
    for (int i = 0; i < n; ++i) {
        links[i] = uint32_t(neighbours[i]) + 1;
    }
    std::fill(links + n, links + capacity(level), 0u);
}

bool hnsw_links::append(int32_t cell, int level, int32_t neighbour) {
    const int n = count(cell, level);
    if (n == capacity(level)) {
        return false;
    }
    list(cell, level)[n] = uint32_t(neighbour) + 1;
    return true;
}

bool hnsw_links::remove(int32_t cell, int level, int32_t neighbour) {
    uint32_t * links = list(cell, level);
    uint32_t * end   = links + count(cell, level);
    uint32_t * place = std::find(links, end, uint32_t(neighbour) + 1);
    if (place == end) {
        return false;
    }
    *place   = end[-1];
    end[-1] = 0;
    return true;
}

bool hnsw_links::contains(int32_t cell, int level, int32_t neighbour) const {
    const uint32_t * links = list(cell, level);
    const uint32_t * end   = links + capacity(level);
    return std::find(links, end, uint32_t(neighbour) + 1) != end;
}

void hnsw_links::set_twins(int32_t cell, int32_t next) {
    list(cell, 0)[2 * m_ - 1] = uint32_t(next) + 1;
    twin_before_[next]        = cell;
}

void hnsw_links::follow(int32_t cell, int32_t head) {
    const int32_t next = twin(head);
    set_twins(cell, next < 0 ? head : next);
    set_twins(head, cell);
    followers_.set(cell);
}

int32_t hnsw_links::leave_ring(int32_t cell) {
    const int32_t next = twin(cell);
    if (next < 0) {
        return -1;
    }
    const int32_t before = twin_before_.at(cell);
    set_twins(before, next);
    if (next == before) {
        list(next, 0)[2 * m_ - 1] = 0;
        twin_before_.erase(next);
    }
    list(cell, 0)[2 * m_ - 1] = 0;
    twin_before_.erase(cell);
    const bool was_head = !followers_.test(cell);
    followers_.unset(was_head ? next : cell);
    return was_head ? next : -1;
}

void hnsw_links::clear() {
    lowest_ = zeroed_array<uint32_t>(size_t(n_cells_) * size_t(2 * m_));
    upper_  = zeroed_array<uint32_t>(size_t(upper_start_.back()) * size_t(m_));
    twin_before_.clear();
    followers_.reset(n_cells_);
}

void hnsw_links::copy_from(const hnsw_links & other, int32_t n) {
    clear();
    const size_t n_upper = size_t(upper_start_[n_uppers_before(n)]) * size_t(m_);
    std::memcpy(lowest_.data(), other.lowest_.data(), size_t(n) * size_t(2 * m_) * sizeof(uint32_t));
    std::memcpy(upper_.data(), other.upper_.data(), n_upper * sizeof(uint32_t));
    twin_before_ = other.twin_before_;
    followers_   = other.followers_;
}

void hnsw_links::make_ring(const std::vector<int32_t> & cells) {
    for (size_t i = 0; i < cells.size(); ++i) {
        set_twins(cells[i], cells[(i + 1) % cells.size()]);
        if (i > 0) {
            followers_.set(cells[i]);
        }
    }
}

size_t hnsw_links::memory_bytes() const {
    const size_t n    = word_start_.capacity() + upper_start_.capacity() + lowest_.size() + upper_.size();
    const size_t ring = twin_before_.size() * (sizeof(std::pair<int32_t, int32_t>) + 2 * sizeof(void *));
    return n * sizeof(uint32_t) + ring + uppers_.memory_bytes() + followers_.memory_bytes();
}

}  // namespace ann_idx
