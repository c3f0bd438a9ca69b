#!/usr/bin/env python3
"""Writes crates/matching/vectors/ids2/emails.txt: addresses as they come out of files, and what
our rules 2 make of them.

    pip install regex==2026.11.15    # knows what Unicode says to show nothing for
    python3 oracles/emails.py > crates/matching/vectors/ids2/emails.txt

The rules are written here once more, from the table in the documentation of `ids`; no code is
shared with the Rust crate.
"""

import random
import unicodedata

import regex

UNSEEN = regex.compile(r"\p{Default_Ignorable_Code_Point}")
SPACE = regex.compile(r"\p{White_Space}")


def stripped(text):
    while text and (SPACE.match(text[0]) or text[0] == "\ufeff"):
        text = text[1:]
    while text and (SPACE.match(text[-1]) or text[-1] == "\ufeff"):
        text = text[:-1]
    return text


def normalise(text):
    text = stripped(text)
    if text == "":
        return "empty"
    if UNSEEN.search(text) or SPACE.search(text) or text.count("@") != 1:
        return None
    if any(unicodedata.category(c) == "Cc" for c in text):
        return None
    local, domain = text.split("@")
    if not local or not domain or domain[0] == "." or domain[-1] == "." or ".." in domain:
        return None
    local, domain = text.lower().split("@")
    if domain == "gmail.com":
        local = local.split("+")[0].replace(".", "")
    address = local + "@" + domain
    return address if local and len(address.encode()) <= 254 else None


def unseen():
    """Some of each run of them: the first, the last, one in between."""
    all_of = [c for c in map(chr, range(0x110000)) if not 0xD800 <= ord(c) < 0xE000 and UNSEEN.match(c)]
    points = set(map(ord, all_of))
    ends = [c for c in all_of if ord(c) - 1 not in points or ord(c) + 1 not in points]
    beside = [chr(ord(c) + step) for c in ends for step in (-1, 1) if ord(c) + step not in points]
    beside = [c for c in beside if unicodedata.category(c) not in ("Cc", "Cs")]
    return ends, sorted(set(beside))


def raws():
    rng = random.Random(20261123)
    ends, beside = unseen()
    for c in ends:
        yield f"ana{c}bo@mail.example"
        yield rng.choice([f"{c}anabo@mail.example", f"anabo@mail.example{c}", f"anabo@{c}gmail.com"])
    for c in beside:
        yield f"ana{c}bo@mail.example"
    # Letters that lower case makes something else of.
    for c in "\u212aK\u017fS\u00c5\u212b\u0130I\u01c5\u1e9e\u00df\u03a3\uff21\ufb00":
        yield f"{c}ana@mail.example"
        yield f"ANA{c}@Mail.Example"
    yield from ["", " ", "\ufeff", "\u3000a@b\u2003", "\ufeffa@b.example\n", "a b@c", "a@b\tc", "a@b@c", "@b", "a@"]
    yield from ["a@.b", "a@b.", "a@b..c", "A..B@c", "a.b+c@gmail.com", "A.B+c@GMAIL.COM", "+c@gmail.com"]
    yield from ["...@gmail.com", "a.b+c@googlemail.com", "a.b+c@gmail.com.example", "a\u0000b@c", "a\u0085b@c"]
    yield from ["a" * 252 + "@b", "a" * 253 + "@b", "a." * 200 + "@gmail.com", "\u00e4" * 126 + "@b", "\u00e4" * 127 + "@b"]
    letters = "aAbB.+@ \u00e4\u00c4\u200b\u00ad"
    for _ in range(200):
        local = "".join(rng.choice(letters) for _ in range(rng.randrange(6)))
        yield local + rng.choice(["@gmail.com", "@Gmail.Com", "@b.example", "@b", ""])


def main():
    print("source: oracles/emails.py, with the Unicode tables of the Python package `regex`")
    print("comment: raw, and the address or what it is instead; texts as hexadecimal of UTF-8")
    print()
    shown = {None: "invalid", "empty": "empty"}
    for raw in sorted(set(raws())):
        found = normalise(raw)
        print(raw.encode().hex() or "-", shown.get(found) or found.encode().hex())


main()
