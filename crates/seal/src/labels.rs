//! The labelled bytes that bind ciphertext to its place.

use incamera_keys::DataKey;
use incamera_types::{
    AgreementId, ColumnName, ConsentClass, DatasetName, Digest, FileId, KeyCommitment, PurposeName,
    Transcript,
};

/// A label and length-prefixed fields, readable by anyone: the encoding of
/// [`Transcript`], not hashed.
struct Labelled(Vec<u8>);

impl Labelled {
    fn new(label: &str) -> Self {
        Self(Vec::new()).field(label)
    }
    fn field(mut self, bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref();
        self.0.extend((bytes.len() as u64).to_be_bytes());
        self.0.extend(bytes);
        self
    }
}

/// A column, or the footer: an empty text.
fn column_text(column: Option<&ColumnName>) -> &str {
    column.map_or("", ColumnName::as_str)
}

/// The AAD prefix of a part: it goes into every page.
pub(crate) fn part_aad(
    agreement_id: &AgreementId,
    dataset: &DatasetName,
    file_id: &FileId,
    version: u64,
    class: &ConsentClass,
) -> Vec<u8> {
    Labelled::new("incamera-part/1")
        .field(agreement_id.as_bytes())
        .field(dataset.as_str())
        .field(file_id.as_bytes())
        .field(version.to_be_bytes())
        .field(class.to_string())
        .0
}

/// Where a wrap belongs.
pub(crate) struct WrapPlace<'a> {
    pub(crate) agreement_id: &'a AgreementId,
    pub(crate) dataset: &'a DatasetName,
    pub(crate) key_epoch: u32,
    pub(crate) file_id: &'a FileId,
    pub(crate) column: Option<&'a ColumnName>,
    pub(crate) purpose: &'a PurposeName,
}

impl WrapPlace<'_> {
    /// The associated data of the wrap.
    pub(crate) fn aad(&self) -> Vec<u8> {
        Labelled::new("incamera-wrap/1")
            .field(self.agreement_id.as_bytes())
            .field(self.dataset.as_str())
            .field(self.key_epoch.to_be_bytes())
            .field(self.file_id.as_bytes())
            .field(column_text(self.column))
            .field(self.purpose.as_str())
            .0
    }
}

/// What the manifest says of a data key: hides it, and fits no other.
pub(crate) fn key_commitment(
    file_id: &FileId,
    column: Option<&ColumnName>,
    key: &DataKey,
) -> KeyCommitment {
    Transcript::new("incamera-key-commitment/1")
        .field(file_id.as_bytes())
        .field(column_text(column))
        .field(key.expose())
        .finish()
}
