use incamera_group::EncodedPoint;
use incamera_types::Digest as _;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::*;

fn key() -> HistoryKey {
    HistoryKey::of(&MatchingKey::from_bytes([3; 32]))
}

fn run(number: u8) -> MatchRunDigest {
    MatchRunDigest::from_bytes([number; 32])
}

fn counted(number: u8, peer: u64, peer_append: bool) -> Counted {
    Counted {
        run: run(number),
        at: UnixTime(u64::from(number)),
        own: 5,
        append: false,
        peer,
        peer_append,
        partition: Partition::WHOLE,
        peer_key: None,
    }
}

fn points(seed: u64) -> Vec<EncodedPoint> {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut point = || {
        let mut bytes = [0; 32];
        rng.fill_bytes(&mut bytes);
        EncodedPoint::from_bytes(bytes)
    };
    (0..20).map(|_| point()).collect()
}

/// Two runs before, three counted, the points of two.
fn text() -> String {
    let (mut history, mut text) = History::begin(key(), 2);
    text += &history.add_run(counted(1, 100, false));
    text += &history.add_points(&run(1), &points(1)).unwrap();
    text += &history.add_run(counted(2, 10, true));
    text += &history.add_points(&run(2), &points(2)).unwrap();
    text += &history.add_run(counted(3, 20, true));
    text
}

fn read(text: &[u8]) -> Result<Option<(History, u64)>, HistoryError> {
    History::read(key(), text)
}

#[test]
fn what_is_written_is_read() {
    let (history, whole) = read(text().as_bytes()).unwrap().unwrap();
    assert_eq!(whole, text().len() as u64);
    assert_eq!(history.count(), 5);
    assert!(history.has(&run(3)) && !history.has(&run(4)));
    let brought = Base {
        ids: 130,
        runs: 3,
        ..Base::default()
    };
    assert_eq!(history.peer_brought(Partition::WHOLE, None), brought);
}

#[test]
fn a_full_run_starts_what_the_peer_brought_anew() {
    let (mut history, _) = read(text().as_bytes()).unwrap().unwrap();
    let _ = history.add_run(counted(4, 70, false));
    let brought = Base {
        ids: 70,
        runs: 1,
        ..Base::default()
    };
    assert_eq!(history.peer_brought(Partition::WHOLE, None), brought);
}

/// A run that goes on asks for its size once: it is in the history already.
#[test]
fn a_run_that_goes_on_is_not_measured_against_itself() {
    let (mut history, _) = History::begin(key(), 0);
    let _ = history.add_run(counted(1, 600, false));
    let _ = history.add_run(counted(2, 300, true));
    let limit = |goes_on: Option<&MatchRunDigest>| {
        let base = history.peer_brought(Partition::WHOLE, goes_on);
        base.limit(crate::Mode::Append, 1000, Partition::WHOLE)
    };
    assert_eq!(limit(None), 1000 - 900 + 64 * 3);
    assert_eq!(limit(Some(&run(2))), 1000 - 600 + 64 * 2);
    assert_eq!(history.own_brought(Partition::WHOLE, Some(&run(2))).ids, 5);
    // A full run that goes on hides the ones before it no more.
    let _ = history.add_run(counted(3, 70, false));
    assert_eq!(
        history.peer_brought(Partition::WHOLE, Some(&run(3))).ids,
        900
    );
}

/// The key that the peer proved its rows by stays known, through runs without proofs and full
/// ones.
#[test]
fn the_peers_key_is_kept() {
    let proven = |number: u8, peer_key: Option<[u8; 32]>| Counted {
        peer_key,
        ..counted(number, 10, false)
    };
    let (mut history, mut text) = History::begin(key(), 0);
    text += &history.add_run(proven(1, None));
    assert_eq!(
        history.peer_brought(Partition::WHOLE, None).public_key,
        None
    );
    text += &history.add_run(proven(2, Some([0xab; 32])));
    text += &history.add_run(proven(3, None));
    let (read, _) = read(text.as_bytes()).unwrap().unwrap();
    assert_eq!(
        read.peer_brought(Partition::WHOLE, None).public_key,
        Some([0xab; 32])
    );
    assert!(text.contains(&"ab".repeat(32)));
    assert_eq!(text.matches("peer_key").count(), 1);
}

#[test]
fn points_of_an_earlier_run_are_found() {
    let (history, _) = read(text().as_bytes()).unwrap().unwrap();
    let (one, new) = (points(1), points(9));
    assert!(history.replayed(&run(3), &one));
    assert!(!history.replayed(&run(3), &new));
    // One among new ones is enough; a run that is resumed sends its own again.
    let mixed = [&new[..7], &one[3..4]].concat();
    assert!(history.replayed(&run(3), &mixed));
    assert!(!history.replayed(&run(1), &one));
    // Kept once for each run.
    let mut history = history;
    assert_eq!(history.add_points(&run(1), &new), None);
    // A point does not stand in the file as it is.
    assert!(!text().contains(&hex::encode(&one[0].as_bytes()[..8])));
}

#[test]
fn a_torn_last_line_is_cut_off() {
    let text = text();
    let ends: Vec<usize> = text.match_indices('\n').map(|(at, _)| at + 1).collect();
    for kept in 0..=text.len() {
        let whole = ends.iter().rfind(|end| **end <= kept);
        let found = read(&text.as_bytes()[..kept]).unwrap();
        assert_eq!(found.map(|(_, bytes)| bytes), whole.map(|end| *end as u64));
    }
}

#[test]
fn a_changed_byte_is_refused() {
    let text = text().into_bytes();
    for at in 0..text.len() - 1 {
        let mut changed = text.clone();
        changed[at] ^= 1;
        assert!(read(&changed).is_err(), "byte {at}");
    }
}

#[test]
fn lines_left_out_moved_or_repeated_are_refused() {
    let text = text();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for out in 0..lines.len() - 1 {
        let mut fewer = lines.clone();
        fewer.remove(out);
        let error = read(fewer.concat().as_bytes()).map(|_| ()).unwrap_err();
        assert_eq!(error, HistoryError::Changed { line: out + 1 });
        let mut moved = lines.clone();
        moved.swap(out, out + 1);
        assert!(read(moved.concat().as_bytes()).is_err(), "{out}");
    }
    let repeated = text.clone() + lines[5];
    assert!(read(repeated.as_bytes()).is_err());
    // Written with other white space: the same values, and not what this program writes.
    let spaced = text.replacen(':', ": ", 1);
    assert!(read(spaced.as_bytes()).is_err());
}

/// What is kept of the peer's rows belongs to the run before the one at hand.
#[test]
fn the_run_before_is_known() {
    let (mut history, _) = History::begin(key(), 0);
    assert_eq!(history.before(&run(1)), Before::Nothing);
    for n in [1, 2] {
        let _ = history.add_run(counted(n, 10, false));
    }
    assert_eq!(history.before(&run(1)), Before::Nothing);
    assert_eq!(history.before(&run(2)), Before::Run(run(1)));
    assert_eq!(history.before(&run(3)), Before::Run(run(2)));
    assert_eq!(history.counted(&run(2)), Some(&counted(2, 10, false)));
    assert_eq!(history.counted(&run(3)), None);
    let (history, _) = History::begin(key(), 4);
    assert_eq!(history.before(&run(1)), Before::Unknown);
}

/// Lines cut from the end leave a history that holds by itself: the ring knows more.
#[test]
fn a_cut_history_is_refused_by_the_ring_s_count() {
    let text = text();
    let end = text.trim_end().rfind('\n').unwrap() + 1;
    let (history, _) = read(&text.as_bytes()[..end]).unwrap().unwrap();
    assert_eq!(history.reaches(4), Ok(()));
    let cut = HistoryError::Cut { found: 4, known: 5 };
    assert_eq!(history.reaches(5), Err(cut));
}

#[test]
fn another_ring_s_history_is_refused() {
    let other = HistoryKey::of(&MatchingKey::from_bytes([9; 32]));
    let refused = History::read(other, text().as_bytes()).map(|_| ());
    assert_eq!(refused, Err(HistoryError::Changed { line: 1 }));
}

#[test]
fn a_newer_history_is_refused_by_name() {
    let mut history = History::empty(key());
    let format = "incamera-match-history/2".to_owned();
    let line = history.add(Entry::Begins { format, before: 0 });
    assert_eq!(
        read(line.as_bytes()).map(|_| ()),
        Err(HistoryError::Unknown)
    );
}

fn part(number: u32, of: u32) -> Partition {
    Partition::new(number, of).unwrap()
}

fn counted_of(number: u8, partition: Partition, peer: u64, peer_append: bool) -> Counted {
    Counted {
        partition,
        ..counted(number, peer, peer_append)
    }
}

/// Points of any part are raised alike: a peer that brings one id in every part has it counted
/// in every part.
#[test]
fn all_parts_together_may_bring_what_one_run_may() {
    let max_ids = 100_000;
    let (mut history, _) = History::begin(key(), 0);
    let limit = |history: &History, partition: Partition, mode| {
        let base = history.peer_brought(partition, None);
        base.limit(mode, max_ids, partition)
    };
    let mut brought = 0;
    // As much as each part allows, in each of a round.
    for number in 0..16 {
        let partition = part(number, 16);
        let ids = limit(&history, partition, crate::Mode::Full);
        assert!(ids <= partition.share(max_ids) + 64);
        brought += ids;
        let _ = history.add_run(counted_of(number as u8, partition, ids, false));
    }
    assert!(
        brought >= max_ids && brought <= max_ids + 16 * 64,
        "{brought}"
    );
    // Nothing is left to be appended beyond the few that are mixed in.
    for number in 0..16 {
        assert!(limit(&history, part(number, 16), crate::Mode::Append) <= 64 * 17);
    }
    // A new round begins anew, part by part, and is bounded in the same way.
    let second = limit(&history, part(0, 16), crate::Mode::Full);
    assert_eq!(second, part(0, 16).share(max_ids) + 64);
    let _ = history.add_run(counted_of(20, part(0, 16), second, false));
    let _ = history.add_run(counted_of(21, part(1, 16), max_ids - second, false));
    assert_eq!(limit(&history, part(2, 16), crate::Mode::Full), 64 * 3);
}

/// A peer that appends in each part before it ran one in full gets no more.
#[test]
fn who_begins_with_appends_may_bring_no_more() {
    let max_ids = 100_000;
    let (mut history, _) = History::begin(key(), 0);
    let mut brought = 0;
    for number in 0..16 {
        let partition = part(number, 16);
        let base = history.peer_brought(partition, None);
        let ids = base.limit(crate::Mode::Append, max_ids, partition);
        brought += ids;
        let _ = history.add_run(counted_of(number as u8, partition, ids, true));
    }
    assert!(
        brought >= max_ids && brought <= max_ids + 16 * 64,
        "{brought}"
    );
}

/// Runs are counted for each part; whole ones count for all.
#[test]
fn runs_are_counted_by_part() {
    let (mut history, mut text) = History::begin(key(), 1);
    for (number, partition) in [
        (1, part(0, 4)),
        (2, part(1, 4)),
        (3, part(0, 4)),
        (4, Partition::WHOLE),
    ] {
        text += &history.add_run(counted_of(number, partition, 10, false));
    }
    let (read, _) = read(text.as_bytes()).unwrap().unwrap();
    assert_eq!(read.count(), 5);
    for (partition, runs) in [
        (part(0, 4), 4),
        (part(1, 4), 3),
        (part(2, 4), 2),
        (Partition::WHOLE, 4),
        (part(0, 8), 4),
    ] {
        assert_eq!(read.count_of(partition), runs, "{partition}");
    }
    assert_eq!(text.matches("\"partition\"").count(), 3, "{text}");
}
