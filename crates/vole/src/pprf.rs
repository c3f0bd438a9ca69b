//! Trees of keys of which one side knows all leaves, the other all but one.
//!
//! # Construction
//! The sender draws a root; the children of a node `p` are `AES_K0(p) + p` and
//! `AES_K1(p) + p`, where both keys are of this level of this tree alone: blocks of a stream that
//! hangs on the context of the run, two a level, tree after tree. So no table made beforehand
//! helps, nor a try at one level for another: who looks for a node that the receiver lacks has
//! one value to compare each try with. After `depth` levels there are `2^depth` leaves. The
//! children by `K0` of all nodes of a level stand before those by `K1`, in the order of their
//! parents: bit `l` of a leaf's index says which child the path to it took at level `l`, from
//! the root.
//!
//! | from → to         | message                                                        | size           |
//! |-------------------|----------------------------------------------------------------|----------------|
//! | sender → receiver | for each level the sum of all children by `K0`, and by `K1`, each under a key of an oblivious transfer | 32 B × `depth` |
//!
//! The receiver has, for each level, the key of the sum that its own path does *not* follow.
//! From it and the nodes it knows it computes the sibling of the node on its path, and with
//! that everything beside the path. The leaf at the end of the path it never learns.
//!
//! # Claim
//! Who does not know a leaf's path learns nothing of the leaf: the puncturable function of
//! Goldreich, Goldwasser and Micali, with AES under fixed keys taken for a random permutation
//! as in what is cited. A sender may send sums that do not fit: what the receiver computes is
//! then wrong depending on its path, which the caller's check finds out.
//!
//! Every tree is *full*: callers that need fewer leaves than `2^depth` leave the last unused,
//! but no sum leaves them out. In a tree cut to its used leaves, a receiver whose path ends
//! outside would know all of them, and with them what the caller masks with their sum.
//!
//! # Time
//! The receiver's path is a secret of its own. No branch hangs on it; it is an address in the
//! receiver's memory.
//!
//! # Reference
//! Boyle et al., *Efficient two-round OT extension and silent non-interactive secure
//! computation* (CCS 2019, eprint 2019/1159); Yang et al., *Ferret* (CCS 2020, eprint
//! 2020/924) for sums under keys of transfers in one message.

use aes::Aes128Enc;
use aes::cipher::{Array, BlockCipherEncrypt as _};
use zeroize::Zeroizing;

use crate::prg::{Block, Prg, cipher};

/// What the keys of the children hang on.
const LABEL: &str = "incamera-vole-tree/2";
/// Bytes of the message for one level.
pub(crate) const LEVEL_BYTES: usize = 32;

/// What makes children of nodes, and room to do it in. Trees are grown in order.
pub(crate) struct Grower {
    /// Two blocks for each level of each tree.
    keys: Prg,
    depth: u32,
    nodes: Zeroizing<Vec<Block>>,
    parents: Zeroizing<Vec<Block>>,
}

impl Grower {
    /// For trees of `2^depth` leaves in the run of a context.
    pub(crate) fn new(context: &[u8; 32], depth: u32) -> Self {
        let leaves = 1 << depth;
        Self {
            keys: Prg::public(LABEL, context, 0),
            depth,
            nodes: Zeroizing::new(vec![[0; 16]; leaves]),
            parents: Zeroizing::new(vec![[0; 16]; leaves / 2]),
        }
    }

    /// The leaves of the last tree grown.
    pub(crate) fn leaves(&self) -> &[Block] {
        &self.nodes
    }

    /// What makes the children of the next level.
    fn ciphers(&mut self) -> [Aes128Enc; 2] {
        let mut keys = [[0; 16]; 2];
        self.keys.fill(&mut keys);
        keys.map(|key| cipher(&key))
    }

    /// Grows the next tree from its root. The message for it is appended to `message`; `keys` are the
    /// pairs of one transfer a level.
    pub(crate) fn send(&mut self, root: &Block, keys: &[[Block; 2]], message: &mut Vec<u8>) {
        if let Some(node) = self.nodes.first_mut() {
            *node = *root;
        }
        for (level, keys) in (0..self.depth).zip(keys) {
            let ciphers = self.ciphers();
            let sums = self.children(&ciphers, 1 << level);
            for (sum, key) in sums.iter().zip(keys) {
                message.extend(xor(sum, key));
            }
        }
    }

    /// Grows the next tree without the leaf `path`, which is left zero. `keys` has for each level the
    /// key of the sum that the path does not follow, `message` what [`send`](Self::send) made.
    pub(crate) fn receive(&mut self, path: usize, keys: &[Block], message: &[u8]) {
        if let Some(node) = self.nodes.first_mut() {
            *node = [0; 16];
        }
        let (pairs, _) = message.as_chunks::<LEVEL_BYTES>();
        for ((level, key), masked) in (0..self.depth).zip(keys).zip(pairs) {
            let width = 1_usize << level;
            let ciphers = self.ciphers();
            // The children of the unknown node, which stands as zero.
            let of_zero = ciphers.each_ref().map(|cipher| {
                let mut child = [0; 16];
                cipher.encrypt_block((&mut child).into());
                child
            });
            let sums = self.children(&ciphers, width);
            let (masked, _) = masked.as_chunks();
            let right = 0_u128.wrapping_sub(u128::from(path >> level & 1 == 0));
            let mut sibling = *key;
            for (side, mask) in [!right, right].into_iter().enumerate() {
                for term in [masked.get(side), sums.get(side), of_zero.get(side)] {
                    let term = term.map_or(0, |term| number(term) & mask);
                    sibling = (number(&sibling) ^ term).to_ne_bytes();
                }
            }
            let unknown = path & (width - 1);
            for (slot, mask) in [(unknown, !right), (unknown + width, right)] {
                if let Some(node) = self.nodes.get_mut(slot) {
                    *node = (number(&sibling) & mask).to_ne_bytes();
                }
            }
        }
    }

    /// Replaces the first `width` nodes by their children; the sums of those by `K0` and `K1`.
    fn children(&mut self, ciphers: &[Aes128Enc; 2], width: usize) -> [Block; 2] {
        let (left, rest) = self.nodes.split_at_mut(width);
        let (right, _) = rest.split_at_mut(width);
        let (parents, _) = self.parents.split_at_mut(width);
        parents.copy_from_slice(left);
        right.copy_from_slice(left);
        let mut sums = [[0; 16]; 2];
        for ((children, cipher), sum) in [left, right].into_iter().zip(ciphers).zip(&mut sums) {
            cipher.encrypt_blocks(Array::cast_slice_from_core_mut(children));
            let mut total = 0;
            for (child, parent) in children.iter_mut().zip(&*parents) {
                *child = xor(child, parent);
                total ^= number(child);
            }
            *sum = total.to_ne_bytes();
        }
        sums
    }
}

/// The sum of blocks.
pub(crate) fn sum(blocks: &[Block]) -> Block {
    let sum = blocks.iter().fold(0, |sum, block| sum ^ number(block));
    sum.to_ne_bytes()
}

fn number(block: &Block) -> u128 {
    u128::from_ne_bytes(*block)
}

fn xor(a: &Block, b: &Block) -> Block {
    (number(a) ^ number(b)).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prg::Prg;
    use crate::vectors::Vectors;

    const CONTEXT: [u8; 32] = [9; 32];

    fn keys(depth: u32) -> Vec<[Block; 2]> {
        let mut blocks = vec![[0; 16]; 2 * depth as usize];
        Prg::new(&[3; 16]).fill(&mut blocks);
        blocks.as_chunks().0.to_vec()
    }

    /// The keys that a receiver with this path chose.
    fn chosen(keys: &[[Block; 2]], path: usize) -> Vec<Block> {
        let levels = keys.iter().enumerate();
        levels.map(|(l, pair)| pair[1 - (path >> l & 1)]).collect()
    }

    fn sent(depth: u32) -> (Vec<Block>, Vec<u8>) {
        let mut message = Vec::new();
        let mut grower = Grower::new(&CONTEXT, depth);
        grower.send(&[5; 16], &keys(depth), &mut message);
        (grower.leaves().to_vec(), message)
    }

    #[test]
    fn the_receiver_has_all_leaves_but_one() {
        for depth in 1..8 {
            let (leaves, message) = sent(depth);
            assert_eq!(message.len(), LEVEL_BYTES * depth as usize);
            for path in 0..1 << depth {
                let mut grower = Grower::new(&CONTEXT, depth);
                grower.receive(path, &chosen(&keys(depth), path), &message);
                let mut expected = leaves.clone();
                expected[path] = [0; 16];
                assert_eq!(grower.leaves(), expected, "{depth} {path}");
                assert_eq!(xor(&sum(grower.leaves()), &leaves[path]), sum(&leaves));
            }
        }
    }

    /// Against an implementation of its own: `vectors/silent.py`. Two trees of one run.
    #[test]
    fn the_trees_are_those_of_the_vectors() {
        let mut vectors = Vectors::new(include_str!("../vectors/v1/pprf.txt"));
        let context = vectors.array("context");
        let depth = vectors.number("depth") as u32;
        let root = vectors.array("root");
        let mut blocks = vec![[0; 16]; 2 * depth as usize];
        Prg::new(&vectors.array("levels")).fill(&mut blocks);
        let (pairs, _) = blocks.as_chunks();
        let path = vectors.number("path");
        let chosen = chosen(pairs, path);
        assert_eq!(chosen.as_flattened(), vectors.bytes("chosen"));
        let mut sender = Grower::new(&context, depth);
        let mut receiver = Grower::new(&context, depth);
        for _ in 0..2 {
            let mut message = Vec::new();
            sender.send(&root, pairs, &mut message);
            assert_eq!(message, vectors.bytes("message"));
            let leaves = vectors.bytes("leaves");
            assert_eq!(sender.leaves().as_flattened(), leaves);
            receiver.receive(path, &chosen, &message);
            let mut known = leaves;
            known[16 * path..16 * (path + 1)].fill(0);
            assert_eq!(receiver.leaves().as_flattened(), known);
        }
        vectors.end();
    }

    #[test]
    fn leaves_differ_and_hang_on_context_and_root() {
        let (leaves, _) = sent(6);
        let mut sorted = leaves.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 64);
        let mut other = Grower::new(&[8; 32], 6);
        other.send(&[5; 16], &keys(6), &mut Vec::new());
        assert!(leaves.iter().all(|leaf| !other.leaves().contains(leaf)));
        let mut other = Grower::new(&CONTEXT, 6);
        other.send(&[6; 16], &keys(6), &mut Vec::new());
        assert!(leaves.iter().all(|leaf| !other.leaves().contains(leaf)));
        // Of the same root, as the second tree of the run.
        other.send(&[5; 16], &keys(6), &mut Vec::new());
        assert!(leaves.iter().all(|leaf| !other.leaves().contains(leaf)));
    }

    /// A sum that is changed changes what the receivers whose path avoids it compute, and
    /// nothing for the others: the guess that the caller's check makes dangerous.
    #[test]
    fn a_changed_sum_is_seen_by_half_of_the_paths() {
        let depth = 4;
        let (leaves, message) = sent(depth);
        for bit in [0, 127, 128, 8 * message.len() - 1] {
            let mut wrong = message.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            let (level, side) = (bit / 256, bit / 128 % 2);
            for path in 0..1 << depth {
                let mut grower = Grower::new(&CONTEXT, depth);
                grower.receive(path, &chosen(&keys(depth), path), &wrong);
                let mut expected = leaves.clone();
                expected[path] = [0; 16];
                let avoided = path >> level & 1 != side;
                assert_eq!(grower.leaves() != expected, avoided, "{bit} {path}");
            }
        }
    }
}
