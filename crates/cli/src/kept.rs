//! The file that keeps an answer with its receipt. It is never written over: the receipt of
//! the first answer is the one that shows the charge.

use std::io::Write;
use std::path::{Path, PathBuf};

use incamera_agreement::SignedAgreement;
use incamera_release::{ReceiptReport, verify_release};
use incamera_types::limits::MAX_MANIFEST_BYTES;
use incamera_types::{PrivacyLoss, RequestDigest};
use incamera_wire::v1::ReleaseFile;
use incamera_wire::{decode, encode};

use crate::failure::Failure;

/// Other names that are tried for a second answer.
const MAX_NAMES: u32 = 1_000;

/// What lies where an answer is to be kept.
pub enum Place {
    /// Nothing.
    Free(PathBuf),
    /// The answer to the same request, with its receipt.
    Same(PathBuf, Box<ReceiptReport>),
}

/// Looks where an answer to this request is to be kept, before anything is spent.
///
/// # Errors
/// A [`Failure`] if something else lies there.
pub fn place(
    path: PathBuf,
    request: RequestDigest,
    agreement: &SignedAgreement,
) -> Result<Place, Failure> {
    if !path.exists() {
        return Ok(Place::Free(path));
    }
    match read(&path, agreement) {
        Some(report) if report.request_digest == request => Ok(Place::Same(path, Box::new(report))),
        found => {
            let why = match found {
                Some(_) => "it holds the answer to another question, or over other data",
                None => "it is no answer under this agreement",
            };
            Err(
                Failure::usage(format!("`{}` is there already", path.display()))
                    .why(why)
                    .hint("name another file with `--out`: nothing was spent"),
            )
        }
    }
}

/// What a file holds, if it is an answer under this agreement version.
pub fn read(path: &Path, agreement: &SignedAgreement) -> Option<ReceiptReport> {
    let bytes = std::fs::read(path).ok()?;
    let file: ReleaseFile = decode(&bytes, MAX_MANIFEST_BYTES).ok()?;
    verify_release(&file, agreement).ok()
}

/// Where an answer is.
pub struct Kept {
    /// The file.
    pub path: PathBuf,
    /// What to say of it besides.
    pub note: Option<&'static str>,
}

/// Keeps an answer. A repeat changes nothing where the first answer lies.
///
/// # Errors
/// The file's name and the error, if it was not written.
pub fn keep(
    place: Place,
    release: &ReleaseFile,
    report: &ReceiptReport,
) -> Result<Kept, (PathBuf, std::io::Error)> {
    let path = match place {
        Place::Free(path) => path,
        Place::Same(path, before) => {
            let free =
                |grant: &incamera_release::GrantReport| grant.charge == PrivacyLoss::default();
            if before.answer == report.answer && report.grants.iter().all(free) {
                return Ok(Kept {
                    path,
                    note: Some("as it was: the receipt of the first answer shows the charge"),
                });
            }
            second(&path)
        }
    };
    write(&path, &encode(release)).map_err(|error| (path.clone(), error))?;
    Ok(Kept { path, note: None })
}

/// The first free name of `X-2`, `X-3`, ...
fn second(path: &Path) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = |n| match path.extension() {
        Some(end) => format!("{stem}-{n}.{}", end.to_string_lossy()),
        None => format!("{stem}-{n}"),
    };
    let mut paths = (2..MAX_NAMES).map(|n| path.with_file_name(name(n)));
    paths
        .find(|path| !path.exists())
        .unwrap_or_else(|| path.to_owned())
}

/// Writes a file that is not there yet: whole, or not at all.
///
/// # Errors
/// The error, if something is there or the file could not be written.
pub fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        let _ = std::fs::remove_file(path);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.release");
        write(&path, b"one").unwrap();
        assert!(write(&path, b"two").is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(second(&path), folder.path().join("a-2.release"));
        write(&second(&path), b"two").unwrap();
        assert_eq!(second(&path), folder.path().join("a-3.release"));
        assert_eq!(second(&folder.path().join("b")), folder.path().join("b-2"));
    }
}
