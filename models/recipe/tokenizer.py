"""Byte-level BPE with the Qwen2 pre-tokenizer regex: trainer and encoder in plain Python (module `regex`).

python3 tokenizer.py FRACTION trains on a sample of the shards, for example 0.2.
"""
import collections
import heapq
import json
import os
import sys

import regex

PAT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
RX = regex.compile(PAT)
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def b2u():
    bs = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    cs = bs[:]
    n = 0
    for b in range(256):
        if b not in bs:
            bs.append(b)
            cs.append(256 + n)
            n += 1
    return dict(zip(bs, map(chr, cs)))


B2U = b2u()
U2B = {v: k for k, v in B2U.items()}


def train(counts, vocab_size):
    """counts: {pretoken str: n} -> (vocab list of byte-unicode strings, merges)"""
    vocab = [B2U[b] for b in sorted(B2U, key=lambda b: B2U[b])]
    # GPT-2 order of the 256 byte symbols
    vocab = []
    for b in list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256)):
        vocab.append(B2U[b])
    for b in range(256):
        if B2U[b] not in vocab:
            vocab.append(B2U[b])
    idx = {s: i for i, s in enumerate(vocab)}
    words = []
    freq = []
    for w, c in counts.items():
        words.append([idx[B2U[b]] for b in w.encode("utf-8")])
        freq.append(c)
    pairs = collections.Counter()
    where = collections.defaultdict(set)
    for i, w in enumerate(words):
        f = freq[i]
        for a, b in zip(w, w[1:]):
            pairs[(a, b)] += f
            where[(a, b)].add(i)
    heap = [(-c, p) for p, c in pairs.items()]
    heapq.heapify(heap)
    merges = []
    nsp = len(SPECIAL)
    while len(vocab) < vocab_size - nsp and heap:
        c, p = heapq.heappop(heap)
        if pairs.get(p, 0) != -c:
            if pairs.get(p, 0) > 0:
                heapq.heappush(heap, (-pairs[p], p))
            continue
        a, b = p
        new = len(vocab)
        vocab.append(vocab[a] + vocab[b])
        merges.append((vocab[a], vocab[b]))
        ch = set()
        for i in where.pop(p):
            w = words[i]
            f = freq[i]
            j = 0
            out = []
            n = len(w)
            while j < n:
                if j < n - 1 and w[j] == a and w[j + 1] == b:
                    out.append(new)
                    j += 2
                else:
                    out.append(w[j])
                    j += 1
            if len(out) == n:
                continue
            for q in zip(w, w[1:]):
                pairs[q] -= f
                ch.add(q)
            for q in zip(out, out[1:]):
                pairs[q] += f
                where[q].add(i)
                ch.add(q)
            words[i] = out
        pairs.pop(p, None)
        for q in ch:
            if q != p and pairs.get(q, 0) > 0:
                heapq.heappush(heap, (-pairs[q], q))
    return vocab, merges


class Tok:
    def __init__(self, d):
        self.vocab = json.load(open(os.path.join(d, "vocab.json"), encoding="utf-8"))
        m = [
            tuple(l.rstrip("\n").split(" "))
            for l in open(os.path.join(d, "merges.txt"), encoding="utf-8")
            if l.strip() and not l.startswith("#version")
        ]
        self.rank = {p: i for i, p in enumerate(m)}
        n = len(self.vocab)
        self.sp = {s: n + i for i, s in enumerate(SPECIAL)}
        self.eot, self.ims, self.ime = [self.sp[s] for s in SPECIAL]
        self.n = n + len(SPECIAL)
        self.inv = [None] * self.n
        for s, i in self.vocab.items():
            self.inv[i] = bytes(U2B[c] for c in s)
        for s, i in self.sp.items():
            self.inv[i] = s.encode()
        self.cache = {}
        self.spx = regex.compile("(" + "|".join(map(regex.escape, SPECIAL)) + ")")

    def word(self, w):
        r = self.cache.get(w)
        if r is not None:
            return r
        p = [B2U[b] for b in w.encode("utf-8")]
        while len(p) > 1:
            best = None
            bi = -1
            for i in range(len(p) - 1):
                k = self.rank.get((p[i], p[i + 1]))
                if k is not None and (best is None or k < best):
                    best = k
                    bi = i
            if best is None:
                break
            a, b = p[bi], p[bi + 1]
            out = []
            i = 0
            while i < len(p):
                if i < len(p) - 1 and p[i] == a and p[i + 1] == b:
                    out.append(a + b)
                    i += 2
                else:
                    out.append(p[i])
                    i += 1
            p = out
        r = [self.vocab[x] for x in p]
        if len(self.cache) < 2_000_000:
            self.cache[w] = r
        return r

    def encode(self, t, special=False):
        if special:
            o = []
            for s in self.spx.split(t):
                if s in self.sp:
                    o.append(self.sp[s])
                elif s:
                    o += self.encode(s)
            return o
        o = []
        g = self.cache.get
        wd = self.word
        for w in RX.findall(t):
            r = g(w)
            o.extend(r if r is not None else wd(w))
        return o

    def decode(self, ids):
        return b"".join(self.inv[i] for i in ids).decode("utf-8", "replace")


def save(d, vocab, merges, maxlen=16384):
    os.makedirs(d, exist_ok=True)
    v = {s: i for i, s in enumerate(vocab)}
    assert len(v) == len(vocab)
    json.dump(v, open(d + "/vocab.json", "w", encoding="utf-8"), ensure_ascii=False)
    open(d + "/merges.txt", "w", encoding="utf-8").write("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    n = len(vocab)
    added = [
        {
            "id": n + i,
            "content": s,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for i, s in enumerate(SPECIAL)
    ]
    tj = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": PAT}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
            ],
        },
        "post_processor": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": v,
            "merges": [[a, b] for a, b in merges],
        },
    }
    json.dump(tj, open(d + "/tokenizer.json", "w", encoding="utf-8"), ensure_ascii=False)
    chat = CHAT
    json.dump(
        {
            "add_bos_token": False,
            "add_prefix_space": False,
            "added_tokens_decoder": {str(a["id"]): {k: a[k] for k in a if k != "id"} for a in added},
            "bos_token": None,
            "eos_token": "<|endoftext|>",
            "pad_token": "<|endoftext|>",
            "unk_token": None,
            "model_max_length": maxlen,
            "tokenizer_class": "Qwen2Tokenizer",
            "clean_up_tokenization_spaces": False,
            "errors": "replace",
            "split_special_tokens": False,
            "chat_template": chat,
        },
        open(d + "/tokenizer_config.json", "w"),
        indent=1,
    )


CHAT = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"


def _cnt(a):
    f, frac, seed = a
    import random

    r = random.Random(seed)
    c = collections.Counter()
    for d in open(f, encoding="utf-8").read().split("\x1e"):
        # long documents are sampled by 20 kB pieces
        for i in range(0, len(d), 20000):
            if r.random() < frac:
                c.update(RX.findall(d[i : i + 20000]))
    return c


if __name__ == "__main__":
    import glob
    import time
    from multiprocessing import Pool

    W = os.environ.get("WORK", "work")
    frac = float(sys.argv[1])
    t0 = time.time()
    fs = sorted(glob.glob(f"{W}/corpus/shards/s*.txt"))
    tot = collections.Counter()
    with Pool(2) as po:
        for c in po.imap_unordered(_cnt, [(f, frac, i) for i, f in enumerate(fs)]):
            tot.update(c)
    print("unique pretokens", len(tot), "total", sum(tot.values()), time.time() - t0, flush=True)
    tot = {w: c for w, c in tot.items() if c >= 3 and len(w) < 40}
    vocab, merges = train(tot, 8192)
    print("vocab", len(vocab), "merges", len(merges), time.time() - t0, flush=True)
    save(f"{W}/tokenizer", vocab, merges)
