//! The end of a run: ids with their pseudonyms, in order of id, together with the crosswalk of
//! earlier runs as it is now, at constant memory.
//!
//! | the run gave it a pseudonym | it is in the crosswalk now | what becomes of it                     |
//! |-----------------------------|----------------------------|----------------------------------------|
//! | yes                         | yes                        | compared: another pseudonym ends it all |
//! | yes, new                    | no                         | a new row                              |
//! | yes, known before           | no                         | forgotten since the run began: left out |
//! | no                          | yes                        | stays                                  |
//!
//! What is said of matches hangs on [`Matched`]: whether the peer sent all of its ids in the run.
//!
//! Where each run makes other pseudonyms, the run's rows [replace](write_anew) those of the
//! crosswalk, which only says who was forgotten. Such a run has its ids in order already.
//!
//! Where there is no crosswalk any more, nobody was forgotten: it was moved away, and each id of
//! the data that was matched gets its row.

use incamera_types::{Date, Pseudonym};
use rand_core::CryptoRng;

use crate::Misbehaviour;
use crate::intake::{Entry, Ids};
use crate::sort::{Memory, Order, SortError, Sorted, Sorter, Store};

/// Where the id of a record begins: behind flags, pseudonym and day.
const ID_AT: usize = 1 + Pseudonym::BYTES + 4;
/// The day of a record without one.
const NO_DAY: i32 = i32::MIN;

/// The run gave a pseudonym.
const GIVEN: u8 = 1;
/// The id stands in the data now.
const NOW: u8 = 2;
/// An earlier run had it.
const KNOWN: u8 = 4;
/// The peer has it too.
const MATCHED: u8 = 8;

/// A row of a crosswalk.
#[derive(Clone, PartialEq, Eq)]
pub struct Row {
    /// The id.
    pub id: String,
    /// Its pseudonym.
    pub pseudonym: Pseudonym,
    /// The last day on which the link counts, where links have one.
    pub valid_until: Option<Date>,
    /// Whether the peer has the id too, where that is revealed.
    pub matched: Option<bool>,
}

impl Default for Row {
    /// An empty one, to be filled.
    fn default() -> Self {
        Self {
            id: String::new(),
            pseudonym: Pseudonym::from_bytes([0; Pseudonym::BYTES]),
            valid_until: None,
            matched: None,
        }
    }
}

impl std::fmt::Debug for Row {
    /// Never the id.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Row(..)")
    }
}

/// What rows say of who is in both sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matched {
    /// Nothing: the crosswalk has no such column.
    Hidden,
    /// What this run found, and nothing else: the peer sent all of its ids.
    Anew,
    /// What this run found and what earlier ones did: the peer sent its new ids alone.
    More,
}

impl Matched {
    /// What becomes of a row that said `before`; the run found it or not.
    fn of(self, found: bool, before: Option<bool>) -> Option<bool> {
        match self {
            Self::Hidden => before,
            Self::Anew => Some(found),
            Self::More => Some(found || before == Some(true)),
        }
    }
}

/// Fills in the next row of a crosswalk, in order of id; tells whether there was one.
pub type NextRow<'a, E> = dyn FnMut(&mut Row) -> Result<bool, E> + 'a;

/// Takes the next row of a crosswalk, in order of id.
pub type PutRow<'a, E> = dyn FnMut(&Row) -> Result<(), E> + 'a;

/// Why there is no crosswalk. `E` is why rows were not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FinishError<E> {
    /// The rows were not sorted.
    #[error(transparent)]
    Sort(#[from] SortError),
    /// Rows were not read or written.
    #[error(transparent)]
    Rows(E),
    /// Every id of an earlier run got another pseudonym.
    #[error("ids that were matched before get other pseudonyms now")]
    SecretChanged,
    /// The peer does not keep to the protocol.
    #[error(transparent)]
    Peer(#[from] Misbehaviour),
}

/// What a run came to. Shown to the owner of the data alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Finished {
    /// Rows written.
    pub rows: u64,
    /// Of these: rows whose id the peer has too.
    pub matched: u64,
    /// Ids of the data that are left out: their people were forgotten since the run began.
    pub forgotten: u64,
    /// Earlier pseudonyms that were compared, and were the same.
    pub compared: u64,
}

/// Takes ids with their pseudonyms.
pub struct Finish<S: Store> {
    sorter: Sorter<S, ById>,
    record: Vec<u8>,
    valid_until: Option<Date>,
    says: Matched,
    replaces: bool,
}

struct ById;

impl Order for ById {
    fn key(record: &[u8]) -> (&[u8], &[u8]) {
        (record.get(ID_AT..).unwrap_or_default(), &[])
    }

    /// A match joins the row it is about.
    fn fold(kept: &mut [u8], other: &[u8]) -> bool {
        let (Some((kept, rest)), Some((other, given))) =
            (kept.split_first_mut(), other.split_first())
        else {
            return false;
        };
        if *kept & GIVEN == 0 && rest.len() == given.len() {
            rest.copy_from_slice(given);
        }
        *kept |= other;
        true
    }
}

impl<S: Store> Finish<S> {
    /// Without rows. Links of this run count until `valid_until`; `says` is what rows say of who
    /// is in both sets. `rng` is for keys and nonces of what goes to the store.
    pub fn new(
        valid_until: Option<Date>,
        says: Matched,
        store: &S,
        memory: Memory,
        rng: &mut impl CryptoRng,
    ) -> Self {
        Self {
            sorter: Sorter::new(store, memory, rng),
            record: Vec::new(),
            valid_until,
            says,
            replaces: false,
        }
    }

    /// The same for a run that looked everything up anew: of the crosswalk's rows none stays, and
    /// none is compared.
    #[must_use]
    pub fn replacing(self) -> Self {
        Self {
            replaces: true,
            ..self
        }
    }

    /// Takes an id of the run with its pseudonym.
    ///
    /// # Errors
    /// [`SortError`].
    pub fn give(
        &mut self,
        entry: &Entry<'_>,
        pseudonym: &Pseudonym,
        matched: bool,
    ) -> Result<(), SortError> {
        self.give_until(entry, pseudonym, matched, self.valid_until)
    }

    /// The same for a pseudonym that counts until a day of its own.
    ///
    /// # Errors
    /// [`SortError`].
    pub fn give_until(
        &mut self,
        entry: &Entry<'_>,
        pseudonym: &Pseudonym,
        matched: bool,
        until: Option<Date>,
    ) -> Result<(), SortError> {
        self.push(flags(entry, matched), pseudonym, until, entry.id)
    }

    /// Takes note that the peer has an id of an earlier run too.
    ///
    /// # Errors
    /// [`SortError`].
    pub fn matched(&mut self, id: &str) -> Result<(), SortError> {
        let none = Pseudonym::from_bytes([0; Pseudonym::BYTES]);
        self.push(MATCHED, &none, None, id)
    }

    fn push(
        &mut self,
        flags: u8,
        pseudonym: &Pseudonym,
        until: Option<Date>,
        id: &str,
    ) -> Result<(), SortError> {
        let day = until.map_or(NO_DAY, Date::days);
        self.record.clear();
        self.record.push(flags);
        self.record.extend_from_slice(pseudonym.as_bytes());
        self.record.extend_from_slice(&day.to_be_bytes());
        self.record.extend_from_slice(id.as_bytes());
        self.sorter.push(&self.record)
    }

    /// Hands the crosswalk's rows to `write`. `earlier` has those of the crosswalk as it is now;
    /// it is missing where there is none. Whatever `write` was given counts only once this has
    /// returned without an error.
    ///
    /// # Errors
    /// [`FinishError`].
    pub fn write<E>(
        self,
        earlier: Option<&mut NextRow<'_, E>>,
        write: &mut PutRow<'_, E>,
    ) -> Result<Finished, FinishError<E>> {
        let mut joining = Joining {
            says: self.says,
            replaces: self.replaces,
            has_crosswalk: earlier.is_some(),
            ..Joining::of(self.sorter.sorted()?)
        };
        joining.join(earlier, write)?;
        match (joining.changed, joining.finished.compared) {
            (0, _) => Ok(joining.finished),
            (_, 0) => Err(FinishError::SecretChanged),
            _ => Err(Misbehaviour::Inconsistent.into()),
        }
    }
}

/// Hands the rows of a run that made other pseudonyms than any run before to `write`: of the
/// crosswalk's rows none stays, and none is compared. `ids` come in order, with a pseudonym each,
/// and with whether the peer has it where that is revealed. The rest is as with [`Finish::write`].
///
/// # Errors
/// [`FinishError`].
pub fn write_anew<S: Store, E>(
    ids: Ids<S>,
    pseudonyms: &[Pseudonym],
    matched: Option<&[bool]>,
    earlier: Option<&mut NextRow<'_, E>>,
    write: &mut PutRow<'_, E>,
) -> Result<Finished, FinishError<E>> {
    let says = match matched {
        Some(_) => Matched::Anew,
        None => Matched::Hidden,
    };
    let mut joining = Joining {
        says,
        replaces: true,
        has_crosswalk: earlier.is_some(),
        ..Joining::of(Anew {
            ids,
            pseudonyms: pseudonyms.iter(),
            matched: matched.unwrap_or_default().iter(),
        })
    };
    joining.join(earlier, write)?;
    Ok(joining.finished)
}

/// What a record says of an id that the run gave a pseudonym.
fn flags(entry: &Entry<'_>, matched: bool) -> u8 {
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let now = flag(entry.now(), NOW) | flag(entry.known(), KNOWN);
    GIVEN | now | flag(matched, MATCHED)
}

/// What a run gave, in order of id.
trait Given {
    /// The next one.
    fn next(&mut self) -> Result<Option<Gift<'_>>, SortError>;
}

/// Flags, pseudonym, the last day on which it counts, and id.
type Gift<'a> = (u8, Pseudonym, Option<Date>, &'a str);

impl<S: Store> Given for Sorted<S, ById> {
    fn next(&mut self) -> Result<Option<Gift<'_>>, SortError> {
        let Some(record) = self.next()? else {
            return Ok(None);
        };
        let parts = record.split_first().and_then(|(flags, rest)| {
            let (pseudonym, rest) = rest.split_first_chunk()?;
            let (day, id) = rest.split_first_chunk()?;
            let id = std::str::from_utf8(id).ok()?;
            let day = i32::from_be_bytes(*day);
            let until = (day != NO_DAY).then(|| Date::from_days(day));
            Some((*flags, Pseudonym::from_bytes(*pseudonym), until, id))
        });
        parts.ok_or(SortError::Damaged).map(Some)
    }
}

/// What a run gave that had its ids in order.
struct Anew<'a, S: Store> {
    ids: Ids<S>,
    pseudonyms: std::slice::Iter<'a, Pseudonym>,
    matched: std::slice::Iter<'a, bool>,
}

impl<S: Store> Given for Anew<'_, S> {
    fn next(&mut self) -> Result<Option<Gift<'_>>, SortError> {
        let Some(entry) = self.ids.next()? else {
            return Ok(None);
        };
        let matched = self.matched.next().copied().unwrap_or_default();
        let given = self.pseudonyms.next();
        Ok(given.map(|pseudonym| (flags(&entry, matched), *pseudonym, None, entry.id)))
    }
}

/// Two streams in order of id, on their way into one.
struct Joining<G> {
    runs: G,
    /// The run's row at hand.
    run: Row,
    flags: u8,
    says: Matched,
    replaces: bool,
    has_crosswalk: bool,
    /// Earlier pseudonyms that were compared, and were others.
    changed: u64,
    finished: Finished,
}

impl<G: Given> Joining<G> {
    /// Of a run that there is no crosswalk beside.
    fn of(runs: G) -> Self {
        Self {
            runs,
            run: Row::default(),
            flags: 0,
            says: Matched::Hidden,
            replaces: false,
            has_crosswalk: false,
            changed: 0,
            finished: Finished::default(),
        }
    }

    fn join<E>(
        &mut self,
        earlier: Option<&mut NextRow<'_, E>>,
        write: &mut PutRow<'_, E>,
    ) -> Result<(), FinishError<E>> {
        let mut none = |_: &mut Row| Ok(false);
        let earlier = earlier.unwrap_or(&mut none);
        let mut next = |old: &mut Row| earlier(old).map_err(FinishError::Rows);
        let mut old = Row::default();
        let mut has_old = next(&mut old)?;
        while self.advance()? {
            while has_old && old.id < self.run.id {
                self.stay(&mut old, write)?;
                has_old = next(&mut old)?;
            }
            if has_old && old.id == self.run.id {
                self.meet(&mut old, write)?;
                has_old = next(&mut old)?;
            } else {
                self.join_new(write)?;
            }
        }
        while has_old {
            self.stay(&mut old, write)?;
            has_old = next(&mut old)?;
        }
        Ok(())
    }

    /// Goes on to the run's next row, if there is one.
    fn advance(&mut self) -> Result<bool, SortError> {
        let Some((flags, pseudonym, until, id)) = self.runs.next()? else {
            return Ok(false);
        };
        self.flags = flags;
        self.run.id.clear();
        self.run.id.push_str(id);
        self.run.pseudonym = pseudonym;
        self.run.valid_until = until;
        self.run.matched = self.says.of(flags & MATCHED != 0, None);
        Ok(true)
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// A row of the crosswalk that the run gave nothing for.
    fn stay<E>(&mut self, old: &mut Row, write: &mut PutRow<'_, E>) -> Result<(), FinishError<E>> {
        if self.replaces {
            return Ok(());
        }
        old.matched = self.says.of(false, old.matched);
        self.put(old, write)
    }

    /// A row of the crosswalk whose id is that of the run's row at hand.
    fn meet<E>(&mut self, old: &mut Row, write: &mut PutRow<'_, E>) -> Result<(), FinishError<E>> {
        if self.replaces {
            return self.put_run(write);
        }
        if self.has(GIVEN) {
            match old.pseudonym == self.run.pseudonym {
                true => self.finished.compared += 1,
                false => self.changed += 1,
            }
        }
        if self.has(NOW) {
            old.valid_until = self.run.valid_until;
        }
        old.matched = self.says.of(self.has(MATCHED), old.matched);
        self.put(old, write)
    }

    /// The run's row at hand, whose id the crosswalk has not.
    fn join_new<E>(&mut self, write: &mut PutRow<'_, E>) -> Result<(), FinishError<E>> {
        // Neither of the data: one that was only compared, or a match of somebody forgotten.
        if !self.has(NOW) {
            return Ok(());
        }
        if self.has_crosswalk && self.has(KNOWN) {
            self.finished.forgotten += 1;
            return Ok(());
        }
        self.put_run(write)
    }

    /// The run's row at hand as it is.
    fn put_run<E>(&mut self, write: &mut PutRow<'_, E>) -> Result<(), FinishError<E>> {
        let row = std::mem::take(&mut self.run);
        let put = self.put(&row, write);
        self.run = row;
        put
    }

    fn put<E>(&mut self, row: &Row, write: &mut PutRow<'_, E>) -> Result<(), FinishError<E>> {
        self.finished.rows += 1;
        self.finished.matched += u64::from(row.matched == Some(true));
        write(row).map_err(FinishError::Rows)
    }
}

#[cfg(test)]
mod memory;
#[cfg(test)]
mod tests;
