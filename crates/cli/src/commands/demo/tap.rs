//! The wiretap: a recording proxy in front of every service.

use std::path::{Path, PathBuf};

use incamera_testkit::wiretap::{self, Proxy};

use super::cast::Cast;
use crate::failure::{Context, Failure};

/// Running proxies and what they record.
pub struct Tap {
    folder: PathBuf,
    _proxies: Vec<Proxy>,
}

/// What was recorded, in clear.
pub struct Traffic {
    /// Everything that was sent, both ways.
    pub plaintext: Vec<u8>,
    /// Connections that were decrypted.
    pub connections: usize,
    /// Connections with application data that could not be decrypted.
    pub undecrypted: usize,
}

impl Tap {
    /// Puts a proxy in front of every role.
    pub async fn start(cast: &Cast) -> Result<Self, Failure> {
        let folder = cast.root.join("traffic");
        let what = "the recording proxies did not start";
        std::fs::create_dir_all(&folder).or_fail(what)?;
        let mut proxies = Vec::new();
        for role in cast.roles() {
            let records = folder.join(role.name);
            std::fs::create_dir_all(&records).or_fail(what)?;
            let proxy = Proxy::start(role.tapped, role.listens, &records).await.or_fail(what)?;
            proxies.push(proxy);
        }
        Ok(Self {
            folder,
            _proxies: proxies,
        })
    }

    /// Decrypts everything recorded so far.
    pub fn decrypt(&self, key_log: &Path) -> Result<Traffic, Failure> {
        let recorded = wiretap::decrypt_folder(&self.folder, key_log)
            .or_fail("the recorded traffic was not decrypted")?;
        Ok(Traffic {
            plaintext: recorded.plaintext,
            connections: recorded.decrypted,
            undecrypted: recorded.undecrypted,
        })
    }
}
