"""Documentation, prose and code of the fetched packages as plain text: one JSON line per file in raw/PACKAGE.jsonl.

python3 extract_text.py [PACKAGE ...]; nothing is de-duplicated here.
"""
import glob
import gzip
import json
import lzma
import os
import random
import re
import subprocess
import sys
import tarfile
import time
from multiprocessing import Pool

import markup

W = os.environ.get("WORK", "work")
DEBS = f"{W}/debs"
OUT = f"{W}/raw"
os.makedirs(OUT, exist_ok=True)
STOP = set(
    "the of and to a in is that for it be with as on this by are or not you from was which have can if will his he at they an their but all".split()
)


def dec(b):
    try:
        return b.decode("utf-8")
    except UnicodeDecodeError:
        try:
            return b.decode("latin-1")
        except Exception:
            return ""


def stopratio(t):
    w = re.findall(r"[A-Za-z']+", t[:40000])
    if len(w) < 30:
        return 0
    return sum(x.lower() in STOP for x in w) / len(w)


def isprose(t, minr=0.10):
    if len(t) < 300:
        return False
    s = t[:40000]
    a = sum(c.isalpha() or c in " \n" for c in s) / len(s)
    asc = sum(ord(c) < 128 for c in s) / len(s)
    return a > 0.62 and asc > 0.94 and stopratio(t) >= minr


LANG = re.compile(
    r"[/._-](?:de|fr|es|it|ja|ru|pl|pt|pt[-_]BR|zh|zh[-_]CN|zh[-_]TW|nl|sv|cs|da|fi|hu|ko|tr|uk|ro|ca|nb|el|id|vi|ar|sr|sk|sl|hr|lt|et|eu|gl|fa|he|th|bg|nn|eo)(?:[-_][A-Z]{2})?(?:\.(?:UTF-?8|utf8))?[/.]",
    0,
)


def qstr(t):  # wesnoth _ "..."
    o = []
    for m in re.finditer(r'_\s*"((?:[^"]|"")*)"', t):
        x = m.group(1).replace('""', '"')
        x = re.sub(r"<[^>]*>", "", x)
        if len(x) > 25:
            o.append(re.sub(r"[ \t]+", " ", x).strip())
    return "\n\n".join(o)


def luastr(t):
    o = []
    for m in re.finditer(r'\[\[(.*?)\]\]|"((?:[^"\\\n]|\\.|\\\n)*)"', t, re.S):
        x = (
            m.group(1)
            if m.group(1) is not None
            else m.group(2).replace("\\n", "\n").replace('\\"', '"').replace("\\\n", "")
        )
        x = re.sub(r"<[^>]*>", "", x)
        if len(x) > 30 and " " in x:
            o.append(x.strip())
    return "\n".join(o)


CODE = {
    ".py": "py",
    ".c": "c",
    ".h": "c",
    ".go": "go",
    ".rs": "rs",
    ".pl": "pl",
    ".pm": "pl",
    ".lisp": "lisp",
    ".el": "el",
    ".m": "m",
    ".js": "js",
    ".ts": "ts",
    ".hpp": "cpp",
    ".rkt": "rkt",
    ".R": "r",
    ".idl": "idl",
}


def convert(pkg, cat, path, b):
    """-> list of (kind,text)"""
    low = path.lower()
    if low.endswith(".gz"):
        try:
            b = gzip.decompress(b)
        except Exception:
            return []
        low = low[:-3]
        path = path[:-3]
    elif low.endswith(".xz"):
        try:
            b = lzma.decompress(b)
        except Exception:
            return []
        low = low[:-3]
        path = path[:-3]
    ext = os.path.splitext(path)[1].lower()
    base = os.path.basename(low)
    if (
        cat != "code"
        and LANG.search(path.replace("/usr/share/", " /", 1))
        and "/help/c/" not in low
        and "/html/en/" not in low
    ):
        return []
    if base.startswith(
        (
            "copyright",
            "changelog",
            "news",
            "authors",
            "thanks",
            "credits",
            "todo",
            "genindex",
            "py-modindex",
            "search.",
            "doxygen",
            "index-all",
            "allclasses",
            "package-tree",
            "overview-tree",
            "class-use",
            "constant-values",
            "hierarchy",
            "functions_",
            "globals_",
            "annotated",
            "classes.",
            "inherits",
            "graph_legend",
            "dir_",
            "navtree",
            "menudata",
        )
    ):
        return []
    if (
        "/_sources/" in low
        or "/_static/" in low
        or "/class-use/" in low
        or "/locale/" in low
        or "/changelogs/" in low
        or "/release-notes" in low
    ):
        return []
    if low.startswith("./usr/share/man/"):
        if re.match(r"\./usr/share/man/man\d", low):
            return [("man", markup.strip_man(dec(b)))]
        return []
    if cat == "code":
        if path.endswith(tuple(CODE)):
            if "/test" in low or "test_" in base or "_test." in base:
                if random.random() > 0.15:
                    return []
            t = dec(b)
            if len(t) > 200 and len(t) < 400000 and max(map(len, t.split("\n"))) < 600:
                return [("code", t)]
        return []
    if pkg.startswith("wesnoth"):
        if ext in (".cfg", ".lua"):
            if "/campaigns/" in low or "/multiplayer/" in low or "help" in base or "/units/" in low or ext == ".cfg":
                return [("game", qstr(dec(b)))]
        return []
    if pkg == "endless-sky-data":
        if ext == ".txt":
            return [("game", "\n".join(x for x in re.findall(r"`([^`]{20,})`", dec(b))))]
        return []
    if pkg in ("naev-data", "widelands-data", "freedroidrpg-data", "warzone2100-data"):
        if ext == ".lua" or ext == ".py":
            return [("game", luastr(dec(b)))]
        if ext == ".xml":
            return [("game", markup.strip_html(dec(b), False))]
        if ext in (".txt", ".md"):
            return [("game", dec(b))]
        return []
    if pkg == "freeorion-data":
        if base == "en.txt":
            return [("game", "\n\n".join(x.strip() for x in re.findall(r"'''(.*?)'''", dec(b), re.S) if len(x) > 40))]
        return []
    if pkg == "stellarium-data":
        if base.startswith("description.en"):
            return [("prose", markup.strip_html(dec(b), False))]
        return []
    if pkg == "bible-kjv-text" or pkg.startswith(("sword", "r-cran", "dict-", "fortune", "display-")):
        return []  # handled specially
    if ext in (".html", ".htm", ".xhtml") or (
        ext == "" and b[:200].lstrip().lower().startswith((b"<!doctype html", b"<html"))
    ):
        return [("html", markup.strip_html(dec(b)))]
    if ext in (".page", ".docbook", ".xml", ".mdwn") or "/help/c/" in low:
        if ext in (".page", ".docbook", ".xml") and ("/help/" in low or "/html/en/" in low or "/doc/" in low):
            return [("docbook", markup.strip_html(dec(b), False))]
    if ext in (".info",) or re.search(r"\.info-\d+$", low):
        return [("info", markup.strip_info(dec(b)))]
    if ext in (
        ".txt",
        ".text",
        ".rst",
        ".md",
        ".pod",
        ".texi",
        ".tex",
        ".doc",
        ".adoc",
        ".asciidoc",
        ".1st",
        ".faq",
        ".howto",
        "",
    ) and ("/doc/" in low or "/vim/" in low or "/games/" in low or "/share/" in low):
        if b[:4] in (b"\x7fELF", b"\x89PNG") or b"\0" in b[:2000]:
            return []
        t = dec(b)
        if ext == ".pod":
            t = re.sub(r"^=(?:cut|over|back|encoding|begin|end|for|pod).*$", "", t, flags=re.M)
            t = re.sub(r"^=\w+\s*", "", t, flags=re.M)
            t = re.sub(r"[A-Z]<+\s?([^<>]*?)\s?>+", r"\1", t)
        return [("text", t)]
    if ext in (".pm", ".pl") and cat == "progdoc" and b"=head1" in b:
        t = dec(b)
        pods = re.findall(r"^=(?!cut).*?(?=^=cut|\Z)", t, re.S | re.M)
        t = "\n".join(pods)
        t = re.sub(r"^=(?:cut|over|back|encoding|begin|end|for|pod).*$", "", t, flags=re.M)
        t = re.sub(r"^=\w+\s*", "", t, flags=re.M)
        t = re.sub(r"[A-Z]<+\s?([^<>]*?)\s?>+", r"\1", t)
        return [("pod", t)]
    return []


def capof(pkg, cat):
    big = {
        "linux-doc-6.1": 22e6,
        "python3.11-doc": 14e6,
        "postgresql-doc-15": 12e6,
        "gimp-help-en": 12e6,
        "libreoffice-help-en-us": 12e6,
        "debian-handbook": 6e6,
        "anarchism": 20e6,
        "perl-doc": 12e6,
        "cppreference-doc-en-html": 10e6,
        "rust-doc": 9e6,
        "rust-src": 6e6,
        "golang-1.19-src": 7e6,
        "libpython3.11-stdlib": 8e6,
        "emacs-el": 6e6,
        "manpages-dev": 12e6,
        "vim-doc": 10e6,
        "vim-runtime": 10e6,
        "sqlite3-doc": 12e6,
        "git-doc": 10e6,
        "openjdk-17-doc": 8e6,
        "sagemath-doc": 8e6,
    }
    if pkg in big:
        return int(big[pkg])
    return {
        "code": 3_500_000,
        "prose": 60_000_000,
        "dict": 60_000_000,
        "games": 8_000_000,
        "debiandoc": 12_000_000,
        "userdoc": 8_000_000,
        "sysdoc": 6_000_000,
        "progdoc": 4_500_000,
    }[cat]


def fname(pkg):
    g = glob.glob(f"{DEBS}/{pkg}_*.deb")
    return g[0] if g else None


def work(a):
    cat, pkg = a
    f = fname(pkg)
    if not f:
        return (pkg, cat, 0, 0)
    cap = capof(pkg, cat)
    random.seed(pkg)
    p = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", f], stdout=subprocess.PIPE)
    tot = 0
    n = 0
    out = open(f"{OUT}/{pkg}.jsonl", "w")
    t0 = time.time()
    raw = 0
    try:
        with tarfile.open(fileobj=p.stdout, mode="r|") as tf:
            for m in tf:
                if not m.isfile() or m.size > 40_000_000 or m.size < 150:
                    continue
                e = os.path.splitext(m.name)[1].lower()
                if e in (
                    ".png",
                    ".jpg",
                    ".svg",
                    ".gif",
                    ".ogg",
                    ".so",
                    ".mo",
                    ".pdf",
                    ".ttf",
                    ".woff",
                    ".js.gz",
                    ".zip",
                    ".css",
                    ".map",
                    ".qch",
                    ".wav",
                    ".flac",
                    ".webp",
                    ".json",
                    ".qm",
                ):
                    continue
                raw += m.size
                if raw > 1_200_000_000 or time.time() - t0 > 240:
                    break
                try:
                    rs = convert(pkg, cat, m.name, tf.extractfile(m).read())
                except Exception:
                    continue
                for kind, t in rs:
                    t = t.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")
                    if kind == "code":
                        ok = True
                    elif kind == "game":
                        ok = len(t) > 300 and stopratio(t) > 0.12
                    elif kind == "man":
                        ok = len(t) > 300 and stopratio(t) > 0.08
                    else:
                        ok = isprose(t, 0.10)
                    if not ok:
                        continue
                    out.write(json.dumps({"pkg": pkg, "cat": cat, "path": m.name, "kind": kind, "text": t}) + "\n")
                    tot += len(t)
                    n += 1
                if tot > cap * 2.2:
                    break
    except Exception as ex:
        print("ERR", pkg, ex, flush=True)
    p.kill()
    p.wait()
    out.close()
    print(pkg, cat, n, tot, f"{time.time()-t0:.1f}s", flush=True)
    return (pkg, cat, n, tot)


if __name__ == "__main__":
    L = [l.split() for l in open(f"{W}/available.txt")]
    if len(sys.argv) > 1:
        L = [x for x in L if x[1] in sys.argv[1:]]
    L.sort(key=lambda a: -(os.path.getsize(fname(a[1])) if fname(a[1]) else 0))
    with Pool(2) as po:
        res = po.map(work, L, chunksize=1)
    res.sort(key=lambda r: -r[3])
    print("TOTAL", sum(r[3] for r in res))
