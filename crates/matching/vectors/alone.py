#!/usr/bin/env python3
"""Writes alone.txt beside it: pseudonyms that a party makes alone, by RFC 5869 (HKDF) and
RFC 2104 (HMAC), from the documentation of the module `alone`; it needs nothing but Python."""

import hashlib
import hmac
import pathlib


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def derive_for(secret, label, fields):
    """HKDF without salt; label and fields each behind their length in eight bytes, as info."""
    info = b"".join(len(field).to_bytes(8, "big") + field for field in [label, *fields])
    return mac(mac(bytes(32), secret), info + b"\x01")


def pseudonym(key, agreement, epoch, kind, text):
    fields = [bytes([agreement]) * 32, epoch.to_bytes(4, "big"), kind.encode()]
    derived = derive_for(bytes([key]) * 32, b"incamera-pseudonym-alone/1", fields)
    return mac(derived, text.encode())[:16].hex()


CASES = [
    (1, 2, 1, "email", "ana@mail.example"),
    (3, 2, 1, "email", "ana@mail.example"),
    (1, 2, 70000, "plain", "Loyalty 0815"),
    (1, 255, 1, "phone", "+4930123456"),
    (1, 2, 1, "email", "ä" * 120 + "@mail.example"),
]

lines = ["comment: byte of the key, byte of the agreement id, epoch, kind, id, pseudonym; separated by |", ""]
lines += ["|".join(map(str, [*case, pseudonym(*case)])) for case in CASES]
(pathlib.Path(__file__).parent / "alone.txt").write_text("\n".join(lines) + "\n")
