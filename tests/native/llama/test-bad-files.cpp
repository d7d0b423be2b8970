// Files that carry wrong projections are refused with a sentence that names the tensor or key.

#include "../capi/harness.h"

#include "ggml-cpp.h"
#include "gguf.h"

#include <cstdlib>
#include <limits>

using namespace harness;

namespace {

// the embedded model, opened for changes
struct editor {
    ggml_context * data = nullptr;
    gguf_context_ptr file { gguf_init_from_file(model_path().c_str(), { false, &data }) };
    ggml_context_ptr owner { data };
    gguf_context_ptr out { gguf_init_empty() };
    ggml_context_ptr extra { ggml_init({ 16*1024*1024, nullptr, false }) };

    editor() { gguf_set_kv(out.get(), file.get()); }

    // all tensors but those named; then `added`
    std::string write(const char * name, const std::vector<std::string> & without = {}, const std::vector<ggml_tensor *> & added = {}) {
        for (int64_t i = 0; i < gguf_get_n_tensors(file.get()); ++i) {
            const char * tensor_name = gguf_get_tensor_name(file.get(), i);
            if (std::find(without.begin(), without.end(), tensor_name) == without.end()) {
                gguf_add_tensor(out.get(), ggml_get_tensor(data, tensor_name));
            }
        }
        for (ggml_tensor * t : added) {
            gguf_add_tensor(out.get(), t);
        }
        const std::string path = directory() + "/" + name + ".gguf";
        if (!gguf_write_to_file(out.get(), path.c_str(), false)) {
            throw test_failure("cannot write " + path);
        }
        return path;
    }

    ggml_tensor * tensor(const char * name, ggml_type type, int64_t ne0, int64_t ne1) {
        ggml_tensor * t = ggml_new_tensor_2d(extra.get(), type, ne0, ne1);
        ggml_set_name(t, name);
        std::memset(t->data, 0, ggml_nbytes(t));
        return t;
    }

    static std::string directory() {
        static const std::string dir = temporary_directory("bad-files");
        return dir;
    }
};

void refused(const std::string & path, const std::vector<std::string> & texts, bool keep = false) {
    quiet();
    ann_model * m = nullptr;
    ann_error e = new_error();
    const ann_status status = ann_model_load(path.c_str(), nullptr, &m, &e);
    CHECK_EQ((int) status, (int) ANN_ERROR_CANNOT_LOAD);
    CHECK(m == nullptr);
    for (const auto & text : texts) {
        CHECK_CONTAINS(e.message, text);
    }
    if (!keep) {
        std::remove(path.c_str());
    }
}

const char * KEY   = "qwen3.attention.indexer.";
const char * PROJ  = "blk.3.indexer.proj.weight";
const char * ATTNK = "blk.3.indexer.attn_k.weight";

std::string key(const char * name) { return std::string(KEY) + name; }

} // namespace

TEST("missing, empty, truncated and random files") {
    refused("/nonexistent/model.gguf", { "cannot open model file /nonexistent/model.gguf" }, true);
    refused(editor::directory(), { "GGUF" }, true);
    const std::string path = editor::directory() + "/x.gguf";
    auto put = [&](const std::string & bytes) { std::ofstream(path, std::ios::binary) << bytes; };
    put("");
    refused(path, { "is not a GGUF file" });
    const std::string whole = read_text(model_path());
    for (size_t n : { size_t(4), size_t(20), size_t(1000), size_t(200000), whole.size()/2, whole.size() - 1 }) {
        put(whole.substr(0, n));
        refused(path, { "cannot load model" });
    }
    std::string random(100000, '\0');
    for (size_t i = 0; i < random.size(); ++i) {
        random[i] = (char) (i*2654435761u >> 13);
    }
    put(random);
    refused(path, { "is not a GGUF file" });
    put("GGUF" + random);
    refused(path, { "cannot load model" });
    std::string counts = whole.substr(0, 100000); // tensor and key counts of 2^60
    for (size_t i = 8; i < 24; ++i) {
        counts[i] = (char) (i % 8 == 7 ? 0x10 : 0);
    }
    put(counts);
    refused(path, { "cannot load model" });
}

TEST("a transposed projection") {
    editor e;
    refused(e.write("transposed", { PROJ }, { e.tensor(PROJ, GGML_TYPE_F16, 64, 384) }), { PROJ, "[64, 384]", "[384, 64]", "transposed" });
}

TEST("a projection of another width") {
    editor e;
    refused(e.write("width", { ATTNK }, { e.tensor(ATTNK, GGML_TYPE_F16, 384, 96) }), { ATTNK, "[384, 96]", "[384, 64]" });
}

TEST("one tensor of a pair") {
    editor e;
    refused(e.write("pair", { ATTNK }), { ATTNK, "is missing", "layer 3" });
}

TEST("a layer list that disagrees with the tensors") {
    editor e;
    const int32_t layers[] = { 0, 1, 2 };
    gguf_set_arr_data(e.out.get(), "ann_sparse.layers", GGUF_TYPE_INT32, layers, 3);
    refused(e.write("list"), { "ann_sparse.layers", "[0, 1, 2]", "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]" });
}

TEST("a layer list without tensors, and of another type") {
    editor e;
    std::vector<std::string> all;
    for (int il = 0; il < 12; ++il) {
        all.push_back("blk." + std::to_string(il) + ".indexer.proj.weight");
        all.push_back("blk." + std::to_string(il) + ".indexer.attn_k.weight");
    }
    refused(e.write("no-tensors", all), { "ann_sparse.layers", "[]" });
    editor f;
    const float x[] = { 1.0f };
    gguf_set_arr_data(f.out.get(), "ann_sparse.layers", GGUF_TYPE_FLOAT32, x, 1);
    refused(f.write("list-type"), { "ann_sparse.layers", "32-bit integers" });
}

TEST("counts and dims out of range") {
    auto with = [](const std::string & name, uint32_t value, const std::vector<std::string> & texts) {
        editor e;
        gguf_set_val_u32(e.out.get(), name.c_str(), value);
        refused(e.write("range"), texts);
    };
    with(key("top_k"), 0, { "top_k is 0", "1 to" });
    with(key("key_length"), 0, { "key_length (d_search) is 0", "multiple of 32" });
    with(key("key_length"), 63, { "key_length (d_search) is 63", "multiple of 32" });
    with(key("key_length"), 128, { "[384, 64]", "[384, 128]" });
    with(key("head_count"), 2, { "head_count is 2" });
    with("ann_sparse.rope.dimension_count", 66, { "ann_sparse.rope.dimension_count is 66", "0 to 64" });
    with("ann_sparse.rope.dimension_count", 7, { "ann_sparse.rope.dimension_count is 7", "even" });
    with("ann_sparse.window", 1000, { "ann_sparse.window is 1000", "0 to 128" });
    with("ann_sparse.sinks", 97, { "ann_sparse.sinks is 97", "0 to 96" });
}

TEST("an unknown metric, a base that is not finite, a key of the wrong type") {
    editor e;
    gguf_set_val_str(e.out.get(), "ann_sparse.metric", "l2");
    refused(e.write("metric"), { "ann_sparse.metric is \"l2\"", "cosine" });
    editor f;
    gguf_set_val_f32(f.out.get(), "ann_sparse.rope.freq_base", std::numeric_limits<float>::quiet_NaN());
    refused(f.write("base"), { "ann_sparse.rope.freq_base" });
    editor g;
    gguf_set_val_str(g.out.get(), "ann_sparse.window", "thirty-two");
    refused(g.write("type"), { "ann_sparse.window" });
}

TEST("projections that are not finite") {
    for (const char * name : { PROJ, ATTNK }) {
        editor e;
        ggml_tensor * t = e.tensor(name, GGML_TYPE_F32, 384, 64);
        ((float *) t->data)[777] = std::numeric_limits<float>::infinity();
        refused(e.write("infinite", { name }, { t }), { name, "inf at element 777" });
    }
}

// Where the processor has a layout of its own for a type, weights of it cannot be read back from the model.
TEST("projections of types that processors repack") {
    for (const ggml_type type : { GGML_TYPE_Q4_0, GGML_TYPE_Q8_0 }) {
        for (const bool is_good : { true, false }) {
            editor e;
            const int64_t ne0 = 384, block = ggml_blck_size(type);
            ggml_tensor * t = e.tensor(ATTNK, type, ne0, 64);
            if (!is_good) {
                const uint16_t infinity = 0x7c00;
                std::memcpy((char *) t->data + 5*ggml_type_size(type), &infinity, sizeof(infinity)); // the scale of the sixth block
                refused(e.write("packed", { ATTNK }, { t }), { ATTNK, "at element " + std::to_string(5*block) });
                continue;
            }
            const std::string path = e.write("packed", { ATTNK }, { t });
            load(path);
            std::remove(path.c_str());
        }
    }
}

TEST("architectures whose attention is not the shared one are refused, whatever the file says") {
    struct row { const char * arch; const char * text; };
    // only the head of the file is read before this is known: the tensors need not fit
    for (const row & r : { row { "mamba", "recurrent" }, row { "gemma2", "sliding window" } }) {
        editor e;
        const int64_t n = gguf_get_n_kv(e.file.get());
        gguf_set_val_str(e.out.get(), "general.architecture", r.arch);
        for (int64_t i = 0; i < n; ++i) {
            const std::string k = gguf_get_key(e.file.get(), i);
            if (k.rfind("qwen3.", 0) == 0) {
                const std::string renamed = r.arch + k.substr(5);
                if (gguf_get_kv_type(e.file.get(), i) == GGUF_TYPE_UINT32) {
                    gguf_set_val_u32(e.out.get(), renamed.c_str(), gguf_get_val_u32(e.file.get(), i));
                } else if (gguf_get_kv_type(e.file.get(), i) == GGUF_TYPE_FLOAT32) {
                    gguf_set_val_f32(e.out.get(), renamed.c_str(), gguf_get_val_f32(e.file.get(), i));
                }
            }
        }
        gguf_set_val_u32(e.out.get(), (std::string(r.arch) + ".attention.sliding_window").c_str(), 512);
        for (const char * ssm : { "conv_kernel", "inner_size", "state_size", "time_step_rank" }) {
            gguf_set_val_u32(e.out.get(), (std::string(r.arch) + ".ssm." + ssm).c_str(), 16);
        }
        refused(e.write("arch"), { r.arch, r.text });
    }
}

TEST("upstream's other tensor names load, and a model saved without projections is an ordinary one") {
    editor e;
    std::vector<std::string> old;
    std::vector<ggml_tensor *> renamed;
    for (int il = 0; il < 12; ++il) {
        for (const auto & [from, to] : { std::make_pair("proj", "q_proj"), std::make_pair("attn_k", "k_proj") }) {
            const std::string prefix = "blk." + std::to_string(il) + ".indexer.";
            old.push_back(prefix + from + ".weight");
            ggml_tensor * t = ggml_get_tensor(e.data, old.back().c_str());
            ggml_tensor * copy = e.tensor((prefix + to + ".weight").c_str(), t->type, t->ne[0], t->ne[1]);
            std::memcpy(copy->data, t->data, ggml_nbytes(t));
            renamed.push_back(copy);
        }
    }
    const std::string path = e.write("names", old, renamed);
    auto a = load(path);
    auto c = create(params(1024, ANN_SEARCH_EXACT, 64), a.get());
    auto d = create(params(1024, ANN_SEARCH_EXACT, 64));
    CHECK(feed(c.get(), slice(0, 500)) == feed(d.get(), slice(0, 500)));
    std::remove(path.c_str());

    editor f;
    gguf_remove_key(f.out.get(), "ann_sparse.layers");
    gguf_set_val_u32(f.out.get(), key("key_length").c_str(), 0); // what upstream's saver writes
    const std::string plain = f.write("plain", old);
    auto b = load(plain);
    ann_model_info info = {};
    info.struct_size = sizeof(info);
    OK(ann_model_get_info(b.get(), &info, &e_));
    CHECK_EQ(info.n_layer_search, 0);
    auto p = params(512, ANN_SEARCH_EXACT);
    ann_context * none = nullptr;
    REFUSED(ANN_ERROR_UNSUPPORTED, "no search projections", ann_context_create(b.get(), &p, &none, &e_));
    std::remove(plain.c_str());
}

TEST("a layer without projections is reserved") {
    editor e;
    const int32_t layers[] = { 0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11 };
    gguf_set_arr_data(e.out.get(), "ann_sparse.layers", GGUF_TYPE_INT32, layers, 11);
    const std::string path = e.write("reserved", { PROJ, ATTNK });
    auto a = load(path);
    auto p = params(1024, ANN_SEARCH_EXACT, 64);
    auto c = create(p, a.get());
    p.search.n_layers = 11;
    p.search.layers   = layers;
    auto d = create(p);
    CHECK(feed(c.get(), slice(0, 500)) == feed(d.get(), slice(0, 500)));
    std::remove(path.c_str());
}

int main(int argc, char ** argv) { return run_tests(argc, argv); }
