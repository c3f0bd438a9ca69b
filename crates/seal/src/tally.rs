//! The people that rows are about: how many, in which class, with how many rows.

use std::collections::HashMap;

use incamera_types::{ConsentClass, DatasetSpec, Pseudonym};

use crate::classify::{Size, opens};
use crate::consents::{Classes, PersonClasses};
use crate::repeats::Repeats;

/// People noted anew before all are brought in order.
const SLACK_PEOPLE: usize = 1 << 20;

/// A person.
#[derive(Clone, Copy)]
struct Seen {
    person: Pseudonym,
    class: u32,
    /// Rows that are kept.
    rows: u64,
    /// Whether more than one row names the person.
    again: bool,
    /// Whether rows of the person say different classes.
    differs: bool,
}

/// People in order of pseudonym, some 40 bytes each.
pub(crate) struct Tally {
    classes: Classes,
    seen: Vec<Seen>,
    /// How many of `seen` are in order, each person once.
    in_order: usize,
}

impl Tally {
    /// Of people whose classes are some of these, or are said later.
    pub(crate) fn new(classes: &[ConsentClass]) -> Self {
        let mut known = Classes::default();
        for class in classes {
            known.number(class.clone());
        }
        Self {
            classes: known,
            seen: Vec::new(),
            in_order: 0,
        }
    }

    /// The numbers of `classes` here.
    pub(crate) fn numbers(&mut self, classes: Vec<ConsentClass>) -> Vec<u32> {
        let number = |class| self.classes.number(class);
        classes.into_iter().map(number).collect()
    }

    /// Notes that `rows` rows about `person` are kept, of one class; none says that a row is
    /// there and is left out.
    pub(crate) fn note(&mut self, person: Pseudonym, class: u32, rows: u64) {
        self.seen.push(Seen {
            person,
            class,
            rows,
            again: rows > 1,
            differs: false,
        });
        if self.seen.len() > 2 * self.in_order + SLACK_PEOPLE {
            self.order();
        }
    }

    /// Brings all in order, each person once: of different classes counts what both allow.
    fn order(&mut self) {
        // Stable, and quick where people come in order already.
        self.seen.sort_by_key(|seen| seen.person);
        let classes = &mut self.classes;
        self.seen.dedup_by(|later, kept| {
            if later.person != kept.person {
                return false;
            }
            kept.differs |= later.differs || kept.class != later.class;
            kept.class = classes.both(kept.class, later.class);
            kept.rows += later.rows;
            kept.again = true;
            true
        });
        self.in_order = self.seen.len();
    }

    /// All people, once everything is noted.
    pub(crate) fn finish(mut self) -> People {
        self.order();
        People {
            classes: self.classes.list,
            seen: self.seen,
        }
    }
}

/// All people.
pub(crate) struct People {
    pub(crate) classes: Vec<ConsentClass>,
    seen: Vec<Seen>,
}

impl People {
    /// How many people and kept rows each class has, by number; nobody in a class that no
    /// column opens.
    pub(crate) fn sizes(&self, spec: &DatasetSpec) -> Vec<Size> {
        let mut sizes = vec![Size::default(); self.classes.len()];
        for seen in &self.seen {
            let at = usize::try_from(seen.class).unwrap_or(usize::MAX);
            if let Some(size) = sizes.get_mut(at) {
                *size += Size {
                    people: 1,
                    rows: seen.rows,
                };
            }
        }
        for (size, class) in sizes.iter_mut().zip(&self.classes) {
            if !opens(spec, class) {
                *size = Size::default();
            }
        }
        sizes
    }

    /// Kept rows of people of whom no column may be opened, all their rows considered.
    pub(crate) fn rows_without_consent(&self, spec: &DatasetSpec) -> u64 {
        let closed: Vec<bool> = self
            .classes
            .iter()
            .map(|class| !opens(spec, class))
            .collect();
        let closed = |seen: &&Seen| {
            let at = usize::try_from(seen.class).unwrap_or(usize::MAX);
            closed.get(at).copied().unwrap_or(true)
        };
        self.seen.iter().filter(closed).map(|seen| seen.rows).sum()
    }

    /// Those whose rows say different classes, with what all of these allow.
    pub(crate) fn moved(&self) -> HashMap<Pseudonym, u32> {
        let moved = self.seen.iter().filter(|seen| seen.differs);
        moved.map(|seen| (seen.person, seen.class)).collect()
    }

    /// How often people are named again.
    pub(crate) fn repeats(&self) -> Repeats {
        Repeats {
            people: self.seen.iter().filter(|seen| seen.again).count() as u64,
            conflicting: self.seen.iter().filter(|seen| seen.differs).count() as u64,
        }
    }

    /// What each person agreed to.
    pub(crate) fn consents(&self) -> PersonClasses {
        let rows = self.seen.iter().map(|seen| (seen.person, seen.class));
        PersonClasses::in_order(self.classes.clone(), rows.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_counted_once() {
        let class = |names: &str| -> ConsentClass {
            names.split(',').map(|name| name.parse().unwrap()).collect()
        };
        let mut tally = Tally::new(&[]);
        let numbers = tally.numbers(vec![class("ads,safety"), class("ads"), class("safety")]);
        let person = |number| Pseudonym::from_bytes([number; 16]);
        for (number, class) in [
            (3, 0),
            (1, 0),
            (2, 0),
            (2, 0),
            (3, 1),
            (3, 1),
            (4, 1),
            (4, 2),
        ] {
            tally.note(person(number), numbers[class], 1);
        }
        let people = tally.finish();
        let expected = Repeats {
            people: 3,
            conflicting: 2,
        };
        assert_eq!(people.repeats(), expected);
        let consents = people.consents();
        let said = |number| consents.number(&person(number)).unwrap();
        assert_eq!(people.classes[said(3) as usize], class("ads"));
        assert!(people.classes[said(4) as usize].is_empty());
        assert_eq!(people.moved().len(), 2);
    }
}
