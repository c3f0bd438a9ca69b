//! `match split`: very many ids are read once, into a file for each part.
//!
//! The files stand in a folder beside the one that was asked for until all of them are whole and
//! on the disk; then it gets its name. What a killed split left is cleared away by the next one
//! that writes there.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use incamera_agreement::{Agreement, MatchingMethod, Reveals};
use incamera_dp::interval::thousands;
use incamera_matching::journal::JournalFile;
use incamera_matching::part_file::{
    MAX_BLOCK_BYTES, PartError, PartHead, PartKey, PartTotals, PartWriter,
};
use incamera_matching::{Parts, Terms};
use rand::rngs::ThreadRng;
use serde_json::json;

use super::agreed::{id_kind, peer, terms};
use super::counted::Rows;
use super::parted::name;
use super::reading::{Reading, Takes};
use super::report::Usage;
use super::ring;
use crate::args::MatchSplit;
use crate::commands::room_client;
use crate::failure::{Context, Done, Failure};
use crate::folder::{Folder, partitions};
use crate::printer::Printer;
use crate::words::bytes;

/// Memory for rows that are not written yet, of all parts together.
const MEMORY_BYTES: usize = 64 << 20;

const NOT_SPLIT: &str = "the ids were not split";

/// Reads all rows and writes a file for each part.
pub fn run(arguments: &MatchSplit, printer: &Printer) -> Done {
    let start = Instant::now();
    let folder = Folder::open(&arguments.party.party)?;
    let file = folder.agreement_file(arguments.under.agreement.as_deref())?;
    let signed = room_client::own_agreement(&folder, &file)?;
    let agreement = signed.agreement();
    let kind = id_kind(arguments.id.as_ref(), agreement)?;
    in_parts(agreement)?;
    let peer = peer(agreement, folder.name())?;
    let terms = terms(agreement, &kind)?;
    let unfinished = Unfinished::begin(&arguments.out)?;
    let (secret, sources) = ring::secret_alone(&arguments.data, &folder, &terms)?;
    let reading = Reading {
        agreement,
        me: folder.name(),
        printer,
        kind: &kind,
        column: arguments.ids.column(&kind),
        writing: arguments.ids.writing(agreement.matching.id_writing(&kind)),
        asked: &arguments.asked,
        data: &arguments.data,
        sources: &sources,
    };
    let key = PartKey::of(&secret, &terms, &peer);
    let mut splitting = Splitting::begin(&reading, &terms, &key, &unfinished.path)?;
    let rows = reading.all("splitting ids", &mut splitting)?;
    if splitting.agreed == 0 {
        return Err(rows.nobody(&kind, reading.column, &reading.writing));
    }
    let sizes = splitting.finish(&rows)?;
    let size = unfinished.finish(&arguments.out)?;
    rows.warn(&kind, reading.column, printer);
    let split = Split {
        reading: &reading,
        rows: &rows,
        sizes: &sizes,
        size,
        arguments,
        start,
    };
    printer.result(split.text(), "incamera-match-split/1", &split.document());
    Ok(())
}

/// Refuses where all ids are matched in one run.
fn in_parts(agreement: &Agreement) -> Done {
    let matching = &agreement.matching;
    match matching.match_partitions {
        1 if matching.method != MatchingMethod::Commutative || matching.reveals != Reveals::Nothing => Err(Failure::usage("there are no parts to split ids into")
            .why("ids are split into parts by method `commutative` alone, where it reveals nothing")
            .hint("run `incamera match run` with the files as they are")),
        1 => Err(Failure::usage("there are no parts to split ids into")
            .why("the agreement has all ids matched in one run")
            .hint("run `incamera match run` with the files as they are, or agree on `match_partitions` in a new version")),
        _ => Ok(()),
    }
}

/// A folder that is not whole yet; it goes where it never will be.
struct Unfinished {
    path: PathBuf,
    /// Held.
    _lock: File,
    finished: bool,
}

impl Unfinished {
    /// Takes the place where `out` is made, and clears away what a killed split left there.
    fn begin(out: &Path) -> Result<Self, Failure> {
        let path = beside(out)?;
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&path);
        made.or_fail(NOT_SPLIT)?;
        let lock = private()
            .create(true)
            .open(path.join(LOCK))
            .or_fail(NOT_SPLIT)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Failure::failed(NOT_SPLIT)
                    .why(format!(
                        "another `match split` is making `{}`",
                        out.display()
                    ))
                    .hint("let that one go on, or name another folder with `--out`"));
            }
            Err(TryLockError::Error(error)) => {
                return Err(Failure::failed(NOT_SPLIT).because(&error));
            }
        }
        let unfinished = Self {
            path,
            _lock: lock,
            finished: false,
        };
        // Whoever held it may have been done while this one waited for the disk.
        refuse_to_overwrite(out)?;
        clear(&unfinished.path).or_fail(NOT_SPLIT)?;
        Ok(unfinished)
    }

    /// Gives it its name, durably; the bytes of its files.
    fn finish(mut self, out: &Path) -> Result<u64, Failure> {
        let put = || {
            let mut size = 0;
            for entry in fs::read_dir(&self.path)? {
                size += entry?.metadata()?.len();
            }
            File::open(&self.path)?.sync_all()?;
            fs::rename(&self.path, out)?;
            File::open(parent(out))?.sync_all()?;
            fs::remove_file(out.join(LOCK))?;
            io::Result::Ok(size)
        };
        let size = put().or_fail(NOT_SPLIT)?;
        self.finished = true;
        Ok(size)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            // What stays is ciphertext, and the next split that writes there removes it.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

const LOCK: &str = "lock";

/// Where the folder is made: beside where it will be, so that one rename puts it there.
fn beside(out: &Path) -> Result<PathBuf, Failure> {
    refuse_to_overwrite(out)?;
    let name = out
        .file_name()
        .ok_or_else(|| Failure::usage(format!("`{}` is no name for a folder", out.display())))?;
    let mut unfinished = name.to_owned();
    unfinished.push(".unfinished");
    Ok(parent(out).join(unfinished))
}

fn parent(out: &Path) -> &Path {
    match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn refuse_to_overwrite(out: &Path) -> Done {
    match fs::symlink_metadata(out) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::failed(NOT_SPLIT).because(&error)),
        Ok(_) => Err(Failure::usage(format!("`{}` is there already", out.display()))
            .hint("nothing was read or written: name a folder that is not there with `--out`, or remove that one first")),
    }
}

/// Removes what a killed split wrote.
fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "ids") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Read and written by the owner alone.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    options
}

/// A part's file while it is written: open for each block alone, since a process may not have
/// thousands open.
struct Growing {
    path: PathBuf,
    bytes: u64,
}

impl JournalFile for Growing {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.bytes)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        File::open(&self.path)?.read_exact_at(into, at)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(&self.path)?;
        file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        File::open(&self.path)?.sync_data()
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        let file = private().create(true).truncate(false).open(&self.path)?;
        file.set_len(bytes)?;
        self.bytes = bytes;
        Ok(())
    }
}

/// Rows on their way into the files of all parts.
struct Splitting {
    parts: Parts,
    files: Vec<PartWriter<Growing>>,
    /// Rows whose person agreed to something.
    agreed: u64,
    rng: ThreadRng,
}

impl Splitting {
    fn begin(
        reading: &Reading<'_>,
        terms: &Terms,
        key: &PartKey,
        folder: &Path,
    ) -> Result<Self, Failure> {
        let mut rng = rand::rng();
        let block_bytes =
            MEMORY_BYTES / reading.agreement.matching.match_partitions.max(1) as usize;
        let file = |partition| {
            let head = PartHead {
                agreement: reading.agreement.digest,
                partition,
                writing: reading.writing,
                column: reading.column.to_owned(),
                everyone_consented: reading.asked.everyone_consented,
            };
            let growing = Growing {
                path: folder.join(name(partition)),
                bytes: 0,
            };
            PartWriter::create(
                growing,
                key,
                &head,
                block_bytes.min(MAX_BLOCK_BYTES),
                &mut rng,
            )
        };
        let files = partitions(reading.agreement).map(file);
        let files = files.collect::<Result<_, PartError>>();
        Ok(Self {
            parts: terms.parts(reading.agreement.matching.match_partitions),
            files: files.map_err(|error| unwritten(&error))?,
            agreed: 0,
            rng: rand::rng(),
        })
    }

    /// Ends all files; how many rows each has.
    fn finish(mut self, rows: &Rows) -> Result<Vec<u64>, Failure> {
        let totals = PartTotals {
            here: 0,
            counts: rows.counts,
            invalid_first: rows.invalid.kept(),
            consent: rows.consent.clone(),
            unasked: rows.unasked,
        };
        let sizes = self.files.iter().map(PartWriter::rows).collect();
        for file in self.files {
            let finished = file.finish(&totals, &mut self.rng);
            finished.map_err(|error| unwritten(&error))?;
        }
        Ok(sizes)
    }
}

impl Takes for Splitting {
    fn wants(&self, _: &str) -> bool {
        true
    }

    fn take(&mut self, id: &str, purposes: u64) -> Done {
        self.agreed += u64::from(purposes != 0);
        let number = self.parts.number(id) as usize;
        let Some(file) = self.files.get_mut(number) else {
            return Err(Failure::failed(NOT_SPLIT));
        };
        let pushed = file.push(id, purposes, &mut self.rng);
        pushed.map_err(|error| unwritten(&error))
    }
}

fn unwritten(error: &PartError) -> Failure {
    Failure::failed(NOT_SPLIT).because(error)
}

/// What it came to.
struct Split<'a> {
    reading: &'a Reading<'a>,
    rows: &'a Rows,
    /// Rows of each part.
    sizes: &'a [u64],
    /// Bytes of all files.
    size: u64,
    arguments: &'a MatchSplit,
    start: Instant,
}

impl Split<'_> {
    fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn bounds(&self) -> (u64, u64) {
        let (least, most) = (self.sizes.iter().min(), self.sizes.iter().max());
        (
            least.copied().unwrap_or_default(),
            most.copied().unwrap_or_default(),
        )
    }

    fn rate(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a rate that people read")]
        let rows = self.rows.counts.rows as f64;
        rows / self.seconds().max(1e-9)
    }

    /// What is typed for each part.
    fn command(&self) -> String {
        let arguments = self.arguments;
        let mut command = format!(
            "incamera match run --party {}",
            arguments.party.party.display()
        );
        if let Some(file) = &arguments.under.agreement {
            command += &format!(" --agreement {}", file.display());
        }
        command
            + &format!(
                " --split {} --partition N/{}",
                arguments.out.display(),
                self.sizes.len()
            )
    }

    fn text(&self) -> String {
        let (rows, (least, most)) = (self.rows, self.bounds());
        let counts = &rows.counts;
        let mut text = format!(
            "the rows of {} ids of kind `{}` stand in {} files, one for each part ({:.1} s)\n  rows {}, empty {}, invalid {}; {} to {} in each part",
            thousands(counts.valid()),
            self.reading.kind,
            self.sizes.len(),
            self.seconds(),
            counts.rows,
            counts.empty,
            counts.invalid,
            thousands(least),
            thousands(most),
        );
        if counts.invalid > 0 {
            text += &format!("\n  invalid: {}", rows.invalid.words(self.reading.data));
        }
        if let Some(line) = rows.unasked_words(self.reading.asked.everyone_consented) {
            text += &format!("\n  {line}");
        }
        text += &format!(
            "\n  {:.0} rows a second; {} on disk: {} (sealed under your key ring)\n  match each part, N from 0 to {}: {}\n  then remove the folder: whoever is forgotten later still stands in it",
            self.rate(),
            bytes(self.size),
            self.arguments.out.display(),
            self.sizes.len().saturating_sub(1),
            self.command(),
        );
        text
    }

    fn document(&self) -> serde_json::Value {
        let (rows, (least, most), usage) = (self.rows, self.bounds(), Usage::now());
        let (counts, writing) = (&rows.counts, &self.reading.writing);
        json!({
            "id_kind": self.reading.kind, "parts": self.sizes.len(),
            "rules": writing.rules.number(), "form": writing.form.to_string(),
            "region": writing.region.map(|region| region.to_string()),
            "rows": counts.rows, "empty": counts.empty, "invalid": counts.invalid,
            "invalid_first": rows.invalid.document(), "consent_column": rows.consent,
            "everyone_consented": self.reading.asked.everyone_consented,
            "rows_not_asked_for_consent": rows.unasked,
            "smallest_part": least, "largest_part": most, "bytes": self.size,
            "seconds": self.seconds(), "cpu_seconds": usage.cpu_seconds,
            "rows_per_second": self.rate(), "peak_mib": usage.peak_mib,
            "folder": self.arguments.out, "command": self.command(),
        })
    }
}
