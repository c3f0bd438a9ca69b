//! Whose row it is, by a raw id in an owner's file.

use incamera_seal::{KeyRing, MatchingRuns, PersonKeys};
use incamera_types::{ColumnType, Date, IdKind, Pseudonym};

use super::home::{Home, People};
use crate::failure::{Context as _, Failure};

/// What makes raw ids keys: of rows, and of each kind where a register has several.
pub struct Whose {
    rows: Rows,
    kinds: Vec<People>,
}

enum Rows {
    /// Of a data set without people.
    Nobody,
    /// By the pseudonyms of one kind of id.
    Matched(People),
    /// By the owner's own keys.
    Own(PersonKeys),
}

impl Whose {
    /// Of a data set at its owner's, by ids that count until the end of `day`. An owner's own keys
    /// come of a secret in its ring, which is made at first.
    pub fn of(home: &Home<'_>, ring: &mut KeyRing, day: Date) -> Result<Self, Failure> {
        let Some(column) = home.spec.person_column() else {
            return Ok(Self {
                rows: Rows::Nobody,
                kinds: Vec::new(),
            });
        };
        let rows = match column.ty {
            ColumnType::Person => {
                let (id, epoch) = (home.agreement.id, home.agreement.matching.epoch);
                let keys = ring.person_keys_or_new(id, epoch, &mut rand::rng());
                Rows::Own(keys.or_fail("the key ring has no secret for keys of people")?)
            }
            _ => home.crosswalk(day)?.map_or(Rows::Nobody, Rows::Matched),
        };
        let kinds = home.spec.link_columns();
        let kinds = kinds.filter_map(|column| column.id_kind.as_ref());
        Ok(Self {
            rows,
            kinds: kinds
                .map(|kind| home.crosswalk_of(kind, day))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The matching runs whose pseudonyms these are, where each run makes others.
    pub fn runs(&self) -> MatchingRuns {
        let runs = self.matched();
        let runs = runs.filter_map(|people| Some((people.kind().clone(), people.run()?)));
        runs.collect()
    }

    /// The last day on which all pseudonyms count, where some do not last.
    pub fn last_day(&self) -> Option<Date> {
        self.matched().filter_map(People::last_day).min()
    }

    /// How many ids are left out whose pseudonyms do not count as long as is wanted.
    pub fn over(&self) -> usize {
        self.matched().map(People::over).sum()
    }

    /// The last day on which the pseudonym of any row's id counts, where that is too early for all.
    pub fn rows_over(&self) -> Option<Date> {
        match &self.rows {
            Rows::Matched(people) => people.all_over(),
            Rows::Nobody | Rows::Own(_) => None,
        }
    }

    fn matched(&self) -> impl Iterator<Item = &People> {
        let rows = match &self.rows {
            Rows::Matched(people) => Some(people),
            Rows::Nobody | Rows::Own(_) => None,
        };
        rows.into_iter().chain(&self.kinds)
    }

    /// The column with raw ids, where one is not named and it is not called like the kind of the
    /// pseudonyms: that of the ids from which links lead to them.
    pub fn id_column<'a>(&'a self, named: Option<&'a str>) -> Option<&'a str> {
        let via = match &self.rows {
            Rows::Matched(people) => people.via().map(IdKind::as_str),
            Rows::Nobody | Rows::Own(_) => None,
        };
        named.or(via)
    }

    /// Whose row has this raw id.
    pub fn person(&self, id: &str) -> Option<Pseudonym> {
        match &self.rows {
            Rows::Nobody => None,
            Rows::Matched(people) => people.pseudonym(id),
            Rows::Own(keys) => own(keys, id),
        }
    }

    /// The pseudonym of a raw id of a kind.
    pub fn of_kind(&self, kind: &IdKind, id: &str) -> Option<Pseudonym> {
        let of_kind = self.kinds.iter().find(|people| people.kind() == kind)?;
        of_kind.pseudonym(id)
    }
}

/// An owner's own key of whom it knows by this text, but for white space around it.
pub fn own(keys: &PersonKeys, id: &str) -> Option<Pseudonym> {
    let id = id.trim();
    (!id.is_empty()).then(|| keys.key(id)).flatten()
}
