//! How much memory a query may need, from public numbers alone.
//!
//! # Claim
//! The estimate follows from the agreement (people, rows a person, types of columns, listed
//! texts, groups), from the lengths of sealed parts that the manifests state, and from the
//! number of threads. No row has a part in it, so neither has a refusal (I7). The engine then
//! runs without a limit of its own: which rows meet in a join cannot end a query.
//!
//! Threads take turns in everything but memory: a room runs as many of those that it has as its
//! memory suffices for, and refuses where it does not suffice for one.
//!
//! # How it adds up
//! Each thread holds, of one block of people ([`merge`](crate::merge)):
//!
//! | what is held | bytes |
//! |---|---|
//! | the rows read | block rows x their width x [`COPIES`], a reading |
//! | what the row cut holds | what [`most_waiting_bytes`] says of their width x [`COPIES`], a reading |
//! | a join's left side, in a hash table | block rows x ([`COPIES`] x its row + [`HASH_BYTES`]) |
//! | an aggregate below the top, DISTINCT | block rows x ([`COPIES`] x its row + [`HASH_BYTES`]), and for each COUNT(DISTINCT) block rows below it x the value and [`HASH_BYTES`] |
//! | functions with OVER, which sort | block rows x 2 x [`COPIES`] x the row |
//! | what each person adds, by group | block rows, or its people x groups that there can be, x [`COPIES`] x ([`PLACE_BYTES`] + 16 a measure) |
//! | values that are counted apart | block rows x [`ROW_VALUE_BYTES`] a measure |
//! | names of discovered groups | block rows, or groups that there can be, x [`COPIES`] x ([`NAME_BYTES`] + the longest key) |
//! | public rows, which every block meets | declared rows x their width x [`COPIES`], a reading |
//! | its parts | of the largest partition what is held of each ([`CheckedPart::most_held`](incamera_seal::CheckedPart::most_held)) x [`PART_FACTOR`] |
//! | its batches and pages | [`BASE_BYTES`] |
//!
//! Rows that may be wide, as texts without a list make them, are read in smaller batches and make
//! smaller blocks ([`batch_rows`]): by declared widths, not by their own.
//!
//! *Block rows* of a data set are the rows of a block and of a batch, and those of one person
//! more, at most as many as its people may have; its people are no more than these. A join multiplies them by the most rows of a person on the
//! other side, UNION ALL adds them up; nothing else makes more of them.
//!
//! And all threads together, until the end:
//!
//! | what is held | bytes |
//! |---|---|
//! | discovered groups | people x groups of one person x ([`GROUP_BYTES`] + 16 a measure + [`COPIES`] x the longest key) |
//! | values that are counted apart | people x groups x values of one person in a group x [`VALUE_BYTES`] a measure |
//! | who is who, where people are linked by several kinds of id | what [`linked`] says |
//!
//! *Groups of one person* are those that the query's `per_person` lets count, and no more than
//! its rows: what else a person's rows name is forgotten with the block ([`fold`](crate::fold)).
//! Where keys can have few values (listed texts, names in a CASE, a bool), there are no more
//! groups than these make, once a thread. The longest key of a text without a list has
//! [`MAX_DISCOVERED_BYTES`].
//!
//! *Rows a person* are those that the query's `rows` allow each data set, at every reading: a
//! join multiplies them, UNION ALL adds them up, an aggregate by the person alone has one.
//! *People* are those of the largest owner read.
//!
//! [`COPIES`] is 2: the engine gathers batches, then copies them into one; a map that grows has
//! its old and its new table. [`HASH_BYTES`] is a bucket (16 bytes, down to half of them in
//! use) and a link (8), [`PLACE_BYTES`] a bucket of the map of people with its places.
//! [`GROUP_BYTES`] is a bucket of the map of names, and a node of each of the two trees that
//! totals are in, one after the other.
//! [`PART_FACTOR`] is 3: a page stands in pieces of the file, and is gathered, decrypted and
//! decompressed. Tests run the engine inside the first lines' number, and people with as many
//! groups as they may have inside the last ones'.
//!
//! A public data set multiplies the rows of a left side by those that the agreement allows it,
//! unless a join goes by columns in which no two of its rows are the same
//! ([`public`](crate::public)). An owner who sealed more people than it declares, up to twice as
//! many, makes the last two lines so much larger: by default a room lets a query use half of
//! a small machine's memory.

mod sizes;

use std::fmt;

use arrow::datatypes::DataType;
use incamera_types::{ColumnType, DatasetName, DatasetSpec};
use serde::Serialize;

use crate::check::{CheckedQuery, key_name};
use crate::cut::{self, most_waiting_bytes};
use crate::fold::{MAX_DISCOVERED_BYTES, declared_cells};
use crate::measure::{Kind, Measure};
use crate::merge;
use crate::run::{Limits, times_read};
use sizes::{Size, gathered, is_text, width};

/// Copies of the same rows at a time.
const COPIES: u64 = 2;
/// Of a hash table, a row.
const HASH_BYTES: u64 = 48;
/// Of the map of people, a person and group.
const PLACE_BYTES: u64 = 112;
/// Of a block's discovered groups, a group.
const NAME_BYTES: u64 = 112;
/// Of the discovered groups that count, a group.
const GROUP_BYTES: u64 = 448;
/// The same, each of its keys.
const KEY_BYTES: u64 = 56;
/// Of a value of a block that is counted apart.
const ROW_VALUE_BYTES: u64 = 352;
/// Of a value that is counted apart, until the end.
const VALUE_BYTES: u64 = 128;
/// Of a measure with such values, a group that is discovered.
const VALUES_BYTES: u64 = 768;
/// A part while it is read.
const PART_FACTOR: u64 = 3;
/// Pages and batches of a thread, whatever the query.
const BASE_BYTES: u64 = 64 << 20;
/// A person's key, or a pseudonym.
const KEY: u64 = 16;
/// Of a row that gets another key: where it stands, twice, and the new key.
const PLACED_BYTES: u64 = COPIES * (KEY + 8) + 16 + KEY;
/// A day, a number, true or false as a key, with its length.
const SHORT_KEY: u64 = 48;
/// The longest text that is the key of a discovered group, with its length.
const LONGEST_KEY: u64 = 8 + MAX_DISCOVERED_BYTES as u64;
/// As many threads as a run may have: where that many tables of groups are less than all people's.
const MAX_THREADS: u64 = 64;
/// Of what a run may hold, the share from which on it is worth a word what to do about it.
const WORTH_A_WORD: u64 = 8;

/// A query that the room has too little memory for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the query may need {} of memory by the sizes that the agreement and the manifests state, and the room may use {}: {}give the room more (`memory_bytes`)",
    said(*.needed), said(*.allowed), or(.instead)
)]
pub struct TooLarge {
    needed: u64,
    allowed: u64,
    instead: Vec<String>,
}

/// What a query may need of a room's memory, by the sizes that the agreement declares: what is
/// held of sealed parts comes on top.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Memory {
    /// The least that a room must be allowed, in bytes.
    pub needed: u64,
    /// What a room may use that says nothing else, in bytes.
    pub room: u64,
    /// What would lessen it most.
    pub instead: Vec<String>,
}

impl Memory {
    /// What to know before anybody signs or approves: the room as it comes will refuse.
    #[must_use]
    pub fn warning(&self) -> Option<String> {
        (self.needed > self.room).then(|| {
            format!(
                "it may need {} of memory by the declared sizes, and a room as it comes may use {}: such a room refuses to run it; {}give the room more (`memory_bytes`)",
                said(self.needed),
                said(self.room),
                or(&self.instead)
            )
        })
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.needed > self.room {
            true => "it will refuse",
            false => "it has enough",
        };
        write!(
            f,
            "memory: {} at least by the declared sizes; a room as it comes may use {}: {verdict}",
            said(self.needed),
            said(self.room)
        )
    }
}

impl CheckedQuery {
    /// What a room needs to run the query, by the declared sizes.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let need = need(self, &|_| 0);
        Memory {
            needed: need.bytes(1),
            room: Limits::default().memory_bytes,
            instead: need.instead(self),
        }
    }
}

/// Bytes in the unit that people write.
fn said(bytes: u64) -> String {
    let mib = bytes.div_ceil(1 << 20);
    match mib {
        0..10_240 => format!("{mib} MiB"),
        _ => format!("{} GiB", mib.div_ceil(1 << 10)),
    }
}

/// What to do, before what can be done always.
fn or(instead: &[String]) -> String {
    instead.iter().map(|what| format!("{what}, or ")).collect()
}

/// What is held of one partition's parts, of the partition that has most, by data set.
pub(crate) type PartBytes<'a> = &'a dyn Fn(&DatasetName) -> u64;

/// How many threads, of so many, `allowed` bytes suffice for: at least one.
pub(crate) fn threads(
    checked: &CheckedQuery,
    parts: PartBytes<'_>,
    most: u64,
    allowed: u64,
) -> Result<u64, TooLarge> {
    let need = need(checked, parts);
    if need.bytes(1) <= allowed {
        let left = allowed.saturating_sub(need.all());
        return Ok((left / need.thread().max(1)).clamp(1, most.max(1)));
    }
    Err(TooLarge {
        needed: need.bytes(1),
        allowed,
        instead: need.instead(checked),
    })
}

/// What is held, and why.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    Base,
    Parts,
    Rows,
    Groups,
    Values,
    PublicKeys,
}

/// The most that a run may hold.
pub(crate) struct Need {
    /// Each thread.
    thread: Vec<(Held, u64)>,
    /// All threads together.
    all: Vec<(Held, u64)>,
}

fn sum(bytes: impl Iterator<Item = u64>) -> u64 {
    bytes.fold(0, u64::saturating_add)
}

impl Need {
    fn thread(&self) -> u64 {
        sum(self.thread.iter().map(|(_, bytes)| *bytes))
    }

    fn all(&self) -> u64 {
        sum(self.all.iter().map(|(_, bytes)| *bytes))
    }

    /// Of so many threads.
    pub(crate) fn bytes(&self, threads: u64) -> u64 {
        let of_threads = self.thread().saturating_mul(threads);
        of_threads.saturating_add(self.all())
    }

    /// What would make it less, where it comes to something.
    fn instead(&self, checked: &CheckedQuery) -> Vec<String> {
        let least = self.bytes(1) / WORTH_A_WORD;
        let of = |held: Held| {
            let both = self.thread.iter().chain(&self.all);
            sum(both.filter(|(it, _)| *it == held).map(|(_, bytes)| *bytes))
        };
        let much = |held: Held| of(held) > least;
        let mut instead = Vec::new();
        if much(Held::Groups) {
            instead.push("agree on fewer `groups` of one person (`per_person`)".to_owned());
        }
        if much(Held::Values) {
            instead.push("agree on fewer values of one person (`per_person`)".to_owned());
        }
        if much(Held::Rows) || much(Held::Groups) {
            instead.extend(unlisted(checked));
        }
        if much(Held::Rows) {
            instead.extend(fewer_rows(checked));
        }
        if much(Held::Parts) {
            instead.push("agree on more `partitions`".to_owned());
        }
        instead
    }
}

/// The texts without a list, whose values may be long.
fn unlisted(checked: &CheckedQuery) -> Option<String> {
    let named = checked.query.reads.iter().filter(|read| {
        let spec = checked.datasets.get(&read.dataset);
        let column = spec.and_then(|spec| spec.column(&read.column));
        column.is_some_and(|column| column.ty == ColumnType::Text && column.values.is_none())
    });
    let named: Vec<String> = named.map(|read| format!("`{read}`")).collect();
    (!named.is_empty()).then(|| format!("list the `values` of {}", named.join(" and ")))
}

/// The data sets of which several rows count.
fn fewer_rows(checked: &CheckedQuery) -> Option<String> {
    let named = checked.query.rows.iter().filter(|(_, rows)| **rows > 1);
    let named: Vec<String> = named.map(|(name, _)| format!("`{name}`")).collect();
    (!named.is_empty()).then(|| format!("agree on fewer `rows` of {}", named.join(" and ")))
}

/// The most bytes that a run may hold.
pub(crate) fn need(checked: &CheckedQuery, parts: PartBytes<'_>) -> Need {
    let specs = || checked.datasets.values();
    let read_of = |of: &dyn Fn(&DatasetSpec) -> u64| {
        sum(specs().map(|spec| of(spec).saturating_mul(times(checked, &spec.name))))
    };
    let of_parts = read_of(&|spec| parts(&spec.name).saturating_mul(PART_FACTOR));
    let of_rows = read_of(&|spec| read(checked, spec));
    let (size, gathered) = gathered(checked);
    let mut thread = vec![
        (Held::Base, BASE_BYTES),
        (Held::Parts, of_parts),
        (Held::Rows, of_rows),
        (Held::Rows, gathered),
        (Held::Rows, places(checked, &size)),
        (Held::Rows, names(checked, &size)),
    ];
    let mut all = vec![
        (
            Held::PublicKeys,
            sum(specs().map(|spec| keys(checked, spec))),
        ),
        (Held::Values, values(checked, size.rows)),
        (Held::Rows, linked(checked)),
    ];
    let (few, many) = discovered(checked, &size);
    thread.push((Held::Groups, few));
    all.push((Held::Groups, many));
    Need { thread, all }
}

/// The bytes of both registers with the rule's lists, and of the rows that get other keys, in
/// the order in which they were read and in the new one.
fn linked(checked: &CheckedQuery) -> u64 {
    let Some(link) = &checked.link else { return 0 };
    let people = |name: &DatasetName| checked.declared.get(name).copied().unwrap_or(0);
    let kinds = link.kinds.len() as u64;
    let registers = [&link.stays, &link.moves].into_iter();
    let registers = registers.map(|register| people(&register.dataset));
    let registers = sum(registers.map(|people| people.saturating_mul(linked_bytes(kinds))));
    let moved = checked.datasets.values().filter(|spec| link.moves(spec));
    let moved = moved.map(|spec| {
        let rows = people(&spec.name).saturating_mul(checked.most_rows(&spec.name));
        let bytes = COPIES * row(checked, spec) + PLACED_BYTES;
        let times = times_read(&checked.optimized, &spec.name) as u64;
        rows.saturating_mul(bytes).saturating_mul(times)
    });
    registers.saturating_add(sum(moved))
}

/// The bytes of a person of a register with so many kinds: columns that grow, and one kind's
/// list.
fn linked_bytes(kinds: u64) -> u64 {
    COPIES * (KEY + (KEY + 1) * kinds) + (KEY + 1) + COPIES * (KEY + 8)
}

/// The bytes of what is kept of a public data set's rows to find those that are there twice.
fn keys(checked: &CheckedQuery, spec: &DatasetSpec) -> u64 {
    let keys = checked.public_keys.get(&spec.name).into_iter().flatten();
    let columns = keys.flatten().filter_map(|name| spec.column(name));
    let bytes: u64 = columns.map(|column| HASH_BYTES + width(column).bytes).sum();
    bytes.saturating_mul(checked.most_rows(&spec.name))
}

/// The most rows that a run makes of those that the agreement allows everybody.
pub(crate) fn rows(checked: &CheckedQuery) -> u64 {
    let read = checked.datasets.keys();
    let read = read.map(|name| {
        checked
            .most_rows(name)
            .saturating_mul(handled(checked, name))
    });
    let read = read.fold(0, u64::saturating_add);
    let (size, _) = gathered(checked);
    let joined = checked.most_people.saturating_mul(size.rows);
    joined.saturating_add(checked.most_people.saturating_mul(read))
}

/// How often a run reads a data set: at least once, whatever the plan wants of it.
pub(crate) fn times(checked: &CheckedQuery, dataset: &DatasetName) -> u64 {
    times_read(&checked.optimized, dataset).max(1) as u64
}

/// How often a run handles a data set's rows: as often as it reads them, once more for linking
/// people, and once more where rows get other keys.
pub(crate) fn handled(checked: &CheckedQuery, dataset: &DatasetName) -> u64 {
    let read = times(checked, dataset);
    let Some(link) = &checked.link else {
        return read;
    };
    let spec = checked.datasets.get(dataset);
    let again = if spec.is_some_and(|spec| link.moves(spec)) {
        2
    } else {
        1
    };
    (read * again).saturating_add(u64::from(link.registers(dataset)))
}

/// The bytes of all that the engine gathers: what it may reserve.
#[cfg(test)]
pub(crate) fn of_plan(checked: &CheckedQuery) -> u64 {
    gathered(checked).1
}

/// The bytes of the discovered groups that all threads keep until the end.
#[cfg(test)]
pub(crate) fn of_groups(checked: &CheckedQuery) -> u64 {
    let (size, _) = gathered(checked);
    discovered(checked, &size).1
}

/// The bytes of a reading's rows: those of a block, and those that wait for the cut; of a
/// public data set all.
fn read(checked: &CheckedQuery, spec: &DatasetSpec) -> u64 {
    let row = row(checked, spec);
    let bytes = match spec.public {
        true => checked.most_rows(&spec.name).saturating_mul(row),
        false => {
            let block = block(checked, spec).saturating_mul(row);
            block.saturating_add(most_waiting_bytes(row, batch_rows(checked) as u64))
        }
    };
    bytes.saturating_mul(COPIES)
}

/// The most rows of a private data set in a block.
fn block(checked: &CheckedQuery, spec: &DatasetSpec) -> u64 {
    let public = checked.datasets.values().filter(|spec| spec.public);
    let public = public.map(|spec| checked.most_rows(&spec.name));
    let batch = batch_rows(checked) as u64;
    let rows = merge::block_rows(public.fold(0, u64::saturating_add), batch);
    let person = checked.most_rows(&spec.name);
    let all = checked.most_people.saturating_mul(person);
    merge::most_rows(rows, person, batch).min(all)
}

/// How many rows are read, and given by each step, at a time: fewer where the widest rows that
/// are read may be wide.
pub(crate) fn batch_rows(checked: &CheckedQuery) -> usize {
    let rows = checked.datasets.values().map(|spec| row(checked, spec));
    let rows = cut::batch_rows(rows.max().unwrap_or(0));
    usize::try_from(rows).unwrap_or(cut::BATCH_ROWS)
}

/// The bytes of a row of the columns read.
fn row(checked: &CheckedQuery, spec: &DatasetSpec) -> u64 {
    let reads = checked.query.reads.iter();
    let columns = reads.filter(|read| read.dataset == spec.name);
    let columns = columns.filter_map(|read| spec.column(&read.column));
    columns.map(|column| width(column).bytes).sum()
}

/// The bytes of what each person of a block adds to each group.
fn places(checked: &CheckedQuery, size: &Size) -> u64 {
    let groups = size.people.saturating_mul(kinds(checked, size));
    let places = size.block.min(groups);
    let of_places = places.saturating_mul(place(checked) * COPIES);
    let apart = apart(checked).count() as u64;
    let of_values = size.block.saturating_mul(apart * ROW_VALUE_BYTES);
    of_places.saturating_add(of_values)
}

fn place(checked: &CheckedQuery) -> u64 {
    PLACE_BYTES + 16 * checked.measures.len() as u64
}

/// The bytes of the names of a block's discovered groups.
fn names(checked: &CheckedQuery, size: &Size) -> u64 {
    if declared_cells(&checked.query.groups).is_some() {
        return 0;
    }
    let names = size.block.min(kinds(checked, size));
    names.saturating_mul((NAME_BYTES + longest_key(checked, size)) * COPIES)
}

/// The bytes of the discovered groups that somebody counts in: of each thread, where there can
/// be few, or of all.
fn discovered(checked: &CheckedQuery, size: &Size) -> (u64, u64) {
    if declared_cells(&checked.query.groups).is_some() {
        return (0, 0);
    }
    let per_key = KEY_BYTES * checked.query.groups.len() as u64;
    let numbers = 16 * checked.measures.len() as u64;
    let apart = VALUES_BYTES * apart(checked).count() as u64;
    let group = GROUP_BYTES + per_key + numbers + apart + COPIES * longest_key(checked, size);
    let of_people = checked
        .most_people
        .saturating_mul(groups_of_one(checked, size.rows));
    let kinds = kinds(checked, size);
    match kinds.saturating_mul(MAX_THREADS) < of_people {
        true => (kinds.saturating_mul(group), 0),
        false => (0, of_people.saturating_mul(group)),
    }
}

/// The most groups that one person counts in, with so many rows.
fn groups_of_one(checked: &CheckedQuery, rows: u64) -> u64 {
    rows.min(checked.query.per_person.groups.into())
}

/// The measures whose values are counted apart.
fn apart(checked: &CheckedQuery) -> impl Iterator<Item = &Measure> {
    let measures = checked.measures.iter();
    measures.filter(|measure| matches!(measure.kind, Kind::Distinct | Kind::Quantile))
}

/// The bytes of the values that are counted apart, of all people, of so many rows each.
fn values(checked: &CheckedQuery, rows: u64) -> u64 {
    let groups = groups_of_one(checked, rows);
    let of = |measure: &Measure| {
        let most = measure.each.map_or(measure.high, |each| each.rows);
        let most = u64::try_from(most.max(0)).unwrap_or(u64::MAX);
        rows.min(groups.saturating_mul(most))
    };
    let values = sum(apart(checked).map(of));
    checked
        .most_people
        .saturating_mul(values)
        .saturating_mul(VALUE_BYTES)
}

/// The keys of the groups, as the plan gives them.
fn key_columns<'a>(
    checked: &'a CheckedQuery,
    size: &'a Size,
) -> impl Iterator<Item = (&'a DataType, sizes::Wide)> {
    let fields = checked.optimized.schema().fields().iter();
    let named = fields.zip(&size.columns);
    (0..checked.query.groups.len()).map(move |at| {
        let name = key_name(at);
        let mut named = named.clone();
        let found = named.find(|(field, _)| *field.name() == name);
        found.map_or((&DataType::Null, sizes::Wide::UNKNOWN), |(field, wide)| {
            (field.data_type(), *wide)
        })
    })
}

/// The most groups that there can be.
fn kinds(checked: &CheckedQuery, size: &Size) -> u64 {
    let groups = checked.query.groups.iter();
    let keys = groups.zip(key_columns(checked, size));
    let kinds = keys.map(|(group, (_, wide))| match group.declared() {
        Some(values) => values.len() as u64,
        None => wide.kinds,
    });
    kinds.fold(1, u64::saturating_mul)
}

/// Of each group key, whether it may be a text too long for a discovered group.
pub(crate) fn long_keys(checked: &CheckedQuery) -> Vec<bool> {
    let (size, _) = gathered(checked);
    let keys = key_columns(checked, &size);
    let long = keys.map(|(ty, wide)| is_text(ty) && wide.bytes > LONGEST_KEY);
    long.collect()
}

/// The bytes of the longest name of a discovered group.
fn longest_key(checked: &CheckedQuery, size: &Size) -> u64 {
    let keys = key_columns(checked, size);
    sum(keys.map(|(ty, wide)| match is_text(ty) {
        true => wide.bytes.min(LONGEST_KEY),
        false => SHORT_KEY,
    }))
}
