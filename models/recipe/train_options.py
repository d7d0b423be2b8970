"""Options of the training that were named when it began, each beside the embedded model's way of training: modules learn side by
side from one frozen forward pass, and each is measured as the embedded projections are.

MODEL=base.gguf WORK=work PROMPTS=password_prompts.jsonl STEPS=700 python3 train_options.py

Reads $WORK/projection-text.npy (int16 tokens, fetch_projection_text.sh) and $WORK/heldout.npy.
"""
import json
import math
import os
import time

import gguf_base as B
import numpy as np
import torch
import torch.nn.functional as F
from gguf_base import D, H, HD, KH, NL, dev

W = os.environ.get("WORK", "work")
STEPS = int(os.environ.get("STEPS", "700"))
T, NQ = int(os.environ.get("PT", "8192")), int(os.environ.get("NQ", "1024"))
BASE, WINDOW, SINKS, TAU, N_BEST, EOT = 1e6, 32, 4, 0.07, 16, int(os.environ.get("EOT", "0"))
LAYERS = {"all": list(range(NL)), "1,4,7,10": [1, 4, 7, 10], "2,4,6,8": [2, 4, 6, 8]}
OPTIONS = [
    dict(name="linear, d 64: the default"),
    dict(name="low rank: 32 before d 64", rank=32),
    dict(name="MLP: 256 GELU before d 64", hidden=256),
    dict(name="d 32", d=32),
    dict(name="d 128", d=128),
    dict(name="denominator: teacher's 256 best and an eighth of the others", denominator="sampled"),
    dict(name="denominator: teacher's 256 best and the 512 hardest", denominator="hard"),
    dict(name="positives: best two of each doubling of distance", positives="by distance"),
    dict(name="packed documents", packed=True),
    dict(name="second half on the sparse model's own states", own_states=True),
]


def normal(generator, *shape):
    return (torch.randn(*shape, generator=generator) * 0.02).to(dev).requires_grad_()


class Module:
    """search queries and keys of all layers under one option; weights are [2, NL, out, in]"""

    def __init__(self, option):
        self.option, self.d = option, option.get("d", 64)
        g = torch.Generator().manual_seed(3)
        inner = option.get("rank") or option.get("hidden")
        self.inner = normal(g, 2, NL, inner, D) if inner else None
        self.outer = normal(g, 2, NL, self.d, inner or D)
        if inner:  # the product of both as large at first as one matrix of .02
            with torch.no_grad():
                self.inner.mul_(1 / (0.02 * math.sqrt(D)))
                self.outer.mul_(math.sqrt(D / inner))
        self.weights = [w for w in (self.inner, self.outer) if w is not None]
        self.optimizer = torch.optim.AdamW(self.weights, lr=2e-3, betas=(0.9, 0.999), weight_decay=0.01)
        self.cos, self.sin = B.table(T, self.d, BASE)
        self.loss = torch.zeros(NL, device=dev)

    def encode_one(self, which, i, h):
        x = h
        if self.inner is not None:
            x = x @ self.inner[which, i].t()
            x = F.gelu(x) if "hidden" in self.option else x
        return x @ self.outer[which, i].t()

    def encode(self, i, h):
        return self.encode_one(0, i, h), self.encode_one(1, i, h)

    def search(self):
        return dict(d=self.d, base=BASE, window=WINDOW, sinks=SINKS, encode=self.encode)

    def learn(self, i, h, pos, t, mass, best, allowed):
        h = h.float()
        u = B.rope(self.encode_one(0, i, h[pos]), self.cos[pos], self.sin[pos])
        v = B.rope(self.encode_one(1, i, h), self.cos, self.sin)
        unit = u @ F.normalize(v, dim=-1, eps=1e-6).t()
        cosine = unit / u.norm(dim=-1, keepdim=True).clamp(min=1e-6)
        bias = torch.zeros_like(t).masked_fill_(~allowed, -1e30) + denominator(self.option.get("denominator"), unit, t)
        weight = mass.clamp(min=1e-4) * (pos > WINDOW + SINKS + 1)

        def cross(p, x):
            return -(p * torch.where(bias > -1e29, torch.log_softmax(x + bias, -1), torch.zeros_like(x))).sum(-1)

        loss = ((cross(t, unit) + 0.1 * cross(best, cosine / TAU)) * weight).sum() / weight.sum()
        self.loss[i] = loss.detach()
        loss.backward()

    def step(self, rate):
        for i in range(NL):
            norm = sum(w.grad[:, i].pow(2).sum() for w in self.weights).sqrt()
            for w in self.weights:
                w.grad[:, i] *= torch.clamp(1.0 / (norm + 1e-6), max=1.0)
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()


def denominator(kind, unit, t):
    """what is added to the scores before the softmax: nothing, or -1e30 for cells that are not in a query's sample"""
    if not kind:
        return 0.0
    best = torch.zeros_like(t, dtype=torch.bool).scatter_(1, t.topk(256, -1).indices, True)
    if kind == "hard":
        keep = best.scatter(1, unit.detach().topk(512, -1).indices, True)
        return torch.zeros_like(t).masked_fill_(~keep, -1e30)
    drawn = torch.rand_like(t) < 0.125  # each stands for eight
    return torch.full_like(t, -1e30).masked_fill_(drawn, math.log(8)).masked_fill_(best, 0.0)


def positives(kind, t, pos):
    if kind != "by distance":
        p = torch.zeros_like(t).scatter_(1, t.topk(N_BEST, -1).indices, 1.0) * (t > 0)
    else:
        p = torch.zeros_like(t)
        distance = pos[:, None] - torch.arange(T, device=dev)[None]
        low = WINDOW
        while low < T:
            part = t * ((distance >= low) & (distance < 2 * low))
            p.scatter_(1, part.topk(2, -1).indices, 1.0)
            low *= 2
        p *= t > 0
    return p / p.sum(-1, keepdim=True).clamp(min=1)


def teacher(q, k, pos, start):
    """attention averaged over heads on the cells that search is responsible for, sum 1; its mass; those cells"""
    j = torch.arange(T, device=dev)[None]
    first = start[pos][:, None]
    s = torch.matmul(q[pos].transpose(0, 1).reshape(KH, H // KH, -1, HD), k.transpose(0, 1).unsqueeze(1).transpose(-1, -2))
    s = (s.float() / math.sqrt(HD)).masked_fill((j > pos[:, None]) | (j < first), float("-inf"))
    allowed = ((pos[:, None] - j) >= WINDOW) & (j >= first + SINKS)
    p = torch.softmax(s, -1).reshape(H, -1, T).mean(0) * allowed
    mass = p.sum(-1)
    return p / (mass[:, None] + 1e-9), mass, allowed


def attend_packed(q, k, v, start):
    j = torch.arange(T, device=dev)
    mask = (j[None] <= j[:, None]) & (j[None] >= start[:, None])
    q, k, v = (a.transpose(0, 1)[None] for a in (q, k, v))
    k, v = k.repeat_interleave(H // KH, 1), v.repeat_interleave(H // KH, 1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)[0].transpose(0, 1).reshape(T, -1)


@torch.no_grad()
def attend_sparse(module, i, h, q, k, v):
    """attention of the sparse model: the module's own cells, K = 128"""
    a, b = module.encode(i, h.float())
    u, w = B.rope(a, module.cos, module.sin), F.normalize(B.rope(b, module.cos, module.sin), dim=-1)
    out = []
    for lo in range(0, T, 1024):
        hi = lo + 1024
        I, J = torch.arange(lo, hi, device=dev)[:, None], torch.arange(hi, device=dev)[None]
        always = ((I - J) < WINDOW) | (J < SINKS)
        rank = (u[lo:hi] @ w[:hi].t()).masked_fill((J > I) | always, float("-inf"))
        keep = always.scatter(1, rank.topk(128 - WINDOW - SINKS, -1).indices, True) & (J <= I)
        p = torch.softmax(B.scores(q, k, lo, hi).masked_fill(~keep[None], float("-inf")), -1).to(v.dtype)
        o = torch.matmul(p.reshape(KH, H // KH, hi - lo, hi), v[:hi].transpose(0, 1).unsqueeze(1))
        out.append(o.reshape(H, hi - lo, HD).transpose(0, 1).reshape(hi - lo, -1))
    return torch.cat(out)


def learn_window(model, modules, ids, pos, tables, start, attend):
    """one window through the frozen model, one update's gradients for `modules`"""
    with torch.no_grad():
        x = F.embedding(ids, model.embedding).to(B.half)
    for i, l in enumerate(model.fast):
        with torch.no_grad():
            h, q, k, v = B.qkv(x, l.ln1, l.q, l.k, l.v, l.qn, l.kn, *tables)
            x = B.finish(x, attend(i, h, q, k, v), l.o, l.ln2, l.g, l.u, l.d)
            t, mass, allowed = teacher(q, k, pos, start)
        for m in modules:
            with torch.no_grad():
                best = positives(m.option.get("positives"), t, pos)
            m.learn(i, h, pos, t, mass, best, allowed)


def document_starts(ids):
    j = torch.arange(T, device=dev)
    begins = torch.cat([torch.zeros(1, dtype=torch.bool, device=dev), ids[:-1] == EOT])
    return torch.where(begins, j, torch.zeros_like(j)).cummax(0).values


def train(model, modules, text):
    rs = np.random.RandomState(11)
    tables, none = B.table(T, HD, 1e6), torch.zeros(T, dtype=torch.long, device=dev)
    start = time.time()
    for step in range(STEPS):
        rate = min(1, (step + 1) / 60) * (1e-4 + (2e-3 - 1e-4) * 0.5 * (1 + math.cos(math.pi * step / STEPS)))
        at = rs.randint(0, len(text) - T)
        ids = text[at : at + T].long()
        pos = torch.from_numpy(np.sort(rs.choice(T, NQ, replace=False))).to(dev)
        packed = [m for m in modules if m.option.get("packed")]
        own = [m for m in modules if m.option.get("own_states") and step >= STEPS // 2]
        whole = [m for m in modules if m not in packed and m not in own]
        learn_window(model, whole, ids, pos, tables, none, lambda i, h, q, k, v: B.attend_all(q, k, v))
        starts = document_starts(ids)
        if packed:
            learn_window(model, packed, ids, pos, tables, starts, lambda i, h, q, k, v: attend_packed(q, k, v, starts))
        for m in own:
            learn_window(model, [m], ids, pos, tables, none, lambda i, *x, m=m: attend_sparse(m, i, *x))
        for m in modules:
            m.step(rate)
        if step % 100 == 99:
            print(step + 1, "%.0f s" % (time.time() - start), ["%.3f" % m.loss.mean().item() for m in modules], flush=True)


@torch.no_grad()
def measure(model, modules, held, prompts):
    full = B.perplexity(model, held)
    print("full attention: perplexity %.4f, passwords" % full, B.recall(model, prompts) if prompts else None, flush=True)
    for m in modules:
        gaps = {
            name: ["%+.2f" % ((B.perplexity(model, held, search=m.search(), layers=layers, K=K) / full - 1) * 100) for K in (128, 256)]
            for name, layers in LAYERS.items()
        }
        mass = torch.zeros(NL, device=dev)
        B.perplexity(model, held, search=m.search(), layers=LAYERS["all"], mass=mass)
        right = B.recall(model, prompts, search=m.search(), layers=LAYERS["all"]) if prompts else None
        print(m.option["name"], gaps, "passwords", right, "mass", ["%.3f" % x for x in mass.tolist()], flush=True)


def main():
    model = B.Base(os.environ["MODEL"])
    text, held = (torch.from_numpy(np.load(f"{W}/{f}.npy")).to(dev) for f in ("projection-text", "heldout"))
    chosen = os.environ.get("ONLY")
    modules = [Module(o) for i, o in enumerate(OPTIONS) if chosen is None or str(i) in chosen.split(",")]
    train(model, modules, text)
    prompts = [json.loads(line) for line in open(os.environ["PROMPTS"])] if "PROMPTS" in os.environ else []
    measure(model, modules, held.long(), [p for p in prompts if len(p["prompt_ids"]) == 8192 and p["words"] == "train"])


if __name__ == "__main__":
    main()
