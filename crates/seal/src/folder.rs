//! The folder of a sealed data set.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use incamera_types::FileId;
use incamera_wire::v1 as wire;

use crate::local::{self, LocalFileError, io_error};
use crate::sealing::{MANIFEST_FILE, PARTS_FOLDER};
use crate::writer;

/// A sealed data set's folder, locked against other sealings until dropped.
pub(crate) struct Folder {
    manifest: PathBuf,
    parts: PathBuf,
    _lock: File,
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
        Ok(Self {
            _lock: opened().map_err(io_error("write", path))?,
            manifest,
            parts,
        })
    }

    /// Where parts are written.
    pub(crate) fn parts(&self) -> &Path {
        &self.parts
    }

    /// Makes `signed` the manifest, at once and durably; then removes parts that it does not
    /// name.
    pub(crate) fn publish(
        &self,
        signed: &wire::Signed,
        parts: &[wire::Part],
    ) -> Result<(), LocalFileError> {
        local::sync_folder(&self.parts).map_err(io_error("write", &self.parts))?;
        local::replace_bytes(&self.manifest, &incamera_wire::encode(signed))?;
        // What stays behind is ciphertext that nothing names: the next sealing tries again.
        let _ = self.remove_others(parts);
        Ok(())
    }

    fn remove_others(&self, parts: &[wire::Part]) -> io::Result<()> {
        let id = |part: &wire::Part| FileId::from_slice(&part.file_id);
        let named: HashSet<String> = parts
            .iter()
            .filter_map(id)
            .map(|id| writer::file_name(&id))
            .collect();
        for entry in fs::read_dir(&self.parts)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            if is_part_name(name) && !named.contains(name) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

/// Whether a file name is one that this crate gives; no other file is touched.
fn is_part_name(name: &str) -> bool {
    name.strip_suffix(".parquet").is_some_and(|stem| {
        stem.len() == 2 * FileId::BYTES && stem.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}
