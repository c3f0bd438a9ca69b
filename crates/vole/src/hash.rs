//! Hashes of ids, and what a value of the function is made of.
//!
//! All is SHA-256 after a block that every input of one use shares, so that an id of up to 55
//! bytes and a value of the function take one compression each, with nothing around it.

use std::fmt;

use incamera_group::Gf128;
use sha2::block_api::compress256;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::DefaultIsZeroes;

/// Hashes an id to its row and its value.
const ROW_LABEL: &[u8] = b"incamera-vole-row/1";

/// What belongs to one run: a digest of its terms and of random bytes of both sides.
///
/// Neither side may have chosen it: rows of ids, labels of transfers and the code hang on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Domain([u8; 32]);

impl Domain {
    /// The domain of a digest.
    #[must_use]
    pub const fn from_digest(digest: [u8; 32]) -> Self {
        Self(digest)
    }

    /// The digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Hashes ids of this run.
    #[must_use]
    pub fn id_hasher(&self) -> IdHasher {
        IdHasher(Prefix::new(ROW_LABEL, &[&self.0]))
    }
}

impl fmt::Debug for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Domain(..)")
    }
}

/// Hashes ids of one run.
#[derive(Clone)]
pub struct IdHasher(Prefix);

impl IdHasher {
    /// The hash of an id.
    #[must_use]
    pub fn hash(&self, id: &[u8]) -> IdHash {
        let (row, value) = halves(self.0.hash(id));
        IdHash { row, value }
    }
}

impl fmt::Debug for IdHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdHasher(..)")
    }
}

/// An id of one run, hashed: where it stands in a store, and the value stored there.
///
/// As good as the id to whoever has a dictionary: it never leaves its party.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct IdHash {
    /// Chooses bin and columns, and is the base of the dense coefficients.
    pub(crate) row: Gf128,
    /// What the store gives for the row.
    pub(crate) value: Gf128,
}

impl DefaultIsZeroes for IdHash {}

impl IdHash {
    /// The bin, among `bins`.
    pub(crate) fn bin(&self, bins: u32) -> u32 {
        let word = (self.row.bits() >> 96) as u64;
        ((word * u64::from(bins)) >> 32) as u32
    }

    /// Bin and three distinct sparse columns, among `bins` and `columns`.
    pub(crate) fn place(&self, bins: u32, columns: u16) -> (u32, [u16; 3]) {
        let bits = self.row.bits();
        let word = |i: u32| (bits >> (32 * i)) as u32;
        // As if of what is left after the first ones are taken out.
        let c0 = scaled(word(0), columns);
        let mut c1 = scaled(word(1), columns.saturating_sub(1));
        let mut c2 = scaled(word(2), columns.saturating_sub(2));
        c1 += u16::from(c1 >= c0);
        c2 += u16::from(c2 >= c0.min(c1));
        c2 += u16::from(c2 >= c0.max(c1));
        (self.bin(bins), [c0, c1, c2])
    }
}

impl fmt::Debug for IdHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdHash(..)")
    }
}

/// A number below `range`, of a uniform one below 2^32.
fn scaled(uniform: u32, range: u16) -> u16 {
    ((u64::from(uniform) * u64::from(range)) >> 32) as u16
}

/// Both halves of a digest as elements.
fn halves(bytes: [u8; 32]) -> (Gf128, Gf128) {
    let (mut low, mut high) = ([0; 16], [0; 16]);
    low.iter_mut()
        .zip(&bytes)
        .for_each(|(to, from)| *to = *from);
    let rest = bytes.iter().skip(16);
    high.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    (Gf128::from_bytes(low), Gf128::from_bytes(high))
}

/// The state of SHA-256 before its first block (FIPS 180-4, section 5.3.3).
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];
/// Bytes of a block.
const BLOCK: usize = 64;

/// SHA-256 after one block: the digest of label and fields, filled up with zeros.
#[derive(Clone, Copy)]
pub(crate) struct Prefix([u32; 8]);

impl Prefix {
    pub(crate) fn new(label: &[u8], fields: &[&[u8]]) -> Self {
        let mut state = INITIAL;
        compress256(&mut state, &[prefix(label, fields)]);
        Self(state)
    }

    /// The hash of the block and the input.
    #[inline]
    pub(crate) fn hash(&self, input: &[u8]) -> [u8; 32] {
        let Self(mut state) = *self;
        let (blocks, rest) = input.as_chunks::<BLOCK>();
        if !blocks.is_empty() {
            compress256(&mut state, blocks);
        }
        // Padding: a one, zeros, and the number of bits in the last eight bytes.
        let mut last = [[0; BLOCK]; 2];
        let bytes = last.as_flattened_mut();
        if let Some((filled, [end, ..])) = bytes.split_at_mut_checked(rest.len()) {
            filled.copy_from_slice(rest);
            *end = 0x80;
        }
        let count = if rest.len() < BLOCK - 8 { 1 } else { 2 };
        let bits = 8 * (BLOCK + input.len()) as u64;
        let (last, _) = last.split_at_mut(count);
        if let Some(length) = last.as_flattened_mut().last_chunk_mut() {
            *length = bits.to_be_bytes();
        }
        compress256(&mut state, last);
        let mut digest = [0; 32];
        let (words, _) = digest.as_chunks_mut();
        words
            .iter_mut()
            .zip(state)
            .for_each(|(to, word)| *to = word.to_be_bytes());
        digest
    }
}

/// SHA-256 after the same block, for inputs that come in pieces.
pub(crate) fn shared(label: &[u8], fields: &[&[u8]]) -> Sha256 {
    Sha256::new_with_prefix(prefix(label, fields))
}

fn prefix(label: &[u8], fields: &[&[u8]]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let digest = digest(label, fields);
    block
        .iter_mut()
        .zip(digest)
        .for_each(|(to, from)| *to = from);
    block
}

/// SHA-256 of label and fields, each after its length (8 bytes, big-endian).
pub(crate) fn digest(label: &[u8], fields: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for field in [label].iter().chain(fields) {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    hash.finalize().into()
}

/// Whether two digests are equal, in constant time.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_and_ids_separate() {
        let hash = |domain: u8, id: &[u8]| Domain([domain; 32]).id_hasher().hash(id);
        assert!(hash(1, b"a") == hash(1, b"a"));
        assert!(hash(1, b"a") != hash(2, b"a"));
        assert!(hash(1, b"a") != hash(1, b"b"));
    }

    /// Around every length at which padding takes another form.
    #[test]
    fn prefixes_hash_as_sha_256_does() {
        let input: Vec<_> = (0..200_u8).collect();
        for length in 0..=200 {
            let input = &input[..length];
            let expected = shared(b"label", &[b"field"]).chain_update(input).finalize();
            assert_eq!(
                Prefix::new(b"label", &[b"field"]).hash(input),
                expected[..],
                "{length}"
            );
        }
    }

    #[test]
    fn fields_are_told_apart_by_their_lengths() {
        assert_ne!(digest(b"l", &[b"ab", b"c"]), digest(b"l", &[b"a", b"bc"]));
        assert_ne!(digest(b"l", &[b"ab"]), digest(b"l", &[b"ab", b""]));
    }

    #[test]
    fn columns_are_distinct_and_uniform() {
        let hasher = Domain([7; 32]).id_hasher();
        let mut counts = [0_u32; 5];
        for id in 0..10_000_u32 {
            let (bin, columns) = hasher.hash(&id.to_le_bytes()).place(3, 5);
            let [a, b, c] = columns;
            assert!(a != b && a != c && b != c && bin < 3);
            columns.iter().for_each(|c| counts[usize::from(*c)] += 1);
        }
        // 6,000 each, with a deviation of 49.
        assert!(
            counts.iter().all(|count| count.abs_diff(6_000) < 300),
            "{counts:?}"
        );
    }

    #[test]
    fn debug_shows_the_kind_alone() {
        let domain = Domain([1; 32]);
        assert_eq!(format!("{domain:?}"), "Domain(..)");
        assert_eq!(format!("{:?}", domain.id_hasher()), "IdHasher(..)");
        assert_eq!(format!("{:?}", domain.id_hasher().hash(b"a")), "IdHash(..)");
    }
}
