//! Row groups are left out by the statistics of the columns that were granted, while the keys
//! of all others are withheld.

use std::fmt::Write as _;
use std::fs::File;

use arrow::array::AsArray as _;
use arrow::datatypes::Date32Type;
use incamera_seal::{
    Bound, Bounds, Manifest, Part, PartKeys, PartReader, part_path, read_part_within, unwrap_keys,
};
use incamera_types::{DatasetSpec, Date, Pseudonym};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::encryption::decrypt::FileDecryptionProperties;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};

use crate::world::{World, column, dataset, name, names, purpose};

/// More than one row group.
const PEOPLE: u32 = 140_000;
/// The first row group has no more rows than this.
const LATE: u32 = 131_072;

fn visits() -> DatasetSpec {
    let mut note = column("note", "text", &["ads"]);
    note.nullable = true;
    dataset(
        "visits",
        vec![
            column("person", "pseudonym", &[]),
            column("day", "date", &["measurement"]),
            column("amount", "decimal(10,2)", &["measurement"]),
            column("town", "text", &["measurement"]),
            note,
        ],
    )
}

/// People by number, in order of pseudonym.
fn numbered(id: &str) -> Option<Pseudonym> {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&id.parse::<u32>().unwrap().to_be_bytes());
    Some(Pseudonym::from_bytes(bytes))
}

fn day(text: &str) -> i128 {
    text.parse::<Date>().unwrap().days().into()
}

/// One part of five columns. Its last people came in June, to Y; all others in January, to A and C.
struct Visits {
    world: World,
    manifest: Manifest,
    part: Part,
}

impl Visits {
    fn new() -> Self {
        let mut world = World::new();
        world.partitions = 1;
        let mut csv = "email,day,amount,town,note\n".to_owned();
        for n in 0..PEOPLE {
            let (day, town) = match n {
                LATE.. => ("06-15", "Y"),
                _ if n % 2 == 0 => ("01-15", "A"),
                _ => ("01-15", "C"),
            };
            writeln!(csv, "{n},2026-{day},{}.50,{town},n", n % 900).unwrap();
        }
        let path = world.file("visits.csv", csv);
        let source = incamera_seal::Source::of(&path).unwrap();
        world.seal_people(&visits(), &source, &numbered).unwrap();
        let manifest = world.manifest("visits").manifest().clone();
        let [part] = manifest.parts() else {
            panic!("one part")
        };
        let part = part.clone();
        Self {
            world,
            manifest,
            part,
        }
    }

    /// With the keys of these columns and no others.
    fn open(&self, columns: &[&str], bounds: &Bounds) -> PartReader {
        let keys: PartKeys = self
            .world
            .keys(&self.manifest, "measurement", columns)
            .remove(&self.part.file_id)
            .unwrap();
        let file = self.world.part_file(&self.manifest, &self.part);
        let columns = names(columns);
        read_part_within(
            file,
            &self.manifest,
            &self.part,
            &keys,
            &columns,
            10_000,
            bounds,
        )
        .unwrap()
    }

    /// Rows left out, and rows read of all columns.
    fn read(&self, columns: &[&str], bounds: &Bounds) -> (u64, u64) {
        let reader = self.open(columns, bounds);
        let left_out = reader.left_out_rows();
        let (mut alone, mut whole) = (0, 0);
        for batch in reader {
            let batch = batch.unwrap();
            let rows = batch.num_rows() as u64;
            if batch.num_columns() == columns.len() {
                whole += rows;
            } else {
                assert_eq!(batch.schema().field(0).name(), "person");
                alone += rows;
            }
        }
        let people = columns.contains(&"person");
        assert_eq!(alone, if people { left_out } else { 0 });
        (left_out, whole)
    }
}

fn days(from: &str, until: &str) -> Bounds {
    let range = day(from)..=day(until);
    [(name("day"), Bound::Numbers(vec![range]))]
        .into_iter()
        .collect()
}

fn towns(towns: &[&str]) -> Bounds {
    let towns = towns.iter().map(ToString::to_string).collect();
    [(name("town"), Bound::Texts(towns))].into_iter().collect()
}

#[test]
fn i3_granted_columns_prune_while_other_keys_are_withheld() {
    let visits = Visits::new();
    let all = u64::from(PEOPLE);
    let first = u64::from(LATE);
    let read = |bounds: &Bounds| visits.read(&["day", "person"], bounds);
    assert_eq!(read(&Bounds::none()), (0, all));
    assert_eq!(read(&days("2026-01-01", "2026-12-31")), (0, all));
    assert_eq!(
        read(&days("2026-06-15", "2026-06-15")),
        (first, all - first)
    );
    assert_eq!(
        read(&days("2026-01-01", "2026-01-15")),
        (all - first, first)
    );
    assert_eq!(read(&days("2026-02-01", "2026-03-01")), (all, 0));
    let nothing = [(name("day"), Bound::Numbers(Vec::new()))];
    assert_eq!(read(&nothing.into_iter().collect()), (all, 0));
    // Without the pseudonyms nothing is read of what is left out.
    let late = days("2026-06-01", "2026-06-30");
    assert_eq!(visits.read(&["day"], &late), (first, all - first));
    // The rows that are read are the right ones.
    for batch in visits.open(&["day"], &late) {
        let found = batch.unwrap();
        let found = found.column(0).as_primitive::<Date32Type>();
        assert!(
            found
                .iter()
                .all(|one| one.map(i128::from) == Some(day("2026-06-15")))
        );
    }
    // A column that is not opened leaves nothing out: its statistics cannot be read.
    assert_eq!(read(&towns(&["Z"])), (0, all));
    let read = |bounds: &Bounds| visits.read(&["person", "town"], bounds);
    assert_eq!(
        read(&towns(&["B"])),
        (all - first, first),
        "between A and C"
    );
    assert_eq!(read(&towns(&["D", "Z"])), (all, 0));
    assert_eq!(read(&towns(&["Y", "Z"])), (first, all - first));
    assert_eq!(read(&towns(&["A", "Y"])), (0, all));
}

/// The footer as somebody sees it with the footer's key and those of these columns.
fn footer(visits: &Visits, columns: &[&str], index: PageIndexPolicy) -> ParquetMetaData {
    let wanted = (purpose("measurement"), names(columns));
    let keys = unwrap_keys(&visits.manifest, &wanted.0, &wanted.1, &visits.world.ring).unwrap();
    let key = |column: Option<&str>| {
        let found = keys
            .iter()
            .find(|key| key.column.as_ref().map(|c| c.as_str()) == column);
        found.unwrap().key.expose().to_vec()
    };
    let mut builder = FileDecryptionProperties::builder(key(None));
    for column in columns {
        builder = builder.with_column_key(column, key(Some(column)));
    }
    let options = ArrowReaderOptions::new()
        .with_file_decryption_properties(builder.build().unwrap())
        .with_page_index_policy(index);
    let path = part_path(&visits.world.out("visits"), &visits.part.file_id);
    let file = File::open(path).unwrap();
    let metadata = ArrowReaderMetadata::load(&file, options).unwrap();
    metadata.metadata().as_ref().clone()
}

/// Least and most of a column, and where its pages lie, stand under its own key. There is no
/// page index, which a reader with some of the keys could not open.
#[test]
fn i3_statistics_of_other_columns_are_unreadable() {
    let visits = Visits::new();
    let seen = footer(&visits, &["person", "day"], PageIndexPolicy::Optional);
    assert!(seen.num_row_groups() > 1);
    for group in seen.row_groups() {
        for column in group.columns() {
            let granted = ["person", "day"].contains(&column.column_path().string().as_str());
            assert_eq!(column.statistics().is_some(), granted);
            assert_eq!(column.compressed_size() > 0, granted);
            let index = (column.column_index_offset(), column.offset_index_offset());
            assert_eq!(index, (None, None));
        }
    }
    let all = ["person", "day", "amount", "town"];
    let seen = footer(&visits, &all, PageIndexPolicy::Optional);
    assert!(seen.column_index().is_none() && seen.offset_index().is_none());
    let statistics = |at: usize| seen.row_group(0).column(at).statistics().is_some();
    assert!((0..4).all(statistics), "with their keys they are there");
    assert!(!statistics(4), "`note` opens for another purpose");
}
