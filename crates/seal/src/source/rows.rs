//! Rows on their way into columns.

use std::collections::HashMap;

use incamera_types::{ColumnSpec, ColumnType, ConsentClass, Pseudonym, PurposeName};

use super::cell::{self, Cell, CellError, ColumnBuilder};
use super::{Counts, Place, Reading, SourceError, Table};
use crate::consents::Classes;

/// A value as the file has it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field<'a> {
    /// Text that is still to be read as the column's type.
    Raw(&'a str),
    /// A typed value.
    Typed(Cell<'a>),
}

enum Target<'a> {
    Person(&'a ColumnSpec),
    Purposes(&'a ColumnSpec),
    Values(Box<ColumnBuilder<'a>>),
}

/// Columns that grow row by row.
pub(crate) struct Rows<'a> {
    reading: &'a Reading<'a>,
    targets: Vec<Target<'a>>,
    person_at: Option<usize>,
    purposes_at: Option<usize>,
    people: Vec<Pseudonym>,
    row_classes: Vec<u32>,
    classes: Classes,
    /// Texts of consent seen before.
    consents: HashMap<String, u32>,
    kept: usize,
    counts: Counts,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(reading: &'a Reading<'a>) -> Self {
        let targets: Vec<Target<'a>> = reading.spec.columns.iter().map(target).collect();
        Self {
            reading,
            person_at: targets.iter().position(|t| matches!(t, Target::Person(_))),
            purposes_at: targets
                .iter()
                .position(|t| matches!(t, Target::Purposes(_))),
            targets,
            people: Vec::new(),
            row_classes: Vec::new(),
            classes: Classes::default(),
            consents: HashMap::new(),
            kept: 0,
            counts: Counts::default(),
        }
    }

    /// Rows seen so far.
    pub(crate) fn seen(&self) -> u64 {
        self.counts.rows
    }

    /// Appends one row; `field(n)` gives the value of the agreement's n-th column.
    pub(crate) fn push<'f>(
        &mut self,
        place: Place,
        field: impl Fn(usize) -> Result<Field<'f>, CellError>,
    ) -> Result<(), SourceError> {
        self.counts.rows += 1;
        // Before the person is looked up: what nobody knows is an error in any row.
        let class = self.class_of(place, &field)?;
        if let Some(at) = self.person_at {
            let person = field(at).and_then(|field| self.person(field));
            let Some(person) = person.map_err(|error| self.cell_error(place, at, error))? else {
                self.counts.without_pseudonym += 1;
                return Ok(());
            };
            self.people.push(person);
        }
        if self.kept >= u32::MAX as usize {
            return Err(SourceError::TooManyRows);
        }
        self.kept += 1;
        self.row_classes.extend(class);
        for n in 0..self.targets.len() {
            let pushed = field(n).and_then(|field| self.push_field(n, field));
            pushed.map_err(|error| self.cell_error(place, n, error))?;
        }
        Ok(())
    }

    fn push_field(&mut self, n: usize, field: Field<'_>) -> Result<(), CellError> {
        match self.targets.get_mut(n) {
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

    /// The consent class of a row, where the data set says it.
    fn class_of<'f>(
        &mut self,
        place: Place,
        field: &impl Fn(usize) -> Result<Field<'f>, CellError>,
    ) -> Result<Option<u32>, SourceError> {
        let Some(at) = self.purposes_at else {
            return Ok(None);
        };
        let class = field(at).and_then(|field| self.class(field));
        class
            .map(Some)
            .map_err(|error| self.cell_error(place, at, error))
    }

    fn person(&self, field: Field<'_>) -> Result<Option<Pseudonym>, CellError> {
        match field {
            Field::Raw("") | Field::Typed(Cell::Null) => Ok(None),
            Field::Raw(id) | Field::Typed(Cell::Text(id)) => Ok((self.reading.people)(id)),
            Field::Typed(Cell::Int(id)) => Ok((self.reading.people)(&id.to_string())),
            Field::Typed(_) => Err(CellError::Form {
                expected: ColumnType::Text,
            }),
        }
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
        let names = text
            .split([';', ',', '|', ' '])
            .filter(|name| !name.is_empty());
        let known = |name: &str| {
            let purpose: PurposeName = name.parse().ok()?;
            self.reading.purposes.contains(&purpose).then_some(purpose)
        };
        names
            .map(|name| known(name).ok_or(CellError::UnknownPurpose))
            .collect()
    }

    fn cell_error(&self, place: Place, at: usize, error: CellError) -> SourceError {
        let spec = match self.targets.get(at) {
            Some(Target::Values(builder)) => Some(builder.spec()),
            Some(Target::Person(spec) | Target::Purposes(spec)) => Some(*spec),
            None => None,
        };
        let name = spec.map_or("", |spec| self.reading.name_in_file(spec));
        SourceError::Cell {
            place,
            column: name.to_owned(),
            error,
        }
    }

    pub(crate) fn finish(mut self, ignored: Vec<String>) -> Result<Table, SourceError> {
        self.counts.ignored = ignored;
        let mut columns = Vec::new();
        for target in &mut self.targets {
            match target {
                Target::Person(_) => columns.push(None),
                Target::Purposes(_) => {}
                Target::Values(builder) => {
                    let column = builder.finish().map_err(|_| SourceError::TooManyRows)?;
                    columns.push(Some(column));
                    let name = &builder.spec().name;
                    note(&mut self.counts.clamped, name, builder.clamped);
                    note(&mut self.counts.replaced, name, builder.replaced);
                }
            }
        }
        Ok(Table {
            columns,
            people: self.people,
            row_classes: self.row_classes,
            classes: self.classes,
            rows: self.kept,
            counts: self.counts,
        })
    }
}

fn note(
    counts: &mut std::collections::BTreeMap<incamera_types::ColumnName, u64>,
    name: &incamera_types::ColumnName,
    count: u64,
) {
    if count > 0 {
        counts.insert(name.clone(), count);
    }
}

fn target(spec: &ColumnSpec) -> Target<'_> {
    match spec.ty {
        ColumnType::Purposes => Target::Purposes(spec),
        _ => ColumnBuilder::new(spec).map_or(Target::Person(spec), |builder| {
            Target::Values(Box::new(builder))
        }),
    }
}
