//! What is spent, what is held, and the ceilings over both.

use incamera_types::{AgreementId, PrivacyLoss};
use rusqlite::{Connection, Params};

use crate::store::{Ledger, blob, loss};
use crate::{CeilingKind, LedgerError};

/// The ceilings that a request must stay under; the lower wins.
#[derive(Clone, Copy, Debug)]
pub struct Ceilings {
    /// The owner's own, over everything its population takes part in.
    pub population: PrivacyLoss,
    /// That of the agreement at hand.
    pub agreement: PrivacyLoss,
}

impl Ledger {
    /// What was spent over all agreements.
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Range`].
    pub fn spent_in_all(&self) -> Result<PrivacyLoss, LedgerError> {
        sum(&self.connection, "SELECT rho, delta0 FROM charges", [])
    }

    /// What was spent under an agreement id.
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Range`].
    pub fn spent(&self, agreement: &AgreementId) -> Result<PrivacyLoss, LedgerError> {
        spent(&self.connection, agreement)
    }

    /// What open reservations hold over all agreements (expired ones count until the next
    /// reservation clears them).
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Range`].
    pub fn held(&self) -> Result<PrivacyLoss, LedgerError> {
        sum(&self.connection, "SELECT rho, delta0 FROM reservations", [])
    }
}

fn spent(connection: &Connection, agreement: &AgreementId) -> Result<PrivacyLoss, LedgerError> {
    let sql = "SELECT rho, delta0 FROM charges WHERE agreement_id = ?1";
    sum(connection, sql, [blob(agreement)])
}

fn held(connection: &Connection, agreement: &AgreementId) -> Result<PrivacyLoss, LedgerError> {
    let sql = "SELECT rho, delta0 FROM reservations WHERE agreement_id = ?1";
    sum(connection, sql, [blob(agreement)])
}

/// Sums exactly; an overflow is an error, never a small number.
fn sum(
    connection: &Connection,
    sql: &str,
    params: impl Params,
) -> Result<PrivacyLoss, LedgerError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    let mut total = PrivacyLoss::default();
    while let Some(row) = rows.next()? {
        total = add(total, loss(row, 0)?)?;
    }
    Ok(total)
}

fn add(a: PrivacyLoss, b: PrivacyLoss) -> Result<PrivacyLoss, LedgerError> {
    a.checked_add(b).map_err(|_| LedgerError::Range)
}

/// Refuses `cost` unless spent + held + cost stays within both ceilings.
pub(crate) fn check(
    connection: &Connection,
    agreement: &AgreementId,
    cost: PrivacyLoss,
    ceilings: &Ceilings,
) -> Result<(), LedgerError> {
    let all = add(
        sum(connection, "SELECT rho, delta0 FROM charges", [])?,
        sum(connection, "SELECT rho, delta0 FROM reservations", [])?,
    )?;
    let here = add(spent(connection, agreement)?, held(connection, agreement)?)?;
    for (ceiling, used, limit) in [
        (CeilingKind::Population, all, ceilings.population),
        (CeilingKind::Agreement, here, ceilings.agreement),
    ] {
        if !add(used, cost)?.within(&limit) {
            let left = used.left_of(&limit);
            return Err(LedgerError::BudgetExhausted {
                ceiling,
                left,
                cost,
            });
        }
    }
    Ok(())
}
