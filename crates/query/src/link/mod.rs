//! People of two owners who have several kinds of id, and who of them is who.
//!
//! Each owner's rows are of its own keys of people. One data set of each, its *register*, holds
//! beside those the pseudonyms of every kind; a query of both owners' data reads both. Before
//! the plan runs, a rule finds pairs ([`greedy`], with what it claims), and the rows of one
//! owner get the other's keys for whom they are of ([`rows`]). Above that people are
//! people: the plan joins on one key, and nothing of the pseudonyms is left.
//!
//! # Neighbours
//! Somebody, with all rows at either owner or at both, comes or goes, or changes in anything but
//! ids; or one owner's person gets other ids. That changes at most s = 2 (K + 1) joint persons
//! for K kinds ([`greedy`]), and what each brings as one person's can. So every
//! measure's noise is made for a sensitivity of s times one person's, and thresholds for as many
//! groups, each of as many people (`dp::Sensitivity::with_stability`, `dp::Threshold`). The cost
//! stays what it is.
//! Whose ids change at both owners is one who goes and one who comes, as anywhere.
//!
//! | part | what it does |
//! |---|---|
//! | [`greedy`] | the rule, over two registers in order |
//! | [`rows`] | reads registers, gives rows their joint keys and brings them in order again |

pub(crate) mod greedy;
pub(crate) mod rows;

use std::collections::{BTreeMap, BTreeSet};

use incamera_agreement::{Agreement, Query};
use incamera_types::{
    ColumnName, ColumnRef, ColumnType, DatasetName, DatasetSpec, IdKind, PartyName,
};

use crate::check::CheckedQuery;
use crate::refusal::{Refusal, RefusalKind};

/// How a query's people are linked.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// How many joint persons one owner's person changes.
    pub(crate) stability: u32,
    /// The kinds, in the rule's order, for people.
    pub(crate) kinds: Vec<String>,
    /// Whose rows keep their keys, and whose get the other's.
    pub(crate) stays: Register,
    pub(crate) moves: Register,
    owner: PartyName,
}

/// What an owner's people are linked by.
#[derive(Clone, Debug)]
pub(crate) struct Register {
    pub(crate) dataset: DatasetName,
    /// The owner's own key, then the kinds in the rule's order.
    pub(crate) columns: Vec<ColumnName>,
}

impl Register {
    fn of(spec: &DatasetSpec, kinds: &[IdKind]) -> Self {
        let of_kind = |kind| {
            let mut columns = spec.link_columns();
            columns.find(move |column| column.id_kind.as_ref() == Some(kind))
        };
        let columns = kinds.iter().filter_map(of_kind);
        let columns = spec.person_column().into_iter().chain(columns);
        Self {
            dataset: spec.name.clone(),
            columns: columns.map(|column| column.name.clone()).collect(),
        }
    }

    fn reads(&self) -> impl Iterator<Item = ColumnRef> {
        self.columns.iter().map(|column| ColumnRef {
            dataset: self.dataset.clone(),
            column: column.clone(),
        })
    }
}

impl Link {
    /// How people are linked in a query of two owners' data, if a rule is needed for it.
    pub(crate) fn of(agreement: &Agreement, query: &Query) -> Option<Self> {
        let linked = agreement.linked(query)?;
        let [one, other] = linked.registers;
        // What moves is held in memory: the smaller of the two, by what the agreement allows.
        let held = |register: &DatasetSpec| {
            let people = agreement.parties.get(&register.owner);
            let people = people.map_or(0, |party| party.people);
            let rows = query.rows.iter().filter(|(name, _)| {
                let spec = agreement.datasets.get(*name);
                spec.is_some_and(|spec| spec.owner == register.owner && !spec.public)
            });
            let rows = rows.fold(0u64, |all, (_, rows)| all.saturating_add(*rows));
            people.saturating_mul(rows)
        };
        let (stays, moves) = match held(one) < held(other) {
            true => (other, one),
            false => (one, other),
        };
        Some(Self {
            stability: linked.stability(),
            kinds: linked.kinds.iter().map(ToString::to_string).collect(),
            stays: Register::of(stays, linked.kinds),
            moves: Register::of(moves, linked.kinds),
            owner: moves.owner.clone(),
        })
    }

    /// The columns that are read for it.
    pub(crate) fn reads(&self) -> impl Iterator<Item = ColumnRef> {
        self.stays.reads().chain(self.moves.reads())
    }

    /// Whether a data set's rows get other keys.
    pub(crate) fn moves(&self, spec: &DatasetSpec) -> bool {
        !spec.public && spec.owner == self.owner
    }

    /// Whether a data set is read for it.
    pub(crate) fn registers(&self, dataset: &DatasetName) -> bool {
        [&self.stays, &self.moves]
            .iter()
            .any(|register| register.dataset == *dataset)
    }

    /// What it protects besides, in words.
    pub(crate) fn protects(&self) -> String {
        format!(
            "all of that for each of {} people who are linked by several kinds of id: so many can change where somebody comes or goes whom both owners know; whose ids change at both owners counts as two people",
            self.stability
        )
    }

    /// What it does, in words.
    pub(crate) fn said(&self) -> String {
        format!(
            "link people of both owners by {} in this order: of each value that both have, the first person of each who is not linked yet; somebody who comes or goes at both owners can change {s} linked people, so noise is made for {s} at once, at the same cost",
            incamera_types::and(&self.kinds),
            s = self.stability
        )
    }
}

impl CheckedQuery {
    /// How many joint persons somebody can change: one, but where people are linked by several
    /// kinds of id.
    #[must_use]
    pub fn stability(&self) -> u32 {
        self.link.as_ref().map_or(1, |link| link.stability)
    }
}

/// Refuses SQL that reads what people are linked by: it is for the rule alone.
pub(crate) fn none_read(
    read: &BTreeSet<ColumnRef>,
    datasets: &BTreeMap<DatasetName, DatasetSpec>,
) -> Result<(), Refusal> {
    let of_kind = |column: &&ColumnRef| {
        let spec = datasets.get(&column.dataset);
        let own = spec.filter(|spec| spec.link_columns().next().is_some());
        own.and_then(|spec| spec.column(&column.column))
            .is_some_and(|column| column.ty == ColumnType::Pseudonym)
    };
    match read.iter().find(of_kind) {
        None => Ok(()),
        Some(column) => Err(Refusal::new(
            RefusalKind::Reads,
            format!("`{column}` is read"),
            "pseudonyms of several kinds are for linking people, which the room does by the agreement's rule before the SQL sees a row",
            "join on the column of type person: it is the same for people who are linked",
        )
        .or_at_text(column.column.as_str())),
    }
}
