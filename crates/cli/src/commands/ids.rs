//! Ids as the agreement has them written.

use incamera_agreement::Agreement;
use incamera_matching::ids::Normaliser;
use incamera_types::IdKind;

use crate::failure::{Context, Failure};

/// What brings ids of this kind to the agreement's one way of writing.
pub fn normaliser(agreement: &Agreement, kind: &IdKind) -> Result<Normaliser, Failure> {
    let writing = agreement.matching.id_writing(kind);
    Normaliser::of(kind, &writing)
        .or_fail(format!("ids of kind `{kind}` cannot be read"))
        .map_err(|failure| failure.hint("nothing was done"))
}
