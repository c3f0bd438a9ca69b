//! How much of what an agreement allows was used, for people and programs.

use incamera_agreement::{Agreement, MatchingMethod};
use incamera_matching::journal::History;
use incamera_matching::{Method, Partition};
use incamera_types::IdKind;
use serde_json::{Value, json};

use super::agreed::{owner, peer, terms};
use crate::folder::Folder;

/// Of one kind of id, in the agreement's matching epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Used {
    runs: u32,
    max_runs: u32,
    ids: u64,
    ids_allowed: u64,
    /// Which ids count.
    counted: Counted,
}

/// Which ids a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Counted {
    /// Those of all runs.
    OfAll,
    /// Those since the last run with all ids.
    SinceAll,
    /// Those of the last run alone: every run is with all ids.
    OfTheLast,
}

impl Used {
    /// As a history has it; of parts, those of which there were most runs.
    ///
    /// Providers count the ids of all runs, between two parties those since the last run with all
    /// ids count.
    pub fn of(
        history: &History,
        method: Method,
        parts: &[Partition],
        (max_ids, max_runs): (u64, u32),
    ) -> Self {
        let runs = parts.iter().map(|part| history.count_of(*part)).max();
        let (ids, most) = match (method, parts.first()) {
            (Method::Provider, _) => (history.own_ids(), max_ids.saturating_mul(max_runs.into())),
            (_, Some(part)) => {
                let base = history.own_brought(*part, None);
                (base.ids.saturating_add(base.beside.ids), max_ids)
            }
            (_, None) => (0, max_ids),
        };
        Self {
            runs: runs.unwrap_or_default(),
            max_runs,
            // A run mixes in a few ids of earlier ones, which the limit does not count.
            ids: ids.min(most),
            ids_allowed: most,
            counted: match method {
                Method::Provider => Counted::OfAll,
                Method::Vole => Counted::OfTheLast,
                _ => Counted::SinceAll,
            },
        }
    }

    /// A few words.
    pub fn words(&self) -> String {
        let Self {
            runs,
            max_runs,
            ids,
            ids_allowed,
            counted,
        } = self;
        match counted {
            Counted::OfTheLast => format!(
                "{runs} of {max_runs} runs are used in this matching epoch; the last had {ids} ids, and each may have {ids_allowed} evaluated (`agreement show` says how many ids that is)"
            ),
            Counted::SinceAll => format!(
                "{runs} of {max_runs} runs are used in this matching epoch, and {ids} of {ids_allowed} ids since the last run with all ids"
            ),
            Counted::OfAll => format!(
                "{runs} of {max_runs} runs and {ids} of {ids_allowed} ids are used in this matching epoch"
            ),
        }
    }

    pub fn document(&self) -> Value {
        json!({
            "runs": self.runs, "max_runs": self.max_runs,
            "ids": self.ids, "ids_allowed": self.ids_allowed,
        })
    }
}

/// What the histories in a party's folder say of each kind of id of an agreement, for showing
/// alone: nothing of them is checked. Kinds without a run are left out.
pub fn used_under(folder: &Folder, agreement: &Agreement) -> Vec<(IdKind, Used)> {
    let kinds = agreement.matching.ids.iter();
    let used = kinds.filter_map(|kind| Some((kind.clone(), used_of(folder, agreement, kind)?)));
    used.collect()
}

fn used_of(folder: &Folder, agreement: &Agreement, kind: &IdKind) -> Option<Used> {
    let (matching, me) = (&agreement.matching, folder.name());
    let with = match matching.method {
        MatchingMethod::None => return None,
        MatchingMethod::Provider => owner(agreement, me),
        _ => peer(agreement, me),
    };
    let (with, terms) = (with.ok()?, terms(agreement, kind).ok()?);
    let slot = folder.matching(&agreement.id, kind, &with, matching.epoch, Partition::WHOLE);
    let text = std::fs::read(slot.join("history")).ok()?;
    let history = History::unchecked(&text)?;
    let all = matching.match_partitions;
    let parts = (0..all).filter_map(|number| Partition::new(number, all));
    let parts: Vec<_> = parts.collect();
    let limits = (matching.max_ids, matching.max_runs);
    Some(Used::of(&history, terms.method, &parts, limits))
}
