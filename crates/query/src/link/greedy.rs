//! The rule `waterfall`: which two people, one of each owner, are one.
//!
//! # Rule
//! Kind by kind, in the agreement's order, among the people of either side who are not linked
//! yet: of each value that both sides have, the first person of each side, in order of their
//! keys, is linked; nobody else who has that value is. Who is left is a person alone. So of two
//! people with one telephone one is linked by it, and the other by another kind or not at all.
//!
//! # Claim: stability
//! A *joint person* is a pair, or somebody alone. With K kinds, somebody who comes or goes on
//! either side changes at most K + 1 joint persons: at most so many are there only with them,
//! and at most so many only without. So many do change in the worst case.
//!
//! Before each kind, the people not linked yet differ in exactly one person x, on one side, in
//! one of the two runs; before the first x is who comes or goes. Within a kind only those who
//! share x's value are touched:
//!
//! | case | what differs after | the next x |
//! |---|---|---|
//! | x has no value, nobody of the other side has it, or x is not first of its side | nothing | x |
//! | x is first, and without x it was y, linked to b | (x, b) is there instead of (y, b) | y |
//! | x is its side's only one, and b stands across | (x, b) is there | b, in the other run |
//!
//! So each kind changes at most one pair in each run, and in the end one person alone is left
//! over: with somebody more at most K + 1 joint persons are there only then, and at most K only
//! without, for the one who is left over is there with them unless the last x came by the third
//! case.
//!
//! Somebody whom both sides know and who goes from both changes at most 2 (K + 1), one side after
//! the other, and so many where the sides have different values of theirs. Other values of one
//! side's person are a going and a coming: at most K + 1 and K.
//!
//! Leaving out values that several people have would look safer and is not: one more person
//! with a value then unlinks others, and who was unlinked competes at the next kind.

/// A person's key, or a pseudonym of some kind.
pub(crate) type Key = [u8; 16];

/// One owner's people in order of key, and of each kind what they have.
pub(crate) struct Register {
    people: Vec<Key>,
    /// By kind; one entry a person.
    values: Vec<Vec<Option<Key>>>,
}

impl Register {
    /// Nobody, of so many kinds.
    pub(crate) fn new(kinds: usize) -> Self {
        Self {
            people: Vec::new(),
            values: vec![Vec::new(); kinds],
        }
    }

    /// Adds somebody; false, and nobody added, unless they come after all others.
    pub(crate) fn push(&mut self, person: Key, values: impl Iterator<Item = Option<Key>>) -> bool {
        if self.people.last().is_some_and(|last| *last >= person) {
            return false;
        }
        self.people.push(person);
        for (column, value) in self
            .values
            .iter_mut()
            .zip(values.chain(std::iter::repeat(None)))
        {
            column.push(value);
        }
        true
    }

    /// The people, in order.
    pub(crate) fn into_people(self) -> Vec<Key> {
        self.people
    }
}

/// Of each person of `b`, in order, the person of `a` that is the same.
pub(crate) fn link(a: &Register, b: &Register) -> Vec<Option<Key>> {
    let mut free = vec![true; a.people.len()];
    let mut linked: Vec<Option<Key>> = vec![None; b.people.len()];
    for (of_a, of_b) in a.values.iter().zip(&b.values) {
        let left = first_of_each(of_a, |at| free.get(at) == Some(&true));
        let right = first_of_each(of_b, |at| linked.get(at) == Some(&None));
        let mut left = left.into_iter().peekable();
        for (value, at_b) in right {
            while left.next_if(|(other, _)| *other < value).is_some() {}
            let Some((_, at_a)) = left.next_if(|(other, _)| *other == value) else {
                continue;
            };
            if let (Some(free), Some(linked)) = (free.get_mut(at_a), linked.get_mut(at_b)) {
                *free = false;
                *linked = a.people.get(at_a).copied();
            }
        }
    }
    linked
}

/// The values that people have who are `active`, in order, each with the first who has it.
fn first_of_each(values: &[Option<Key>], active: impl Fn(usize) -> bool) -> Vec<(Key, usize)> {
    let having = values.iter().enumerate();
    let having = having.filter_map(|(at, value)| Some(((*value)?, at)));
    let mut having: Vec<(Key, usize)> = having.filter(|(_, at)| active(*at)).collect();
    having.sort_unstable();
    having.dedup_by_key(|(value, _)| *value);
    having
}

#[cfg(test)]
#[path = "greedy_tests.rs"]
mod tests;
