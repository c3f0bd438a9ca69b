use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// People by key, each with a value a kind or none.
type Side = BTreeMap<u8, Vec<Option<u8>>>;
/// Pairs and people alone.
type Joint = BTreeSet<(Option<u8>, Option<u8>)>;

fn key(byte: u8) -> Key {
    let mut key = [0; 16];
    // The order of keys is that of bytes, not by the first alone.
    key[0] = byte / 16;
    key[15] = byte;
    key
}

fn register(side: &Side, kinds: usize) -> Register {
    let mut register = Register::new(kinds);
    for (person, values) in side {
        let values = values.iter().map(|value| value.map(key));
        assert!(register.push(key(*person), values));
    }
    register
}

fn joint(linked: &[(u8, u8)], a: &Side, b: &Side) -> Joint {
    let mut all: Joint = linked.iter().map(|(a, b)| (Some(*a), Some(*b))).collect();
    let alone = |side: &Side, taken: BTreeSet<u8>| {
        let left = side.keys().filter(|one| !taken.contains(one)).copied();
        left.collect::<Vec<_>>()
    };
    let of_a = alone(a, linked.iter().map(|(a, _)| *a).collect());
    let of_b = alone(b, linked.iter().map(|(_, b)| *b).collect());
    all.extend(of_a.into_iter().map(|a| (Some(a), None)));
    all.extend(of_b.into_iter().map(|b| (None, Some(b))));
    all
}

/// What the code under test makes of two sides.
fn real(a: &Side, b: &Side, kinds: usize) -> Joint {
    let (left, right) = (register(a, kinds), register(b, kinds));
    let linked = link(&left, &right);
    let pairs = right.people.iter().zip(&linked);
    let pairs = pairs.filter_map(|(b, a)| Some(((*a)?[15], b[15])));
    joint(&pairs.collect::<Vec<_>>(), a, b)
}

/// More values than any side has.
const VALUES: u8 = 16;

/// How a group of one value is linked.
#[derive(Clone, Copy, PartialEq)]
enum Pick {
    First,
    /// Not the rule: the second of a side, where there is one.
    Second,
    /// Not the rule: nobody, where a side has several.
    Unique,
}

/// The rule again, written to be read: for each kind and value, who of each side has it.
fn naive(a: &Side, b: &Side, kinds: usize, pick: Pick) -> Joint {
    let mut linked: Vec<(u8, u8)> = Vec::new();
    for kind in 0..kinds {
        let free_a: Vec<u8> = free(a, |one| linked.iter().any(|(a, _)| *a == one));
        let free_b: Vec<u8> = free(b, |one| linked.iter().any(|(_, b)| *b == one));
        for value in 0..VALUES {
            let having = |side: &Side, free: &[u8]| -> Vec<u8> {
                let has = |one: &&u8| side[*one][kind] == Some(value);
                free.iter().filter(has).copied().collect()
            };
            let (of_a, of_b) = (having(a, &free_a), having(b, &free_b));
            if pick == Pick::Unique && (of_a.len() > 1 || of_b.len() > 1) {
                continue;
            }
            let taken = |of: &[u8]| match pick {
                Pick::Second => of.get(1).or(of.first()).copied(),
                _ => of.first().copied(),
            };
            linked.extend(taken(&of_a).zip(taken(&of_b)));
        }
    }
    joint(&linked, a, b)
}

fn free(side: &Side, taken: impl Fn(u8) -> bool) -> Vec<u8> {
    side.keys().filter(|one| !taken(**one)).copied().collect()
}

/// Numbers that are the same at each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % most
    }

    fn side(&mut self, kinds: usize, values: usize) -> Side {
        let people = 1 + self.below(2 * kinds + 2);
        let mut side = Side::new();
        while side.len() < people {
            let value = |numbers: &mut Self| match numbers.below(values + 1) {
                0 => None,
                value => Some(value as u8),
            };
            let person = self.below(100) as u8;
            side.insert(person, (0..kinds).map(|_| value(self)).collect());
        }
        side
    }

    fn sides(&mut self, kinds: usize) -> (Side, Side) {
        let values = 2 + self.below(2 * kinds + 2);
        (self.side(kinds, values), self.side(kinds, values))
    }
}

/// Everything that one person's coming or going changes, on either side.
fn reach(a: &Side, b: &Side, rule: impl Fn(&Side, &Side) -> Joint) -> usize {
    let all = rule(a, b);
    let without = |side: &Side, person: u8| {
        let mut less = side.clone();
        less.remove(&person);
        less
    };
    let of_a = a.keys().map(|one| rule(&without(a, *one), b));
    let of_b = b.keys().map(|one| rule(a, &without(b, *one)));
    let less = of_a.chain(of_b);
    let reach = |less: Joint| {
        all.difference(&less)
            .count()
            .max(less.difference(&all).count())
    };
    less.map(reach).max().unwrap_or(0)
}

/// The most over so many pairs of sides.
fn worst(kinds: usize, pairs: usize, rule: impl Fn(&Side, &Side) -> Joint) -> usize {
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15 + kinds as u64);
    let reaches = (0..pairs).map(|_| {
        let (a, b) = numbers.sides(kinds);
        reach(&a, &b, &rule)
    });
    reaches.max().unwrap_or(0)
}

#[test]
fn links_as_the_rule_says() {
    let mut numbers = Numbers(7);
    for round in 0..4_000 {
        let kinds = 1 + round % 4;
        let (a, b) = numbers.sides(kinds);
        assert_eq!(
            real(&a, &b, kinds),
            naive(&a, &b, kinds, Pick::First),
            "{a:?} {b:?}"
        );
    }
}

#[test]
fn somebody_changes_one_joint_person_more_than_there_are_kinds() {
    for kinds in 1..=3 {
        let most = worst(kinds, 5_000, |a, b| real(a, b, kinds));
        assert_eq!(most, kinds + 1, "{kinds} kinds: met, and never more");
    }
}

/// Somebody whom both sides know, and who goes from both: the values need not be the same.
#[test]
fn who_goes_from_both_sides_changes_twice_as_many() {
    for kinds in 1..=2 {
        let (mut numbers, mut most) = (Numbers(1234), 0);
        for _ in 0..30_000 {
            let (a, b) = numbers.sides(kinds);
            let all = real(&a, &b, kinds);
            for of_a in a.keys() {
                let mut less = a.clone();
                less.remove(of_a);
                most = most.max(reach_from(&all, &less, &b, kinds));
            }
        }
        assert!(most > kinds + 1, "{kinds} kinds: {most}");
        assert!(most <= 2 * (kinds + 1), "{kinds} kinds: {most}");
        if kinds == 1 {
            assert_eq!(most, 4, "met");
        }
    }
}

/// What anybody of `b` changes who goes too.
fn reach_from(all: &Joint, a: &Side, b: &Side, kinds: usize) -> usize {
    let reaches = b.keys().map(|of_b| {
        let mut less = b.clone();
        less.remove(of_b);
        let less = real(a, &less, kinds);
        let (gone, come) = (all.difference(&less), less.difference(all));
        gone.count().max(come.count())
    });
    reaches.max().unwrap_or(0)
}

#[test]
fn other_rules_reach_farther() {
    for kinds in 2..=3 {
        let unique = worst(kinds, 1_500, |a, b| naive(a, b, kinds, Pick::Unique));
        assert!(unique > kinds + 1, "unique values only: {unique}");
    }
    let second = worst(1, 1_500, |a, b| naive(a, b, 1, Pick::Second));
    assert!(second > 2, "the second of each side: {second}");
}

/// Somebody who gets other ids, and is otherwise another too, is one who goes and one who comes:
/// farther than one of them, and not quite as far as both.
#[test]
fn other_ids_reach_farther_than_who_goes() {
    for kinds in 1..=2 {
        let (mut numbers, mut most) = (Numbers(99), 0);
        for _ in 0..3_000 {
            let (a, b) = numbers.sides(kinds);
            let before = real(&a, &b, kinds);
            let other = numbers.side(kinds, 4).into_values().next().unwrap();
            for person in a.keys() {
                let mut changed = a.clone();
                changed.insert(*person, other.clone());
                let after = real(&changed, &b, kinds);
                let same = |one: &&(Option<u8>, Option<u8>)| one.0 != Some(*person);
                let gone = before
                    .iter()
                    .filter(|one| !same(one) || !after.contains(one));
                let come = after
                    .iter()
                    .filter(|one| !same(one) || !before.contains(one));
                most = most.max(gone.count().max(come.count()));
            }
        }
        assert!(most > kinds + 1, "{kinds} kinds: {most}");
        assert!(most <= 2 * kinds + 1, "{kinds} kinds: {most}");
    }
}

#[test]
fn two_people_with_one_telephone() {
    let (email, phone, other) = (Some(1), Some(2), Some(3));
    let a = Side::from([(1, vec![None, phone]), (2, vec![email, phone])]);
    let b = Side::from([(8, vec![other, phone]), (9, vec![email, None])]);
    let found = real(&a, &b, 2);
    let expected = Joint::from([(Some(1), Some(8)), (Some(2), Some(9))]);
    assert_eq!(found, expected, "the e-mail first, then the telephone");
    // Without the e-mail the lesser key has the telephone, and the other nobody.
    let a = Side::from([(1, vec![None, phone]), (2, vec![None, phone])]);
    let found = real(&a, &b, 2);
    let expected = [(Some(1), Some(8)), (Some(2), None), (None, Some(9))];
    assert_eq!(found, Joint::from(expected));
}

#[test]
fn who_has_nothing_is_alone() {
    let nobody = Side::from([(1, vec![None, None]), (2, vec![None, None])]);
    let alone = Joint::from([
        (Some(1), None),
        (Some(2), None),
        (None, Some(1)),
        (None, Some(2)),
    ]);
    assert_eq!(
        real(&nobody, &nobody, 2),
        alone,
        "no value is no common value"
    );
    assert!(
        link(&Register::new(2), &register(&nobody, 2))
            .iter()
            .all(Option::is_none)
    );
    assert!(link(&register(&nobody, 2), &Register::new(2)).is_empty());
}

#[test]
fn a_register_is_in_order() {
    let mut register = Register::new(1);
    assert!(register.push(key(2), std::iter::once(None)));
    for earlier in [1, 2] {
        assert!(!register.push(key(earlier), std::iter::once(Some(key(9)))));
    }
    assert_eq!(register.people, [key(2)]);
    assert_eq!(register.values, [vec![None]]);
}

/// So many people that a search among all for each would take minutes.
#[test]
fn many_people_are_linked_in_one_pass() {
    let side = |count: u32, shift: u32| {
        let mut register = Register::new(2);
        for at in 0..count {
            let value = |kind: u32| {
                let mut value = [0; 16];
                value[..4].copy_from_slice(&((at + shift) / 2 + kind).to_le_bytes());
                Some(value)
            };
            let mut person = [0; 16];
            person[..4].copy_from_slice(&at.to_be_bytes());
            assert!(register.push(person, [value(0), value(1)].into_iter()));
        }
        register
    };
    let (a, b) = (side(100_000, 0), side(100_000, 1));
    let linked = link(&a, &b).into_iter().flatten().count();
    assert!(linked > 75_000, "{linked}");
}
