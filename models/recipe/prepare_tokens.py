"""Text shards to token arrays, and recall rows made from them: python3 prepare_tokens.py PART SHARD [SHARD ...]

PART is a free name; training starts with the first part that is ready and takes in later ones.
"""
import os
import sys
import time
from multiprocessing import Pool

import numpy as np
import recall_rows
import tokenizer

W = os.environ.get("WORK", "work")
R1 = int(os.environ.get("R1", "2300"))
R8 = int(os.environ.get("R8", "150"))
R16 = int(os.environ.get("R16", "90"))


def job(j):
    t0 = time.time()
    tk = tokenizer.Tok(f"{W}/tokenizer")
    txt = open(f"{W}/corpus/shards/s{j:02d}.txt", encoding="utf-8").read()
    lim = int(os.environ.get("LIMIT", "0"))
    if lim:
        txt = txt[:lim]
    docs = txt.split("\x1e")
    nb = len(txt.encode())
    lo = []
    sh = []
    for d in docs:
        ids = tk.encode(d)
        ids.append(tk.eot)
        (lo if len(ids) >= 6000 else sh).extend(ids)
    np.save(f"{W}/natL_{j}.npy", np.array(lo, dtype=np.int16))
    np.save(f"{W}/natS_{j}.npy", np.array(sh, dtype=np.int16))
    t1 = time.time()
    g = recall_rows.Gen(tk, np.array(sh + lo if len(lo) else sh, dtype=np.int64), 1000 + j)
    for T, R, lo_, hi in ((2049, R1, 128, 2040), (8193, R8, 256, 8100), (16385, R16, 256, 16300)):
        a = np.zeros((R, T), np.int16)
        f = np.zeros((R, T), np.uint8)
        for i in range(R):
            a[i], f[i] = g.row(T, lo_, hi)
        np.save(f"{W}/syn{T-1}_{j}.npy", a)
        np.save(f"{W}/synw{T-1}_{j}.npy", f)
    return j, nb, len(lo), len(sh), t1 - t0, time.time() - t1


if __name__ == "__main__":
    os.makedirs(W, exist_ok=True)
    ids = [int(x) for x in sys.argv[2:]]
    t0 = time.time()
    with Pool(min(16, len(ids))) as po:
        for r in po.imap_unordered(job, ids):
            print("shard %d bytes %d long %d short %d  enc %.1fs syn %.1fs" % r, flush=True)
    held = tokenizer.Tok(f"{W}/tokenizer").encode(open(f"{W}/corpus/heldout.txt", encoding="utf-8").read())
    np.save(f"{W}/heldout.npy", np.array(held, dtype=np.int16))
    open(f"{W}/ready_{sys.argv[1]}", "w").write(" ".join(map(str, ids)))
    print("prep", sys.argv[1], "%.1fs" % (time.time() - t0), flush=True)
