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

use cells::Cells;
pub(crate) use cells::{Key, MAX_DISCOVERED_BYTES, declared_cells, declared_key};
use values::{Value, Values};

use crate::check::{UNIT, value_name};
use crate::cut::{Person, people_of};
use crate::measure::{Kind, Measure};

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

/// A person in a group.
struct Place {
    cell: usize,
    /// The same person's next.
    next: Option<usize>,
}

/// People, with what each adds so far.
pub(crate) struct Fold<'a> {
    rules: Rules<'a>,
    cells: Cells<'a>,
    /// The first place of each person.
    people: HashMap<Person, usize>,
    places: Vec<Place>,
    /// One sum a measure and place, ...
    sums: Vec<i128>,
    /// ... and the values that are counted apart, by place and measure.
    different: HashMap<(usize, usize), BTreeSet<Value>>,
    /// The same of those that quantiles are of.
    kept: HashMap<(usize, usize), Vec<i128>>,
    /// What people add who are settled, by cell.
    totals: BTreeMap<usize, Total>,
}

impl<'a> Fold<'a> {
    pub(crate) fn new(rules: Rules<'a>) -> Self {
        Self {
            cells: Cells::new(rules.groups),
            rules,
            people: HashMap::new(),
            places: Vec::new(),
            sums: Vec::new(),
            different: HashMap::new(),
            kept: HashMap::new(),
            totals: BTreeMap::new(),
        }
    }

    /// Adds the rows of a batch of the bounded plan. Rows outside the declared groups are
    /// dropped.
    pub(crate) fn push(&mut self, batch: &RecordBatch) -> Result<(), Odd> {
        let people = batch
            .column_by_name(UNIT)
            .and_then(|column| column.as_fixed_size_binary_opt())
            .map(people_of)
            .filter(|people| people.len() == batch.num_rows())
            .ok_or(Odd)?;
        let cells = self.cells.of(batch)?;
        let places = self.places_of(people, &cells);
        let width = self.rules.measures.len();
        for (at, measure) in self.rules.measures.iter().enumerate() {
            let column = batch.column_by_name(&value_name(measure.input));
            let values = Values::of(measure, column)?;
            values.add(&mut self.sums, (width, at), &places);
            let rows = || places.iter().zip(0..);
            let places = || rows().filter_map(|(place, row)| Some(((*place)?, row)));
            match measure.kind {
                Kind::Distinct => {
                    for (place, row) in places() {
                        if let Some(value) = values.different(row) {
                            self.different.entry((place, at)).or_default().insert(value);
                        }
                    }
                }
                Kind::Quantile => {
                    for (place, row) in places() {
                        if let Some(value) = values.kept(row) {
                            self.kept.entry((place, at)).or_default().push(value);
                        }
                    }
                }
                _ => {}
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

    /// The place of each row; nothing for rows in no group.
    fn places_of(&mut self, people: &[Person], cells: &[Option<usize>]) -> Vec<Option<usize>> {
        let mut current: Option<(Person, usize)> = None;
        let rows = people.iter().zip(cells);
        rows.map(|(person, cell)| {
            let cell = (*cell)?;
            let first = match current {
                Some((same, first)) if same == *person => first,
                _ => match self.people.get(person) {
                    Some(first) => *first,
                    None => {
                        let first = self.new_place(cell);
                        self.people.insert(*person, first);
                        first
                    }
                },
            };
            current = Some((*person, first));
            Some(self.place(first, cell))
        })
        .collect()
    }

    /// The place of a cell, of a person whose places begin at `at`; a new one at their first
    /// row.
    fn place(&mut self, mut at: usize, cell: usize) -> usize {
        while let Some(place) = self.places.get(at) {
            match place.next {
                _ if place.cell == cell => return at,
                Some(next) => at = next,
                None => break,
            }
        }
        let new = self.new_place(cell);
        if let Some(last) = self.places.get_mut(at) {
            last.next = Some(new);
        }
        new
    }

    fn new_place(&mut self, cell: usize) -> usize {
        let next = None;
        self.places.push(Place { cell, next });
        let width = self.rules.measures.len();
        self.sums.resize(self.sums.len() + width, 0);
        self.places.len() - 1
    }

    /// Cuts, clamps and adds up the people so far: none of them has more rows to come.
    pub(crate) fn settle(&mut self) {
        let mut totals = std::mem::take(&mut self.totals);
        let mut people = std::mem::take(&mut self.people);
        let mut own = Vec::new();
        for (person, first) in people.drain() {
            own.clear();
            let mut at = Some(first);
            while let Some(place) = at {
                own.push(place);
                at = self.places.get(place).and_then(|place| place.next);
            }
            if own.len() > self.rules.groups_a_person {
                self.choose(&person, &mut own);
            }
            for place in &own {
                if let Some(cell) = self.cell(*place) {
                    let cell = self.cells.kept(cell);
                    self.total(&person, *place, totals.entry(cell).or_default());
                }
            }
        }
        (self.people, self.totals) = (people, totals);
        self.cells.next_block();
        self.places.clear();
        self.sums.clear();
        self.different.clear();
        self.kept.clear();
    }

    fn cell(&self, place: usize) -> Option<usize> {
        self.places.get(place).map(|place| place.cell)
    }

    /// The totals over all people, each cut and clamped.
    pub(crate) fn finish(mut self) -> Totals {
        self.settle();
        Totals(self.cells.named(self.totals))
    }

    /// Keeps as many groups as a person may have, by lot.
    fn choose(&self, person: &Person, places: &mut Vec<usize>) {
        places.sort_by_cached_key(|place| self.cell(*place).map(|cell| self.cells.order(cell)));
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
        let sums = self.sums.get(place * width..(place + 1) * width);
        let sums = sums.unwrap_or_default();
        let sum = |at: usize| sums.get(at).copied().unwrap_or(0);
        let measures = self.rules.measures.iter().enumerate();
        for ((at, measure), all) in measures.zip(&mut total.sums) {
            if measure.kind == Kind::Quantile {
                continue;
            }
            let part = match measure.each {
                Some(each) => each.part(at, sum),
                None => sum(at),
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
