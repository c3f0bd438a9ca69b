//! `match run --via`: ids of one kind get the pseudonyms that links lead to.
//!
//! | step     | what                                                                       |
//! |----------|----------------------------------------------------------------------------|
//! | evaluate | the ids, under their own kind                                              |
//! | look up  | at all providers that answer, in rounds over [`LOOKUP_IDS`] ids in random order |
//! | write    | the crosswalk anew: an id with one link, until that is over                |
//!
//! Links come and go, so every run looks all ids up and replaces the crosswalk. An id without a
//! link, or that leads to several, has no row: it is not matched by its own kind instead.

use std::collections::BTreeMap;
use std::time::Instant;

use incamera_agreement::IdLink;
use incamera_matching::Seed;
use incamera_matching::finish::{Finish, Finished, Matched};
use incamera_matching::links::{Lookups, Passed, Resolved};
use incamera_oprf::suite::Output;
use incamera_types::{Date, PartyName};
use serde_json::{Map, Value, json};

use super::super::super::block_on;
use super::super::Work;
use super::super::counted_runs::Counted;
use super::super::files::FileStore;
use super::super::ingest::{Input, unsorted};
use super::super::links::{link_terms, links_of, needed};
use super::super::report::{Report, Told, fields};
use super::lookup::Stores;
use super::{
    Evaluated, Found, LeftOut, asker, day_of, keys, of_key, read, warn_of_end, whole, within_limit,
    write_rows,
};
use crate::clock::today;
use crate::failure::{Done, Failure};

/// Ids that are looked up together at most: a provider cannot tell them apart by when it was asked.
const LOOKUP_IDS: usize = 16_384;

/// Gives each id the pseudonym that its link leads to.
pub fn run(work: &Work<'_>, start: Instant) -> Done {
    let link = link(work)?;
    let mut found = block_on(keys::find(&asker(work)))?;
    warn_of_end(work, &found);
    work.slot.remove_journal()?;
    let input = Input::read(work, &Seed::generate(&mut rand::rng()))?;
    input.enough_valid(work, work.printer)?;
    within_limit(work, &input)?;
    let mut counted = Counted::open(
        work.folder,
        work.agreement.agreement(),
        &[work.kind_of_ids()],
        work.printer,
    )?;
    let (outputs, evaluated) = evaluated(work, &mut found, &input, &mut counted)?;
    let looked = looked_up(work, &link, &found, &outputs)?;
    drop(outputs);
    let counts = Linked::of(&looked.resolved);
    let (finished, first_over) = write(work, &input, &found, &looked.resolved)?;
    let came = Came {
        counts,
        looked,
        evaluated,
        found,
        first_over,
    };
    let report = Report {
        work,
        input: &input,
        finished: Some(finished),
        told: Told {
            fields: came.fields(work),
            sent: came.evaluated.sent,
            received: came.evaluated.received,
            used: counted.used().into_iter().map(|(_, used)| used).next(),
            ..Told::default()
        },
        start,
    };
    report.show_as(came.text(&report));
    Ok(())
}

/// The agreement's link from the ids in the data to the kind that is matched.
fn link(work: &Work<'_>) -> Result<IdLink, Failure> {
    let all = links_of(work.agreement.agreement());
    let (from, to) = (work.kind_of_ids(), &work.terms.id_kind);
    let found = all.iter().find(|link| (&link.from, &link.to) == (from, to));
    found.cloned().ok_or_else(|| {
        let listed: Vec<_> = all.iter().map(IdLink::to_string).collect();
        let failure = Failure::usage(format!("the agreement has no link from `{from}` to `{to}`"));
        match listed.is_empty() {
            true => failure.hint("`links` under [matching] says which kinds are linked"),
            false => failure.hint(format!("it links {}", listed.join(", "))),
        }
    })
}

fn evaluated(
    work: &Work<'_>,
    found: &mut Found,
    input: &Input,
    counted: &mut Counted,
) -> Result<(Vec<Output>, Evaluated), Failure> {
    let (mut terms, counting) = counted.of(work.kind_of_ids())?;
    terms.max_ids = work.terms.max_ids;
    let mut ids = None;
    let mut read = |places| read(input, &mut ids, places);
    let all = (input.ordered.len(), &mut read as &mut _);
    whole::of(&asker(work), &terms, counting, found, all, work.backend()?)
}

/// What came of the look-ups.
struct LookedUp {
    resolved: Vec<Resolved>,
    passed: Passed,
    left_out: LeftOut,
}

fn looked_up(
    work: &Work<'_>,
    link: &IdLink,
    found: &Found,
    outputs: &[Output],
) -> Result<LookedUp, Failure> {
    let agreement = work.agreement.agreement();
    let terms = link_terms(agreement, link);
    let owners = agreement.owners().into_iter();
    let sources: Vec<PartyName> = owners.cloned().collect();
    let needed = needed(agreement);
    let bar = (work.printer).progress("looking links up", Some(outputs.len() as u64));
    let looked = block_on(async {
        let mut stores = Stores::open(&asker(work), found, needed).await?;
        let (mut resolved, mut passed) = (Vec::new(), Passed::default());
        for some in outputs.chunks(at_once(outputs.len())) {
            let mut lookups = Lookups::new(&terms, some, &sources);
            loop {
                let labels = lookups.round(&mut rand::rng());
                if labels.is_empty() {
                    break;
                }
                lookups.answered(stores.find(labels).await?, needed, today());
            }
            let (more, over) = lookups.finish();
            resolved.extend(more);
            passed += over;
            bar.inc(some.len() as u64);
        }
        Ok(LookedUp {
            resolved,
            passed,
            left_out: stores.left_out,
        })
    });
    bar.finish_and_clear();
    looked
}

/// How many of all ids are looked up together: equal parts, so that none is of few.
fn at_once(ids: usize) -> usize {
    ids.div_ceil(ids.div_ceil(LOOKUP_IDS).max(1)).max(1)
}

/// How many ids came to what.
#[derive(Clone, Copy, Default)]
struct Linked {
    linked: u64,
    ambiguous: u64,
    without: u64,
}

impl Linked {
    fn of(resolved: &[Resolved]) -> Self {
        let mut counts = Self::default();
        for one in resolved {
            match one {
                Resolved::One(..) => counts.linked += 1,
                Resolved::Ambiguous => counts.ambiguous += 1,
                Resolved::None => counts.without += 1,
            }
        }
        counts
    }
}

/// Writes the crosswalk anew; a row counts until its link is over, and no longer than the key.
/// Gives the earliest of those days too.
fn write(
    work: &Work<'_>,
    input: &Input,
    found: &Found,
    resolved: &[Resolved],
) -> Result<(Finished, Option<Date>), Failure> {
    let mut first_over: Option<Date> = None;
    let key_until = day_of(found.statement.valid_until());
    let store = work.slot.store();
    let memory = work.memory();
    let finish = Finish::new(None, Matched::Hidden, &store, memory, &mut rand::rng());
    let mut finish: Finish<FileStore> = finish.replacing();
    let ids = input.ordered.read_from(0);
    let mut ids = ids.map_err(|error| unsorted(&error))?;
    let mut resolved = resolved.iter();
    while let Some(entry) = ids.next().map_err(|error| unsorted(&error))? {
        if let Some(Resolved::One(pseudonym, until)) = resolved.next() {
            let until: Date = key_until.min(*until);
            first_over = Some(first_over.map_or(until, |first| first.min(until)));
            let given = finish.give_until(&entry, pseudonym, false, Some(until));
            given.map_err(|error| unsorted(&error))?;
        }
    }
    let written = write_rows(work, finish, of_key(found), &mut |_| Ok(()));
    Ok((written?, first_over))
}

/// What came of the run.
struct Came {
    counts: Linked,
    looked: LookedUp,
    evaluated: Evaluated,
    found: Found,
    /// The earliest last day of a row.
    first_over: Option<Date>,
}

impl Came {
    /// Providers that were not asked, for one thing or the other.
    fn left_out(&self) -> BTreeMap<&str, &str> {
        let all = self.evaluated.left_out.iter().chain(&self.looked.left_out);
        all.map(|(name, why)| (name.as_str(), why.as_str()))
            .collect()
    }

    fn text(&self, report: &Report<'_>) -> String {
        let (work, input, counts) = (report.work, report.input, self.counts);
        let forgotten = report.finished.unwrap_or_default().forgotten;
        let mut text = format!(
            "{} of your {} distinct ids of kind `{}` have the pseudonym of an id of kind `{}`, via links ({:.1} s)\n  {}\n  without a link that counts, left out: {}; leading to several, left out: {}",
            counts.linked.saturating_sub(forgotten),
            input.ordered.taken.distinct,
            work.kind_of_ids(),
            work.terms.id_kind,
            report.start.elapsed().as_secs_f64(),
            input.words(),
            counts.without,
            counts.ambiguous,
        );
        if forgotten > 0 {
            text += &format!(", left out because they were forgotten meanwhile {forgotten}");
        }
        text += &input.beside(work);
        for (what, count) in self.passed_over() {
            if count > 0 {
                text += &format!("\n  {what}, passed over: {count}");
            }
        }
        for (name, why) in self.left_out() {
            let asked = self.evaluated.was_asked(name, false);
            text += &format!("\n  `{name}` was {asked}: {why}");
        }
        if let Some(day) = self.first_over {
            text += &format!("\n  the first of these links is over after {day}");
        }
        if let Some(used) = &report.told.used {
            text += &format!("\n  ids of kind `{}`: {}", work.kind_of_ids(), used.words());
        }
        text + &format!(
            "\n  `data seal` takes what is not over then, and what it seals can be used until the first of its ids is over, {} at the latest (`--until` leaves out those that end sooner); what is taken back before counts in it until you run this, `data seal` and `data push` again\n  {}\n  crosswalk (yours alone): {}",
            day_of(self.found.statement.valid_until()),
            report.pace().words(),
            work.crosswalk_path().display()
        )
    }

    fn passed_over(&self) -> [(&'static str, u64); 3] {
        let Passed {
            foreign,
            spoilt,
            at_too_few,
        } = self.looked.passed;
        [
            (
                "entries that others stored under labels of a source",
                foreign,
            ),
            ("entries that do not open", spoilt),
            ("entries that too few providers have alike", at_too_few),
        ]
    }

    fn fields(&self, work: &Work<'_>) -> Map<String, Value> {
        let (statement, passed) = (&self.found.statement, self.looked.passed);
        let left_out: Vec<_> = self.left_out().into_keys().collect();
        let holders: Vec<_> = statement.holders().values().collect();
        fields(json!({
            "peer": null, "providers": self.evaluated.by, "key_holders": holders,
            "threshold": statement.keys().threshold(),
            "providers_left_out": left_out, "key_statement": statement.number(), "key_fingerprint": statement.fingerprint(),
            "valid_until": day_of(statement.valid_until()).to_string(),
            "first_over": self.first_over.map(|day| day.to_string()),
            "via": work.kind_of_ids(), "linked": self.counts.linked,
            "ambiguous": self.counts.ambiguous, "without_link": self.counts.without,
            "links_passed_over": {
                "foreign": passed.foreign, "spoilt": passed.spoilt,
                "at_too_few": passed.at_too_few,
            },
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_looked_up_in_equal_parts() {
        for (ids, parts) in [
            (0, [].as_slice()),
            (1, &[1]),
            (16_384, &[16_384]),
            (16_385, &[8_193, 8_192]),
            (40_000, &[13_334, 13_334, 13_332]),
        ] {
            let all = vec![0; ids];
            let found: Vec<_> = all.chunks(at_once(ids)).map(<[_]>::len).collect();
            assert_eq!(found, parts);
        }
    }
}
