"""What makes learned search work on a small RoPE model: search vectors rotated by position, and a window and sinks that
the search need not find. Trains each variant, measures its perplexity, writes projections-NAME.safetensors.
"""
import glob
import math
import os
import time

import numpy as np
import qwen3 as M
import safetensors_file
import sparse as A
import torch
import torch.nn.functional as F

W = os.environ.get("WORK", "work")
MAXSTEP = int(os.environ.get("MAXSTEP", "1000000"))
COMP = os.environ.get("COMPILE", "1") == "1"
NW = int(os.environ.get("WINDOWS", "8"))
dev = "cuda" if torch.cuda.is_available() else "cpu"
bf = torch.bfloat16 if dev == "cuda" else torch.float32
torch.backends.cuda.matmul.allow_tf32 = True
T = int(os.environ.get("PT", "4096"))
B = 2
NL = 12
c = M.CFG
P = A.load(f"{W}/base.pt", dev)
Q = {k: (v.to(bf) if v.dim() > 1 else v) for k, v in P.items()}
LL = A.lay(Q)
LF = A.lay(P)
nat = torch.from_numpy(np.concatenate([np.load(f) for f in sorted(glob.glob(f"{W}/natL_*.npy"))]).astype(np.int64)).to(
    dev
)
held = torch.from_numpy(np.load(f"{W}/heldout.npy").astype(np.int64)).to(dev)
ar = torch.arange(T, device=dev)
causal = ar[None] <= ar[:, None]


def vis(win, sink):  # cells the search is responsible for
    return causal if win == 0 else ((ar[:, None] - ar[None]) >= win) & (ar[None] >= sink)


def compiled(f):
    return torch.compile(f, dynamic=False) if COMP else f


cos, sin = M.rope_tab(ar)
cb = cos.repeat(B, 1)
sb = sin.repeat(B, 1)


def rot(x, DS):  # x [..,T,DS], theta over DS dims
    inv = 1.0 / (1e4 ** (torch.arange(0, DS, 2, device=dev).float() / DS))
    f = ar.float()[:, None] * inv
    f = torch.cat([f, f], -1)
    h = DS // 2
    return x * f.cos() + torch.cat([-x[..., h:], x[..., :h]], -1) * f.sin()


def sdpa(q, k, v):
    q = q.view(B, T, 6, 64).transpose(1, 2)
    k = k.view(B, T, 2, 64).transpose(1, 2)
    v = v.view(B, T, 2, 64).transpose(1, 2)
    if dev == "cuda":
        x = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    else:
        k = k.repeat_interleave(3, 1)
        v = v.repeat_interleave(3, 1)
        x = ((q @ k.transpose(-1, -2)) / 8).masked_fill(~causal, -1e30).softmax(-1) @ v
    return x.transpose(1, 2).reshape(B * T, 384)


def mk(rope, mask, DS, win):
    def teacher(q, k):
        qq = q.transpose(1, 2).reshape(B, 2, 3, T, 64)
        kk = k.transpose(1, 2).unsqueeze(2)
        s = torch.matmul(qq, kk.transpose(-1, -2)).float() * 0.125
        s = s.masked_fill(~causal, float("-inf"))
        p = torch.softmax(s, -1).reshape(B, 6, T, T).amax(1) * mask
        w = p.sum(-1)
        return p / (w[..., None] + 1e-9), w

    def student(h, wq, wk, t, w, idx):
        hf = h.float()
        qs = hf @ wq.t()
        ks = hf @ wk.t()
        if rope:
            qs = rot(qs, DS)
            ks = rot(ks, DS)
        lp = torch.log_softmax(
            (torch.matmul(qs, ks.transpose(1, 2)) * (1 / math.sqrt(DS))).masked_fill(~mask, -1e30), -1
        )
        ok_q = (mask.sum(-1) > 1).float()[None]
        ce = -(t * torch.where(mask, lp, torch.zeros_like(lp))).sum(-1)
        ent = -(torch.xlogy(t, t)).sum(-1)
        kl = ((ce - ent) * ok_q).sum() / ok_q.sum() / B
        sim = torch.matmul(F.normalize(qs, dim=-1), F.normalize(ks, dim=-1).transpose(1, 2)) * (1 / 0.07)
        sim = sim.masked_fill(~mask, -1e30)
        lse = torch.logsumexp(sim, -1)
        ok = torch.gather(mask[None].expand(B, T, T), 2, idx).float()
        ps = torch.gather(sim, 2, idx).clamp(min=-1e4)
        con = ((lse.clamp(min=-1e4) - (ps * ok).sum(-1) / ok.sum(-1).clamp(min=1)) * ok_q).sum() / ok_q.sum() / B
        return kl + con, kl.detach(), con.detach()

    return compiled(teacher), compiled(student)


pre = compiled(M.pre)
post = compiled(M.post)


def train(name, rope, win, sink, DS, secs):
    torch.manual_seed(3)
    rs = np.random.RandomState(11)
    mask = vis(win, sink)
    teacher, student = mk(rope, mask, DS, win)
    Wq = [(torch.randn(DS, 384) * 0.02).to(dev).requires_grad_(True) for _ in range(NL)]
    Wk = [(torch.randn(DS, 384) * 0.02).to(dev).requires_grad_(True) for _ in range(NL)]
    opt = torch.optim.AdamW(Wq + Wk, lr=1e-3, weight_decay=0.01, **(dict(fused=True) if dev == "cuda" else {}))
    step = 0
    t0 = None
    while True:
        p = 0 if t0 is None else (time.time() - t0) / secs
        if p >= 1 or step >= MAXSTEP:
            break
        lr = min(1, (step + 1) / 60) * (1e-4 + (2e-3 - 1e-4) * 0.5 * (1 + math.cos(math.pi * min(1, p))))
        for gr in opt.param_groups:
            gr["lr"] = lr
        x_ = torch.stack([nat[i : i + T] for i in (rs.randint(0, len(nat) - T) for _ in range(B))])
        with torch.no_grad():
            x = F.embedding(x_.reshape(-1), P["model.embed_tokens.weight"]).to(bf)
        st = []
        for i in range(NL):
            l = LL[i]
            with torch.no_grad():
                h, q, k, v = pre(x, l.ln1, l.q, l.k, l.v, l.qn, l.kn, cb, sb)
                x = post(x, sdpa(q, k, v), l.o, l.ln2, l.g, l.u, l.d)
                t, w = teacher(q.view(B, T, 6, 64), k.view(B, T, 2, 64))
                idx = t.topk(16, -1).indices
            loss, kl, con = student(h.view(B, T, 384), Wq[i], Wk[i], t, w, idx)
            (loss / NL).backward()
            st.append(torch.stack([kl, con]))
        torch.nn.utils.clip_grad_norm_(Wq + Wk, 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        step += 1
        if step == 3:
            if dev == "cuda":
                torch.cuda.synchronize()
            t0 = time.time()
    a = torch.stack(st).mean(0)
    print(f"{name}: steps {step} kl {a[0]:.3f} con {a[1]:.3f}", flush=True)
    return [(a.detach().half().float(), b.detach().half().float()) for a, b in zip(Wq, Wk)]


@torch.no_grad()
def ppl(proj, layers, K, rope, win, sink, DS, nw=NW, oracle=False, cosine=True):
    s_ = 0.0
    n = 0
    ms = torch.zeros(NL, device=dev)
    for w in range(nw):
        ids = held[w * T : (w + 1) * T]
        x = F.embedding(ids, P["model.embed_tokens.weight"])
        for i in range(NL):
            l = LF[i]
            h, q, k, v = M.pre(x, l.ln1, l.q, l.k, l.v, l.qn, l.kn, cos, sin)
            out = []
            if i in layers and not oracle:
                qs = h @ proj[i][0].t()
                ks = h @ proj[i][1].t()
                if rope:
                    qs = rot(qs, DS)
                    ks = rot(ks, DS)
                if cosine:
                    ks = F.normalize(ks, dim=-1)
            for lo in range(0, T, 1024):
                hi = lo + 1024
                s = A.scores(q, k, lo, hi)
                if i in layers:
                    r = s.amax(0) if oracle else qs[lo:hi] @ ks[:hi].t()
                    I = torch.arange(lo, hi, device=dev)[:, None]
                    J = torch.arange(hi, device=dev)[None]
                    always = (
                        ((I - J) < win) | (J < sink) if win else torch.zeros(1024, hi, dtype=torch.bool, device=dev)
                    )
                    r = r.masked_fill((J > I) | always, float("-inf"))
                    keep = (
                        torch.zeros(1024, hi, dtype=torch.bool, device=dev).scatter_(
                            1, r.topk(min(K - win - sink if win else K, hi), -1).indices, True
                        )
                        | always
                    )
                    pm = torch.softmax(s, -1).mean(0)
                    ms[i] += (pm * keep).sum() / (nw * T)
                    s = s.masked_fill(~keep[None], float("-inf"))
                out.append(A.attend(s, v, hi))
            x = M.post(x, torch.cat(out), l.o, l.ln2, l.g, l.u, l.d)
        y = M.rms(x, P["model.norm.weight"])
        l_ = A.nll(P, y[:-1], ids[1:])
        s_ += float(l_.sum())
        n += l_.numel()
    return math.exp(s_ / n), ms


V = A.VARIANTS
full, _ = ppl(None, set(), 0, 0, 0, 0, 64)
print("full", full, flush=True)
t00 = time.time()
BUD = float(os.environ.get("BUD", "225"))
S = float(os.environ.get("S", "38"))
for nm, w, s in (("oracle K128", 0, 0), ("oracle K128 win32 sink4", 32, 4)):
    p, m = ppl(None, set(V["all"]), 128, 0, w, s, 64, oracle=True)
    print(nm, "all gap %.2f%%" % ((p / full - 1) * 100), flush=True)
for name, file, rope, win, sink, DS in (
    ("rope+window32+sink4 d64", "rotated-d64", 1, 32, 4, 64),
    ("content+window32+sink4 d64", "content-window-d64", 0, 32, 4, 64),
    ("rope d64", "rotated-no-window-d64", 1, 0, 0, 64),
    ("rope+window32+sink4 d128", "rotated-d128", 1, 32, 4, 128),
):
    if time.time() - t00 > BUD - S - 20:
        break
    pr = train(name, rope, win, sink, DS, S)
    for K in (128, 256):
        for v in ("pilot", "reserved", "all"):
            p, m = ppl(pr, set(V[v]), K, rope, win, sink, DS)
            print(
                f'  {name} K={K} {v}: gap {(p/full-1)*100:.2f}%  mass {[round(float(x),3) for x in m[list(V[v])]] if v=="all" else ""}',
                flush=True,
            )
    print("t", time.time() - t00, flush=True)
    config = {
        "d_search": DS,
        "d_model": 384,
        "layers": list(range(NL)),
        "objective": "as published, on the cells outside window and sinks"
        + (", on rotated search vectors" if rope else ""),
        "lr": [2e-3, 1e-4],
        "warmup": 60,
        "seq_len": T,
        "batch": B,
        "metric": "cosine",
        **({"rope": {"dimension_count": DS, "freq_base": 10000.0, "type": "neox"}} if rope else {}),
        "window": win,
        "sinks": sink,
    }
    safetensors_file.write_projections(f"{W}/projections-{file}.safetensors", pr, config)
