//! Wraps of the keys of files that an owner encrypted with other tools.
//!
//! # Form
//! `incamera-source-wrap/1 AGREEMENT DATASET`, a line feed, a data key wrapped under the source
//! key of the data set, and the tool's own key under that data key: tools ask for wraps of 16
//! and of 32 bytes, and the ring wraps 32. Associated data: the label, agreement id, data set,
//! master key id.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use incamera_keys::{DataKey, aead};
use incamera_types::{AgreementId, DatasetName};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::labels::source_wrap_aad;
use crate::ring::{KeyRing, PurposeSlot, RingError, SOURCE_EPOCH, UnwrapError, WRAPPED_BYTES};

/// Name and version of the format, and the label of its associated data.
pub(crate) const SOURCE_WRAP: &str = "incamera-source-wrap/1";

/// The name under which the ring keeps them. In that epoch it is no purpose of an agreement.
const SOURCE_PURPOSE: &str = "source";

/// The lengths of keys that Parquet's AES-GCM takes.
const KEY_BYTES: [usize; 3] = [16, 24, 32];
/// The longest wrap, in base64.
const MAX_BYTES: usize = 1024;

/// A text is not a master key id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a master key is named like a data set of the agreement, or `DATASET/NAME` with lower-case letters, digits, `-` and `_` in the name"
)]
pub struct MasterKeyError;

/// What other tools call the key that wraps: a data set, with or without a name of the owner's
/// choice behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasterKeyId {
    dataset: DatasetName,
    text: String,
}

impl MasterKeyId {
    /// The data set whose source is encrypted.
    #[must_use]
    pub fn dataset(&self) -> &DatasetName {
        &self.dataset
    }
}

impl FromStr for MasterKeyId {
    type Err = MasterKeyError;

    fn from_str(text: &str) -> Result<Self, MasterKeyError> {
        let (dataset, name) = match text.split_once('/') {
            Some((dataset, name)) => (dataset, Some(name)),
            None => (text, None),
        };
        // Names of columns are what owners will choose, and a grammar that is there.
        let name = name.map(str::parse::<incamera_types::ColumnName>);
        name.transpose().map_err(|_| MasterKeyError)?;
        Ok(Self {
            dataset: dataset.parse().map_err(|_| MasterKeyError)?,
            text: text.to_owned(),
        })
    }
}

impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a key is not wrapped or unwrapped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WrapError {
    /// Not a wrap of this format.
    #[error("it is no wrap of a source's key")]
    Form,
    /// A wrap under another agreement.
    #[error("its keys were wrapped under another agreement")]
    OtherAgreement,
    /// The ring has no source key of the data set.
    #[error(
        "the key ring has no source key of `{0}`: it was destroyed, or this is another party's ring"
    )]
    NoKey(DatasetName),
    /// The wrap does not open.
    #[error("a wrapped key of it does not open: it was changed or moved")]
    Changed,
    /// A key of a length that AES does not have.
    #[error("a key has 16, 24 or 32 bytes")]
    Length,
    /// The ring.
    #[error(transparent)]
    Ring(#[from] RingError),
}

/// A tool's key under the source key of a data set.
#[derive(Debug)]
pub struct SourceWrap {
    agreement_id: AgreementId,
    dataset: DatasetName,
    ring_wrap: Vec<u8>,
    sealed: Vec<u8>,
}

impl SourceWrap {
    /// Wraps a tool's key; the data set's source key is made if there is none.
    ///
    /// # Errors
    /// [`WrapError::Length`] or [`WrapError::Ring`].
    pub fn make(
        ring: &mut KeyRing,
        agreement_id: &AgreementId,
        master: &MasterKeyId,
        key: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, WrapError> {
        if !KEY_BYTES.contains(&key.len()) {
            return Err(WrapError::Length);
        }
        let dataset = &master.dataset;
        let no_key = || WrapError::NoKey(dataset.clone());
        let slot = source_slot(agreement_id, dataset).ok_or_else(no_key)?;
        let one = std::iter::once(slot.purpose.clone()).collect();
        ring.ensure_purpose_keys(agreement_id, dataset, SOURCE_EPOCH, &one, rng)?;
        let aad = source_wrap_aad(agreement_id, dataset, &master.text);
        let between = DataKey::generate(rng);
        Ok(Self {
            agreement_id: *agreement_id,
            dataset: dataset.clone(),
            ring_wrap: ring.wrap(&slot, &aad, &between, rng)?,
            sealed: aead::seal(&between, &aad, key, rng),
        })
    }

    /// The data set whose source it belongs to.
    #[must_use]
    pub fn dataset(&self) -> &DatasetName {
        &self.dataset
    }

    /// Gives the tool's key.
    ///
    /// # Errors
    /// [`WrapError`].
    pub fn open(
        &self,
        ring: &KeyRing,
        agreement_id: &AgreementId,
        master_key_id: &str,
    ) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        if &self.agreement_id != agreement_id {
            return Err(WrapError::OtherAgreement);
        }
        let aad = source_wrap_aad(agreement_id, &self.dataset, master_key_id);
        let no_key = || WrapError::NoKey(self.dataset.clone());
        let slot = source_slot(agreement_id, &self.dataset).ok_or_else(no_key)?;
        let between = ring.unwrap(&slot, &aad, &self.ring_wrap);
        let between = between.map_err(|error| match error {
            UnwrapError::NoKey => no_key(),
            UnwrapError::Refused => WrapError::Changed,
            UnwrapError::Ring(error) => WrapError::Ring(error),
        })?;
        aead::open(&between, &aad, &self.sealed).map_err(|_| WrapError::Changed)
    }

    /// The wrap as other tools keep it.
    #[must_use]
    pub fn to_base64(&self) -> String {
        let head = format!("{SOURCE_WRAP} {} {}\n", self.agreement_id, self.dataset);
        STANDARD.encode([head.as_bytes(), &self.ring_wrap, &self.sealed].concat())
    }

    /// Reads what another tool kept.
    ///
    /// # Errors
    /// [`WrapError::Form`].
    pub fn from_base64(text: &str) -> Result<Self, WrapError> {
        if text.len() > MAX_BYTES {
            return Err(WrapError::Form);
        }
        let bytes = STANDARD.decode(text).map_err(|_| WrapError::Form)?;
        Self::parse(&bytes).ok_or(WrapError::Form)
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let (head, rest) = bytes.split_at_checked(end)?;
        let mut words = std::str::from_utf8(head).ok()?.split(' ');
        if words.next() != Some(SOURCE_WRAP) {
            return None;
        }
        let (agreement_id, dataset) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let (ring_wrap, sealed) = rest.get(1..)?.split_at_checked(WRAPPED_BYTES)?;
        let whole = KEY_BYTES.contains(&sealed.len().checked_sub(aead::OVERHEAD_BYTES)?);
        (words.next().is_none() && whole).then(|| Self {
            agreement_id,
            dataset,
            ring_wrap: ring_wrap.to_vec(),
            sealed: sealed.to_vec(),
        })
    }
}

/// Where the ring keeps the key; INVARIANT: the name is one.
fn source_slot(agreement_id: &AgreementId, dataset: &DatasetName) -> Option<PurposeSlot> {
    Some(PurposeSlot {
        agreement_id: *agreement_id,
        dataset: dataset.clone(),
        key_epoch: SOURCE_EPOCH,
        purpose: SOURCE_PURPOSE.parse().ok()?,
    })
}
