"""Shared: full / sparse forward in fp32, teacher, scores. Runs on CPU (torch 1.13) and CUDA."""
import math

import qwen3 as M
import torch
import torch.nn.functional as F

c = M.CFG
NL = c["num_hidden_layers"]
H, K, HD = 6, 2, 64
VARIANTS = {"pilot": [2, 4, 6, 8], "reserved": [i for i in range(NL) if i not in (0, 1, 11)], "all": list(range(NL))}


def load(path, dev, dt=torch.float32):
    P = torch.load(path, map_location="cpu")
    return {k: v.to(dt).to(dev) for k, v in P.items()}


def lay(P):
    return [M.L(P, i) for i in range(NL)]


def qkv(x, l, cos, sin):
    return M.pre(x, l.ln1, l.q, l.k, l.v, l.qn, l.kn, cos, sin)


def finish(x, att, l):
    return M.post(x, att, l.o, l.ln2, l.g, l.u, l.d)


def scores(q, k, lo, hi):
    """q [T,H,hd], k [T,K,hd] -> raw scaled scores of queries lo..hi over keys 0..hi, causal -inf   [H,hi-lo,hi]"""
    qq = q[lo:hi].transpose(0, 1).reshape(K, H // K, hi - lo, HD)
    kk = k[:hi].transpose(0, 1).unsqueeze(1)
    s = torch.matmul(qq, kk.transpose(-1, -2)).reshape(H, hi - lo, hi) / math.sqrt(HD)
    i = torch.arange(lo, hi, device=q.device)[:, None]
    j = torch.arange(hi, device=q.device)[None]
    return s.masked_fill(j > i, float("-inf"))


def sscores(qs, ks, lo, hi):
    s = qs[lo:hi] @ ks[:hi].t()
    i = torch.arange(lo, hi, device=qs.device)[:, None]
    j = torch.arange(hi, device=qs.device)[None]
    return s.masked_fill(j > i, float("-inf"))


def attend(s, v, hi):
    """s [H,n,hi] masked scores -> [n,H*hd]"""
    p = torch.softmax(s, -1)
    n = s.shape[1]
    vv = v[:hi].transpose(0, 1).unsqueeze(1)  # [K,1,hi,hd]
    o = torch.matmul(p.reshape(K, H // K, n, hi), vv)  # [K,H/K,n,hd]
    return o.reshape(H, n, HD).transpose(0, 1).reshape(n, H * HD)


def fwd(P, LL, ids, proj=None, layers=(), topk=128, sparse_from=0, chunk=1024, oracle=False, rows=None, hook=None):
    """fp32 forward of one sequence. Queries at positions >= sparse_from of the layers `layers` attend only to their
    top-k keys by q_s.k_s (oracle: by head-max raw scaled QK). Returns the final-norm hidden states (rows only, if given).
    """
    T = ids.numel()
    dev = ids.device
    cos, sin = M.rope_tab(torch.arange(T, device=dev))
    x = F.embedding(ids, P["model.embed_tokens.weight"])
    for i in range(NL):
        l = LL[i]
        h, q, k, v = qkv(x, l, cos, sin)
        sp = i in layers
        if sp and not oracle:
            qs = h @ proj[i][0].t()
            ks = h @ proj[i][1].t()
        if hook is not None:
            hook(i, h, q, k, v)
        out = []
        for lo in range(0, T, chunk):
            hi = min(T, lo + chunk)
            s = scores(q, k, lo, hi)
            if sp and hi > sparse_from and hi > topk:
                r = s.amax(0) if oracle else sscores(qs, ks, lo, hi)
                idx = r.topk(min(topk, hi), -1).indices
                keep = torch.zeros(hi - lo, hi, dtype=torch.bool, device=dev).scatter_(1, idx, True)
                if lo < sparse_from:
                    keep[: sparse_from - lo] = True
                s = s.masked_fill(~keep[None], float("-inf"))
            out.append(attend(s, v, hi))
        x = finish(x, torch.cat(out), l)
    if rows is not None:
        x = x[rows]
    return M.rms(x, P["model.norm.weight"])


def nll(P, y, tgt, chunk=2048):
    e = P["model.embed_tokens.weight"]
    o = []
    for i in range(0, y.shape[0], chunk):
        o.append(F.cross_entropy(y[i : i + chunk] @ e.t(), tgt[i : i + chunk], reduction="none"))
    return torch.cat(o)
