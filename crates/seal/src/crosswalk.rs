//! The crosswalk: a party's own id → pseudonym, in a file that never leaves its folder.
//!
//! # Format
//! `incamera-crosswalk/1`: plain Parquet, columns `id` (text, in order) and `pseudonym`
//! (16 bytes); key-value metadata `incamera.format`, `incamera.agreement_id`,
//! `incamera.matching_epoch`, `incamera.id_kind`.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array as _, FixedSizeBinaryArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use incamera_types::{AgreementId, IdKind, MatchingEpoch, Pseudonym};

use crate::local::LocalFileError;
use crate::table::{self, LocalTable};

const FORMAT: &str = "incamera-crosswalk/1";

/// What a crosswalk's pseudonyms mean something in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrosswalkScope {
    /// The agreement's id.
    pub agreement_id: AgreementId,
    /// The matching epoch.
    pub epoch: MatchingEpoch,
    /// The kind of identifier.
    pub id_kind: IdKind,
}

/// A party's own ids and their pseudonyms.
pub struct Crosswalk {
    scope: CrosswalkScope,
    rows: HashMap<Box<str>, Pseudonym>,
}

impl Crosswalk {
    /// A crosswalk of these rows; of an id that comes twice, the last row counts.
    #[must_use]
    pub fn new(scope: CrosswalkScope, rows: impl IntoIterator<Item = (String, Pseudonym)>) -> Self {
        let rows = rows.into_iter();
        let rows = rows.map(|(id, pseudonym)| (id.into_boxed_str(), pseudonym));
        let rows = rows.collect();
        Self { scope, rows }
    }

    /// What the pseudonyms mean something in.
    #[must_use]
    pub fn scope(&self) -> &CrosswalkScope {
        &self.scope
    }

    /// The pseudonym of `id`.
    #[must_use]
    pub fn lookup(&self, id: &str) -> Option<Pseudonym> {
        self.rows.get(id).copied()
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
        let mut rows: Vec<_> = rows.map(|(id, pseudonym)| (&**id, *pseudonym)).collect();
        rows.sort_unstable();
        rows.into_iter()
    }

    /// Writes the file `path`, privately and whole or not at all.
    ///
    /// # Errors
    /// [`LocalFileError::Io`].
    pub fn write(&self, path: &Path) -> Result<(), LocalFileError> {
        let rows: Vec<(&str, Pseudonym)> = self.iter().collect();
        let ids = StringArray::from_iter_values(rows.iter().map(|(id, _)| id));
        let pseudonyms = table::pseudonym_array(rows.iter().map(|(_, pseudonym)| pseudonym));
        let batch = pseudonyms.and_then(|pseudonyms| {
            RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(pseudonyms)])
        });
        let batch = batch.map_err(|_| table::form(path, FORMAT, "it is too large"))?;
        let metadata = vec![
            (table::AGREEMENT_ID, self.scope.agreement_id.to_string()),
            (table::EPOCH, self.scope.epoch.to_string()),
            (table::ID_KIND, self.scope.id_kind.to_string()),
        ];
        table::write(path, FORMAT, metadata, &batch)
    }

    /// Reads the file `path`.
    ///
    /// # Errors
    /// [`LocalFileError`].
    pub fn read(path: &Path) -> Result<Self, LocalFileError> {
        let file = table::read(path, FORMAT, &schema())?;
        let scope = CrosswalkScope {
            agreement_id: file.metadata(table::AGREEMENT_ID)?,
            epoch: MatchingEpoch(file.metadata(table::EPOCH)?),
            id_kind: file.metadata(table::ID_KIND)?,
        };
        Ok(Self::new(scope, rows(&file)?))
    }
}

impl fmt::Debug for Crosswalk {
    /// Never a row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Crosswalk({})", self.scope.id_kind)
    }
}

fn schema() -> SchemaRef {
    let width = i32::try_from(Pseudonym::BYTES).unwrap_or_default();
    Arc::new(Schema::new(vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("pseudonym", DataType::FixedSizeBinary(width), false),
    ]))
}

fn rows(file: &LocalTable) -> Result<Vec<(String, Pseudonym)>, LocalFileError> {
    let mut rows = Vec::new();
    for batch in file.batches() {
        let ids: &StringArray = file.column(batch, 0)?;
        let pseudonyms: &FixedSizeBinaryArray = file.column(batch, 1)?;
        for at in 0..ids.len() {
            let pseudonym = table::pseudonym(pseudonyms, at);
            rows.push((ids.value(at).to_owned(), pseudonym));
        }
    }
    Ok(rows)
}
