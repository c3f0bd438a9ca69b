//! What a new version of an agreement asks of data sets that are sealed already.

use std::fmt;

use incamera_types::{
    ColumnName, ColumnSpec, ColumnType, DatasetName, DatasetSpec, PartyName, PurposeSet,
};

use crate::model::{Agreement, ConsentSource};
use incamera_types::and;

/// What is to be done with a data set, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Remedy {
    /// It stays as it is.
    Nothing,
    /// Its keys are wrapped for one purpose more: `data retag`.
    Rewrap,
    /// Its parts are encrypted anew under new keys: `data retag`.
    Reencrypt,
    /// It is sealed from its source: `data seal`.
    Seal,
    /// It is no data set of the new version: nothing opens it any more.
    Gone,
}

impl Remedy {
    /// The remedy as a word, for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Rewrap => "re-wrap",
            Self::Reencrypt => "re-encrypt",
            Self::Seal => "seal",
            Self::Gone => "gone",
        }
    }
}

impl fmt::Display for Remedy {
    /// What to do, in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing to do",
            Self::Rewrap => "`incamera data retag`: keys are wrapped anew, parts stay",
            Self::Reencrypt => "`incamera data retag`: parts are encrypted anew",
            Self::Seal => "`incamera data seal`, from the source",
            Self::Gone => "nothing opens it any more; delete it where it lies",
        })
    }
}

/// What the new version asks of one data set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatasetImpact {
    /// The data set.
    pub dataset: DatasetName,
    /// The party that it belongs to, in the new version where it is in it.
    pub owner: PartyName,
    /// What to do: the most that any reason asks for.
    pub remedy: Remedy,
    /// Why, a clause each; empty where there is nothing to do.
    pub reasons: Vec<String>,
    /// Those of the reasons that ask for its source: what else there is to do leaves them.
    pub from_source: Vec<String>,
}

/// What `new` asks of every data set of either version, in order of name, for data that are
/// sealed under `old`.
#[must_use]
pub fn impact(old: &Agreement, new: &Agreement) -> Vec<DatasetImpact> {
    let gone = old.datasets.iter();
    let gone = gone.filter(|(name, _)| !new.datasets.contains_key(*name));
    let gone = gone.map(|(_, spec)| {
        let reasons = vec!["it is taken out".to_owned()];
        made(spec, vec![(Remedy::Gone, reasons)])
    });
    let stands = new.datasets.iter().map(|(name, spec)| {
        let reasons = match old.datasets.get(name) {
            Some(before) => Pair { old, new }.dataset(before, spec),
            None => vec![(Remedy::Seal, vec!["it is new".to_owned()])],
        };
        made(spec, reasons)
    });
    let mut all: Vec<DatasetImpact> = gone.chain(stands).collect();
    all.sort_by(|one, other| one.dataset.cmp(&other.dataset));
    all
}

/// Reasons of one weight.
type Reasons = (Remedy, Vec<String>);

fn made(spec: &DatasetSpec, reasons: Vec<Reasons>) -> DatasetImpact {
    let asking = reasons
        .into_iter()
        .filter(|(_, reasons)| !reasons.is_empty());
    let (remedies, reasons): (Vec<_>, Vec<_>) = asking.unzip();
    let weighed = remedies.iter().zip(&reasons);
    let from_source = weighed.filter(|(remedy, _)| **remedy == Remedy::Seal);
    let from_source: Vec<Vec<String>> = from_source.map(|(_, reasons)| reasons.clone()).collect();
    DatasetImpact {
        from_source: from_source.concat(),
        dataset: spec.name.clone(),
        owner: spec.owner.clone(),
        remedy: remedies.into_iter().max().unwrap_or(Remedy::Nothing),
        reasons: reasons.concat(),
    }
}

/// Both versions.
struct Pair<'a> {
    old: &'a Agreement,
    new: &'a Agreement,
}

impl Pair<'_> {
    fn dataset(&self, old: &DatasetSpec, new: &DatasetSpec) -> Vec<Reasons> {
        let mut all = vec![(Remedy::Seal, self.anew(old, new))];
        for column in &new.columns {
            match old.column(&column.name) {
                Some(before) => all.extend(self.column(before, column, new)),
                None if column.ty == ColumnType::Purposes => {}
                None => all.push((
                    Remedy::Seal,
                    vec![format!("column `{}` is new", column.name)],
                )),
            }
        }
        let lost = old
            .stored_columns()
            .filter(|column| new.column(&column.name).is_none());
        let lost = lost.map(|column| format!("column `{}` is taken out", column.name));
        all.push((Remedy::Reencrypt, lost.collect()));
        all
    }

    /// Why a data set as a whole has to be sealed from its source.
    fn anew(&self, old: &DatasetSpec, new: &DatasetSpec) -> Vec<String> {
        let (before, after) = (&self.old.matching, &self.new.matching);
        let pseudonyms = (before.method, before.reveals, before.epoch)
            != (after.method, after.reveals, after.epoch)
            || (before.rules, &before.hashed) != (after.rules, &after.hashed);
        let mut reasons = Vec::new();
        let mut when = |holds: bool, reason: &str| {
            if holds {
                reasons.push(reason.to_owned());
            }
        };
        when(old.owner != new.owner, "it belongs to another party");
        when(old.public != new.public, "`public` changes");
        when(
            pseudonyms && !new.public,
            "pseudonyms are others: match again first",
        );
        // Rows are sorted and named by another key, whether or not ids are matched again.
        when(
            !new.public && own_keys(old) != own_keys(new),
            "another column says whose row it is",
        );
        when(
            before.partitions != after.partitions,
            "the number of partitions changes",
        );
        when(
            !new.public && self.consents(old, new),
            "its consents come from elsewhere",
        );
        when(reordered(old, new), "its columns stand in another order");
        reasons
    }

    /// Whether the consents of its rows come from another place.
    fn consents(&self, old: &DatasetSpec, new: &DatasetSpec) -> bool {
        let register = |agreement: &Agreement, spec: &DatasetSpec| match agreement.consent_of(spec)
        {
            ConsentSource::Dataset(register) => {
                let column = register.purposes_column().map(|column| column.name.clone());
                Some((register.name.clone(), column))
            }
            ConsentSource::Everything(_) => None,
        };
        register(self.old, old) != register(self.new, new)
    }

    fn column(&self, old: &ColumnSpec, new: &ColumnSpec, spec: &DatasetSpec) -> Vec<Reasons> {
        let mut all = vec![(Remedy::Seal, redefined(old, new))];
        if !spec.public {
            all.extend(self.leaves(old, new, spec));
        }
        all
    }

    /// The leaves that a column gains, loses or knows by another name.
    fn leaves(&self, old: &ColumnSpec, new: &ColumnSpec, spec: &DatasetSpec) -> Vec<Reasons> {
        let name = &new.name;
        let (mut stay, mut renamed) = (PurposeSet::default(), Vec::new());
        let leaves = self.new.leaf_purposes();
        for leaf in old.purposes.iter() {
            let succession = self.new.succession(leaf);
            let now = match succession
                .as_ref()
                .and_then(|succession| succession.renamed())
            {
                Some(now) if leaves.contains(now) && new.purposes.contains(now) => {
                    renamed.push(format!("`{leaf}` of column `{name}` is `{now}` now"));
                    now
                }
                _ => leaf,
            };
            stay = stay.union(&std::iter::once(now.clone()).collect());
        }
        let (lost, gained) = (
            stay.difference(&new.purposes),
            new.purposes.difference(&stay),
        );
        let lost = lost
            .iter()
            .map(|leaf| format!("column `{name}` is no longer for `{leaf}`"));
        let mut all = vec![
            (Remedy::Reencrypt, renamed),
            (Remedy::Reencrypt, lost.collect()),
        ];
        all.extend(gained.iter().map(|leaf| {
            let reason = format!("column `{name}` is for `{leaf}` now");
            self.gained(leaf, reason, spec)
        }));
        all
    }

    /// A gained leaf opens rows by a wrap more, if their class has it.
    fn gained(
        &self,
        leaf: &incamera_types::PurposeName,
        reason: String,
        spec: &DatasetSpec,
    ) -> Reasons {
        let before = self.old.leaf_purposes();
        match self.new.consent_of(spec) {
            _ if before.contains(leaf) => (Remedy::Rewrap, vec![reason]),
            ConsentSource::Everything(_) => {
                let why = format!(
                    "{reason}, which its rows, sealed for {}, do not have",
                    and(before.iter())
                );
                (Remedy::Seal, vec![why])
            }
            ConsentSource::Dataset(register) => {
                let why = format!(
                    "{reason}, and opens rows once people agree to it in `{}` and all is sealed by that",
                    register.name
                );
                (Remedy::Rewrap, vec![why])
            }
        }
    }
}

/// Whether the columns that both have stand in another order.
fn reordered(old: &DatasetSpec, new: &DatasetSpec) -> bool {
    let kept = |these: &DatasetSpec, those: &DatasetSpec| -> Vec<_> {
        let both = these.stored_columns().map(|column| column.name.clone());
        both.filter(|name| those.column(name).is_some()).collect()
    };
    kept(old, new) != kept(new, old)
}

/// The column with the owner's own keys of people, where there is one.
fn own_keys(spec: &DatasetSpec) -> Option<&ColumnName> {
    let own = spec.person_column()?;
    (own.ty == ColumnType::Person).then_some(&own.name)
}

/// What of a column's definition says that the sealed values are not those that would be
/// sealed now. Taken apart field by field: a new one has to be thought about here.
fn redefined(old: &ColumnSpec, new: &ColumnSpec) -> Vec<String> {
    let ColumnSpec {
        name,
        ty,
        nullable,
        purposes: _, // leaves are told apart
        unit: _,     // a word beside the figures
        min,
        max,
        values,
        other,
        id_kind,
        time_zone,
    } = new;
    let changes = [
        (old.ty != *ty, "another type"),
        (old.nullable != *nullable, "another `nullable`"),
        ((old.min, old.max) != (*min, *max), "other bounds"),
        (
            &old.values != values || &old.other != other,
            "another list of values",
        ),
        (&old.id_kind != id_kind, "another kind of id"),
        (&old.time_zone != time_zone, "another time zone"),
    ];
    let changes = changes.into_iter().filter(|(changes, _)| *changes);
    let changes = changes.map(|(_, what)| format!("column `{name}` has {what}"));
    changes.collect()
}
