//! Who agreed to what: pseudonym → consent class, in a file of the owner's own folder.
//!
//! Made when the data set with the `purposes` column is sealed, and used for the owner's other
//! data sets: a person who is missing here has given no consent.
//!
//! # Format
//! `incamera-consents/1`: plain Parquet, columns `pseudonym` (16 bytes, in order) and
//! `purposes` (text, names joined by commas); key-value metadata `incamera.format`,
//! `incamera.agreement_id`, `incamera.matching_epoch`, `incamera.dataset`, and
//! `incamera.register`: the digest of the manifest that this data set was sealed with. What is
//! sealed by the file names it, so that consents of an older register are found out. Consents
//! that were changed, and not sealed anew, also have `incamera.follows`: the digest of the
//! manifest before. It tells a change that was cut short from a file of another time.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array as _, FixedSizeBinaryArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use incamera_types::{
    AgreementId, ConsentClass, DatasetName, ManifestDigest, MatchingEpoch, Pseudonym, PurposeName,
    PurposeSet,
};

use crate::local::LocalFileError;
use crate::table::{self, LocalTable};

const FORMAT: &str = "incamera-consents/1";

/// What a text of a `purposes` column says: names between commas, semicolons, bars or spaces,
/// each the name of a `leaf`. None where a name is none.
#[must_use]
pub fn consents_in(
    text: &str,
    leaf: impl Fn(&PurposeName) -> Option<PurposeName>,
) -> Option<ConsentClass> {
    let names = text.split([';', ',', '|', ' ']);
    names
        .filter(|name| !name.is_empty())
        .map(|name| leaf(&name.parse().ok()?))
        .collect()
}

/// Consents of an owner's people, by pseudonym.
pub struct Consents {
    agreement_id: AgreementId,
    epoch: MatchingEpoch,
    dataset: DatasetName,
    register: ManifestDigest,
    follows: Option<ManifestDigest>,
    people: PersonClasses,
}

impl Consents {
    /// Consents from rows of (pseudonym, class), as the data set's manifest `register` has
    /// them; of a person who comes more than once, only what every row allows counts.
    #[must_use]
    pub fn new(
        agreement_id: AgreementId,
        epoch: MatchingEpoch,
        dataset: DatasetName,
        register: ManifestDigest,
        rows: impl IntoIterator<Item = (Pseudonym, ConsentClass)>,
    ) -> Self {
        let mut classes = Classes::default();
        let rows = rows.into_iter();
        let people = rows
            .map(|(person, class)| (person, classes.number(class)))
            .collect();
        let people = PersonClasses::new(classes, people);
        Self::of_people(agreement_id, epoch, dataset, register, people)
    }

    pub(crate) fn of_people(
        agreement_id: AgreementId,
        epoch: MatchingEpoch,
        dataset: DatasetName,
        register: ManifestDigest,
        people: PersonClasses,
    ) -> Self {
        Self {
            agreement_id,
            epoch,
            dataset,
            register,
            follows: None,
            people,
        }
    }

    /// The consents after a change: `class` gives each person's new class, none for a person
    /// who is forgotten.
    #[must_use]
    pub fn changed(
        &self,
        class: impl Fn(&Pseudonym, &ConsentClass) -> Option<ConsentClass>,
    ) -> Self {
        let mut classes = Classes::default();
        let mut rows = Vec::with_capacity(self.people.rows.len());
        for (person, number) in &self.people.rows {
            let at = usize::try_from(*number).unwrap_or(usize::MAX);
            let old = self.people.classes.get(at);
            if let Some(new) = old.and_then(|old| class(person, old)) {
                rows.push((*person, classes.number(new)));
            }
        }
        Self {
            dataset: self.dataset.clone(),
            people: PersonClasses::new(classes, rows),
            ..*self
        }
    }

    /// These consents, as the manifest `register` has them, which takes the place of `before`.
    #[must_use]
    pub fn sealed_with(self, register: ManifestDigest, before: ManifestDigest) -> Self {
        Self {
            register,
            follows: Some(before),
            ..self
        }
    }

    /// The manifest that the register had before these consents were changed, if they were.
    #[must_use]
    pub fn follows(&self) -> Option<ManifestDigest> {
        self.follows
    }

    /// What `person` agreed to; nothing if unknown.
    #[must_use]
    pub fn class(&self, person: &Pseudonym) -> Option<&ConsentClass> {
        let number = self.people.number(person)?;
        self.people.classes().get(usize::try_from(number).ok()?)
    }

    /// Every purpose that some of them agreed to.
    #[must_use]
    pub fn purposes(&self) -> PurposeSet {
        let used: BTreeSet<u32> = self.people.rows.iter().map(|row| row.1).collect();
        let classes = (0u32..).zip(self.people.classes());
        let used = classes.filter(|(number, _)| used.contains(number));
        used.fold(PurposeSet::default(), |all, (_, class)| all.union(class))
    }

    pub(crate) fn people(&self) -> &PersonClasses {
        &self.people
    }

    /// The agreement in which the pseudonyms mean something.
    #[must_use]
    pub fn agreement_id(&self) -> &AgreementId {
        &self.agreement_id
    }

    /// The matching epoch in which the pseudonyms mean something.
    #[must_use]
    pub fn epoch(&self) -> MatchingEpoch {
        self.epoch
    }

    /// The data set that the consents stand in.
    #[must_use]
    pub fn dataset(&self) -> &DatasetName {
        &self.dataset
    }

    /// The manifest that the data set was sealed with when it said this.
    #[must_use]
    pub fn register(&self) -> ManifestDigest {
        self.register
    }

    /// How many people.
    #[must_use]
    pub fn len(&self) -> usize {
        self.people.rows.len()
    }

    /// Whether there is nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.people.rows.is_empty()
    }

    /// Writes the file `path`, privately and whole or not at all.
    ///
    /// # Errors
    /// [`LocalFileError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), LocalFileError> {
        let texts: Vec<String> = self
            .people
            .classes
            .iter()
            .map(ToString::to_string)
            .collect();
        let text = |row: &(Pseudonym, u32)| {
            let at = usize::try_from(row.1).unwrap_or(usize::MAX);
            texts.get(at).map_or("", String::as_str)
        };
        let purposes = StringArray::from_iter_values(self.people.rows.iter().map(text));
        let batch = table::pseudonym_array(self.people.rows.iter().map(|row| &row.0))
            .and_then(|people| {
                RecordBatch::try_new(schema(), vec![Arc::new(people), Arc::new(purposes)])
            })
            .map_err(|_| table::form(path, FORMAT, "it is too large"))?;
        let mut metadata = vec![
            (table::AGREEMENT_ID, self.agreement_id.to_string()),
            (table::EPOCH, self.epoch.to_string()),
            (table::DATASET, self.dataset.to_string()),
            (table::REGISTER, self.register.to_string()),
        ];
        let follows = self.follows.map(|digest| digest.to_string());
        metadata.extend(follows.map(|digest| (table::FOLLOWS, digest)));
        table::write(path, FORMAT, metadata, &batch)
    }

    /// Reads the file `path`.
    ///
    /// # Errors
    /// [`LocalFileError`].
    pub fn read(path: &Path) -> Result<Self, LocalFileError> {
        let file = table::read(path, &[FORMAT], &schema())?;
        let mut classes = Classes::default();
        let people = rows(path, &file, &mut classes)?;
        let follows = file.metadata.has(table::FOLLOWS);
        let follows = follows
            .then(|| file.metadata.get(table::FOLLOWS))
            .transpose()?;
        let consents = Self::of_people(
            file.metadata.get(table::AGREEMENT_ID)?,
            MatchingEpoch(file.metadata.get(table::EPOCH)?),
            file.metadata.get(table::DATASET)?,
            file.metadata.get(table::REGISTER)?,
            PersonClasses::new(classes, people),
        );
        Ok(Self {
            follows,
            ..consents
        })
    }
}

impl fmt::Debug for Consents {
    /// Never a row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Consents({})", self.dataset)
    }
}

/// The consent class of each person, as a number.
pub(crate) struct PersonClasses {
    classes: Vec<ConsentClass>,
    /// In order of pseudonym; the number is an index into `classes`.
    rows: Vec<(Pseudonym, u32)>,
    /// Where the rows of each slice of the pseudonym space begin, and, last, where all end. As
    /// pseudonyms are spread evenly, a slice has a few.
    starts: Vec<u32>,
}

/// People whom a slice of [`PersonClasses`] has, about.
const SLICE_PEOPLE: usize = 16;

impl PersonClasses {
    /// Of a person who comes more than once, only what every row allows counts.
    pub(crate) fn new(mut classes: Classes, mut rows: Vec<(Pseudonym, u32)>) -> Self {
        rows.sort_unstable();
        rows.dedup_by(|later, kept| {
            if later.0 != kept.0 {
                return false;
            }
            kept.1 = classes.both(kept.1, later.1);
            true
        });
        Self::in_order(classes.list, rows)
    }

    /// Of rows in order of pseudonym, each person once.
    pub(crate) fn in_order(classes: Vec<ConsentClass>, rows: Vec<(Pseudonym, u32)>) -> Self {
        Self {
            starts: starts(&rows),
            classes,
            rows,
        }
    }

    /// The number of `person`'s class among [`PersonClasses::classes`].
    pub(crate) fn number(&self, person: &Pseudonym) -> Option<u32> {
        let slices = u32::try_from(self.starts.len()).ok()?.checked_sub(1)?;
        let slice = usize::try_from(person.partition(slices)).ok()?;
        let [start, end] = *self.starts.get(slice..)?.first_chunk()?;
        let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end).ok()?);
        let rows = self.rows.get(start..end)?;
        let at = rows.binary_search_by(|row| row.0.cmp(person)).ok()?;
        rows.get(at).map(|row| row.1)
    }

    /// How many people agree to a purpose that `before` does not have of them, old names of
    /// purposes taken for the new ones.
    pub(crate) fn more_than(
        &self,
        before: &Self,
        renamed: &BTreeMap<PurposeName, PurposeName>,
    ) -> u64 {
        let name = |purpose: &PurposeName| renamed.get(purpose).unwrap_or(purpose).clone();
        let named = |classes: &[ConsentClass]| -> Vec<ConsentClass> {
            let class = |class: &ConsentClass| class.iter().map(name).collect();
            classes.iter().map(class).collect()
        };
        let (now, then) = (named(&self.classes), named(&before.classes));
        let nothing = ConsentClass::default();
        let at = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let more = |(person, class): &&(Pseudonym, u32)| {
            let had = before.number(person).and_then(|class| then.get(at(class)));
            let has = now.get(at(*class)).unwrap_or(&nothing);
            !has.is_subset(had.unwrap_or(&nothing))
        };
        self.rows.iter().filter(more).count() as u64
    }

    /// The classes, numbered from 0.
    pub(crate) fn classes(&self) -> &[ConsentClass] {
        &self.classes
    }
}

fn starts(rows: &[(Pseudonym, u32)]) -> Vec<u32> {
    // INVARIANT: there are fewer people than 32 bits can number, as there are fewer rows.
    let number = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let slices = number(rows.len() / SLICE_PEOPLE + 1);
    let before = |slice| rows.partition_point(|row| row.0.partition(slices) < slice);
    (0..=slices).map(|slice| number(before(slice))).collect()
}

fn schema() -> SchemaRef {
    let width = i32::try_from(Pseudonym::BYTES).unwrap_or_default();
    Arc::new(Schema::new(vec![
        Field::new("pseudonym", DataType::FixedSizeBinary(width), false),
        Field::new("purposes", DataType::Utf8, false),
    ]))
}

fn rows(
    path: &Path,
    file: &LocalTable,
    classes: &mut Classes,
) -> Result<Vec<(Pseudonym, u32)>, LocalFileError> {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut people = Vec::new();
    for batch in file.batches() {
        let pseudonyms: &FixedSizeBinaryArray = file.column(batch, 0)?;
        let purposes: &StringArray = file.column(batch, 1)?;
        for at in 0..pseudonyms.len() {
            let text = purposes.value(at);
            let number = match seen.get(text) {
                Some(number) => *number,
                None => {
                    let class = parse_class(text)
                        .ok_or_else(|| table::form(path, FORMAT, "a purpose is not a name"))?;
                    let number = classes.number(class);
                    seen.insert(text.to_owned(), number);
                    number
                }
            };
            people.push((table::pseudonym(pseudonyms, at), number));
        }
    }
    Ok(people)
}

fn parse_class(text: &str) -> Option<ConsentClass> {
    let names = text.split(',').filter(|name| !name.is_empty());
    names.map(|name| name.parse::<PurposeName>().ok()).collect()
}

/// The consent classes seen, numbered.
#[derive(Default)]
pub(crate) struct Classes {
    pub(crate) list: Vec<ConsentClass>,
    numbers: BTreeMap<ConsentClass, u32>,
}

impl Classes {
    /// The number of `class`.
    pub(crate) fn number(&mut self, class: ConsentClass) -> u32 {
        if let Some(number) = self.numbers.get(&class) {
            return *number;
        }
        let number = u32::try_from(self.list.len()).unwrap_or(u32::MAX);
        self.list.push(class.clone());
        self.numbers.insert(class, number);
        number
    }

    /// The class of this number; the empty one if there is none.
    pub(crate) fn get(&self, number: u32) -> ConsentClass {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        self.list.get(at).cloned().unwrap_or_default()
    }

    /// The number of what two classes have in common.
    pub(crate) fn both(&mut self, a: u32, b: u32) -> u32 {
        if a == b {
            return a;
        }
        let both = self.get(a).intersection(&self.get(b));
        self.number(both)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However pseudonyms are spread: each is found, and nobody else.
        #[test]
        fn everybody_is_found_and_nobody_else(
            people in prop::collection::btree_map(prop::array::uniform2(any::<u8>()), 0u32..3, 0..400),
            shift in 0usize..15,
            others in prop::collection::vec(prop::array::uniform2(any::<u8>()), 40),
        ) {
            let pseudonym = |two: &[u8; 2]| {
                let mut bytes = [7; 16];
                bytes[shift..shift + 2].copy_from_slice(two);
                Pseudonym::from_bytes(bytes)
            };
            let mut classes = Classes::default();
            for name in ["ads", "measurement", "safety"] {
                classes.number(std::iter::once(name.parse().unwrap()).collect());
            }
            let rows = people.iter().map(|(two, class)| (pseudonym(two), *class)).collect();
            let found = PersonClasses::new(classes, rows);
            for two in people.keys().chain(&others) {
                prop_assert_eq!(found.number(&pseudonym(two)), people.get(two).copied());
            }
        }
    }
}
