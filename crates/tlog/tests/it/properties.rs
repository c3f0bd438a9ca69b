//! Tree and verification against the naive twin, and against a forger.

use incamera_tlog::{Hash, ProofError, Tree, leaf_hash, verify_consistency, verify_inclusion};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::naive;

fn entries(most: usize) -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..4), 1..most)
}

/// A tree and three sizes or indices in order: `a < b <= c`.
fn tree_and_sizes(a: Index, b: Index, entries: &[Vec<u8>]) -> (Tree, usize, usize) {
    let size = b.index(entries.len()) + 1;
    (Tree::from_entries(entries), a.index(size), size)
}

fn changed(hash: &Hash, bit: usize) -> Hash {
    let mut bytes = *hash.as_bytes();
    bytes[bit / 8 % 32] ^= 1 << (bit % 8);
    Hash::from_bytes(bytes)
}

/// Every way to change one thing about a proof: a bit, a hash more, a hash less, an order.
fn forgeries(proof: &[Hash], bit: usize) -> Vec<Vec<Hash>> {
    let mut out = Vec::new();
    for at in 0..proof.len() {
        let mut forged = proof.to_vec();
        forged[at] = changed(&forged[at], bit);
        out.push(forged);
        let mut shorter = proof.to_vec();
        shorter.remove(at);
        out.push(shorter);
    }
    for at in 0..=proof.len() {
        let mut longer = proof.to_vec();
        longer.insert(at, leaf_hash(b"forged"));
        out.push(longer);
    }
    let mut reversed = proof.to_vec();
    reversed.reverse();
    if reversed != proof {
        out.push(reversed);
    }
    out
}

proptest! {
    #[test]
    fn roots_match_the_naive_twin(entries in entries(70), b: Index) {
        let (tree, _, size) = tree_and_sizes(b, b, &entries);
        prop_assert_eq!(tree.root(size as u64).unwrap(), naive::root(&entries[..size]));
        prop_assert!(tree.root(entries.len() as u64 + 1).is_err());
    }

    #[test]
    fn inclusion_matches_the_naive_twin(entries in entries(70), a: Index, b: Index) {
        let (tree, index, size) = tree_and_sizes(a, b, &entries);
        let proof = tree.inclusion_proof(index as u64, size as u64).unwrap();
        prop_assert_eq!(&proof, &naive::path(index, &entries[..size]));
        let root = tree.root(size as u64).unwrap();
        let leaf = leaf_hash(&entries[index]);
        let verified = verify_inclusion(&leaf, index as u64, size as u64, &root, &proof);
        prop_assert_eq!(verified, Ok(()));
        prop_assert!(tree.inclusion_proof(size as u64, size as u64).is_err());
    }

    #[test]
    fn consistency_matches_the_naive_twin(entries in entries(70), a: Index, b: Index) {
        let (tree, old, size) = tree_and_sizes(a, b, &entries);
        let old = old + 1;
        let proof = tree.consistency_proof(old as u64, size as u64).unwrap();
        prop_assert_eq!(&proof, &naive::proof(old, &entries[..size]));
        let (old, size) = (old as u64, size as u64);
        let (old_root, root) = (tree.root(old).unwrap(), tree.root(size).unwrap());
        let verified = verify_consistency(old, &old_root, size, &root, &proof);
        prop_assert_eq!(verified, Ok(()));
    }

    #[test]
    fn forged_inclusion_is_refused(entries in entries(40), a: Index, b: Index, bit: usize) {
        let (tree, index, size) = tree_and_sizes(a, b, &entries);
        let (index, size) = (index as u64, size as u64);
        let proof = tree.inclusion_proof(index, size).unwrap();
        let root = tree.root(size).unwrap();
        let leaf = leaf_hash(&entries[index as usize]);
        for forged in forgeries(&proof, bit) {
            prop_assert!(verify_inclusion(&leaf, index, size, &root, &forged).is_err());
        }
        let other = changed(&leaf, bit);
        prop_assert!(verify_inclusion(&other, index, size, &root, &proof).is_err());
        let other = changed(&root, bit);
        prop_assert!(verify_inclusion(&leaf, index, size, &other, &proof).is_err());
        prop_assert!(verify_inclusion(&leaf, size, size, &root, &proof).is_err());
    }

    #[test]
    fn an_entry_is_at_one_index(count in 2u64..70, a: Index, b: Index) {
        let tree = Tree::from_entries((0..count).map(u64::to_be_bytes));
        let (index, other) = (a.index(count as usize) as u64, b.index(count as usize) as u64);
        prop_assume!(index != other);
        let proof = tree.inclusion_proof(index, count).unwrap();
        let leaf = leaf_hash(&index.to_be_bytes());
        let root = tree.root(count).unwrap();
        prop_assert!(verify_inclusion(&leaf, other, count, &root, &proof).is_err());
    }

    #[test]
    fn forged_consistency_is_refused(entries in entries(40), a: Index, b: Index, bit: usize) {
        let (tree, old, size) = tree_and_sizes(a, b, &entries);
        let (old, size) = (old as u64 + 1, size as u64);
        let proof = tree.consistency_proof(old, size).unwrap();
        let (old_root, root) = (tree.root(old).unwrap(), tree.root(size).unwrap());
        for forged in forgeries(&proof, bit) {
            prop_assert!(verify_consistency(old, &old_root, size, &root, &forged).is_err());
        }
        let other = changed(&old_root, bit);
        prop_assert!(verify_consistency(old, &other, size, &root, &proof).is_err());
        let other = changed(&root, bit);
        prop_assert!(verify_consistency(old, &old_root, size, &other, &proof).is_err());
    }

    #[test]
    fn rewritten_history_is_found_out(entries in entries(40), a: Index, b: Index) {
        let (tree, index, size) = tree_and_sizes(a, b, &entries);
        let mut rewritten = entries.clone();
        rewritten[index].push(7);
        let twin = Tree::from_entries(&rewritten);
        let (old, size) = (index as u64 + 1, size as u64);
        let proof = twin.consistency_proof(old, size).unwrap();
        let (old_root, root) = (tree.root(old).unwrap(), twin.root(size).unwrap());
        let error = verify_consistency(old, &old_root, size, &root, &proof);
        prop_assert!(error.is_err());
    }
}

#[test]
fn a_rolled_back_log_is_named_so() {
    let tree = Tree::from_entries([b"a", b"b"]);
    let (one, two) = (tree.root(1).unwrap(), tree.root(2).unwrap());
    assert_eq!(
        verify_consistency(2, &two, 1, &one, &[]),
        Err(ProofError::Shrunk {
            old_size: 2,
            size: 1
        })
    );
    assert!(tree.consistency_proof(2, 1).is_err());
    assert!(tree.consistency_proof(1, 3).is_err());
}

#[test]
fn every_log_starts_empty() {
    let tree = Tree::from_entries([b"a"]);
    let (zero, one) = (tree.root(0).unwrap(), tree.root(1).unwrap());
    assert_eq!(tree.consistency_proof(0, 1), Ok(vec![]));
    assert_eq!(verify_consistency(0, &zero, 1, &one, &[]), Ok(()));
    assert_eq!(
        verify_consistency(0, &one, 1, &one, &[]),
        Err(ProofError::OldRoot)
    );
    assert_eq!(
        verify_consistency(0, &zero, 1, &one, &[one]),
        Err(ProofError::Length)
    );
}

#[test]
fn appending_gives_indices_in_order() {
    let mut tree = Tree::new();
    assert_eq!(
        (tree.size(), tree.append(b"a"), tree.append(b"b")),
        (0, 0, 1)
    );
    assert_eq!(tree.size(), 2);
}
