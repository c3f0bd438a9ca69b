//! Committed ledgers of each schema from the second: every later program must open them. (The
//! first: `file::an_older_schema_is_brought_up_to_date`.)
//!
//! `cargo test -p incamera-ledger -- --ignored write_golden_files` made the newest; a new schema
//! gets a file of its own beside the others.

use std::fs;
use std::path::{Path, PathBuf};

use incamera_ledger::LedgerError;
use incamera_types::UnixTime;

use crate::fixture::{Fixture, NOW, Want, d, rho};

fn golden(schema: u8) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.join(format!("tests/golden/ledger-{schema}.sqlite"))
}

#[test]
#[ignore = "writes the golden file anew: only for a schema that has no version yet"]
fn write_golden_files() {
    let mut owner = Fixture::on_disk();
    owner.spend(Want::default()).unwrap();
    let open = Want {
        request: 11,
        cost: 30,
        ..Want::default()
    };
    owner.reserve(open).unwrap();
    owner.ledger.highest_version(&d(1), 3, &d(60)).unwrap();
    fs::copy(owner.path(), golden(4)).unwrap();
}

#[test]
fn the_ledger_of_schema_2_opens() {
    // Which file the highest version was is not in it: the first one seen counts.
    opens(2, 61);
}

#[test]
fn the_ledger_of_schema_3_opens() {
    opens(3, 60);
}

#[test]
fn the_ledger_of_schema_4_opens() {
    opens(4, 60);
}

fn opens(schema: u8, first: u8) {
    let mut owner = Fixture::on_disk();
    fs::copy(golden(schema), owner.path()).unwrap();
    owner.reopen();
    assert_eq!(
        (owner.spent(), owner.ledger.held().unwrap()),
        (rho(100), rho(30))
    );
    assert_eq!(owner.ledger.log_size(&d(1)).unwrap(), 1);
    let older = owner.ledger.highest_version(&d(1), 1, &d(59)).unwrap();
    assert_eq!(older.version, 3);
    for digest in [61, 62] {
        let highest = owner.ledger.highest_version(&d(1), 3, &d(digest));
        assert_eq!(highest.unwrap().digest, Some(d(first)));
    }
    let newest = owner
        .ledger
        .newest_manifest(&d(1), &"customers".parse().unwrap())
        .unwrap();
    assert_eq!(newest.map(|newest| newest.version), Some(1));
    // The seed opens under the ring's key, and the log goes on.
    let repeat = owner.reserve(Want::default()).unwrap();
    assert!(repeat.repeat());
    let later = Want {
        request: 12,
        at: UnixTime(NOW.0 + 1),
        ..Want::default()
    };
    // The signed request that was charged, and another.
    let again = owner.spend(later);
    assert!(
        matches!(again, Err(LedgerError::ChargedBefore)),
        "{again:?}"
    );
    owner.envelope = Some(200);
    owner.spend(later).unwrap();
    assert_eq!(owner.ledger.log_size(&d(1)).unwrap(), 2);
}
