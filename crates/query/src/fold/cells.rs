//! Which group of the answer a row belongs to.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, AsArray, LargeStringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use incamera_agreement::GroupKey;

use super::{Odd, Total};
use crate::check::key_name;

/// The key of a group: a text for each group key of the agreement.
pub(crate) type Key = Vec<String>;

/// The longest text, in bytes, that is the key of a discovered group: a row with a longer one is
/// in no group. Nobody lists longer ones, and a room has to have memory for as many as the
/// agreement allows its people.
pub(crate) const MAX_DISCOVERED_BYTES: usize = 256;

/// Numbers groups as rows name them. Declared keys are numbered as they are declared, the last
/// running fastest; with a discovered key among them, the groups of a block of people are
/// numbered as they turn up, and those that count of somebody get a number that stays.
pub(super) enum Cells<'a> {
    Declared(Declared<'a>),
    Discovered(Discovered<'a>),
}

impl<'a> Cells<'a> {
    pub(super) fn new(groups: &'a [GroupKey]) -> Self {
        let declared = Declared::new(groups);
        match declared.all.iter().all(Option::is_some) {
            true => Self::Declared(declared),
            false => Self::Discovered(Discovered {
                declared,
                block: HashMap::new(),
                names: Vec::new(),
                kept: HashMap::new(),
            }),
        }
    }

    /// The group of each row; nothing outside the declared values, and where a key is null.
    pub(super) fn of(&mut self, batch: &RecordBatch) -> Result<Vec<Option<usize>>, Odd> {
        match self {
            Self::Declared(declared) => declared.of(batch),
            Self::Discovered(discovered) => discovered.of(batch),
        }
    }

    /// What groups of a block are put in order by.
    pub(super) fn order(&self, cell: usize) -> Key {
        match self {
            Self::Declared(declared) => declared_key(declared.groups, cell),
            Self::Discovered(discovered) => discovered.key(cell),
        }
    }

    /// The number that stays of a group that counts of somebody.
    pub(super) fn kept(&mut self, cell: usize) -> usize {
        match self {
            Self::Declared(_) => cell,
            Self::Discovered(discovered) => discovered.kept(cell),
        }
    }

    /// Forgets the groups of a block.
    pub(super) fn next_block(&mut self) {
        if let Self::Discovered(discovered) = self {
            discovered.block.clear();
            discovered.names.clear();
        }
    }

    /// The totals by key. Takes apart what it goes through: names are not there twice.
    pub(super) fn named(self, mut totals: BTreeMap<usize, Total>) -> BTreeMap<Key, Total> {
        match self {
            Self::Declared(declared) => {
                let named = totals.into_iter();
                let named = named.map(|(cell, all)| (declared_key(declared.groups, cell), all));
                named.collect()
            }
            Self::Discovered(discovered) => {
                let mut named = BTreeMap::new();
                for (name, cell) in discovered.kept {
                    if let Some(all) = totals.remove(&cell) {
                        named.insert(key_of(&name), all);
                    }
                }
                named
            }
        }
    }
}

/// The key of a declared group: one value a key, the last running fastest.
pub(crate) fn declared_key(groups: &[GroupKey], cell: usize) -> Key {
    let mut rest = cell;
    let mut key: Key = Vec::new();
    for group in groups.iter().rev() {
        let values = group.declared().unwrap_or_default();
        let count = values.len().max(1);
        key.push(values.get(rest % count).cloned().unwrap_or_default());
        rest /= count;
    }
    key.reverse();
    key
}

/// How many rows the answer has: each combination of declared values; nothing where keys are
/// discovered.
pub(crate) fn declared_cells(groups: &[GroupKey]) -> Option<usize> {
    let mut sizes = groups.iter().map(|group| group.declared().map(<[_]>::len));
    sizes.try_fold(1, |all: usize, size| Some(all.saturating_mul(size?)))
}

/// The declared values of each key, by number.
pub(super) struct Declared<'a> {
    groups: &'a [GroupKey],
    all: Vec<Option<HashMap<&'a str, usize>>>,
}

impl<'a> Declared<'a> {
    fn new(groups: &'a [GroupKey]) -> Self {
        let index = |group: &'a GroupKey| {
            let values = group.declared()?;
            Some(values.iter().map(String::as_str).zip(0..).collect())
        };
        Self {
            groups,
            all: groups.iter().map(index).collect(),
        }
    }

    fn of(&self, batch: &RecordBatch) -> Result<Vec<Option<usize>>, Odd> {
        let mut cells = vec![Some(0); batch.num_rows()];
        for (at, (group, lookup)) in self.groups.iter().zip(&self.all).enumerate() {
            let (values, lookup) = group.declared().zip(lookup.as_ref()).ok_or(Odd)?;
            let texts = texts(batch, at)?;
            for (cell, text) in cells.iter_mut().zip(&texts) {
                let index = text.and_then(|text| find(values, lookup, text));
                *cell = cell
                    .zip(index)
                    .map(|(cell, index)| cell * values.len() + index);
            }
        }
        Ok(cells)
    }
}

/// Groups as they turn up. A block of people may name one in each row; of these only those stay
/// that somebody counts in, who counts in few.
pub(super) struct Discovered<'a> {
    declared: Declared<'a>,
    /// The groups of this block, by name, ...
    block: HashMap<Box<[u8]>, usize>,
    /// ... and their names by number.
    names: Vec<Named>,
    /// Those that stay.
    kept: HashMap<Box<[u8]>, usize>,
}

/// A group of a block.
struct Named {
    name: Box<[u8]>,
    /// Its number among those that stay, once it has one.
    kept: Option<usize>,
}

impl Discovered<'_> {
    fn of(&mut self, batch: &RecordBatch) -> Result<Vec<Option<usize>>, Odd> {
        let columns = (0..self.declared.groups.len()).map(|at| texts(batch, at));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        let mut name = Vec::new();
        let rows = (0..batch.num_rows()).map(|row| self.cell(&columns, row, &mut name));
        Ok(rows.collect())
    }

    /// The group of a row. `name` is room to write in.
    fn cell(
        &mut self,
        columns: &[LargeStringArray],
        row: usize,
        name: &mut Vec<u8>,
    ) -> Option<usize> {
        name.clear();
        for (column, values) in columns.iter().zip(&self.declared.all) {
            let text = column.is_valid(row).then(|| column.value(row))?;
            let known = match values {
                Some(values) => values.contains_key(text),
                None => text.len() <= MAX_DISCOVERED_BYTES,
            };
            if !known {
                return None;
            }
            // Each behind its length: "ab", "c" is another group than "a", "bc".
            name.extend_from_slice(&(text.len() as u64).to_be_bytes());
            name.extend_from_slice(text.as_bytes());
        }
        if let Some(cell) = self.block.get(name.as_slice()) {
            return Some(*cell);
        }
        let cell = self.names.len();
        let name: Box<[u8]> = name.as_slice().into();
        self.block.insert(name.clone(), cell);
        self.names.push(Named { name, kept: None });
        Some(cell)
    }

    fn key(&self, cell: usize) -> Key {
        let named = self.names.get(cell);
        named.map_or_else(Key::new, |named| key_of(&named.name))
    }

    fn kept(&mut self, cell: usize) -> usize {
        let next = self.kept.len();
        let Some(named) = self.names.get_mut(cell) else {
            return next;
        };
        if let Some(kept) = named.kept {
            return kept;
        }
        let kept = match self.kept.get(&named.name) {
            Some(kept) => *kept,
            None => {
                self.kept.insert(named.name.clone(), next);
                next
            }
        };
        named.kept = Some(kept);
        kept
    }
}

/// The key that a name was written from.
fn key_of(mut name: &[u8]) -> Key {
    let mut key = Key::new();
    while let Some((length, rest)) = name.split_first_chunk() {
        let length = usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX);
        let (text, rest) = rest.split_at_checked(length).unwrap_or((rest, &[]));
        key.push(String::from_utf8_lossy(text).into_owned());
        name = rest;
    }
    key
}

/// The values of a group key, as texts.
fn texts(batch: &RecordBatch, at: usize) -> Result<LargeStringArray, Odd> {
    let column = batch.column_by_name(&key_name(at)).ok_or(Odd)?;
    let texts = cast(column, &DataType::LargeUtf8).map_err(|_| Odd)?;
    texts.as_string_opt::<i64>().cloned().ok_or(Odd)
}

/// The index of a group's value: few are compared, many looked up.
fn find(values: &[String], lookup: &HashMap<&str, usize>, text: &str) -> Option<usize> {
    if values.len() <= 4 {
        return values.iter().position(|value| value == text);
    }
    lookup.get(text).copied()
}
