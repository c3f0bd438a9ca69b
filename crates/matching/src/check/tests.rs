use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::sort::tests::{FolderStore, rng};

const SMALL: Memory = Memory {
    arena_bytes: 300,
    block_bytes: 60,
    fan_in: 3,
    keeps_sequences: false,
};

fn value(n: u8) -> [u8; 16] {
    let mut value = [9; 16];
    value[15] = n;
    value
}

#[derive(Debug, Default)]
struct Values {
    own: Vec<u8>,
    own_earlier: Vec<(String, u8)>,
    theirs: Vec<u8>,
    theirs_earlier: Vec<u8>,
    theirs_named: Vec<u8>,
}

#[derive(Debug, PartialEq)]
struct Found {
    places: Vec<u64>,
    ids: Vec<String>,
    theirs: Vec<u8>,
}

fn check(values: &Values, store: &FolderStore) -> Result<Found, CheckError> {
    let mut check = Check::new(store, SMALL, &mut rng());
    for (place, n) in (0..).zip(&values.own) {
        check.own(place, &value(*n))?;
    }
    for (id, n) in &values.own_earlier {
        check.own_earlier(id, &value(*n))?;
    }
    for n in &values.theirs {
        check.theirs(&value(*n))?;
    }
    for n in &values.theirs_earlier {
        check.theirs_earlier(&value(*n))?;
    }
    for n in &values.theirs_named {
        check.theirs_named(&value(*n))?;
    }
    let mut found = Found {
        places: Vec::new(),
        ids: Vec::new(),
        theirs: Vec::new(),
    };
    let mut matches = check.finish::<CheckError>(&mut |value| {
        found.theirs.push(value[15]);
        Ok(())
    })?;
    let count = matches.count;
    while let Some(matched) = matches.next()? {
        match matched {
            Match::Place(place) => found.places.push(place),
            Match::Id(id) => found.ids.push(id.to_owned()),
        }
    }
    assert_eq!(count as usize, found.places.len() + found.ids.len());
    Ok(found)
}

fn refused(values: &Values) -> Misbehaviour {
    match check(values, &FolderStore::new()) {
        Err(CheckError::Peer(what)) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn one_answer_for_two_ids_is_refused() {
    let own = (0..100).chain([42]).collect();
    let values = Values {
        own,
        ..Values::default()
    };
    assert_eq!(refused(&values), Misbehaviour::RepeatedPoint);
}

#[test]
fn one_point_sent_twice_is_refused() {
    let theirs = (0..100).chain([99]).collect();
    let values = Values {
        theirs,
        own: vec![99, 1],
        theirs_earlier: vec![99],
        ..Values::default()
    };
    assert_eq!(refused(&values), Misbehaviour::SentTwice);
}

/// Each side mixes in some of what an earlier run had.
#[test]
fn earlier_values_may_come_again() {
    let values = Values {
        own: vec![1, 2, 3],
        own_earlier: vec![
            ("b".to_owned(), 2),
            ("a".to_owned(), 5),
            ("c".to_owned(), 7),
        ],
        theirs: vec![3, 4, 5],
        theirs_earlier: vec![2, 4],
        ..Values::default()
    };
    let found = check(&values, &FolderStore::new()).unwrap();
    let expected = Found {
        places: vec![1, 2],
        ids: vec!["a".to_owned(), "b".to_owned()],
        theirs: vec![2, 3, 4, 5],
    };
    assert_eq!(found, expected);
}

/// Rows of the crosswalk meet the peer's new ids by name; what is kept of them are the tags alone.
#[test]
fn rows_of_the_crosswalk_meet_names() {
    let values = Values {
        own: vec![1],
        own_earlier: vec![("a".to_owned(), 101), ("b".to_owned(), 102)],
        theirs: vec![1, 2],
        theirs_named: vec![101, 103],
        ..Values::default()
    };
    let found = check(&values, &FolderStore::new()).unwrap();
    let expected = Found {
        places: vec![0],
        ids: vec!["a".to_owned()],
        theirs: vec![1, 2],
    };
    assert_eq!(found, expected);
}

#[test]
fn a_store_that_fails_ends_the_check_and_leaves_nothing() {
    let values = Values {
        own: (0..100).collect(),
        theirs: (50..150).collect(),
        ..Values::default()
    };
    let mut failures = 0;
    loop {
        let store = FolderStore::new();
        store.fail_after(failures);
        let found = check(&values, &store);
        assert!(store.files().is_empty());
        match found {
            Err(CheckError::Sort(SortError::Store(_))) => failures += 1,
            Err(other) => panic!("{other:?}"),
            Ok(found) => break assert_eq!(found.places.len(), 50),
        }
    }
    assert!(failures > 100, "{failures} calls");
}

proptest! {
    /// The slow twin: sets.
    #[test]
    fn matches_are_what_both_have(
        own in prop::collection::btree_set(any::<u8>(), 0..60),
        own_earlier in prop::collection::btree_map("[a-z]{1,3}", any::<u8>(), 0..30),
        theirs in prop::collection::btree_set(any::<u8>(), 0..60),
        theirs_earlier in prop::collection::btree_set(any::<u8>(), 0..30),
    ) {
        let all: BTreeSet<u8> = theirs.union(&theirs_earlier).copied().collect();
        // Places in an order that has nothing to do with the values'.
        let own: Vec<u8> = own.into_iter().rev().collect();
        let places = (0..).zip(&own).filter(|(_, n)| all.contains(n));
        let distinct: BTreeMap<u8, String> = own_earlier.iter().map(|(id, n)| (*n, id.clone())).collect();
        let own_earlier: BTreeMap<String, u8> = distinct.into_iter().map(|(n, id)| (id, n)).collect();
        let ids = own_earlier.iter().filter(|(_, n)| all.contains(n));
        let expected = Found {
            places: places.map(|(place, _)| place).collect(),
            ids: ids.map(|(id, _)| id.clone()).collect(),
            theirs: all.iter().copied().collect(),
        };
        let values = Values {
            own: own.clone(),
            own_earlier: own_earlier.into_iter().collect(),
            theirs: theirs.into_iter().collect(),
            theirs_earlier: theirs_earlier.into_iter().collect(),
            ..Values::default()
        };
        prop_assert_eq!(check(&values, &FolderStore::new()).unwrap(), expected);
    }
}
