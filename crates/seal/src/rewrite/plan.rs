//! What becomes of each part.

use std::collections::{BTreeMap, BTreeSet};

use incamera_types::{ColumnName, ConsentClass, DatasetSpec, PurposeName, PurposeSet};

use super::few::{Classes, Merged};
use super::keys::{Opener, wrapped};
use super::people::{self, Split};
use super::{Anew, Coverage, Lacking, RewriteError, RewriteJob};
use crate::few::SmallClasses;
use crate::manifest::{Change, Part, SealedColumn, SealedKey};
use crate::plan::{self, KeyPlan};
use crate::ring::KeyRing;

/// A kind of part that the new version can have: the rows of a class, with some columns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Shape {
    pub(super) class: ConsentClass,
    pub(super) absent: Vec<ColumnName>,
}

/// What becomes of a part.
pub(super) enum Fate {
    /// Its file stays, and opens by these keys.
    Stays(Vec<KeyPlan>),
    /// Its rows are written anew.
    Rewritten,
    /// Nothing opens its rows any more.
    Goes,
}

/// What becomes of a data set, worked out before anything is written. For the owner's eyes only:
/// it has exact counts.
pub struct RewritePlan {
    change: Change,
    key_epoch: u32,
    fates: Vec<Fate>,
    removes: bool,
    changed: bool,
    counts: Counts,
    merged: Merged,
    lacking: Lacking,
    opens: PurposeSet,
}

/// What a plan does, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Parts whose files and wraps stay.
    pub kept: usize,
    /// Parts whose files stay, and whose keys are wrapped anew.
    pub rewrapped: usize,
    /// Parts whose rows are written anew.
    pub rewritten: usize,
    /// Parts that go.
    pub dropped: usize,
    /// Rows that move to a smaller consent class.
    pub rows_moved: u64,
    /// Rows that go.
    pub rows_gone: u64,
}

impl RewritePlan {
    /// Whether there is anything to do.
    #[must_use]
    pub fn changes(&self) -> bool {
        self.changed
    }

    /// Whether rows or wraps are taken away, so that old purpose keys are destroyed.
    #[must_use]
    pub fn removes(&self) -> bool {
        self.removes
    }

    /// What makes the new version. Where consents take people's rows away, it is that, whatever
    /// was asked for: a command that was cut short may be finished by any other.
    #[must_use]
    pub fn change(&self) -> Change {
        self.change
    }

    /// The key epoch of the new version.
    #[must_use]
    pub fn key_epoch(&self) -> u32 {
        self.key_epoch
    }

    /// What is to be done, in numbers.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What becomes of classes of few people.
    #[must_use]
    pub fn small_classes(&self) -> &SmallClasses {
        &self.merged.small
    }

    /// What classes of few people are written as.
    pub(super) fn merged(&self) -> &Merged {
        &self.merged
    }

    /// Columns that some parts will lack: their data sets need sealing again for full coverage.
    #[must_use]
    pub fn lacking(&self) -> &Lacking {
        &self.lacking
    }

    /// The purposes that need a key.
    pub(super) fn purposes(&self) -> PurposeSet {
        self.opens.clone()
    }

    pub(super) fn fates(&self) -> &[Fate] {
        &self.fates
    }
}

impl std::fmt::Debug for RewritePlan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RewritePlan({:?})", self.counts)
    }
}

/// Works out what becomes of each part. Reads the pseudonyms of parts that may have rows of the
/// people concerned; writes nothing.
///
/// # Errors
/// [`RewriteError`]: a declaration that the parts cannot be brought to, a part that is not there,
/// a ring without the keys.
pub fn plan_rewrite(job: &RewriteJob<'_>, ring: &KeyRing) -> Result<RewritePlan, RewriteError> {
    check(job)?;
    let rules = Rules::new(job);
    let opener = Opener {
        manifest: job.manifest,
        ring,
    };
    let old = job.manifest.manifest();
    let partitions = job.movement.map(|some| some.partitions(old.partitions()));
    let mut classes = Classes::new(job);
    let mut judged = Vec::with_capacity(old.parts().len());
    for (at, part) in (1u64..).zip(old.parts()) {
        let mut one = rules.judge(part);
        let looked = match &partitions {
            None => false,
            Some(None) => true,
            Some(Some(some)) => some.contains(&part.partition),
        };
        if !matches!(one.fate, Fate::Goes) {
            rules.look(&opener, part, &mut one, looked, &mut classes)?;
        }
        judged.push(one);
        (job.progress)(at);
    }
    let taken = judged.iter().any(|one| !one.split.changed.is_empty());
    let mut merged = match taken {
        true => classes.merged(),
        false => Merged::default(),
    };
    let mut counts = Counts::default();
    for (part, one) in old.parts().iter().zip(&mut judged) {
        rules.settle(part, one, &mut merged, &mut counts);
    }
    rules.plan(&opener, judged, merged, counts)
}

/// One part, judged.
struct Judged {
    fate: Fate,
    /// Whether old copies of it open what its successor does not.
    removes: bool,
    rewrapped: bool,
    split: Split,
}

/// What may open what from now on.
pub(super) struct Rules<'a> {
    job: &'a RewriteJob<'a>,
    /// The declaration, without the purposes revoked.
    spec: DatasetSpec,
}

impl<'a> Rules<'a> {
    pub(super) fn new(job: &'a RewriteJob<'a>) -> Self {
        Self {
            job,
            spec: plan::without(job.spec.clone(), &job.revoked),
        }
    }

    /// A consent class by the purposes' new names.
    pub(super) fn class(&self, class: &ConsentClass) -> ConsentClass {
        let named =
            |purpose: &PurposeName| self.job.renamed.get(purpose).unwrap_or(purpose).clone();
        class.iter().map(named).collect()
    }

    /// The part that rows of `class` with the columns `has` make, and its keys; none if nothing
    /// opens them.
    pub(super) fn shape(
        &self,
        class: &ConsentClass,
        has: &BTreeSet<&ColumnName>,
    ) -> Option<(Shape, Vec<KeyPlan>)> {
        let lacks = self.spec.stored_columns().filter(|column| {
            !has.contains(&column.name)
                && !self.spec.is_person(&column.name)
                && !self.spec.openable(column, class).is_empty()
        });
        let absent: Vec<ColumnName> = lacks.map(|column| column.name.clone()).collect();
        let keys = plan::part_keys(&self.spec, class, &absent)?;
        // Absent are columns of purposes that the class still opens; but without them fewer
        // purposes may open the footer, and then nothing at all.
        let class = class.clone();
        (!keys.is_empty()).then_some((Shape { class, absent }, keys))
    }

    /// What becomes of a part, whoever's rows are in it.
    fn judge(&self, part: &Part) -> Judged {
        let class = self.class(&part.class);
        let has = columns(part, |_| true);
        let Some((shape, keys)) = self.shape(&class, &has) else {
            let removes = part.keys.iter().any(|key| self.beyond(key, None));
            return Judged {
                fate: Fate::Goes,
                removes,
                rewrapped: false,
                split: Split::default(),
            };
        };
        let planned = |key: &SealedKey| {
            let planned = keys.iter().find(|planned| planned.column == key.column);
            planned.map(|planned| &planned.purposes)
        };
        let removes = part.keys.iter().any(|key| self.beyond(key, planned(key)));
        let other = |key: &SealedKey| !self.as_it_is(part, key, planned(key));
        let rewritten = removes
            || class != part.class
            || self.job.anew == Anew::DataKeys
            || part.keys.iter().any(other);
        let same = |key: &SealedKey| {
            let wrapped = key.wraps.iter().map(|wrap| &wrap.purpose);
            planned(key).map_or(key.wraps.is_empty(), |purposes| wrapped.eq(purposes.iter()))
        };
        let rewrapped = shape.absent != part.absent || !part.keys.iter().all(same);
        Judged {
            fate: match rewritten {
                true => Fate::Rewritten,
                false => Fate::Stays(keys),
            },
            removes: removes || class != part.class,
            rewrapped,
            split: Split::default(),
        }
    }

    /// Whether the key has a wrap that the new rules do not allow, besides those of purposes
    /// revoked: these end with the purpose's key.
    fn beyond(&self, key: &SealedKey, planned: Option<&PurposeSet>) -> bool {
        key.wraps.iter().any(|wrap| {
            let allowed = planned.is_some_and(|purposes| purposes.contains(&wrap.purpose));
            !allowed && !self.job.revoked.contains(&wrap.purpose)
        })
    }

    /// Whether the key's column can stay in its file: something opens it, by a key that is still
    /// known, or nothing but purposes revoked would.
    fn as_it_is(&self, part: &Part, key: &SealedKey, planned: Option<&PurposeSet>) -> bool {
        if let Some(purposes) = planned {
            return purposes.is_empty() || !key.wraps.is_empty();
        }
        let declared = self.job.spec.stored_columns();
        let mut named = declared.filter(|column| Some(&column.name) == key.column.as_ref());
        named.next().is_some_and(|column| {
            let open = column.purposes.intersection(&part.class);
            !open.is_empty() && open.is_subset(&self.job.revoked)
        })
    }

    /// Looks whose rows the part has: whether they move, where people who do may be in it
    /// (`moving`), and whether their class has enough people, where that is not known yet.
    fn look(
        &self,
        opener: &Opener<'_>,
        part: &Part,
        judged: &mut Judged,
        moving: bool,
        classes: &mut Classes,
    ) -> Result<(), RewriteError> {
        let class = self.class(&part.class);
        let movement = self.job.movement.as_ref();
        let Some(movement) = movement.filter(|_| moving || !classes.enough(&class)) else {
            return Ok(());
        };
        let (keys, has) = (opener.part(part)?, columns(part, |_| true));
        let split = &mut judged.split;
        people::each_row(self.job, movement, part, &keys, &class, |person, new| {
            if let Some(new) = new {
                if self.shape(&new, &has).is_some() {
                    classes.note(&new, person);
                }
                *split.changed.entry(new).or_default() += 1;
            } else {
                split.stay += 1;
                classes.note(&class, person);
            }
            moving || !classes.enough(&class)
        })
    }

    /// Decides what becomes of the part's rows, now that it is known which classes are small.
    fn settle(&self, part: &Part, judged: &mut Judged, merged: &mut Merged, counts: &mut Counts) {
        let (class, has) = (self.class(&part.class), columns(part, |_| true));
        let Split { stay, changed } = &judged.split;
        for (target, rows) in changed.iter().chain([(&class, stay)]) {
            if *rows == 0 || target == &class && merged.written(&class) == Some(&class) {
                continue;
            }
            judged.fate = Fate::Rewritten;
            judged.removes = true;
            let opens = |class: &ConsentClass| self.shape(class, &has).is_some();
            let written = merged.written(target);
            let merges = written != Some(target);
            match written.filter(|written| opens(written)) {
                _ if !opens(target) => counts.rows_gone += rows,
                None => merged.small.rows_left_out += rows,
                Some(_) => {
                    counts.rows_moved += u64::from(*target != class) * rows;
                    merged.small.rows_moved += u64::from(merges) * rows;
                }
            }
        }
    }

    fn plan(
        &self,
        opener: &Opener<'_>,
        judged: Vec<Judged>,
        merged: Merged,
        counts: Counts,
    ) -> Result<RewritePlan, RewriteError> {
        let old = self.job.manifest.manifest();
        let removes = judged.iter().any(|one| one.removes);
        let renewed = removes || self.job.anew != Anew::Nothing;
        let next = || {
            let ring = opener.ring;
            ring.next_key_epoch(old.agreement_id(), old.dataset(), old.key_epoch())
        };
        let key_epoch = match renewed {
            true => next(),
            false => Some(old.key_epoch()),
        };
        let mut plan = RewritePlan {
            change: match self.job.change {
                Change::Rotated | Change::Retagged if takes_rows(&counts, &merged) => {
                    Change::ConsentRemoved
                }
                change => change,
            },
            key_epoch: key_epoch.ok_or_else(|| RewriteError::Unfit {
                dataset: old.dataset().clone(),
                what: "no key epoch is left",
            })?,
            fates: Vec::with_capacity(judged.len()),
            removes,
            changed: renewed || self.declares_other(),
            counts,
            merged,
            lacking: self.lacking(&judged),
            opens: self.purposes(&judged),
        };
        for one in judged {
            let counts = &mut plan.counts;
            match (&one.fate, renewed || one.rewrapped) {
                (Fate::Stays(_), false) => counts.kept += 1,
                (Fate::Stays(_), true) => counts.rewrapped += 1,
                (Fate::Rewritten, _) => counts.rewritten += 1,
                (Fate::Goes, _) => counts.dropped += 1,
            }
            plan.fates.push(one.fate);
        }
        let counts = plan.counts;
        plan.changed |= counts.kept < plan.fates.len();
        // A key that is made anew in the same epoch would open none of the wraps that stay; and
        // where a purpose's key was destroyed, this manifest is older than what destroyed it, and
        // another purpose's key is not to bring it back.
        opener.has(&wrapped(old).difference(&self.job.revoked))?;
        Ok(plan)
    }

    /// Whether the manifest would say something else, whatever its parts.
    fn declares_other(&self) -> bool {
        let old = self.job.manifest.manifest();
        let columns = self.job.spec.stored_columns();
        let columns = columns.map(crate::manifest::sealed_column);
        old.register() != self.job.register
            || *old.revoked() != self.job.revoked
            || !columns.eq(old.columns().iter().cloned())
    }

    /// Every purpose that opens something of the new version.
    fn purposes(&self, judged: &[Judged]) -> PurposeSet {
        let parts = self.job.manifest.parts().iter().zip(judged);
        let mut classes: BTreeSet<ConsentClass> = BTreeSet::new();
        for (part, one) in parts {
            if !matches!(one.fate, Fate::Goes) {
                classes.insert(self.class(&part.class));
            }
        }
        // People move to smaller classes alone.
        let footers = classes.iter().map(|class| self.spec.footer_purposes(class));
        footers.fold(PurposeSet::default(), |all, some| all.union(&some))
    }

    fn lacking(&self, judged: &[Judged]) -> Lacking {
        let mut lacking: BTreeMap<ColumnName, Coverage> = BTreeMap::new();
        for (part, one) in self.job.manifest.parts().iter().zip(judged) {
            if matches!(one.fate, Fate::Goes) {
                continue;
            }
            let class = self.class(&part.class);
            let has = columns(part, |key| !key.wraps.is_empty());
            for column in self.spec.stored_columns() {
                if self.spec.openable(column, &class).is_empty() {
                    continue;
                }
                let coverage = lacking.entry(column.name.clone()).or_default();
                coverage.of += 1;
                coverage.without += usize::from(!has.contains(&column.name));
            }
        }
        lacking.retain(|_, coverage| coverage.without > 0);
        lacking
    }
}

fn takes_rows(counts: &Counts, merged: &Merged) -> bool {
    let small = &merged.small;
    counts.rows_moved + counts.rows_gone + small.rows_moved + small.rows_left_out > 0
}

/// The columns that the part's file has, of keys that `which` picks.
pub(super) fn columns(part: &Part, which: impl Fn(&SealedKey) -> bool) -> BTreeSet<&ColumnName> {
    let keys = part.keys.iter().filter(|key| which(key));
    keys.filter_map(|key| key.column.as_ref()).collect()
}

/// Whether the sealed parts can be brought to the declaration at all.
fn check(job: &RewriteJob<'_>) -> Result<(), RewriteError> {
    let (old, spec) = (job.manifest.manifest(), job.spec);
    let unfit = |what| RewriteError::Unfit {
        dataset: old.dataset().clone(),
        what,
    };
    let rules = [
        (
            *old.dataset() == spec.name && *old.owner() == spec.owner,
            "it is another data set's, or another owner's",
        ),
        (
            !old.public() && !spec.public,
            "it is public, or was: such data are sealed for nobody, or need sealing again",
        ),
        (
            same_values(old.columns(), spec),
            "a column has another type, place or `nullable` than it was sealed with",
        ),
    ];
    match rules.into_iter().find(|(holds, _)| !holds) {
        Some((_, what)) => Err(unfit(what)),
        None => Ok(()),
    }
}

/// Whether the columns that stay are of the type that they have in the files, and in their order.
fn same_values(old: &[SealedColumn], spec: &DatasetSpec) -> bool {
    let new: Vec<_> = spec.stored_columns().collect();
    let names: BTreeMap<&ColumnName, usize> = (0..)
        .zip(&new)
        .map(|(at, column)| (&column.name, at))
        .collect();
    let mut last = None;
    old.iter().all(|column| {
        let Some(at) = names.get(&column.name) else {
            return true;
        };
        let rises = last.replace(*at).is_none_or(|last| last < *at);
        let same = |new: &&incamera_types::ColumnSpec| {
            new.ty == column.ty && new.nullable == column.nullable
        };
        rises && new.get(*at).is_some_and(same)
    })
}
