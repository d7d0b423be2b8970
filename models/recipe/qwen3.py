"""Qwen3 architecture (HF Qwen3ForCausalLM parameter names), plain tensors, so that it also runs on torch 1.13."""
import math

import torch
import torch.nn.functional as F

CFG = dict(
    vocab_size=8192,
    hidden_size=384,
    intermediate_size=1024,
    num_hidden_layers=12,
    num_attention_heads=6,
    num_key_value_heads=2,
    head_dim=64,
    rope_theta=1e6,
    rms_norm_eps=1e-6,
    max_position_embeddings=16384,
)


def names(c=CFG):
    D, I, H, K, hd = (
        c["hidden_size"],
        c["intermediate_size"],
        c["num_attention_heads"],
        c["num_key_value_heads"],
        c["head_dim"],
    )
    n = {"model.embed_tokens.weight": (c["vocab_size"], D)}
    for i in range(c["num_hidden_layers"]):
        p = f"model.layers.{i}."
        n[p + "input_layernorm.weight"] = (D,)
        n[p + "self_attn.q_proj.weight"] = (H * hd, D)
        n[p + "self_attn.k_proj.weight"] = (K * hd, D)
        n[p + "self_attn.v_proj.weight"] = (K * hd, D)
        n[p + "self_attn.o_proj.weight"] = (D, H * hd)
        n[p + "self_attn.q_norm.weight"] = (hd,)
        n[p + "self_attn.k_norm.weight"] = (hd,)
        n[p + "post_attention_layernorm.weight"] = (D,)
        n[p + "mlp.gate_proj.weight"] = (I, D)
        n[p + "mlp.up_proj.weight"] = (I, D)
        n[p + "mlp.down_proj.weight"] = (D, I)
    n["model.norm.weight"] = (D,)
    return n


def init(c=CFG, seed=0, device="cpu"):
    g = torch.Generator().manual_seed(seed)
    P = {}
    for k, s in names(c).items():
        if len(s) == 1:
            P[k] = torch.ones(s)
        else:
            std = 0.02
            if k.endswith(("o_proj.weight", "down_proj.weight")):
                std = 0.02 / math.sqrt(2 * c["num_hidden_layers"])
            P[k] = torch.randn(s, generator=g) * std
    return {k: v.to(device) for k, v in P.items()}


def rms(x, w, eps=1e-6):
    v = x.float()
    v = v * torch.rsqrt(v.pow(2).mean(-1, keepdim=True) + eps)
    return (v * w).to(x.dtype)


def rope_tab(pos, c=CFG):
    hd = c["head_dim"]
    inv = 1.0 / (c["rope_theta"] ** (torch.arange(0, hd, 2, device=pos.device, dtype=torch.float64) / hd))
    f = pos.double()[..., None] * inv
    e = torch.cat([f, f], -1)
    return e.cos().float(), e.sin().float()


def rope(x, cos, sin):  # x [...,H,hd], cos/sin [...,hd]
    h = x.shape[-1] // 2
    r = torch.cat([-x[..., h:], x[..., :h]], -1)
    return x * cos.unsqueeze(-2) + r * sin.unsqueeze(-2)


class L:
    """weights of one layer"""

    def __init__(s, P, i):
        p = f"model.layers.{i}."
        s.ln1 = P[p + "input_layernorm.weight"]
        s.q = P[p + "self_attn.q_proj.weight"]
        s.k = P[p + "self_attn.k_proj.weight"]
        s.v = P[p + "self_attn.v_proj.weight"]
        s.o = P[p + "self_attn.o_proj.weight"]
        s.qn = P[p + "self_attn.q_norm.weight"]
        s.kn = P[p + "self_attn.k_norm.weight"]
        s.ln2 = P[p + "post_attention_layernorm.weight"]
        s.g = P[p + "mlp.gate_proj.weight"]
        s.u = P[p + "mlp.up_proj.weight"]
        s.d = P[p + "mlp.down_proj.weight"]


def pre(x, ln1, q, k, v, qn, kn, cos, sin, H=6, K=2, hd=64):
    """x [N,D] -> h (post input-layernorm), q [N,H,hd], k [N,K,hd], v [N,K,hd] (post norm and RoPE)"""
    h = rms(x, ln1)
    a = F.linear(h, q).view(-1, H, hd)
    b = F.linear(h, k).view(-1, K, hd)
    c = F.linear(h, v).view(-1, K, hd)
    a = rope(rms(a, qn).float(), cos, sin).to(c.dtype)
    b = rope(rms(b, kn).float(), cos, sin).to(c.dtype)
    return h, a, b, c


def post(x, att, o, ln2, g, u, d):
    x = x + F.linear(att, o)
    h = rms(x, ln2)
    return x + F.linear(F.silu(F.linear(h, g)) * F.linear(h, u), d)
