//! Rows on their way into columns: one block of a file, on one thread.

use std::cell::RefCell;
use std::collections::HashMap;

use arrow::array::{Array as _, ArrayRef, BooleanArray, StringArray};
use arrow::compute::filter;
use arrow::error::ArrowError;
use incamera_types::{ColumnSpec, ColumnType, ConsentClass, Pseudonym, PurposeName};

use super::cell::{self, Cell, CellError, Changed, ColumnBuilder, Typed};
use super::refused::Refused;
use super::{Counts, Place, Reading, Table};
use crate::consents::{Classes, consents_in};

/// A value as the file has it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field<'a> {
    /// Text that is still to be read as the column's type.
    Raw(&'a str),
    /// A typed value.
    Typed(Cell<'a>),
}

enum Target<'a> {
    Person,
    Purposes,
    Values(Box<ColumnBuilder<'a>>),
    /// A column that was taken as a whole.
    Taken(ArrayRef),
}

/// Columns that grow row by row.
pub(crate) struct Rows<'a> {
    reading: &'a Reading<'a>,
    file: usize,
    targets: Vec<Target<'a>>,
    person_at: Option<usize>,
    purposes_at: Option<usize>,
    people: Vec<Pseudonym>,
    /// The id looked up last: many files have a person's rows together.
    last: RefCell<(String, Option<Pseudonym>)>,
    row_classes: Vec<u32>,
    classes: Classes,
    /// Texts of consent seen before.
    consents: HashMap<String, u32>,
    kept: usize,
    counts: Counts,
    refused: Refused,
}

/// What came of a block.
pub(crate) struct Parsed {
    /// Its rows; none if a value was refused.
    pub(super) table: Option<Table>,
    pub(super) counts: Counts,
    pub(super) refused: Refused,
}

impl<'a> Rows<'a> {
    /// For rows of the file of this number.
    pub(super) fn new(reading: &'a Reading<'a>, file: usize) -> Self {
        let columns = reading.spec.columns.iter();
        let targets: Vec<Target<'a>> = columns.map(|column| target(reading, column)).collect();
        Self {
            reading,
            file,
            person_at: targets.iter().position(|t| matches!(t, Target::Person)),
            purposes_at: targets.iter().position(|t| matches!(t, Target::Purposes)),
            targets,
            people: Vec::new(),
            last: RefCell::default(),
            row_classes: Vec::new(),
            classes: Classes::default(),
            consents: HashMap::new(),
            kept: 0,
            counts: Counts::default(),
            refused: Refused::default(),
        }
    }

    /// Appends one row; `field(n)` gives the value of the agreement's n-th column.
    pub(super) fn push<'f>(
        &mut self,
        place: Place,
        field: impl Fn(usize) -> Result<Field<'f>, CellError>,
    ) {
        if !self.take_row(place, &field) {
            return;
        }
        for n in 0..self.targets.len() {
            let pushed = field(n).and_then(|field| self.push_field(n, field));
            self.note(n, place, pushed);
        }
    }

    /// Appends rows that are there as columns; `place` gives the place of each.
    pub(super) fn push_columns<'c, C: Columns<'c>>(
        &mut self,
        rows: usize,
        place: impl Fn(usize) -> Place,
        columns: &'c [C],
    ) {
        let before = self.kept;
        let keep = self.take_rows(rows, &place, columns);
        let all = self.kept - before == rows;
        let keep = (!all).then(|| BooleanArray::from(keep));
        for (n, column) in columns.iter().enumerate() {
            if self.take_column(n, column, keep.as_ref()) {
                continue;
            }
            let kept = |at: &usize| keep.as_ref().is_none_or(|keep| keep.value(*at));
            for at in (0..rows).filter(kept) {
                let pushed = column.field(at).and_then(|field| self.push_field(n, field));
                self.note(n, place(at), pushed);
            }
        }
    }

    /// Takes people and consents of rows; says of each whether its values are wanted.
    fn take_rows<'c, C: Columns<'c>>(
        &mut self,
        rows: usize,
        place: &impl Fn(usize) -> Place,
        columns: &'c [C],
    ) -> Vec<bool> {
        let ids = self.person_at.and_then(|at| columns.get(at)?.typed());
        if let (Some(Typed::Text(ids)), None) = (ids, self.purposes_at) {
            return self.take_ids(ids);
        }
        let field = |n: usize, at: usize| match columns.get(n) {
            Some(column) => column.field(at),
            None => Ok(Field::Typed(Cell::Null)),
        };
        let take = |at| self.take_row(place(at), &|n| field(n, at));
        (0..rows).map(take).collect()
    }

    /// What [`Rows::take_row`] does with each row, where only the ids matter and cannot be
    /// refused.
    fn take_ids(&mut self, ids: &StringArray) -> Vec<bool> {
        let mut last = ("", None);
        let mut keep = Vec::with_capacity(ids.len());
        self.people.reserve(ids.len());
        let before = self.people.len();
        for id in ids {
            let id = id.unwrap_or_default();
            if id != last.0 {
                let known = (!id.is_empty()).then(|| (self.reading.people)(id));
                last = (id, known.flatten());
            }
            keep.push(last.1.is_some());
            self.people.extend(last.1);
        }
        let kept = self.people.len() - before;
        self.kept += kept;
        self.counts.rows += ids.len() as u64;
        self.counts.without_pseudonym += (ids.len() - kept) as u64;
        keep
    }

    /// Takes a column as a whole, of the rows `keep` if not of all, if each of its values is
    /// taken as it is.
    fn take_column<'c, C: Columns<'c>>(
        &mut self,
        n: usize,
        column: &'c C,
        keep: Option<&BooleanArray>,
    ) -> bool {
        let Some(Target::Values(builder)) = self.targets.get(n) else {
            return true;
        };
        let whole = column.typed().and_then(|typed| builder.as_it_is(&typed));
        let taken = whole.and_then(|whole| match keep {
            None => Some(whole),
            Some(keep) => filter(&whole, keep).ok(),
        });
        let Some(taken) = taken else { return false };
        if let Some(target) = self.targets.get_mut(n) {
            *target = Target::Taken(taken);
        }
        true
    }

    /// Takes the person and the consent of one row; says whether its values are wanted.
    fn take_row<'f>(
        &mut self,
        place: Place,
        field: &impl Fn(usize) -> Result<Field<'f>, CellError>,
    ) -> bool {
        self.counts.rows += 1;
        // Before the person is looked up: what nobody knows is an error in any row.
        let class = self.purposes_at.map(|at| {
            let class = field(at).and_then(|field| self.class(field));
            self.noted(at, place, class).unwrap_or_default()
        });
        if let Some(at) = self.person_at {
            let person = field(at).and_then(|field| self.person(field));
            match self.noted(at, place, person) {
                Some(Some(person)) => self.people.push(person),
                Some(None) => {
                    self.counts.without_pseudonym += 1;
                    return false;
                }
                None => return false,
            }
        }
        self.kept += 1;
        self.row_classes.extend(class);
        true
    }

    fn noted<T>(&mut self, n: usize, place: Place, result: Result<T, CellError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.refused.note(n, self.file, place, error);
                None
            }
        }
    }

    fn note(&mut self, n: usize, place: Place, result: Result<(), CellError>) {
        let _ = self.noted(n, place, result);
    }

    fn push_field(&mut self, n: usize, field: Field<'_>) -> Result<(), CellError> {
        let kinds = self.reading.kinds;
        match self.targets.get_mut(n) {
            Some(Target::Values(builder)) if builder.spec().ty == ColumnType::Pseudonym => {
                let kind = builder.spec().id_kind.as_ref();
                let lookup = |id: &str| kinds(kind?, id);
                match field {
                    Field::Raw("") | Field::Typed(Cell::Null) => builder.push(Cell::Null),
                    Field::Raw(id) | Field::Typed(Cell::Text(id)) => builder.push_key(lookup(id)),
                    Field::Typed(Cell::Int(id)) => builder.push_key(lookup(&id.to_string())),
                    Field::Typed(_) => Err(CellError::Form {
                        expected: ColumnType::Text,
                    }),
                }
            }
            Some(Target::Values(builder)) => {
                let cell = match field {
                    Field::Raw(text) => cell::parse(text, builder.spec().ty)?,
                    Field::Typed(cell) => cell,
                };
                builder.push(cell)
            }
            _ => Ok(()),
        }
    }

    fn person(&self, field: Field<'_>) -> Result<Option<Pseudonym>, CellError> {
        match field {
            Field::Raw("") | Field::Typed(Cell::Null) => Ok(None),
            Field::Raw(id) | Field::Typed(Cell::Text(id)) => Ok(self.pseudonym(id)),
            Field::Typed(Cell::Int(id)) => Ok((self.reading.people)(&id.to_string())),
            Field::Typed(_) => Err(CellError::Form {
                expected: ColumnType::Text,
            }),
        }
    }

    fn pseudonym(&self, id: &str) -> Option<Pseudonym> {
        let mut last = self.last.borrow_mut();
        if last.0 != id {
            id.clone_into(&mut last.0);
            last.1 = (self.reading.people)(id);
        }
        last.1
    }

    fn class(&mut self, field: Field<'_>) -> Result<u32, CellError> {
        let text = match field {
            Field::Raw(text) | Field::Typed(Cell::Text(text)) => text,
            Field::Typed(Cell::Null) => "",
            Field::Typed(_) => {
                return Err(CellError::Form {
                    expected: ColumnType::Purposes,
                });
            }
        };
        if let Some(class) = self.consents.get(text) {
            return Ok(*class);
        }
        let class = self.parse_class(text)?;
        let number = self.classes.number(class);
        self.consents.insert(text.to_owned(), number);
        Ok(number)
    }

    fn parse_class(&self, text: &str) -> Result<ConsentClass, CellError> {
        let leaf = |name: &PurposeName| self.reading.leaf(name).cloned();
        consents_in(text, leaf).ok_or(CellError::UnknownPurpose)
    }

    pub(super) fn finish(mut self) -> Parsed {
        let mut columns = Some(Vec::new());
        for target in &mut self.targets {
            let column = match target {
                Target::Person => Ok(None),
                Target::Purposes => continue,
                Target::Taken(column) => Ok(Some(column.clone())),
                Target::Values(builder) => {
                    self.counts.changed(builder.spec(), builder.changed);
                    builder.finish().map(Some)
                }
            };
            columns = grown(columns, column);
        }
        let columns = columns.filter(|_| self.refused.is_empty());
        Parsed {
            table: columns.map(|columns| Table {
                columns,
                people: self.people,
                row_classes: self.row_classes,
                classes: self.classes.list,
                rows: self.kept,
            }),
            counts: self.counts,
            refused: self.refused,
        }
    }
}

/// The columns with one more, unless one could not be built: a decimal whose precision the
/// agreement would not have let through.
fn grown(
    columns: Option<Vec<Option<ArrayRef>>>,
    column: Result<Option<ArrayRef>, ArrowError>,
) -> Option<Vec<Option<ArrayRef>>> {
    let (mut columns, column) = (columns?, column.ok()?);
    columns.push(column);
    Some(columns)
}

/// A column of a file that has columns.
pub(super) trait Columns<'c> {
    /// The value in row `at`.
    fn field(&'c self, at: usize) -> Result<Field<'c>, CellError>;
    /// The whole column, if it is of a type that may be taken as it is.
    fn typed(&'c self) -> Option<Typed<'c>>;
}

impl Counts {
    fn changed(&mut self, spec: &ColumnSpec, changed: Changed) {
        for (counts, count) in [
            (&mut self.clamped, changed.clamped),
            (&mut self.replaced, changed.replaced),
            (&mut self.twice, changed.twice),
            (&mut self.skipped, changed.skipped),
        ] {
            if count > 0 {
                *counts.entry(spec.name.clone()).or_default() += count;
            }
        }
    }
}

fn target<'a>(reading: &Reading<'a>, spec: &'a ColumnSpec) -> Target<'a> {
    match spec.ty {
        ColumnType::Purposes => Target::Purposes,
        _ if reading.spec.is_person(&spec.name) => Target::Person,
        _ => ColumnBuilder::new(spec)
            .map_or(Target::Person, |builder| Target::Values(Box::new(builder))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use incamera_types::{DatasetSpec, PurposeSet};
    use proptest::prelude::*;

    use super::*;

    /// Ids, as a column or one by one.
    struct Ids {
        ids: StringArray,
        typed: bool,
    }

    impl<'c> Columns<'c> for Ids {
        fn field(&'c self, at: usize) -> Result<Field<'c>, CellError> {
            Ok(match self.ids.is_null(at) {
                true => Field::Typed(Cell::Null),
                false => Field::Raw(self.ids.value(at)),
            })
        }

        fn typed(&'c self) -> Option<Typed<'c>> {
            self.typed.then_some(Typed::Text(&self.ids))
        }
    }

    /// The people of rows with these ids, and what is counted. An id of one byte is known.
    fn people(ids: &[Option<String>], typed: bool) -> (Vec<Pseudonym>, usize, Counts) {
        let person = ColumnSpec {
            name: "person".parse().unwrap(),
            ty: ColumnType::Pseudonym,
            nullable: false,
            purposes: PurposeSet::default(),
            unit: None,
            min: None,
            max: None,
            values: None,
            other: incamera_types::OtherText::Refuse,
            id_kind: None,
            time_zone: None,
        };
        let spec = DatasetSpec {
            name: "d".parse().unwrap(),
            owner: "o".parse().unwrap(),
            public: false,
            keep_until: None,
            columns: vec![person],
        };
        let known = |id: &str| match id.as_bytes() {
            [one] => Some(Pseudonym::from_bytes([*one; 16])),
            [] => panic!("looked up without an id"),
            _ => None,
        };
        let reading = Reading {
            spec: &spec,
            id_column: None,
            people: &known,
            kinds: &crate::sealing::no_kinds,
            purposes: &PurposeSet::default(),
            branches: &BTreeMap::new(),
            renamed: &BTreeMap::new(),
        };
        let mut rows = Rows::new(&reading, 0);
        let ids = StringArray::from_iter(ids);
        let columns = [Ids { ids, typed }];
        let place = |at| Place::Row(at as u64 + 1);
        rows.push_columns(columns[0].ids.len(), place, &columns);
        let parsed = rows.finish();
        let table = parsed.table.unwrap();
        (table.people, table.rows, parsed.counts)
    }

    proptest! {
        /// A column of ids gives what its ids give one by one.
        #[test]
        fn ids_at_once_are_ids_one_by_one(
            ids in prop::collection::vec(prop::option::of("[ab]{0,2}"), 0..40),
        ) {
            prop_assert_eq!(people(&ids, true), people(&ids, false));
        }
    }
}
