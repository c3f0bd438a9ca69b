//! A party's data sets, for `status`: what was pushed, what is sealed and waits, how long it is
//! kept.

use std::collections::BTreeMap;

use incamera_agreement::Agreement;
use incamera_types::{DatasetName, Date};
use incamera_wire::v1::DataVersion;
use serde_json::{Value, json};

use super::data::read_manifest;
use crate::clock::now;
use crate::folder::Folder;

/// One of the party's own data sets under an agreement.
pub struct OwnData {
    name: String,
    /// The newest version that was pushed.
    pushed: Option<u64>,
    sealed: Sealed,
    /// The last day, where the agreement names one.
    keep_until: Option<Date>,
}

/// What is sealed in the party's folder.
enum Sealed {
    Nothing,
    Version {
        version: u64,
        /// The last day on which its pseudonyms count, where they have one.
        last_day: Option<Date>,
    },
    /// The manifest does not read.
    Damaged,
}

/// The data sets that were pushed, and those that are sealed and were not; of an agreement whose
/// file is not here, those that were pushed.
pub fn all(folder: &Folder, pushed: &[DataVersion], terms: Option<&Agreement>) -> Vec<OwnData> {
    let of = |data: &DataVersion| (data.dataset.clone(), Some(data.version));
    let mut versions: BTreeMap<String, Option<u64>> = pushed.iter().map(of).collect();
    let own = terms.into_iter().flat_map(|terms| terms.datasets.values());
    for spec in own.filter(|spec| &spec.owner == folder.name()) {
        versions.entry(spec.name.to_string()).or_default();
    }
    let one = |(name, pushed): (String, Option<u64>)| {
        let dataset: Option<DatasetName> = name.parse().ok();
        let known = terms.zip(dataset);
        let spec = known.as_ref().and_then(|(terms, name)| terms.dataset(name));
        OwnData {
            keep_until: spec.and_then(|spec| spec.keep_until),
            sealed: known.map_or(Sealed::Nothing, |(terms, name)| {
                sealed(folder, terms, &name)
            }),
            name,
            pushed,
        }
    };
    let all = versions.into_iter().map(one);
    all.filter(|data| data.pushed.is_some() || !matches!(data.sealed, Sealed::Nothing))
        .collect()
}

fn sealed(folder: &Folder, terms: &Agreement, name: &DatasetName) -> Sealed {
    match read_manifest(folder, terms, name) {
        Ok(None) => Sealed::Nothing,
        Ok(Some(manifest)) => Sealed::Version {
            version: manifest.version(),
            last_day: manifest.last_day(),
        },
        Err(_) => Sealed::Damaged,
    }
}

/// Whether a day has ended.
fn over(day: Date) -> bool {
    day.end() < now()
}

impl OwnData {
    fn kept(&self) -> bool {
        self.keep_until.is_none_or(|day| day.end() >= now())
    }

    /// The last day on which what is sealed is used, where it has one.
    fn last_day(&self) -> Option<Date> {
        match self.sealed {
            Sealed::Version { last_day, .. } => last_day,
            Sealed::Nothing | Sealed::Damaged => None,
        }
    }

    /// The sealed version that is newer than the one that was pushed.
    fn waits(&self) -> Option<u64> {
        match self.sealed {
            Sealed::Version { version, .. }
                if self.pushed.is_none_or(|pushed| version > pushed) =>
            {
                Some(version).filter(|_| self.kept())
            }
            _ => None,
        }
    }

    /// For people.
    pub fn line(&self) -> String {
        let name = &self.name;
        let pushed = match self.pushed {
            Some(version) => format!("version {version}"),
            None => "not pushed".to_owned(),
        };
        let mut line = format!("  data set {name}: {pushed}");
        if let Some(version) = self.waits() {
            line += &format!(
                "; VERSION {version} IS SEALED and waits for `incamera data push {name}`: queries may wait for it too"
            );
        }
        if matches!(self.sealed, Sealed::Damaged) {
            line += "; its manifest here does not read: `incamera data push` says what to do";
        }
        match self.last_day() {
            Some(day) if over(day) => {
                line += &format!(
                    "; PAST ITS LAST DAY: ids in it counted until the end of {day} (UTC), and no query reads it: run `incamera match run`, seal and push it again"
                );
            }
            Some(day) => line += &format!("; sealed until the end of {day} (UTC)"),
            None => {}
        }
        match self.keep_until {
            Some(day) if !self.kept() => {
                line += &format!(
                    "; NO LONGER KEPT: {day} (UTC) was its last day, and no key of it is released"
                );
            }
            Some(day) => line += &format!("; kept until the end of {day} (UTC)"),
            None => {}
        }
        line
    }

    /// For programs.
    pub fn document(&self) -> Value {
        let sealed = match self.sealed {
            Sealed::Version { version, .. } => Some(version),
            _ => None,
        };
        let last_day = self.last_day();
        json!({
            "dataset": self.name, "version": self.pushed,
            "sealed": sealed, "waits_for_push": self.waits().is_some(),
            "damaged": matches!(self.sealed, Sealed::Damaged),
            "keep_until": self.keep_until.map(|day| day.to_string()),
            "kept": self.kept(),
            "last_day": last_day.map(|day| day.to_string()),
            "past_last_day": last_day.is_some_and(over),
        })
    }
}
