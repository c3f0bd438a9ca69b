//! The labelled bytes that bind ciphertext to its place.

use incamera_keys::DataKey;
use incamera_types::{
    AgreementId, ColumnName, ConsentClass, DatasetName, Digest, FileId, KeyCommitment, PurposeName,
    Transcript,
};

use crate::ring::PurposeSlot;

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
    /// Which purpose key wraps it.
    pub(crate) fn slot(&self) -> PurposeSlot {
        PurposeSlot {
            agreement_id: *self.agreement_id,
            dataset: self.dataset.clone(),
            key_epoch: self.key_epoch,
            purpose: self.purpose.clone(),
        }
    }

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

/// The associated data of a wrap for a file that another tool encrypts.
pub(crate) fn source_wrap_aad(
    agreement_id: &AgreementId,
    dataset: &DatasetName,
    master_key_id: &str,
) -> Vec<u8> {
    Labelled::new(crate::keytools::SOURCE_WRAP)
        .field(agreement_id.as_bytes())
        .field(dataset.as_str())
        .field(master_key_id)
        .0
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

#[cfg(test)]
mod tests {
    use super::*;
    use incamera_types::AgreementDigest;

    fn id(text: &str) -> AgreementId {
        AgreementDigest::of_file(text.as_bytes()).into()
    }

    /// Purpose keys differ too, so a wrap under the wrong place fails twice over; this is the
    /// half that the wraps' own tests cannot see.
    #[test]
    fn i3_every_field_of_a_place_is_bound() {
        let (agreements, files) = (
            [id("a"), id("b")],
            [[1; 16], [2; 16]].map(FileId::from_bytes),
        );
        let datasets: [DatasetName; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        let columns: [ColumnName; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        let purposes: [PurposeName; 2] = ["a", "b"].map(|name| name.parse().unwrap());
        let aad = |bits: [usize; 4], key_epoch, column: Option<&ColumnName>| {
            WrapPlace {
                agreement_id: &agreements[bits[0]],
                dataset: &datasets[bits[1]],
                key_epoch,
                file_id: &files[bits[2]],
                column,
                purpose: &purposes[bits[3]],
            }
            .aad()
        };
        let all = [
            aad([0; 4], 1, Some(&columns[0])),
            aad([1, 0, 0, 0], 1, Some(&columns[0])),
            aad([0, 1, 0, 0], 1, Some(&columns[0])),
            aad([0, 0, 1, 0], 1, Some(&columns[0])),
            aad([0, 0, 0, 1], 1, Some(&columns[0])),
            aad([0; 4], 2, Some(&columns[0])),
            aad([0; 4], 1, Some(&columns[1])),
            aad([0; 4], 1, None),
        ];
        let distinct: std::collections::BTreeSet<&Vec<u8>> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn every_field_of_a_part_is_bound() {
        let class: ConsentClass = std::iter::once("ads".parse().unwrap()).collect();
        let none = ConsentClass::default();
        let (a, b): (DatasetName, DatasetName) = ("a".parse().unwrap(), "b".parse().unwrap());
        let (f, g) = (FileId::from_bytes([1; 16]), FileId::from_bytes([2; 16]));
        let all = [
            part_aad(&id("a"), &a, &f, 1, &class),
            part_aad(&id("b"), &a, &f, 1, &class),
            part_aad(&id("a"), &b, &f, 1, &class),
            part_aad(&id("a"), &a, &g, 1, &class),
            part_aad(&id("a"), &a, &f, 2, &class),
            part_aad(&id("a"), &a, &f, 1, &none),
        ];
        let distinct: std::collections::BTreeSet<&Vec<u8>> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }

    #[test]
    fn a_commitment_fits_one_key_of_one_column_of_one_file() {
        let column: ColumnName = "a".parse().unwrap();
        let (f, g) = (FileId::from_bytes([1; 16]), FileId::from_bytes([2; 16]));
        let (key, other) = (DataKey::from_bytes([3; 32]), DataKey::from_bytes([4; 32]));
        let all = [
            key_commitment(&f, Some(&column), &key),
            key_commitment(&g, Some(&column), &key),
            key_commitment(&f, None, &key),
            key_commitment(&f, Some(&column), &other),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
