//! One column of a file as texts: what `match run` reads ids from.

use arrow::array::{Array as _, AsArray as _};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;

use super::{Source, SourceError, csv, places};
use crate::guard::guarded;
use incamera_types::ColumnType;

/// Hands each value of the column `column` to `each`, in order; an empty text where there is
/// none. Whole numbers are written as digits. Gives the number of rows.
///
/// # Errors
/// [`SourceError`], as sealing the same file would give; never the value.
pub fn read_texts(
    source: &Source,
    column: &str,
    each: &mut dyn FnMut(&str),
) -> Result<u64, SourceError> {
    match source {
        Source::Csv(path) => csv::each_field(path, column, each),
        Source::Parquet(_) | Source::EncryptedParquet(..) => read_parquet(source, column, each),
    }
}

fn read_parquet(
    source: &Source,
    column: &str,
    each: &mut dyn FnMut(&str),
) -> Result<u64, SourceError> {
    let path = source.path();
    let damaged = || SourceError::NotParquet { path: path.into() };
    let (builder, names) = super::parquet::open(source)?;
    let (at, _) = places(path, &[column], &names)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), at);
    let mut rows = 0;
    let reader = guarded(|| builder.with_projection(mask).build());
    let mut reader = reader.map_err(|_| damaged())?;
    while let Some(batch) = guarded(|| reader.next().transpose()).map_err(|_| damaged())? {
        let array = batch.columns().first().ok_or_else(damaged)?;
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
