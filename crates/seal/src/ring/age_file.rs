//! A key ring in an age file: the document holds every key, and a passphrase, an age identity
//! or an OpenSSH key opens it.
//!
//! Anybody can encrypt for a public key. So under an identity or an OpenSSH key the document is
//! followed by a line feed and a *check* that only the holder of the private key can make: 64
//! hexadecimal digits of HKDF-SHA256 over 32 bytes of the key (SHA-256 of the identity's text;
//! the OpenSSH key's secret bytes), with `incamera-ring/2 check` and the document's SHA-256 as
//! info. A passphrase makes such a check by itself.

use std::fmt;
use std::str::FromStr;

use incamera_keys::{
    DataKey, ExposeSecret as _, PurposeKey, Secret32, SecretString, SigningKey, aead,
};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::backend::{Backend, BackendError, KeptKey, PurposeSlot};
use super::document::RING_FORMAT;
use super::error::RingError;

/// The scrypt work factor of new rings: 2^16, some tenths of a second and 64 MiB.
pub const DEFAULT_WORK_FACTOR: u8 = 16;

/// The largest work factor that is opened: some 20 s.
pub(super) const MAX_WORK_FACTOR: u8 = 22;

/// What the check of a document is derived for.
const CHECK: &str = "incamera-ring/2 check";

/// The back end of a ring in an age file.
pub struct AgeFile(Lock);

/// What opens the file.
enum Lock {
    Passphrase {
        passphrase: SecretString,
        work_factor: u8,
    },
    Identity(age::x25519::Identity),
    SshKey {
        identity: Box<age::ssh::Identity>,
        recipient: age::ssh::Recipient,
        key: Box<SigningKey>,
    },
}

impl AgeFile {
    /// Under a passphrase.
    #[must_use]
    pub fn passphrase(passphrase: &SecretString) -> Self {
        Self(Lock::Passphrase {
            passphrase: passphrase.clone(),
            work_factor: DEFAULT_WORK_FACTOR,
        })
    }

    /// The same with a scrypt work factor of 2^`work_factor`: tests use a small one. A ring
    /// that is opened keeps the one it has.
    ///
    /// # Errors
    /// [`RingError::WorkFactor`].
    pub fn passphrase_with_work_factor(
        passphrase: &SecretString,
        work_factor: u8,
    ) -> Result<Self, RingError> {
        if !(1..=MAX_WORK_FACTOR).contains(&work_factor) {
            return Err(RingError::WorkFactor { found: work_factor });
        }
        Ok(Self(Lock::Passphrase {
            passphrase: passphrase.clone(),
            work_factor,
        }))
    }

    /// For the X25519 identity in the text of an identity file, as `age-keygen` writes it.
    ///
    /// # Errors
    /// [`RingError::Identity`]: there is none in it, or more than one.
    pub fn identity(text: &str) -> Result<Self, RingError> {
        let lines = text.lines().map(str::trim);
        let mut keys = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        match (keys.next(), keys.next()) {
            (Some(key), None) => {
                let identity = age::x25519::Identity::from_str(key);
                Ok(Self(Lock::Identity(
                    identity.map_err(|_| RingError::Identity)?,
                )))
            }
            _ => Err(RingError::Identity),
        }
    }

    /// For an OpenSSH Ed25519 key. Not one that signs for the party: a key has one use.
    ///
    /// # Errors
    /// [`RingError::Identity`] if age does not take the key.
    pub fn ssh_key(key: &SigningKey) -> Result<Self, RingError> {
        let text = key.to_openssh("").map_err(|_| RingError::Identity)?;
        let identity = age::ssh::Identity::from_buffer(text.as_bytes(), None);
        let recipient = age::ssh::Recipient::from_str(&key.public().to_string());
        match (identity, recipient) {
            (Ok(identity), Ok(recipient)) => Ok(Self(Lock::SshKey {
                identity: Box::new(identity),
                recipient,
                key: Box::new(key.duplicate()),
            })),
            _ => Err(RingError::Identity),
        }
    }

    /// Opens what was encrypted for this lock, by whomever.
    pub(super) fn decrypt(&mut self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, BackendError> {
        let opened = match &mut self.0 {
            Lock::Passphrase {
                passphrase,
                work_factor,
            } => {
                // First, as the identity takes its time: it measures how fast this machine is.
                for_a_passphrase(sealed)?;
                let mut identity = age::scrypt::Identity::new(age_passphrase(passphrase));
                identity.set_max_work_factor(MAX_WORK_FACTOR);
                let opened = age::decrypt(&identity, sealed);
                *work_factor = used_work_factor(sealed).unwrap_or(*work_factor);
                opened.map_err(|error| age_error(&error, BackendError::WrongPassphrase))
            }
            Lock::Identity(identity) => age::decrypt(identity, sealed)
                .map_err(|error| age_error(&error, BackendError::WrongIdentity)),
            Lock::SshKey { identity, .. } => age::decrypt(identity.as_ref(), sealed)
                .map_err(|error| age_error(&error, BackendError::WrongIdentity)),
        };
        opened.map(Zeroizing::new)
    }

    /// What only the holder of the private key can say of `document`; none under a passphrase.
    fn check(&self, document: &[u8]) -> Option<Secret32> {
        let digest = Sha256::digest(document);
        match &self.0 {
            Lock::Passphrase { .. } => None,
            Lock::Identity(identity) => {
                let text = identity.to_string();
                let secret = Zeroizing::new(Sha256::digest(text.expose_secret()).into());
                Some(Secret32::from_bytes(*secret).derive_for(CHECK, &[&digest]))
            }
            Lock::SshKey { key, .. } => Some(key.derive_for(CHECK, &[&digest])),
        }
    }

    /// `document` and its check, as [`Backend::open_document`] takes them apart.
    fn with_check(&self, document: &[u8]) -> Zeroizing<Vec<u8>> {
        let Some(check) = self.check(document) else {
            return Zeroizing::new(document.to_vec());
        };
        let line = format!("\n{}", hex::encode(check.expose()));
        Zeroizing::new([document, line.as_bytes()].concat())
    }
}

/// The document in front of its check, and the check.
fn apart(opened: &[u8]) -> Option<(&[u8], Secret32)> {
    let at = opened.iter().rposition(|byte| *byte == b'\n')?;
    let (document, line) = opened.split_at_checked(at)?;
    let check = hex::decode(line.get(1..)?).ok()?;
    Some((document, Secret32::from_slice(&check)?))
}

/// Shows the kind only.
impl fmt::Debug for AgeFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

impl Backend for AgeFile {
    fn kind(&self) -> &'static str {
        match &self.0 {
            Lock::Passphrase { .. } => "age file (passphrase)",
            Lock::Identity(_) => "age file (age identity)",
            Lock::SshKey { .. } => "age file (OpenSSH key)",
        }
    }

    fn format(&self) -> &'static str {
        RING_FORMAT
    }

    fn seal_document(&self, document: &[u8]) -> Result<Vec<u8>, BackendError> {
        let whole = self.with_check(document);
        let sealed = match &self.0 {
            Lock::Passphrase {
                passphrase,
                work_factor,
            } => {
                let mut recipient = age::scrypt::Recipient::new(age_passphrase(passphrase));
                recipient.set_work_factor(*work_factor);
                age::encrypt(&recipient, &whole)
            }
            Lock::Identity(identity) => age::encrypt(&identity.to_public(), &whole),
            Lock::SshKey { recipient, .. } => age::encrypt(recipient, &whole),
        };
        sealed.map_err(|_| BackendError::Damaged)
    }

    fn open_document(&mut self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, BackendError> {
        let opened = self.decrypt(sealed)?;
        if matches!(self.0, Lock::Passphrase { .. }) {
            return Ok(opened);
        }
        let (document, said) = apart(&opened).ok_or(BackendError::Forged)?;
        match self.check(document) {
            Some(check) if check.same(&said) => Ok(Zeroizing::new(document.to_vec())),
            _ => Err(BackendError::Forged),
        }
    }

    fn make_key(
        &self,
        _slot: &PurposeSlot,
        rng: &mut dyn CryptoRng,
    ) -> Result<KeptKey, BackendError> {
        Ok(KeptKey::new(PurposeKey::generate(&mut &mut *rng).expose()))
    }

    fn wrap(
        &self,
        kept: &KeptKey,
        aad: &[u8],
        key: &DataKey,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, BackendError> {
        Ok(aead::seal(&whole(kept)?, aad, key.expose(), &mut &mut *rng))
    }

    fn unwrap(&self, kept: &KeptKey, aad: &[u8], wrapped: &[u8]) -> Result<DataKey, BackendError> {
        let opened = aead::open(&whole(kept)?, aad, wrapped).ok();
        let key = opened.and_then(|bytes| DataKey::from_slice(&bytes));
        key.ok_or(BackendError::Refused)
    }

    /// The key lies in the document alone, and goes with it.
    fn destroy_key(&self, _kept: &KeptKey) -> Result<(), BackendError> {
        Ok(())
    }
}

fn whole(kept: &KeptKey) -> Result<PurposeKey, BackendError> {
    PurposeKey::from_slice(kept.expose()).ok_or(BackendError::Damaged)
}

/// Refuses what is no age file, or was locked in another way.
fn for_a_passphrase(sealed: &[u8]) -> Result<(), BackendError> {
    let header = age::Decryptor::new_buffered(sealed)
        .map_err(|error| age_error(&error, BackendError::WrongPassphrase))?;
    let locked_so = header.is_scrypt();
    locked_so.then_some(()).ok_or(BackendError::WrongPassphrase)
}

/// The work factor in the header of an age file for a passphrase: `-> scrypt SALT FACTOR`.
fn used_work_factor(sealed: &[u8]) -> Option<u8> {
    let stanza = sealed.split(|byte| *byte == b'\n').nth(1)?;
    let line = std::str::from_utf8(stanza).ok()?;
    let factor = line.strip_prefix("-> scrypt ")?.split(' ').nth(1)?;
    factor
        .parse()
        .ok()
        .filter(|factor| (1..=MAX_WORK_FACTOR).contains(factor))
}

/// age has its own version of the type.
fn age_passphrase(passphrase: &SecretString) -> age::secrecy::SecretString {
    age::secrecy::SecretString::from(passphrase.expose_secret())
}

fn age_error(error: &age::DecryptError, wrong: BackendError) -> BackendError {
    match error {
        age::DecryptError::DecryptionFailed
        | age::DecryptError::KeyDecryptionFailed
        | age::DecryptError::NoMatchingKeys => wrong,
        _ => BackendError::Damaged,
    }
}
