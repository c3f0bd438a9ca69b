use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use tempfile::TempDir;

use super::*;

/// Files of a folder that goes with the last clone.
#[derive(Clone)]
pub(crate) struct FolderStore {
    folder: Arc<TempDir>,
    made: Arc<AtomicU64>,
    /// Calls that go well before all fail.
    calls: Arc<AtomicU64>,
    /// The offset of a byte that is read with a bit flipped, and its file's number.
    flipped: Option<(u64, u64)>,
}

impl FolderStore {
    pub(crate) fn new() -> Self {
        Self {
            folder: Arc::new(tempfile::tempdir().unwrap()),
            made: Arc::default(),
            calls: Arc::new(AtomicU64::new(u64::MAX)),
            flipped: None,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn fail_after(&self, calls: u64) {
        self.calls.store(calls, SeqCst);
    }

    /// Every file there is.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path()).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn call(&self) -> Result<(), StoreError> {
        let left = self
            .calls
            .fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        left.map(|_| ())
            .map_err(|_| StoreError::from(std::io::Error::other("no more")))
    }
}

impl Store for FolderStore {
    type File = (u64, PathBuf, File);

    fn create(&self) -> Result<Self::File, StoreError> {
        self.call()?;
        let number = self.made.fetch_add(1, SeqCst);
        let path = self.path().join(format!("spill-{number}"));
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create_new(true).open(&path);
        Ok((number, path, file?))
    }

    fn append(&self, file: &mut Self::File, bytes: &[u8]) -> Result<(), StoreError> {
        self.call()?;
        Ok(file.2.write_all(bytes)?)
    }

    fn read(&self, file: &Self::File, at: u64, into: &mut [u8]) -> Result<(), StoreError> {
        self.call()?;
        file.2.read_exact_at(into, at)?;
        if let Some((number, offset)) = self.flipped {
            let place = offset.checked_sub(at).map(|place| place as usize);
            if let Some(byte) = place.and_then(|place| into.get_mut(place)) {
                *byte ^= u8::from(number == file.0);
            }
        }
        Ok(())
    }

    fn remove(&self, file: Self::File) {
        std::fs::remove_file(file.1).unwrap();
    }
}

pub(crate) fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(7)
}

/// `flags (1) | count (8) | key`: flags by OR, counts added up.
struct Counted;

impl Order for Counted {
    fn key(record: &[u8]) -> (&[u8], &[u8]) {
        (&record[9..], &[])
    }
    fn fold(kept: &mut [u8], other: &[u8]) -> bool {
        kept[0] |= other[0];
        let count = |record: &[u8]| u64::from_be_bytes(record[1..9].try_into().unwrap());
        let sum = count(kept) + count(other);
        kept[1..9].copy_from_slice(&sum.to_be_bytes());
        true
    }
}

/// Whole records, none folded.
struct Whole;

impl Order for Whole {
    fn key(record: &[u8]) -> (&[u8], &[u8]) {
        record.split_at(record.len().min(2))
    }
}

fn counted(flags: u8, count: u64, key: &[u8]) -> Vec<u8> {
    [&[flags], count.to_be_bytes().as_slice(), key].concat()
}

fn small() -> Memory {
    Memory {
        arena_bytes: 300,
        block_bytes: 60,
        fan_in: 3,
        keeps_sequences: false,
    }
}

fn all<S: Store, O: Order>(sorted: &mut Sorted<S, O>) -> Result<Vec<Vec<u8>>, SortError> {
    let mut records = Vec::new();
    while let Some(record) = sorted.next()? {
        records.push(record.to_vec());
    }
    Ok(records)
}

fn sort<O: Order>(
    store: &FolderStore,
    memory: Memory,
    records: &[Vec<u8>],
) -> Result<Vec<Vec<u8>>, SortError> {
    let mut sorter = Sorter::<_, O>::new(store, memory, &mut rng());
    for record in records {
        sorter.push(record)?;
    }
    all(&mut sorter.sorted()?)
}

/// 200 records of 20 bytes, in disorder.
fn two_hundred() -> Vec<Vec<u8>> {
    let numbers = (0..200_u32).map(|n| n * 77 % 200);
    numbers
        .map(|n| format!("marked record {n:06}").into_bytes())
        .collect()
}

/// Some that are alike for long, of every length, with bytes of zero, and twice.
#[test]
fn records_that_begin_alike_are_put_in_order() {
    let numbered = (0..2000_u32).map(|n| format!("person{}@mail.example", n * 77 % 1500));
    let mut records: Vec<Vec<u8>> = numbered.map(String::into_bytes).collect();
    records.extend((0..60).map(|length| vec![b'a'; length]));
    records.extend((0..60).map(|length| [vec![b'a'; length], vec![0; 9]].concat()));
    records.extend((0..60).map(|length| [vec![b'a'; 33], vec![0; length]].concat()));
    records.extend((0..60).map(|_| vec![b'b'; 70]));
    let mut expected = records.clone();
    expected.sort();
    let store = FolderStore::new();
    for memory in [Memory::default(), small()] {
        assert_eq!(sort::<Whole>(&store, memory, &records).unwrap(), expected);
    }
}

#[test]
fn a_sequence_that_is_kept_never_goes_to_the_store() {
    let store = FolderStore::new();
    store.fail_after(0);
    let memory = Memory {
        keeps_sequences: true,
        ..small()
    };
    let records = two_hundred();
    let kept = sequence(&store, memory, &records).unwrap();
    for from in [0, 1, 137, 199, 200] {
        let mut reader = kept.read_from(from).unwrap();
        let mut found = Vec::new();
        while let Some(record) = reader.next().unwrap() {
            found.push(record.to_vec());
        }
        assert_eq!(found, records[from as usize..]);
    }
}

fn memories() -> impl Strategy<Value = Memory> {
    (0_usize..3000, 0_usize..300, 0_usize..6).prop_map(|(arena_bytes, block_bytes, fan_in)| {
        Memory {
            arena_bytes,
            block_bytes,
            fan_in,
            keeps_sequences: false,
        }
    })
}

proptest! {
    /// The slow twin: a map.
    #[test]
    fn a_sorter_is_a_map_that_folds(
        rows in prop::collection::vec(("[a-c]{0,3}", 0_u8..8), 0..300),
        memory in memories(),
    ) {
        let mut twin: BTreeMap<&[u8], (u8, u64)> = BTreeMap::new();
        for (key, flags) in &rows {
            let entry = twin.entry(key.as_bytes()).or_default();
            *entry = (entry.0 | flags, entry.1 + 1);
        }
        let expected: Vec<_> = twin.iter().map(|(key, (flags, n))| counted(*flags, *n, key)).collect();
        let records: Vec<_> = rows.iter().map(|(key, flags)| counted(*flags, 1, key.as_bytes())).collect();
        let store = FolderStore::new();
        prop_assert_eq!(sort::<Counted>(&store, memory, &records).unwrap(), expected);
        prop_assert!(store.files().is_empty());
    }

    /// What is not folded stays, as often as it came.
    #[test]
    fn nothing_is_lost_and_nothing_added(
        mut records in prop::collection::vec(prop::collection::vec(0_u8..3, 0..40), 0..200),
        memory in memories(),
    ) {
        let sorted = sort::<Whole>(&FolderStore::new(), memory, &records).unwrap();
        records.sort();
        prop_assert_eq!(sorted, records);
    }

    /// A sequence is a list, from any place.
    #[test]
    fn a_sequence_is_read_from_any_place(
        records in prop::collection::vec(prop::collection::vec(0_u8..3, 0..40), 0..200),
        memory in memories(),
        from in 0_usize..220,
    ) {
        let sequence = sequence(&FolderStore::new(), memory, &records).unwrap();
        prop_assert_eq!(sequence.len(), records.len() as u64);
        let found = read(&sequence, from as u64).unwrap();
        prop_assert_eq!(&found[..], &records[from.min(records.len())..]);
    }
}

#[test]
fn a_key_that_comes_often_takes_one_record_a_run() {
    let store = FolderStore::new();
    let records = vec![counted(1, 1, b"one"); 10_000];
    let mut sorter = Sorter::<_, Counted>::new(&store, small(), &mut rng());
    for record in &records {
        sorter.push(record).unwrap();
    }
    let written = std::fs::metadata(&store.files()[0]).unwrap().len();
    assert!(written < 120_000, "{written} of 120,000 bytes pushed");
    let found = all(&mut sorter.sorted().unwrap()).unwrap();
    assert_eq!(found, [counted(1, 10_000, b"one")]);
}

#[test]
fn what_fits_is_never_written() {
    let store = FolderStore::new();
    store.fail_after(0);
    let records = vec![b"b".to_vec(), b"a".to_vec()];
    let sorted = sort::<Whole>(&store, small(), &records).unwrap();
    assert_eq!(sorted, [b"a", b"b"]);
}

#[test]
fn a_store_that_fails_ends_sorting_and_leaves_nothing() {
    let mut failures = 0;
    loop {
        let store = FolderStore::new();
        store.fail_after(failures);
        let sorted = sort::<Whole>(&store, small(), &two_hundred());
        assert!(store.files().is_empty());
        match sorted {
            Err(SortError::Store(error)) => assert_eq!(error.reason().to_string(), "no more"),
            Err(other) => panic!("{other:?}"),
            Ok(sorted) => break assert_eq!(sorted.len(), 200),
        }
        failures += 1;
    }
    // Five runs of some 8 records, in blocks of 3, twice.
    assert!(failures > 200, "{failures} calls");
}

#[test]
fn after_a_failure_there_is_no_end() {
    let store = FolderStore::new();
    let mut sorter = Sorter::<_, Whole>::new(&store, small(), &mut rng());
    for record in two_hundred() {
        sorter.push(&record).unwrap();
    }
    let mut sorted = sorter.sorted().unwrap();
    store.fail_after(0);
    assert!(matches!(all(&mut sorted), Err(SortError::Store(_))));
    store.fail_after(u64::MAX);
    assert!(matches!(sorted.next(), Err(SortError::AfterFailure)));

    let mut sorter = Sorter::<_, Whole>::new(&store, small(), &mut rng());
    store.fail_after(0);
    let pushed: Result<(), _> = two_hundred().iter().try_for_each(|r| sorter.push(r));
    assert!(matches!(pushed, Err(SortError::Store(_))));
    store.fail_after(u64::MAX);
    assert!(matches!(sorter.push(b"a"), Err(SortError::AfterFailure)));
    assert!(matches!(sorter.sorted(), Err(SortError::AfterFailure)));
}

#[test]
fn files_go_with_what_uses_them() {
    let store = FolderStore::new();
    let mut sorter = Sorter::<_, Whole>::new(&store, small(), &mut rng());
    for record in two_hundred() {
        sorter.push(&record).unwrap();
    }
    assert_eq!(store.files().len(), 1);
    let sorted = sorter.sorted().unwrap();
    assert_eq!(store.files().len(), 1);
    drop(sorted);
    assert_eq!(store.files().len(), 0);

    let sequence = sequence(&store, small(), &two_hundred()).unwrap();
    let reader = sequence.read_from(5).unwrap();
    drop(sequence);
    assert_eq!(store.files().len(), 1);
    drop(reader);
    assert_eq!(store.files().len(), 0);
}

#[test]
fn i1_no_record_stands_in_clear_in_the_store() {
    let store = FolderStore::new();
    let sequence = sequence(&store, small(), &two_hundred()).unwrap();
    let mut sorter = Sorter::<_, Whole>::new(&store, small(), &mut rng());
    for record in two_hundred() {
        sorter.push(&record).unwrap();
    }
    let sorted = sorter.sorted().unwrap();
    assert_eq!(store.files().len(), 2);
    for file in store.files() {
        let bytes = std::fs::read(file).unwrap();
        assert!(bytes.len() > 4_000);
        assert!(!bytes.windows(6).any(|found| found == b"marked"));
        assert!(!bytes.windows(6).any(|found| found == b"000042"));
    }
    drop((sequence, sorted));
}

/// Whichever byte of a block is changed, what is read is the truth or nothing.
#[test]
fn a_changed_byte_is_refused() {
    let records = two_hundred()[..20].to_vec();
    let store = FolderStore::new();
    let kept = sequence(&store, small(), &records).unwrap();
    let bytes = std::fs::read(&store.files()[0]).unwrap();
    let header = b"incamera-match-spill/1\n";
    assert!(bytes.starts_with(header));
    assert_eq!(read(&kept, 0).unwrap(), records);
    for offset in header.len()..bytes.len() {
        let mut store = FolderStore::new();
        store.flipped = Some((0, offset as u64));
        let changed = sequence(&store, small(), &records).unwrap();
        let error = read(&changed, 0).unwrap_err();
        let refused = matches!(error, SortError::Damaged | SortError::Store(_));
        assert!(refused, "byte {offset}: {error:?}");
    }
}

#[test]
fn a_changed_run_is_refused() {
    let mut store = FolderStore::new();
    // Somewhere in a block of the last of the merges.
    store.flipped = Some((2, 700));
    let sorted = sort::<Whole>(&store, small(), &two_hundred());
    assert!(matches!(sorted, Err(SortError::Damaged)), "{sorted:?}");
    assert!(store.files().is_empty());
}

/// Blocks of one length at each other's place, one at a second place, and a torn end.
#[test]
fn blocks_keep_their_places() {
    let store = FolderStore::new();
    let kept = sequence(&store, small(), &two_hundred()).unwrap();
    let path = &store.files()[0];
    let whole = std::fs::read(path).unwrap();
    let first = b"incamera-match-spill/1\n".len();
    let block = 4 + 12 + 3 * 22 + 16;
    let (one, two) = (first..first + block, first + block..first + 2 * block);
    let mut swapped = whole.clone();
    swapped[one.clone()].copy_from_slice(&whole[two.clone()]);
    swapped[two.clone()].copy_from_slice(&whole[one.clone()]);
    let mut repeated = whole.clone();
    repeated[two].copy_from_slice(&whole[one]);
    for (bytes, before) in [(swapped, 0), (repeated, 3)] {
        std::fs::write(path, bytes).unwrap();
        let mut reader = kept.read_from(0).unwrap();
        for _ in 0..before {
            reader.next().unwrap();
        }
        assert!(matches!(reader.next(), Err(SortError::Damaged)));
    }
    std::fs::write(path, &whole[..whole.len() - 1]).unwrap();
    assert!(matches!(read(&kept, 0), Err(SortError::Store(_))));
    std::fs::write(path, &whole).unwrap();
    assert_eq!(read(&kept, 0).unwrap().len(), 200);
}

/// All blocks of a file are sealed under one key: no two of them under one nonce.
#[test]
fn no_nonce_comes_twice_in_a_file() {
    let store = FolderStore::new();
    let _kept = sequence(&store, small(), &two_hundred()).unwrap();
    let bytes = std::fs::read(&store.files()[0]).unwrap();
    let mut rest = &bytes[b"incamera-match-spill/1\n".len()..];
    let mut nonces = BTreeSet::new();
    let mut blocks = 0;
    while let Some((length, behind)) = rest.split_first_chunk() {
        let (block, next) = behind.split_at(u32::from_be_bytes(*length) as usize);
        nonces.insert(block[..12].to_vec());
        (blocks, rest) = (blocks + 1, next);
    }
    assert!(blocks > 20, "{blocks}");
    assert_eq!(nonces.len(), blocks);
}

/// Two files have two keys: a block of one does not open in the other.
#[test]
fn each_file_has_its_own_key() {
    let store = FolderStore::new();
    let mut rng = rng();
    let mut fill = || {
        let mut writer = SequenceWriter::new(&store, small());
        for record in two_hundred() {
            writer.push(&record, &mut rng).unwrap();
        }
        writer.finish()
    };
    let (one, _two) = (fill(), fill());
    let files = ["spill-0", "spill-1"].map(|name| store.path().join(name));
    std::fs::copy(&files[1], &files[0]).unwrap();
    assert!(matches!(read(&one, 0), Err(SortError::Damaged)));
}

#[test]
fn places_that_are_remembered_do_not_grow_with_the_sequence() {
    let records: Vec<_> = (0..20_000_u32).map(|n| n.to_be_bytes().to_vec()).collect();
    let memory = Memory {
        block_bytes: 1,
        ..small()
    };
    let kept = sequence(&FolderStore::new(), memory, &records).unwrap();
    assert!(sequence::marks_of(&kept) <= 4096);
    for from in [0, 1, 4095, 4096, 12_345, 19_999] {
        let mut reader = kept.read_from(from).unwrap();
        assert_eq!(reader.place(), from);
        assert_eq!(reader.next().unwrap().unwrap(), records[from as usize]);
    }
}

#[test]
fn a_record_that_is_too_long_is_refused() {
    let store = FolderStore::new();
    let long = vec![0; MAX_RECORD_BYTES + 1];
    let mut sorter = Sorter::<_, Whole>::new(&store, small(), &mut rng());
    assert!(matches!(sorter.push(&long), Err(SortError::TooLong)));
    assert!(sorter.push(&long[1..]).is_ok());
    let mut writer = SequenceWriter::new(&store, small());
    assert!(matches!(
        writer.push(&long, &mut rng()),
        Err(SortError::TooLong)
    ));
    assert!(writer.push(&long[1..], &mut rng()).is_ok());
}

fn sequence(
    store: &FolderStore,
    memory: Memory,
    records: &[Vec<u8>],
) -> Result<Sequence<FolderStore>, SortError> {
    let mut writer = SequenceWriter::new(store, memory);
    for record in records {
        writer.push(record, &mut rng())?;
    }
    Ok(writer.finish())
}

fn read(sequence: &Sequence<FolderStore>, from: u64) -> Result<Vec<Vec<u8>>, SortError> {
    let mut reader = sequence.read_from(from)?;
    let mut records = Vec::new();
    while let Some(record) = reader.next()? {
        records.push(record.to_vec());
    }
    Ok(records)
}
