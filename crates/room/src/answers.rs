//! Sealed answers on the room's disk, until their receivers fetch them.
//!
//! Nothing here matters (invariant I9): each file is ciphertext to one receiver, and whoever
//! asks again, for nothing, has it made again.
//!
//! ```text
//! storage/.answers/REQUEST/PARTY   what one party alone opens; no data set has such a name
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use incamera_release::MAX_SEALED_BYTES;
use incamera_types::{PartyName, RequestDigest};
use incamera_wire::v1::SealedAnswer;
use incamera_wire::{decode, encode};

/// Requests whose answers are kept; of more, those that were answered last.
pub(crate) const MAX_REQUESTS: usize = 1_000;
/// Bytes of answers that are kept.
pub(crate) const MAX_BYTES: u64 = 1 << 30;

/// The folder of sealed answers.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    root: PathBuf,
}

/// The answers to one request.
struct Kept {
    folder: PathBuf,
    request: RequestDigest,
    since: SystemTime,
    bytes: u64,
}

impl Answers {
    /// In this folder, which need not be there yet.
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Keeps the answers to one request in the place of those that were kept for it before.
    pub(crate) fn keep(
        &self,
        request: &RequestDigest,
        sealed: &[(PartyName, SealedAnswer)],
    ) -> io::Result<()> {
        let folder = self.root.join(request.to_string());
        fs::create_dir_all(&folder)?;
        for (party, sealed) in sealed {
            // No party has a name with a dot in it.
            let temporary = folder.join(format!("{party}.new"));
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&encode(sealed))?;
            file.sync_all()?;
            fs::rename(temporary, folder.join(party.as_str()))?;
        }
        self.forget(request, MAX_REQUESTS, MAX_BYTES)
    }

    /// Removes the oldest beyond a number and a size, but never the one that is new.
    fn forget(&self, new: &RequestDigest, requests: usize, bytes: u64) -> io::Result<()> {
        let mut kept = self.all()?;
        kept.sort_by_key(|kept| std::cmp::Reverse((kept.request == *new, kept.since)));
        let mut sum = 0u64;
        for (at, kept) in kept.iter().enumerate() {
            sum = sum.saturating_add(kept.bytes);
            if at > 0 && (at >= requests || sum > bytes) {
                fs::remove_dir_all(&kept.folder)?;
            }
        }
        Ok(())
    }

    fn all(&self) -> io::Result<Vec<Kept>> {
        let entries = match fs::read_dir(&self.root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut all = Vec::new();
        for entry in entries {
            let folder = entry?.path();
            let name = folder.file_name().and_then(|name| name.to_str());
            let Some(request) = name.and_then(|name| name.parse().ok()) else {
                continue;
            };
            let mut kept = Kept {
                request,
                since: SystemTime::UNIX_EPOCH,
                bytes: 0,
                folder,
            };
            for file in fs::read_dir(&kept.folder)? {
                let about = file?.metadata()?;
                kept.bytes = kept.bytes.saturating_add(about.len());
                kept.since = kept.since.max(about.modified()?);
            }
            all.push(kept);
        }
        Ok(all)
    }

    /// Where the answers of one party lie, the newest first, without those that it has.
    pub(crate) fn of(
        &self,
        party: &PartyName,
        have: &BTreeSet<RequestDigest>,
    ) -> io::Result<Vec<PathBuf>> {
        let mut all = self.all()?;
        all.sort_by_key(|kept| std::cmp::Reverse(kept.since));
        let wanted = all.iter().filter(|kept| !have.contains(&kept.request));
        let paths = wanted.map(|kept| kept.folder.join(party.as_str()));
        Ok(paths.filter(|path| path.is_file()).collect())
    }

    /// One of them; none if it is gone or damaged: then the same question brings it back.
    pub(crate) fn read(path: &Path) -> Option<SealedAnswer> {
        let about = fs::metadata(path).ok()?;
        let small = about.len() <= MAX_SEALED_BYTES as u64;
        let bytes = small.then(|| fs::read(path).ok()).flatten()?;
        decode(&bytes, MAX_SEALED_BYTES).ok()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use incamera_types::Digest as _;

    use super::*;

    fn digest(byte: u8) -> RequestDigest {
        RequestDigest::from_bytes([byte; 32])
    }

    fn sealed(bytes: usize) -> SealedAnswer {
        SealedAnswer {
            ciphertext: vec![1; bytes],
            ..SealedAnswer::default()
        }
    }

    fn shop() -> PartyName {
        "shop".parse().unwrap()
    }

    #[test]
    fn a_party_finds_its_own_and_what_it_has_not() {
        let folder = tempfile::tempdir().unwrap();
        let answers = Answers::new(folder.path().join(".answers"));
        let mailer: PartyName = "mailer".parse().unwrap();
        assert!(answers.of(&shop(), &BTreeSet::new()).unwrap().is_empty());
        answers
            .keep(
                &digest(1),
                &[(shop(), sealed(1)), (mailer.clone(), sealed(2))],
            )
            .unwrap();
        answers
            .keep(&digest(2), &[(mailer.clone(), sealed(3))])
            .unwrap();
        let of = |party: &PartyName, have: &[u8]| {
            let have = have.iter().map(|byte| digest(*byte)).collect();
            let paths = answers.of(party, &have).unwrap();
            paths
                .iter()
                .map(|path| Answers::read(path).unwrap().ciphertext.len())
                .collect::<Vec<_>>()
        };
        let none: [usize; 0] = [];
        assert_eq!(of(&shop(), &[]), [1]);
        assert_eq!(of(&shop(), &[1]), none);
        assert_eq!(of(&mailer, &[1]), [3]);
        // The same request again: the newer one.
        answers.keep(&digest(1), &[(shop(), sealed(7))]).unwrap();
        assert_eq!(of(&shop(), &[]), [7]);
    }

    #[test]
    fn the_oldest_go_first_and_the_new_one_never() {
        let folder = tempfile::tempdir().unwrap();
        let answers = Answers::new(folder.path().to_owned());
        for byte in 1..=3 {
            answers
                .keep(&digest(byte), &[(shop(), sealed(100))])
                .unwrap();
            let file =
                fs::File::open(folder.path().join(digest(byte).to_string()).join("shop")).unwrap();
            let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(byte.into());
            file.set_modified(at).unwrap();
        }
        let left = || {
            let mut left: Vec<_> = answers
                .all()
                .unwrap()
                .iter()
                .map(|kept| kept.request)
                .collect();
            left.sort();
            left
        };
        answers.forget(&digest(1), 2, MAX_BYTES).unwrap();
        assert_eq!(left(), [digest(1), digest(3)]);
        answers.forget(&digest(1), 9, 150).unwrap();
        assert_eq!(left(), [digest(1)]);
        answers.forget(&digest(1), 9, 1).unwrap();
        assert_eq!(left(), [digest(1)]);
    }

    #[test]
    fn what_is_damaged_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shop");
        fs::write(&path, [0xff; 9]).unwrap();
        assert!(Answers::read(&path).is_none());
        assert!(Answers::read(&folder.path().join("nobody")).is_none());
    }
}
