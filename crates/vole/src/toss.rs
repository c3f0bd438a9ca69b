//! Random bytes that neither side chose.
//!
//! | from → to | message                               | size |
//! |-----------|---------------------------------------|------|
//! | both      | `commitment`: hash of 32 random bytes | 32 B |
//! | both      | `nonce`: those bytes, once the other's commitment is there | 32 B |
//!
//! # Claim
//! Malicious security, up to one thing: the side that opens last may end the run instead, having
//! seen the result. It gains a choice among as many results as runs it may begin.
//!
//! The commitment names its side, so that nobody passes with the other's own.

use std::fmt;

use rand_core::CryptoRng;

use crate::hash::{Domain, digest, same};
use crate::oprf::{Direction, Misbehaviour};

/// What a nonce is committed to by.
const COMMITMENT_LABEL: &[u8] = b"incamera-vole-toss/1";
/// What the domain of a run hangs on.
const DOMAIN_LABEL: &[u8] = b"incamera-vole-domain/1";
/// Bytes of a nonce and of a commitment.
const BYTES: usize = 32;

/// A side before it has the other's commitment.
pub struct Toss {
    terms: [u8; 32],
    own: Direction,
    nonce: [u8; BYTES],
}

/// A side that has it, and may show its nonce.
pub struct Committed {
    toss: Toss,
    theirs: [u8; BYTES],
}

impl Toss {
    /// Draws a nonce for a run under terms of this digest. `own` is our place by name, as of
    /// [`Direction`].
    #[must_use]
    pub fn new(terms: [u8; 32], own: Direction, rng: &mut impl CryptoRng) -> Self {
        let mut nonce = [0; BYTES];
        rng.fill_bytes(&mut nonce);
        Self::with_nonce(terms, own, nonce)
    }

    pub(crate) fn with_nonce(terms: [u8; 32], own: Direction, nonce: [u8; BYTES]) -> Self {
        Self { terms, own, nonce }
    }

    /// What the other side gets first.
    #[must_use]
    pub fn commitment(&self) -> [u8; BYTES] {
        commitment(&self.terms, self.own, &self.nonce)
    }

    /// Takes the other side's commitment.
    #[must_use]
    pub fn committed(self, theirs: [u8; BYTES]) -> Committed {
        Committed { toss: self, theirs }
    }
}

impl Committed {
    /// What the other side gets then.
    #[must_use]
    pub fn nonce(&self) -> [u8; BYTES] {
        self.toss.nonce
    }

    /// The domain of the run, from both nonces.
    ///
    /// # Errors
    /// [`Misbehaviour::Commitment`].
    pub fn join(self, theirs: &[u8; BYTES]) -> Result<Domain, Misbehaviour> {
        let Toss { terms, own, nonce } = &self.toss;
        let other = own.other();
        if !same(&commitment(terms, other, theirs), &self.theirs) {
            return Err(Misbehaviour::Commitment);
        }
        let (first, second) = match own {
            Direction::First => (nonce, theirs),
            Direction::Second => (theirs, nonce),
        };
        Ok(Domain::from_digest(digest(
            DOMAIN_LABEL,
            &[terms, first, second],
        )))
    }
}

fn commitment(terms: &[u8; 32], side: Direction, nonce: &[u8; BYTES]) -> [u8; BYTES] {
    let side = side.number().to_be_bytes();
    digest(COMMITMENT_LABEL, &[terms, &side, nonce])
}

impl fmt::Debug for Toss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Toss(..)")
    }
}

impl fmt::Debug for Committed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Committed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    fn sides(terms: [[u8; 32]; 2], seed: u64) -> (Toss, Toss) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let [first, second] = terms;
        let first = Toss::new(first, Direction::First, &mut rng);
        (first, Toss::new(second, Direction::Second, &mut rng))
    }

    fn joined(first: Toss, second: Toss) -> [Result<Domain, Misbehaviour>; 2] {
        let commitments = [first.commitment(), second.commitment()];
        let [of_first, of_second] = commitments;
        let (first, second) = (first.committed(of_second), second.committed(of_first));
        let nonces = (first.nonce(), second.nonce());
        [first.join(&nonces.1), second.join(&nonces.0)]
    }

    #[test]
    fn both_sides_get_one_domain_that_no_other_run_has() {
        let domain = |terms: u8, seed| {
            let (first, second) = sides([[terms; 32]; 2], seed);
            let [a, b] = joined(first, second);
            assert_eq!(a, b);
            a.unwrap()
        };
        let base = domain(1, 1);
        assert!(base == domain(1, 1) && base != domain(1, 2) && base != domain(2, 1));
    }

    #[test]
    fn other_nonces_mirrored_sides_and_other_terms_are_refused() {
        let (first, second) = sides([[1; 32]; 2], 3);
        let first = first.committed(second.commitment());
        let mut other = second.nonce;
        other[31] ^= 1;
        assert_eq!(first.join(&other).unwrap_err(), Misbehaviour::Commitment);

        let (first, _) = sides([[1; 32]; 2], 3);
        let (mirrored, own) = (first.commitment(), first.nonce);
        let refused = first.committed(mirrored).join(&own);
        assert_eq!(refused.unwrap_err(), Misbehaviour::Commitment);

        let (first, second) = sides([[1; 32], [2; 32]], 3);
        assert_eq!(
            joined(first, second),
            [const { Err(Misbehaviour::Commitment) }; 2]
        );
    }

    #[test]
    fn debug_shows_the_kind_alone() {
        let (first, second) = sides([[1; 32]; 2], 4);
        let committed = first.committed(second.commitment());
        assert_eq!(
            format!("{committed:?} {second:?}"),
            "Committed(..) Toss(..)"
        );
    }
}
