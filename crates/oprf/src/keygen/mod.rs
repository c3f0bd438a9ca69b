//! A key that no one ever holds: made by all holders of its shares together, and shares made
//! anew for the same key.
//!
//! # Parties and messages
//! `n` holders, of whom `t` will be able to evaluate. Each is [`First`], then [`Second`], then
//! has [`Made`]; every package goes to all others or to one of them.
//!
//! | step | from → to     | message                                                    | size            |
//! |------|---------------|------------------------------------------------------------|-----------------|
//! | 1    | each → all    | commitments to a random polynomial of degree `t - 1`, a proof that its constant is known (in a refresh nobody looks at it) | `32 t + 64` B |
//! | 2    | each → each   | the polynomial's value at the receiver's place: **secret**  | 32 B            |
//! | 3    | each          | adds what it got: its share; and all shares' public keys    |                 |
//! | 4    | each → all    | a signature over public keys and the digest of all step 1: made and checked elsewhere | |
//!
//! In a refresh the constants are zero: the shares change, the key does not. None can join, `t`
//! stays. Holders may be left out here; the agreement's providers are all holders, and within
//! an epoch no other list of them counts, so that in use no refresh leaves anybody out. A share from before fits none from after if one of the
//! holders that took part was honest and erases its old share: `t - 1` that were spies in the
//! refresh, and kept their shares of before, have what they had. A refresh that changed no
//! share at all, which `t - 1` that speak last can bring about, is refused. Those that speak
//! last can choose other changes, with `t = 2` one holder alone the whole of it: no proof of
//! knowledge is checked in a refresh, since constants are zero. The key is none the worse, and
//! they learn nothing that they would not know as holders of `t - 1` shares; but a change that
//! they tell others protects from nobody whom they tell.
//!
//! This module's packages are bytes that somebody else signs, and seals where they are secret.
//! What a package belongs to stands in it, so that none of another ceremony, round or receiver
//! passes.
//! # Claim
//! Against up to `t - 1` malicious holders the key stays unknown to them, and a ceremony with a
//! liar in it makes nothing. Whoever sees the lie is told whose it is; that is no proof to
//! others, since a holder may say of another that its value, sealed to that holder alone, was
//! wrong. There is no round of complaints: the ceremony starts anew, without the one or the
//! other. A holder that broadcasts different things to different others is found by step 4
//! alone: [`Made::digest`] differs. [`Made::equivocators`] then names it by two packages that
//! it signed itself, which is a proof to everybody. A ceremony without all signatures over one
//! digest made nothing.
//!
//! Not claimed: that the key is uniform. The last holder to speak can choose among the keys
//! that its own coefficients lead to (Gennaro, Jarecki, Krawczyk, Rabin, 2007); it does not
//! learn the key by that, and one-more Diffie-Hellman, on which evaluation rests, stands it.
//! # What each party learns
//! Its own share, and all public keys.
//! # Reference
//! Pedersen (1991) with proofs of knowledge: FROST (Komlo, Goldberg, 2020), figure 1, as
//! `frost-ristretto255` has it; see docs/decisions/0078.

mod package;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use incamera_types::{CeremonyDigest, Transcript};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

pub use self::package::Package;
use self::package::{Header, Round};
use crate::frost::{self, Failure, FirstSecret, Packages, Purpose, SecondSecret};
use crate::lagrange::{Place, Places};
use crate::shares::{PublicKeys, Share, SharesError, check_threshold};

/// Digest of all packages of step 1.
const BROADCAST_LABEL: &str = "incamera-ceremony-broadcast/1";

/// Bytes that tell a ceremony from all others.
pub type CeremonyId = [u8; 32];

/// Which ceremony, by whom, for what.
pub struct Ceremony {
    id: CeremonyId,
    own: Place,
    places: Places,
    threshold: usize,
    /// In a refresh, what is there.
    old: Option<(Share, PublicKeys)>,
}

/// Why a ceremony ended without keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeygenError {
    /// A holder did what no correct program does. The ceremony starts anew, without it or
    /// after it was put right.
    #[error("the holder of the share at place {place} does not keep to the ceremony")]
    Holder {
        /// Which.
        place: Place,
        /// What it did.
        #[source]
        fault: Fault,
    },
    /// A package of a holder is missing.
    #[error("the holder of the share at place {place} has sent nothing")]
    Missing {
        /// Which.
        place: Place,
    },
    /// Places and threshold that do not go together, or keys that do not fit.
    #[error(transparent)]
    Shares(#[from] SharesError),
    /// A refresh left every share as it was.
    #[error("no share was changed by the refresh: some holders have undone what the others did")]
    NotRefreshed,
    /// A refresh would have given another key.
    #[error("the new shares are of another key")]
    KeyChanged,
    /// What the library underneath does not take.
    #[error("the ceremony cannot be held with these holders and this threshold")]
    Refused,
}

/// What a holder did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Bytes that are no package, or commitments to a polynomial of another degree.
    #[error("its package is malformed")]
    Malformed,
    /// A package of another ceremony.
    #[error("its package is of another ceremony")]
    OtherCeremony,
    /// A package of another step, or of a refresh instead of a making.
    #[error("its package is of another step")]
    OtherStep,
    /// A package that names another sender.
    #[error("its package is in the name of another")]
    OtherSender,
    /// A package for somebody else.
    #[error("its package is for another holder")]
    OtherReceiver,
    /// More than one package of one step.
    #[error("it has sent two packages")]
    Twice,
    /// Somebody who is not of this ceremony.
    #[error("it takes no part in this ceremony")]
    Stranger,
    /// The proof that it knows its polynomial does not hold.
    #[error("it does not prove that it knows what it commits to")]
    Proof,
    /// A value that is not the one committed to.
    #[error("the value that it sent is not the one that it committed to")]
    Value,
}

impl Ceremony {
    /// A new key of holders at `places`, `threshold` of whom can evaluate.
    ///
    /// # Errors
    /// [`SharesError::Threshold`]: at least 2 (one holder alone needs no ceremony:
    /// [`Share::alone`]); [`SharesError::Unknown`] where `own` is none of the places.
    pub fn make(
        id: CeremonyId,
        own: Place,
        places: Places,
        threshold: usize,
    ) -> Result<Self, SharesError> {
        Self::new(id, own, places, threshold, None)
    }

    /// New shares for those of the old ones' holders that are at `places`.
    ///
    /// # Errors
    /// [`SharesError::Threshold`] if they are fewer than the threshold;
    /// [`SharesError::Unknown`] where a place has no share, or the share is at none of them.
    pub fn refresh(
        id: CeremonyId,
        share: Share,
        public: PublicKeys,
        places: Places,
    ) -> Result<Self, SharesError> {
        let known = |place| public.shares().any(|(known, _)| known == place);
        if let Some(place) = places.iter().find(|place| !known(*place)) {
            return Err(SharesError::Unknown { place });
        }
        let (own, threshold) = (share.place(), public.threshold());
        Self::new(id, own, places, threshold, Some((share, public)))
    }

    fn new(
        id: CeremonyId,
        own: Place,
        places: Places,
        threshold: usize,
        old: Option<(Share, PublicKeys)>,
    ) -> Result<Self, SharesError> {
        check_threshold(threshold, places.len())?;
        if threshold == 1 {
            let shares = places.len();
            return Err(SharesError::Threshold { threshold, shares });
        }
        if !places.contains(own) {
            return Err(SharesError::Unknown { place: own });
        }
        Ok(Self {
            id,
            own,
            places,
            threshold,
            old,
        })
    }

    fn purpose(&self) -> Purpose<'_> {
        match &self.old {
            None => Purpose::Make,
            Some((share, public)) => Purpose::Refresh(share, public),
        }
    }

    fn header(&self, round: Round, sender: Place, receiver: Option<Place>) -> Header {
        Header {
            id: self.id,
            refreshes: self.old.is_some(),
            round,
            sender,
            receiver,
        }
    }

    /// What all others sent in one round, each once. Who sent a package is known from its
    /// signature.
    fn read(
        &self,
        round: Round,
        packages: &[(Place, impl AsRef<[u8]>)],
    ) -> Result<Packages, KeygenError> {
        let mut read = Packages::new();
        let receiver = match round {
            Round::First => None,
            Round::Second => Some(self.own),
        };
        for (place, bytes) in packages {
            let place = *place;
            let blame = |fault| KeygenError::Holder { place, fault };
            if place == self.own || !self.places.contains(place) {
                return Err(blame(Fault::Stranger));
            }
            let header = self.header(round, place, receiver);
            let body = header.open(bytes.as_ref()).map_err(blame)?;
            let body = Zeroizing::new(body.to_vec());
            if read.insert(place, body).is_some() {
                return Err(blame(Fault::Twice));
            }
        }
        let mut others = self.places.iter().filter(|place| *place != self.own);
        match others.find(|place| !read.contains_key(place)) {
            Some(place) => Err(KeygenError::Missing { place }),
            None => Ok(read),
        }
    }
}

/// A holder that has sent its commitments.
pub struct First {
    ceremony: Ceremony,
    secret: FirstSecret,
    own: Package,
}

/// A holder that has the commitments of all, and has sent each of them its value.
pub struct Second {
    ceremony: Ceremony,
    secret: SecondSecret,
    firsts: Packages,
    digest: CeremonyDigest,
}

/// The packages of step 1 of all holders, in the signed envelopes that they came in.
pub type Broadcasts = BTreeMap<Place, Vec<u8>>;

/// What a ceremony made for one holder. Nothing is made before all have signed one statement
/// with the digest.
pub struct Made {
    share: Share,
    public: PublicKeys,
    digest: CeremonyDigest,
    ceremony: Ceremony,
}

impl First {
    /// Step 1; the package is for all others.
    ///
    /// # Errors
    /// [`KeygenError::Refused`].
    pub fn start(
        ceremony: Ceremony,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Package), KeygenError> {
        let threshold = u16::try_from(ceremony.threshold).map_err(|_| KeygenError::Refused)?;
        let (purpose, own) = (ceremony.purpose(), ceremony.own);
        let (secret, body) = frost::first(purpose, own, &ceremony.places, threshold, rng)?;
        let package = ceremony.header(Round::First, own, None).package(&body);
        let first = Self {
            ceremony,
            secret,
            own: package.clone(),
        };
        Ok((first, package))
    }

    /// Step 2, with the packages of all others, each with who signed it. What comes out is
    /// secret: one package for each of them.
    ///
    /// # Errors
    /// [`KeygenError`].
    pub fn receive(
        self,
        packages: &[(Place, impl AsRef<[u8]>)],
    ) -> Result<(Second, Vec<Package>), KeygenError> {
        let Self {
            ceremony,
            secret,
            own,
        } = self;
        let firsts = ceremony.read(Round::First, packages)?;
        let (secret, values) = frost::second(ceremony.purpose(), secret, &firsts)?;
        let packages = packages.iter();
        let theirs = packages.map(|(place, bytes)| (*place, bytes.as_ref().to_vec()));
        let broadcasts = theirs.chain([(ceremony.own, own.as_bytes().to_vec())]);
        let broadcasts: BTreeMap<_, _> = broadcasts.collect();
        let digest = Transcript::new(BROADCAST_LABEL).list(broadcasts.values());
        let values = values.iter().map(|(receiver, value)| {
            let header = ceremony.header(Round::Second, ceremony.own, Some(*receiver));
            header.package(value)
        });
        let values = values.collect();
        let second = Second {
            digest: digest.finish(),
            ceremony,
            secret,
            firsts,
        };
        Ok((second, values))
    }
}

impl Second {
    /// Step 3, with the packages of all others to this holder.
    ///
    /// # Errors
    /// [`KeygenError`].
    pub fn receive(self, packages: &[(Place, impl AsRef<[u8]>)]) -> Result<Made, KeygenError> {
        let ceremony = &self.ceremony;
        let values = ceremony.read(Round::Second, packages)?;
        let (purpose, own) = (ceremony.purpose(), ceremony.own);
        let outcome = frost::finish(purpose, own, &self.secret, &self.firsts, &values)?;
        let (secret, keys) = outcome;
        let share = Share::new(own, secret);
        let public = PublicKeys::new(ceremony.threshold, keys)?;
        let old = ceremony.old.as_ref();
        if old.is_some_and(|(_, old)| old.key() != public.key()) {
            return Err(KeygenError::KeyChanged);
        }
        let stayed =
            |(place, key)| old.is_some_and(|(_, old)| old.shares().any(|s| s == (place, key)));
        if public.shares().all(stayed) {
            return Err(KeygenError::NotRefreshed);
        }
        let own_key = public.shares().find(|(place, _)| *place == own);
        if own_key.is_none_or(|(_, key)| *key != share.public_key()) {
            return Err(KeygenError::Refused);
        }
        Ok(Made {
            share,
            public,
            digest: self.digest,
            ceremony: self.ceremony,
        })
    }
}

impl Made {
    /// Digest of what all broadcast: all holders have the same, or somebody equivocated.
    #[must_use]
    pub fn digest(&self) -> CeremonyDigest {
        self.digest
    }

    /// The public keys, which all sign together with the digest.
    #[must_use]
    pub fn public(&self) -> &PublicKeys {
        &self.public
    }

    /// Who broadcast different packages to two holders, whose digests differ. `open` gives
    /// what stands in an envelope if the holder at the place signed it.
    ///
    /// A holder is named by two signatures of its own over two packages of this ceremony's
    /// step 1, and by nothing less: one that reports a package that was never sent, or one of
    /// another step or ceremony, names nobody.
    #[must_use]
    pub fn equivocators(
        &self,
        one: &Broadcasts,
        other: &Broadcasts,
        open: impl Fn(Place, &[u8]) -> Option<Vec<u8>>,
    ) -> Vec<Place> {
        let package = |of: &Broadcasts, place| {
            let bytes = open(place, of.get(&place)?)?;
            let header = self.ceremony.header(Round::First, place, None);
            header.open(&bytes).is_ok().then_some(bytes)
        };
        let twice = |place: &Place| {
            let (one, other) = (package(one, *place), package(other, *place));
            one.zip(other).is_some_and(|(one, other)| one != other)
        };
        one.keys().copied().filter(twice).collect()
    }

    /// The share, to be kept beside an old one until all have signed.
    #[must_use]
    pub fn share(&self) -> &Share {
        &self.share
    }

    /// The share, to be kept once all have signed.
    #[must_use]
    pub fn into_share(self) -> Share {
        self.share
    }
}

impl From<Failure> for KeygenError {
    fn from(failure: Failure) -> Self {
        let (place, fault) = match failure {
            Failure::Malformed(place) => (place, Fault::Malformed),
            Failure::Proof(place) => (place, Fault::Proof),
            Failure::Value(place) => (place, Fault::Value),
            Failure::Refused => return Self::Refused,
        };
        Self::Holder { place, fault }
    }
}

macro_rules! shows_the_kind_alone {
    ($($type:ident)*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($type), "(..)"))
            }
        }
    )*};
}

shows_the_kind_alone! { Ceremony First Second Made }
