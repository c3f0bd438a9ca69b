#!/usr/bin/env python3
"""Writes the vectors of the matching protocol, version 1, into the folder v1 beside it.

An implementation of its own, from RFC 9496 (ristretto255), RFC 9380 (expand_message_xmd),
RFC 5869 (HKDF) and the module documentation of `commutative` and `terms`; it shares no code
with the Rust crate and needs nothing but Python. Run it without arguments. A change of the
protocol adds a folder, it never edits one.

A file has lines `name: value`, an empty line, and then the messages in order: `> hex` is
sent by the party under test, `< hex` is received by it. `random` is the byte that the
random source gives again and again: `r` is made of 64 of them, and a number below n for the
shuffle is n times the 8-byte number of them, divided by 2^64.
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


def hello(terms, own_name, own_size, **other):
    fields = {"format": "incamera-matching/1", "digest": terms.agreement_digest, "party": own_name,
              "epoch": terms.epoch, "id_kind": terms.id_kind, "method": terms.method,
              "reveals": terms.reveals, "size": own_size} | other
    return message(1, *(field(number + 1, value) for number, value in enumerate(fields.values())))


def points(number, first, encodings):
    return message(number, field(1, first), field(2, b"".join(encodings)))


def done(received):
    return message(4, field(1, received))


def below(n, random):
    return int.from_bytes(bytes([random]) * 8, "big") * n >> 64


class Side:
    """A party: its lasting scalar, its blinding, its ids in the order of the wire."""

    def __init__(self, terms, party, key, random, ids, known=()):
        self.terms, self.party, self.key, self.random = terms, party, key, random
        self.asked, self.known = list(ids), dict(known)
        self.lasting = terms.scalar(key)
        self.blind = int.from_bytes(bytes([random]) * 64, "little") % L
        self.ids = self.asked + sorted(set(self.known) - set(self.asked))
        for last in range(len(self.ids) - 1, 0, -1):
            other = below(last + 1, random)
            self.ids[last], self.ids[other] = self.ids[other], self.ids[last]

    def hello(self, **other):
        return hello(self.terms, self.party, len(self.ids), **other)

    def blinded(self):
        return [encode(multiply(self.blind, self.terms.hash(i))) for i in self.ids]

    def raised(self, encodings):
        return [encode(multiply(self.lasting, decode(e))) for e in encodings]

    def pseudonyms(self, raised):
        finishing = self.lasting * pow(self.blind, -1, L) % L
        return [self.terms.pseudonym(multiply(finishing, decode(e))) for e in raised]


def direct(terms, key_a, key_b, text):
    """The pseudonym without any protocol: KDF(H(id)^(kA kB))."""
    both = terms.scalar(key_a) * terms.scalar(key_b) % L
    return terms.pseudonym(multiply(both, terms.hash(text)))


# ---- the files ----

FOLDER = pathlib.Path(__file__).parent / "v1"
MAILER_KEY, SHOP_KEY = bytes([0x11]) * 32, bytes([0x22]) * 32
MAILER_IDS = ["ana@mail.example", "bo@mail.example", "cy@mail.example"]
SHOP_IDS = ["cy@mail.example", "bo@mail.example", "dee@mail.example", "eli@mail.example"]


def sides(terms=None, mailer_ids=MAILER_IDS, shop_ids=SHOP_IDS, known=(), key=MAILER_KEY):
    terms = terms or Terms()
    return (Side(terms, "mailer", key, 0x07, mailer_ids, known),
            Side(terms, "shop", SHOP_KEY, 0x9e, shop_ids))


def write(name, comment, me, peer, body, expect="accept", results=()):
    terms = me.terms
    lines = [f"expect: {expect}", f"comment: {comment}",
             f"agreement-id: {terms.agreement_id.hex()}",
             f"agreement-digest: {terms.agreement_digest.hex()}",
             f"epoch: {terms.epoch}", f"id-kind: {terms.id_kind}", f"method: {terms.method}",
             f"reveals: {terms.reveals}", f"max-ids: {terms.max_ids}",
             f"party: {me.party}", f"peer: {peer.party}",
             f"key: {me.key.hex()}", f"random: {me.random:02x}"]
    lines += [f"id: {text}" for text in me.asked]
    lines += [f"known: {text} {p.hex()}" for text, p in me.known.items()]
    lines += [f"pseudonym: {text} {p.hex()}" for text, p in results]
    lines += [""] + [f"{direction} {data.hex()}" for direction, data in body]
    (FOLDER / f"{name}.txt").write_text("\n".join(lines) + "\n")


def run(me, peer):
    """The messages of a whole run, in the order in which they come here, and the result."""
    mine, theirs = me.blinded(), peer.blinded()
    back = peer.raised(mine)
    body = [(">", me.hello()), ("<", peer.hello())]
    body += [(">", points(2, 0, mine))] if mine else [(">", done(0))]
    body += [("<", points(2, 0, theirs)), (">", points(3, 0, me.raised(theirs)))] if theirs else []
    body += [("<", points(3, 0, back)), (">", done(len(mine)))] if mine else []
    body += [("<", done(len(theirs)))]
    found = dict(zip(me.ids, me.pseudonyms(back)))
    return body, [(text, found[text]) for text in me.asked]


def accepted(name, comment, me, peer):
    body, results = run(me, peer)
    for text, pseudonym in results:
        assert pseudonym == direct(me.terms, me.key, peer.key, text)
    write(name, comment, me, peer, body, results=results)


def rejected(name, comment, error, replace=None, at=None, keep=None, made=None):
    """A run of the mailer in which one received message is another, or the last one."""
    me, peer = made or sides()
    body, _ = run(me, peer)
    if replace is not None:
        body = body[:at] + [("<", replace)]
    write(name, comment, me, peer, body[:keep], expect=f"reject {error}")


def good():
    mailer, shop = sides()
    accepted("run-mailer", "two of three ids are in both sets", mailer, shop)
    accepted("run-shop", "the same run, seen by the shop", shop, mailer)
    mailer, shop = sides(mailer_ids=[])
    accepted("run-empty-own", "no ids of one's own", mailer, shop)
    accepted("run-empty-peer", "the peer has no ids", shop, mailer)
    mailer, shop = sides(Terms(epoch=2))
    accepted("run-epoch", "another epoch: other pseudonyms", mailer, shop)
    mailer, shop = sides(Terms(id_kind="loyalty"), ["0001", "Ünï 2"], ["Ünï 2"])
    accepted("run-kind", "another kind of id, not only ASCII", mailer, shop)
    known = [(t, direct(Terms(), MAILER_KEY, SHOP_KEY, t)) for t in ("bo@mail.example", "old@mail.example")]
    accepted("run-known", "ids matched before keep their pseudonyms", *sides(known=known))


def bad_points():
    me, peer = sides()
    theirs, back = peer.blinded(), peer.raised(me.blinded())
    minus_one = (P - 1).to_bytes(32, "little")
    faults = {
        "identity": ("Identity", bytes(32), "the identity"),
        "not-canonical": ("Malformed", P.to_bytes(32, "little"), "the modulus: zero, written otherwise"),
        "negative": ("Malformed", (1).to_bytes(32, "little"), "a negative field element"),
        "no-point": ("Malformed", minus_one, "s = -1, which gives y = 0"),
        "ones": ("Malformed", b"\xff" * 32, "above the modulus, with the top bit"),
    }
    for name, (fault, encoding, what) in faults.items():
        assert fault == "Identity" or decode(encoding) is None
        chunk = theirs[:1] + [encoding] + theirs[2:]
        rejected(f"bad-blinded-{name}", f"second point of the peer's set: {what}",
                 f"PeerMisbehaved::BadPoint::{fault}", points(2, 0, chunk), at=3)
        chunk = [encoding] + back[1:]
        rejected(f"bad-raised-{name}", f"first point that comes back: {what}",
                 f"PeerMisbehaved::BadPoint::{fault}", points(3, 0, chunk), at=5)


def bad_chunks():
    me, peer = sides()
    theirs, back = peer.blinded(), peer.raised(me.blinded())
    bad = lambda name, what, error, data, at=3: rejected(name, what, f"PeerMisbehaved::{error}", data, at)
    bad("bad-size-part", "half a point at the end", "ChunkSize", points(2, 0, theirs[:1] + [theirs[1][:16]]))
    bad("bad-size-empty", "a chunk without points", "ChunkSize", points(2, 0, []))
    bad("bad-order", "the chunk starts at the second place", "OutOfOrder", points(2, 1, theirs[1:]))
    bad("bad-many-blinded", "five points of a set of four", "TooMany", points(2, 0, theirs + theirs[:1]))
    bad("bad-many-raised", "four answers to three points", "TooMany", points(3, 0, back + theirs[:1]), 5)
    bad("bad-count", "an end that reports two of four points", "WrongCount", done(2), 7)
    bad("bad-end-early", "an end before the peer has sent its set", "WrongCount", done(4))
    bad("bad-hello-twice", "a second greeting with another size", "SecondHello",
        hello(peer.terms, "shop", 9))
    bad("bad-before-hello", "points before the greeting", "BeforeHello", points(2, 0, theirs), 1)
    bad("bad-empty", "a message without content", "EmptyMessage", b"")
    body, _ = run(me, peer)
    twice = [("<", points(3, 0, back[:1] + back[:1] + back[2:]))]
    write("bad-repeated", "two ids come back as one point", me, peer,
          body[:5] + twice + body[6:], expect="reject PeerMisbehaved::RepeatedPoint")


def bad_terms():
    def bad(name, what, error, **other):
        rejected(f"bad-hello-{name}", what, f"PeerIncompatible::{error}",
                 sides()[1].hello(**other), at=1)
    bad("format", "a later version of the protocol", "Format", format="incamera-matching/2")
    bad("digest", "another agreement", "Agreement", digest=hashlib.sha256(b"other").digest())
    bad("digest-short", "a digest of 31 bytes", "Agreement", digest=bytes(31))
    bad("party", "a party that the agreement does not name here", "Party", party="stranger")
    bad("party-own", "the peer takes our name", "Party", party="mailer")
    bad("epoch", "another epoch", "Epoch", epoch=2)
    bad("kind", "another kind of id", "IdKind", id_kind="phone")
    bad("method", "another method", "Method", method="vole")
    bad("reveals", "another degree of revelation", "Reveals", reveals="own-matches")
    bad("size", "one more than max_ids and 64", "SetTooLarge", size=1065)


def bad_ends():
    rejected("bad-ended-early", "the stream ends before the last message", "EndedEarly", keep=-1)
    known = [(t, direct(Terms(), MAILER_KEY, SHOP_KEY, t)) for t in ("bo@mail.example", "old@mail.example")]
    other_key = sides(known=known, key=bytes([0x33]) * 32)
    rejected("bad-secret-changed", "a key ring with another matching secret", "SecretChanged", made=other_key)
    half = [known[0], ("old@mail.example", bytes(16))]
    rejected("bad-inconsistent", "one of two earlier ids keeps its pseudonym",
             "PeerMisbehaved::Inconsistent", made=sides(known=half))


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
    for part in (good, bad_points, bad_chunks, bad_terms, bad_ends, ids):
        part()
