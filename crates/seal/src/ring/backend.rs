//! What keeps an owner's keys: the one trait that every kind of key ring implements.

use std::error::Error;
use std::fmt;

use incamera_keys::DataKey;
use incamera_types::{AgreementId, DatasetName, PurposeName};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// Bytes of a wrapped data key: nonce (12), ciphertext (32), tag (16).
pub const WRAPPED_BYTES: usize = 60;

/// What a purpose key is for; in another slot there is another key, or none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurposeSlot {
    /// The agreement's id.
    pub agreement_id: AgreementId,
    /// The data set.
    pub dataset: DatasetName,
    /// The key epoch of the data set.
    pub key_epoch: u32,
    /// The purpose.
    pub purpose: PurposeName,
}

/// What the ring's sealed document keeps of a purpose key, in the words of the back end that
/// made it: the key itself where nothing else keeps it, or the name of a key that lies
/// elsewhere.
pub struct KeptKey(Zeroizing<Vec<u8>>);

impl KeptKey {
    /// Of the bytes that the back end reads again. The caller wipes its own copy.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(bytes.to_vec()))
    }

    /// The bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for KeptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeptKey")
    }
}

/// Why a back end did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackendError {
    /// The passphrase is not the one that the file was sealed under.
    #[error("the passphrase does not open the key ring")]
    WrongPassphrase,
    /// The identity or key is none that the file was sealed for.
    #[error("the identity does not open the key ring")]
    WrongIdentity,
    /// The bytes are no ring of this kind, or were changed. Asking again changes nothing.
    #[error("it is not a key ring of this kind, or it is damaged")]
    Damaged,
    /// The bytes open, but nobody who can open them wrote them.
    #[error("the key ring was not written by the holder of its identity")]
    Forged,
    /// A version of the file's format that is not known yet.
    #[error("the file is `{found}`: a newer version of incamera may read it")]
    Version {
        /// What it says it is.
        found: String,
    },
    /// The key that the document names does not exist any more.
    #[error("the purpose key is gone: it was destroyed, or this is another token")]
    NoKey,
    /// The wrapped bytes do not open: another key, other associated data, or changed bytes.
    #[error("the wrapped key does not open: another key, another place, or it was changed")]
    Refused,
    /// Whoever holds the keys refuses this caller (a wrong or locked PIN, no permission). The
    /// ring never asks again by itself, because that may lock the keys for good.
    #[error("whoever holds the keys refused")]
    Denied(#[source] Box<dyn Error + Send + Sync>),
    /// Whoever holds the keys cannot be reached now. Asking again later may work, and no key
    /// is lost.
    #[error("whoever holds the keys cannot be reached")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

/// What keeps an owner's keys: a file, a token, and in time the key service of a cloud.
///
/// A [`KeyRing`](super::KeyRing) is one sealed *document* in one file, and a back end. The
/// document holds the seed key, the matching secrets (both are computed with, so both leave the
/// back end) and what the back end wants kept of each purpose key ([`KeptKey`]). Files, locks,
/// crash safety and the list of slots are the ring's; a back end keeps no list.
///
/// # What a key service of a cloud needs
/// * **Operations.** Make a 256-bit symmetric key; encrypt and decrypt 32 bytes under it with
///   *associated data* (AWS KMS calls it an encryption context, Google and Azure additional
///   authenticated data); destroy a key; and the same encrypt and decrypt for a document of
///   some hundred kilobytes, which most services do by a data key of their own around it. The
///   associated data of a wrap is 32 bytes and must be authenticated, not only logged: it is
///   what binds a wrap to its purpose and column (invariant I3). A service without it is no
///   back end.
/// * **Format.** [`Backend::wrap`] gives [`WRAPPED_BYTES`] bytes, `nonce (12) || ciphertext (32)
///   || tag (16)` of AES-256-GCM, whatever holds the key, so that a manifest does not tell which
///   kind of ring sealed it. A service that returns its own ciphertext format (most do) needs a
///   purpose key that it wraps itself and that this back end unwraps once a session into
///   memory; then say in `docs/keys.md` that purpose keys leave the service.
/// * **Durable** when they return: [`Backend::make_key`] and [`Backend::destroy_key`]. A
///   service that only schedules a deletion must say so, because "destroyed" is what the owner
///   tells the people concerned.
/// * **Idempotent**: `destroy_key` of a key that is gone is no error, and `make_key` for a slot
///   that was made before the ring could note it (a crash in between) may give that key again:
///   nothing was wrapped under it. `wrap` and `unwrap` change nothing.
/// * **Calls.** One `unwrap` for the footer and one for each column read, in each part, at each
///   query that is granted, repeats included; one `wrap` for each of those and each purpose
///   when sealing. `open_document` when a process starts and whenever another one wrote the
///   file; `seal_document` at each change. At 20 ms a call, 64 parts of five columns take 8 s: a
///   query has its deadline, so a slow service wants larger parts.
/// * **Threads.** `wrap` and `unwrap` are called from several threads at once.
/// * **Errors** fall into the classes of [`BackendError`]. A wrong tag must be told from a
///   service that does not answer: [`BackendError::Refused`] reads "this wrap was tampered
///   with", [`BackendError::Unavailable`] "try again". A lost session is opened again once
///   inside the back end.
/// * **Never exported**: a purpose key that a service keeps. [`KeptKey`] is then its name. No
///   error text, log line or `Debug` output holds key bytes, PINs or credentials.
pub trait Backend: Send + Sync {
    /// What this is, in a few words for people: `age file (passphrase)`.
    fn kind(&self) -> &'static str;

    /// The name and version of the documents that this back end seals.
    fn format(&self) -> &'static str;

    /// Encrypts the ring's document: what the ring's file will hold.
    ///
    /// # Errors
    /// [`BackendError`].
    fn seal_document(&self, document: &[u8]) -> Result<Vec<u8>, BackendError>;

    /// Opens what [`Backend::seal_document`] made.
    ///
    /// # Errors
    /// [`BackendError::WrongPassphrase`], [`BackendError::WrongIdentity`],
    /// [`BackendError::Forged`], [`BackendError::Damaged`], or the back end's own.
    fn open_document(&mut self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, BackendError>;

    /// Makes the key of `slot`, durably, and gives what the document keeps of it.
    ///
    /// # Errors
    /// [`BackendError`]; then there may be a key that nothing names.
    fn make_key(
        &self,
        slot: &PurposeSlot,
        rng: &mut dyn CryptoRng,
    ) -> Result<KeptKey, BackendError>;

    /// Wraps `key` under a purpose key: [`WRAPPED_BYTES`] bytes with a nonce from `rng`.
    ///
    /// # Errors
    /// [`BackendError::NoKey`], or the back end's own.
    fn wrap(
        &self,
        kept: &KeptKey,
        aad: &[u8],
        key: &DataKey,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, BackendError>;

    /// Opens what [`Backend::wrap`] made under the same key and associated data.
    ///
    /// # Errors
    /// [`BackendError::NoKey`], [`BackendError::Refused`], or the back end's own.
    fn unwrap(&self, kept: &KeptKey, aad: &[u8], wrapped: &[u8]) -> Result<DataKey, BackendError>;

    /// Destroys a purpose key that lies outside the document, durably. One that is gone is no
    /// error, so that a destruction that was cut off can be done again.
    ///
    /// # Errors
    /// [`BackendError`]; then the key may still be there.
    fn destroy_key(&self, kept: &KeptKey) -> Result<(), BackendError>;
}
