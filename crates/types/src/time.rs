//! Moments and days.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not a day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a day is written as year-month-day, such as 2027-03-31")]
pub struct TimeError;

/// Seconds since 1970-01-01 UTC. Always a parameter: libraries read no clock.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// The moment `seconds` later; the last representable one if there is none.
    #[must_use]
    pub fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `earlier` to this moment, zero if it is not earlier.
    #[must_use]
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for UnixTime {
    /// ISO 8601 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = i64::try_from(self.0)
            .ok()
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
        match moment {
            Some(moment) => moment.fmt(f),
            None => write!(f, "{} s", self.0),
        }
    }
}

/// A calendar day, as days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i32);

const EPOCH: jiff::civil::Date = jiff::civil::date(1970, 1, 1);

impl Date {
    /// A day from its number since 1970-01-01.
    #[must_use]
    pub fn from_days(days: i32) -> Self {
        Self(days)
    }

    /// Days since 1970-01-01.
    #[must_use]
    pub fn days(self) -> i32 {
        self.0
    }

    /// The last second of the day in UTC; zero for days before 1970.
    #[must_use]
    pub fn end(self) -> UnixTime {
        let next = (i64::from(self.0) + 1) * 86_400 - 1;
        UnixTime(u64::try_from(next).unwrap_or_default())
    }
}

impl FromStr for Date {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        if text.len() != 10 {
            return Err(TimeError);
        }
        let date: jiff::civil::Date = text.parse().map_err(|_| TimeError)?;
        let days = date.since(EPOCH).map_err(|_| TimeError)?.get_days();
        Ok(Self(days))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let span = jiff::Span::new().try_days(i64::from(self.0));
        match span.and_then(|span| EPOCH.checked_add(span)) {
            Ok(date) => date.fmt(f),
            Err(_) => write!(f, "day {}", self.0),
        }
    }
}
impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Date({self})")
    }
}

/// Microseconds since 1970-01-01 UTC, from the year 1 to the day before the last of 9999.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(i64);

/// Why a text is not a moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a moment is written with its offset, in microseconds at most, such as 2026-05-31T18:30:00Z"
)]
pub struct MomentError;

impl Moment {
    const FIRST: i64 = -62_135_596_800_000_000;
    const LAST: i64 = 253_402_207_199_999_999;

    /// A moment from its number; nothing outside that range.
    #[must_use]
    pub fn from_micros(micros: i64) -> Option<Self> {
        (Self::FIRST..=Self::LAST)
            .contains(&micros)
            .then_some(Self(micros))
    }

    /// Microseconds since 1970-01-01 UTC.
    #[must_use]
    pub fn micros(self) -> i64 {
        self.0
    }
}

impl FromStr for Moment {
    type Err = MomentError;
    fn from_str(text: &str) -> Result<Self, MomentError> {
        let moment: jiff::Timestamp = text.parse().map_err(|_| MomentError)?;
        // A moment between two microseconds is another than either.
        if moment.subsec_nanosecond() % 1000 != 0 {
            return Err(MomentError);
        }
        Self::from_micros(moment.as_microsecond()).ok_or(MomentError)
    }
}

impl fmt::Display for Moment {
    /// ISO 8601 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_microsecond(self.0) {
            Ok(moment) => moment.fmt(f),
            Err(_) => write!(f, "{} us", self.0),
        }
    }
}
impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Moment({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_round_trip() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2026-05-31T18:30:00.000001Z",
            "0001-01-01T00:00:00Z",
            "9999-12-30T21:59:59.999999Z",
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!(moment.to_string(), text);
            assert_eq!(Moment::from_micros(moment.micros()), Some(moment));
        }
        let noon: Moment = "2026-05-31T12:00:00+02:00".parse().unwrap();
        assert_eq!(noon.to_string(), "2026-05-31T10:00:00Z");
        assert_eq!(
            "1970-01-01T00:00:01Z".parse::<Moment>().unwrap().micros(),
            1_000_000
        );
        for bad in [
            "",
            "2026-05-31",
            "2026-05-31T12:00:00",
            "2026-05-31T12:00:00.0000001Z",
            "0000-12-31T23:59:59Z",
            "9999-12-31T23:59:59-01:00",
        ] {
            assert!(bad.parse::<Moment>().is_err(), "{bad}");
        }
        for outside in [i64::MIN, Moment::FIRST - 1, Moment::LAST + 1, i64::MAX] {
            assert_eq!(Moment::from_micros(outside), None);
        }
    }

    #[test]
    fn days_round_trip() {
        for text in [
            "1970-01-01",
            "2027-03-31",
            "2024-02-29",
            "1969-12-31",
            "0001-01-01",
        ] {
            assert_eq!(text.parse::<Date>().unwrap().to_string(), text);
        }
        assert_eq!("1970-01-02".parse::<Date>().unwrap().days(), 1);
        for bad in ["", "2027-13-01", "2027-02-30", "27-3-1", "2027-03-31T00:00"] {
            assert!(bad.parse::<Date>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_agreement_ends_with_its_day() {
        let day: Date = "1970-01-01".parse().unwrap();
        assert_eq!(day.end(), UnixTime(86_399));
        assert_eq!(UnixTime(0).to_string(), "1970-01-01T00:00:00Z");
    }
}
