//! What this party has approved: proposals in its `agreements` folder with its own signature
//! beside them. Taking the signature away takes the approval back, whoever else has a copy.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use incamera_agreement::{APPROVED_NAMESPACE, files};
use incamera_keys::PublicKey;
use incamera_types::limits::MAX_PROPOSAL_BYTES;
use incamera_types::{PartyName, ProposalDigest};

/// The files of a folder that end in `.proposal`, in order of name.
#[must_use]
pub fn proposal_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "proposal"))
        .collect();
    paths.sort();
    paths
}

/// The proposals of a folder that the party `me` has signed with its own key.
pub(crate) fn approved(
    folder: &Path,
    me: &PartyName,
    signs: &PublicKey,
) -> BTreeSet<ProposalDigest> {
    let files = proposal_files(folder).into_iter();
    files.filter_map(|path| one(&path, me, signs)).collect()
}

fn one(path: &Path, me: &PartyName, signs: &PublicKey) -> Option<ProposalDigest> {
    let unread = |error: &files::FileError| {
        tracing::warn!(file = %path.display(), %error, "a proposal was not read");
    };
    let signature = files::read_signature(&files::signature_path(path, me));
    let signature = signature.inspect_err(unread).ok()??;
    let bytes = files::read_bytes(path, MAX_PROPOSAL_BYTES);
    let bytes = bytes.inspect_err(unread).ok()?;
    match signs.verify(APPROVED_NAMESPACE, &bytes, &signature) {
        Ok(()) => Some(ProposalDigest::of_file(&bytes)),
        Err(why) => {
            tracing::warn!(file = %path.display(), %why, "a proposal is not approved: its signature is not ours over this file");
            None
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use incamera_keys::SigningKey;

    use super::*;

    /// The own key, over the very file, for this use; and gone when the signature is.
    #[test]
    fn i4_only_what_lies_there_with_the_own_signature_is_approved() {
        let folder = tempfile::tempdir().unwrap();
        let (me, own, other): (PartyName, _, _) = (
            "shop".parse().unwrap(),
            SigningKey::from_seed(&[1; 32]),
            SigningKey::from_seed(&[2; 32]),
        );
        let look = || approved(folder.path(), &me, &own.public());
        let file = folder.path().join("reach.proposal");
        let signature = files::signature_path(&file, &me);
        std::fs::write(&file, "a proposal").unwrap();
        assert!(look().is_empty(), "nobody signed it");
        let sign = |key: &SigningKey, namespace: &str, text: &str| {
            let made = key.sign(namespace, text.as_bytes()).unwrap();
            std::fs::write(&signature, made.to_armor()).unwrap();
        };
        sign(&other, APPROVED_NAMESPACE, "a proposal");
        assert!(look().is_empty(), "another's signature");
        sign(&own, "incamera-agreement", "a proposal");
        assert!(look().is_empty(), "for another use");
        sign(&own, APPROVED_NAMESPACE, "another proposal");
        assert!(look().is_empty(), "over another text");
        std::fs::write(&signature, "no signature").unwrap();
        assert!(look().is_empty());
        sign(&own, APPROVED_NAMESPACE, "a proposal");
        assert_eq!(look(), [ProposalDigest::of_file(b"a proposal")].into());
        // Another file's name changes nothing; another party's signature does not count.
        let renamed = folder.path().join("reach.text");
        std::fs::rename(&file, &renamed).unwrap();
        assert!(look().is_empty());
        std::fs::rename(&renamed, &file).unwrap();
        assert_eq!(look().len(), 1);
        std::fs::remove_file(&signature).unwrap();
        assert!(look().is_empty(), "taken back");
        assert!(approved(&folder.path().join("none"), &me, &own.public()).is_empty());
    }
}
