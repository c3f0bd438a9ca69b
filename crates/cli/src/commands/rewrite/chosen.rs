//! Which data sets a command goes through, and which it leaves as they are.

use incamera_seal::{SignedManifest, destroy_superseded};
use incamera_types::{DatasetName, DatasetSpec};

use super::Work;
use crate::commands::data::{own_dataset, own_manifest, read_manifest};
use crate::commands::{kept_until, matching};
use crate::failure::{Context, Done, Failure};

/// Data sets by what a command does to them.
pub struct Chosen {
    /// Those meant, the register first.
    pub meant: Vec<SignedManifest>,
    /// Others that follow the register: they name its new version, and stay as they are.
    pub followers: Vec<SignedManifest>,
    /// Those that are kept no longer: nothing opens them.
    pub over: Vec<DatasetName>,
    /// Those that nothing can be done to but to seal them again, and why.
    pub stale: Vec<(DatasetName, &'static str)>,
}

impl Chosen {
    /// All that get a new version, the register first.
    pub fn all(&self) -> impl Iterator<Item = &SignedManifest> {
        self.meant.iter().chain(&self.followers)
    }

    /// Whether no data set with people is sealed here.
    pub fn none_sealed(&self) -> bool {
        self.meant.is_empty() && self.over.is_empty() && self.stale.is_empty()
    }

    /// The names of those meant.
    pub fn names(&self) -> String {
        let names = self.meant.iter().map(|one| format!("`{}`", one.dataset()));
        names.collect::<Vec<_>>().join(", ")
    }
}

impl Work<'_> {
    /// The data sets meant: those named, or all that are sealed, of which there must be some.
    pub(super) fn chosen(&mut self, named: &[DatasetName]) -> Result<Chosen, Failure> {
        let chosen = self.chosen_if_any(named)?;
        match chosen.none_sealed() {
            true => Err(Failure::failed("no data set with people is sealed here")
                .hint("seal one first: `incamera data seal NAME --data FILE`")),
            false => Ok(chosen),
        }
    }

    /// The same where there may be none. Unless nothing is to be done, their superseded keys are
    /// destroyed, which a command cut short may have left.
    pub(super) fn chosen_if_any(&mut self, named: &[DatasetName]) -> Result<Chosen, Failure> {
        let mut chosen = Chosen {
            meant: Vec::new(),
            followers: Vec::new(),
            over: Vec::new(),
            stale: Vec::new(),
        };
        for name in named {
            let spec = own_dataset(&self.folder, self.agreement(), name)?;
            kept_until::check(spec, "nothing was done")?;
            let manifest = own_manifest(&self.folder, self.agreement(), name)?;
            if let Some(why) = self.stale(&manifest) {
                return Err(to_seal_again(name, why));
            }
            chosen.meant.push(manifest);
        }
        if named.is_empty() {
            self.every(&mut chosen)?;
        }
        let register = |one: &SignedManifest| self.is_register(one.dataset());
        chosen.meant.sort_by_key(|manifest| !register(manifest));
        if chosen.meant.first().is_some_and(register) {
            self.add_followers(&mut chosen)?;
        }
        for manifest in chosen.all().filter(|_| !self.dry_run) {
            let destroyed = destroy_superseded(&mut self.ring, manifest);
            destroyed.or_fail(format!(
                "old keys of `{}` were not destroyed",
                manifest.dataset()
            ))?;
        }
        Ok(chosen)
    }

    /// Every data set with people that is sealed here.
    fn every(&self, chosen: &mut Chosen) -> Done {
        for spec in self.own() {
            let Some(manifest) = self.sealed(spec, chosen)? else {
                continue;
            };
            match self.stale(&manifest) {
                None => chosen.meant.push(manifest),
                // The others' consents are those of its people.
                Some(why) if self.is_register(&spec.name) => {
                    return Err(to_seal_again(&spec.name, why));
                }
                Some(why) => chosen.stale.push((spec.name.clone(), why)),
            }
        }
        Ok(())
    }

    /// The register's new version is named by all data sets that are sealed by it.
    fn add_followers(&self, chosen: &mut Chosen) -> Done {
        let missing = |spec: &&DatasetSpec| {
            let known = chosen.all().map(|one| one.dataset());
            let mut known = known.chain(chosen.stale.iter().map(|(name, _)| name));
            known.all(|name| *name != spec.name) && !chosen.over.contains(&spec.name)
        };
        let following: Vec<&DatasetSpec> = self
            .own()
            .filter(missing)
            .filter(|spec| self.by_register(&spec.name))
            .collect();
        for spec in following {
            // One that has to be sealed again anyway waits for that.
            let manifest = self.sealed(spec, chosen)?;
            let fits = |manifest: &SignedManifest| self.stale(manifest).is_none();
            chosen.followers.extend(manifest.filter(fits));
        }
        Ok(())
    }

    fn own(&self) -> impl Iterator<Item = &DatasetSpec> {
        let all = self.agreement().datasets.values();
        all.filter(|spec| &spec.owner == self.folder.name())
    }

    /// The manifest of a data set with people, unless it is kept no longer.
    fn sealed(
        &self,
        spec: &DatasetSpec,
        chosen: &mut Chosen,
    ) -> Result<Option<SignedManifest>, Failure> {
        if !spec.public && kept_until::over(spec) {
            chosen.over.push(spec.name.clone());
            return Ok(None);
        }
        let manifest = read_manifest(&self.folder, self.agreement(), &spec.name)?;
        Ok(manifest.filter(|manifest| !manifest.public()))
    }

    /// Whether its people are named by pseudonyms that the crosswalk has no more.
    fn is_of_another_run(&self, manifest: &SignedManifest) -> bool {
        let agreement = self.agreement();
        let spec = agreement.datasets.get(manifest.dataset());
        spec.is_some_and(|spec| {
            matching::is_of_another_run(&self.folder, agreement, spec, manifest)
        })
    }

    /// Under what else a data set was sealed than the agreement has now, if it was.
    fn stale(&self, manifest: &SignedManifest) -> Option<&'static str> {
        let matching = &self.agreement().matching;
        match () {
            () if *manifest.agreement_id() != self.agreement().id => Some("agreement"),
            () if manifest.matching_epoch() != matching.epoch => Some("matching epoch"),
            () if self.is_of_another_run(manifest) => Some("matching run"),
            () if manifest.partitions() != matching.partitions => Some("number of partitions"),
            () => None,
        }
    }
}

/// A data set that was sealed under another `why`.
pub fn to_seal_again(name: &DatasetName, why: &str) -> Failure {
    Failure::failed(format!("`{name}` was left as it is"))
        .why(format!("it was sealed under another {why}"))
        .hint(format!(
            "seal it again: `incamera data seal {name} --data FILE`"
        ))
}
