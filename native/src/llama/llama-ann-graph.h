// Hooks of the shared graph builders. Included by llama-graph.h: keep it small.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

struct ggml_backend_buffer_type;
struct ggml_tensor;
struct llama_layer;
struct llm_graph_context;

class llm_graph_input_ann;
class llm_graph_input_attn_kv;

// of one graph under construction
struct llama_ann_graph {
    struct vectors {
        ggml_tensor * q = nullptr; // [n_embd_search, n_tokens] f32, null where nothing is searched
        ggml_tensor * k = nullptr; // [n_embd_search, 1, n_tokens] f32, as it is stored

        bool          is_stored  = false;
        ggml_tensor * candidates = nullptr; // if they were searched for before K and V are stored
    };

    std::map<int, vectors> layers;

    llm_graph_input_ann * inp = nullptr;

    ggml_tensor * visible = nullptr; // of searches by index, shared by the layers

    std::map<ggml_backend_buffer_type *, ggml_tensor *> masks; // written on the device that holds a layer's K, not sent there

    std::vector<ggml_tensor *> stores; // of search keys, that wait for those of the layers that follow
};

// cur: [n_embd, n_tokens], the hidden state that Q, K and V are projected from
void llama_ann_build_search(const llm_graph_context & g, const llama_layer & layer, ggml_tensor * cur, int il);

// Stores the search key, and builds attention over the candidates of a searched layer. q, k, v as build_attn_mha takes
// them. Null: the layer is reserved (or the graph dense), upstream's attention applies.
ggml_tensor * llama_ann_build_attn(
        const llm_graph_context & g,
        llm_graph_input_attn_kv * inp,
        ggml_tensor * q,
        ggml_tensor * k,
        ggml_tensor * v,
        ggml_tensor * kq_b,
        ggml_tensor * sinks,
        float         kq_scale,
        int           il);
