//! Made-up rows, as the parts of sealed data sets would be: sorted by pseudonym, in slices.
//!
//! A row follows from the seed, the data set and its stretch of people, whatever columns are
//! asked for and in whatever order: several readings of a data set see the same rows.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, BooleanArray, Date32Array, Decimal128Array, FixedSizeBinaryArray,
    Int64Array, RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use incamera_dp::{NoiseKey, NoiseStream};
use incamera_seal::Bounds;
use incamera_types::{ColumnName, ColumnSpec, ColumnType, DatasetName, DatasetSpec, Pseudonym};

use super::Practice;
use super::pool::Pool;
use crate::check::CheckedQuery;
use crate::clamp::{DAY_US, range};
use crate::source::{Batches, PartSource, SourceError};
use crate::tables::{PSEUDONYM_BYTES, field};

/// Slices of the pseudonym space: work for so many threads.
const PARTITIONS: u32 = 4;
/// People whose rows are made at once.
const STRETCH: u64 = 1_024;
/// Rows of a person at most, whatever the query allows.
const MOST_ROWS: u64 = 20;
/// Rows of a public data set at most.
const MOST_PUBLIC: u64 = 1_000;
/// Of so many values that may be missing one is.
const MISSING: u64 = 16;
/// Different values of a column that declares none.
const UNDECLARED: u64 = 5;
/// Whole numbers of a range of no more are codes.
const CODES: i128 = 16;
/// Numbers of a column that declares no largest one go up to this.
const LARGEST: i128 = 100;

/// The data sets of a query, made up.
#[derive(Clone)]
pub(crate) struct MadeUp(Arc<Inner>);

struct Inner {
    checked: CheckedQuery,
    pool: Pool,
    key: NoiseKey,
    people: u64,
}

/// A value of a made-up row.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Made {
    Missing,
    Bool(bool),
    /// Numbers in units of their scale, days, microseconds.
    Number(i128),
    Text(String),
    Person([u8; Pseudonym::BYTES]),
}

impl MadeUp {
    pub(crate) fn new(checked: &CheckedQuery, practice: &Practice) -> Self {
        let most = practice.people.clamp(1, Practice::MAX_PEOPLE);
        let declared = checked.most_people.max(1);
        Self(Arc::new(Inner {
            checked: checked.clone(),
            pool: Pool::new(checked),
            key: super::key(practice.seed, 2),
            people: most.min(declared),
        }))
    }

    pub(crate) fn people(&self) -> u64 {
        self.0.people
    }

    /// The rows of a stretch of people, each with the columns that are stored.
    pub(crate) fn stretch(&self, spec: &DatasetSpec, stretch: u64) -> Vec<Vec<Made>> {
        let inner = &self.0;
        let label = [spec.name.as_str().as_bytes(), &stretch.to_be_bytes()];
        let mut stream = inner.key.stream("practice rows", &label);
        let first = stretch * STRETCH;
        let people = first..inner.people.min(first + STRETCH);
        let mut rows = Vec::new();
        for person in people {
            let pseudonym = inner.pseudonym(person);
            for _ in 0..inner.rows_of(spec, &mut stream) {
                let columns = spec.stored_columns();
                let values = columns.map(|column| inner.value(column, pseudonym, &mut stream));
                rows.push(values.collect());
            }
        }
        rows
    }

    /// The rows of a public data set: none twice in columns that a join sets equal.
    pub(crate) fn public_rows(&self, spec: &DatasetSpec) -> Vec<Vec<Made>> {
        let inner = &self.0;
        let joins = inner.checked.public_keys.get(&spec.name);
        let joins: Vec<&BTreeSet<ColumnName>> = joins.into_iter().flatten().collect();
        let mut seen: HashSet<(usize, Vec<Made>)> = HashSet::new();
        let mut rows = Vec::new();
        for at in 0..inner.checked.most_rows(&spec.name).min(MOST_PUBLIC) {
            let columns = spec.stored_columns();
            let row: Vec<Made> = columns.map(|column| inner.listed(column, at)).collect();
            let key = |(join, names): (usize, &&BTreeSet<ColumnName>)| {
                let pairs = spec.stored_columns().zip(&row);
                let of_join = pairs.filter(|(column, _)| names.contains(&column.name));
                (join, of_join.map(|(_, value)| value.clone()).collect())
            };
            let keys: Vec<(usize, Vec<Made>)> = joins.iter().enumerate().map(key).collect();
            let twice = keys
                .iter()
                .any(|key| !key.1.is_empty() && seen.contains(key));
            if !twice {
                seen.extend(keys);
                rows.push(row);
            }
        }
        rows
    }

    /// The stretches with people of a slice.
    pub(crate) fn stretches(&self) -> u64 {
        self.0.people.div_ceil(STRETCH)
    }
}

impl Inner {
    /// Pseudonyms are spread evenly, in order of the people's numbers.
    fn pseudonym(&self, person: u64) -> [u8; Pseudonym::BYTES] {
        let high = (u128::from(person) << 64) / u128::from(self.people.max(1));
        let spread = (high << 64) | u128::from(person.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        spread.to_be_bytes()
    }

    /// How many rows of the next person there are: most people have some, few have many.
    fn rows_of(&self, spec: &DatasetSpec, stream: &mut NoiseStream) -> u64 {
        let declared = self.checked.declared.get(&spec.name).copied();
        let declared = declared.unwrap_or(self.people).min(self.people);
        let is_there = stream.below_u64(self.people) < declared;
        let most = self.checked.most_rows(&spec.name).clamp(1, MOST_ROWS);
        let absent = if most == 1 { 16 } else { 3 };
        let mut rows = u64::from(is_there && stream.below_u64(absent) > 0);
        while rows > 0 && rows < most && stream.below_u64(5) < 3 {
            rows += 1;
        }
        rows
    }

    fn value(
        &self,
        column: &ColumnSpec,
        person: [u8; Pseudonym::BYTES],
        stream: &mut NoiseStream,
    ) -> Made {
        if column.nullable && stream.below_u64(MISSING) == 0 {
            return Made::Missing;
        }
        match column.ty {
            ColumnType::Pseudonym | ColumnType::Person => Made::Person(person),
            ColumnType::Bool => Made::Bool(stream.below_u64(2) == 1),
            ColumnType::Text => Made::Text(self.text(column, stream)),
            _ => {
                let (low, high) = self.ends(column);
                let part = i128::from(stream.below_u64(1 << 16));
                let count = high - low + 1;
                Made::Number(match column.ty {
                    // Codes, of which none is likelier.
                    ColumnType::Int if count <= CODES => low + ((count * part) >> 16),
                    // A square: small numbers are more frequent, as amounts and counts are.
                    _ => low + ((count * part * part) >> 32),
                })
            }
        }
    }

    fn text(&self, column: &ColumnSpec, stream: &mut NoiseStream) -> String {
        let listed = column.values.as_deref();
        let known = listed.unwrap_or(&self.pool.texts);
        let others = if listed.is_some() { 0 } else { UNDECLARED };
        let count = u64::try_from(known.len()).unwrap_or(u64::MAX);
        let at = stream.below_u64(count.saturating_add(others));
        text_of(known, at)
    }

    /// Value `at` of a column, one after the other.
    fn listed(&self, column: &ColumnSpec, at: u64) -> Made {
        match column.ty {
            ColumnType::Pseudonym | ColumnType::Person => Made::Person(self.pseudonym(at)),
            ColumnType::Bool => Made::Bool(at % 2 == 1),
            ColumnType::Text => match column.values.as_deref() {
                Some(values) if !values.is_empty() => {
                    let count = u64::try_from(values.len()).unwrap_or(1);
                    Made::Text(text_of(values, at % count))
                }
                _ => Made::Text(text_of(&self.pool.texts, at)),
            },
            _ => {
                let (low, high) = self.ends(column);
                Made::Number(low + i128::from(at) % (high - low + 1).max(1))
            }
        }
    }

    /// The least and the most of a column of numbers, days or moments.
    fn ends(&self, column: &ColumnSpec) -> (i128, i128) {
        let (first, last) = self.pool.days;
        match column.ty {
            ColumnType::Date => (first.into(), last.into()),
            ColumnType::Timestamp => {
                let day = i128::from(DAY_US);
                (i128::from(first) * day, (i128::from(last) + 1) * day - 1)
            }
            _ => {
                let (mut low, mut high) = range(column);
                if column.min.is_none() {
                    low = low.max(high.min(0));
                }
                if column.max.is_none() {
                    high = high.min(low + LARGEST * 10i128.pow(column.ty.scale().into()));
                }
                (low, high)
            }
        }
    }
}

/// The text `at` of those that are known, and then others.
fn text_of(known: &[String], at: u64) -> String {
    let found = usize::try_from(at).ok().and_then(|at| known.get(at));
    let other = || {
        let known = u64::try_from(known.len()).unwrap_or(0);
        format!("value {}", at.saturating_sub(known) + 1)
    };
    found.cloned().unwrap_or_else(other)
}

impl PartSource for MadeUp {
    fn partitions(&self, _: &DatasetName) -> Result<u32, SourceError> {
        Ok(PARTITIONS)
    }

    fn open(
        &self,
        dataset: &DatasetName,
        partition: u32,
        columns: &[ColumnName],
        _: &Bounds,
    ) -> Result<Vec<Batches>, SourceError> {
        let missing = || SourceError::Missing {
            dataset: dataset.clone(),
        };
        let spec = self.0.checked.datasets.get(dataset).ok_or_else(missing)?;
        let (source, spec, columns) = (self.clone(), spec.clone(), columns.to_vec());
        let stretches = if spec.public {
            0..1
        } else {
            0..self.stretches()
        };
        let batches = stretches.map(move |stretch| {
            let mut rows = match spec.public {
                true if partition == 0 => source.public_rows(&spec),
                true => Vec::new(),
                false => source.stretch(&spec, stretch),
            };
            rows.retain(|row| spec.public || of_slice(row, partition));
            batch(&rows, &spec, &columns).ok_or_else(|| SourceError::Unsealed {
                dataset: spec.name.clone(),
            })
        });
        Ok(vec![Box::new(batches)])
    }
}

fn of_slice(row: &[Made], partition: u32) -> bool {
    row.iter().any(|value| match value {
        Made::Person(bytes) => Pseudonym::from_bytes(*bytes).partition(PARTITIONS) == partition,
        _ => false,
    })
}

/// The columns asked for of these rows; nothing if the data set has one of them not.
fn batch(rows: &[Vec<Made>], spec: &DatasetSpec, columns: &[ColumnName]) -> Option<RecordBatch> {
    let mut fields = Vec::new();
    let mut arrays = Vec::new();
    for name in columns {
        let mut stored = spec.stored_columns().enumerate();
        let (at, column) = stored.find(|(_, column)| &column.name == name)?;
        // Texts come as they are sealed, with narrow offsets.
        let array = array(rows, at, column.ty)?;
        fields.push(field(column).with_data_type(array.data_type().clone()));
        arrays.push(array);
    }
    let count = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), arrays, &count).ok()
}

fn array(rows: &[Vec<Made>], at: usize, ty: ColumnType) -> Option<ArrayRef> {
    let values = || rows.iter().map(|row| row.get(at).unwrap_or(&Made::Missing));
    let numbers = || {
        values().map(|value| match value {
            Made::Number(number) => Some(*number),
            _ => None,
        })
    };
    let small = |number: i128| i64::try_from(number).ok();
    Some(match ty {
        ColumnType::Bool => {
            let truth = |value: &Made| match value {
                Made::Bool(truth) => Some(*truth),
                _ => None,
            };
            Arc::new(values().map(truth).collect::<BooleanArray>())
        }
        ColumnType::Int => Arc::new(numbers().map(|n| n.and_then(small)).collect::<Int64Array>()),
        ColumnType::Decimal { precision, scale } => {
            let array = numbers().collect::<Decimal128Array>();
            let scale = i8::try_from(scale).ok()?;
            Arc::new(array.with_precision_and_scale(precision, scale).ok()?)
        }
        ColumnType::Date => {
            let day = |number: i128| i32::try_from(number).ok();
            Arc::new(numbers().map(|n| n.and_then(day)).collect::<Date32Array>())
        }
        ColumnType::Timestamp => {
            let moments = numbers().map(|n| n.and_then(small));
            Arc::new(
                moments
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            )
        }
        ColumnType::Pseudonym | ColumnType::Person => {
            let person = |value: &Made| match value {
                Made::Person(bytes) => Some(*bytes),
                _ => None,
            };
            let people = values().map(person);
            let array =
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(people, PSEUDONYM_BYTES);
            Arc::new(array.ok()?)
        }
        _ => {
            let text = |value: &Made| match value {
                Made::Text(text) => Some(text.clone()),
                _ => None,
            };
            Arc::new(values().map(text).collect::<StringArray>())
        }
    })
}
