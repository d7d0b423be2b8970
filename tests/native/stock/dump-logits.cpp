// Writes the logits of a fixed run to a file. Built twice from this source: against the unpatched library (preset stock)
// and against ours; only llama.h is used, so whatever differs in the output differs in the library.
//
//   dump-logits BACKEND_DIR MODEL OUT

#include "ggml-backend.h"
#include "llama.h"

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace {

struct configuration {
    llama_flash_attn_type flash;
    ggml_type             type_k, type_v;
    bool                  unified;
};

void fail(const char * what) {
    std::fprintf(stderr, "dump-logits: %s\n", what);
    std::exit(1);
}

void append(std::FILE * out, llama_context * ctx, int32_t i, int32_t n_vocab) {
    const float * logits = llama_get_logits_ith(ctx, i);
    if (!logits || std::fwrite(logits, sizeof(float), n_vocab, out) != (size_t) n_vocab) {
        fail("no logits");
    }
}

// prefill of two sequences, parallel decode, a removal, a shift, a copy
void run(llama_model * model, const configuration & c, std::FILE * out) {
    const int32_t n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
    llama_context_params p = llama_context_default_params();
    p.n_ctx = 2048;
    p.n_seq_max = 3;
    p.n_threads = p.n_threads_batch = 2;
    p.flash_attn_type = c.flash;
    p.type_k = c.type_k;
    p.type_v = c.type_v;
    p.kv_unified = c.unified;
    llama_context * ctx = llama_init_from_model(model, p);
    if (!ctx) {
        fail("no context");
    }
    llama_batch batch = llama_batch_init(512, 0, 1);
    auto add = [&](llama_token token, llama_pos pos, llama_seq_id seq, bool output) {
        const int32_t i = batch.n_tokens++;
        batch.token[i] = token;
        batch.pos[i] = pos;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = seq;
        batch.logits[i] = output;
    };
    auto decode = [&] {
        if (llama_decode(ctx, batch) != 0) {
            fail("decode");
        }
        for (int32_t i = 0; i < batch.n_tokens; ++i) {
            if (batch.logits[i]) {
                append(out, ctx, i, n_vocab);
            }
        }
        batch.n_tokens = 0;
    };
    for (llama_seq_id s = 0; s < 2; ++s) {
        for (int32_t i = 0; i < 400; ++i) {
            add((i*37 + s*101 + i*i) % (n_vocab - 8), i, s, i % 100 == 99);
        }
        decode();
    }
    llama_memory_t memory = llama_get_memory(ctx);
    for (int32_t i = 0; i < 4; ++i) {
        add(50 + i, 400 + i, 0, true);
        add(70 + i, 400 + i, 1, true);
        decode();
    }
    llama_memory_seq_cp(memory, 0, 2, -1, -1);
    llama_memory_seq_rm(memory, 1, 100, 200);
    llama_memory_seq_add(memory, 1, 200, -1, -100);
    add(90, 404, 2, true);
    add(91, 304, 1, true);
    decode();
    llama_batch_free(batch);
    llama_free(ctx);
}

} // namespace

int main(int argc, char ** argv) {
    if (argc != 4) {
        fail("usage: dump-logits BACKEND_DIR MODEL OUT");
    }
    llama_log_set([](ggml_log_level level, const char * text, void *) {
        if (level == GGML_LOG_LEVEL_ERROR) {
            std::fputs(text, stderr);
        }
    }, nullptr);
    ggml_backend_load_all_from_path(argv[1]);
    llama_model * model = llama_model_load_from_file(argv[2], llama_model_default_params());
    std::FILE * out = std::fopen(argv[3], "wb");
    if (!model || !out) {
        fail("cannot open the model or the output");
    }
    const configuration all[] = {
        { LLAMA_FLASH_ATTN_TYPE_ENABLED,  GGML_TYPE_F16,  GGML_TYPE_F16,  true  },
        { LLAMA_FLASH_ATTN_TYPE_DISABLED, GGML_TYPE_F16,  GGML_TYPE_F16,  true  },
        { LLAMA_FLASH_ATTN_TYPE_ENABLED,  GGML_TYPE_Q8_0, GGML_TYPE_Q4_0, false },
        { LLAMA_FLASH_ATTN_TYPE_AUTO,     GGML_TYPE_F16,  GGML_TYPE_F16,  false },
    };
    for (const configuration & c : all) {
        run(model, c, out);
    }
    std::fclose(out);
    llama_model_free(model);
    return 0;
}
