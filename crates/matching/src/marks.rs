//! Where a long file is entered: some of its places, evenly, at constant memory.

/// The most places that are remembered.
pub const MAX_MARKS: usize = 4096;

/// Where some blocks of a file begin: never more than [`MAX_MARKS`], however many there are.
pub struct Marks<P> {
    /// The first record of a block, and where the block is.
    marks: Vec<(u64, P)>,
    /// Blocks seen.
    blocks: u64,
    /// Every how many of them are remembered.
    stride: u64,
}

impl<P> Default for Marks<P> {
    fn default() -> Self {
        Self {
            marks: Vec::new(),
            blocks: 0,
            stride: 1,
        }
    }
}

impl<P: Copy> Marks<P> {
    /// Takes note of the next block: its first record, and where it is.
    pub fn note(&mut self, record: u64, at: P) {
        let block = self.blocks;
        self.blocks += 1;
        if self.marks.len() >= MAX_MARKS {
            // Every other one of those that are remembered.
            let mut keep = false;
            self.marks.retain(|_| {
                keep = !keep;
                keep
            });
            self.stride *= 2;
        }
        if block.is_multiple_of(self.stride) {
            self.marks.push((record, at));
        }
    }

    /// The last mark at or before `record`.
    pub fn before(&self, record: u64) -> Option<(u64, P)> {
        let behind = self.marks.partition_point(|(first, _)| *first <= record);
        self.marks.get(behind.checked_sub(1)?).copied()
    }

    /// How many places are remembered.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.marks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_allowed_and_never_far_away() {
        let mut marks = Marks::default();
        let blocks = 10 * MAX_MARKS as u64;
        for block in 0..blocks {
            marks.note(3 * block, block);
            assert!(marks.len() <= MAX_MARKS);
        }
        for record in [0, 2, 3, 1000, 3 * blocks - 1] {
            let (first, block) = marks.before(record).unwrap();
            assert_eq!(first, 3 * block);
            assert!(
                first <= record && record - first < 3 * 16,
                "{record} {first}"
            );
        }
    }
}
