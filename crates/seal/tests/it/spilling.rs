//! Rows that do not fit into memory, and parts of a stated size.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use incamera_seal::{LocalFileError, PARTS_FOLDER, SealError, SealReport, Source};
use incamera_types::DatasetSpec;

use crate::world::{World, column_texts, contains, customers, files_below, pseudonym, purchases};

/// Rows of the tests: some blocks of a CSV file.
const ROWS: usize = 60_000;
const PEOPLE: usize = 500;
/// Stands in every row, and in no file but the owner's.
pub const MARK: &str = "MARKED-CATEGORY";

/// Purchases of everybody who has agreed to something.
pub fn csv(rows: usize) -> String {
    let mut csv = "email,day,amount,category\n".to_owned();
    for n in 0..rows {
        let (person, day, cents) = (n * 7_919 % PEOPLE, n % 28 + 1, n % 50_000);
        let (whole, cents) = (cents / 100, cents % 100);
        writeln!(
            csv,
            "p{person}@x,2026-03-{day:02},{whole}.{cents:02},{MARK}-{}",
            n % 97
        )
        .unwrap();
    }
    csv
}

/// People in several classes; every tenth of them twice, with different consents.
fn consents() -> String {
    let said = [
        "ads;measurement",
        "measurement",
        "ads",
        "ads;measurement;safety",
        "",
    ];
    let mut csv = "email,consent\n".to_owned();
    for n in 0..PEOPLE {
        writeln!(csv, "p{n}@x,{}", said[n % 5]).unwrap();
    }
    for n in (0..PEOPLE).step_by(10) {
        writeln!(csv, "p{n}@x,{}", said[n / 10 % 5]).unwrap();
    }
    csv
}

fn world(memory_bytes: u64) -> World {
    let mut world = World::new();
    world.limits.memory_bytes = memory_bytes;
    world.consents = world.seal_csv(&customers(), consents()).unwrap().consents;
    world
}

/// Every row of every part that some purpose opens, in order, by class and partition.
fn rows(world: &World, dataset: &str, columns: &[&str]) -> BTreeMap<(String, u32), Vec<String>> {
    let mut all: BTreeMap<(String, u32), Vec<String>> = BTreeMap::new();
    for purpose in ["ads", "measurement"] {
        for (part, batch) in world.read(dataset, purpose, columns) {
            let texts: Vec<Vec<String>> = (0..batch.num_columns())
                .map(|at| column_texts(&batch, at))
                .collect();
            let row = |at: usize| texts.iter().map(|column| &*column[at]).collect::<Vec<_>>();
            let lines: Vec<String> = (0..batch.num_rows()).map(|at| row(at).join(" ")).collect();
            all.entry((part.class.to_string(), part.partition))
                .or_insert(lines);
        }
    }
    all
}

fn spills(world: &World, dataset: &str) -> Vec<PathBuf> {
    let files = files_below(&world.out(dataset)).into_iter();
    let is_spill = |file: &PathBuf| {
        file.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("spill-")
    };
    files.filter(is_spill).collect()
}

/// Seals, and hands the spill files to `look` when everything is read.
fn seal_looking(
    world: &mut World,
    spec: &DatasetSpec,
    csv: &str,
    look: impl FnOnce(&[PathBuf]) -> bool,
) -> Result<SealReport, SealError> {
    let source = Source::of(&world.file("rows.csv", csv)).unwrap();
    let out = world.out(spec.name.as_str());
    world.seal_if(spec, &source, &pseudonym, |_| {
        let files = if out.exists() {
            files_below(&out)
        } else {
            Vec::new()
        };
        look(&files)
    })
}

#[test]
fn spilled_rows_come_out_as_those_that_fit() {
    let (mut small, mut large) = (world(1 << 20), world(1 << 30));
    let mut seen = 0;
    let report = seal_looking(&mut small, &purchases(), &csv(ROWS), |files| {
        seen = files
            .iter()
            .map(|file| fs::metadata(file).unwrap().len())
            .sum();
        true
    });
    let report = report.unwrap();
    assert!(seen > 1 << 20, "{seen} bytes were spilled");
    assert_eq!(spills(&small, "purchases"), [] as [PathBuf; 0]);
    let whole = seal_looking(&mut large, &purchases(), &csv(ROWS), |files| {
        files.is_empty()
    });
    let whole = whole.unwrap();
    assert_eq!(
        (report.rows, report.sealed, report.parts),
        (whole.rows, whole.sealed, whole.parts)
    );
    let columns = &["person", "day", "amount", "category"];
    let measured = |world: &World| {
        let read = world.read("purchases", "measurement", columns);
        let rows = read.iter().map(|(part, batch)| {
            let texts: Vec<Vec<String>> = (0..4).map(|at| column_texts(batch, at)).collect();
            ((part.class.to_string(), part.partition), texts)
        });
        rows.collect::<BTreeMap<_, _>>()
    };
    let (a, b) = (measured(&small), measured(&large));
    assert!(a == b);
    assert!(a.values().map(|columns| columns[0].len()).sum::<usize>() > ROWS / 3);
    assert!(
        rows(&small, "purchases", &["person", "category"])
            == rows(&large, "purchases", &["person", "category"])
    );
}

/// A file in order of the pseudonym is not sorted; whoever exports it otherwise gets the same.
#[test]
fn rows_in_order_come_out_as_those_in_none() {
    let mut people: Vec<usize> = (0..PEOPLE).collect();
    let csv = |people: &[usize]| {
        let mut csv = "email,day,amount,category\n".to_owned();
        for person in people {
            for n in 0..person % 200 {
                let (day, category) = (n % 28 + 1, n % 97);
                let line = format!("p{person}@x,2026-03-{day:02},{n}.50,{MARK}-{category}");
                writeln!(csv, "{line}").unwrap();
            }
        }
        csv
    };
    let mut sealed = Vec::new();
    for in_order in [false, true] {
        if in_order {
            people.sort_by_key(|person| pseudonym(&format!("p{person}@x")));
        }
        for memory_bytes in [1 << 18, 1 << 30] {
            let mut world = World::new();
            world.limits.memory_bytes = memory_bytes;
            let fits = memory_bytes == 1 << 30;
            let report = seal_looking(&mut world, &purchases(), &csv(&people), |files| {
                files.is_empty() == fits
            });
            let report = report.unwrap();
            assert!(report.sealed > ROWS as u64 / 2);
            let columns = &["person", "day", "amount", "category"];
            let read = world.read("purchases", "measurement", columns).into_iter();
            let texts = |batch| (0..4).map(|at| column_texts(&batch, at)).collect();
            let rows = read.map(|(part, batch)| (part.partition, texts(batch)));
            let rows: Vec<(u32, Vec<Vec<String>>)> = rows.collect();
            sealed.push((report.sealed, report.parts, rows));
        }
    }
    let (one, rest) = sealed.split_first().unwrap();
    assert!(rest.iter().all(|other| other == one));
}

/// A register's classes are known when everything is read: a person who says two things in rows
/// that are far apart has the class of both.
#[test]
fn a_register_may_spill_too() {
    let mut csv = "email,consent,note\n".to_owned();
    for n in 0..30_000 {
        let said = ["ads;measurement", "ads;measurement;safety", "ads"][n % 3];
        writeln!(csv, "r{n}@x,{said},{n}-of-many-lines-that-fill-the-memory").unwrap();
    }
    csv.push_str("r0@x,ads,again\nr1@x,,again\n");
    let mut spec = customers();
    let note = crate::world::column("note", "text", &["ads", "measurement"]);
    spec.columns.push(note);
    let (mut small, mut large) = (World::new(), World::new());
    small.limits.memory_bytes = 1 << 20;
    let a = seal_looking(&mut small, &spec, &csv, |files| !files.is_empty()).unwrap();
    let b = seal_looking(&mut large, &spec, &csv, |files| files.is_empty()).unwrap();
    assert_eq!((a.sealed, a.without_consent), (b.sealed, b.without_consent));
    assert_eq!((a.sealed, a.without_consent), (30_000, 2));
    assert_eq!((a.repeats.people, a.repeats.conflicting), (2, 2));
    let columns = &["person", "note"];
    let found = rows(&small, "customers", columns);
    assert!(found == rows(&large, "customers", columns));
    let ads: Vec<&String> = found
        .iter()
        .filter(|((class, _), _)| class == "ads")
        .flat_map(|(_, rows)| rows)
        .collect();
    assert!(
        ads.iter()
            .any(|row| row.ends_with(" 0-of-many-lines-that-fill-the-memory"))
    );
    let consents = a.consents.unwrap();
    let said = |id: &str| consents.class(&pseudonym(id).unwrap()).unwrap().to_string();
    assert_eq!(
        (said("r0@x"), said("r1@x"), said("r2@x")),
        ("ads".into(), String::new(), "ads".into())
    );
}

#[test]
fn i1_nothing_is_spilled_in_clear() {
    let mut world = world(1 << 20);
    let (text, mut bytes) = (csv(ROWS), 0);
    assert!(contains(text.as_bytes(), MARK.as_bytes()));
    let person = *pseudonym("p0@x").unwrap().as_bytes();
    let unwanted = seal_looking(&mut world, &purchases(), &text, |files| {
        for file in files {
            let content = fs::read(file).unwrap();
            bytes += content.len();
            for clear in [MARK.as_bytes(), b"p0@x", &person] {
                assert!(!contains(&content, clear), "{}", file.display());
            }
        }
        false
    });
    assert!(matches!(unwanted, Err(SealError::Unwanted)));
    assert!(bytes > 1 << 20, "{bytes} bytes were looked at");
    assert_eq!(spills(&world, "purchases"), [] as [PathBuf; 0]);
}

#[test]
fn a_spill_that_is_changed_is_refused() {
    let mut world = world(1 << 20);
    let changed = seal_looking(&mut world, &purchases(), &csv(ROWS), |files| {
        let spill = files
            .iter()
            .find(|file| file.to_str().unwrap().contains("spill-"))
            .unwrap();
        let mut content = fs::read(spill).unwrap();
        assert!(content.starts_with(b"incamera-spill/1\n"));
        let middle = content.len() / 2;
        content[middle] ^= 1;
        fs::write(spill, content).unwrap();
        true
    });
    let refused = matches!(changed, Err(SealError::File(LocalFileError::Form { .. })));
    assert!(refused, "{changed:?}");
    assert_eq!(spills(&world, "purchases"), [] as [PathBuf; 0]);
    let parts = world.out("purchases").join(PARTS_FOLDER);
    assert_eq!(fs::read_dir(parts).unwrap().count(), 0, "no part is left");
}

#[test]
fn what_a_crash_left_of_a_spill_goes() {
    let mut world = World::sealed();
    let left = world
        .out("purchases")
        .join(format!("spill-{}", "0a".repeat(16)));
    fs::write(&left, "incamera-spill/1\n").unwrap();
    let foreign = world.out("purchases").join("spill-notes");
    fs::write(&foreign, "not ours").unwrap();
    world
        .seal_csv(&purchases(), crate::world::PURCHASES_CSV)
        .unwrap();
    assert!(!left.exists() && foreign.exists());
}

#[test]
fn parts_have_a_stated_size() {
    let mut world = world(1 << 30);
    world.partitions = 1;
    world.limits.part_rows = 1_000;
    let report = world.seal_csv(&purchases(), csv(10_000)).unwrap();
    let mut people: Vec<String> = Vec::new();
    let mut classes: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (part, batch) in world.read("purchases", "measurement", &["person"]) {
        let class = part.class.to_string();
        classes.entry(class).or_default().push(batch.num_rows());
        let mut own = column_texts(&batch, 0);
        assert!(own.is_sorted());
        own.dedup();
        people.extend(own);
    }
    let parts: usize = classes.values().map(Vec::len).sum();
    assert!(parts >= 5 && parts <= report.parts, "{classes:?}");
    for sizes in classes.values() {
        let (last, full) = sizes.split_last().unwrap();
        assert!(
            full.iter().all(|rows| (1_000..=1_250).contains(rows)),
            "{sizes:?}"
        );
        assert!(*last <= 1_250);
    }
    let all = people.len();
    people.sort();
    people.dedup();
    assert_eq!(people.len(), all, "a person's rows are in one part");
}

#[test]
fn a_person_with_more_rows_than_a_part_has_several() {
    let mut world = World::new();
    world.limits.part_rows = 100;
    let mut csv = "email,day,amount,category\n".to_owned();
    (0..1_000).for_each(|n| writeln!(csv, "a@x,2026-03-01,{n}.00,food").unwrap());
    let report = world.seal_csv(&purchases(), csv).unwrap();
    assert_eq!((report.parts, report.sealed), (8, 1_000));
    let read = world.read("purchases", "measurement", &["amount"]);
    assert!(read.iter().all(|(_, batch)| batch.num_rows() <= 125));
    let read: usize = read.iter().map(|(_, batch)| batch.num_rows()).sum();
    assert_eq!(read, 1_000);
}

/// A person whose rows say different classes is sealed, with all rows, for what all of them
/// allow, beside people of these classes: no row is there twice, and none where a purpose opens
/// it that one of the rows refuses.
#[test]
fn i3_different_answers_of_one_person_count_in_every_row() {
    for memory_bytes in [1 << 30, 1 << 16] {
        let mut world = world(memory_bytes);
        let mut csv = "email,consent\n".to_owned();
        for n in 0..3_000 {
            writeln!(csv, "torn@x,ads;measurement\ntorn@x,measurement").unwrap();
            writeln!(csv, "both{n}@x,ads;measurement\none{n}@x,measurement").unwrap();
        }
        let report = world.seal_csv(&crate::world::customers(), csv).unwrap();
        assert_eq!(report.sealed, 12_000);
        let torn = hex::encode(crate::world::pseudonym("torn@x").unwrap().as_bytes());
        let people = |purpose| world.texts("customers", purpose, "person");
        let rows = |purpose| {
            let people = people(purpose);
            let of_torn = people.iter().filter(|person| **person == torn).count();
            (people.len(), of_torn)
        };
        assert_eq!(rows("ads"), (3_000, 0), "{memory_bytes}");
        assert_eq!(rows("measurement"), (12_000, 6_000), "{memory_bytes}");
    }
}
