//! The files of a world whose processes have ended, kept in memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tempfile::TempDir;

use super::support::files_below;

/// Files by their path in the world's folder.
pub struct Snapshot(BTreeMap<PathBuf, Kept>);

struct Kept {
    bytes: Vec<u8>,
    /// The bytes; of a plain Parquet file, which is compressed, also all its values.
    searchable: Vec<u8>,
}

impl Snapshot {
    pub fn of(folder: &Path) -> Self {
        let read = |path: PathBuf| {
            let bytes = fs::read(&path).unwrap();
            let searchable = [bytes.clone(), values(&path, &bytes)].concat();
            (
                path.strip_prefix(folder).unwrap().to_owned(),
                Kept { bytes, searchable },
            )
        };
        Self(files_below(folder).into_iter().map(read).collect())
    }

    /// Files whose path starts with one of `folders`, for a search.
    pub fn below(&self, folders: &[&str]) -> Vec<(&Path, &[u8])> {
        let within = |path: &Path| folders.iter().any(|folder| path.starts_with(folder));
        let files = self.0.iter().filter(|(path, _)| within(path));
        files
            .map(|(path, kept)| (path.as_path(), kept.searchable.as_slice()))
            .collect()
    }

    /// Files whose path starts with none of `folders`, for a search.
    pub fn outside(&self, folders: &[&str]) -> Vec<(&Path, &[u8])> {
        let within = |path: &Path| folders.iter().any(|folder| path.starts_with(folder));
        let files = self.0.iter().filter(|(path, _)| !within(path));
        files
            .map(|(path, kept)| (path.as_path(), kept.searchable.as_slice()))
            .collect()
    }

    pub fn file(&self, path: &str) -> &[u8] {
        &self.0[Path::new(path)].bytes
    }

    /// The files below some folders, on disk again.
    pub fn restore(&self, folders: &[&str]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, _) in self.below(folders) {
            let target = root.path().join(path);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::write(target, &self.0[path].bytes).unwrap();
        }
        root
    }
}

/// The values of a plain Parquet file, column by column; nothing of any other file.
fn values(path: &Path, bytes: &[u8]) -> Vec<u8> {
    if !bytes.starts_with(b"PAR1") {
        return Vec::new();
    }
    let file = fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .unwrap()
        .build()
        .unwrap();
    let mut values = Vec::new();
    for batch in reader {
        for column in batch.unwrap().columns() {
            let data = column.to_data();
            values.extend(data.buffers().iter().flat_map(|buffer| buffer.as_slice()));
        }
    }
    values
}
