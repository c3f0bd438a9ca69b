//! Where records lie that do not fit into memory.

use std::io;

/// Temporary files, told apart by what [`Store::create`] gives. Only ciphertext comes here.
///
/// A clone stands for the same place, so that several sorters can have files there.
pub trait Store: Clone {
    /// One file.
    type File;

    /// Makes a new, empty file that only its owner may read.
    ///
    /// # Errors
    /// [`StoreError`].
    fn create(&self) -> Result<Self::File, StoreError>;

    /// Writes `bytes` at the end of the file.
    ///
    /// # Errors
    /// [`StoreError`].
    fn append(&self, file: &mut Self::File, bytes: &[u8]) -> Result<(), StoreError>;

    /// Fills `into` with the bytes from offset `at` on.
    ///
    /// # Errors
    /// [`StoreError`], where there are fewer bytes too.
    fn read(&self, file: &Self::File, at: u64, into: &mut [u8]) -> Result<(), StoreError>;

    /// Takes the file away. One that stays behind is ciphertext whose key is gone.
    fn remove(&self, file: Self::File);
}

/// A temporary file was not made, written or read.
#[derive(Debug, thiserror::Error)]
#[error("a temporary file of the matching was not made, written or read")]
pub struct StoreError(#[from] io::Error);

impl StoreError {
    /// What the system said.
    #[must_use]
    pub fn reason(&self) -> &io::Error {
        &self.0
    }
}
