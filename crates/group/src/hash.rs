//! Texts to points.

use std::fmt;

use curve25519_dalek::ristretto::RistrettoPoint;
use sha2::{Digest, Sha512};

use crate::Point;

/// Bytes of one SHA-512 block: the zero padding that `expand_message_xmd` starts with.
const BLOCK_BYTES: usize = 128;
/// Bytes of uniform output that one point takes.
const OUTPUT_BYTES: u16 = 64;

/// Why a domain tag is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// The tag is empty, or longer than 255 bytes.
    #[error("a domain tag has 1 to 255 bytes, this has {found}")]
    TagLength {
        /// Its bytes.
        found: usize,
    },
}

/// A domain tag, hashed as far as every text shares it.
#[derive(Clone)]
pub struct HashDomain {
    padded: Sha512,
    tag: Vec<u8>,
}

impl HashDomain {
    /// Takes a domain tag (the DST of RFC 9380). Texts under different tags give unrelated
    /// points.
    ///
    /// # Errors
    /// [`HashError::TagLength`].
    pub fn new(tag: &[u8]) -> Result<Self, HashError> {
        let error = HashError::TagLength { found: tag.len() };
        let length = u8::try_from(tag.len()).map_err(|_| error)?;
        if length == 0 {
            return Err(error);
        }
        Ok(Self::tagged([tag, &[length]].concat()))
    }

    /// The same for a tag whose length the compiler sees.
    #[must_use]
    pub fn of_label<const LENGTH: usize>(tag: &[u8; LENGTH]) -> Self {
        let length = const {
            assert!(LENGTH > 0 && LENGTH < 256);
            LENGTH as u8
        };
        Self::tagged([tag.as_slice(), &[length]].concat())
    }

    fn tagged(tag: Vec<u8>) -> Self {
        let padded = Sha512::new_with_prefix([0; BLOCK_BYTES]);
        Self { padded, tag }
    }

    /// The point of a text.
    #[must_use]
    pub fn hash(&self, text: &[u8]) -> Point {
        Point(RistrettoPoint::from_uniform_bytes(&self.expand(text)))
    }

    /// What tells this domain from others.
    #[cfg(feature = "remember")]
    pub(crate) fn tag(&self) -> &[u8] {
        &self.tag
    }

    /// `expand_message_xmd` of RFC 9380 with SHA-512 and an output of 64 bytes, one block.
    pub(crate) fn expand(&self, text: &[u8]) -> [u8; 64] {
        let first = self
            .padded
            .clone()
            .chain_update(text)
            .chain_update(OUTPUT_BYTES.to_be_bytes())
            .chain_update([0])
            .chain_update(&self.tag)
            .finalize();
        Sha512::new_with_prefix(first)
            .chain_update([1])
            .chain_update(&self.tag)
            .finalize()
            .into()
    }
}

impl fmt::Debug for HashDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashDomain(..)")
    }
}

/// The point of one text under a domain tag: `HashToGroup` of RFC 9497 for ristretto255.
///
/// # Errors
/// [`HashError::TagLength`].
pub fn hash_to_group(tag: &[u8], text: &[u8]) -> Result<Point, HashError> {
    Ok(HashDomain::new(tag)?.hash(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Backend, Scalar};

    #[test]
    fn tags_are_1_to_255_bytes() {
        assert_eq!(
            HashDomain::new(&[]).unwrap_err(),
            HashError::TagLength { found: 0 }
        );
        assert!(HashDomain::new(&[1; 255]).is_ok());
        assert_eq!(
            HashDomain::new(&[1; 256]).unwrap_err(),
            HashError::TagLength { found: 256 }
        );
    }

    #[test]
    fn tags_and_texts_separate() {
        let base = hash_to_group(b"a", b"text").unwrap();
        assert_ne!(base, hash_to_group(b"b", b"text").unwrap());
        assert_ne!(base, hash_to_group(b"a", b"texT").unwrap());
        assert_eq!(base, hash_to_group(b"a", b"text").unwrap());
        assert_eq!(base, HashDomain::of_label(b"a").hash(b"text"));
    }

    /// RFC 9496, appendix A.3, through the map alone, by every backend.
    #[test]
    fn rfc9496_one_way_map() {
        let mut one = [0; 32];
        one[0] = 1;
        let one = Scalar::from_canonical_bytes(one).unwrap();
        let mut checked = 0;
        for line in include_str!("../vectors/rfc9496.txt").lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let ["map", input, output] = words.as_slice() {
                let bytes: [u8; 64] = hex::decode(input).unwrap().try_into().unwrap();
                let point = Point(RistrettoPoint::from_uniform_bytes(&bytes));
                assert_eq!(hex::encode(point.encode()), *output);
                for backend in Backend::all() {
                    let mapped = backend.map_and_multiply(&[bytes], |bytes| *bytes, &one);
                    assert_eq!(hex::encode(mapped[0]), *output, "{backend}");
                }
                checked += 1;
            }
        }
        assert_eq!(checked, 11);
    }
}
