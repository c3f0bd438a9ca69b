//! What became of consent classes of few people.

use std::collections::BTreeSet;

use incamera_types::ConsentClass;

/// Consent classes of few people, and what became of these. For the owner's eyes only: it has
/// exact counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SmallClasses {
    /// People sealed as of a class with fewer purposes.
    pub people_moved: u64,
    /// Their rows.
    pub rows_moved: u64,
    /// People left out, as there is no such class.
    pub people_left_out: u64,
    /// Their rows.
    pub rows_left_out: u64,
    /// The classes of those moved.
    pub moved: BTreeSet<ConsentClass>,
    /// The classes of those left out.
    pub left_out: BTreeSet<ConsentClass>,
}

impl SmallClasses {
    /// Notes a class and its people, who are moved or else left out.
    pub(crate) fn note(&mut self, class: &ConsentClass, moved: bool, people: u64) {
        let (classes, count) = match moved {
            true => (&mut self.moved, &mut self.people_moved),
            false => (&mut self.left_out, &mut self.people_left_out),
        };
        if people > 0 {
            classes.insert(class.clone());
            *count += people;
        }
    }
}
