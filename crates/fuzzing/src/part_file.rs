//! The file of a part of the ids: changed by whoever can write where it lies, and of any content
//! under the right key.

use std::sync::LazyLock;

use incamera_matching::ids::MAX_ID_BYTES;
use incamera_matching::part_file::{
    PART_NAME, PartHead, PartKey, PartReader, PartTotals, PartWriter,
};
use incamera_matching::{Partition, Reveals};
use incamera_types::{AgreementDigest, Digest as _, IdWriting};

use crate::exchange::terms;
use crate::reach::reached;
use crate::resumed::{asked_for, rng, secret};

type Rows = Vec<(String, u64)>;

/// Rows of honest files: of one block, and of several.
const ROWS: [u64; 2] = [3, 40];
const BLOCK_BYTES: usize = 200;

fn key() -> PartKey {
    PartKey::of(
        &secret(),
        &terms(Reveals::Nothing),
        &"shop".parse().unwrap(),
    )
}

fn row(number: u64) -> (String, u64) {
    (format!("q{number}@mail.example"), number % 3)
}

fn written(
    head: &PartHead,
    totals: &PartTotals,
    rows: impl IntoIterator<Item = (String, u64)>,
) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = PartWriter::create(&mut file, &key(), head, BLOCK_BYTES, &mut rng()).unwrap();
    for (id, purposes) in rows {
        writer.push(&id, purposes, &mut rng()).unwrap();
    }
    writer.finish(totals, &mut rng()).unwrap();
    file
}

static WHOLE: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let head = PartHead {
        agreement: AgreementDigest::from_bytes([4; 32]),
        partition: Partition::new(1, 3).unwrap(),
        writing: IdWriting::default(),
        column: "email".to_owned(),
        everyone_consented: false,
    };
    let mut totals = PartTotals::default();
    totals.counts.rows = 100;
    ROWS.map(|rows| written(&head, &totals, (0..rows).map(row)))
});

/// The rows up to an error, and whether the file ended without one.
fn read(reader: &mut PartReader<Vec<u8>>) -> (Rows, bool) {
    let mut rows = Rows::new();
    loop {
        match reader.next() {
            Ok(Some((id, purposes))) => rows.push((id.to_owned(), purposes)),
            Ok(None) => return (rows, true),
            Err(_) => return (rows, false),
        }
    }
}

/// A file that was changed or cut (an even first byte): what is read are its first rows, and it
/// ends only if it is whole. One of any records that were sealed for their places (an odd one):
/// what it says fits together, and is read the same once it is written again.
pub fn match_part(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    let (honest, bytes) = asked_for(*how, rest, &WHOLE, PART_NAME, &key());
    let Ok(mut reader) = PartReader::open(bytes.clone(), &key()) else {
        return;
    };
    let (rows, ended) = read(&mut reader);
    assert!(ended == reader.totals().is_some());
    if let Some(which) = honest {
        assert!(rows.iter().cloned().eq((0..rows.len() as u64).map(row)));
        assert!(ended == (bytes == WHOLE[which]));
    } else if let Some(totals) = reader.totals() {
        assert!(totals.here == rows.len() as u64 && totals.here <= totals.counts.valid());
        assert!(
            rows.iter()
                .all(|(id, _)| (1..=MAX_ID_BYTES).contains(&id.len()))
        );
        let again = written(reader.head(), totals, rows.iter().cloned());
        let mut again = PartReader::open(again, &key()).unwrap();
        assert!(again.head() == reader.head() && read(&mut again) == (rows, true));
        assert!(again.totals() == reader.totals());
    }
    if ended {
        reached(if honest.is_some() { "whole" } else { "sealed" });
    }
}
