//! What the rows of a party's files held.

use serde::{Deserialize, Serialize};

use super::IdFault;

/// How many rows were read, and how many of them gave no id. Shown to their owner alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rows read.
    pub rows: u64,
    /// Rows without an id.
    pub empty: u64,
    /// Rows whose id is not written as its kind is.
    pub invalid: u64,
    /// Of these: rows with the base64 form of a hash's digits.
    pub encoded_digits: u64,
}

impl Counts {
    /// Counts a row, by what normalising made of it.
    pub fn row<T>(&mut self, normalised: &Result<T, IdFault>) {
        self.rows += 1;
        match normalised {
            Ok(_) => {}
            Err(IdFault::Empty) => self.empty += 1,
            Err(fault) => {
                self.invalid += 1;
                self.encoded_digits += u64::from(*fault == IdFault::EncodedDigits);
            }
        }
    }

    /// Rows that gave an id.
    #[must_use]
    pub fn valid(&self) -> u64 {
        self.checked_valid().unwrap_or_default()
    }

    /// The same of counts that were read; none where they cannot be.
    pub(crate) fn checked_valid(&self) -> Option<u64> {
        let without = self.empty.checked_add(self.invalid)?;
        self.rows.checked_sub(without)
    }
}
