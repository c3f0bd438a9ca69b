#!/usr/bin/env python3
"""Writes the vectors of the long vectors' parts, version 1, into the folder v1 beside it.

An implementation of its own, from FIPS 197 (AES-128), the module documentation of `ot`,
`base`, `pprf` and `code`, and, for the group, the script of the matching's vectors. Field
elements are big integers, multiplied bit by bit; the code is a dense matrix. It shares no
code with the Rust crate and needs nothing but Python. Run it without arguments. Once a release
speaks the protocol, a change of it adds a folder and never edits one.

Lines are `name: value`, bytes in hex, field elements little-endian; a list has its values
one after the other. `stream KEY` in the comments is AES-128 in counter mode, little-endian.
"""

import hashlib
import importlib.util
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
_spec = importlib.util.spec_from_file_location("group", HERE.parents[1] / "matching/vectors/make.py")
group = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(group)

BASE = bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76")


# ---- AES-128, FIPS 197 ----

def times(a, b):
    r = 0
    for i in range(8):
        if b >> i & 1:
            r ^= a << i
    for i in range(14, 7, -1):
        if r >> i & 1:
            r ^= 0x11B << (i - 8)
    return r


def sbox_entry(a):
    inverse = next((b for b in range(256) if times(a, b) == 1), 0)
    turn = lambda k: (inverse << k | inverse >> (8 - k)) & 255
    return inverse ^ turn(1) ^ turn(2) ^ turn(3) ^ turn(4) ^ 0x63


SBOX = [sbox_entry(a) for a in range(256)]


class Aes:
    def __init__(self, key):
        words, factor = [list(key[i:i + 4]) for i in range(0, 16, 4)], 1
        for i in range(4, 44):
            word = list(words[-1])
            if i % 4 == 0:
                word = [SBOX[b] for b in word[1:] + word[:1]]
                word[0] ^= factor
                factor = times(factor, 2)
            words.append([a ^ b for a, b in zip(words[i - 4], word)])
        self.keys = [sum(words[i:i + 4], []) for i in range(0, 44, 4)]

    def encrypt(self, block):
        state = [a ^ b for a, b in zip(block, self.keys[0])]
        for number, key in enumerate(self.keys[1:], 1):
            state = [SBOX[b] for b in state]
            state = [state[(i + 4 * (i % 4)) % 16] for i in range(16)]
            if number < 10:
                columns = [state[i:i + 4] for i in range(0, 16, 4)]
                state = [times(2, c[r]) ^ times(3, c[(r + 1) % 4]) ^ c[(r + 2) % 4] ^ c[(r + 3) % 4]
                         for c in columns for r in range(4)]
            state = [a ^ b for a, b in zip(state, key)]
        return bytes(state)


assert Aes(bytes(range(16))).encrypt(bytes(17 * i for i in range(16))).hex() \
    == "69c4e0d86a7b0430d8cdb78070b4c55a"


def stream(key, blocks):
    aes = Aes(key)
    return [aes.encrypt(n.to_bytes(16, "little")) for n in range(blocks)]


# ---- the field ----

def number(data):
    return int.from_bytes(data, "little")


def product(a, b):
    r = 0
    for i in range(128):
        if b >> i & 1:
            r ^= a << i
    for i in range(254, 127, -1):
        if r >> i & 1:
            r ^= (1 << 128 | 0x87) << (i - 128)
    return r


def power(a, n):
    r = 1
    for _ in range(n):
        r = product(r, a)
    return r


def elements(values):
    return b"".join(value.to_bytes(16, "little") for value in values)


def sum_of(values):
    total = 0
    for value in values:
        total ^= value
    return total


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def seeded(label, length):
    return hashlib.shake_256(label.encode()).digest(length)


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


CONTEXT = sha256(b"context")


def write(name, comment, lines):
    text = "".join(f"# {line}\n" for line in comment) + "\n"
    text += "".join(f"{key}: {value.hex() if isinstance(value, bytes) else value}\n" for key, value in lines)
    (HERE / "v1" / name).write_text(text)


# ---- ot ----

def hash_to(tag, text):
    return group.from_uniform(group.expand_message_xmd(text, tag))


def scalar(label):
    return number(seeded(label, 64)) % group.L


def ot():
    batch, base = 1, group.decode(BASE)
    context = sha256(b"incamera-vole-ot/1", CONTEXT, bytes([batch]))
    a = scalar("a")
    sender = group.encode(group.multiply(a, base))
    lines = [("context", CONTEXT), ("batch", batch), ("a", a.to_bytes(32, "little")), ("base", sender)]
    for index, choice in enumerate([0, 1, 1, 0]):
        b, seed = scalar(f"b {index}"), seeded(f"seed {index}", 64)
        other = group.encode(hash_to(b"incamera-vole-ot-random/1", seed))
        text = lambda which, point: context + index.to_bytes(4, "little") + bytes([which]) + point
        shift = hash_to(b"incamera-vole-ot/1", text(choice, other))
        own = group.encode(group.add(group.multiply(b, base), group.multiply(group.L - 1, shift)))
        pair = [own, other] if choice == 0 else [other, own]
        keys = []
        for which in (0, 1):
            shift = hash_to(b"incamera-vole-ot/1", text(which, pair[1 - which]))
            shared = group.encode(group.multiply(a, group.add(group.decode(pair[which]), shift)))
            keys.append(sha256(b"incamera-vole-ot-key/1", context, sender, *pair,
                               index.to_bytes(4, "little"), bytes([which]), shared)[:16])
        mine = group.encode(group.multiply(b, group.decode(sender)))
        assert keys[choice] == sha256(b"incamera-vole-ot-key/1", context, sender, *pair,
                                      index.to_bytes(4, "little"), bytes([choice]), mine)[:16]
        lines += [("choice", choice), ("b", b.to_bytes(32, "little")), ("seed", seed),
                  ("pair", b"".join(pair)), ("keys", b"".join(keys))]
    write("ot.txt", ["Transfers: the sender's exponent and point; then for each its choice, the",
                     "chooser's exponent and the 64 bytes of the other point, both points, both keys."], lines)


# ---- base ----

def base():
    count = 3
    blocks = stream(seeded("pairs", 16), 256)
    pairs = [(blocks[2 * i], blocks[2 * i + 1]) for i in range(128)]
    delta = number(seeded("delta", 16))
    c = [number(seeded(f"c {j}", 16)) for j in range(count)]
    rho = number(seeded("rho", 16))
    a, b, corrections = [0] * count, [0] * count, b""
    for i, pair in enumerate(pairs):
        u, v = ([number(block) for block in stream(key, count)] for key in pair)
        row = [u[j] ^ v[j] ^ product(1 << i, c[j]) for j in range(count)]
        corrections += elements(row)
        for j in range(count):
            a[j] ^= u[j]
            b[j] ^= v[j] ^ row[j] if delta >> i & 1 else u[j]
    assert all(a[j] == b[j] ^ product(c[j], delta) for j in range(count))
    weighted = lambda values: sum_of([product(power(rho, j + 1), values[j]) for j in range(count - 1)]) ^ values[-1]
    answer = elements([weighted(c), weighted(a)])
    write("base.txt", ["Base vectors: `pairs` is the key of the stream whose blocks are the 128 pairs of keys."],
          [("pairs", seeded("pairs", 16)), ("delta", elements([delta])), ("c", elements(c)),
           ("corrections", sha256(corrections)), ("a", elements(a)), ("b", elements(b)),
           ("rho", elements([rho])), ("answer", answer)])


# ---- pprf ----

def pprf():
    depth, path = 5, 19
    keys = stream(sha256(b"incamera-vole-tree/2", CONTEXT, bytes([0]))[:16], 4 * depth)
    root, blocks = seeded("root", 16), stream(seeded("levels", 16), 2 * depth)
    chosen = b"".join(blocks[2 * level + 1 - (path >> level & 1)] for level in range(depth))
    lines = [("context", CONTEXT), ("depth", depth), ("root", root), ("levels", seeded("levels", 16)),
             ("path", path), ("chosen", chosen)]
    for tree in (0, 1):
        nodes, message = [root], b""
        for level in range(depth):
            first = 2 * (tree * depth + level)
            ciphers = [Aes(key) for key in keys[first:first + 2]]
            sides = [[xor(cipher.encrypt(node), node) for node in nodes] for cipher in ciphers]
            for side, total in zip(sides, blocks[2 * level:]):
                for node in side:
                    total = xor(total, node)
                message += total
            nodes = sides[0] + sides[1]
        lines += [("message", message), ("leaves", b"".join(nodes))]
    write("pprf.txt", ["The first two trees of a run, of one root: `levels` is the key of the stream whose blocks",
                       "are the pairs of keys; `chosen` are those of a receiver with the path. All leaves."], lines)


# ---- code ----

def code():
    m = 52
    alpha = number(sha256(b"incamera-vole-alpha/1")[:16])
    bytes_of = lambda n, count: b"".join(
        stream(sha256(b"incamera-vole-code/2", CONTEXT, bytes([n]))[:16], -(-count // 16)))[:count]
    unit = lambda j: [int(i == j) for i in range(m)]
    z = [unit(j) for j in range(m)]           # row j: z_j as a combination of the second half
    for n in (0, 1):
        taps, rows = bytes_of(n, 3 * m), []
        for j in range(m):
            word = int.from_bytes(taps[3 * j:3 * j + 3], "little")
            last = rows[j - 25] if j >= 25 else [0] * m
            row = [product(alpha, x ^ y) for x, y in zip(z[j], last)]
            for k in range(1, 25):
                if k <= j and word >> (24 - k) & 1:
                    row = [x ^ y for x, y in zip(row, rows[j - k])]
            rows.append(row)
        z = rows
    words = bytes_of(2, 84 * m)
    weights = stream(sha256(b"incamera-vole-code/2", CONTEXT, bytes([3]))[:16], m)
    matrix = []
    for i in range(m):
        row, weighted = [0] * m, [0] * m
        for r in range(21):
            word = int.from_bytes(words[84 * i + 4 * r:][:4], "little")
            first, end = (r * m // 11, (r + 1) * m // 11) if r < 11 else (0, m)
            taken = z[first + (word * (end - first) >> 32)]
            if r < 11:
                row = [x ^ y for x, y in zip(row, taken)]
            else:
                weighted = [x ^ y for x, y in zip(weighted, taken)]
        row = [x ^ product(number(weights[i]), y) for x, y in zip(row, weighted)]
        matrix.append(unit(i) + row)
    vector = [number(block) for block in stream(seeded("vector", 16), 2 * m)]
    out = [sum_of(map(product, row, vector)) for row in matrix]
    write("code.txt", ["The code: `vector` is the key of the stream whose blocks are what is encoded."],
          [("context", CONTEXT), ("length", 2 * m), ("vector", seeded("vector", 16)), ("out", elements(out))])


if __name__ == "__main__":
    (HERE / "v1").mkdir(exist_ok=True)
    ot()
    base()
    pprf()
    code()
