//! The files of a world whose processes have ended, kept in memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::support::files_below;

/// Files by their path in the world's folder.
pub struct Snapshot(BTreeMap<PathBuf, Vec<u8>>);

impl Snapshot {
    pub fn of(folder: &Path) -> Self {
        let read = |path: PathBuf| {
            let bytes = fs::read(&path).unwrap();
            (path.strip_prefix(folder).unwrap().to_owned(), bytes)
        };
        Self(files_below(folder).into_iter().map(read).collect())
    }

    /// Files whose path starts with one of `folders`.
    pub fn below(&self, folders: &[&str]) -> Vec<(&Path, &[u8])> {
        let within = |path: &Path| folders.iter().any(|folder| path.starts_with(folder));
        let files = self.0.iter().filter(|(path, _)| within(path));
        files.map(|(path, bytes)| (path.as_path(), bytes.as_slice())).collect()
    }

    /// Files whose path starts with none of `folders`.
    pub fn outside(&self, folders: &[&str]) -> Vec<(&Path, &[u8])> {
        let within = |path: &Path| folders.iter().any(|folder| path.starts_with(folder));
        let files = self.0.iter().filter(|(path, _)| !within(path));
        files.map(|(path, bytes)| (path.as_path(), bytes.as_slice())).collect()
    }

    pub fn file(&self, path: &str) -> &[u8] {
        &self.0[Path::new(path)]
    }

    /// The files below some folders, on disk again.
    pub fn restore(&self, folders: &[&str]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, bytes) in self.below(folders) {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        root
    }
}
