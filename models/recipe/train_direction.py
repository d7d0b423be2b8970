"""The embedded model's search projections, and what they were chosen from: several modules learn from one frozen forward
pass, with gradients in closed form (the same formulas as native/src/train/objective.h).

MODEL=base.gguf WORK=work PROMPTS=password_prompts.jsonl S=52 python3 train_direction.py

Reads $WORK/projection-text.npy (int16 tokens, fetch_projection_text.sh) and $WORK/heldout.npy; writes
$WORK/projections-direction-d64.safetensors.
"""
import json
import math
import os
import time

import gguf_base as B
import numpy as np
import safetensors_file
import torch
import torch.nn.functional as F
from gguf_base import D, H, HD, KH, NL, dev

W = os.environ.get("WORK", "work")
S = float(os.environ.get("S", "52"))  # seconds of training after compiling
MAXSTEP = int(os.environ.get("MAXSTEP", "1000000000"))
T = int(os.environ.get("PT", "8192"))  # tokens of a window
NQ = int(os.environ.get("NQ", "2048"))  # queries learned from, drawn
WINDOW, SINKS, TAU, N_BEST = 32, 4, 0.07, 16
FINAL = "+ 0.1 InfoNCE"
# weights of the losses: a KL on q.k / sqrt(d), b KL on q.k / |k|, c InfoNCE on cosines
VARIANTS = [
    dict(name="base 1e6", b=1, by_mass=1, base=1e6),
    dict(name="base 1e5", b=1, by_mass=1, base=1e5),
    dict(name="base 1e7", b=1, by_mass=1, base=1e7),
    dict(name="rate 4e-3", b=1, by_mass=1, base=1e6, lr=4e-3),
    dict(name=FINAL, b=1, c=0.1, by_mass=1, base=1e6),
    dict(name="published losses", a=1, c=1, base=1e6),
]


def compiled(f):
    return torch.compile(f, dynamic=False) if os.environ.get("COMPILE", "1") == "1" and dev == "cuda" else f


def searched(pos, n):
    """the cells that the search is responsible for, [Nq, n]"""
    j = torch.arange(n, device=pos.device)[None]
    return ((pos[:, None] - j) >= WINDOW) & (j >= SINKS)


def teacher(q, k, pos):
    """q [Nq, H, HD], k [T, KH, HD] -> attention averaged over heads on the searched cells, sum 1, and its mass"""
    n = k.shape[0]
    s = torch.matmul(q.transpose(0, 1).reshape(KH, H // KH, -1, HD), k.transpose(0, 1).unsqueeze(1).transpose(-1, -2))
    s = (s.float() / math.sqrt(HD)).masked_fill(torch.arange(n, device=q.device)[None] > pos[:, None], float("-inf"))
    p = torch.softmax(s, -1).reshape(H, -1, n).mean(0) * searched(pos, n)
    mass = p.sum(-1)
    return p / (mass[:, None] + 1e-9), mass


def positives(t):
    p = torch.zeros_like(t).scatter_(1, t.topk(N_BEST, -1).indices, 1.0) * (t > 0)
    return p / p.sum(-1, keepdim=True).clamp(min=1)


def objective(S_, t, best, pos, nu, nv, a, b, c, weight, d):
    """S_ [V, Nq, T] = u.v -> its gradient, the parts along u and v that normalising takes away, losses [V, 3]"""
    A = searched(pos, S_.shape[-1])[None]
    t, best = t[None], best[None]
    unit = S_ / nv[:, None]
    cosine = unit / nu[..., None]

    def log_softmax(x):
        return torch.log_softmax(x.masked_fill(~A, -1e30), -1)

    la, lb, lc = log_softmax(S_ / math.sqrt(d)), log_softmax(unit), log_softmax(cosine / TAU)
    gb = b * (lb.exp() - t) * weight
    gc = c * (lc.exp() - best) * weight / TAU
    G = (a * (la.exp() - t) * weight / math.sqrt(d) + gb / nv[:, None] + gc / nv[:, None] / nu[..., None]) * A
    along_u = (gc * cosine * A).sum(-1) / nu
    along_v = ((gb * unit + gc * cosine) * A).sum(1) / nv
    entropy = -torch.xlogy(t, t).sum(-1)

    def cross(p, l):
        return -(p * torch.where(A, l, torch.zeros_like(l))).sum(-1)

    losses = torch.stack(
        [(cross(t, la) - entropy).mean(-1), (cross(t, lb) - entropy).mean(-1), cross(best, lc).mean(-1)], -1
    )
    return G, along_u, along_v, losses


class Modules:
    """V search modules of all layers, trained side by side"""

    def __init__(self, variants, d=64, seed=3):
        self.variants, self.d, V = variants, d, len(variants)
        gen = torch.Generator().manual_seed(seed)
        w = torch.randn(2, NL, d, D, generator=gen) * 0.02
        self.W = w[:, :, None].repeat(1, 1, V, 1, 1).to(dev)  # [2, NL, V, d, D]
        self.m, self.v, self.G = (torch.zeros_like(self.W) for _ in range(3))
        self.losses = torch.zeros(NL, V, 3, device=dev)
        tables = [B.table(T, d, x["base"]) for x in variants]
        self.cos, self.sin = (torch.stack([t[i] for t in tables]) for i in range(2))
        one = lambda key: torch.tensor([x.get(key, 0.0) for x in variants], device=dev).view(V, 1, 1)
        self.a, self.b, self.c, self.by_mass = one("a"), one("b"), one("c"), one("by_mass")
        self.rate = torch.tensor([x.get("lr", 2e-3) / 2e-3 for x in variants], device=dev).view(1, 1, V, 1, 1)
        self.objective = compiled(lambda *x: objective(*x, d))
        self.n = 0

    def layer(self, i, h, pos, t, mass, best):
        h = h.float()
        hq, cq, sq = h[pos], self.cos[:, pos], self.sin[:, pos]
        u = B.rope(torch.einsum("td,vkd->vtk", hq, self.W[0, i]), cq, sq)
        v = B.rope(torch.einsum("td,vkd->vtk", h, self.W[1, i]), self.cos, self.sin)
        nu, nv = u.norm(dim=-1).clamp(min=1e-6), v.norm(dim=-1).clamp(min=1e-6)
        weight = torch.where(self.by_mass[..., 0] > 0, mass.clamp(min=1e-4)[None], torch.ones_like(mass)[None])
        weight = weight * (pos > WINDOW + SINKS + 1)
        weight = (weight / weight.sum(-1, keepdim=True))[..., None]
        S_ = torch.matmul(u, v.transpose(1, 2))
        G, along_u, along_v, self.losses[i] = self.objective(S_, t, best, pos, nu, nv, self.a, self.b, self.c, weight)
        du = B.rope(torch.matmul(G, v) - u * (along_u / nu)[..., None], cq, -sq)
        dv = B.rope(torch.matmul(G.transpose(1, 2), u) - v * (along_v / nv)[..., None], self.cos, -self.sin)
        self.G[0, i] = torch.einsum("vtk,td->vkd", du, hq)
        self.G[1, i] = torch.einsum("vtk,td->vkd", dv, h)

    def step(self, rate):
        norm = self.G.pow(2).sum((0, 3, 4), keepdim=True).sqrt()  # of a layer
        g = self.G * torch.clamp(1.0 / (norm + 1e-6), max=1.0)
        self.n += 1
        self.m.mul_(0.9).add_(g, alpha=0.1)
        self.v.mul_(0.999).addcmul_(g, g, value=0.001)
        update = (self.m / (1 - 0.9**self.n)) / ((self.v / (1 - 0.999**self.n)).sqrt() + 1e-8)
        self.W.mul_(1 - rate * 0.01).sub_(self.rate * rate * update)

    def search(self, v):
        w = self.W[:, :, v].half().float()
        return dict(d=self.d, base=self.variants[v]["base"], window=WINDOW, sinks=SINKS, W=w)


@torch.no_grad()
def train(model, modules, text):
    rs = np.random.RandomState(11)
    cos, sin = B.table(T, HD, 1e6)
    qkv, finish, teach = compiled(B.qkv), compiled(B.finish), compiled(teacher)
    step, start = 0, None
    while step < MAXSTEP:
        done = 0.0 if start is None else (time.time() - start) / S
        if done >= 1:
            break
        rate = min(1, (step + 1) / 60) * (1e-4 + (2e-3 - 1e-4) * 0.5 * (1 + math.cos(math.pi * done)))
        i = rs.randint(0, len(text) - T)
        pos = torch.from_numpy(np.sort(rs.choice(T, NQ, replace=False))).to(dev)
        x = F.embedding(text[i : i + T].long(), model.embedding).to(B.half)
        for i, l in enumerate(model.fast):
            h, q, k, v = qkv(x, l.ln1, l.q, l.k, l.v, l.qn, l.kn, cos, sin)
            x = finish(x, B.attend_all(q, k, v), l.o, l.ln2, l.g, l.u, l.d)
            t, mass = teach(q[pos], k, pos)
            modules.layer(i, h, pos, t, mass, positives(t))
        modules.step(rate)
        step += 1
        if step == 3:
            start = time.time()  # compiled
        if step % 100 == 0:
            print(step, [["%.3f" % z for z in row] for row in modules.losses.mean(0).tolist()], flush=True)
    return step


def main():
    model = B.Base(os.environ["MODEL"])
    text, held = (torch.from_numpy(np.load(f"{W}/{f}.npy")).to(dev) for f in ("projection-text", "heldout"))
    held = held.long()
    modules = Modules(VARIANTS)
    steps = train(model, modules, text)
    full = B.perplexity(model, held)
    prompts = [json.loads(l) for l in open(os.environ["PROMPTS"])] if "PROMPTS" in os.environ else []
    longest = [p for p in prompts if len(p["prompt_ids"]) == 8192 and p["words"] == "train"]
    print("full perplexity", full, "steps", steps)
    for v, variant in enumerate(VARIANTS):
        search = modules.search(v)
        gaps = {
            (name, K): (B.perplexity(model, held, search=search, layers=layers, K=K) / full - 1) * 100
            for name, layers in B.LAYERS.items()
            for K in (128, 256)
        }
        mass = torch.zeros(NL, device=dev)
        B.perplexity(model, held, search=search, layers=B.LAYERS["all"], mass=mass)
        right = B.recall(model, longest, search=search, layers=B.LAYERS["all"]) if longest else None
        print(variant["name"], {k: round(g, 2) for k, g in gaps.items()}, "recall at 8192", right)
        print("  mass kept, K = 128, all layers", ["%.3f" % m for m in mass.tolist()], flush=True)
        if variant["name"] == FINAL:
            config = {
                "d_search": modules.d,
                "d_model": D,
                "layers": list(range(NL)),
                "objective": "KL(attention averaged over heads, softmax of q.k/|k|) + 0.1 InfoNCE on cosines, on the "
                "cells outside window and sinks, queries weighted by their attention mass there",
                "recipe": "models/recipe/train_direction.py",
                "steps": steps,
                "queries_per_step": NQ,
                "seq_len": T,
                "top_k": 128,
                "metric": "cosine",
                "rope": {"dimension_count": modules.d, "freq_base": variant["base"], "type": "neox"},
                "window": WINDOW,
                "sinks": SINKS,
            }
            layers = [(search["W"][0, i], search["W"][1, i]) for i in range(NL)]
            safetensors_file.write_projections(f"{W}/projections-direction-d64.safetensors", layers, config)


if __name__ == "__main__":
    main()
