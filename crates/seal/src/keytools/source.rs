//! The keys of a Parquet file that its owner encrypted with another tool.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use incamera_keys::aead;
use incamera_types::{AgreementId, DatasetName};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::encryption::decrypt::{FileDecryptionProperties, KeyRetriever};
use parquet::errors::ParquetError;
use parquet::file::column_crypto_metadata::ColumnCryptoMetaData;
use parquet::file::metadata::ParquetMetaData;
use zeroize::Zeroizing;

use super::material::{Between, Material, MaterialError};
use super::reference::KeyReference;
use super::wrap::{SourceWrap, WrapError};
use crate::guard::{Damaged, guarded};
use crate::ring::KeyRing;
use crate::source::{Source, SourceError, SourceFile};

/// Keys that one file may have: a footer's and some thousands of columns'.
const MAX_KEYS: usize = 8192;

/// Why an encrypted file is not opened. Holds nothing that the file says.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceKeyError {
    /// Nobody unwrapped its keys.
    #[error(
        "its keys are needed: `data seal`, `data clipped` and `match run` ask the key ring for them"
    )]
    Locked,
    /// Its key metadata.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// Another key management.
    #[error("its keys are not wrapped by this key ring, but by another key management")]
    Foreign,
    /// A part of a sealed data set.
    #[error("it is a part of a sealed data set, not a source")]
    Sealed,
    /// Keys of another data set.
    #[error("its keys were wrapped for the data set `{found}`, not for `{expected}`")]
    OtherDataset {
        /// The data set that it was written for.
        found: DatasetName,
        /// The data set that it is to be sealed as.
        expected: DatasetName,
    },
    /// A wrap.
    #[error(transparent)]
    Wrap(WrapError),
    /// An algorithm that does not authenticate its pages.
    #[error(
        "it is encrypted with AES_GCM_CTR_V1, which does not protect its pages from changes and is not read: write it with AES_GCM_V1"
    )]
    Algorithm,
    /// A key of 192 bits.
    #[error("it has a key of 192 bits, which is not read: write it with keys of 128 or 256 bits")]
    Bits,
    /// More keys than a file may have.
    #[error("it has more than {MAX_KEYS} keys")]
    TooManyKeys,
    /// Its keys do not open it.
    #[error("its keys do not open it: it is damaged, or it needs an AAD prefix, which is not read")]
    Damaged,
}

/// The keys of an encrypted file, by what the file says of them. See [`Source::unlock`].
#[derive(Clone, Default)]
pub struct SourceKeys(Arc<BTreeMap<Vec<u8>, Zeroizing<Vec<u8>>>>);

impl SourceKeys {
    /// How to read the file with the keys.
    pub(crate) fn options(&self) -> Result<ArrowReaderOptions, ParquetError> {
        options(Arc::new(Retriever {
            keys: self.clone(),
            asked: Mutex::default(),
        }))
    }
}

fn options(retriever: Arc<Retriever>) -> Result<ArrowReaderOptions, ParquetError> {
    let decryption = FileDecryptionProperties::with_key_retriever(retriever).build()?;
    Ok(ArrowReaderOptions::new().with_file_decryption_properties(decryption))
}

impl fmt::Debug for SourceKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SourceKeys")
    }
}

/// The same file's.
impl PartialEq for SourceKeys {
    fn eq(&self, other: &Self) -> bool {
        self.0.keys().eq(other.0.keys())
    }
}
impl Eq for SourceKeys {}

/// Gives the keys that are there, and remembers which were asked for.
struct Retriever {
    keys: SourceKeys,
    asked: Mutex<BTreeSet<Vec<u8>>>,
}

impl KeyRetriever for Retriever {
    fn retrieve_key(&self, metadata: &[u8]) -> Result<Vec<u8>, ParquetError> {
        if let Some(key) = self.keys.0.get(metadata) {
            return Ok(key.to_vec());
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if asked.len() <= MAX_KEYS {
            asked.insert(metadata.to_vec());
        }
        Err(ParquetError::General("a key is not there".to_owned()))
    }
}

impl Source {
    /// Unwraps the keys of a Parquet file that was encrypted with another tool through
    /// `incamera ring serve`: keys of `dataset`, or of any data set of the agreement where
    /// none is named. Any other file is as it was.
    ///
    /// # Errors
    /// [`SourceError::Encrypted`] says why a file that is encrypted cannot be opened.
    pub fn unlock(
        mut self,
        ring: &KeyRing,
        agreement_id: &AgreementId,
        dataset: Option<&DatasetName>,
    ) -> Result<Self, SourceError> {
        let unwrapping = Unwrapping {
            ring,
            agreement_id,
            dataset,
        };
        for (file, keys) in self.parquet_files() {
            let found = unwrapping.keys(file)?;
            *keys = (!found.0.is_empty()).then_some(found);
        }
        Ok(self)
    }
}

/// What a look at a file's metadata found.
struct Look {
    asked: BTreeSet<Vec<u8>>,
    failed: Option<SourceKeyError>,
}

struct Unwrapping<'a> {
    ring: &'a KeyRing,
    agreement_id: &'a AgreementId,
    dataset: Option<&'a DatasetName>,
}

impl Unwrapping<'_> {
    /// Every key of the file: its footer's first, then, with that in hand, its columns'.
    fn keys(&self, file: &SourceFile) -> Result<SourceKeys, SourceError> {
        let path = file.name();
        let mut keys = SourceKeys::default();
        loop {
            let look = look(file, &keys)?;
            let refused = |why| SourceError::Encrypted {
                path: path.into(),
                why,
            };
            if look.asked.is_empty() {
                // A file that is not encrypted is read as any other, and so is a damaged one.
                return match look.failed.filter(|_| !keys.0.is_empty()) {
                    Some(why) => Err(refused(why)),
                    None => Ok(keys),
                };
            }
            let mut known = BTreeMap::clone(&keys.0);
            for metadata in look.asked {
                let key = self.key(&metadata).map_err(refused)?;
                known.insert(metadata, key);
            }
            if known.len() > MAX_KEYS {
                return Err(refused(SourceKeyError::TooManyKeys));
            }
            keys = SourceKeys(Arc::new(known));
        }
    }

    fn key(&self, metadata: &[u8]) -> Result<Zeroizing<Vec<u8>>, SourceKeyError> {
        let material = Material::parse(metadata)?;
        let key = match &material.between {
            None => self.unwrap(&material.wrapped_dek, &material.master_key_id)?,
            Some(Between { id, wrapped }) => {
                let between = self.unwrap(wrapped, &material.master_key_id)?;
                let wrapped = STANDARD.decode(&material.wrapped_dek);
                let wrapped = wrapped.map_err(|_| MaterialError::Form)?;
                aead::open_foreign(&between, id, &wrapped)
                    .map_err(|_| SourceKeyError::Wrap(WrapError::Changed))?
            }
        };
        match key.len() {
            16 | 32 => Ok(key),
            _ => Err(SourceKeyError::Bits),
        }
    }

    fn unwrap(
        &self,
        wrapped: &str,
        master_key_id: &str,
    ) -> Result<Zeroizing<Vec<u8>>, SourceKeyError> {
        if KeyReference::from_base64(wrapped).is_ok() {
            return Err(SourceKeyError::Sealed);
        }
        let wrap = SourceWrap::from_base64(wrapped).map_err(|_| SourceKeyError::Foreign)?;
        if let Some(expected) = self.dataset.filter(|name| *name != wrap.dataset()) {
            return Err(SourceKeyError::OtherDataset {
                found: wrap.dataset().clone(),
                expected: expected.clone(),
            });
        }
        let opened = wrap.open(self.ring, self.agreement_id, master_key_id);
        opened.map_err(SourceKeyError::Wrap)
    }
}

/// Reads the file's metadata with the keys that are there.
fn look(file: &SourceFile, keys: &SourceKeys) -> Result<Look, SourceError> {
    let (path, input) = (file.name(), file.open()?);
    let watch = input.watch();
    let retriever = Arc::new(Retriever {
        keys: keys.clone(),
        asked: Mutex::default(),
    });
    let loaded = guarded(|| -> Result<_, ParquetError> {
        Ok(ArrowReaderMetadata::load(
            &input,
            options(retriever.clone())?,
        ))
    });
    let failed = match &loaded {
        Ok(Ok(metadata)) => {
            ask_for_columns(metadata, &retriever);
            None
        }
        Ok(Err(ParquetError::NYI(_))) => return Err(algorithm(path)),
        Ok(Err(_)) | Err(Damaged) => match watch.failed(path) {
            Some(error) => return Err(error),
            None => Some(SourceKeyError::Damaged),
        },
    };
    let asked = retriever.asked.lock().map(|asked| asked.clone());
    Ok(Look {
        asked: asked.unwrap_or_default(),
        failed,
    })
}

/// The one thing of encryption that the reader says it cannot do.
fn algorithm(path: &Path) -> SourceError {
    SourceError::Encrypted {
        path: path.into(),
        why: SourceKeyError::Algorithm,
    }
}

/// A column's key may not be asked for before its pages are read: where the footer is in clear
/// and statistics are not.
fn ask_for_columns(metadata: &ArrowReaderMetadata, retriever: &Retriever) {
    let groups = metadata.metadata().row_groups().iter();
    for column in groups.flat_map(|group| group.columns()) {
        if let Some(ColumnCryptoMetaData::ENCRYPTION_WITH_COLUMN_KEY(key)) =
            column.crypto_metadata()
        {
            // What is not there is remembered: that is all that is wanted.
            let _ = retriever.retrieve_key(key.key_metadata.as_deref().unwrap_or_default());
        }
    }
}

/// Whether any column of a file that was opened without keys is encrypted.
pub(crate) fn has_locked_columns(metadata: &ParquetMetaData) -> bool {
    let groups = metadata.row_groups().iter();
    let mut columns = groups.flat_map(|group| group.columns());
    columns.any(|column| column.crypto_metadata().is_some())
}
