//! The section `[purposes]`: a tree whose leaves are what data are sealed for.

use std::collections::{BTreeMap, BTreeSet};

use incamera_types::{PurposeName, PurposeSet};

use super::iri::iri;
use super::{Known, listed};
use crate::model::{Purpose, ancestors, leaves_of};
use crate::reader::{Item, Named, Table};

/// The most purposes of an agreement, branches included.
const MAX_PURPOSES: usize = 256;

/// The tree; purposes with problems are left in as far as they could be read.
pub(super) fn purposes(root: &Table<'_>, version: Option<u64>) -> BTreeMap<PurposeName, Purpose> {
    let Some(item) = root.need("purposes", super::SECTIONS) else {
        return BTreeMap::new();
    };
    let named = item
        .table()
        .map(|table| table.named::<PurposeName>())
        .unwrap_or_default();
    if named.is_empty() {
        item.problem(
            "there are no purposes, so no data could be used for anything",
            "name at least one, such as measurement = { label = \"Measuring campaigns\" }",
        );
    }
    if named.len() > MAX_PURPOSES {
        item.problem(
            format_args!("there are more than {MAX_PURPOSES} purposes"),
            "name fewer",
        );
        return BTreeMap::new();
    }
    let before = Before {
        names: named.iter().map(|named| named.name.clone()).collect(),
        version,
    };
    let read = |named: &Named<'_, PurposeName>| (named.name.clone(), purpose(named, &before));
    let mut tree: BTreeMap<_, _> = named.iter().map(read).collect();
    let parents: BTreeSet<_> = tree.values().filter_map(|p| p.parent.clone()).collect();
    for (name, purpose) in &mut tree {
        purpose.leaf = !parents.contains(name);
    }
    for named in &named {
        let mut above = ancestors(&tree, &named.name).skip(1);
        if above.any(|name| name == &named.name) {
            named.item.problem(
                format_args!("purpose `{}` is its own ancestor", named.name),
                "purposes are a tree: take a `parent` out",
            );
        }
    }
    tree
}

/// What is known of a purpose's neighbours when it is read.
struct Before {
    /// All purposes of this version.
    names: BTreeSet<PurposeName>,
    version: Option<u64>,
}

fn purpose(named: &Named<'_, PurposeName>, before: &Before) -> Purpose {
    let mut purpose = Purpose {
        label: String::new(),
        parent: None,
        iri: None,
        replaces: BTreeSet::new(),
        leaf: true,
    };
    let Some(table) = named.item.table() else {
        return purpose;
    };
    table.later(&["not_for", "keep_until"]);
    let label = table.need("label", "say in words what the purpose means");
    let label = label.and_then(|item| one_line(&item));
    purpose.label = label.unwrap_or_default();
    purpose.iri = table.get("iri").and_then(|item| iri(&item));
    purpose.parent = table.get("parent").and_then(|item| {
        let help = format!("purposes are {}", listed(&before.names));
        let parent: PurposeName = item.parsed(&help)?;
        if !before.names.contains(&parent) {
            item.problem(format_args!("there is no purpose `{parent}`"), help);
            return None;
        }
        Some(parent)
    });
    let replaces = table.get("replaces").map(|item| replaces(&item, before));
    purpose.replaces = replaces.flatten().unwrap_or_default();
    table.close();
    purpose
}

/// Purposes of earlier versions that are gone.
fn replaces(item: &Item<'_>, before: &Before) -> Option<BTreeSet<PurposeName>> {
    if before.version == Some(1) {
        item.problem(
            "version 1 replaces no purpose: none stood before it",
            "take `replaces` out",
        );
        return None;
    }
    let mut gone = BTreeSet::new();
    for item in item.list_of_some("purpose of an earlier version")? {
        let name: PurposeName = item.parsed("name a purpose of an earlier version")?;
        if before.names.contains(&name) {
            item.problem(
                format_args!("`{name}` is still a purpose, so nothing replaces it"),
                "take it out here, or take that purpose out",
            );
        }
        if !gone.insert(name) {
            item.problem(
                format_args!("`{}` stands there twice", item.path),
                "name each once",
            );
        }
    }
    Some(gone)
}

/// A short text of one line that is not empty.
pub(super) fn one_line(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    if text.trim().is_empty() || text.len() > 1000 || text.contains(['\n', '\r']) {
        item.problem(
            format_args!("`{}` is one line of 1 to 1000 characters", item.path),
            "write a short text",
        );
        return None;
    }
    Some(text.to_owned())
}

/// The leaves that a list of purposes names; a branch stands for its leaves.
pub(super) fn leaves(item: &Item<'_>, known: &Known<'_>) -> Option<PurposeSet> {
    let mut leaves = PurposeSet::default();
    for item in item.list_of_some("purpose")? {
        leaves = leaves.union(&leaf_or_branch(&item, known)?);
    }
    Some(leaves)
}

/// A leaf, or those below a branch.
pub(super) fn leaf_or_branch(item: &Item<'_>, known: &Known<'_>) -> Option<PurposeSet> {
    let help = format!("purposes are {}", listed(known.purposes.keys()));
    let name: PurposeName = item.parsed(&help)?;
    if !known.purposes.contains_key(&name) {
        item.problem(format_args!("there is no purpose `{name}`"), help);
        return None;
    }
    Some(leaves_of(&known.purposes, &name))
}

/// A leaf that a field names; a problem for a branch.
pub(super) fn leaf(item: &Item<'_>, known: &Known<'_>) -> Option<PurposeName> {
    let names = known.purposes.iter().filter(|(_, purpose)| purpose.leaf);
    let help = format!("leaf purposes are {}", listed(names.map(|(name, _)| name)));
    let name: PurposeName = item.parsed(&help)?;
    match known.purposes.get(&name) {
        Some(purpose) if purpose.leaf => Some(name),
        Some(_) => {
            item.problem(
                format_args!("purpose `{name}` is a branch, and keys exist for leaves only"),
                help,
            );
            None
        }
        None => {
            item.problem(format_args!("there is no purpose `{name}`"), help);
            None
        }
    }
}
