//! How often a run may begin again where it was, for a peer that makes us work for nothing.

use super::window::MAX_WINDOW;

/// Links in a row that may be lost without anything having been kept.
const IDLE_LINKS: u32 = 64;
/// How often the peer's whole set may be answered again, and what is granted besides: what was
/// answered and is not kept by an honest peer is at most a window for each link.
const SETS_AGAIN: u64 = 4;
const PLACES_AGAIN: u64 = IDLE_LINKS as u64 * MAX_WINDOW as u64;

/// What a run has spent for nothing.
#[derive(Debug, Default)]
pub(super) struct Patience {
    idle_links: u32,
    /// Places kept, ours and theirs, when a link was lost last.
    kept: Option<(u64, u64)>,
    /// Places that were answered over some link: all below this one.
    answered: u64,
    /// Places that were, and are to be answered again.
    again: u64,
}

impl Patience {
    /// Takes note that all places below `end` were answered.
    pub(super) fn answered(&mut self, end: u64) {
        self.answered = self.answered.max(end);
    }

    /// A link was lost, with so much kept. Whether another one is worth it.
    pub(super) fn lost(&mut self, kept: Option<(u64, u64)>) -> bool {
        let idle = self.kept == kept;
        self.kept = kept;
        self.idle_links = if idle { self.idle_links + 1 } else { 0 };
        self.idle_links < IDLE_LINKS
    }

    /// The peer is to be answered from place `first` of its `size` on. Whether it may be.
    pub(super) fn answers_again(&mut self, first: u64, size: u64) -> bool {
        self.again += self.answered.saturating_sub(first);
        self.again <= size.saturating_mul(SETS_AGAIN).saturating_add(PLACES_AGAIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A set of 1,000,000 is answered a few times over, not for ever, however little of it is
    /// asked for again at once.
    #[test]
    fn answers_are_given_again_a_few_times() {
        let size = 1_000_000;
        for step in [size, 300_000, 65_536] {
            let mut patience = Patience::default();
            let mut again = 0;
            patience.answered(size);
            while patience.answers_again(size - step, size) {
                again += step;
                patience.answered(size);
            }
            let granted = 4 * size + 64 * 65_536;
            assert!(again <= granted && again + step > granted, "{step}");
        }
    }

    /// An honest peer may lose every link, as long as something is kept in between.
    #[test]
    fn links_that_bring_something_are_never_too_many() {
        let mut patience = Patience::default();
        let size = 100_000_000;
        for link in 1..size / 65_536 {
            patience.answered(link * 65_536);
            assert!(patience.lost(Some((link, 0))));
            assert!(patience.answers_again(link * 65_536 - 40_000, size));
        }
    }
}
