//! The wiretap: a recording proxy in front of every service.

use std::path::{Path, PathBuf};

use incamera_testkit::wiretap::{KeyLog, Overheard, Tap, overhear};

use super::cast::Cast;
use crate::failure::{Context, Failure};

/// Running proxies and what they record.
pub struct Taps {
    folder: PathBuf,
    _taps: Vec<Tap>,
}

impl Taps {
    /// Puts a proxy in front of every role.
    pub async fn start(cast: &Cast) -> Result<Self, Failure> {
        let folder = cast.root.join("traffic");
        let mut taps = Vec::new();
        for role in cast.roles() {
            let tap = Tap::start(role.name, role.tapped, role.listens, &folder).await;
            taps.push(tap.or_fail("the recording proxies did not start")?);
        }
        Ok(Self {
            folder,
            _taps: taps,
        })
    }

    /// Decrypts everything recorded so far.
    pub fn decrypt(&self, key_log: &Path) -> Result<Overheard, Failure> {
        let what = "the recorded traffic was not decrypted";
        let keys = KeyLog::read(key_log).or_fail(what)?;
        overhear(&self.folder, &keys).or_fail(what)
    }
}
