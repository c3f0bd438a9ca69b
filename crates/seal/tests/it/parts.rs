//! Parts that are cut off, changed, swapped or not encrypted; order and partitions.

use std::fs::{self, File};
use std::sync::Arc;

use arrow::array::{Array as _, AsArray as _, FixedSizeBinaryArray, RecordBatch};
use arrow::datatypes::Schema;
use bytes::Bytes;
use incamera_seal::{
    Bound, Manifest, Part, PartFileError, PartKeys, ReadError, check_part_file, part_path,
    read_part, read_part_within, read_public_part,
};
use incamera_types::Pseudonym;
use incamera_wire::v1 as wire;
use parquet::arrow::ArrowWriter;
use parquet::encryption::encrypt::EncryptionPropertiesBuilder;

use crate::world::{World, column, column_texts, dataset, names, purchases};

const ALL: [&str; 4] = ["person", "day", "amount", "category"];

/// A world with one part of many rows and its keys.
struct One {
    world: World,
    manifest: Manifest,
    part: Part,
    keys: PartKeys,
    bytes: Vec<u8>,
}

impl One {
    fn new() -> Self {
        let mut world = World::new();
        world.partitions = 1;
        let mut csv = "email,day,amount,category\n".to_owned();
        for n in 0..60 {
            csv += &format!(
                "p{}@x,2026-03-{:02},{n}.25,c{}\n",
                n % 20,
                n % 28 + 1,
                n % 7
            );
        }
        world.seal_csv(&purchases(), &csv).unwrap();
        let manifest = world.manifest("purchases").manifest().clone();
        let (_, keys) = world
            .keys(&manifest, "measurement", &ALL)
            .pop_first()
            .unwrap();
        let part = manifest.parts()[0].clone();
        let bytes = fs::read(part_path(&world.out("purchases"), &part.file_id)).unwrap();
        Self {
            world,
            manifest,
            part,
            keys,
            bytes,
        }
    }

    /// Reads `bytes` as if they were the part, past the check of the digest.
    fn read(&self, bytes: &[u8]) -> Result<Vec<RecordBatch>, ReadError> {
        let path = self.world.file("part", bytes);
        let file = File::open(path).unwrap();
        let reader = read_part(
            file,
            &self.manifest,
            &self.part,
            &self.keys,
            &names(&ALL),
            1000,
        )?;
        reader.collect()
    }

    fn check(&self, bytes: &[u8]) -> Result<(), PartFileError> {
        let path = self.world.file("part", bytes);
        check_part_file(&path, &self.manifest, &self.part)
    }
}

#[test]
fn an_untouched_part_opens() {
    let one = One::new();
    one.check(&one.bytes).unwrap();
    let batches = one.read(&one.bytes).unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 60);
    assert_eq!(one.part.bytes, one.bytes.len() as u64);
}

#[test]
fn a_part_cut_off_is_refused() {
    let one = One::new();
    for length in (0..one.bytes.len())
        .step_by(37)
        .chain([one.bytes.len() - 1])
    {
        let cut = &one.bytes[..length];
        let error = one.check(cut).unwrap_err();
        assert!(
            matches!(&error, PartFileError::Changed { file_id, .. } if *file_id == one.part.file_id)
        );
        assert!(error.to_string().contains(&one.part.file_id.to_string()));
        assert!(one.read(cut).is_err(), "{length}");
    }
}

#[test]
fn a_flipped_byte_is_refused() {
    let one = One::new();
    let whole = one.read(&one.bytes).unwrap();
    let mut refused = 0;
    let mut tried = 0;
    for at in (0..one.bytes.len()).step_by(11) {
        let mut bytes = one.bytes.clone();
        bytes[at] ^= 0x10;
        assert!(one.check(&bytes).is_err(), "{at}");
        tried += 1;
        // Past the digest: an error, or a byte that says nothing about rows (the stored prefix,
        // the names of keys).
        match one.read(&bytes) {
            Ok(batches) => assert_eq!(batches, whole, "{at}"),
            Err(_) => refused += 1,
        }
    }
    assert!(refused * 10 > tried * 8, "{refused} of {tried}");
}

#[test]
fn parts_swapped_are_refused() {
    let world = World::sealed();
    let manifest = world.manifest("purchases");
    let keys = world.keys(&manifest, "measurement", &["person"]);
    let parts: Vec<&Part> = keys.keys().map(|id| manifest.part(id).unwrap()).collect();
    let [a, b] = parts[..] else {
        panic!("two parts")
    };
    let path = |part: &Part| part_path(&world.out("purchases"), &part.file_id);
    assert!(check_part_file(&path(b), &manifest, a).is_err());
    let columns = names(&["person"]);
    let open = |file: &Part, part: &Part, keys: &PartKeys| {
        read_part(
            world.part_file(&manifest, file),
            &manifest,
            part,
            keys,
            &columns,
            10,
        )
        .is_ok()
    };
    assert!(open(a, a, &keys[&a.file_id]));
    assert!(!open(b, a, &keys[&a.file_id]));
    assert!(!open(b, a, &keys[&b.file_id]));
    assert!(!open(a, b, &keys[&a.file_id]));
}

/// With its keys in hand, and a manifest that its owner signed: what is bound into every page
/// opens in one agreement, data set, version and class alone.
#[test]
fn a_part_opens_at_its_place_alone() {
    let one = One::new();
    let place = |change: &dyn Fn(&mut wire::Manifest)| {
        let manifest = one.world.resigned("purchases", |message| {
            (message.version, message.previous) = (2, vec![0; 32]);
            change(message);
        });
        let part = manifest.parts()[0].clone();
        let file = one.world.part_file(&one.manifest, &one.part);
        let read = read_part(file, &manifest, &part, &one.keys, &names(&ALL), 1000);
        read.and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .is_ok()
    };
    assert!(place(&|_| ()), "the same place, in a later manifest");
    type Move<'a> = (&'a str, &'a dyn Fn(&mut wire::Manifest));
    let moves: [Move<'_>; 4] = [
        ("agreement", &|message| message.agreement_id[0] ^= 1),
        ("data set", &|message| {
            message.dataset = "returns".to_owned()
        }),
        ("version", &|message| message.parts[0].version = 2),
        ("class", &|message| {
            message.parts[0].class.push("zoology".to_owned())
        }),
    ];
    for (what, to) in moves {
        assert!(!place(to), "{what}");
    }
}

#[test]
fn a_plaintext_file_is_refused() {
    let one = One::new();
    let batch = one.read(&one.bytes).unwrap().remove(0);
    let mut plain = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut plain, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    assert!(one.read(&plain).is_err());
    // Also with the magic of an encrypted one at both ends.
    let end = plain.len() - 4;
    plain[..4].copy_from_slice(b"PARE");
    plain[end..].copy_from_slice(b"PARE");
    assert!(one.read(&plain).is_err());
}

/// What a part of these keys and this prefix would be if its owner's writer misbehaved.
fn written_otherwise(
    one: &One,
    change: impl FnOnce(
        EncryptionPropertiesBuilder,
        &dyn Fn(&str) -> Vec<u8>,
    ) -> EncryptionPropertiesBuilder,
    batch: &RecordBatch,
) -> Vec<u8> {
    use parquet::encryption::encrypt::FileEncryptionProperties;
    use parquet::file::properties::WriterProperties;
    let purpose = crate::world::purpose("measurement");
    let granted =
        incamera_seal::unwrap_keys(&one.manifest, &purpose, &names(&ALL), &one.world.ring).unwrap();
    let key = |column: &str| {
        let column = (!column.is_empty()).then(|| crate::world::name(column));
        let key = granted.iter().find(|key| key.column == column).unwrap();
        key.key.expose().to_vec()
    };
    // The prefix stands in clear at the start of the file's crypto metadata.
    let start = one
        .bytes
        .windows(15)
        .position(|w| w == b"incamera-part/1")
        .unwrap()
        - 8;
    let length = 8
        + 15
        + 8
        + 32
        + 8
        + "purchases".len()
        + 8
        + 16
        + 8
        + 8
        + 8
        + "ads,measurement,safety".len();
    let prefix = one.bytes[start..start + length].to_vec();
    let builder = FileEncryptionProperties::builder(key(""))
        .with_aad_prefix(prefix)
        .with_aad_prefix_storage(true);
    let encryption = change(builder, &key).build().unwrap();
    let properties = WriterProperties::builder()
        .with_file_encryption_properties(encryption)
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn columns_without_keys_of_their_own_are_refused() {
    let one = One::new();
    let batch = one.read(&one.bytes).unwrap().remove(0);
    let own = written_otherwise(
        &one,
        |builder, key| {
            ALL.iter().fold(builder, |builder, column| {
                builder.with_column_key(column, key(column))
            })
        },
        &batch,
    );
    assert_eq!(
        one.read(&own).unwrap(),
        std::slice::from_ref(&batch),
        "the control opens"
    );
    let footer_only = written_otherwise(&one, |builder, _| builder, &batch);
    assert!(one.read(&footer_only).is_err());
    let one_in_clear = written_otherwise(
        &one,
        |builder, key| {
            ALL[..3].iter().fold(builder, |builder, column| {
                builder.with_column_key(column, key(column))
            })
        },
        &batch,
    );
    assert!(one.read(&one_in_clear).is_err());
    let plain_footer = written_otherwise(
        &one,
        |builder, key| {
            let builder = builder.with_plaintext_footer(true);
            ALL.iter().fold(builder, |builder, column| {
                builder.with_column_key(column, key(column))
            })
        },
        &batch,
    );
    assert!(one.read(&plain_footer).is_err());
}

#[test]
fn other_columns_or_rows_out_of_order_are_refused() {
    let one = One::new();
    let batch = one.read(&one.bytes).unwrap().remove(0);
    let with_keys = |batch: &RecordBatch, columns: &[&str]| {
        written_otherwise(
            &one,
            |builder, key| {
                columns.iter().fold(builder, |builder, column| {
                    builder.with_column_key(column, key(column))
                })
            },
            batch,
        )
    };
    let fewer = batch.project(&[0, 1, 2]).unwrap();
    assert!(one.read(&with_keys(&fewer, &ALL[..3])).is_err());
    let mut fields = batch.schema().fields().to_vec();
    fields.push(Arc::new(batch.schema().field(3).clone().with_name("more")));
    let mut columns = batch.columns().to_vec();
    columns.push(batch.column(3).clone());
    let more = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    let more = written_otherwise(
        &one,
        |builder, key| {
            let builder = builder.with_column_key("more", vec![9; 32]);
            let with = |builder: EncryptionPropertiesBuilder, column: &&str| {
                builder.with_column_key(column, key(column))
            };
            ALL.iter().fold(builder, with)
        },
        &more,
    );
    assert!(one.read(&more).is_err());
    let other_order = batch.project(&[0, 2, 1, 3]).unwrap();
    assert!(one.read(&with_keys(&other_order, &ALL)).is_err());
    let backwards = arrow::array::UInt32Array::from_iter_values((0..60).rev());
    let backwards = arrow::compute::take_record_batch(&batch, &backwards).unwrap();
    let backwards = with_keys(&backwards, &ALL);
    assert!(one.read(&backwards).is_err());
    // Nor where no row counts, and only the pseudonyms are read.
    let nothing = (names(&["day"]).remove(0), Bound::Numbers(Vec::new()));
    let (file, bounds) = (Bytes::from(backwards), [nothing].into_iter().collect());
    let (keys, columns) = (&one.keys, names(&ALL));
    let read =
        read_part_within(file, &one.manifest, &one.part, keys, &columns, 7, &bounds).unwrap();
    assert_eq!(read.left_out_rows(), 60);
    assert!(read.collect::<Result<Vec<_>, _>>().is_err());
    // A person outside the part's slice.
    let moved = one
        .world
        .resigned("purchases", |manifest| manifest.partitions = 2);
    let file = one.world.part_file(&moved, &one.part);
    let read = read_part(
        file,
        &moved,
        &one.part,
        &one.keys,
        &names(&["person"]),
        1000,
    )
    .unwrap();
    assert!(read.collect::<Result<Vec<_>, _>>().is_err());
}

#[test]
fn rows_are_sorted_and_cut_by_pseudonym() {
    let mut world = World::new();
    let mut csv = "email,day,amount,category\n".to_owned();
    for n in 0..500 {
        csv += &format!("p{}@x,2026-03-01,{n},food\n", n % 90);
    }
    let report = world.seal_csv(&purchases(), &csv).unwrap();
    assert_eq!((report.sealed, report.parts), (500, 4));
    let parts = world.read("purchases", "measurement", &["person", "amount"]);
    let mut rows = 0;
    for (part, batch) in &parts {
        let people: &FixedSizeBinaryArray = batch.column(0).as_fixed_size_binary();
        let people: Vec<Pseudonym> = (0..people.len())
            .map(|at| Pseudonym::from_bytes(people.value(at).try_into().unwrap()))
            .collect();
        assert!(people.is_sorted());
        assert!(
            people
                .iter()
                .all(|person| person.partition(4) == part.partition)
        );
        // Values moved with their person: amount mod 90 names the person.
        for (person, amount) in people.iter().zip(column_texts(batch, 1)) {
            let n: u32 = amount.trim_end_matches(".00").parse().unwrap();
            assert_eq!(
                Some(*person),
                crate::world::pseudonym(&format!("p{}@x", n % 90))
            );
        }
        rows += people.len();
    }
    assert_eq!(rows, 500);
}

#[test]
fn columns_come_in_the_order_asked_for_and_in_batches() {
    let one = One::new();
    let open = |columns: &[&str], rows| {
        let file = one.world.part_file(&one.manifest, &one.part);
        read_part(
            file,
            &one.manifest,
            &one.part,
            &one.keys,
            &names(columns),
            rows,
        )
        .unwrap()
    };
    let reader = open(&["amount", "person", "amount"], 7);
    let schema = reader.schema();
    let fields: Vec<&str> = schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(fields, ["amount", "person", "amount"]);
    for batch in reader {
        let batch = batch.unwrap();
        assert_eq!(batch.schema(), schema);
        assert!(batch.num_rows() <= 7);
        assert!(Arc::ptr_eq(batch.column(0), batch.column(2)));
    }
    assert_eq!(
        open(&["category"], 0).count(),
        60,
        "no batch is empty for ever"
    );
}

#[test]
fn a_public_data_set_opens_without_keys_and_no_other_does() {
    let mut world = World::sealed();
    let mut shops = dataset("shops", vec![column("town", "text", &[])]);
    shops.public = true;
    world.seal_csv(&shops, "town\nb\na\n").unwrap();
    let manifest = world.manifest("shops");
    let [part] = manifest.parts() else {
        panic!("one part")
    };
    assert!(part.keys.is_empty() && part.class.is_empty());
    let town = names(&["town"]);
    let reader =
        read_public_part(world.part_file(&manifest, part), &manifest, part, &town, 10).unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    assert_eq!(column_texts(&batches[0], 0), ["b", "a"]);
    let sealed = world.manifest("purchases");
    let part = &sealed.parts()[0];
    let file = world.part_file(&sealed, part);
    assert!(read_public_part(file, &sealed, part, &names(&["person"]), 10).is_err());
}
