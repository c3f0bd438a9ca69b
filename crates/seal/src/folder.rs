//! The folder of a sealed data set.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use incamera_types::FileId;
use incamera_types::limits::MAX_MANIFEST_BYTES;
use incamera_wire::v1 as wire;

use crate::local::{self, LocalFileError, io_error};
use crate::manifest::read_manifest_file;
use crate::sealing::{MANIFEST_FILE, PARTS_FOLDER};
use crate::spill::is_spill_name;
use crate::writer;

/// A sealed data set's folder, locked against other sealings until dropped.
///
/// What the manifest does not name is removed when the folder is opened, so that what a crash
/// left takes no place, when a new manifest is published, and when sealing failed.
pub(crate) struct Folder {
    root: PathBuf,
    manifest: PathBuf,
    parts: PathBuf,
    _lock: File,
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind is ciphertext that nothing names: the next sealing tries again.
        let _ = self.sweep();
    }
}

impl Folder {
    /// Opens the folder, made if needed.
    pub(crate) fn open(path: &Path) -> Result<Self, LocalFileError> {
        let parts = path.join(PARTS_FOLDER);
        let manifest = path.join(MANIFEST_FILE);
        let opened = || -> io::Result<File> {
            fs::create_dir_all(&parts)?;
            let lock = local::lock_file(&manifest)?;
            lock.lock()?;
            Ok(lock)
        };
        let folder = Self {
            _lock: opened().map_err(io_error("write", path))?,
            root: path.into(),
            manifest,
            parts,
        };
        // Leftovers harm nobody: no reason not to seal.
        let _ = folder.sweep();
        Ok(folder)
    }

    /// Where parts are written.
    pub(crate) fn parts(&self) -> &Path {
        &self.parts
    }

    /// Makes `signed` the manifest, at once and durably; then removes what it does not name.
    pub(crate) fn publish(&self, signed: &wire::Signed) -> Result<(), LocalFileError> {
        local::sync_folder(&self.parts).map_err(io_error("write", &self.parts))?;
        local::replace_bytes(&self.manifest, &incamera_wire::encode(signed))?;
        // As when it is dropped.
        let _ = self.sweep();
        Ok(())
    }

    /// Removes what sealings left that did not end, and parts of older versions.
    fn sweep(&self) -> io::Result<()> {
        remove(&self.root, is_spill_name)?;
        let Some(named) = self.named() else {
            return Ok(());
        };
        remove(&self.parts, |name| {
            is_part_name(name) && !named.contains(name)
        })
    }

    /// The files that the manifest names; nothing is known of one that does not read.
    fn named(&self) -> Option<HashSet<String>> {
        if !self.manifest.try_exists().ok()? {
            return Some(HashSet::new());
        }
        let signed = read_manifest_file(&self.manifest).ok()?;
        let body: wire::Manifest = incamera_wire::decode(&signed.body, MAX_MANIFEST_BYTES).ok()?;
        let id = |part: &wire::Part| FileId::from_slice(&part.file_id);
        let names = body
            .parts
            .iter()
            .map(|part| id(part).map(|id| writer::file_name(&id)));
        names.collect()
    }
}

/// Removes the files of `folder` whose names are such.
fn remove(folder: &Path, such: impl Fn(&str) -> bool) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(&such) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether a file name is one that this crate gives; no other file is touched.
fn is_part_name(name: &str) -> bool {
    name.strip_suffix(".parquet").is_some_and(|stem| {
        stem.len() == 2 * FileId::BYTES && stem.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}
