//! An owner's CSV or Parquet files, of a disk or a store, read against the agreement's declaration.
//!
//! Every value is checked; an error says file, line and column and never the value. When a value
//! is refused, reading goes on to the end without keeping rows, so that the owner hears at once
//! of every column that must be mended. Rows whose person has no pseudonym are counted and left
//! out.
//!
//! One thread cuts files into blocks of whole records, or batches; all cores parse them; rows
//! come out in the order of the file.

mod blocks;
mod cell;
mod csv;
mod error;
mod files;
mod input;
mod object;
mod parquet;
mod quotes;
mod refused;
mod rows;
mod tags;
mod texts;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::ArrayRef;
use incamera_types::{
    ColumnName, ColumnSpec, ConsentClass, DatasetSpec, Pseudonym, PurposeName, PurposeSet,
};

pub use cell::CellError;
pub(crate) use csv::open_text;
pub use error::{Place, SourceError};
pub use files::Source;
pub(crate) use files::SourceFile;
pub(crate) use input::unreadable;
pub use object::{AddressError, ObjectError};
use parquet::PURPOSES_KEY;
pub(crate) use refused::Refused;
pub use refused::{RefusedColumn, RefusedColumns};
pub use texts::{Named, RowPlace, named, read_columns, read_texts};

use self::csv::{CsvFile, Layout};
use self::parquet::{Batch, Batches, ParquetFile};
use crate::keytools::SourceKeys;
use crate::lanes::{self, Feed};
use crate::sealing::{Kinds, no_kinds};
use blocks::Block;
use files::Kind;
use rows::{Parsed, Rows};
pub use tags::TagError;
pub(crate) use tags::Tags;

/// How to read files.
pub(crate) struct Reading<'a> {
    pub(crate) spec: &'a DatasetSpec,
    /// The column with raw ids, where it is not named like the id kind.
    pub(crate) id_column: Option<&'a str>,
    pub(crate) people: &'a (dyn Fn(&str) -> Option<Pseudonym> + Sync),
    pub(crate) kinds: Kinds<'a>,
    /// Every leaf purpose of the agreement.
    pub(crate) purposes: &'a PurposeSet,
    /// The leaves of each purpose that is none itself.
    pub(crate) branches: &'a BTreeMap<PurposeName, PurposeSet>,
    /// Old names of leaves.
    pub(crate) renamed: &'a BTreeMap<PurposeName, PurposeName>,
}

impl<'a> Reading<'a> {
    /// The leaf that a file means by `name`; none for what the agreement does not have.
    fn leaf<'n>(&'n self, name: &'n PurposeName) -> Option<&'n PurposeName> {
        match self.purposes.contains(name) {
            true => Some(name),
            false => self.renamed.get(name),
        }
    }

    /// The name that `column` has in the file.
    fn name_in_file(&self, column: &'a ColumnSpec) -> &'a str {
        let kind = column.id_kind.as_ref().map(|kind| kind.as_str());
        let of_person = self.spec.is_person(&column.name);
        let id_column = self.id_column.filter(|_| of_person);
        id_column.or(kind).unwrap_or(column.name.as_str())
    }

    /// The names of all columns in the file, in the agreement's order.
    fn names_in_file(&self) -> Vec<&'a str> {
        let columns = self.spec.columns.iter();
        columns.map(|column| self.name_in_file(column)).collect()
    }
}

/// Rows of a block, typed; one entry a row in `people` and `row_classes` where there are such
/// columns.
pub(crate) struct Table {
    /// In the order of the stored columns; the one that says whose row it is is in `people` instead.
    pub(crate) columns: Vec<Option<ArrayRef>>,
    pub(crate) people: Vec<Pseudonym>,
    /// Numbers of `classes`.
    pub(crate) row_classes: Vec<u32>,
    pub(crate) classes: Vec<ConsentClass>,
    pub(crate) rows: usize,
}

/// What was changed or left out, for the owner's eyes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) rows: u64,
    pub(crate) without_pseudonym: u64,
    pub(crate) clamped: BTreeMap<ColumnName, u64>,
    pub(crate) replaced: BTreeMap<ColumnName, u64>,
    pub(crate) twice: BTreeMap<ColumnName, u64>,
    pub(crate) skipped: BTreeMap<ColumnName, u64>,
    pub(crate) ignored: Vec<String>,
}

impl Counts {
    fn add(&mut self, more: Self) {
        self.rows += more.rows;
        self.without_pseudonym += more.without_pseudonym;
        for (all, more) in [
            (&mut self.clamped, more.clamped),
            (&mut self.replaced, more.replaced),
            (&mut self.twice, more.twice),
            (&mut self.skipped, more.skipped),
        ] {
            for (name, count) in more {
                *all.entry(name).or_default() += count;
            }
        }
    }
}

/// What reading gave besides rows.
pub(crate) struct Read {
    pub(crate) counts: Counts,
    pub(crate) tags: Tags,
}

/// Reads all of `source`: has `finish` done with the rows of each block, on all cores, and gives
/// what comes of it to `take`, in the order of the rows. `progress` hears of rows now and then.
pub(crate) fn read<T: Send, E: From<SourceError>>(
    source: &Source,
    reading: &Reading<'_>,
    progress: &mut dyn FnMut(u64),
    finish: impl Fn(Table) -> T + Sync,
    take: impl FnMut(T) -> Result<(), E>,
) -> Result<Read, E> {
    let mut feed = Files {
        source,
        reading,
        wanted: reading.names_in_file(),
        next: 0,
        open: None,
        names: None,
        tags: Tags::default(),
        counts: Counts::default(),
        refused: Refused::default(),
        progress,
        take,
        kind: std::marker::PhantomData,
    };
    lanes::in_order(&mut feed, |piece: Piece| {
        parse(source, reading, piece, &finish)
    })?;
    if feed.refused.is_empty() {
        let (counts, tags) = (feed.counts, feed.tags);
        return Ok(Read { counts, tags });
    }
    let names = feed.wanted;
    let name = |n: usize| names.get(n).map_or("", |name| *name).to_owned();
    let columns = feed.refused.columns(name, |file| source.which(file));
    Err(SourceError::Values { columns }.into())
}

/// A piece of a file that is parsed on one thread.
struct Piece {
    file: usize,
    rows: PieceRows,
}

enum PieceRows {
    Block(Block, Arc<Layout>),
    Batch(Batch),
}

fn parse<T>(
    source: &Source,
    reading: &Reading<'_>,
    piece: Piece,
    finish: impl Fn(Table) -> T,
) -> Result<(Parsed, Option<T>), SourceError> {
    let mut rows = Rows::new(reading, piece.file);
    let path = source.name(piece.file);
    let read = match &piece.rows {
        PieceRows::Block(block, layout) => csv::read_block(path, block, layout, &mut rows),
        PieceRows::Batch(batch) => parquet::read_batch(path, batch, reading, &mut rows),
    };
    read.map_err(|error| source.in_file(path, error))?;
    let mut parsed = rows.finish();
    let finished = parsed.table.take().map(finish);
    Ok((parsed, finished))
}

enum Open {
    Csv(CsvFile, Arc<Layout>),
    Parquet(Batches),
}

/// All files, piece by piece.
struct Files<'a, T, E, F> {
    source: &'a Source,
    reading: &'a Reading<'a>,
    wanted: Vec<&'a str>,
    /// The file to open next.
    next: usize,
    open: Option<Open>,
    /// The columns of the first file, in order of name.
    names: Option<Vec<String>>,
    tags: Tags,
    counts: Counts,
    refused: Refused,
    progress: &'a mut dyn FnMut(u64),
    take: F,
    kind: std::marker::PhantomData<fn(T) -> E>,
}

impl<T, E, F> Files<'_, T, E, F> {
    /// Opens the next file, if there is one.
    fn open(&mut self) -> Result<bool, SourceError> {
        let source = self.source;
        let Some(file) = source.files().get(self.next) else {
            return Ok(false);
        };
        self.next += 1;
        let opened = self.open_file(file, source.keys(self.next - 1));
        opened.map_err(|error| source.in_file(file.name(), error))?;
        Ok(true)
    }

    fn open_file(
        &mut self,
        file: &SourceFile,
        keys: Option<&SourceKeys>,
    ) -> Result<(), SourceError> {
        let path = file.name();
        let (open, names, ignored) = match self.source.kind() {
            Kind::Csv => {
                let file = CsvFile::open(file)?;
                let (layout, ignored) = file.layout(&self.wanted)?;
                let names = file.names.clone();
                (Open::Csv(file, layout), names, ignored)
            }
            Kind::Parquet => {
                let file = ParquetFile::open(file, keys)?;
                let (names, tags) = (file.names.clone(), file.tags());
                let (batches, ignored) = file.read(&self.wanted)?;
                self.tags.add(&tags, self.reading)?;
                (Open::Parquet(batches), names, ignored)
            }
        };
        self.same_columns(path, names)?;
        self.counts.ignored = ignored;
        self.open = Some(open);
        Ok(())
    }

    fn same_columns(&mut self, path: &Path, mut names: Vec<String>) -> Result<(), SourceError> {
        names.sort();
        if *self.names.get_or_insert_with(|| names.clone()) == names {
            return Ok(());
        }
        Err(SourceError::OtherColumns { path: path.into() })
    }

    fn next_piece(&mut self) -> Result<Option<Piece>, SourceError> {
        loop {
            let rows = match &mut self.open {
                Some(Open::Csv(file, layout)) => {
                    let block = file.next();
                    block.map(|block| Some(PieceRows::Block(block?, Arc::clone(layout))))
                }
                Some(Open::Parquet(batches)) => {
                    batches.next().map(|batch| batch.map(PieceRows::Batch))
                }
                None => Ok(None),
            };
            let file = self.next.saturating_sub(1);
            let path = self.source.name(file);
            if let Some(rows) = rows.map_err(|error| self.source.in_file(path, error))? {
                return Ok(Some(Piece { file, rows }));
            }
            if !self.open()? {
                return Ok(None);
            }
        }
    }
}

impl<T, E, F> Feed for Files<'_, T, E, F>
where
    T: Send,
    E: From<SourceError>,
    F: FnMut(T) -> Result<(), E>,
{
    type Item = Piece;
    type Done = Result<(Parsed, Option<T>), SourceError>;
    type Error = E;

    fn next(&mut self) -> Result<Option<Piece>, E> {
        Ok(self.next_piece()?)
    }

    fn take(&mut self, done: Self::Done) -> Result<(), E> {
        let (parsed, finished) = done?;
        self.counts.add(parsed.counts);
        self.refused.append(parsed.refused);
        (self.progress)(self.counts.rows);
        match finished {
            Some(finished) if self.refused.is_empty() => (self.take)(finished),
            _ => Ok(()),
        }
    }
}

/// Reads all of `source` as sealing it as `spec` would, and keeps nothing: whether it can be
/// sealed, and how many rows it has. `purposes` are the leaves that a consent may name.
///
/// # Errors
/// [`SourceError`], as sealing the same file would give.
pub fn check_source(
    source: &Source,
    spec: &DatasetSpec,
    purposes: &PurposeSet,
    people: &(dyn Fn(&str) -> Option<Pseudonym> + Sync),
) -> Result<u64, SourceError> {
    let reading = Reading {
        spec,
        id_column: None,
        people,
        kinds: &no_kinds,
        purposes,
        branches: &BTreeMap::new(),
        renamed: &BTreeMap::new(),
    };
    let keep_nothing = |()| Ok::<_, SourceError>(());
    let read = read(source, &reading, &mut |_| {}, |_| (), keep_nothing)?;
    Ok(read.counts.rows)
}

/// For each of `wanted`, its place among `found`; and the names that nobody wants.
fn places(
    path: &Path,
    wanted: &[&str],
    found: &[String],
) -> Result<(Vec<usize>, Vec<String>), SourceError> {
    let mut missing = Vec::new();
    let mut places = Vec::new();
    for name in wanted {
        let mut hits = found.iter().enumerate().filter(|(_, found)| found == name);
        match (hits.next(), hits.next()) {
            (Some((at, _)), None) => places.push(at),
            (None, _) => missing.push((*name).to_owned()),
            (Some(_), Some(_)) => {
                return Err(SourceError::DuplicateColumn {
                    path: path.into(),
                    name: (*name).to_owned(),
                });
            }
        }
    }
    if !missing.is_empty() {
        return Err(not_there(path, missing, found));
    }
    let unwanted = found.iter().filter(|name| !wanted.contains(&name.as_str()));
    Ok((places, unwanted.cloned().collect()))
}

/// What is missing, or there under names that differ in upper and lower case alone.
fn not_there(path: &Path, missing: Vec<String>, found: &[String]) -> SourceError {
    let path = path.into();
    let lower = |name: &String| name.to_lowercase();
    let found: Vec<String> = found.iter().map(lower).collect();
    let (names, gone): (Vec<_>, Vec<_>) =
        (missing.into_iter()).partition(|name| found.contains(&lower(name)));
    match gone.is_empty() {
        true => SourceError::OtherCase { path, names },
        false => SourceError::MissingColumns { path, names: gone },
    }
}
