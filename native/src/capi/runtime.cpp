// Library: backends, information, log.

#include "objects.h"

#include "ggml-backend.h"

#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdio>
#include <dlfcn.h>
#include <mutex>

namespace ann {

uint64_t now_ns() {
    return (uint64_t) std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// ---------------------------------------------------------------------------------------------------------------------
// log

namespace {

void log_to_stderr(int32_t level, const char * text, void *) {
    static thread_local int32_t last = ANN_LOG_NONE;
    if (level != ANN_LOG_CONT) {
        last = level;
    }
    if (last >= ANN_LOG_WARN) {
        std::fputs(text, stderr);
    }
}

std::mutex       log_mutex;
ann_log_callback log_callback  = log_to_stderr;
void *           log_user_data = nullptr;

thread_local int         log_depth = 0;
thread_local bool        log_error = false; // the last message was one, a continuation belongs to it
thread_local std::string log_errors;
thread_local const std::atomic<bool> * log_cancelled = nullptr;

void on_log(ggml_log_level level, const char * text, void *) {
    if (level != GGML_LOG_LEVEL_CONT) {
        log_error = level == GGML_LOG_LEVEL_ERROR;
    }
    if (log_depth > 0 && log_error) {
        log_errors += text;
    }
    if (log_error && log_cancelled && *log_cancelled) {
        return;
    }
    ann_log_callback callback;
    void * user_data;
    {
        std::lock_guard<std::mutex> lock(log_mutex);
        callback  = log_callback;
        user_data = log_user_data;
    }
    if (callback) {
        callback((int32_t) level, text, user_data);
    }
}

void install_log() {
    static std::once_flag once;
    std::call_once(once, [] {
        llama_log_set(on_log, nullptr);
        ggml_log_set(on_log, nullptr);
    });
}

// "llama_model_load: error loading model: x" -> "error loading model: x"
std::string without_function(const std::string & line) {
    const size_t colon = line.find(": ");
    if (colon != std::string::npos && line.find(' ') > colon) {
        return line.substr(colon + 2);
    }
    return line;
}

} // namespace

void log_message(int32_t level, const std::string & text) {
    install_log();
    on_log((ggml_log_level) level, (text + "\n").c_str(), nullptr);
}

log_scope::log_scope() {
    install_log();
    if (log_depth++ == 0) {
        log_errors.clear();
    }
}

log_scope::~log_scope() {
    if (--log_depth == 0) {
        log_cancelled = nullptr;
    }
}

void log_scope::silence_when(const std::atomic<bool> & cancelled) { log_cancelled = &cancelled; }

std::string log_scope::reason(const char * otherwise) const {
    std::string res;
    size_t begin = 0;
    while (begin < log_errors.size()) {
        size_t end = log_errors.find('\n', begin);
        end = end == std::string::npos ? log_errors.size() : end;
        const std::string line = without_function(log_errors.substr(begin, end - begin));
        // the first line is the cause, the ones after it repeat that loading failed
        if (!line.empty() && line.find("failed to load model") == std::string::npos) {
            res += (res.empty() ? "" : "; ") + line;
        }
        begin = end + 1;
    }
    return res.empty() ? otherwise : res;
}

namespace {

std::string library_directory() {
    Dl_info info;
    if (dladdr((void *) &ann_abi_version, &info) == 0 || !info.dli_fname) {
        return ".";
    }
    const std::string path = info.dli_fname;
    const size_t slash = path.rfind('/');
    return slash == std::string::npos ? "." : path.substr(0, slash);
}

std::once_flag init_once;
std::string    init_directory;

} // namespace

void runtime_init(const char * directory) {
    std::call_once(init_once, [&] {
        install_log();
        init_directory = directory ? directory : library_directory();
        ggml_backend_load_all_from_path(init_directory.c_str());
        llama_backend_init();
    });
    if (!ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU)) {
        fail(ANN_ERROR_CANNOT_LOAD, "no CPU backend in %s: this build's variants need AVX2 on x86 (libggml-cpu-*.so)", init_directory.c_str());
    }
}

} // namespace ann

using namespace ann;
using json = nlohmann::ordered_json;

ann_status ann_runtime_init(const char * directory, ann_error * error) {
    return guard(error, [&] { runtime_init(directory); });
}

void ann_log_set(ann_log_callback callback, void * user_data) {
    {
        std::lock_guard<std::mutex> lock(log_mutex);
        log_callback  = callback;
        log_user_data = user_data;
    }
    install_log();
}

std::string ann::library_version() {
    return std::string("ann-runtime ") + ANN_VERSION + ", llama.cpp " + ANN_LLAMA_CPP_COMMIT;
}

static json describe_backends() {
    json backends = json::array();
    for (size_t i = 0; i < ggml_backend_reg_count(); ++i) {
        ggml_backend_reg_t reg = ggml_backend_reg_get(i);
        json devices = json::array();
        for (size_t j = 0; j < ggml_backend_reg_dev_count(reg); ++j) {
            ggml_backend_dev_props props;
            ggml_backend_dev_get_props(ggml_backend_reg_dev_get(reg, j), &props);
            static const char * types[] = { "cpu", "gpu", "igpu", "accelerator", "meta" };
            devices.push_back({
                { "name", props.name }, { "description", props.description },
                { "type", (size_t) props.type < 5 ? types[props.type] : "other" },
                { "memory_free_bytes", props.memory_free }, { "memory_total_bytes", props.memory_total },
            });
        }
        backends.push_back({ { "name", ggml_backend_reg_name(reg) }, { "devices", devices } });
    }
    return backends;
}

static json describe_cpu() {
    json cpu = json::object();
    ggml_backend_dev_t dev = ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU);
    ggml_backend_reg_t reg = ggml_backend_dev_backend_reg(dev);
    auto get_features = (ggml_backend_get_features_t) ggml_backend_reg_get_proc_address(reg, "ggml_backend_get_features");
    for (auto * f = get_features ? get_features(reg) : nullptr; f && f->name; ++f) {
        cpu[f->name] = f->value;
    }
    return cpu;
}

std::string ann::cpu_library() {
    ggml_backend_reg_t reg = ggml_backend_dev_backend_reg(ggml_backend_dev_by_type(GGML_BACKEND_DEVICE_TYPE_CPU));
    void * symbol = ggml_backend_reg_get_proc_address(reg, "ggml_backend_get_features");
    Dl_info info;
    if (!symbol || dladdr(symbol, &info) == 0 || !info.dli_fname) {
        return "";
    }
    const std::string path = info.dli_fname;
    return path.substr(path.rfind('/') + 1);
}

ann_status ann_runtime_info(char * buffer, size_t capacity, size_t * n_written, ann_error * error) {
    return guard(error, [&] {
        runtime_init(nullptr);
        const json info = {
            { "version", ANN_VERSION }, { "abi", ANN_ABI_VERSION },
            { "llama_cpp", ANN_LLAMA_CPP_TAG }, { "llama_cpp_commit", ANN_LLAMA_CPP_COMMIT },
            { "build_type", ANN_BUILD_TYPE }, { "compiler", ANN_COMPILER }, { "directory", init_directory },
            { "backends", describe_backends() }, { "cpu", describe_cpu() }, { "cpu_variant", cpu_library() },
        };
        write_text(info.dump(), buffer, capacity, n_written);
    });
}
