//! Consent classes of few people after a change, and what they are written as.
//!
//! The rule is the one of sealing ([`merge_down`]). Of each class only the first people are
//! remembered, as many as make it no small one: so every part of a small class is looked at, and
//! of a large one only as many as it takes.

use std::collections::{BTreeMap, BTreeSet};

use incamera_types::{ConsentClass, Pseudonym};

use super::RewriteJob;
use crate::classify::{Crowd, merge_down};
use crate::few::SmallClasses;

/// People of a class: all of them, or enough.
#[derive(Clone, Default)]
pub(super) struct Few(BTreeSet<Pseudonym>);

impl Crowd for Few {
    fn people(&self) -> u64 {
        self.0.len() as u64
    }

    /// A person may have rows in both.
    fn join(&mut self, more: &Self) {
        self.0.extend(&more.0);
    }
}

/// The people of each class, as they are after the change.
pub(super) struct Classes {
    least: u64,
    people: BTreeMap<ConsentClass, Few>,
}

impl Classes {
    /// Where nobody says what each person agreed to, no class is too small. A data set may get
    /// its first register just now.
    pub(super) fn new(job: &RewriteJob<'_>) -> Self {
        let said = job.register.is_some() || job.manifest.own_consents();
        Self {
            least: if said { job.class_people } else { 1 },
            people: BTreeMap::new(),
        }
    }

    /// Whether it is known that `class` is no small one.
    pub(super) fn enough(&self, class: &ConsentClass) -> bool {
        let people = self.people.get(class).map_or(0, Few::people);
        self.least <= 1 || people >= self.least
    }

    /// Notes that a person has rows of `class`.
    pub(super) fn note(&mut self, class: &ConsentClass, person: Pseudonym) {
        if self.enough(class) {
            return;
        }
        match self.people.get_mut(class) {
            Some(people) => people.0.insert(person),
            None => {
                let first = Few(BTreeSet::from([person]));
                self.people.insert(class.clone(), first).is_none()
            }
        };
    }

    /// What becomes of classes of few people, once all people are noted.
    pub(super) fn merged(self) -> Merged {
        let (classes, people): (Vec<_>, Vec<_>) = self.people.into_iter().unzip();
        let into = merge_down(&classes, &people, self.least, &BTreeSet::new());
        let mut merged = Merged::default();
        for (at, (class, into)) in classes.iter().zip(into).enumerate() {
            let into = into.and_then(|into| classes.get(into));
            if into == Some(class) {
                continue;
            }
            let few = people.get(at).map_or(0, Few::people);
            merged.small.note(class, into.is_some(), few);
            merged.into.insert(class.clone(), into.cloned());
        }
        merged
    }
}

/// What classes of few people are written as.
#[derive(Default)]
pub(super) struct Merged {
    into: BTreeMap<ConsentClass, Option<ConsentClass>>,
    pub(super) small: SmallClasses,
}

impl Merged {
    /// The class that rows of `class` are written in; none if they are left out.
    pub(super) fn written<'c>(&'c self, class: &'c ConsentClass) -> Option<&'c ConsentClass> {
        self.into.get(class).map_or(Some(class), Option::as_ref)
    }
}
