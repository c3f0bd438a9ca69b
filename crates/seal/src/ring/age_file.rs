//! A key ring in an age file: the document holds every key, and a passphrase opens it.

use incamera_keys::{DataKey, ExposeSecret as _, PurposeKey, SecretString, aead};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use super::backend::{Backend, BackendError, KeptKey, PurposeSlot};
use super::document::RING_FORMAT;
use super::error::RingError;

/// The scrypt work factor of new rings: 2^16, some tenths of a second and 64 MiB.
pub const DEFAULT_WORK_FACTOR: u8 = 16;

/// The largest work factor that is opened: some 20 s.
pub(super) const MAX_WORK_FACTOR: u8 = 22;

/// The back end of a ring in an age file.
pub struct AgeFile {
    passphrase: SecretString,
    work_factor: u8,
}

impl AgeFile {
    /// Under a passphrase.
    #[must_use]
    pub fn passphrase(passphrase: &SecretString) -> Self {
        Self {
            passphrase: passphrase.clone(),
            work_factor: DEFAULT_WORK_FACTOR,
        }
    }

    /// The same with a scrypt work factor of 2^`work_factor`: tests use a small one. A ring
    /// that is opened keeps the one it has.
    ///
    /// # Errors
    /// [`RingError::WorkFactor`].
    pub fn with_work_factor(self, work_factor: u8) -> Result<Self, RingError> {
        if !(1..=MAX_WORK_FACTOR).contains(&work_factor) {
            return Err(RingError::WorkFactor { found: work_factor });
        }
        Ok(Self {
            work_factor,
            ..self
        })
    }
}

impl Backend for AgeFile {
    fn kind(&self) -> &'static str {
        "age file (passphrase)"
    }

    fn format(&self) -> &'static str {
        RING_FORMAT
    }

    fn seal_document(&self, document: &[u8]) -> Result<Vec<u8>, BackendError> {
        let mut recipient = age::scrypt::Recipient::new(age_passphrase(&self.passphrase));
        recipient.set_work_factor(self.work_factor);
        age::encrypt(&recipient, document).map_err(|_| BackendError::Damaged)
    }

    fn open_document(&mut self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, BackendError> {
        let mut identity = age::scrypt::Identity::new(age_passphrase(&self.passphrase));
        identity.set_max_work_factor(MAX_WORK_FACTOR);
        let opened = age::decrypt(&identity, sealed).map_err(|error| age_error(&error))?;
        self.work_factor = work_factor(sealed).ok_or(BackendError::Damaged)?;
        Ok(Zeroizing::new(opened))
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

/// The work factor in the header of an age file for a passphrase: `-> scrypt SALT FACTOR`.
fn work_factor(sealed: &[u8]) -> Option<u8> {
    let stanza = sealed.split(|byte| *byte == b'\n').nth(1)?;
    let line = std::str::from_utf8(stanza).ok()?;
    let factor = line.strip_prefix("-> scrypt ")?.split(' ').nth(1)?;
    factor.parse().ok()
}

/// age has its own version of the type.
fn age_passphrase(passphrase: &SecretString) -> age::secrecy::SecretString {
    age::secrecy::SecretString::from(passphrase.expose_secret())
}

fn age_error(error: &age::DecryptError) -> BackendError {
    match error {
        age::DecryptError::DecryptionFailed
        | age::DecryptError::KeyDecryptionFailed
        | age::DecryptError::NoMatchingKeys => BackendError::WrongSecret,
        _ => BackendError::Damaged,
    }
}
