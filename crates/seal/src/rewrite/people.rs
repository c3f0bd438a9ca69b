//! Whose rows change their consent class.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use incamera_types::{ColumnName, ConsentClass, Pseudonym};

use super::{RewriteError, RewriteJob};
use crate::checked::open_part;
use crate::manifest::Part;
use crate::reader::{PartReader, read_part};
use crate::sealing::part_path;
use crate::table;
use crate::unwrap::PartKeys;

/// Rows decoded at once.
const BATCH_ROWS: usize = 65_536;

/// Whose rows change their consent class, or go.
#[derive(Clone, Copy)]
pub struct Movement<'a> {
    /// Only these people's rows change; none: anybody's may.
    pub among: Option<&'a BTreeSet<Pseudonym>>,
    /// The class of a person whose rows are in a part of the class given; none if it stays so.
    /// Rows of a class that opens nothing go.
    pub class: &'a dyn Fn(&Pseudonym, &ConsentClass) -> Option<ConsentClass>,
}

impl fmt::Debug for Movement<'_> {
    /// Never a pseudonym.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Movement")
    }
}

impl Movement<'_> {
    /// The new class of `person`'s rows in a part of `class`; none if they stay.
    pub(super) fn of(&self, person: &Pseudonym, class: &ConsentClass) -> Option<ConsentClass> {
        if self.among.is_some_and(|among| !among.contains(person)) {
            return None;
        }
        (self.class)(person, class).filter(|new| new != class)
    }

    /// The slices of the pseudonym space that these people lie in; none if it may be all.
    pub(super) fn partitions(&self, partitions: u32) -> Option<BTreeSet<u32>> {
        let among = self.among?;
        Some(among.iter().map(|one| one.partition(partitions)).collect())
    }
}

/// The name of the column that says whose row it is.
pub(super) fn person_column(job: &RewriteJob<'_>) -> Option<ColumnName> {
    job.manifest.person_column().cloned()
}

/// Opens columns of an own part, whose file is checked first.
pub(super) fn open(
    job: &RewriteJob<'_>,
    part: &Part,
    keys: &PartKeys,
    columns: &[ColumnName],
) -> Result<PartReader, RewriteError> {
    let path = part_path(job.folder, &part.file_id);
    let file = open_part(&path, job.manifest, part)?;
    Ok(read_part(
        file,
        job.manifest,
        part,
        keys,
        columns,
        BATCH_ROWS,
    )?)
}

/// How many rows of a part keep their class, and how many change it into which.
#[derive(Default)]
pub(super) struct Split {
    pub(super) stay: u64,
    pub(super) changed: BTreeMap<ConsentClass, u64>,
}

/// Hears each row of a part: its person and, where it changes, its new class. Says whether it
/// wants to hear more.
pub(super) fn each_row(
    job: &RewriteJob<'_>,
    movement: &Movement<'_>,
    part: &Part,
    keys: &PartKeys,
    class: &ConsentClass,
    mut hears: impl FnMut(Pseudonym, Option<ConsentClass>) -> bool,
) -> Result<(), RewriteError> {
    let Some(column) = person_column(job) else {
        return Ok(());
    };
    for batch in open(job, part, keys, &[column])? {
        let batch = batch?;
        let Some(people) = table::pseudonyms(&batch, 0) else {
            continue;
        };
        for at in 0..batch.num_rows() {
            let person = table::pseudonym(people, at);
            if !hears(person, movement.of(&person, class)) {
                return Ok(());
            }
        }
    }
    Ok(())
}
