//! Parquet files made of CSV texts.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, RecordBatch, StringArray};
use incamera_types::Date;
use parquet::arrow::ArrowWriter;

use crate::world::Data;

/// A column of a CSV text without quotes, header left out.
pub fn column(csv: &str, at: usize) -> impl Iterator<Item = String> {
    let rows = csv
        .lines()
        .skip(1)
        .map(move |line| line.split(',').nth(at).unwrap().to_owned());
    rows.collect::<Vec<_>>().into_iter()
}

pub fn texts(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

pub fn write_purchases(path: &Path, data: &Data) {
    let csv = &data.purchases;
    let days = column(csv, 1).map(|day| day.parse::<Date>().unwrap().days());
    let cents = column(csv, 2).map(|amount| amount.replace('.', "").parse::<i128>().unwrap());
    let amounts = Decimal128Array::from_iter_values(cents)
        .with_precision_and_scale(10, 2)
        .unwrap();
    write_parquet(
        path,
        vec![
            ("email", texts(column(csv, 0))),
            ("day", Arc::new(Date32Array::from_iter_values(days))),
            ("amount", Arc::new(amounts)),
            ("category", texts(column(csv, 3))),
        ],
    );
}

pub fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}
