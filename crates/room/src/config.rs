//! `room.toml`: one file, unknown keys refused, paths relative to the file.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use incamera_net::config::{self, ConfigError};
use serde::Deserialize;

use crate::machine;

/// The configuration of a room.
///
/// ```toml
/// format    = "incamera-room/1"
/// listen    = "127.0.0.1:7543"
/// health    = "127.0.0.1:7544"        # /healthz, plain HTTP, loopback
/// agreement = "spring-campaign.toml"  # with its .sig files beside it
/// storage   = "room-storage"          # ciphertext
/// memory_bytes = 4_294_967_296        # a query that could need more is refused
/// insecure_simulated_tee = true       # no hardware protects this room
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomConfig {
    /// `incamera-room/1`.
    pub format: String,
    /// Where the room listens.
    pub listen: SocketAddr,
    /// Where `/healthz` listens, if anywhere.
    #[serde(default)]
    pub health: Option<SocketAddr>,
    /// The one agreement that this room works under.
    pub agreement: PathBuf,
    /// The folder of sealed data sets: ciphertext, which owners can push again.
    pub storage: PathBuf,
    /// Memory for one query, in bytes: a query that could need more, by what the agreement and
    /// the manifests say, is refused before anything is spent. 4 GiB, or half of what the
    /// machine has; a room does not start with more than seven eighths of that.
    #[serde(default = "machine::default_bytes")]
    pub memory_bytes: u64,
    /// Runs without hardware protection and says so everywhere.
    #[serde(default)]
    pub insecure_simulated_tee: bool,
    /// Writes the TLS keys of all connections there: for demos and tests only.
    #[cfg(feature = "simulated")]
    #[serde(default)]
    pub insecure_tls_key_log: Option<PathBuf>,
}

impl RoomConfig {
    /// The format that this program reads.
    pub const FORMAT: &'static str = "incamera-room/1";

    /// Reads the file and makes its paths relative to the file's folder.
    ///
    /// # Errors
    /// [`ConfigError`] with the line that is wrong.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = config::load(file)?;
        config::expect_format(file, &config.format, Self::FORMAT)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        config.agreement = folder.join(&config.agreement);
        config.storage = folder.join(&config.storage);
        #[cfg(feature = "simulated")]
        if let Some(path) = &mut config.insecure_tls_key_log {
            *path = folder.join(&*path);
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A committed file of version 1: it must be read for ever. Written by hand.
    #[test]
    fn the_configuration_of_version_1_is_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
        let file = folder.join("room-1.toml");
        let config = RoomConfig::load(&file).unwrap();
        assert_eq!(config.listen, "127.0.0.1:7543".parse().unwrap());
        assert_eq!(config.health, Some("127.0.0.1:7544".parse().unwrap()));
        assert_eq!(config.agreement, folder.join("spring-campaign.toml"));
        assert_eq!(config.storage, Path::new("/srv/room"));
        assert_eq!(config.memory_bytes, 1_000_000_000);
        assert!(config.insecure_simulated_tee);
        let newer = std::fs::read_to_string(&file).unwrap();
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&path, newer.replacen("/1\"", "/2\"", 1)).unwrap();
        let text = RoomConfig::load(path.path()).unwrap_err().to_string();
        assert!(text.contains("incamera-room/2") && text.contains("a newer version"));
    }
}
