//! `match links put`: pairs of ids, evaluated, sealed, left with every provider.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use incamera_agreement::{Agreement, IdLink};
use incamera_group::Backend;
use incamera_matching::links::{Edge, Entry, LinkTerms, MAX_EDGES, Said, upload};
use incamera_oprf::suite::Output;
use incamera_provider::LinkedId;
use incamera_types::{Date, IdKind, Pseudonym};
use serde_json::{Map, Value, json};

use super::super::super::block_on;
use super::super::counted_runs::Counted;
use super::super::provided::{Asker, Found, LeftOut, day_of, find_keys, whole};
use super::super::report::{Pace, fields};
use super::super::used::Used;
use super::pairs::{Read, read};
use super::readers::Readers;
use super::tell::Told;
use super::{Desk, NOT_KEPT, links_of, needed, opened, tell};
use crate::args::LinksPut;
use crate::clock::today;
use crate::failure::{Context as _, Done, Exit, Failure};
use crate::folder::Folder;
use crate::printer::Printer;
use crate::words::counted;

/// Leaves links with the providers.
pub fn run(arguments: &LinksPut, printer: &Printer) -> Done {
    let start = Instant::now();
    still_counts(arguments.until)?;
    let (folder, agreement) = opened(&arguments.party, &arguments.under)?;
    let terms = agreement.agreement();
    let link = chosen(arguments, terms)?;
    let mut counted = Counted::open(&folder, terms, &[&link.from, &link.to], printer)?;
    let mut desk = Desk::open(&folder, &agreement, printer)?;
    let asker = Asker {
        folder: &folder,
        agreement: &agreement,
        printer,
        // That of matching the first kind, which no `match run` works in meanwhile.
        statement: counted.key_statement_path()?,
        without: &[],
        patience: Duration::MAX,
    };
    let mut found = block_on(find_keys(&asker))?;
    let until = day_of(found.statement.valid_until());
    let until = arguments.until.map_or(until, |named| named.min(until));
    let read = read(&desk, &link, arguments, until)?;
    within_limits(&read, terms, &link)?;
    let evaluated = evaluated(&asker, &mut found, &link, &read, &mut counted)?;
    let made = made(&folder, terms, &link, &read, &evaluated)?;
    let (matter, providers) = (desk.matter(), desk.providers());
    let all = (made.ids.as_slice(), made.nothing.as_slice());
    let purposes = terms.leaf_purposes();
    let kept = (desk.book).put(&matter, &link, all, &purposes, providers);
    kept.or_fail(NOT_KEPT)?;
    // From here on nothing is evaluated again, whoever is down.
    let told = tell::all(&mut desk)?;
    if told.told.len() < needed(desk.terms()) {
        return Err(told.failure("too few providers have the links for anybody to find them"));
    }
    if !told.behind.is_empty() {
        return Err(
            told.failure("the links were told, but a provider still has what stood in their place")
        );
    }
    Report {
        arguments,
        link: &link,
        read: &read,
        made: &made,
        told: &told,
        readers: &Readers::of(terms, folder.name(), &link.to),
        left_out: &evaluated.left_out,
        used: counted.used(),
        until,
        start,
    }
    .show(printer);
    Ok(())
}

/// Links that are all over would take back those of before: nobody asks for that by a day.
fn still_counts(until: Option<Date>) -> Done {
    match until.filter(|until| *until < today()) {
        None => Ok(()),
        Some(until) => Err(
            Failure::usage(format!("{until} is over: no link would count")).hint(
                "`--until` takes a day to come; `incamera match links remove` takes links back",
            ),
        ),
    }
}

/// Which of the agreement's links.
fn chosen(arguments: &LinksPut, agreement: &Agreement) -> Result<IdLink, Failure> {
    let is = |link: &&IdLink| {
        arguments
            .from
            .as_ref()
            .is_none_or(|from| *from == link.from)
            && arguments.to.as_ref().is_none_or(|to| *to == link.to)
    };
    let all = links_of(agreement);
    let fit: Vec<_> = all.iter().filter(is).collect();
    match fit.as_slice() {
        [only] => Ok((*only).clone()),
        _ => {
            let listed: Vec<_> = all.iter().map(IdLink::to_string).collect();
            Err(
                Failure::usage("which kinds of id are to be linked?").hint(format!(
                    "name them with `--from` and `--to`: the agreement links {}",
                    listed.join(", ")
                )),
            )
        }
    }
}

fn within_limits(read: &Read, agreement: &Agreement, link: &IdLink) -> Done {
    let most = agreement.matching.max_ids;
    let (from, to) = (read.looked_up_ids().len(), read.led_to_ids().len());
    for (kind, found) in [(&link.from, from), (&link.to, to)] {
        if found as u64 > most {
            return Err(Failure::new(Exit::Refused, "the links were not made")
                .why(format!(
                    "there are {found} ids of kind `{kind}` to evaluate, and the agreement allows {most} a run"
                ))
                .hint("nothing was sent: put fewer at a time, or agree on a new version with a higher `max_ids`"));
        }
    }
    // Ids whose people agree to nothing any more are taken back all the same.
    if read.pairs.is_empty() {
        return Err(Failure::failed("there is nothing to link")
            .why(format!(
                "of {} rows none has a valid `{}` and a valid `{}`",
                read.tally.rows, link.from, link.to
            ))
            .hint("nothing was sent: name the columns with `--from-column` and `--to-column`"));
    }
    Ok(())
}

/// What providers made of the ids of both kinds.
struct Evaluated {
    from: BTreeMap<String, Output>,
    to: BTreeMap<String, Pseudonym>,
    left_out: LeftOut,
}

fn evaluated(
    asker: &Asker<'_>,
    found: &mut Found,
    link: &IdLink,
    read: &Read,
    counted: &mut Counted,
) -> Result<Evaluated, Failure> {
    let (from, to) = (read.looked_up_ids(), read.led_to_ids());
    if !from.is_empty() {
        counted.allow_one_each()?;
    }
    let mut left_out = LeftOut::new();
    let mut of = |kind, ids: &[String]| {
        let (terms, counting) = counted.of(kind)?;
        let backend = Backend::best();
        let (outputs, without) = whole::of_list(asker, &terms, counting, found, ids, backend)?;
        left_out.extend(without.left_out);
        Ok::<_, Failure>((terms, outputs))
    };
    let (_, outputs) = of(&link.from, &from)?;
    let (terms, others) = of(&link.to, &to)?;
    let pseudonyms = terms.pseudonyms();
    let others = others.iter().map(|output| pseudonyms.of_output(output));
    left_out.sort_unstable();
    left_out.dedup();
    Ok(Evaluated {
        to: to.into_iter().zip(others).collect(),
        from: from.into_iter().zip(outputs).collect(),
        left_out,
    })
}

/// What is to be stored.
struct Made {
    ids: Vec<LinkedId>,
    nothing: Vec<Entry>,
    entries: usize,
    /// Ids that lead to several: whoever looks one up gets none.
    ambiguous: u64,
    /// Links beyond those of one id that are ever looked for.
    beyond: u64,
}

fn made(
    folder: &Folder,
    agreement: &Agreement,
    link: &IdLink,
    read: &Read,
    evaluated: &Evaluated,
) -> Result<Made, Failure> {
    let terms = link_terms(agreement, link);
    let mut made = Made {
        ids: Vec::new(),
        nothing: Vec::new(),
        entries: 0,
        ambiguous: 0,
        beyond: 0,
    };
    let mut all = Vec::new();
    for (from, to) in &read.pairs {
        let edges = edges(&terms, to, read, evaluated);
        made.ambiguous += u64::from(edges.len() > 1);
        made.beyond += edges.len().saturating_sub(MAX_EDGES) as u64;
        let most = first_in_order(edges);
        let entries = match evaluated.from.get(from) {
            Some(output) => terms
                .entries(output, folder.name(), &most, &mut rand::rng())
                .or_fail("the links were not made")?,
            None => Vec::new(),
        };
        all.extend(entries.iter().cloned());
        made.entries += entries.len();
        made.ids.push(LinkedId {
            from: from.clone(),
            to: to.keys().cloned().collect(),
            until: to
                .values()
                .map(|said| said.expires)
                .max()
                .unwrap_or(today()),
            entries,
        });
    }
    let labels: std::collections::BTreeSet<_> = all.iter().map(|entry| entry.label).collect();
    let padded = upload(all, &terms.purposes, &mut rand::rng());
    let nothing = padded.into_values();
    made.nothing = nothing
        .filter(|entry| !labels.contains(&entry.label))
        .collect();
    Ok(made)
}

/// What labels hang on.
pub fn link_terms(agreement: &Agreement, link: &IdLink) -> LinkTerms {
    LinkTerms {
        agreement_id: agreement.id,
        epoch: agreement.matching.epoch,
        from: link.from.clone(),
        to: link.to.clone(),
        purposes: agreement.leaf_purposes(),
    }
}

/// The links of one id that count, in the order of the ids that they lead to.
fn edges(
    terms: &LinkTerms,
    to: &BTreeMap<String, Said>,
    read: &Read,
    evaluated: &Evaluated,
) -> Vec<Edge> {
    let edge = |(to, said): (&String, &Said)| {
        Some(Edge {
            pseudonym: *evaluated.to.get(to)?,
            recorded: said.recorded,
            consent: read.leaves.class(said.agreed),
            expires: said.expires,
        })
    };
    let edges = to.iter().filter_map(edge);
    edges.filter(|edge| terms.counts(edge)).collect()
}

/// Those that are told of, in their order: those that count longest. Beyond eight none is told of, and whoever looks the id up
/// finds no fewer people for it.
fn first_in_order(edges: Vec<Edge>) -> Vec<Edge> {
    let mut all: Vec<_> = edges.into_iter().enumerate().collect();
    all.sort_by_key(|(_, edge)| Reverse(edge.expires));
    all.truncate(MAX_EDGES);
    // The book knows by the order what leads to whom it led before.
    all.sort_by_key(|(place, _)| *place);
    all.into_iter().map(|(_, edge)| edge).collect()
}

struct Report<'a> {
    arguments: &'a LinksPut,
    link: &'a IdLink,
    read: &'a Read,
    made: &'a Made,
    told: &'a Told,
    readers: &'a Readers,
    left_out: &'a LeftOut,
    used: Vec<(IdKind, Used)>,
    until: Date,
    start: Instant,
}

impl Report<'_> {
    fn show(&self, printer: &Printer) {
        printer.result(self.text(), "incamera-links-put/1", &self.document());
    }

    fn linked(&self) -> usize {
        let ids = self.made.ids.iter();
        ids.filter(|id| !id.entries.is_empty()).count()
    }

    fn taken_back(&self) -> u64 {
        (self.made.ids.len() - self.linked()) as u64
    }

    fn pace(&self) -> Pace {
        let (from, to) = (self.read.looked_up_ids(), self.read.led_to_ids());
        Pace::of((from.len() + to.len()) as u64, self.start)
    }

    /// Those that something is stored of.
    fn pairs(&self) -> u64 {
        let all: usize = self.made.ids.iter().map(|id| id.to.len()).sum();
        (all as u64).saturating_sub(self.read.tally.in_part)
    }

    fn text(&self) -> String {
        let (tally, link) = (&self.read.tally, self.link);
        let mut text = format!(
            "{} of kind `{}` {} to pseudonyms of kind `{}`, at the providers, who cannot read it ({:.1} s)\n  rows {}, without a valid pair {} (empty: `{}` {}, `{}` {}), duplicates {}, pairs told {}",
            counted(self.linked() as u64, "id", "ids"),
            link.from,
            if self.linked() == 1 { "leads" } else { "lead" },
            link.to,
            self.start.elapsed().as_secs_f64(),
            tally.rows,
            self.read.invalid.count,
            link.from,
            tally.from.empty,
            link.to,
            tally.to.empty,
            tally.duplicates,
            self.pairs(),
        );
        for (what, count) in [
            ("left out without consent", tally.without_consent),
            ("left out because they are over", tally.over),
        ] {
            if count > 0 {
                text += &format!(", {what} {count}");
            }
        }
        if self.read.invalid.count > 0 {
            let places = self.read.invalid.words(&self.arguments.data);
            text += &format!("\n  not valid: {places}");
        }
        for (what, count) in [
            (
                "agreed to by their people for some of the agreement's purposes alone: those are not told",
                tally.in_part,
            ),
            (
                "ids that lead to several: whoever looks one up gets none",
                self.made.ambiguous,
            ),
            (
                "beyond the eight of one id that are looked for, left out",
                self.made.beyond,
            ),
            (
                "ids without a link that counts, whose earlier links were taken back",
                self.taken_back(),
            ),
        ] {
            if count > 0 {
                text += &format!("\n  {what}: {count}");
            }
        }
        if self.arguments.everyone_consented {
            text += "\n  nobody's consent was looked at, as you said (`--everyone-consented`)";
        }
        for (name, why) in self.left_out {
            text += &format!("\n  `{name}` evaluated nothing: {why}");
        }
        for (kind, used) in &self.used {
            text += &format!("\n  ids of kind `{kind}`: {}", used.words());
        }
        text + &format!(
            "\n  {}\n  stored: {}, and {} of nothing that hide how many those are; none counts beyond {}\n{}\n  {}",
            self.pace().words(),
            counted(self.made.entries as u64, "entry", "entries"),
            self.made.nothing.len(),
            self.until,
            self.told.words(),
            self.readers.words()
        )
    }

    fn document(&self) -> Map<String, Value> {
        let tally = &self.read.tally;
        let used = self.used.iter();
        let used = used.map(|(kind, used)| (kind.to_string(), used.document()));
        let left_out: Vec<_> = self.left_out.iter().map(|(name, _)| name).collect();
        let mut document = fields(json!({
            "from": self.link.from, "to": self.link.to, "rows": tally.rows,
            "from_empty": tally.from.empty, "from_invalid": tally.from.invalid,
            "to_empty": tally.to.empty, "to_invalid": tally.to.invalid,
            "invalid": self.read.invalid.count, "duplicates": tally.duplicates,
            "consent_column": self.read.consent,
            "everyone_consented": self.arguments.everyone_consented,
            "without_consent": tally.without_consent, "over": tally.over,
            "in_part": tally.in_part, "pairs": self.pairs(), "ids": self.linked(),
            "taken_back": self.taken_back(),
            "ambiguous": self.made.ambiguous, "beyond_eight": self.made.beyond,
            "entries": self.made.entries, "filled_up": self.made.nothing.len(),
            "valid_until": self.until.to_string(), "today": today().to_string(),
            "seal_again": self.readers.document(),
            "providers": self.told.document(), "providers_left_out": left_out,
            "used": used.collect::<Map<_, _>>(),
        }));
        document.extend(self.pace().fields());
        document
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_eight_that_are_told_of_are_those_that_count_longest() {
        let edge = |(number, days): (u8, i32)| Edge {
            pseudonym: Pseudonym::from_bytes([number; 16]),
            recorded: Date::from_days(0),
            consent: ["ads".parse().unwrap()].into_iter().collect(),
            expires: Date::from_days(days),
        };
        let days = [90, 80, 80, 80, 80, 80, 70, 75, 80, 71, 85];
        let edges = (1..).zip(days).map(edge).collect();
        let first = first_in_order(edges).into_iter();
        let first = first.map(|edge| edge.pseudonym.as_bytes()[0]);
        assert_eq!(first.collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 9, 11]);
    }
}
