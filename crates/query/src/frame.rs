//! An answer as a table of Arrow: for drivers, notebooks and files.
//!
//! | columns | type | what |
//! |---|---|---|
//! | each group key | text | |
//! | `withheld` | bool | whether the group has too few people to be shown |
//! | each measure and ratio `x` | float | the released number; null where withheld or left open by noise |
//! | `x_low`, `x_high` | float | its range at 95 %, of the noise |
//! | `x_rank_low`, `x_rank_high` | float | of a quantile: the range of its rank at 95 %, in percent of the values below it |
//! | `x_sampling_low`, `x_sampling_high` | float | where people are taken as a sample: the range of that error |
//! | `x_both_low`, `x_both_high` | float | the range of both errors |
//!
//! A measure's field says its unit as `incamera.unit`. The schema says `incamera.query`,
//! `incamera.notes` (a line each), `incamera.comparisons` (JSON), and `incamera.simulated` where
//! the room's TEE was.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use incamera_agreement::Query;
use incamera_wire::v1::Answer;

use crate::after::Output;
use crate::export;
use crate::refusal::{Refusal, RefusalKind};
use crate::table::{Cell, Row, Table};

/// One end of a number's range, or the number.
type Of = fn(&Cell) -> Option<f64>;

/// The columns of a number: it and the range of its noise, ...
const NOISE: &[(&str, Of)] = &[
    ("", |cell| cell.value),
    ("_low", |cell| cell.low),
    ("_high", |cell| cell.high),
];

/// ... of a quantile, of which the rank has a range, ...
const RANK: &[(&str, Of)] = &[
    ("_rank_low", |cell| Some(cell.rank?.low)),
    ("_rank_high", |cell| Some(cell.rank?.high)),
];

/// ... and where people are taken as a sample.
const SAMPLING: &[(&str, Of)] = &[
    ("_sampling_low", |cell| Some(cell.sampling?.low)),
    ("_sampling_high", |cell| Some(cell.sampling?.high)),
    ("_both_low", |cell| Some(cell.both?.low)),
    ("_both_high", |cell| Some(cell.both?.high)),
];

/// The table of an answer, as [`table`](crate::table()) made it of `answer`.
///
/// # Errors
/// [`ArrowError`] if the table has rows of different lengths, which none has.
pub fn frame(answer: &Answer, table: &Table) -> Result<RecordBatch, ArrowError> {
    let keys = answer.keys.len();
    let mut columns: Vec<(Field, ArrayRef)> = Vec::new();
    for (at, name) in table.columns.iter().enumerate().take(keys) {
        columns.push((Field::new(name, DataType::Utf8, false), texts(table, at)));
    }
    let withheld: BooleanArray = table.rows.iter().map(|row| Some(row.withheld)).collect();
    let field = Field::new("withheld", DataType::Boolean, false);
    columns.push((field, Arc::new(withheld)));
    for (at, name) in table.columns.iter().skip(keys).enumerate() {
        let unit = unit(table, at);
        let rank = if table.quantiles.contains(name) {
            RANK
        } else {
            &[]
        };
        let sampling = if table.sampling { SAMPLING } else { &[] };
        for (end, of) in NOISE.iter().chain(rank).chain(sampling) {
            let field = Field::new(format!("{name}{end}"), DataType::Float64, true);
            columns.push((field.with_metadata(unit.clone()), numbers(table, at, *of)));
        }
    }
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Schema::new_with_metadata(fields, said(answer, table));
    let rows = RecordBatchOptions::new().with_row_count(Some(table.rows.len()));
    RecordBatch::try_new_with_options(Arc::new(schema), arrays, &rows)
}

/// Refuses names that would stand twice in a frame, or in a file made of it: nobody could
/// read an answer that has been paid for.
pub(crate) fn distinct(query: &Query, outputs: &[Output]) -> Result<(), Refusal> {
    let keys = query.groups.iter().map(|group| group.name.clone());
    let keys = keys.chain(["withheld".to_owned(), export::WARNING.to_owned()]);
    let shown = outputs.iter().filter(|output| !output.is_key());
    let shown = shown.map(|output| &output.name);
    let numbers = shown.chain(query.ratios.iter().map(|ratio| &ratio.name));
    let ends = || {
        NOISE
            .iter()
            .chain(RANK)
            .chain(SAMPLING)
            .map(|(end, _)| *end)
    };
    let numbers = numbers.flat_map(|name| ends().map(move |end| format!("{name}{end}")));
    let mut seen = HashSet::new();
    match keys.chain(numbers).find(|name| !seen.insert(name.clone())) {
        None => Ok(()),
        Some(twice) => Err(Refusal::new(
            RefusalKind::Measures,
            format!("two columns called `{twice}`"),
            "a file of the answer has the columns `withheld` and `warning`, and beside each number `x` its range: `x_low`, `x_high`, and more of this kind",
            "give one of the two another name with AS",
        )),
    }
}

fn texts(table: &Table, at: usize) -> ArrayRef {
    let text = |row: &Row| row.key.get(at).cloned();
    Arc::new(table.rows.iter().map(text).collect::<StringArray>())
}

fn numbers(table: &Table, at: usize, of: Of) -> ArrayRef {
    let number = |row: &Row| row.cells.get(at).and_then(of);
    Arc::new(table.rows.iter().map(number).collect::<Float64Array>())
}

fn unit(table: &Table, at: usize) -> HashMap<String, String> {
    let units = table.rows.iter().filter_map(|row| row.cells.get(at));
    let mut units = units.map(|cell| &cell.unit);
    let unit = units.find(|unit| !unit.is_empty());
    unit.map(|unit| ("incamera.unit".to_owned(), unit.clone()))
        .into_iter()
        .collect()
}

fn said(answer: &Answer, table: &Table) -> HashMap<String, String> {
    let mut said = HashMap::from([
        ("incamera.query".to_owned(), answer.query.clone()),
        ("incamera.notes".to_owned(), table.notes.join("\n")),
    ]);
    // A number that is not finite has no JSON, and none is: then there is no such entry.
    if !table.comparisons.is_empty()
        && let Ok(json) = serde_json::to_string(&table.comparisons)
    {
        said.insert("incamera.comparisons".into(), json);
    }
    if answer.simulated {
        said.insert("incamera.simulated".into(), "true".into());
    }
    said
}
