// A saved index set. Numbers are little-endian, nothing is aligned.
//
// header:  u8 magic[8] "ANNINDEX" | u32 version 1 | u32 n_shards | u32 vector type | u32 dim | u32 n_cells | u32 m
//          | u32 ef_construction | u64 seed | u64 checksum of the indexed rows | u64 payload bytes
//          | u64 checksum of the payload | u64 checksum of the header up to here
// payload: for each shard, in the shard's own numbers
//          i32 n_used (highest node + 1) | i32 entry or -1 | i32 n_overwritten | i32 n_pending | i32 n_rings
//          | u64 nodes[], live[] (bits of n_used cells) | i32 pending[n_pending]
//          | for each node, for each of its levels from 0: u8 n, u32 neighbour[n]
//          | for each ring: i32 n, i32 cell[n], the head first
//
// The levels of cells follow from the seed. A graph is taken over only when every number in it is in range and the rows
// are those it was made for; it cannot be checked to be a good graph, but any graph that passes gives right scores.
#include "byte-stream.h"
#include "checksum.h"
#include "index-set.h"

#include <stdexcept>

namespace ann_idx {

namespace {

constexpr char     magic[8]  = { 'A', 'N', 'N', 'I', 'N', 'D', 'E', 'X' };
constexpr uint32_t version   = 1;
constexpr uint64_t seed_file = 0x414e4e;

struct file_header {
    uint32_t n_shards, type, dim, n_cells, m, ef_construction;
    uint64_t seed, rows_checksum, payload_bytes, payload_checksum;
};

[[noreturn]] void reject(const std::string & why) {
    throw std::runtime_error("the saved index " + why);
}

void require(bool ok, const char * why) {
    if (!ok) {
        reject(why);
    }
}

void require_equal(const char * name, uint64_t saved, uint64_t own) {
    if (saved != own) {
        reject("has " + std::string(name) + " " + std::to_string(saved) + ", not " + std::to_string(own));
    }
}

void put_header(const file_header & header, std::vector<uint8_t> & out) {
    const size_t first = out.size();
    byte_writer  writer(out);
    writer.put_array(magic, sizeof(magic));
    for (const uint32_t value : { version, header.n_shards, header.type, header.dim, header.n_cells, header.m, header.ef_construction }) {
        writer.put(value);
    }
    for (const uint64_t value : { header.seed, header.rows_checksum, header.payload_bytes, header.payload_checksum }) {
        writer.put(value);
    }
    writer.put(checksum(out.data() + first, out.size() - first, seed_file));
}

file_header get_header(byte_reader & reader) {
    const uint8_t * first = reader.at();
    file_header     res;
    char            found_magic[8];
    uint32_t        found_version = 0;
    bool            ok            = reader.get(found_magic) && reader.get(found_version);
    require(ok, "is shorter than its header");
    require(std::memcmp(found_magic, magic, sizeof(magic)) == 0, "does not begin with ANNINDEX");
    require_equal("version", found_version, version);
    for (uint32_t * value : { &res.n_shards, &res.type, &res.dim, &res.n_cells, &res.m, &res.ef_construction }) {
        ok = ok && reader.get(*value);
    }
    for (uint64_t * value : { &res.seed, &res.rows_checksum, &res.payload_bytes, &res.payload_checksum }) {
        ok = ok && reader.get(*value);
    }
    const size_t n_bytes = size_t(reader.at() - first);
    uint64_t     sum     = 0;
    require(ok && reader.get(sum), "is shorter than its header");
    require(sum == checksum(first, n_bytes, seed_file), "has a damaged header");
    return res;
}

// The rows a graph was made for: those of live nodes that are not pending.
uint64_t rows_checksum(const hnsw_graph & graph, const cell_bits & pending, uint64_t seed) {
    const size_t n_bytes = row_bytes(graph.rows.type, graph.rows.dim);
    graph.live.for_each([&](int32_t cell) {
        if (!pending.test(cell)) {
            seed = checksum(graph.rows.row(cell), n_bytes, seed ^ uint64_t(cell));
        }
    });
    return seed;
}

std::vector<std::vector<int32_t>> rings_of(const hnsw_graph & graph) {
    std::vector<std::vector<int32_t>> rings;
    graph.nodes.for_each([&](int32_t head) {
        if (graph.links.twin(head) >= 0 && !graph.links.is_follower(head)) {
            rings.emplace_back(1, head);
            for (int32_t cell = graph.links.twin(head); cell != head; cell = graph.links.twin(cell)) {
                rings.back().push_back(cell);
            }
        }
    });
    return rings;
}

void put_shard(const hnsw_graph & graph, int32_t n_overwritten, const std::vector<int32_t> & pending, std::vector<uint8_t> & out) {
    byte_writer   writer(out);
    const int32_t n_used  = graph.nodes.last() + 1;
    const size_t  n_words = (size_t(n_used) + 63) / 64;
    const auto    rings   = rings_of(graph);
    for (const int32_t value : { n_used, graph.entry, n_overwritten, int32_t(pending.size()), int32_t(rings.size()) }) {
        writer.put(value);
    }
    writer.put_array(graph.nodes.words().data(), n_words);
    writer.put_array(graph.live.words().data(), n_words);
    writer.put_array(pending.data(), pending.size());
    graph.nodes.for_each([&](int32_t cell) {
        for (int level = 0; level <= graph.links.level(cell); ++level) {
            const int        n    = graph.links.count(cell, level);
            const uint32_t * list = graph.links.list(cell, level);
            writer.put(uint8_t(n));
            for (int i = 0; i < n; ++i) {
                writer.put(list[i] - 1);
            }
        }
    });
    for (const std::vector<int32_t> & ring : rings) {
        writer.put(int32_t(ring.size()));
        writer.put_array(ring.data(), ring.size());
    }
}

void get_bits(byte_reader & reader, int32_t n_used, cell_bits & bits) {
    const size_t n_words = (size_t(n_used) + 63) / 64;
    require(reader.get_array(bits.words().data(), n_words), "ends within a shard");
    require(bits.last() < n_used, "has nodes beyond its own count");
}

// One list: neighbours are nodes of that level, none twice, none the cell itself.
void get_list(byte_reader & reader, hnsw_graph & graph, int32_t cell, int level) {
    uint8_t  n = 0;
    uint32_t neighbours[256];
    require(reader.get(n) && reader.get_array(neighbours, n), "ends within a list");
    require(int(n) <= graph.links.capacity(level), "has a list that is too long");
    int32_t cells[256];
    for (int i = 0; i < int(n); ++i) {
        const bool is_cell = neighbours[i] < uint32_t(graph.rows.n_rows) && neighbours[i] != uint32_t(cell);
        require(is_cell && graph.nodes.test(int32_t(neighbours[i])), "has a link to a cell that is not a node");
        cells[i] = int32_t(neighbours[i]);
        require(graph.links.level(cells[i]) >= level, "has a link to a node that is not on that level");
        require(!graph.links.contains(cell, level, cells[i]), "has a link twice");
        graph.links.append(cell, level, cells[i]);
    }
}

void get_rings(byte_reader & reader, int32_t n_rings, hnsw_graph & graph) {
    cell_bits seen(graph.rows.n_rows);
    for (int32_t i = 0; i < n_rings; ++i) {
        int32_t n = 0;
        require(reader.get(n) && n >= 2 && n <= graph.rows.n_rows, "has a ring of an impossible size");
        std::vector<int32_t> ring(size_t(n), -1);
        require(reader.get_array(ring.data(), ring.size()), "ends within a ring");
        for (const int32_t cell : ring) {
            require(cell >= 0 && cell < graph.rows.n_rows && graph.nodes.test(cell), "has a ring with a cell that is not a node");
            require(seen.insert(cell), "has a cell in two rings");
        }
        graph.links.make_ring(ring);
    }
}

struct loaded_shard {
    hnsw_graph    graph;
    int32_t       n_overwritten;
    pending_cells pending;
};

loaded_shard get_shard(byte_reader & reader, const vector_rows & rows, const hnsw_params & params) {
    loaded_shard res     = { hnsw_graph(rows, params),
                             0,
                             pending_cells(rows.n_rows) };
    hnsw_graph & graph   = res.graph;
    int32_t      n_used  = 0, n_pending = 0, n_rings = 0;
    bool         ok      = true;
    for (int32_t * value : { &n_used, &graph.entry, &res.n_overwritten, &n_pending, &n_rings }) {
        ok = ok && reader.get(*value);
    }
    require(ok, "ends within a shard");
    for (const int32_t n : { n_used, n_pending, n_rings }) {
        require(n >= 0 && n <= rows.n_rows, "counts more cells than there are");
    }
    require(res.n_overwritten >= 0, "counts less than no overwritten cells");
    get_bits(reader, n_used, graph.nodes);
    get_bits(reader, n_used, graph.live);
    graph.live.for_each([&](int32_t cell) { require(graph.nodes.test(cell), "has a live cell that is not a node"); });
    for (int32_t i = 0; i < n_pending; ++i) {
        int32_t cell = -1;
        require(reader.get(cell) && cell >= 0 && cell < rows.n_rows, "has a pending cell out of range");
        res.pending.add(cell);
    }
    graph.nodes.for_each([&](int32_t cell) {
        for (int level = 0; level <= graph.links.level(cell); ++level) {
            get_list(reader, graph, cell, level);
        }
    });
    get_rings(reader, n_rings, graph);
    const bool has_entry = graph.entry >= 0 && graph.entry < n_used && graph.nodes.test(graph.entry);
    require(has_entry ? !graph.links.is_follower(graph.entry) : graph.entry == -1 && n_used == 0, "has an impossible entry");
    return res;
}

}  // namespace

void index_set::save(std::vector<uint8_t> & out) const {
    const vector_rows &  rows   = rows_;
    const hnsw_params &  graph  = params_.graph;
    file_header          header = { uint32_t(n_shards()), uint32_t(rows.type), uint32_t(rows.dim), uint32_t(rows.n_rows),
                                    uint32_t(graph.m), uint32_t(graph.ef_construction), graph.seed, 0, 0, 0 };
    std::vector<uint8_t> payload;
    for (const shard & of : shards_) {
        header.rows_checksum = rows_checksum(of.graph->graph(), of.pending.bits(), header.rows_checksum);
        put_shard(of.graph->graph(), of.graph->stats().n_overwritten, of.pending.list(), payload);
    }
    header.payload_bytes    = payload.size();
    header.payload_checksum = checksum(payload.data(), payload.size(), seed_file);
    put_header(header, out);
    out.insert(out.end(), payload.begin(), payload.end());
}

bool index_set::load(const uint8_t * data, size_t n_bytes, std::string & why_not) {
    try {
        byte_reader       reader(data, n_bytes);
        const file_header header = get_header(reader);
        require_equal("shards", header.n_shards, uint64_t(n_shards()));
        require_equal("rows of type", header.type, uint64_t(rows_.type));
        require_equal("rows of dim", header.dim, uint64_t(rows_.dim));
        require_equal("m", header.m, uint64_t(params_.graph.m));
        require_equal("ef_construction", header.ef_construction, uint64_t(params_.graph.ef_construction));
        require_equal("seed", header.seed, params_.graph.seed);
        require(header.n_cells <= uint32_t(rows_.n_rows), "is of more cells than there are");
        require(header.payload_bytes == reader.left(), "is not as long as its header says");
        require(header.payload_checksum == checksum(reader.at(), reader.left(), seed_file), "is damaged");

        std::vector<loaded_shard> loaded;
        uint64_t                  sum = 0;
        for (const shard & of : shards_) {
            loaded.push_back(get_shard(reader, of.rows, params_.graph));
            sum = rows_checksum(loaded.back().graph, loaded.back().pending.bits(), sum);
        }
        require(reader.left() == 0, "goes on after its last shard");
        require(sum == header.rows_checksum, "was made for other rows");
        for (size_t s = 0; s < shards_.size(); ++s) {
            shards_[s].graph->set_graph(std::move(loaded[s].graph), loaded[s].n_overwritten);
            shards_[s].pending = std::move(loaded[s].pending);
        }
        return true;
    } catch (const std::runtime_error & error) {
        why_not = error.what();
        return false;
    }
}

}  // namespace ann_idx
