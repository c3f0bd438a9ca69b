//! Recovery: a second file beside the ring, for people whose keys are elsewhere.
//!
//! An age file under a passphrase admits no other recipient, and a token's file none at all. So
//! each write of a ring that has recovery recipients also writes the document for them, to
//! `NAME.recovery.age` (`ring.recovery.age` for `ring.age`). The ring's own file counts; the
//! recovery file is written before it, so that after a crash it holds every key that anything
//! was wrapped under, and no key that was said to be destroyed.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::error::RingError;
use crate::local;

/// A public key that the recovery file is written for.
pub(super) enum Recipient {
    Age(age::x25519::Recipient),
    Ssh(age::ssh::Recipient),
}

impl Recipient {
    /// # Errors
    /// [`RingError::Recipient`]; an RSA key among them.
    pub(super) fn parse(text: &str) -> Result<Self, RingError> {
        let text = text.trim();
        let age = age::x25519::Recipient::from_str(text).ok().map(Self::Age);
        let ssh = || match age::ssh::Recipient::from_str(text) {
            Ok(key @ age::ssh::Recipient::SshEd25519(..)) => Some(Self::Ssh(key)),
            _ => None,
        };
        age.or_else(ssh).ok_or(RingError::Recipient)
    }

    /// The key's text, without a comment.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Age(key) => key.to_string(),
            Self::Ssh(key) => key.to_string(),
        }
    }

    fn as_age(&self) -> &dyn age::Recipient {
        match self {
            Self::Age(key) => key,
            Self::Ssh(key) => key,
        }
    }
}

/// How every recovery file ends.
const SUFFIX: &str = ".recovery.age";

/// Where the recovery file of the ring at `path` lies: never where that of a ring of another
/// name lies. `ring.age`, as most rings are called, has the short name that a ring `ring` would
/// have; that one has the long name.
pub(super) fn file_of(path: &Path) -> PathBuf {
    let named = |name| path.file_name() == Some(OsStr::new(name));
    match () {
        () if named("ring.age") => path.with_file_name("ring.recovery.age"),
        () if named("ring") => path.with_file_name("ring.age.recovery.age"),
        () => local::with_suffix(path, SUFFIX),
    }
}

/// Sees to it that a new ring at `path` neither is nor overwrites a recovery file: only the one
/// that it is made of.
///
/// # Errors
/// [`RingError::Name`], [`RingError::RecoveryExists`].
pub(super) fn check_new(path: &Path, made_of: Option<&Path>) -> Result<(), RingError> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    if name.ends_with(SUFFIX.as_bytes()) {
        return Err(RingError::Name { path: path.into() });
    }
    let file = file_of(path);
    let own = || Some(fs::canonicalize(made_of?).ok()? == fs::canonicalize(&file).ok()?);
    match file.exists() && own() != Some(true) {
        true => Err(RingError::RecoveryExists { path: file }),
        false => Ok(()),
    }
}

/// Writes the recovery file of the ring at `path`; without recipients there is none, and what a
/// crash left of it goes too.
pub(super) fn write(path: &Path, recipients: &[String], json: &[u8]) -> Result<(), RingError> {
    let file = file_of(path);
    if recipients.is_empty() {
        remove(&file)?;
        return remove(&local::with_suffix(&file, ".new"));
    }
    let sealed = seal(recipients, json)?;
    Ok(local::replace_bytes(&file, &sealed)?)
}

fn seal(recipients: &[String], json: &[u8]) -> Result<Vec<u8>, RingError> {
    let parsed = recipients.iter().map(|text| Recipient::parse(text));
    let parsed: Vec<Recipient> = parsed.collect::<Result<_, _>>()?;
    let sealed = || -> Option<Vec<u8>> {
        let recipients = parsed.iter().map(Recipient::as_age);
        let encryptor = age::Encryptor::with_recipients(recipients).ok()?;
        let mut out = Vec::new();
        let mut writer = encryptor.wrap_output(&mut out).ok()?;
        writer.write_all(json).ok()?;
        writer.finish().ok()?;
        Some(out)
    };
    sealed().ok_or(RingError::Recipient)
}

fn remove(file: &Path) -> Result<(), RingError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(local::io_error("remove", file)(error).into())
        }
        Err(_) => Ok(()),
        Ok(()) => {
            let folder = file.parent().unwrap_or(Path::new("."));
            Ok(local::sync_folder(folder).map_err(local::io_error("remove", file))?)
        }
    }
}
