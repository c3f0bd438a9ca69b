//! A file of a source that is open: of this machine, or an object of a store.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _};
use std::path::Path;

use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};

use super::SourceError;
use super::object::{ObjectBytes, ObjectError, ObjectReader};

/// Bytes at the end of a file that say what it is.
const MAGIC_BYTES: usize = 4;

/// What is read from.
pub(crate) enum Input {
    File(File),
    Object(ObjectReader),
}

impl Input {
    /// Opens a file of this machine.
    pub(crate) fn open(path: &Path) -> Result<Self, SourceError> {
        let file = File::open(path).map_err(|source| SourceError::Io {
            path: path.into(),
            source,
        })?;
        Ok(Self::File(file))
    }

    /// All of it, from the beginning to the end.
    pub(crate) fn through(self) -> Bytewise {
        match self {
            Self::File(mut file) => {
                // A pipe has not moved on, and cannot go back.
                let _ = file.rewind();
                Bytewise::File(file)
            }
            Self::Object(object) => Bytewise::Object(object.through()),
        }
    }

    /// What it ends with.
    pub(crate) fn magic(&self) -> Option<Bytes> {
        let at = self.len().checked_sub(MAGIC_BYTES as u64)?;
        self.get_bytes(at, MAGIC_BYTES).ok()
    }

    /// Why it could not be read, to be asked for once a parser has failed.
    pub(crate) fn watch(&self) -> Watch {
        match self {
            Self::File(_) => Watch(None),
            Self::Object(object) => Watch(Some(object.clone())),
        }
    }
}

/// Says why an input could not be read: parsers do not hand it on.
pub(crate) struct Watch(Option<ObjectReader>);

impl Watch {
    /// The error of a parser that failed on the input at `path`: what the input had, else what
    /// the bytes are.
    pub(crate) fn error(&self, path: &Path, else_why: SourceError) -> SourceError {
        self.failed(path).unwrap_or(else_why)
    }

    /// The error of the input at `path` itself.
    pub(crate) fn failed(&self, path: &Path) -> Option<SourceError> {
        let failed = self.0.as_ref().and_then(ObjectReader::failed);
        failed.map(|why| SourceError::Object {
            path: path.into(),
            why,
        })
    }

    /// Says which columns of a Parquet file will be read.
    pub(crate) fn expect(&self, metadata: &ParquetMetaData, mask: &ProjectionMask) {
        let Some(object) = &self.0 else { return };
        let groups = metadata.row_groups().iter();
        let columns = groups.flat_map(|group| group.columns().iter().enumerate());
        let columns = columns.filter(|(leaf, _)| mask.leaf_included(*leaf));
        let range = |(_, column): (usize, &ColumnChunkMetaData)| {
            let (start, length) = column.byte_range();
            start..start.saturating_add(length)
        };
        let leaves = metadata.file_metadata().schema_descr().num_columns();
        let streams = (0..leaves).filter(|leaf| mask.leaf_included(*leaf));
        object.expect(columns.map(range).collect(), streams.count());
    }
}

/// The error of an input that does not read on.
pub(crate) fn unreadable(path: &Path, source: io::Error) -> SourceError {
    let why = source.get_ref().and_then(|why| why.downcast_ref());
    let why: Option<ObjectError> = why.copied();
    match why {
        Some(why) => SourceError::Object {
            path: path.into(),
            why,
        },
        None => SourceError::Io {
            path: path.into(),
            source,
        },
    }
}

impl Length for Input {
    fn len(&self) -> u64 {
        match self {
            Self::File(file) => Length::len(file),
            Self::Object(object) => object.len(),
        }
    }
}

impl ChunkReader for Input {
    type T = Chunk;

    fn get_read(&self, start: u64) -> Result<Chunk, ParquetError> {
        match self {
            Self::File(file) => file.get_read(start).map(Chunk::File),
            Self::Object(object) => object.get_read(start).map(Chunk::Object),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match self {
            Self::File(file) => file.get_bytes(start, length),
            Self::Object(object) => object.get_bytes(start, length),
        }
    }
}

/// An input from some place on.
pub(crate) enum Chunk {
    File(BufReader<File>),
    Object(ObjectBytes),
}

impl Read for Chunk {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(into),
            Self::Object(object) => object.read(into),
        }
    }
}

/// An input from its beginning.
pub(crate) enum Bytewise {
    File(File),
    Object(ObjectBytes),
}

impl Read for Bytewise {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(into),
            Self::Object(object) => object.read(into),
        }
    }
}
