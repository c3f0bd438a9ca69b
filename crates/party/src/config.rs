//! `party.toml`: one file, unknown keys refused, paths relative to the file.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};

use incamera_keys::PublicKey;
use incamera_net::config::{self, ConfigError};
use incamera_seal::SealLimits;
use incamera_types::{AnalystRef, Budget, PartyName, QueryName, TokenDigest};
use serde::Deserialize;

use crate::keys::KeyPaths;

/// The configuration of a party's service.
///
/// ```toml
/// format = "incamera-party/1"
/// name   = "shop"
/// signs  = "ssh-ed25519 AAAA..."
/// listen = "127.0.0.1:7443"
/// health = "127.0.0.1:7444"    # /healthz, plain HTTP, loopback
///
/// [budget]                     # the owner's own ceiling over all agreements
/// epsilon = 20.0
/// delta   = 1e-6
///
/// [sealing]                    # as they are if not said
/// memory_mib   = 1024          # rows held in memory; further ones go to the disk, encrypted
/// part_rows    = 4_000_000     # of one consent class and partition
/// class_people = 10            # a smaller consent class is sealed as one with fewer purposes
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyConfig {
    /// `incamera-party/1`.
    pub format: String,
    /// The party's name, as in its agreements.
    pub name: PartyName,
    /// The party's own public signing key: agreements that give it another do not count.
    pub signs: PublicKey,
    /// Where the service listens.
    pub listen: SocketAddr,
    /// Where `/healthz` listens, if anywhere.
    #[serde(default)]
    pub health: Option<SocketAddr>,
    /// The folder of agreements and their signatures.
    #[serde(default = "agreements")]
    pub agreements: PathBuf,
    /// Where keys lie.
    #[serde(default)]
    pub keys: KeyPaths,
    /// Where the ledger lies.
    #[serde(default)]
    pub ledger: LedgerPath,
    /// The owner's own ceiling over all agreements.
    pub budget: Budget,
    /// How data are sealed.
    #[serde(default)]
    pub sealing: Sealing,
    /// Grants nothing for the time being.
    #[serde(default)]
    pub paused: bool,
    /// Queries that the owner does not permit, whatever the agreement says.
    #[serde(default)]
    pub refused_queries: BTreeSet<QueryName>,
    /// Analysts whom the owner does not permit, whatever the agreement says.
    #[serde(default)]
    pub refused_analysts: BTreeSet<AnalystRef>,
    /// Whether analysts may ask by tokens, and not with their own keys alone.
    #[serde(default = "yes")]
    pub tokens: bool,
    /// Tokens that the owner does not permit, by their digests.
    #[serde(default)]
    pub refused_tokens: BTreeSet<TokenDigest>,
    /// Grants to simulated TEEs where the agreement accepts them: protects nothing.
    #[cfg(feature = "simulated")]
    #[serde(default)]
    pub insecure_accept_simulated: bool,
    /// Writes the TLS keys of all connections there: for demos and tests only.
    #[cfg(feature = "simulated")]
    #[serde(default)]
    pub insecure_tls_key_log: Option<PathBuf>,
}

/// How data are sealed.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sealing {
    /// Rows held in memory, in MiB; further ones go to the disk, encrypted.
    pub memory_mib: NonZeroU64,
    /// Rows of one consent class and partition from which on there is another part.
    pub part_rows: NonZeroU64,
    /// People that a consent class needs; a smaller one is sealed as one with fewer purposes.
    /// 1 leaves classes as they are.
    pub class_people: NonZeroU64,
}

impl Default for Sealing {
    fn default() -> Self {
        let limits = SealLimits::default();
        let number = |number| NonZeroU64::new(number).unwrap_or(NonZeroU64::MIN);
        Self {
            memory_mib: number(limits.memory_bytes >> 20),
            part_rows: number(limits.part_rows),
            class_people: number(limits.class_people),
        }
    }
}

impl Sealing {
    /// As sealing takes them.
    #[must_use]
    pub fn limits(&self) -> SealLimits {
        SealLimits {
            memory_bytes: self.memory_mib.get().saturating_mul(1 << 20),
            part_rows: self.part_rows.get(),
            class_people: self.class_people.get(),
        }
    }
}

/// Path of the ledger.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LedgerPath {
    /// The SQLite file.
    pub path: PathBuf,
}

impl Default for LedgerPath {
    fn default() -> Self {
        Self {
            path: "ledger.sqlite".into(),
        }
    }
}

fn agreements() -> PathBuf {
    "agreements".into()
}

fn yes() -> bool {
    true
}

impl PartyConfig {
    /// The format that this program reads.
    pub const FORMAT: &'static str = "incamera-party/1";

    /// Reads the file and makes its paths relative to the file's folder.
    ///
    /// # Errors
    /// [`ConfigError`] with the line that is wrong.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = config::load(file)?;
        config::expect_format(file, &config.format, Self::FORMAT)?;
        let folder = file.parent().unwrap_or(Path::new("."));
        config.make_absolute(folder);
        Ok(config)
    }

    fn make_absolute(&mut self, folder: &Path) {
        let paths = [&mut self.agreements, &mut self.ledger.path];
        for path in paths {
            *path = folder.join(&*path);
        }
        self.keys.make_absolute(folder);
        #[cfg(feature = "simulated")]
        if let Some(path) = &mut self.insecure_tls_key_log {
            *path = folder.join(&*path);
        }
    }
}
