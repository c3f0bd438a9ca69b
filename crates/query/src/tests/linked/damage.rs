//! Damage that an owner seals is told, whoever is linked to whom.

use incamera_seal::Bounds;
use incamera_types::ColumnName;

use super::*;
use crate::source::{Batches, SourceError};

/// A source of which some data sets do not open.
struct Damaged {
    rows: Memory,
    damaged: Vec<DatasetName>,
    /// Where so many columns are asked for; or any.
    columns: Option<usize>,
}

impl PartSource for Damaged {
    fn partitions(&self, dataset: &DatasetName) -> Result<u32, SourceError> {
        self.rows.partitions(dataset)
    }

    fn open(
        &self,
        dataset: &DatasetName,
        partition: u32,
        columns: &[ColumnName],
        bounds: &Bounds,
    ) -> Result<Vec<Batches>, SourceError> {
        let asked = self.columns.is_none_or(|count| count == columns.len());
        if partition == 2 && asked && self.damaged.contains(dataset) {
            let dataset = dataset.clone();
            return Err(SourceError::Unsealed { dataset });
        }
        self.rows.open(dataset, partition, columns, bounds)
    }
}

/// One error for damage, the same whoever's rows are linked to whose and whichever is found
/// first.
#[test]
fn i7_damage_is_told_whoever_is_linked() {
    let agreement = facts();
    let checked = checked(&agreement);
    let all = ["clicks", "customers", "mailing", "purchases"];
    for seed in [1, 2] {
        let world = World::of(seed);
        let nobody = World {
            shop: Side::new(),
            ..world.clone()
        };
        for damaged in [
            &all[..1],
            &all[1..2],
            &all[2..3],
            &all[3..],
            &all[1..3],
            &all,
        ] {
            for world in [&world, &nobody] {
                let source = Damaged {
                    rows: world.memory(),
                    damaged: damaged.iter().map(|name| dataset(name)).collect(),
                    columns: None,
                };
                let error = try_raw(&checked, Arc::new(source), 1).err().unwrap();
                let dataset = dataset(damaged[0]);
                assert_eq!(
                    error,
                    SourceError::Unsealed { dataset }.into(),
                    "{damaged:?}"
                );
            }
        }
    }
    // Rows that stand in another slice are damage too.
    let in_first = |world: &World| {
        let mut mailer = world.mailer.keys();
        mailer.any(|key| Pseudonym::from_bytes(*key).partition(World::SLICES) == 0)
    };
    let mut memory = (1..).map(World::of).find(in_first).unwrap().memory();
    let first = memory.parts.remove(&(dataset("mailing"), 0)).unwrap();
    memory.parts.insert((dataset("mailing"), 1), first);
    let error = try_raw(&checked, Arc::new(memory), 1).err();
    let dataset = dataset("mailing");
    assert_eq!(error, Some(SourceError::Unsealed { dataset }.into()));
}

/// What the rule alone reads is read to the end too: without it there is no answer.
#[test]
fn i7_damage_that_only_linking_meets_is_told() {
    let agreement = hits();
    let checked = checked(&agreement);
    for name in ["customers", "mailing"] {
        let source = Damaged {
            rows: World::of(1).memory(),
            damaged: vec![dataset(name)],
            // The person and both kinds; the plan asks for other two.
            columns: Some(3),
        };
        let error = try_raw(&checked, Arc::new(source), 1).err();
        let dataset = dataset(name);
        assert_eq!(error, Some(SourceError::Unsealed { dataset }.into()));
    }
}
