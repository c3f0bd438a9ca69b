//! The function: `F(x) = Finalize(x, k HashToGroup(x))`.
//!
//! RFC 9497 with ristretto255 and SHA-512, mode OPRF, to the byte. Only the batch proof beside
//! it ([`dleq`](crate::dleq)) is ours.

use std::fmt;

use incamera_group::{EncodedPoint, HashDomain};
use sha2::{Digest as _, Sha512};
use zeroize::Zeroize;

/// `"HashToGroup-" contextString`, RFC 9497, section 4.1: mode 0 is OPRF.
const HASH_TAG: &[u8] = b"HashToGroup-OPRFV1-\x00-ristretto255-SHA512";
/// Ends the input of the last hash.
const FINALIZE: &[u8] = b"Finalize";

/// The most bytes of an input: its length has two.
pub const MAX_INPUT_BYTES: usize = u16::MAX as usize;

/// An input that the function has no value at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an input of {found} bytes is longer than {MAX_INPUT_BYTES}")]
pub struct InputTooLong {
    /// Its bytes.
    pub found: usize,
}

/// What the function gives: as good as the input to whoever has a dictionary and evaluations.
///
/// Wiped when dropped; `Debug` shows the kind alone.
#[derive(Clone, PartialEq, Eq)]
pub struct Output([u8; Self::BYTES]);

impl Output {
    /// An output's length.
    pub const BYTES: usize = 64;

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Output(..)")
    }
}

/// The RFC's `HashToGroup`.
#[must_use]
pub fn hash_domain() -> HashDomain {
    #[expect(clippy::expect_used, reason = "the tag has 43 bytes of at most 255")]
    HashDomain::new(HASH_TAG).expect("a tag of 43 bytes")
}

/// The RFC's `Finalize`, of an input and its evaluated and unblinded point.
///
/// # Errors
/// [`InputTooLong`].
pub fn finalize(input: &[u8], point: &EncodedPoint) -> Result<Output, InputTooLong> {
    let mut hash = Sha512::new();
    hash.update(length(input)?);
    hash.update(input);
    hash.update((EncodedPoint::BYTES as u16).to_be_bytes());
    hash.update(point);
    hash.update(FINALIZE);
    Ok(Output(hash.finalize().into()))
}

/// An input's length as it is hashed.
fn length(input: &[u8]) -> Result<[u8; 2], InputTooLong> {
    let found = input.len();
    let length = u16::try_from(found).map_err(|_| InputTooLong { found })?;
    Ok(length.to_be_bytes())
}
