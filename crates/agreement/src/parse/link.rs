//! `link`: people of two owners who have several kinds of id.
//!
//! Each owner's rows are of its own keys of people, and one data set of each, its register,
//! holds beside those the pseudonyms of every kind. A query of both owners' data reads both
//! registers' kinds, so that nobody signs or releases them unseen; no other query does.

use std::collections::{BTreeMap, BTreeSet};

use incamera_types::{
    ColumnRef, ColumnSpec, ColumnType, DatasetName, DatasetSpec, IdKind, PartyName,
};

use super::{Known, listed};
use crate::model::{Linking, Matching};
use crate::reader::{Item, Named, Table};

/// The rule of `link`; nothing if it was refused.
pub(super) fn rule(table: &Table<'_>, ids: Option<&[IdKind]>) -> Option<Option<Linking>> {
    let Some(item) = table.get("link") else {
        return Some(None);
    };
    if item.text()? != "waterfall" {
        item.problem(
            "`link` names no rule of linking whose reach is known",
            "write link = \"waterfall\"",
        );
        return None;
    }
    if ids.is_some_and(|ids| ids.len() < 2) {
        item.problem(
            "`link` says how people with several kinds of id are linked, and `ids` names one",
            "name the other kinds in `ids`, or take `link` out: by one kind people are who their pseudonyms are, with less noise",
        );
        return None;
    }
    Some(Some(Linking::Waterfall))
}

/// Somebody may lack an id of any kind.
pub(super) fn nullable(spec: &mut DatasetSpec) {
    let own = |column: &ColumnSpec| column.ty == ColumnType::Person;
    if spec.columns.iter().any(own) {
        let of_kinds = spec.columns.iter_mut();
        let of_kinds = of_kinds.filter(|column| column.ty == ColumnType::Pseudonym);
        of_kinds.for_each(|column| column.nullable = true);
    }
}

/// Whether the data sets can be linked as `[matching]` says.
pub(super) fn check(root: &Table<'_>, matching: &Matching, known: &Known<'_>) {
    let mut registers: BTreeMap<&PartyName, usize> = BTreeMap::new();
    for named in root.members::<DatasetName>("datasets") {
        let Some(Some(spec)) = known.datasets.get(&named.name) else {
            // One that could not be read says so itself.
            return;
        };
        if !spec.public {
            let register = registers.entry(&spec.owner).or_default();
            *register += usize::from(spec.link_columns().next().is_some());
            dataset(&named, spec, matching);
        }
    }
    let Some(item) = root
        .get("matching")
        .and_then(|item| item.table()?.get("link"))
    else {
        return;
    };
    if registers.len() != 2 {
        item.problem(
            format_args!(
                "`link` is between two owners of private data; here are {}",
                listed(registers.keys())
            ),
            "let exactly two parties own data sets that are not public, or take it out",
        );
    }
    for (owner, _) in registers.iter().filter(|(_, count)| **count != 1) {
        item.problem(
            format_args!(
                "party `{owner}` has not exactly one data set with the pseudonyms that people are linked by"
            ),
            "give one of its data sets, with a row for each of its people, a column of type person and one of type pseudonym for each kind of id; the others have the column of type person alone",
        );
    }
}

/// Whether a data set's rows are people's as `link` wants it, or as it is without.
fn dataset(named: &Named<'_, DatasetName>, spec: &DatasetSpec, matching: &Matching) {
    let own = spec.person_column();
    let own = own.filter(|column| column.ty == ColumnType::Person);
    let problem = match (matching.link, own) {
        (None, None) => None,
        (None, Some(column)) => Some((
            format!(
                "column `{}` is of type person, and [matching] has no `link`: nothing says how people are linked",
                column.name
            ),
            "write link = \"waterfall\" in [matching], or give the column the type pseudonym",
        )),
        (Some(_), None) => Some((
            format!(
                "data set `{}` has no column of type person, and [matching] links people by several kinds of id",
                spec.name
            ),
            "declare one, such as person = { type = \"person\" }",
        )),
        (Some(_), Some(_)) => kinds(spec, matching),
    };
    if let Some((what, help)) = problem {
        named.item.problem(what, help);
    }
}

/// A register has a column of every kind, once.
fn kinds(spec: &DatasetSpec, matching: &Matching) -> Option<(String, &'static str)> {
    let columns = || {
        spec.link_columns()
            .filter_map(|column| column.id_kind.as_ref())
    };
    let mut seen = BTreeSet::new();
    if let Some(twice) = columns().find(|kind| !seen.insert(*kind)) {
        return Some((
            format!(
                "data set `{}` has two columns of the kind `{twice}`",
                spec.name
            ),
            "keep one: a person has at most one id of each kind",
        ));
    }
    let lacks = |kind: &&IdKind| !seen.contains(*kind);
    let lacking = matching.ids.iter().find(lacks)?;
    (!seen.is_empty()).then(|| {
        (
            format!(
                "data set `{}` has no column of the kind `{lacking}`, by which people are linked too",
                spec.name
            ),
            "declare one, such as phone = { type = \"pseudonym\", id = \"phone\" }: people may lack it",
        )
    })
}

/// A query of two owners reads what their people are linked by, and no other does.
pub(super) fn reads(item: &Item<'_>, reads: &BTreeSet<ColumnRef>, known: &Known<'_>) {
    if known.link.is_none() {
        return;
    }
    let specs = || known.datasets.values().flatten();
    let read = |spec: &&DatasetSpec| reads.iter().any(|read| read.dataset == spec.name);
    let owners: BTreeSet<_> = specs()
        .filter(|spec| !spec.public)
        .filter(read)
        .map(|spec| &spec.owner)
        .collect();
    let registers = specs().filter(|spec| spec.link_columns().next().is_some());
    for register in registers {
        let needed = owners.len() > 1 && owners.contains(&register.owner);
        let mut columns = register.link_columns().chain(register.person_column());
        let column = |column: &ColumnSpec| ColumnRef {
            dataset: register.name.clone(),
            column: column.name.clone(),
        };
        if needed {
            let lacking = columns.map(column).find(|column| !reads.contains(column));
            if let Some(lacking) = lacking {
                item.problem(
                    format_args!(
                        "`{}` is of two owners' data, and does not name `{lacking}`, by which their people are linked",
                        item.path
                    ),
                    format_args!("add \"{lacking}\""),
                );
            }
            continue;
        }
        let of_kind = |column: &&ColumnSpec| column.ty == ColumnType::Pseudonym;
        let found = columns.find(|one| of_kind(one) && reads.contains(&column(one)));
        if let Some(found) = found.map(column) {
            item.problem(
                format_args!(
                    "`{}` names `{found}`, which is for linking people of two owners, and the query is of one owner's data",
                    item.path
                ),
                "take it out",
            );
        }
    }
}
