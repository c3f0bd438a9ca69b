//! What an answer compares.

use super::measures::{Words, one_of, output};
use crate::model::{Compare, CompareKind, Compared, GroupKey};
use crate::reader::{Item, Table};

const HELP: &str = "write compare = { ratio = \"...\", group = \"...\", against = \"...\" }, or a list of such tables";

/// What a comparison may speak of.
pub(super) struct Speaks<'a> {
    pub(super) groups: &'a [GroupKey],
    pub(super) ratios: &'a [&'a str],
    pub(super) words: &'a Words,
}

/// One comparison, or a list of them.
pub(super) fn compare(item: &Item<'_>, speaks: &Speaks<'_>) -> Option<Vec<Compare>> {
    if item.is_table() {
        return speaks.one(item).map(|one| vec![one]);
    }
    let all = item.list_of_some("comparison")?;
    let all: Vec<_> = all.iter().map(|item| speaks.one(item)).collect();
    all.into_iter().collect()
}

impl Speaks<'_> {
    fn one(&self, item: &Item<'_>) -> Option<Compare> {
        let table = item.table()?;
        let kind = kind(&table);
        let of = self.of(&table);
        let strata = match table.get("strata") {
            Some(item) => self.strata(&item).map(Some),
            None => Some(None),
        };
        let compared = strata.as_ref().and_then(|strata| {
            let strata = strata.as_deref();
            self.compared(&table, strata)
        });
        table.close();
        let (kind, of, strata, (group, against)) = (kind?, of?, strata?, compared?);
        if strata.is_some() && kind != CompareKind::OddsRatio {
            table.problem(
                format_args!("`{}` has strata, and is no odds ratio", item.path),
                "write kind = \"odds-ratio\", or leave `strata` out",
            );
            return None;
        }
        if kind == CompareKind::OddsRatio && matches!(of, Compared::Average(_)) {
            table.problem(
                format_args!("`{}` is an odds ratio of an average", item.path),
                "odds are of a share: name a ratio of two counts of people",
            );
            return None;
        }
        Some(Compare {
            kind,
            of,
            group,
            against,
            strata,
        })
    }

    /// The ratio or the average.
    fn of(&self, table: &Table<'_>) -> Option<Compared> {
        if let Some(item) = table.get("average") {
            if let Some(other) = table.get("ratio") {
                other.problem(
                    format_args!("`{}` names a ratio and an average", table.path),
                    "name one of them",
                );
                return None;
            }
            let name = item.text()?;
            return output(&item, name, self.words).map(Compared::Average);
        }
        one_of(table, "ratio", self.ratios, HELP).map(Compared::Ratio)
    }

    /// The group key whose values are strata.
    fn strata(&self, item: &Item<'_>) -> Option<String> {
        let name = item.text()?;
        let declared = |group: &&GroupKey| group.name == name;
        match self.groups.iter().find(declared) {
            Some(group) if group.declared().is_some() => Some(name.to_owned()),
            Some(_) => {
                item.problem(
                    format_args!("`{}` are discovered, and strata are declared", item.path),
                    "declare their values",
                );
                None
            }
            None => {
                item.problem(
                    format_args!("`{}` is no group key", item.path),
                    "name one of `groups`",
                );
                None
            }
        }
    }

    /// The two groups, of the one key that is left.
    fn compared(&self, table: &Table<'_>, strata: Option<&str>) -> Option<(String, String)> {
        let keys = self.groups.iter();
        let keys: Vec<&GroupKey> = keys
            .filter(|key| Some(key.name.as_str()) != strata)
            .collect();
        let [key] = keys.as_slice() else {
            table.problem(
                "`compare` needs exactly one declared group key besides `strata`",
                "declare one, such as groups = { campaign_group = [\"mailed\", \"not mailed\"] }, and name a second as `strata`",
            );
            return None;
        };
        let Some(values) = key.declared() else {
            table.problem(
                "`compare` compares two declared groups, and these are discovered",
                "declare their values, or leave `compare` out",
            );
            return None;
        };
        let values: Vec<_> = values.iter().map(String::as_str).collect();
        let group = one_of(table, "group", &values, HELP);
        let against = one_of(table, "against", &values, HELP);
        let (group, against) = (group?, against?);
        if group == against {
            table.problem(
                "`compare` compares a group with itself",
                "name another in `against`",
            );
            return None;
        }
        Some((group, against))
    }
}

fn kind(table: &Table<'_>) -> Option<CompareKind> {
    if table.get("kind").is_none() {
        return Some(CompareKind::default());
    }
    let names = CompareKind::ALL.map(CompareKind::as_str);
    let name = one_of(table, "kind", &names, HELP)?;
    let mut kinds = CompareKind::ALL.into_iter();
    kinds.find(|kind| kind.as_str() == name)
}
