//! One sealed part: an encrypted Parquet file and what the manifest says of it.
//!
//! The Parquet writer itself encrypts (an engine built without its encryption feature would
//! take every option and write plaintext), and what was written is looked at before it counts.
//! Every module is encrypted, the footer too; there is no page index, because a reader without
//! all keys could not open it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use incamera_keys::DataKey;
use incamera_types::limits::MAX_PART_BYTES;
use incamera_types::{
    AgreementId, ColumnName, ConsentClass, DatasetName, Digest as _, FileId, PartDigest,
};
use incamera_wire::v1 as wire;
use parquet::arrow::ArrowWriter;
use parquet::encryption::encrypt::FileEncryptionProperties;
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use rand_core::CryptoRng;
use sha2::{Digest as _, Sha256};

use crate::keytools::{KeyReference, key_metadata};
use crate::labels::{WrapPlace, key_commitment, part_aad};
use crate::plan::KeyPlan;
use crate::ring::{KeyRing, RingError};
use crate::table::zstd;

/// Rows of a row group.
const GROUP_ROWS: usize = 131_072;
/// Rows handed to the writer at once.
const SLICE_ROWS: usize = 16_384;
/// First and last bytes of a Parquet file with an encrypted footer.
pub(crate) const ENCRYPTED_MAGIC: &[u8; 4] = b"PARE";

/// Why a part was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PartError {
    /// The file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Parquet refused the rows, or wrote them in clear; a defect of this program.
    #[error("a part could not be encrypted; nothing was sealed")]
    Encode,
    /// A part would be larger than any may be.
    #[error(
        "a part would be larger than {MAX_PART_BYTES} bytes: let the agreement have more partitions"
    )]
    TooLarge,
    /// The ring did not wrap a data key.
    #[error("a data key was not wrapped; nothing was sealed")]
    Ring(#[from] RingError),
}

/// What a data set's parts have in common.
pub(crate) struct PartScope<'a> {
    pub(crate) agreement_id: &'a AgreementId,
    pub(crate) dataset: &'a DatasetName,
    pub(crate) version: u64,
    pub(crate) key_epoch: u32,
    pub(crate) ring: &'a KeyRing,
}

/// The rows of one part.
pub(crate) struct PartRows<'a> {
    pub(crate) class: &'a ConsentClass,
    pub(crate) partition: u32,
    /// The keys of the file; none if it is public.
    pub(crate) keys: &'a [KeyPlan],
    pub(crate) batch: RecordBatch,
}

/// A data key of a part that is being written.
struct NewKey<'a> {
    plan: &'a KeyPlan,
    key: DataKey,
}

/// What goes into the name, the keys and the pages of a part.
#[derive(Clone, Copy)]
pub(crate) struct PartPlace<'a> {
    pub(crate) agreement_id: &'a AgreementId,
    pub(crate) dataset: &'a DatasetName,
    pub(crate) version: u64,
    pub(crate) class: &'a ConsentClass,
    pub(crate) partition: u32,
}

/// A part whose file is written and whose keys are not wrapped yet.
pub(crate) struct WrittenPart<'a> {
    class: &'a ConsentClass,
    partition: u32,
    file_id: FileId,
    keys: Vec<NewKey<'a>>,
    bytes: u64,
    digest: PartDigest,
}

/// Writes `rows` to `folder` under a new file id and gives what the manifest says of it.
pub(crate) fn write_part(
    folder: &Path,
    scope: &PartScope<'_>,
    rows: &PartRows<'_>,
    rng: &mut impl CryptoRng,
) -> Result<wire::Part, PartError> {
    let place = PartPlace {
        agreement_id: scope.agreement_id,
        dataset: scope.dataset,
        version: scope.version,
        class: rows.class,
        partition: rows.partition,
    };
    let count = rows.batch.num_rows();
    let slice = |start| rows.batch.slice(start, SLICE_ROWS.min(count - start));
    let slices = (0..count).step_by(SLICE_ROWS).map(|start| Ok(slice(start)));
    let schema = rows.batch.schema();
    let written = write_rows::<PartError>(folder, place, rows.keys, schema, slices, rng)?;
    written.wrapped(scope, rng)
}

/// Writes the file of a part: `batches`, of some thousand rows each, under a new file id and new
/// keys. Asks the ring for nothing, so that parts can be written on all cores.
pub(crate) fn write_rows<'a, E: From<PartError>>(
    folder: &Path,
    place: PartPlace<'a>,
    keys: &'a [KeyPlan],
    schema: SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch, E>>,
    rng: &mut impl CryptoRng,
) -> Result<WrittenPart<'a>, E> {
    let file_id = new_file_id(rng);
    let keys: Vec<NewKey<'_>> = keys.iter().map(|plan| new_key(plan, rng)).collect();
    let aad = part_aad(
        place.agreement_id,
        place.dataset,
        &file_id,
        place.version,
        place.class,
    );
    let properties = properties(&keys, aad, |column| {
        key_metadata(&KeyReference {
            agreement_id: *place.agreement_id,
            dataset: place.dataset.clone(),
            file_id,
            column: column.cloned(),
        })
    })?;
    let path = folder.join(file_name(&file_id));
    let (bytes, digest) = write_file(&path, properties, schema, batches)?;
    if bytes > MAX_PART_BYTES {
        return Err(PartError::TooLarge.into());
    }
    Ok(WrittenPart {
        class: place.class,
        partition: place.partition,
        file_id,
        keys,
        bytes,
        digest,
    })
}

impl WrittenPart<'_> {
    /// Wraps the part's keys, and gives what the manifest says of it.
    pub(crate) fn wrapped(
        self,
        scope: &PartScope<'_>,
        rng: &mut impl CryptoRng,
    ) -> Result<wire::Part, PartError> {
        let keys = self.keys.iter();
        let sealed = keys.map(|new| seal_key(scope, &self.file_id, new, rng));
        Ok(wire::Part {
            keys: sealed.collect::<Result<_, _>>()?,
            file_id: self.file_id.as_bytes().to_vec(),
            class: self.class.iter().map(ToString::to_string).collect(),
            partition: self.partition,
            bytes: self.bytes,
            digest: self.digest.as_bytes().to_vec(),
            version: scope.version,
            absent: Vec::new(),
        })
    }
}

/// The name of a part's file.
pub(crate) fn file_name(file_id: &FileId) -> String {
    format!("{file_id}.parquet")
}

fn new_file_id(rng: &mut impl CryptoRng) -> FileId {
    let mut bytes = [0; FileId::BYTES];
    rng.fill_bytes(&mut bytes);
    FileId::from_bytes(bytes)
}

fn new_key<'a>(plan: &'a KeyPlan, rng: &mut impl CryptoRng) -> NewKey<'a> {
    NewKey {
        plan,
        key: DataKey::generate(rng),
    }
}

/// How the file is written; without keys, in clear.
fn properties(
    keys: &[NewKey<'_>],
    aad: Vec<u8>,
    metadata: impl Fn(Option<&ColumnName>) -> Vec<u8>,
) -> Result<WriterProperties, PartError> {
    let mut properties = WriterProperties::builder()
        .set_compression(zstd())
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_created_by("incamera".to_owned())
        .set_max_row_group_row_count(Some(GROUP_ROWS));
    if let Some((footer, columns)) = keys.split_first() {
        let encryption =
            encryption(footer, columns, aad, metadata).map_err(|_| PartError::Encode)?;
        properties = properties.with_file_encryption_properties(encryption);
    }
    Ok(properties.build())
}

/// Never printed: the debug text of these properties shows the keys.
fn encryption(
    footer: &NewKey<'_>,
    columns: &[NewKey<'_>],
    aad: Vec<u8>,
    metadata: impl Fn(Option<&ColumnName>) -> Vec<u8>,
) -> Result<Arc<FileEncryptionProperties>, ParquetError> {
    let mut builder = FileEncryptionProperties::builder(footer.key.expose().to_vec())
        .with_plaintext_footer(false)
        .with_footer_key_metadata(metadata(None))
        .with_aad_prefix(aad)
        .with_aad_prefix_storage(true);
    for column in columns {
        let name = column.plan.column.as_ref();
        let key = column.key.expose().to_vec();
        builder = builder.with_column_key_and_metadata(
            name.map_or("", ColumnName::as_str),
            key,
            metadata(name),
        );
    }
    builder.build()
}

/// Writes and synchronises the file; gives its length and SHA-256.
fn write_file<E: From<PartError>>(
    path: &Path,
    properties: WriterProperties,
    schema: SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch, E>>,
) -> Result<(u64, PartDigest), E> {
    let io = |source| PartError::Io {
        path: path.into(),
        source,
    };
    let encrypted = properties.file_encryption_properties().is_some();
    let file = File::create_new(path).map_err(io)?;
    let mut sink = Sink::new(&file);
    if let Err(error) = write_batches(&mut sink, properties, schema, batches) {
        // Why the disk refused says more than that the encoder could not go on.
        let failed = sink.failed.take().map(|source| E::from(io(source)));
        return Err(failed.unwrap_or(error));
    }
    sink.out.flush().map_err(io)?;
    if encrypted && !(sink.first == *ENCRYPTED_MAGIC && sink.last == *ENCRYPTED_MAGIC) {
        return Err(PartError::Encode.into());
    }
    let written = (
        sink.bytes,
        PartDigest::from_bytes(sink.hash.finalize().into()),
    );
    file.sync_all().map_err(io)?;
    Ok(written)
}

fn write_batches<E: From<PartError>>(
    sink: &mut Sink<'_>,
    properties: WriterProperties,
    schema: SchemaRef,
    batches: impl Iterator<Item = Result<RecordBatch, E>>,
) -> Result<(), E> {
    let encode = |_: ParquetError| PartError::Encode;
    let mut writer = ArrowWriter::try_new(sink, schema, Some(properties)).map_err(encode)?;
    for batch in batches {
        writer.write(&batch?).map_err(encode)?;
    }
    writer.close().map_err(encode)?;
    Ok(())
}

/// A file that is hashed as it is written, and remembers its first and last four bytes.
struct Sink<'a> {
    out: BufWriter<&'a File>,
    hash: Sha256,
    bytes: u64,
    first: [u8; 4],
    last: [u8; 4],
    failed: Option<io::Error>,
}

impl<'a> Sink<'a> {
    fn new(file: &'a File) -> Self {
        Self {
            out: BufWriter::with_capacity(1 << 20, file),
            hash: Sha256::new(),
            bytes: 0,
            first: [0; 4],
            last: [0; 4],
            failed: None,
        }
    }

    /// Remembers why, which the encoder does not hand on.
    fn fails(&mut self, error: io::Error) -> io::Error {
        self.failed = Some(io::Error::from(error.kind()));
        error
    }

    fn note(&mut self, written: &[u8]) {
        self.hash.update(written);
        for byte in written.iter().take(4) {
            let at = usize::try_from(self.bytes).unwrap_or(usize::MAX);
            if let Some(slot) = self.first.get_mut(at) {
                *slot = *byte;
            }
            self.bytes += 1;
        }
        self.bytes += written.len().saturating_sub(4) as u64;
        for byte in written.iter().skip(written.len().saturating_sub(4)) {
            self.last.rotate_left(1);
            let [.., last] = &mut self.last;
            *last = *byte;
        }
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.out.write(bytes) {
            Ok(count) => {
                self.note(bytes.get(..count).unwrap_or(bytes));
                Ok(count)
            }
            Err(error) => Err(self.fails(error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush().map_err(|error| self.fails(error))
    }
}

/// The manifest's entry of a key: its commitment, and one wrap for each purpose that may
/// open it. For any other purpose there is none (invariant I3).
fn seal_key(
    scope: &PartScope<'_>,
    file_id: &FileId,
    new: &NewKey<'_>,
    rng: &mut impl CryptoRng,
) -> Result<wire::DataKey, PartError> {
    let column = new.plan.column.as_ref();
    let mut wraps = Vec::new();
    for purpose in new.plan.purposes.iter() {
        let place = WrapPlace {
            agreement_id: scope.agreement_id,
            dataset: scope.dataset,
            key_epoch: scope.key_epoch,
            file_id,
            column,
            purpose,
        };
        wraps.push(wire::Wrap {
            purpose: purpose.to_string(),
            wrapped: scope
                .ring
                .wrap(&place.slot(), &place.aad(), &new.key, rng)?,
        });
    }
    Ok(wire::DataKey {
        column: column.map_or(String::new(), ToString::to_string),
        commitment: key_commitment(file_id, column, &new.key)
            .as_bytes()
            .to_vec(),
        wraps,
    })
}
