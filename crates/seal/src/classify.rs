//! The consent class of each row, and the classes that parts are written for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use incamera_types::{ConsentClass, DatasetSpec, Pseudonym, PurposeName, PurposeSet};

use crate::plan::{self, KeyPlan};
use crate::sealing::Consent;
use crate::source::Table;

/// Rows of one block that are kept, with their people and classes.
pub(crate) struct Marked {
    /// The stored columns but the pseudonym.
    pub(crate) values: RecordBatch,
    pub(crate) people: Vec<Pseudonym>,
    /// Numbers of the consents' classes; where the data set says them itself, of `own`.
    pub(crate) classes: Vec<u32>,
    /// What a `purposes` column says: of every row, also of those that are not kept.
    pub(crate) said: Vec<(Pseudonym, u32)>,
    /// The classes of `said`.
    pub(crate) own: Vec<ConsentClass>,
    /// Rows whose person's consent opens no column.
    pub(crate) without_consent: u64,
}

/// How rows get their classes.
pub(crate) struct Marking<'a> {
    spec: &'a DatasetSpec,
    schema: SchemaRef,
    consent: Consent<'a>,
    /// The classes that are known before the file is read.
    pub(crate) classes: Vec<ConsentClass>,
    opens: Vec<bool>,
}

impl<'a> Marking<'a> {
    /// `renamed` has the old names of purposes that consents may still have.
    pub(crate) fn new(
        spec: &'a DatasetSpec,
        consent: Consent<'a>,
        purposes: &PurposeSet,
        renamed: &BTreeMap<PurposeName, PurposeName>,
    ) -> Self {
        let leaf = |purpose: &PurposeName| renamed.get(purpose).unwrap_or(purpose).clone();
        let today = |class: &ConsentClass| class.iter().map(leaf).collect();
        let classes = match consent {
            _ if spec.public => vec![ConsentClass::default()],
            Consent::Everyone => vec![purposes.clone()],
            Consent::ByPerson(consents) => consents.people().classes().iter().map(today).collect(),
            Consent::Column => Vec::new(),
        };
        Self {
            spec,
            schema: value_schema(spec),
            consent,
            opens: classes.iter().map(|class| opens(spec, class)).collect(),
            classes,
        }
    }

    /// The columns of [`Marked::values`].
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Gives each row its class, and keeps the rows that some purpose opens.
    pub(crate) fn mark(&self, table: Table) -> Result<Marked, ArrowError> {
        let columns: Vec<ArrayRef> = table.columns.into_iter().flatten().collect();
        let options = RecordBatchOptions::new().with_row_count(Some(table.rows));
        let values = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        let mut marked = Marked {
            values,
            people: table.people,
            classes: Vec::new(),
            said: Vec::new(),
            own: table.classes,
            without_consent: 0,
        };
        if self.spec.public {
            marked.people = vec![Pseudonym::from_bytes([0; Pseudonym::BYTES]); table.rows];
        }
        let classes: Vec<Option<u32>> = match self.consent {
            _ if self.spec.public || self.all_kept() => {
                marked.classes = vec![0; table.rows];
                return Ok(marked);
            }
            Consent::Everyone => vec![None; table.rows],
            Consent::ByPerson(consents) => {
                let consents = consents.people();
                let number = |person: &Pseudonym| consents.number(person);
                let class = |person| number(person).and_then(|class| self.kept(class));
                marked.people.iter().map(class).collect()
            }
            Consent::Column => {
                let said = marked.people.iter().copied().zip(table.row_classes);
                marked.said = said.collect();
                let opens: Vec<bool> = marked
                    .own
                    .iter()
                    .map(|class| opens(self.spec, class))
                    .collect();
                let kept = |class: u32| flag(&opens, class).then_some(class);
                marked.said.iter().map(|(_, class)| kept(*class)).collect()
            }
        };
        marked.keep(&classes)
    }

    /// Whether all rows are kept, and of the one class that there is.
    fn all_kept(&self) -> bool {
        matches!(self.consent, Consent::Everyone) && self.kept(0).is_some()
    }

    fn kept(&self, class: u32) -> Option<u32> {
        flag(&self.opens, class).then_some(class)
    }
}

impl Marked {
    fn keep(mut self, classes: &[Option<u32>]) -> Result<Self, ArrowError> {
        self.classes = classes.iter().copied().flatten().collect();
        let left_out = classes.len() - self.classes.len();
        if left_out == 0 {
            return Ok(self);
        }
        self.without_consent = left_out as u64;
        let mask: BooleanArray = classes.iter().map(|class| Some(class.is_some())).collect();
        self.values = filter_record_batch(&self.values, &mask)?;
        let mut kept = classes.iter().map(Option::is_some);
        self.people.retain(|_| kept.next().unwrap_or_default());
        Ok(self)
    }
}

fn flag(flags: &[bool], number: u32) -> bool {
    let at = usize::try_from(number).unwrap_or(usize::MAX);
    flags.get(at).copied().unwrap_or_default()
}

/// Whether some purpose opens some column of rows of `class`.
pub(crate) fn opens(spec: &DatasetSpec, class: &ConsentClass) -> bool {
    spec.public || !spec.footer_purposes(class).is_empty()
}

/// The stored columns but the one that says whose row it is.
fn value_schema(spec: &DatasetSpec) -> SchemaRef {
    let values = spec.value_columns();
    plan::arrow_schema(values.map(|column| (&column.name, column.ty, column.nullable)))
}

/// A consent class and the keys of its files.
pub(crate) struct ClassFiles {
    pub(crate) class: ConsentClass,
    pub(crate) keys: Vec<KeyPlan>,
}

impl ClassFiles {
    pub(crate) fn new(spec: &DatasetSpec, class: &ConsentClass) -> Self {
        let keys = if spec.public {
            Vec::new()
        } else {
            plan::class_keys(spec, class)
        };
        Self {
            class: class.clone(),
            keys,
        }
    }

    /// Whether the class's files have the column.
    pub(crate) fn stores(&self, spec: &DatasetSpec, column: &incamera_types::ColumnName) -> bool {
        let named = |key: &KeyPlan| key.column.as_ref() == Some(column);
        spec.public || self.keys.iter().any(named)
    }
}

/// The people and rows of a class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) people: u64,
    pub(crate) rows: u64,
}

impl std::ops::AddAssign for Size {
    fn add_assign(&mut self, more: Self) {
        self.people += more.people;
        self.rows += more.rows;
    }
}

/// The people of a class, counted.
pub(crate) trait Crowd {
    /// How many there are.
    fn people(&self) -> u64;
    /// These and those.
    fn join(&mut self, more: &Self);
}

impl Crowd for Size {
    fn people(&self) -> u64 {
        self.people
    }

    fn join(&mut self, more: &Self) {
        *self += *more;
    }
}

/// Into which class each class is written, by number; none if it is left out.
///
/// A class of fewer than `least` people says much about each of them, so that it is written as
/// one with fewer purposes: of the classes there are whose purposes it has, that with the most
/// purposes, of these the one with the most people. Never the other way: nobody agreed to more.
/// `sizes` has nobody for a class that no column opens.
pub(crate) fn merge_down<C: Crowd + Clone>(
    classes: &[ConsentClass],
    sizes: &[C],
    least: u64,
    settled: &BTreeSet<ConsentClass>,
) -> Vec<Option<usize>> {
    let mut crowds = sizes.to_vec();
    let people = |crowds: &[C], at: usize| crowds.get(at).map_or(0, Crowd::people);
    let mut into: Vec<Option<usize>> = (0..classes.len()).map(Some).collect();
    let mut order: Vec<(usize, &ConsentClass)> = classes.iter().enumerate().collect();
    order.sort_by_key(|(_, class)| (std::cmp::Reverse(class.len()), *class));
    for (at, class) in &order {
        if people(&crowds, *at) >= least || settled.contains(*class) {
            continue;
        }
        let there = |other: usize, lower: &ConsentClass| {
            people(&crowds, other) > 0 || settled.contains(lower)
        };
        let lower = order.iter().filter(|(other, lower)| {
            lower.len() < class.len() && lower.is_subset(class) && there(*other, lower)
        });
        let size = |other: usize| people(&crowds, other);
        let best = lower
            .max_by_key(|(other, lower)| (lower.len(), size(*other), std::cmp::Reverse(*lower)));
        let best = best.map(|(other, _)| *other);
        if let Some(slot) = into.get_mut(*at) {
            *slot = best;
        }
        let own = crowds.get(*at).cloned();
        let best = best.and_then(|best| crowds.get_mut(best));
        if let Some((best, own)) = best.zip(own) {
            best.join(&own);
        }
    }
    // What a class goes into has fewer purposes, so that a chain of them ends.
    let end = |mut at: usize| {
        while let Some(Some(next)) = into.get(at)
            && *next != at
        {
            at = *next;
        }
        into.get(at).copied().flatten()
    };
    (0..classes.len()).map(end).collect()
}

/// Where rows are written: into the class that this gives.
pub(crate) struct Targets {
    /// By number of a row's class.
    pub(crate) into: Vec<Option<usize>>,
    /// People whose rows say different classes, with the class of what all of them allow.
    pub(crate) moved: HashMap<Pseudonym, u32>,
}

impl Targets {
    /// The class that a row of `class` is written into.
    pub(crate) fn of(&self, class: u32, person: &Pseudonym) -> Option<usize> {
        let class = match self.moved.is_empty() {
            true => class,
            false => self.moved.get(person).copied().unwrap_or(class),
        };
        self.of_class(class)
    }

    pub(crate) fn of_class(&self, class: u32) -> Option<usize> {
        let at = usize::try_from(class).ok()?;
        self.into.get(at).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(names: &str) -> ConsentClass {
        names
            .chars()
            .map(|name| name.to_string().parse().unwrap())
            .collect()
    }

    fn merged(classes: &[(&str, u64)], least: u64) -> Vec<Option<String>> {
        let list: Vec<ConsentClass> = classes.iter().map(|(names, _)| class(names)).collect();
        let sizes = classes.iter().map(|(_, people)| Size {
            people: *people,
            rows: *people,
        });
        let sizes: Vec<Size> = sizes.collect();
        let into = merge_down(&list, &sizes, least, &BTreeSet::new());
        let name = |at: usize| classes[at].0.to_owned();
        into.into_iter().map(|into| into.map(name)).collect()
    }

    #[test]
    fn small_classes_go_into_lower_ones() {
        let merged = |classes: &[(&str, u64)], least| {
            let named = merged(classes, least).into_iter();
            named
                .map(|name| name.unwrap_or("-".into()))
                .collect::<Vec<_>>()
        };
        // Most purposes first, then most people.
        assert_eq!(
            merged(&[("abc", 3), ("ab", 20), ("a", 99)], 10),
            ["ab", "ab", "a"]
        );
        assert_eq!(
            merged(&[("abc", 3), ("ab", 20), ("bc", 30)], 10),
            ["bc", "ab", "bc"]
        );
        // Again and again, and what came from above counts.
        assert_eq!(
            merged(&[("abc", 3), ("ab", 3), ("a", 9)], 10),
            ["a", "a", "a"]
        );
        assert_eq!(
            merged(&[("abc", 5), ("ab", 5), ("a", 50)], 10),
            ["ab", "ab", "a"]
        );
        // Never up, never sideways.
        assert_eq!(
            merged(&[("a", 3), ("ab", 50), ("b", 50)], 10),
            ["-", "ab", "b"]
        );
        // A class without people is none.
        assert_eq!(merged(&[("ab", 3), ("a", 0)], 10), ["-", "-"]);
        assert_eq!(merged(&[("ab", 3), ("a", 1)], 1), ["ab", "a"]);
    }

    proptest::proptest! {
        /// Invariant I3: nobody's rows are written for a purpose that the person did not agree
        /// to; and no class that is written is small.
        #[test]
        fn i3_classes_are_merged_downwards(
            people in proptest::collection::btree_map("[a-e]{0,5}", 0u64..30, 0..20),
            least in 1u64..25,
        ) {
            let classes: Vec<ConsentClass> = people.keys().map(|names| class(names)).collect();
            let classes: BTreeSet<ConsentClass> = classes.into_iter().collect();
            let classes: Vec<ConsentClass> = classes.into_iter().collect();
            let numbers = people.values().copied().chain(std::iter::repeat(0));
            let sizes: Vec<Size> = numbers.map(|people| Size { people, rows: people }).take(classes.len()).collect();
            let into = merge_down(&classes, &sizes, least, &BTreeSet::new());
            let mut after = vec![0; classes.len()];
            for (at, into) in into.iter().enumerate() {
                if let Some(into) = into {
                    proptest::prop_assert!(classes[*into].is_subset(&classes[at]));
                    after[*into] += sizes[at].people;
                }
            }
            for people in after {
                proptest::prop_assert!(people == 0 || people >= least);
            }
        }
    }
}
