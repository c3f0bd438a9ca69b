//! What a file to seal says of its people's consents, compared with what they were.

use std::collections::BTreeMap;
use std::fmt;

use incamera_types::PurposeName;

use crate::consents::Consents;
use crate::ordered::Ordered;

/// What the file says of its people's consents, before anything is written.
pub struct Said<'a> {
    rows: &'a Ordered<'a>,
    renamed: &'a BTreeMap<PurposeName, PurposeName>,
}

impl<'a> Said<'a> {
    pub(crate) fn new(
        rows: &'a Ordered<'a>,
        renamed: &'a BTreeMap<PurposeName, PurposeName>,
    ) -> Self {
        Self { rows, renamed }
    }

    /// How many people would be sealed for a purpose that `before` does not have them agree to;
    /// none if the file says no consents. For the owner's eyes only: it is exact.
    #[must_use]
    pub fn people_who_gain(&self, before: &Consents) -> u64 {
        let said = self.rows.said();
        said.map_or(0, |said| said.more_than(before.people(), self.renamed))
    }
}

impl fmt::Debug for Said<'_> {
    /// Never a consent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Said")
    }
}
