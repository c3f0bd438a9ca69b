//! The Parquet parser, kept from taking the program down.
//!
//! It panics on some damaged files, such as one whose embedded schema has a type that Arrow
//! does not know. Whoever opens a file that others can have touched does it in here.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// The file is not Parquet, or it is damaged.
#[derive(Debug)]
pub(crate) struct Damaged;

/// What `parse` gives; an error and a panic are the same. What it worked on must not be used
/// after a failure.
pub(crate) fn guarded<T, E>(parse: impl FnOnce() -> Result<T, E>) -> Result<T, Damaged> {
    match catch_unwind(AssertUnwindSafe(parse)) {
        Ok(Ok(parsed)) => Ok(parsed),
        Ok(Err(_)) | Err(_) => Err(Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_damage() {
        assert!(guarded(|| Ok::<_, ()>(1)).is_ok_and(|one| one == 1));
        assert!(guarded(|| Err::<(), _>(1)).is_err());
        assert!(guarded(|| -> Result<(), ()> { panic!("an unknown type") }).is_err());
    }
}
