#!/usr/bin/env python3
"""Writes crates/matching/vectors/ids2/phones.txt: phone numbers of all regions, written in many
ways, and what the Python package `phonenumbers` (a port of its own of Google's libphonenumber)
makes of them under our rules 2.

    pip install phonenumbers==9.0.42    # the tables that the Rust crate has
    python3 oracles/phones.py > crates/matching/vectors/ids2/phones.txt

What may stand between digits is decided here once more, from the table in the documentation of
`ids`; it shares no code with the Rust crate.
"""

import random
import unicodedata

import phonenumbers as library
from phonenumbers import PhoneNumberFormat as Format

BETWEEN = set("-.()[]\u2010\u2011\u2012\u2013\u2014\u2015\u2212\uff0d\uff08\uff09\u00ad\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069")
ZEROS = "0\u0660\u06f0\uff10"


def dialled(text):
    """Digits, with or without `+`; None where anything else stands there."""
    found = ""
    for c in text:
        if c in "+\uff0b" and not found:
            found = "+"
        elif c in BETWEEN or c.isspace():
            continue
        elif any(0 <= ord(c) - ord(zero) < 10 for zero in ZEROS):
            found += str(unicodedata.digit(c))
        else:
            return None
    return found


def international(number, region):
    try:
        parsed = library.parse(number, region)
    except library.NumberParseException:
        return None
    reason = library.is_possible_number_with_reason(parsed)
    if reason != library.ValidationResult.IS_POSSIBLE:
        return None
    return library.format_number(parsed, Format.E164)


def normalise(text, region):
    number = dialled(text)
    if number is None:
        return None
    if region is None and number.startswith("00"):
        number = "+" + number[2:]
    written = international(number, region)
    if written is None or international(written, None) != written or len(written) > 16:
        return None
    return written


def ways(rng, number, region):
    """One number as people write it, with the region that they are in or none."""
    e164 = library.format_number(number, Format.E164)
    yield library.format_number(number, Format.INTERNATIONAL), None
    yield "00" + e164[1:], None
    yield library.format_number(number, Format.NATIONAL), region
    yield library.format_out_of_country_calling_number(number, rng.choice(REGIONS)), None
    elsewhere = rng.choice(REGIONS)
    yield library.format_out_of_country_calling_number(number, elsewhere), elsewhere
    yield f"+{number.country_code} (0) {number.national_number}", None
    yield str(number.national_number), region
    yield e164[1:], region


def faulty(rng, number, region):
    """A number with a digit too many, too few, or others."""
    national = str(number.national_number)
    yield f"+{number.country_code}{national}{rng.randrange(10)}", None
    yield f"+{number.country_code}{national[1:]}", None
    yield f"0{national[:-1]}", region
    digits = "".join(rng.choice("0123456789") for _ in national)
    yield f"+{number.country_code} {digits}", None


REGIONS = sorted(library.SUPPORTED_REGIONS)


def main():
    rng = random.Random(20261123)
    rows = set()
    for region in REGIONS:
        for kind in (library.PhoneNumberType.FIXED_LINE, library.PhoneNumberType.MOBILE):
            number = library.example_number_for_type(region, kind)
            if number is None:
                continue
            # Other numbers of the same length: as many as are given out, most of them.
            national = str(number.national_number)
            kept = len(national) // 2
            tail = "".join(rng.choice("0123456789") for _ in national[kept:])
            other = library.PhoneNumber()
            other.merge_from(number)
            other.national_number = int(national[:kept] + tail)
            slashed = library.format_number(number, Format.NATIONAL)
            slashed = "/".join([slashed[:-2], slashed[-2:]])
            rows.add((region, slashed, normalise(slashed, region) or "-"))
            chosen = list(ways(rng, number, region)) + list(ways(rng, other, region)) + list(faulty(rng, other, region))
            for raw, where in rng.sample(chosen, 7):
                rows.add((where or "-", raw, normalise(raw, where) or "-"))
    print(f"source: phonenumbers {library.__version__}, by oracles/phones.py")
    print("comment: region or -, raw, E.164 or - for what is refused; separated by |")
    print()
    for row in sorted(rows):
        assert "|" not in row[1]
        print("|".join(row))


main()
