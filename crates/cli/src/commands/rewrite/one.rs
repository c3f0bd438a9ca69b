//! One data set, and the consents that go with it.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use incamera_agreement::impact;
use incamera_seal::{
    Consents, LocalFileError, Movement, RewriteError, RewriteJob, RewritePlan, Rewritten,
    SignedManifest, plan_rewrite, rewrite,
};
use incamera_types::{
    ConsentClass, DatasetName, DatasetSpec, ManifestDigest, Pseudonym, PurposeName, PurposeSet,
};

use super::chosen::Chosen;
use super::show::Told;
use super::{Task, Work};
use crate::clock::now;
use crate::commands::agreement_diff::versions;
use crate::commands::register::Kept;
use crate::failure::{Context, Done, Failure};

/// The consents as they are to be.
pub(super) struct NewConsents {
    people: Consents,
    /// The register's manifest before the task, and after.
    before: ManifestDigest,
    after: ManifestDigest,
    /// Whether they are other than those that the register was sealed with.
    changed: bool,
    /// Whether a command was cut short when it had written them.
    resumed: bool,
    /// Old names of purposes, which consents or sealed data may still say, and the new ones.
    names: BTreeMap<PurposeName, PurposeName>,
    /// The purposes that anybody agreed to before the task.
    said: PurposeSet,
    path: PathBuf,
}

impl NewConsents {
    /// The class of a person's rows in a part of `class`: what the person agrees to of it, by
    /// the purposes' names of now on both sides.
    fn class(&self, person: &Pseudonym, class: &ConsentClass) -> Option<ConsentClass> {
        let Some(agreed) = self.people.class(person) else {
            return Some(ConsentClass::default());
        };
        if class.is_subset(agreed) {
            return None;
        }
        let agreed: BTreeSet<&PurposeName> = agreed.iter().map(|one| self.now(one)).collect();
        let agrees = |purpose: &&PurposeName| agreed.contains(self.now(purpose));
        let left: ConsentClass = class.iter().filter(agrees).cloned().collect();
        (left != *class).then_some(left)
    }

    fn now<'n>(&'n self, purpose: &'n PurposeName) -> &'n PurposeName {
        self.names.get(purpose).unwrap_or(purpose)
    }

    fn keep(&self, register: ManifestDigest) -> Result<(), LocalFileError> {
        let all = self.people.changed(|_, class| Some(class.clone()));
        all.sealed_with(register, self.before).write(&self.path)
    }
}

fn less(class: &ConsentClass, gone: &PurposeSet) -> ConsentClass {
    let left = class.iter().filter(|purpose| !gone.contains(purpose));
    left.cloned().collect()
}

/// What a person's consent becomes; none for one who is forgotten.
fn consent_after(
    task: &Task<'_>,
    renamed: &BTreeMap<PurposeName, PurposeName>,
    person: &Pseudonym,
    class: &ConsentClass,
) -> Option<ConsentClass> {
    let named = |purpose: &PurposeName| renamed.get(purpose).unwrap_or(purpose).clone();
    let class: ConsentClass = class.iter().map(named).collect();
    match task.people.filter(|people| people.among.contains(person)) {
        None => Some(class),
        Some(people) => people.withdrawn.map(|gone| less(&class, gone)),
    }
}

impl Work<'_> {
    fn renamed(&self, task: &Task<'_>) -> BTreeMap<PurposeName, PurposeName> {
        match task.declared {
            true => self.agreement().renamed_purposes(),
            false => BTreeMap::new(),
        }
    }

    /// The consents after the task; none where nobody's are needed.
    pub(super) fn consents(
        &self,
        task: &Task<'_>,
        chosen: &Chosen,
    ) -> Result<Option<NewConsents>, Failure> {
        let Some(register) = self.register() else {
            return Ok(None);
        };
        let path = self.folder.consents(&self.agreement().id);
        let over = chosen.over.contains(&register.name);
        if over && !path.exists() {
            // Nobody's are kept any longer either.
            return Ok(None);
        }
        let mut names = chosen.all().map(|one| one.dataset());
        let concerned = |name: &DatasetName| *name == register.name || self.by_register(name);
        let alone = over && task.people.is_some();
        if !alone && !names.any(concerned) {
            return Ok(None);
        }
        let kept = Kept::read(&self.folder, self.agreement(), register, "nothing was done")?;
        let (old, newest) = (kept.consents, kept.newest);
        let renamed = self.renamed(task);
        let moved = Cell::new(false);
        let people = old.changed(|person, class| {
            let after = consent_after(task, &renamed, person, class);
            moved.set(moved.get() || after.as_ref() != Some(class));
            after
        });
        Ok(Some(NewConsents {
            people,
            before: newest,
            after: newest,
            changed: moved.get(),
            resumed: kept.resumed,
            names: self.agreement().renamed_purposes(),
            said: old.purposes(),
            path,
        }))
    }

    /// Keeps the consents of a register that is kept no longer: it gets no new version to keep
    /// them with, and other data sets are sealed by them. First, so that what follows is never
    /// sealed by the old ones.
    pub(super) fn keep_alone(&self, chosen: &Chosen, consents: &NewConsents) -> Done {
        let over = self
            .register()
            .filter(|one| chosen.over.contains(&one.name));
        match over.filter(|_| consents.changed) {
            None => Ok(()),
            Some(register) => consents.keep(consents.before).or_fail(format!(
                "nothing was done: the consents of `{}` were not written",
                register.name
            )),
        }
    }

    /// These purposes, and their old names: consents and classes say those until they are
    /// retagged.
    pub(super) fn also_as_before(&self, purposes: &PurposeSet) -> PurposeSet {
        let renamed = self.agreement().renamed_purposes().into_iter();
        let old = renamed.filter(|(_, new)| purposes.contains(new));
        purposes.union(&old.map(|(old, _)| old).collect())
    }

    /// What the data set's columns are after the task.
    fn declared(&self, task: &Task<'_>, manifest: &SignedManifest) -> DatasetSpec {
        let spec = self.agreement().datasets.get(manifest.dataset());
        match spec.filter(|_| task.declared) {
            Some(spec) => spec.clone(),
            None => manifest.declared(),
        }
    }

    /// What is revoked after the task, by the names that the columns have then.
    fn revoked(&self, task: &Task<'_>, manifest: &SignedManifest) -> PurposeSet {
        if task.declared {
            return self.agreement().named_now(manifest.revoked());
        }
        let mut purposes: Vec<PurposeName> = task.revoke.iter().cloned().collect();
        for column in manifest.declared().columns {
            let old = |name: &&PurposeName| {
                let name: PurposeSet = std::iter::once((*name).clone()).collect();
                self.agreement().named_now(&name).is_subset(&task.revoke)
            };
            purposes.extend(column.purposes.iter().filter(old).cloned());
        }
        manifest.revoked().union(&purposes.into_iter().collect())
    }

    /// Why a data set whose columns are declared anew should be sealed from its source too, by
    /// the version of the agreement that its oldest rows were sealed by. Nothing is known where
    /// the manifest does not name it, or its file is gone.
    fn needs_source(&self, task: &Task<'_>, manifest: &SignedManifest) -> Vec<String> {
        let new = self.agreement();
        let sealed_by = manifest.agreement_digest();
        if !task.declared || sealed_by.is_none_or(|digest| digest == new.digest) {
            return Vec::new();
        }
        let known = versions(new, &[self.folder.agreements().to_owned()]);
        let old = known.iter().find(|one| Some(one.digest) == sealed_by);
        let asked = old
            .map_or_else(Vec::new, |old| impact(old, new))
            .into_iter();
        let own = asked.filter(|one| one.dataset == *manifest.dataset());
        own.flat_map(|one| one.from_source).collect()
    }

    /// Whether a data set was sealed by other consents than those kept, which may be ahead of the
    /// register too: it is looked through whole.
    fn behind(&self, manifest: &SignedManifest, consents: &NewConsents) -> bool {
        let by_it =
            || self.is_register(manifest.dataset()) || manifest.register() == Some(consents.before);
        consents.resumed || !by_it()
    }

    /// Refuses where a `data retag` was cut short: the consents say purposes by names that a data
    /// set does not have yet, so that nobody would seem to agree to what it says.
    pub(super) fn retagged(
        &self,
        task: &Task<'_>,
        manifest: &SignedManifest,
        consents: &NewConsents,
    ) -> Done {
        let name = manifest.dataset();
        let concerned = self.is_register(name) || self.by_register(name);
        if task.declared || !concerned || !self.behind(manifest, consents) {
            return Ok(());
        }
        let renamed = self.agreement().renamed_purposes();
        let classes = manifest.parts().iter().flat_map(|part| part.class.iter());
        let mut old = classes.filter(|one| !consents.said.contains(one));
        let Some((old, new)) = old.find_map(|one| renamed.get_key_value(one)) else {
            return Ok(());
        };
        Err(Failure::failed("nothing was done")
            .why(format!(
                "a `data retag` was cut short: `{name}` still says `{old}`, which the consents kept here have as `{new}`"
            ))
            .hint("run `incamera data retag` first: it does what is left"))
    }

    /// Does the task to one data set.
    pub(super) fn one(
        &mut self,
        task: &Task<'_>,
        manifest: &SignedManifest,
        consents: Option<&mut NewConsents>,
        dry_run: bool,
    ) -> Result<Told, Failure> {
        let name = manifest.dataset().clone();
        let is_register = self.is_register(&name);
        let follows = is_register || self.by_register(&name);
        let mut consents = consents.filter(|_| follows);
        let new = consents.as_deref();
        let class = |person: &Pseudonym, class: &ConsentClass| match new {
            Some(new) => new.class(person, class),
            None => Some(match task.people.and_then(|people| people.withdrawn) {
                Some(gone) => less(class, gone),
                None => ConsentClass::default(),
            }),
        };
        let behind = new.is_some_and(|new| self.behind(manifest, new));
        let among = task.people.map(|people| people.among);
        let movement = (behind || among.is_some()).then_some(Movement {
            among: among.filter(|_| !behind),
            class: &class,
        });
        let count = manifest.parts().len() as u64;
        let bar = self
            .printer
            .progress(&format!("{} `{name}`", task.change), Some(count));
        let job = RewriteJob {
            manifest,
            folder: &self.folder.sealed(&self.agreement().id, &name),
            spec: &self.declared(task, manifest),
            revoked: self.revoked(task, manifest),
            renamed: self.renamed(task),
            register: match (new, is_register) {
                (Some(new), false) => Some(new.after),
                _ => manifest.register(),
            },
            movement,
            anew: task.anew,
            class_people: self.folder.config.sealing.class_people.get(),
            part_rows: self.folder.config.sealing.part_rows.get(),
            change: task.change,
            progress: &|parts| bar.set_position(parts),
        };
        let failed = |error: RewriteError| failure(&name, &error);
        let plan = plan_rewrite(&job, &self.ring).map_err(failed)?;
        let left = self.needs_source(task, manifest);
        let mut told = Told::planned(manifest, &plan).with_source(left);
        let kept = new.filter(|new| is_register && (new.changed || new.resumed));
        if !dry_run && (plan.changes() || kept.is_some()) {
            let keeps = new.filter(|_| is_register);
            let done = self.make(&job, &plan, keeps).map_err(failed)?;
            told.done(&done);
            if let Some(new) = consents.as_mut().filter(|_| is_register) {
                new.after = done.manifest;
            }
        }
        bar.finish_and_clear();
        Ok(told)
    }

    fn make(
        &mut self,
        job: &RewriteJob<'_>,
        plan: &RewritePlan,
        keeps: Option<&NewConsents>,
    ) -> Result<Rewritten, RewriteError> {
        let keep = |digest| keeps.map_or(Ok(()), |consents| consents.keep(digest));
        let (ring, key) = (&mut self.ring, &self.key);
        rewrite(job, plan, ring, key, now(), &mut rand::rng(), keep)
    }
}

fn failure(name: &DatasetName, error: &RewriteError) -> Failure {
    let again = format!("`incamera data seal {name} --data FILE`");
    let failed = Failure::failed(format!("`{name}` was left as it is")).because(error);
    match error {
        RewriteError::NotDestroyed { .. } => Failure::failed(format!(
            "`{name}` has a new version, and old keys are not destroyed yet"
        ))
        .because(error)
        .hint(
            "run the command again once that is mended: any command on the data set destroys them",
        ),
        RewriteError::Unfit { .. } => {
            failed.hint(format!("seal it again from its source: {again}"))
        }
        RewriteError::PartFile(_) | RewriteError::Read(_) | RewriteError::Tampered { .. } => failed
            .hint(format!(
                "put the sealed folder back from a backup, or seal the data set again: {again}"
            )),
        RewriteError::NoPurposeKey { .. } => failed.hint(format!(
            "put the key ring back that the data set was sealed with, or seal it again: {again}"
        )),
        _ => failed.or_hint("run the command again once that is mended: it does what is left"),
    }
}
