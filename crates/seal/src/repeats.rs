//! People whom a register names more than once.

/// How often a register names people again. For the owner's eyes only: it has exact counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repeats {
    /// People named in more than one row.
    pub people: u64,
    /// Those of them whose rows differ in what they allow: what all of them allow counts.
    pub conflicting: u64,
}
