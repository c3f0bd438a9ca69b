//! The forms in which a marked value could leave, beyond those that the test kit looks for.

use incamera_testkit::wiretap::{Mark, search_bytes};

/// An identifier: in clear, hashed, and as HTTP/2 headers hold it.
pub fn id(id: &str) -> Mark {
    let wide: Vec<u8> = id.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let encoded = id.replace('@', "%40");
    let mark = Mark::text(id, id)
        .and_bytes(&wide)
        .and_bytes(encoded.as_bytes());
    with_header(mark, id)
}

/// An amount: as text, fixed-point and floating.
pub fn amount(text: &str) -> Mark {
    let units: i64 = text.replace('.', "").parse().unwrap();
    let float: f64 = text.parse().unwrap();
    Mark::text(text, text)
        .and_bytes(&units.to_le_bytes())
        .and_bytes(&i128::from(units).to_be_bytes())
        .and_bytes(&float.to_le_bytes())
        .and_bytes(&float.to_be_bytes())
}

/// A text as HTTP/2 writes it in its headers.
pub fn header(text: &str) -> Mark {
    with_header(Mark::text("elsewhere", "a text that is nowhere"), text)
}

fn with_header(mark: Mark, text: &str) -> Mark {
    huffman(text)
        .iter()
        .fold(mark, |mark, bytes| mark.and_bytes(bytes))
}

/// The forms of a mark that occur in some bytes.
pub fn found(mark: &Mark, bytes: &[u8]) -> Vec<&'static str> {
    let hits = search_bytes("", bytes, std::slice::from_ref(mark));
    let mut forms: Vec<_> = hits.into_iter().map(|hit| hit.form).collect();
    forms.dedup();
    forms
}

/// How HTTP/2 writes a text in its headers, where errors travel (RFC 7541, appendix B): the
/// whole bytes of it at each of the eight bits that it may start at.
fn huffman(text: &str) -> Vec<Vec<u8>> {
    let bits: Vec<bool> = text.bytes().flat_map(huffman_bits).collect();
    (0..8)
        .map(|shift| bits[shift..].chunks_exact(8).map(byte).collect())
        .collect()
}

fn byte(bits: &[bool]) -> u8 {
    bits.iter().fold(0, |sum, bit| sum << 1 | u8::from(*bit))
}

const FIVE: &[u8] = b"012aceiost";
const SIX: &[u8] = b" %-./3456789=A_bdfghlmnpru";
const SEVEN: &[u8] = b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz";

fn huffman_bits(byte: u8) -> Vec<bool> {
    let at = |table: &[u8]| table.iter().position(|known| *known == byte);
    let (code, length) = match (at(FIVE), at(SIX), at(SEVEN)) {
        (Some(at), ..) => (at, 5),
        (_, Some(at), _) => (0x14 + at, 6),
        (_, _, Some(at)) => (0x5c + at, 7),
        _ if byte == b'@' => (0x1ffa, 13),
        _ => panic!("{byte} is not in the table"),
    };
    (0..length).rev().map(|bit| code >> bit & 1 == 1).collect()
}

/// RFC 7541, C.4.1 and C.6.1.
#[test]
fn the_header_code_is_the_standards() {
    let first = |text: &str| huffman(text)[0].clone();
    assert!(
        hex::decode("f1e3c2e5f23a6ba0ab90f4ff")
            .unwrap()
            .starts_with(&first("www.example.com"))
    );
    assert!(
        hex::decode("aec3771a4b")
            .unwrap()
            .starts_with(&first("private"))
    );
}

#[test]
fn a_header_is_found_at_every_bit() {
    let mark = header("marked.person@marked.example");
    // 'c' and '%' have five and six bits.
    for before in ["", "c", "%", "cc", "c%", "ccc", "c%%", "cccc"] {
        let text = format!("{before}marked.person@marked.example");
        let bits: Vec<bool> = text.bytes().flat_map(huffman_bits).collect();
        let bytes: Vec<u8> = bits.chunks(8).map(byte).collect();
        assert_eq!(found(&mark, &bytes), ["bytes"], "{before}");
    }
    assert!(found(&mark, b"somebody.else@marked.example").is_empty());
}

#[test]
fn an_amount_is_found_in_every_form() {
    let mark = amount("387.65");
    assert_eq!(found(&mark, b"a,387.65,b"), ["clear"]);
    let forms = [
        38_765_i64.to_le_bytes().to_vec(),
        38_765_i128.to_le_bytes().to_vec(),
        38_765_i128.to_be_bytes().to_vec(),
        387.65_f64.to_le_bytes().to_vec(),
    ];
    for form in forms {
        assert_eq!(found(&mark, &form), ["bytes"]);
    }
    assert!(found(&mark, b"a,387.66,b").is_empty());
}
