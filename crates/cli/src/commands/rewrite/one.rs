//! One data set, and the consents that go with it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use incamera_seal::{
    Consents, LocalFileError, Movement, RewriteError, RewriteJob, RewritePlan, Rewritten,
    SignedManifest, plan_rewrite, rewrite,
};
use incamera_types::{
    ConsentClass, DatasetName, DatasetSpec, ManifestDigest, Pseudonym, PurposeName, PurposeSet,
};

use super::show::Told;
use super::{Task, Work, own_manifest};
use crate::clock::now;
use crate::failure::{Context, Failure};

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
    path: PathBuf,
}

impl NewConsents {
    /// The class of a person's rows in a part of `class`: what the person agrees to of it.
    fn class(&self, person: &Pseudonym, class: &ConsentClass) -> Option<ConsentClass> {
        match self.people.class(person) {
            Some(agreed) if class.is_subset(agreed) => None,
            Some(agreed) => Some(class.intersection(agreed)),
            None => Some(ConsentClass::default()),
        }
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
        chosen: &[SignedManifest],
    ) -> Result<Option<NewConsents>, Failure> {
        let Some(register) = self.register() else {
            return Ok(None);
        };
        let mut names = chosen.iter().map(|one| one.dataset());
        if !names.any(|name| *name == register.name || self.by_register(name)) {
            return Ok(None);
        }
        let what = "nothing was done: the consents kept here do not count";
        let first = format!(
            "seal `{}` again: it says what each person agreed to",
            register.name
        );
        let path = self.folder.consents(&self.agreement().id);
        let read = Consents::read(&path).or_fail(what);
        let old = read.map_err(|failure| failure.hint(&first))?;
        let newest = own_manifest(&self.folder, self.agreement(), &register.name)?.digest();
        let resumed = old.register() != newest;
        if *old.dataset() != register.name || resumed && old.follows() != Some(newest) {
            return Err(Failure::failed(what)
                .why(format!(
                    "they are not those of the version of `{}` that is sealed here",
                    register.name
                ))
                .hint(first));
        }
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
            resumed,
            path,
        }))
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
        // What was sealed by other consents than the register's is looked through whole.
        let behind = new.is_some_and(|new| match is_register {
            true => new.resumed,
            false => manifest.register() != Some(new.before),
        });
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
            change: task.change,
            progress: &|parts| bar.set_position(parts),
        };
        let failed = |error: RewriteError| failure(&name, &error);
        let plan = plan_rewrite(&job, &self.ring).map_err(failed)?;
        let mut told = Told::planned(manifest, &plan, task.change);
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
