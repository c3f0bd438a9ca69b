//! The key ring: an owner's secrets, in one file and behind one back end.
//!
//! # Format
//! A JSON document (`incamera-ring/2`), sealed by the
//! ring's [`Backend`]. It holds what the back end keeps of each purpose key per (agreement id,
//! data set, key epoch, purpose), matching secrets per (agreement id, matching epoch, id kind,
//! method, reveals) with a count of runs, and the key under which noise seeds are stored.
//!
//! # Recovery
//! A ring may have recovery recipients: each write then first writes its recovery file, the
//! same document for their public keys, and then the ring's own file, which is the one that
//! counts.
//!
//! # Durability
//! What a method made is on the disk when it returns: written to a private sibling,
//! synchronised, renamed. Changes are made under an advisory lock, to what the file holds at
//! that moment, so that two processes do not lose each other's keys. Whoever keeps a ring open
//! calls [`KeyRing::refresh`] to see keys that other processes made, or destroyed.

mod age_file;
mod backend;
mod document;
mod error;
mod matching;
mod recovery;
#[cfg(feature = "pkcs11")]
mod token;
mod token_file;

use std::collections::btree_map::Entry;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use incamera_keys::{DataKey, SecretString, SeedKey};
use incamera_types::limits::MAX_KEY_EPOCH;
use incamera_types::{AgreementId, DatasetName, PurposeName, PurposeSet};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};

pub use age_file::{AgeFile, DEFAULT_WORK_FACTOR};
pub use backend::{Backend, BackendError, KeptKey, PurposeSlot, WRAPPED_BYTES};
pub use document::{RING_FORMAT, TOKEN_RING_FORMAT};
pub use error::{RingError, UnwrapError};
pub use matching::{MatchingSecret, MatchingSlot};
#[cfg(feature = "pkcs11")]
pub use token::{TokenError, TokenName, TokenPlace, TokenRing};
pub use token_file::TokenFile;

use crate::local::{self, LocalFileError};
use document::Contents;
use recovery::Recipient;

/// The key epoch of the keys for sources that other tools encrypt: no sealed data set comes so
/// far. They serve no purpose, so that what destroys purpose keys does not lose them.
pub(crate) const SOURCE_EPOCH: u32 = u32::MAX;

/// An owner's key ring, open. See the module.
pub struct KeyRing {
    path: PathBuf,
    backend: Box<dyn Backend>,
    contents: Contents,
    /// SHA-256 of the file that `contents` came from.
    seen: [u8; 32],
}

impl KeyRing {
    /// Makes a ring in an age file under a passphrase, with a new seed key, at `path`, where
    /// there must be none.
    ///
    /// # Errors
    /// [`RingError::Exists`] or [`RingError::File`].
    pub fn create(
        path: &Path,
        passphrase: &SecretString,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, RingError> {
        Self::create_in(path, Box::new(AgeFile::passphrase(passphrase)), rng)
    }

    /// [`KeyRing::create`] with a scrypt work factor of 2^`work_factor`: tests use a small one.
    ///
    /// # Errors
    /// [`RingError::WorkFactor`], and as [`KeyRing::create`].
    pub fn create_with_work_factor(
        path: &Path,
        passphrase: &SecretString,
        work_factor: u8,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, RingError> {
        let backend = AgeFile::passphrase_with_work_factor(passphrase, work_factor)?;
        Self::create_in(path, Box::new(backend), rng)
    }

    /// Makes a ring with a new seed key in `backend`, its file at `path`, where there must be
    /// none.
    ///
    /// # Errors
    /// [`RingError::Exists`], [`RingError::RecoveryExists`], [`RingError::Name`],
    /// [`RingError::File`] and [`RingError::Backend`].
    pub fn create_in(
        path: &Path,
        backend: Box<dyn Backend>,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, RingError> {
        Self::create_of(path, backend, Contents::new(SeedKey::generate(rng)), None)
    }

    fn create_of(
        path: &Path,
        backend: Box<dyn Backend>,
        contents: Contents,
        made_of: Option<&Path>,
    ) -> Result<Self, RingError> {
        let _lock = lock(path)?;
        if path.exists() {
            return Err(RingError::Exists { path: path.into() });
        }
        recovery::check_new(path, made_of)?;
        let mut ring = Self {
            path: path.into(),
            backend,
            contents,
            seen: [0; 32],
        };
        ring.write()?;
        Ok(ring)
    }

    /// Writes what the ring holds to a new ring at `path` in `backend`. The old ring stays as
    /// it is: whoever has taken the new one into use removes it.
    ///
    /// # Errors
    /// [`RingError::Exists`]; [`RingError::OtherKind`] if the ring has purpose keys and one of
    /// the two keeps them outside its file; and as [`KeyRing::open`].
    pub fn copy_to(&self, path: &Path, backend: Box<dyn Backend>) -> Result<Self, RingError> {
        let both_in_file = [self.backend.format(), backend.format()] == [RING_FORMAT; 2];
        if !self.contents.purposes.is_empty() && !both_in_file {
            return Err(RingError::OtherKind {
                path: self.path.clone(),
            });
        }
        let contents = self.contents.duplicate();
        Self::create_of(path, backend, contents, None)
    }

    /// Makes a new ring at `path` in `backend` of the recovery file `file`, which `identity`
    /// opens. Gives it with the slots whose keys are lost, because they lie in a token. The
    /// recovery file may be anybody's, who knows the identity's public key: whoever recovers
    /// looks at [`KeyRing::recovery_recipients`], and whether sealed data open.
    ///
    /// # Errors
    /// [`RingError::WrongIdentity`], [`RingError::Damaged`], [`RingError::Version`] about the
    /// recovery file; [`RingError::Exists`] and [`RingError::File`] about the new ring.
    pub fn recover(
        file: &Path,
        mut identity: AgeFile,
        path: &Path,
        backend: Box<dyn Backend>,
    ) -> Result<(Self, Vec<PurposeSlot>), RingError> {
        let sealed = local::read(file)?;
        let json = identity.decrypt(&sealed);
        let json = json.map_err(|error| RingError::of(file, error))?;
        let formats = [RING_FORMAT, TOKEN_RING_FORMAT];
        let (mut contents, format) = Contents::from_json(file, &formats, &json)?;
        let mut lost = Vec::new();
        if format == TOKEN_RING_FORMAT {
            lost.extend(std::mem::take(&mut contents.purposes).into_keys());
        }
        Ok((Self::create_of(path, backend, contents, Some(file))?, lost))
    }

    /// Opens the ring at `path` with a passphrase.
    ///
    /// # Errors
    /// [`RingError`]: wrong passphrase, another version, or not a ring.
    pub fn open(path: &Path, passphrase: &SecretString) -> Result<Self, RingError> {
        Self::open_in(path, Box::new(AgeFile::passphrase(passphrase)))
    }

    /// Opens the ring at `path` that `backend` keeps.
    ///
    /// # Errors
    /// [`RingError`].
    pub fn open_in(path: &Path, mut backend: Box<dyn Backend>) -> Result<Self, RingError> {
        let (contents, seen) = read(path, backend.as_mut())?;
        Ok(Self {
            path: path.into(),
            backend,
            contents,
            seen,
        })
    }

    /// Takes over what other processes wrote since; true if there was anything.
    ///
    /// # Errors
    /// As [`KeyRing::open`]; the ring stays as it was.
    pub fn refresh(&mut self) -> Result<bool, RingError> {
        let sealed = local::read(&self.path)?;
        if digest(&sealed) == self.seen {
            return Ok(false);
        }
        (self.contents, self.seen) = opened(&self.path, self.backend.as_mut(), &sealed)?;
        Ok(true)
    }

    /// The ring's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What kind of ring this is, in a few words for people.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.backend.kind()
    }

    /// Every slot that has a purpose key, in order.
    pub fn all_purpose_slots(&self) -> impl Iterator<Item = &PurposeSlot> {
        self.contents.purposes.keys()
    }

    /// Every slot that has a matching secret, in order.
    pub fn matching_slots(&self) -> impl Iterator<Item = &MatchingSlot> {
        self.contents.matching.keys()
    }

    /// Whether purpose keys lie outside the ring's file, where no recovery reaches them.
    #[must_use]
    pub fn keys_in_token(&self) -> bool {
        self.backend.format() != RING_FORMAT
    }

    /// The public keys that the recovery file is written for.
    #[must_use]
    pub fn recovery_recipients(&self) -> &[String] {
        &self.contents.recovery
    }

    /// Where the recovery file lies, if there are recipients.
    #[must_use]
    pub fn recovery_file(&self) -> PathBuf {
        Self::recovery_file_of(&self.path)
    }

    /// Where the recovery file of a ring at `path` lies, if it has recipients.
    #[must_use]
    pub fn recovery_file_of(path: &Path) -> PathBuf {
        recovery::file_of(path)
    }

    /// Whether the recovery file is written for a public key.
    ///
    /// # Errors
    /// [`RingError::Recipient`].
    pub fn is_recovery(&self, recipient: &str) -> Result<bool, RingError> {
        let text = Recipient::parse(recipient)?.text();
        Ok(self.contents.recovery.contains(&text))
    }

    /// Writes the recovery file for one more public key, now and at each change; false if it
    /// was for it already.
    ///
    /// # Errors
    /// [`RingError::Recipient`], [`RingError::File`] and as [`KeyRing::open`].
    pub fn add_recovery(&mut self, recipient: &str) -> Result<bool, RingError> {
        let text = Recipient::parse(recipient)?.text();
        self.change(|contents, _| {
            let new = !contents.recovery.contains(&text);
            if new {
                contents.recovery.push(text);
            }
            Ok(new)
        })
    }

    /// Writes the recovery file no more for a public key; false if it was not for it. Copies of
    /// the file made before still open for that key.
    ///
    /// # Errors
    /// As [`KeyRing::add_recovery`].
    pub fn remove_recovery(&mut self, recipient: &str) -> Result<bool, RingError> {
        let text = Recipient::parse(recipient)?.text();
        self.change(|contents, _| {
            let before = contents.recovery.len();
            contents.recovery.retain(|known| *known != text);
            Ok(contents.recovery.len() < before)
        })
    }

    /// The key under which noise seeds are stored. It lies in the ring's document, whatever
    /// the back end: a seed is opened at each reservation, inside the ledger's transaction.
    #[must_use]
    pub fn seed_key(&self) -> &SeedKey {
        &self.contents.seed_key
    }

    /// Wraps `key` under the purpose key of `slot`: [`WRAPPED_BYTES`] bytes.
    ///
    /// # Errors
    /// [`RingError::NoPurposeKey`], or [`RingError::Backend`].
    pub fn wrap(
        &self,
        slot: &PurposeSlot,
        aad: &[u8],
        key: &DataKey,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<u8>, RingError> {
        let kept = self.contents.purposes.get(slot);
        let kept = kept.ok_or(RingError::NoPurposeKey)?;
        let wrapped = self.backend.wrap(kept, aad, key, rng);
        wrapped.map_err(|error| RingError::of(&self.path, error))
    }

    /// Opens what [`KeyRing::wrap`] made with the same slot and associated data.
    ///
    /// # Errors
    /// [`UnwrapError`].
    pub fn unwrap(
        &self,
        slot: &PurposeSlot,
        aad: &[u8],
        wrapped: &[u8],
    ) -> Result<DataKey, UnwrapError> {
        let kept = self.contents.purposes.get(slot);
        let kept = kept.ok_or(UnwrapError::NoKey)?;
        if wrapped.len() != WRAPPED_BYTES {
            return Err(UnwrapError::Refused);
        }
        let key = self.backend.unwrap(kept, aad, wrapped);
        key.map_err(|error| UnwrapError::of(&self.path, error))
    }

    /// The slots of `dataset` that have a purpose key, in order.
    #[must_use]
    pub fn purpose_slots(
        &self,
        agreement_id: &AgreementId,
        dataset: &DatasetName,
    ) -> Vec<PurposeSlot> {
        let of_dataset =
            |slot: &&PurposeSlot| slot.agreement_id == *agreement_id && slot.dataset == *dataset;
        let slots = self.contents.purposes.keys();
        let slots = slots.filter(|slot| slot.key_epoch != SOURCE_EPOCH);
        slots.filter(of_dataset).cloned().collect()
    }

    /// The key epoch after `newest`, of which the ring has no key yet: what was made for one that
    /// never came to be, or stands in for one that was, wraps nothing new. None if none is left.
    #[must_use]
    pub fn next_key_epoch(
        &self,
        agreement_id: &AgreementId,
        dataset: &DatasetName,
        newest: u32,
    ) -> Option<u32> {
        let slots = self.purpose_slots(agreement_id, dataset);
        let known = slots.iter().map(|slot| slot.key_epoch).max();
        let next = known.unwrap_or_default().max(newest).checked_add(1)?;
        (next <= MAX_KEY_EPOCH).then_some(next)
    }

    /// Sees to it that there is a key of each of `purposes`, durably.
    ///
    /// # Errors
    /// [`RingError::File`], [`RingError::Backend`] and as [`KeyRing::open`]; then no key was
    /// made that a wrap could be under.
    pub fn ensure_purpose_keys(
        &mut self,
        agreement_id: &AgreementId,
        dataset: &DatasetName,
        key_epoch: u32,
        purposes: &PurposeSet,
        rng: &mut impl CryptoRng,
    ) -> Result<(), RingError> {
        let slot = |purpose: &PurposeName| PurposeSlot {
            agreement_id: *agreement_id,
            dataset: dataset.clone(),
            key_epoch,
            purpose: purpose.clone(),
        };
        let slots: Vec<PurposeSlot> = purposes.iter().map(slot).collect();
        let known = |slot: &PurposeSlot| self.contents.purposes.contains_key(slot);
        if slots.iter().all(known) {
            return Ok(());
        }
        let path = self.path.clone();
        self.change(|contents, backend| {
            for slot in slots {
                if let Entry::Vacant(place) = contents.purposes.entry(slot) {
                    let kept = backend.make_key(place.key(), rng);
                    place.insert(kept.map_err(|error| RingError::of(&path, error))?);
                }
            }
            Ok(())
        })
    }

    /// Destroys the purpose keys of the slots that `which` picks, durably, and gives how many;
    /// keys of sources that other tools encrypted are none of them.
    /// What was wrapped under them opens never again by this ring; copies of the ring's file
    /// made before (backups, snapshots) still hold keys that lie in the document.
    ///
    /// # Errors
    /// [`RingError::File`], [`RingError::Backend`] and as [`KeyRing::open`]; then any of the
    /// keys may still be there: destroy again.
    pub fn destroy_purpose_keys(
        &mut self,
        which: impl Fn(&PurposeSlot) -> bool,
    ) -> Result<usize, RingError> {
        let path = self.path.clone();
        let which = |slot: &PurposeSlot| slot.key_epoch != SOURCE_EPOCH && which(slot);
        self.change(|contents, backend| {
            let before = contents.purposes.len();
            for (_, kept) in contents.purposes.iter().filter(|(slot, _)| which(slot)) {
                let gone = backend.destroy_key(kept);
                gone.map_err(|error| RingError::of(&path, error))?;
            }
            contents.purposes.retain(|slot, _| !which(slot));
            Ok(before.saturating_sub(contents.purposes.len()))
        })
    }

    /// Changes what the file holds now, and writes it.
    fn change<T>(
        &mut self,
        change: impl FnOnce(&mut Contents, &dyn Backend) -> Result<T, RingError>,
    ) -> Result<T, RingError> {
        let _lock = lock(&self.path)?;
        self.refresh()?;
        let changed = change(&mut self.contents, self.backend.as_ref());
        let written = changed.and_then(|out| self.write().map(|()| out));
        if written.is_err() {
            // What is not on the disk must not be used: a key lost is data lost.
            self.forget();
        }
        written
    }

    fn forget(&mut self) {
        self.seen = [0; 32];
        if self.refresh().is_err() {
            self.contents.purposes.clear();
            self.contents.matching.clear();
        }
    }

    fn write(&mut self) -> Result<(), RingError> {
        let path = &self.path;
        let json = self.contents.to_json(self.backend.format());
        let json = json.map_err(|_| RingError::Damaged { path: path.into() })?;
        let sealed = self.backend.seal_document(&json);
        let sealed = sealed.map_err(|error| RingError::of(path, error))?;
        recovery::write(path, &self.contents.recovery, &json)?;
        local::replace_bytes(path, &sealed)?;
        self.seen = digest(&sealed);
        Ok(())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({})", self.path.display())
    }
}

/// What the file at `path` holds, and its digest.
fn read(path: &Path, backend: &mut dyn Backend) -> Result<(Contents, [u8; 32]), RingError> {
    opened(path, backend, &local::read(path)?)
}

fn opened(
    path: &Path,
    backend: &mut dyn Backend,
    sealed: &[u8],
) -> Result<(Contents, [u8; 32]), RingError> {
    let json = backend.open_document(sealed);
    let json = json.map_err(|error| RingError::of(path, error))?;
    let (contents, _) = Contents::from_json(path, &[backend.format()], &json)?;
    Ok((contents, digest(sealed)))
}

fn digest(sealed: &[u8]) -> [u8; 32] {
    Sha256::digest(sealed).into()
}

/// Holds the ring's lock until dropped.
fn lock(path: &Path) -> Result<std::fs::File, LocalFileError> {
    let locked = || -> io::Result<std::fs::File> {
        let file = local::lock_file(path)?;
        file.lock()?;
        Ok(file)
    };
    locked().map_err(local::io_error("write", path))
}
