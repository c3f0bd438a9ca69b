//! The definitions of RFC 6962, section 2.1, written down as they stand there: slow, and sure.

use incamera_tlog::{Hash, empty_root, leaf_hash, node_hash};

/// The largest power of two below `n`.
fn k(n: usize) -> usize {
    let mut k = 1;
    while k * 2 < n {
        k *= 2;
    }
    k
}

/// MTH.
pub fn root(entries: &[Vec<u8>]) -> Hash {
    match entries {
        [] => empty_root(),
        [entry] => leaf_hash(entry),
        _ => {
            let (left, right) = entries.split_at(k(entries.len()));
            node_hash(&root(left), &root(right))
        }
    }
}

/// PATH.
pub fn path(m: usize, entries: &[Vec<u8>]) -> Vec<Hash> {
    if entries.len() <= 1 {
        return Vec::new();
    }
    let (left, right) = entries.split_at(k(entries.len()));
    if m < left.len() {
        [path(m, left), vec![root(right)]].concat()
    } else {
        [path(m - left.len(), right), vec![root(left)]].concat()
    }
}

/// PROOF.
pub fn proof(m: usize, entries: &[Vec<u8>]) -> Vec<Hash> {
    subproof(m, entries, true)
}

fn subproof(m: usize, entries: &[Vec<u8>], whole: bool) -> Vec<Hash> {
    if m == entries.len() {
        return if whole { vec![] } else { vec![root(entries)] };
    }
    let (left, right) = entries.split_at(k(entries.len()));
    if m <= left.len() {
        [subproof(m, left, whole), vec![root(right)]].concat()
    } else {
        [subproof(m - left.len(), right, false), vec![root(left)]].concat()
    }
}
