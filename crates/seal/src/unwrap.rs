//! The unwrap step of invariant I3, and the room's check of what it was given.
//!
//! There is no policy here: whether a key *may* be given is decided above. What this module
//! cannot do is give a key that was never wrapped for the purpose.

use std::collections::BTreeMap;
use std::fmt;

use incamera_keys::DataKey;
use incamera_types::{ColumnName, DatasetName, FileId, PurposeName};

use crate::labels::{WrapPlace, key_commitment};
use crate::manifest::{Manifest, Part, SealedKey};
use crate::ring::{KeyRing, PurposeSlot, RingError, UnwrapError};

/// A data key of one part, unwrapped.
pub struct GrantedKey {
    /// The part.
    pub file_id: FileId,
    /// The column; none for the footer.
    pub column: Option<ColumnName>,
    /// The key.
    pub key: DataKey,
}

impl fmt::Debug for GrantedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.column {
            Some(column) => write!(f, "GrantedKey({} {column})", self.file_id),
            None => write!(f, "GrantedKey({} footer)", self.file_id),
        }
    }
}

/// Why there is no key to give.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoKey {
    /// The data set has no such column.
    #[error("the data set `{dataset}` has no column `{column}`")]
    NoColumn {
        /// The data set.
        dataset: DatasetName,
        /// The column asked for.
        column: ColumnName,
    },
    /// No wrap of the column exists for the purpose.
    #[error(
        "no key of `{dataset}.{column}` exists for the purpose `{purpose}`: the column is not sealed for it"
    )]
    NotWrapped {
        /// The data set.
        dataset: DatasetName,
        /// The column asked for.
        column: ColumnName,
        /// The purpose asked for.
        purpose: PurposeName,
    },
    /// The owner revoked the purpose.
    #[error("`{dataset}` opens no longer for the purpose `{purpose}`: its owner revoked it")]
    Revoked {
        /// The data set.
        dataset: DatasetName,
        /// The purpose asked for.
        purpose: PurposeName,
    },
    /// The key ring has no key of the purpose.
    #[error(
        "the key ring has no key of `{dataset}` for the purpose `{purpose}` in key epoch {key_epoch}: it was destroyed (what took its place is pushed with `incamera data push`), or this is another party's ring"
    )]
    NoPurposeKey {
        /// The data set.
        dataset: DatasetName,
        /// The purpose.
        purpose: PurposeName,
        /// The key epoch of the manifest.
        key_epoch: u32,
    },
    /// A wrap does not open, or its key is not the one committed to.
    #[error(
        "a wrapped key of part `{file_id}` of `{dataset}` was changed or moved; seal the data set again"
    )]
    Tampered {
        /// The data set.
        dataset: DatasetName,
        /// The part.
        file_id: FileId,
    },
    /// The key ring failed; what it keeps is as it was.
    #[error(transparent)]
    Ring(#[from] RingError),
}

/// Unwraps, under the key of `purpose`, the footer's and the `columns`' keys of every part
/// that opens for it and has these columns. Parts of people who did not consent to the purpose
/// give none.
///
/// # Errors
/// [`NoKey`]: all keys or none. A purpose that no column named serves has no wrap.
pub fn unwrap_keys(
    manifest: &Manifest,
    purpose: &PurposeName,
    columns: &[ColumnName],
    ring: &KeyRing,
) -> Result<Vec<GrantedKey>, NoKey> {
    if manifest.public() {
        return Ok(Vec::new());
    }
    if manifest.revoked().contains(purpose) {
        let (dataset, purpose) = (manifest.dataset().clone(), purpose.clone());
        return Err(NoKey::Revoked { dataset, purpose });
    }
    for column in columns {
        check_column(manifest, purpose, column)?;
    }
    let open = |part: &&Part| part.serves(purpose, columns);
    let parts: Vec<&Part> = manifest.parts().iter().filter(open).collect();
    if parts.is_empty() {
        return Ok(Vec::new());
    }
    let unwrap = Unwrap::new(manifest, purpose, ring);
    let mut keys = Vec::new();
    for part in parts {
        keys.push(unwrap.one(part, None)?);
        for column in columns {
            keys.push(unwrap.one(part, Some(column))?);
        }
    }
    Ok(keys)
}

/// Unwraps one key of one part.
pub(crate) fn unwrap_key(
    manifest: &Manifest,
    purpose: &PurposeName,
    part: &Part,
    column: Option<&ColumnName>,
    ring: &KeyRing,
) -> Result<DataKey, NoKey> {
    if let Some(column) = column {
        check_column(manifest, purpose, column)?;
    }
    let unwrap = Unwrap::new(manifest, purpose, ring);
    Ok(unwrap.one(part, column)?.key)
}

/// Finds early what no part can give: kinder than finding it in the first part, and the
/// same whether or not there is a part.
fn check_column(
    manifest: &Manifest,
    purpose: &PurposeName,
    column: &ColumnName,
) -> Result<(), NoKey> {
    let Some(sealed) = manifest.column(column) else {
        return Err(NoKey::NoColumn {
            dataset: manifest.dataset().clone(),
            column: column.clone(),
        });
    };
    let key = sealed.ty.is_key();
    let served = |sealed: &crate::SealedColumn| sealed.purposes.contains(purpose);
    if served(sealed) || key && manifest.columns().iter().any(served) {
        return Ok(());
    }
    Err(not_wrapped(manifest, purpose, column))
}

fn not_wrapped(manifest: &Manifest, purpose: &PurposeName, column: &ColumnName) -> NoKey {
    NoKey::NotWrapped {
        dataset: manifest.dataset().clone(),
        column: column.clone(),
        purpose: purpose.clone(),
    }
}

struct Unwrap<'a> {
    manifest: &'a Manifest,
    slot: PurposeSlot,
    ring: &'a KeyRing,
}

impl<'a> Unwrap<'a> {
    fn new(manifest: &'a Manifest, purpose: &PurposeName, ring: &'a KeyRing) -> Self {
        Self {
            manifest,
            slot: PurposeSlot {
                agreement_id: *manifest.agreement_id(),
                dataset: manifest.dataset().clone(),
                key_epoch: manifest.key_epoch(),
                purpose: purpose.clone(),
            },
            ring,
        }
    }

    fn one(&self, part: &Part, column: Option<&ColumnName>) -> Result<GrantedKey, NoKey> {
        let purpose = &self.slot.purpose;
        let sealed = part.key(column);
        let wrap = sealed.and_then(|key| key.wraps.iter().find(|wrap| &wrap.purpose == purpose));
        let (Some(sealed), Some(wrap)) = (sealed, wrap) else {
            return Err(match column {
                Some(column) => not_wrapped(self.manifest, purpose, column),
                None => self.tampered(part),
            });
        };
        let place = WrapPlace {
            agreement_id: self.manifest.agreement_id(),
            dataset: self.manifest.dataset(),
            key_epoch: self.manifest.key_epoch(),
            file_id: &part.file_id,
            column,
            purpose,
        };
        let key = self.ring.unwrap(&self.slot, &place.aad(), &wrap.wrapped);
        let key = key.map_err(|error| self.no_key(part, error))?;
        if !committed(part, sealed, &key) {
            return Err(self.tampered(part));
        }
        Ok(GrantedKey {
            file_id: part.file_id,
            column: column.cloned(),
            key,
        })
    }

    fn no_key(&self, part: &Part, error: UnwrapError) -> NoKey {
        match error {
            UnwrapError::NoKey => NoKey::NoPurposeKey {
                dataset: self.slot.dataset.clone(),
                purpose: self.slot.purpose.clone(),
                key_epoch: self.slot.key_epoch,
            },
            UnwrapError::Refused => self.tampered(part),
            UnwrapError::Ring(error) => NoKey::Ring(error),
        }
    }

    fn tampered(&self, part: &Part) -> NoKey {
        NoKey::Tampered {
            dataset: self.manifest.dataset().clone(),
            file_id: part.file_id,
        }
    }
}

/// Whether the manifest commits to `key` as this key of the part.
pub(crate) fn committed(part: &Part, sealed: &SealedKey, key: &DataKey) -> bool {
    key_commitment(&part.file_id, sealed.column.as_ref(), key) == sealed.commitment
}

/// The keys given are not exactly those that the manifest names.
///
/// One error for a key that is missing, extra, of another part or not the one committed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the keys given are not exactly those that the manifest commits to")]
pub struct KeyMismatch;

/// The checked keys of one part: each matches the manifest's commitment.
pub struct PartKeys {
    file_id: FileId,
    footer: DataKey,
    columns: BTreeMap<ColumnName, DataKey>,
}

impl PartKeys {
    /// Checks the keys of one part: its footer's, and any columns', each once.
    ///
    /// # Errors
    /// [`KeyMismatch`] for a key of another part, a key twice, one that the manifest does not
    /// commit to, or no footer key.
    pub fn check(
        part: &Part,
        keys: impl IntoIterator<Item = GrantedKey>,
    ) -> Result<Self, KeyMismatch> {
        let mut footer = None;
        let mut columns = BTreeMap::new();
        for granted in keys {
            let sealed = part.key(granted.column.as_ref()).ok_or(KeyMismatch)?;
            if granted.file_id != part.file_id || !committed(part, sealed, &granted.key) {
                return Err(KeyMismatch);
            }
            let before = match granted.column {
                Some(column) => columns.insert(column, granted.key),
                None => footer.replace(granted.key),
            };
            if before.is_some() {
                return Err(KeyMismatch);
            }
        }
        Ok(Self {
            file_id: part.file_id,
            footer: footer.ok_or(KeyMismatch)?,
            columns,
        })
    }

    /// The part that the keys open.
    #[must_use]
    pub fn file_id(&self) -> FileId {
        self.file_id
    }

    /// The columns that the keys open.
    pub fn columns(&self) -> impl Iterator<Item = &ColumnName> {
        self.columns.keys()
    }

    pub(crate) fn footer(&self) -> &DataKey {
        &self.footer
    }

    pub(crate) fn column(&self, column: &ColumnName) -> Option<&DataKey> {
        self.columns.get(column)
    }
}

impl fmt::Debug for PartKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartKeys({})", self.file_id)
    }
}

/// Checks that an owner gave exactly the keys of `columns` of exactly the parts that the
/// manifest wraps for `purpose`.
///
/// # Errors
/// [`KeyMismatch`] for a key missing, extra or not matching its commitment.
pub fn granted_parts(
    manifest: &Manifest,
    purpose: &PurposeName,
    columns: &[ColumnName],
    keys: impl IntoIterator<Item = GrantedKey>,
) -> Result<BTreeMap<FileId, PartKeys>, KeyMismatch> {
    let mut by_part: BTreeMap<FileId, Vec<GrantedKey>> = BTreeMap::new();
    for key in keys {
        by_part.entry(key.file_id).or_default().push(key);
    }
    let mut checked = BTreeMap::new();
    for part in manifest
        .parts()
        .iter()
        .filter(|part| part.serves(purpose, columns))
    {
        let keys = by_part.remove(&part.file_id).ok_or(KeyMismatch)?;
        let keys = PartKeys::check(part, keys)?;
        let exact = keys.columns.len() == columns.len()
            && columns
                .iter()
                .all(|column| keys.columns.contains_key(column));
        if !exact {
            return Err(KeyMismatch);
        }
        checked.insert(part.file_id, keys);
    }
    if by_part.is_empty() {
        Ok(checked)
    } else {
        Err(KeyMismatch)
    }
}
