//! A manifest's message and its checked form, field by field.

use std::collections::{BTreeMap, BTreeSet};

use incamera_types::{
    AgreementDigest, ColumnName, ColumnSpec, ColumnType, DatasetSpec, Date, Digest, FileId,
    KeyCommitment, ManifestDigest, MatchRunDigest, OtherText, PartDigest, PurposeName, PurposeSet,
};
use incamera_wire::v1 as wire;

use super::{
    Change, ManifestError, MatchingRuns, Part, Removal, SealedColumn, SealedKey, Wrap, malformed,
};
use crate::plan;

/// Bytes of a wrap: nonce, 32-byte key, tag.
const WRAP_BYTES: usize = 12 + 32 + 16;

pub(super) fn name<N: std::str::FromStr>(text: &str) -> Result<N, ManifestError> {
    text.parse().map_err(|_| malformed("a name is not one"))
}

/// A set of purposes that must be written in order and once each.
fn purposes(list: &[String]) -> Result<PurposeSet, ManifestError> {
    if !list.is_sorted_by(|a, b| a < b) {
        return Err(malformed("purposes are not in order"));
    }
    list.iter().map(|text| name::<PurposeName>(text)).collect()
}

pub(super) fn previous(message: &wire::Manifest) -> Result<Option<ManifestDigest>, ManifestError> {
    match (message.version, message.previous.is_empty()) {
        (1, true) => Ok(None),
        (2.., false) => ManifestDigest::from_slice(&message.previous)
            .map(Some)
            .map_err(|_| malformed("its predecessor's digest has the wrong length")),
        _ => Err(malformed(
            "version 1 has no predecessor, every other has one",
        )),
    }
}

pub(super) fn register(message: &wire::Manifest) -> Result<Option<ManifestDigest>, ManifestError> {
    match (message.register.is_empty(), message.public) {
        (true, _) => Ok(None),
        (false, true) => Err(malformed("it is public, and names a register of consents")),
        (false, false) => ManifestDigest::from_slice(&message.register)
            .map(Some)
            .map_err(|_| malformed("its register's digest has the wrong length")),
    }
}

pub(super) fn change(message: &wire::Manifest) -> Result<Change, ManifestError> {
    if message.change.is_empty() {
        return Ok(Change::Sealed);
    }
    let named = |change: &Change| change.as_str() == message.change;
    let known = Change::ALL.into_iter().find(named);
    known.ok_or_else(|| malformed("what made it is not known"))
}

pub(super) fn revoked(message: &wire::Manifest) -> Result<PurposeSet, ManifestError> {
    if message.public && !message.revoked.is_empty() {
        return Err(malformed("it is public, and names revoked purposes"));
    }
    purposes(&message.revoked)
}

/// Purposes given back, with the version that did; see [`super::Manifest::restored`].
pub(super) fn restored(
    message: &wire::Manifest,
    revoked: &PurposeSet,
) -> Result<BTreeMap<PurposeName, u64>, ManifestError> {
    let list = &message.restored;
    if !list.is_sorted_by(|a, b| a.purpose < b.purpose) {
        return Err(malformed("restored purposes are not in order"));
    }
    let seals = matches!(change(message)?, Change::Sealed | Change::Appended);
    let one = |one: &wire::Restoration| {
        let purpose: PurposeName = name(&one.purpose)?;
        // Nothing was revoked before version 1, and nothing but sealing gives a purpose back.
        let fits = (2..=message.version).contains(&one.version)
            && (one.version < message.version || seals)
            && !message.public
            && !revoked.contains(&purpose);
        match fits {
            true => Ok((purpose, one.version)),
            false => Err(malformed("a restored purpose contradicts the rest")),
        }
    };
    list.iter().map(one).collect()
}

pub(super) fn agreement_digest(
    message: &wire::Manifest,
) -> Result<Option<AgreementDigest>, ManifestError> {
    if message.agreement_digest.is_empty() {
        return Ok(None);
    }
    let digest = AgreementDigest::from_slice(&message.agreement_digest);
    digest
        .map(Some)
        .map_err(|_| malformed("its agreement's digest has the wrong length"))
}

pub(super) fn matching_runs(message: &wire::Manifest) -> Result<MatchingRuns, ManifestError> {
    let list = &message.matching_runs;
    if !list.is_sorted_by(|a, b| a.id_kind < b.id_kind) {
        return Err(malformed("its matching runs are not in order"));
    }
    if message.public && !list.is_empty() {
        return Err(malformed("it is public, and names matching runs"));
    }
    let one = |one: &wire::MatchingRun| {
        let run = MatchRunDigest::from_slice(&one.run);
        let run = run.map_err(|_| malformed("a matching run's name has the wrong length"))?;
        Ok((name(&one.id_kind)?, run))
    };
    list.iter().map(one).collect()
}

pub(super) fn last_day(message: &wire::Manifest) -> Result<Option<Date>, ManifestError> {
    match message.public && message.last_day.is_some() {
        true => Err(malformed("it is public, and names a last day")),
        false => Ok(message.last_day.map(Date::from_days)),
    }
}

/// How many removals a manifest remembers, besides the last of each kind.
pub(crate) const MAX_REMOVALS: usize = 64;

/// Leaves out the oldest removals beyond [`MAX_REMOVALS`]; the last of each kind is never among
/// them, so that the log tells each kind of removal however many versions were made since the
/// last push.
pub(crate) fn last_of(mut removals: Vec<Removal>) -> Vec<Removal> {
    while removals.len() > MAX_REMOVALS {
        let again = |(at, one): (usize, &Removal)| {
            let later = removals.get(at + 1..).unwrap_or_default();
            later.iter().any(|later| later.change == one.change)
        };
        let oldest = removals.iter().enumerate().position(again);
        removals.remove(oldest.unwrap_or_default());
    }
    removals
}

pub(super) fn removals(message: &wire::Manifest) -> Result<Vec<Removal>, ManifestError> {
    let removals: Vec<Removal> = message
        .removals
        .iter()
        .map(removal)
        .collect::<Result<_, _>>()?;
    let rising = removals.is_sorted_by(|a, b| a.version < b.version);
    let newest = removals.last().map_or(0, |removal| removal.version);
    if !rising || newest > message.version || removals.len() > MAX_REMOVALS {
        return Err(malformed("its removals are not those of its versions"));
    }
    let made = change(message)?;
    let own = removals
        .last()
        .filter(|last| last.version == message.version);
    let said = own.is_none_or(|own| own.change == made);
    if !said
        || made
            .removes()
            .is_some_and(|removes| removes != own.is_some())
    {
        return Err(malformed("what made it and its removals contradict"));
    }
    Ok(removals)
}

fn removal(message: &wire::Removal) -> Result<Removal, ManifestError> {
    let removing = |change: &Change| change.removes() != Some(false);
    let change = Change::ALL.into_iter().filter(removing);
    let mut named = change.filter(|change| change.as_str() == message.change);
    let change = named.next();
    Ok(Removal {
        version: message.version,
        change: change.ok_or_else(|| malformed("what a removal was is not known"))?,
    })
}

impl From<&Removal> for wire::Removal {
    fn from(removal: &Removal) -> Self {
        Self {
            version: removal.version,
            change: removal.change.to_string(),
        }
    }
}

pub(super) fn own_consents(message: &wire::Manifest) -> Result<bool, ManifestError> {
    if message.own_consents && (message.public || !message.register.is_empty()) {
        return Err(malformed(
            "it is sealed by consents of its own, and public or by those of a register",
        ));
    }
    Ok(message.own_consents)
}

pub(super) fn columns(list: &[wire::SealedColumn]) -> Result<Vec<SealedColumn>, ManifestError> {
    let columns: Vec<SealedColumn> = list.iter().map(column).collect::<Result<_, _>>()?;
    let names: BTreeSet<&ColumnName> = columns.iter().map(|column| &column.name).collect();
    if columns.is_empty() || names.len() != columns.len() {
        return Err(malformed("it has no columns, or two of one name"));
    }
    Ok(columns)
}

fn column(message: &wire::SealedColumn) -> Result<SealedColumn, ManifestError> {
    let ty: ColumnType = message
        .r#type
        .parse()
        .map_err(|_| malformed("a column has no known type"))?;
    if plan::arrow_type(ty).is_none() {
        return Err(malformed("a column has a type that is not stored"));
    }
    Ok(SealedColumn {
        name: name(&message.name)?,
        ty,
        nullable: message.nullable,
        purposes: purposes(&message.purposes)?,
    })
}

/// The manifest's columns as a declaration, so that one rule decides what opens.
pub(super) fn spec(
    message: &wire::Manifest,
    columns: &[SealedColumn],
) -> Result<DatasetSpec, ManifestError> {
    let column = |column: &SealedColumn| ColumnSpec {
        name: column.name.clone(),
        ty: column.ty,
        nullable: column.nullable,
        purposes: column.purposes.clone(),
        unit: None,
        min: None,
        max: None,
        values: None,
        other: OtherText::Refuse,
        id_kind: None,
        time_zone: None,
    };
    Ok(DatasetSpec {
        name: name(&message.dataset)?,
        owner: name(&message.owner)?,
        public: message.public,
        keep_until: None,
        columns: columns.iter().map(column).collect(),
    })
}

pub(super) fn part(message: &wire::Part) -> Result<Part, ManifestError> {
    Ok(Part {
        file_id: FileId::from_slice(&message.file_id)
            .ok_or_else(|| malformed("a file id has the wrong length"))?,
        class: purposes(&message.class)?,
        partition: message.partition,
        bytes: message.bytes,
        digest: PartDigest::from_slice(&message.digest)
            .map_err(|_| malformed("a part's digest has the wrong length"))?,
        version: message.version,
        keys: message.keys.iter().map(key).collect::<Result<_, _>>()?,
        absent: names(&message.absent)?,
    })
}

fn names(list: &[String]) -> Result<Vec<ColumnName>, ManifestError> {
    list.iter().map(|text| name(text)).collect()
}

impl From<&Part> for wire::Part {
    fn from(part: &Part) -> Self {
        Self {
            file_id: part.file_id.as_bytes().to_vec(),
            class: part.class.iter().map(ToString::to_string).collect(),
            partition: part.partition,
            bytes: part.bytes,
            digest: part.digest.as_bytes().to_vec(),
            keys: part.keys.iter().map(Into::into).collect(),
            version: part.version,
            absent: part.absent.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<&SealedKey> for wire::DataKey {
    fn from(key: &SealedKey) -> Self {
        let wrap = |wrap: &Wrap| wire::Wrap {
            purpose: wrap.purpose.to_string(),
            wrapped: wrap.wrapped.clone(),
        };
        Self {
            column: key
                .column
                .as_ref()
                .map_or(String::new(), ToString::to_string),
            commitment: key.commitment.as_bytes().to_vec(),
            wraps: key.wraps.iter().map(wrap).collect(),
        }
    }
}

impl From<&SealedColumn> for wire::SealedColumn {
    fn from(column: &SealedColumn) -> Self {
        Self {
            name: column.name.to_string(),
            r#type: column.ty.to_string(),
            nullable: column.nullable,
            purposes: column.purposes.iter().map(ToString::to_string).collect(),
        }
    }
}

fn key(message: &wire::DataKey) -> Result<SealedKey, ManifestError> {
    let column = (!message.column.is_empty()).then_some(&message.column);
    if !message.wraps.is_sorted_by(|a, b| a.purpose < b.purpose) {
        return Err(malformed("wraps are not in order of purpose"));
    }
    Ok(SealedKey {
        column: column.map(|text| name(text)).transpose()?,
        commitment: KeyCommitment::from_slice(&message.commitment)
            .map_err(|_| malformed("a key's commitment has the wrong length"))?,
        wraps: message.wraps.iter().map(wrap).collect::<Result<_, _>>()?,
    })
}

fn wrap(message: &wire::Wrap) -> Result<Wrap, ManifestError> {
    if message.wrapped.len() != WRAP_BYTES {
        return Err(malformed("a wrap has the wrong length"));
    }
    Ok(Wrap {
        purpose: name(&message.purpose)?,
        wrapped: message.wrapped.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// However many versions take something away: the last are known, and of each kind one.
    #[test]
    fn no_kind_of_removal_is_forgotten() {
        let kinds = [
            Change::Forgotten,
            Change::ConsentRemoved,
            Change::Revoked,
            Change::Retagged,
        ];
        let mut removals = Vec::new();
        for version in 2..=300u64 {
            let change = match version {
                3 => Change::Revoked,
                5 | 9 => Change::Retagged,
                _ if version % 5 == 0 => Change::ConsentRemoved,
                _ => Change::Forgotten,
            };
            removals.push(Removal { version, change });
            removals = last_of(removals);
            assert!(removals.len() <= MAX_REMOVALS);
            assert!(removals.is_sorted_by(|a, b| a.version < b.version));
            assert_eq!(removals.last().map(|last| last.version), Some(version));
        }
        assert_eq!(removals.len(), MAX_REMOVALS);
        for kind in kinds {
            assert!(removals.iter().any(|one| one.change == kind), "{kind}");
        }
        let versions: Vec<u64> = removals.iter().map(|one| one.version).collect();
        assert_eq!(versions[..3], [3, 9, 239]);
    }
}
