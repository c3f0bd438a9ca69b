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

/// The look-ups of a set of ids.
pub struct Lookups<'a> {
    terms: &'a LinkTerms,
    evaluated: &'a [Output],
    chains: BTreeMap<LinkLabel, Chain>,
    found: Vec<BTreeMap<PurposeName, BTreeSet<Pseudonym>>>,
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

    /// What the store answered to the round; of what is over nothing is taken.
    ///
    /// # Errors
    /// [`LinkError`], but neither `TooMany` nor `Expired`.
    pub fn answered(
        &mut self,
        entries: impl IntoIterator<Item = Entry>,
        today: Date,
    ) -> Result<(), LinkError> {
        let mut asked = std::mem::take(&mut self.chains);
        for entry in entries {
            let chain = asked.remove(&entry.label).ok_or(LinkError::NotAsked)?;
            self.take(chain, &entry, today)?;
        }
        Ok(())
    }

    fn take(&mut self, chain: Chain, entry: &Entry, today: Date) -> Result<(), LinkError> {
        let Some(output) = self.evaluated.get(chain.id) else {
            return Err(LinkError::NotAsked);
        };
        let place = (&chain.purpose, &chain.source, chain.number);
        match self.terms.open(output, place, entry, today) {
            Ok(linked) => {
                if let Some(found) = self.found.get_mut(chain.id) {
                    let of = found.entry(chain.purpose.clone()).or_default();
                    of.insert(linked.pseudonym);
                }
            }
            Err(LinkError::Expired { .. }) => {}
            Err(error) => return Err(error),
        }
        let number = chain.number + 1;
        if number < MAX_EDGES as u64 {
            let label = (self.terms).label(output, &chain.purpose, &chain.source, number);
            self.chains.insert(label, Chain { number, ..chain });
        }
        Ok(())
    }

    /// What came of each id, in order. A pseudonym counts that was found under every purpose of
    /// the agreement, all of which a crosswalk serves.
    #[must_use]
    pub fn finish(self) -> Vec<Resolved> {
        let purposes = &self.terms.purposes;
        let resolved = self.found.iter().map(|found| {
            let mut under = purposes.iter().map(|purpose| found.get(purpose));
            let first = under.next().flatten().cloned().unwrap_or_default();
            let common = under.fold(first, |common, found| match found {
                Some(found) => &common & found,
                None => BTreeSet::new(),
            });
            match (common.first(), common.len()) {
                (Some(one), 1) => Resolved::One(*one),
                (None, _) => Resolved::None,
                (Some(_), _) => Resolved::Ambiguous,
            }
        });
        resolved.collect()
    }
}
