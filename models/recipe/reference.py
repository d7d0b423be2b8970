"""Figures of single windows in fp32, for the tests: python3 reference.py MODEL.gguf CONTENT.safetensors TOKENS.json

The weights are those of the GGUF file, Q8_0 taken out; TOKENS.json: what `ann tokenize --json -f heldout-131k.txt` writes.
Prints tests/data/reference-windows.json. Runs on torch 1.13, and without a GPU in about twenty minutes.
"""
import json
import struct
import sys

import gguf_base as B
import numpy as np
import torch
import torch.nn.functional as F

NL, dev = B.NL, B.dev
torch.backends.cuda.matmul.allow_tf32 = False


def read_safetensors(path):
    data = open(path, "rb").read()
    n = struct.unpack_from("<Q", data)[0]
    out = {}
    for name, x in json.loads(data[8 : 8 + n]).items():
        if name != "__metadata__":
            kind = {"F32": np.float32, "F16": np.float16}[x["dtype"]]
            lo, hi = (8 + n + i for i in x["data_offsets"])
            out[name] = torch.from_numpy(np.frombuffer(data[lo:hi], kind).reshape(x["shape"]).astype(np.float32)).to(dev)
    return out


class Rotated:
    """the projections of the file: search vectors rotated with the model's base, cosine, 32 last and 4 first cells"""

    window, sinks = 32, 4

    def __init__(self, tensors):
        names = ("indexer.proj", "indexer.attn_k")
        self.W = [[tensors[f"blk.{i}.{name}.weight"].float() for name in names] for i in range(NL)]

    def rank(self, i, h, q, k, lo, hi):
        cos, sin = B.table(len(h), 64, 1e6)
        u, w = (B.rope(h @ weight.t(), cos, sin) for weight in self.W[i])
        return u[lo:hi] @ F.normalize(w[:hi], dim=-1).t()


class Content:
    """the method as published: the hidden state alone, inner product, no cell always attended"""

    window = sinks = 0

    def __init__(self, tensors):
        self.W = [[tensors[f"projections.{i}.{n}.weight"] for n in ("W_Qs", "W_Ks")] for i in range(NL)]

    def rank(self, i, h, q, k, lo, hi):
        return (h @ self.W[i][0].t())[lo:hi] @ (h @ self.W[i][1].t())[:hi].t()


class Oracle:
    """the largest attention logit of any head"""

    def __init__(self, like):
        self.window, self.sinks = like.window, like.sinks

    def rank(self, i, h, q, k, lo, hi):
        return B.scores(q, k, lo, hi).amax(0)


def chosen(search, K, rank, lo, hi):
    """[hi - lo, hi]: the cells that each query attends to, at most K"""
    I = torch.arange(lo, hi, device=dev)[:, None]
    J = torch.arange(hi, device=dev)[None]
    visible = J <= I
    always = visible & (((I - J) < search.window) | (J < search.sinks))
    rank = rank.masked_fill(~visible, float("-inf")).masked_fill(always, float("inf"))
    best = rank.topk(min(K, hi), -1).indices
    return torch.zeros(hi - lo, hi, dtype=torch.bool, device=dev).scatter_(1, best, True) & visible


@torch.no_grad()
def run(model, ids, search=None, layers=(), K=128, sparse=True, chunk=512):
    """mean negative log-likelihood; mass and recall per layer of the choice. Not sparse: attention stays full"""
    T = len(ids)
    cos, sin = B.table(T, B.HD, 1e6)
    x = model.embedding[ids]
    mass, recall = torch.zeros(NL, dtype=torch.float64), torch.zeros(NL, dtype=torch.float64)
    for i, l in enumerate(model.exact):
        h, q, k, v = B.qkv(x, l.ln1, l.q, l.k, l.v, l.qn, l.kn, cos, sin)
        out = []
        for lo in range(0, T, chunk):
            hi = min(T, lo + chunk)
            s = B.scores(q, k, lo, hi)
            if i in layers:
                keep = chosen(search, K, search.rank(i, h, q, k, lo, hi), lo, hi)
                p = torch.softmax(s, -1)
                mass[i] += (p.mean(0) * keep).sum().item() / T
                visible = torch.arange(lo, hi, device=dev) + 1
                top = torch.zeros_like(keep).scatter_(1, torch.log_softmax(s, -1).amax(0).topk(min(K, hi), -1).indices, True)
                top &= torch.arange(hi, device=dev)[None] < visible[:, None]
                recall[i] += ((top & keep).sum(1) / visible.clamp(max=K)).sum().item() / T
                if sparse:
                    s = s.masked_fill(~keep[None], float("-inf"))
            p = torch.softmax(s, -1)
            o = torch.matmul(p.reshape(B.KH, B.H // B.KH, hi - lo, hi), v[:hi].transpose(0, 1).unsqueeze(1))
            out.append(o.reshape(B.H, hi - lo, B.HD).transpose(0, 1).reshape(hi - lo, -1))
        x = B.finish(x, torch.cat(out), l.o, l.ln2, l.g, l.u, l.d)
    y = B.rms(x, model.norm)
    nll = F.cross_entropy(y[:-1] @ model.embedding.t(), ids[1:]).item()
    figures = {"nll": round(nll, 6)}
    if layers:
        figures["mass"] = [round(z, 5) for z in mass[list(layers)].tolist()]
        figures["recall_teacher"] = [round(z, 5) for z in recall[list(layers)].tolist()]
    return figures


def main():
    model = B.Base(sys.argv[1])
    tensors = B.read_gguf(sys.argv[1])
    tokens = torch.tensor([t["id"] for t in json.load(open(sys.argv[3]))["tokens"]], dtype=torch.long, device=dev)
    rotated, content = Rotated(tensors), Content(read_safetensors(sys.argv[2]))
    result = {"text": "heldout-131k.txt, its first tokens as one window", "windows": []}
    for T in (1024, 4096):
        ids = tokens[:T]
        full = run(model, ids)
        rows = []

        def row(name, search, layers, K, sparse=True):
            figures = run(model, ids, search, B.LAYERS[layers], K, sparse)
            trajectory = "own" if sparse else "dense"
            rows.append({"search": name, "layers": layers, "k": K, "trajectory": trajectory, **figures})
            print(T, rows[-1]["search"], layers, K, trajectory, figures["nll"] - full["nll"], file=sys.stderr, flush=True)

        row("rotated", rotated, "all", 128)
        row("rotated", rotated, "all", 64)
        row("rotated", rotated, "all", 256)
        row("rotated", rotated, "pilot", 128)
        row("rotated", rotated, "reserved", 128)
        row("rotated", rotated, "all", 128, sparse=False)
        row("oracle", Oracle(rotated), "all", 128)
        row("oracle", Oracle(rotated), "all", 128, sparse=False)
        row("content", content, "pilot", 256)
        row("content", content, "all", 128, sparse=False)
        result["windows"].append({"length": T, "dense_nll": full["nll"], "figures": rows})
    print(json.dumps(result, indent=1).replace(",\n      ", ", ").replace("[\n      ", "[").replace("\n     ]", "]"))


if __name__ == "__main__":
    main()
