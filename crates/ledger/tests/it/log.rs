use incamera_keys::note;
use incamera_ledger::{Logged, origin};
use incamera_tlog::{Checkpoint, Hash, leaf_hash, verify_inclusion};
use incamera_wire::decode;
use incamera_wire::v1::LogEntry;

use crate::fixture::{Fixture, Want, d, rho, shop};

/// What a room does with a proof.
fn check(owner: &Fixture, logged: &Logged) -> LogEntry {
    let proof = logged.proof();
    let origin = origin(&shop(), &d(1));
    let text = note::verify(&proof.checkpoint, &origin, &owner.signer.public()).unwrap();
    let checkpoint = Checkpoint::parse(&text).unwrap();
    assert_eq!(checkpoint.origin(), origin);
    let path: Vec<Hash> = proof
        .inclusion
        .iter()
        .map(|hash| Hash::from_slice(hash).unwrap())
        .collect();
    let leaf = leaf_hash(&proof.entry);
    verify_inclusion(
        &leaf,
        proof.index,
        checkpoint.size(),
        checkpoint.root(),
        &path,
    )
    .unwrap();
    decode(&proof.entry, 1 << 16).unwrap()
}

#[test]
fn each_grant_is_logged_repeats_included() {
    let mut owner = Fixture::new();
    for (at, request) in [10, 11, 10, 12, 10].into_iter().enumerate() {
        let (charged, logged) = owner
            .spend(Want {
                request,
                ..Want::default()
            })
            .unwrap();
        let entry = check(&owner, &logged);
        assert_eq!(logged.proof().index, at as u64);
        assert_eq!(entry.request_digest, vec![request; 32]);
        assert_eq!(entry.room_key_digest, vec![20; 32]);
        assert_eq!(entry.commitments_digest, vec![80; 32]);
        assert_eq!(entry.charge.unwrap().rho, charged.loss().rho.units());
        assert!(entry.simulated && entry.token.is_empty());
    }
    assert_eq!(owner.spent(), rho(300));
    assert_eq!(owner.ledger.log_size(&d(1)).unwrap(), 5);
    assert_eq!(owner.ledger.log_entries(&d(1), 3, 10).unwrap().len(), 2);
}

/// No counterparty sees dealings with another.
#[test]
fn each_agreement_has_its_own_log() {
    let mut owner = Fixture::new();
    owner.spend(Want::default()).unwrap();
    let other = Want {
        agreement: 2,
        request: 11,
        ..Want::default()
    };
    let (_, logged) = owner.spend(other).unwrap();
    assert_eq!(logged.proof().index, 0);
    assert_ne!(origin(&shop(), &d(1)), origin(&shop(), &d(2)));
    let note = owner
        .ledger
        .checkpoint(&d(2), &owner.signer)
        .unwrap()
        .unwrap();
    assert!(note.starts_with(&origin(&shop(), &d(2))));
    assert_eq!(owner.ledger.checkpoint(&d(9), &owner.signer).unwrap(), None);
}

/// The log and the charge say which proposal had the query.
#[test]
fn what_was_proposed_is_logged_and_charged_as_such() {
    let mut owner = Fixture::on_disk();
    owner.proposal = Some(d(90));
    let (_, logged) = owner.spend(Want::default()).unwrap();
    assert_eq!(check(&owner, &logged).proposal, vec![90; 32]);
    owner.proposal = None;
    let other = Want {
        request: 11,
        ..Want::default()
    };
    let (_, logged) = owner.spend(other).unwrap();
    assert!(check(&owner, &logged).proposal.is_empty());
    let file = rusqlite::Connection::open(owner.path()).unwrap();
    let mut charged = file
        .prepare("SELECT proposal FROM charges ORDER BY request")
        .unwrap();
    let charged: Vec<Option<Vec<u8>>> = charged
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(charged, [Some(vec![90; 32]), None]);
}
