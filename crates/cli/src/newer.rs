//! Versions of an agreement that lie beside one another.

use std::path::Path;

use incamera_agreement::{Agreement, files};

use crate::folder::agreement_files;

/// The newest later version of the agreement in the same folder that all have signed: it took
/// the place of the one in `path`.
pub fn beside(path: &Path, agreement: &Agreement) -> Option<u64> {
    let folder = path.parent()?;
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let others = agreement_files(folder).ok()?.into_iter();
    let signed = others.filter_map(|other| files::read_signed(&other).ok());
    let later = signed.filter(|other| {
        other.agreement().id == agreement.id && other.agreement().version > agreement.version
    });
    later.map(|other| other.agreement().version).max()
}

/// Why a version opens nothing once there is a later one.
pub fn why(version: u64) -> String {
    format!("version {version} of it lies beside it, signed by all, and took its place")
}
