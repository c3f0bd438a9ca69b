//! What became of a party's rows.

use super::IdFault;

/// How many rows came in, and what they became. Shown to their owner alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Rows read.
    pub rows: u64,
    /// Rows without an id.
    pub empty: u64,
    /// Rows whose id is not written as its kind is.
    pub invalid: u64,
    /// Of these: rows with the base64 form of a hash's digits.
    pub encoded_digits: u64,
    /// Ids whose person agreed to none of the agreement's purposes.
    pub without_consent: u64,
    /// Rows whose id an earlier row has.
    pub duplicates: u64,
    /// Distinct ids that are matched.
    pub distinct: u64,
    /// Of these: ids that an earlier run gave a pseudonym.
    pub known: u64,
}

impl Counts {
    /// Counts a row that gave no id.
    pub fn row_without_id(&mut self, fault: IdFault) {
        self.rows += 1;
        match fault {
            IdFault::Empty => self.empty += 1,
            IdFault::Invalid => self.invalid += 1,
            IdFault::EncodedDigits => {
                self.invalid += 1;
                self.encoded_digits += 1;
            }
        }
    }

    /// Of the distinct ids: how many no earlier run had.
    #[must_use]
    pub fn newcomers(&self) -> u64 {
        self.distinct.saturating_sub(self.known)
    }

    /// Whether every row became something, and one thing.
    #[must_use]
    pub fn add_up(&self) -> bool {
        let all = [
            self.empty,
            self.invalid,
            self.without_consent,
            self.duplicates,
            self.distinct,
        ];
        all.iter().sum::<u64>() == self.rows
            && self.known <= self.distinct
            && self.encoded_digits <= self.invalid
    }
}
