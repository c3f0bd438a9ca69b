//! Ed25519 signing keys in OpenSSH form.

use std::fmt;

use rand_core::CryptoRng;
use secrecy::{ExposeSecret, SecretString};
use ssh_key::private::{Ed25519Keypair, KeypairData, PrivateKey};
use zeroize::{Zeroize as _, Zeroizing};

use crate::public::PublicKey;
use crate::secret::Secret32;
use crate::sshsig::{SshSig, signed_data};

/// What the PKCS#8 form of an Ed25519 key starts with (RFC 8410, without attributes).
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Why a signing key cannot be read or used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not an OpenSSH private key.
    #[error("this is no OpenSSH private key: make one with `ssh-keygen -t ed25519`")]
    Malformed,
    /// A key of another kind.
    #[error("the key is of the kind `{found}`: make an Ed25519 key with `ssh-keygen -t ed25519`")]
    Kind {
        /// The kind found.
        found: String,
    },
    /// The key is encrypted and no passphrase was given.
    #[error("the key is encrypted: give its passphrase")]
    Encrypted,
    /// The passphrase does not open the key.
    #[error("the passphrase does not open the key")]
    WrongPassphrase,
    /// A signature needs a namespace.
    #[error("a signature needs a namespace")]
    NoNamespace,
    /// The key could not sign or be written; never seen.
    #[error("the key could not be used")]
    Unusable,
}

/// An Ed25519 signing key. Wiped when dropped; shows nothing; copied only by name.
pub struct SigningKey {
    pair: Ed25519Keypair,
}

impl SigningKey {
    /// Draws a new key.
    #[must_use]
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(seed.as_mut());
        Self::from_seed(&seed)
    }

    /// The key of 32 secret bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self {
            pair: Ed25519Keypair::from_seed(seed),
        }
    }

    /// Reads the text of an OpenSSH private key file, encrypted or not.
    ///
    /// # Errors
    /// [`KeyError::Malformed`], [`KeyError::Kind`], [`KeyError::Encrypted`] without a
    /// passphrase, [`KeyError::WrongPassphrase`].
    pub fn from_openssh(text: &str, passphrase: Option<&SecretString>) -> Result<Self, KeyError> {
        let key = PrivateKey::from_openssh(text).map_err(|_| KeyError::Malformed)?;
        let key = match (key.is_encrypted(), passphrase) {
            (false, _) => key,
            (true, None) => return Err(KeyError::Encrypted),
            (true, Some(passphrase)) => key
                .decrypt(passphrase.expose_secret())
                .map_err(|_| KeyError::WrongPassphrase)?,
        };
        match key.key_data() {
            KeypairData::Ed25519(pair) => Ok(Self { pair: pair.clone() }),
            _ => Err(KeyError::Kind {
                found: key.algorithm().to_string(),
            }),
        }
    }

    /// The text of an unencrypted OpenSSH private key file.
    ///
    /// # Errors
    /// [`KeyError::Unusable`] if `comment` does not fit into such a file.
    pub fn to_openssh(&self, comment: &str) -> Result<Zeroizing<String>, KeyError> {
        PrivateKey::new(self.pair.clone().into(), comment)
            .and_then(|key| key.to_openssh(ssh_key::LineEnding::LF))
            .map_err(|_| KeyError::Unusable)
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey::trusted(self.pair.public.0)
    }

    /// Signs `message` in `namespace`.
    ///
    /// # Errors
    /// [`KeyError::NoNamespace`] for an empty one.
    pub fn sign(&self, namespace: &str, message: &[u8]) -> Result<SshSig, KeyError> {
        if namespace.is_empty() {
            return Err(KeyError::NoNamespace);
        }
        let signature = self.sign_bare(&signed_data(namespace, message))?;
        Ok(SshSig::new(self.public(), namespace, signature))
    }

    /// A bare Ed25519 signature, for formats that carry their own label.
    pub(crate) fn sign_bare(&self, message: &[u8]) -> Result<[u8; 64], KeyError> {
        let key = KeypairData::Ed25519(self.pair.clone());
        let key = PrivateKey::try_from(key).map_err(|_| KeyError::Unusable)?;
        sign_with(&key, message).ok_or(KeyError::Unusable)
    }

    /// A secret of its own for `label` and a list of fields, as [`Secret32::derive_for`] of the
    /// key's 32 secret bytes.
    #[must_use]
    pub fn derive_for(&self, label: &str, fields: &[&[u8]]) -> Secret32 {
        Secret32::from_bytes(self.pair.private.to_bytes()).derive_for(label, fields)
    }

    /// The key as a DER PKCS#8 document, for TLS.
    #[must_use]
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        let mut seed = self.pair.private.to_bytes();
        let der = Zeroizing::new([PKCS8_PREFIX.as_slice(), &seed].concat());
        seed.zeroize();
        der
    }

    /// A second copy of the key, made on purpose.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self {
            pair: self.pair.clone(),
        }
    }
}

/// Signs through the trait that `ssh-key` exports, which is all it shows of its signer.
fn sign_with<K: ssh_key::SigningKey>(key: &K, message: &[u8]) -> Option<[u8; 64]> {
    let signature = key.try_sign(message).ok()?;
    signature.as_bytes().try_into().ok()
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(Ed25519)")
    }
}
