//! The section `[proposals]`.

use incamera_types::{DatasetName, PurposeSet};

use super::purposes::leaf;
use super::query::analysts_of;
use super::terms::budget;
use super::{Known, listed};
use crate::Proposals;
use crate::reader::{Item, Table};

pub(super) fn proposals(item: &Item<'_>, known: &Known<'_>) -> Option<Proposals> {
    let table = item.table()?;
    let analysts = table.need("analysts", "name who may propose, such as [\"mailer/ana\"]");
    let analysts = analysts.and_then(|item| analysts_of(&item, known));
    let purposes = table.need(
        "purposes",
        "name the leaf purposes that may be proposed for",
    );
    let purposes = purposes.and_then(|item| purposes_of(&item, known));
    let datasets = match table.get("datasets") {
        Some(item) => datasets_of(&item, known).map(Some),
        None => Some(None),
    };
    let budget = budget(&table, 0);
    let min_people = table.need(
        "min_people",
        "write the least `min_people` of a proposed query, such as min_people = 50",
    );
    let min_people = min_people.and_then(|item| item.whole(1, u64::from(u32::MAX)));
    let until = until(&table, known);
    table.close();
    Some(Proposals {
        analysts: analysts?,
        purposes: purposes?,
        datasets: datasets?,
        budget: budget?,
        min_people: min_people?,
        until: until?,
    })
}

fn purposes_of(item: &Item<'_>, known: &Known<'_>) -> Option<PurposeSet> {
    let items = item.list_of_some("purpose")?;
    items.iter().map(|item| leaf(item, known)).collect()
}

fn datasets_of(
    item: &Item<'_>,
    known: &Known<'_>,
) -> Option<std::collections::BTreeSet<DatasetName>> {
    let items = item.list_of_some("data set")?;
    let named = |item: &Item<'_>| {
        let help = format!("data sets are {}", listed(known.datasets.keys()));
        let name: DatasetName = item.parsed(&help)?;
        if !known.datasets.contains_key(&name) {
            item.problem(format_args!("there is no data set `{name}`"), help);
            return None;
        }
        Some(name)
    };
    items.iter().map(named).collect()
}

/// The last day: that of the agreement where none is said. `None` after a problem.
fn until(table: &Table<'_>, known: &Known<'_>) -> Option<Option<incamera_types::Date>> {
    let Some(item) = table.get("until") else {
        return Some(None);
    };
    let day = item.date()?;
    if let Some(last) = known.expires.filter(|last| day > *last) {
        item.problem(
            format_args!("`{}` is after the agreement's last day", item.path),
            format_args!("write {last} or a day before, or leave it out"),
        );
        return None;
    }
    Some(Some(day))
}
