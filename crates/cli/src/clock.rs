//! The clock: read here, a parameter everywhere below.

use std::time::{SystemTime, UNIX_EPOCH};

use incamera_types::{Date, UnixTime};

/// The day that it is, in UTC.
pub fn today() -> Date {
    Date::from_days(i32::try_from(now().0 / 86_400).unwrap_or(i32::MAX))
}

/// What the clock says.
pub fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime(since.map(|since| since.as_secs()).unwrap_or_default())
}
