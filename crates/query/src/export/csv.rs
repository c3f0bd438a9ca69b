//! CSV: one line a group, the columns of the frame.

use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, StringArray};
use arrow::csv::WriterBuilder;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::{RecordBatch, RecordBatchOptions};

use super::Marks;

/// The column that says what must not be overlooked: a table without notes has no other place.
pub(crate) const WARNING: &str = "warning";

/// A [`frame`](crate::frame()) as CSV. Spreadsheets take a cell that begins like a formula for
/// one, so an apostrophe is put before such a text. What `marks` say stands in each line, in a
/// column that is there only then.
///
/// # Errors
/// [`ArrowError`] if the frame has a column that CSV cannot hold, which none has.
pub fn csv(frame: &RecordBatch, marks: Marks) -> Result<Vec<u8>, ArrowError> {
    let schema = frame.schema();
    let name = |field: &Arc<Field>| field.as_ref().clone().with_name(text(field.name()));
    let mut fields: Vec<Field> = schema.fields().iter().map(name).collect();
    let mut columns: Vec<ArrayRef> = frame.columns().iter().map(as_text).collect();
    let lines = marks.lines();
    if !lines.is_empty() {
        fields.push(Field::new(WARNING, DataType::Utf8, false));
        let warning = lines.join("; ");
        let rows = std::iter::repeat_n(Some(warning), frame.num_rows());
        columns.push(Arc::new(rows.collect::<StringArray>()));
    }
    let rows = RecordBatchOptions::new().with_row_count(Some(frame.num_rows()));
    let safe = RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &rows)?;
    let mut bytes = Vec::new();
    WriterBuilder::new()
        .with_header(true)
        .build(&mut bytes)
        .write(&safe)?;
    Ok(bytes)
}

fn as_text(column: &ArrayRef) -> ArrayRef {
    match column.data_type() {
        DataType::Utf8 => {
            let texts = column.as_string::<i32>().iter();
            Arc::new(texts.map(|cell| cell.map(text)).collect::<StringArray>())
        }
        _ => Arc::clone(column),
    }
}

/// What a spreadsheet takes for the beginning of a formula, wide forms included.
const BEGINS: &[char] = &[
    '=', '+', '-', '@', '\t', '\r', '\n', '|', '%', '＝', '＋', '－', '＠',
];

/// A text that no spreadsheet takes for a formula. A number with its sign is none.
fn text(cell: &str) -> String {
    let begins = |cell: &str| cell.starts_with(BEGINS);
    match (begins(cell) || begins(cell.trim_start())) && !is_number(cell) {
        true => format!("'{cell}"),
        false => cell.to_owned(),
    }
}

fn is_number(cell: &str) -> bool {
    let digits = cell.strip_prefix(['-', '+']).unwrap_or(cell);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    plain(whole) && plain(fraction)
}
