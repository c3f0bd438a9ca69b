//! What the key ring is opened for: once, before anything else, since opening it takes more
//! memory than all that comes later.

use std::path::PathBuf;

use incamera_keys::MatchingKey;
use incamera_matching::{Method, Partition, Terms};
use incamera_seal::{KeyRing, MatchingSecret, MatchingSlot, Source};
use incamera_types::AgreementId;

use super::super::seal::ENCRYPTED;
use super::counting::Counting;
use super::files::SlotFolder;
use super::reading::source_failure;
use crate::failure::{Context, Failure};
use crate::folder::Folder;
use crate::printer::Printer;

/// What came of the ring.
pub struct Opened {
    /// The slot's lasting secret.
    pub secret: MatchingKey,
    pub counting: Counting,
    /// Where the ids come from; encrypted ones have their keys.
    pub sources: Vec<Source>,
}

/// Opens the ring, and closes it: what is in it goes before the ids come.
pub fn open(
    data: &[PathBuf],
    folder: &Folder,
    terms: &Terms,
    (partition, max_runs): (Partition, u32),
    slot_folder: &SlotFolder,
    printer: &Printer,
) -> Result<Opened, Failure> {
    let mut ring = folder.ring()?;
    let sources = sources(data, &ring, &terms.agreement_id)?;
    let counted = (partition, max_runs);
    let (secret, counting) = counting(&mut ring, terms, counted, slot_folder, printer)?;
    Ok(Opened {
        secret,
        counting,
        sources,
    })
}

/// The secret of a slot, and the history of its runs.
pub fn counting(
    ring: &mut KeyRing,
    terms: &Terms,
    (partition, max_runs): (Partition, u32),
    slot_folder: &SlotFolder,
    printer: &Printer,
) -> Result<(MatchingKey, Counting), Failure> {
    let slot = slot(terms);
    let lasts = terms.method != Method::Vole;
    let (key, known) = if lasts {
        let secret = ring.matching_secret_or_new(&slot, &mut rand::rng());
        copied(secret.or_fail("the matching secret was not kept")?)
    } else {
        // No pseudonym comes of it.
        copied(&ring.matching_secret_or_derived(&slot))
    };
    let counting = Counting::open(slot_folder, &key, partition, known, max_runs, printer)?;
    if counting.runs() > known {
        let counted = match lasts {
            true => ring.count_matching_runs(&slot, counting.runs()),
            false => ring.count_derived_runs(&slot, counting.runs()),
        };
        counted.or_fail("the runs were not counted")?;
    }
    Ok((key, counting))
}

/// The slot's lasting secret, and where the ids come from, for what counts no run.
pub fn secret_alone(
    data: &[PathBuf],
    folder: &Folder,
    terms: &Terms,
) -> Result<(MatchingKey, Vec<Source>), Failure> {
    let mut ring = folder.ring()?;
    let sources = sources(data, &ring, &terms.agreement_id)?;
    let secret = ring.matching_secret_or_new(&slot(terms), &mut rand::rng());
    let (key, _) = copied(secret.or_fail("the matching secret was not kept")?);
    Ok((key, sources))
}

fn slot(terms: &Terms) -> MatchingSlot {
    MatchingSlot {
        agreement_id: terms.agreement_id,
        epoch: terms.epoch,
        id_kind: terms.id_kind.clone(),
        method: terms.method.to_string(),
        reveals: terms.reveals.to_string(),
    }
}

/// The secret and its runs.
fn copied(secret: &MatchingSecret) -> (MatchingKey, u32) {
    let key = MatchingKey::from_bytes(*secret.key().expose());
    (key, secret.runs())
}

/// Where ids come from; encrypted files have their keys.
pub fn sources(
    data: &[PathBuf],
    ring: &KeyRing,
    agreement: &AgreementId,
) -> Result<Vec<Source>, Failure> {
    let open = |path: &PathBuf| {
        let failed = |error| source_failure(path, &error);
        let source = Source::of(path).map_err(failed)?;
        if !source.is_parquet() {
            return Ok(source);
        }
        let unlocked = source.unlock(ring, agreement, None);
        let what = format!(
            "the ids in `{}` were not read",
            Source::shown(path).display()
        );
        unlocked
            .or_fail(what)
            .map_err(|failure| failure.hint(ENCRYPTED))
    };
    data.iter().map(open).collect()
}
