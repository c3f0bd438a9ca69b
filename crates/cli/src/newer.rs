//! Versions of an agreement that lie beside one another.

use std::collections::BTreeMap;
use std::path::Path;

use incamera_agreement::{Agreement, files};

use crate::folder::agreement_files;

/// The newest later version of the agreement in the same folder that all have signed, with the
/// keys that this one names: it took the place of the one in `path`. Whoever writes a file can
/// sign it with keys of its own choosing, so one with other keys says nothing here; a party's
/// service, which knows its own, does.
pub fn beside(path: &Path, agreement: &Agreement) -> Option<u64> {
    let folder = path.parent()?;
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let others = agreement_files(folder).ok()?.into_iter();
    let signed = others.filter_map(|other| files::read_signed(&other).ok());
    let later = signed.filter(|other| continues(agreement, other.agreement()));
    later.map(|other| other.agreement().version).max()
}

/// Whether `other` is a later version of `agreement`, signed with the same keys.
fn continues(agreement: &Agreement, other: &Agreement) -> bool {
    let keys = |agreement: &Agreement| {
        let parties = agreement.parties.iter();
        let keys = parties.map(|(name, party)| (name.clone(), party.signs));
        keys.collect::<BTreeMap<_, _>>()
    };
    let next = agreement.version.checked_add(1) == Some(other.version);
    other.id == agreement.id
        && other.version > agreement.version
        && keys(other) == keys(agreement)
        && (!next || other.follows == Some(agreement.digest))
}

/// Why a version opens nothing once there is a later one.
pub fn why(version: u64) -> String {
    format!("version {version} of it lies beside it, signed by all, and took its place")
}

#[cfg(test)]
mod tests {
    use incamera_keys::SigningKey;

    use super::*;

    const TEXT: &str = include_str!("../../release/tests/it/agreement.toml");

    fn key() -> String {
        SigningKey::generate(&mut rand::rng()).public().to_string()
    }

    /// The agreement of a text in which `{name}` stands for keys.
    fn agreement(head: &str, keys: &[(&str, String)]) -> Agreement {
        let mut text = TEXT.replacen("version = 1", head, 1);
        for (name, key) in keys {
            text = text.replace(&format!("{{{name}}}"), key);
        }
        Agreement::parse(text.as_bytes()).unwrap()
    }

    /// Anybody can write a later version and sign it for all with keys of its own choosing.
    #[test]
    fn a_later_version_with_other_keys_replaces_nothing() {
        let names = [
            "shop_signs",
            "mailer_signs",
            "shop_service",
            "mailer_service",
            "sam",
            "ana",
        ];
        let mut keys: Vec<_> = names.map(|name| (name, key())).into();
        keys.push(("measurement", "11".repeat(32)));
        keys.push(("other_measurement", "22".repeat(32)));
        let first = agreement("version = 1", &keys);
        let next = |version: u64, follows: &str| {
            let id = first.id;
            format!("version = {version}\nid = \"{id}\"\nfollows = \"{follows}\"")
        };
        let digest = first.digest.to_string();
        assert!(continues(&first, &agreement(&next(2, &digest), &keys)));
        assert!(!continues(
            &first,
            &agreement(&next(2, &"33".repeat(32)), &keys)
        ));
        assert!(continues(
            &first,
            &agreement(&next(9, &"33".repeat(32)), &keys)
        ));
        keys[0].1 = key();
        assert!(!continues(&first, &agreement(&next(2, &digest), &keys)));
        assert!(!continues(&first, &agreement(&next(9, &digest), &keys)));
    }
}
