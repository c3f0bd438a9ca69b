//! The rows of the part at hand, as `match split` left them.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use incamera_agreement::Agreement;
use incamera_matching::Partition;
use incamera_matching::ids::Often;
use incamera_matching::journal::JournalFile;
use incamera_matching::part_file::{PartError, PartHead, PartKey, PartReader};
use incamera_types::IdWriting;

use super::counted::{FirstFew, Rows};
use super::reading::Takes;
use crate::failure::Failure;
use crate::printer::Printer;

/// The file of a part in the folder of a split.
pub fn name(partition: Partition) -> String {
    format!("p{}of{}.ids", partition.number(), partition.of())
}

/// A part's file.
pub struct Parted {
    path: PathBuf,
    key: PartKey,
    head: PartHead,
}

/// A file that is read alone.
struct Whole {
    file: File,
    bytes: u64,
}

impl JournalFile for Whole {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.bytes)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, at)
    }

    fn append(&mut self, _: &[u8]) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn cut(&mut self, _: u64) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }
}

impl Parted {
    /// The part's file in the folder `split`, of this version of the agreement.
    pub fn open(
        split: &Path,
        key: PartKey,
        partition: Partition,
        agreement: &Agreement,
    ) -> Result<Self, Failure> {
        if partition.is_whole() {
            return Err(Failure::usage("there are no parts in this agreement")
                .hint("leave `--split` out, and name the files with `--data`"));
        }
        let path = split.join(name(partition));
        let head = reader(&path, &key)?.head().clone();
        let other = if head.agreement != agreement.digest {
            "it was split under another version of the agreement".to_owned()
        } else if head.partition != partition {
            format!(
                "it holds part {}, and has the name of another one",
                head.partition
            )
        } else {
            return Ok(Self { path, key, head });
        };
        Err(unread(&path).why(other).hint(AGAIN))
    }

    /// The column that the ids stood in.
    pub fn column(&self) -> &str {
        &self.head.column
    }

    pub fn writing(&self) -> IdWriting {
        self.head.writing
    }

    pub fn everyone_consented(&self) -> bool {
        self.head.everyone_consented
    }

    /// Hands every row to `taker`; what is said of them is what would be said of the whole data.
    pub fn rows(&self, printer: &Printer, taker: &mut dyn Takes) -> Result<Rows, Failure> {
        let bar = printer.progress("reading ids", None);
        let mut reader = reader(&self.path, &self.key)?;
        while let Some((id, purposes)) =
            reader.next().map_err(|error| failure(&self.path, &error))?
        {
            taker.take(id, purposes)?;
            bar.inc(1);
        }
        bar.finish_and_clear();
        let totals = reader.totals().cloned().unwrap_or_default();
        Ok(Rows {
            counts: totals.counts,
            // Told when they were split.
            often: Often::default(),
            invalid: FirstFew::of(totals.counts.invalid, totals.invalid_first),
            elsewhere: totals.counts.valid() - totals.here,
            consent: totals.consent,
            unasked: totals.unasked,
        })
    }
}

fn reader(path: &Path, key: &PartKey) -> Result<PartReader<Whole>, Failure> {
    let open = || {
        let file = File::open(path)?;
        let bytes = file.metadata()?.len();
        PartReader::open(Whole { file, bytes }, key)
    };
    open().map_err(|error: PartError| failure(path, &error))
}

fn failure(path: &Path, error: &PartError) -> Failure {
    let hint = match error {
        PartError::File(error) if error.kind() == ErrorKind::NotFound => {
            "name the folder that `match split` made with `--split`, with the file of this part in it"
        }
        _ => AGAIN,
    };
    unread(path).because(error).hint(hint)
}

fn unread(path: &Path) -> Failure {
    Failure::failed(format!("the ids in `{}` were not read", path.display()))
}

const AGAIN: &str = "nothing was sent: copy the file again from where it was split, or split the ids again with `match split`";
