//! The per-person pre-aggregate: rows in, one clamped number a person, group and measure out.
//!
//! # Claim
//! The totals change by at most what [`incamera_dp::Sensitivity`] says when one person's
//! rows change: per person at most g groups, chosen by key and never by value, and per group
//! each measure clamped. All in 128-bit integers that saturate.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Decimal128Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::record_batch::RecordBatch;
use incamera_agreement::DeclaredGroup;
use incamera_dp::NoiseKey;
use incamera_types::Pseudonym;

use crate::check::{UNIT, key_name, value_name};
use crate::measure::{Kind, Measure};

type Person = [u8; Pseudonym::BYTES];

/// How people's rows are added up.
pub(crate) struct Rules<'a> {
    pub(crate) groups: &'a [DeclaredGroup],
    pub(crate) measures: &'a [Measure],
    /// Groups a person that are kept.
    pub(crate) groups_a_person: usize,
    pub(crate) key: &'a NoiseKey,
}

/// How many rows the answer has: each combination of declared values.
pub(crate) fn cells(groups: &[DeclaredGroup]) -> usize {
    groups
        .iter()
        .map(|group| group.values.len())
        .fold(1, usize::saturating_mul)
}

/// Sums by cell (group of the answer), then measure.
pub(crate) type Totals = Vec<i128>;

/// Adds `other` to `totals`.
pub(crate) fn add(totals: &mut Totals, other: &[i128]) {
    for (total, other) in totals.iter_mut().zip(other) {
        *total = total.saturating_add(*other);
    }
}

/// A batch that is not as the plan says: an error of the engine.
#[derive(Debug)]
pub(crate) struct Odd;

/// People, with what each adds so far.
pub(crate) struct Fold<'a> {
    rules: &'a Rules<'a>,
    lookup: Vec<HashMap<&'a str, usize>>,
    people: HashMap<Person, Vec<usize>>,
    /// By place: the cell, ...
    places: Vec<usize>,
    /// ... and one sum a measure.
    sums: Vec<i128>,
}

impl<'a> Fold<'a> {
    pub(crate) fn new(rules: &'a Rules<'a>) -> Self {
        let index =
            |group: &'a DeclaredGroup| group.values.iter().map(String::as_str).zip(0..).collect();
        Self {
            rules,
            lookup: rules.groups.iter().map(index).collect(),
            people: HashMap::new(),
            places: Vec::new(),
            sums: Vec::new(),
        }
    }

    /// Adds the rows of a batch of the bounded plan. Rows outside the declared groups are
    /// dropped.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<(), Odd> {
        let people = batch
            .column_by_name(UNIT)
            .and_then(|column| column.as_fixed_size_binary_opt())
            .ok_or(Odd)?;
        let cells = self.cells(batch)?;
        let values = self.values(batch)?;
        let mut current: Option<(Person, usize, usize)> = None;
        for (row, cell) in cells.into_iter().enumerate() {
            let Some(cell) = cell else { continue };
            let person: Person = people.value(row).try_into().map_err(|_| Odd)?;
            let place = match current {
                Some((same, at, place)) if same == person && at == cell => place,
                _ => self.place(person, cell),
            };
            current = Some((person, cell, place));
            let width = values.len();
            let sums = self
                .sums
                .get_mut(place * width..(place + 1) * width)
                .ok_or(Odd)?;
            for (sum, value) in sums.iter_mut().zip(&values) {
                value.add(sum, row);
            }
        }
        Ok(())
    }

    /// The place of a person in a cell, a new one at their first row.
    fn place(&mut self, person: Person, cell: usize) -> usize {
        let places = self.people.entry(person).or_default();
        let known = places
            .iter()
            .find(|place| self.places.get(**place) == Some(&cell));
        if let Some(place) = known {
            return *place;
        }
        let place = self.places.len();
        places.push(place);
        self.places.push(cell);
        self.sums
            .resize(self.sums.len() + self.rules.measures.len(), 0);
        place
    }

    /// The cell of each row; nothing outside the declared groups.
    fn cells(&self, batch: &RecordBatch) -> Result<Vec<Option<usize>>, Odd> {
        let mut cells = vec![Some(0); batch.num_rows()];
        for (at, (group, lookup)) in self.rules.groups.iter().zip(&self.lookup).enumerate() {
            let column = batch.column_by_name(&key_name(at)).ok_or(Odd)?;
            let texts = cast(column, &DataType::LargeUtf8).map_err(|_| Odd)?;
            let texts = texts.as_string_opt::<i64>().ok_or(Odd)?;
            for (cell, text) in cells.iter_mut().zip(texts) {
                let index = text.and_then(|text| find(group, lookup, text));
                *cell = cell
                    .zip(index)
                    .map(|(cell, index)| cell * group.values.len() + index);
            }
        }
        Ok(cells)
    }

    fn values(&self, batch: &RecordBatch) -> Result<Vec<Values>, Odd> {
        let of = |(at, measure): (usize, &Measure)| {
            Values::of(measure.kind, batch.column_by_name(&value_name(at)))
        };
        self.rules.measures.iter().enumerate().map(of).collect()
    }

    /// The totals over all people, each cut and clamped.
    pub(crate) fn finish(mut self) -> Totals {
        let mut totals = vec![0; cells(self.rules.groups) * self.rules.measures.len()];
        let people = std::mem::take(&mut self.people);
        for (person, mut places) in people {
            if places.len() > self.rules.groups_a_person {
                self.choose(&person, &mut places);
            }
            for place in places {
                self.total(place, &mut totals);
            }
        }
        totals
    }

    /// Keeps as many groups as a person may have, by lot.
    fn choose(&self, person: &Person, places: &mut Vec<usize>) {
        places.sort_unstable_by_key(|place| self.places.get(*place));
        let mut stream = self.rules.key.stream("groups", &[person]);
        let mut kept = Vec::with_capacity(self.rules.groups_a_person);
        for _ in 0..self.rules.groups_a_person {
            let at = usize::try_from(stream.below_u64(places.len() as u64)).unwrap_or(0);
            kept.push(places.swap_remove(at));
        }
        *places = kept;
    }

    fn total(&self, place: usize, totals: &mut [i128]) {
        let width = self.rules.measures.len();
        let Some(cell) = self.places.get(place) else {
            return;
        };
        let sums = self.sums.iter().skip(place * width).take(width);
        let totals = totals.iter_mut().skip(cell * width);
        for ((total, sum), measure) in totals.zip(sums).zip(self.rules.measures) {
            *total = total.saturating_add((*sum).clamp(measure.low, measure.high));
        }
    }
}

/// The index of a group's value: few are compared, many looked up.
fn find(group: &DeclaredGroup, lookup: &HashMap<&str, usize>, text: &str) -> Option<usize> {
    if group.values.len() <= 4 {
        return group.values.iter().position(|value| value == text);
    }
    lookup.get(text).copied()
}

/// What each row of a batch adds to one measure.
enum Values {
    /// The row itself.
    One,
    /// Always one person.
    Always,
    /// One person, once a row says so.
    Present(BooleanArray),
    Integers(Int64Array),
    Decimals(Decimal128Array),
}

impl Values {
    fn of(kind: Kind, column: Option<&ArrayRef>) -> Result<Self, Odd> {
        let Some(column) = column else {
            return match kind {
                Kind::Rows => Ok(Self::One),
                Kind::People => Ok(Self::Always),
                Kind::Sum => Err(Odd),
            };
        };
        let (present, integers) = (column.as_boolean_opt(), column.as_primitive_opt());
        match (kind, present, integers, column.as_primitive_opt()) {
            (Kind::People, Some(present), _, _) => Ok(Self::Present(present.clone())),
            (Kind::Sum, _, Some(integers), _) => Ok(Self::Integers(integers.clone())),
            (Kind::Sum, _, _, Some(decimals)) => Ok(Self::Decimals(decimals.clone())),
            _ => Err(Odd),
        }
    }

    fn add(&self, sum: &mut i128, row: usize) {
        match self {
            Self::One => *sum = sum.saturating_add(1),
            Self::Always => *sum = 1,
            Self::Present(present) if present.is_valid(row) && present.value(row) => *sum = 1,
            Self::Integers(numbers) if numbers.is_valid(row) => {
                *sum = sum.saturating_add(numbers.value(row).into());
            }
            Self::Decimals(numbers) if numbers.is_valid(row) => {
                *sum = sum.saturating_add(numbers.value(row));
            }
            _ => {}
        }
    }
}
