//! One TOML file, read whole, every key known.
//!
//! Types derive `serde::Deserialize` with `deny_unknown_fields`; the first key is `format`.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// No configuration file is longer.
const MAX_BYTES: u64 = 1 << 20;

/// Why a configuration file is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration `{}` cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        #[source]
        source: io::Error,
    },
    /// The file is no configuration.
    #[error("the configuration `{}` is longer than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Bytes allowed.
        limit: u64,
    },
    /// Something in the file is wrong.
    #[error("{}:{line}:{column}: {message}", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// What is wrong, in one line.
        message: String,
        /// Where, in bytes.
        span: Range<usize>,
        /// The whole text, to draw the place.
        text: String,
    },
    /// Another kind of file, or a version that this program does not know.
    #[error(
        "`{}` is `{found}`, not `{expected}`: a newer version of incamera may read it",
        path.display()
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// What the program reads.
        expected: String,
        /// What the file says it is.
        found: String,
    },
}

/// Reads a configuration file.
///
/// # Errors
/// [`ConfigError`], with line and column if the text is wrong.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let read = |source| ConfigError::Read {
        path: path.to_owned(),
        source,
    };
    if fs::metadata(path).map_err(read)?.len() > MAX_BYTES {
        return Err(ConfigError::TooLarge {
            path: path.to_owned(),
            limit: MAX_BYTES,
        });
    }
    parse(path, &fs::read_to_string(path).map_err(read)?)
}

/// Reads the text of a configuration file; `path` is for errors.
///
/// # Errors
/// [`ConfigError::Invalid`].
pub fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let (line, column) = place(text, span.start);
        ConfigError::Invalid {
            path: path.to_owned(),
            line,
            column,
            message: error.message().lines().collect::<Vec<_>>().join(" "),
            span,
            text: text.to_owned(),
        }
    })
}

/// Accepts `found`, the file's `format`, if it is `expected`.
///
/// # Errors
/// [`ConfigError::Format`].
pub fn expect_format(path: &Path, found: &str, expected: &str) -> Result<(), ConfigError> {
    if found == expected {
        return Ok(());
    }
    Err(ConfigError::Format {
        path: path.to_owned(),
        expected: expected.to_owned(),
        found: found.chars().filter(|c| !c.is_control()).take(64).collect(),
    })
}

/// Line and column, from 1, of a byte.
fn place(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    let column = before.get(start..).map_or(0, |line| line.chars().count());
    (line, column + 1)
}
