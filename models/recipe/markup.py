"""Markup of HTML, DocBook, man and info pages stripped to plain text."""
import html
import re

BLOCK = re.compile(
    r"</?(?:p|div|h[1-6]|li|ul|ol|dl|dt|dd|tr|table|br|hr|section|article|blockquote|header|footer|body|title|para|simpara|listitem|varlistentry|term|sect[1-5]|chapter|screen|programlisting|itemizedlist|note|tip|warning|example|item|page|desc|info|row|entry|figure|caption|center|td|th)\b[^>]*>",
    re.I,
)
DROP = re.compile(
    r"<(script|style|nav|head|svg|math|noscript|select|button|form)\b.*?</\1\s*>|<!--.*?-->|<\?.*?\?>|<!\[CDATA\[|\]\]>|<!DOCTYPE[^>\[]*(\[.*?\])?\s*>",
    re.I | re.S,
)
TAG = re.compile(r"<[^>]*>")
WS = re.compile(r"[ \t\r\f\v\u00a0]+")
NL3 = re.compile(r"\n\s*\n\s*\n+")
MAIN = [
    re.compile(p, re.I)
    for p in (
        r'<div[^>]*(?:class="body"|role="main"|itemprop="articleBody"|id="content"|class="contents"|class="mw-content-ltr"|id="main-content")[^>]*>',
        r"<main\b[^>]*>",
        r"<article\b[^>]*>",
    )
]
END = re.compile(
    r'<div[^>]*(?:class="(?:sphinxsidebar|related|footer|navfooter|printfooter|navfooter)|id="(?:footer|catlinks|nav-path)")[^>]*>|</main>|<footer\b',
    re.I,
)


def strip_html(s, mainonly=True):
    s = DROP.sub(" ", s)
    if mainonly:
        for m in MAIN:
            g = m.search(s)
            if g and len(s) - g.end() > 300:
                s = s[g.end() :]
                break
        g = END.search(s)
        if g and g.start() > 500:
            s = s[: g.start()]
    s = re.sub(r'<a[^>]*class="(?:headerlink|anchor)[^>]*>.*?</a>', "", s, flags=re.S)
    parts = re.split(
        r"(<(?:pre|screen|programlisting)\b[^>]*>.*?</(?:pre|screen|programlisting)\s*>)", s, flags=re.S | re.I
    )
    out = []
    for i, p in enumerate(parts):
        if i % 2:
            out.append("\n" + html.unescape(TAG.sub("", p)).rstrip() + "\n")
        else:
            p = WS.sub(" ", p.replace("\n", " "))
            p = re.sub(r"<li\b[^>]*>|<listitem>|<item>", "\n* ", p, flags=re.I)
            p = re.sub(
                r"</?(?:p|h[1-6]|ul|ol|dl|table|section|para|title|chapter|sect[1-5]|blockquote)\b[^>]*>",
                "\n\n",
                p,
                flags=re.I,
            )
            p = re.sub(r"</t[dh]>", " ", p, flags=re.I)
            p = BLOCK.sub("\n", p)
            p = html.unescape(TAG.sub("", p))
            p = "\n".join(l.strip() for l in p.split("\n"))
            p = re.sub(r"\n\* ?\n+", "\n* ", p)
            out.append(p)
    t = "".join(out).replace("\u00b6", "")
    return NL3.sub("\n\n", t).strip()


MESC = {
    "aq": "'",
    "dq": '"',
    "em": "--",
    "en": "-",
    "lq": '"',
    "rq": '"',
    "oq": "'",
    "cq": "'",
    "bu": "*",
    "co": "(C)",
    "mu": "x",
    "->": "->",
    "<-": "<-",
    "rs": "\\",
    "ti": "~",
    "ha": "^",
    "ga": "`",
    "la": "<",
    "ra": ">",
    "at": "@",
    "Do": "$",
    "or": "|",
    "tm": "(TM)",
    "rg": "(R)",
    "mi": "-",
    "pl": "+",
    "<=": "<=",
    ">=": ">=",
    "!=": "!=",
    "de": " degrees",
}


def mun(s):
    s = re.sub(r"\\f(?:\[[^\]]*\]|\([A-Z]{2}|.)", "", s)
    s = re.sub(r"\\\((..)", lambda m: MESC.get(m.group(1), ""), s)
    s = re.sub(r"\\\[([^\]]*)\]", lambda m: MESC.get(m.group(1), ""), s)
    s = re.sub(r"\\s[-+]?\d+", "", s)
    s = re.sub(r"\\\*(?:\(..|\[[^\]]*\]|.)", "", s)
    s = (
        s.replace("\\-", "-")
        .replace("\\e", "\\")
        .replace("\\&", "")
        .replace("\\|", "")
        .replace("\\^", "")
        .replace("\\ ", " ")
        .replace("\\~", " ")
        .replace("\\c", "")
        .replace("\\'", "'")
        .replace("\\`", "`")
        .replace("\\%", "")
        .replace("\\:", "")
        .replace("\\/", "")
        .replace("\\,", "")
        .replace("\\.", ".")
        .replace("\\0", " ")
        .replace("\\(", "")
    )
    return s


def margs(s):
    r = []
    for m in re.finditer(r'"((?:[^"]|"")*)"|(\S+)', s):
        r.append(m.group(1).replace('""', '"') if m.group(1) is not None else m.group(2))
    return r


def strip_man(s):
    out = []
    buf = []

    def fl():
        if buf:
            out.append(" ".join(buf))
            buf.clear()

    nf = False
    skip = False
    for l in s.split("\n"):
        if l.startswith(("'\\\"", '.\\"', '\\"')):
            continue
        if l[:1] in ".'":
            m = re.match(r"[.']\s*(\w+)\s*(.*)$", l)
            if not m:
                continue
            c, a = m.group(1), m.group(2).split('\\"')[0]
            if skip:
                continue
            if c in ("de", "ig"):
                skip = True
                continue
            if c in ("SH", "SS", "Sh", "Ss"):
                fl()
                out.append("")
                out.append(" ".join(margs(mun(a))))
                continue
            if c in (
                "PP",
                "P",
                "LP",
                "Pp",
                "sp",
                "TP",
                "IP",
                "HP",
                "br",
                "It",
                "Bl",
                "El",
                "Bd",
                "Ed",
                "RS",
                "RE",
                "TQ",
                "D1",
                "Dl",
                "Pq",
            ):
                fl()
                if c in ("PP", "P", "LP", "Pp"):
                    out.append("")
                if c in ("IP", "It", "D1", "Dl"):
                    x = margs(mun(a))
                    if x:
                        buf.append(" ".join(y for y in x[:1]) if c == "IP" else mdoc(x))
                continue
            if c in ("nf", "EX"):
                fl()
                nf = True
                continue
            if c in ("fi", "EE"):
                fl()
                nf = False
                continue
            if c in ("B", "I", "SM", "SB", "R"):
                buf.append(" ".join(margs(mun(a))))
            elif c in ("BR", "IR", "RB", "RI", "BI", "IB"):
                buf.append("".join(margs(mun(a))))
            elif c in (
                "TH",
                "Dd",
                "Dt",
                "Os",
                "so",
                "ds",
                "nr",
                "if",
                "ie",
                "el",
                "ad",
                "hy",
                "na",
                "ne",
                "nh",
                "tr",
                "ft",
                "ps",
                "vs",
                "in",
                "ti",
                "ta",
                "UR",
                "UE",
                "MT",
                "ME",
                "PD",
                "rm",
                "el",
                "while",
                "als",
                "fam",
                "ce",
                "pl",
                "ll",
                "hw",
                "cs",
                "mso",
                "TS",
                "TE",
                "nop",
                "ec",
                "eo",
                "rr",
                "rn",
                "di",
                "da",
                "am",
                "as",
                "lf",
                "pc",
            ):
                continue
            else:
                buf.append(mdoc([c] + margs(mun(a))))
            if nf:
                fl()
        else:
            if skip:
                if l.startswith(".."):
                    skip = False
                continue
            t = mun(l)
            if nf:
                fl()
                out.append(t)
                continue
            if not t.strip():
                fl()
                out.append("")
                continue
            buf.append(t.strip())
    fl()
    return NL3.sub("\n\n", "\n".join(out)).strip()


MD = set(
    "Nm Fl Ar Pa Xr Op Cm Ic Li Dv Er Ev Fa Fn Ft Fo Fc Em Sy No Ns Ql Sq Dq Qq Pq Bq Aq Brq Oo Oc Ao Ac Po Pc Do Dc So Sc Qo Qc Tn Ux Bx Fx Nx Ox St At Va Vt An Ad Lk Mt Nd In Cd Ms Xo Xc Bo Bc Sm Bk Ek Rs Re Ap Pf Rv Ex Lb Aq Bf Ef".split()
)


def mdoc(x):
    r = []
    i = 0
    while i < len(x):
        w = x[i]
        if w == "Fl":
            if i + 1 < len(x) and x[i + 1] not in MD:
                r.append("-" + x[i + 1])
                i += 2
                continue
            r.append("-")
        elif w == "Xr" and i + 2 < len(x):
            r.append(x[i + 1] + "(" + x[i + 2] + ")")
            i += 3
            continue
        elif w in MD:
            pass
        else:
            r.append(w)
        i += 1
    return " ".join(r)


def strip_info(s):
    s = re.sub(r"\x1f\nFile:[^\n]*\n", "\n", s)
    s = (
        re.sub(r"\x1f.*?(?=\n\x1f|\Z)", "", s, flags=re.S)
        if "Tag Table" in s[-4000:] and False
        else s.replace("\x1f", "")
    )
    s = re.sub(r"\*[nN]ote ([^:]+)::", r"see \1", s)
    s = re.sub(r"\x00\x08\[[^\]]*\]?", "", s)
    return NL3.sub("\n\n", s).strip()
