//! Time zones by their IANA names, from the tables inside the program: the machine's own
//! tables, which may be older or another party's, decide nothing.

use std::fmt;
use std::str::FromStr;

use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Why a text is not a time zone.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZoneError {
    /// No zone has this name.
    #[error("`{found}` is not the IANA name of a time zone")]
    Unknown {
        /// The text found.
        found: String,
    },
    /// A zone has this name in another spelling.
    #[error("`{found}` is written `{name}`")]
    Spelling {
        /// The text found.
        found: String,
        /// The name as the tables have it.
        name: String,
    },
}

/// A time zone such as `Europe/Berlin`.
#[derive(Clone, PartialEq, Eq)]
pub struct ZoneName(TimeZone);

impl ZoneName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    /// The zone itself: which moment a reading of its clocks was.
    #[must_use]
    pub fn zone(&self) -> &TimeZone {
        &self.0
    }
}

impl FromStr for ZoneName {
    type Err = ZoneError;
    fn from_str(text: &str) -> Result<Self, ZoneError> {
        let found = || text.to_owned();
        let zone = TimeZoneDatabase::bundled().get(text).ok();
        let zone = zone.filter(|zone| !zone.is_unknown());
        let zone = zone.ok_or_else(|| ZoneError::Unknown { found: found() })?;
        match zone.iana_name() {
            Some(name) if name != text => Err(ZoneError::Spelling {
                found: found(),
                name: name.to_owned(),
            }),
            _ => Ok(Self(zone)),
        }
    }
}

impl fmt::Display for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
impl fmt::Debug for ZoneName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ZoneName({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_have_iana_names() {
        for name in [
            "Europe/Berlin",
            "America/Argentina/Ushuaia",
            "UTC",
            "Asia/Kolkata",
        ] {
            assert_eq!(name.parse::<ZoneName>().unwrap().to_string(), name);
        }
        for bad in [
            "",
            "Europe/Atlantis",
            "CEST",
            "+02:00",
            "Etc/Unknown",
            "../UTC",
        ] {
            let error = bad.parse::<ZoneName>().unwrap_err();
            assert_eq!(error, ZoneError::Unknown { found: bad.into() });
        }
        let spelt = "europe/berlin".parse::<ZoneName>().unwrap_err();
        assert_eq!(
            spelt.to_string(),
            "`europe/berlin` is written `Europe/Berlin`"
        );
    }

    #[test]
    fn a_zone_knows_its_clocks() {
        let zone: ZoneName = "Europe/Berlin".parse().unwrap();
        let summer = jiff::civil::datetime(2026, 7, 1, 2, 0, 0, 0);
        let moment = summer.to_zoned(zone.zone().clone()).unwrap().timestamp();
        assert_eq!(moment.to_string(), "2026-07-01T00:00:00Z");
    }
}
