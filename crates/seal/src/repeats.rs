//! People whom a register names more than once.

use incamera_types::Pseudonym;

/// How often a register names people again. For the owner's eyes only: it has exact counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repeats {
    /// People named in more than one row.
    pub people: u64,
    /// Those of them whose rows differ in what they allow: what all of them allow counts.
    pub conflicting: u64,
}

impl Repeats {
    /// Of rows in order of person, each with the number of its consent class.
    pub(crate) fn of(rows: &[(Pseudonym, u32)]) -> Self {
        let mut repeats = Self::default();
        for same in rows.chunk_by(|one, other| one.0 == other.0) {
            let differs = same.windows(2).any(|pair| match pair {
                [one, other] => one.1 != other.1,
                _ => false,
            });
            repeats.people += u64::from(same.len() > 1);
            repeats.conflicting += u64::from(differs);
        }
        repeats
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_counted_once() {
        let row = |person, class| (Pseudonym::from_bytes([person; 16]), class);
        let rows = [
            row(1, 0),
            row(2, 0),
            row(2, 0),
            row(3, 0),
            row(3, 1),
            row(3, 1),
        ];
        let expected = Repeats {
            people: 2,
            conflicting: 1,
        };
        assert_eq!(Repeats::of(&rows), expected);
        assert_eq!(Repeats::of(&rows[..2]), Repeats::default());
    }
}
