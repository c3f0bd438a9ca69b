//! `provider.toml`: one file beside `party.toml`, unknown keys refused, paths relative to it.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use incamera_net::config::{self, ConfigError};
use serde::Deserialize;

/// The configuration of a provider's service. Its name, keys and agreements are those of the
/// party's folder that the file lies in.
///
/// ```toml
/// format   = "incamera-provider/1"
/// listen   = "127.0.0.1:7443"
/// health   = "127.0.0.1:7444"    # /healthz, plain HTTP, loopback
/// store    = "provider.sqlite"   # sealed shares, counts, links
/// sessions = 4                   # of one party at once
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderConfig {
    /// `incamera-provider/1`.
    pub format: String,
    /// Where the service listens.
    pub listen: SocketAddr,
    /// Where `/healthz` listens, if anywhere.
    #[serde(default)]
    pub health: Option<SocketAddr>,
    /// The SQLite file.
    #[serde(default = "store")]
    pub store: PathBuf,
    /// Sessions and transfers of links of one party at once.
    #[serde(default = "sessions")]
    pub sessions: NonZeroUsize,
}

fn store() -> PathBuf {
    "provider.sqlite".into()
}

fn sessions() -> NonZeroUsize {
    const { NonZeroUsize::new(4).unwrap() }
}

impl ProviderConfig {
    /// The format that this program reads.
    pub const FORMAT: &'static str = "incamera-provider/1";

    /// Reads the file and makes its paths relative to the file's folder.
    ///
    /// # Errors
    /// [`ConfigError`] with the line that is wrong.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = config::load(file)?;
        config::expect_format(file, &config.format, Self::FORMAT)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        config.store = folder.join(&config.store);
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_serves_at_least_one_session() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("provider.toml");
        let read = |sessions: &str| {
            let head = "format = \"incamera-provider/1\"\nlisten = \"127.0.0.1:7443\"\n";
            std::fs::write(&file, format!("{head}{sessions}")).unwrap();
            ProviderConfig::load(&file).map(|config| config.sessions.get())
        };
        assert_eq!(read("").unwrap(), 4);
        assert_eq!(read("sessions = 1").unwrap(), 1);
        let none = format!("{:?}", read("sessions = 0").unwrap_err());
        assert!(none.contains("nonzero"), "{none}");
    }
}
