//! Crosswalk and consents.

use std::fs;
use std::path::Path;

use incamera_seal::{
    Consents, Crosswalk, CrosswalkScope, LocalFileError, Source, SourceError, check_source,
    read_texts,
};
use incamera_types::{MatchingEpoch, Pseudonym};
use proptest::prelude::*;
use tempfile::tempdir;

use crate::world::{EPOCH, agreement_id, manifest_digest, pseudonym, purchases, purposes, set};

fn scope() -> CrosswalkScope {
    CrosswalkScope {
        agreement_id: agreement_id(),
        epoch: MatchingEpoch(3),
        id_kind: "email".parse().unwrap(),
        via: None,
    }
}

fn row(id: &str) -> (String, Pseudonym) {
    (id.to_owned(), pseudonym(id).unwrap())
}

#[test]
fn a_crosswalk_reads_back() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("crosswalk");
    let crosswalk = Crosswalk::new(scope(), [row("b@x"), row("a@x"), row("c@x")]);
    crosswalk.write(&path).unwrap();
    let back = Crosswalk::read(&path).unwrap();
    assert_eq!(back.scope(), &scope());
    let ids: Vec<&str> = back.iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["a@x", "b@x", "c@x"]);
    assert_eq!(back.lookup("b@x"), pseudonym("b@x"));
    assert_eq!(back.lookup("z@x"), None);
    assert_eq!((back.len(), back.is_empty()), (3, false));
    assert!(!format!("{back:?}").contains("a@x"));
}

#[test]
fn the_last_row_of_an_id_counts() {
    let first = ("a@x".to_owned(), pseudonym("first").unwrap());
    let last = ("a@x".to_owned(), pseudonym("last").unwrap());
    let crosswalk = Crosswalk::new(scope(), [first, row("b@x"), last]);
    assert_eq!(crosswalk.lookup("a@x"), pseudonym("last"));
    assert_eq!(crosswalk.len(), 2);
}

#[test]
fn other_files_are_refused() {
    let folder = tempdir().unwrap();
    let path = folder.path().join("file");
    assert!(matches!(
        Crosswalk::read(&path),
        Err(LocalFileError::Io { .. })
    ));
    fs::write(&path, b"id,pseudonym\n").unwrap();
    assert!(matches!(
        Crosswalk::read(&path),
        Err(LocalFileError::Form { .. })
    ));
    let rows = [(pseudonym("a").unwrap(), set(&["ads"]))];
    let dataset = "customers".parse().unwrap();
    let consents = Consents::new(agreement_id(), EPOCH, dataset, manifest_digest(), rows);
    consents.write(&path).unwrap();
    assert!(matches!(
        Crosswalk::read(&path),
        Err(LocalFileError::Version { .. })
    ));
    Crosswalk::new(scope(), [row("a@x")]).write(&path).unwrap();
    assert!(matches!(
        Consents::read(&path),
        Err(LocalFileError::Version { .. })
    ));
    let bytes = fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(Crosswalk::read(&path).is_err(), "{length}");
    }
}

#[cfg(unix)]
#[test]
fn owner_files_are_private() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempdir().unwrap();
    let path = folder.path().join("crosswalk");
    Crosswalk::new(scope(), [row("a@x")]).write(&path).unwrap();
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn consents_read_back(people in prop::collection::btree_map(any::<[u8; 16]>(), 0usize..4, 0..50)) {
        let classes = [set(&[]), set(&["ads"]), set(&["ads", "measurement"]), set(&["safety"])];
        let rows = people.iter().map(|(person, class)| (Pseudonym::from_bytes(*person), classes[*class].clone()));
        let dataset = "customers".parse().unwrap();
        let consents = Consents::new(agreement_id(), EPOCH, dataset, manifest_digest(), rows);
        let folder = tempdir().unwrap();
        let path = folder.path().join("consents");
        consents.write(&path).unwrap();
        let back = Consents::read(&path).unwrap();
        prop_assert_eq!(back.len(), people.len());
        prop_assert_eq!((back.agreement_id(), back.epoch(), back.dataset().as_str()), (&agreement_id(), EPOCH, "customers"));
        prop_assert_eq!(back.register(), manifest_digest());
        for (person, class) in &people {
            prop_assert_eq!(back.class(&Pseudonym::from_bytes(*person)), Some(&classes[*class]));
        }
    }
}

/// Found by fuzzing: a schema with a type that Arrow does not know makes its reader panic.
#[test]
fn a_file_that_makes_the_parser_panic_is_damaged() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/damaged/unknown-type.parquet");
    let read = Crosswalk::read(&file);
    assert!(matches!(read, Err(LocalFileError::Form { .. })), "{read:?}");
    let source = Source::of(&file).unwrap();
    let texts = read_texts(&source, "id", &mut |_| ());
    assert!(
        matches!(texts, Err(SourceError::NotParquet { .. })),
        "{texts:?}"
    );
    let checked = check_source(&source, &purchases(), &purposes(), &pseudonym);
    assert!(
        matches!(checked, Err(SourceError::NotParquet { .. })),
        "{checked:?}"
    );
}

/// A file that does not come to its place leaves nothing: what was written of it is in clear.
#[test]
fn a_file_that_is_not_written_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("crosswalk.parquet");
    // Nothing can be renamed over a folder.
    std::fs::create_dir(&path).unwrap();
    let ids = (0..100).map(|at| format!("p{at}@x"));
    let rows = ids.map(|id| (id.clone(), crate::world::pseudonym(&id).unwrap()));
    let scope = incamera_seal::CrosswalkScope {
        agreement_id: crate::world::agreement_id(),
        epoch: crate::world::EPOCH,
        id_kind: "email".parse().unwrap(),
        via: None,
    };
    let error = incamera_seal::Crosswalk::new(scope, rows).write(&path);
    assert!(matches!(
        error,
        Err(incamera_seal::LocalFileError::Io { what: "write", .. })
    ));
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
