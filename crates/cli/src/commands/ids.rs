//! Ids as the agreement has them written.

use incamera_matching::ids::{Normaliser, WritingError};
use incamera_types::{IdForm, IdKind, IdSort, IdWriting};

use crate::failure::Failure;

/// What brings ids of this kind, written so, to the agreement's one way of writing.
pub fn normaliser(kind: &IdKind, writing: &IdWriting) -> Result<Normaliser, Failure> {
    Normaliser::of(kind, writing).map_err(|error| {
        Failure::usage(format!("ids of kind `{kind}` cannot be read"))
            .because(&error)
            .hint(mend(kind, writing, &error))
    })
}

fn mend(kind: &IdKind, writing: &IdWriting, error: &WritingError) -> String {
    match error {
        WritingError::FirstRules if writing.hashed => {
            "agree on `rules = 2` beside `hashed`, in a new matching epoch".to_owned()
        }
        WritingError::FirstRules => {
            "leave `--form` and `--region` out, or agree on `rules = 2`, in a new matching epoch"
                .to_owned()
        }
        WritingError::NotHashed { .. } => format!(
            "give the ids as people write them; to match hashes, agree on `hashed = [\"{kind}\"]`, in a new matching epoch"
        ),
        WritingError::Region { .. } => {
            "name a country by its two letters, such as `DE` or `US`".to_owned()
        }
        WritingError::RegionOfNothing if kind.looks_like() == Some(IdSort::Phone) => format!(
            "leave `--region` out: no rules for phone numbers hold for a kind `{kind}`, only for one that the agreement calls `phone`"
        ),
        WritingError::RegionOfNothing => "leave `--region` out".to_owned(),
        _ => "nothing was done".to_owned(),
    }
}

/// How a party has its ids, for people.
pub fn form_words(writing: &IdWriting) -> String {
    let form = match writing.form {
        IdForm::Sha256 => "as their SHA-256",
        _ => "as people write them",
    };
    match writing.region {
        Some(region) => format!("{form}, those without a country's code as numbers of {region}"),
        None => form.to_owned(),
    }
}
