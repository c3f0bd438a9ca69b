//! The crosswalk in memory: what sealing looks ids up in.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use incamera_types::{
    AgreementId, Date, IdKind, IdWriting, MatchRunDigest, MatchingEpoch, Pseudonym,
};

use crate::crosswalk_stream::{CrosswalkColumns, CrosswalkReader, CrosswalkRow, CrosswalkWriter};
use crate::local::LocalFileError;

/// What a crosswalk's pseudonyms mean something in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrosswalkScope {
    /// The agreement's id.
    pub agreement_id: AgreementId,
    /// The matching epoch.
    pub epoch: MatchingEpoch,
    /// The kind of identifier.
    pub id_kind: IdKind,
    /// The kind of the ids in it, where they are of another kind and got the pseudonyms that
    /// links lead to.
    pub via: Option<IdKind>,
}

impl CrosswalkScope {
    /// The kind of the ids in it.
    #[must_use]
    pub fn kind_of_ids(&self) -> &IdKind {
        self.via.as_ref().unwrap_or(&self.id_kind)
    }
}

/// A party's own ids and their pseudonyms.
pub struct Crosswalk {
    scope: CrosswalkScope,
    writing: IdWriting,
    run: Option<MatchRunDigest>,
    rows: HashMap<Box<str>, Kept>,
}

/// A pseudonym, and the last day on which it counts, where it has one.
#[derive(Clone, Copy)]
struct Kept {
    pseudonym: Pseudonym,
    valid_until: Option<Date>,
}

impl Crosswalk {
    /// A crosswalk of these rows; of an id that comes twice, the last row counts.
    #[must_use]
    pub fn new(scope: CrosswalkScope, rows: impl IntoIterator<Item = (String, Pseudonym)>) -> Self {
        let rows = rows.into_iter();
        let rows = rows.map(|(id, pseudonym)| {
            let valid_until = None;
            let kept = Kept {
                pseudonym,
                valid_until,
            };
            (id.into_boxed_str(), kept)
        });
        let rows = rows.collect();
        Self {
            scope,
            writing: IdWriting::default(),
            run: None,
            rows,
        }
    }

    /// What the pseudonyms mean something in.
    #[must_use]
    pub fn scope(&self) -> &CrosswalkScope {
        &self.scope
    }

    /// The pseudonym of `id`.
    #[must_use]
    pub fn lookup(&self, id: &str) -> Option<Pseudonym> {
        self.rows.get(id).map(|kept| kept.pseudonym)
    }

    /// The first day on which some id's pseudonym counts for the last time; none if all last.
    #[must_use]
    pub fn last_day(&self) -> Option<Date> {
        self.rows.values().filter_map(|kept| kept.valid_until).min()
    }

    /// The last day on which any id's pseudonym counts; none if some last.
    #[must_use]
    pub fn over_after(&self) -> Option<Date> {
        let last: Option<Vec<Date>> = self.rows.values().map(|kept| kept.valid_until).collect();
        last?.into_iter().max()
    }

    /// Takes out what does not count until the end of `day`; says how many ids.
    pub fn leave_out_over(&mut self, day: Date) -> usize {
        let before = self.rows.len();
        let counts = |kept: &mut Kept| kept.valid_until.is_none_or(|last| day <= last);
        self.rows.retain(|_, kept| counts(kept));
        before - self.rows.len()
    }

    /// How many ids.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is no id.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Ids and pseudonyms in order of id.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, Pseudonym)> {
        let rows = self.rows.iter();
        let mut rows: Vec<_> = rows.map(|(id, kept)| (&**id, kept.pseudonym)).collect();
        rows.sort_unstable();
        rows.into_iter()
    }

    /// How its ids are written.
    #[must_use]
    pub fn writing(&self) -> IdWriting {
        self.writing
    }

    /// The run whose pseudonyms these are, where each run makes others.
    #[must_use]
    pub fn run(&self) -> Option<MatchRunDigest> {
        self.run
    }

    /// Takes over the rows of another part of the same matching; tells whether it is one: of the
    /// same scope, written alike, of other ids.
    #[must_use]
    pub fn join(&mut self, part: Self) -> bool {
        let alike = (&self.scope, self.writing, self.run) == (&part.scope, part.writing, part.run);
        let (own, theirs) = (self.rows.len(), part.rows.len());
        self.rows.extend(part.rows);
        alike && self.rows.len() == own + theirs
    }

    /// Writes the file `path`, privately and whole or not at all. Whether the peer has an id,
    /// and until when a link counts, is not in it: [`keep_rows`](crate::keep_rows) leaves rows out
    /// of a file that says more.
    ///
    /// # Errors
    /// [`LocalFileError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), LocalFileError> {
        let columns = CrosswalkColumns {
            writing: self.writing,
            run: self.run,
            ..CrosswalkColumns::default()
        };
        let mut writer = CrosswalkWriter::create(path, &self.scope, columns)?;
        for (id, pseudonym) in self.iter() {
            writer.push(&CrosswalkRow {
                id,
                pseudonym,
                valid_until: None,
                matched: None,
            })?;
        }
        writer.finish()
    }

    /// Reads the file `path`.
    ///
    /// # Errors
    /// [`LocalFileError`].
    pub fn read(path: &Path) -> Result<Self, LocalFileError> {
        let mut file = CrosswalkReader::open(path)?;
        let mut rows = HashMap::new();
        while let Some(row) = file.next()? {
            let kept = Kept {
                pseudonym: row.pseudonym,
                valid_until: row.valid_until,
            };
            rows.insert(row.id.into(), kept);
        }
        Ok(Self {
            scope: file.scope().clone(),
            writing: file.columns().writing,
            run: file.columns().run,
            rows,
        })
    }
}

impl fmt::Debug for Crosswalk {
    /// Never a row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crosswalk({})", self.scope.id_kind)
    }
}
