//! The clock: read here, a parameter everywhere below.

use std::time::{SystemTime, UNIX_EPOCH};

use incamera_types::UnixTime;

/// What the clock says.
pub fn now() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixTime(since.map(|since| since.as_secs()).unwrap_or_default())
}
