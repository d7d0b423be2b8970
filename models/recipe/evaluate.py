"""Reference figures in fp32: perplexity, recall and mass per layer, password recall: python3 evaluate.py [PROMPTS.jsonl]"""
import json
import math
import os
import sys
import time

import numpy as np
import qwen3 as M
import sparse as A
import torch
import torch.nn.functional as F

W = os.environ.get("WORK", "work")
PR = sys.argv[1] if len(sys.argv) > 1 else None
dev = "cuda" if torch.cuda.is_available() else "cpu"
if dev == "cuda":
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
torch.set_grad_enabled(False)
KS = [16, 32, 64, 128, 256, 512]
CT = [int(x) for x in os.environ.get("CTX", "4096,8192").split(",")]
NT = int(os.environ.get("NTOKEVAL", "65536"))
PARTS = os.environ.get("PARTS", "mass,ppl,pass,llama")
t00 = time.time()
P = A.load(os.environ.get("BASE", f"{W}/base.pt"), dev)
LL = A.lay(P)
C = torch.load(os.environ.get("PROJ", f"{W}/projections.pt"), map_location="cpu")
sm = C["search_module"]
proj = [(sm[f"projections.{i}.W_Qs.weight"].to(dev), sm[f"projections.{i}.W_Ks.weight"].to(dev)) for i in range(A.NL)]
held = torch.from_numpy(np.load(f"{W}/heldout.npy").astype(np.int64)).to(dev)
R = {
    "device": torch.cuda.get_device_name() if dev == "cuda" else "cpu",
    "dtype": "fp32",
    "tf32": False,
    "variants": A.VARIANTS,
    "K": KS,
}
OUT = os.environ.get("REFOUT", f"{W}/reference.json")


def dump():
    json.dump(R, open(OUT + ".tmp", "w"), indent=1)
    os.replace(OUT + ".tmp", OUT)


def log(*a):
    print("[%.0fs]" % (time.time() - t00), *a, flush=True)


def massrun(T, nw):
    S = {
        k: torch.zeros(A.NL, len(KS), dtype=torch.float64, device=dev)
        for k in ("rec", "recn", "mass", "orec", "omass", "tmass")
    }
    cnt = torch.zeros(len(KS), dtype=torch.float64, device=dev)
    tot = 0
    for w in range(nw):
        ids = held[w * T : (w + 1) * T]

        def hook(i, h, q, k, v):
            qs = h @ proj[i][0].t()
            ks = h @ proj[i][1].t()
            for lo in range(0, T, 1024):
                hi = min(T, lo + 1024)
                n = hi - lo
                s = A.scores(q, k, lo, hi)
                lp = torch.log_softmax(s, -1)
                pm = lp.exp().mean(0)
                la = lp.amax(0)
                m = min(512, hi)
                ti = la.topk(m, -1).indices
                li = A.sscores(qs, ks, lo, hi).topk(m, -1).indices
                oi = s.amax(0).topk(m, -1).indices
                val = torch.arange(lo, hi, device=dev)[:, None]
                rk = torch.full((n, hi), 1 << 20, device=dev, dtype=torch.int32).scatter_(
                    1, ti, torch.arange(m, device=dev, dtype=torch.int32)[None].expand(n, m)
                )
                for nm, ix in (("l", li), ("o", oi), ("t", ti)):
                    cm = pm.gather(1, ix).double().cumsum(1)
                    rr = rk.gather(1, ix)
                    ok = ix <= val
                    for a, Kk in enumerate(KS):
                        kk = min(Kk, m)
                        mass = cm[:, kk - 1].sum()
                        if nm == "t":
                            S["tmass"][i, a] += mass
                            continue
                        den = torch.clamp(val[:, 0] + 1, max=Kk).double()
                        rec = ((rr[:, :kk] < Kk) & ok[:, :kk]).sum(1).double() / den
                        if nm == "l":
                            S["mass"][i, a] += mass
                            S["rec"][i, a] += rec.sum()
                            S["recn"][i, a] += (rec * (val[:, 0] + 1 > Kk)).sum()
                        else:
                            S["omass"][i, a] += mass
                            S["orec"][i, a] += rec.sum()

        A.fwd(P, LL, ids, hook=hook, rows=slice(0, 1))
        tot += T
        cnt += torch.tensor([max(0, T - Kk) for Kk in KS], dtype=torch.float64, device=dev)
    L = {k: (v / tot).cpu() for k, v in S.items()}
    L["recn"] = (S["recn"] / cnt[None].clamp(min=1)).cpu()
    d = {"context": T, "windows": nw, "queries": tot, "per_layer": {}}
    for nm, key in (
        ("recall_learned", "rec"),
        ("recall_learned_queries_with_more_than_K_keys", "recn"),
        ("mass_learned", "mass"),
        ("recall_oracle_rawQK", "orec"),
        ("mass_oracle_rawQK", "omass"),
        ("mass_teacher_topK", "tmass"),
    ):
        d["per_layer"][nm] = {str(Kk): [round(float(L[key][i, a]), 6) for i in range(A.NL)] for a, Kk in enumerate(KS)}
        d[nm] = {
            v: {str(Kk): round(float(L[key][ls, a].mean()), 6) for a, Kk in enumerate(KS)}
            for v, ls in A.VARIANTS.items()
        }
    return d


def ppl(T, nw, **kw):
    s = 0.0
    n = 0
    for w in range(nw):
        ids = held[w * T : (w + 1) * T]
        y = A.fwd(P, LL, ids, **kw)
        l = A.nll(P, y[:-1], ids[1:])
        s += float(l.double().sum())
        n += l.numel()
    return math.exp(s / n), s / n, n


if "mass" in PARTS:
    R["mass"] = {}
    for T in CT:
        R["mass"][str(T)] = massrun(T, max(1, min(NT // T, len(held) // T)))
        dump()
        log("mass", T, R["mass"][str(T)]["mass_learned"], R["mass"][str(T)]["recall_learned"])
if "ppl" in PARTS:
    R["ppl"] = {}
    for T in CT:
        nw = max(1, min(NT // T, len(held) // T))
        f, fl, n = ppl(T, nw)
        D = R["ppl"][str(T)] = {
            "windows": nw,
            "targets": n,
            "full_ppl": f,
            "full_nll": fl,
            "sparse": {},
            "oracle_all_layers": {},
        }
        log("full ppl", T, f)
        order = [128, 256, 64, 32, 512, 16]
        for Kk in order:
            for v, ls in A.VARIANTS.items():
                p, nl, _ = ppl(T, nw, proj=proj, layers=set(ls), topk=Kk)
                D["sparse"].setdefault(v, {})[str(Kk)] = {"ppl": p, "nll": nl, "gap_pct": (p / f - 1) * 100}
            if Kk in (64, 128, 256):
                p, nl, _ = ppl(T, nw, layers=set(A.VARIANTS["all"]), topk=Kk, oracle=True)
                D["oracle_all_layers"][str(Kk)] = {"ppl": p, "nll": nl, "gap_pct": (p / f - 1) * 100}
            dump()
            log("ppl", T, Kk, {v: round(D["sparse"][v][str(Kk)]["gap_pct"], 3) for v in A.VARIANTS})


def tail(ids, n0, cache, layers, topk, sparse_from):
    """positions n0.. of ids, keys/values of 0..n0-1 from the cache"""
    T = ids.numel()
    cos, sin = M.rope_tab(torch.arange(n0, T, device=dev))
    x = F.embedding(ids[n0:], P["model.embed_tokens.weight"])
    i_ = torch.arange(n0, T, device=dev)[:, None]
    j_ = torch.arange(T, device=dev)[None]
    for i in range(A.NL):
        l = LL[i]
        h, q, k, v = A.qkv(x, l, cos, sin)
        ck, cv, cs = cache[i]
        kk = torch.cat([ck, k])
        vv = torch.cat([cv, v])
        s = (
            torch.matmul(
                q.transpose(0, 1).reshape(A.K, A.H // A.K, T - n0, A.HD),
                kk.transpose(0, 1).unsqueeze(1).transpose(-1, -2),
            ).reshape(A.H, T - n0, T)
            / 8.0
        )
        s = s.masked_fill(j_ > i_, float("-inf"))
        if i in layers and T > topk:
            ss = ((h @ proj[i][0].t()) @ torch.cat([cs, h @ proj[i][1].t()]).t()).masked_fill(j_ > i_, float("-inf"))
            keep = torch.zeros(T - n0, T, dtype=torch.bool, device=dev).scatter_(1, ss.topk(topk, -1).indices, True)
            keep[: max(0, sparse_from - n0)] = True
            s = s.masked_fill(~keep[None], float("-inf"))
        x = A.finish(x, A.attend(s, vv, T), l)
    return M.rms(x, P["model.norm.weight"]) @ P["model.embed_tokens.weight"].t()


if "pass" in PARTS and PR:
    L = [json.loads(l) for l in open(PR)]
    lim = int(os.environ.get("PLIMIT", "0"))
    mx = int(os.environ.get("PMAXLEN", "100000"))
    if lim:
        L = [x for x in L if x["index"] < lim]
    L = [x for x in L if x["prompt_tokens"] <= mx]
    res = []
    for d in L:
        pi = d["prompt_ids"]
        an = d["answer_ids"]
        st = d["stop_id"]
        n = len(pi)
        ids = torch.tensor(pi + an, device=dev)
        tg = an + [st]
        cache = [None] * A.NL

        def hook(i, h, q, k, v):
            cache[i] = (k[: n - 1].clone(), v[: n - 1].clone(), (h @ proj[i][1].t())[: n - 1].clone())

        y = A.fwd(P, LL, ids, hook=hook, rows=slice(n - 1, None))
        r = {"id": d["id"]}

        def chk(logits):
            a = logits.argmax(-1).tolist()
            ok = [x == z for x, z in zip(a, tg)]
            return [int(all(ok[:-1])), int(all(ok))], a

        lg = y @ P["model.embed_tokens.weight"].t()
        r["base"], r["base_argmax"] = chk(lg)
        for Kk in (64, 128):
            for v, ls in A.VARIANTS.items():
                r[f"{v}/K{Kk}/decode"] = chk(tail(ids, n - 1, cache, set(ls), Kk, n))[0]
                r[f"{v}/K{Kk}/decode_incl_last_prompt_token"] = chk(tail(ids, n - 1, cache, set(ls), Kk, n - 1))[0]
                r[f"{v}/K{Kk}/sparse_prefill"] = chk(
                    A.fwd(P, LL, ids, proj=proj, layers=set(ls), topk=Kk, rows=slice(n - 1, None))
                    @ P["model.embed_tokens.weight"].t()
                )[0]
        res.append(r)
        if len(res) % 20 == 0:
            log("pass", len(res), d["set"], d["prompt_tokens"])
    R["password"] = {"prompts": len(L), "table": {}, "per_prompt": res}
    byid = {d["id"]: d for d in L}
    keys = [k for k in res[0] if k not in ("id", "base_argmax")]
    for s in sorted(set(d["set"] for d in L)):
        for ln in sorted(set(d["prompt_tokens"] for d in L)):
            for hw in ("all", "train_words", "held_words"):
                q = [
                    r
                    for r in res
                    if byid[r["id"]]["set"] == s
                    and byid[r["id"]]["prompt_tokens"] == ln
                    and (hw == "all" or byid[r["id"]]["words"] == hw.split("_")[0])
                ]
                if q:
                    R["password"]["table"][f"{s}/{ln}/{hw}"] = {
                        "n": len(q),
                        **{k: [sum(r[k][0] for r in q) / len(q), sum(r[k][1] for r in q) / len(q)] for k in keys},
                    }
    dump()
    log("pass done")
if "llama" in PARTS:  # llama-perplexity's own protocol on the full held-out text: windows of n_ctx, second half counted
    R["llama_protocol"] = {}
    for T in (2048, 4096):
        nw = len(held) // T
        s = 0.0
        n = 0
        for w in range(nw):
            ids = held[w * T : (w + 1) * T]
            y = A.fwd(P, LL, ids)
            f = T // 2
            l = A.nll(P, y[f:-1], ids[f + 1 :])
            s += float(l.double().sum())
            n += l.numel()
        R["llama_protocol"][str(T)] = {"chunks": nw, "ppl": math.exp(s / n), "targets": n}
        dump()
        log("llama", T, R["llama_protocol"][str(T)])
R["seconds"] = time.time() - t00
dump()
log("eval done")
