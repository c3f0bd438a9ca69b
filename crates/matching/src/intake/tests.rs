use std::collections::{BTreeMap, BTreeSet, HashMap};

use proptest::prelude::*;

use super::*;
use crate::sort::tests::{FolderStore, rng};

const FULL: Choice = Choice {
    mode: Mode::Full,
    absent: true,
};
const FULL_OWN: Choice = Choice {
    mode: Mode::Full,
    absent: false,
};
const APPEND: Choice = Choice {
    mode: Mode::Append,
    absent: true,
};
const APPEND_OWN: Choice = Choice {
    mode: Mode::Append,
    absent: false,
};

fn secret(seed: u64) -> Secret32 {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    Secret32::from_bytes(bytes)
}

fn small() -> Memory {
    Memory {
        arena_bytes: 600,
        block_bytes: 90,
        fan_in: 3,
        keeps_sequences: false,
    }
}

fn intake(seed: u64, store: &FolderStore, memory: Memory) -> Intake<FolderStore> {
    Intake::new(&secret(seed), &secret(!seed), store, memory, &mut rng())
}

fn ordered(
    seed: u64,
    rows: &[(String, u64)],
    known: &[String],
    choice: Choice,
) -> Ordered<FolderStore> {
    let store = FolderStore::new();
    let mut intake = intake(seed, &store, small());
    for (id, mask) in rows {
        intake.row(id, *mask).unwrap();
    }
    for id in known {
        intake.known(id).unwrap();
    }
    intake.finish(choice).unwrap()
}

/// Ids in order, with whether they are in the data now and known.
fn entries<S: Store>(ordered: &Ordered<S>) -> Vec<(String, bool, bool)> {
    let mut ids = ordered.read_from(0).unwrap();
    let mut found = Vec::new();
    while let Some(entry) = ids.next().unwrap() {
        found.push((entry.id.to_owned(), entry.now(), entry.known()));
    }
    assert_eq!(found.len() as u64, ordered.len());
    found
}

fn ids<S: Store>(ordered: &Ordered<S>) -> Vec<String> {
    entries(ordered).into_iter().map(|(id, ..)| id).collect()
}

fn numbered(prefix: &str, range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("{prefix}{n:05}@x.example")).collect()
}

fn agreed(ids: &[String]) -> Vec<(String, u64)> {
    ids.iter().map(|id| (id.clone(), u64::MAX)).collect()
}

/// Chi-square over the 5! orders of five ids under 60,000 keys: 119 degrees of freedom, mean
/// 119, standard deviation 15.4. The keys are fixed, so the figure is always the same.
#[test]
fn every_order_of_the_whole_set_is_as_likely() {
    let store = FolderStore::new();
    let mut seen: HashMap<Vec<u8>, f64> = HashMap::new();
    for seed in 0..60_000 {
        let mut intake = intake(seed, &store, Memory::default());
        for id in ["a@x", "b@x", "c@x", "d@x", "e@x"] {
            intake.row(id, 1).unwrap();
        }
        let order = ids(&intake.finish(FULL).unwrap());
        let order = order.iter().map(|id| id.as_bytes()[0]).collect();
        *seen.entry(order).or_default() += 1.0;
    }
    assert_eq!(seen.len(), 120);
    let chi: f64 = seen.values().map(|n| (n - 500.0).powi(2) / 500.0).sum();
    assert!(chi < 119.0 + 4.0 * 15.4, "{chi}");
}

#[test]
fn the_order_hangs_on_the_set_and_the_key_alone() {
    let all = numbered("user", 0..500);
    let rows = agreed(&all);
    let mut turned = rows.clone();
    turned.reverse();
    turned.extend_from_slice(&rows[100..200]);
    let one = ids(&ordered(1, &rows, &[], FULL));
    assert_eq!(ids(&ordered(1, &turned, &[], FULL)), one);
    assert_ne!(ids(&ordered(2, &rows, &[], FULL)), one);
    assert_eq!(one.len(), 500);
    // In memory, and by way of the disk.
    let store = FolderStore::new();
    let mut intake = intake(1, &store, Memory::default());
    rows.iter()
        .for_each(|(id, mask)| intake.row(id, *mask).unwrap());
    assert_eq!(ids(&intake.finish(FULL).unwrap()), one);
    // Nothing of the input's order is left: as many neighbours go up as down.
    let ups = one.windows(2).filter(|pair| pair[0] < pair[1]).count();
    assert!((200..300).contains(&ups), "{ups}");
}

#[test]
fn places_are_read_again_from_anywhere() {
    let ordered = ordered(1, &agreed(&numbered("user", 0..300)), &[], FULL);
    let all = ids(&ordered);
    for from in [0, 1, 150, 299, 300, 301] {
        let mut reader = ordered.read_from(from).unwrap();
        assert_eq!(reader.place(), from.min(300));
        let first = reader.next().unwrap().map(|entry| entry.id.to_owned());
        assert_eq!(first.as_ref(), all.get(from as usize));
    }
}

#[test]
fn repeats_are_taken_away_and_counted() {
    let rows = [("a", 3), ("b", 1), ("a", 6), ("c", 4), ("c", 3), ("b", 1)];
    let rows = rows.map(|(id, mask)| (id.to_owned(), mask));
    let known = ["b", "d"].map(str::to_owned);
    let ordered = ordered(1, &rows, &known, FULL_OWN);
    let mut found = entries(&ordered);
    found.sort();
    // The person of `c` agreed to 4 in one row and to 3 in the other: to nothing.
    let expected = [("a", true, false), ("b", true, true)];
    assert_eq!(
        found,
        expected.map(|(id, now, known)| (id.to_owned(), now, known))
    );
    let taken = Taken {
        duplicates: 3,
        without_consent: 1,
        distinct: 2,
        known: 1,
        earlier: 2,
        mixed_in: 0,
    };
    assert_eq!(ordered.taken, taken);
}

/// Which ids may travel, and which must: the table of the choice, with many and with few earlier
/// ids in the data.
#[test]
fn earlier_ids_are_mixed_in_as_chosen() {
    let (old, new) = (numbered("old", 0..100), numbered("new", 0..10));
    let count = |both: u32, choice: Choice| {
        let both = numbered("both", 0..both);
        let rows = agreed(&[both.as_slice(), &new].concat());
        let known = [old.as_slice(), &both].concat();
        let ordered = ordered(3, &rows, &known, choice);
        let found = ids(&ordered);
        let of = |prefix: &str| found.iter().filter(|id| id.starts_with(prefix)).count();
        (of("new"), of("both"), of("old"), ordered.taken.mixed_in)
    };
    // Enough are in the data: nobody else is compared.
    for enough in [64, 100] {
        assert_eq!(count(enough, FULL), (10, enough as usize, 0, 0));
        assert_eq!(count(enough, FULL_OWN), (10, enough as usize, 0, 0));
        assert_eq!(count(enough, APPEND), (10, 64, 0, 64));
        assert_eq!(count(enough, APPEND_OWN), (10, 64, 0, 64));
    }
    let (new, both, old, mixed_in) = count(63, FULL);
    assert_eq!((new, both, mixed_in), (10, 63, old as u64));
    assert!((20..60).contains(&old), "{old} of 64 are not in the data");
    let (new, both, old, mixed_in) = count(63, APPEND);
    assert_eq!((new, both + old, mixed_in), (10, 64, 64));
    assert!((20..60).contains(&old), "{old} of 64 are not in the data");
    assert_eq!(count(63, FULL_OWN), (10, 63, 0, 0));
    assert_eq!(count(63, APPEND_OWN), (10, 63, 0, 63));
}

/// Not even to be compared: an earlier id whose person agrees to nothing any more.
#[test]
fn who_takes_every_consent_back_is_not_sent() {
    let known = numbered("user", 0..30);
    let rows: Vec<(String, u64)> = known
        .iter()
        .enumerate()
        .map(|(n, id)| (id.clone(), if n < 10 { 0 } else { 1 }))
        .collect();
    for choice in [FULL, FULL_OWN, APPEND, APPEND_OWN] {
        let ordered = ordered(4, &rows[..20], &known, choice);
        let found = ids(&ordered);
        for (id, mask) in &rows {
            assert!(*mask > 0 || !found.contains(id), "{choice:?}");
        }
        // Who is not in the data has taken nothing back.
        let absent = found.iter().filter(|id| known[20..].contains(id)).count();
        assert_eq!(absent, if choice.absent { 10 } else { 0 });
        assert_eq!(ordered.taken.without_consent, 10);
    }
}

/// Each of 80 earlier ids is among the 64 under 4 of 5 keys: 400 of 500, 8.9 either way.
#[test]
fn any_earlier_id_is_drawn_as_often_as_any_other() {
    let known = numbered("known", 0..80);
    let rows = agreed(&known);
    for choice in [APPEND, APPEND_OWN] {
        let mut seen: HashMap<String, u32> = HashMap::new();
        for seed in 0..500 {
            let store = FolderStore::new();
            let mut intake = intake(seed, &store, Memory::default());
            known.iter().for_each(|id| intake.known(id).unwrap());
            rows.iter()
                .for_each(|(id, mask)| intake.row(id, *mask).unwrap());
            for id in ids(&intake.finish(choice).unwrap()) {
                *seen.entry(id).or_default() += 1;
            }
        }
        assert_eq!(seen.len(), 80);
        assert!(seen.values().all(|n| n.abs_diff(400) < 45), "{seen:?}");
    }
}

/// Which earlier ids are compared has nothing to do with where they travel: were it those that
/// come first, a peer would know from which place on nobody looks.
#[test]
fn ids_that_are_compared_travel_anywhere() {
    let (known, new) = (numbered("known", 0..500), numbered("new", 0..500));
    let rows = agreed(&[known.as_slice(), &new].concat());
    let found = entries(&ordered(5, &rows, &known, APPEND));
    assert_eq!(found.len(), 564);
    let quarter = found.len() / 4;
    for part in found.chunks(quarter).take(4) {
        let compared = part.iter().filter(|(_, _, known)| *known).count();
        // 16 on the average, 3.5 either way.
        assert!((4..30).contains(&compared), "{compared}");
    }
}

/// What a journal compares to tell whether ids would travel as they did.
#[test]
fn the_digest_of_the_order_holds_ids_order_and_what_is_known() {
    let all = numbered("user", 0..20);
    let digest = |seed, ids: &[String], known: &[String]| {
        let ordered = ordered(seed, &agreed(ids), known, FULL);
        ordered.order_digest
    };
    let whole = digest(1, &all, &[]);
    assert_eq!(digest(1, &all, &[]), whole);
    assert_ne!(digest(2, &all, &[]), whole, "another order");
    let mut others = all.clone();
    others[7] = numbered("user", 20..21).remove(0);
    assert_ne!(
        digest(1, &others, &[]),
        whole,
        "another id of the same length"
    );
    assert_ne!(digest(1, &all, &all[..1]), whole, "one is known");
}

#[test]
fn the_digests_hold_all_that_came() {
    let rows = agreed(&numbered("user", 0..3));
    let known = numbered("known", 0..3);
    let digests = |rows: &[(String, u64)], known: &[String]| {
        let ordered = ordered(1, rows, known, FULL);
        (ordered.rows_digest, ordered.earlier_digest)
    };
    let whole = digests(&rows, &known);
    assert_eq!(digests(&rows, &known), whole);
    let mut swapped = rows.clone();
    swapped.swap(0, 1);
    let mut withdrawn = rows.clone();
    withdrawn[1].1 = 1;
    for other in [&rows[1..], &swapped, &withdrawn] {
        assert_ne!(digests(other, &known).0, whole.0);
        assert_eq!(digests(other, &known).1, whole.1);
    }
    // Two rows, and one whose id holds the bytes between them.
    let purposes = u64::from_be_bytes(*b"agreed..");
    let two = [("a".to_owned(), purposes), ("b".to_owned(), 1)];
    let one = [("aagreed..b".to_owned(), 1)];
    assert_ne!(digests(&two, &[]).0, digests(&one, &[]).0);
    assert_ne!(digests(&rows, &known[1..]).1, whole.1);
    assert_eq!(digests(&rows, &known[1..]).0, whole.0);
}

#[test]
fn a_store_that_fails_ends_the_intake_and_leaves_nothing() {
    let (rows, known) = (numbered("user", 0..40), numbered("user", 20..100));
    let mut failures = 0;
    loop {
        let store = FolderStore::new();
        store.fail_after(failures);
        let mut intake = intake(1, &store, small());
        let taken = rows.iter().try_for_each(|id| intake.row(id, 1));
        let taken = taken.and_then(|()| known.iter().try_for_each(|id| intake.known(id)));
        let ordered = taken.and_then(|()| intake.finish(APPEND_OWN));
        match ordered.map(|ordered| ordered.taken) {
            Err(SortError::Store(_)) => assert!(store.files().is_empty()),
            Err(other) => panic!("{other:?}"),
            Ok(taken) => break assert_eq!((taken.distinct, taken.mixed_in), (40, 20)),
        }
        failures += 1;
    }
    assert!(failures > 50, "{failures} calls");
}

#[test]
fn debug_shows_no_id() {
    let entry = Entry::for_test("a@b.example", true, false);
    assert_eq!(format!("{entry:?}"), "Entry(now: true, known: false)");
}

fn choices() -> impl Strategy<Value = Choice> {
    let fields = (any::<bool>(), any::<bool>());
    fields.prop_map(|(append, absent)| Choice {
        mode: if append { Mode::Append } else { Mode::Full },
        absent,
    })
}

proptest! {
    /// The slow twin: maps and sets. With no more than 64 earlier ids all of them are drawn.
    #[test]
    fn an_intake_is_sets(
        rows in prop::collection::vec(("[a-d]{1,2}", 0_u64..4), 0..80),
        known in prop::collection::btree_set("[a-d]{1,2}", 0..20),
        choice in choices(),
    ) {
        let mut people: BTreeMap<&str, u64> = BTreeMap::new();
        for (id, mask) in &rows {
            *people.entry(id).or_insert(u64::MAX) &= mask;
        }
        let now: BTreeSet<&str> = people.iter().filter(|(_, mask)| **mask > 0).map(|(id, _)| *id).collect();
        let old: BTreeSet<&str> = known.iter().map(String::as_str).collect();
        let may_be_mixed_in = |id: &&str| now.contains(id) || (choice.absent && !people.contains_key(id));
        let asked: BTreeSet<&str> = now.iter().copied().filter(|id| choice.mode == Mode::Full || !old.contains(id)).collect();
        let mixed: BTreeSet<&str> = old.iter().copied().filter(may_be_mixed_in).filter(|id| !asked.contains(id)).collect();
        let expected: BTreeSet<(String, bool, bool)> = asked.union(&mixed)
            .map(|id| ((*id).to_owned(), now.contains(id), old.contains(id))).collect();

        let known: Vec<String> = known.iter().cloned().collect();
        let ordered = ordered(5, &rows, &known, choice);
        let found = entries(&ordered);
        prop_assert_eq!(found.iter().cloned().collect::<BTreeSet<_>>(), expected);
        let taken = Taken {
            duplicates: (rows.len() - people.len()) as u64,
            without_consent: (people.len() - now.len()) as u64,
            distinct: now.len() as u64,
            known: now.intersection(&old).count() as u64,
            earlier: old.len() as u64,
            mixed_in: mixed.len() as u64,
        };
        prop_assert_eq!(ordered.taken, taken);
    }
}

proptest! {
    /// The slow twin: a map. Whoever is in the data with consent comes, once, and nobody else.
    #[test]
    fn sorted_by_id_each_comes_once(
        rows in prop::collection::vec((0_u32..40, 0_u64..4), 0..120),
        earlier in prop::collection::btree_set(0_u32..50, 0..30),
        absent in any::<bool>(),
        keeps_sequences in any::<bool>(),
    ) {
        let id = |n: &u32| format!("{}{n}@x.example", "user".repeat(3 * (n % 3) as usize));
        let store = FolderStore::new();
        let memory = Memory { keeps_sequences, ..small() };
        let mut intake = Intake::by_id(&store, memory, &mut rng());
        let mut agreed: BTreeMap<String, u64> = BTreeMap::new();
        for (n, mask) in &rows {
            intake.row(&id(n), *mask).unwrap();
            *agreed.entry(id(n)).or_insert(u64::MAX) &= mask;
        }
        let known: BTreeSet<_> = earlier.iter().map(id).collect();
        known.iter().for_each(|id| intake.known(id).unwrap());
        let ordered = intake.finish(Choice { mode: Mode::Full, absent }).unwrap();
        let expected: Vec<_> = agreed.iter()
            .filter(|(_, mask)| **mask != 0)
            .map(|(id, _)| (id.clone(), true, known.contains(id)))
            .collect();
        prop_assert_eq!(entries(&ordered), expected.clone());
        let taken = ordered.taken;
        prop_assert_eq!(taken.distinct, expected.len() as u64);
        prop_assert_eq!(taken.known, expected.iter().filter(|(.., known)| *known).count() as u64);
        prop_assert_eq!(taken.without_consent, (agreed.len() - expected.len()) as u64);
        prop_assert_eq!(taken.duplicates, (rows.len() - agreed.len()) as u64);
        prop_assert_eq!((taken.earlier, taken.mixed_in), (known.len() as u64, 0));
        prop_assert_eq!(ordered.order_digest, [0; 32]);
    }
}
