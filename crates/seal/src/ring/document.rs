//! The document inside a ring's file, and what it means.

use std::collections::BTreeMap;
use std::path::Path;

use incamera_keys::{MatchingKey, SeedKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::backend::{KeptKey, PurposeSlot};
use super::error::RingError;
use super::{MatchingSecret, MatchingSlot};

/// Name and version of the document that holds its purpose keys.
pub const RING_FORMAT: &str = "incamera-ring/2";

/// Name and version of the document, and of the file around it, whose purpose keys lie in a
/// PKCS#11 token.
pub const TOKEN_RING_FORMAT: &str = "incamera-token-ring/1";

/// The version before recovery recipients.
const RING_FORMAT_1: &str = "incamera-ring/1";

/// What a ring holds, in memory.
pub(super) struct Contents {
    pub(super) seed_key: SeedKey,
    pub(super) purposes: BTreeMap<PurposeSlot, KeptKey>,
    pub(super) matching: BTreeMap<MatchingSlot, MatchingSecret>,
    /// Public keys that the recovery file is written for.
    pub(super) recovery: Vec<String>,
}

impl Contents {
    pub(super) fn new(seed_key: SeedKey) -> Self {
        Self {
            seed_key,
            purposes: BTreeMap::new(),
            matching: BTreeMap::new(),
            recovery: Vec::new(),
        }
    }

    /// A second copy, made on purpose.
    pub(super) fn duplicate(&self) -> Self {
        let purpose =
            |(slot, key): (&PurposeSlot, &KeptKey)| (slot.clone(), KeptKey::new(key.expose()));
        let matching = |(slot, secret): (&MatchingSlot, &MatchingSecret)| {
            let key = MatchingKey::from_bytes(*secret.key.expose());
            (
                slot.clone(),
                MatchingSecret {
                    key,
                    runs: secret.runs,
                },
            )
        };
        Self {
            seed_key: SeedKey::from_bytes(*self.seed_key.expose()),
            purposes: self.purposes.iter().map(purpose).collect(),
            matching: self.matching.iter().map(matching).collect(),
            recovery: self.recovery.clone(),
        }
    }

    /// The document of `format`, as it is sealed.
    pub(super) fn to_json(&self, format: &str) -> serde_json::Result<Zeroizing<Vec<u8>>> {
        let hex = |bytes: &[u8]| HexKey(Zeroizing::new(bytes.to_vec()));
        let purpose = |(slot, key): (&PurposeSlot, &KeptKey)| PurposeEntry {
            slot: slot.clone(),
            key: hex(key.expose()),
        };
        let matching = |(slot, secret): (&MatchingSlot, &MatchingSecret)| MatchingEntry {
            slot: slot.clone(),
            runs: secret.runs,
            key: hex(secret.key.expose()),
        };
        let document = Document {
            format: format.to_owned(),
            seed_key: hex(self.seed_key.expose()),
            purpose_keys: self.purposes.iter().map(purpose).collect(),
            matching_secrets: self.matching.iter().map(matching).collect(),
            recovery: self.recovery.clone(),
            work_factor: None,
        };
        // Twice the room that hexadecimal keys take: a buffer that grows leaves copies behind.
        let mut json =
            Vec::with_capacity(4096 + 1024 * (self.purposes.len() + self.matching.len()));
        serde_json::to_writer(&mut json, &document)?;
        Ok(Zeroizing::new(json))
    }

    /// What a document of one of `formats`, or of a version before them, holds, and which.
    ///
    /// # Errors
    /// [`RingError::Version`] or [`RingError::Damaged`], about the file at `path`.
    pub(super) fn from_json(
        path: &Path,
        formats: &[&'static str],
        json: &[u8],
    ) -> Result<(Self, &'static str), RingError> {
        let damaged = || RingError::Damaged { path: path.into() };
        let version: Version = serde_json::from_slice(json).map_err(|_| damaged())?;
        let said = match version.format.as_str() {
            RING_FORMAT_1 => RING_FORMAT,
            other => other,
        };
        let Some(format) = formats.iter().find(|format| **format == said) else {
            return Err(RingError::Version {
                path: path.into(),
                found: shown(&version.format),
            });
        };
        let document: Document = serde_json::from_slice(json).map_err(|_| damaged())?;
        let contents = document.contents().ok_or_else(damaged)?;
        Ok((contents, format))
    }
}

/// What a file says it is, cut and without control characters.
pub(super) fn shown(format: &str) -> String {
    let printable = format.chars().filter(|c| !c.is_control());
    printable.take(64).collect()
}

/// The document as it is written: keys in hexadecimal.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    format: String,
    seed_key: HexKey,
    purpose_keys: Vec<PurposeEntry>,
    matching_secrets: Vec<MatchingEntry>,
    #[serde(default)]
    recovery: Vec<String>,
    /// Version 1 said here what the age header says.
    #[serde(default, skip_serializing)]
    #[expect(dead_code, reason = "read so that it is no unknown field")]
    work_factor: Option<u8>,
}

/// Just the format, so that another version is told from damage.
#[derive(Deserialize)]
struct Version {
    format: String,
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

impl Document {
    fn contents(self) -> Option<Contents> {
        let matching = |entry: MatchingEntry| {
            let key = MatchingKey::from_slice(&entry.key.0)?;
            let runs = entry.runs;
            Some((entry.slot, MatchingSecret { key, runs }))
        };
        let purpose = |entry: PurposeEntry| (entry.slot, KeptKey::new(&entry.key.0));
        Some(Contents {
            seed_key: SeedKey::from_slice(&self.seed_key.0)?,
            purposes: self.purpose_keys.into_iter().map(purpose).collect(),
            matching: self
                .matching_secrets
                .into_iter()
                .map(matching)
                .collect::<Option<_>>()?,
            recovery: self.recovery,
        })
    }
}

struct HexKey(Zeroizing<Vec<u8>>);

impl Serialize for HexKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&Zeroizing::new(hex::encode(self.0.as_slice())))
    }
}

impl<'de> Deserialize<'de> for HexKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let key = hex::decode(text.as_bytes())
            .map_err(|_| serde::de::Error::custom("a key is not one"))?;
        Ok(Self(Zeroizing::new(key)))
    }
}
