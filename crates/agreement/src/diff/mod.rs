//! What changes between two versions of an agreement, in words: what becomes of purposes, then
//! every change of the file, then what sealed data sets need.

mod fields;
mod meaning;
mod purposes;
#[cfg(test)]
mod tests;

pub use purposes::PurposeChange;

use crate::{Agreement, DatasetImpact, impact};

/// What changes from one version to another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Differences {
    /// Whether the one follows the other, a sentence each.
    pub lineage: Vec<String>,
    /// What becomes of purposes.
    pub purposes: Vec<PurposeChange>,
    /// The same in words, a sentence each, with what successors mean.
    pub of_purposes: Vec<String>,
    /// Every other change of the file, a sentence each.
    pub fields: Vec<String>,
    /// What each data set that is sealed under the old version needs.
    pub datasets: Vec<DatasetImpact>,
}

impl Differences {
    /// Whether the files are the same, byte for byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All sentences: of the lineage, of purposes, of the rest.
    pub fn sentences(&self) -> impl Iterator<Item = &String> {
        let parts = [&self.lineage, &self.of_purposes, &self.fields];
        parts.into_iter().flatten()
    }
}

/// What changes from `old` to `new`; nothing if the bytes are the same.
#[must_use]
pub fn diff(old: &Agreement, new: &Agreement) -> Differences {
    if old.bytes() == new.bytes() {
        return Differences::default();
    }
    let purposes = purposes::purposes(old, new);
    let words = purposes
        .iter()
        .map(|change| purposes::words(change, old, new));
    let of_purposes: Vec<String> = words.collect();
    let mut fields = fields::fields(old, new);
    if fields.is_empty() && of_purposes.is_empty() {
        fields.push("only comments, layout or the spelling of values change".to_owned());
    }
    Differences {
        lineage: lineage(old, new),
        purposes,
        of_purposes,
        fields,
        datasets: impact(old, new),
    }
}

/// Whether `new` is the version after `old`, said in words.
fn lineage(old: &Agreement, new: &Agreement) -> Vec<String> {
    let mut sentences = Vec::new();
    if new.follows == Some(old.digest) && new.id == old.id {
        sentences.push(format!(
            "version {} follows version {}: pseudonyms, sealed data and spent budgets live on",
            new.version, old.version
        ));
        if new.version != old.version.saturating_add(1) {
            sentences.push(format!(
                "CAUTION: the version number goes from {} to {}",
                old.version, new.version
            ));
        }
    } else {
        sentences.push(format!(
            "CAUTION: `{}` version {} does not follow `{}` version {}: it is not the next version of this agreement",
            new.name, new.version, old.name, old.version
        ));
    }
    if old.proposals.is_some() {
        sentences.push(format!(
            "what was proposed under version {} runs no more: it is proposed and approved anew",
            old.version
        ));
    }
    let false_claims = new.false_successions(old, []).into_iter();
    sentences.extend(false_claims.map(|claim| format!("CAUTION: {claim}")));
    sentences
}
