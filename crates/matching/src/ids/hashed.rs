//! Ids as the SHA-256 of their normalised text.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use sha2::{Digest as _, Sha256};

use super::IdFault;

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
const BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, ANY_PADDING);
const BASE64_URL: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, ANY_PADDING);

/// A hash's length in bytes.
const BYTES: usize = 32;
/// The longest text that can stand for a hash, or for its digits encoded once more.
const LONGEST: usize = 96;

/// Puts the hash of the id in place of the id.
pub(super) fn hash(id: &mut String) {
    let hash: [u8; BYTES] = Sha256::digest(id.as_bytes()).into();
    id.clear();
    digits(&hash, id);
}

/// A hash that somebody else made: 64 hexadecimal digits, or base64 of either alphabet, padded
/// or not.
pub(super) fn given(text: &str, into: &mut String) -> Result<(), IdFault> {
    if text.len() > LONGEST {
        return Err(IdFault::Invalid);
    }
    if is_digits(text.as_bytes()) {
        into.push_str(text);
        into.make_ascii_lowercase();
        return Ok(());
    }
    let decoded = BASE64.decode(text).or_else(|_| BASE64_URL.decode(text));
    let decoded = decoded.map_err(|_| IdFault::Invalid)?;
    match <[u8; BYTES]>::try_from(decoded.as_slice()) {
        Ok(hash) => digits(&hash, into),
        Err(_) if is_digits(decoded.trim_ascii()) => return Err(IdFault::EncodedDigits),
        Err(_) => return Err(IdFault::Invalid),
    }
    Ok(())
}

fn is_digits(text: &[u8]) -> bool {
    text.len() == 2 * BYTES && text.iter().all(u8::is_ascii_hexdigit)
}

fn digits(hash: &[u8; BYTES], into: &mut String) {
    let nibble = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or_default();
    for byte in hash {
        into.push(nibble(byte >> 4));
        into.push(nibble(byte & 0xf));
    }
}
