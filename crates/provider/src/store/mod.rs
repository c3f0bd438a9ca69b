//! What a provider keeps: one SQLite file.
//!
//! Every change is one transaction that has reached the disk when the call returns, so that
//! nothing is answered that is not counted.

mod counts;
mod links;
mod shares;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use incamera_ledger::{LedgerError, durable};
use incamera_net::agreements::Memory;
use incamera_net::status::{Problem, ProblemKind, chain};
use incamera_types::{
    AgreementDigest, AgreementId, Digest as _, Highest, MatchingEpoch, PartyName,
};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Transaction, params};

pub use self::counts::Counted;
pub(crate) use self::counts::{Allowance, Limit, Run};
pub use self::links::StoredLinks;
pub(crate) use self::links::{StoredLink, TooMany};
pub use self::shares::Held;
pub(crate) use self::shares::Kept;

/// Marks the file as a provider's ("ICPr").
const APPLICATION_ID: i64 = 0x4943_5072;
const SCHEMA: &str = include_str!("schema.sql");
/// The version of its tables.
const VERSION: i64 = 5;
/// What makes tables of an earlier version those of the next, from version 1 on.
const MIGRATIONS: [&str; 4] = [
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
];
pub(crate) const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the store cannot be used. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database could not be read or written.
    #[error("the provider's store cannot be read or written: check its disk and its permissions")]
    Database(#[from] rusqlite::Error),
    /// The database does not keep what is written through a power loss.
    #[error("the provider's store cannot be made durable")]
    NotDurable(#[from] LedgerError),
    /// Another database, or tables from the future.
    #[error(
        "the file is no store of a provider that this program knows: name another file, or use a newer version of incamera"
    )]
    NotAStore,
    /// The store of somebody else.
    #[error("the store belongs to another provider: check the configuration")]
    OtherProvider,
    /// A number that no row can hold.
    #[error("a number is larger than the store can hold")]
    Range,
}

impl StoreError {
    /// Whether the disk takes no more: a full one, a limit, or one that fails.
    fn is_disk(&self) -> bool {
        use rusqlite::ErrorCode::{DiskFull, SystemIoFailure};
        let Self::Database(error) = self else {
            return false;
        };
        matches!(error.sqlite_error_code(), Some(DiskFull | SystemIoFailure))
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if !error.is_disk() {
            return Self::internal(chain(&error));
        }
        let what = "the provider's disk is full, or fails: nothing is answered that is not counted";
        Self::new(ProblemKind::Unavailable, "disk-full", what)
            .detail(chain(&error))
            .hint("the provider's people make room; what was counted stays counted")
    }
}

/// One provider's shares, counts and links.
pub struct Store {
    connection: Connection,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store(..)")
    }
}

/// What everything in the store hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Matter {
    /// The agreement, whatever its version.
    pub agreement_id: AgreementId,
    /// The matching epoch.
    pub epoch: MatchingEpoch,
}

impl Store {
    /// Opens the store of the provider `name` at `path`, and makes it if there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(path: &Path, name: &PartyName) -> Result<Self, StoreError> {
        let mut connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        durable(&connection)?;
        prepare(&mut connection, name)?;
        Ok(Self { connection })
    }

    /// Opens a store to look at it, while its service runs or not.
    ///
    /// # Errors
    /// [`StoreError`]; also where there is none.
    pub fn look_at(path: &Path) -> Result<Self, StoreError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        let found: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
        // Tables of earlier versions tell the same; its service brings them up to date.
        match found == APPLICATION_ID && (1..=VERSION).contains(&version) {
            true => Ok(Self { connection }),
            false => Err(StoreError::NotAStore),
        }
    }

    fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        let immediate = rusqlite::TransactionBehavior::Immediate;
        Ok(self.connection.transaction_with_behavior(immediate)?)
    }

    fn highest(
        &mut self,
        agreement: &AgreementId,
        seen: u64,
        digest: &AgreementDigest,
    ) -> Result<Highest, StoreError> {
        if let Some(known) = highest(&self.connection, agreement)?
            && known.version >= seen
        {
            return Ok(known);
        }
        let tx = self.begin()?;
        tx.execute(
            "INSERT INTO versions (agreement_id, version, digest) VALUES (?1, ?2, ?3)
             ON CONFLICT (agreement_id) DO UPDATE
             SET version = excluded.version, digest = excluded.digest
             WHERE excluded.version > version",
            params![agreement.as_bytes(), int(seen)?, digest.as_bytes()],
        )?;
        let known = highest(&tx, agreement)?;
        tx.commit()?;
        known.ok_or(StoreError::Range)
    }
}

fn highest(
    connection: &Connection,
    agreement: &AgreementId,
) -> Result<Option<Highest>, StoreError> {
    let known = connection
        .prepare_cached("SELECT version, digest FROM versions WHERE agreement_id = ?1")?
        .query_row([agreement.as_bytes()], |row| {
            Ok(Highest {
                version: number(row, 0)?,
                digest: Some(AgreementDigest::from_bytes(row.get(1)?)),
            })
        });
    Ok(known.optional()?)
}

/// Whether the file is a store, of these tables.
fn known(connection: &Connection) -> Result<(), StoreError> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let found: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    match (found, version) {
        (APPLICATION_ID, VERSION) => Ok(()),
        _ => Err(StoreError::NotAStore),
    }
}

fn prepare(connection: &mut Connection, name: &PartyName) -> Result<(), StoreError> {
    let tx = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let tables: i64 = tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables == 0 {
        tx.execute_batch(SCHEMA)?;
        tx.pragma_update(None, "application_id", APPLICATION_ID)?;
        tx.pragma_update(None, "user_version", VERSION)?;
        tx.execute(
            "INSERT INTO provider (only, name) VALUES (1, ?1)",
            [name.as_str()],
        )?;
    }
    migrate(&tx)?;
    known(&tx)?;
    let owner: String = tx.query_row("SELECT name FROM provider", [], |row| row.get(0))?;
    if owner != name.as_str() {
        return Err(StoreError::OtherProvider);
    }
    tx.commit()?;
    Ok(())
}

/// Brings tables of an earlier version up to date; of anything else nothing is touched.
fn migrate(tx: &Transaction<'_>) -> Result<(), StoreError> {
    let found: i64 = tx.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let version: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let at = usize::try_from(version).unwrap_or_default();
    let missing = MIGRATIONS.iter().skip(at.saturating_sub(1));
    if found != APPLICATION_ID || !(1..VERSION).contains(&version) {
        return Ok(());
    }
    for migration in missing {
        tx.execute_batch(migration)?;
    }
    Ok(tx.pragma_update(None, "user_version", VERSION)?)
}

/// The store, as all handlers share it.
#[derive(Clone, Debug)]
pub(crate) struct Shared(Arc<Mutex<Store>>);

impl Shared {
    pub(crate) fn new(store: Store) -> Self {
        Self(Arc::new(Mutex::new(store)))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory for Shared {
    fn highest(
        &self,
        agreement: &AgreementId,
        seen: u64,
        digest: &AgreementDigest,
    ) -> Result<Highest, Problem> {
        Ok(self.lock().highest(agreement, seen, digest)?)
    }
}

/// A number as it stands in a row.
pub(crate) fn int(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Range)
}

/// Reads a number.
pub(crate) fn number(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let found: i64 = row.get(column)?;
    u64::try_from(found).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, found))
}

/// Reads a name.
pub(crate) fn name<T: std::str::FromStr>(
    row: &rusqlite::Row<'_>,
    column: usize,
) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    let unread = || {
        let kind = rusqlite::types::Type::Text;
        rusqlite::Error::InvalidColumnType(column, text.clone(), kind)
    };
    text.parse().map_err(|_| unread())
}
