//! `public.toml`: what a party tells the others, so that they can write an agreement.

use std::collections::BTreeMap;
use std::path::Path;

use incamera_keys::{PublicKey, ReceivePublicKey};
use incamera_net::config::{self, ConfigError};
use incamera_types::{AnalystName, PartyName};
use serde::{Deserialize, Serialize};

/// What the other parties need to know: goes into agreements, holds no secret.
///
/// ```toml
/// format  = "incamera-public/1"
/// name    = "shop"
/// signs   = "ssh-ed25519 AAAA..."
/// service = "ssh-ed25519 AAAA..."
/// receives = "x-wing AAAA..."
/// url     = "https://shop.example:7443"
/// people  = 100000
/// # provider = true, and no people, in the file of a provider
///
/// [analysts]
/// ana = "ssh-ed25519 AAAA..."
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublicFile {
    /// `incamera-public/1`; [`PublicFile::to_toml`] writes it.
    #[serde(skip_serializing)]
    pub format: String,
    /// The party's name.
    pub name: PartyName,
    /// Its signing key.
    pub signs: PublicKey,
    /// Its service key.
    pub service: PublicKey,
    /// What answers for it are sealed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receives: Option<ReceivePublicKey>,
    /// Where its service is.
    pub url: String,
    /// How many people its data are about; 0, and not written, for a provider.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub people: u64,
    /// Whether it is a provider: it evaluates others' ids, and has no data.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub provider: bool,
    /// Its analysts' keys.
    #[serde(default)]
    pub analysts: BTreeMap<AnalystName, PublicKey>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl PublicFile {
    /// The format that this program reads and writes.
    pub const FORMAT: &'static str = "incamera-public/1";

    /// Reads the file.
    ///
    /// # Errors
    /// [`ConfigError`] with the line that is wrong.
    pub fn load(file: &Path) -> Result<Self, ConfigError> {
        let public: Self = config::load(file)?;
        config::expect_format(file, &public.format, Self::FORMAT)?;
        Ok(public)
    }

    /// The file's text.
    ///
    /// # Errors
    /// If a number is too large for TOML.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        let rest = toml::to_string(self)?;
        Ok(format!("format = \"{}\"\n{rest}", Self::FORMAT))
    }
}
