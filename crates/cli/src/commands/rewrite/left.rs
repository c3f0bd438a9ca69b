//! What lies beside the data sets that a command goes through: keys of such as nobody can use any
//! more, which are destroyed, and of others, which are named.

use std::collections::BTreeSet;

use incamera_seal::destroy_all;
use incamera_types::{AgreementId, DatasetName, IdKind};
use serde_json::{Value, json};

use super::Work;
use super::chosen::Chosen;
use super::people::OWN;
use crate::failure::{Context, Failure};

const GONE: &str = "the agreement no longer has it";
const STALE: &str = "it was sealed under another matching epoch, matching run or number of partitions, and is to be sealed again";

/// Data sets beside those that a command went through.
pub struct Left {
    dropped: Vec<Dropped>,
    /// What to do about those that were left as they are.
    untouched: Vec<String>,
}

/// A data set that loses all its keys.
struct Dropped {
    dataset: DatasetName,
    why: &'static str,
    keys: usize,
    folder: Option<String>,
}

impl Work<'_> {
    /// Data sets that the ring has purpose keys of, and the agreement no longer gives the party.
    pub(super) fn dropped(&self) -> BTreeSet<DatasetName> {
        let (me, agreement) = (self.folder.name(), self.agreement());
        let own = |name: &DatasetName| {
            let spec = agreement.datasets.get(name);
            spec.is_some_and(|spec| &spec.owner == me && !spec.public)
        };
        let names = self.datasets_under(&agreement.id);
        names.into_iter().filter(|name| !own(name)).collect()
    }

    /// For the question before it.
    pub(super) fn and_shut(&self, chosen: &Chosen) -> String {
        let stale = chosen.stale.iter().map(|(name, _)| name.clone());
        let mut text = String::new();
        for (names, why) in [(self.dropped(), GONE), (stale.collect(), STALE)] {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            if !names.is_empty() {
                text += &format!("; so will all keys of {}: {why}", names.join(", "));
            }
        }
        text
    }

    /// Destroys the keys of what the agreement no longer has, and says what else there is;
    /// `kind` is the kind of id by which people were looked up. People cannot be taken out of
    /// what was sealed under another matching epoch: its keys are destroyed too.
    pub(super) fn leave(
        &mut self,
        kind: Option<&IdKind>,
        chosen: &Chosen,
        dry_run: bool,
    ) -> Result<Left, Failure> {
        let id = self.agreement().id;
        let mut left = Left::beside(chosen);
        let gone = self.dropped().into_iter().map(|name| (name, GONE));
        let stale = chosen.stale.iter().filter(|_| kind.is_some());
        let stale = stale.map(|(name, _)| (name.clone(), STALE));
        for (dataset, why) in gone.chain(stale).collect::<Vec<_>>() {
            let keys = match dry_run {
                true => self.ring.purpose_slots(&id, &dataset).len(),
                false => destroy_all(&mut self.ring, &id, &dataset)
                    .or_fail(format!("the keys of `{dataset}` were not destroyed"))?,
            };
            let folder = self.folder.sealed(&id, &dataset);
            let folder = folder.exists().then(|| folder.display().to_string());
            left.dropped.push(Dropped {
                dataset,
                why,
                keys,
                folder,
            });
        }
        if let Some(kind) = kind {
            left.untouched.extend(self.other_kinds(kind));
            left.untouched.extend(self.other_agreements());
        }
        Ok(left)
    }

    fn other_kinds(&self, kind: &IdKind) -> Option<String> {
        let kinds = self.agreement().matching.ids.iter();
        let matched = |one: &IdKind| {
            let parts = self.folder.crosswalks(self.agreement(), one);
            parts.iter().any(|path| path.exists())
        };
        let others = kinds.filter(|one| *one != kind && matched(one));
        let mut others: Vec<String> = others.map(|one| format!("`{one}`")).collect();
        if self.agreement().matching.link.is_some() && kind.as_str() != OWN {
            others.push(format!(
                "your own number (`{OWN}`), whose rows are there still"
            ));
        }
        (!others.is_empty()).then(|| {
            format!(
                "not looked through: people matched by {}: run the command again with `--id` and their ids of that kind",
                others.join(" or ")
            )
        })
    }

    fn other_agreements(&self) -> Vec<String> {
        let ids: BTreeSet<AgreementId> = self
            .ring
            .all_purpose_slots()
            .map(|slot| slot.agreement_id)
            .filter(|id| *id != self.agreement().id)
            .collect();
        let told = |id: AgreementId| {
            let names = self.datasets_under(&id);
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            let text = id.to_string();
            let short = text.get(..16).unwrap_or(&text);
            (!names.is_empty()).then(|| {
                format!(
                    "not touched: {} of the agreement {short}: run the command again with its file as `--agreement`",
                    names.join(", ")
                )
            })
        };
        ids.into_iter().filter_map(told).collect()
    }

    /// Data sets of an agreement that the ring has purpose keys of.
    fn datasets_under(&self, id: &AgreementId) -> BTreeSet<DatasetName> {
        let slots = self.ring.all_purpose_slots();
        let names = slots.filter(|slot| slot.agreement_id == *id);
        let names: BTreeSet<DatasetName> = names.map(|slot| slot.dataset.clone()).collect();
        let sealed = |name: &DatasetName| !self.ring.purpose_slots(id, name).is_empty();
        names.into_iter().filter(sealed).collect()
    }
}

impl Left {
    /// Says which data sets are kept no longer.
    pub(super) fn beside(chosen: &Chosen) -> Self {
        let over = chosen
            .over
            .iter()
            .map(|name| format!("`{name}` is not kept any longer, and was left as it is"));
        Self {
            dropped: Vec::new(),
            untouched: over.collect(),
        }
    }

    /// Keys destroyed.
    pub fn destroyed(&self) -> usize {
        self.dropped.iter().map(|one| one.keys).sum()
    }

    /// What people read.
    pub fn lines(&self, dry_run: bool) -> Vec<String> {
        let would = if dry_run { "would be " } else { "" };
        let dropped = self.dropped.iter().map(|one| {
            let files = one.folder.as_ref().map(|folder| {
                format!("; its files stay at {folder}, and nothing opens them: delete them")
            });
            format!(
                "`{}`: {}; purpose keys {would}destroyed: {}{}",
                one.dataset,
                one.why,
                one.keys,
                files.unwrap_or_default()
            )
        });
        dropped.chain(self.untouched.iter().cloned()).collect()
    }

    /// What programs read.
    pub fn document(&self) -> Value {
        let dropped = self.dropped.iter().map(|one| {
            json!({
                "dataset": one.dataset, "why": one.why,
                "keys_destroyed": one.keys, "folder": one.folder,
            })
        });
        json!({ "dropped": dropped.collect::<Vec<_>>(), "not_touched": self.untouched })
    }
}
