//! The crosswalk row by row: a party's own id → pseudonym, in a file that never leaves its
//! folder.
//!
//! # Format
//! `incamera-crosswalk/1`: plain Parquet, columns `id` (text, in order, each once) and `pseudonym`
//! (16 bytes); key-value metadata `incamera.format`, `incamera.agreement_id`,
//! `incamera.matching_epoch`, `incamera.id_kind`. Ids are in their kind's first way of writing.
//!
//! `incamera-crosswalk/2`: the same; behind `pseudonym` there may be `valid_until` (a day, or
//! none) and then `matched` (whether the peer has the id too, or none); metadata may hold
//! `incamera.rules`, `incamera.hashed`, `incamera.form` and `incamera.region`: how ids are
//! written, and how its owner has them; `incamera.matching_run`: the run that made it, where each
//! run makes other pseudonyms, or the digest of the providers' key. Written only where one of these is there.
//!
//! `incamera-crosswalk/3`: the same; metadata has `incamera.via`: the kind that its ids are of,
//! which have the pseudonyms of ids of `incamera.id_kind` that links lead to. Written only where
//! that is so: who does not know links would take its ids for others.
//!
//! # Memory
//! A few thousand rows and, while writing, a row group of [`GROUP_ROWS`], whatever the file's
//! size. The same rows give the same bytes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayBuilder as _, ArrayRef, AsArray as _, BooleanArray, BooleanBuilder,
    Date32Array, Date32Builder, FixedSizeBinaryArray, FixedSizeBinaryBuilder, RecordBatch,
    StringArray, StringBuilder,
};
use arrow::datatypes::{DataType, Date32Type, Field, Fields, Schema, SchemaRef};
use incamera_types::{Date, IdWriting, MatchRunDigest, MatchingEpoch, Pseudonym};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::crosswalk::CrosswalkScope;
use crate::guard::guarded;
use crate::local::{LocalFileError, Temporary, digest, io_error};
use crate::table::{self, Metadata};

const FORMAT_1: &str = "incamera-crosswalk/1";
const FORMAT_2: &str = "incamera-crosswalk/2";
const FORMAT_3: &str = "incamera-crosswalk/3";
const ID: &str = "id";
const PSEUDONYM: &str = "pseudonym";
const VALID_UNTIL: &str = "valid_until";
const MATCHED: &str = "matched";
/// Rows that are read or encoded at once.
const BATCH_ROWS: usize = 8192;
/// Rows that are written together.
const GROUP_ROWS: usize = 65_536;

/// What a crosswalk says beside ids and pseudonyms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrosswalkColumns {
    /// How its ids are written.
    pub writing: IdWriting,
    /// Whether it says until when links count.
    pub valid_until: bool,
    /// Whether it says which ids the peer has too.
    pub matched: bool,
    /// The run whose pseudonyms these are, where each run makes others.
    pub run: Option<MatchRunDigest>,
}

/// A row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CrosswalkRow<'a> {
    /// The id, normalised.
    pub id: &'a str,
    /// Its pseudonym.
    pub pseudonym: Pseudonym,
    /// The last day on which the link counts.
    pub valid_until: Option<Date>,
    /// Whether the peer has the id too.
    pub matched: Option<bool>,
}

impl std::fmt::Debug for CrosswalkRow<'_> {
    /// Never the id.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CrosswalkRow(..)")
    }
}

impl CrosswalkColumns {
    fn format(&self, scope: &CrosswalkScope) -> &'static str {
        match (&scope.via, *self == Self::default()) {
            (Some(_), _) => FORMAT_3,
            (None, true) => FORMAT_1,
            (None, false) => FORMAT_2,
        }
    }

    fn schema(&self) -> SchemaRef {
        let width = i32::try_from(Pseudonym::BYTES).unwrap_or_default();
        let optional = [
            (
                self.valid_until,
                Field::new(VALID_UNTIL, DataType::Date32, true),
            ),
            (self.matched, Field::new(MATCHED, DataType::Boolean, true)),
        ];
        let optional = optional.into_iter().filter(|(there, _)| *there);
        let all = [
            Field::new(ID, DataType::Utf8, false),
            Field::new(PSEUDONYM, DataType::FixedSizeBinary(width), false),
        ];
        let all = all.into_iter().chain(optional.map(|(_, field)| field));
        Arc::new(Schema::new(all.collect::<Fields>()))
    }

    fn metadata(&self) -> Vec<(&'static str, String)> {
        let IdWriting {
            rules,
            hashed,
            form,
            region,
        } = self.writing;
        let run = self.run.map(|run| (table::RUN, run.to_string()));
        let mut pairs: Vec<_> = run.into_iter().collect();
        if self.writing == IdWriting::default() {
            return pairs;
        }
        pairs.extend([
            (table::RULES, rules.to_string()),
            (table::HASHED, hashed.to_string()),
            (table::FORM, form.to_string()),
        ]);
        pairs.extend(region.map(|region| (table::REGION, region.to_string())));
        pairs
    }

    fn of(metadata: &Metadata, schema: &Schema) -> Result<Self, LocalFileError> {
        let mut columns = Self::default();
        if metadata.format == FORMAT_1 {
            return Ok(columns);
        }
        columns.valid_until = schema.column_with_name(VALID_UNTIL).is_some();
        columns.matched = schema.column_with_name(MATCHED).is_some();
        if metadata.has(table::RULES) {
            columns.writing.rules = metadata.get(table::RULES)?;
            columns.writing.hashed = metadata.get(table::HASHED)?;
            columns.writing.form = metadata.get(table::FORM)?;
        }
        if metadata.has(table::RUN) {
            columns.run = Some(metadata.get(table::RUN)?);
        }
        if metadata.has(table::REGION) {
            columns.writing.region = Some(metadata.get(table::REGION)?);
        }
        Ok(columns)
    }
}

/// Reads a crosswalk in order of id.
pub struct CrosswalkReader {
    metadata: Metadata,
    scope: CrosswalkScope,
    columns: CrosswalkColumns,
    batches: ParquetRecordBatchReader,
    batch: Option<Batch>,
    /// The row of the batch that comes next.
    at: usize,
}

/// Some rows.
struct Batch {
    ids: StringArray,
    pseudonyms: FixedSizeBinaryArray,
    valid_until: Option<Date32Array>,
    matched: Option<BooleanArray>,
}

impl CrosswalkReader {
    /// Opens the file `path`.
    ///
    /// # Errors
    /// [`LocalFileError`].
    pub fn open(path: &Path) -> Result<Self, LocalFileError> {
        let (metadata, builder) = table::open(path, &[FORMAT_1, FORMAT_2, FORMAT_3])?;
        let columns = CrosswalkColumns::of(&metadata, builder.schema())?;
        if builder.schema().fields() != columns.schema().fields() {
            return Err(metadata.form("its columns are others"));
        }
        let scope = CrosswalkScope {
            agreement_id: metadata.get(table::AGREEMENT_ID)?,
            epoch: MatchingEpoch(metadata.get(table::EPOCH)?),
            id_kind: metadata.get(table::ID_KIND)?,
            via: match metadata.format == FORMAT_3 {
                true => Some(metadata.get(table::VIA)?),
                false => None,
            },
        };
        let batches = guarded(|| builder.with_batch_size(BATCH_ROWS).build());
        Ok(Self {
            batches: batches.map_err(|_| metadata.form("it is damaged"))?,
            metadata,
            scope,
            columns,
            batch: None,
            at: 0,
        })
    }

    /// What the pseudonyms mean something in.
    #[must_use]
    pub fn scope(&self) -> &CrosswalkScope {
        &self.scope
    }

    /// What it says beside ids and pseudonyms.
    #[must_use]
    pub fn columns(&self) -> CrosswalkColumns {
        self.columns
    }

    /// The next row; none behind the last.
    ///
    /// # Errors
    /// [`LocalFileError::Form`]: the file is damaged, or its rows are not in order.
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator could not lend its rows"
    )]
    pub fn next(&mut self) -> Result<Option<CrosswalkRow<'_>>, LocalFileError> {
        let rows = |batch: &Option<Batch>| batch.as_ref().map_or(0, |batch| batch.ids.len());
        while self.at >= rows(&self.batch) {
            let next = guarded(|| self.batches.next().transpose());
            let next = next.map_err(|_| self.metadata.form("it is damaged"))?;
            let Some(next) = next else { return Ok(None) };
            self.take(&next)?;
        }
        let row = self.batch.as_ref().map(|batch| batch.row(self.at));
        self.at += 1;
        Ok(row)
    }

    fn take(&mut self, next: &RecordBatch) -> Result<(), LocalFileError> {
        let next = Batch::of(next);
        let next = next.ok_or_else(|| self.metadata.form("its columns are others"))?;
        let before = self.batch.as_ref().and_then(Batch::last);
        if !next.is_in_order(before) {
            return Err(self.metadata.form("its rows are not in order of their ids"));
        }
        self.batch = Some(next);
        self.at = 0;
        Ok(())
    }
}

impl Batch {
    fn of(batch: &RecordBatch) -> Option<Self> {
        let column = |name: &str| batch.column_by_name(name);
        let valid_until = column(VALID_UNTIL).map(|days| days.as_primitive_opt::<Date32Type>());
        let matched = column(MATCHED).map(|matched| matched.as_boolean_opt());
        Some(Self {
            ids: column(ID)?.as_string_opt::<i32>()?.clone(),
            pseudonyms: table::pseudonyms(batch, 1)?.clone(),
            valid_until: valid_until.flatten().cloned(),
            matched: matched.flatten().cloned(),
        })
    }

    fn last(&self) -> Option<&str> {
        let last = self.ids.len().checked_sub(1)?;
        Some(self.ids.value(last))
    }

    fn is_in_order(&self, before: Option<&str>) -> bool {
        let ids = before.into_iter().chain(self.ids.iter().flatten());
        ids.is_sorted_by(|one, next| one < next)
    }

    fn row(&self, at: usize) -> CrosswalkRow<'_> {
        let day = self.valid_until.as_ref().filter(|days| days.is_valid(at));
        let matched = self.matched.as_ref().filter(|matched| matched.is_valid(at));
        CrosswalkRow {
            id: self.ids.value(at),
            pseudonym: table::pseudonym(&self.pseudonyms, at),
            valid_until: day.map(|days| Date::from_days(days.value(at))),
            matched: matched.map(|matched| matched.value(at)),
        }
    }
}

/// Writes a crosswalk in order of id. Until [`CrosswalkWriter::finish`] the file that was there
/// stays; one that is not finished goes.
pub struct CrosswalkWriter {
    path: PathBuf,
    format: &'static str,
    columns: CrosswalkColumns,
    schema: SchemaRef,
    writer: ArrowWriter<File>,
    temporary: Temporary,
    ids: StringBuilder,
    pseudonyms: FixedSizeBinaryBuilder,
    valid_until: Date32Builder,
    matched: BooleanBuilder,
    last: Option<String>,
}

impl CrosswalkWriter {
    /// Begins the file that is to be at `path`, privately.
    ///
    /// # Errors
    /// [`LocalFileError::Io`].
    pub fn create(
        path: &Path,
        scope: &CrosswalkScope,
        columns: CrosswalkColumns,
    ) -> Result<Self, LocalFileError> {
        let format = columns.format(scope);
        let mut metadata = vec![
            (table::AGREEMENT_ID, scope.agreement_id.to_string()),
            (table::EPOCH, scope.epoch.to_string()),
            (table::ID_KIND, scope.id_kind.to_string()),
        ];
        metadata.extend(scope.via.iter().map(|kind| (table::VIA, kind.to_string())));
        metadata.extend(columns.metadata());
        let properties = properties(format, metadata);
        let schema = columns.schema();
        let (temporary, file) = Temporary::create(path)?;
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties));
        let width = i32::try_from(Pseudonym::BYTES).unwrap_or_default();
        Ok(Self {
            writer: writer.map_err(table::not_written(path, format))?,
            path: path.into(),
            format,
            columns,
            schema,
            temporary,
            ids: StringBuilder::new(),
            pseudonyms: FixedSizeBinaryBuilder::new(width),
            valid_until: Date32Builder::new(),
            matched: BooleanBuilder::new(),
            last: None,
        })
    }

    fn form(&self, reason: &'static str) -> LocalFileError {
        table::form(&self.path, self.format, reason)
    }

    /// Adds a row, whose id comes behind those before.
    ///
    /// # Errors
    /// [`LocalFileError::Form`]: it does not, or has a value that the file has no column for;
    /// [`LocalFileError::Io`]. The file is of no use then.
    pub fn push(&mut self, row: &CrosswalkRow<'_>) -> Result<(), LocalFileError> {
        if self.last.as_deref().is_some_and(|last| row.id <= last) {
            return Err(self.form("its rows do not come in order of their ids"));
        }
        let CrosswalkColumns {
            valid_until,
            matched,
            ..
        } = self.columns;
        if (row.valid_until.is_some() && !valid_until) || (row.matched.is_some() && !matched) {
            return Err(self.form("a row has a value that the file has no column for"));
        }
        let last = self.last.get_or_insert_default();
        last.clear();
        last.push_str(row.id);
        self.ids.append_value(row.id);
        let pseudonym = self.pseudonyms.append_value(row.pseudonym.as_bytes());
        pseudonym.map_err(|_| self.form("it could not be encoded"))?;
        self.valid_until
            .append_option(row.valid_until.map(Date::days));
        self.matched.append_option(row.matched);
        match self.matched.len() < BATCH_ROWS {
            true => Ok(()),
            false => self.encode(),
        }
    }

    /// Hands the rows at hand to the file.
    fn encode(&mut self) -> Result<(), LocalFileError> {
        let format = self.format;
        let optional: [(bool, ArrayRef); 2] = [
            (
                self.columns.valid_until,
                Arc::new(self.valid_until.finish()),
            ),
            (self.columns.matched, Arc::new(self.matched.finish())),
        ];
        let optional = optional.into_iter().filter(|(there, _)| *there);
        let mut arrays: Vec<ArrayRef> = vec![
            Arc::new(self.ids.finish()),
            Arc::new(self.pseudonyms.finish()),
        ];
        arrays.extend(optional.map(|(_, array)| array));
        let batch = RecordBatch::try_new(self.schema.clone(), arrays);
        let batch = batch.map_err(|_| self.form("it could not be encoded"))?;
        let written = self.writer.write(&batch);
        written.map_err(table::not_written(&self.path, format))
    }

    /// Puts the file, durably, in place of the one that was there.
    ///
    /// # Errors
    /// [`LocalFileError::Io`].
    pub fn finish(self) -> Result<(), LocalFileError> {
        self.whole()?.put()
    }

    /// The whole file, beside the one that is there.
    ///
    /// # Errors
    /// [`LocalFileError::Io`].
    pub fn whole(mut self) -> Result<WholeCrosswalk, LocalFileError> {
        self.encode()?;
        let format = self.format;
        let file = self.writer.into_inner();
        Ok(WholeCrosswalk {
            file: file.map_err(table::not_written(&self.path, format))?,
            temporary: self.temporary,
        })
    }
}

/// A crosswalk that is written and not in its place yet.
pub struct WholeCrosswalk {
    file: File,
    temporary: Temporary,
}

impl WholeCrosswalk {
    /// SHA-256 of it.
    ///
    /// # Errors
    /// [`LocalFileError::Io`].
    pub fn digest(&self) -> Result<[u8; 32], LocalFileError> {
        file_digest(self.temporary.lies_at())
    }

    /// Puts it, durably, in place of the one that was there.
    ///
    /// # Errors
    /// [`LocalFileError::Io`].
    pub fn put(self) -> Result<(), LocalFileError> {
        self.temporary.commit(&self.file)
    }
}

/// SHA-256 of a file in the owner's folder.
///
/// # Errors
/// [`LocalFileError::Io`].
pub fn file_digest(path: &Path) -> Result<[u8; 32], LocalFileError> {
    let digest = File::open(path).and_then(|mut file| digest(&mut file));
    digest.map_err(io_error("read", path))
}

/// Ids compress; pseudonyms are random bytes.
fn properties(format: &'static str, metadata: Vec<(&'static str, String)>) -> WriterProperties {
    let pseudonym = ColumnPath::from(PSEUDONYM);
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_column_compression(pseudonym, Compression::UNCOMPRESSED)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .set_key_value_metadata(Some(table::key_values(format, metadata)))
        .build()
}

/// Takes the rows out of the crosswalk `path` whose id `stays` refuses, and leaves all else as
/// it is. Tells how many are left.
///
/// # Errors
/// [`LocalFileError`]; the file is as it was then.
pub fn keep_rows(path: &Path, stays: &mut dyn FnMut(&str) -> bool) -> Result<u64, LocalFileError> {
    let mut reader = CrosswalkReader::open(path)?;
    let (scope, columns) = (reader.scope().clone(), reader.columns());
    let mut writer = CrosswalkWriter::create(path, &scope, columns)?;
    let mut left = 0;
    while let Some(row) = reader.next()? {
        if stays(row.id) {
            writer.push(&row)?;
            left += 1;
        }
    }
    writer.finish()?;
    Ok(left)
}
