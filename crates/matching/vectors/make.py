#!/usr/bin/env python3
"""Writes `v1/ids.txt` beside it, and holds what the other scripts share.

An implementation of its own, from RFC 9496 (ristretto255), RFC 9380 (expand_message_xmd),
RFC 5869 (HKDF) and the module documentation of `terms`; it shares no code with the Rust
crate and needs nothing but Python. Run it without arguments. make_v2.py writes the vectors of
the protocol.
"""

import hashlib
import hmac
import pathlib

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


# ---- RFC 9496, section 4 ----

def negative(x):
    return x % P % 2 == 1


def absolute(x):
    return -x % P if negative(x) else x % P


def sqrt_ratio(u, v):
    """Section 4.2."""
    r = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * r * r % P
    correct, flipped, flipped_i = check == u % P, check == -u % P, check == -u * SQRT_M1 % P
    if flipped or flipped_i:
        r = r * SQRT_M1 % P
    return correct or flipped, absolute(r)


INVSQRT_A_MINUS_D = sqrt_ratio(1, (-1 - D) % P)[1]
SQRT_AD_MINUS_ONE = 25063068953384623474111414158702152701244531502492656460079210482610430750235
ONE_MINUS_D_SQ = (1 - D * D) % P
D_MINUS_ONE_SQ = (D - 1) ** 2 % P
IDENTITY = (0, 1, 1, 0)


def decode(data):
    """Section 4.3.1; None for what is no encoding."""
    s = int.from_bytes(data, "little")
    if s >= P or negative(s):
        return None
    ss = s * s % P
    u1, u2 = (1 - ss) % P, (1 + ss) % P
    v = (-D * u1 * u1 - u2 * u2) % P
    square, root = sqrt_ratio(1, v * u2 * u2 % P)
    x_den, y_den = root * u2 % P, root * root * u2 * v % P
    x = absolute(2 * s * x_den)
    y = u1 * y_den % P
    t = x * y % P
    if not square or negative(t) or y == 0:
        return None
    return x, y, 1, t


def encode(point):
    """Section 4.3.2."""
    x0, y0, z0, t0 = point
    u1, u2 = (z0 + y0) * (z0 - y0) % P, x0 * y0 % P
    _, root = sqrt_ratio(1, u1 * u2 * u2 % P)
    den1, den2 = root * u1 % P, root * u2 % P
    z_inv = den1 * den2 * t0 % P
    if negative(t0 * z_inv):
        x, y, den = y0 * SQRT_M1 % P, x0 * SQRT_M1 % P, den1 * INVSQRT_A_MINUS_D % P
    else:
        x, y, den = x0, y0, den2
    if negative(x * z_inv):
        y = -y % P
    return absolute(den * (z0 - y)).to_bytes(32, "little")


def elligator(t):
    """MAP of section 4.3.4."""
    r = SQRT_M1 * t * t % P
    u = (r + 1) * ONE_MINUS_D_SQ % P
    v = (-1 - r * D) * (r + D) % P
    square, s = sqrt_ratio(u, v)
    c = -1
    if not square:
        s, c = -absolute(s * t) % P, r
    n = (c * (r - 1) * D_MINUS_ONE_SQ - v) % P
    w0, w1 = 2 * s * v % P, n * SQRT_AD_MINUS_ONE % P
    w2, w3 = (1 - s * s) % P, (1 + s * s) % P
    return w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P


def add(p, q):
    x1, y1, z1, t1 = p
    x2, y2, z2, t2 = q
    a, b = (y1 - x1) * (y2 - x2), (y1 + x1) * (y2 + x2)
    c, d = 2 * D * t1 * t2, 2 * z1 * z2
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(k, point):
    result = IDENTITY
    for bit in bin(k)[2:]:
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


def from_uniform(data):
    halves = data[:32], data[32:]
    first, second = (int.from_bytes(h, "little") % 2**255 % P for h in halves)
    return add(elligator(first), elligator(second))


# ---- the protocol ----

def expand_message_xmd(message, tag):
    """RFC 9380, section 5.3.1, SHA-512, 64 bytes."""
    tag += bytes([len(tag)])
    b0 = hashlib.sha512(bytes(128) + message + (64).to_bytes(2, "big") + b"\0" + tag).digest()
    return hashlib.sha512(b0 + b"\x01" + tag).digest()


def prefixed(*fields):
    return b"".join(bytes([len(field)]) + field for field in fields)


class Terms:
    def __init__(self, epoch=1, id_kind="email", max_ids=1000):
        self.agreement_id = hashlib.sha256(b"agreement id").digest()
        self.agreement_digest = hashlib.sha256(b"agreement digest").digest()
        self.epoch, self.id_kind, self.max_ids = epoch, id_kind, max_ids
        self.method, self.reveals = "commutative", "nothing"

    def tagged(self, label):
        return prefixed(label.encode(), self.agreement_id, self.epoch.to_bytes(4, "big"),
                        self.id_kind.encode(), self.method.encode(), self.reveals.encode())

    def hash(self, text):
        return from_uniform(expand_message_xmd(text.encode(), self.tagged("incamera-matching-hash/1")))

    def scalar(self, key):
        label = self.tagged("incamera-matching-secret/1")
        wide = hashlib.sha512(len(label).to_bytes(8, "big") + label + key + b"\0").digest()
        return int.from_bytes(wide, "little") % L

    def pseudonym(self, point):
        info = prefixed(self.agreement_id, self.epoch.to_bytes(4, "big"), self.id_kind.encode())
        prk = hmac.digest(b"incamera-pseudonym/1", encode(point), "sha256")
        return hmac.digest(prk, info + b"\x01", "sha256")[:16]


def varint(n):
    out = b""
    while n >= 128:
        out, n = out + bytes([n % 128 + 128]), n >> 7
    return out + bytes([n])


def field(number, value):
    """One protobuf field; a default value is left out."""
    if value in (0, "", b""):
        return b""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def message(number, *fields):
    """A MatchMessage with one alternative, which is there even when it is empty."""
    body = b"".join(fields)
    return varint(number << 3 | 2) + varint(len(body)) + body


def points(number, first, encodings):
    return message(number, field(1, first), field(2, b"".join(encodings)))


def done(received):
    return message(4, field(1, received))


def direct(terms, key_a, key_b, text):
    """The pseudonym without any protocol: KDF(H(id)^(kA kB))."""
    both = terms.scalar(key_a) * terms.scalar(key_b) % L
    return terms.pseudonym(multiply(both, terms.hash(text)))


# ---- the files ----

FOLDER = pathlib.Path(__file__).parent / "v1"
MAILER_KEY, SHOP_KEY = bytes([0x11]) * 32, bytes([0x22]) * 32
MAILER_IDS = ["ana@mail.example", "bo@mail.example", "cy@mail.example"]
SHOP_IDS = ["cy@mail.example", "bo@mail.example", "dee@mail.example", "eli@mail.example"]


def ids():
    """Raw ids and what they become: `kind raw normalised`, in hex, or why not."""
    email = {"Ana@Mail.Example": "ana@mail.example", "  ana@mail.example\t": "ana@mail.example",
             "\u00a0ana@mail.example\r\n": "ana@mail.example", "\ufeffana@mail.example": "ana@mail.example",
             "a.b+tag@mail.example": "a.b+tag@mail.example", "ÄNA@MÄIL.example": "äna@mäil.example",
             "ΑΣ@mail.example": "ας@mail.example", "a@b": "a@b", "": "empty", " \t": "empty", "ana": "invalid",
             "@mail.example": "invalid", "ana@": "invalid", "a@b@c": "invalid", "an a@mail.example": "invalid",
             "ana@mail .example": "invalid", "ana@.mail": "invalid", "ana@mail.": "invalid",
             "ana@mail..example": "invalid", "a\x00b@mail.example": "invalid",
             "a" * 246 + "@mail.exa": "invalid", "a" * 245 + "@mail.exam": "invalid",
             "a" * 245 + "@mail.exa": "a" * 245 + "@mail.exa"}
    phone = {"+44 20 7946 0000": "+442079460000", "0044 (20) 7946-0000": "+442079460000",
             "+1/202.555.0100": "+12025550100", "020 7946 0000": "invalid", "+0442079460000": "invalid",
             "+123456": "invalid", "+1234567": "+1234567", "+1234567890123456": "invalid",
             "+12a4567": "invalid", "": "empty", "+": "invalid", "0012345678": "+12345678"}
    loyalty = {" 0001 ": "0001", "Ünï 2": "Ünï 2", "": "empty", "a\tb": "invalid", "x" * 255: "invalid"}
    lines = ["comment: what becomes of an id: kind, raw, and normalised or why not; texts in hex", ""]
    for kind, cases in {"email": email, "phone": phone, "loyalty": loyalty}.items():
        for raw, result in cases.items():
            word = result if result in ("empty", "invalid") else "is " + result.encode().hex()
            lines.append(f"{kind} {raw.encode().hex() or '-'} {word}")
    (FOLDER / "ids.txt").write_text("\n".join(lines) + "\n")


def self_test():
    """RFC 9496, appendices A.1 and A.3, and RFC 9497, A.1.1."""
    base = decode(bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"))
    assert encode(multiply(15, base)).hex() == "e0c418f7c8d9c4cdd7395b93ea124f3ad99021bb681dfc3302a9d99a2e53e64e"
    assert encode(multiply(L, base)) == bytes(32)
    spell = b"Ristretto is traditionally a short shot of espresso coffee"
    mapped = from_uniform(hashlib.sha512(spell).digest())
    assert encode(mapped).hex() == "3066f82a1a747d45120d1740f14358531a8f04bbffe6a819f86dfe50f44a0a46"
    hashed = from_uniform(expand_message_xmd(b"\0", b"HashToGroup-OPRFV1-\0-ristretto255-SHA512"))
    blind = int.from_bytes(bytes.fromhex("64d37aed22a27f5191de1c1d69fadb899d8862b58eb4220029e036ec4c1f6706"), "little")
    assert encode(multiply(blind, hashed)).hex() == "609a0ae68c15a3cf6903766461307e5c8bb2f95e7e6550e1ffa2dc99e412803c"


if __name__ == "__main__":
    self_test()
    FOLDER.mkdir(exist_ok=True)
    ids()
