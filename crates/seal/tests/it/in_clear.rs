//! Encryption is never silently off: values are looked for in the raw bytes of parts.
//!
//! That the engine's encryption is compiled in is no test: this crate names the Parquet
//! writer's encryption types, so that a build without the feature fails.

use std::fs;

use incamera_types::DatasetSpec;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};

use crate::world::{World, column, contains, dataset, files_below, pseudonym};

/// Eight bytes each, so that none stands anywhere by chance.
const NUMBER: i64 = 0x7a5b_3c1d_2e4f_6071;
const LEAST: &str = "aQ7zP2mK9xW4vT1c";
const MOST: &str = "zB6nR8yL3hJ5sD0f";

fn spec(name: &str, public: bool) -> DatasetSpec {
    let mut columns = vec![
        column("number", "int", &["ads"]),
        column("text", "text", &["ads"]),
    ];
    if !public {
        columns.insert(0, column("person", "pseudonym", &[]));
    }
    DatasetSpec {
        public,
        ..dataset(name, columns)
    }
}

/// Few values many times, so that they stand in a dictionary page, and as least and greatest.
fn rows() -> String {
    let mut csv = String::from("email,number,text\n");
    for at in 0..40 {
        let (number, text) = match at % 2 {
            0 => (NUMBER, LEAST),
            _ => (NUMBER - 1, MOST),
        };
        csv += &format!("p{}@x,{number},{text}\n", at % 4);
    }
    csv
}

/// How many of the values, as they would stand in pages and statistics, are in files below.
fn hits(world: &World, name: &str) -> Vec<usize> {
    let files = files_below(&world.out(name)).into_iter();
    let parts = files.filter(|file| file.extension().is_some_and(|ending| ending == "parquet"));
    let parts: Vec<Vec<u8>> = parts.map(|file| fs::read(file).unwrap()).collect();
    assert!(!parts.is_empty());
    let numbers = [NUMBER, NUMBER - 1].map(|number| number.to_le_bytes().to_vec());
    let texts = [LEAST, MOST].map(|text| text.as_bytes().to_vec());
    let ids = ["p0@x", "p1@x"].map(|id| pseudonym(id).unwrap().as_bytes().to_vec());
    let values = numbers.into_iter().chain(texts).chain(ids);
    let found = |value: Vec<u8>| parts.iter().filter(|part| contains(part, &value)).count();
    values.map(found).collect()
}

#[test]
fn no_page_no_dictionary_and_no_statistic_is_in_clear() {
    let mut world = World::new();
    world.seal_csv(&spec("sealed", false), rows()).unwrap();
    assert_eq!(hits(&world, "sealed"), [0; 6]);
    for file in files_below(&world.out("sealed").join("parts")) {
        let bytes = fs::read(&file).unwrap();
        assert!(bytes.starts_with(b"PARE") && bytes.ends_with(b"PARE"));
        let file = fs::File::open(file).unwrap();
        assert!(ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).is_err());
    }
    // A data set that is sealed for nobody shows what would be found.
    world.seal_csv(&spec("open", true), rows()).unwrap();
    let control = hits(&world, "open");
    assert!(control[..4].iter().all(|found| *found > 0), "{control:?}");
}
