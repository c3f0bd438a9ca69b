//! Reading a world's files as their owners would.

use std::fs;
use std::path::{Path, PathBuf};

use incamera_agreement::{SignedAgreement, files};
use incamera_keys::{ReceiveKey, SigningKey};
use incamera_release::{Address, Receiver, SealedAnswerError, open_answer};
use incamera_seal::{
    Crosswalk, KeyRing, MANIFEST_FILE, MatchingSlot, SignedManifest, open_manifest,
    read_manifest_file,
};
use incamera_types::PurposeName;
use incamera_wire::v1::{ReleaseFile, SealedAnswer};
use secrecy::SecretString;

use crate::world::AGREEMENT;

/// A folder that holds what a world holds: the world's own, or a copy.
pub struct Holdings<'a>(pub &'a Path);

impl Holdings<'_> {
    pub fn path(&self, relative: &str) -> PathBuf {
        self.0.join(relative)
    }

    pub fn agreement(&self) -> SignedAgreement {
        files::read_signed(&self.path(&format!("shop/agreements/{AGREEMENT}.toml"))).unwrap()
    }

    pub fn key(&self, relative: &str) -> SigningKey {
        let text = fs::read_to_string(self.path(relative)).unwrap();
        SigningKey::from_openssh(&text, None).unwrap()
    }

    /// A party's answer, opened with its key.
    pub fn opened(
        &self,
        party: &str,
        sealed: &SealedAnswer,
    ) -> Result<ReleaseFile, SealedAnswerError> {
        let key = fs::read_to_string(self.path(&format!("{party}/receive_key"))).unwrap();
        let key = ReceiveKey::from_text(&key).unwrap();
        let address = Address {
            receiver: Receiver::Party(party.parse().unwrap()),
            ..Address::claimed(sealed)?
        };
        open_answer(sealed, &key, &address, &self.agreement()).map(|(release, _)| release)
    }

    pub fn ring(&self, party: &str) -> KeyRing {
        let passphrase = fs::read_to_string(self.path(&format!("{party}/passphrase.txt"))).unwrap();
        let passphrase = SecretString::from(passphrase.trim_end().to_owned());
        KeyRing::open(&self.path(&format!("{party}/ring.age")), &passphrase).unwrap()
    }

    /// The folder of a party's sealed data set.
    pub fn sealed(&self, party: &str, dataset: &str) -> PathBuf {
        only_entry(&self.path(&format!("{party}/sealed"))).join(dataset)
    }

    pub fn manifest(&self, party: &str, dataset: &str) -> SignedManifest {
        let signed = read_manifest_file(&self.sealed(party, dataset).join(MANIFEST_FILE)).unwrap();
        let key = self.key(&format!("{party}/service_key")).public();
        open_manifest(&signed, &key).unwrap()
    }

    pub fn crosswalk(&self, party: &str) -> Crosswalk {
        Crosswalk::read(&only_entry(&self.path(&format!("{party}/crosswalks")))).unwrap()
    }

    pub fn matching_slot(&self) -> MatchingSlot {
        let agreement = self.agreement();
        MatchingSlot {
            agreement_id: agreement.id,
            epoch: agreement.matching.epoch,
            id_kind: "email".parse().unwrap(),
            method: "commutative".into(),
            reveals: agreement.matching.reveals.to_string(),
        }
    }
}

/// The one entry of a folder.
pub fn only_entry(folder: &Path) -> PathBuf {
    let entries: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(entries.len(), 1, "{}", folder.display());
    entries[0].clone()
}

/// Every file below a folder.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else {
            files.push(path);
        }
    }
    files.sort();
    files
}

pub fn copy_folder(from: &Path, to: &Path) {
    for file in files_below(from) {
        let target = to.join(file.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(&file, target).unwrap();
    }
}

pub fn purpose(name: &str) -> PurposeName {
    name.parse().unwrap()
}
