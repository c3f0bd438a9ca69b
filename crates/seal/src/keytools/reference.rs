//! Where a key of a sealed part is found: a name, never a wrap.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use incamera_types::{AgreementId, ColumnName, DatasetName, FileId};

/// Name and version of the format.
const KEY_REFERENCE: &str = "incamera-key-reference/1";

/// The longest reference, in bytes: names have at most 63.
const MAX_BYTES: usize = 512;

/// What stands for the footer's key.
const FOOTER: &str = "footer";
/// What stands before a column's name.
const COLUMN: &str = "column";

/// A text is not a key reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no key reference of a sealed part")]
pub struct ReferenceError;

/// A key of a sealed part, by name: `incamera-key-reference/1 AGREEMENT DATASET FILE footer`,
/// or `... column NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyReference {
    /// The agreement's id.
    pub agreement_id: AgreementId,
    /// The data set.
    pub dataset: DatasetName,
    /// The part.
    pub file_id: FileId,
    /// The column; none for the footer.
    pub column: Option<ColumnName>,
}

impl KeyReference {
    /// The reference as it stands in a file, where other programs put a wrapped key.
    #[must_use]
    pub fn to_base64(&self) -> String {
        STANDARD.encode(self.to_string())
    }

    /// Reads what stands in a file.
    ///
    /// # Errors
    /// [`ReferenceError`]; there is one way to write a reference.
    pub fn from_base64(text: &str) -> Result<Self, ReferenceError> {
        if text.len() > 2 * MAX_BYTES {
            return Err(ReferenceError);
        }
        let bytes = STANDARD.decode(text).map_err(|_| ReferenceError)?;
        let text = std::str::from_utf8(&bytes).map_err(|_| ReferenceError)?;
        text.parse()
    }
}

impl fmt::Display for KeyReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            agreement_id,
            dataset,
            file_id,
            column,
        } = self;
        write!(f, "{KEY_REFERENCE} {agreement_id} {dataset} {file_id} ")?;
        match column {
            Some(column) => write!(f, "{COLUMN} {column}"),
            None => f.write_str(FOOTER),
        }
    }
}

impl FromStr for KeyReference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let words: Vec<&str> = text.split(' ').take(7).collect();
        let (agreement_id, dataset, file_id, column) = match words.as_slice() {
            [KEY_REFERENCE, agreement_id, dataset, file_id, FOOTER] => {
                (agreement_id, dataset, file_id, None)
            }
            [KEY_REFERENCE, agreement_id, dataset, file_id, COLUMN, name] => {
                (agreement_id, dataset, file_id, Some(name))
            }
            _ => return Err(ReferenceError),
        };
        let mut bytes = [0; FileId::BYTES];
        hex::decode_to_slice(file_id, &mut bytes).map_err(|_| ReferenceError)?;
        let reference = Self {
            agreement_id: agreement_id.parse().map_err(|_| ReferenceError)?,
            dataset: dataset.parse().map_err(|_| ReferenceError)?,
            file_id: FileId::from_bytes(bytes),
            column: column
                .map(|name| name.parse())
                .transpose()
                .map_err(|_| ReferenceError)?,
        };
        // Hexadecimal may be written in two ways.
        match reference.to_string() == text {
            true => Ok(reference),
            false => Err(ReferenceError),
        }
    }
}

#[cfg(test)]
mod tests {
    use incamera_types::AgreementDigest;

    use super::*;

    fn reference(column: Option<&str>) -> KeyReference {
        KeyReference {
            agreement_id: AgreementDigest::of_file(b"an agreement").into(),
            dataset: "purchases".parse().unwrap(),
            file_id: FileId::from_bytes([0xab; 16]),
            column: column.map(|name| name.parse().unwrap()),
        }
    }

    #[test]
    fn it_reads_as_it_is_written_and_in_no_other_way() {
        // A column may have any name, that of the footer's mark among them.
        for column in [None, Some("amount"), Some("footer"), Some("column")] {
            let one = reference(column);
            assert_eq!(KeyReference::from_base64(&one.to_base64()), Ok(one.clone()));
            let text = one.to_string();
            for cut in 0..text.len() {
                assert_ne!(text[..cut].parse().ok().as_ref(), Some(&one));
            }
            for other in [
                text.to_uppercase(),
                text.replace("abab", "ABab"),
                format!("{text} more"),
                format!(" {text}"),
                text.replace("/1", "/2"),
            ] {
                assert_eq!(
                    other.parse::<KeyReference>(),
                    Err(ReferenceError),
                    "{other}"
                );
            }
        }
        let long = "A".repeat(2 * MAX_BYTES + 4);
        assert_eq!(KeyReference::from_base64(&long), Err(ReferenceError));
    }
}
