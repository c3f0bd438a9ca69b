//! How much each party was evaluated: counted before it is answered.

use incamera_types::{BatchDigest, Digest as _, IdKind, PartyName};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Matter, Store, StoreError, int, name, number};

/// Digests of a run that are remembered: batches under way, twice over.
const REMEMBERED: u32 = 16;

/// A run of a party, as its sessions name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) matter: Matter,
    pub(crate) party: PartyName,
    pub(crate) kind: IdKind,
    pub(crate) nonce: [u8; 32],
    pub(crate) size: u64,
}

/// What the agreement allows a party and kind of id.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    /// In one run.
    pub(crate) max_ids: u64,
    pub(crate) max_runs: u32,
}

impl Allowance {
    fn in_all(self) -> u64 {
        self.max_ids.saturating_mul(self.max_runs.into())
    }
}

/// Which limit is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    /// A run says that it is larger than one may be.
    Size,
    /// The run was opened with another size.
    OtherSize,
    /// A run more than allowed.
    Runs,
    /// More points than the run said.
    Run,
    /// More points than all runs may have.
    Evaluations,
    /// Shares were refreshed since the session began.
    Refreshed,
}

/// What a party was counted for, for the provider's own people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Of what.
    pub matter: Matter,
    /// The party.
    pub party: PartyName,
    /// The kind of id.
    pub kind: IdKind,
    /// Its runs.
    pub runs: u64,
    /// Their points.
    pub evaluated: u64,
}

impl Store {
    /// Opens a run, or goes on with it: gives the points that it was counted for.
    pub(crate) fn open_run(
        &mut self,
        run: &Run,
        allowed: Allowance,
    ) -> Result<Result<u64, Limit>, StoreError> {
        if run.size > allowed.max_ids {
            return Ok(Err(Limit::Size));
        }
        let tx = self.begin()?;
        if let Some(known) = find(&tx, run)? {
            return Ok(match known.size == run.size {
                true => Ok(known.evaluated),
                false => Err(Limit::OtherSize),
            });
        }
        if counted(&tx, run)?.runs >= allowed.max_runs.into() {
            return Ok(Err(Limit::Runs));
        }
        tx.execute(
            "INSERT INTO sessions (agreement_id, epoch, party, kind, nonce, size)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                run.matter.agreement_id.as_bytes(),
                run.matter.epoch.0,
                run.party.as_str(),
                run.kind.as_str(),
                run.nonce,
                int(run.size)?
            ],
        )?;
        tx.commit()?;
        Ok(Ok(0))
    }

    /// Counts a batch of `points`, unless it is one of the run's last: those are answered
    /// again. `key` is the file of the key statement that the session goes by.
    pub(crate) fn count(
        &mut self,
        run: &Run,
        allowed: Allowance,
        key: &[u8],
        (digest, points): (&BatchDigest, u64),
    ) -> Result<Result<(), Limit>, StoreError> {
        let current = self.share(&run.matter)?.map(|kept| kept.statement);
        if current.as_deref() != Some(key) {
            return Ok(Err(Limit::Refreshed));
        }
        let tx = self.begin()?;
        let Some(known) = find(&tx, run)? else {
            return Ok(Err(Limit::Runs));
        };
        let again: bool = tx
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM batches WHERE session = ?1 AND digest = ?2)",
            )?
            .query_row(params![known.id, digest.as_bytes()], |row| row.get(0))?;
        if again {
            return Ok(Ok(()));
        }
        let limits = [
            (known.evaluated, known.size, Limit::Run),
            (
                counted(&tx, run)?.evaluated,
                allowed.in_all(),
                Limit::Evaluations,
            ),
        ];
        for (so_far, most, limit) in limits {
            if so_far.saturating_add(points) > most {
                return Ok(Err(limit));
            }
        }
        tx.execute(
            "UPDATE sessions SET evaluated = evaluated + ?2 WHERE id = ?1",
            params![known.id, int(points)?],
        )?;
        tx.execute(
            "INSERT INTO batches (session, digest) VALUES (?1, ?2)",
            params![known.id, digest.as_bytes()],
        )?;
        tx.execute(
            "DELETE FROM batches WHERE session = ?1 AND id NOT IN
             (SELECT id FROM batches WHERE session = ?1 ORDER BY id DESC LIMIT ?2)",
            params![known.id, REMEMBERED],
        )?;
        tx.commit()?;
        Ok(Ok(()))
    }

    /// What each party was counted for.
    ///
    /// # Errors
    /// [`StoreError::Database`].
    pub fn counted(&self) -> Result<Vec<Counted>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT agreement_id, epoch, party, kind, count(*), sum(evaluated) FROM sessions
             GROUP BY agreement_id, epoch, party, kind ORDER BY agreement_id, epoch, party, kind",
        )?;
        let rows = select.query_map([], |row| {
            Ok(Counted {
                matter: Matter {
                    agreement_id: incamera_types::AgreementId::from_bytes(row.get(0)?),
                    epoch: incamera_types::MatchingEpoch(row.get(1)?),
                },
                party: name(row, 2)?,
                kind: name(row, 3)?,
                runs: number(row, 4)?,
                evaluated: number(row, 5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

struct Found {
    id: i64,
    size: u64,
    evaluated: u64,
}

fn find(connection: &Connection, run: &Run) -> Result<Option<Found>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT id, size, evaluated FROM sessions
         WHERE agreement_id = ?1 AND epoch = ?2 AND party = ?3 AND kind = ?4 AND nonce = ?5",
    )?;
    let of = params![
        run.matter.agreement_id.as_bytes(),
        run.matter.epoch.0,
        run.party.as_str(),
        run.kind.as_str(),
        run.nonce
    ];
    let found = select.query_row(of, |row| {
        Ok(Found {
            id: row.get(0)?,
            size: number(row, 1)?,
            evaluated: number(row, 2)?,
        })
    });
    Ok(found.optional()?)
}

struct InAll {
    runs: u64,
    evaluated: u64,
}

/// Of the party and kind of a run.
fn counted(connection: &Connection, run: &Run) -> Result<InAll, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT count(*), coalesce(sum(evaluated), 0) FROM sessions
         WHERE agreement_id = ?1 AND epoch = ?2 AND party = ?3 AND kind = ?4",
    )?;
    let of = params![
        run.matter.agreement_id.as_bytes(),
        run.matter.epoch.0,
        run.party.as_str(),
        run.kind.as_str()
    ];
    Ok(select.query_row(of, |row| {
        Ok(InAll {
            runs: number(row, 0)?,
            evaluated: number(row, 1)?,
        })
    })?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use incamera_types::{AgreementId, MatchingEpoch};

    use super::*;
    use crate::store::Kept;

    const WIDE: Allowance = Allowance {
        max_ids: 100,
        max_runs: 3,
    };

    fn run(nonce: u8) -> Run {
        Run {
            matter: Matter {
                agreement_id: AgreementId::from_bytes([1; 32]),
                epoch: MatchingEpoch(1),
            },
            party: "shop".parse().unwrap(),
            kind: "email".parse().unwrap(),
            nonce: [nonce; 32],
            size: 40,
        }
    }

    fn store(folder: &tempfile::TempDir) -> Store {
        let path = folder.path().join("provider.sqlite");
        let mut store = Store::open(&path, &"alpha".parse().unwrap()).unwrap();
        let kept = Kept {
            number: 1,
            place: 1,
            sealed: vec![1; 60],
            statement: Vec::new(),
        };
        let now = incamera_types::UnixTime(0);
        store.keep_waiting(&run(0).matter, &kept, now).unwrap();
        assert!(store.take_over(&run(0).matter, b"", b"file").unwrap());
        store
    }

    /// A later version of the agreement allows less: what was counted before it counts.
    #[test]
    fn all_runs_together_stay_within_what_is_allowed_now() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = store(&folder);
        let narrow = Allowance {
            max_ids: 40,
            max_runs: 1,
        };
        for nonce in [1, 2] {
            assert_eq!(store.open_run(&run(nonce), WIDE).unwrap(), Ok(0));
        }
        let digest = |at: u8| BatchDigest::from_bytes([at; 32]);
        let count = |store: &mut Store, nonce, allowed, at| {
            let digest = digest(at);
            store
                .count(&run(nonce), allowed, b"file", (&digest, 30))
                .unwrap()
        };
        assert_eq!(count(&mut store, 1, WIDE, 1), Ok(()));
        assert_eq!(count(&mut store, 2, narrow, 2), Err(Limit::Evaluations));
        assert_eq!(count(&mut store, 2, WIDE, 2), Ok(()));
        // What was answered is answered again, whatever is left.
        assert_eq!(count(&mut store, 2, narrow, 2), Ok(()));
        // What was refused was not counted.
        assert_eq!(store.counted().unwrap()[0].evaluated, 60);
    }

    #[test]
    fn a_store_is_one_providers_and_of_known_tables() {
        let folder = tempfile::tempdir().unwrap();
        drop(store(&folder));
        let path = folder.path().join("provider.sqlite");
        let other = Store::open(&path, &"beta".parse().unwrap()).unwrap_err();
        assert!(matches!(other, StoreError::OtherProvider), "{other}");
        let newer = Connection::open(&path).unwrap();
        newer
            .pragma_update(None, "user_version", super::super::VERSION + 1)
            .unwrap();
        for opened in [
            Store::open(&path, &"alpha".parse().unwrap()),
            Store::look_at(&path),
        ] {
            assert!(matches!(opened.unwrap_err(), StoreError::NotAStore));
        }
        let none = folder.path().join("other.sqlite");
        let foreign = Connection::open(&none).unwrap();
        foreign.execute_batch("CREATE TABLE t (a)").unwrap();
        let opened = Store::open(&none, &"alpha".parse().unwrap());
        assert!(matches!(opened.unwrap_err(), StoreError::NotAStore));
    }
}
