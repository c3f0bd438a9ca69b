//! The crosswalk that earlier runs made, and that a run adds to.

use std::path::Path;

use incamera_agreement::Agreement;
use incamera_seal::{Crosswalk, CrosswalkScope};
use incamera_types::{IdKind, Pseudonym};

use crate::failure::{Context, Failure};
use crate::folder::Folder;

/// What to do about a crosswalk that cannot be read.
fn damaged_crosswalk(path: &Path) -> String {
    format!(
        "put it back from a backup, or move `{}` away and run `incamera match run` again, on both sides, with all ids: each gets the pseudonym that it had, by the secret in the key ring",
        path.display()
    )
}

fn scope(agreement: &Agreement, kind: &IdKind) -> CrosswalkScope {
    CrosswalkScope {
        agreement_id: agreement.id,
        epoch: agreement.matching.epoch,
        id_kind: kind.clone(),
    }
}

/// The crosswalk of the agreement's matching epoch; `what` is said of one that there is not.
pub fn crosswalk(
    folder: &Folder,
    agreement: &Agreement,
    kind: &IdKind,
    what: &str,
) -> Result<Crosswalk, Failure> {
    let path = folder.crosswalk(&agreement.id, kind);
    let crosswalk = Crosswalk::read(&path).map_err(|error| {
        Failure::failed(what)
            .because(&error)
            .hint(match path.exists() {
                true => damaged_crosswalk(&path),
                false => "run `incamera match run` first: it makes the crosswalk".to_owned(),
            })
    })?;
    let scope = scope(agreement, kind);
    if crosswalk.scope() == &scope {
        return Ok(crosswalk);
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

/// What earlier runs gave when a run began: compared with what this one gives.
pub(super) struct Before {
    scope: CrosswalkScope,
    /// In order of id.
    known: Vec<(String, Pseudonym)>,
}

impl Before {
    pub(super) fn read(
        folder: &Folder,
        agreement: &Agreement,
        kind: &IdKind,
    ) -> Result<Self, Failure> {
        let scope = scope(agreement, kind);
        let known = known(&folder.crosswalk(&agreement.id, kind), &scope)?;
        Ok(Self {
            known: known.unwrap_or_default(),
            scope,
        })
    }

    pub(super) fn scope(&self) -> &CrosswalkScope {
        &self.scope
    }

    pub(super) fn known(&self) -> &[(String, Pseudonym)] {
        &self.known
    }

    /// Adds what the run gave to the crosswalk as it is by now, without those who have been
    /// forgotten since the run began: tells how many these are.
    pub(super) fn keep(
        &self,
        folder: &Folder,
        rows: Vec<(String, Pseudonym)>,
    ) -> Result<usize, Failure> {
        // Whoever forgets people holds it from before the crosswalk is read until it is written.
        let _lock = folder.sealing_lock(&self.scope.agreement_id)?;
        let path = folder.crosswalk(&self.scope.agreement_id, &self.scope.id_kind);
        // Forgetting leaves a crosswalk: where there is none, it was moved away.
        let now = known(&path, &self.scope)?;
        let given = rows.len();
        let stays = |id: &str| {
            let now = now.as_ref();
            now.is_none_or(|now| has(now, id) || !has(&self.known, id))
        };
        let rows: Vec<_> = rows.into_iter().filter(|(id, _)| stays(id)).collect();
        let forgotten = given - rows.len();
        let all = now.into_iter().flatten().chain(rows);
        Crosswalk::new(self.scope.clone(), all)
            .write(&path)
            .or_fail("the crosswalk was not written")?;
        Ok(forgotten)
    }
}

fn has(known: &[(String, Pseudonym)], id: &str) -> bool {
    known
        .binary_search_by(|(known, _)| known.as_str().cmp(id))
        .is_ok()
}

/// The crosswalk's rows in order of id; none where no earlier run of this scope left one.
fn known(path: &Path, scope: &CrosswalkScope) -> Result<Option<Vec<(String, Pseudonym)>>, Failure> {
    if !path.exists() {
        return Ok(None);
    }
    let read = Crosswalk::read(path).or_fail("the crosswalk of the run before was not read");
    let crosswalk = read.map_err(|failure| failure.hint(damaged_crosswalk(path)))?;
    if crosswalk.scope() != scope {
        return Ok(None);
    }
    let rows = crosswalk.iter();
    Ok(Some(
        rows.map(|(id, pseudonym)| (id.to_owned(), pseudonym))
            .collect(),
    ))
}
