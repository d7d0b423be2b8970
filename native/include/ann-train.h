// The C ABI of AnnRuntime: training of search projections, by the rules of ann-runtime.h. The model is frozen; layers are
// independent of each other and learn from one forward pass, which runs where the model was loaded. On CPUs deterministic
// for a seed, whatever the number of threads.
#pragma once

#include "ann-runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum ann_train_teacher {
    ANN_TEACHER_MEAN = 0, // attention probabilities, mean over heads
    ANN_TEACHER_MAX  = 1, // largest over heads
} ann_train_teacher;

typedef struct ann_train_params {
    uint32_t struct_size;
    int32_t  n_embd_search;  // dims of a search vector, 32..1024, a multiple of 32. Default 64
    int32_t  n_rot;          // leading dims rotated by position, even; 0 none, -1 all. Default -1
    float    rope_freq_base; // 0: that of the model's own attention. Default 0
    int32_t  n_window;       // last visible cells, which need not be found. Default 32
    int32_t  n_sink;         // first visible cells, likewise. Default 4
    int32_t  teacher;        // ann_train_teacher. Default mean
    int32_t  by_mass;        // 1: a query counts by the attention mass that its search can lose. Default 1
    float    kl;             // weight of KL(teacher || softmax(q.k / sqrt(d))), as published. Default 0
    float    kl_unit;        // weight of KL(teacher || softmax(q.k / |k|)). Default 1
    float    contrastive;    // weight of InfoNCE on cosines, as published. Default 0.1
    float    temperature;    // of InfoNCE. Default 0.07
    int32_t  n_positives;    // of InfoNCE: the teacher's best cells. Default 16
    float    learning_rate;  // peak. Default 2e-3
    float    learning_rate_end; // at n_steps. Default 1e-4
    float    weight_decay;   // Default 0.01
    float    clip;           // largest norm of a layer's gradient; 0: none. Default 1
    int32_t  n_steps;        // length of the schedule, in updates. Default 300
    int32_t  n_warmup;       // Default 30
    int32_t  n_ctx;          // most tokens of a window. Default 4096
    int32_t  n_updates;      // updates of a window, each from its share of the window's queries. Default 4
    int32_t  n_queries;      // queries of an update, drawn by seed and step; 0, or more than its share of the window: all of that. Default 1024
    int32_t  n_threads;      // 0: physical cores. Default 0
    int32_t  n_layers;       // length of `layers`; -1: all of the model. Default -1
    uint32_t seed;           // of the first weights and the draws. Default 1
    int32_t  pack;           // 1: an end-of-text token ends a document; what comes after it attends to nothing before it. Default 0
    int32_t  reserved_;
    const int32_t * layers;  // ascending
    const char *    device;  // where losses and gradients are computed: "cpu", or a device's name as ann_runtime_info says it. Default NULL: the model's first GPU, else cpu
} ann_train_params;

typedef struct ann_train ann_train;

ANN_API void       ann_train_params_default(ann_train_params * params);
// The model may be any whose attention can be captured, of any quantisation, with or without projections of its own.
ANN_API ann_status ann_train_create(ann_model * model, const ann_train_params * params, ann_train ** train, ann_error * error);
ANN_API void       ann_train_free(ann_train * train);
// As resolved: no 0, -1 or NULL defaults. `layers` points into the trainer.
ANN_API ann_status ann_train_get_params(ann_train * train, ann_train_params * params, ann_error * error);

typedef struct ann_train_report {
    uint32_t struct_size;
    int32_t  n_updates;
    int64_t  step;          // updates done in all
    double   learning_rate; // of the last
    double   loss;          // mean over the window's updates and layers, weighted as the parameters say
} ann_train_report;

// Learns from one window of text (more than n_window + n_sink + 2 tokens, at most n_ctx). n_marked rows of it are
// learned from for certain (the question and answer of a recall text), the others are drawn. loss: per layer, NULL or
// [n_layers]. On failure nothing was learned.
ANN_API ann_status ann_train_window(ann_train * train, const int32_t * tokens, size_t n_tokens, const int32_t * marked, size_t n_marked,
        ann_train_report * report, double * loss, ann_error * error);

// Attention mass that a search of top_k cells keeps, per trained layer, on every `every`-th query of a window of text
// that is not learned from. mass: [n_layers].
ANN_API ann_status ann_train_evaluate(ann_train * train, const int32_t * tokens, size_t n_tokens, int32_t top_k, int32_t every, double * mass, ann_error * error);

// Makes a running ann_train_window or ann_train_evaluate return ANN_ERROR_CANCELLED. Any thread.
ANN_API void       ann_train_abort(ann_train * train);

typedef enum ann_train_tensor {
    ANN_TRAIN_W_Q = 0, // weights of the search query, [n_embd_search][n_embd]
    ANN_TRAIN_W_K = 1, // of the search key
    ANN_TRAIN_M_Q = 2, // AdamW's moments
    ANN_TRAIN_M_K = 3,
    ANN_TRAIN_V_Q = 4,
    ANN_TRAIN_V_K = 5,
} ann_train_tensor;
// index: into the trained layers. n_values must be n_embd_search*n_embd.
ANN_API ann_status ann_train_get_tensor(ann_train * train, int32_t index, int32_t tensor, float * values, size_t n_values, ann_error * error);
ANN_API ann_status ann_train_set_tensor(ann_train * train, int32_t index, int32_t tensor, const float * values, size_t n_values, ann_error * error);
// With the tensors, all that a resumed training needs.
ANN_API ann_status ann_train_set_step(ann_train * train, int64_t step, ann_error * error);

#ifdef __cplusplus
}
#endif
