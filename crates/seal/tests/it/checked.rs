//! I8 against whoever can change files: what is read of a part is what was checked.
//!
//! The parts here are public ones. Nothing but the check binds what stands in them; and an owner
//! who helps an operator can make sealed ones that open in each other's place, too.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use incamera_seal::{
    CheckedPart, Manifest, Part, PartFileError, PartReader, ReadError, open_part, read_public_part,
};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{ChunkReader as _, Length as _};
use sha2::{Digest as _, Sha256};

use crate::world::{World, column, dataset, names};

const ROWS: i64 = 400_000;

/// Two files of the same layout, with other values: pieces of the one fit into the other.
struct Twins {
    world: World,
    manifest: Manifest,
    part: Part,
    rows: RecordBatch,
    first: Vec<u8>,
    other: Vec<u8>,
}

impl Twins {
    fn new() -> Self {
        let mut world = World::new();
        let mut prices = dataset("prices", vec![column("price", "int", &[])]);
        prices.public = true;
        world.seal_csv(&prices, "price\n1\n").unwrap();
        let schema = {
            let manifest = world.manifest("prices");
            let part = manifest.parts()[0].clone();
            let file = world.part_file(&manifest, &part);
            let reader = read_public_part(file, &manifest, &part, &names(&["price"]), 10);
            reader.unwrap().schema()
        };
        let [rows, others] = [0, 1].map(|more| {
            let prices = Int64Array::from_iter_values((0..ROWS).map(|n| n + more));
            RecordBatch::try_new(schema.clone(), vec![Arc::new(prices)]).unwrap()
        });
        let [first, other] = [&rows, &others].map(file_of);
        // Far more than the pieces that stay in memory from the check.
        assert!(first.len() == other.len() && first.len() > 2 << 20);
        let manifest = world.resigned("prices", |message| {
            (message.version, message.previous) = (2, vec![0; 32]);
            message.parts[0].bytes = first.len() as u64;
            message.parts[0].digest = Sha256::digest(&first).to_vec();
        });
        let part = manifest.parts()[0].clone();
        Self {
            world,
            manifest,
            part,
            rows,
            first,
            other,
        }
    }

    fn put(&self, bytes: &[u8]) -> PathBuf {
        self.world.file("part", bytes)
    }

    fn open(&self, bytes: &[u8]) -> Result<CheckedPart, PartFileError> {
        open_part(&self.put(bytes), &self.manifest, &self.part)
    }

    fn reader(&self, file: CheckedPart) -> Result<PartReader, ReadError> {
        read_public_part(file, &self.manifest, &self.part, &names(&["price"]), 1000)
    }

    /// Reads on to the end or to an error: all that is given is what was checked.
    fn read(&self, reader: PartReader, from: usize) -> Result<(), ReadError> {
        let mut at = from;
        for batch in reader {
            let batch = batch?;
            let there = self.rows.slice(at, batch.num_rows());
            assert!(batch == there, "other rows than those that were checked");
            at += batch.num_rows();
        }
        assert_eq!(at, self.rows.num_rows());
        Ok(())
    }

    fn all(&self, file: CheckedPart) -> Result<(), ReadError> {
        self.read(self.reader(file)?, 0)
    }
}

/// Many small pages, each value as it is.
fn file_of(batch: &RecordBatch) -> Vec<u8> {
    let properties = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn i8_a_part_that_is_swapped_after_its_check_is_not_read() {
    let twins = Twins::new();
    let (first, other) = (&twins.first, &twins.other);
    assert_eq!(twins.all(twins.open(first).unwrap()), Ok(()));
    for swapped in [&other[..], &first[..first.len() / 2], b""] {
        let file = twins.open(first).unwrap();
        twins.put(swapped);
        assert!(twins.all(file).is_err(), "{}", swapped.len());
    }
    let file = twins.open(first).unwrap();
    fs::remove_file(twins.put(first)).unwrap();
    assert!(twins.all(file).is_err(), "gone");
    // A file that comes back is what was checked.
    let file = twins.open(first).unwrap();
    twins.put(other);
    twins.put(first);
    assert_eq!(twins.all(file), Ok(()));
}

#[test]
fn i8_a_part_that_is_swapped_while_it_is_read_ends_in_an_error() {
    let twins = Twins::new();
    let mut reader = twins.reader(twins.open(&twins.first).unwrap()).unwrap();
    let first = reader.next().unwrap().unwrap();
    twins.put(&twins.other);
    let error = twins.read(reader, first.num_rows()).unwrap_err();
    assert_eq!(error.file_id(), twins.part.file_id);
}

#[test]
fn i8_another_file_is_not_opened() {
    let twins = Twins::new();
    let first = &twins.first;
    let mut changed = first.clone();
    changed[100] ^= 1;
    let longer = [&first[..], b"x"].concat();
    for other in [&twins.other[..], &changed, &first[1..], &longer, b""] {
        let refused = twins.open(other);
        assert!(matches!(refused, Err(PartFileError::Changed { .. })));
    }
    assert!(twins.open(first).is_ok());
}

/// Wherever reading begins and however long it is, across pieces and at both ends.
#[test]
fn what_is_read_is_what_stands_there() {
    let twins = Twins::new();
    let bytes = &twins.first;
    let file = twins.open(bytes).unwrap();
    let piece = 1 << 15;
    let end = bytes.len();
    assert_eq!(file.len(), end as u64);
    for start in [
        0,
        1,
        piece - 1,
        piece,
        piece + 1,
        5 * piece - 7,
        end - 9,
        end,
    ] {
        for length in [0, 1, 8, piece - 1, piece, piece + 1, 3 * piece + 5] {
            let given = file.get_bytes(start as u64, length).ok();
            let there = bytes.get(start..start + length);
            assert_eq!(given.as_deref(), there, "{length} from {start}");
        }
        let mut rest = Vec::new();
        std::io::copy(&mut file.get_read(start as u64).unwrap(), &mut rest).unwrap();
        assert_eq!(rest, &bytes[start..], "{start}");
    }
    assert!(file.get_bytes(end as u64 + 1, 1).is_err());
}

#[test]
fn what_is_held_of_a_part_hardly_grows() {
    let held = CheckedPart::most_held;
    assert_eq!(held(1000), 1000 + 1000 / 64);
    assert!(held(1 << 30) < 24 << 20);
}
