use incamera_ledger::{Ledger, LedgerError};

use crate::fixture::{Fixture, Want, d, rho, shop};

#[test]
fn what_is_written_is_there_after_reopening() {
    let mut owner = Fixture::on_disk();
    let (charged, _) = owner.spend(Want::default()).unwrap();
    owner.reopen();
    assert_eq!(owner.spent(), rho(100));
    let repeat = owner.reserve(Want::default()).unwrap();
    assert!(repeat.repeat());
    assert_eq!(repeat.seed().expose(), charged.seed().expose());
}

#[test]
fn a_ledger_belongs_to_one_party() {
    let owner = Fixture::on_disk();
    let other = Ledger::open(&owner.path(), &"mailer".parse().unwrap());
    assert!(matches!(other, Err(LedgerError::OtherParty)));
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database, but long enough to look at").unwrap();
    assert!(Ledger::open(&text, &shop()).is_err());
    let database = folder.path().join("other.sqlite");
    let other = rusqlite::Connection::open(&database).unwrap();
    other
        .execute_batch("CREATE TABLE notes (note TEXT)")
        .unwrap();
    let refused = Ledger::open(&database, &shop());
    assert!(matches!(refused, Err(LedgerError::NotALedger)));
    let tables: i64 = other
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 1);
}

#[test]
fn a_newer_schema_is_refused() {
    let owner = Fixture::on_disk();
    let file = rusqlite::Connection::open(owner.path()).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    match Ledger::open(&owner.path(), &shop()) {
        Err(LedgerError::Schema {
            found: 99,
            known: 4,
        }) => {}
        other => panic!("{other:?}"),
    }
}

/// A ledger that an earlier program made keeps what it holds.
#[test]
fn an_older_schema_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.sqlite");
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../../src/schema.sql"))
        .unwrap();
    old.execute_batch(
        "INSERT INTO party (only, name) VALUES (1, 'shop');
         INSERT INTO charges VALUES (x'01', x'02', x'03', x'04', 100, 10, 1);
         INSERT INTO seeds VALUES (x'01', x'03', x'05', 1);
         INSERT INTO seed_manifests VALUES (x'01', x'06');",
    )
    .unwrap();
    old.pragma_update(None, "application_id", 0x4943_4c67)
        .unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    drop(old);
    for _ in 0..2 {
        let mut ledger = Ledger::open(&path, &shop()).unwrap();
        assert_eq!(ledger.spent_in_all().unwrap(), rho(100));
        let highest = ledger.highest_version(&d(1), 3, &d(60)).unwrap();
        assert_eq!(highest.version, 3);
    }
    // Of that seed nobody knows what it reads, so nothing would erase it later.
    let file = rusqlite::Connection::open(&path).unwrap();
    for table in ["seeds", "seed_manifests"] {
        let count = format!("SELECT count(*) FROM {table}");
        let left: i64 = file.query_row(&count, [], |row| row.get(0)).unwrap();
        assert_eq!(left, 0, "{table}");
    }
}

/// Not even with other tools: charges and log entries stay as they are.
#[test]
fn charges_and_log_entries_cannot_be_changed() {
    let mut owner = Fixture::on_disk();
    owner.spend(Want::default()).unwrap();
    let file = rusqlite::Connection::open(owner.path()).unwrap();
    for sql in [
        "UPDATE charges SET rho = 0",
        "DELETE FROM charges",
        "UPDATE log SET entry = x''",
        "DELETE FROM log",
        "UPDATE envelopes SET envelope = x''",
        "DELETE FROM envelopes",
    ] {
        assert!(file.execute(sql, []).is_err(), "{sql}");
    }
}
