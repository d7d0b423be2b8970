"""The base model out of a GGUF file (F32, F16, Q8_0), frozen: its forward pass, dense or with a selection of cells."""
import math
import struct

import numpy as np
import torch
import torch.nn.functional as F

dev = "cuda" if torch.cuda.is_available() else "cpu"
half = torch.bfloat16 if dev == "cuda" else torch.float32
torch.backends.cuda.matmul.allow_tf32 = True
NL, H, KH, HD, D = 12, 6, 2, 64, 384
LAYERS = {"pilot": [2, 4, 6, 8], "reserved": [2, 3, 4, 5, 6, 7, 8, 9, 10], "all": list(range(NL))}


class Reader:
    """values of a GGUF file, one after the other"""

    def __init__(self, data):
        self.data = data
        self.at = 4

    def take(self, kind):
        value = struct.unpack_from("<" + kind, self.data, self.at)[0]
        self.at += struct.calcsize("<" + kind)
        return value

    def text(self):
        n = self.take("Q")
        self.at += n
        return self.data[self.at - n : self.at].decode("utf-8", "replace")

    def value(self, kind):
        if kind == 8:
            return self.text()
        if kind == 9:
            inner = self.take("I")
            return [self.value(inner) for _ in range(self.take("Q"))]
        return self.take(
            {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}[kind]
        )


def read_gguf(path):
    """tensors by name, as f32"""
    r = Reader(open(path, "rb").read())
    r.take("I")
    n_tensors, n_keys = r.take("Q"), r.take("Q")
    keys = {}
    for _ in range(n_keys):
        name = r.text()
        keys[name] = r.value(r.take("I"))
    infos = []
    for _ in range(n_tensors):
        name = r.text()
        shape = [r.take("Q") for _ in range(r.take("I"))]
        infos.append((name, shape, r.take("I"), r.take("Q")))
    align = keys.get("general.alignment", 32)
    start = (r.at + align - 1) // align * align
    tensors = {}
    for name, shape, kind, offset in infos:
        n, at = int(np.prod(shape)), start + offset
        if kind == 0:
            a = np.frombuffer(r.data, np.float32, n, at)
        elif kind == 1:
            a = np.frombuffer(r.data, np.float16, n, at).astype(np.float32)
        else:  # Q8_0
            b = np.frombuffer(r.data, np.dtype([("scale", "<f2"), ("q", "i1", 32)]), n // 32, at)
            a = (b["q"].astype(np.float32) * b["scale"].astype(np.float32)[:, None]).reshape(-1)
        tensors[name] = torch.from_numpy(np.array(a).reshape(shape[::-1])).to(dev)
    return tensors


class Layer:
    NAMES = {
        "ln1": "attn_norm",
        "q": "attn_q",
        "k": "attn_k",
        "v": "attn_v",
        "qn": "attn_q_norm",
        "kn": "attn_k_norm",
        "o": "attn_output",
        "ln2": "ffn_norm",
        "g": "ffn_gate",
        "u": "ffn_up",
        "d": "ffn_down",
    }

    def __init__(self, tensors, i, dtype):
        for short, name in self.NAMES.items():
            t = tensors[f"blk.{i}.{name}.weight"]
            setattr(self, short, t.to(dtype) if t.dim() > 1 else t)


class Base:
    def __init__(self, path):
        t = read_gguf(path)
        self.exact = [Layer(t, i, torch.float32) for i in range(NL)]
        self.fast = [Layer(t, i, half) for i in range(NL)]
        self.embedding = t["token_embd.weight"]
        self.norm = t["output_norm.weight"]


def rms(x, w, eps=1e-6):
    v = x.float()
    v = v * torch.rsqrt(v.pow(2).mean(-1, keepdim=True) + eps)
    return (v * w).to(x.dtype)


def table(n, dim, base):
    """cos, sin [n, dim] of NeoX halves"""
    inv = 1.0 / (base ** (torch.arange(0, dim, 2, device=dev, dtype=torch.float64) / dim))
    f = torch.arange(n, device=dev, dtype=torch.float64)[:, None] * inv
    e = torch.cat([f, f], -1)
    return e.cos().float(), e.sin().float()


def rope(x, cos, sin):
    h = x.shape[-1] // 2
    return x * cos + torch.cat([-x[..., h:], x[..., :h]], -1) * sin


def qkv(x, ln1, q, k, v, qn, kn, cos, sin):
    """x [T, D] -> hidden state entering attention, q, k (after norm and RoPE), v"""
    h = rms(x, ln1)
    a = F.linear(h, q).view(-1, H, HD)
    b = F.linear(h, k).view(-1, KH, HD)
    c = F.linear(h, v).view(-1, KH, HD)
    a = rope(rms(a, qn).float(), cos[:, None], sin[:, None]).to(c.dtype)
    b = rope(rms(b, kn).float(), cos[:, None], sin[:, None]).to(c.dtype)
    return h, a, b, c


def finish(x, attention, o, ln2, g, u, d):
    x = x + F.linear(attention, o)
    h = rms(x, ln2)
    return x + F.linear(F.silu(F.linear(h, g)) * F.linear(h, u), d)


def attend_all(q, k, v):
    q, k, v = (a.transpose(0, 1)[None] for a in (q, k, v))
    k, v = k.repeat_interleave(H // KH, 1), v.repeat_interleave(H // KH, 1)
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)[0].transpose(0, 1).reshape(q.shape[2], -1)


def scores(q, k, lo, hi):
    """causal attention logits of queries lo..hi, [H, hi - lo, hi]"""
    a = q[lo:hi].transpose(0, 1).reshape(KH, H // KH, hi - lo, HD)
    s = torch.matmul(a, k[:hi].transpose(0, 1).unsqueeze(1).transpose(-1, -2)).reshape(H, hi - lo, hi) / math.sqrt(HD)
    i = torch.arange(lo, hi, device=dev)[:, None]
    return s.masked_fill(torch.arange(hi, device=dev)[None] > i, float("-inf")).float()


@torch.no_grad()
def forward(model, ids, search=None, layers=(), K=128, mass=None, oracle=None, fast=False, chunk=1024):
    """Final hidden states. In `layers` every query attends to window, sinks and the best cells, K in all: by `search`
    (dict of d, base, window, sinks, and W [2, NL, d, D] or encode(layer, hidden states) -> queries, keys before they are
    rotated), or by an oracle: "max" (largest attention logit over heads) or
    "mass" (attention probability averaged over heads). mass [NL]: the attention mass kept is added to it.
    """
    T = ids.numel()
    cos, sin = table(T, HD, 1e6)
    window, sinks = (search["window"], search["sinks"]) if search else (32, 4)
    if search:
        cos_s, sin_s = table(T, search["d"], search["base"])
    x = model.embedding[ids].to(half if fast else torch.float32)
    for i, l in enumerate(model.fast if fast else model.exact):
        h, q, k, v = qkv(x, l.ln1, l.q, l.k, l.v, l.qn, l.kn, cos, sin)
        sparse = i in layers and T > K
        if not sparse:
            x = finish(x, attend_all(q, k, v), l.o, l.ln2, l.g, l.u, l.d)
            continue
        if not oracle:
            a, b = search["encode"](i, h.float()) if "encode" in search else (h.float() @ x.t() for x in search["W"][:, i])
            u, w = rope(a, cos_s, sin_s), F.normalize(rope(b, cos_s, sin_s), dim=-1)
        out = []
        for lo in range(0, T, chunk):
            hi = min(T, lo + chunk)
            s = scores(q, k, lo, hi)
            I = torch.arange(lo, hi, device=dev)[:, None]
            J = torch.arange(hi, device=dev)[None]
            always = ((I - J) < window) | (J < sinks)
            rank = s.amax(0) if oracle == "max" else torch.softmax(s, -1).mean(0) if oracle else u[lo:hi] @ w[:hi].t()
            best = rank.masked_fill((J > I) | always, float("-inf")).topk(min(K - window - sinks, hi), -1).indices
            keep = torch.zeros(hi - lo, hi, dtype=torch.bool, device=dev).scatter_(1, best, True) | always
            if mass is not None:
                mass[i] += (torch.softmax(s, -1).mean(0) * keep).sum() / T
            p = torch.softmax(s.masked_fill(~keep[None], float("-inf")), -1).to(v.dtype)
            o = torch.matmul(p.reshape(KH, H // KH, hi - lo, hi), v[:hi].transpose(0, 1).unsqueeze(1))
            out.append(o.reshape(H, hi - lo, HD).transpose(0, 1).reshape(hi - lo, -1))
        x = finish(x, torch.cat(out), l.o, l.ln2, l.g, l.u, l.d)
    return rms(x, model.norm).float()


@torch.no_grad()
def perplexity(model, tokens, n_windows=8, T=4096, mass=None, **kw):
    total = 0.0
    for w in range(n_windows):
        ids = tokens[w * T : (w + 1) * T]
        y = forward(model, ids, mass=mass, **kw)
        total += float(F.cross_entropy(y[:-1] @ model.embedding.t(), ids[1:], reduction="sum"))
    if mass is not None:
        mass /= n_windows
    return math.exp(total / (n_windows * (T - 1)))


@torch.no_grad()
def recall(model, prompts, **kw):
    """share of prompts whose answer tokens are all the greedy choice; mean negative log likelihood of the answers"""
    right, nll = 0, 0.0
    for p in prompts:
        ids = torch.tensor(p["prompt_ids"] + p["answer_ids"], device=dev)
        n = len(p["prompt_ids"])
        logits = forward(model, ids, fast=True, **kw)[n - 1 : -1] @ model.embedding.t()
        right += int((logits.argmax(-1) == ids[n:]).all())
        nll += float(F.cross_entropy(logits, ids[n:]))
    return right / len(prompts), nll / len(prompts)
