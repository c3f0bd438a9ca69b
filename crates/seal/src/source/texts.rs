//! Columns of a file as texts: what `match run` reads ids and consents from.

use std::path::Path;

use arrow::array::{Array as _, AsArray as _, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;

use super::files::{Kind, SourceFile};
use super::parquet::ParquetFile;
use super::{Place, Source, SourceError, csv};
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
    read_columns(source, [column], &mut |_, [text]| each(text))
}

/// Where a row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowPlace<'a> {
    /// Its file.
    pub file: &'a Path,
    /// Where in it.
    pub place: Place,
}

/// How many files of a source have a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// None of them.
    Nowhere,
    /// Some of them.
    Partly,
    /// All of them.
    Everywhere,
}

/// How many files of the source have the column `column`; no row is read.
///
/// # Errors
/// [`SourceError`], as reading the files would give.
pub fn named(source: &Source, column: &str) -> Result<Named, SourceError> {
    let mut having = 0;
    for (number, file) in source.files().iter().enumerate() {
        let found = match source.kind() {
            Kind::Csv => csv::CsvFile::open(file)?.names,
            Kind::Parquet => ParquetFile::open(file, source.keys(number))?.names,
        };
        having += usize::from(found.iter().any(|name| name == column));
    }
    Ok(match having {
        0 => Named::Nowhere,
        all if all == source.files().len() => Named::Everywhere,
        _ => Named::Partly,
    })
}

/// [`read_texts`] of several columns: hands the values of each row to `each`, in the order in
/// which the columns are named, and where the row stands.
///
/// # Errors
/// [`SourceError`], as sealing the same files would give; never a value.
pub fn read_columns<const N: usize>(
    source: &Source,
    columns: [&str; N],
    each: &mut dyn FnMut(RowPlace<'_>, [&str; N]),
) -> Result<u64, SourceError> {
    let mut rows = 0;
    for (number, file) in source.files().iter().enumerate() {
        let read = match source.kind() {
            Kind::Csv => csv::each_row(file, &columns, each),
            Kind::Parquet => read_parquet(file, source.keys(number), &columns, each),
        };
        rows += read.map_err(|error| source.in_file(file.name(), error))?;
    }
    Ok(rows)
}

fn read_parquet<const N: usize>(
    file: &SourceFile,
    keys: Option<&SourceKeys>,
    columns: &[&str; N],
    each: &mut dyn FnMut(RowPlace<'_>, [&str; N]),
) -> Result<u64, SourceError> {
    let damaged = || SourceError::NotParquet {
        path: file.name().into(),
    };
    let (mut batches, _) = ParquetFile::open(file, keys)?.read(columns)?;
    let mut rows = 0;
    while let Some(batch) = batches.next()? {
        let mut texts: Vec<StringArray> = Vec::with_capacity(N);
        for name in columns {
            let array = batch.batch.column_by_name(name).ok_or_else(damaged)?;
            let cast = match array.data_type() {
                ty if ty.is_integer() || super::parquet::is_text(ty) => {
                    cast(array, &DataType::Utf8)
                }
                found => {
                    return Err(SourceError::NotText {
                        column: (*name).to_owned(),
                        found: found.to_string(),
                    });
                }
            };
            texts.push(cast.map_err(|_| damaged())?.as_string::<i32>().clone());
        }
        for at in 0..batch.batch.num_rows() {
            let mut values = [""; N];
            let present = values.iter_mut().zip(&texts);
            for (value, texts) in present.filter(|(_, texts)| texts.is_valid(at)) {
                *value = texts.value(at);
            }
            let place = Place::Row(rows + at as u64 + 1);
            let file = file.name();
            each(RowPlace { file, place }, values);
        }
        rows += batch.batch.num_rows() as u64;
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

    #[test]
    fn several_columns_of_a_csv_file_in_the_order_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, "ok,day,id\nads,1,a\n,2,b\n\"ads,x\",3,\n").unwrap();
        let source = Source::of(&path).unwrap();
        let mut seen = Vec::new();
        let rows = read_columns(&source, ["id", "ok"], &mut |_, row| {
            seen.push(row.map(str::to_owned));
        });
        assert_eq!(rows.unwrap(), 3);
        assert_eq!(seen, [["a", "ads"], ["b", ""], ["", "ads,x"]]);
        let error = read_columns(&source, ["id", "no"], &mut |_, _| ()).unwrap_err();
        assert!(matches!(error, SourceError::MissingColumns { .. }));
    }

    /// To the reader of CSV they are nothing; in a file of one column somebody has no id there.
    #[test]
    fn empty_lines_of_a_file_of_one_column_are_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let rows = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let source = Source::of(&path).unwrap();
            let mut seen = Vec::new();
            let read = read_columns(&source, ["id"], &mut |at, [id]| {
                seen.push(format!("{}: {id}", at.place));
            });
            assert_eq!(read.unwrap(), seen.len() as u64);
            seen
        };
        let wanted = ["line 2: a", "line 3: ", "line 4: ", "line 5: b", "line 6: "];
        for text in ["id\na\n\n\nb\n\n", "id\r\na\r\n\r\n\r\nb\r\n\r\n"] {
            assert_eq!(rows(text), wanted, "{text:?}");
        }
        assert_eq!(rows("\n\nid\n\n\"\n\n\"\n"), ["line 4: ", "line 5: \n\n"]);
        assert_eq!(rows("id\na"), ["line 2: a"]);
        assert_eq!(rows("id\r\na\r\n"), ["line 2: a"]);
        assert_eq!(rows("id,x\n\na,1\n\n"), ["line 3: a"]);
        let (a, b) = ("a\n".repeat(400_000), "\n".repeat(500_000));
        assert_eq!(rows(&format!("id\n{a}{b}{a}")).len(), 1_300_000);
    }

    #[test]
    fn rows_are_told_by_where_they_stand() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("a.csv", "id,ok\na,1\n\n\"b\nb\",2\nc,3\n"),
            ("b.csv", "id\nd\n"),
        ] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let source = Source::of(folder.path()).unwrap();
        let mut seen = Vec::new();
        let mut each = |at: RowPlace<'_>, [id]: [&str; 1]| {
            let name = at.file.file_name().unwrap().to_str().unwrap().to_owned();
            seen.push((name, at.place.to_string(), id.to_owned()));
        };
        assert_eq!(read_columns(&source, ["id"], &mut each).unwrap(), 4);
        let wanted = [
            ("a.csv", "line 2", "a"),
            ("a.csv", "line 4", "b\nb"),
            ("a.csv", "line 6", "c"),
            ("b.csv", "line 2", "d"),
        ];
        let wanted = wanted.map(|(file, place, id)| (file.into(), place.into(), id.into()));
        assert_eq!(seen, wanted);
        let found = ["id", "ok", "no"].map(|column| named(&source, column).unwrap());
        assert_eq!(found, [Named::Everywhere, Named::Partly, Named::Nowhere]);
    }

    /// A row of which one value is no text is not handed on in part.
    #[test]
    fn a_value_that_is_no_text_is_told_by_its_column() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        std::fs::write(&path, b"ok,id\nads,a\n\xff,b\nads,c\n").unwrap();
        let source = Source::of(&path).unwrap();
        let mut seen = Vec::new();
        let error = read_columns(&source, ["id", "ok"], &mut |_, [id, _]| {
            seen.push(id.to_owned())
        });
        let Err(SourceError::Values { columns }) = error else {
            panic!("{error:?}")
        };
        assert!(columns.to_string().contains("`ok`"), "{columns}");
        assert_eq!(seen, ["a", "c"]);
    }

    #[test]
    fn several_columns_of_a_parquet_file_in_the_order_asked_for() {
        use arrow::array::{ArrayRef, Int64Array, RecordBatch};
        use parquet::arrow::ArrowWriter;
        use std::sync::Arc;

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.parquet");
        let ok: ArrayRef = Arc::new(StringArray::from(vec![Some("ads"), None, Some("x")]));
        let day: ArrayRef = Arc::new(StringArray::from(vec!["1", "2", "3"]));
        let id: ArrayRef = Arc::new(Int64Array::from(vec![Some(7), Some(8), None]));
        let batch = RecordBatch::try_from_iter([("ok", ok), ("day", day), ("id", id)]).unwrap();
        let file = std::fs::File::create(&path).unwrap();
        let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let source = Source::of(&path).unwrap();
        let mut seen = Vec::new();
        let rows = read_columns(&source, ["id", "ok"], &mut |_, row| {
            seen.push(row.map(str::to_owned));
        });
        assert_eq!(rows.unwrap(), 3);
        assert_eq!(seen, [["7", "ads"], ["8", ""], ["", "x"]]);
    }
}
