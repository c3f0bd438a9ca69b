//! What a log's owner signs: the log's name, size and root.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::hash::Hash;

/// No checkpoint text is longer.
const MAX_BYTES: usize = 4096;

/// Why a text is not a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Not three lines.
    #[error("a checkpoint has three lines: the log's name, its size, its root")]
    Lines,
    /// A name that cannot stand in one line.
    #[error("a log's name is one line that is not empty")]
    Origin,
    /// Not a decimal number.
    #[error("the checkpoint's size is not a decimal number")]
    Size,
    /// Not a hash in base64.
    #[error("the checkpoint's root is not 32 bytes in base64")]
    Root,
}

/// The state of a log: how many entries, under which root.
///
/// # Format
/// C2SP tlog-checkpoint: three lines, each ended by a line feed, namely the origin, the size
/// in decimal, the root in base64. Extension lines are refused: our logs write none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
}

impl Checkpoint {
    /// A checkpoint of the log `origin`.
    ///
    /// # Errors
    /// [`CheckpointError::Origin`].
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        let origin = check_origin(origin)?.to_owned();
        Ok(Self { origin, size, root })
    }

    /// The log's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Entries in the log.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root over them.
    #[must_use]
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// The text that is signed as a note.
    #[must_use]
    pub fn to_text(&self) -> String {
        let root = STANDARD.encode(self.root);
        format!("{}\n{}\n{root}\n", self.origin, self.size)
    }

    /// Reads the text of a note. Accepts what [`Checkpoint::to_text`] writes and nothing else.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        if text.len() > MAX_BYTES {
            return Err(CheckpointError::Lines);
        }
        let body = text.strip_suffix('\n').ok_or(CheckpointError::Lines)?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root), None) =
            (lines.next(), lines.next(), lines.next(), lines.next())
        else {
            return Err(CheckpointError::Lines);
        };
        Self::new(origin, parse_size(size)?, parse_root(root)?)
    }
}

fn check_origin(origin: &str) -> Result<&str, CheckpointError> {
    if origin.is_empty() || origin.len() > 1024 || origin.contains(char::is_control) {
        return Err(CheckpointError::Origin);
    }
    Ok(origin)
}

/// A decimal number without leading zeros or signs.
fn parse_size(text: &str) -> Result<u64, CheckpointError> {
    let size: u64 = text.parse().map_err(|_| CheckpointError::Size)?;
    if size.to_string() != text {
        return Err(CheckpointError::Size);
    }
    Ok(size)
}

fn parse_root(text: &str) -> Result<Hash, CheckpointError> {
    let bytes = STANDARD.decode(text).map_err(|_| CheckpointError::Root)?;
    Hash::from_slice(&bytes).map_err(|_| CheckpointError::Root)
}
