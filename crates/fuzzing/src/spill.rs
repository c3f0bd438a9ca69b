//! Files in which matching keeps what memory does not hold, changed while they are used.

use std::sync::{Arc, Mutex};

use incamera_matching::sort::{
    Memory, Order, Sequence, SequenceWriter, SortError, Sorter, Store, StoreError,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::reach::reached;

/// Records that are written.
const RECORDS: u32 = 60;
const MEMORY: Memory = Memory {
    arena_bytes: 400,
    block_bytes: 80,
    fan_in: 3,
    keeps_sequences: false,
};

/// Bytes to come back in the place of others.
pub(crate) struct Edit {
    pub(crate) file: usize,
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
}

/// Files in memory, of which a machine's other users change some.
#[derive(Clone)]
pub(crate) struct Changed {
    files: Arc<Mutex<Vec<Vec<u8>>>>,
    edits: Arc<Vec<Edit>>,
}

impl Changed {
    fn by(data: &[u8]) -> Self {
        Self {
            files: Arc::default(),
            edits: Arc::new(edits(data)),
        }
    }

    pub(crate) fn unchanged() -> Self {
        Self::by(&[])
    }
}

impl Store for Changed {
    type File = usize;

    fn create(&self) -> Result<usize, StoreError> {
        let mut files = self.files.lock().unwrap();
        files.push(Vec::new());
        Ok(files.len() - 1)
    }

    fn append(&self, file: &mut usize, bytes: &[u8]) -> Result<(), StoreError> {
        self.files.lock().unwrap()[*file].extend_from_slice(bytes);
        Ok(())
    }

    fn read(&self, file: &usize, at: u64, into: &mut [u8]) -> Result<(), StoreError> {
        let at = at as usize;
        let files = self.files.lock().unwrap();
        let found = files[*file].get(at..at.saturating_add(into.len()));
        let found = found.ok_or(std::io::Error::from(std::io::ErrorKind::UnexpectedEof))?;
        into.copy_from_slice(found);
        for edit in self.edits.iter().filter(|edit| edit.file == *file) {
            let places = (edit.offset as usize..).zip(&edit.bytes);
            for (place, byte) in places.filter(|(place, _)| *place >= at) {
                if let Some(into) = into.get_mut(place - at) {
                    *into = *byte;
                }
            }
        }
        Ok(())
    }

    fn remove(&self, file: usize) {
        self.files.lock().unwrap()[file].clear();
    }
}

struct Whole;

impl Order for Whole {
    fn key(record: &[u8]) -> (&[u8], &[u8]) {
        (record, &[])
    }
}

/// `file (1) | offset (2) | length (1) | bytes`, again and again.
pub(crate) fn edits(mut data: &[u8]) -> Vec<Edit> {
    let mut edits = Vec::new();
    while let [file, high, low, length, rest @ ..] = data {
        let (bytes, behind) = rest.split_at(usize::from(*length).min(rest.len()));
        edits.push(Edit {
            file: usize::from(*file),
            offset: u64::from(u16::from_be_bytes([*high, *low])),
            bytes: bytes.to_vec(),
        });
        data = behind;
    }
    edits
}

fn record(number: u32) -> Vec<u8> {
    let bytes = (number * 77 % RECORDS).to_be_bytes();
    [bytes.as_slice(), &vec![b'.'; number as usize % 20]].concat()
}

/// Whatever is changed in the files: what comes back are the records that were written, up to
/// an error.
pub fn match_spill(data: &[u8]) {
    let store = Changed::by(data);
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let records: Vec<Vec<u8>> = (0..RECORDS).map(record).collect();
    let mut writer = SequenceWriter::new(&store, MEMORY);
    let mut sorter = Sorter::<_, Whole>::new(&store, MEMORY, &mut rng);
    for record in &records {
        writer.push(record, &mut rng).unwrap();
        sorter.push(record).unwrap();
    }
    read_again(&writer.finish(), &records);
    let mut in_order = records;
    in_order.sort();
    let Ok(mut sorted) = sorter.sorted() else {
        return;
    };
    is_true_until_an_error(&in_order, || {
        sorted.next().map(|record| record.map(<[u8]>::to_vec))
    });
}

fn read_again(sequence: &Sequence<Changed>, records: &[Vec<u8>]) {
    for from in [0, 1, RECORDS / 2, RECORDS] {
        if let Ok(mut reader) = sequence.read_from(from.into()) {
            is_true_until_an_error(&records[from as usize..], || {
                reader.next().map(|record| record.map(<[u8]>::to_vec))
            });
        }
    }
}

fn is_true_until_an_error(
    expected: &[Vec<u8>],
    mut next: impl FnMut() -> Result<Option<Vec<u8>>, SortError>,
) {
    let mut expected = expected.iter();
    while let Ok(found) = next() {
        assert!(found.as_ref() == expected.next());
        if found.is_none() {
            reached("the end");
            return;
        }
    }
}
