//! What would come of a file is told before anything is written, and what is there can be
//! counted by its owner.

use incamera_seal::{SealError, Source, count_rows};

use crate::world::{World, column_texts, customers, files_below, pseudonym, purchases};

const CONSENTS: &str = "email,consent\na@x,ads;measurement\nb@x,ads\nc@x,\n";
const ROWS: &str = "email,day,amount,category\na@x,2026-04-01,1.00,food\na@x,2026-04-02,2.00,food\nb@x,2026-04-01,3.00,toys\nc@x,2026-04-01,4.00,\nnobody@x,2026-04-01,5.00,\n";

fn world() -> World {
    let mut world = World::new();
    let report = world.seal_csv(&customers(), CONSENTS).unwrap();
    world.consents = report.consents;
    world
}

#[test]
fn what_is_not_wanted_is_not_written() {
    let mut world = world();
    world.seal_csv(&purchases(), ROWS).unwrap();
    let out = world.out("purchases");
    let bytes = |files: Vec<std::path::PathBuf>| -> Vec<_> {
        let read = |path: std::path::PathBuf| (std::fs::read(&path).unwrap(), path);
        files.into_iter().map(read).collect()
    };
    let before = bytes(files_below(&out));
    let path = world.file(
        "fewer.csv",
        "email,day,amount,category\nnobody@x,2026-04-01,5.00,\nc@x,2026-04-01,5.00,\n",
    );
    let source = Source::of(&path).unwrap();
    let mut seen = None;
    let sealed = world.seal_if(&purchases(), &source, &pseudonym, |outline| {
        seen = Some(outline.clone());
        false
    });
    assert!(matches!(sealed, Err(SealError::Unwanted)), "{sealed:?}");
    let seen = seen.unwrap();
    assert_eq!(
        (
            seen.rows,
            seen.sealed,
            seen.without_pseudonym,
            seen.without_consent,
            seen.people
        ),
        (2, 0, 1, 1, 0)
    );
    assert_eq!(bytes(files_below(&out)), before);
    assert_eq!(world.manifest("purchases").version(), 1);
    world
        .seal_if(&purchases(), &source, &pseudonym, |_| true)
        .unwrap();
    assert_eq!(world.manifest("purchases").version(), 2);
}

#[test]
fn an_owner_counts_its_own_rows() {
    let mut world = world();
    let report = world.seal_csv(&purchases(), ROWS).unwrap();
    assert_eq!(report.sealed, 3);
    let (out, manifest) = (world.out("purchases"), world.manifest("purchases"));
    assert_eq!(count_rows(&out, &manifest, &world.ring), Some(3));
    // Without its parts, or by another's ring, nothing is claimed.
    assert_eq!(count_rows(&out, &manifest, &World::new().ring), None);
    let part = files_below(&out.join("parts")).remove(0);
    std::fs::remove_file(part).unwrap();
    assert_eq!(count_rows(&out, &manifest, &world.ring), None);
}

/// What the owner sees at home is what the purpose would open in the room.
#[test]
fn own_rows_are_those_that_a_purpose_opens() {
    let mut world = world();
    world.seal_csv(&purchases(), ROWS).unwrap();
    let path = world.file("own.csv", ROWS);
    let before = files_below(&world.out("purchases"));
    for (purpose_name, column) in [("measurement", "amount"), ("ads", "category")] {
        let own = world.own_rows(&purchases(), &Source::of(&path).unwrap(), purpose_name);
        assert_eq!((own.outline.rows, own.outline.sealed), (5, 3));
        assert_eq!(own.outline.people, 2);
        let mut texts: Vec<String> = own
            .batches
            .iter()
            .flat_map(|batch| {
                let at = batch.schema().index_of(column).unwrap();
                column_texts(batch, at)
            })
            .collect();
        texts.sort();
        assert_eq!(texts, world.texts("purchases", purpose_name, column));
        assert!(!texts.is_empty() && !format!("{own:?}").contains("1.00"));
    }
    assert_eq!(
        files_below(&world.out("purchases")),
        before,
        "something was written"
    );
}
