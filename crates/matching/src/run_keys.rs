//! The secrets of one run, made from a seed and from what goes into the run.
//!
//! The scalar that blinds points, `r`, hangs on the digest of the input: were one seed used
//! for two inputs, by a bug or by a journal that was copied, their points would still have
//! nothing to do with each other. The order of the ids hangs on the seed alone, since the
//! input is known only once it is in order.

use std::fmt;

use hmac::{Hmac, Mac as _};
use incamera_group::{EncodedPoint, Scalar};
use incamera_keys::Secret32;
use incamera_types::{Digest as _, MatchInputDigest, PartyName, Transcript};
use rand_core::CryptoRng;
use sha2::Sha256;

use crate::terms::{Value, first_16, hmac};
use crate::{Mode, Partition, Terms};

/// Label of [`MatchInputDigest`].
const INPUT_LABEL: &str = "incamera-match-input/1";
/// Label of what a run's secrets are made from.
const RUN_LABEL: &str = "incamera-match-run/1";
/// Label of the key that the ids' order hangs on.
const ORDER_LABEL: &str = "incamera-match-order/1";
/// Label of the key that chooses which earlier ids are matched again.
const KNOWN_LABEL: &str = "incamera-match-known/1";
/// Label of the key of fingerprints.
const FINGER_LABEL: &str = "incamera-match-finger/1";

/// The 32 random bytes of a run. Its journal keeps them, encrypted, until the run is done.
pub struct Seed(Secret32);

impl Seed {
    /// A new one.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        Self(Secret32::generate(rng))
    }

    /// The seed of a run that was cut off. The caller wipes its own copy.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Secret32::from_bytes(bytes))
    }

    /// The bytes, for the journal.
    #[must_use]
    pub fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// The key of the PRF whose values the ids are sorted by.
    #[must_use]
    pub fn order_key(&self) -> Secret32 {
        self.0.derive(ORDER_LABEL)
    }

    /// The key of the PRF whose least values choose the earlier ids.
    #[must_use]
    pub fn known_key(&self) -> Secret32 {
        self.0.derive(KNOWN_LABEL)
    }

    /// The secrets of a run over one input.
    #[must_use]
    pub fn run(&self, input: &MatchInputDigest) -> RunKeys {
        RunKeys(self.0.derive_for(RUN_LABEL, &[input.as_bytes()]))
    }
}

impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seed(..)")
    }
}

/// What a party takes into a run.
#[derive(Clone, Copy, Debug)]
pub struct MatchInput<'a> {
    /// The terms.
    pub terms: &'a Terms,
    /// Which rules normalised the ids.
    pub rules: u32,
    /// Which ids are matched.
    pub mode: Mode,
    /// Which part of the ids.
    pub partition: Partition,
    /// This party.
    pub me: &'a PartyName,
    /// The other one.
    pub peer: &'a PartyName,
    /// SHA-256 of all valid ids with their consents, in the order of the input.
    pub ids: [u8; 32],
    /// SHA-256 of the ids of the crosswalk so far, in its order.
    pub crosswalk: [u8; 32],
}

impl MatchInput<'_> {
    /// The digest of all of it.
    #[must_use]
    pub fn digest(&self) -> MatchInputDigest {
        let terms = self.terms;
        Transcript::new(INPUT_LABEL)
            .field(terms.agreement_id)
            .field(terms.agreement_digest)
            .number(terms.epoch.0.into())
            .field(terms.id_kind.as_str())
            .field(terms.method.as_str())
            .field(terms.reveals.as_str())
            .number(self.rules.into())
            .field(self.mode.as_str())
            .number(self.partition.number().into())
            .number(self.partition.of().into())
            .field(self.me.as_str())
            .field(self.peer.as_str())
            .field(self.ids)
            .field(self.crosswalk)
            .finish()
    }
}

/// The secrets of one run over one input.
pub struct RunKeys(Secret32);

impl RunKeys {
    /// `r`, which own points go out under with `reveals = "nothing"`.
    pub(crate) fn blind(&self, terms: &Terms) -> Scalar {
        Scalar::from_secret(&terms.tagged(RUN_LABEL), self.0.expose())
    }

    /// What tells the peer's points apart without keeping them.
    #[must_use]
    pub fn fingerprints(&self) -> Fingerprints {
        Fingerprints(hmac(self.0.derive(FINGER_LABEL).expose()))
    }
}

impl fmt::Debug for RunKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RunKeys(..)")
    }
}

/// Makes fingerprints: the first 16 bytes of HMAC-SHA256, under a key of the run, so that
/// nobody can make a point that fits another's.
#[derive(Clone)]
pub struct Fingerprints(Hmac<Sha256>);

impl Fingerprints {
    /// The fingerprint of a point.
    #[must_use]
    pub fn of_point(&self, point: &EncodedPoint) -> Value {
        let mut mac = self.0.clone();
        mac.update(point.as_bytes());
        first_16(&mac.finalize().into_bytes().into())
    }
}

impl fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fingerprints(..)")
    }
}
