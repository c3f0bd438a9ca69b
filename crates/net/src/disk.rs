//! Disks that take no more.

use std::error::Error;
use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};

/// Whether an error comes of a disk, a quota or a limit that takes no more.
#[must_use]
pub fn disk_full(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let io: Option<&std::io::Error> = error.downcast_ref();
        if io.is_some_and(|io| matches!(io.kind(), StorageFull | QuotaExceeded | FileTooLarge)) {
            return true;
        }
        next = error.source();
    }
    false
}
