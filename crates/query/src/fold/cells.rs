//! Which group of the answer a row belongs to.

use std::collections::HashMap;

use arrow::array::{Array, AsArray, LargeStringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use incamera_agreement::GroupKey;

use super::Odd;
use crate::check::key_name;

/// The key of a group: a text for each group key of the agreement.
pub(crate) type Key = Vec<String>;

/// Numbers groups as rows name them. Declared keys are numbered as they are declared, the last
/// running fastest; with a discovered key among them, groups are numbered as they turn up.
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
                found: HashMap::new(),
                keys: Vec::new(),
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

    /// The key of a group.
    pub(super) fn key(&self, cell: usize) -> Key {
        match self {
            Self::Declared(declared) => declared_key(declared.groups, cell),
            Self::Discovered(discovered) => discovered.keys.get(cell).cloned().unwrap_or_default(),
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

/// Groups as they turn up.
pub(super) struct Discovered<'a> {
    declared: Declared<'a>,
    found: HashMap<Vec<u8>, usize>,
    keys: Vec<Key>,
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
            if values
                .as_ref()
                .is_some_and(|values| !values.contains_key(text))
            {
                return None;
            }
            // Each behind its length: "ab", "c" is another group than "a", "bc".
            name.extend_from_slice(&(text.len() as u64).to_be_bytes());
            name.extend_from_slice(text.as_bytes());
        }
        if let Some(cell) = self.found.get(name.as_slice()) {
            return Some(*cell);
        }
        let cell = self.keys.len();
        self.found.insert(name.clone(), cell);
        let key = columns.iter().map(|column| column.value(row).to_owned());
        self.keys.push(key.collect());
        Some(cell)
    }
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
