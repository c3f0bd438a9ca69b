//! What becomes of purposes between two versions.

use std::collections::BTreeSet;
use std::fmt;

use incamera_types::PurposeName;

use crate::model::{Agreement, Purpose};
use incamera_types::and;

/// What becomes of a purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PurposeChange {
    /// It has another name; consents carry over.
    Renamed {
        /// The old name.
        from: PurposeName,
        /// The new name.
        to: PurposeName,
    },
    /// Several take its place; consents do not carry over.
    Split {
        /// The old name.
        from: PurposeName,
        /// What takes its place.
        into: Vec<PurposeName>,
    },
    /// One takes the place of several; consents do not carry over.
    Merged {
        /// The old names.
        from: Vec<PurposeName>,
        /// What takes their place.
        into: PurposeName,
    },
    /// It has no successor.
    Removed {
        /// The old name.
        name: PurposeName,
    },
    /// It takes no other's place.
    Added {
        /// The name.
        name: PurposeName,
    },
    /// It stands elsewhere in the tree.
    Moved {
        /// The name.
        name: PurposeName,
        /// Its branch before.
        from: Option<PurposeName>,
        /// Its branch now.
        to: Option<PurposeName>,
    },
    /// A leaf stands for others now, or a branch for itself.
    Turned {
        /// The name.
        name: PurposeName,
        /// The leaves that it stands for now; itself alone where it was a branch.
        leaves: Vec<PurposeName>,
    },
}

impl PurposeChange {
    /// The kind of change as a word, for programs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Renamed { .. } => "renamed",
            Self::Split { .. } => "split",
            Self::Merged { .. } => "merged",
            Self::Removed { .. } => "removed",
            Self::Added { .. } => "added",
            Self::Moved { .. } => "moved",
            Self::Turned { .. } => "turned",
        }
    }

    /// The names of the old version that it is about.
    #[must_use]
    pub fn old_names(&self) -> Vec<&PurposeName> {
        match self {
            Self::Renamed { from, .. } | Self::Split { from, .. } => vec![from],
            Self::Merged { from, .. } => from.iter().collect(),
            Self::Added { .. } => Vec::new(),
            Self::Removed { name } | Self::Moved { name, .. } | Self::Turned { name, .. } => {
                vec![name]
            }
        }
    }

    /// The names of the new version that it is about.
    #[must_use]
    pub fn new_names(&self) -> Vec<&PurposeName> {
        match self {
            Self::Renamed { to: name, .. }
            | Self::Merged { into: name, .. }
            | Self::Added { name }
            | Self::Moved { name, .. }
            | Self::Turned { name, .. } => vec![name],
            Self::Split { into, .. } => into.iter().collect(),
            Self::Removed { .. } => Vec::new(),
        }
    }
}

fn quoted<'a>(names: impl IntoIterator<Item = &'a PurposeName>) -> String {
    and(names.into_iter().map(|name| format!("`{name}`")))
}

impl fmt::Display for PurposeChange {
    /// One sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = |branch: &Option<PurposeName>| match branch {
            Some(branch) => format!("below `{branch}`"),
            None => "the top".to_owned(),
        };
        match self {
            Self::Renamed { from, to } => write!(
                f,
                "purpose `{from}` is renamed `{to}`: who agreed to `{from}` agreed to `{to}`, and files may go on saying `{from}`"
            ),
            Self::Split { from, into } => write!(
                f,
                "purpose `{from}` is split into {}: nobody agreed to these by agreeing to `{from}`, so people are to be asked",
                quoted(into)
            ),
            Self::Merged { from, into } => write!(
                f,
                "purposes {} are merged into `{into}`: nobody agreed to it by agreeing to one of them, so people are to be asked",
                quoted(from)
            ),
            Self::Removed { name } => write!(
                f,
                "purpose `{name}` is taken out and nothing takes its place: no key is released for it any more"
            ),
            Self::Added { name } => {
                write!(f, "purpose `{name}` is new: nobody has agreed to it yet")
            }
            Self::Moved { name, from, to } => {
                write!(
                    f,
                    "purpose `{name}` moves from {} to {}",
                    below(from),
                    below(to)
                )
            }
            Self::Turned { name, leaves } => match leaves.as_slice() {
                [only] if only == name => write!(
                    f,
                    "purpose `{name}` was a branch and stands for itself now: nobody agreed to it by agreeing to what it stood for"
                ),
                leaves => write!(
                    f,
                    "purpose `{name}` is a branch now and stands for {}: nobody agreed to these by agreeing to `{name}`",
                    quoted(leaves)
                ),
            },
        }
    }
}

/// What becomes of every purpose of either version.
pub(super) fn purposes(old: &Agreement, new: &Agreement) -> Vec<PurposeChange> {
    let gone = old.purposes.keys();
    let gone = gone.filter(|name| !new.purposes.contains_key(*name));
    let mut changes: Vec<PurposeChange> = Vec::new();
    for name in gone {
        let change = gone_as(name, new);
        if !changes.contains(&change) {
            changes.push(change);
        }
    }
    let successors: BTreeSet<PurposeName> = changes
        .iter()
        .flat_map(|change| change.new_names())
        .cloned()
        .collect();
    for (name, purpose) in &new.purposes {
        match old.purposes.get(name) {
            Some(before) => changes.extend(kept(name, before, purpose, new)),
            None if successors.contains(name) => {}
            None => changes.push(PurposeChange::Added { name: name.clone() }),
        }
    }
    changes
}

fn gone_as(name: &PurposeName, new: &Agreement) -> PurposeChange {
    let Some(succession) = new.succession(name) else {
        return PurposeChange::Removed { name: name.clone() };
    };
    match succession.successors.as_slice() {
        [to] if succession.merged_with.is_empty() => PurposeChange::Renamed {
            from: name.clone(),
            to: to.clone(),
        },
        [into] => {
            let mut from: Vec<_> = succession.merged_with.clone();
            from.push(name.clone());
            from.sort();
            PurposeChange::Merged {
                from,
                into: into.clone(),
            }
        }
        into => PurposeChange::Split {
            from: name.clone(),
            into: into.to_vec(),
        },
    }
}

/// A purpose that both versions have. That its branch was renamed moves it nowhere.
fn kept(name: &PurposeName, old: &Purpose, new: &Purpose, after: &Agreement) -> Vec<PurposeChange> {
    let mut changes = Vec::new();
    let from = old.parent.clone();
    let renamed = from
        .as_ref()
        .and_then(|from| after.succession(from)?.renamed().cloned());
    if from != new.parent && (renamed.is_none() || renamed != new.parent) {
        changes.push(PurposeChange::Moved {
            name: name.clone(),
            from,
            to: new.parent.clone(),
        });
    }
    if old.leaf != new.leaf {
        changes.push(PurposeChange::Turned {
            name: name.clone(),
            leaves: after.leaves_of(name).iter().cloned().collect(),
        });
    }
    changes
}

/// The change in one sentence, with what a successor means where that is not what its
/// predecessors meant: a rename changes the name and nothing else.
pub(super) fn words(change: &PurposeChange, old: &Agreement, new: &Agreement) -> String {
    let mut sentence = change.to_string();
    if matches!(
        change,
        PurposeChange::Moved { .. } | PurposeChange::Turned { .. }
    ) {
        return sentence;
    }
    let before = change.old_names().into_iter();
    let before: Vec<&Purpose> = before.filter_map(|name| old.purposes.get(name)).collect();
    for name in change.new_names() {
        let told = new.purposes.get(name).map(|purpose| told(purpose, &before));
        let told = told.filter(|told| !told.is_empty());
        if let Some(told) = told {
            sentence.push_str(&format!("; `{name}` has {}", and(told)));
        }
    }
    sentence
}

/// What a purpose says that not all that it stands for said too. Taken apart field by field: a
/// new one has to be thought about here.
fn told(purpose: &Purpose, before: &[&Purpose]) -> Vec<String> {
    let Purpose {
        label,
        parent,
        iri,
        replaces: _, // told by the change itself
        leaf: _,     // follows from the tree
    } = purpose;
    let same = |is: &dyn Fn(&Purpose) -> bool| !before.is_empty() && before.iter().all(|p| is(p));
    let mut told = Vec::new();
    if !same(&|p| &p.label == label) {
        told.push(format!("`label` \"{label}\""));
    }
    if let Some(parent) = parent
        && !same(&|p| p.parent.as_ref() == Some(parent))
    {
        told.push(format!("`parent` \"{parent}\""));
    }
    if let Some(iri) = iri
        && !same(&|p| p.iri.as_ref() == Some(iri))
    {
        told.push(format!("`iri` \"{iri}\""));
    }
    told
}
