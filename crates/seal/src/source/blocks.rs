//! A CSV file in blocks of whole records.

use std::io::Read;

use super::quotes::{End, Quotes};

/// Bytes that a block has, or a few more.
pub(super) const BLOCK_BYTES: usize = 1 << 20;
/// The most bytes that one record may have.
const MOST_RECORD_BYTES: usize = 64 << 20;

/// Whole records of a file.
pub(super) struct Block {
    pub(super) bytes: Vec<u8>,
    /// The line of the file that the first byte is on.
    pub(super) line: u64,
    /// Whether it is the file's first, with the header.
    pub(super) first: bool,
}

/// Why there is no next block.
pub(super) enum BlockError {
    Io(std::io::Error),
    /// A mark is open from this line on, to the end or for longer than any record may be.
    Open(u64),
    /// A record that begins after this line is longer than any may be.
    TooLong(u64),
}

/// A file that is read block by block.
pub(super) struct Blocks<R> {
    input: R,
    quotes: Quotes,
    /// What is read and not given yet.
    rest: Vec<u8>,
    /// The last end of a record in it.
    end: Option<End>,
    line: u64,
    first: bool,
    block_bytes: usize,
}

impl<R: Read> Blocks<R> {
    pub(super) fn new(input: R, block_bytes: usize) -> Self {
        Self {
            input,
            quotes: Quotes::new(),
            rest: Vec::new(),
            end: None,
            line: 1,
            first: true,
            block_bytes,
        }
    }

    /// The next block; none at the end of the file.
    pub(super) fn next(&mut self) -> Result<Option<Block>, BlockError> {
        loop {
            let ended = self.fill().map_err(BlockError::Io)?;
            if let (true, Some(line)) = (ended, self.quotes.open()) {
                return Err(BlockError::Open(line));
            }
            if ended {
                let all = self.rest.len();
                let line = self.line;
                return Ok((all > 0).then(|| self.give(End { at: all, line })));
            }
            if let Some(end) = self.end.take() {
                return Ok(Some(self.give(end)));
            }
            if self.rest.len() > MOST_RECORD_BYTES {
                let open = self.quotes.open().map(BlockError::Open);
                return Err(open.unwrap_or(BlockError::TooLong(self.line)));
            }
        }
    }

    /// Reads as much as a block has; says whether the file ended.
    fn fill(&mut self) -> std::io::Result<bool> {
        let from = self.rest.len();
        let most = self.block_bytes as u64;
        let read = (&mut self.input).take(most).read_to_end(&mut self.rest)?;
        let new = self.rest.get(from..).unwrap_or_default();
        if let Some(end) = self.quotes.follow(new) {
            self.end = Some(End {
                at: from + end.at,
                ..end
            });
        }
        Ok(read < self.block_bytes)
    }

    /// What is before `end`.
    fn give(&mut self, end: End) -> Block {
        let mut rest = Vec::with_capacity(self.block_bytes + (self.block_bytes >> 2));
        rest.extend_from_slice(self.rest.get(end.at..).unwrap_or_default());
        self.rest.truncate(end.at);
        let bytes = std::mem::replace(&mut self.rest, rest);
        let block = Block {
            bytes,
            line: self.line,
            first: self.first,
        };
        (self.line, self.first) = (end.line, false);
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(text: &str, block_bytes: usize) -> Vec<(String, u64)> {
        let mut blocks = Blocks::new(text.as_bytes(), block_bytes);
        let mut all = Vec::new();
        while let Ok(Some(block)) = blocks.next() {
            all.push((String::from_utf8(block.bytes).unwrap(), block.line));
        }
        all
    }

    #[test]
    fn records_stay_whole() {
        let text = "a,b\n1,\"2\n3\"\n4,5\n6,7";
        for bytes in 1..30 {
            let blocks = blocks(text, bytes);
            let all: String = blocks.iter().map(|(text, _)| text.as_str()).collect();
            assert_eq!(all, text);
            let mut line = 1;
            for (block, at) in blocks {
                assert_eq!(at, line, "{block:?}");
                assert!(block.matches('"').count() != 1, "{block:?}");
                line += block.matches('\n').count() as u64;
            }
        }
    }

    #[test]
    fn an_open_mark_is_found_at_the_end() {
        let mut blocks = Blocks::new("a\n1\n\"2\n3\n".as_bytes(), 4);
        assert!(matches!(blocks.next(), Ok(Some(_))));
        assert!(matches!(blocks.next(), Err(BlockError::Open(3))));
    }
}
