//! Who may have sealed data by links.

use std::collections::BTreeSet;

use incamera_agreement::Agreement;
use incamera_types::{ColumnType, DatasetName, DatasetSpec, IdKind, PartyName};
use serde_json::json;

use super::links_of;

/// The data sets of others that may have been sealed by links to ids of these kinds: nobody tells
/// their owners that a link is gone or changed.
pub struct Readers(Vec<(DatasetName, PartyName)>);

impl Readers {
    /// Of links from or to ids of `kind`.
    pub fn of(agreement: &Agreement, me: &PartyName, kind: &IdKind) -> Self {
        let links = links_of(agreement).iter();
        let concerned = links.filter(|link| link.from == *kind || link.to == *kind);
        let led_to: BTreeSet<&IdKind> = concerned.map(|link| &link.to).collect();
        let first = agreement.matching.ids.first();
        let reads = |spec: &&DatasetSpec| {
            let mut columns = spec.columns.iter();
            columns.any(|column| {
                let of_kind = column.id_kind.as_ref().or(first);
                column.ty == ColumnType::Pseudonym
                    && of_kind.is_some_and(|kind| led_to.contains(kind))
            })
        };
        let others = agreement.datasets.values();
        let others = others.filter(|spec| spec.owner != *me).filter(reads);
        Self(
            others
                .map(|spec| (spec.name.clone(), spec.owner.clone()))
                .collect(),
        )
    }

    /// For people.
    pub fn words(&self) -> String {
        let named = |(dataset, owner): &(DatasetName, PartyName)| format!("`{dataset}` of {owner}");
        let named: Vec<_> = self.0.iter().map(named).collect();
        let which = match named.as_slice() {
            [] => String::new(),
            named => format!(" (it may be {})", named.join(", ")),
        };
        format!(
            "what was sealed by links that are gone or changed{which} has them until its last day, or until its owner runs `match run --via`, `data seal` and `data push` again"
        )
    }

    /// For programs.
    pub fn document(&self) -> serde_json::Value {
        let names = self.0.iter().map(|(dataset, _)| dataset);
        json!(names.collect::<Vec<_>>())
    }
}
