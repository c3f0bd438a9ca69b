//! The files of a matching: the folder of a slot, spill, journal and history.
//!
//! ```text
//! matching/ID-KIND-PEER-EPOCH/
//!   lock         empty; held while a `match run` of this slot is under way
//!   history      the runs that were counted
//!   journal      what an interrupted run is gone on with, sealed
//!   provider-keys  the newest key statement that the providers said
//!   theirs       tags of the peer's rows, where own matches are revealed, sealed
//!   theirs.new   what will take its place
//!   spill-HEX    what does not fit into memory, sealed; goes with the process or at the next start
//! matching/ID-KIND-PEER-EPOCH.p7of256/
//!   the same of one part of the ids, but the history, which is one for all parts
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use incamera_matching::journal::{JournalFile, expiry};
use incamera_matching::sort::{Store, StoreError};
use rand::RngExt as _;

use crate::clock::now;
use crate::failure::{Context, Done, Failure};

const SPILL: &str = "spill-";
const NEW_THEIRS: &str = "theirs.new";
/// The newest key statement of the providers.
pub const KEY_STATEMENT: &str = "provider-keys";

const NOT_BEGUN: &str = "the matching was not begun";

/// Makes a folder where there is none, and holds it.
fn lock(folder: &Path) -> Result<File, Failure> {
    let mut builder = DirBuilder::new();
    let made = builder.recursive(true).mode(0o700).create(folder);
    made.map_err(|error| not_begun(folder, &error))?;
    let lock = private().create(true).open(folder.join("lock"));
    let lock = lock.map_err(|error| not_begun(folder, &error))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Failure::failed(NOT_BEGUN)
            .why("another `match run` of this party matches these ids already")
            .hint("let that one go on, or end it first; no run is used up")),
        Err(TryLockError::Error(error)) => Err(not_begun(folder, &error)),
    }
}

/// What is told where the system refuses a folder of the matching.
fn not_begun(folder: &Path, error: &io::Error) -> Failure {
    Failure::failed(NOT_BEGUN)
        .because(&named(folder, error))
        .or_hint(
            "no run is used up: see that this user can write the party's folder, and run it again",
        )
}

/// The same error, with the path that it is of.
fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
}

/// The folder of one slot, which no other process works in.
pub struct SlotFolder {
    /// Where the history is, of all parts.
    whole: PathBuf,
    /// Where the part at hand leaves all else.
    path: PathBuf,
    /// Held.
    _locks: Vec<File>,
}

impl SlotFolder {
    /// Takes the folder `whole`, and that of the part beside it where there is one, and clears
    /// away what a killed process spilled.
    pub fn take(whole: PathBuf, part: PathBuf) -> Result<Self, Failure> {
        let mut locks = vec![lock(&whole)?];
        if part != whole {
            locks.push(lock(&part)?);
        }
        let folder = Self {
            whole,
            path: part,
            _locks: locks,
        };
        let cleared = folder.clear();
        cleared.map_err(|error| not_begun(&folder.path, &error))?;
        Ok(folder)
    }

    /// Removes what was spilled, and what did not come to its end.
    fn clear(&self) -> io::Result<()> {
        remove(&self.path.join(NEW_THEIRS))?;
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry
                .file_name()
                .as_encoded_bytes()
                .starts_with(SPILL.as_bytes())
            {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Where sorting puts what does not fit into memory.
    pub fn store(&self) -> FileStore {
        FileStore(self.path.clone().into())
    }

    /// The journal, made where there is none.
    pub fn journal(&self) -> io::Result<LogFile> {
        LogFile::open(&self.journal_path())
    }

    /// Whether there is a journal.
    pub fn has_journal(&self) -> bool {
        self.journal_path().exists()
    }

    /// Removes the journal: its run is over.
    pub fn remove_journal(&self) -> Done {
        remove(&self.journal_path()).or_fail("the journal of the matching was not removed")
    }

    /// The bytes of the history; none where there is none.
    pub fn read_history(&self) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.history_path()) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The history, made where there is none.
    pub fn history(&self) -> io::Result<LogFile> {
        LogFile::open(&self.history_path())
    }

    /// Lets another history take the place of the one that is there.
    pub fn put_history_aside(&self) -> io::Result<PathBuf> {
        let aside = self.whole.join("history.aside");
        fs::rename(self.history_path(), &aside)?;
        Ok(aside)
    }

    /// Where the history lies.
    pub fn history_path(&self) -> PathBuf {
        self.whole.join("history")
    }

    /// Where the newest key statement of the providers lies.
    pub fn key_statement_path(&self) -> PathBuf {
        self.path.join(KEY_STATEMENT)
    }

    /// What is kept of the peer's rows, if anything is.
    pub fn theirs(&self) -> io::Result<Option<LogFile>> {
        let path = self.theirs_path();
        match path.exists() {
            true => LogFile::open(&path).map(Some),
            false => Ok(None),
        }
    }

    /// What will take its place.
    pub fn new_theirs(&self) -> io::Result<LogFile> {
        LogFile::open(&self.path.join(NEW_THEIRS))
    }

    /// Lets it take the place, durably.
    pub fn keep_new_theirs(&self) -> io::Result<()> {
        fs::rename(self.path.join(NEW_THEIRS), self.theirs_path())?;
        File::open(&self.path)?.sync_all()
    }

    fn theirs_path(&self) -> PathBuf {
        self.path.join("theirs")
    }

    fn journal_path(&self) -> PathBuf {
        self.path.join("journal")
    }
}

/// Removes the journals in `slots` whose runs nobody goes on with any more; how many there were.
/// One that a run is at is left to it.
pub fn remove_expired(slots: &[PathBuf]) -> io::Result<u32> {
    let now = now();
    let mut removed = 0;
    for slot in slots {
        let journal = slot.join("journal");
        let expired = match File::open(&journal) {
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            file => expiry(&LogFile::of(file?)?).is_ok_and(|at| at.is_some_and(|at| at <= now)),
        };
        let lock = private().create(true).open(slot.join("lock"))?;
        if expired && lock.try_lock().is_ok() {
            remove(&journal)?;
            removed += 1;
        }
    }
    Ok(removed)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Read and written by the owner alone.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// A file that grows at its end, and whose end may be cut off.
pub struct LogFile {
    file: File,
    bytes: u64,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Self> {
        let file = private().create(true).truncate(false).open(path)?;
        if let Some(folder) = path.parent() {
            // The name is to last as long as what stands under it.
            File::open(folder)?.sync_all()?;
        }
        Self::of(file)
    }

    fn of(file: File) -> io::Result<Self> {
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes })
    }
}

impl JournalFile for LogFile {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.bytes)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, at)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.file.set_len(bytes)?;
        self.bytes = bytes;
        Ok(())
    }
}

/// Spill files in a slot's folder.
#[derive(Clone)]
pub struct FileStore(Arc<Path>);

/// One spill file; it goes when this is dropped.
pub struct SpillFile {
    file: File,
    path: PathBuf,
}

impl Drop for SpillFile {
    fn drop(&mut self) {
        // What stays is ciphertext whose key is gone; the next start removes it.
        let _ = fs::remove_file(&self.path);
    }
}

impl Store for FileStore {
    type File = SpillFile;

    fn create(&self) -> Result<SpillFile, StoreError> {
        let number: u64 = rand::rng().random();
        let path = self.0.join(format!("{SPILL}{number:016x}"));
        let file = private().create_new(true).open(&path);
        let file = file.map_err(|error| named(&path, &error))?;
        Ok(SpillFile { file, path })
    }

    fn append(&self, file: &mut SpillFile, bytes: &[u8]) -> Result<(), StoreError> {
        let written = file.file.write_all(bytes);
        Ok(written.map_err(|error| named(&file.path, &error))?)
    }

    fn read(&self, file: &SpillFile, at: u64, into: &mut [u8]) -> Result<(), StoreError> {
        let read = file.file.read_exact_at(into, at);
        Ok(read.map_err(|error| named(&file.path, &error))?)
    }

    fn remove(&self, file: SpillFile) {
        drop(file);
    }
}
