//! Everything that is asked of `frost-ristretto255`: the two rounds of its key generation and
//! of its refresh. It has a curve25519-dalek of its own: points and scalars cross as bytes.
//!
//! What is sent has a fixed form, ours:
//!
//! | round | bytes                                                                            |
//! |-------|----------------------------------------------------------------------------------|
//! | 1     | commitments to the coefficients, 32 bytes each (`t`; in a refresh `t - 1`, as the constant is zero), then 64 bytes of proof that the constant is known, which in a refresh are there and checked by nobody: its constant is zero |
//! | 2     | the value at the receiver's place, 32 bytes: secret                               |

use std::collections::BTreeMap;
use std::num::NonZero;

use frost_ristretto255::keys::dkg::{self, round1, round2};
use frost_ristretto255::keys::refresh;
use frost_ristretto255::keys::{
    KeyPackage, PublicKeyPackage, SigningShare, VerifiableSecretSharingCommitment, VerifyingShare,
};
use frost_ristretto255::rand_core as rand_core_06;
use frost_ristretto255::{Error, Identifier, Signature, VerifyingKey};
use incamera_group::{EncodedPoint, Point, Scalar};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::lagrange::{Place, Places};
use crate::shares::{PublicKeys, Share};

/// Bytes of the proof in a package of round 1.
const PROOF_BYTES: usize = 64;

/// What a holder keeps in memory between its first package and the others'.
pub(crate) struct FirstSecret(round1::SecretPackage);

/// And between its second packages and the others'.
pub(crate) struct SecondSecret(round2::SecretPackage);

/// Bytes of each other holder.
pub(crate) type Packages = BTreeMap<Place, Zeroizing<Vec<u8>>>;

/// A share's secret, and the public keys of all.
pub(crate) type Outcome = (Scalar, Vec<(Place, EncodedPoint)>);

/// What is made.
#[derive(Clone, Copy)]
pub(crate) enum Purpose<'a> {
    /// A new key.
    Make,
    /// New shares of a key that is there.
    Refresh(&'a Share, &'a PublicKeys),
}

/// Why it is not made.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A holder's package is malformed, or commits to a polynomial of another degree.
    Malformed(Place),
    /// A holder does not know what it commits to.
    Proof(Place),
    /// A holder sent a value that is not the one it committed to.
    Value(Place),
    /// Numbers that the library does not take.
    Refused,
}

type Result<T> = std::result::Result<T, Failure>;

/// Round 1: what is kept, and what all others get.
pub(crate) fn first(
    purpose: Purpose<'_>,
    own: Place,
    places: &Places,
    threshold: u16,
    rng: &mut impl CryptoRng,
) -> Result<(FirstSecret, Vec<u8>)> {
    let holders = u16::try_from(places.len()).map_err(|_| Failure::Refused)?;
    let (id, rng) = (identifier(own)?, Rng06(rng));
    let (secret, package) = match purpose {
        Purpose::Make => dkg::part1(id, holders, threshold, rng),
        Purpose::Refresh(..) => refresh::refresh_dkg_part1(id, holders, threshold, rng),
    }
    .map_err(refused)?;
    let commitments = package.commitment().serialize_whole().map_err(refused)?;
    let proof = package.proof_of_knowledge().serialize().map_err(refused)?;
    Ok((FirstSecret(secret), [commitments, proof].concat()))
}

/// Round 2, from the packages of all others: what is kept, and what each of them gets.
pub(crate) fn second(
    purpose: Purpose<'_>,
    secret: FirstSecret,
    firsts: &Packages,
) -> Result<(SecondSecret, Packages)> {
    let commitments = commitments(purpose, *secret.0.min_signers(), firsts)?;
    let (secret, packages) = match purpose {
        Purpose::Make => dkg::part2(secret.0, &commitments),
        Purpose::Refresh(..) => refresh::refresh_dkg_part2(secret.0, &commitments),
    }
    .map_err(|error| of(error, firsts))?;
    let packages = firsts.keys().map(|place| {
        let package = packages.get(&identifier(*place)?).ok_or(Failure::Refused)?;
        Ok((*place, Zeroizing::new(package.signing_share().serialize())))
    });
    Ok((SecondSecret(secret), packages.collect::<Result<_>>()?))
}

/// The end, from the second packages of all others; `firsts` must be those of before.
pub(crate) fn finish(
    purpose: Purpose<'_>,
    own: Place,
    secret: &SecondSecret,
    firsts: &Packages,
    seconds: &Packages,
) -> Result<Outcome> {
    let threshold = *secret.0.min_signers();
    let commitments = commitments(purpose, threshold, firsts)?;
    let values = seconds.iter().map(|(place, bytes)| {
        let malformed = |_| Failure::Malformed(*place);
        let share = SigningShare::deserialize(bytes).map_err(malformed)?;
        let first = firsts.get(place).ok_or(Failure::Malformed(*place))?;
        check_value(purpose, *place, own, first, bytes)?;
        Ok((identifier(*place)?, round2::Package::new(share)))
    });
    let values: BTreeMap<_, _> = values.collect::<Result<_>>()?;
    let made = match purpose {
        Purpose::Make => dkg::part3(&secret.0, &commitments, &values),
        Purpose::Refresh(share, public) => refresh::refresh_dkg_shares(
            &secret.0,
            &commitments,
            &values,
            old_public(public, threshold)?,
            old_share(share, public, threshold)?,
        ),
    };
    let (share, public) = made.map_err(|error| of(error, firsts))?;
    outcome(&share, &public, firsts.keys().copied().chain([own]))
}

fn outcome(
    share: &KeyPackage,
    public: &PublicKeyPackage,
    places: impl Iterator<Item = Place>,
) -> Result<Outcome> {
    let bytes = Zeroizing::new(share.signing_share().serialize());
    let secret = scalar(&bytes).ok_or(Failure::Refused)?;
    let keys = places.map(|place| {
        let key = public.verifying_shares().get(&identifier(place)?);
        let bytes = key.ok_or(Failure::Refused)?.serialize().map_err(refused)?;
        Ok((place, point(&bytes).ok_or(Failure::Refused)?))
    });
    Ok((secret, keys.collect::<Result<_>>()?))
}

fn old_public(public: &PublicKeys, threshold: u16) -> Result<PublicKeyPackage> {
    let shares = public.shares().map(|(place, key)| {
        let share = VerifyingShare::deserialize(key.as_bytes()).map_err(refused)?;
        Ok((identifier(place)?, share))
    });
    let key = VerifyingKey::deserialize(public.key().as_bytes()).map_err(refused)?;
    let shares = shares.collect::<Result<_>>()?;
    Ok(PublicKeyPackage::new(shares, key, Some(threshold)))
}

fn old_share(share: &Share, public: &PublicKeys, threshold: u16) -> Result<KeyPackage> {
    let secret = share.secret().to_canonical_bytes();
    Ok(KeyPackage::new(
        identifier(share.place())?,
        SigningShare::deserialize(secret.as_slice()).map_err(refused)?,
        VerifyingShare::deserialize(share.public_key().as_bytes()).map_err(refused)?,
        VerifyingKey::deserialize(public.key().as_bytes()).map_err(refused)?,
        threshold,
    ))
}

fn commitments(
    purpose: Purpose<'_>,
    threshold: u16,
    firsts: &Packages,
) -> Result<BTreeMap<Identifier, round1::Package>> {
    let expected = match purpose {
        Purpose::Make => threshold,
        Purpose::Refresh(..) => threshold.saturating_sub(1),
    };
    let packages = firsts.iter().map(|(place, bytes)| {
        let malformed = |_| Failure::Malformed(*place);
        let (commitments, proof) = split(bytes).ok_or(Failure::Malformed(*place))?;
        if commitments.len() != usize::from(expected) * EncodedPoint::BYTES {
            return Err(Failure::Malformed(*place));
        }
        let package = round1::Package::new(
            VerifiableSecretSharingCommitment::deserialize_whole(commitments).map_err(malformed)?,
            Signature::deserialize(proof).map_err(malformed)?,
        );
        Ok((identifier(*place)?, package))
    });
    packages.collect()
}

/// Whether a value is the sender's polynomial's at our place. The library checks that too,
/// but in a refresh does not say whose value is wrong.
fn check_value(
    purpose: Purpose<'_>,
    sender: Place,
    own: Place,
    first: &[u8],
    value: &[u8],
) -> Result<()> {
    let malformed = || Failure::Malformed(sender);
    let (commitments, _) = split(first).ok_or_else(malformed)?;
    let commitments = EncodedPoint::split(commitments).ok_or_else(malformed)?;
    let commitments = commitments.iter().map(|point| point.decode().ok());
    let points: Vec<Point> = commitments.collect::<Option<_>>().ok_or_else(malformed)?;
    let value = scalar(value).ok_or_else(malformed)?;
    let x = Scalar::from_number(NonZero::from(own));
    let mut downwards = points.iter().rev().cloned();
    let highest = downwards.next().ok_or_else(malformed)?;
    let sum = downwards.fold(highest, |sum, point| &sum.multiply(&x) + &point);
    let expected = match purpose {
        Purpose::Make => sum,
        // The constant is zero and not sent.
        Purpose::Refresh(..) => sum.multiply(&x),
    };
    let fits = Point::base_multiply(&value) == expected;
    fits.then_some(()).ok_or(Failure::Value(sender))
}

fn split(first: &[u8]) -> Option<(&[u8], &[u8])> {
    first.split_at_checked(first.len().checked_sub(PROOF_BYTES)?)
}

fn identifier(place: Place) -> Result<Identifier> {
    Identifier::try_from(place.get()).map_err(refused)
}

fn scalar(bytes: &[u8]) -> Option<Scalar> {
    Scalar::from_canonical_bytes(bytes.try_into().ok()?).ok()
}

fn point(bytes: &[u8]) -> Option<EncodedPoint> {
    Some(EncodedPoint::from_bytes(bytes.try_into().ok()?))
}

fn refused(_: Error) -> Failure {
    Failure::Refused
}

/// What the library says, with the place of the holder that it names.
fn of(error: Error, packages: &Packages) -> Failure {
    let place = |culprit: Identifier| {
        let mut places = packages.keys();
        places.find(|place| identifier(**place).is_ok_and(|id| id == culprit))
    };
    match error {
        Error::InvalidProofOfKnowledge { culprit } => {
            place(culprit).map_or(Failure::Refused, |place| Failure::Proof(*place))
        }
        Error::InvalidSecretShare {
            culprit: Some(culprit),
        } => place(culprit).map_or(Failure::Refused, |place| Failure::Value(*place)),
        _ => Failure::Refused,
    }
}

/// Our randomness with the library's traits.
struct Rng06<'a, R>(&'a mut R);

impl<R: CryptoRng> rand_core_06::RngCore for Rng06<'_, R> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result06 {
        self.0.fill_bytes(bytes);
        Ok(())
    }
}

type Result06 = std::result::Result<(), rand_core_06::Error>;

impl<R: CryptoRng> rand_core_06::CryptoRng for Rng06<'_, R> {}
