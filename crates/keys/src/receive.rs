//! The key that a receiver's answers are sealed to: an X-Wing key that lasts, in text.
//!
//! A kind of its own beside the rooms' keys of one request, so that neither can stand in the
//! other's place; the suite is that of [`hpke`](crate::hpke). Encryption is not derived from a
//! signing key: a receiver has this key for nothing else.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use incamera_types::{ReceiveKeyDigest, Transcript};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Secret32;
use crate::hpke::{self, HpkeError, RoomPublicKey, RoomSecretKey, Sealed};

const PUBLIC_WORD: &str = "x-wing";
const SECRET_WORD: &str = "incamera-receive-key/1";

/// Why a text is no key of a receiver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiveKeyError {
    /// Not the text of a public key.
    #[error("a receiver's public key is one line `x-wing ...`, as `incamera init` writes it")]
    Public,
    /// Not the text of a secret key. Says nothing of what was read.
    #[error("a receiver's secret key is one line `incamera-receive-key/1 ...`")]
    Secret,
    /// No key of the suite.
    #[error(transparent)]
    Key(#[from] HpkeError),
}

/// A receiver's public key: what its answers are sealed to. Text form: `x-wing BASE64`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReceivePublicKey(RoomPublicKey);

impl ReceivePublicKey {
    /// Reads the key's 1216 bytes.
    ///
    /// # Errors
    /// [`HpkeError::PublicKey`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        RoomPublicKey::from_bytes(bytes).map(Self)
    }

    /// The key's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The key's digest.
    #[must_use]
    pub fn digest(&self) -> ReceiveKeyDigest {
        Transcript::new("incamera-receive-public-key/1")
            .field(self.as_bytes())
            .finish()
    }

    /// What people compare: the digest, as OpenSSH writes those of its keys.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", STANDARD_NO_PAD.encode(self.digest()))
    }

    /// Seals `plaintext` to the key; `info` and `aad` must be the same at opening.
    ///
    /// # Errors
    /// [`HpkeError::Seal`].
    pub fn seal(
        &self,
        info: &[u8],
        aad: &[u8],
        plaintext: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Sealed, HpkeError> {
        hpke::seal(&self.0, info, aad, plaintext, rng)
    }
}

impl FromStr for ReceivePublicKey {
    type Err = ReceiveKeyError;

    fn from_str(text: &str) -> Result<Self, ReceiveKeyError> {
        let body = word_after(PUBLIC_WORD, text).ok_or(ReceiveKeyError::Public)?;
        let bytes = STANDARD.decode(body).map_err(|_| ReceiveKeyError::Public)?;
        Ok(Self::from_bytes(&bytes)?)
    }
}

/// The second of two words, if the first is as it should be.
fn word_after<'a>(first: &str, text: &'a str) -> Option<&'a str> {
    let mut words = text.split_ascii_whitespace();
    let body = (words.next() == Some(first)).then(|| words.next())??;
    words.next().is_none().then_some(body)
}

impl TryFrom<String> for ReceivePublicKey {
    type Error = ReceiveKeyError;
    fn try_from(text: String) -> Result<Self, ReceiveKeyError> {
        text.parse()
    }
}

impl From<ReceivePublicKey> for String {
    fn from(key: ReceivePublicKey) -> String {
        key.to_string()
    }
}

impl fmt::Display for ReceivePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC_WORD} {}", STANDARD.encode(self.as_bytes()))
    }
}

impl fmt::Debug for ReceivePublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceivePublicKey({})", self.fingerprint())
    }
}

/// A receiver's secret key. Wiped when dropped.
pub struct ReceiveKey {
    seed: Secret32,
    key: RoomSecretKey,
    public: ReceivePublicKey,
}

impl ReceiveKey {
    /// Draws a new key.
    ///
    /// # Errors
    /// [`HpkeError::SecretKey`], which no 32 bytes cause.
    pub fn generate(rng: &mut impl CryptoRng) -> Result<Self, HpkeError> {
        Self::of(Secret32::generate(rng))
    }

    fn of(seed: Secret32) -> Result<Self, HpkeError> {
        let key = RoomSecretKey::from_seed(seed.expose())?;
        let public = ReceivePublicKey(key.public().clone());
        Ok(Self { seed, key, public })
    }

    /// Reads [`ReceiveKey::to_text`].
    ///
    /// # Errors
    /// [`ReceiveKeyError::Secret`].
    pub fn from_text(text: &str) -> Result<Self, ReceiveKeyError> {
        let body = word_after(SECRET_WORD, text).ok_or(ReceiveKeyError::Secret)?;
        let bytes = STANDARD.decode(body).map(Zeroizing::new);
        let bytes = bytes.map_err(|_| ReceiveKeyError::Secret)?;
        let seed = Secret32::from_slice(&bytes).ok_or(ReceiveKeyError::Secret)?;
        Ok(Self::of(seed)?)
    }

    /// The key as a line, for a file that its owner alone can read.
    #[must_use]
    pub fn to_text(&self) -> Zeroizing<String> {
        let body = Zeroizing::new(STANDARD.encode(self.seed.expose()));
        Zeroizing::new(format!("{SECRET_WORD} {}\n", *body))
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &ReceivePublicKey {
        &self.public
    }

    /// Opens what was sealed to the key with the same `info` and `aad`.
    ///
    /// # Errors
    /// [`HpkeError::Open`].
    pub fn open(
        &self,
        info: &[u8],
        aad: &[u8],
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, HpkeError> {
        hpke::open(&self.key, info, aad, sealed)
    }
}

impl fmt::Debug for ReceiveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReceiveKey")
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    fn key(seed: u64) -> ReceiveKey {
        ReceiveKey::generate(&mut ChaCha20Rng::seed_from_u64(seed)).unwrap()
    }

    #[test]
    fn texts_come_back_and_others_are_refused() {
        let key = key(1);
        let again = ReceiveKey::from_text(&key.to_text()).unwrap();
        assert_eq!(again.public(), key.public());
        let line = key.public().to_string();
        assert_eq!(&line.parse::<ReceivePublicKey>().unwrap(), key.public());
        for bad in [
            "",
            "x-wing",
            "x-wing AAAA",
            &line.replace("x-wing", "x-wong"),
            &format!("{line} more"),
            &key.to_text(),
        ] {
            assert!(bad.parse::<ReceivePublicKey>().is_err(), "{bad}");
        }
        let text = key.to_text();
        for bad in [
            "",
            "incamera-receive-key/1",
            "incamera-receive-key/1 AAAA",
            &line,
        ] {
            assert!(ReceiveKey::from_text(bad).is_err(), "{bad}");
        }
        assert!(ReceiveKey::from_text(&text.replace("key/1", "key/2")).is_err());
    }

    #[test]
    fn nobody_is_shown_the_secret() {
        let key = key(2);
        assert_eq!(format!("{key:?}"), "ReceiveKey");
        let shown = format!("{:?}", key.public());
        assert!(
            shown.starts_with("ReceivePublicKey(SHA256:") && shown.len() < 80,
            "{shown}"
        );
    }

    #[test]
    fn only_its_own_key_opens() {
        let (mine, other) = (key(3), key(4));
        let rng = &mut ChaCha20Rng::seed_from_u64(5);
        let sealed = mine.public().seal(b"info", b"aad", b"words", rng).unwrap();
        assert_eq!(&*mine.open(b"info", b"aad", &sealed).unwrap(), b"words");
        assert_eq!(
            other.open(b"info", b"aad", &sealed).unwrap_err(),
            HpkeError::Open
        );
        assert!(mine.open(b"INFO", b"aad", &sealed).is_err());
        assert!(mine.open(b"info", b"AAD", &sealed).is_err());
    }
}
