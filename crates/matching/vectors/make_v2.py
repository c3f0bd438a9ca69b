#!/usr/bin/env python3
"""Writes the vectors of the matching protocol, version 2, into the folder v2 beside it.

The group, the hash to it and protobuf are those of make.py; the rest is written from the
module documentation of `exchange` and `run_keys`, and shares no code with the Rust crate.
Run it without arguments. A change of the protocol adds a folder, it never edits one.

A file has lines `name: value`, an empty line, and then the messages in order: `> hex` is
sent by the party under test, `< hex` is received by it. `random` is the byte that the nonce
is made of. `own` and `theirs` are the values kept, one after the other, when the run is
over; `held-own` and `held-theirs` those it goes on with.
"""

import hashlib
import hmac
import pathlib

from make import (L, MAILER_IDS, MAILER_KEY, P, SHOP_IDS, SHOP_KEY, Terms, decode, direct, done, encode, field, message,
                  multiply, points, prefixed, self_test)

FOLDER = pathlib.Path(__file__).parent / "v2"


def transcript(label, *fields):
    """Labelled fields, each after its length in eight bytes, under SHA-256."""
    parts = [label.encode(), *fields]
    return hashlib.sha256(b"".join(len(p).to_bytes(8, "big") + p for p in parts)).digest()


def number(n):
    return n.to_bytes(8, "big")


def derive(secret, label, *fields):
    """HKDF-SHA256 without a salt, one block."""
    parts = [label.encode(), *fields]
    info = b"".join(len(p).to_bytes(8, "big") + p for p in parts)
    return hmac.digest(hmac.digest(bytes(32), secret, "sha256"), info + b"\x01", "sha256")


class Party:
    """A party: its greeting, its scalars, what it makes of points."""

    def __init__(self, terms, name, peer, key, random, ids, mode="full", rules=2, partition=(0, 1), held=None):
        self.terms, self.name, self.peer, self.key, self.random, self.ids = terms, name, peer, key, random, list(ids)
        self.mode, self.rules, self.partition, self.held = mode, rules, partition, held
        self.seed, self.nonce = bytes([random ^ 0xff]) * 32, bytes([random]) * 32
        self.ids_digest = hashlib.sha256("\n".join(self.ids).encode()).digest()
        self.crosswalk = hashlib.sha256(name.encode()).digest()
        self.lasting = terms.scalar(key)
        self.input = transcript(
            "incamera-match-input/1", terms.agreement_id, terms.agreement_digest, number(terms.epoch),
            terms.id_kind.encode(), terms.method.encode(), terms.reveals.encode(), number(rules), mode.encode(),
            number(partition[0]), number(partition[1]), name.encode(), peer.encode(), self.ids_digest, self.crosswalk)
        self.secret = derive(self.seed, "incamera-match-run/1", self.input)
        label = terms.tagged("incamera-match-run/1")
        wide = hashlib.sha512(number(len(label)) + label + self.secret + b"\0").digest()
        self.blind = int.from_bytes(wide, "little") % L if terms.reveals == "nothing" else self.lasting

    def fields(self, **other):
        """The greeting's fields without the run that goes on, in order of number."""
        known = {"format": "incamera-matching/2", "digest": self.terms.agreement_digest, "party": self.name,
                 "epoch": self.terms.epoch, "id_kind": self.terms.id_kind, "method": self.terms.method,
                 "reveals": self.terms.reveals, "size": len(self.ids), "rules": self.rules, "nonce": self.nonce,
                 "mode": self.mode, "partition": self.partition[0], "partitions": self.partition[1],
                 "row_keys": 0, "public_key": b"", "numbering": ""} | other
        return b"".join(field(at + 1, value) for at, value in enumerate(known.values()))

    def hello(self, resume=None, **other):
        resume = resume or self.resume()
        goes_on = field(17, b"".join(field(at + 1, value) for at, value in enumerate(resume))) if resume else b""
        return message(1, self.fields(**other), goes_on)

    def resume(self):
        return self.held and (self.held["run"], len(self.held["own"]), len(self.held["theirs"]))

    def blinded(self):
        return [encode(multiply(self.blind, self.terms.hash(i))) for i in self.ids]

    def raised(self, encodings):
        return [encode(multiply(self.lasting, decode(e))) for e in encodings]

    def tag(self, encoding):
        start = prefixed(b"incamera-matching-tag/1", self.terms.agreement_id, self.terms.epoch.to_bytes(4, "big"),
                         self.terms.id_kind.encode())
        return hashlib.sha256(start + encoding).digest()[:16]

    def theirs(self, encodings):
        """What is kept of the peer's points."""
        if self.terms.reveals == "own-matches":
            return [self.tag(e) for e in self.raised(encodings)]
        key = derive(self.secret, "incamera-match-finger/1")
        return [hmac.digest(key, e, "sha256")[:16] for e in encodings]

    def own(self, raised):
        """What is kept of the answers."""
        if self.terms.reveals == "own-matches":
            return [self.tag(e) for e in raised]
        finishing = self.lasting * pow(self.blind, -1, L) % L
        return [self.terms.pseudonym(multiply(finishing, decode(e))) for e in raised]

    def answers(self, first, encodings):
        raised = self.raised(encodings)
        if self.terms.reveals == "own-matches":
            return message(6, field(1, first), field(2, b"".join(self.tag(e) for e in raised)))
        return points(3, first, raised)

    def pseudonym(self, text, other):
        both = self.terms.scalar(self.key) * self.terms.scalar(other.key) % L
        point = encode(multiply(both, self.terms.hash(text)))
        if self.terms.reveals == "nothing":
            return self.terms.pseudonym(multiply(both, self.terms.hash(text)))
        info = prefixed(self.terms.agreement_id, self.terms.epoch.to_bytes(4, "big"), self.terms.id_kind.encode())
        prk = hmac.digest(b"incamera-pseudonym/1", self.tag(point), "sha256")
        return hmac.digest(prk, info + b"\x01", "sha256")[:16]


def name_of_run(one, other):
    first, second = sorted((one, other), key=lambda party: party.name)
    return transcript("incamera-matching-run/1", first.fields(), second.fields())


def begin(run, blinded_from=0, raised_from=0):
    return message(5, field(1, run), field(2, blinded_from), field(3, raised_from))


def terms(reveals="nothing", **other):
    made = Terms(**other)
    made.reveals = reveals
    return made


def sides(t=None, mailer_ids=MAILER_IDS, shop_ids=SHOP_IDS, **other):
    t = t or terms()
    return (Party(t, "mailer", "shop", MAILER_KEY, 0x07, mailer_ids, **other),
            Party(t, "shop", "mailer", SHOP_KEY, 0x9e, shop_ids, **other))


def write(name, comment, me, peer, body, expect="accept", kept=None):
    t = me.terms
    lines = [f"expect: {expect}", f"comment: {comment}",
             f"agreement-id: {t.agreement_id.hex()}", f"agreement-digest: {t.agreement_digest.hex()}",
             f"epoch: {t.epoch}", f"id-kind: {t.id_kind}", f"method: {t.method}", f"reveals: {t.reveals}",
             f"max-ids: {t.max_ids}", f"rules: {me.rules}", f"mode: {me.mode}",
             f"partition: {me.partition[0]}", f"partitions: {me.partition[1]}",
             f"party: {me.name}", f"peer: {peer.name}", f"key: {me.key.hex()}", f"seed: {me.seed.hex()}",
             f"ids-digest: {me.ids_digest.hex()}", f"crosswalk-digest: {me.crosswalk.hex()}",
             f"input: {me.input.hex()}", f"random: {me.random:02x}"]
    lines += [f"id: {text}" for text in me.ids]
    if me.held:
        lines += [f"held-run: {me.held['run'].hex()}", f"held-own: {b''.join(me.held['own']).hex()}",
                  f"held-theirs: {b''.join(me.held['theirs']).hex()}"]
    if kept:
        own, theirs = kept
        lines += [f"own: {b''.join(own).hex()}", f"theirs: {b''.join(theirs).hex()}"]
        lines += [f"pseudonym: {text} {me.pseudonym(text, peer).hex()}" for text in me.ids]
    lines += [""] + [f"{direction} {data.hex()}" for direction, data in body]
    (FOLDER / f"{name}.txt").write_text("\n".join(lines) + "\n")


def run(me, peer):
    """The messages of a whole new run, in the order in which they come here, and what is kept."""
    mine, theirs, name = me.blinded(), peer.blinded(), name_of_run(me, peer)
    body = [(">", me.hello()), ("<", peer.hello()), (">", begin(name)), ("<", begin(name))]
    body += [(">", points(2, 0, mine))] if mine else [(">", done(0))]
    body += [("<", points(2, 0, theirs)), (">", me.answers(0, theirs))] if theirs else []
    body += [("<", peer.answers(0, mine)), (">", done(len(mine)))] if mine else []
    body += [("<", done(len(theirs)))]
    return body, (me.own(peer.raised(mine)), me.theirs(theirs))


def accepted(name, comment, me, peer):
    body, kept = run(me, peer)
    if me.terms.reveals == "nothing":
        assert kept[0] == [direct(me.terms, me.key, peer.key, text) for text in me.ids]
    write(name, comment, me, peer, body, kept=kept)


def held(me, peer, own, theirs):
    """`me`, cut off with so many places kept."""
    kept = run(me, peer)[1]
    me.held = {"run": name_of_run(me, peer), "own": kept[0][:own], "theirs": kept[1][:theirs]}


def resumed(me, peer):
    """The messages of a run that goes on: both hold one answer, and the mailer two of the peer's points."""
    held(me, peer, 1, 2)
    held(peer, me, 1, 2)
    mine, theirs, name = me.blinded(), peer.blinded(), name_of_run(me, peer)
    body = [(">", me.hello()), ("<", peer.hello()), (">", begin(name, 1, 1)), ("<", begin(name, 1, 1)),
            (">", points(2, 1, mine[1:])), ("<", points(2, 1, theirs[1:])),
            (">", me.answers(1, theirs[1:2])), (">", me.answers(2, theirs[2:])),
            ("<", peer.answers(1, mine[1:])), (">", done(len(mine))), ("<", done(len(theirs)))]
    return body, (me.own(peer.raised(mine)), me.theirs(theirs))


def rejected(name, comment, error, replace, at, made=None, whole=run):
    """A run of the mailer in which one received message is another, the last one."""
    me, peer = made or sides()
    body, _ = whole(me, peer)
    write(name, comment, me, peer, body[:at] + [("<", replace(me, peer) if callable(replace) else replace)],
          expect=f"reject {error}")


def good():
    for reveals, word in (("nothing", "run"), ("own-matches", "own")):
        mailer, shop = sides(terms(reveals))
        accepted(f"{word}-mailer", "two of three ids are in both sets", mailer, shop)
        accepted(f"{word}-shop", "the same run, seen by the shop", shop, mailer)
        mailer, shop = sides(terms(reveals), mailer_ids=[])
        accepted(f"{word}-empty-own", "no ids of one's own", mailer, shop)
        accepted(f"{word}-empty-peer", "the peer has no ids", shop, mailer)
        mailer, shop = sides(terms(reveals))
        body, kept = resumed(mailer, shop)
        write(f"{word}-resumed", "cut off after one answer and two points of the peer", mailer, shop, body, kept=kept)
    accepted("run-epoch", "another epoch: other pseudonyms", *sides(terms(epoch=2)))
    accepted("run-kind", "another kind of id, not only ASCII", *sides(terms(id_kind="loyalty"), ["0001", "Ünï 2"], ["Ünï 2"]))
    accepted("run-append", "new ids alone", *sides(mode="append"))
    accepted("run-partition", "a part of the ids", *sides(partition=(7, 256)))


def bad_points():
    minus_one = (P - 1).to_bytes(32, "little")
    faults = {"identity": ("Identity", bytes(32), "the identity"),
              "not-canonical": ("Malformed", P.to_bytes(32, "little"), "the modulus: zero, written otherwise"),
              "negative": ("Malformed", (1).to_bytes(32, "little"), "a negative field element"),
              "no-point": ("Malformed", minus_one, "s = -1, which gives y = 0"),
              "ones": ("Malformed", b"\xff" * 32, "above the modulus, with the top bit")}
    for name, (fault, encoding, what) in faults.items():
        error = f"PeerMisbehaved::BadPoint::{fault}"
        blinded = lambda me, peer: points(2, 0, peer.blinded()[:1] + [encoding] + peer.blinded()[2:])
        raised = lambda me, peer: points(3, 0, [encoding] + peer.raised(me.blinded())[1:])
        rejected(f"bad-blinded-{name}", f"second point of the peer's set: {what}", error, blinded, 5)
        rejected(f"bad-raised-{name}", f"first point that comes back: {what}", error, raised, 7)


def bad_chunks():
    def bad(name, what, error, replace, at=5, **other):
        rejected(name, what, f"PeerMisbehaved::{error}", replace, at, **other)
    own = lambda: sides(terms("own-matches"))
    bad("bad-size-part", "half a point at the end", "ChunkSize", lambda m, p: points(2, 0, [p.blinded()[0], bytes(16)]))
    bad("bad-size-empty", "a chunk without points", "ChunkSize", points(2, 0, []))
    bad("bad-size-tag", "half a tag", "ChunkSize", message(6, field(2, bytes(8))), 7, made=own())
    bad("bad-order", "the chunk starts at the second place", "OutOfOrder", lambda m, p: points(2, 1, p.blinded()[1:]))
    bad("bad-many-blinded", "five points of a set of four", "TooMany", lambda m, p: points(2, 0, p.blinded() + p.blinded()[:1]))
    bad("bad-many-raised", "four answers to three points", "TooMany", lambda m, p: points(3, 0, p.blinded()), 7)
    bad("bad-many-tags", "four tags for three points", "TooMany", message(6, field(2, bytes(64))), 7, made=own())
    bad("bad-kind-tags", "tags where points are due", "WrongAnswers", message(6, field(2, bytes(48))), 7)
    bad("bad-kind-points", "points where tags are due", "WrongAnswers", lambda m, p: points(3, 0, p.blinded()[:3]), 7, made=own())
    bad("bad-proof", "a proof that nobody asked for", "UnfitProof", message(7, field(2, 3)), 7)
    bad("bad-count", "an end that reports two of four points", "WrongCount", done(2), 9)
    bad("bad-end-early", "an end before the peer has sent its set", "WrongCount", done(4))
    bad("bad-hello-twice", "a second greeting with another size", "SecondHello", lambda m, p: p.hello(size=9))
    bad("bad-begin-twice", "a second begin", "SecondBegin", lambda m, p: begin(name_of_run(m, p)))
    bad("bad-begin-run", "a begin of another run", "OtherRun", begin(bytes(32)), 3)
    bad("bad-begin-places", "a begin at another place", "Places", lambda m, p: begin(name_of_run(m, p), 1, 0), 3)
    bad("bad-before-hello", "points before the greeting", "BeforeHello", lambda m, p: points(2, 0, p.blinded()), 1)
    bad("bad-before-begin", "points before the begin", "BeforeBegin", lambda m, p: points(2, 0, p.blinded()), 3)
    bad("bad-empty", "a message without content", "EmptyMessage", b"")


def bad_resumed():
    for reveals, word in (("nothing", "run"), ("own-matches", "own")):
        def bad(name, what, error, replace, at):
            rejected(f"bad-{word}-{name}", what, f"PeerMisbehaved::{error}", replace, at,
                     made=sides(terms(reveals)), whole=resumed)
        bad("changed-point", "another point at a place that was answered", "ChangedPoint",
            lambda m, p: points(2, 1, p.blinded()[3:] + p.blinded()[2:]), 5)
        bad("other-size", "another size than when the run began", "OtherHello", lambda m, p: p.hello(size=5), 1)
        bad("forgotten", "it kept fewer answers than it gave", "Places",
            lambda m, p: p.hello(resume=(p.held["run"], 1, 0)), 1)
        bad("too-many-answers", "it holds more answers than were kept here", "Places",
            lambda m, p: p.hello(resume=(p.held["run"], 3, 2)), 1)


def bad_terms():
    def bad(name, what, error, **other):
        rejected(f"bad-hello-{name}", what, error, lambda m, p: p.hello(**other), 1)
    def other(name, what, error, **fields):
        bad(name, what, f"PeerIncompatible::{error}", **fields)
    other("format", "the version before", "Format", format="incamera-matching/1")
    other("digest", "another agreement", "Agreement", digest=hashlib.sha256(b"other").digest())
    other("digest-short", "a digest of 31 bytes", "Agreement", digest=bytes(31))
    other("party", "a party that the agreement does not name here", "Party", party="stranger")
    other("party-own", "the peer takes our name", "Party", party="mailer")
    other("epoch", "another epoch", "Epoch", epoch=2)
    other("kind", "another kind of id", "IdKind", id_kind="phone")
    other("method", "another method", "Method", method="vole")
    other("reveals", "another degree of revelation", "Reveals", reveals="own-matches")
    other("size", "one more than max_ids and 64", "SetTooLarge", size=1065)
    other("rules", "other rules of normalising", "Rules", rules=1)
    other("mode", "an unknown mode", "Mode", mode="half")
    other("partition", "another part", "Partition", partition=1, partitions=2)
    other("partition-none", "no part at all", "Partition", partitions=0)
    other("row-keys", "proofs that we do not ask for", "RowKeys", row_keys=1, public_key=bytes(32))
    bad("nonce", "a nonce of 31 bytes", "PeerMisbehaved::Hello", nonce=bytes(31))
    me, peer = sides()
    body, _ = run(me, peer)
    write("bad-ended-early", "the stream ends before the last message", me, peer, body[:-1], expect="reject EndedEarly")


if __name__ == "__main__":
    self_test()
    FOLDER.mkdir(exist_ok=True)
    for part in (good, bad_points, bad_chunks, bad_resumed, bad_terms):
        part()
