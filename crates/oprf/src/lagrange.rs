//! Which shares are put together, and what each counts among them.
//!
//! A key `k` is the value at 0 of a polynomial of degree `t - 1`, and share `i` its value at
//! `i`. Among `t` places `S` the key is `sum lambda_i(S) k_i`, where `lambda_i(S)` is the
//! product of `j / (j - i)` over the other places `j`. With one place `lambda` is 1.

use std::fmt;
use std::num::NonZero;

use incamera_group::Scalar;

/// The place of a share: 1 to [`MAX_SHARES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place(NonZero<u16>);

/// The most shares of one key.
pub const MAX_SHARES: u16 = 16;

/// Why numbers are no places of shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlaceError {
    /// Zero, where the key itself lies, or too many.
    #[error("a share has a place from 1 to {MAX_SHARES}, not {found}")]
    OutOfRange {
        /// The number.
        found: u16,
    },
    /// One place twice.
    #[error("the share at place {place} is named twice")]
    Twice {
        /// Which.
        place: Place,
    },
    /// No places at all.
    #[error("no share is named")]
    None,
}

impl Place {
    /// The place of a share that is alone.
    pub const FIRST: Self = Self(NonZero::<u16>::MIN);

    /// Takes a number for a place.
    ///
    /// # Errors
    /// [`PlaceError::OutOfRange`].
    pub fn new(found: u16) -> Result<Self, PlaceError> {
        NonZero::new(found)
            .filter(|number| number.get() <= MAX_SHARES)
            .map(Self)
            .ok_or(PlaceError::OutOfRange { found })
    }

    /// The number.
    #[must_use]
    pub fn get(self) -> u16 {
        self.0.get()
    }
}

impl From<Place> for NonZero<u64> {
    fn from(place: Place) -> Self {
        place.0.into()
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Distinct places, in order, at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places(Vec<Place>);

impl Places {
    /// Takes places in any order.
    ///
    /// # Errors
    /// [`PlaceError::Twice`], [`PlaceError::None`].
    pub fn new(places: impl IntoIterator<Item = Place>) -> Result<Self, PlaceError> {
        let mut places: Vec<_> = places.into_iter().collect();
        places.sort_unstable();
        let twice = places
            .array_windows()
            .find_map(|[one, next]| (one == next).then_some(*one));
        match (twice, places.as_slice()) {
            (Some(place), _) => Err(PlaceError::Twice { place }),
            (None, []) => Err(PlaceError::None),
            (None, _) => Ok(Self(places)),
        }
    }

    /// In order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Place> + '_ {
        self.0.iter().copied()
    }

    /// How many; never none.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it never is")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether a place is among them.
    #[must_use]
    pub fn contains(&self, place: Place) -> bool {
        self.0.contains(&place)
    }

    /// What the share at `place` counts at `at`: for 0, the key; for another place, that
    /// place's share. `at` must be none of these places itself.
    pub(crate) fn coefficient(&self, place: Place, at: u16) -> Scalar {
        let others = self.iter().filter(|other| *other != place);
        others.fold(number(1), |product, other| {
            let (above, below) = (
                difference(other.get(), at),
                difference(other.get(), place.get()),
            );
            product.multiply(&above).multiply(&below.invert())
        })
    }
}

/// `a - b`, which are not the same.
fn difference(a: u16, b: u16) -> Scalar {
    let size = number(u64::from(a.abs_diff(b)));
    if a > b {
        size
    } else {
        minus_one().multiply(&size)
    }
}

#[expect(clippy::expect_used, reason = "2 is no zero and 1 - 2 is neither")]
fn minus_one() -> Scalar {
    let two = Scalar::from_number(NonZero::<u64>::MIN.saturating_add(1));
    number(1).subtract(&two).expect("minus one")
}

/// A number; at least 1.
fn number(number: u64) -> Scalar {
    Scalar::from_number(NonZero::new(number).unwrap_or(NonZero::<u64>::MIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(numbers: &[u16]) -> Places {
        Places::new(numbers.iter().map(|n| Place::new(*n).unwrap())).unwrap()
    }

    fn bytes(scalar: &Scalar) -> [u8; 32] {
        *scalar.to_canonical_bytes()
    }

    /// `5 + 3 x + 2 x^2`.
    fn share(x: u16) -> Scalar {
        let x = u64::from(x);
        number(5 + 3 * x + 2 * x * x)
    }

    #[test]
    fn three_shares_give_key_and_other_shares() {
        for numbers in [[1, 2, 3], [2, 5, 16], [16, 1, 7]] {
            let places = places(&numbers);
            for at in [0, 4, 11] {
                let mut terms = places
                    .iter()
                    .map(|place| places.coefficient(place, at).multiply(&share(place.get())));
                let first = terms.next().unwrap();
                let sum = terms.fold(first, |sum, term| sum.add(&term).unwrap());
                let expected = if at == 0 { number(5) } else { share(at) };
                assert_eq!(bytes(&sum), bytes(&expected), "{numbers:?} at {at}");
            }
        }
    }

    #[test]
    fn a_share_alone_is_the_key() {
        let one = places(&[7]);
        let lambda = one.coefficient(Place::new(7).unwrap(), 0);
        assert_eq!(bytes(&lambda), bytes(&number(1)));
    }

    #[test]
    fn places_are_distinct_and_in_range() {
        assert_eq!(Place::new(0), Err(PlaceError::OutOfRange { found: 0 }));
        assert_eq!(Place::new(17), Err(PlaceError::OutOfRange { found: 17 }));
        let place = Place::new(16).unwrap();
        assert_eq!(Places::new([]), Err(PlaceError::None));
        let first = Place::new(1).unwrap();
        let twice = Places::new([place, first, place]);
        assert_eq!(twice, Err(PlaceError::Twice { place }));
        assert_eq!(Places::new([place, first]), Places::new([first, place]));
        assert!(places(&[1, 2]).contains(first) && !places(&[2]).contains(first));
    }
}
