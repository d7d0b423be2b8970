"""Extracted files to cleaned, de-duplicated, merged documents; held-out texts; 16 shards; sizes per package.

python3 select_documents.py [FACTOR]: the factor scales the caps of progdoc, sysdoc and code.
Run it with PYTHONHASHSEED=0: lines are de-duplicated by hash().
"""
import glob
import json
import os
import random
import re
import sys
import unicodedata

import extract_text as X

W = os.environ.get("WORK", "work")
RAW = f"{W}/raw"
OUT = f"{W}/corpus"
os.makedirs(OUT, exist_ok=True)
CATORD = ["prose", "debiandoc", "games", "userdoc", "dict", "sysdoc", "progdoc", "code"]
NAV = re.compile(
    r"^(?:\* ?)?(?:Prev(?:ious)?|Next|Up|Home|Top|Index|Contents|Table of Contents|Back|Search|Permalink|Source|Show Source|Quick search|Report (?:a )?bug|Edit|Navigation|Skip to.*|Download the ebook|\[Top\]|\[Contents\]|\[Index\]|prev|next|up|index|modules|\|)[ :|»«<>‹›*,.-]*(?:[A-Z0-9][^\n]{0,60})?$"
)
CTRL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufeff\ufffd\ue000-\uf8ff\u200b-\u200f\u00ad]")
WANTCAP = {"linux-doc-6.1": 20e6, "debian-translation-en": 16e6}
CATCAP = {
    "prose": 40e6,
    "debiandoc": 8e6,
    "games": 6e6,
    "userdoc": 7e6,
    "dict": 16e6,
    "sysdoc": 5e6,
    "progdoc": 3.6e6,
    "code": 3.2e6,
}
CATTOT = {
    "prose": 80e6,
    "debiandoc": 30e6,
    "games": 20e6,
    "userdoc": 45e6,
    "dict": 28e6,
    "sysdoc": 95e6,
    "progdoc": 150e6,
    "code": 48e6,
}
if len(sys.argv) > 1:
    f = float(sys.argv[1])
    CATTOT["progdoc"] *= f
    CATTOT["sysdoc"] *= f
    CATTOT["code"] *= f


def nat(s):
    return [int(x) if x.isdigit() else x for x in re.split(r"(\d+)", s)]


def clean(t):
    t = unicodedata.normalize("NFC", t)
    t = CTRL.sub("", t).replace("\u00a0", " ").replace("\u2028", "\n").replace("\u2029", "\n")
    t = re.sub(r"[ \t]+\n", "\n", t)
    t = re.sub(r"\n{4,}", "\n\n\n", t)
    return t


files = sorted(glob.glob(RAW + "/*.jsonl"))
bycat = {c: [] for c in CATORD}
for f in files:
    if os.path.getsize(f) == 0:
        continue
    with open(f) as h:
        d = json.loads(h.readline())
    bycat[d["cat"]].append(f)
seen = set()
boiler = {}
docs = []  # (cat,pkg,group,text,kind)
stats = {}
for cat in CATORD:
    ctot = 0
    perpkg = []
    for f in bycat[cat]:
        L = [json.loads(l) for l in open(f)]
        pkg = L[0]["pkg"]
        hashtml = any(d["kind"] == "html" for d in L)
        groups = {}
        for d in L:
            p = d["path"]
            if "/share/help/" in p and "/help/C/" not in p:
                continue
            if "/share/doc/HTML/" in p and "/HTML/en/" not in p:
                continue
            if pkg == "debian-handbook" and "/en-US/" not in p:
                continue
            if pkg == "anarchism" and "/html/" not in p:
                continue
            if pkg == "anarchism" and "-es" in p:
                continue
            if d["kind"] == "info" and hashtml:
                continue
            if re.search(r"index-files|package-use|/contents\.html|genindex|-index\.html|whatsnew/changelog|/xrefs", p):
                continue
            if pkg == "gimp-help-en" and p.endswith(".xml"):
                continue
            g = os.path.dirname(p) if d["kind"] in ("html", "docbook", "text", "game", "prose", "dict") else p
            if d["kind"] == "dict":
                g = p
            groups.setdefault((g, d["kind"]), []).append((p, d["text"]))
        cap = WANTCAP.get(pkg, CATCAP[cat])
        rnd = random.Random("g" + pkg)
        gl = list(groups.items())
        rnd.shuffle(gl)
        ptot = 0
        pdocs = []
        # pages shuffled before the cap, then sorted back so that merged documents follow the book's order
        pages = [(g, k, p, t) for (g, k), v in gl for p, t in v]
        tot = sum(len(x[3]) for x in pages)
        if tot > cap * 1.5:
            keep = cap * 1.5 / tot
            pages = [x for x in pages if rnd.random() < keep or len(x[3]) > 200000]
        pages.sort(key=lambda x: (x[0], x[1], nat(x[2])))
        cur = None
        buf = []
        bl = 0

        for g, k, p, t in pages:
            if ptot > cap:
                break
            t = clean(t)
            out = []
            dup = 0
            tl = 0
            for l in t.split("\n"):
                s = l.strip()
                if k != "code" and len(s) < 80 and NAV.match(s):
                    continue
                if len(s) >= 40 and (k != "code" or len(s) >= 60):
                    h = hash(s)
                    tl += len(s)
                    if h in seen:
                        dup += len(s)
                        continue
                    seen.add(h)
                out.append(l)
            if tl and dup / tl > 0.5:
                continue
            if dup and tl and dup / tl > 0.3 and k != "man":
                continue
            t = "\n".join(out)
            t = re.sub(r"\n{4,}", "\n\n\n", t).strip()
            if len(t) < 300:
                continue
            if k not in ("code", "dict", "game", "man") and not X.isprose(t, 0.10):
                continue
            lim = 150000 if k != "code" else 1
            if cur == (g, k) and bl + len(t) < lim and k not in ("man", "code"):
                buf.append(t)
                bl += len(t)
            else:
                if buf:
                    pdocs.append((cat, pkg, cur[0], "\n\n\n".join(buf), cur[1]))
                buf = [t]
                bl = len(t)
                cur = (g, k)
            ptot += len(t)
        if buf:
            pdocs.append((cat, pkg, cur[0], "\n\n\n".join(buf), cur[1]))
        perpkg.append((pkg, ptot, pdocs))
    # category total: shrink the largest packages first
    tot = sum(p[1] for p in perpkg)
    lim = CATTOT[cat]
    c = max([p[1] for p in perpkg] + [1])
    if tot > lim:
        lo, hi = 0, c
        for _ in range(60):
            mid = (lo + hi) / 2
            if sum(min(p[1], mid) for p in perpkg) > lim:
                hi = mid
            else:
                lo = mid
        c = lo
    for pkg, pt, pd in perpkg:
        if pt > c and pkg not in WANTCAP:
            r = random.Random("k" + pkg)
            r.shuffle(pd)
            k = []
            s = 0
            for d in pd:
                if s > c:
                    break
                k.append(d)
                s += len(d[3])
            pd = k
        docs += pd
        stats[pkg] = (cat, sum(len(d[3].encode()) for d in pd), len(pd))
    print(
        cat,
        "packages",
        len(perpkg),
        "raw",
        tot,
        "cap/pkg",
        int(c),
        "kept",
        sum(v[1] for v in stats.values() if v[0] == cat),
        flush=True,
    )
print("docs", len(docs), "bytes", sum(v[1] for v in stats.values()))
# ---- held-out: whole merged documents, prose-like, 15k..150k chars, spread over packages
r = random.Random(20241)
cand = {}
for i, d in enumerate(docs):
    cat, pkg, g, t, k = d
    if k in ("code", "dict", "man", "game"):
        continue
    if not 12000 <= len(t) <= 160000:
        continue
    a = sum(ch.isalpha() or ch in " ,." for ch in t) / len(t)
    if a < 0.86 or X.stopratio(t) < 0.26:
        continue
    cand.setdefault(pkg, []).append(i)
order = list(cand)
r.shuffle(order)
print("held-out candidates: packages", len(order), "docs", sum(map(len, cand.values())))
held = []
hb = 0
held2 = []
h2 = 0
rnd = 0
while (hb < 2_000_000 or h2 < 1_000_000) and rnd < 40:
    for p in order:
        if not cand[p]:
            continue
        if rnd > 0 and len(cand[p]) < 3:
            continue
        i = cand[p].pop(r.randrange(len(cand[p])))
        n = len(docs[i][3].encode())
        if hb < 2_000_000 and (hb / 2 <= h2 or h2 >= 1_000_000):
            held.append(i)
            hb += n
        elif h2 < 1_000_000:
            held2.append(i)
            h2 += n
        if hb >= 2_000_000 and h2 >= 1_000_000:
            break
    rnd += 1
HS = set(held) | set(held2)
json.dump(
    {
        "heldout": [(docs[i][1], docs[i][2], len(docs[i][3].encode())) for i in held],
        "heldout2": [(docs[i][1], docs[i][2], len(docs[i][3].encode())) for i in held2],
    },
    open(OUT + "/heldout_docs.json", "w"),
    indent=0,
)
open(OUT + "/heldout.txt", "w").write("\n\n\n".join(docs[i][3] for i in held) + "\n")
open(OUT + "/heldout2.txt", "w").write("\n\n\n".join(docs[i][3] for i in held2) + "\n")
print("heldout", len(held), hb, "heldout2", len(held2), h2)
train = [d for i, d in enumerate(docs) if i not in HS]
r.shuffle(train)
NS = 16
sh = [[] for _ in range(NS)]
sz = [0] * NS
for d in sorted(train, key=lambda d: -len(d[3])):
    j = sz.index(min(sz))
    sh[j].append(d)
    sz[j] += len(d[3])
os.makedirs(OUT + "/shards", exist_ok=True)
for j in range(NS):
    # documents of one package together: helps the compressor, order is irrelevant for training
    sh[j].sort(key=lambda d: (d[0], d[1], d[2]))
    open(f"{OUT}/shards/s{j:02d}.txt", "w").write("\x1e".join(d[3].replace("\x1e", "") for d in sh[j]))
json.dump(stats, open(OUT + "/stats.json", "w"), indent=0)
import collections

lens = [len(d[3]) for d in train]
print(
    "train docs",
    len(train),
    "bytes",
    sum(os.path.getsize(f"{OUT}/shards/s{j:02d}.txt") for j in range(NS)),
    "docs>16k chars",
    sum(l > 16000 for l in lens),
    "bytes in docs>32k",
    sum(l for l in lens if l > 32000),
)
kb = collections.Counter()
for d in train:
    kb[d[4]] += len(d[3])
print(kb)
