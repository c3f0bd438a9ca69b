//! Follows the quotation marks of a CSV file: where a record ends, and whether a mark is never
//! closed. To the CSV reader a file with such a mark just ends, with everything after it in one
//! field, or lost.

use memchr::{memchr, memchr_iter, memrchr2};

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

/// The end of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The bytes before it.
    pub(super) at: usize,
    /// The line that begins there.
    pub(super) line: u64,
}

/// What the bytes so far were.
pub(super) struct Quotes {
    state: State,
    line: u64,
    opened: u64,
    /// Bytes of a byte-order mark seen so far; the whole of it is no part of the first field.
    mark: usize,
}

const BYTE_ORDER_MARK: [u8; 3] = [0xef, 0xbb, 0xbf];

impl Quotes {
    pub(super) fn new() -> Self {
        Self {
            state: State::Start,
            line: 1,
            opened: 0,
            mark: 0,
        }
    }

    /// The line with the mark that is open now.
    pub(super) fn open(&self) -> Option<u64> {
        (self.state == State::Quoted).then_some(self.opened)
    }

    /// Follows more bytes; gives the last end of a record among them.
    pub(super) fn follow(&mut self, bytes: &[u8]) -> Option<End> {
        let plain = matches!(self.state, State::Start | State::Plain);
        if plain && self.mark == BYTE_ORDER_MARK.len() && memchr(b'"', bytes).is_none() {
            return self.follow_plain(bytes);
        }
        let mut end = None;
        for (at, byte) in bytes.iter().enumerate() {
            self.step(*byte);
            if self.state == State::Start && matches!(byte, b'\n' | b'\r') {
                end = Some(End {
                    at: at + 1,
                    line: self.line,
                });
            }
        }
        end
    }

    /// Bytes without a mark, and none is open.
    fn follow_plain(&mut self, bytes: &[u8]) -> Option<End> {
        let last = bytes.last()?;
        self.state = match last {
            b',' | b'\n' | b'\r' => State::Start,
            _ => State::Plain,
        };
        let before = self.line;
        self.line += memchr_iter(b'\n', bytes).count() as u64;
        let at = memrchr2(b'\n', b'\r', bytes)? + 1;
        let behind = memchr_iter(b'\n', bytes.get(at..).unwrap_or_default()).count() as u64;
        debug_assert!(self.line - behind >= before);
        Some(End {
            at,
            line: self.line - behind,
        })
    }

    fn step(&mut self, byte: u8) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &[u8]) -> Option<u64> {
        let mut quotes = Quotes::new();
        quotes.follow(text);
        quotes.open()
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

        /// However the bytes come, the ends of records are the same.
        #[test]
        fn pieces_make_no_difference(text in "[ab\",\r\n]{0,40}", cut in 0usize..40) {
            let cut = cut.min(text.len());
            let whole = {
                let mut quotes = Quotes::new();
                (quotes.follow(text.as_bytes()), quotes.open())
            };
            let mut quotes = Quotes::new();
            let first = quotes.follow(&text.as_bytes()[..cut]);
            let second = quotes.follow(&text.as_bytes()[cut..]);
            let second = second.map(|end| End { at: end.at + cut, ..end });
            proptest::prop_assert_eq!((second.or(first), quotes.open()), whole);
        }
    }
}
