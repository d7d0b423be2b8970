// Sampler chains.

#include "objects.h"

#include "common.h"

#include <cctype>
#include <cmath>
#include <regex>

using namespace ann;

void ann_sampler_params_default(ann_sampler_params * params) {
    if (params) {
        *params = {};
        params->struct_size        = sizeof(*params);
        params->seed               = LLAMA_DEFAULT_SEED;
        params->temperature        = 0.8f;
        params->top_k              = 40;
        params->top_p              = 0.95f;
        params->min_p              = 0.05f;
        params->typical_p          = 1.0f;
        params->top_n_sigma        = -1.0f;
        params->xtc_threshold      = 0.1f;
        params->penalty_last_n     = 64;
        params->penalty_repeat     = 1.0f;
        params->dry_base           = 1.75f;
        params->dry_allowed_length = 2;
        params->dry_penalty_last_n = 64;
    }
}

static void require_float(const char * name, float value, float min, float max) {
    if (!(value >= min && value <= max)) { // also NaN
        fail(ANN_ERROR_INVALID_ARGUMENT, "%s is %g, expected %g to %g", name, value, min, max);
    }
}

static void check(const ann_sampler_params & p, int32_t n_vocab) {
    require_float("params.temperature", p.temperature, -1e6f, 1e6f);
    require_float("params.top_p", p.top_p, 0.0f, 1.0f);
    require_float("params.min_p", p.min_p, 0.0f, 1.0f);
    require_float("params.typical_p", p.typical_p, 0.0f, 1.0f);
    require_float("params.top_n_sigma", p.top_n_sigma, -1e6f, 1e6f);
    require_float("params.xtc_probability", p.xtc_probability, 0.0f, 1.0f);
    require_float("params.xtc_threshold", p.xtc_threshold, 0.0f, 1.0f);
    require_float("params.penalty_repeat", p.penalty_repeat, 1e-3f, 1e3f);
    require_float("params.penalty_frequency", p.penalty_frequency, -1e3f, 1e3f);
    require_float("params.penalty_presence", p.penalty_presence, -1e3f, 1e3f);
    require_float("params.dry_multiplier", p.dry_multiplier, 0.0f, 1e3f);
    require_float("params.dry_base", p.dry_base, 0.0f, 1e3f);
    require_range("params.penalty_last_n", p.penalty_last_n, 0, 1 << 20);
    require_range("params.dry_penalty_last_n", p.dry_penalty_last_n, 0, 1 << 20);
    require_range("params.dry_allowed_length", p.dry_allowed_length, 0, 1 << 20);
    require_range("params.n_logit_bias", p.n_logit_bias, 0, n_vocab);
    if (p.n_logit_bias > 0) {
        require(p.logit_bias_tokens, "params.logit_bias_tokens");
        require(p.logit_bias_values, "params.logit_bias_values");
        for (int32_t i = 0; i < p.n_logit_bias; ++i) {
            require_range("params.logit_bias_tokens[i]", p.logit_bias_tokens[i], 0, n_vocab - 1);
        }
    }
    require_range("params.n_grammar_trigger_patterns", p.n_grammar_trigger_patterns, 0, 1 << 10);
    require_range("params.n_grammar_trigger_tokens", p.n_grammar_trigger_tokens, 0, n_vocab);
    if (p.n_grammar_trigger_patterns > 0) {
        require(p.grammar_trigger_patterns, "params.grammar_trigger_patterns");
    }
    if (p.n_grammar_trigger_tokens > 0) {
        require(p.grammar_trigger_tokens, "params.grammar_trigger_tokens");
    }
    for (int32_t i = 0; i < p.n_grammar_trigger_tokens; ++i) {
        require_range("params.grammar_trigger_tokens[i]", p.grammar_trigger_tokens[i], 0, n_vocab - 1);
    }
}

// The tokens of the text; without the space that some tokenizers put before it.
static std::vector<llama_token> tokenize_prefix(const llama_vocab * vocab, const std::string & text) {
    std::vector<llama_token> tokens = common_tokenize(vocab, text, false, true);
    if (!tokens.empty() && !std::isspace((unsigned char) text[0])) {
        const std::string first = common_token_to_piece(vocab, tokens[0], true);
        if (!first.empty() && std::isspace((unsigned char) first[0])) {
            tokens.erase(tokens.begin());
        }
    }
    return tokens;
}

static void advance_grammar(ann_sampler & s) {
    try {
        for (llama_token token : s.grammar_prefix) {
            llama_sampler_accept(s.grammar, token);
        }
    } catch (const std::exception & e) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "params.grammar does not begin with params.grammar_prefix: %s", e.what());
    }
}

// A grammar that begins with a trigger.
static llama_sampler * make_lazy_grammar(const llama_vocab * vocab, const std::string & source, const ann_sampler_params & p) {
    std::vector<std::string>  texts;
    std::vector<const char *> patterns;
    for (int32_t i = 0; i < p.n_grammar_trigger_patterns; ++i) {
        texts.push_back(require_text(p.grammar_trigger_patterns[i], "params.grammar_trigger_patterns[i]"));
        try {
            std::regex check(texts.back());
        } catch (const std::regex_error & e) {
            fail(ANN_ERROR_INVALID_ARGUMENT, "params.grammar_trigger_patterns[%d] is \"%s\", which is no regular expression: %s", i,
                texts.back().c_str(), e.what());
        }
    }
    for (const auto & text : texts) {
        patterns.push_back(text.c_str());
    }
    return llama_sampler_init_grammar_lazy_patterns(vocab, source.c_str(), "root", patterns.data(), patterns.size(),
        p.grammar_trigger_tokens, (size_t) p.n_grammar_trigger_tokens);
}

static void build_chain(ann_sampler & s, const ann_sampler_params & p) {
    const llama_vocab * vocab = llama_model_get_vocab(s.model.get());
    const int32_t n_vocab = llama_vocab_n_tokens(vocab);
    auto add = [&](llama_sampler * x) { llama_sampler_chain_add(s.chain, x); };

    if (p.n_logit_bias > 0) {
        std::vector<llama_logit_bias> bias((size_t) p.n_logit_bias);
        for (size_t i = 0; i < bias.size(); ++i) {
            bias[i] = { p.logit_bias_tokens[i], p.logit_bias_values[i] };
        }
        add(llama_sampler_init_logit_bias(n_vocab, (int32_t) bias.size(), bias.data()));
    }
    if (p.grammar) {
        log_scope log;
        const std::string source = require_text(p.grammar, "params.grammar");
        const bool lazy = p.n_grammar_trigger_patterns + p.n_grammar_trigger_tokens > 0;
        s.grammar = lazy ? make_lazy_grammar(vocab, source, p) : llama_sampler_init_grammar(vocab, source.c_str(), "root");
        if (!s.grammar) {
            fail(ANN_ERROR_INVALID_ARGUMENT, "params.grammar is not a valid GBNF grammar: %s", log.reason("it does not parse").c_str());
        }
        add(s.grammar);
        if (p.grammar_prefix && !lazy) {
            s.grammar_prefix = tokenize_prefix(vocab, require_text(p.grammar_prefix, "params.grammar_prefix"));
            advance_grammar(s);
        }
    }
    add(llama_sampler_init_penalties(n_vocab, p.penalty_last_n, p.penalty_repeat, p.penalty_frequency, p.penalty_presence));
    if (p.dry_multiplier > 0.0f) {
        const char * breakers[] = { "\n", ":", "\"", "*" };
        add(llama_sampler_init_dry(vocab, p.dry_multiplier, p.dry_base, p.dry_allowed_length, p.dry_penalty_last_n, breakers, 4));
    }
    if (p.temperature <= 0.0f) {
        add(llama_sampler_init_greedy());
        return;
    }
    if (p.top_n_sigma > 0.0f)     { add(llama_sampler_init_top_n_sigma(p.top_n_sigma)); }
    if (p.top_k > 0)              { add(llama_sampler_init_top_k(p.top_k)); }
    if (p.typical_p < 1.0f)       { add(llama_sampler_init_typical(p.typical_p, 1)); }
    if (p.top_p < 1.0f)           { add(llama_sampler_init_top_p(p.top_p, 1)); }
    if (p.min_p > 0.0f)           { add(llama_sampler_init_min_p(p.min_p, 1)); }
    if (p.xtc_probability > 0.0f) { add(llama_sampler_init_xtc(p.xtc_probability, p.xtc_threshold, 1, p.seed)); }
    add(llama_sampler_init_temp(p.temperature));
    add(llama_sampler_init_dist(p.seed));
}

ann_status ann_sampler_create(const ann_model * model, const ann_sampler_params * params, ann_sampler ** sampler, ann_error * error) {
    return guard(error, [&] {
        require(sampler, "sampler") = nullptr;
        const ann_model & m = require(model, "model");
        ann_sampler_params defaults;
        ann_sampler_params_default(&defaults);
        const ann_sampler_params p = read_struct(params, defaults, "params");
        check(p, llama_vocab_n_tokens(m.vocab()));

        auto res = std::make_unique<ann_sampler>();
        res->model = m.model;
        res->chain = llama_sampler_chain_init(llama_sampler_chain_default_params());
        build_chain(*res, p);
        *sampler = res.release();
    });
}

void ann_sampler_free(ann_sampler * sampler) { delete sampler; }

// llama_sampler_sample, but that it fails where no token is left: upstream takes a forbidden one, and aborts when that
// one ends the generation.
static llama_token choose(ann_sampler & s, const float * logits) {
    s.candidates.resize((size_t) llama_vocab_n_tokens(llama_model_get_vocab(s.model.get())));
    for (size_t i = 0; i < s.candidates.size(); ++i) {
        s.candidates[i] = { (llama_token) i, logits[i], 0.0f };
    }
    llama_token_data_array left = { s.candidates.data(), s.candidates.size(), -1, false };
    llama_sampler_apply(s.chain, &left);
    if (left.selected < 0 || (size_t) left.selected >= left.size || !(left.data[left.selected].logit > -INFINITY)) {
        fail(ANN_ERROR_INVALID_ARGUMENT, "no token of the vocabulary is left to choose from: %s", s.grammar ?
            "none can follow params.grammar here" : "params.logit_bias forbids all, or the logits are no numbers");
    }
    const llama_token token = left.data[left.selected].id;
    llama_sampler_accept(s.chain, token);
    return token;
}

ann_status ann_sampler_sample(ann_sampler * sampler, ann_context * context, int32_t index, int32_t * token, ann_error * error) {
    return guard_context(context, error, [&](ann_context & c) {
        ann_sampler & s = require(sampler, "sampler");
        require(token, "token");
        if (s.model != c.model) {
            fail(ANN_ERROR_INVALID_ARGUMENT, "the sampler was made for another model than the context's");
        }
        require_output(c, index);
        const float * logits = llama_get_logits_ith(c.ctx, index);
        if (!logits) {
            fail(ANN_ERROR_UNSUPPORTED, "the context has no logits (embeddings = 1)");
        }
        *token = choose(s, logits);
    });
}

ann_status ann_sampler_accept(ann_sampler * sampler, int32_t token, ann_error * error) {
    return guard(error, [&] {
        ann_sampler & s = require(sampler, "sampler");
        require_range("token", token, 0, llama_vocab_n_tokens(llama_model_get_vocab(s.model.get())) - 1);
        for (int i = 0; i < llama_sampler_chain_n(s.chain); ++i) {
            llama_sampler * link = llama_sampler_chain_get(s.chain, i);
            if (link != s.grammar) {
                llama_sampler_accept(link, token);
            }
        }
    });
}

ann_status ann_sampler_reset(ann_sampler * sampler, ann_error * error) {
    return guard(error, [&] {
        ann_sampler & s = require(sampler, "sampler");
        llama_sampler_reset(s.chain);
        advance_grammar(s);
    });
}
