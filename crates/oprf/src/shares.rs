//! A share of a key, and what everybody knows of all shares.

use std::collections::BTreeMap;
use std::fmt;

use incamera_group::{EncodedPoint, Point, PointFault, Scalar};
use rand_core::CryptoRng;

use crate::lagrange::{Place, PlaceError, Places};

/// One holder's share of a key. Wiped when dropped; `Debug` shows the place alone.
pub struct Share {
    place: Place,
    secret: Scalar,
}

impl Share {
    /// A share from where it was kept.
    #[must_use]
    pub fn new(place: Place, secret: Scalar) -> Self {
        Self { place, secret }
    }

    /// The only share of a key with one holder, and that key: no ceremony is needed.
    #[must_use]
    pub fn alone(rng: &mut impl CryptoRng) -> (Self, PublicKeys) {
        let place = Place::FIRST;
        let secret = Scalar::random(rng);
        let key = Point::base_multiply(&secret).encode();
        let public = PublicKeys {
            threshold: 1,
            shares: BTreeMap::from([(place, key)]),
            key,
        };
        (Self { place, secret }, public)
    }

    /// Its place.
    #[must_use]
    pub fn place(&self) -> Place {
        self.place
    }

    /// The secret, to keep it sealed.
    #[must_use]
    pub fn secret(&self) -> &Scalar {
        &self.secret
    }

    /// The generator times the secret.
    #[must_use]
    pub fn public_key(&self) -> EncodedPoint {
        Point::base_multiply(&self.secret).encode()
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({})", self.place)
    }
}

/// The public key of every share, and of the key itself.
///
/// Whoever has one knows that the shares fit: any `threshold` of them give the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKeys {
    threshold: usize,
    shares: BTreeMap<Place, EncodedPoint>,
    key: EncodedPoint,
}

/// Why public keys are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SharesError {
    /// A threshold of none, of one among several, or of more than there are.
    #[error(
        "of {shares} shares {threshold} cannot be enough: at least 2, or 1 where there is one share alone"
    )]
    Threshold {
        /// What should be enough.
        threshold: usize,
        /// How many there are.
        shares: usize,
    },
    /// Places that are none, or named twice.
    #[error(transparent)]
    Places(#[from] PlaceError),
    /// A public key that is none.
    #[error("the public key of the share at place {place} is refused")]
    Point {
        /// Whose.
        place: Place,
        /// Why.
        #[source]
        fault: PointFault,
    },
    /// The key itself is the identity.
    #[error("the key of all shares is none")]
    NoKey,
    /// The shares are not of one key.
    #[error("the share at place {place} is not of the same key as those before it")]
    Misfit {
        /// The first that does not fit.
        place: Place,
    },
    /// The number of shares that are put together is not the threshold.
    #[error("{found} shares are put together where {expected} belong together")]
    SetSize {
        /// The threshold.
        expected: usize,
        /// How many.
        found: usize,
    },
    /// A share that this key does not have.
    #[error("the key has no share at place {place}")]
    Unknown {
        /// Which.
        place: Place,
    },
}

impl PublicKeys {
    /// Takes the public keys of shares, and checks that they fit.
    ///
    /// # Errors
    /// [`SharesError`], but neither `SetSize` nor `Unknown`.
    pub fn new(
        threshold: usize,
        shares: impl IntoIterator<Item = (Place, EncodedPoint)>,
    ) -> Result<Self, SharesError> {
        let shares: Vec<_> = shares.into_iter().collect();
        Places::new(shares.iter().map(|(place, _)| *place))?;
        check_threshold(threshold, shares.len())?;
        let shares: BTreeMap<_, _> = shares.into_iter().collect();
        let points = shares.iter().map(|(place, share)| {
            let point = share.decode();
            let point = point.map_err(|fault| SharesError::Point {
                place: *place,
                fault,
            });
            Ok((*place, point?))
        });
        let points: Vec<_> = points.collect::<Result<_, SharesError>>()?;
        let (first, others) = points.split_at_checked(threshold).unwrap_or((&points, &[]));
        let places = Places::new(first.iter().map(|(place, _)| *place))?;
        let value = |at| -> Point {
            let terms = first.iter();
            let terms = terms.map(|(place, point)| point.multiply(&places.coefficient(*place, at)));
            terms.sum()
        };
        let misfit = others
            .iter()
            .find(|(place, point)| value(place.get()) != *point);
        if let Some((place, _)) = misfit {
            return Err(SharesError::Misfit { place: *place });
        }
        let key = value(0).encode();
        key.decode().map_err(|_| SharesError::NoKey)?;
        Ok(Self {
            threshold,
            shares,
            key,
        })
    }

    /// How many shares give the key.
    #[must_use]
    pub fn threshold(&self) -> usize {
        self.threshold
    }

    /// The key's own public key, `K`.
    #[must_use]
    pub fn key(&self) -> &EncodedPoint {
        &self.key
    }

    /// The shares' public keys, `K_i`, in order of place.
    pub fn shares(&self) -> impl ExactSizeIterator<Item = (Place, &EncodedPoint)> {
        self.shares.iter().map(|(place, share)| (*place, share))
    }

    /// The public key that the holder at `place` proves an evaluation under, among `set`:
    /// `lambda_i K_i`.
    ///
    /// # Errors
    /// [`SharesError::SetSize`], [`SharesError::Unknown`]: also where `place` is not in `set`.
    pub fn evaluation_key(&self, set: &Places, place: Place) -> Result<EncodedPoint, SharesError> {
        self.check_set(set)?;
        let unknown = SharesError::Unknown { place };
        let share = self.shares.get(&place).filter(|_| set.contains(place));
        let point = share.ok_or(unknown)?.decode();
        let point = point.map_err(|fault| SharesError::Point { place, fault })?;
        Ok(point.multiply(&set.coefficient(place, 0)).encode())
    }

    fn check_set(&self, set: &Places) -> Result<(), SharesError> {
        let (expected, found) = (self.threshold, set.len());
        if expected != found {
            return Err(SharesError::SetSize { expected, found });
        }
        match set.iter().find(|place| !self.shares.contains_key(place)) {
            Some(place) => Err(SharesError::Unknown { place }),
            None => Ok(()),
        }
    }
}

/// One among several would be each of them alone.
pub(crate) fn check_threshold(threshold: usize, shares: usize) -> Result<(), SharesError> {
    let alone = (threshold, shares) == (1, 1);
    if alone || (2..=shares).contains(&threshold) {
        Ok(())
    } else {
        Err(SharesError::Threshold { threshold, shares })
    }
}
