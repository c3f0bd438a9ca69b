//! Parquet files that say when they have ended.
//!
//! The library steps over what it does not know in a page's head by copying as many bytes as the
//! head names to nowhere, and takes nothing for enough: a head of a few bytes that names two
//! billion numbers behind the file's end kept it busy for minutes. Nobody else reads on at the
//! end of a file: pages are read by their lengths.

use std::io::{self, ErrorKind, Read};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// A file whose readers fail at its end, where others read nothing.
pub(crate) struct Ending<R>(pub(crate) R);

/// Such a reader.
pub(crate) struct EndingRead<R>(R);

impl<R: Length> Length for Ending<R> {
    fn len(&self) -> u64 {
        self.0.len()
    }
}

impl<R: ChunkReader> ChunkReader for Ending<R> {
    type T = EndingRead<R::T>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        self.0.get_read(start).map(EndingRead)
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        self.0.get_bytes(start, length)
    }
}

impl<R: Read> Read for EndingRead<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.0.read(into)? {
            0 if !into.is_empty() => Err(ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Copying to nowhere, as the library steps over bytes, ends with an error and not with less.
    #[test]
    fn who_reads_on_at_the_end_is_told() {
        let file = Ending(Bytes::from_static(b"abcdef"));
        let copied = |start, count| {
            let mut read = file.get_read(start).unwrap().take(count);
            io::copy(&mut read, &mut io::sink()).map_err(|error| error.kind())
        };
        assert_eq!(copied(2, 4), Ok(4));
        assert_eq!(copied(2, 5), Err(ErrorKind::UnexpectedEof));
        assert_eq!(copied(6, 0), Ok(0));
        assert_eq!(file.get_bytes(4, 2).unwrap(), "ef");
        assert_eq!(file.len(), 6);
    }
}
