//! What someone without keys sees of a sealed data set.

use std::collections::BTreeMap;
use std::fmt;

use incamera_types::{ColumnType, ConsentClass, UnixTime};
use serde::Serialize;

use crate::manifest::Manifest;

/// What the manifest tells everybody who has it. `Display` says it in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Inspection {
    /// The data set.
    pub dataset: String,
    /// The party that it belongs to.
    pub owner: String,
    /// The agreement's id.
    pub agreement_id: String,
    /// The version.
    pub version: u64,
    /// What made this version.
    pub change: String,
    /// The manifest's digest.
    pub manifest: String,
    /// When it was sealed, seconds since 1970.
    pub sealed_at: u64,
    /// The manifest of the register whose consents it was sealed by, if by any.
    pub register: Option<String>,
    /// Whether it was sealed by the consents of its own `purposes` column.
    pub own_consents: bool,
    /// The key epoch.
    pub key_epoch: u32,
    /// The matching epoch of its pseudonyms.
    pub matching_epoch: u32,
    /// The runs that made its pseudonyms, by kind of id, where each run makes others.
    pub matching_runs: BTreeMap<String, String>,
    /// The last day on which it is used, where it has one.
    pub last_day: Option<String>,
    /// Slices of the pseudonym space.
    pub partitions: u32,
    /// Whether it is sealed for nobody.
    pub public: bool,
    /// The columns.
    pub columns: Vec<InspectedColumn>,
    /// Purposes that open nothing, whatever the columns serve: their keys were destroyed.
    pub revoked: Vec<String>,
    /// The last versions that took something away: the version, and what made it.
    pub removals: Vec<(u64, String)>,
    /// The consent classes.
    pub classes: Vec<InspectedClass>,
}

/// A column, as everybody sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InspectedColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: String,
    /// The purposes that it is declared for; a pseudonym also opens for those of the other
    /// columns of its class.
    pub purposes: Vec<String>,
}

/// A consent class, as everybody sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InspectedClass {
    /// The purposes that the rows' people agreed to.
    pub class: Vec<String>,
    /// Its parts.
    pub parts: usize,
    /// Bytes of its parts.
    pub bytes: u64,
    /// For each column stored, the purposes for which a key exists.
    pub opens: BTreeMap<String, Vec<String>>,
    /// Columns that some of its parts lack, sealed before the data set had them.
    pub lacking: BTreeMap<String, usize>,
}

/// What someone without keys sees.
#[must_use]
pub fn inspect(manifest: &Manifest) -> Inspection {
    let columns = manifest.columns().iter().map(|column| InspectedColumn {
        name: column.name.to_string(),
        ty: column.ty.to_string(),
        purposes: column.purposes.iter().map(ToString::to_string).collect(),
    });
    Inspection {
        dataset: manifest.dataset().to_string(),
        owner: manifest.owner().to_string(),
        agreement_id: manifest.agreement_id().to_string(),
        version: manifest.version(),
        change: manifest.change().to_string(),
        manifest: manifest.digest().to_string(),
        sealed_at: manifest.sealed_at().0,
        register: manifest.register().map(|digest| digest.to_string()),
        own_consents: manifest.own_consents(),
        key_epoch: manifest.key_epoch(),
        matching_epoch: manifest.matching_epoch().0,
        matching_runs: (manifest.matching_runs().iter())
            .map(|(kind, run)| (kind.to_string(), run.to_string()))
            .collect(),
        last_day: manifest.last_day().map(|day| day.to_string()),
        partitions: manifest.partitions(),
        public: manifest.public(),
        columns: columns.collect(),
        revoked: manifest.revoked().iter().map(ToString::to_string).collect(),
        removals: (manifest.removals().iter())
            .map(|removal| (removal.version, removal.change.to_string()))
            .collect(),
        classes: classes(manifest),
    }
}

fn classes(manifest: &Manifest) -> Vec<InspectedClass> {
    let mut classes: BTreeMap<&ConsentClass, InspectedClass> = BTreeMap::new();
    for part in manifest.parts() {
        let class = classes
            .entry(&part.class)
            .or_insert_with(|| InspectedClass {
                class: part.class.iter().map(ToString::to_string).collect(),
                parts: 0,
                bytes: 0,
                opens: BTreeMap::new(),
                lacking: BTreeMap::new(),
            });
        class.parts += 1;
        class.bytes = class.bytes.saturating_add(part.bytes);
        for column in &part.absent {
            *class.lacking.entry(column.to_string()).or_default() += 1;
        }
        for key in &part.keys {
            let Some(column) = &key.column else { continue };
            let purposes = key.wraps.iter().map(|wrap| wrap.purpose.to_string());
            class.opens.insert(column.to_string(), purposes.collect());
        }
    }
    classes.into_values().collect()
}

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} of {}, version {} ({})",
            self.dataset, self.owner, self.version, self.change
        )?;
        writeln!(f, "agreement   {}", self.agreement_id)?;
        writeln!(f, "manifest    {}", self.manifest)?;
        writeln!(f, "sealed at   {}", UnixTime(self.sealed_at))?;
        if let Some(register) = &self.register {
            writeln!(f, "consents    of manifest {register}")?;
        }
        if self.own_consents {
            writeln!(f, "consents    of its own `purposes` column")?;
        }
        let (key, matching) = (self.key_epoch, self.matching_epoch);
        writeln!(f, "epochs      keys {key}, matching {matching}")?;
        for (kind, run) in &self.matching_runs {
            writeln!(f, "matched     {kind} in run {run}")?;
        }
        if let Some(day) = &self.last_day {
            writeln!(f, "lasts       until the end of {day} (UTC)")?;
        }
        if self.public {
            writeln!(f, "public      sealed for nobody")?;
        }
        for column in &self.columns {
            writeln!(f, "column      {column}")?;
        }
        if !self.revoked.is_empty() {
            writeln!(f, "revoked     {}", self.revoked.join(", "))?;
        }
        for (version, change) in &self.removals {
            writeln!(f, "removed     by version {version} ({change})")?;
        }
        for class in &self.classes {
            writeln!(f, "class       {class}")?;
        }
        Ok(())
    }
}

impl fmt::Display for InspectedColumn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} [{}", self.name, self.ty, self.purposes.join(", "))?;
        // People open beside whatever is known of them.
        match (
            [ColumnType::Pseudonym, ColumnType::Person]
                .map(|ty| ty.to_string())
                .contains(&self.ty),
            self.purposes.is_empty(),
        ) {
            (true, true) => f.write_str("for any purpose that a column of its class opens for]"),
            (true, false) => f.write_str("; and any that another column of its class opens for]"),
            (false, _) => f.write_str("]"),
        }
    }
}

impl fmt::Display for InspectedClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = self.class.join(", ");
        write!(f, "[{class}]: {} parts, {} bytes", self.parts, self.bytes)?;
        for (column, parts) in &self.lacking {
            write!(f, ", {parts} without {column}")?;
        }
        Ok(())
    }
}
