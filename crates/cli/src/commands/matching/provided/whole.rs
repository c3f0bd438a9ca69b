//! Whole sets evaluated, whose outputs are kept in memory: what links are made of and found by.
//! Nothing of it reaches the disk, so what is killed begins anew, and counts as one more run.

use std::ops::Range;

use incamera_group::Backend;
use incamera_matching::exchange::Block;
use incamera_matching::provided::Run;
use incamera_matching::{Mode, Seed, Terms};
use incamera_oprf::suite::Output;
use incamera_types::{Digest as _, MatchInputDigest, MatchRunDigest};
use rand::Rng as _;

use super::super::counting::Counting;
use super::evaluating::{Asker, BATCH_IDS, Evaluated, ReadIds, Ways, evaluate};
use super::keys::Found;
use crate::failure::Failure;

/// Providers that were not asked, or no more, and why.
pub type LeftOut = Vec<(String, String)>;

/// Batches under way.
const WINDOW: usize = 4;

/// Has so many ids evaluated, which counts as a run of their kind; the outputs come in their order.
pub fn of(
    asker: &Asker<'_>,
    terms: &Terms,
    counting: &mut Counting,
    found: &mut Found,
    (size, read): (u64, &mut ReadIds<'_>),
    backend: Backend,
) -> Result<(Vec<Output>, Evaluated), Failure> {
    let mut nonce = [0; 32];
    rand::rng().fill_bytes(&mut nonce);
    // The seed is of this run alone.
    let keys = Seed::generate(&mut rand::rng()).run(&MatchInputDigest::from_bytes(nonce));
    let name = MatchRunDigest::from_bytes(nonce);
    let run = Run {
        terms,
        me: asker.folder.name(),
        nonce,
        size,
        held: 0,
        keys: &keys,
        batch: BATCH_IDS,
        window: WINDOW,
        backend,
    };
    let mut outputs = Vec::new();
    let mut keep = |_, some: &[Output]| {
        outputs.extend_from_slice(some);
        Ok(())
    };
    if size > 0 {
        counting.allow_one()?;
    }
    let evaluated = match size {
        0 => Evaluated::default(),
        _ => {
            let ways = Ways {
                read,
                keep: &mut keep,
                count: &mut || counting.count_own(name, size, Mode::Full),
            };
            evaluate(asker, &run, found, ways)?
        }
    };
    Ok((outputs, evaluated))
}

/// The same for a list.
pub fn of_list(
    asker: &Asker<'_>,
    terms: &Terms,
    counting: &mut Counting,
    found: &mut Found,
    ids: &[String],
    backend: Backend,
) -> Result<(Vec<Output>, Evaluated), Failure> {
    let mut read = |places: Range<u64>| {
        let mut block = Block::new();
        let place = |at| usize::try_from(at).unwrap_or(usize::MAX);
        let some = ids.get(place(places.start)..place(places.end));
        for id in some.unwrap_or_default() {
            block.push(id.as_bytes());
        }
        Ok(block)
    };
    of(
        asker,
        terms,
        counting,
        found,
        (ids.len() as u64, &mut read),
        backend,
    )
}
