//! Files in the owner's own folder: private, and whole or not there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// Why a file of the owner's folder was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalFileError {
    /// The file cannot be read or written.
    #[error("cannot {what} `{}`", path.display())]
    Io {
        /// `read` or `write`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file says that it is something else, or of a version that is not known yet.
    #[error("`{}` is `{found}`, not `{format}`: a newer version of incamera may read it", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// What it should be.
        format: &'static str,
        /// What it says it is (cut to 64 characters).
        found: String,
    },
    /// The file is there, and is something else or damaged.
    #[error("`{}` is no {format} file: {reason}", path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What it should be.
        format: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

/// SHA-256 of what is read.
pub(crate) fn digest(from: &mut dyn Read) -> io::Result<[u8; 32]> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(hash.finalize().into()),
            count => hash.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}

/// Turns an IO error into one that names the file.
pub(crate) fn io_error(
    what: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> LocalFileError {
    let path = path.to_path_buf();
    move |source| LocalFileError::Io { what, path, source }
}

/// A new file that only its owner may read; an existing one is emptied.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    private(&mut options);
    options.open(path)
}

/// The lock file beside `path`, opened (made if needed) but not locked.
pub(crate) fn lock_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    private(&mut options);
    options.open(with_suffix(path, ".lock"))
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt as _;
    options.mode(0o600);
}
#[cfg(not(unix))]
fn private(_options: &mut OpenOptions) {}

/// `path` with `suffix` after its last name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Makes the names in `folder` durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    File::open(folder)?.sync_all()
}

/// Writes `path` so that a crash leaves the old file or the new one: a private sibling,
/// synchronised, renamed over it.
pub(crate) fn replace(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), LocalFileError>,
) -> Result<(), LocalFileError> {
    let (temporary, mut file) = Temporary::create(path)?;
    write(&mut file)?;
    temporary.commit(&file)
}

/// A file that is not whole yet: it may hold ids in clear, so nothing of it stays behind.
pub(crate) struct Temporary {
    temporary: PathBuf,
    /// Where it belongs.
    path: PathBuf,
    /// Whether it took its place. Another process may be at the next one then.
    renamed: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.renamed {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

impl Temporary {
    /// A private sibling of `path`, to be written.
    pub(crate) fn create(path: &Path) -> Result<(Self, File), LocalFileError> {
        let temporary = Self {
            temporary: with_suffix(path, ".new"),
            path: path.into(),
            renamed: false,
        };
        let created = create_private(&temporary.temporary);
        let file = created.map_err(io_error("write", &temporary.temporary))?;
        Ok((temporary, file))
    }

    /// Where it lies until it takes its place.
    pub(crate) fn lies_at(&self) -> &Path {
        &self.temporary
    }

    /// Puts it, durably, in place of the file that was there.
    pub(crate) fn commit(mut self, file: &File) -> Result<(), LocalFileError> {
        let mut commit = || -> io::Result<()> {
            file.sync_all()?;
            fs::rename(&self.temporary, &self.path)?;
            self.renamed = true;
            sync_folder(self.path.parent().unwrap_or(Path::new(".")))
        };
        commit().map_err(io_error("write", &self.path))
    }
}

/// [`replace`] with `bytes`.
pub(crate) fn replace_bytes(path: &Path, bytes: &[u8]) -> Result<(), LocalFileError> {
    replace(path, |file| {
        file.write_all(bytes).map_err(io_error("write", path))
    })
}

/// Every byte of `path`.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, LocalFileError> {
    fs::read(path).map_err(io_error("read", path))
}
