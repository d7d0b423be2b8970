"""The trained base model as GGUF, F16 and Q8_0. Needs llama.cpp's gguf-py on PYTHONPATH. Then: ann merge."""
import os

import gguf
import numpy as np
import qwen3 as M
import tokenizer
import torch

W = os.environ.get("WORK", "work")
c = M.CFG
P = torch.load(f"{W}/base.pt", map_location="cpu")
tk = tokenizer.Tok(f"{W}/tokenizer")
MAP = [
    ("input_layernorm", "attn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.o_proj", "attn_output"),
    ("self_attn.q_norm", "attn_q_norm"),
    ("self_attn.k_norm", "attn_k_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
]


def tensors():
    yield "token_embd.weight", P["model.embed_tokens.weight"]
    for i in range(c["num_hidden_layers"]):
        for a, b in MAP:
            yield f"blk.{i}.{b}.weight", P[f"model.layers.{i}.{a}.weight"]
    yield "output_norm.weight", P["model.norm.weight"]


def write(path, quant):
    w = gguf.GGUFWriter(path, "qwen3")
    w.add_type("model")
    w.add_name("tiny-qwen3-22m")
    w.add_size_label("22M")
    w.add_description("12-layer Qwen3-architecture test model trained on Debian documentation")
    w.add_context_length(c["max_position_embeddings"])
    w.add_embedding_length(c["hidden_size"])
    w.add_block_count(c["num_hidden_layers"])
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count(c["num_attention_heads"])
    w.add_head_count_kv(c["num_key_value_heads"])
    w.add_rope_freq_base(c["rope_theta"])
    w.add_layer_norm_rms_eps(c["rms_norm_eps"])
    w.add_key_length(c["head_dim"])
    w.add_value_length(c["head_dim"])
    w.add_file_type(gguf.LlamaFileType.MOSTLY_F16 if quant == "F16" else gguf.LlamaFileType.MOSTLY_Q8_0)
    w.add_quantization_version(gguf.GGML_QUANT_VERSION)
    toks = [None] * tk.n
    for s, i in tk.vocab.items():
        toks[i] = s
    for s, i in tk.sp.items():
        toks[i] = s
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(toks)
    w.add_token_types([gguf.TokenType.CONTROL if t in tk.sp else gguf.TokenType.NORMAL for t in toks])
    w.add_token_merges([a + " " + b for a, b in sorted(tk.rank, key=tk.rank.get)])
    w.add_bos_token_id(tk.eot)
    w.add_eos_token_id(tk.eot)
    w.add_eot_token_id(tk.ime)
    w.add_pad_token_id(tk.eot)
    w.add_add_bos_token(False)
    w.add_chat_template(tokenizer.CHAT)
    for n, t in tensors():
        a = t.float().numpy()
        if a.ndim == 1:
            w.add_tensor(n, a.astype(np.float32))
        elif quant == "F16":
            w.add_tensor(n, a.astype(np.float16))
        else:
            w.add_tensor(
                n, gguf.quants.quantize(a, gguf.GGMLQuantizationType.Q8_0), raw_dtype=gguf.GGMLQuantizationType.Q8_0
            )
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    print(path, os.path.getsize(path))


write(f"{W}/base-f16.gguf", "F16")
write(f"{W}/base-q8_0.gguf", "Q8_0")
