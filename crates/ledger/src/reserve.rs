//! Step 1 at an owner: hold an amount, and promise a seed.

use incamera_keys::{NoiseSeed, SeedKey, aead};
use incamera_types::{
    AgreementId, AnalystRef, DatasetName, Digest as _, ManifestDigest, PartyName, PrivacyLoss,
    RequestDigest, RoomKeyDigest, SeedCommitment, Transcript, UnixTime,
};
use rand_core::CryptoRng;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};

use crate::budget::{self, Ceilings};
use crate::store::{Ledger, begin, blob, digest, int};
use crate::{Failpoint, LedgerError, Opener, manifests};

/// Open reservations of one analyst.
pub const MAX_OPEN_PER_ANALYST: u32 = 8;
/// Open reservations of all analysts of one party.
pub const MAX_OPEN_PER_COUNTERPARTY: u32 = 32;

/// What is asked of an owner.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// The agreement id, which the agreement's ceiling hangs on.
    pub agreement: AgreementId,
    /// The request.
    pub request: RequestDigest,
    /// The room's key of this request.
    pub room_key: RoomKeyDigest,
    /// Who asks.
    pub analyst: &'a AnalystRef,
    /// The owner's own manifests in the request.
    pub manifests: &'a [(DatasetName, ManifestDigest)],
    /// The manifests in the request of all owners read, the own ones included.
    pub reads: &'a [(DatasetName, ManifestDigest)],
    /// What the query costs.
    pub cost: PrivacyLoss,
    /// When the reservation ends.
    pub expires: UnixTime,
}

/// Proof that an amount is held and a seed is promised; only [`Ledger::reserve`] makes one.
///
/// ```compile_fail
/// use incamera_ledger::Held;
/// fn copy(held: Held) -> Held {
///     Held { ..held } // private fields
/// }
/// ```
#[derive(Debug)]
pub struct Held {
    pub(crate) agreement: AgreementId,
    pub(crate) request: RequestDigest,
    pub(crate) room_key: RoomKeyDigest,
    pub(crate) cost: PrivacyLoss,
    pub(crate) expires: UnixTime,
    pub(crate) commitment: SeedCommitment,
    pub(crate) at: UnixTime,
    repeat: bool,
    seed: NoiseSeed,
}

impl Held {
    /// The request.
    #[must_use]
    pub fn request(&self) -> RequestDigest {
        self.request
    }
    /// The room's key of this request.
    #[must_use]
    pub fn room_key(&self) -> RoomKeyDigest {
        self.room_key
    }
    /// What the query costs, also where this is a repeat.
    #[must_use]
    pub fn cost(&self) -> PrivacyLoss {
        self.cost
    }
    /// When the reservation ends.
    #[must_use]
    pub fn expires(&self) -> UnixTime {
        self.expires
    }
    /// The commitment to this owner's noise seed.
    #[must_use]
    pub fn commitment(&self) -> SeedCommitment {
        self.commitment
    }
    /// Whether a charge under this commitment exists, so that the budget was not looked at.
    #[must_use]
    pub fn repeat(&self) -> bool {
        self.repeat
    }
    /// This owner's noise seed of the request.
    #[must_use]
    pub fn seed(&self) -> &NoiseSeed {
        &self.seed
    }
}

/// What an owner commits to its seed with: a digest over a label, the owner, the request and
/// the seed. Hiding, because the seed has 256 random bits; binding by SHA-256.
#[must_use]
pub fn seed_commitment(
    owner: &PartyName,
    request: &RequestDigest,
    seed: &NoiseSeed,
) -> SeedCommitment {
    Transcript::new("incamera-seed-commitment/1")
        .field(owner.as_str())
        .field(request)
        .field(seed.expose())
        .finish()
}

impl Ledger {
    /// Holds the cost of a request until `ask.expires`, and promises a noise seed: the one
    /// that was promised before, if the request was ever reserved. A repeat (a charge under
    /// this seed's commitment exists) holds nothing and passes whatever the budget. One
    /// transaction; durable when it returns.
    ///
    /// # Errors
    /// [`LedgerError::ManifestNotNewest`], [`LedgerError::TooManyReservations`],
    /// [`LedgerError::BudgetExhausted`], [`LedgerError::Seed`].
    pub fn reserve(
        &mut self,
        ask: &Ask<'_>,
        ceilings: &Ceilings,
        seed_key: &SeedKey,
        now: UnixTime,
        rng: &mut impl CryptoRng,
    ) -> Result<Held, LedgerError> {
        let party = self.party.clone();
        let tx = begin(&mut self.connection)?;
        purge(&tx, now)?;
        check_manifests(&tx, ask)?;
        forget_reservation(&tx, ask)?;
        limit(&tx, ask)?;
        let (commitment, seed) = match stored_seed(&tx, &party, &ask.request, seed_key)? {
            Some(stored) => stored,
            None => new_seed(&tx, &party, ask, seed_key, rng)?,
        };
        note_reads(&tx, ask, now)?;
        let repeat = charged_before(&tx, &ask.request, &commitment)?;
        if !repeat {
            budget::check(&tx, &ask.agreement, ask.cost, ceilings)?;
        }
        let holds = if repeat {
            PrivacyLoss::default()
        } else {
            ask.cost
        };
        insert(&tx, ask, holds)?;
        tx.commit()?;
        self.hook.at(Failpoint::Reserved);
        Ok(Held {
            agreement: ask.agreement,
            request: ask.request,
            room_key: ask.room_key,
            cost: ask.cost,
            expires: ask.expires,
            commitment,
            at: now,
            repeat,
            seed,
        })
    }
}

/// Ends expired reservations, and seeds that no charge and no reservation hangs on.
fn purge(tx: &Transaction<'_>, now: UnixTime) -> Result<(), LedgerError> {
    tx.execute(
        "DELETE FROM reservations WHERE expires <= ?1",
        [int(now.0)?],
    )?;
    tx.execute(
        "DELETE FROM seeds WHERE kept = 0
         AND request NOT IN (SELECT request FROM reservations)",
        [],
    )?;
    Ok(())
}

fn check_manifests(tx: &Transaction<'_>, ask: &Ask<'_>) -> Result<(), LedgerError> {
    for (dataset, named) in ask.manifests {
        let newest = manifests::newest(tx, &ask.agreement, dataset)?;
        if newest.is_none_or(|newest| newest.digest != *named) {
            let dataset = dataset.clone();
            return Err(LedgerError::ManifestNotNewest { dataset });
        }
    }
    Ok(())
}

/// A retry for the same room key replaces its reservation.
fn forget_reservation(tx: &Transaction<'_>, ask: &Ask<'_>) -> Result<(), LedgerError> {
    tx.execute(
        "DELETE FROM reservations WHERE request = ?1 AND room_key = ?2",
        params![blob(&ask.request), blob(&ask.room_key)],
    )?;
    Ok(())
}

fn limit(tx: &Transaction<'_>, ask: &Ask<'_>) -> Result<(), LedgerError> {
    let (by_analyst, by_party): (u32, u32) = tx.query_row(
        "SELECT count(*) FILTER (WHERE analyst = ?2), count(*)
         FROM reservations WHERE counterparty = ?1 AND taken = 0",
        [ask.analyst.party.as_str(), ask.analyst.analyst.as_str()],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    for (opener, open, limit) in [
        (Opener::Analyst, by_analyst, MAX_OPEN_PER_ANALYST),
        (Opener::Counterparty, by_party, MAX_OPEN_PER_COUNTERPARTY),
    ] {
        if open >= limit {
            return Err(LedgerError::TooManyReservations { opener, limit });
        }
    }
    Ok(())
}

fn seed_aad(party: &PartyName, request: &RequestDigest, commitment: &SeedCommitment) -> [u8; 32] {
    let place: SeedCommitment = Transcript::new("incamera-stored-seed/1")
        .field(party.as_str())
        .field(request)
        .field(commitment)
        .finish();
    *place.as_bytes()
}

fn stored_seed(
    connection: &Connection,
    party: &PartyName,
    request: &RequestDigest,
    key: &SeedKey,
) -> Result<Option<(SeedCommitment, NoiseSeed)>, LedgerError> {
    let row: Option<(SeedCommitment, Vec<u8>)> = connection
        .query_row(
            "SELECT commitment, sealed FROM seeds WHERE request = ?1",
            [blob(request)],
            |row| Ok((digest(row, 0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((commitment, sealed)) = row else {
        return Ok(None);
    };
    let opened = aead::open(key, &seed_aad(party, request, &commitment), &sealed);
    let opened = opened.map_err(|_| LedgerError::Seed)?;
    let seed = NoiseSeed::from_slice(&opened).ok_or(LedgerError::Seed)?;
    if seed_commitment(party, request, &seed) != commitment {
        return Err(LedgerError::Seed);
    }
    Ok(Some((commitment, seed)))
}

fn new_seed(
    tx: &Transaction<'_>,
    party: &PartyName,
    ask: &Ask<'_>,
    key: &SeedKey,
    rng: &mut impl CryptoRng,
) -> Result<(SeedCommitment, NoiseSeed), LedgerError> {
    let seed = NoiseSeed::generate(rng);
    let commitment = seed_commitment(party, &ask.request, &seed);
    let aad = seed_aad(party, &ask.request, &commitment);
    let sealed = aead::seal(key, &aad, seed.expose(), rng);
    tx.execute(
        "INSERT INTO seeds (request, commitment, sealed) VALUES (?1, ?2, ?3)",
        params![blob(&ask.request), blob(&commitment), sealed],
    )?;
    for (_, manifest) in ask.manifests {
        tx.execute(
            "INSERT OR IGNORE INTO seed_manifests (request, manifest) VALUES (?1, ?2)",
            params![blob(&ask.request), blob(manifest)],
        )?;
    }
    Ok((commitment, seed))
}

/// What the request reads, so that its seed is erased once newer data of any owner are seen.
fn note_reads(tx: &Transaction<'_>, ask: &Ask<'_>, now: UnixTime) -> Result<(), LedgerError> {
    for (dataset, manifest) in ask.reads {
        tx.execute(
            "INSERT OR REPLACE INTO seed_reads (request, agreement_id, dataset, manifest, at)
             VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                blob(&ask.request),
                blob(&ask.agreement),
                dataset.as_str(),
                blob(manifest),
                int(now.0)?,
            ],
        )?;
    }
    Ok(())
}

fn charged_before(
    tx: &Transaction<'_>,
    request: &RequestDigest,
    commitment: &SeedCommitment,
) -> Result<bool, LedgerError> {
    Ok(tx.query_row(
        "SELECT EXISTS (SELECT 1 FROM charges WHERE request = ?1 AND commitment = ?2)",
        params![blob(request), blob(commitment)],
        |row| row.get(0),
    )?)
}

fn insert(tx: &Transaction<'_>, ask: &Ask<'_>, holds: PrivacyLoss) -> Result<(), LedgerError> {
    tx.execute(
        "INSERT INTO reservations
         (request, room_key, agreement_id, counterparty, analyst, rho, delta0, expires)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            blob(&ask.request),
            blob(&ask.room_key),
            blob(&ask.agreement),
            ask.analyst.party.as_str(),
            ask.analyst.analyst.as_str(),
            int(holds.rho.units())?,
            int(holds.delta0.units())?,
            int(ask.expires.0)?,
        ],
    )?;
    Ok(())
}
