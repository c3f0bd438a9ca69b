//! One id in very many rows is more often a word for "not known" than a person.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};

/// Ids that are counted at once.
const COUNTED: usize = 64;
/// Very many rows are one of so many.
const SHARE: u64 = 50;
/// And no fewer than these.
const LEAST: u64 = 100;

/// Looks for such an id at constant memory (Misra and Gries, 1982): no count is larger than the
/// rows that an id stands in, nor smaller by more than a 65th of all rows.
#[derive(Clone, Debug, Default)]
pub struct Often {
    /// Hashes of ids, and what is counted of each.
    counts: Vec<(u64, u64)>,
    rows: u64,
}

impl Often {
    /// One more row with this id.
    pub fn row(&mut self, id: &str) {
        self.rows += 1;
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(id);
        let known = self.counts.iter_mut().find(|(known, _)| *known == hash);
        if let Some((_, count)) = known {
            *count += 1;
        } else if self.counts.len() < COUNTED {
            self.counts.push((hash, 1));
        } else {
            self.counts.iter_mut().for_each(|(_, count)| *count -= 1);
            self.counts.retain(|(_, count)| *count > 0);
        }
    }

    /// Whether one id stands in 100 rows or more, and in more than a fiftieth of all: always
    /// found where it stands in more than a 28th.
    #[must_use]
    pub fn is_there(&self) -> bool {
        let most = self.counts.iter().map(|(_, count)| *count).max();
        most.is_some_and(|most| most >= LEAST && most.saturating_mul(SHARE) > self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of which `often` have one id, spread over all, and the others one each.
    fn found(rows: u64, often: u64) -> bool {
        let mut found = Often::default();
        for row in 0..rows {
            match row * often / rows == (row + 1) * often / rows {
                true => found.row(&format!("a{row}")),
                false => found.row("NULL"),
            }
        }
        found.is_there()
    }

    #[test]
    fn an_id_in_very_many_rows_is_found_and_no_other() {
        assert!(found(100_000, 3_600));
        assert!(found(2_000, 200));
        assert!(!found(100_000, 2_000), "no more than a fiftieth");
        assert!(!found(100_000, 0));
        assert!(!found(99, 99), "so few may be one customer's");
        assert!(found(100, 100));
    }

    /// Ids that all stand in several rows are people.
    #[test]
    fn ids_that_are_all_alike_are_not_found() {
        let mut found = Often::default();
        for row in 0..60_000 {
            found.row(&format!("a{}", row % 60));
        }
        assert!(!found.is_there());
    }
}
