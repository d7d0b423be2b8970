"""The method as published. Frozen LM; per-layer search projections W_Qs, W_Ks. Teacher: head-max of softmax(QK^T/sqrt(hd)), renormalised.
loss = multi-positive InfoNCE (top-16 teacher keys, cosine, tau 0.07, all causal keys in the denominator) + KL(teacher||student)."""
import glob
import json
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
S = float(os.environ.get("PROJ_S", "130"))
T = int(os.environ.get("PT", "4096"))
B = int(os.environ.get("PB", "2"))
DS = 64
LR0 = float(os.environ.get("PLR", "1e-3"))
LR1 = float(os.environ.get("PLR1", "1e-4"))
MAXSTEP = int(os.environ.get("MAXSTEP", "1000000"))
COMP = os.environ.get("COMPILE", "1") == "1"
dev = "cuda" if torch.cuda.is_available() else "cpu"
bf = torch.bfloat16 if dev == "cuda" else torch.float32
if dev == "cuda":
    torch.backends.cuda.matmul.allow_tf32 = True
torch.manual_seed(3)
rs = np.random.RandomState(11)
c = M.CFG
NL = c["num_hidden_layers"]
LOG = open(f"{W}/proj.log", "a")


def log(*a):
    s = " ".join(str(x) for x in a)
    print(s, flush=True)
    LOG.write(s + "\n")
    LOG.flush()


P = A.load(os.environ.get("BASE", f"{W}/base.pt"), dev)
Q = {k: (v.to(bf) if v.dim() > 1 else v) for k, v in P.items()}
LL = A.lay(Q)
ids = [i for p in sorted(glob.glob(f"{W}/ready_*")) for i in open(p).read().split()]
nat = torch.from_numpy(np.concatenate([np.load(f"{W}/natL_{j}.npy") for j in ids])).to(dev)
syn = torch.from_numpy(np.concatenate([np.load(f"{W}/syn2048_{j}.npy") for j in ids])).to(dev)
g = torch.Generator().manual_seed(5)
Wq = [(torch.randn(DS, 384, generator=g) * 0.02).to(dev).requires_grad_(True) for _ in range(NL)]
Wk = [(torch.randn(DS, 384, generator=g) * 0.02).to(dev).requires_grad_(True) for _ in range(NL)]
opt = torch.optim.AdamW(
    Wq + Wk, lr=LR0, betas=(0.9, 0.999), weight_decay=0.01, **(dict(fused=True) if dev == "cuda" else {})
)
ar = torch.arange(T, device=dev)
causal = ar[None] <= ar[:, None]


def teacher(q, k):
    # q [B,T,6,64] k [B,T,2,64]
    qq = q.transpose(1, 2).reshape(B, 2, 3, T, 64)
    kk = k.transpose(1, 2).unsqueeze(2)
    s = torch.matmul(qq, kk.transpose(-1, -2)).float() * 0.125
    s = s.masked_fill(~causal, float("-inf"))
    p = torch.softmax(s, -1).reshape(B, 6, T, T).amax(1)
    return p / p.sum(-1, keepdim=True)


def student(h, wq, wk, t, idx):
    hf = h.float()
    qs = hf @ wq.t()
    ks = hf @ wk.t()
    lp = torch.log_softmax((torch.matmul(qs, ks.transpose(1, 2)) * (1 / math.sqrt(DS))).masked_fill(~causal, -1e30), -1)
    ce = -(t * torch.where(causal, lp, torch.zeros_like(lp))).sum(-1)
    ent = -(torch.xlogy(t, t)).sum(-1)
    kl = (ce - ent).mean()
    sim = torch.matmul(F.normalize(qs, dim=-1), F.normalize(ks, dim=-1).transpose(1, 2)) * (1 / 0.07)
    sim = sim.masked_fill(~causal, -1e30)
    lse = torch.logsumexp(sim, -1)
    ok = (idx <= ar[None, :, None]).float()
    ps = torch.gather(sim, 2, idx)
    con = (lse - (ps * ok).sum(-1) / ok.sum(-1)).mean()
    return kl + con, kl.detach(), con.detach()


def pre(x, ln1, q, k, v, qn, kn, cos, sin):
    return M.pre(x, ln1, q, k, v, qn, kn, cos, sin)


def post(x, att, o, ln2, g, u, d):
    return M.post(x, att, o, ln2, g, u, d)


if COMP:
    teacher, student, pre, post = [torch.compile(f, dynamic=False) for f in (teacher, student, pre, post)]
if dev == "cuda":

    def sdpa(q, k, v):
        return (
            F.scaled_dot_product_attention(
                q.view(B, T, 6, 64).transpose(1, 2),
                k.view(B, T, 2, 64).transpose(1, 2),
                v.view(B, T, 2, 64).transpose(1, 2),
                is_causal=True,
                enable_gqa=True,
            )
            .transpose(1, 2)
            .reshape(B * T, 384)
        )

else:

    def sdpa(q, k, v):
        q = q.view(B, T, 6, 64).transpose(1, 2)
        k = k.view(B, T, 2, 64).transpose(1, 2).repeat_interleave(3, 1)
        v = v.view(B, T, 2, 64).transpose(1, 2).repeat_interleave(3, 1)
        s = (q @ k.transpose(-1, -2)) / 8
        s = s.masked_fill(~causal, -1e30)
        return (s.softmax(-1) @ v).transpose(1, 2).reshape(B * T, 384)


cos, sin = M.rope_tab(ar)
cos = cos.repeat(B, 1)
sin = sin.repeat(B, 1)


def batch():
    rows = []
    for b in range(B):
        if rs.rand() < 0.15:
            i = rs.randint(0, len(syn), size=T // 2048 + 1)
            r = torch.cat([syn[j][:2048] for j in i])[:T]
        else:
            i = rs.randint(0, len(nat) - T)
            r = nat[i : i + T]
        rows.append(r.long())
    return torch.stack(rows)


step = 0
t0 = None
acc = []
hist = []
tb = time.time()
lt = tb
while True:
    p = 0 if t0 is None else (time.time() - t0) / S
    if p >= 1 or step >= MAXSTEP:
        break
    lr = min(1, (step + 1) / 100) * (LR1 + (LR0 - LR1) * 0.5 * (1 + math.cos(math.pi * min(1, p))))
    for gr in opt.param_groups:
        gr["lr"] = lr
    x_ = batch()
    with torch.no_grad():
        x = F.embedding(x_.reshape(-1), P["model.embed_tokens.weight"]).to(bf)
    st = []
    for i in range(NL):
        l = LL[i]
        with torch.no_grad():
            h, q, k, v = pre(x, l.ln1, l.q, l.k, l.v, l.qn, l.kn, cos, sin)
            x = post(x, sdpa(q, k, v), l.o, l.ln2, l.g, l.u, l.d)
            t = teacher(q.view(B, T, 6, 64), k.view(B, T, 2, 64))
            idx = t.topk(min(16, T), -1).indices
        loss, kl, con = student(h.view(B, T, 384), Wq[i], Wk[i], t, idx)
        (loss / NL).backward()
        st.append(torch.stack([kl, con]))
    gn = torch.nn.utils.clip_grad_norm_(Wq + Wk, 1.0)
    opt.step()
    opt.zero_grad(set_to_none=True)
    step += 1
    acc.append(torch.stack(st))
    if step == 3:
        if dev == "cuda":
            torch.cuda.synchronize()
        t0 = time.time()
        log("proj clock starts, compile took %.1fs" % (t0 - tb))
        lt = t0
        n0 = 3
    if step % 50 == 0 or step == MAXSTEP:
        a = torch.stack(acc).mean(0)
        n = time.time()
        acc = []
        log(
            f"proj step {step} t {n-(t0 or tb):.1f}s lr {lr:.2e} kl {a[:,0].mean():.4f} con {a[:,1].mean():.4f} gn {gn:.3f}"
        )
        hist.append((step, n - (t0 or tb), lr, a[:, 0].tolist(), a[:, 1].tolist()))
# W rounded to fp16 once, so that the GGUF (F16) and the .pt hold the same numbers
Wq = [w.detach().half().float().cpu() for w in Wq]
Wk = [w.detach().half().float().cpu() for w in Wk]
cfg = {
    "d_search": DS,
    "d_model": 384,
    "layers": list(range(NL)),
    "init_std": 0.02,
    "teacher": "head-max of softmax(QK^T/sqrt(hd)) after q_norm/k_norm and RoPE, renormalised",
    "loss": "InfoNCE(top16,tau0.07,cosine, mean over positives of -log softmax) + KL(teacher||softmax(qs.ks/sqrt(d_search)))",
    "optimizer": "AdamW wd0.01 betas 0.9,0.999 clip1.0",
    "lr": [LR0, LR1],
    "warmup": 100,
    "seq_len": T,
    "batch": B,
    "steps": step,
    "score": "inner product q_s.k_s",
    "top_k": 128,
    "rounded": "fp16",
}
PN = os.environ.get("PNAME", "projections")
torch.save(
    {
        "search_module": {
            **{f"projections.{i}.W_Qs.weight": Wq[i] for i in range(NL)},
            **{f"projections.{i}.W_Ks.weight": Wk[i] for i in range(NL)},
        },
        "config": cfg,
    },
    f"{W}/{PN}.pt",
)
safetensors_file.write_projections(f"{W}/{PN}-content-d64.safetensors", list(zip(Wq, Wk)), cfg)
json.dump(
    {
        "final_loss": float(np.mean([np.mean(h[3]) + np.mean(h[4]) for h in hist[-2:]])),
        "hist": hist,
        "steps": step,
        "seconds": time.time() - (t0 or tb),
        "config": cfg,
    },
    open(f"{W}/{PN}.json", "w"),
)
log("proj done", step)
