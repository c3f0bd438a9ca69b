//! Runs after the first compare ids that were matched before.

use incamera_matching::{KNOWN_IDS, MatchError, Misbehaviour};
use incamera_types::Pseudonym;

use crate::drive::{Side, exchange, mailer, matched, shop};

fn ids(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("id {number}")).collect()
}

fn side(key: u8, count: usize, known: &[(String, Pseudonym)]) -> Side {
    let mut side = Side::new(key, &[]);
    side.ids = ids(count);
    side.known = known.to_vec();
    side
}

fn first_run() -> Vec<(String, Pseudonym)> {
    let (crosswalk, _) = matched(side(3, 200, &[]), side(4, 5, &[]));
    crosswalk.into_iter().collect()
}

#[test]
fn a_later_run_mixes_in_64_and_passes() {
    let known = first_run();
    let mut later = Side::new(3, &["new"]);
    later.known.clone_from(&known);
    let (mut a, mut b) = (mailer(later), shop(side(4, 5, &[])));
    exchange(&mut a, &mut b);
    assert_eq!(b.peer_size(), Some(1 + KNOWN_IDS as u64));
    let result = a.finish().unwrap();
    assert_eq!(result.len(), 1);
    assert_eq!(result[0].0, "new");
}

#[test]
fn a_changed_secret_on_either_side_is_found_and_explained() {
    let known = first_run();
    for (ours, theirs) in [(9, 4), (3, 9)] {
        let (mut a, mut b) = (mailer(side(ours, 10, &known)), shop(side(theirs, 5, &[])));
        exchange(&mut a, &mut b);
        let error = a.finish().unwrap_err();
        let MatchError::SecretChanged { peer, .. } = &error else {
            panic!("{error:?}")
        };
        assert_eq!(peer.as_str(), "shop");
        let text = error.to_string();
        for part in ["key ring", "`shop`", "epoch 1", "`email`"] {
            assert!(text.contains(part), "{text}");
        }
    }
}

#[test]
fn without_known_ids_a_changed_secret_goes_unnoticed() {
    let (mut a, mut b) = (mailer(side(9, 10, &[])), shop(side(4, 5, &[])));
    exchange(&mut a, &mut b);
    assert!(a.finish().is_ok());
}

#[test]
fn a_peer_that_alters_some_points_is_named() {
    let mut known = first_run();
    for (_, pseudonym) in known.iter_mut().take(100) {
        *pseudonym = Pseudonym::from_bytes([7; 16]);
    }
    let (mut a, mut b) = (mailer(side(3, 10, &known)), shop(side(4, 5, &[])));
    exchange(&mut a, &mut b);
    let error = a.finish().unwrap_err();
    let MatchError::PeerMisbehaved { peer, source } = error else {
        panic!("{error:?}")
    };
    assert_eq!(
        (peer.as_str(), source),
        ("shop", Misbehaviour::Inconsistent)
    );
}

/// A set as large as the agreement allows can still mix in its 64.
#[test]
fn the_limit_leaves_room_for_known_ids() {
    let known = first_run();
    let mut full = Side::new(3, &["n1", "n2"]);
    full.known = known;
    full.terms.max_ids = 2;
    let mut other = Side::new(4, &["n1"]);
    other.terms.max_ids = 2;
    let (a, b) = matched(full, other);
    assert_eq!(a["n1"], b["n1"]);
}
