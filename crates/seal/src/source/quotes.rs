//! Finds a quotation mark that is never closed: to the CSV reader such a file just ends, with
//! everything after the mark in one field, or lost.

use std::io::{self, Read};

/// Where the bytes so far leave a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// At the start of a field.
    Start,
    /// In a field without quotation marks around it: marks inside stand for themselves.
    Plain,
    /// Between quotation marks.
    Quoted,
    /// After a mark in such a field: its end, or the first of two.
    Mark,
}

/// Passes bytes on and follows their quotation marks.
pub(super) struct Quotes<R> {
    inner: R,
    state: State,
    line: u64,
    opened: u64,
    /// Bytes of a byte-order mark seen so far; the whole of it is no part of the first field.
    mark: usize,
    ended: bool,
}

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

impl<R> Quotes<R> {
    pub(super) fn new(inner: R) -> Self {
        Self {
            inner,
            state: State::Start,
            line: 1,
            opened: 0,
            mark: 0,
            ended: false,
        }
    }

    /// The line with the mark that is open at the file's end, once that was read.
    pub(super) fn open_at_end(&self) -> Option<u64> {
        (self.ended && self.state == State::Quoted).then_some(self.opened)
    }

    fn follow(&mut self, byte: u8) {
        if BYTE_ORDER_MARK.get(self.mark) == Some(&byte) {
            self.mark += 1;
            return;
        }
        self.mark = BYTE_ORDER_MARK.len();
        self.state = match (self.state, byte) {
            (State::Start, b'"') => {
                self.opened = self.line;
                State::Quoted
            }
            (State::Quoted, b'"') => State::Mark,
            (State::Mark, b'"') | (State::Quoted, _) => State::Quoted,
            (_, b',' | b'\n' | b'\r') => State::Start,
            _ => State::Plain,
        };
        self.line += u64::from(byte == b'\n');
    }
}

impl<R: Read> Read for Quotes<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.ended = count == 0 && !buffer.is_empty();
        for byte in buffer.iter().take(count) {
            self.follow(*byte);
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &[u8]) -> Option<u64> {
        let mut quotes = Quotes::new(text);
        io::copy(&mut quotes, &mut io::sink()).unwrap();
        quotes.open_at_end()
    }

    #[test]
    fn open_marks_are_found() {
        for (text, line) in [
            ("a,b\n1,\"2\n", Some(2)),
            ("a,b\n1,\"2\n3,4\n5,6\n", Some(2)),
            ("a,b\n\"1\",\"2\"\"\n", Some(2)),
            ("a,b\n\"1\n2\",\"3\n", Some(3)),
            ("\u{feff}\"a,b\n1,2\n", Some(1)),
            ("a,b\n1,\"2\"\n", None),
            ("a,b\n1,\"2\"\"\"\n", None),
            ("a,b\n1,\"2\"", None),
            ("a,b\n1,2\" of pipe\n", None),
            ("a,b\r\n\"x\ny\",2\r\n", None),
            ("\u{feff}\"a\",b\n1,2\n", None),
            ("", None),
        ] {
            assert_eq!(open(text.as_bytes()), line, "{text:?}");
        }
    }

    proptest::proptest! {
        /// The CSV reader sees the same fields whether or not a mark is put at the end of a
        /// file that leaves one open, and other fields if none is open.
        #[test]
        fn it_agrees_with_the_reader(text in "[ab\",\n]{0,24}") {
            let fields = |text: &str| {
                let mut reader = csv::ReaderBuilder::new()
                    .has_headers(false)
                    .flexible(true)
                    .from_reader(text.as_bytes());
                let records = reader.records().map(Result::unwrap);
                records.map(|record| record.iter().map(str::to_owned).collect()).collect::<Vec<Vec<String>>>()
            };
            // What follows the text is inside the last field if, and only if, a mark is open.
            let after = fields(&format!("{text}\nEND"));
            let apart = after.last().and_then(|last| last.first()).is_some_and(|field| field == "END");
            proptest::prop_assert_eq!(open(text.as_bytes()).is_none(), apart, "{:?}", after);
        }
    }
}
