//! The JSON document that other tools put beside an encrypted key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::reference::KeyReference;

/// The largest key metadata that is read; other tools write some 500 bytes.
pub const MAX_METADATA_BYTES: usize = 4096;

/// The one type of key material there is.
const PKMT1: &str = "PKMT1";
/// Who keeps the keys, for programs that ask before they know of our client.
const KMS_INSTANCE: &str = "incamera-ring";
/// Where the keys are, likewise: the endpoint's address is no part of a file.
const KMS_URL: &str = "local";

/// Why key metadata is not taken. Never holds a byte of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MaterialError {
    /// Longer than any may be, or not a document of the convention.
    #[error("what it says of its keys does not read")]
    Form,
    /// Another type of key material.
    #[error(
        "its key material is of a type that is not known: a newer version of incamera may read it"
    )]
    Type,
    /// The material lies in a file of its own.
    #[error(
        "its key material lies in a file of its own: write it with `internal_key_material=True`"
    )]
    External,
}

/// Key material inside a file. Other tools' fields that we need none of are passed over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    key_material_type: &'a str,
    internal_storage: bool,
    is_footer_key: bool,
    #[serde(rename = "kmsInstanceID", skip_serializing_if = "Option::is_none")]
    kms_instance_id: Option<&'a str>,
    #[serde(rename = "kmsInstanceURL", skip_serializing_if = "Option::is_none")]
    kms_instance_url: Option<&'a str>,
    #[serde(rename = "masterKeyID")]
    master_key_id: &'a str,
    #[serde(rename = "wrappedDEK")]
    wrapped_dek: &'a str,
    double_wrapping: bool,
}

/// The key metadata of one key of a sealed part.
pub(crate) fn key_metadata(reference: &KeyReference) -> Vec<u8> {
    let footer = reference.column.is_none();
    let document = Document {
        key_material_type: PKMT1,
        internal_storage: true,
        is_footer_key: footer,
        kms_instance_id: footer.then_some(KMS_INSTANCE),
        kms_instance_url: footer.then_some(KMS_URL),
        master_key_id: reference.dataset.as_str(),
        wrapped_dek: &reference.to_base64(),
        double_wrapping: false,
    };
    // INVARIANT: texts and truth values always become JSON.
    serde_json::to_vec(&document).unwrap_or_default()
}

/// What a file of another program says of one of its keys.
pub(super) struct Material {
    /// Under what the outermost wrap was made.
    pub(super) master_key_id: String,
    /// The data key's wrap: by the key management, or by the key in between.
    pub(super) wrapped_dek: String,
    /// The key in between, where there is one.
    pub(super) between: Option<Between>,
}

/// The key between master key and data key.
pub(super) struct Between {
    /// Its random name, which the inner wrap binds.
    pub(super) id: Vec<u8>,
    /// Its wrap by the key management.
    pub(super) wrapped: String,
}

/// As others write it: more fields than these are passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Foreign {
    key_material_type: String,
    internal_storage: bool,
    #[serde(rename = "masterKeyID")]
    master_key_id: Option<String>,
    #[serde(rename = "wrappedDEK")]
    wrapped_dek: Option<String>,
    #[serde(default)]
    double_wrapping: bool,
    #[serde(rename = "keyEncryptionKeyID")]
    kek_id: Option<String>,
    #[serde(rename = "wrappedKEK")]
    wrapped_kek: Option<String>,
}

impl Material {
    /// Reads the key metadata of a file.
    pub(super) fn parse(metadata: &[u8]) -> Result<Self, MaterialError> {
        let form = || MaterialError::Form;
        if metadata.len() > MAX_METADATA_BYTES {
            return Err(MaterialError::Form);
        }
        let found: Foreign = serde_json::from_slice(metadata).map_err(|_| form())?;
        if found.key_material_type != PKMT1 {
            return Err(MaterialError::Type);
        }
        if !found.internal_storage {
            return Err(MaterialError::External);
        }
        let between = match found.double_wrapping {
            true => Some(Between {
                id: STANDARD
                    .decode(found.kek_id.ok_or_else(form)?)
                    .map_err(|_| form())?,
                wrapped: found.wrapped_kek.ok_or_else(form)?,
            }),
            false => None,
        };
        Ok(Self {
            master_key_id: found.master_key_id.ok_or_else(form)?,
            wrapped_dek: found.wrapped_dek.ok_or_else(form)?,
            between,
        })
    }
}

/// Reads key metadata as sealing an encrypted file would, and keeps nothing.
///
/// # Errors
/// [`MaterialError`].
pub fn check_metadata(metadata: &[u8]) -> Result<(), MaterialError> {
    Material::parse(metadata).map(drop)
}

#[cfg(test)]
mod tests {
    use incamera_types::{AgreementDigest, FileId};

    use super::*;

    fn reference(column: Option<&str>) -> KeyReference {
        KeyReference {
            agreement_id: AgreementDigest::of_file(b"an agreement").into(),
            dataset: "purchases".parse().unwrap(),
            file_id: FileId::from_bytes([7; 16]),
            column: column.map(|name| name.parse().unwrap()),
        }
    }

    /// Byte for byte: other programs read it, and it goes into files.
    #[test]
    fn what_a_part_says_of_its_keys() {
        let footer = String::from_utf8(key_metadata(&reference(None))).unwrap();
        let wrapped = reference(None).to_base64();
        assert_eq!(
            footer,
            format!(
                r#"{{"keyMaterialType":"PKMT1","internalStorage":true,"isFooterKey":true,"kmsInstanceID":"incamera-ring","kmsInstanceURL":"local","masterKeyID":"purchases","wrappedDEK":"{wrapped}","doubleWrapping":false}}"#
            )
        );
        let column = String::from_utf8(key_metadata(&reference(Some("amount")))).unwrap();
        assert!(!column.contains("kmsInstance"), "{column}");
        assert!(column.contains(r#""isFooterKey":false"#), "{column}");
        for metadata in [footer, column] {
            let read = Material::parse(metadata.as_bytes()).unwrap();
            assert!(KeyReference::from_base64(&read.wrapped_dek).is_ok());
            assert!(read.between.is_none() && read.master_key_id == "purchases");
        }
    }

    #[test]
    fn other_documents_are_told_apart() {
        let parse = |text: &str| Material::parse(text.as_bytes()).err();
        let good = r#"{"keyMaterialType":"PKMT1","internalStorage":true,"masterKeyID":"a","wrappedDEK":"b","doubleWrapping":true,"keyEncryptionKeyID":"AAAA","wrappedKEK":"c","more":[1]}"#;
        assert_eq!(parse(good), None);
        for (from, to, error) in [
            ("PKMT1", "PKMT2", MaterialError::Type),
            (
                "\"internalStorage\":true",
                "\"internalStorage\":false",
                MaterialError::External,
            ),
            ("AAAA", "not base64", MaterialError::Form),
            ("wrappedKEK", "wrappedXYZ", MaterialError::Form),
            ("wrappedDEK", "wrappedXYZ", MaterialError::Form),
            ("masterKeyID", "other", MaterialError::Form),
            ("true", "1", MaterialError::Form),
            ("[1]", "[1", MaterialError::Form),
        ] {
            assert_eq!(parse(&good.replace(from, to)), Some(error), "{from}");
        }
        let long = good.replace("[1]", &format!("\"{}\"", "a".repeat(MAX_METADATA_BYTES)));
        assert_eq!(parse(&long), Some(MaterialError::Form));
        assert_eq!(parse(""), Some(MaterialError::Form));
        assert_eq!(parse("footer"), Some(MaterialError::Form));
    }
}
