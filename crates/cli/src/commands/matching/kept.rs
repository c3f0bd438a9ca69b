//! The crosswalk that earlier runs made, and that a run adds to.

use std::path::{Path, PathBuf};

use incamera_agreement::Agreement;
use incamera_matching::finish::Row;
use incamera_matching::{Method, Mode, Part, Partition, Reveals};
use incamera_seal::{
    Crosswalk, CrosswalkColumns, CrosswalkReader, CrosswalkRow, CrosswalkScope, CrosswalkWriter,
    LocalFileError, Manifest,
};
use incamera_types::{ColumnType, DatasetSpec, IdKind, IdWriting, MatchRunDigest};

use super::Work;
use super::agreed::terms;
use crate::failure::{Done, Failure};
use crate::folder::{Folder, partitions};

const NOT_WRITTEN: &str = "the crosswalk was not written";

/// What to do about a crosswalk that cannot be read.
fn damaged_crosswalk(path: &Path) -> String {
    format!(
        "put it back from a backup, or move `{}` away and run `incamera match run` again, on both sides, with all ids: each gets the pseudonym that it had, by the secret in the key ring",
        path.display()
    )
}

pub(super) fn scope(agreement: &Agreement, kind: &IdKind) -> CrosswalkScope {
    CrosswalkScope {
        agreement_id: agreement.id,
        epoch: agreement.matching.epoch,
        id_kind: kind.clone(),
        via: None,
    }
}

/// Refuses to let ids found by links take the place of others, or the reverse: whoever seals
/// reads files by what the crosswalk's ids are.
pub(super) fn other_way(work: &Work<'_>) -> Done {
    let path = work.crosswalk_path();
    if !path.exists() {
        return Ok(());
    }
    let earlier = CrosswalkReader::open(&path).map_err(|error| not_read(&path, &error))?;
    let (found, wanted) = (earlier.scope(), work.scope());
    let alike = CrosswalkScope {
        via: wanted.via.clone(),
        ..found.clone()
    } == wanted;
    if !alike || found.via == wanted.via {
        return Ok(());
    }
    Err(Failure::failed("the ids were not matched")
        .why(format!(
            "the crosswalk of kind `{}` has ids of kind `{}`, and this run would replace them by ids of kind `{}`",
            wanted.id_kind,
            found.kind_of_ids(),
            wanted.kind_of_ids()
        ))
        .hint(format!(
            "nothing was sent: if that is meant, move `{}` away; then seal again what was sealed by it",
            path.display()
        )))
}

/// Refuses to begin a new epoch with the ids that are new: the crosswalk of the epoch before, with
/// everybody else, would be replaced by one of those alone.
pub(super) fn adds_to_its_epoch(work: &Work<'_>) -> Done {
    let path = work.crosswalk_path();
    if work.mode() != Mode::Append || !path.exists() {
        return Ok(());
    }
    let earlier = CrosswalkReader::open(&path).map_err(|error| not_read(&path, &error))?;
    let (found, now) = (earlier.scope().epoch, work.terms.epoch);
    if found == now {
        return Ok(());
    }
    Err(
        Failure::usage(format!("there is no run in epoch {now} yet to add ids to"))
            .why(format!(
                "`{}` is of matching epoch {found}, and would be replaced by a crosswalk of the new ids alone",
                path.display()
            ))
            .hint("nothing was sent, and no run is used up: send all ids, leave `--append` out"),
    )
}

/// The crosswalk of the agreement's matching epoch, of all parts; `what` is said of one that there
/// is not.
pub fn crosswalk(
    folder: &Folder,
    agreement: &Agreement,
    kind: &IdKind,
    what: &str,
) -> Result<Crosswalk, Failure> {
    joined(&folder.crosswalks(agreement, kind), agreement, kind, what)
}

/// A part whose crosswalk is not there.
pub struct MissingPart {
    pub path: PathBuf,
    pub partition: Partition,
    ids: Part,
}

impl MissingPart {
    /// Whether the id is of this part.
    pub fn has(&self, id: &str) -> bool {
        self.ids.has(id)
    }
}

/// The crosswalk of the parts that there are, and those that are not there; some part is.
pub fn crosswalk_there(
    folder: &Folder,
    agreement: &Agreement,
    kind: &IdKind,
    what: &str,
) -> Result<(Crosswalk, Vec<MissingPart>), Failure> {
    let terms = terms(agreement, kind)?;
    let parts = partitions(agreement).map(|partition| MissingPart {
        path: folder.crosswalk(&agreement.id, kind, partition),
        partition,
        ids: terms.part(partition),
    });
    let (there, missing): (Vec<_>, Vec<_>) = parts.partition(|part| part.path.exists());
    if there.is_empty() {
        return Ok((crosswalk(folder, agreement, kind, what)?, missing));
    }
    let paths: Vec<PathBuf> = there.into_iter().map(|part| part.path).collect();
    Ok((joined(&paths, agreement, kind, what)?, missing))
}

/// The crosswalks of several parts as one.
fn joined(
    paths: &[PathBuf],
    agreement: &Agreement,
    kind: &IdKind,
    what: &str,
) -> Result<Crosswalk, Failure> {
    let mut whole: Option<Crosswalk> = None;
    for path in paths {
        let part = one_crosswalk(path, agreement, kind, what)?;
        let joined = match &mut whole {
            Some(whole) => whole.join(part),
            None => {
                whole = Some(part);
                true
            }
        };
        if !joined {
            return Err(Failure::failed(what)
                .why(format!(
                    "`{}` is not of the same matching as the other parts",
                    path.display()
                ))
                .hint(
                    "move it away and run `incamera match run` for this part again, on both sides",
                ));
        }
    }
    whole.ok_or_else(|| Failure::failed(what).why("the agreement matches ids in no part"))
}

/// The kind whose crosswalk has ids of `kind`: itself, or one that links lead to.
pub fn kind_with_ids(folder: &Folder, agreement: &Agreement, kind: &IdKind) -> IdKind {
    let has = |of: &IdKind| {
        let mut paths = folder.crosswalks(agreement, of).into_iter();
        paths.any(|path| {
            let found = CrosswalkReader::open(&path);
            found.is_ok_and(|found| found.scope().kind_of_ids() == kind)
        })
    };
    let links = super::links::links_of(agreement).iter();
    let mut led_to = links.filter(|link| link.from == *kind).map(|link| &link.to);
    match has(kind) {
        true => kind.clone(),
        false => led_to.find(|to| has(to)).unwrap_or(kind).clone(),
    }
}

fn one_crosswalk(
    path: &Path,
    agreement: &Agreement,
    kind: &IdKind,
    what: &str,
) -> Result<Crosswalk, Failure> {
    let crosswalk = Crosswalk::read(path).map_err(|error| {
        let hint = match (path.exists(), agreement.matching.match_partitions) {
            (true, _) => damaged_crosswalk(path),
            (false, 1) => "run `incamera match run` first: it makes the crosswalk".to_owned(),
            (false, parts) => format!(
                "run `incamera match run` for all {parts} parts first: each makes its part of the crosswalk, and people of a missing one would be left out"
            ),
        };
        Failure::failed(what).because(&error).hint(hint)
    })?;
    let found = crosswalk.scope();
    let scope = CrosswalkScope {
        via: found.via.clone(),
        ..scope(agreement, kind)
    };
    if found == &scope {
        let agreed = agreement.matching.id_writing(scope.kind_of_ids());
        return match same_rules(&crosswalk.writing(), &agreed) {
            true => Ok(crosswalk),
            false => Err(Failure::failed(what)
                .why(format!(
                    "the ids in `{}` are written by other rules than the agreement's",
                    path.display()
                ))
                .hint(damaged_crosswalk(path))),
        };
    }
    // Pseudonyms of another epoch join with nobody's, and nothing would say so.
    let why = match crosswalk.scope() {
        found if found.agreement_id == scope.agreement_id && found.id_kind == scope.id_kind => {
            format!(
                "`{}` is of matching epoch {}, and the agreement is in epoch {}",
                path.display(),
                found.epoch,
                scope.epoch
            )
        }
        _ => format!("`{}` is of something else", path.display()),
    };
    Err(Failure::failed(what).why(why).hint(
        "run `incamera match run` under this version, on both sides, with all ids; then seal every data set again",
    ))
}

/// Whether what was sealed has people of another matching run than the crosswalk has now: none
/// of its pseudonyms stands there. Keys of the owner's own stay what they are.
pub fn is_of_another_run(
    folder: &Folder,
    agreement: &Agreement,
    spec: &DatasetSpec,
    manifest: &Manifest,
) -> bool {
    let column = spec.person_column();
    let column = column.filter(|column| column.ty == ColumnType::Pseudonym);
    let kind = column.and_then(|column| {
        let first = || agreement.matching.ids.first();
        column.id_kind.as_ref().or_else(first)
    });
    let now = kind.and_then(|kind| {
        let mut parts = folder.crosswalks(agreement, kind).into_iter();
        let crosswalk = parts.find_map(|path| CrosswalkReader::open(&path).ok())?;
        Some((kind, crosswalk.columns().run))
    });
    now.is_some_and(|(kind, run)| {
        let sealed = manifest.matching_runs().get(kind);
        // An epoch has one key of its providers: data that do not name it are of it all the same.
        let unnamed = sealed.is_none() && agreement.matching.providers.is_some();
        sealed != run.as_ref() && !unnamed
    })
}

/// Whether ids are brought to the same form, however their owner has them.
fn same_rules(one: &IdWriting, other: &IdWriting) -> bool {
    (one.rules, one.hashed) == (other.rules, other.hashed)
}

/// The rows of the crosswalk that earlier runs of the scope made, in order of id.
pub(super) struct Earlier {
    rows: CrosswalkReader,
    path: PathBuf,
}

impl Earlier {
    /// None where no earlier run of this scope left one.
    pub(super) fn open(work: &Work<'_>) -> Result<Option<Self>, Failure> {
        let path = work.crosswalk_path();
        if !path.exists() {
            return Ok(None);
        }
        let rows = CrosswalkReader::open(&path).map_err(|error| not_read(&path, &error))?;
        let same = rows.scope() == &work.scope();
        Ok(same.then_some(Self { rows, path }))
    }

    /// How its ids were read.
    pub(super) fn writing(&self) -> IdWriting {
        self.rows.columns().writing
    }

    /// Fills in the next row; tells whether there was one.
    pub(super) fn fill(&mut self, row: &mut Row) -> Result<bool, Failure> {
        let next = self.rows.next();
        let Some(next) = next.map_err(|error| not_read(&self.path, &error))? else {
            return Ok(false);
        };
        row.id.clear();
        row.id.push_str(next.id);
        row.pseudonym = next.pseudonym;
        (row.valid_until, row.matched) = (next.valid_until, next.matched);
        Ok(true)
    }
}

fn not_read(path: &Path, error: &LocalFileError) -> Failure {
    Failure::failed("the crosswalk of the run before was not read")
        .because(error)
        .hint(damaged_crosswalk(path))
}

/// The crosswalk that takes the place of the one before, once it is whole.
pub(super) struct NewCrosswalk(CrosswalkWriter);

/// What to do about a crosswalk that cannot be written.
fn unwritten(error: &(dyn std::error::Error + 'static)) -> Failure {
    Failure::failed(NOT_WRITTEN)
        .because(error)
        .or_hint("see that the party's folder can be written, and run it again")
}

impl NewCrosswalk {
    /// `run` is named where each run makes other pseudonyms.
    pub(super) fn create(work: &Work<'_>, run: Option<MatchRunDigest>) -> Result<Self, Failure> {
        let columns = CrosswalkColumns {
            writing: work.writing(),
            // Pseudonyms end with the providers' key.
            valid_until: work.terms.method == Method::Provider,
            matched: work.terms.reveals == Reveals::OwnMatches,
            run,
        };
        let writer = CrosswalkWriter::create(&work.crosswalk_path(), &work.scope(), columns);
        writer.map_err(|error| unwritten(&error)).map(Self)
    }

    pub(super) fn push(&mut self, row: &Row) -> Result<(), Failure> {
        let pushed = self.0.push(&CrosswalkRow {
            id: &row.id,
            pseudonym: row.pseudonym,
            valid_until: row.valid_until,
            matched: row.matched,
        });
        pushed.map_err(|error| unwritten(&error))
    }

    /// Durable when this returns. `before` is told SHA-256 of the file before it takes its place.
    pub(super) fn finish(self, before: &mut dyn FnMut([u8; 32]) -> Done) -> Done {
        let whole = self.0.whole().map_err(|error| unwritten(&error))?;
        before(whole.digest().map_err(|error| unwritten(&error))?)?;
        whole.put().map_err(|error| unwritten(&error))
    }
}
