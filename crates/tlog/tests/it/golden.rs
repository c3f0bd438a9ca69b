//! A committed checkpoint and proofs: of the log of the three entries `one`, `two`, `three`.
//! Made with hashlib of Python, not with this crate.

use incamera_tlog::{Checkpoint, Hash, Tree, leaf_hash, verify_consistency, verify_inclusion};

const CHECKPOINT: &str = include_str!("../golden/checkpoint-1.txt");
const PROOFS: &str = include_str!("../golden/proofs-1.txt");
const ENTRIES: [&str; 3] = ["one", "two", "three"];

fn tree() -> Tree {
    Tree::from_entries(ENTRIES)
}

/// The hashes of the lines that start with `what`.
fn hashes(what: &str) -> Vec<Hash> {
    let lines = PROOFS.lines().filter_map(|line| line.strip_prefix(what));
    let hash = |line: &str| Hash::from_slice(&hex::decode(line.trim()).unwrap()).unwrap();
    lines.map(hash).collect()
}

#[test]
fn the_checkpoint_is_read_and_written_the_same_again() {
    let checkpoint = Checkpoint::parse(CHECKPOINT).unwrap();
    assert_eq!(
        (checkpoint.origin(), checkpoint.size()),
        ("incamera/log/of/shop", 3)
    );
    assert_eq!(*checkpoint.root(), tree().root(3).unwrap());
    assert_eq!(checkpoint.to_text(), CHECKPOINT);
}

#[test]
fn the_proofs_hold_and_are_made_the_same_again() {
    let root = *Checkpoint::parse(CHECKPOINT).unwrap().root();
    let inclusion = hashes("inclusion ");
    verify_inclusion(&leaf_hash(b"one"), 0, 3, &root, &inclusion).unwrap();
    assert_eq!(tree().inclusion_proof(0, 3).unwrap(), inclusion);
    let (consistency, old) = (hashes("consistency "), hashes("old "));
    verify_consistency(2, &old[0], 3, &root, &consistency).unwrap();
    assert_eq!(tree().consistency_proof(2, 3).unwrap(), consistency);
}
