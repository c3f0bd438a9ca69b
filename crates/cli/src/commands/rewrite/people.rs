//! The people whom an owner names by their ids.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use incamera_matching::ids::collect;
use incamera_seal::{Source, SourceError, keep_rows, read_texts};
use incamera_types::{AgreementId, IdKind, Pseudonym, PurposeSet};

use super::Work;
use crate::args::People;
use crate::commands::ids;
use crate::commands::matching::{self, MissingPart};
use crate::commands::seal::mend_source;
use crate::commands::whose::own;
use crate::failure::{Context, Done, Failure};
use crate::folder::Folder;

/// Ids read from a file, looked up in the crosswalk.
pub struct Ids {
    /// Their kind.
    pub kind: IdKind,
    /// The pseudonyms of those who have one.
    pub known: BTreeSet<Pseudonym>,
    /// Ids without a pseudonym: of nobody in the sealed data.
    pub unknown: u64,
    /// Texts that are no id of the kind.
    pub invalid: u64,
    ids: BTreeSet<String>,
    /// Parts of the crosswalk that are not there, and that some of the ids are of.
    missing: Vec<MissingPart>,
    /// Of the crosswalk; none of the owner's own numbers.
    paths: Vec<PathBuf>,
}

/// What an owner's own numbers of its people are called, where rows are of those.
pub const OWN: &str = "person";

impl Ids {
    /// Reads the file and the crosswalk; where rows are of the owner's own keys, the file and
    /// the key ring.
    pub fn read(work: &Work<'_>, people: &People) -> Result<Self, Failure> {
        let linked = work.agreement().matching.link.is_some();
        if linked && people.id.as_ref().is_none_or(|kind| kind.as_str() == OWN) {
            return match Self::own(work, people) {
                Err(failure) if linked_any(work, None)? => Err(failure.why(STILL_LINKED)),
                own => own,
            };
        }
        let kind = kind(work, people)?;
        // Ids that have the pseudonyms of others, by links, stand in the crosswalk of those.
        let of = matching::kind_with_ids(&work.folder, work.agreement(), &kind);
        let all = work.folder.every_crosswalk(&work.agreement().id, &of);
        let paths = all.or_fail("the ids cannot be looked up")?;
        let what = "the ids cannot be looked up";
        let there = matching::crosswalk_there(&work.folder, work.agreement(), &of, what);
        let (crosswalk, missing) = match there {
            Err(failure) if linked_any(work, None)? => return Err(failure.why(STILL_LINKED)),
            there => there?,
        };
        let has = crosswalk.scope().kind_of_ids();
        if *has != kind {
            return Err(Failure::usage(format!(
                "the crosswalk of kind `{of}` has ids of kind `{has}`"
            ))
            .hint(format!("give those, with `--id {has}`")));
        }
        let normaliser = ids::normaliser(&kind, &crosswalk.writing())?;
        let prepared = collect(texts(people, &kind)?, &normaliser);
        let found = prepared.ids.iter().filter_map(|id| crosswalk.lookup(id));
        let known: BTreeSet<Pseudonym> = found.collect();
        let unfound = prepared.ids.iter();
        let unfound: Vec<&String> = unfound
            .filter(|id| crosswalk.lookup(id).is_none())
            .collect();
        let (missing, unknown) = in_doubt(work, missing, &unfound);
        if known.is_empty() && !missing.is_empty() {
            return Err(left_undone("nothing was done", &missing));
        }
        if known.is_empty() {
            let why = match (prepared.counts.rows, prepared.ids.len()) {
                (0, _) => "the file has no rows".to_owned(),
                (rows, 0) => format!("none of its {rows} rows has a valid `{kind}`"),
                (_, ids) => format!("none of its {ids} ids is in the crosswalk"),
            };
            if linked_any(work, Some((&kind, &prepared.ids.into_iter().collect())))? {
                return Err(nobody(people, &why).why(STILL_LINKED));
            }
            return Err(nobody(people, &why));
        }
        Ok(Self {
            kind,
            known,
            unknown,
            invalid: prepared.counts.invalid,
            ids: prepared.ids.into_iter().collect(),
            missing,
            paths,
        })
    }

    /// Those whose rows are meant: where rows are of the owner's own keys, by its own numbers.
    pub fn of_rows(work: &Work<'_>, people: &People) -> Result<Self, Failure> {
        let ids = Self::read(work, people)?;
        let linked = work.agreement().matching.link.is_some();
        if linked && ids.kind.as_str() != OWN {
            return Err(Failure::usage("whose rows are meant?").hint(
                "rows are of your own numbers for people here: give those, with `--id person`, or leave `--id` out",
            ));
        }
        Ok(ids)
    }

    /// People by the owner's own numbers.
    fn own(work: &Work<'_>, people: &People) -> Result<Self, Failure> {
        let kind: IdKind = OWN.parse().or_fail("the ids cannot be looked up")?;
        let matching = &work.agreement().matching;
        let keys = work.ring.person_keys(work.agreement().id, matching.epoch);
        let keys = keys.ok_or_else(|| nobody(people, "nothing was sealed with this key ring"))?;
        let texts = texts(people, &kind)?;
        let ids = texts.iter().map(|text| text.trim().to_owned());
        let ids: BTreeSet<String> = ids.filter(|text| !text.is_empty()).collect();
        let known: BTreeSet<Pseudonym> = ids.iter().filter_map(|id| own(&keys, id)).collect();
        if known.is_empty() {
            return Err(nobody(people, "the file has no numbers"));
        }
        Ok(Self {
            kind,
            known,
            unknown: 0,
            invalid: texts.iter().filter(|text| text.trim().is_empty()).count() as u64,
            ids,
            missing: Vec::new(),
            paths: Vec::new(),
        })
    }

    /// Takes back what the party has told providers of their links; with `purposes`, for these
    /// alone. What is returned is what to end with once all else is done. Links are of ids: those
    /// of people known by the owner's own numbers are not found, which is said.
    pub fn leave_links(
        &self,
        work: &Work<'_>,
        purposes: Option<&PurposeSet>,
    ) -> Result<Option<Failure>, Failure> {
        let of = (&self.kind, &self.ids);
        if self.kind.as_str() == OWN {
            if linked_any(work, None)? {
                work.printer.warn(STILL_LINKED);
            }
            return Ok(None);
        }
        matching::links::withdrawn(&work.folder, &work.agreement, of, purposes, work.printer)
    }

    /// Takes them out of the crosswalk, which nobody else has written since it was read: the
    /// work's lock is held.
    /// What a matching that was interrupted would go on with goes too: they stand in it.
    pub fn leave_crosswalk(&self, folder: &Folder, agreement: &AgreementId) -> Done {
        let again = |failure: Failure| failure.hint("run the command again: it does what is left");
        for path in &self.paths {
            keep_rows(path, &mut |id| !self.ids.contains(id))
                .or_fail("the people are still in the crosswalk")
                .map_err(again)?;
        }
        folder
            .remove_match_journals(agreement)
            .or_fail("the people are still in the journal of a matching")
            .map_err(again)
    }
}

impl Ids {
    /// Whether everybody named could be looked up; else what is left to do is told, and that it
    /// is not done.
    pub fn all_looked_up(&self) -> Done {
        match self.missing.is_empty() {
            true => Ok(()),
            false => Err(left_undone(
                "not everybody could be looked up",
                &self.missing,
            )),
        }
    }
}

/// What is said where links may stay that nothing here takes back.
const STILL_LINKED: &str = "links of these people may still be with the providers: `incamera match links remove --id KIND --data FILE` takes them back by their ids";

/// Whether the party has told providers of links; with ids, of those of these.
fn linked_any(work: &Work<'_>, of: Option<(&IdKind, &BTreeSet<String>)>) -> Result<bool, Failure> {
    matching::links::has_any(&work.folder, &work.agreement, of, work.printer)
}

/// The missing parts that some of the ids are of, and how many ids are of none.
fn in_doubt(
    work: &Work<'_>,
    missing: Vec<MissingPart>,
    unfound: &[&String],
) -> (Vec<MissingPart>, u64) {
    let of_missing = |id: &&&String| missing.iter().any(|part| part.has(id));
    let unknown = unfound.len() - unfound.iter().filter(of_missing).count();
    let concerned = |part: &MissingPart| unfound.iter().any(|id| part.has(id));
    for part in &missing {
        let who = match concerned(part) {
            true => "some who are named here are of that part",
            false => "nobody who is named here is of that part",
        };
        let (path, partition) = (part.path.display(), part.partition);
        work.printer.warn(format!(
            "`{path}` is missing, the crosswalk of part {partition}: {who}"
        ));
    }
    let doubtful = missing.into_iter().filter(concerned).collect();
    (doubtful, unknown as u64)
}

fn left_undone(what: &str, missing: &[MissingPart]) -> Failure {
    let files = missing.iter();
    let files = files.map(|part| format!("`{}` (part {})", part.path.display(), part.partition));
    let runs = missing.iter();
    let runs = runs.map(|part| format!("`incamera match run --partition {}`", part.partition));
    Failure::failed(what)
        .why(format!(
            "missing of the crosswalk: {}; some of the people named are of it, and may still be in the sealed data",
            files.collect::<Vec<_>>().join(", ")
        ))
        .hint(format!(
            "put it back from a backup, or run {} again on both sides; then run this command again with the same file of ids: it does what is left",
            runs.collect::<Vec<_>>().join(", ")
        ))
}

fn nobody(people: &People, why: &str) -> Failure {
    Failure::failed("nothing was done: nobody is concerned")
        .why(format!("`{}`: {why}", Source::shown(&people.ids).display()))
        .hint("name the column with `--column`, and the kind of id with `--id`; a person who was forgotten already is not known any more")
}

fn kind(work: &Work<'_>, people: &People) -> Result<IdKind, Failure> {
    let kinds = &work.agreement().matching.ids;
    let chosen = match (&people.id, kinds.as_slice()) {
        (Some(named), _) => kinds.iter().find(|kind| *kind == named),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    chosen.cloned().ok_or_else(|| {
        let listed: Vec<String> = kinds.iter().map(|kind| format!("`{kind}`")).collect();
        Failure::usage("which kind of id does the file hold?").hint(format!(
            "name one with `--id`: the agreement matches {}",
            listed.join(", ")
        ))
    })
}

/// The texts of the file: a column of a CSV or Parquet file; of any other file its lines.
fn texts(people: &People, kind: &IdKind) -> Result<Vec<String>, Failure> {
    let path = &people.ids;
    let column = people.column.as_deref().unwrap_or(kind.as_str());
    let what = format!(
        "the ids in `{}` were not read",
        Source::shown(path).display()
    );
    let source = match Source::of(path) {
        Ok(source) => source,
        Err(SourceError::Ending { .. }) if !path.to_string_lossy().contains("://") => {
            let text = std::fs::read_to_string(path).or_fail(&what);
            let text = text.map_err(|failure| failure.hint(NO_FILE))?;
            return Ok(text.lines().map(str::to_owned).collect());
        }
        Err(error) => return Err(unread(what, path, column, &error)),
    };
    let mut texts = Vec::new();
    let read = read_texts(&source, column, &mut |text| texts.push(text.to_owned()));
    read.map_err(|error| unread(what, path, column, &error))?;
    Ok(texts)
}

fn unread(what: String, ids: &Path, column: &str, error: &SourceError) -> Failure {
    let failed = Failure::failed(what);
    if let SourceError::MissingColumns { .. } = error {
        return failed
            .why(format!("its first line (or the table's schema) names no column `{column}`"))
            .hint("nothing was done: name the column that has the ids with `--column`, and their kind with `--id`; a file of another ending than .csv and .parquet has one id a line");
    }
    let hint = match error {
        SourceError::EmptyFolder { .. } | SourceError::MixedFolder { .. } => NO_FILE,
        SourceError::Io { path, .. } if path == ids => NO_FILE,
        SourceError::OtherCase { .. } => {
            "nothing was done: name the column with `--column` just as the file does"
        }
        _ => mend_source(error)
            .unwrap_or("nothing was done: mend the file, and run the command again"),
    };
    failed.because(error).hint(hint)
}

const NO_FILE: &str = "nothing was done: name a file with `--ids`: a .csv or .parquet one with a column of ids, or a text file with one id a line";
