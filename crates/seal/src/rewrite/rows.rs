//! The parts of the new version: kept, wrapped anew, or written anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take};
use arrow::error::ArrowError;
use incamera_types::{ColumnName, ConsentClass, Pseudonym};
use incamera_wire::v1 as wire;
use rand_core::CryptoRng;

use super::keys::Opener;
use super::people;
use super::plan::{Fate, RewritePlan, Rules, Shape, columns};
use super::{RewriteError, RewriteJob};
use crate::manifest::Part;
use crate::plan::KeyPlan;
use crate::ring::KeyRing;
use crate::sealing::ENOUGH_BYTES;
use crate::source::Tags;
use crate::table;
use crate::writer::{self, PartError, PartRows, PartScope};

/// Rows that make one new part, and how it opens.
struct Group {
    keys: Vec<KeyPlan>,
    batches: Vec<RecordBatch>,
}

impl Group {
    fn new(keys: Vec<KeyPlan>) -> Self {
        Self {
            keys,
            batches: Vec::new(),
        }
    }

    /// Whether there are enough rows for a part, by the limits of sealing.
    fn is_enough(&self, part_rows: u64) -> bool {
        let rows: usize = self.batches.iter().map(RecordBatch::num_rows).sum();
        let bytes = self.batches.iter().map(RecordBatch::get_array_memory_size);
        rows as u64 >= part_rows || bytes.sum::<usize>() as u64 >= ENOUGH_BYTES
    }
}

/// Rows that were collected for different purposes are never in one part.
type Groups = BTreeMap<(Shape, Tags), Group>;

/// New parts under way.
pub(super) struct Writing<'a> {
    job: &'a RewriteJob<'a>,
    plan: &'a RewritePlan,
    rules: Rules<'a>,
    opener: Opener<'a>,
    folder: &'a Path,
    /// Rows that moved out of the parts of one partition.
    moved: Groups,
    parts: Vec<wire::Part>,
    written: usize,
}

impl<'a> Writing<'a> {
    pub(super) fn new(
        job: &'a RewriteJob<'a>,
        plan: &'a RewritePlan,
        ring: &'a KeyRing,
        folder: &'a Path,
    ) -> Self {
        Self {
            job,
            plan,
            rules: Rules::new(job),
            opener: Opener {
                manifest: job.manifest,
                ring,
            },
            folder,
            moved: BTreeMap::new(),
            parts: Vec::new(),
            written: 0,
        }
    }

    /// How many parts were written.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// All parts of the new version. Rows that move are held until they are enough for a part, or
    /// all parts of their partition are read.
    pub(super) fn parts(
        &mut self,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<wire::Part>, RewriteError> {
        let plan = self.plan;
        let mut parts: Vec<(&Part, &Fate)> = self
            .job
            .manifest
            .manifest()
            .parts()
            .iter()
            .zip(plan.fates())
            .collect();
        parts.sort_by_key(|(part, _)| part.partition);
        let mut at = 0;
        for slice in parts.chunk_by(|a, b| a.0.partition == b.0.partition) {
            for (part, fate) in slice {
                match fate {
                    Fate::Stays(keys) => self.stays(part, keys, rng)?,
                    Fate::Rewritten => self.rewritten(part, rng)?,
                    Fate::Goes => {}
                }
                at += 1;
                (self.job.progress)(at);
            }
            if let Some((part, _)) = slice.first() {
                self.write_moved(part.partition, |_, _| true, rng)?;
            }
        }
        Ok(std::mem::take(&mut self.parts))
    }

    fn stays(
        &mut self,
        part: &Part,
        keys: &[KeyPlan],
        rng: &mut impl CryptoRng,
    ) -> Result<(), RewriteError> {
        let epoch = self.plan.key_epoch();
        let mut stays = self.opener.rewrapped(part, keys, epoch, rng)?;
        let has = columns(part, |_| true);
        let shape = self.rules.shape(&part.class, &has);
        let absent = shape.map_or_else(Vec::new, |(shape, _)| shape.absent);
        stays.absent = absent.iter().map(ToString::to_string).collect();
        self.parts.push(stays);
        Ok(())
    }

    /// Reads all that still opens of a part, writes the rows that stay, and holds those that
    /// move.
    fn rewritten(&mut self, part: &Part, rng: &mut impl CryptoRng) -> Result<(), RewriteError> {
        let keys = self.opener.part(part)?;
        let class = self.rules.class(&part.class);
        let has = self.still_there(part);
        let names: Vec<ColumnName> = has.iter().map(|name| (*name).clone()).collect();
        let mut stay = Groups::new();
        let reader = people::open(self.job, part, &keys, &names)?;
        let tags = reader.tags().clone();
        for batch in reader {
            let batch = batch?;
            for (target, batch) in self.sorted_out(&batch, &class)? {
                let Some((shape, keys)) = self.rules.shape(&target, &has.iter().copied().collect())
                else {
                    continue;
                };
                let batch = project(&batch, &keys)?;
                let groups = match target == class {
                    true => &mut stay,
                    false => &mut self.moved,
                };
                let group = groups.entry((shape, tags.clone()));
                let group = group.or_insert_with(|| Group::new(keys));
                group.batches.push(batch);
            }
            self.write_moved(part.partition, Group::is_enough, rng)?;
        }
        for (key, group) in stay {
            self.write(part.partition, &key, &group, rng)?;
        }
        Ok(())
    }

    /// The columns that can be read of a part and are declared from now on, in the file's order.
    fn still_there<'p>(&self, part: &'p Part) -> Vec<&'p ColumnName> {
        let spec = self.job.spec;
        let open = part.keys.iter().filter(|key| !key.wraps.is_empty());
        let names = open.filter_map(|key| key.column.as_ref());
        names.filter(|name| spec.column(name).is_some()).collect()
    }

    /// The rows of a batch by the class that they are written in, without those left out.
    fn sorted_out(
        &self,
        batch: &RecordBatch,
        class: &ConsentClass,
    ) -> Result<Vec<(ConsentClass, RecordBatch)>, RewriteError> {
        let merged = self.plan.merged();
        let own = merged.written(class);
        let mut targets: BTreeMap<Option<ConsentClass>, Vec<usize>> = BTreeMap::new();
        if let Some(movement) = &self.job.movement {
            let column = person(self.job, batch);
            let people = column.and_then(|at| table::pseudonyms(batch, at));
            let people = people.ok_or(PartError::Encode)?;
            for at in 0..batch.num_rows() {
                let new = movement.of(&table::pseudonym(people, at), class);
                let written = new.as_ref().map_or(own, |new| merged.written(new));
                if written != Some(class) {
                    targets.entry(written.cloned()).or_default().push(at);
                }
            }
        }
        let leaving: usize = targets.values().map(Vec::len).sum();
        if leaving == 0 {
            return Ok(vec![(class.clone(), batch.clone())]);
        }
        let mut stay = vec![true; batch.num_rows()];
        let mut sorted = Vec::new();
        for (target, rows) in targets {
            let mut mask = vec![false; batch.num_rows()];
            for at in rows {
                mark(&mut mask, at, true);
                mark(&mut stay, at, false);
            }
            if let Some(target) = target {
                sorted.push((target, chosen(batch, mask)?));
            }
        }
        if leaving < batch.num_rows() {
            sorted.push((class.clone(), chosen(batch, stay)?));
        }
        Ok(sorted)
    }

    /// Writes those of the rows that moved that `which` picks.
    fn write_moved(
        &mut self,
        partition: u32,
        which: impl Fn(&Group, u64) -> bool,
        rng: &mut impl CryptoRng,
    ) -> Result<(), RewriteError> {
        let moved = std::mem::take(&mut self.moved).into_iter();
        let (now, later): (Groups, Groups) =
            moved.partition(|(_, group)| which(group, self.job.part_rows));
        self.moved = later;
        for (key, group) in now {
            self.write(partition, &key, &group, rng)?;
        }
        Ok(())
    }

    fn write(
        &mut self,
        partition: u32,
        (shape, tags): &(Shape, Tags),
        group: &Group,
        rng: &mut impl CryptoRng,
    ) -> Result<(), RewriteError> {
        let Some(first) = group.batches.first() else {
            return Ok(());
        };
        let all = concat_batches(&first.schema(), &group.batches).map_err(encode)?;
        let all = all
            .with_schema(tags.onto(&first.schema()))
            .map_err(encode)?;
        let old = self.job.manifest.manifest();
        let scope = PartScope {
            agreement_id: old.agreement_id(),
            dataset: old.dataset(),
            version: old.version() + 1,
            key_epoch: self.plan.key_epoch(),
            ring: self.opener.ring,
        };
        let rows = PartRows {
            class: &shape.class,
            partition,
            keys: &group.keys,
            batch: by_person(self.job, all).map_err(encode)?,
        };
        let mut part = writer::write_part(self.folder, &scope, &rows, rng)?;
        part.absent = shape.absent.iter().map(ToString::to_string).collect();
        self.parts.push(part);
        self.written += 1;
        Ok(())
    }
}

fn encode(_: ArrowError) -> PartError {
    PartError::Encode
}

fn mark(mask: &mut [bool], at: usize, value: bool) {
    if let Some(slot) = mask.get_mut(at) {
        *slot = value;
    }
}

fn chosen(batch: &RecordBatch, mask: Vec<bool>) -> Result<RecordBatch, PartError> {
    filter_record_batch(batch, &BooleanArray::from(mask)).map_err(encode)
}

/// The place of the pseudonym column in a batch.
fn person(job: &RewriteJob<'_>, batch: &RecordBatch) -> Option<usize> {
    let column = people::person_column(job)?;
    batch.schema().index_of(column.as_str()).ok()
}

/// The columns that have keys.
fn project(batch: &RecordBatch, keys: &[KeyPlan]) -> Result<RecordBatch, PartError> {
    let named: BTreeSet<&str> = keys
        .iter()
        .filter_map(|key| key.column.as_ref())
        .map(ColumnName::as_str)
        .collect();
    let schema = batch.schema();
    let fields = (0..).zip(schema.fields());
    let kept = fields.filter(|(_, field)| named.contains(field.name().as_str()));
    let kept: Vec<usize> = kept.map(|(at, _)| at).collect();
    batch.project(&kept).map_err(encode)
}

/// The rows in order of pseudonym: those of one part are already, those of several are not.
fn by_person(job: &RewriteJob<'_>, batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let people = person(job, &batch).and_then(|at| table::pseudonyms(&batch, at));
    let Some(people) = people else {
        return Ok(batch);
    };
    let mut order: Vec<(Pseudonym, u32)> = (0u32..)
        .zip(0..batch.num_rows())
        .map(|(row, at)| (table::pseudonym(people, at), row))
        .collect();
    if order.is_sorted() {
        return Ok(batch);
    }
    order.sort_unstable();
    let rows = UInt32Array::from_iter_values(order.iter().map(|(_, row)| *row));
    let taken = |column: &ArrayRef| take(column, &rows, None);
    let arrays: Vec<ArrayRef> = batch
        .columns()
        .iter()
        .map(taken)
        .collect::<Result<_, _>>()?;
    RecordBatch::try_new(Arc::clone(&batch.schema()), arrays)
}
