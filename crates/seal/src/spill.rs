//! Sorted rows that did not fit into memory, on the owner's disk: ciphertext.
//!
//! # Format
//! `incamera-spill/1`: a line with that name, then records one after the other. A record is some
//! rows of a run as an Arrow IPC stream, sealed by AES-256-GCM (`nonce || ciphertext || tag`).
//! Its associated data is the name and the record's number, from 0, in 8 bytes. The key and where
//! records begin are in the memory of the program that writes the file and nowhere else: a file
//! that is left behind opens for nobody, and the next sealing removes it.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use incamera_keys::{DataKey, aead};
use incamera_types::ColumnType;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use zeroize::Zeroizing;

use crate::lanes::{self, Feed};
use crate::local::{self, LocalFileError, io_error};
use crate::plan;
use crate::runs::{BATCH_ROWS, Lot, Lying, Run, Stretch};
use crate::table;

const FORMAT: &str = "incamera-spill/1";
/// What the names of the files begin with.
const PREFIX: &str = "spill-";

/// Whether a file of a sealed data set's folder is one that a sealing left behind.
pub(crate) fn is_spill_name(name: &str) -> bool {
    let stem = name.strip_prefix(PREFIX);
    stem.is_some_and(|stem| stem.len() == 32 && stem.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// A record.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    number: u64,
    offset: u64,
    bytes: usize,
}

/// The file, which goes when this does.
pub(crate) struct Spill {
    path: PathBuf,
    file: File,
    key: DataKey,
    /// Person, then the values.
    schema: SchemaRef,
    /// How many records there are.
    number: u64,
    /// Where the next one begins.
    bytes: u64,
}

impl Drop for Spill {
    fn drop(&mut self) {
        // What cannot be removed is ciphertext without a key: the next sealing tries again.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Spill {
    /// A new file in `folder`, for rows such as those of `run`.
    pub(crate) fn create(
        folder: &Path,
        run: &Run,
        rng: &mut ChaCha20Rng,
    ) -> Result<Self, LocalFileError> {
        let mut name = [0; 16];
        rng.fill_bytes(&mut name);
        let path = folder.join(format!("{PREFIX}{}", hex::encode(name)));
        let mut file = local::create_private(&path).map_err(io_error("write", &path))?;
        let header = format!("{FORMAT}\n");
        let written = file.write_all(header.as_bytes());
        let spill = Self {
            schema: schema(run.schema()),
            key: DataKey::generate(rng),
            file,
            number: 0,
            bytes: header.len() as u64,
            path,
        };
        written.map_err(io_error("write", &spill.path))?;
        Ok(spill)
    }

    /// Writes the rows of a run, and gives where they lie.
    pub(crate) fn add(
        &mut self,
        run: &Run,
        stretches: Vec<Stretch>,
        rng: &mut ChaCha20Rng,
    ) -> Result<Vec<Stretch>, LocalFileError> {
        let schema = self.schema.clone();
        let key = DataKey::from_bytes(*self.key.expose());
        let mut records = Vec::new();
        let mut lying = Vec::new();
        for (at, stretch) in stretches.into_iter().enumerate() {
            if let Lying::Memory(rows) = &stretch.at {
                let starts = rows.clone().step_by(BATCH_ROWS);
                let end = |start: usize| rows.end.min(start + BATCH_ROWS);
                records.extend(starts.map(|start| (at, start..end(start))));
            }
            let at = Lying::Disk(Vec::new());
            lying.push(Stretch { at, ..stretch });
        }
        let mut feed = Records {
            number: self.number,
            spill: self,
            records: records.into_iter(),
            lying,
            rng,
        };
        lanes::in_order(&mut feed, |record: Record| {
            let bytes = encoded(run, &schema, &record).ok()?;
            let mut rng = ChaCha20Rng::from_seed(*record.seed);
            let sealed = aead::seal(&key, &aad(record.number), &bytes, &mut rng);
            Some((record.stretch, record.number, sealed))
        })?;
        Ok(feed.lying)
    }

    /// A reader of records.
    pub(crate) fn open(&self) -> Result<File, LocalFileError> {
        File::open(&self.path).map_err(io_error("read", &self.path))
    }

    /// The rows of a record, of the columns `columns`.
    pub(crate) fn read(
        &self,
        file: &mut File,
        piece: Piece,
        columns: &[usize],
    ) -> Result<Lot, LocalFileError> {
        let mut sealed = vec![0; piece.bytes];
        let mut fill = || -> io::Result<()> {
            file.seek(SeekFrom::Start(piece.offset))?;
            file.read_exact(&mut sealed)
        };
        fill().map_err(io_error("read", &self.path))?;
        let changed = || table::form(&self.path, FORMAT, "it was changed while it was written");
        let bytes = aead::open(&self.key, &aad(piece.number), &sealed).map_err(|_| changed())?;
        lot(&bytes, columns)
            .map_err(|_| changed())?
            .ok_or_else(changed)
    }
}

fn aad(number: u64) -> Vec<u8> {
    [FORMAT.as_bytes(), &number.to_be_bytes()].concat()
}

/// A column without a name for the person, then the values.
fn schema(values: &SchemaRef) -> SchemaRef {
    let person = plan::arrow_type(ColumnType::Pseudonym);
    let person = person.map(|ty| Arc::new(Field::new("", ty, false)));
    let fields = person.into_iter().chain(values.fields().iter().cloned());
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Rows that are about to become a record.
struct Record {
    stretch: usize,
    rows: Range<usize>,
    number: u64,
    /// For the nonce.
    seed: Zeroizing<[u8; 32]>,
}

/// The records of a run.
struct Records<'a> {
    spill: &'a mut Spill,
    /// Records given so far.
    number: u64,
    records: std::vec::IntoIter<(usize, Range<usize>)>,
    lying: Vec<Stretch>,
    rng: &'a mut ChaCha20Rng,
}

impl Feed for Records<'_> {
    type Item = Record;
    type Done = Option<(usize, u64, Vec<u8>)>;
    type Error = LocalFileError;

    fn next(&mut self) -> Result<Option<Record>, LocalFileError> {
        let Some((stretch, rows)) = self.records.next() else {
            return Ok(None);
        };
        let mut seed = Zeroizing::new([0; 32]);
        self.rng.fill_bytes(seed.as_mut_slice());
        let number = self.number;
        self.number += 1;
        Ok(Some(Record {
            stretch,
            rows,
            number,
            seed,
        }))
    }

    fn take(&mut self, done: Self::Done) -> Result<(), LocalFileError> {
        let spill = &mut self.spill;
        let broken = || table::form(&spill.path, FORMAT, "rows could not be written to it");
        let (stretch, number, sealed) = done.ok_or_else(broken)?;
        let written = spill.file.write_all(&sealed);
        written.map_err(io_error("write", &spill.path))?;
        let piece = Piece {
            number,
            offset: spill.bytes,
            bytes: sealed.len(),
        };
        spill.bytes += sealed.len() as u64;
        spill.number = number + 1;
        if let Some(Stretch {
            at: Lying::Disk(pieces),
            ..
        }) = self.lying.get_mut(stretch)
        {
            pieces.push(piece);
        }
        Ok(())
    }
}

/// Rows as an Arrow IPC stream.
fn encoded(
    run: &Run,
    schema: &SchemaRef,
    record: &Record,
) -> Result<Zeroizing<Vec<u8>>, ArrowError> {
    let lot = run.exactly(record.rows.clone())?;
    let people = table::pseudonym_array(lot.people.iter())?;
    let people: ArrayRef = Arc::new(people);
    let columns = std::iter::once(people).chain(lot.values.columns().iter().cloned());
    let batch = RecordBatch::try_new(schema.clone(), columns.collect())?;
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    writer.write(&batch)?;
    writer.into_inner().map(Zeroizing::new)
}

/// Rows of an Arrow IPC stream, of the columns `columns`.
fn lot(bytes: &[u8], columns: &[usize]) -> Result<Option<Lot>, ArrowError> {
    let wanted = std::iter::once(0).chain(columns.iter().map(|column| column + 1));
    let mut reader = StreamReader::try_new(bytes, Some(wanted.collect()))?;
    let Some(batch) = reader.next().transpose()? else {
        return Ok(None);
    };
    let people = batch
        .columns()
        .first()
        .and_then(|people| people.as_fixed_size_binary_opt());
    let Some(people) = people else {
        return Ok(None);
    };
    let people = (0..people.len())
        .map(|at| table::pseudonym(people, at))
        .collect();
    let values: Vec<usize> = (1..batch.num_columns()).collect();
    let values = batch.project(&values)?;
    Ok(Some(Lot { people, values }))
}
