//! The per-person pre-aggregate: rows in, one clamped number a person, group and measure out.
//!
//! # Claim
//! The totals change by at most what [`incamera_dp::Sensitivity`] says when one person's
//! rows change: per person at most g groups, chosen by key and never by value, and per group
//! each measure clamped. All in 128-bit integers that saturate.
//!
//! Values that are counted apart ([`Kind::Distinct`]) are no sum over people: they are put into
//! one set a group, from each person and group at most as many as agreed, those that draw the
//! lowest lots. A lot hangs on person, measure and value, so that a person's choice follows
//! from that person's own values.

mod cells;
mod values;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use arrow::array::AsArray;
use arrow::record_batch::RecordBatch;
use incamera_agreement::GroupKey;
use incamera_dp::NoiseKey;
use incamera_types::Pseudonym;

use cells::Cells;
pub(crate) use cells::{Key, declared_cells, declared_key};
use values::{Value, Values};

use crate::check::{UNIT, value_name};
use crate::measure::{Kind, Measure};

type Person = [u8; Pseudonym::BYTES];

/// How people's rows are added up.
pub(crate) struct Rules<'a> {
    pub(crate) groups: &'a [GroupKey],
    pub(crate) measures: &'a [Measure],
    /// Groups a person that are kept.
    pub(crate) groups_a_person: usize,
    pub(crate) key: &'a NoiseKey,
}

/// What a group adds up to: one number a measure.
#[derive(Default)]
pub(crate) struct Total {
    sums: Vec<i128>,
    /// The values that are counted apart, by measure.
    different: BTreeMap<usize, HashSet<Value>>,
    /// The values that quantiles are of, by measure.
    kept: BTreeMap<usize, Vec<i128>>,
}

impl Total {
    fn add(&mut self, other: Self) {
        self.sums.resize(self.sums.len().max(other.sums.len()), 0);
        for (sum, other) in self.sums.iter_mut().zip(other.sums) {
            *sum = sum.saturating_add(other);
        }
        for (measure, values) in other.different {
            self.different.entry(measure).or_default().extend(values);
        }
        for (measure, values) in other.kept {
            self.kept.entry(measure).or_default().extend(values);
        }
    }

    /// The values that a quantile is of.
    pub(crate) fn values(&self, measure: usize) -> &[i128] {
        self.kept.get(&measure).map_or(&[], Vec::as_slice)
    }

    /// The exact number of a measure.
    pub(crate) fn of(&self, measure: usize) -> i128 {
        match self.different.get(&measure) {
            Some(values) => i128::try_from(values.len()).unwrap_or(i128::MAX),
            None => self.sums.get(measure).copied().unwrap_or(0),
        }
    }
}

/// Totals by group, of groups in which there is somebody.
#[derive(Default)]
pub(crate) struct Totals(BTreeMap<Key, Total>);

impl Totals {
    /// Adds those of other people.
    pub(crate) fn add(&mut self, other: Self) {
        for (key, total) in other.0 {
            self.0.entry(key).or_default().add(total);
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Total> {
        self.0.get(key)
    }

    /// The groups in which there is somebody, in order of their keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Total)> {
        self.0.iter()
    }
}

/// A batch that is not as the plan says: an error of the engine.
#[derive(Debug)]
pub(crate) struct Odd;

/// People, with what each adds so far.
pub(crate) struct Fold<'a> {
    rules: &'a Rules<'a>,
    cells: Cells<'a>,
    people: HashMap<Person, Vec<usize>>,
    /// By place: the cell, ...
    places: Vec<usize>,
    /// ... one sum a measure, ...
    sums: Vec<i128>,
    /// ... and the values that are counted apart, by place and measure.
    different: HashMap<(usize, usize), BTreeSet<Value>>,
    /// The same of those that quantiles are of.
    kept: HashMap<(usize, usize), Vec<i128>>,
}

impl<'a> Fold<'a> {
    pub(crate) fn new(rules: &'a Rules<'a>) -> Self {
        Self {
            rules,
            cells: Cells::new(rules.groups),
            people: HashMap::new(),
            places: Vec::new(),
            sums: Vec::new(),
            different: HashMap::new(),
            kept: HashMap::new(),
        }
    }

    /// Adds the rows of a batch of the bounded plan. Rows outside the declared groups are
    /// dropped.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<(), Odd> {
        let people = batch
            .column_by_name(UNIT)
            .and_then(|column| column.as_fixed_size_binary_opt())
            .ok_or(Odd)?;
        let cells = self.cells.of(batch)?;
        let values = self.values(batch)?;
        let apart: Vec<usize> = self.of_kind(Kind::Distinct).collect();
        let whole: Vec<usize> = self.of_kind(Kind::Quantile).collect();
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
            for measure in &apart {
                if let Some(value) = values
                    .get(*measure)
                    .and_then(|values| values.different(row))
                {
                    let kept = self.different.entry((place, *measure)).or_default();
                    kept.insert(value);
                }
            }
            for measure in &whole {
                if let Some(value) = values.get(*measure).and_then(|values| values.kept(row)) {
                    self.kept.entry((place, *measure)).or_default().push(value);
                }
            }
        }
        Ok(())
    }

    /// The measures of a kind.
    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = usize> + use<'a> {
        let measures = self.rules.measures.iter().enumerate();
        let of_kind = measures.filter(move |(_, measure)| measure.kind == kind);
        of_kind.map(|(at, _)| at)
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

    fn values(&self, batch: &RecordBatch) -> Result<Vec<Values>, Odd> {
        let of = |measure: &Measure| {
            Values::of(measure, batch.column_by_name(&value_name(measure.input)))
        };
        self.rules.measures.iter().map(of).collect()
    }

    /// The totals over all people, each cut and clamped.
    pub(crate) fn finish(mut self) -> Totals {
        let mut totals: BTreeMap<usize, Total> = BTreeMap::new();
        let people = std::mem::take(&mut self.people);
        for (person, mut places) in people {
            if places.len() > self.rules.groups_a_person {
                self.choose(&person, &mut places);
            }
            for place in places {
                if let Some(cell) = self.places.get(place) {
                    self.total(&person, place, totals.entry(*cell).or_default());
                }
            }
        }
        let named = totals.into_iter();
        let named = named.map(|(cell, total)| (self.cells.key(cell), total));
        Totals(named.collect())
    }

    /// Keeps as many groups as a person may have, by lot.
    fn choose(&self, person: &Person, places: &mut Vec<usize>) {
        places
            .sort_by_cached_key(|place| self.places.get(*place).map(|cell| self.cells.key(*cell)));
        let mut stream = self.rules.key.stream("groups", &[person]);
        let mut kept = Vec::with_capacity(self.rules.groups_a_person);
        for _ in 0..self.rules.groups_a_person {
            let at = usize::try_from(stream.below_u64(places.len() as u64)).unwrap_or(0);
            kept.push(places.swap_remove(at));
        }
        *places = kept;
    }

    /// Adds a person's part in a group.
    fn total(&self, person: &Person, place: usize, total: &mut Total) {
        let width = self.rules.measures.len();
        total.sums.resize(width, 0);
        let sums: Vec<i128> = self
            .sums
            .iter()
            .skip(place * width)
            .take(width)
            .copied()
            .collect();
        let measures = self.rules.measures.iter().enumerate();
        for ((at, measure), all) in measures.zip(&mut total.sums) {
            if measure.kind == Kind::Quantile {
                continue;
            }
            let part = match measure.each {
                Some(each) => {
                    let values = sums.get(each.counted_by).copied().unwrap_or(0);
                    let sum = sums.get(at).copied().unwrap_or(0);
                    each.weighed(sum, values)
                }
                None => sums.get(at).copied().unwrap_or(0),
            };
            *all = all.saturating_add(part.clamp(measure.low, measure.high));
        }
        for at in self.of_kind(Kind::Distinct) {
            if let Some(values) = self.different.get(&(place, at)) {
                let kept = self.lowest(person, at, values);
                total.different.entry(at).or_default().extend(kept);
            }
        }
        for at in self.of_kind(Kind::Quantile) {
            if let Some(values) = self.kept.get(&(place, at)) {
                let kept = self.values_of(person, at, values);
                total.kept.entry(at).or_default().extend(kept);
            }
        }
    }

    /// The values of a person that a quantile is of: all, or those with the lowest lots, brought
    /// between their bounds. Equal values are told apart by how many there are.
    fn values_of(&self, person: &Person, at: usize, values: &[i128]) -> Vec<i128> {
        let measure = self.rules.measures.get(at);
        let Some((measure, each)) = measure.and_then(|it| Some((it, it.each?))) else {
            return Vec::new();
        };
        let clamped = values
            .iter()
            .map(|value| *value.clamp(&each.low, &each.high));
        let mut clamped: Vec<i128> = clamped.collect();
        let most = usize::try_from(each.rows).unwrap_or(usize::MAX);
        if clamped.len() <= most {
            return clamped;
        }
        clamped.sort_unstable();
        let name = measure.name.as_bytes();
        let lot = |run: &[i128]| {
            let same = run.iter().zip(0u64..);
            let lots = same.map(|(value, nth)| {
                let (bytes, nth) = (value.to_be_bytes(), nth.to_be_bytes());
                let parts: [&[u8]; 4] = [name, person, &bytes, &nth];
                (self.rules.key.stream("values", &parts).bits(), *value)
            });
            lots.collect::<Vec<_>>()
        };
        let mut lots: Vec<_> = clamped.chunk_by(|a, b| a == b).flat_map(lot).collect();
        lots.sort_unstable();
        lots.truncate(most);
        lots.into_iter().map(|(_, value)| value).collect()
    }

    /// The values of a person that count: all, or those with the lowest lots.
    fn lowest(&self, person: &Person, at: usize, values: &BTreeSet<Value>) -> Vec<Value> {
        let Some(measure) = self.rules.measures.get(at) else {
            return Vec::new();
        };
        let most = usize::try_from(measure.high).unwrap_or(usize::MAX);
        if values.len() <= most {
            return values.iter().copied().collect();
        }
        let lot = |value: &Value| {
            let parts: [&[u8]; 3] = [measure.name.as_bytes(), person, value];
            (self.rules.key.stream("values", &parts).bits(), *value)
        };
        let mut lots: Vec<_> = values.iter().map(lot).collect();
        lots.sort_unstable();
        lots.truncate(most);
        lots.into_iter().map(|(_, value)| value).collect()
    }
}
