// Trains as `ann train` does, where there is no .NET: the same windows, updates and measurements through the same C ABI.
//
// train-run MODEL.gguf TEXT OUT.safetensors [name=value ...]
//   steps, updates, queries, length, lr, seed, threads, held, every (as the verb's options), device, gpu (0: model on CPUs),
//   layers=0,3 (all), contrastive, sha256 (of TEXT, for the file)
#include "ann-train.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <vector>

using json = nlohmann::ordered_json;

namespace {

ann_error error = {};

void check(ann_status status) {
    if (status != ANN_OK) {
        std::fprintf(stderr, "train-run: %s\n", error.message);
        std::exit(1);
    }
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// as StableRandom of the verb
struct stable_random {
    uint64_t state;
    int32_t next(int32_t bound) {
        uint64_t z = state += 0x9E3779B97F4A7C15ull;
        z = (z ^ (z >> 30))*0xBF58476D1CE4E5B9ull;
        z = (z ^ (z >> 27))*0x94D049BB133111EBull;
        return (int32_t) ((z ^ (z >> 31)) % (uint64_t) bound);
    }
};

std::vector<int32_t> tokenize(const ann_model * model, const char * path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    std::vector<int32_t> res;
    for (size_t start = 0; start < text.size(); ) { // about a megabyte each, cut at an empty line
        size_t end = std::min(text.size(), start + ((size_t) 1 << 20));
        const size_t line = end < text.size() ? text.rfind("\n\n", end - 2) : std::string::npos;
        end = line != std::string::npos && line > start ? line + 2 : end;
        std::vector<int32_t> part(end - start + 16);
        size_t n = 0;
        check(ann_tokenize(model, text.data() + start, end - start, 1, 1, part.data(), part.size(), &n, &error));
        res.insert(res.end(), part.begin(), part.begin() + (ptrdiff_t) n);
        start = end;
    }
    return res;
}

void write_safetensors(const char * path, ann_train * train, const ann_train_params & p, int32_t n_embd, const json & texts) {
    json header;
    header["__metadata__"] = texts;
    std::vector<float> data;
    const size_t n = (size_t) p.n_embd_search*n_embd;
    for (int32_t i = 0; i < p.n_layers; ++i) {
        for (int32_t which : { ANN_TRAIN_W_Q, ANN_TRAIN_W_K }) {
            const std::string name = "projections." + std::to_string(p.layers[i]) + (which == ANN_TRAIN_W_Q ? ".W_Qs" : ".W_Ks") + ".weight";
            header[name] = { { "dtype", "F32" }, { "shape", { p.n_embd_search, n_embd } }, { "data_offsets", { data.size()*4, (data.size() + n)*4 } } };
            data.resize(data.size() + n);
            check(ann_train_get_tensor(train, i, which, data.data() + data.size() - n, n, &error));
        }
    }
    std::string text = header.dump();
    text.resize((text.size() + 7)/8*8, ' ');
    const uint64_t n_text = text.size();
    std::ofstream out(path, std::ios::binary);
    out.write((const char *) &n_text, sizeof(n_text));
    out.write(text.data(), (std::streamsize) n_text);
    out.write((const char *) data.data(), (std::streamsize) (data.size()*sizeof(float)));
    if (!out.flush()) {
        std::fprintf(stderr, "train-run: cannot write %s\n", path);
        std::exit(1);
    }
}

struct options {
    std::map<std::string, std::string> given;
    double number(const char * name, double otherwise) const {
        const auto found = given.find(name);
        return found == given.end() ? otherwise : std::atof(found->second.c_str());
    }
    std::string text(const char * name) const {
        const auto found = given.find(name);
        return found == given.end() ? "" : found->second;
    }
};

} // namespace

int main(int argc, char ** argv) {
    if (argc < 4) {
        std::fprintf(stderr, "usage: train-run MODEL.gguf TEXT OUT.safetensors [name=value ...]\n");
        return 2;
    }
    options o;
    for (int i = 4; i < argc; ++i) {
        const std::string arg = argv[i];
        o.given[arg.substr(0, arg.find('='))] = arg.find('=') == std::string::npos ? "" : arg.substr(arg.find('=') + 1);
    }
    error.struct_size = sizeof(error);
    ann_model_params mp;
    ann_model_params_default(&mp);
    mp.n_gpu_layers = o.number("gpu", 1) != 0 ? -1 : 0;
    ann_model * model = nullptr;
    check(ann_model_load(argv[1], &mp, &model, &error));
    ann_model_info info = {};
    info.struct_size = sizeof(info);
    check(ann_model_get_info(model, &info, &error));
    const std::vector<int32_t> tokens = tokenize(model, argv[2]);

    ann_train_params p;
    ann_train_params_default(&p);
    const int32_t n_held = (int32_t) o.number("held", 2), every = (int32_t) o.number("every", 40), top_k = 128;
    p.n_steps     = (int32_t) o.number("steps", p.n_steps);
    p.n_updates   = (int32_t) o.number("updates", p.n_updates);
    p.n_queries   = (int32_t) o.number("queries", p.n_queries);
    p.n_ctx       = (int32_t) o.number("length", p.n_ctx);
    p.learning_rate     = (float) o.number("lr", p.learning_rate);
    p.learning_rate_end = p.learning_rate/20;
    p.n_warmup    = std::min(p.n_warmup, p.n_steps/5);
    p.seed        = (uint32_t) o.number("seed", 1);
    p.n_threads   = (int32_t) o.number("threads", 0);
    p.contrastive = (float) o.number("contrastive", p.contrastive);
    const std::string device = o.text("device");
    p.device      = device.empty() ? nullptr : device.c_str();
    std::vector<int32_t> layers;
    std::istringstream list(o.text("layers"));
    for (std::string one; std::getline(list, one, ','); ) {
        layers.push_back(std::atoi(one.c_str()));
    }
    if (!layers.empty()) {
        p.layers   = layers.data();
        p.n_layers = (int32_t) layers.size();
    }
    ann_train * train = nullptr;
    check(ann_train_create(model, &p, &train, &error));
    check(ann_train_get_params(train, &p, &error));
    const int64_t trainable = (int64_t) tokens.size() - (int64_t) n_held*p.n_ctx;
    if (trainable < p.n_ctx) {
        std::fprintf(stderr, "train-run: %zu tokens are too few\n", tokens.size());
        return 1;
    }
    std::printf("%zu tokens, device %s, %d layers\n", tokens.size(), p.device, p.n_layers);

    std::vector<double> mass((size_t) p.n_layers), part(mass.size());
    double mean = 0.0, seconds = 0.0, measuring = 0.0;
    auto measure = [&](int64_t step, double loss) {
        const double start = now();
        std::fill(mass.begin(), mass.end(), 0.0);
        for (int32_t w = 0; w < n_held; ++w) {
            check(ann_train_evaluate(train, tokens.data() + trainable + (int64_t) w*p.n_ctx, (size_t) p.n_ctx, top_k, 8, part.data(), &error));
            for (size_t i = 0; i < mass.size(); ++i) {
                mass[i] += part[i]/n_held;
            }
        }
        mean = 0.0;
        for (double m : mass) {
            mean += m/(double) mass.size();
        }
        measuring += now() - start;
        std::printf("step %5lld  loss %.4f  mass %.4f  %.1f s learning, %.1f s measuring\n", (long long) step, loss, mean, seconds, measuring);
        std::fflush(stdout);
    };
    measure(0, NAN);
    double loss_sum = 0.0;
    int    n_loss   = 0;
    for (int64_t step = 0; step < p.n_steps; ) {
        stable_random random { ((uint64_t) p.seed << 32) ^ (uint64_t) step };
        const int32_t start = random.next((int32_t) (trainable - p.n_ctx + 1));
        ann_train_report report = {};
        report.struct_size = sizeof(report);
        const double before = now();
        check(ann_train_window(train, tokens.data() + start, (size_t) p.n_ctx, nullptr, 0, &report, nullptr, &error));
        seconds += now() - before;
        loss_sum += report.loss, ++n_loss;
        if (report.step >= p.n_steps || report.step/every > step/every) {
            measure(report.step, loss_sum/n_loss);
            loss_sum = 0.0, n_loss = 0;
        }
        step = report.step;
    }

    auto name = [](std::string path) { return path.substr(path.rfind('/') + 1); };
    const json config = {
        { "tool", "ann train (train-run)" }, { "base", name(argv[1]) }, { "top_k", top_k }, { "metric", "cosine" },
        { "rope", { { "dimension_count", p.n_rot }, { "freq_base", p.rope_freq_base } } }, { "window", p.n_window }, { "sinks", p.n_sink },
        { "objective", "direction" }, { "steps", p.n_steps }, { "window_length", p.n_ctx }, { "updates_per_window", p.n_updates },
        { "queries", p.n_queries }, { "learning_rate", std::round(p.learning_rate*1e6)/1e6 }, { "seed", p.seed }, { "text", { name(argv[2]) } },
        { "text_sha256", o.text("sha256") }, { "text_tokens", tokens.size() }, { "held_out_mass", std::round(mean*1e4)/1e4 },
        { "held_out_mass_per_layer", [&] { json r = json::array(); for (double m : mass) { r.push_back(std::round(m*1e4)/1e4); } return r; }() },
        { "seconds", std::round(seconds*10)/10 }, { "device", p.device },
    };
    const std::string base = name(argv[1]);
    write_safetensors(argv[3], train, p, info.n_embd, {
        { "format", "pt" }, { "attention.indexer.top_k", std::to_string(top_k) }, { "ann_sparse.metric", "cosine" },
        { "ann_sparse.rope.dimension_count", std::to_string(p.n_rot) }, { "ann_sparse.rope.freq_base", std::to_string(p.rope_freq_base) },
        { "ann_sparse.window", std::to_string(p.n_window) }, { "ann_sparse.sinks", std::to_string(p.n_sink) },
        { "ann_sparse.checkpoint", base.substr(0, base.rfind('.')) + ", " + std::to_string(p.n_steps) + " steps, seed " + std::to_string(p.seed) },
        { "ann_sparse.config", config.dump() },
    });
    ann_train_free(train);
    ann_model_free(model);
    return 0;
}
