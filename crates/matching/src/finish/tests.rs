use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::Mode;
use crate::intake::{Choice, Intake};
use crate::sort::tests::{FolderStore, rng};

const SMALL: Memory = Memory {
    arena_bytes: 300,
    block_bytes: 60,
    fan_in: 3,
    keeps_sequences: false,
};

#[derive(Debug, PartialEq)]
struct Full;

fn pseudonym(n: u8) -> Pseudonym {
    Pseudonym::from_bytes([n; 16])
}

fn row(id: &str, n: u8, matched: Option<bool>) -> Row {
    Row {
        id: id.to_owned(),
        pseudonym: pseudonym(n),
        matched,
        ..Row::default()
    }
}

/// An id of the run: its pseudonym, whether it is in the data now, known, matched.
type Given<'a> = (&'a str, u8, bool, bool, bool);

const NEW: bool = true;
const OLD: bool = true;
const NO: bool = false;

struct Outcome {
    rows: Vec<Row>,
    result: Result<Finished, FinishError<Full>>,
}

fn finish_with(
    store: &FolderStore,
    says: Matched,
    given: &[Given<'_>],
    matched: &[&str],
    crosswalk: Option<&[Row]>,
    most: usize,
) -> Outcome {
    let mut rows = Vec::new();
    let result = (|| {
        let mut finish = Finish::new(None, says, store, SMALL, &mut rng());
        for (id, n, now, known, matched) in given {
            let entry = Entry::for_test(id, *now, *known);
            finish.give(&entry, &pseudonym(*n), *matched)?;
        }
        matched.iter().try_for_each(|id| finish.matched(id))?;
        let mut old = crosswalk.unwrap_or_default().iter();
        let mut next = |row: &mut Row| {
            let found = old.next();
            found.inspect(|found| row.clone_from(found));
            Ok(found.is_some())
        };
        finish.write(
            crosswalk.is_some().then_some(&mut next),
            &mut |row| match rows.len() < most {
                true => {
                    rows.push(row.clone());
                    Ok(())
                }
                false => Err(Full),
            },
        )
    })();
    assert!(store.files().is_empty());
    Outcome { rows, result }
}

fn finish(
    says: Matched,
    given: &[Given<'_>],
    matched: &[&str],
    crosswalk: Option<&[Row]>,
) -> Outcome {
    let store = FolderStore::new();
    finish_with(&store, says, given, matched, crosswalk, usize::MAX)
}

#[test]
fn runs_and_crosswalk_come_together_in_order() {
    let old = [row("b", 2, None), row("d", 4, None), row("f", 6, None)];
    let given = [
        ("e", 5, NEW, NO, NO),
        ("d", 4, NEW, OLD, NO),
        ("a", 1, NEW, NO, NO),
        ("f", 6, NO, OLD, NO),
    ];
    let outcome = finish(Matched::Hidden, &given, &[], Some(&old));
    let expected = [("a", 1), ("b", 2), ("d", 4), ("e", 5), ("f", 6)];
    assert_eq!(outcome.rows, expected.map(|(id, n)| row(id, n, None)));
    let finished = Finished {
        rows: 5,
        matched: 0,
        forgotten: 0,
        compared: 2,
    };
    assert_eq!(outcome.result.unwrap(), finished);
}

#[test]
fn who_was_forgotten_meanwhile_stays_forgotten() {
    let given = [
        ("in data", 1, NEW, OLD, NO),
        ("mixed in", 2, NO, OLD, NO),
        ("new", 3, NEW, NO, NO),
    ];
    let outcome = finish(Matched::Hidden, &given, &[], Some(&[]));
    assert_eq!(outcome.rows, [row("new", 3, None)]);
    assert_eq!(outcome.result.unwrap().forgotten, 1);
}

#[test]
fn without_a_crosswalk_nobody_was_forgotten() {
    let given = [
        ("in data", 1, NEW, OLD, NO),
        ("mixed in", 2, NO, OLD, NO),
        ("new", 3, NEW, NO, NO),
    ];
    let outcome = finish(Matched::Hidden, &given, &[], None);
    let expected = [row("in data", 1, None), row("new", 3, None)];
    assert_eq!(outcome.rows, expected);
    assert_eq!(outcome.result.unwrap().forgotten, 0);
}

#[test]
fn another_secret_is_found_out() {
    let old = [row("a", 1, None), row("b", 2, None), row("c", 3, None)];
    let all = [("a", 7, NEW, OLD, NO), ("b", 8, NO, OLD, NO)];
    let result = finish(Matched::Hidden, &all, &[], Some(&old)).result;
    assert!(matches!(result, Err(FinishError::SecretChanged)));
    let some = [("a", 1, NEW, OLD, NO), ("b", 8, NO, OLD, NO)];
    let result = finish(Matched::Hidden, &some, &[], Some(&old)).result;
    let inconsistent = matches!(result, Err(FinishError::Peer(Misbehaviour::Inconsistent)));
    assert!(inconsistent, "{result:?}");
}

#[test]
fn matches_are_written_for_every_row() {
    let old = [
        row("a", 1, Some(true)),
        row("b", 2, Some(false)),
        row("c", 3, Some(true)),
    ];
    let given = [
        ("c", 3, NEW, OLD, NO),
        ("d", 4, NEW, NO, true),
        ("e", 5, NEW, NO, NO),
    ];
    // `a` was a match and is none any more; `b` has become one; of `x` the crosswalk knows nothing.
    // Where the peer sent its new ids alone, both stay matches.
    for (says, stays, matched) in [(Matched::Anew, false, 2), (Matched::More, true, 4)] {
        let outcome = finish(says, &given, &["b", "x"], Some(&old));
        let expected = [
            row("a", 1, Some(stays)),
            row("b", 2, Some(true)),
            row("c", 3, Some(stays)),
            row("d", 4, Some(true)),
            row("e", 5, Some(false)),
        ];
        assert_eq!(outcome.rows, expected);
        assert_eq!(outcome.result.unwrap().matched, matched);
    }
}

#[test]
fn a_match_told_by_id_joins_the_runs_row() {
    for match_first in [true, false] {
        let mut finish = Finish::new(None, Matched::Anew, &FolderStore::new(), SMALL, &mut rng());
        if match_first {
            finish.matched("a").unwrap();
        }
        let entry = Entry::for_test("a", NEW, NO);
        finish.give(&entry, &pseudonym(1), NO).unwrap();
        if !match_first {
            finish.matched("a").unwrap();
        }
        let mut rows = Vec::new();
        let mut put = |row: &Row| -> Result<(), Full> {
            rows.push(row.clone());
            Ok(())
        };
        finish.write(None, &mut put).unwrap();
        assert_eq!(rows, [row("a", 1, Some(true))]);
    }
}

#[test]
fn links_of_the_run_have_its_day() {
    let store = FolderStore::new();
    let (old_day, day) = (Date::from_days(10), Date::from_days(20));
    let mut finish = Finish::new(Some(day), Matched::Hidden, &store, SMALL, &mut rng());
    for (id, now, known) in [("a", true, false), ("b", true, true), ("c", false, true)] {
        let entry = Entry::for_test(id, now, known);
        finish
            .give(&entry, &pseudonym(id.as_bytes()[0]), false)
            .unwrap();
    }
    let mut old = ["b", "c", "d"].into_iter();
    let mut next = |row: &mut Row| {
        let id = old.next();
        row.valid_until = Some(old_day);
        row.id = id.unwrap_or_default().to_owned();
        row.pseudonym = pseudonym(row.id.bytes().next().unwrap_or_default());
        Ok::<_, Full>(id.is_some())
    };
    let mut days = Vec::new();
    let mut put = |row: &Row| {
        days.push((row.id.clone(), row.valid_until));
        Ok(())
    };
    finish.write(Some(&mut next), &mut put).unwrap();
    let expected = [("a", day), ("b", day), ("c", old_day), ("d", old_day)];
    assert_eq!(days, expected.map(|(id, day)| (id.to_owned(), Some(day))));
}

#[test]
fn what_cannot_be_written_ends_it() {
    let given = [("a", 1, NEW, NO, NO), ("b", 2, NEW, NO, NO)];
    let store = FolderStore::new();
    let outcome = finish_with(&store, Matched::Hidden, &given, &[], None, 1);
    assert!(matches!(outcome.result, Err(FinishError::Rows(Full))));
    assert_eq!(outcome.rows, [row("a", 1, None)]);
}

#[test]
fn a_store_that_fails_ends_it_and_leaves_nothing() {
    let names: Vec<String> = (0..60).map(|n| format!("id{n}")).collect();
    let given: Vec<Given<'_>> = names
        .iter()
        .map(|id| (id.as_str(), 1, NEW, NO, NO))
        .collect();
    let mut failures = 0;
    loop {
        let store = FolderStore::new();
        store.fail_after(failures);
        match finish_with(&store, Matched::Hidden, &given, &[], None, usize::MAX).result {
            Err(FinishError::Sort(SortError::Store(_))) => failures += 1,
            Err(other) => panic!("{other:?}"),
            Ok(finished) => break assert_eq!(finished.rows, 60),
        }
    }
    assert!(failures > 50, "{failures} calls");
}

#[test]
fn debug_shows_no_id() {
    assert_eq!(format!("{:?}", row("a@b.example", 1, None)), "Row(..)");
}

proptest! {
    /// The slow twin: a map, and every id by itself.
    #[test]
    fn it_is_a_map(
        given in prop::collection::btree_map("[a-d]{1,2}", (any::<bool>(), any::<bool>(), any::<bool>()), 0..30),
        crosswalk in prop::option::of(prop::collection::btree_map("[a-d]{1,2}", any::<Option<bool>>(), 0..30)),
        by_id in prop::collection::btree_set("[a-d]{1,2}", 0..10),
        says in prop::sample::select(vec![Matched::Hidden, Matched::Anew, Matched::More]),
    ) {
        let of = |id: &str| id.bytes().fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte));
        let mut expected: BTreeMap<String, Row> = BTreeMap::new();
        let found = |id: &str| by_id.contains(id) || given.get(id).is_some_and(|(.., matched)| *matched);
        let told = |id: &str, before: Option<bool>| match says {
            Matched::Hidden => before,
            Matched::Anew => Some(found(id)),
            Matched::More => Some(found(id) || before.unwrap_or(false)),
        };
        for (id, before) in crosswalk.iter().flatten() {
            expected.insert(id.clone(), row(id, of(id), told(id, *before)));
        }
        for (id, (now, known, _)) in &given {
            let kept = crosswalk.as_ref().is_none_or(|rows| rows.contains_key(id) || !known);
            let is_row = crosswalk.as_ref().is_some_and(|rows| rows.contains_key(id));
            if !is_row && *now && kept {
                expected.insert(id.clone(), row(id, of(id), told(id, None)));
            }
        }
        let by_id: Vec<&str> = by_id.iter().map(String::as_str).collect();
        let given: Vec<Given<'_>> = given.iter().map(|(id, (now, known, matched))| (id.as_str(), of(id), *now, *known, *matched)).collect();
        let old: Option<Vec<Row>> = crosswalk.map(|rows| rows.iter().map(|(id, before)| row(id, of(id), *before)).collect());
        let outcome = finish(says, &given, &by_id, old.as_deref());
        prop_assert_eq!(outcome.rows, expected.into_values().collect::<Vec<_>>());
        prop_assert!(outcome.result.is_ok());
    }
}

#[test]
fn a_run_of_other_pseudonyms_replaces_all_and_still_forgets() {
    let store = FolderStore::new();
    let old = [
        row("a", 1, None),
        row("b", 2, Some(true)),
        row("gone", 3, None),
    ];
    let mut intake = Intake::by_id(&store, SMALL, &mut rng());
    let given = [
        ("new", NO),
        ("b", OLD),
        ("forgotten", OLD),
        ("a", OLD),
        ("gone", OLD),
    ];
    for (id, known) in given {
        // Whoever is gone is known and not in the data.
        if id != "gone" {
            intake.row(id, 1).unwrap();
        }
        if known {
            intake.known(id).unwrap();
        }
    }
    let choice = Choice {
        mode: Mode::Full,
        absent: false,
    };
    let ids = intake.finish(choice).unwrap().read_from(0).unwrap();
    let pseudonyms = [101, 102, 103, 104].map(pseudonym);
    let matched = [true, false, true, false];
    let (mut rows, mut earlier) = (Vec::new(), old.iter());
    let mut next = |row: &mut Row| {
        let found = earlier.next();
        found.inspect(|found| row.clone_from(found));
        Ok::<_, Full>(found.is_some())
    };
    let mut put = |row: &Row| {
        rows.push(row.clone());
        Ok(())
    };
    let finished = write_anew(ids, &pseudonyms, Some(&matched), Some(&mut next), &mut put);
    let expected = [("a", 101, true), ("b", 102, false), ("new", 104, false)];
    assert_eq!(
        rows,
        expected.map(|(id, n, matched)| row(id, n, Some(matched)))
    );
    let expected = Finished {
        rows: 3,
        matched: 1,
        forgotten: 1,
        compared: 0,
    };
    assert_eq!(finished.unwrap(), expected);
}
