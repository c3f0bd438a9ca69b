//! Which ids are linked, gathered out of rows: no files, no clock.

use std::collections::{BTreeMap, BTreeSet};

use incamera_types::Date;

use crate::ids::{Counts, Leaves, Normaliser};

/// What is said of a pair: of several rows, what all of them say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The leaves agreed to, a bit each ([`Leaves`]).
    pub agreed: u64,
    /// The day it was learnt of.
    pub recorded: Date,
    /// The last day it counts.
    pub expires: Date,
}

/// Pairs by their first id.
pub type Pairs = BTreeMap<String, BTreeMap<String, Said>>;

/// What became of rows and pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Rows read.
    pub rows: u64,
    /// Of the ids that are looked up.
    pub from: Counts,
    /// Of those that they lead to.
    pub to: Counts,
    /// Rows of a pair that another row has already.
    pub duplicates: u64,
    /// Pairs whose people agreed to nothing.
    pub without_consent: u64,
    /// Pairs whose people agreed to some of the purposes: they do not match by them.
    pub in_part: u64,
    /// Pairs that count no more.
    pub over: u64,
}

/// A row, as it is written.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// The id that is looked up.
    pub from: &'a str,
    /// The id that it leads to.
    pub to: &'a str,
    /// The day it was learnt of; none where no column has it.
    pub recorded: Option<&'a str>,
    /// The last day it counts; none where no column has it.
    pub expires: Option<&'a str>,
}

/// Why a row says no pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    /// One of its ids is none of its kind.
    #[error("an id is none of its kind")]
    Id,
    /// A day is none, or it was learnt of on one to come.
    #[error("a day is none, or the one it was learnt of is to come")]
    Day,
}

/// Pairs being gathered.
pub struct Gathering {
    from: Normaliser,
    to: Normaliser,
    today: Date,
    until: Date,
    pairs: Pairs,
    tally: Tally,
}

impl Gathering {
    /// Of ids that are written so; none counts after the day `until`.
    #[must_use]
    pub fn new(from: Normaliser, to: Normaliser, today: Date, until: Date) -> Self {
        Self {
            from,
            to,
            today,
            until,
            pairs: Pairs::new(),
            tally: Tally::default(),
        }
    }

    /// Takes a row; `agreed` says what its person agreed to, and is asked where the ids are some.
    ///
    /// # Errors
    /// [`RowFault`]: the row is left out.
    pub fn row(&mut self, row: Row<'_>, agreed: impl FnOnce() -> u64) -> Result<(), RowFault> {
        self.tally.rows += 1;
        let (mut one, mut other) = (String::new(), String::new());
        let from = self.from.normalise(row.from, &mut one);
        let to = self.to.normalise(row.to, &mut other);
        self.tally.from.row(&from);
        self.tally.to.row(&to);
        let (from, to) = from.ok().zip(to.ok()).ok_or(RowFault::Id)?;
        let agreed = agreed();
        let recorded = day(row.recorded, self.today).filter(|day| *day <= self.today);
        let expires = day(row.expires, self.until);
        let (recorded, expires) = recorded.zip(expires).ok_or(RowFault::Day)?;
        let said = Said {
            agreed,
            recorded,
            expires: expires.min(self.until),
        };
        take(&mut self.pairs, &mut self.tally, (from, to), said);
        Ok(())
    }

    /// The pairs that count. Whoever agreed to nothing is left out, and what is over.
    #[must_use]
    pub fn finish(self, leaves: &Leaves) -> (Pairs, Tally) {
        let all = leaves.class(Leaves::EVERYTHING).len();
        let (mut pairs, mut tally) = (self.pairs, self.tally);
        for of in pairs.values_mut() {
            of.retain(|_, said| {
                let agreed = leaves.class(said.agreed).len();
                tally.without_consent += u64::from(agreed == 0);
                tally.over += u64::from(agreed > 0 && said.expires < self.today);
                let stays = agreed > 0 && said.expires >= self.today;
                tally.in_part += u64::from(stays && agreed < all);
                stays
            });
        }
        (pairs, tally)
    }
}

fn take(pairs: &mut Pairs, tally: &mut Tally, (from, to): (&str, &str), said: Said) {
    let of = pairs.entry(from.to_owned()).or_default();
    if let Some(before) = of.get_mut(to) {
        tally.duplicates += 1;
        before.agreed &= said.agreed;
        before.expires = before.expires.min(said.expires);
        before.recorded = before.recorded.max(said.recorded);
        return;
    }
    of.insert(to.to_owned(), said);
}

/// A day where a column has one; what counts otherwise where it is empty, or no column has it.
fn day(text: Option<&str>, otherwise: Date) -> Option<Date> {
    match text.map(str::trim) {
        None | Some("") => Some(otherwise),
        Some(text) => text.parse().ok(),
    }
}

/// Ids with a link.
#[must_use]
pub fn looked_up_ids(pairs: &Pairs) -> Vec<String> {
    let linked = pairs.iter().filter(|(_, to)| !to.is_empty());
    linked.map(|(from, _)| from.clone()).collect()
}

/// Ids that links lead to.
#[must_use]
pub fn led_to_ids(pairs: &Pairs) -> Vec<String> {
    let all: BTreeSet<_> = pairs.values().flat_map(BTreeMap::keys).collect();
    all.into_iter().cloned().collect()
}

#[cfg(test)]
mod tests {
    use incamera_types::{IdWriting, PurposeSet};

    use super::*;

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn leaves() -> Leaves {
        let names = ["ads", "measurement"].map(|name| name.parse().unwrap());
        Leaves::new(&PurposeSet::from_iter(names)).unwrap()
    }

    fn gathering() -> Gathering {
        let plain = || Normaliser::of(&"plain".parse().unwrap(), &IdWriting::default()).unwrap();
        Gathering::new(plain(), plain(), day("2027-01-31"), day("2027-03-31"))
    }

    fn row<'a>(from: &'a str, recorded: Option<&'a str>, expires: Option<&'a str>) -> Row<'a> {
        Row {
            from,
            to: "z",
            recorded,
            expires,
        }
    }

    #[test]
    fn of_several_rows_with_a_pair_all_count() {
        let rows = [
            (row("x", Some("2027-01-02"), Some(" 2027-03-01 ")), 0b11),
            (row("x", Some(""), None), 0b01),
            (row("x", None, Some("2027-12-31")), 0b11),
        ];
        let both = [&[0, 1, 2], &[2, 1, 0]].map(|order| {
            let mut gathering = gathering();
            for (row, agreed) in order.iter().map(|at: &usize| rows[*at]) {
                gathering.row(row, || agreed).unwrap();
            }
            gathering.finish(&leaves())
        });
        let said = both[0].0["x"]["z"];
        assert_eq!(said.agreed, 0b01);
        assert_eq!(said.recorded, day("2027-01-31"));
        assert_eq!(said.expires, day("2027-03-01"));
        assert_eq!((both[0].1.duplicates, both[0].1.in_part), (2, 1));
        assert_eq!(both[0], both[1]);
    }

    #[test]
    fn rows_that_say_no_pair_are_left_out() {
        let mut gathering = gathering();
        let mut asked = 0;
        for (row, fault) in [
            (row(" ", None, None), RowFault::Id),
            (row("x", Some("soon"), None), RowFault::Day),
            (row("x", Some("2027-02-01"), None), RowFault::Day),
            (row("x", None, Some("31.3.2027")), RowFault::Day),
        ] {
            let agreed = || {
                asked += 1;
                1
            };
            assert_eq!(gathering.row(row, agreed), Err(fault));
        }
        assert_eq!(asked, 3);
        let (pairs, tally) = gathering.finish(&leaves());
        assert!(pairs.is_empty() && looked_up_ids(&pairs).is_empty());
        assert_eq!((tally.rows, tally.from.empty), (4, 1));
    }

    #[test]
    fn who_agreed_to_nothing_and_what_is_over_is_left_out() {
        let mut gathering = gathering();
        gathering.row(row("w", None, None), || 0).unwrap();
        gathering
            .row(row("x", None, Some("2027-01-30")), || 1)
            .unwrap();
        gathering
            .row(row("y", None, Some("2027-01-31")), || 3)
            .unwrap();
        let (pairs, tally) = gathering.finish(&leaves());
        assert_eq!(looked_up_ids(&pairs), ["y"]);
        assert_eq!(led_to_ids(&pairs), ["z"]);
        assert_eq!(
            (tally.without_consent, tally.over, tally.in_part),
            (1, 1, 0)
        );
    }
}
