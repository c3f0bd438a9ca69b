#!/usr/bin/env python3
"""Vectors of rows, stores and of the function, by nothing but integers and SHA-256.

    python3 crates/vole/vectors/oprf.py

writes v1/rows.txt, v1/okvs.txt and v1/oprf.txt beside itself. Nothing is shared with the crate:
sizes come of the formula in floating point, products bit by bit, stores by peeling with sets of
rows, and every store is multiplied out again.
"""

import math
import struct
from hashlib import sha256
from pathlib import Path

HERE = Path(__file__).parent / "v1"


# ---- the field ----

def times(a, b):
    product = 0
    for bit in range(b.bit_length()):
        if b >> bit & 1:
            product ^= a << bit
    for bit in reversed(range(128, 256)):
        if product >> bit & 1:
            product ^= (1 << bit) ^ (0x87 << (bit - 128))
    return product


def inverse(a):
    power = 1
    for _ in range(127):
        a = times(a, a)
        power = times(power, a)
    return power


def element(data):
    return int.from_bytes(data, "little")


def encoded(a):
    return a.to_bytes(16, "little")


# ---- hashes ----

def digest(label, *fields):
    joined = b"".join(struct.pack(">Q", len(f)) + f for f in (label.encode(), *fields))
    return sha256(joined).digest()


def block(label, *fields):
    return digest(label, *fields) + bytes(32)


def rows_of(domain, ids):
    prefix = block("incamera-vole-row/1", domain)
    hashes = [sha256(prefix + i).digest() for i in ids]
    return [(element(h[:16]), element(h[16:])) for h in hashes]


# ---- shapes ----

def shape(items):
    bins = max(1, -(-items // 2**15))
    if bins == 1:
        capacity = max(items, 64)
    else:
        share = -(-items // bins)
        capacity = share + math.isqrt(68 * share - 1) + 1
    log = int(math.log2(capacity))
    w = math.log2(3)
    slope = 2 ** (0.555 * log + 0.093 * w**3 - 1.01 * w**2 + 2.925 * w - 0.133)
    e = 1.223 + (52 + 9.2) / slope
    dense = int(52 / math.log2(e * 2**log))
    scaled = math.ceil(e * 2**20)
    return bins, capacity, -(-capacity * scaled // 2**20), dense


def place(row, bins, columns):
    words = [row >> (32 * i) & 0xFFFFFFFF for i in range(4)]
    left = list(range(columns))
    chosen = [left.pop(words[i] * len(left) >> 32) for i in range(3)]
    return words[3] * bins >> 32, chosen


# ---- stores ----

def powers(row, count):
    found = []
    power = 1
    for _ in range(count):
        power = times(power, row)
        found.append(power)
    return found


def product(row, columns, dense, vector):
    _, chosen = place(row, 1, columns)
    total = 0
    for column in chosen:
        total ^= vector[column]
    for power, value in zip(powers(row, dense), vector[columns:]):
        total ^= times(power, value)
    return total


def peel(chosen, columns):
    """Columns in the order in which they settle rows, and rows in the gap."""
    left = [set() for _ in range(columns)]
    for number, row in enumerate(chosen):
        for column in row:
            left[column].add(number)
    alive = set(range(len(chosen)))
    order, gap = [], []
    stack = [column for column in range(columns) if len(left[column]) == 1]

    def take(number):
        alive.discard(number)
        for column in chosen[number]:
            left[column].discard(number)
            if len(left[column]) == 1:
                stack.append(column)

    while alive:
        if stack:
            column = stack.pop()
            if len(left[column]) == 1:
                (number,) = left[column]
                order.append((column, number))
                take(number)
        else:
            fewest = min(len(rows) for rows in left if rows)
            column = next(c for c in range(columns) if len(left[c]) == fewest)
            number = min(left[column])
            gap.append(number)
            take(number)
    return order, gap


def settle(order, chosen, columns, right):
    vector = [0] * columns
    for column, number in reversed(order):
        value = right(number)
        for other in chosen[number]:
            value ^= vector[other]
        vector[column] = value
    return vector


def solve(system, unknowns):
    """The solution with zeros where it is free, by elimination from the left."""
    pivots = []
    for unknown in range(unknowns):
        rest = [i for i in range(len(pivots), len(system)) if system[i][unknown]]
        if not rest:
            continue
        at = len(pivots)
        system[at], system[rest[0]] = system[rest[0]], system[at]
        factor = inverse(system[at][unknown])
        system[at] = [times(term, factor) for term in system[at]]
        for i, other in enumerate(system):
            if i != at and other[unknown]:
                by = other[unknown]
                system[i] = [a ^ times(b, by) for a, b in zip(other, system[at])]
        pivots.append(unknown)
    found = [0] * unknowns
    for at, unknown in enumerate(pivots):
        found[unknown] = system[at][-1]
    return found


def store(rows, items):
    """Of one bin."""
    bins, _, columns, dense = shape(items)
    assert bins == 1
    chosen = [place(row, 1, columns)[1] for row, _ in rows]
    order, gap = peel(chosen, columns)
    assert len(gap) <= dense
    coefficients = [powers(row, dense) for row, _ in rows]
    vector = settle(order, chosen, columns, lambda n: rows[n][1])
    found = [0] * dense
    if gap:
        turns = [
            settle(order, chosen, columns, lambda n, k=k: coefficients[n][k])
            for k in range(dense)
        ]

        def at(number, values):
            total = 0
            for column in chosen[number]:
                total ^= values[column]
            return total

        system = [
            [at(n, turns[k]) ^ coefficients[n][k] for k in range(dense)]
            + [rows[n][1] ^ at(n, vector)]
            for n in gap
        ]
        found = solve(system, dense)
        for k, value in enumerate(found):
            vector = [a ^ times(b, value) for a, b in zip(vector, turns[k])]
    vector += found
    for row, value in rows:
        assert product(row, columns, dense, vector) == value
    return vector, len(gap)


# ---- random streams ----

def chacha_words(key):
    """ChaCha20 with a counter of 64 bits from zero, as 32-bit words."""
    counter = 0
    while True:
        state = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574]
        state += struct.unpack("<8I", key)
        state += [counter & 0xFFFFFFFF, counter >> 32, 0, 0]
        x = list(state)

        def quarter(a, b, c, d):
            for first, second, third, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                x[first] = (x[first] + x[second]) & 0xFFFFFFFF
                x[third] ^= x[first]
                x[third] = (x[third] << turn | x[third] >> (32 - turn)) & 0xFFFFFFFF

        for _ in range(10):
            for i in range(4):
                quarter(i, i + 4, i + 8, i + 12)
            for i in range(4):
                quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
        yield from ((a + b) & 0xFFFFFFFF for a, b in zip(x, state))
        counter += 1


def shuffled(length, words):
    order = list(range(length))
    for last in range(length - 1, 0, -1):
        low = next(words)
        number = next(words) << 32 | low
        at = number * (last + 1) >> 64
        order[last], order[at] = order[at], order[last]
    return order


# ---- files ----

def write(name, comment, lines):
    text = [f"# {comment}", ""]
    for key, value in lines:
        text.append(f"{key}: {value.hex() if isinstance(value, bytes) else value}")
    (HERE / name).write_text("\n".join(text) + "\n")


def named(count, kind):
    return [f"{kind}{i}@mail.example".encode() for i in range(count)]


def rows_file():
    lines = []
    domain = sha256(b"rows").digest()
    ids = [b"", b"a", b"ana@mail.example", bytes(55), bytes(56), bytes(range(200))]
    lines.append(("domain", domain))
    lines.append(("ids", len(ids)))
    for text, (row, value) in zip(ids, rows_of(domain, ids)):
        lines += [("id", text), ("row", encoded(row)), ("value", encoded(value))]
        for bins, columns in ((1, 156), (32, 43197), (128, 5)):
            found, chosen = place(row, bins, columns)
            lines.append(("place", struct.pack(">IIIIII", bins, columns, found, *chosen)))
    sizes = [0, 1, 63, 64, 65, 1000, 2**14, 2**15, 2**15 + 1, 10**6, 2**20, 2**22]
    lines.append(("shapes", len(sizes)))
    for items in sizes:
        lines.append(("shape", struct.pack(">5I", items, *shape(items))))
    write("rows.txt", "Ids to rows, values, and places among `bins` and `columns`; shapes.", lines)


def okvs_file():
    domain = sha256(b"okvs").digest()
    lines = [("domain", domain)]
    cases = [("person", count, 0) for count in (0, 1, 64, 300)]
    cases += [("gap", 60, equal) for equal in (2, 4, 7)]
    lines.append(("cases", len(cases)))
    for kind, count, equal in cases:
        rows = rows_of(domain, named(count, kind))
        # Low bits of a row choose no other column.
        rows += [(rows[0][0] ^ i, rows[0][1] ^ (i << 100)) for i in range(1, equal + 1)]
        vector, gap = store(rows, len(rows))
        lines += [("kind", kind.encode()), ("ids", count), ("equal", equal), ("gap", gap)]
        lines.append(("store", sha256(b"".join(map(encoded, vector))).digest()))
    write("okvs.txt", "Digests of stores of ids `KIND0@mail.example`, `KIND1@...`, and of rows that equal the first but for low bits.", lines)


def dealt(name, length):
    return [element(sha256(f"{name} {i}".encode()).digest()[:16]) for i in range(length)]


def oprf_file():
    domain = sha256(b"oprf").digest()
    ids_r, ids_s = named(20, "person"), named(30, "person")[10:]
    own_matches, semi_honest = 1, 0
    kinds, sizes = bytes([own_matches, semi_honest]), struct.pack(">QQ", len(ids_r), len(ids_s))
    context = digest("incamera-vole-direction/2", domain, struct.pack(">I", 1), kinds, sizes)
    _, _, columns, dense = shape(len(ids_r))
    length = columns + dense
    (delta,) = dealt("delta", 1)
    b, c = dealt("b", length), dealt("c", length)
    a = [x ^ times(y, delta) for x, y in zip(b, c)]
    keys = [sha256(b"receiver").digest(), sha256(b"sender").digest()]
    words = [chacha_words(key) for key in keys]
    salts = [struct.pack("<8I", *(next(w) for _ in range(8))) for w in words]
    order = shuffled(len(ids_s), words[1])

    seen = block("incamera-vole/1", context)
    steps = []

    def step(number, content):
        nonlocal seen
        seen += bytes([number]) + struct.pack(">Q", len(content)) + content
        steps.append((number, content))

    rows_r, rows_s = rows_of(domain, ids_r), rows_of(domain, ids_s)
    step(1, digest("incamera-vole-salt/1", context, salts[1]))
    stored, _ = store(rows_r, len(ids_r))
    masked = [x ^ y for x, y in zip(c, stored)]
    step(8, salts[0] + b"".join(map(encoded, masked)))
    step(9, salts[1])
    prefix = block("incamera-vole-value/1", sha256(seen).digest())
    total = [x ^ times(y, delta) for x, y in zip(b, masked)]

    def value(side, row, stored_value):
        return sha256(prefix + encoded(side) + encoded(row) + encoded(stored_value)).digest()

    values_r = [value(product(r, columns, dense, a), r, v) for r, v in rows_r]
    values_s = [
        value(product(r, columns, dense, total) ^ times(v, delta), r, v) for r, v in rows_s
    ]
    assert values_r[10:] == values_s[:10]
    pairs = len(ids_r) * len(ids_s)
    tag_bytes = -(-(40 + (pairs - 1).bit_length()) // 8)
    step(10, b"".join(values_s[place][-tag_bytes:] for place in order))
    bits = 0
    for at, at_place in enumerate(order):
        bits |= (values_s[at_place] in values_r) << at
    step(11, bits.to_bytes(-(-len(ids_s) // 8), "little"))
    step(12, sha256(seen).digest())
    step(13, sha256(seen).digest())

    fields = [b"agreement", struct.pack(">I", 3), b"email", b"own-matches"]
    prefix = block("incamera-pseudonym-vole/1", *fields)
    pseudonyms = [
        sha256(prefix + values_r[0][:16] + bytes(16)).digest()[:16],
        sha256(prefix + values_r[0][:16] + values_r[1][:16]).digest()[:16],
    ]
    lines = [("domain", domain), ("receiver", keys[0]), ("sender", keys[1])]
    lines += [("step", bytes([n]) + sha256(content).digest()) for n, content in steps]
    lines += [("values", sha256(b"".join(v)).digest()) for v in (values_r, values_s)]
    lines += [("pseudonym", p) for p in pseudonyms]
    terms, first, second = sha256(b"terms").digest(), bytes([1] * 32), bytes([2] * 32)
    lines += [
        ("terms", terms),
        ("commitment", digest("incamera-vole-toss/1", terms, struct.pack(">I", 0), first)),
        ("commitment", digest("incamera-vole-toss/1", terms, struct.pack(">I", 1), second)),
        ("joined", digest("incamera-vole-domain/1", terms, first, second)),
    ]
    comment = (
        "A run of 20 and 20 ids, 10 in common, second direction, own-matches, semi-honest, with vectors "
        "`b`, `c`, `delta` dealt as SHA-256 of name, space and number: digest of each step."
    )
    write("oprf.txt", comment, lines)


rows_file()
okvs_file()
oprf_file()
