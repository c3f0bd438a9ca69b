//! Opening, settings, schema versions, and how values stand in rows.

use std::path::Path;
use std::time::Duration;

use incamera_types::{Delta, Digest, PartyName, PrivacyLoss, Rho};
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior};

use crate::LedgerError;
use crate::failpoint::Hook;

/// Marks the file as a ledger ("ICLg").
const APPLICATION_ID: i64 = 0x4943_4c67;
/// The statements that lead from each schema version to the next.
const MIGRATIONS: &[&str] = &[
    include_str!("schema.sql"),
    include_str!("schema-2.sql"),
    include_str!("schema-3.sql"),
    include_str!("schema-4.sql"),
];
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// One party's charges, seeds, manifests and logs.
///
/// Every change is one transaction that has reached the disk when the call returns.
pub struct Ledger {
    pub(crate) connection: Connection,
    pub(crate) party: PartyName,
    pub(crate) hook: Hook,
}

impl std::fmt::Debug for Ledger {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ledger({})", self.party)
    }
}

impl Ledger {
    /// Opens the ledger of `party` at `path`, and makes it if there is none.
    ///
    /// # Errors
    /// [`LedgerError`] if the file cannot be used, is no ledger, belongs to another party or
    /// has a newer schema.
    pub fn open(path: &Path, party: &PartyName) -> Result<Self, LedgerError> {
        Self::prepare(Connection::open(path)?, party)
    }

    /// A ledger that ends with the process: for tests and simulations only.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn in_memory(party: &PartyName) -> Result<Self, LedgerError> {
        Self::prepare(Connection::open_in_memory()?, party)
    }

    fn prepare(mut connection: Connection, party: &PartyName) -> Result<Self, LedgerError> {
        connection.busy_timeout(BUSY_TIMEOUT)?;
        durable(&connection)?;
        migrate(&mut connection, party)?;
        Ok(Self {
            connection,
            party: party.clone(),
            hook: Hook::default(),
        })
    }

    /// The party whose ledger this is.
    #[must_use]
    pub fn party(&self) -> &PartyName {
        &self.party
    }
}

/// Starts a transaction that no other writer can interleave with.
pub(crate) fn begin(connection: &mut Connection) -> Result<Transaction<'_>, LedgerError> {
    Ok(connection.transaction_with_behavior(TransactionBehavior::Immediate)?)
}

/// A rollback journal with full synchronisation of file, journal and folder. What is deleted is
/// overwritten in the database's file. The journal held a copy while the change was under way,
/// and is unlinked, not overwritten: what the disk keeps of it are seeds under the ring's key.
///
/// # Errors
/// [`LedgerError::NotDurable`] where a setting did not take effect.
pub fn durable(connection: &Connection) -> Result<(), LedgerError> {
    connection.pragma_update(None, "journal_mode", "DELETE")?;
    for (setting, value, expected) in [
        ("synchronous", "EXTRA", 3),
        ("foreign_keys", "ON", 1),
        ("secure_delete", "ON", 1),
        ("trusted_schema", "OFF", 0),
    ] {
        // Some pragmas answer with their value, some with nothing.
        connection
            .pragma_update_and_check(None, setting, value, |_| Ok(()))
            .or_else(answerless)?;
        let found: i64 = connection.pragma_query_value(None, setting, |row| row.get(0))?;
        if found != expected {
            return Err(LedgerError::NotDurable { setting });
        }
    }
    Ok(())
}

fn answerless(error: rusqlite::Error) -> Result<(), rusqlite::Error> {
    match error {
        rusqlite::Error::QueryReturnedNoRows => Ok(()),
        other => Err(other),
    }
}

fn migrate(connection: &mut Connection, party: &PartyName) -> Result<(), LedgerError> {
    let known = i64::try_from(MIGRATIONS.len()).map_err(|_| LedgerError::Range)?;
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let application: i64 = tx.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let tables: i64 = tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let fresh = tables == 0 && found == 0 && application == 0;
    if !fresh && application != APPLICATION_ID {
        return Err(LedgerError::NotALedger);
    }
    let done = usize::try_from(found).map_err(|_| LedgerError::NotALedger)?;
    let steps = MIGRATIONS
        .get(done..)
        .ok_or(LedgerError::Schema { found, known })?;
    for step in steps {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", known)?;
    own(&tx, party)?;
    tx.commit()?;
    Ok(())
}

fn own(tx: &Transaction<'_>, party: &PartyName) -> Result<(), LedgerError> {
    tx.execute(
        "INSERT OR IGNORE INTO party (only, name) VALUES (1, ?1)",
        [party.as_str()],
    )?;
    let name: Option<String> = tx
        .query_row("SELECT name FROM party", [], |row| row.get(0))
        .optional()?;
    if name.as_deref() != Some(party.as_str()) {
        return Err(LedgerError::OtherParty);
    }
    Ok(())
}

/// A digest as it stands in a row.
pub(crate) fn blob<D: Digest>(digest: &D) -> &[u8] {
    digest.as_bytes()
}

/// Reads a digest.
pub(crate) fn digest<D: Digest>(row: &Row<'_>, column: usize) -> rusqlite::Result<D> {
    Ok(D::from_bytes(row.get(column)?))
}

/// A number as it stands in a row.
pub(crate) fn int(number: u64) -> Result<i64, LedgerError> {
    i64::try_from(number).map_err(|_| LedgerError::Range)
}

/// Reads a number.
pub(crate) fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let found: i64 = row.get(column)?;
    u64::try_from(found).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, found))
}

/// Reads a loss from two neighbouring columns.
pub(crate) fn loss(row: &Row<'_>, column: usize) -> rusqlite::Result<PrivacyLoss> {
    Ok(PrivacyLoss {
        rho: Rho::from_units(number(row, column)?),
        delta0: Delta::from_units(number(row, column + 1)?),
    })
}
