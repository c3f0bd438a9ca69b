use incamera_types::{Digest as _, IdForm, IdRules};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::terms::tests::terms;

fn key(secret: u8, peer: &str) -> PartKey {
    let secret = MatchingKey::from_bytes([secret; 32]);
    PartKey::of(&secret, &terms(), &peer.parse().unwrap())
}

fn head() -> PartHead {
    PartHead {
        agreement: AgreementDigest::from_bytes([9; 32]),
        partition: Partition::new(7, 256).unwrap(),
        writing: IdWriting {
            rules: IdRules::Published,
            hashed: true,
            form: IdForm::Raw,
            region: Some("DE".parse().unwrap()),
        },
        column: "e-mail".to_owned(),
        everyone_consented: false,
    }
}

fn totals(here: u64) -> PartTotals {
    PartTotals {
        here,
        counts: Counts {
            rows: 20_000,
            empty: 3,
            invalid: 2,
            encoded_digits: 1,
        },
        invalid_first: vec![InvalidAt {
            file: "customers.csv".into(),
            line: Some(12),
            row: None,
        }],
        consent: Some("agreed".to_owned()),
        unasked: 0,
    }
}

fn row(number: u64) -> (String, u64) {
    (format!("q{number}@mail.example"), number % 4)
}

fn written(rows: u64, block_bytes: usize, seed: u64) -> Vec<u8> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut file = b"what stood there before".to_vec();
    let mut writer =
        PartWriter::create(&mut file, &key(3, "mailer"), &head(), block_bytes, &mut rng).unwrap();
    for (id, purposes) in (0..rows).map(row) {
        writer.push(&id, purposes, &mut rng).unwrap();
    }
    assert_eq!(writer.rows(), rows);
    // How many are here is counted, whatever is said.
    writer.finish(&totals(77), &mut rng).unwrap();
    file
}

fn read(file: Vec<u8>, key: PartKey) -> Result<(Vec<(String, u64)>, PartTotals), PartError> {
    let mut reader = PartReader::open(file, &key)?;
    assert_eq!(reader.head(), &head());
    let mut rows = Vec::new();
    assert_eq!(reader.totals(), None);
    while let Some((id, purposes)) = reader.next()? {
        rows.push((id.to_owned(), purposes));
    }
    assert_eq!(reader.next()?, None);
    Ok((rows, reader.totals().unwrap().clone()))
}

#[test]
fn what_is_written_is_read() {
    for (count, block_bytes) in [
        (0, 100),
        (1, 100),
        (3, 1),
        (1_000, 100),
        (9_000, usize::MAX),
    ] {
        let file = written(count, block_bytes, 1);
        let (rows, said) = read(file, key(3, "mailer")).unwrap();
        assert!(rows == (0..count).map(row).collect::<Vec<_>>(), "{count}");
        assert_eq!(said, totals(count));
    }
}

/// Ids of the greatest length fill a block of the greatest size, and one more byte is refused.
#[test]
fn the_longest_ids_fit() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut file = Vec::new();
    let key = || key(3, "mailer");
    let mut writer =
        PartWriter::create(&mut file, &key(), &head(), MAX_BLOCK_BYTES, &mut rng).unwrap();
    let long = "x".repeat(MAX_ID_BYTES);
    for _ in 0..9_000 {
        writer.push(&long, 1, &mut rng).unwrap();
    }
    assert!(
        writer
            .push(&"x".repeat(MAX_ID_BYTES + 1), 1, &mut rng)
            .is_err()
    );
    writer.finish(&totals(0), &mut rng).unwrap();
    let (rows, _) = read(file, key()).unwrap();
    assert!(rows.len() == 9_000 && rows.iter().all(|(id, _)| *id == long));
}

/// A file that was changed, cut, or is another slot's or peer's opens for nobody.
#[test]
fn nothing_else_is_believed() {
    let file = written(40, 300, 1);
    let is_read = |file: Vec<u8>| read(file, key(3, "mailer")).is_ok();
    assert!(is_read(file.clone()));
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(!is_read(changed), "byte {at}");
        assert!(!is_read(file[..at].to_vec()), "cut to {at}");
    }
    assert!(!is_read([&file[..], &[0]].concat()));
    for other in [key(4, "mailer"), key(3, "shop")] {
        let error = read(file.clone(), other).unwrap_err();
        assert!(matches!(error, PartError::Damaged { record: 0 }), "{error}");
    }
    let plain = file.windows(12).any(|bytes| bytes == b"mail.example");
    assert!(!plain, "an id stands in clear");
}

/// What no writer wrote is refused, whoever holds the key.
#[test]
fn records_that_say_nothing_are_refused() {
    let stored = serde_json::to_value(Stored::of(&head())).unwrap();
    let first = |key: &str, value: serde_json::Value| {
        let mut stored = stored.clone();
        stored[key] = value;
        record_of(FIRST, &stored).unwrap()
    };
    let good = record_of(FIRST, &stored).unwrap();
    let last = |totals: &PartTotals| record_of(LAST, totals).unwrap();
    let end = last(&totals(0));
    let few = PartTotals {
        counts: Counts::default(),
        ..totals(1)
    };
    let more_empty_than_rows = PartTotals {
        counts: Counts {
            empty: 1,
            ..Counts::default()
        },
        ..totals(0)
    };
    let row = [&[ROWS][..], &[0; 8], &[1, b'x']].concat();
    let file = |records: &[&Vec<u8>]| {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut file = Vec::new();
        let mut writer = SealedWriter::create(&mut file, key(3, "mailer").0, PART_NAME).unwrap();
        for record in records {
            writer.put(record, &mut rng).unwrap();
        }
        read(file, key(3, "mailer"))
    };
    assert!(file(&[&good, &end]).is_ok());
    assert!(file(&[&good, &row, &last(&totals(1))]).is_ok());
    for records in [
        &[&good][..],
        &[&first("rules", 9.into()), &end],
        &[&first("form", "md5".into()), &end],
        &[&first("region", "GERMANY".into()), &end],
        &[
            &first("partition", serde_json::json!({ "number": 3, "of": 3 })),
            &end,
        ],
        &[&vec![FIRST], &end],
        &[&good, &row, &end],
        &[&good, &last(&totals(1))],
        &[&good, &row, &last(&few)],
        &[&good, &last(&more_empty_than_rows)],
        &[&good, &end, &end],
        &[&good, &vec![ROWS], &end],
        &[&good, &vec![], &end],
        &[&good, &[&row[..10], &[2, b'x']].concat(), &end],
        &[&good, &[&row[..9], &[0]].concat(), &last(&totals(1))],
        &[&good, &[&row[..10], &[0xff]].concat(), &last(&totals(1))],
        &[&good, &vec![7], &end],
    ] {
        assert!(file(records).is_err(), "{records:?}");
    }
}

#[test]
fn newer_files_are_named() {
    let mut file = written(1, 100, 1);
    file[PART_NAME.len() - 1] = b'2';
    let error = read(file, key(3, "mailer")).unwrap_err();
    assert!(error.to_string().contains("newer version"), "{error}");
}

/// Every later version reads it.
#[test]
fn the_committed_file_is_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/part-1.hex");
    let made = written(5, 60, 7);
    let text = std::fs::read_to_string(path).unwrap();
    let file = hex::decode(text.split_whitespace().collect::<String>()).unwrap();
    let (rows, said) = read(file.clone(), key(3, "mailer")).unwrap();
    assert!(rows == (0..5).map(row).collect::<Vec<_>>());
    assert_eq!(said, totals(5));
    assert!(
        made == file,
        "the same rows with the same draws are the same file"
    );
}
