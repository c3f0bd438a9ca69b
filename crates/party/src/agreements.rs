//! What the ledger remembers of agreements.

use std::sync::{Arc, Mutex, PoisonError};

use incamera_ledger::Ledger;
use incamera_net::agreements::Memory;
use incamera_net::status::Problem;
use incamera_types::{AgreementDigest, AgreementId, Highest};

/// The versions that were ever in force, in the ledger that the whole service shares.
#[derive(Debug)]
pub(crate) struct LedgerMemory(pub(crate) Arc<Mutex<Ledger>>);

impl Memory for LedgerMemory {
    fn highest(
        &self,
        agreement: &AgreementId,
        seen: u64,
        digest: &AgreementDigest,
    ) -> Result<Highest, Problem> {
        let mut ledger = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = ledger.highest_version(agreement, seen, digest);
        highest.map_err(Problem::internal)
    }
}

#[cfg(test)]
mod tests;
