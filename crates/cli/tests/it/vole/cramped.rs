//! A disk that takes no more at the crosswalk: the run is lost, and that is said. Ids of so few are
//! kept in memory by `vole`, so intake needs no disk.

use super::*;
use crate::cut_off::{refused_on, world_as};

/// Few enough that they are sorted in memory, and of all files the crosswalk is the largest.
const FEW: u32 = 1_500;

/// The other side has its crosswalk by then, of a run that this side has nothing of.
#[test]
fn a_disk_that_is_full_at_the_crosswalk_loses_the_run_and_says_so() {
    let world = world_as(by_vole);
    for party in PARTIES {
        write_ids(&world, party, 0..FEW);
    }
    run_well(&world);
    let path = crate::cut_off::crosswalk(&world, "shop");
    let before = fs::read(&path).unwrap();
    let room = u32::try_from(before.len() / 2 / 512).unwrap();
    let mailer = Running::start(&world, "mailer", &[]);
    let said = refused_on(&world, room, &[]);
    mailer.good();
    assert!(said.contains("the crosswalk was not written"), "{said}");
    assert!(said.contains("on both sides"), "{said}");
    assert!(said.contains("is a new run, and counts as one"), "{said}");
    assert!(fs::read(&path).unwrap() == before, "what was there stays");
    let folder = path.parent().unwrap();
    assert_eq!(
        fs::read_dir(folder).unwrap().count(),
        1,
        "nothing half written"
    );
    assert_eq!(PARTIES.map(|party| counted(&world, party)), [2, 2]);
    let [ours, theirs] = PARTIES.map(|party| crosswalk(&world, party));
    assert_ne!(ours.run(), theirs.run());

    run_well(&world);
    let [ours, theirs] = PARTIES.map(|party| crosswalk(&world, party));
    assert!(ours.run() == theirs.run() && ours.iter().eq(theirs.iter()));
    assert_eq!(PARTIES.map(|party| counted(&world, party)), [3, 3]);
}
