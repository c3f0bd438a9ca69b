use std::collections::HashSet;

use incamera_types::{Digest as _, MatchInputDigest, MatchRunDigest};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::terms::tests::terms;
use crate::{Mode, Seed};

/// A journal's bytes; what is written fails from the `fails`-th byte on.
#[derive(Clone, Default)]
pub(crate) struct Bytes {
    pub(crate) bytes: Vec<u8>,
    fails: Option<usize>,
    cut_fails: bool,
    pub(crate) sync_fails: bool,
    /// What is on the disk.
    pub(crate) synced: usize,
}

impl JournalFile for Bytes {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let at = usize::try_from(at).unwrap();
        let there = self.bytes.get(at..at + into.len());
        into.copy_from_slice(there.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let room = self.fails.map_or(bytes.len(), |end| end - self.bytes.len());
        let part = &bytes[..room.min(bytes.len())];
        self.bytes.extend_from_slice(part);
        match part.len() < bytes.len() {
            true => Err(io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        if self.sync_fails {
            return Err(io::ErrorKind::Other.into());
        }
        self.synced = self.bytes.len();
        Ok(())
    }

    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        if self.cut_fails {
            return Err(io::ErrorKind::Other.into());
        }
        self.bytes.truncate(usize::try_from(bytes).unwrap());
        Ok(())
    }
}

fn secret() -> MatchingKey {
    MatchingKey::from_bytes([3; 32])
}

fn key() -> JournalKey {
    JournalKey::of(&secret(), &terms(), &"mailer".parse().unwrap())
}

fn header(seed: u8) -> Header {
    Header {
        input: MatchInputDigest::from_bytes([1; 32]),
        order: [5; 32],
        greeting: [6; 32],
        peer_key: Some([7; 32]),
        seed: Seed::from_bytes([seed; 32]),
        nonce: [2; 32],
        run: MatchRunDigest::from_bytes([4; 32]),
        own: 40,
        peer: 30,
        mode: Mode::Append,
        made_at: UnixTime(1000),
        expires_at: UnixTime(2000),
    }
}

fn places(first: u64, count: usize) -> Places {
    Places {
        first,
        bytes: vec![u8::try_from(first).unwrap(); count * VALUE_BYTES],
    }
}

fn records() -> Vec<Record> {
    vec![
        Record::Theirs(places(0, 20)),
        Record::Own(places(0, 10)),
        Record::Own(places(10, 30)),
        Record::Theirs(places(20, 10)),
        Record::Served,
        Record::Crosswalk([8; 32]),
        Record::Written,
    ]
}

/// The bytes of a journal with `records`, and where each frame ends, the header's first.
fn written(seed: u8, records: &[Record], rng: &mut ChaCha20Rng) -> (Vec<u8>, Vec<usize>) {
    let mut journal = Journal::create(Bytes::default(), key(), &header(seed), rng).unwrap();
    let mut ends = vec![journal.file.bytes.len()];
    for record in records {
        journal.append(record, rng).unwrap();
        ends.push(journal.file.bytes.len());
    }
    (journal.file.bytes, ends)
}

fn open(bytes: &[u8]) -> Result<Opened<Bytes>, JournalError> {
    let file = Bytes {
        bytes: bytes.to_vec(),
        ..Bytes::default()
    };
    Journal::open(file, key())
}

/// The journal of these bytes and what it holds.
fn run(bytes: &[u8]) -> (Journal<Bytes>, Held) {
    match open(bytes).unwrap() {
        Opened::Run { journal, held, .. } => (journal, held),
        Opened::Nothing(_) => panic!("nothing was there"),
    }
}

fn all(journal: &Journal<Bytes>) -> Vec<Record> {
    let mut reader = journal.records();
    std::iter::from_fn(|| reader.next().unwrap()).collect()
}

fn damaged(bytes: &[u8]) -> Option<u64> {
    match open(bytes) {
        Err(JournalError::Damaged { record }) => Some(record),
        Ok(_) => None,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn what_is_written_is_read() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let (bytes, _) = written(7, &records(), &mut rng);
    let Opened::Run {
        journal,
        header: read,
        held,
    } = open(&bytes).unwrap()
    else {
        panic!("nothing was there")
    };
    let given = header(7);
    assert_eq!(all(&journal), records());
    assert_eq!(read.seed.expose(), given.seed.expose());
    assert_eq!(
        (read.input, read.nonce, read.run),
        (given.input, given.nonce, given.run)
    );
    assert_eq!(
        (read.order, read.greeting, read.peer_key),
        (given.order, given.greeting, given.peer_key)
    );
    assert_eq!(
        (
            read.own,
            read.peer,
            read.mode,
            read.made_at,
            read.expires_at
        ),
        (40, 30, Mode::Append, UnixTime(1000), UnixTime(2000))
    );
    let whole = Held {
        own: 40,
        theirs: 30,
        served: true,
        crosswalk: Some([8; 32]),
        written: true,
    };
    assert_eq!(held, whole);
    assert!(!is_expired(&read, UnixTime(1999)) && is_expired(&read, UnixTime(2000)));
}

/// The key of all journals of a slot is one: a nonce that came twice would seal two texts
/// under one stream.
#[test]
fn no_nonce_comes_twice_in_a_slot() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let mut seen = HashSet::new();
    let mut nonces = |bytes: &[u8], ends: &[usize], from: usize| {
        let starts = [&[PREFIX_BYTES], ends].concat();
        for start in starts.iter().take(ends.len()).skip(from) {
            let nonce = &bytes[start + FRAME_BYTES..][..12];
            assert!(seen.insert(nonce.to_vec()), "a nonce came twice");
        }
    };
    let (first, ends) = written(1, &records(), &mut rng);
    nonces(&first, &ends, 0);
    let (second, ends) = written(1, &records(), &mut rng);
    nonces(&second, &ends, 0);
    // Torn in the last record, and written again under its number.
    let (mut journal, _) = run(&second[..second.len() - 1]);
    journal.append(&Record::Written, &mut rng).unwrap();
    nonces(&journal.file.bytes, &ends, ends.len() - 1);
}

/// Killed after each byte: what was whole stays, the rest goes, and the journal goes on.
#[test]
fn a_kill_at_any_byte_keeps_whole_records() {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let (bytes, ends) = written(1, &records(), &mut rng);
    for kept in 0..=bytes.len() {
        let torn = &bytes[..kept];
        let whole = ends.iter().filter(|end| **end <= kept).count();
        match open(torn).unwrap() {
            Opened::Nothing(_) => assert_eq!(whole, 0, "{kept}"),
            Opened::Run { mut journal, .. } => {
                let done = whole - 1;
                assert_eq!(all(&journal), records()[..done], "{kept}");
                assert_eq!(journal.file.bytes.len(), ends[done], "{kept}");
                for record in &records()[done..] {
                    journal.append(record, &mut rng).unwrap();
                }
                let (again, held) = run(&journal.file.bytes);
                assert_eq!(all(&again), records(), "{kept}");
                assert!(held.written);
            }
        }
    }
}

/// A killed process may have written more than it synced, and the answers to what is held leave
/// at once: nothing is held that is not on the disk.
#[test]
fn what_is_held_is_on_the_disk() {
    let mut rng = ChaCha20Rng::seed_from_u64(13);
    let (bytes, ends) = written(1, &records(), &mut rng);
    for kept in [ends[0], ends[2], ends[3] + 5, bytes.len()] {
        let (journal, held) = run(&bytes[..kept]);
        assert!(held.theirs > 0 || kept == ends[0]);
        assert_eq!(journal.file.synced, journal.file.bytes.len(), "{kept}");
    }
}

/// After a loss of power the file may be longer than what reached the disk of it, which is zeros.
#[test]
fn records_that_never_reached_the_disk_are_cut_off() {
    let mut rng = ChaCha20Rng::seed_from_u64(14);
    let (bytes, ends) = written(1, &records(), &mut rng);
    for from in ends[0]..bytes.len() {
        let mut zeros = bytes.clone();
        zeros[from..].fill(0);
        let whole = ends.iter().filter(|end| **end <= from).count() - 1;
        let (journal, _) = run(&zeros);
        // A record may end in a zero of its own.
        let found = all(&journal);
        assert!(found.len() - whole <= 1, "{from}");
        assert_eq!(found, records()[..found.len()], "{from}");
        assert_eq!(journal.file.bytes.len(), ends[found.len()], "{from}");
    }
    // One byte behind the zeros: somebody changed what stood there.
    let mut changed = bytes.clone();
    changed[ends[3]..].fill(0);
    *changed.last_mut().unwrap() = 1;
    assert_eq!(damaged(&changed), Some(4));
}

/// Whoever has no key may know when a journal may go, and no more.
#[test]
fn expiry_is_read_without_a_key() {
    let mut rng = ChaCha20Rng::seed_from_u64(15);
    let (mut bytes, _) = written(1, &records(), &mut rng);
    let file = |bytes: &[u8]| Bytes {
        bytes: bytes.to_vec(),
        ..Bytes::default()
    };
    assert_eq!(expiry(&file(&bytes)).unwrap(), Some(UnixTime(2000)));
    for short in [0, 3, NAME_LINE.len(), PREFIX_BYTES - 1] {
        assert_eq!(expiry(&file(&bytes[..short])).unwrap(), None);
    }
    // Whoever changes it is found by whoever has the key.
    bytes[PREFIX_BYTES - 1] ^= 1;
    assert_eq!(damaged(&bytes), Some(0));
    bytes[0] ^= 1;
    assert!(matches!(expiry(&file(&bytes)), Err(JournalError::Unknown)));
}

#[test]
fn only_the_same_run_is_gone_on_with() {
    let header = header(1);
    let (input, order) = (header.input, header.order);
    let other = MatchInputDigest::from_bytes([9; 32]);
    assert_eq!(header.goes_on(&input, &order), Ok(()));
    assert_eq!(header.goes_on(&other, &order), Err(Changed::Input));
    assert_eq!(header.goes_on(&other, &[9; 32]), Err(Changed::Input));
    assert_eq!(header.goes_on(&input, &[9; 32]), Err(Changed::Order));
    assert_eq!(header.greets(&header.greeting), Ok(()));
    assert_eq!(header.greets(&[9; 32]), Err(Changed::Greeting));
}

/// A peer that sends one point a message makes a record of each: what is known of them in
/// memory does not grow.
#[test]
fn the_index_does_not_grow_with_the_records() {
    let mut index = read::Index::default();
    let record = |first: u64| {
        let bytes = vec![0; VALUE_BYTES];
        Record::Theirs(Places { first, bytes })
    };
    for number in 0..100_000 {
        index.note(&record(number), (number, 100 * number));
    }
    assert!(index.len() <= 4096 && index.len() > 1000);
}

#[test]
fn no_text_shows_a_value() {
    let values = Places {
        first: 3,
        bytes: vec![171; 2 * VALUE_BYTES],
    };
    let shown = format!("{values:?} {:?}", Record::Own(values.clone()));
    assert!(!shown.contains("171") && !shown.contains("ab"), "{shown}");
    assert!(shown.contains("3+2"), "{shown}");
}

/// The length of the last record may reach the disk before its bytes.
#[test]
fn a_last_record_of_other_bytes_is_cut_off() {
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let (mut bytes, ends) = written(1, &records(), &mut rng);
    let last = ends[ends.len() - 2] + FRAME_BYTES;
    bytes[last..].fill(0);
    let (journal, held) = run(&bytes);
    assert_eq!(all(&journal).len(), records().len() - 1);
    assert!(!held.written);
}

#[test]
fn damage_in_the_middle_is_refused_by_name() {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let (bytes, ends) = written(1, &records(), &mut rng);
    let last = ends[ends.len() - 2];
    let mut refused = 0;
    for at in PREFIX_BYTES..last {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        let record = ends.iter().filter(|end| **end <= at).count() as u64;
        // A length that reaches behind the end is no other than that of a torn record.
        let starts = [&[PREFIX_BYTES], ends.as_slice()].concat();
        let start = starts.iter().rfind(|start| **start <= at).unwrap();
        if at - start < 4 && open(&changed).is_ok() {
            continue;
        }
        assert_eq!(damaged(&changed), Some(record), "byte {at}");
        refused += 1;
    }
    assert!(refused > last - PREFIX_BYTES - 2 * ends.len());
    let mut other = bytes;
    other[0] ^= 1;
    assert!(matches!(open(&other), Err(JournalError::Unknown)));
}

/// Records of one key stand for their own journal and place alone.
#[test]
fn records_of_another_journal_or_place_are_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    let (one, ends) = written(1, &records(), &mut rng);
    let (two, _) = written(1, &records(), &mut rng);
    let range = |record: usize| ends[record - 1]..ends[record];
    let with = |range: std::ops::Range<usize>, bytes: &[u8]| {
        [&one[..range.start], bytes, &one[range.end..]].concat()
    };
    let swapped = with(range(2), &two[range(2)]);
    assert_eq!(damaged(&swapped), Some(2));
    let moved = with(range(1), &one[range(4)]);
    assert_eq!(damaged(&moved), Some(1));
    // Even under the number of the place.
    let mut renumbered = one[range(4)].to_vec();
    renumbered[4..12].copy_from_slice(&1_u64.to_be_bytes());
    assert_eq!(damaged(&with(range(1), &renumbered)), Some(1));
    let left_out = with(range(3), &[]);
    assert_eq!(damaged(&left_out), Some(3));
    // Two that would follow on the ones before in either order, each under the other's number.
    let alike = [Record::Own(places(0, 3)), Record::Theirs(places(0, 3))];
    let (one, ends) = written(1, &alike, &mut rng);
    let numbered = |record: usize, number: u64| {
        let mut bytes = one[ends[record - 1]..ends[record]].to_vec();
        bytes[4..12].copy_from_slice(&number.to_be_bytes());
        bytes
    };
    let traded = [&one[..ends[0]], &numbered(2, 1), &numbered(1, 2)].concat();
    assert_eq!(damaged(&traded), Some(1));
}

#[test]
fn records_that_do_not_follow_are_refused() {
    let cases = [
        vec![Record::Own(places(1, 1))],
        vec![Record::Own(places(0, 41))],
        vec![Record::Own(places(0, 9)), Record::Own(places(8, 1))],
        vec![Record::Theirs(places(0, 31))],
        vec![Record::Theirs(places(3, 1))],
        vec![Record::Own(places(0, 39)), Record::Written],
        vec![Record::Own(places(0, 39)), Record::Crosswalk([1; 32])],
        vec![Record::Own(places(0, 0))],
        vec![Record::Theirs(places(0, 29)), Record::Served],
    ];
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    for case in cases {
        let last = case.len() as u64;
        let mut with_more = case.clone();
        with_more.push(Record::Own(places(0, 1)));
        let (bytes, _) = written(1, &with_more, &mut rng);
        assert_eq!(damaged(&bytes), Some(last), "{case:?}");
    }
}

/// Of the peer's places, wherever records end; after reading it back and while it is written.
#[test]
fn what_is_kept_of_the_peer_is_read_back_by_place() {
    let mut rng = ChaCha20Rng::seed_from_u64(12);
    let value = |place: u64| [u8::try_from(place).unwrap(); VALUE_BYTES];
    let mut journal = Journal::create(Bytes::default(), key(), &header(1), &mut rng).unwrap();
    for (first, end) in [(0, 7), (7, 8), (8, 20)] {
        let bytes = (first..end).flat_map(value).collect();
        let theirs = Record::Theirs(Places { first, bytes });
        let own = Record::Own(places(first, usize::try_from(end - first).unwrap()));
        journal.append(&own, &mut rng).unwrap();
        journal.append(&theirs, &mut rng).unwrap();
    }
    let (again, _) = run(&journal.file.bytes);
    for journal in [journal, again] {
        for (first, end) in (0..=20).flat_map(|first| (first..=20).map(move |end| (first, end))) {
            let found = journal.theirs(first..end).unwrap();
            let wanted: Vec<_> = (first..end).map(value).collect();
            assert_eq!(found, wanted, "{first}..{end}");
        }
        assert_eq!(journal.theirs(18..25).unwrap(), [value(18), value(19)]);
    }
}

#[test]
fn nobody_without_the_secret_reads_it() {
    let mut rng = ChaCha20Rng::seed_from_u64(8);
    let (bytes, _) = written(1, &records(), &mut rng);
    let other_secret = MatchingKey::from_bytes([4; 32]);
    let peer = |name: &str| name.parse().unwrap();
    let other_epoch = Terms {
        epoch: incamera_types::MatchingEpoch(2),
        ..terms()
    };
    let other_agreement = Terms {
        agreement_id: incamera_types::AgreementId::from_bytes([8; 32]),
        ..terms()
    };
    let other_kind = Terms {
        id_kind: "phone".parse().unwrap(),
        ..terms()
    };
    let revealing = Terms {
        reveals: crate::Reveals::OwnMatches,
        ..terms()
    };
    let others = [
        JournalKey::of(&secret(), &other_agreement, &peer("mailer")),
        JournalKey::of(&secret(), &other_kind, &peer("mailer")),
        JournalKey::of(&secret(), &revealing, &peer("mailer")),
        JournalKey::of(&other_secret, &terms(), &peer("mailer")),
        JournalKey::of(&secret(), &terms(), &peer("agency")),
        JournalKey::of(&secret(), &other_epoch, &peer("mailer")),
    ];
    for other in others {
        let file = Bytes {
            bytes: bytes.clone(),
            ..Bytes::default()
        };
        let refused = Journal::open(file, other);
        assert!(matches!(refused, Err(JournalError::Damaged { record: 0 })));
    }
    // Where nothing but the header is there too: it is no run that was never begun.
    let (header_alone, _) = written(1, &[], &mut rng);
    let file = Bytes {
        bytes: header_alone,
        ..Bytes::default()
    };
    let other = JournalKey::of(&other_secret, &terms(), &peer("mailer"));
    let refused = Journal::open(file, other);
    assert!(matches!(refused, Err(JournalError::Damaged { record: 0 })));
    let value = [10; VALUE_BYTES];
    assert!(bytes.windows(VALUE_BYTES).all(|window| window != value));
}

/// What a full disk left of a record is cut off, so that the next one follows.
#[test]
fn a_write_that_fails_leaves_no_part() {
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let (bytes, ends) = written(1, &records()[..2], &mut rng);
    for room in ends[1]..ends[2] {
        let (mut journal, _) = run(&bytes[..ends[1]]);
        journal.file.fails = Some(room);
        assert!(journal.append(&records()[1], &mut rng).is_err());
        journal.file.fails = None;
        journal.append(&records()[1], &mut rng).unwrap();
        assert_eq!(all(&run(&journal.file.bytes).0), records()[..2]);
    }
    let (mut journal, _) = run(&bytes[..ends[1]]);
    journal.file.fails = Some(ends[1] + 5);
    journal.file.cut_fails = true;
    assert!(journal.append(&records()[1], &mut rng).is_err());
    journal.file.fails = None;
    let ended = journal.append(&records()[1], &mut rng);
    assert!(matches!(ended, Err(JournalError::Ended)));
    assert!(matches!(journal.sync(), Err(JournalError::Ended)));
}

/// Whether what was not synced is on the disk nobody knows, and a second try may say so of what
/// the first one lost: no answer leaves any more.
#[test]
fn a_sync_that_fails_ends_the_journal() {
    let mut rng = ChaCha20Rng::seed_from_u64(15);
    let (bytes, _) = written(1, &records()[..2], &mut rng);
    let (mut journal, _) = run(&bytes);
    journal.file.sync_fails = true;
    assert!(matches!(journal.sync(), Err(JournalError::File(_))));
    journal.file.sync_fails = false;
    assert!(matches!(journal.sync(), Err(JournalError::Ended)));
    let more = journal.append(&records()[2], &mut rng);
    assert!(matches!(more, Err(JournalError::Ended)));
}

#[test]
fn too_many_values_for_a_record_are_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(10);
    let mut journal = Journal::create(Bytes::default(), key(), &header(1), &mut rng).unwrap();
    let refused = journal.append(&Record::Own(places(0, MAX_VALUES + 1)), &mut rng);
    assert!(matches!(refused, Err(JournalError::TooLarge { .. })));
}

proptest! {
    /// Whatever stands there: records or an error, and nothing is read twice.
    #[test]
    fn any_bytes_end(tail in prop::collection::vec(any::<u8>(), 0..200), cut in 0_usize..2000) {
        let (bytes, _) = written(1, &records(), &mut ChaCha20Rng::seed_from_u64(11));
        let mut bytes = bytes[..cut.min(bytes.len())].to_vec();
        bytes.extend(tail);
        if let Ok(Opened::Run { journal, held, .. }) = open(&bytes) {
            prop_assert!(journal.file.bytes.len() <= bytes.len());
            prop_assert_eq!(run(&journal.file.bytes).1, held);
        }
    }
}
