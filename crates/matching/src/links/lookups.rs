//! Look-ups of many ids together, in rounds.
//!
//! A round asks for one entry of each chain (an id, a purpose, a source) that has not ended, in
//! random order. The store so sees how many chains there are and how many go on, and not which
//! labels are of one id.

use std::collections::{BTreeMap, BTreeSet};

use incamera_oprf::suite::Output;
use incamera_types::{Date, LinkLabel, PartyName, Pseudonym, PurposeName};
use rand_core::CryptoRng;

use super::{Entry, LinkError, LinkTerms, MAX_EDGES, Resolved};

/// Where a chain of look-ups has come to.
struct Chain {
    id: usize,
    purpose: PurposeName,
    source: PartyName,
    number: u64,
}

impl Chain {
    /// Whether an entry is what was asked for: every owner can store something under a label
    /// that it knows.
    fn is_of(&self, entry: &Entry) -> bool {
        (&self.purpose, &self.source) == (&entry.purpose, &entry.source)
    }
}

/// Entries of one label, by what stands in them, and the providers that have them.
type Alike = BTreeMap<(Date, Vec<u8>), BTreeSet<PartyName>>;

/// Pseudonyms under one purpose, and the last day of each.
type Found = BTreeMap<Pseudonym, Date>;

/// What was answered and passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Entries that were not asked for, or of another than the source.
    pub foreign: u64,
    /// Entries of the source that do not open.
    pub spoilt: u64,
    /// Entries that too few providers have alike.
    pub at_too_few: u64,
}

impl std::ops::AddAssign for Passed {
    fn add_assign(&mut self, more: Self) {
        self.foreign += more.foreign;
        self.spoilt += more.spoilt;
        self.at_too_few += more.at_too_few;
    }
}

/// The look-ups of a set of ids.
pub struct Lookups<'a> {
    terms: &'a LinkTerms,
    evaluated: &'a [Output],
    chains: BTreeMap<LinkLabel, Chain>,
    found: Vec<BTreeMap<PurposeName, Found>>,
    passed: Passed,
}

impl<'a> Lookups<'a> {
    /// Of these ids, of which `F` is given, at all of these sources.
    #[must_use]
    pub fn new(terms: &'a LinkTerms, evaluated: &'a [Output], sources: &[PartyName]) -> Self {
        let mut lookups = Self {
            terms,
            evaluated,
            chains: BTreeMap::new(),
            found: vec![BTreeMap::new(); evaluated.len()],
            passed: Passed::default(),
        };
        for (id, output) in evaluated.iter().enumerate() {
            for purpose in terms.purposes.iter() {
                for source in sources {
                    let label = terms.label(output, purpose, source, 0);
                    let chain = Chain {
                        id,
                        purpose: purpose.clone(),
                        source: source.clone(),
                        number: 0,
                    };
                    lookups.chains.insert(label, chain);
                }
            }
        }
        lookups
    }

    /// What to ask for in this round, in random order; nothing once all is known.
    pub fn round(&self, rng: &mut impl CryptoRng) -> Vec<LinkLabel> {
        let keyed = self.chains.keys().map(|label| (rng.next_u64(), *label));
        let mut labels: Vec<_> = keyed.collect();
        labels.sort_unstable();
        labels.into_iter().map(|(_, label)| label).collect()
    }

    /// What stores answered to the round, each by its provider: an entry counts that at least
    /// `needed` of them have alike, so that fewer can neither bring back what its source took
    /// away nor, while the others answer, hide what is there. Entries that were not asked for,
    /// that another than the source stored under its label, or that do not open, are passed
    /// over and counted; of what is over nothing is taken.
    pub fn answered(
        &mut self,
        answers: impl IntoIterator<Item = (PartyName, Vec<Entry>)>,
        needed: usize,
        today: Date,
    ) {
        let asked = std::mem::take(&mut self.chains);
        let mut stored: BTreeMap<LinkLabel, Alike> = BTreeMap::new();
        for (provider, entries) in answers {
            for entry in entries {
                let chain = asked.get(&entry.label);
                if !chain.is_some_and(|chain| chain.is_of(&entry)) {
                    self.passed.foreign += 1;
                    continue;
                }
                let alike = stored.entry(entry.label).or_default();
                let by = alike.entry((entry.expires, entry.value)).or_default();
                by.insert(provider.clone());
            }
        }
        for (label, chain) in asked {
            if let Some(alike) = stored.remove(&label) {
                self.take(chain, label, alike, needed, today);
            }
        }
    }

    /// Takes what counts of the entries under one label of a chain, which goes on then: one that
    /// its source spoilt must not hide those behind it. What too few have alike ends it, so that
    /// nobody is kept asking by entries that are made up.
    fn take(&mut self, chain: Chain, label: LinkLabel, alike: Alike, needed: usize, today: Date) {
        let Some(output) = self.evaluated.get(chain.id) else {
            return;
        };
        let mut goes_on = false;
        for ((expires, value), by) in alike {
            if by.len() < needed {
                self.passed.at_too_few += 1;
                continue;
            }
            goes_on = true;
            let (purpose, source) = (chain.purpose.clone(), chain.source.clone());
            let entry = Entry {
                label,
                purpose,
                source,
                expires,
                value,
            };
            let place = (&chain.purpose, &chain.source, chain.number);
            match self.terms.open(output, place, &entry, today) {
                Ok(linked) => {
                    if let Some(found) = self.found.get_mut(chain.id) {
                        let of = found.entry(chain.purpose.clone()).or_default();
                        let until = of.entry(linked.pseudonym).or_insert(linked.expires);
                        *until = linked.expires.max(*until);
                    }
                }
                Err(LinkError::Expired { .. }) => {}
                Err(_) => self.passed.spoilt += 1,
            }
        }
        let number = chain.number + 1;
        if goes_on && number < MAX_EDGES as u64 {
            let label = (self.terms).label(output, &chain.purpose, &chain.source, number);
            self.chains.insert(label, Chain { number, ..chain });
        }
    }

    /// What came of each id, in order, and what was passed over. A pseudonym counts that was
    /// found under every purpose of the agreement, all of which a crosswalk serves, and as long
    /// as it stands under all of them.
    #[must_use]
    pub fn finish(self) -> (Vec<Resolved>, Passed) {
        let purposes = &self.terms.purposes;
        let resolved = self.found.iter().map(|found| {
            let mut under = purposes.iter().map(|purpose| found.get(purpose));
            let first = under.next().flatten().cloned().unwrap_or_default();
            let common = under.fold(first, |common, found| both(common, found));
            match (common.first_key_value(), common.len()) {
                (Some((one, until)), 1) => Resolved::One(*one, *until),
                (None, _) => Resolved::None,
                (Some(_), _) => Resolved::Ambiguous,
            }
        });
        (resolved.collect(), self.passed)
    }
}

/// What stands under both purposes, as long as it stands under both.
fn both(common: Found, other: Option<&Found>) -> Found {
    let until = |(pseudonym, until): (Pseudonym, Date)| {
        let other = other?.get(&pseudonym)?;
        Some((pseudonym, until.min(*other)))
    };
    common.into_iter().filter_map(until).collect()
}
