//! What a matching run goes on with: its journal and the history of its slot, changed by whoever
//! can write the party's folder, and of any content under the right keys.

use hmac::{Hmac, KeyInit as _, Mac as _};
use incamera_keys::{MatchingKey, Secret32, aead};
use incamera_matching::journal::{
    Counted, HISTORY_NAME, Header, Held, History, HistoryKey, JOURNAL_NAME, Journal, JournalKey,
    Opened, Places, Record,
};
use incamera_matching::{Mode, Partition, Reveals, Seed};
use incamera_types::{Digest as _, MatchInputDigest, MatchRunDigest, UnixTime};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use sha2::{Digest as _, Sha256};

use crate::exchange::terms;
use crate::parts::take;
use crate::reach::reached;
use crate::spill::edits;

pub(crate) fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

pub(crate) fn secret() -> MatchingKey {
    MatchingKey::from_bytes([5; 32])
}

/// The bytes with changes in them; one whose `file` is not 0 cuts the end off.
pub(crate) fn changed(mut bytes: Vec<u8>, data: &[u8]) -> Vec<u8> {
    for edit in edits(data) {
        let start = (edit.offset as usize).min(bytes.len());
        if edit.file != 0 {
            bytes.truncate(start);
            continue;
        }
        let end = (start + edit.bytes.len()).min(bytes.len());
        bytes[start..end].copy_from_slice(&edit.bytes[..end - start]);
    }
    bytes
}

fn journal_key() -> JournalKey {
    let terms = terms(Reveals::Nothing);
    JournalKey::of(&secret(), &terms, &"shop".parse().unwrap())
}

/// A whole run, in its order.
fn records() -> Vec<Record> {
    let places = |first: u64, values: usize| Places {
        first,
        bytes: vec![first as u8; 16 * values],
    };
    vec![
        Record::Theirs(places(0, 2)),
        Record::Own(places(0, 3)),
        Record::Theirs(places(2, 3)),
        Record::Served,
        Record::Own(places(3, 1)),
        Record::Crosswalk([8; 32]),
        Record::Written,
    ]
}

fn whole_journal() -> Vec<u8> {
    let header = Header {
        input: MatchInputDigest::from_bytes([1; 32]),
        order: [5; 32],
        greeting: [6; 32],
        peer_key: Some([7; 32]),
        seed: Seed::from_bytes([2; 32]),
        nonce: [3; 32],
        run: MatchRunDigest::from_bytes([4; 32]),
        own: 4,
        peer: 5,
        mode: Mode::Full,
        made_at: UnixTime(1),
        expires_at: UnixTime(2),
    };
    let mut file = Vec::new();
    let mut journal = Journal::create(&mut file, journal_key(), &header, &mut rng()).unwrap();
    for record in &records() {
        journal.append(record, &mut rng()).unwrap();
    }
    drop(journal);
    file
}

/// Records of any content, each after its length in two bytes, sealed as their places want it:
/// behind the line and what stands in clear, each after its length, and its number if `numbered`.
pub(crate) fn sealed_records(
    key: &impl AsRef<Secret32>,
    line: &[u8],
    clear: &[u8],
    mut data: &[u8],
    numbered: bool,
) -> Vec<u8> {
    let (mut file, mut first, mut number) = ([line, clear].concat(), [0; 32], 0_u64);
    while let Some(plain) = take(&mut data) {
        let associated = [line, &first, &number.to_be_bytes()].concat();
        let sealed = aead::seal(key, &associated, plain, &mut rng());
        file.extend((sealed.len() as u32).to_be_bytes());
        if numbered {
            file.extend(number.to_be_bytes());
        }
        file.extend(&sealed);
        if number == 0 {
            first = Sha256::digest(&sealed).into();
        }
        number += 1;
    }
    file
}

/// What an input asks for by its first byte: one of two whole files, changed or cut (an even
/// one), with which it is; or a file that begins with `name`, of any records that are sealed for
/// their places under `key`.
pub(crate) fn asked_for(
    how: u8,
    rest: &[u8],
    whole: &[Vec<u8>; 2],
    name: &str,
    key: &impl AsRef<Secret32>,
) -> (Option<usize>, Vec<u8>) {
    if how & 1 == 1 {
        let line = [name.as_bytes(), b"\n"].concat();
        return (None, sealed_records(key, &line, &[], rest, false));
    }
    let which = usize::from(how >> 1 & 1);
    (Some(which), changed(whole[which].clone(), rest))
}

/// A journal of these records. When the run expires, which a header ends with, stands in clear
/// before them.
fn sealed(data: &[u8]) -> Vec<u8> {
    let header = take(&mut &*data).unwrap_or_default();
    let expires_at = header.last_chunk::<8>().unwrap_or(&[0; 8]);
    let line = [JOURNAL_NAME.as_bytes(), b"\n"].concat();
    sealed_records(&journal_key(), &line, expires_at, data, true)
}

/// A journal that was changed or cut (an even first byte): what opens are its first records. One
/// of any records that were sealed for their places (an odd one): what opens holds together.
pub fn match_journal(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    let honest = how & 1 == 0;
    let bytes = match honest {
        true => changed(whole_journal(), rest),
        false => sealed(rest),
    };
    let Ok(opened) = Journal::open(bytes, journal_key()) else {
        return;
    };
    let Opened::Run {
        journal,
        header,
        held,
    } = opened
    else {
        return;
    };
    assert!(held.own <= header.own && held.theirs <= header.peer);
    assert!(!held.written || held.own == header.own);
    assert!(!held.served || held.theirs == header.peer);
    let mut reader = journal.records();
    let (mut expected, mut read) = (records().into_iter(), Vec::new());
    while let Ok(Some(record)) = reader.next() {
        assert!(!honest || Some(&record) == expected.next().as_ref());
        read.push(record);
    }
    match honest {
        true if expected.next().is_none() => reached("whole"),
        false => {
            written_again(&header, &read, held);
            reached(if held.written {
                "sealed"
            } else {
                "sealed in part"
            });
        }
        true => {}
    }
    for from in 0..held.theirs.min(8) {
        let values = journal.theirs(from..held.theirs).unwrap();
        assert_eq!(values.len() as u64, held.theirs - from);
    }
}

/// What was read, as this program writes it, is read the same.
fn written_again(header: &Header, records: &[Record], held: Held) {
    let mut file = Vec::new();
    let mut journal = Journal::create(&mut file, journal_key(), header, &mut rng()).unwrap();
    for record in records {
        journal.append(record, &mut rng()).unwrap();
    }
    drop(journal);
    let Ok(Opened::Run {
        journal,
        held: again,
        ..
    }) = Journal::open(file, journal_key())
    else {
        panic!("a journal is not read that was just written");
    };
    let mut reader = journal.records();
    let mut all = std::iter::from_fn(|| reader.next().unwrap());
    assert!(all.by_ref().eq(records.iter().cloned()));
    assert!(again == held);
}

/// A history of three runs: what a seed is made of.
#[must_use]
pub fn honest_history() -> String {
    let (mut history, mut text) = History::begin(HistoryKey::of(&secret()), 1);
    for run in 1..4 {
        text += &history.add_run(Counted {
            run: MatchRunDigest::from_bytes([run; 32]),
            at: UnixTime(run.into()),
            own: 4,
            append: run > 1,
            peer: 5,
            peer_append: false,
            partition: Partition::new(run.into(), 4).unwrap(),
            peer_key: (run > 2).then_some([9; 32]),
        });
    }
    text
}

/// Entries of any content, a line each, bound as a history binds them.
fn bound(data: &[u8]) -> Vec<u8> {
    let key = secret().derive(HISTORY_NAME);
    let (mut file, mut last) = (Vec::new(), String::new());
    for entry in data.split(|byte| *byte == b'\n') {
        let mac = Hmac::<Sha256>::new_from_slice(key.expose()).unwrap();
        let mac = mac.chain_update(&last).chain_update(entry).finalize();
        last = mac
            .into_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        file.extend(b"{\"entry\":");
        file.extend(entry);
        file.extend(format!(",\"mac\":\"{last}\"}}\n").bytes());
    }
    file
}

/// A history that was changed or cut (an even first byte): what is believed are its first lines.
/// One of any entries that were bound rightly (an odd one), and anything else.
pub fn match_history(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    let key = || HistoryKey::of(&secret());
    let honest = honest_history();
    let text = match how & 1 {
        0 => changed(honest.clone().into_bytes(), rest),
        _ => bound(rest),
    };
    let Ok(Some((history, bytes))) = History::read(key(), &text) else {
        return;
    };
    let believed = &text[..bytes as usize];
    assert!(how & 1 == 1 || honest.as_bytes().starts_with(believed));
    // One began before the history, and each line behind the first is of a run.
    let lines = believed.iter().filter(|byte| **byte == b'\n').count();
    assert!(how & 1 == 1 || history.count() as usize == lines);
    assert!(history.reaches(history.count()).is_ok());
    let _ = history.peer_brought(Partition::WHOLE, None);
    let _ = history.peer_brought(Partition::new(1, 4).unwrap(), None);
    match how & 1 {
        0 if believed == honest.as_bytes() => reached("whole"),
        0 => {}
        _ => reached("bound"),
    }
    let read_again = History::read(key(), believed).unwrap().unwrap();
    assert_eq!(
        (read_again.0.count(), read_again.1),
        (history.count(), bytes)
    );
}
