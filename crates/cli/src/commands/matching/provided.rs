//! `match run` under `method = "provider"`: providers evaluate the ids, nobody else is waited
//! for.
//!
//! | module  | holds                                                         |
//! |---------|---------------------------------------------------------------|
//! | here    | the run: journal, batches, crosswalk, what is told             |
//! | `beginning` | what a start begins with, and whether anything is to be done |
//! | `evaluating` | batches on their way between ids, threads and providers  |
//! | `keys`  | the key statement: asked of all providers, never an older one  |
//! | `ports` | a session with each provider that is asked                     |
//! | `whole` | sets evaluated whole, for links                                |
//! | `linked`, `lookup` | the run whose ids get the pseudonyms that links lead to |
//! | `refusals` | providers that refuse: whom to believe                     |

mod beginning;
mod evaluating;
mod keys;
pub mod linked;
pub mod lookup;
mod ports;
mod refusals;
pub mod whole;

use std::ops::Range;
use std::time::Instant;

use incamera_matching::exchange::Block;
use incamera_matching::finish::{Finish, FinishError, Finished, Matched, Row};
use incamera_matching::intake::Ids;
use incamera_matching::journal::{Places, Record};
use incamera_matching::provided::Run;
use incamera_oprf::suite::Output;
use incamera_types::{Date, Digest as _, MatchRunDigest, and};
use serde_json::json;

use super::super::block_on;
use super::Work;
use super::counting::Counting;
use super::files::FileStore;
use super::ingest::{Input, unsorted};
use super::keep::{Kept, journal_failure};
use super::kept::{Earlier, NewCrosswalk};
use super::report::{Report, Told, fields};
use crate::clock::today;
use crate::failure::{Context as _, Done, Failure};
use beginning::{Prepared, begun, prepared, within_limit};
use evaluating::{BATCH_IDS, Ways, evaluate};

pub use evaluating::{Asker, Evaluated};
pub use keys::{Found, find as find_keys};
pub use whole::LeftOut;

/// How long before the key's end to warn.
const WARN_DAYS: i32 = 14;

/// Gives each id its pseudonym.
pub fn run(work: &Work<'_>, counting: &mut Counting, start: Instant) -> Done {
    let (Prepared { input, stage }, nothing) = prepared(work, counting)?;
    if let Some(nothing) = nothing {
        nothing.show(work, &input, counting);
        return Ok(());
    }
    let asker = asker(work);
    let mut found = block_on(keys::find(&asker))?;
    warn_of_end(work, &found);
    let mut kept = begun(work, &input, stage)?;
    let resumed_from = kept.held.own;
    let evaluated = carry(work, &input, &mut kept, counting, &mut found)?;
    let until = day_of(found.statement.valid_until());
    let finished = write(work, &input, &mut kept, (until, of_key(&found)))?;
    kept.note(&Record::Written)?;
    work.slot.remove_journal()?;
    let report = Report {
        work,
        input: &input,
        finished: Some(finished),
        told: Told {
            used: Some(counting.used(&work.terms)),
            ..told(&found, &kept, resumed_from, evaluated)
        },
        start,
    };
    report.show();
    Ok(())
}

/// What crosswalks and manifests name, as the run is elsewhere that made pseudonyms: here they are
/// those of the key, and rows of two keys would join nobody's.
pub fn of_key(found: &Found) -> MatchRunDigest {
    MatchRunDigest::from_bytes(*found.statement.key_digest().as_bytes())
}

/// The day that a time is on, in UTC.
pub fn day_of(time: incamera_types::UnixTime) -> Date {
    Date::from_days(i32::try_from(time.0 / 86_400).unwrap_or(i32::MAX))
}

fn warn_of_end(work: &Work<'_>, found: &Found) {
    let until = day_of(found.statement.valid_until());
    let left = until.days().saturating_sub(today().days());
    if left <= WARN_DAYS {
        work.printer.warn(format!(
            "the providers' key is valid until {until}: pseudonyms end with it, {left} days from now; agree on a version with epoch = {} before, and match and seal again",
            work.terms.epoch.0.saturating_add(1)
        ));
    }
}

/// Has every id evaluated that has no pseudonym yet.
fn carry(
    work: &Work<'_>,
    input: &Input,
    kept: &mut Kept,
    counting: &mut Counting,
    found: &mut Found,
) -> Result<Evaluated, Failure> {
    let keys = kept.header.seed.run(&kept.header.input);
    let run = Run {
        terms: &work.terms,
        me: work.folder.name(),
        nonce: kept.header.nonce,
        size: kept.header.own,
        held: kept.held.own,
        keys: &keys,
        batch: BATCH_IDS,
        window: work.arguments.window / BATCH_IDS as usize,
        backend: work.backend()?,
    };
    let mut ids: Option<Ids<FileStore>> = None;
    let mut read = |places: Range<u64>| read(input, &mut ids, places);
    let pseudonyms = work.terms.pseudonyms();
    // A run is counted here as soon as a provider has counted it.
    let (name, own, mode) = (kept.header.run, kept.header.own, work.mode());
    // Pseudonyms are final: whatever comes, these ids need not be asked for again.
    let mut keep = |first: u64, outputs: &[Output]| {
        let values = outputs.iter().map(|output| pseudonyms.of_output(output));
        let bytes = values.flat_map(|value| *value.as_bytes()).collect();
        let places = Places { first, bytes };
        kept.held.own = places.end();
        kept.note(&Record::Own(places))
    };
    let mut count = || counting.count_own(name, own, mode);
    let ways = Ways {
        read: &mut read,
        keep: &mut keep,
        count: &mut count,
    };
    evaluate(&asker(work), &run, found, ways)
}

fn asker<'a>(work: &'a Work<'_>) -> Asker<'a> {
    Asker {
        folder: work.folder,
        agreement: work.agreement,
        printer: work.printer,
        statement: work.slot.key_statement_path(),
        without: &work.arguments.without,
        patience: work.arguments.patience(),
    }
}

/// Ids of these places.
fn read(
    input: &Input,
    open: &mut Option<Ids<FileStore>>,
    places: Range<u64>,
) -> Result<Block, Failure> {
    let what = "the ids were not read back";
    let mut ids = match open.take().filter(|ids| ids.place() == places.start) {
        Some(ids) => ids,
        None => input.ordered.read_from(places.start).or_fail(what)?,
    };
    let mut block = Block::new();
    for _ in places {
        if let Some(entry) = ids.next().or_fail(what)? {
            block.push(entry.id.as_bytes());
        }
    }
    *open = Some(ids);
    Ok(block)
}

/// Writes the crosswalk with what the journal has; its rows count until the key ends.
fn write(
    work: &Work<'_>,
    input: &Input,
    kept: &mut Kept,
    (until, key): (Date, MatchRunDigest),
) -> Result<Finished, Failure> {
    let (store, memory) = (work.slot.store(), work.memory());
    let mut finish = Finish::new(
        Some(until),
        Matched::Hidden,
        &store,
        memory,
        &mut rand::rng(),
    );
    let ids = input.ordered.read_from(0);
    let mut ids = ids.map_err(|error| unsorted(&error))?;
    let mut records = kept.journal.records();
    while let Some(record) = records.next().map_err(|error| journal_failure(&error))? {
        let Record::Own(places) = record else {
            continue;
        };
        for value in places.values() {
            let pseudonym = incamera_types::Pseudonym::from_bytes(value);
            if let Some(entry) = ids.next().map_err(|error| unsorted(&error))? {
                let given = finish.give(&entry, &pseudonym, false);
                given.map_err(|error| unsorted(&error))?;
            }
        }
    }
    drop(records);
    write_rows(work, finish, key, &mut |digest| {
        kept.note(&Record::Crosswalk(digest))
    })
}

/// Joins what the run gave with the crosswalk as it is by now; `before` hears the new one's
/// digest before it is in place.
fn write_rows(
    work: &Work<'_>,
    finish: Finish<FileStore>,
    key: MatchRunDigest,
    before: &mut dyn FnMut([u8; 32]) -> Done,
) -> Result<Finished, Failure> {
    // Whoever forgets people holds it from before the crosswalk is read until it is written.
    let _lock = work.folder.sealing_lock(&work.terms.agreement_id)?;
    let mut earlier = Earlier::open(work)?;
    let mut new = NewCrosswalk::create(work, Some(key))?;
    let mut write = |row: &Row| new.push(row);
    let finished = match &mut earlier {
        Some(earlier) => finish.write(Some(&mut |row: &mut Row| earlier.fill(row)), &mut write),
        None => finish.write(None, &mut write),
    };
    let finished = finished.map_err(|error| match error {
        FinishError::Rows(failure) => failure,
        FinishError::Sort(error) => unsorted(&error),
        _ => Failure::failed("the crosswalk was not written")
            .why("ids of earlier runs get other pseudonyms now, so nothing would join: the crosswalk was changed, or is of another key")
            .hint("restore the crosswalk from a backup, or move it away and match all ids again"),
    })?;
    new.finish(before)?;
    Ok(finished)
}

/// What a run came to, beside what all methods tell.
fn told(found: &Found, kept: &Kept, resumed_from: u64, evaluated: Evaluated) -> Told {
    let statement = &found.statement;
    let holders: Vec<_> = statement.holders().values().collect();
    let left_out: Vec<_> = evaluated.left_out.iter().map(|(name, _)| name).collect();
    let until = day_of(statement.valid_until());
    let threshold = statement.keys().threshold();
    let mut lines: Vec<String> = evaluated.not_asked(resumed_from > 0).collect();
    lines.push(format!(
        "pseudonyms count until {until}; other parties get the same for the same ids, and nobody learns which those are"
    ));
    lines.push(format!(
        "key of the providers: {}; all owners have the same, or their pseudonyms do not join",
        statement.fingerprint()
    ));
    Told {
        with: String::new(),
        by: match evaluated.by.is_empty() {
            true => String::new(), // All ids had theirs before this start.
            false => format!(
                ", {}by {} together, {threshold} of {} providers at a time",
                match resumed_from {
                    0 => "",
                    _ => "at this start ",
                },
                and(&evaluated.by),
                holders.len()
            ),
        },
        fields: fields(json!({
            "peer": null, "providers": evaluated.by, "key_holders": holders, "threshold": threshold,
            "providers_left_out": left_out, "nothing_new": false, "key_statement": statement.number(), "key_fingerprint": statement.fingerprint(),
            "valid_until": until.to_string(), "run": kept.header.run.to_string(),
        })),
        lines,
        resumed_from,
        sent: evaluated.sent,
        received: evaluated.received,
        used: None,
    }
}
