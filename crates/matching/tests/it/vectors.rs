//! How ids are written, and files of vectors, made by the independent scripts beside them.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use incamera_matching::{MatchError, ids};
use incamera_types::{IdForm, IdRules, IdWriting, Pseudonym};
use rand_core::{Infallible, TryCryptoRng, TryRng};

fn normaliser(kind: &str, writing: &IdWriting) -> ids::Normaliser {
    ids::Normaliser::of(&kind.parse().unwrap(), writing).unwrap()
}

/// Gives one byte for ever.
pub struct Constant(pub u8);

impl TryRng for Constant {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_be_bytes([self.0; 4]))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_be_bytes([self.0; 8]))
    }
    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(self.0);
        Ok(())
    }
}
impl TryCryptoRng for Constant {}

/// A vector: its header, and the messages with their directions.
pub struct Vector {
    header: Vec<(String, String)>,
    pub messages: VecDeque<(bool, Vec<u8>)>,
}

impl Vector {
    pub fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let (header, body) = text.split_once("\n\n").unwrap();
        let pair = |line: &str| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_owned(), value.to_owned())
        };
        let message = |line: &str| {
            let (direction, bytes) = line.split_at(1);
            (direction == ">", hex::decode(bytes.trim()).unwrap())
        };
        Self {
            header: header.lines().map(pair).collect(),
            messages: body.lines().map(message).collect(),
        }
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = self.header.iter().filter(|(n, _)| n == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub fn one(&self, name: &str) -> &str {
        self.all(name)[0]
    }

    pub fn pairs(&self, name: &str) -> Vec<(String, Pseudonym)> {
        let pair = |text: &str| {
            let (id, pseudonym) = text.rsplit_once(' ').unwrap();
            let bytes = hex::decode(pseudonym).unwrap().try_into().unwrap();
            (id.to_owned(), Pseudonym::from_bytes(bytes))
        };
        self.all(name).into_iter().map(pair).collect()
    }
}

/// The error's names, from outside to inside: `PeerMisbehaved::BadPoint::Identity`.
pub fn name(error: &MatchError) -> String {
    let word = |debug: String| debug.split([' ', '(', '{']).next().unwrap().to_owned();
    let outer = word(format!("{error:?}"));
    match error {
        MatchError::PeerMisbehaved { source, .. } => match source {
            incamera_matching::Misbehaviour::BadPoint { fault, .. } => {
                format!("{outer}::BadPoint::{fault:?}")
            }
            other => format!("{outer}::{}", word(format!("{other:?}"))),
        },
        MatchError::PeerIncompatible { source, .. } => {
            format!("{outer}::{}", word(format!("{source:?}")))
        }
        _ => outer,
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/v1")
}

#[test]
fn every_id_vector() {
    let text = std::fs::read_to_string(folder().join("ids.txt")).unwrap();
    let (_, body) = text.split_once("\n\n").unwrap();
    let unhex = |word: &str| String::from_utf8(hex::decode(word).unwrap()).unwrap();
    let mut checked = 0;
    for line in body.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let raw = if words[1] == "-" {
            String::new()
        } else {
            unhex(words[1])
        };
        let normaliser = normaliser(words[0], &IdWriting::default());
        let mut id = String::new();
        let found = normaliser.normalise(&raw, &mut id).map(str::to_owned);
        let wanted = match words[2] {
            "empty" => Err(ids::IdFault::Empty),
            "invalid" => Err(ids::IdFault::Invalid),
            _ => Ok(unhex(words[3])),
        };
        assert_eq!(found, wanted, "{line}");
        checked += 1;
    }
    assert_eq!(checked, 40);
}

/// Rules 2, of a region or of none.
fn published(region: &str) -> IdWriting {
    IdWriting {
        rules: IdRules::Published,
        region: (region != "-").then(|| region.parse().unwrap()),
        ..IdWriting::default()
    }
}

/// The rows of a file of `vectors/ids2`.
fn rows(file: &str) -> Vec<Vec<String>> {
    let path = folder().join("../ids2").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let (_, body) = text.split_once("\n\n").unwrap();
    let row = |line: &str| line.split('|').map(str::to_owned).collect();
    body.lines().map(row).collect()
}

/// The examples of UID2's documentation: the id, its hash, and the hash as base64.
#[test]
fn every_published_id() {
    let rows = rows("published.txt");
    for row in &rows {
        let [kind, region, raw, id, hash, base64] = row.as_slice() else {
            panic!("{row:?}")
        };
        let given = |kind: &str, text: &str| {
            let writing = IdWriting {
                hashed: true,
                form: IdForm::Sha256,
                ..published("-")
            };
            normaliser(kind, &writing).normalised(text)
        };
        let hashing = |kind: &str| {
            let writing = IdWriting {
                hashed: true,
                ..published(region)
            };
            normaliser(kind, &writing).normalised(raw)
        };
        if let Some(kind) = kind.strip_prefix("wrong ") {
            assert_ne!(given(kind, base64), hashing(kind), "{raw}");
            continue;
        }
        let found = normaliser(kind, &published(region)).normalised(raw);
        assert_eq!(found.as_ref(), Some(id), "{raw}");
        if hash != "-" {
            assert_eq!(hashing(kind).as_ref(), Some(hash), "{raw}");
            assert_eq!(given(kind, hash).as_ref(), Some(hash), "{raw}");
            assert_eq!(given(kind, base64).as_ref(), Some(hash), "{raw}");
        }
    }
    assert_eq!(rows.len(), 18);
}

/// Addresses as they come out of files, as the script beside the oracles reads them.
#[test]
fn every_address_of_the_twin() {
    let path = folder().join("../ids2/emails.txt");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, body) = text.split_once("\n\n").unwrap();
    let unhex = |word: &str| String::from_utf8(hex::decode(word).unwrap()).unwrap();
    let email = normaliser("email", &published("-"));
    let mut id = String::new();
    let (mut read, mut refused) = (0, 0);
    for line in body.lines() {
        let (raw, wanted) = line.split_once(' ').unwrap();
        let raw = if raw == "-" {
            String::new()
        } else {
            unhex(raw)
        };
        let found = email.normalise(&raw, &mut id).map(str::to_owned);
        match wanted {
            "empty" => assert_eq!(found, Err(ids::IdFault::Empty)),
            "invalid" => assert_eq!(found, Err(ids::IdFault::Invalid), "{raw:?}"),
            _ => assert_eq!(found, Ok(unhex(wanted)), "{raw:?}"),
        }
        *(if wanted == "invalid" {
            &mut refused
        } else {
            &mut read
        }) += 1;
    }
    assert!(read > 100 && refused > 150, "{read} {refused}");
}

/// Phone numbers of all regions, as another port of libphonenumber reads them.
#[test]
fn every_phone_number_of_the_twin() {
    let mut regions = std::collections::BTreeMap::new();
    let rows = rows("phones.txt");
    let mut differing = Vec::new();
    for row in &rows {
        let [region, raw, wanted] = row.as_slice() else {
            panic!("{row:?}")
        };
        let normaliser = regions
            .entry(region)
            .or_insert_with(|| normaliser("phone", &published(region)));
        let found = normaliser.normalised(raw).unwrap_or_else(|| "-".to_owned());
        if found != *wanted {
            differing.push(format!("{region} {raw}: {wanted}, here {found}"));
        }
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    assert!(rows.len() > 3_000 && regions.len() > 240);
}
