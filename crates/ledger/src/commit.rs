//! Step 2 at an owner: charge, keep the seed, log; in one transaction.

use incamera_keys::{NoiseSeed, SigningKey};
use incamera_types::{
    AgreementDigest, AnalystRef, CommitmentsDigest, Digest as _, EnvelopeDigest, PrivacyLoss,
    ProposalDigest, PurposeName, QueryName, RequestDigest, ReservationsDigest, TokenDigest,
    UnixTime,
};
use incamera_wire::v1::{LogEntry, LogProof, Loss};
use incamera_wire::{Format, encode};
use rusqlite::{OptionalExtension as _, Transaction, params};

use crate::budget::{self, Ceilings};
use crate::store::{Ledger, begin, blob, int};
use crate::{Failpoint, Held, LedgerError, log};

/// What the log says of a grant, besides what the reservation says.
#[derive(Clone, Debug)]
pub struct GrantRecord<'a> {
    /// The agreement version at hand.
    pub agreement: AgreementDigest,
    /// All owners' reservations.
    pub reservations: ReservationsDigest,
    /// All owners' seed commitments.
    pub commitments: CommitmentsDigest,
    /// The signed request at hand: charged anew once at most.
    pub envelope: EnvelopeDigest,
    /// Who asks.
    pub analyst: &'a AnalystRef,
    /// The token whose key signed the request, where the analyst's own did not.
    pub token: Option<TokenDigest>,
    /// The approved query.
    pub query: &'a QueryName,
    /// What has the query, where the agreement has it not.
    pub proposal: Option<ProposalDigest>,
    /// The purpose declared.
    pub purpose: &'a PurposeName,
    /// The reason given.
    pub reason: &'a str,
    /// Whether the room's TEE is simulated.
    pub simulated: bool,
}

/// Proof that a charge is durable; only [`Ledger::commit`] makes one.
///
/// ```compile_fail
/// use incamera_ledger::Charged;
/// fn copy(charged: Charged) -> Charged {
///     Charged { ..charged } // private fields
/// }
/// ```
#[derive(Debug)]
pub struct Charged {
    request: RequestDigest,
    commitments: CommitmentsDigest,
    loss: PrivacyLoss,
    at: UnixTime,
    seed: NoiseSeed,
}

impl Charged {
    /// The request.
    #[must_use]
    pub fn request(&self) -> RequestDigest {
        self.request
    }
    /// All owners' seed commitments, which the charge hangs on.
    #[must_use]
    pub fn commitments(&self) -> CommitmentsDigest {
        self.commitments
    }
    /// What was taken from the budget now: nothing for a repeat.
    #[must_use]
    pub fn loss(&self) -> PrivacyLoss {
        self.loss
    }
    /// When.
    #[must_use]
    pub fn at(&self) -> UnixTime {
        self.at
    }
    /// This owner's noise seed of the request.
    #[must_use]
    pub fn seed(&self) -> &NoiseSeed {
        &self.seed
    }
}

/// Proof that a log entry is durable; only [`Ledger::commit`] makes one.
///
/// ```compile_fail
/// use incamera_ledger::Logged;
/// fn copy(logged: Logged) -> Logged {
///     Logged { ..logged } // private fields
/// }
/// ```
#[derive(Debug)]
pub struct Logged {
    request: RequestDigest,
    proof: LogProof,
}

impl Logged {
    /// The request.
    #[must_use]
    pub fn request(&self) -> RequestDigest {
        self.request
    }
    /// The entry, that it is in the log, and the signed checkpoint.
    #[must_use]
    pub fn proof(&self) -> &LogProof {
        &self.proof
    }
}

/// A loss as it is written in messages.
#[must_use]
pub fn to_wire(loss: PrivacyLoss) -> Loss {
    Loss {
        rho: loss.rho.units(),
        delta0: loss.delta0.units(),
    }
}

impl Ledger {
    /// Charges what `held` holds, keeps its seed and appends a log entry: one transaction,
    /// durable when it returns. Free if the same request was charged under the same
    /// commitments; logged in any case. On an error nothing was charged or logged.
    ///
    /// # Errors
    /// [`LedgerError::NoReservation`] if the reservation expired or its data were superseded,
    /// [`LedgerError::BudgetExhausted`] if this is a new charge that does not fit,
    /// [`LedgerError::ChargedBefore`] if the same signed request was charged under other
    /// commitments.
    pub fn commit(
        &mut self,
        held: &Held,
        record: &GrantRecord<'_>,
        ceilings: &Ceilings,
        signer: &SigningKey,
        now: UnixTime,
    ) -> Result<(Charged, Logged), LedgerError> {
        let origin = log::origin(&self.party, &held.agreement);
        let tx = begin(&mut self.connection)?;
        take_reservation(&tx, held, now)?;
        keep_seed(&tx, held)?;
        let loss = charge(&tx, held, record, ceilings, now)?;
        erase_superseded(&tx, held)?;
        let entry = encode(&entry(held, record, loss, now));
        let proof = log::append(&tx, &held.agreement, &origin, entry, signer)?;
        self.hook.at(Failpoint::Charging);
        tx.commit()?;
        self.hook.at(Failpoint::Charged);
        Ok((
            Charged {
                request: held.request,
                commitments: record.commitments,
                loss,
                at: now,
                seed: held.seed().duplicate(),
            },
            Logged {
                request: held.request,
                proof,
            },
        ))
    }
}

/// The reservation must be open. It holds nothing from now on, and stays until it expires, so
/// that the room can ask for its grant again.
fn take_reservation(tx: &Transaction<'_>, held: &Held, now: UnixTime) -> Result<(), LedgerError> {
    let open = tx.execute(
        "UPDATE reservations SET rho = 0, delta0 = 0, taken = 1
         WHERE request = ?1 AND room_key = ?2 AND expires > ?3",
        params![blob(&held.request), blob(&held.room_key), int(now.0)?],
    )?;
    if open == 1 {
        Ok(())
    } else {
        Err(LedgerError::NoReservation)
    }
}

/// The promised seed must still be there: it is erased when its data are superseded.
fn keep_seed(tx: &Transaction<'_>, held: &Held) -> Result<(), LedgerError> {
    let kept = tx.execute(
        "UPDATE seeds SET kept = 1 WHERE request = ?1 AND commitment = ?2",
        params![blob(&held.request), blob(&held.commitment)],
    )?;
    if kept == 1 {
        Ok(())
    } else {
        Err(LedgerError::NoReservation)
    }
}

fn charge(
    tx: &Transaction<'_>,
    held: &Held,
    record: &GrantRecord<'_>,
    ceilings: &Ceilings,
    now: UnixTime,
) -> Result<PrivacyLoss, LedgerError> {
    let known: Option<()> = tx
        .query_row(
            "SELECT 1 FROM charges WHERE request = ?1 AND commitments = ?2",
            params![blob(&held.request), blob(&record.commitments)],
            |_| Ok(()),
        )
        .optional()?;
    if known.is_some() {
        return Ok(PrivacyLoss::default());
    }
    check_envelope(tx, record)?;
    budget::check(tx, &held.agreement, held.cost, ceilings)?;
    tx.execute(
        "INSERT INTO charges
         (request, commitments, commitment, agreement_id, rho, delta0, at, proposal)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            blob(&held.request),
            blob(&record.commitments),
            blob(&held.commitment),
            blob(&held.agreement),
            int(held.cost.rho.units())?,
            int(held.cost.delta0.units())?,
            int(now.0)?,
            record.proposal.as_ref().map(blob),
        ],
    )?;
    tx.execute(
        "INSERT INTO envelopes (envelope, request, commitments) VALUES (?1, ?2, ?3)",
        params![
            blob(&record.envelope),
            blob(&held.request),
            blob(&record.commitments),
        ],
    )?;
    Ok(held.cost)
}

/// Whoever sees a signed request may send it again, and another owner may change its seed:
/// the analyst signed one question, so it is charged once.
fn check_envelope(tx: &Transaction<'_>, record: &GrantRecord<'_>) -> Result<(), LedgerError> {
    let charged: bool = tx.query_row(
        "SELECT EXISTS (SELECT 1 FROM envelopes WHERE envelope = ?1)",
        [blob(&record.envelope)],
        |row| row.get(0),
    )?;
    match charged {
        true => Err(LedgerError::ChargedBefore),
        false => Ok(()),
    }
}

/// Every owner read has promised for this request's manifests, so they are the newest: seeds of
/// requests over others go. What was reserved after this request may know better, and stays.
fn erase_superseded(tx: &Transaction<'_>, held: &Held) -> Result<(), LedgerError> {
    tx.execute(
        "DELETE FROM seeds WHERE request IN (
             SELECT old.request FROM seed_reads AS new JOIN seed_reads AS old
             ON old.agreement_id = new.agreement_id AND old.dataset = new.dataset
             WHERE new.request = ?1 AND old.manifest <> new.manifest AND old.at <= ?2)",
        params![blob(&held.request), int(held.at.0)?],
    )?;
    Ok(())
}

fn entry(held: &Held, record: &GrantRecord<'_>, loss: PrivacyLoss, now: UnixTime) -> LogEntry {
    LogEntry {
        format: Format::LogEntry.as_str().to_owned(),
        event: log::GRANT.to_owned(),
        agreement_id: held.agreement.as_bytes().to_vec(),
        agreement_digest: record.agreement.as_bytes().to_vec(),
        request_digest: held.request.as_bytes().to_vec(),
        reservations_digest: record.reservations.as_bytes().to_vec(),
        commitments_digest: record.commitments.as_bytes().to_vec(),
        room_key_digest: held.room_key.as_bytes().to_vec(),
        analyst: record.analyst.to_string(),
        query: record.query.to_string(),
        purpose: record.purpose.to_string(),
        reason: record.reason.to_owned(),
        charge: Some(to_wire(loss)),
        at: now.0,
        simulated: record.simulated,
        proposal: record
            .proposal
            .map(|digest| digest.as_bytes().to_vec())
            .unwrap_or_default(),
        token: record
            .token
            .map(|digest| digest.as_bytes().to_vec())
            .unwrap_or_default(),
        ..LogEntry::default()
    }
}
