//! The key ring: an owner's secrets in one file under a passphrase.
//!
//! # Format
//! `incamera-ring/1`: a JSON document inside an age file for one passphrase (scrypt). It holds
//! purpose keys per (agreement id, data set, key epoch, purpose), matching secrets per
//! (agreement id, matching epoch, id kind, method, reveals) with a count of runs, and the key
//! under which noise seeds are stored.
//!
//! # Durability
//! What a method made is on the disk when it returns: written to a private sibling,
//! synchronised, renamed. Changes are made under an advisory lock, to what the file holds at
//! that moment, so that two processes do not lose each other's keys. Whoever keeps a ring open
//! calls [`KeyRing::refresh`] to see keys that other processes made.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use incamera_keys::{ExposeSecret as _, MatchingKey, PurposeKey, SecretString, SeedKey};
use incamera_types::{AgreementId, DatasetName, IdKind, MatchingEpoch, PurposeName, PurposeSet};
use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::local::{self, LocalFileError};

/// Name and version of the format.
pub const RING_FORMAT: &str = "incamera-ring/1";

/// The scrypt work factor of new rings: 2^16, some tenths of a second and 64 MiB.
pub const DEFAULT_WORK_FACTOR: u8 = 16;

/// The largest work factor that is opened: some 20 s.
const MAX_WORK_FACTOR: u8 = 22;

/// Why the key ring does not open or change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RingError {
    /// There is a file already.
    #[error("there is a key ring at `{}` already; it is not overwritten, because its keys cannot be made again", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The passphrase is not the ring's.
    #[error("the passphrase does not open the key ring `{}`", path.display())]
    WrongPassphrase {
        /// The file.
        path: PathBuf,
    },
    /// An age file of another kind, or damaged.
    #[error("`{}` is not a key ring, or it is damaged: restore it from a backup", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// Another version of the format.
    #[error("the key ring `{}` is `{found}`, not `{RING_FORMAT}`: a newer version of incamera may read it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it says it is.
        found: String,
    },
    /// A work factor that is not accepted.
    #[error("a scrypt work factor is from 1 to {MAX_WORK_FACTOR}, not {found}")]
    WorkFactor {
        /// The one given.
        found: u8,
    },
    /// There is no secret of this slot.
    #[error("the key ring has no matching secret of this agreement, epoch and method")]
    NoMatchingSecret,
    /// As many runs were made as may be.
    #[error("the agreement allows {limit} runs in this epoch, and {runs} were made")]
    NoRunsLeft {
        /// Runs made.
        runs: u32,
        /// Runs that may be made.
        limit: u32,
    },
    /// The file cannot be read or written.
    #[error(transparent)]
    File(#[from] LocalFileError),
}

/// What a matching secret is for; in another slot there is another secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MatchingSlot {
    /// The agreement's id.
    pub agreement_id: AgreementId,
    /// The matching epoch.
    pub epoch: MatchingEpoch,
    /// The kind of identifier.
    pub id_kind: IdKind,
    /// The protocol, by the agreement's name for it.
    pub method: String,
    /// What it reveals, by the agreement's name for it.
    pub reveals: String,
}

/// A matching secret and how often it was used.
#[derive(Debug)]
pub struct MatchingSecret {
    key: MatchingKey,
    runs: u32,
}

impl MatchingSecret {
    /// The secret.
    #[must_use]
    pub fn key(&self) -> &MatchingKey {
        &self.key
    }

    /// Runs counted so far.
    #[must_use]
    pub fn runs(&self) -> u32 {
        self.runs
    }
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PurposeSlot {
    agreement_id: AgreementId,
    dataset: DatasetName,
    key_epoch: u32,
    purpose: PurposeName,
}

struct Contents {
    seed_key: SeedKey,
    purposes: BTreeMap<PurposeSlot, PurposeKey>,
    matching: BTreeMap<MatchingSlot, MatchingSecret>,
}

/// An owner's key ring, open. See the module.
pub struct KeyRing {
    path: PathBuf,
    passphrase: SecretString,
    work_factor: u8,
    contents: Contents,
    /// SHA-256 of the file that `contents` came from.
    seen: [u8; 32],
}

impl KeyRing {
    /// Makes a ring with a new seed key at `path`, where there must be none.
    ///
    /// # Errors
    /// [`RingError::Exists`] or [`RingError::File`].
    pub fn create(
        path: &Path,
        passphrase: &SecretString,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, RingError> {
        Self::create_with_work_factor(path, passphrase, DEFAULT_WORK_FACTOR, rng)
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
        check_work_factor(work_factor)?;
        let _lock = lock(path)?;
        if path.exists() {
            return Err(RingError::Exists { path: path.into() });
        }
        let mut ring = Self {
            path: path.into(),
            passphrase: passphrase.clone(),
            work_factor,
            contents: Contents {
                seed_key: SeedKey::generate(rng),
                purposes: BTreeMap::new(),
                matching: BTreeMap::new(),
            },
            seen: [0; 32],
        };
        ring.write()?;
        Ok(ring)
    }

    /// Opens the ring at `path`.
    ///
    /// # Errors
    /// [`RingError`]: wrong passphrase, another version, or not a ring.
    pub fn open(path: &Path, passphrase: &SecretString) -> Result<Self, RingError> {
        let sealed = local::read(path)?;
        let document = open_document(path, passphrase, &sealed)?;
        Ok(Self {
            path: path.into(),
            passphrase: passphrase.clone(),
            work_factor: document.work_factor,
            contents: document.into(),
            seen: Sha256::digest(&sealed).into(),
        })
    }

    /// Takes over what other processes wrote since; true if there was anything.
    ///
    /// # Errors
    /// As [`KeyRing::open`]; the ring stays as it was.
    pub fn refresh(&mut self) -> Result<bool, RingError> {
        let sealed = local::read(&self.path)?;
        let seen: [u8; 32] = Sha256::digest(&sealed).into();
        if seen == self.seen {
            return Ok(false);
        }
        let document = open_document(&self.path, &self.passphrase, &sealed)?;
        self.work_factor = document.work_factor;
        self.contents = document.into();
        self.seen = seen;
        Ok(true)
    }

    /// The ring's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The key under which noise seeds are stored.
    #[must_use]
    pub fn seed_key(&self) -> &SeedKey {
        &self.contents.seed_key
    }

    /// The key that wraps data keys of `dataset` for `purpose`, where there is one.
    #[must_use]
    pub fn purpose_key(
        &self,
        agreement_id: &AgreementId,
        dataset: &DatasetName,
        key_epoch: u32,
        purpose: &PurposeName,
    ) -> Option<&PurposeKey> {
        let slot = purpose_slot(agreement_id, dataset, key_epoch, purpose);
        self.contents.purposes.get(&slot)
    }

    /// Sees to it that there is a key of each of `purposes`, durably.
    ///
    /// # Errors
    /// [`RingError::File`] and as [`KeyRing::open`]; then no key was made.
    pub fn ensure_purpose_keys(
        &mut self,
        agreement_id: &AgreementId,
        dataset: &DatasetName,
        key_epoch: u32,
        purposes: &PurposeSet,
        rng: &mut impl CryptoRng,
    ) -> Result<(), RingError> {
        let slots: Vec<PurposeSlot> = purposes
            .iter()
            .map(|purpose| purpose_slot(agreement_id, dataset, key_epoch, purpose))
            .collect();
        if slots
            .iter()
            .all(|slot| self.contents.purposes.contains_key(slot))
        {
            return Ok(());
        }
        self.change(|contents| {
            for slot in slots {
                let new = || PurposeKey::generate(rng);
                contents.purposes.entry(slot).or_insert_with(new);
            }
        })
    }

    /// The key of one purpose, made if there is none.
    ///
    /// # Errors
    /// As [`KeyRing::ensure_purpose_keys`].
    pub fn purpose_key_or_new(
        &mut self,
        agreement_id: &AgreementId,
        dataset: &DatasetName,
        key_epoch: u32,
        purpose: &PurposeName,
        rng: &mut impl CryptoRng,
    ) -> Result<&PurposeKey, RingError> {
        let one = std::iter::once(purpose.clone()).collect();
        self.ensure_purpose_keys(agreement_id, dataset, key_epoch, &one, rng)?;
        let path = self.path.clone();
        self.purpose_key(agreement_id, dataset, key_epoch, purpose)
            .ok_or(RingError::Damaged { path })
    }

    /// The matching secret of `slot`, where there is one.
    #[must_use]
    pub fn matching_secret(&self, slot: &MatchingSlot) -> Option<&MatchingSecret> {
        self.contents.matching.get(slot)
    }

    /// The matching secret of `slot`, made if there is none.
    ///
    /// # Errors
    /// As [`KeyRing::ensure_purpose_keys`].
    pub fn matching_secret_or_new(
        &mut self,
        slot: &MatchingSlot,
        rng: &mut impl CryptoRng,
    ) -> Result<&MatchingSecret, RingError> {
        if !self.contents.matching.contains_key(slot) {
            self.change(|contents| {
                let new = || MatchingSecret {
                    key: MatchingKey::generate(rng),
                    runs: 0,
                };
                contents.matching.entry(slot.clone()).or_insert_with(new);
            })?;
        }
        self.matching_secret(slot)
            .ok_or(RingError::NoMatchingSecret)
    }

    /// Counts one run with the secret of `slot`, durably, unless `limit` were made, and gives
    /// the runs so far. Looked at and counted under one lock: two processes that run at once
    /// do not both take the last.
    ///
    /// # Errors
    /// [`RingError::NoMatchingSecret`], [`RingError::NoRunsLeft`], and as
    /// [`KeyRing::ensure_purpose_keys`].
    pub fn count_matching_run(
        &mut self,
        slot: &MatchingSlot,
        limit: u32,
    ) -> Result<u32, RingError> {
        self.change(|contents| {
            let secret = contents.matching.get_mut(slot);
            let secret = secret.ok_or(RingError::NoMatchingSecret)?;
            if secret.runs >= limit {
                let runs = secret.runs;
                return Err(RingError::NoRunsLeft { runs, limit });
            }
            secret.runs = secret.runs.saturating_add(1);
            Ok(secret.runs)
        })?
    }

    /// Changes what the file holds now, and writes it.
    fn change<T>(&mut self, change: impl FnOnce(&mut Contents) -> T) -> Result<T, RingError> {
        let _lock = lock(&self.path)?;
        self.refresh()?;
        let out = change(&mut self.contents);
        if let Err(error) = self.write() {
            // What is not on the disk must not be used: a key lost is data lost.
            self.forget();
            return Err(error);
        }
        Ok(out)
    }

    fn forget(&mut self) {
        self.seen = [0; 32];
        if self.refresh().is_err() {
            self.contents.purposes.clear();
            self.contents.matching.clear();
        }
    }

    fn write(&mut self) -> Result<(), RingError> {
        let document = Document::of(&self.contents, self.work_factor);
        let damaged = || RingError::Damaged {
            path: self.path.clone(),
        };
        let json = serde_json::to_vec(&document).map_err(|_| damaged())?;
        let json = Zeroizing::new(json);
        let mut recipient = age::scrypt::Recipient::new(age_passphrase(&self.passphrase));
        recipient.set_work_factor(self.work_factor);
        let sealed = age::encrypt(&recipient, &json).map_err(|_| damaged())?;
        local::replace_bytes(&self.path, &sealed)?;
        self.seen = Sha256::digest(&sealed).into();
        Ok(())
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({})", self.path.display())
    }
}

fn purpose_slot(
    agreement_id: &AgreementId,
    dataset: &DatasetName,
    key_epoch: u32,
    purpose: &PurposeName,
) -> PurposeSlot {
    PurposeSlot {
        agreement_id: *agreement_id,
        dataset: dataset.clone(),
        key_epoch,
        purpose: purpose.clone(),
    }
}

fn check_work_factor(found: u8) -> Result<(), RingError> {
    if (1..=MAX_WORK_FACTOR).contains(&found) {
        return Ok(());
    }
    Err(RingError::WorkFactor { found })
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

/// age has its own version of the type.
fn age_passphrase(passphrase: &SecretString) -> age::secrecy::SecretString {
    age::secrecy::SecretString::from(passphrase.expose_secret())
}

/// The document as it is written: keys in hexadecimal.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    work_factor: u8,
    seed_key: HexKey,
    purpose_keys: Vec<PurposeEntry>,
    matching_secrets: Vec<MatchingEntry>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct PurposeEntry {
    slot: PurposeSlot,
    key: HexKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MatchingEntry {
    slot: MatchingSlot,
    runs: u32,
    key: HexKey,
}

struct HexKey(Zeroizing<[u8; 32]>);

impl Serialize for HexKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(hex::encode(self.0.as_slice())))
    }
}

impl<'de> Deserialize<'de> for HexKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let mut key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(text.as_bytes(), key.as_mut())
            .map_err(|_| serde::de::Error::custom("a key is not one"))?;
        Ok(Self(key))
    }
}

impl Document {
    fn of(contents: &Contents, work_factor: u8) -> Self {
        let hex = |bytes: &[u8; 32]| HexKey(Zeroizing::new(*bytes));
        let purpose = |(slot, key): (&PurposeSlot, &PurposeKey)| PurposeEntry {
            slot: slot.clone(),
            key: hex(key.expose()),
        };
        let matching = |(slot, secret): (&MatchingSlot, &MatchingSecret)| MatchingEntry {
            slot: slot.clone(),
            runs: secret.runs,
            key: hex(secret.key.expose()),
        };
        Self {
            format: RING_FORMAT.to_owned(),
            work_factor,
            seed_key: hex(contents.seed_key.expose()),
            purpose_keys: contents.purposes.iter().map(purpose).collect(),
            matching_secrets: contents.matching.iter().map(matching).collect(),
        }
    }
}

impl From<Document> for Contents {
    fn from(document: Document) -> Self {
        let matching = |entry: MatchingEntry| {
            let key = MatchingKey::from_bytes(*entry.key.0);
            (
                entry.slot,
                MatchingSecret {
                    key,
                    runs: entry.runs,
                },
            )
        };
        Self {
            seed_key: SeedKey::from_bytes(*document.seed_key.0),
            purposes: document
                .purpose_keys
                .into_iter()
                .map(|entry| (entry.slot, PurposeKey::from_bytes(*entry.key.0)))
                .collect(),
            matching: document
                .matching_secrets
                .into_iter()
                .map(matching)
                .collect(),
        }
    }
}

/// Just the format, so that another version is told from damage.
#[derive(Deserialize)]
struct Version {
    format: String,
}

fn open_document(
    path: &Path,
    passphrase: &SecretString,
    sealed: &[u8],
) -> Result<Document, RingError> {
    let damaged = || RingError::Damaged { path: path.into() };
    let mut identity = age::scrypt::Identity::new(age_passphrase(passphrase));
    identity.set_max_work_factor(MAX_WORK_FACTOR);
    let json = age::decrypt(&identity, sealed).map_err(|error| age_error(path, &error))?;
    let json = Zeroizing::new(json);
    let version: Version = serde_json::from_slice(&json).map_err(|_| damaged())?;
    if version.format != RING_FORMAT {
        let found = version
            .format
            .chars()
            .filter(|c| !c.is_control())
            .take(64)
            .collect();
        return Err(RingError::Version {
            path: path.into(),
            found,
        });
    }
    let document: Document = serde_json::from_slice(&json).map_err(|_| damaged())?;
    check_work_factor(document.work_factor)?;
    Ok(document)
}

fn age_error(path: &Path, error: &age::DecryptError) -> RingError {
    let path = path.into();
    match error {
        age::DecryptError::DecryptionFailed
        | age::DecryptError::KeyDecryptionFailed
        | age::DecryptError::NoMatchingKeys => RingError::WrongPassphrase { path },
        _ => RingError::Damaged { path },
    }
}
