// A model without projections, and an ANN file that is used without ANN, give the logits of the unpatched library of the
// same version, bit for bit.

#include "../capi/harness.h"

#include "ggml-cpp.h"
#include "gguf.h"

#include <cstdlib>

using namespace harness;

namespace {

// the embedded model without its projections: the only form that the unpatched library loads
void write_plain(const std::string & path) {
    ggml_context * data = nullptr;
    gguf_context_ptr file(gguf_init_from_file(model_path().c_str(), { false, &data }));
    ggml_context_ptr owner(data);
    gguf_context_ptr out(gguf_init_empty());
    gguf_set_kv(out.get(), file.get());
    gguf_remove_key(out.get(), "ann_sparse.layers");
    gguf_remove_key(out.get(), "qwen3.attention.indexer.key_length");
    for (int64_t i = 0; i < gguf_get_n_tensors(file.get()); ++i) {
        const char * name = gguf_get_tensor_name(file.get(), i);
        if (!std::strstr(name, "indexer")) {
            gguf_add_tensor(out.get(), ggml_get_tensor(data, name));
        }
    }
    CHECK(gguf_write_to_file(out.get(), path.c_str(), false));
}

std::string dump(const std::string & program, const std::string & backends, const std::string & model, const std::string & out) {
    if (!std::ifstream(program)) {
        throw test_failure(program + " is missing; build it: cmake --preset stock && cmake --build --preset stock");
    }
    const std::string command = "'" + program + "' '" + backends + "' '" + model + "' '" + out + "'";
    CHECK_EQ(std::system(command.c_str()), 0);
    return read_text(out);
}

} // namespace

TEST("without projections, and with ANN off: the unpatched library's logits, bit for bit") {
    const std::string dir = temporary_directory("stock");
    const std::string plain = dir + "/plain.gguf";
    write_plain(plain);
    const std::string stock = dump(ANN_STOCK_DIR "/dump-logits", ANN_STOCK_DIR, plain,        dir + "/stock");
    const std::string ours  = dump(ANN_DUMP,                     ANN_BIN_DIR,   plain,        dir + "/ours");
    const std::string off   = dump(ANN_DUMP,                     ANN_BIN_DIR,   model_path(), dir + "/off");
    CHECK(stock.size() > 8192u*4*40);
    CHECK(stock == ours);
    CHECK(stock == off);
    CHECK_EQ(std::system(("rm -rf '" + dir + "'").c_str()), 0);
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
