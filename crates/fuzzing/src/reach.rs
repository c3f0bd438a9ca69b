//! How far inputs come: a seed of an old layout is refused at the door, and nobody sees it.

use std::cell::RefCell;
use std::collections::BTreeSet;

thread_local! {
    static REACHED: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
}

/// Says that an input came as far as `place`.
pub(crate) fn reached(place: &'static str) {
    REACHED.with_borrow_mut(|all| all.insert(place));
}

/// Which places this thread's inputs came to since this was last asked.
#[must_use]
pub fn places_reached() -> BTreeSet<&'static str> {
    REACHED.take()
}
