//! The log of each agreement id: a Merkle tree with signed checkpoints.
//!
//! One log an agreement id, so that no counterparty sees dealings with another. A checkpoint's
//! origin line names the party and the agreement id, and is the name of the note's key: the
//! party's service key.

use incamera_keys::{SigningKey, note};
use incamera_tlog::{Checkpoint, Hash, Tree, leaf_hash};
use incamera_types::{AgreementId, PartyName};
use incamera_wire::v1::LogProof;
use rusqlite::{Connection, Transaction, params};

use crate::LedgerError;
use crate::store::{Ledger, blob, int, number};

/// The event of an entry: keys were granted.
pub const GRANT: &str = "grant";

/// The event of an entry: a version of a data set took something away that the one before gave.
pub const DELETION: &str = "deletion";

/// The origin line of a party's log under an agreement id, and its key's name.
#[must_use]
pub fn origin(party: &PartyName, agreement: &AgreementId) -> String {
    format!("incamera/log/{agreement}/{party}")
}

impl Ledger {
    /// How many entries the log of an agreement id has.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn log_size(&self, agreement: &AgreementId) -> Result<u64, LedgerError> {
        let sql = "SELECT count(*) FROM log WHERE agreement_id = ?1";
        let count = |row: &rusqlite::Row<'_>| number(row, 0);
        Ok(self.connection.query_row(sql, [blob(agreement)], count)?)
    }

    /// The entries of a log (`LogEntry` messages) from `first` on, at most `limit`.
    ///
    /// # Errors
    /// [`LedgerError::Database`].
    pub fn log_entries(
        &self,
        agreement: &AgreementId,
        first: u64,
        limit: u32,
    ) -> Result<Vec<Vec<u8>>, LedgerError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT entry FROM log WHERE agreement_id = ?1 AND position >= ?2
             ORDER BY position LIMIT ?3",
        )?;
        let rows = statement.query_map(params![blob(agreement), int(first)?, limit], |row| {
            row.get(0)
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// A signed checkpoint over the whole log of an agreement id; `None` if it is empty.
    ///
    /// # Errors
    /// [`LedgerError::Database`], [`LedgerError::Log`], [`LedgerError::Checkpoint`].
    pub fn checkpoint(
        &self,
        agreement: &AgreementId,
        signer: &SigningKey,
    ) -> Result<Option<String>, LedgerError> {
        let tree = tree(&self.connection, agreement)?;
        if tree.size() == 0 {
            return Ok(None);
        }
        sign(&tree, &origin(&self.party, agreement), signer).map(Some)
    }
}

/// Appends an entry and proves that the signed tree holds it.
pub(crate) fn append(
    tx: &Transaction<'_>,
    agreement: &AgreementId,
    origin: &str,
    entry: Vec<u8>,
    signer: &SigningKey,
) -> Result<LogProof, LedgerError> {
    let mut tree = tree(tx, agreement)?;
    let index = insert(tx, agreement, &mut tree, &entry)?;
    let inclusion = tree.inclusion_proof(index, tree.size());
    let inclusion = inclusion.map_err(|_| LedgerError::Log)?;
    Ok(LogProof {
        entry,
        index,
        inclusion: inclusion
            .iter()
            .map(|hash| hash.as_bytes().to_vec())
            .collect(),
        checkpoint: sign(&tree, origin, signer)?,
        cosignatures: Vec::new(),
    })
}

/// Appends entries that nobody waits for a proof of.
pub(crate) fn note_all(
    tx: &Transaction<'_>,
    agreement: &AgreementId,
    entries: &[Vec<u8>],
) -> Result<(), LedgerError> {
    let mut tree = tree(tx, agreement)?;
    for entry in entries {
        insert(tx, agreement, &mut tree, entry)?;
    }
    Ok(())
}

fn insert(
    tx: &Transaction<'_>,
    agreement: &AgreementId,
    tree: &mut Tree,
    entry: &[u8],
) -> Result<u64, LedgerError> {
    let (index, hash) = (tree.size(), leaf_hash(entry));
    tree.push(hash);
    tx.execute(
        "INSERT INTO log (agreement_id, position, entry, leaf_hash) VALUES (?1, ?2, ?3, ?4)",
        params![blob(agreement), int(index)?, entry, hash.as_ref()],
    )?;
    Ok(index)
}

fn sign(tree: &Tree, origin: &str, signer: &SigningKey) -> Result<String, LedgerError> {
    let size = tree.size();
    let root = tree.root(size).map_err(|_| LedgerError::Log)?;
    let checkpoint = Checkpoint::new(origin, size, root).map_err(|_| LedgerError::Log)?;
    Ok(note::sign(&checkpoint.to_text(), origin, signer)?)
}

/// The tree of all leaves, in order and without a gap.
fn tree(connection: &Connection, agreement: &AgreementId) -> Result<Tree, LedgerError> {
    let mut statement = connection.prepare_cached(
        "SELECT position, leaf_hash FROM log WHERE agreement_id = ?1 ORDER BY position",
    )?;
    let mut rows = statement.query([blob(agreement)])?;
    let mut tree = Tree::default();
    while let Some(row) = rows.next()? {
        if number(row, 0)? != tree.size() {
            return Err(LedgerError::Log);
        }
        tree.push(Hash::from_bytes(row.get(1)?));
    }
    Ok(tree)
}
