//! What a file says that its columns were collected for.
//!
//! The field metadata `incamera.purposes` names leaf purposes, separated by commas; a leaf's old
//! name means the leaf, and a name that the agreement does not have grants nothing. An agreement
//! that uses a column for more is refused. So is a tag that names a branch of the agreement's
//! tree, and one that is no list of names: what a branch stands for can change after people were told, and a leaf that was promised
//! can become a branch.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use incamera_types::{ColumnName, ColumnSpec, PurposeName, PurposeSet};

use super::{PURPOSES_KEY, Reading, SourceError};

/// What sealed columns were collected for, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tags(BTreeMap<ColumnName, String>);

impl Tags {
    /// What the fields of a sealed part say.
    pub(crate) fn of(schema: &Schema) -> Self {
        let tag = |field: &Arc<Field>| {
            let tag = field.metadata().get(PURPOSES_KEY)?;
            Some((field.name().parse().ok()?, tag.clone()))
        };
        Self(schema.fields().iter().filter_map(tag).collect())
    }

    /// `schema` with fields that say so.
    pub(crate) fn onto(&self, schema: &Schema) -> SchemaRef {
        let tagged = |field: &Arc<Field>| {
            let name: Option<ColumnName> = field.name().parse().ok();
            match name.and_then(|name| self.0.get(&name)) {
                Some(tag) => {
                    let metadata = std::iter::once((PURPOSES_KEY.to_owned(), tag.clone()));
                    Arc::new(field.as_ref().clone().with_metadata(metadata.collect()))
                }
                None => Arc::clone(field),
            }
        };
        let fields: Vec<Arc<Field>> = schema.fields().iter().map(tagged).collect();
        Arc::new(Schema::new(fields))
    }

    /// Takes the tags of a file, by the file's names. Of several files, what all of them allow
    /// counts.
    pub(super) fn add(
        &mut self,
        tags: &BTreeMap<String, String>,
        reading: &Reading<'_>,
    ) -> Result<(), SourceError> {
        for column in reading.spec.stored_columns() {
            let name = reading.name_in_file(column);
            let Some(tag) = tags.get(name) else { continue };
            let named = named(tag).map_err(|why| SourceError::Tag {
                column: name.to_owned(),
                why,
            })?;
            if let Some((branch, leaves)) = branch(tag, reading) {
                return Err(SourceError::TaggedWithBranch {
                    column: name.to_owned(),
                    branch,
                    leaves: leaves.clone(),
                });
            }
            let allowed = leaves(tag, reading);
            let wanted = used_for(column, reading);
            if !wanted.is_subset(&allowed) {
                let wider = wanted.iter().filter(|one| !allowed.contains(one));
                let unknown = named
                    .into_iter()
                    .filter(|name| reading.leaf(name).is_none());
                return Err(SourceError::WiderThanTagged {
                    column: name.to_owned(),
                    tagged: shown(tag),
                    wider: wider.cloned().collect(),
                    unknown: unknown.collect(),
                });
            }
            self.note(column, tag, reading);
        }
        Ok(())
    }

    fn note(&mut self, column: &ColumnSpec, tag: &str, reading: &Reading<'_>) {
        let both = match self.0.get(&column.name) {
            Some(known) if known != tag => leaves(known, reading)
                .intersection(&leaves(tag, reading))
                .to_string(),
            _ => tag.to_owned(),
        };
        self.0.insert(column.name.clone(), both);
    }
}

/// Why a tag is no list of purposes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TagError {
    /// Nothing at all.
    #[error(
        "it names no purpose; if the column was collected for none, leave it out of the agreement, and if nobody said for which, take the tag away"
    )]
    Empty,
    /// Nothing between two commas.
    #[error("a name is missing before or after a comma")]
    Gap,
    /// No name of a purpose.
    #[error("`{name}` is no name of a purpose")]
    Name {
        /// What stands there (cut to 200 characters).
        name: String,
    },
}

/// All names of a tag, if each is one.
fn named(tag: &str) -> Result<Vec<PurposeName>, TagError> {
    if tag.trim().is_empty() {
        return Err(TagError::Empty);
    }
    let name = |name: &str| match name.trim() {
        "" => Err(TagError::Gap),
        name => name
            .parse()
            .map_err(|_| TagError::Name { name: shown(name) }),
    };
    tag.split(',').map(name).collect()
}

fn names(tag: &str) -> impl Iterator<Item = PurposeName> {
    tag.split(',').filter_map(|name| name.trim().parse().ok())
}

/// A branch that a tag names, and what it stands for today.
fn branch<'a>(tag: &str, reading: &Reading<'a>) -> Option<(PurposeName, &'a PurposeSet)> {
    names(tag).find_map(|name| Some((name.clone(), reading.branches.get(&name)?)))
}

/// The leaves that a tag allows.
fn leaves(tag: &str, reading: &Reading<'_>) -> PurposeSet {
    names(tag)
        .filter_map(|name| reading.leaf(&name).cloned())
        .collect()
}

/// The purposes that may open a column, whatever the consents.
fn used_for(column: &ColumnSpec, reading: &Reading<'_>) -> PurposeSet {
    match column.ty {
        // Sealed for nobody: open to every purpose.
        _ if reading.spec.public => reading.purposes.clone(),
        ty if ty.is_key() => reading.spec.openable(column, reading.purposes),
        _ => column.purposes.clone(),
    }
}

/// A tag as an error may show it.
fn shown(tag: &str) -> String {
    tag.chars().filter(|c| !c.is_control()).take(200).collect()
}
