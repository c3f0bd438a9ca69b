//! `ring-access.log`: a line of JSON for each request.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use incamera_seal::{KeyReference, MasterKeyId};
use incamera_types::{ColumnName, DatasetName, PurposeName, UnixTime};
use serde::Serialize;

use super::Asked;

/// Name and version of each line.
const ACCESS_FORMAT: &str = "incamera-ring-access/1";

/// What a request asked for and got. Never a key, a wrap or a token, and nothing that whoever
/// asked could choose but names that read as such.
#[derive(Debug, Serialize)]
pub struct Entry {
    asked: Option<Asked>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dataset: Option<DatasetName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_id: Option<String>,
    /// The column; absent for a footer.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<ColumnName>,
    #[serde(skip_serializing_if = "Option::is_none")]
    master_key_id: Option<String>,
    /// Whether it got it.
    pub granted: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Entry {
    /// Of a request that asks for something.
    pub fn of(asked: Asked) -> Self {
        Self {
            asked: Some(asked),
            ..Self::of_nothing()
        }
    }

    /// Of a request that asks for nothing there is.
    pub fn of_nothing() -> Self {
        Self {
            asked: None,
            dataset: None,
            file_id: None,
            column: None,
            master_key_id: None,
            granted: false,
            why: None,
        }
    }

    /// Adds which key of which part.
    pub fn of_part(&mut self, reference: &KeyReference) {
        self.dataset = Some(reference.dataset.clone());
        self.file_id = Some(reference.file_id.to_string());
        self.column = reference.column.clone();
    }

    /// Adds for which source.
    pub fn of_source(&mut self, master: &MasterKeyId) {
        self.dataset = Some(master.dataset().clone());
        self.master_key_id = Some(master.to_string());
    }
}

#[derive(Serialize)]
struct Line<'a> {
    format: &'static str,
    time: UnixTime,
    purpose: &'a PurposeName,
    #[serde(flatten)]
    entry: &'a Entry,
}

/// The log of one party's endpoint, open at its end.
pub struct AccessLog {
    file: File,
    purpose: PurposeName,
}

impl AccessLog {
    /// Opens the log for a run that gives keys of `purpose`; private, and made if needed.
    pub fn open(path: &Path, purpose: PurposeName) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.create(true).append(true).mode(0o600).open(path)?;
        Ok(Self { file, purpose })
    }

    /// Adds a line; it is on the disk when this returns.
    pub fn write(&mut self, time: UnixTime, entry: &Entry) -> io::Result<()> {
        let mut line = serde_json::to_vec(&Line {
            format: ACCESS_FORMAT,
            time,
            purpose: &self.purpose,
            entry,
        })?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.file.sync_data()
    }
}
