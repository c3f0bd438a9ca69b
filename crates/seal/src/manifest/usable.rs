//! Whether a manifest can be used: it is of the agreement at hand, and its last day is not over.

use incamera_types::{
    AgreementId, ColumnType, DatasetName, DatasetSpec, Date, MatchingEpoch, UnixTime,
};

use super::{Manifest, ManifestError, SealedColumn, sealed_column};

const DAY_S: u64 = 24 * 60 * 60;
/// How far clocks of those who make a key and of who seals may lie apart.
const CLOCKS_APART_S: u64 = 60 * 60;

/// A data set whose pseudonyms count no more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "data set `{dataset}` was sealed until the end of {day} (UTC), the last day of ids that it has: its owner runs `match run` again, seals it anew and pushes it"
)]
pub struct PastLastDay {
    /// The data set.
    pub dataset: DatasetName,
    /// Its last day.
    pub day: Date,
}

impl Manifest {
    /// Whether this manifest is of `spec`, as the agreement of this id declares it.
    ///
    /// # Errors
    /// [`ManifestError::Unfit`], with what differs.
    pub fn fits(
        &self,
        spec: &DatasetSpec,
        agreement_id: &AgreementId,
        matching_epoch: MatchingEpoch,
        partitions: u32,
    ) -> Result<(), ManifestError> {
        let columns: Vec<SealedColumn> = spec.stored_columns().map(sealed_column).collect();
        let rules = [
            (&self.agreement_id == agreement_id, "agreement id"),
            (self.spec.name == spec.name, "data set"),
            (self.owner == spec.owner, "owner"),
            (self.spec.public == spec.public, "`public`"),
            (self.matching_epoch == matching_epoch, "matching epoch"),
            (self.partitions == partitions, "number of partitions"),
            (self.columns == columns, "list of columns"),
            // The `purposes` column is not stored, so the list of columns says nothing of it.
            (
                self.own_consents == spec.purposes_column().is_some(),
                "source of consents",
            ),
        ];
        match rules.into_iter().find(|(holds, _)| !holds) {
            Some((_, what)) => Err(ManifestError::Unfit { what }),
            None => Ok(()),
        }
    }

    /// Whether it says when its matched pseudonyms end, where all end with a key that is valid for
    /// `key_days` (none: they last): on a day that a key can reach which there was when the data
    /// were sealed. It is the owner who says when that was, so it counts as `now` at the latest.
    ///
    /// # Errors
    /// [`ManifestError::Unfit`].
    pub fn ends_with_key(&self, key_days: Option<u32>, now: UnixTime) -> Result<(), ManifestError> {
        let matched = |column: &SealedColumn| column.ty == ColumnType::Pseudonym;
        let Some(days) = key_days.filter(|_| self.columns.iter().any(matched)) else {
            return Ok(());
        };
        // A key ends within its last day.
        let longest = (u64::from(days) + 1) * DAY_S + CLOCKS_APART_S;
        let latest = self.sealed_at.min(now).plus(longest);
        match self.last_day.is_some_and(|day| day.end() <= latest) {
            true => Ok(()),
            false => Err(ManifestError::Unfit {
                what: "last day (none, or later than that of any key of the providers)",
            }),
        }
    }

    /// The last day on which all of its pseudonyms count; none if it does not say.
    #[must_use]
    pub fn last_day(&self) -> Option<Date> {
        self.last_day
    }

    /// Whether its pseudonyms count at `now`.
    ///
    /// # Errors
    /// [`PastLastDay`].
    pub fn counts_at(&self, now: UnixTime) -> Result<(), PastLastDay> {
        match self.last_day.filter(|day| day.end() < now) {
            None => Ok(()),
            Some(day) => Err(PastLastDay {
                dataset: self.dataset().clone(),
                day,
            }),
        }
    }
}
