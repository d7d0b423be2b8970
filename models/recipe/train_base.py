"""Base LM training. Progress (LR, context stage) follows the clock: TRAIN_S seconds in all."""
import glob
import json
import math
import os
import time

import numpy as np
import qwen3 as M
import torch
import torch.nn.functional as F

W = os.environ.get("WORK", "work")
TRAIN_S = float(os.environ.get("TRAIN_S", "600"))
N = int(os.environ.get("NTOK", "131072"))
LR = float(os.environ.get("LR", "3e-3"))
WD = float(os.environ.get("WD", "0.1"))
AW = float(os.environ.get("AW", "8"))
FS1 = float(os.environ.get("FS1", "0.15"))
FS2 = float(os.environ.get("FS2", "0.2"))
P8 = float(os.environ.get("P8", "0.66"))
P16 = float(os.environ.get("P16", "0.88"))
BACK = os.environ.get("SDPA", "flash")
MAXSTEP = int(os.environ.get("MAXSTEP", "1000000"))
COMP = os.environ.get("COMPILE", "1") == "1"
dev = "cuda" if torch.cuda.is_available() else "cpu"
bf = torch.bfloat16 if dev == "cuda" else torch.float32
torch.manual_seed(1)
rs = np.random.RandomState(7)
if dev == "cuda":
    torch.backends.cuda.matmul.allow_tf32 = True
c = M.CFG
nl = c["num_hidden_layers"]
LOG = open(f"{W}/train.log", "a")


def log(*a):
    s = " ".join(str(x) for x in a)
    print(s, flush=True)
    LOG.write(s + "\n")
    LOG.flush()


class Data:
    def __init__(s):
        s.parts = set()
        s.natL = s.natS = None
        s.syn = {}

    def poll(s):
        new = [p for p in sorted(glob.glob(f"{W}/ready_*")) if p not in s.parts]
        if not new:
            return False
        for p in new:
            ids = open(p).read().split()
            s.parts.add(p)
            cat = lambda pre: np.concatenate([np.load(f"{W}/{pre}_{j}.npy") for j in ids])
            L = torch.from_numpy(cat("natL")).to(dev)
            S = torch.from_numpy(cat("natS")).to(dev)
            s.natL = L if s.natL is None else torch.cat([s.natL, L])
            s.natS = S if s.natS is None else torch.cat([s.natS, S])
            for T in (2048, 8192, 16384):
                a = torch.from_numpy(cat(f"syn{T}")).to(dev)
                b = torch.from_numpy(cat(f"synw{T}")).to(dev)
                if T in s.syn:
                    s.syn[T] = (torch.cat([s.syn[T][0], a]), torch.cat([s.syn[T][1], b]))
                else:
                    s.syn[T] = (a, b)
        s.all = torch.cat([s.natL, s.natS])
        s.q = {}
        s.sq = {}
        log(
            "data: natural tokens",
            len(s.all),
            "in long docs",
            len(s.natL),
            "synthetic rows",
            {T: len(v[0]) for T, v in s.syn.items()},
        )
        return True

    def nat(s, T, k, long):
        src = s.natL if long and len(s.natL) > (T + 1) * k * 2 else s.all
        key = (T, long)
        o = s.q.get(key)
        if o is None or len(o) < k:
            ph = rs.randint(0, T)
            m = (len(src) - 1 - ph) // T
            o = rs.permutation(m).astype(np.int64) * T + ph
            s.q[key] = o
            s.ep = getattr(s, "ep", {})
            s.ep[key] = s.ep.get(key, 0) + 1
        i = torch.from_numpy(o[:k].copy()).to(dev)
        s.q[key] = o[k:]
        return src[i[:, None] + torch.arange(T + 1, device=dev)[None]].long()

    def synth(s, T, k):
        a, w = s.syn[T]
        o = s.sq.get(T)
        if o is None or len(o) < k:
            o = rs.permutation(len(a))
            s.sq[T] = o
        i = torch.from_numpy(o[:k].copy()).to(dev)
        s.sq[T] = o[k:]
        return a[i].long(), w[i]


D = Data()
while not D.poll():
    time.sleep(0.5)
P = M.init(c, 0, dev)
for v in P.values():
    v.requires_grad_(True)
log("params", sum(v.numel() for v in P.values()))
dec = [v for k, v in P.items() if v.dim() > 1]
nod = [v for k, v in P.items() if v.dim() == 1]
kw = dict(fused=True) if dev == "cuda" else {}
opt = torch.optim.AdamW(
    [{"params": dec, "weight_decay": WD}, {"params": nod, "weight_decay": 0.0}],
    lr=LR,
    betas=(0.9, 0.95),
    eps=1e-8,
    **kw,
)


def pre(x, ln1, q, k, v, qn, kn, cos, sin):
    _, a, b, d = M.pre(x, ln1, q, k, v, qn, kn, cos, sin)
    return a, b, d


def post(x, att, o, ln2, g, u, d):
    return M.post(x, att, o, ln2, g, u, d)


def head(x, w, emb, y):
    return F.cross_entropy(F.linear(M.rms(x, w), emb).float(), y, reduction="none")


if COMP:
    pre, post, head = [torch.compile(f, dynamic=False) for f in (pre, post, head)]
if dev == "cuda":
    from torch.nn.attention import SDPBackend, sdpa_kernel

    BK = {"flash": [SDPBackend.FLASH_ATTENTION], "cudnn": [SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION]}[
        BACK
    ]

    def sdpa(q, k, v, B, T):
        with sdpa_kernel(BK):
            o = F.scaled_dot_product_attention(
                q.view(B, T, 6, 64).transpose(1, 2),
                k.view(B, T, 2, 64).transpose(1, 2),
                v.view(B, T, 2, 64).transpose(1, 2),
                is_causal=True,
                enable_gqa=True,
            )
        return o.transpose(1, 2).reshape(B * T, 384)

else:

    def sdpa(q, k, v, B, T):
        q = q.view(B, T, 6, 64).transpose(1, 2)
        k = k.view(B, T, 2, 64).transpose(1, 2).repeat_interleave(3, 1)
        v = v.view(B, T, 2, 64).transpose(1, 2).repeat_interleave(3, 1)
        s = (q @ k.transpose(-1, -2)) / 8
        s = s.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), -1e30)
        return (s.softmax(-1) @ v).transpose(1, 2).reshape(B * T, 384)


ropes = {}


def ctx(T, B):
    if (T, B) not in ropes:
        a, b = M.rope_tab(torch.arange(T, device=dev))
        ropes[(T, B)] = (a.repeat(B, 1), b.repeat(B, 1))
    return ropes[(T, B)]


def fwd(ids, tgt):
    B, T = ids.shape
    cos, sin = ctx(T, B)
    Q = {k: (v.to(bf) if v.dim() > 1 else v) for k, v in P.items()}
    x = F.embedding(ids.reshape(-1), P["model.embed_tokens.weight"]).to(bf)
    for i in range(nl):
        l = M.L(Q, i)
        q, k, v = pre(x, l.ln1, l.q, l.k, l.v, l.qn, l.kn, cos, sin)
        x = post(x, sdpa(q, k, v, B, T), l.o, l.ln2, l.g, l.u, l.d)
    return head(x, Q["model.norm.weight"], Q["model.embed_tokens.weight"], tgt.reshape(-1))


def save(name):
    torch.save({k: v.detach().half().cpu() for k, v in P.items()}, f"{W}/{name}.tmp")
    os.replace(f"{W}/{name}.tmp", f"{W}/{name}")


step = 0
tok = 0
t0 = None
acc = []
last = 0
tsyn = 0
Tcur = None
hist = []
ck = 0
tprev = time.time()
stoks = {}
while True:
    el = 0.0 if t0 is None else time.time() - t0
    p = el / TRAIN_S
    if p >= 1 or step >= MAXSTEP:
        break
    T = 2048 if p < P8 else 8192 if p < P16 else 16384
    if step < 4 and t0 is None and step % 3 != 0 and dev == "cuda" and os.environ.get("WARM16", "1") == "1":
        T = (8192, 16384)[step % 2]  # the three shapes once, before the clock starts
    if "FORCET" in os.environ:
        T = int(os.environ["FORCET"])
    R = max(1, N // T)
    fs = FS1 if T == 2048 else FS2
    x = R * fs
    k = int(x) + (rs.rand() < x - int(x))
    k = min(k, R - 1) if R > 1 else 0
    nat = D.nat(T, R - k, T > 2048)
    if k:
        sa, sw = D.synth(T, k)
        rows = torch.cat([nat, sa])
        flag = torch.cat([torch.zeros_like(nat, dtype=torch.uint8), sw])[:, 1:].reshape(-1)
    else:
        rows = nat
        flag = torch.zeros(R * T, dtype=torch.uint8, device=dev)
    w = 1 + (AW - 1) * flag.float()
    lr = LR * min(1.0, (step + 1) / 150) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(1, p))))
    for g in opt.param_groups:
        g["lr"] = lr
    ce = fwd(rows[:, :-1], rows[:, 1:])
    loss = (ce * w).sum() / w.sum()
    loss.backward()
    gn = torch.nn.utils.clip_grad_norm_(list(P.values()), 1.0)
    opt.step()
    opt.zero_grad(set_to_none=True)
    with torch.no_grad():
        d = ce.detach()
        nn = (R - k) * T
        acc.append(torch.stack([d[:nn].mean(), (d * flag).sum() / flag.sum().clamp(min=1), gn.float()]))
    step += 1
    tok += R * T
    tsyn += k * T
    stoks[T] = stoks.get(T, 0) + R * T
    if t0 is None and step >= 4:
        if dev == "cuda":
            torch.cuda.synchronize()
        t0 = time.time()
        log("clock starts after %d warm-up steps, %.1fs since start of loop" % (step, t0 - tprev))
        acc = []
        lt = t0
        ltok = tok
    if step % 50 == 0 and t0 is not None and acc:
        a = torch.stack(acc).mean(0).tolist()
        n = time.time()
        log(
            f"step {step} t {n-t0:.1f}s tok {tok/1e6:.1f}M syn {tsyn/1e6:.1f}M T {T} lr {lr:.2e} nat {a[0]:.4f} ans {a[1]:.4f} gn {a[2]:.3f} {(tok-ltok)/(n-lt)/1e3:.0f}k tok/s"
        )
        hist.append((step, n - t0, tok, T, lr, a[0], a[1], a[2]))
        acc = []
        lt = n
        ltok = tok
        D.poll()
    if t0 is not None and el > 120 * (ck + 1):
        ck += 1
        save("ck.pt")
if dev == "cuda":
    torch.cuda.synchronize()
save("base.pt")
json.dump(
    {
        "hist": hist,
        "steps": step,
        "tokens": tok,
        "synthetic_tokens": tsyn,
        "tokens_by_context": stoks,
        "seconds": time.time() - t0 if t0 else None,
        "epochs": {str(k): v for k, v in getattr(D, "ep", {}).items()},
        "natural_tokens_available": len(D.all),
        "natural_tokens_long": len(D.natL),
        "env": {
            k: os.environ[k]
            for k in ("TRAIN_S", "NTOK", "LR", "WD", "AW", "FS1", "FS2", "P8", "P16", "SDPA")
            if k in os.environ
        },
        "max_mem_gb": torch.cuda.max_memory_allocated() / 2**30 if dev == "cuda" else None,
    },
    open(f"{W}/train.json", "w"),
)
log(
    "done steps",
    step,
    "tokens",
    tok,
    "max mem GB",
    torch.cuda.max_memory_allocated() / 2**30 if dev == "cuda" else "",
)
