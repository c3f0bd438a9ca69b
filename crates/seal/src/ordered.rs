//! An owner's rows, read, classed and in the order in which they are written.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use incamera_types::{
    AgreementId, ConsentClass, DatasetSpec, Digest as _, ManifestDigest, PurposeSet,
};
use rand_chacha::ChaCha20Rng;

use crate::append;
use crate::classify::{ClassFiles, Marking, Size, Targets, merge_down};
use crate::consents::PersonClasses;
use crate::folder::Folder;
use crate::merge::{Cutting, Merge, PartLimit};
use crate::plan;
use crate::repeats::Repeats;
use crate::runs::{Gathering, Lot, Overflow, Rows, Stretch};
use crate::sealing::{Consent, Outline, SealError, SealJob, SealReport, Step};
use crate::source::{self, Read, Reading};
use crate::table;
use crate::tally::{People, Tally};
use crate::writer::{self, PartError, PartPlace, WrittenPart};

/// Rows in order.
pub(crate) struct Ordered<'a> {
    spec: &'a DatasetSpec,
    /// The declaration without revoked purposes: what opens columns.
    opening: DatasetSpec,
    agreement_id: AgreementId,
    version: u64,
    rows: Rows,
    stretches: Vec<Stretch>,
    people: People,
    targets: Targets,
    /// By number of a class.
    files: Vec<ClassFiles>,
    sizes: Vec<Size>,
    read: Read,
    outline: Outline,
    /// The folder, if it had to be opened.
    pub(crate) folder: Option<Folder>,
}

/// The rows of one class and one partition: one part, or several.
pub(crate) struct Unit {
    class: usize,
    partition: u32,
    stretches: Vec<usize>,
    /// Rows of the stretches.
    pub(crate) rows: u64,
}

/// Reads the files of a job. Keeps to memory if there are no `seeds` for the disk.
pub(crate) fn read_in_order<'a>(
    job: &mut SealJob<'a>,
    seeds: Option<ChaCha20Rng>,
) -> Result<Ordered<'a>, SealError> {
    let spec = job.spec;
    let opening = plan::without(spec.clone(), &job.inherits.revoked);
    let marking = Marking::new(&opening, job.consent, job.purposes, job.renamed);
    let own_classes = !spec.public && matches!(job.consent, Consent::Column);
    let overflow = seeds.map(|rng| Overflow {
        out: job.out,
        memory_bytes: job.limits.memory_bytes,
        rng,
    });
    let tally = Tally::new(&marking.classes);
    let schema = marking.schema().clone();
    let mut gathering = Gathering::new(schema, tally, job.partitions, own_classes, overflow);
    let reading = Reading {
        spec,
        id_column: job.id_column,
        people: job.people,
        kinds: job.kinds,
        purposes: job.purposes,
        branches: job.branches,
        renamed: job.renamed,
    };
    let progress = &mut |rows| (job.progress)(Step::Read(rows));
    let mark = |table| marking.mark(table).map_err(|_| PartError::Encode);
    let add = |marked: Result<_, PartError>| gathering.add(marked?);
    let read = source::read(job.source, &reading, progress, mark, add)?;
    let sorted = gathering.finish()?;
    let people = sorted.tally.finish();
    let sizes = people.sizes(&opening);
    let least = match job.consent {
        _ if spec.public => 1,
        Consent::Everyone => 1,
        _ => job.limits.class_people,
    };
    let into = merge_down(&people.classes, &sizes, least, &append::classes(job));
    let classes = people.classes.iter();
    let mut ordered = Ordered {
        spec,
        agreement_id: job.agreement_id,
        version: job.version,
        rows: sorted.rows,
        stretches: sorted.stretches,
        targets: Targets {
            into,
            moved: people.moved(),
        },
        files: classes
            .map(|class| ClassFiles::new(&opening, class))
            .collect(),
        people,
        sizes,
        opening,
        read,
        outline: Outline::default(),
        folder: sorted.folder,
    };
    ordered.outline = ordered.outlined(sorted.without_consent);
    Ok(ordered)
}

impl Ordered<'_> {
    fn outlined(&self, without_consent: u64) -> Outline {
        let counts = &self.read.counts;
        let mut outline = Outline {
            rows: counts.rows,
            without_pseudonym: counts.without_pseudonym,
            without_consent: without_consent + self.people.rows_without_consent(&self.opening),
            ..Outline::default()
        };
        let small = &mut outline.small_classes;
        let (mut sealed, mut people) = (0, 0);
        let classes = self.people.classes.iter().zip(&self.sizes);
        for (at, ((class, size), into)) in classes.zip(&self.targets.into).enumerate() {
            match into {
                None => {
                    small.note(class, false, size.people);
                    small.rows_left_out += size.rows;
                    continue;
                }
                Some(into) if *into != at => {
                    small.note(class, true, size.people);
                    small.rows_moved += size.rows;
                }
                Some(_) => {}
            }
            sealed += size.rows;
            people += size.people;
        }
        (outline.sealed, outline.people) = (sealed, people);
        outline
    }

    /// What would come of the files.
    pub(crate) fn outline(&self) -> &Outline {
        &self.outline
    }

    /// What is known before parts are written.
    pub(crate) fn report(self) -> SealReport {
        let counts = self.read.counts;
        SealReport {
            rows: counts.rows,
            sealed: self.outline.sealed,
            without_pseudonym: counts.without_pseudonym,
            without_consent: self.outline.without_consent,
            small_classes: self.outline.small_classes,
            repeats: match self.spec.purposes_column() {
                Some(_) => self.people.repeats(),
                None => Repeats::default(),
            },
            clamped: counts.clamped,
            replaced: counts.replaced,
            twice: counts.twice,
            skipped: counts.skipped,
            ignored: counts.ignored,
            parts_kept: 0,
            parts: 0,
            bytes: 0,
            keys_destroyed: 0,
            key_epoch: 0,
            last_day: None,
            manifest: ManifestDigest::from_bytes([0; ManifestDigest::BYTES]),
            consents: None,
        }
    }

    /// What the data set's `purposes` column says, where it has one: as people said it, whatever
    /// became of small classes.
    pub(crate) fn said(&self) -> Option<PersonClasses> {
        let says = !self.spec.public && self.spec.purposes_column().is_some();
        says.then(|| self.people.consents())
    }

    /// Every purpose that wraps some key.
    pub(crate) fn purposes(&self) -> PurposeSet {
        let used: BTreeSet<usize> = self.units().iter().map(|unit| unit.class).collect();
        used.iter()
            .filter_map(|class| self.files.get(*class)?.keys.first())
            .fold(PurposeSet::default(), |all, footer| {
                all.union(&footer.purposes)
            })
    }

    /// What is written, in order. A unit of people who say different things in different rows
    /// may turn out to have fewer rows than it says, or none.
    pub(crate) fn units(&self) -> Vec<Unit> {
        let moved = self.targets.moved.values();
        let moved: BTreeSet<usize> = moved
            .filter_map(|class| self.targets.of_class(*class))
            .collect();
        let mut units: BTreeMap<(usize, u32), Unit> = BTreeMap::new();
        for (number, stretch) in self.stretches.iter().enumerate() {
            let own = self.targets.of_class(stretch.class);
            let lower = moved
                .iter()
                .copied()
                .filter(|lower| self.below(*lower, stretch.class));
            let classes: BTreeSet<usize> = own.into_iter().chain(lower).collect();
            for class in classes {
                let partition = stretch.partition;
                let unit = units.entry((class, partition)).or_insert_with(|| Unit {
                    class,
                    partition,
                    stretches: Vec::new(),
                    rows: 0,
                });
                unit.stretches.push(number);
                unit.rows += stretch.rows;
            }
        }
        units.into_values().collect()
    }

    /// Whether a person of class `class` may be written into `lower`.
    fn below(&self, lower: usize, class: u32) -> bool {
        let class = usize::try_from(class).ok();
        let class = class.and_then(|class| self.people.classes.get(class));
        let lower = self.people.classes.get(lower);
        lower
            .zip(class)
            .is_some_and(|(lower, class)| lower.is_subset(class))
    }

    /// The class of a unit.
    pub(crate) fn class(&self, unit: &Unit) -> Result<&ConsentClass, SealError> {
        let files = self.files.get(unit.class).ok_or(PartError::Encode)?;
        Ok(&files.class)
    }

    /// The rows of a unit, to be cut into parts, and the columns that its files have.
    pub(crate) fn rows(
        &self,
        unit: &Unit,
        limit: PartLimit,
    ) -> Result<(Cutting<'_>, Layout), SealError> {
        let files = self.files.get(unit.class).ok_or(PartError::Encode)?;
        let layout = Layout::new(self.spec, files, &self.read.tags);
        let stretches = unit
            .stretches
            .iter()
            .filter_map(|at| self.stretches.get(*at));
        let columns = layout.columns.clone();
        let merge = Merge::new(&self.rows, stretches, &self.targets, unit.class, columns)?;
        Ok((Cutting::new(merge, limit), layout))
    }

    /// Writes the parts of a unit.
    pub(crate) fn write(
        &self,
        folder: &Path,
        unit: &Unit,
        limit: PartLimit,
        rng: &mut ChaCha20Rng,
    ) -> Result<Vec<WrittenPart<'_>>, SealError> {
        let files = self.files.get(unit.class).ok_or(PartError::Encode)?;
        let place = PartPlace {
            agreement_id: &self.agreement_id,
            dataset: &self.spec.name,
            version: self.version,
            class: &files.class,
            partition: unit.partition,
        };
        let (mut rows, layout) = self.rows(unit, limit)?;
        let mut written = Vec::new();
        while rows.more()? {
            let batches = rows.part().map(|lot| layout.batch(lot?));
            let schema = layout.schema.clone();
            let part = writer::write_rows(folder, place, &files.keys, schema, batches, rng)?;
            written.push(part);
        }
        Ok(written)
    }
}

/// The columns of the files of a class.
pub(crate) struct Layout {
    /// What files say of their columns stands in the fields.
    schema: SchemaRef,
    /// Where the pseudonym stands.
    person_at: Option<usize>,
    /// The values' columns, by number among all of the data set's.
    columns: Vec<usize>,
}

impl Layout {
    fn new(spec: &DatasetSpec, files: &ClassFiles, tags: &source::Tags) -> Self {
        let stored = spec.stored_columns();
        let stored: Vec<_> = stored
            .filter(|column| files.stores(spec, &column.name))
            .collect();
        let numbered = spec.value_columns().enumerate();
        let schema = plan::arrow_schema(
            stored
                .iter()
                .map(|column| (&column.name, column.ty, column.nullable)),
        );
        Self {
            schema: tags.onto(&schema),
            person_at: stored
                .iter()
                .position(|column| spec.is_person(&column.name)),
            columns: numbered
                .filter(|(_, column)| files.stores(spec, &column.name))
                .map(|(number, _)| number)
                .collect(),
        }
    }

    /// Rows as they stand in a file.
    pub(crate) fn batch(&self, lot: Lot) -> Result<RecordBatch, SealError> {
        self.laid_out(&lot).map_err(|_| PartError::Encode.into())
    }

    fn laid_out(&self, lot: &Lot) -> Result<RecordBatch, ArrowError> {
        let mut columns: Vec<ArrayRef> = lot.values.columns().to_vec();
        if let Some(at) = self.person_at {
            let people = table::pseudonym_array(lot.people.iter())?;
            columns.insert(at.min(columns.len()), Arc::new(people));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(lot.people.len()));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
    }
}
