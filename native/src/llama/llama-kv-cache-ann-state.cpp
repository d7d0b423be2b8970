// Saved states of llama_kv_cache_ann: the base's, the twin's, and the indexes over its keys.
#include "llama-kv-cache-ann.h"

#include "llama-impl.h"
#include "llama-io.h"

#include <algorithm>
#include <stdexcept>

namespace {

struct ann_state_header {
    uint32_t magic;
    uint32_t version;
    uint32_t n_embd_search;
    uint32_t n_layers;
    uint32_t type;
};
constexpr uint32_t ANN_STATE_MAGIC   = 0x4b4e4e41; // "ANNK"
constexpr uint32_t ANN_STATE_VERSION = 2; // 1: without the part below

// Behind the twin's state: so many saved indexes, each with a head of its own (see index-file.cpp for what follows).
struct ann_state_index {
    int32_t  il;
    uint32_t stream;
    uint64_t n_bytes;
};

} // namespace

void llama_kv_cache_ann::state_write(llama_io_write_i & io, llama_seq_id seq_id, llama_state_seq_flags flags) const {
    llama_kv_cache::state_write(io, seq_id, flags);

    const ann_state_header header = {
        ANN_STATE_MAGIC, ANN_STATE_VERSION, (uint32_t) ann_model.n_embd_search,
        (uint32_t) twin->get_layer_ids().size(), (uint32_t) twin->type_k(),
    };
    io.write(&header, sizeof(header));
    twin->state_write(io, seq_id, flags);
    state_write_index(io, seq_id, flags);
}

// Of one sequence only where the index knows no cell of another one: its links could not be taken apart.
void llama_kv_cache_ann::state_write_index(llama_io_write_i & io, llama_seq_id seq_id, llama_state_seq_flags flags) const {
    std::vector<ann_state_index>      heads;
    std::vector<std::vector<uint8_t>> bodies;
    forget_emptied(); // their rows are not saved
    if (index && params.mode == LLAMA_ANN_MODE_HNSW && params.index_in_state && flags == 0) {
        for (uint32_t s = 0; s < get_n_stream(); ++s) {
            const bool of_stream = seq_id < 0 || get_n_stream() == 1 || s == (uint32_t) seq_id; // stream s is that of sequence s
            if (!of_stream || (seq_id >= 0 && !index->holds_only(s, seq_id))) {
                continue;
            }
            for (auto & [il, data] : index->save(s)) {
                heads.push_back({ il, s, data.size() });
                bodies.push_back(std::move(data));
            }
        }
    }
    const uint32_t n = (uint32_t) heads.size();
    io.write(&n, sizeof(n));
    for (uint32_t i = 0; i < n; ++i) {
        io.write(&heads[i], sizeof(heads[i]));
        io.write(bodies[i].data(), bodies[i].size());
    }
}

// The rows are written only when the caller is done with io: the indexes are looked at then (take_offers).
void llama_kv_cache_ann::state_read_index(llama_io_read_i & io, llama_seq_id seq_id) {
    uint32_t n = 0;
    io.read(&n, sizeof(n));
    for (uint32_t i = 0; i < n; ++i) {
        ann_state_index head;
        io.read(&head, sizeof(head));
        const uint32_t stream = seq_id >= 0 && get_n_stream() > 1 ? (uint32_t) seq_id : head.stream;
        std::vector<uint8_t> data;
        for (uint64_t left = head.n_bytes; left > 0;) { // a length that is not true ends the input, not the memory
            const size_t n_part = (size_t) std::min<uint64_t>(left, 1 << 22);
            data.resize(data.size() + n_part);
            io.read(data.data() + data.size() - n_part, n_part);
            left -= n_part;
        }
        if (index) {
            index->offer(head.il, stream, std::move(data));
        }
    }
}

void llama_kv_cache_ann::state_read(llama_io_read_i & io, llama_seq_id seq_id, llama_state_seq_flags flags) {
    pause_index();
    slot_info_vec_t sinfos;
    forget_contiguous();
    try {
        state_read_sinfo(io, seq_id, flags, &sinfos, nullptr);

        ann_state_header header;
        io.read(&header, sizeof(header));
        if (header.magic != ANN_STATE_MAGIC || header.version < 1 || header.version > ANN_STATE_VERSION) {
            throw std::runtime_error("the saved state holds no search keys");
        }
        if (header.n_embd_search != ann_model.n_embd_search || header.n_layers != twin->get_layer_ids().size() ||
                header.type != (uint32_t) twin->type_k()) {
            throw std::runtime_error(format("the saved search keys have %u dims, %u layers, type %s; this context has %u, %zu, %s",
                header.n_embd_search, header.n_layers, header.type < GGML_TYPE_COUNT ? ggml_type_name((ggml_type) header.type) : "?",
                (uint32_t) ann_model.n_embd_search, twin->get_layer_ids().size(), ggml_type_name(twin->type_k())));
        }
        twin->state_read_sinfo(io, seq_id, flags, nullptr, &sinfos);
        for (const auto & sinfo : sinfos) {
            if (!sinfo.empty()) {
                mark_written(sinfo);
            }
        }
        if (header.version >= 2) {
            state_read_index(io, seq_id);
        }
    } catch (...) {
        state_drop(seq_id); // half-restored caches would disagree about their cells
        throw;
    }
}

void llama_kv_cache_ann::state_drop(llama_seq_id seq_id) {
    if (seq_id < 0) {
        clear(true);
    } else {
        seq_rm(seq_id, -1, -1);
    }
}
