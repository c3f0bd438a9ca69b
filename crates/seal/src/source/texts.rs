//! One column of a file as texts: what `match run` reads ids from.

use arrow::array::{Array as _, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use incamera_types::ColumnType;

use super::files::{Kind, SourceFile};
use super::parquet::ParquetFile;
use super::{Source, SourceError, csv};
use crate::keytools::SourceKeys;

/// Hands each value of the column `column` to `each`, in order; an empty text where there is
/// none. Whole numbers are written as digits. Gives the number of rows.
///
/// # Errors
/// [`SourceError`], as sealing the same files would give; never the value.
pub fn read_texts(
    source: &Source,
    column: &str,
    each: &mut dyn FnMut(&str),
) -> Result<u64, SourceError> {
    let mut rows = 0;
    for (number, file) in source.files().iter().enumerate() {
        let read = match source.kind() {
            Kind::Csv => csv::each_field(file, column, each),
            Kind::Parquet => read_parquet(file, source.keys(number), column, each),
        };
        rows += read.map_err(|error| source.in_file(file.name(), error))?;
    }
    Ok(rows)
}

fn read_parquet(
    file: &SourceFile,
    keys: Option<&SourceKeys>,
    column: &str,
    each: &mut dyn FnMut(&str),
) -> Result<u64, SourceError> {
    let damaged = || SourceError::NotParquet {
        path: file.name().into(),
    };
    let (mut batches, _) = ParquetFile::open(file, keys)?.read(&[column])?;
    let mut rows = 0;
    while let Some(batch) = batches.next()? {
        let array = batch.batch.columns().first().ok_or_else(damaged)?;
        let texts = match array.data_type() {
            ty if ty.is_integer() || super::parquet::is_text(ty) => cast(array, &DataType::Utf8),
            found => {
                return Err(SourceError::Type {
                    column: column.to_owned(),
                    found: found.to_string(),
                    expected: ColumnType::Text,
                });
            }
        };
        let texts = texts.map_err(|_| damaged())?;
        let texts = texts.as_string::<i32>();
        for at in 0..texts.len() {
            each(if texts.is_null(at) {
                ""
            } else {
                texts.value(at)
            });
        }
        rows += texts.len() as u64;
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_a_csv_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "day,email\n1,a@b.example\n2,\n").unwrap();
        let source = Source::of(&path).unwrap();
        let mut seen = Vec::new();
        let rows = read_texts(&source, "email", &mut |id| seen.push(id.to_owned()));
        assert_eq!(
            (rows.unwrap(), seen),
            (2, vec!["a@b.example".to_owned(), String::new()])
        );
        let error = read_texts(&source, "phone", &mut |_| ()).unwrap_err();
        assert!(matches!(error, SourceError::MissingColumns { .. }));
    }
}
