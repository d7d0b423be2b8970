// Text to tokens and back; chat templates and grammars (upstream's common).

#include "objects.h"

#include "chat.h"
#include "common.h"
#include "json-schema-to-grammar.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <climits>

using namespace ann;
using json = nlohmann::ordered_json;

static const llama_vocab * require_vocab(const ann_model * model) {
    const llama_vocab * vocab = require(model, "model").vocab();
    if (llama_vocab_type(vocab) == LLAMA_VOCAB_TYPE_NONE) {
        fail(ANN_ERROR_UNSUPPORTED, "the model has no tokenizer (tokenizer.ggml.model is none)");
    }
    return vocab;
}

ann_status ann_tokenize(const ann_model * model, const char * text, size_t n_bytes, int32_t add_special,
        int32_t parse_special, int32_t * tokens, size_t capacity, size_t * n_written, ann_error * error) {
    return guard(error, [&] {
        const llama_vocab * vocab = require_vocab(model);
        if (n_bytes > 0) {
            require(text, "text");
        }
        require_range("n_bytes", (int64_t) std::min<size_t>(n_bytes, INT64_MAX), 0, INT32_MAX/2);
        const size_t bad = find_invalid_utf8(text, n_bytes);
        if (bad < n_bytes) {
            fail(ANN_ERROR_INVALID_ARGUMENT, "text is not valid UTF-8: byte 0x%02x at offset %zu", (unsigned char) text[bad], bad);
        }
        std::vector<int32_t> res(n_bytes + 8);
        int32_t n = llama_tokenize(vocab, text ? text : "", (int32_t) n_bytes, res.data(), (int32_t) res.size(), add_special != 0, parse_special != 0);
        if (n < 0 && n != INT32_MIN) {
            res.resize((size_t) -n);
            n = llama_tokenize(vocab, text, (int32_t) n_bytes, res.data(), (int32_t) res.size(), add_special != 0, parse_special != 0);
        }
        if (n < 0) {
            fail(ANN_ERROR_INVALID_ARGUMENT, "text of %zu bytes gives more tokens than fit", n_bytes);
        }
        write_items(res.data(), (size_t) n, tokens, capacity, n_written);
    });
}

ann_status ann_token_to_piece(const ann_model * model, int32_t token, int32_t special, char * buffer, size_t capacity, size_t * n_written, ann_error * error) {
    return guard(error, [&] {
        const llama_vocab * vocab = require_vocab(model);
        require_range("token", token, 0, llama_vocab_n_tokens(vocab) - 1);
        std::string piece(64, '\0');
        int32_t n = llama_token_to_piece(vocab, token, &piece[0], (int32_t) piece.size(), 0, special != 0);
        if (n < 0) {
            piece.resize((size_t) -n);
            n = llama_token_to_piece(vocab, token, &piece[0], (int32_t) piece.size(), 0, special != 0);
        }
        piece.resize((size_t) std::max(n, 0));
        write_text(piece, buffer, capacity, n_written);
    });
}

int32_t ann_token_is_eog(const ann_model * model, int32_t token) {
    return model && token >= 0 && token < llama_vocab_n_tokens(model->vocab()) && llama_vocab_is_eog(model->vocab(), token);
}

int32_t ann_token_bos(const ann_model * model) { return model ? llama_vocab_bos(model->vocab()) : -1; }
int32_t ann_token_eos(const ann_model * model) { return model ? llama_vocab_eos(model->vocab()) : -1; }

// ---------------------------------------------------------------------------------------------------------------------
// chat

static json parse_json(const char * text, const char * name) {
    const std::string source = require_text(text, name);
    try {
        return json::parse(source);
    } catch (const json::exception & e) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "%s is not valid JSON: %s", name, e.what());
    }
}

static common_chat_templates_inputs make_inputs(const json & request) {
    common_chat_templates_inputs inputs;
    const auto dump = [&](const char * key) { return common_json::parse(request.at(key).dump()); };
    inputs.messages = common_chat_msgs_parse_oaicompat(dump("messages"));
    if (request.contains("tools")) {
        inputs.tools = common_chat_tools_parse_oaicompat(dump("tools"));
    }
    if (request.contains("tool_choice") && request["tool_choice"].is_string()) {
        inputs.tool_choice = common_chat_tool_choice_parse_oaicompat(request["tool_choice"].get<std::string>());
    }
    inputs.parallel_tool_calls   = request.value("parallel_tool_calls", false);
    inputs.add_generation_prompt = request.value("add_generation_prompt", true);
    inputs.enable_thinking       = request.value("enable_thinking", true);
    inputs.grammar               = request.value("grammar", "");
    if (request.contains("json_schema")) {
        inputs.json_schema = request["json_schema"].dump();
    }
    const json kwargs = request.value("kwargs", json::object());
    for (const auto & [key, value] : kwargs.items()) {
        inputs.chat_template_kwargs[key] = value.dump();
    }
    return inputs;
}

// The triggers of a lazy grammar as ann_sampler_params wants them. A word that is one token of those that must stay whole
// triggers by that token, since its text does not appear otherwise.
static void add_triggers(json & res, const llama_vocab * vocab, const common_chat_params & applied) {
    res["grammar_trigger_patterns"] = json::array();
    res["grammar_trigger_tokens"]   = json::array();
    for (const auto & trigger : applied.grammar_triggers) {
        if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_TOKEN) {
            res["grammar_trigger_tokens"].push_back(trigger.token);
        } else if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN_FULL) {
            res["grammar_trigger_patterns"].push_back("^(?:" + trigger.value + ")$");
        } else if (trigger.type == COMMON_GRAMMAR_TRIGGER_TYPE_PATTERN) {
            res["grammar_trigger_patterns"].push_back(trigger.value);
        } else {
            const std::vector<llama_token> tokens = common_tokenize(vocab, trigger.value, false, true);
            const auto & kept = applied.preserved_tokens;
            if (tokens.size() == 1 && std::find(kept.begin(), kept.end(), trigger.value) != kept.end()) {
                res["grammar_trigger_tokens"].push_back(tokens[0]);
            } else {
                res["grammar_trigger_patterns"].push_back(regex_escape(trigger.value));
            }
        }
    }
}

ann_status ann_chat_apply(const ann_model * model, const char * request, char * buffer, size_t capacity, size_t * n_written, ann_error * error) {
    return guard(error, [&] {
        const ann_model & m = require(model, "model");
        const json r = parse_json(request, "request");
        if (!r.is_object() || !r.contains("messages") || !r["messages"].is_array() || r["messages"].empty()) {
            fail(ANN_ERROR_INVALID_ARGUMENT, "request.messages must be an array of at least one message");
        }
        common_chat_params applied;
        std::string source;
        try {
            const auto templates = common_chat_templates_init(m.model.get(), r.value("template", ""));
            source  = common_chat_templates_source(templates.get());
            applied = common_chat_templates_apply(templates.get(), make_inputs(r));
        } catch (const std::exception & e) {
            fail(ANN_ERROR_INVALID_ARGUMENT, "the chat template cannot be applied: %s", e.what());
        }
        json res = {
            { "prompt", applied.prompt }, { "grammar", applied.grammar }, { "grammar_lazy", applied.grammar_lazy },
            { "generation_prompt", applied.generation_prompt }, { "stops", applied.additional_stops },
            { "preserved_tokens", applied.preserved_tokens }, { "format", (int) applied.format }, { "parser", applied.parser },
            { "template_source", source },
        };
        add_triggers(res, m.vocab(), applied);
        write_text(res.dump(-1, ' ', false, json::error_handler_t::replace), buffer, capacity, n_written);
    });
}

ann_status ann_chat_parse(const char * text, int32_t is_partial, const char * applied, char * buffer, size_t capacity, size_t * n_written, ann_error * error) {
    return guard(error, [&] {
        const std::string input = require_text(text, "text");
        const json a = parse_json(applied, "applied");
        common_chat_msg message;
        try {
            common_chat_parser_params params;
            params.format            = (common_chat_format) a.value("format", 0);
            params.generation_prompt = a.value("generation_prompt", "");
            params.reasoning_format  = COMMON_REASONING_FORMAT_AUTO;
            if (!a.value("parser", "").empty()) {
                params.parser.load(a["parser"].get<std::string>());
            }
            message = common_chat_parse(input, is_partial != 0, params);
        } catch (const std::exception & e) {
            fail(ANN_ERROR_INVALID_ARGUMENT, "the text does not follow the chat format: %s", e.what());
        }
        json calls = json::array();
        for (const auto & call : message.tool_calls) {
            calls.push_back({ { "id", call.id }, { "name", call.name }, { "arguments", call.arguments } });
        }
        const json res = {
            { "role", message.role }, { "content", message.content }, { "reasoning_content", message.reasoning_content }, { "tool_calls", calls },
        };
        write_text(res.dump(-1, ' ', false, json::error_handler_t::replace), buffer, capacity, n_written);
    });
}

ann_status ann_json_schema_to_grammar(const char * schema, char * buffer, size_t capacity, size_t * n_written, ann_error * error) {
    return guard(error, [&] {
        const std::string source = require_text(schema, "schema");
        std::string grammar;
        try {
            grammar = json_schema_to_grammar(common_json::parse(source));
        } catch (const std::exception & e) {
            fail(ANN_ERROR_INVALID_ARGUMENT, "the JSON schema cannot become a grammar: %s", e.what());
        }
        write_text(grammar, buffer, capacity, n_written);
    });
}
