"""Synthetic long-range recall documents, built on token level from the tokenizer's own pieces and slices of the corpus."""
import math
import random

import passwords

INS = [
    "Remember this exact password: {p}",
    "The password is {p}. Remember it exactly.",
    "Important: memorise the exact password {p}. You will be asked for it later.",
    "Please remember the following password exactly: {p}",
    "Note the secret password: {p}",
    "Password: {p}\nKeep this password in mind.",
    "Before you read on, remember the password {p}.",
    "You must remember one thing from this text: the password is {p}.",
    'Keep in mind that the password is "{p}".',
    "The exact password you need to remember is {p}.",
    "Here is the password: {p}\nDo not forget it.",
    "Remember the exact password {p}; everything else in this text is irrelevant.",
]
Q = "What is the password? Answer with the password only."
KEYS = [
    "backup code",
    "access key",
    "room number",
    "locker combination",
    "project name",
    "user name",
    "server name",
    "gate code",
    "order number",
    "account name",
    "device label",
    "meeting place",
    "team name",
    "recovery phrase",
    "invoice number",
    "spare key",
    "door code",
    "ticket number",
    "ship name",
    "file label",
]
VAL = ["{w}", "{n}", "{w}-{n}", "{n}-{w}", "{w} {w2}", "{p}"]
FACT = [
    "The {k} is {v}.",
    "Note that the {k} is {v}.",
    "{k}: {v}",
    "By the way, the {k} is {v}.",
    "The {k} was changed to {v}.",
    "For the record, the {k} is {v}.",
]
SYS = "You are a helpful assistant."


def mkval(r):
    t = r.choice(VAL)
    n = r.randrange(10000)
    while passwords.held_digits(n):
        n = r.randrange(10000)
    return t.format(w=r.choice(passwords.TRAIN), w2=r.choice(passwords.TRAIN), n=f"{n:04d}", p=passwords.pw(r))


def cap(s):
    return s[0].upper() + s[1:]


class Filler:
    """slices of an encoded shard that start after a line end and stop at one"""

    def __init__(s, toks, tk):
        s.t = toks
        s.n = len(toks)
        s.nl = [False] * tk.n
        s.ok = [False] * tk.n
        for i, b in enumerate(tk.inv):
            s.nl[i] = b.endswith(b"\n") and i not in (tk.eot, tk.ims, tk.ime)
            s.ok[i] = (
                len(b) > 0
                and b[:1] not in (b" ", b"\n", b"\t", b"\r")
                and (b[0] < 128 or b[0] >= 0xC2)
                and i not in (tk.eot, tk.ims, tk.ime)
            )
        s.sep = tk.encode("\n\n")[0]
        s.eot = tk.eot

    def get(s, r, n):
        """about n tokens, ends with a newline token"""
        if n <= 0:
            return []
        for _ in range(50):
            i = r.randrange(max(1, s.n - n - 600))
            for j in range(i, i + 400):
                if s.nl[s.t[j]] and s.ok[s.t[j + 1]]:
                    break
            else:
                continue
            x = [int(v) for v in s.t[j + 1 : j + 1 + n]]
            x = [s.sep if v == s.eot else v for v in x]
            for e in range(len(x) - 1, max(len(x) // 2, len(x) - 160), -1):
                if s.nl[x[e]]:
                    x = x[: e + 1]
                    break
            else:
                x[-1] = s.sep
            return x
        return [s.sep]


class Gen:
    def __init__(s, tk, toks, seed):
        s.tk = tk
        s.f = Filler(toks, tk)
        s.r = random.Random(seed)
        s.c = {}
        s.nl = tk.encode("\n")[0]
        s.nl2 = tk.encode("\n\n")[0]

    def e(s, t):
        return s.tk.encode(t)

    def ec(s, t):
        v = s.c.get(t)
        if v is None:
            v = s.c[t] = s.tk.encode(t)
        return v

    def doc(s, n, style=None):
        """one document of at most about n tokens -> (ids, weight-flags)"""
        r = s.r
        tk = s.tk
        p = passwords.pw(r)
        style = style or ("chat" if r.random() < 0.4 else "plain")
        ins = s.e(r.choice(INS).format(p=p) + "\n\n")
        nf = r.choice([0, 0, 1, 2, 3, 4, 6, 8]) if n > 200 else 0
        ks = r.sample(KEYS, nf)
        facts = []
        for k in ks:
            v = mkval(r)
            facts.append((k, v, s.e(cap(r.choice(FACT).format(k=k, v=v)) + "\n\n")))
        extra = []
        if facts and r.random() < 0.35:
            for k, v, _ in r.sample(facts, min(len(facts), r.choice([1, 1, 2]))):
                extra.append((k, v))
        over = len(ins) + sum(len(f[2]) for f in facts) + 60 + sum(40 for _ in extra)
        fill = max(0, n - over)
        # where the instruction stands: early / middle / late; facts spread at random
        pos = r.choice([0.0, 0.0, 0.0, r.random() * 0.15, r.random(), r.random(), 0.9 + 0.1 * r.random()])
        items = [(pos, ins)] + [(r.random(), f[2]) for f in facts]
        items.sort(key=lambda a: a[0])
        body = []
        last = 0.0
        for q, it in items + [(1.0, None)]:
            m = int((q - last) * fill)
            if m >= 12:
                x = s.f.get(r, m)
                body += x
                if x and not tk.inv[x[-1]].endswith(b"\n\n"):
                    pass
            if it is not None:
                body += it
            last = q
        ids = []
        w = []

        def add(x, f=0):
            ids.extend(x)
            w.extend([f] * len(x))

        if style == "plain":
            add(body)
            qs = [(None, p)] + [(k, v) for k, v in extra]
            if len(qs) > 1:
                r.shuffle(qs)
            for i, (k, v) in enumerate(qs):
                qt = Q if k is None else f"What is the {k}? Answer with the {k} only."
                add(s.ec(qt + "\nAnswer:"))
                add(s.e(" " + v), 1)
                if i < len(qs) - 1:
                    add([s.nl2])
            add([tk.eot], 1)
        else:
            if r.random() < 0.25:
                add([tk.ims])
                add(s.ec("system\n" + SYS))
                add([tk.ime, s.nl])
            two = r.random() < 0.3
            add([tk.ims])
            add(s.ec("user"), 0)
            add([s.nl])
            if two:
                add(s.e(r.choice(INS).format(p=p)))
                add([tk.ime, s.nl, tk.ims])
                add(s.ec("assistant"))
                add([s.nl])
                add(s.ec(r.choice(["OK.", "Understood.", "I will remember it.", "Noted."])))
                add([tk.ime, s.nl, tk.ims])
                add(s.ec("user"))
                add([s.nl])
                x = s.f.get(r, fill) if fill > 12 else []
                b2 = []
                for f in facts:
                    b2 += f[2]
                add(b2 + x if r.random() < 0.5 else x + b2)
            else:
                add(body)
            qs = [(None, p)] + [(k, v) for k, v in extra]
            if len(qs) > 1:
                r.shuffle(qs)
            for i, (k, v) in enumerate(qs):
                if i:
                    add([tk.ims])
                    add(s.ec("user"))
                    add([s.nl])
                qt = Q if k is None else f"What is the {k}? Answer with the {k} only."
                add(s.ec(qt))
                add([tk.ime, s.nl, tk.ims])
                add(s.ec("assistant"))
                add([s.nl])
                add(s.e(v), 1)
                add([tk.ime], 1)
                add([s.nl])
            add([tk.eot], 0)
        return ids, w

    def row(s, T, lo, hi):
        """a row of exactly T tokens packed with documents of log-uniform length lo..hi"""
        ids = []
        w = []
        while len(ids) < T:
            left = T - len(ids)
            if left < 140:
                x = s.f.get(s.r, left + 200)[:left]
                x = x + [s.tk.eot] * (left - len(x))
                ids += x
                w += [0] * left
                break
            n = int(math.exp(s.r.uniform(math.log(lo), math.log(hi))))
            if n > left - 20 or left < lo + 60:
                n = left - 20
            a, b = s.doc(max(n, 90))
            if len(a) > left:
                x = s.f.get(s.r, left + 200)[:left]
                x = x + [s.tk.eot] * (left - len(x))
                ids += x
                w += [0] * left
                break
            ids += a
            w += b
        return ids, w
