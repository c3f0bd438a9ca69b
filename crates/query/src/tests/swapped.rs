//! I8 against the machine's operator: parts that change on the disk after they were checked.
//!
//! The other files are as good as they come: sealed with the same keys, under the same names,
//! for the same people, with other rows. An operator who shares an owner's keys, or swaps a
//! public file, would otherwise get the same noise over other rows, and so their difference.

use incamera_seal::{check_part_file, part_path};

use super::sealed::{Made, Room};
use super::*;
use crate::SourceError;

/// A query that reads a private and a public data set.
pub(super) fn by_region() -> Made {
    let sql = "SELECT COUNT(DISTINCT purchases.person) AS people, SUM(purchases.amount) AS spend
FROM purchases JOIN regions ON regions.category = purchases.category WHERE regions.region = 'north'";
    let reads = "[\"purchases.person\", \"purchases.amount\", \"purchases.category\", \"regions.category\", \"regions.region\"]";
    let settings = [
        ("reads", reads),
        ("rows", "{ purchases = 100, regions = 2 }"),
        ("per_person", "{ groups = 1, spend = [0, 4000] }"),
    ];
    Made {
        agreement: agreement(sql, &settings),
        params: Params::new(),
        ..Made::default()
    }
}

/// Puts the other room's parts of a data set in the place of this one's, each of which was
/// found to be whole; says how many differ.
fn swap(room: &Room, other: &Room, name: &str) -> usize {
    let manifest = &room.manifests()[&dataset(name)];
    let mut differ = 0;
    for part in manifest.parts() {
        let [here, there] =
            [room, other].map(|room| part_path(&room.folder.join(name), &part.file_id));
        check_part_file(&here, manifest, part).unwrap();
        differ += usize::from(check_part_file(&there, manifest, part).is_err());
        std::fs::copy(there, here).unwrap();
    }
    differ
}

fn of(result: Result<Vec<i128>, QueryError>) -> Option<DatasetName> {
    match result {
        Err(QueryError::Source(SourceError::Part { dataset, .. })) => Some(dataset),
        _ => None,
    }
}

#[test]
fn i8_a_private_part_swapped_after_its_check_is_refused() {
    let room = Room::new(by_region());
    let first = room.totals().unwrap();
    assert!(first[0] > 0);
    let other = Room::new(Made {
        price: "11.00",
        ..by_region()
    });
    assert_ne!(other.totals().unwrap(), first, "other rows");
    assert!(swap(&room, &other, "purchases") > 0);
    assert_eq!(of(room.totals()), Some(dataset("purchases")));
}

#[test]
fn i8_a_public_part_swapped_after_its_check_is_refused() {
    let room = Room::new(by_region());
    let first = room.totals().unwrap();
    let other = Room::new(Made {
        regions: &["home"],
        ..by_region()
    });
    assert_ne!(other.totals().unwrap(), first, "other rows");
    assert!(swap(&room, &other, "regions") > 0);
    assert_eq!(of(room.totals()), Some(dataset("regions")));
}
