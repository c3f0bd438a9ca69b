//! What came in, counted for its owner alone.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use incamera_matching::Mode;
use incamera_matching::ids::{Counts, Often};
use incamera_matching::part_file::InvalidAt;
use incamera_seal::{Place, RowPlace};
use serde_json::{Map, Value, json};

use super::Work;
use super::ingest::Input;
use super::report::fields;

/// Places that are told; of the others there is a count.
const FEW: usize = 5;

/// How many rows, and where the first few of them stand. Never what they hold.
#[derive(Clone, Debug, Default)]
pub struct FirstFew {
    pub count: u64,
    first: Vec<(PathBuf, Place)>,
}

impl FirstFew {
    /// One more.
    pub fn note(&mut self, at: RowPlace<'_>) {
        self.count += 1;
        if self.first.len() < FEW {
            self.first.push((at.file.into(), at.place));
        }
    }

    /// Where they stand; files are named where there are several sources or files.
    pub fn words(&self, sources: &[PathBuf]) -> String {
        let only = match sources {
            [only] => Some(only.as_path()),
            _ => None,
        };
        let place = |(file, place): &(PathBuf, Place)| match only == Some(file.as_path()) {
            true => place.to_string(),
            false => format!("{place} of `{}`", name(file)),
        };
        let places: Vec<String> = self.first.iter().map(place).collect();
        let more = match self.count > places.len() as u64 {
            true => ", ...",
            false => "",
        };
        places.join(", ") + more
    }

    /// As a part's file keeps them.
    pub fn kept(&self) -> Vec<InvalidAt> {
        let place = |(file, place): &(PathBuf, Place)| InvalidAt {
            file: file.clone(),
            line: match place {
                Place::Line(line) => Some(*line),
                _ => None,
            },
            row: match place {
                Place::Row(row) => Some(*row),
                _ => None,
            },
        };
        self.first.iter().map(place).collect()
    }

    /// So many rows, of which a part's file kept the first places.
    pub fn of(count: u64, kept: Vec<InvalidAt>) -> Self {
        let place = |at: InvalidAt| {
            let place = at.line.map(Place::Line).or(at.row.map(Place::Row))?;
            Some((at.file, place))
        };
        Self {
            count,
            first: kept.into_iter().filter_map(place).take(FEW).collect(),
        }
    }

    pub fn document(&self) -> Vec<Value> {
        let place = |(file, place): &(PathBuf, Place)| {
            let (Place::Line(number) | Place::Row(number)) = place else {
                return json!({ "file": file });
            };
            let unit = match place {
                Place::Line(_) => "line",
                _ => "row",
            };
            json!({ "file": file, unit: number })
        };
        self.first.iter().map(place).collect()
    }
}

fn name(file: &Path) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str());
    name.to_string_lossy().into_owned()
}

/// What became of the rows.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    pub counts: Counts,
    pub invalid: FirstFew,
    /// Whether one id stands in very many of them.
    pub often: Often,
    /// Of other parts.
    pub elsewhere: u64,
    /// The column that consents were read from, where some file has it.
    pub consent: Option<String>,
    /// Of files that do not say what people agreed to: all of them are matched.
    pub unasked: u64,
}

impl Rows {
    /// What people are told where not everybody's consent was looked at.
    pub fn unasked_words(&self, as_said: bool) -> Option<String> {
        match (self.unasked, as_said) {
            (0, _) => None,
            (_, true) => Some(
                "nobody's consent was looked at, as you said (`--everyone-consented`)".to_owned(),
            ),
            (all, _) if all == self.counts.rows => Some(
                "no column says what people agreed to: everybody in the file is matched (`--consent COLUMN` names one)".to_owned(),
            ),
            (some, _) => Some(format!(
                "{some} rows are of files that do not say what people agreed to: everybody in them is matched"
            )),
        }
    }
}

impl Input {
    /// What became of the rows, for people: a line.
    pub fn words(&self) -> String {
        let Counts {
            rows,
            empty,
            invalid,
            ..
        } = self.rows.counts;
        let taken = &self.ordered.taken;
        let mut text = format!("rows {rows}, empty {empty}, invalid {invalid}");
        if self.rows.consent.is_some() {
            let _ = write!(text, ", ids without consent {}", taken.without_consent);
        }
        let _ = write!(
            text,
            ", duplicates {}, distinct {}",
            taken.duplicates, taken.distinct
        );
        if self.rows.elsewhere > 0 {
            let elsewhere = self.rows.elsewhere;
            let _ = write!(
                text,
                ", of other parts {elsewhere} (rows, empty and invalid are those of the whole file)"
            );
        }
        text
    }

    /// Lines on what a person may want to mend.
    pub fn beside(&self, work: &Work<'_>) -> String {
        let mut text = String::new();
        if self.rows.invalid.count > 0 {
            let places = self.rows.invalid.words(&work.arguments.data);
            let _ = write!(text, "\n  invalid: {places}");
        }
        if let Some(line) = self.rows.unasked_words(work.everyone_consented()) {
            let _ = write!(text, "\n  {line}");
        }
        text
    }

    /// The same, for programs.
    pub fn document(&self, work: &Work<'_>) -> Map<String, Value> {
        let (
            Counts {
                rows,
                empty,
                invalid,
                ..
            },
            taken,
        ) = (self.rows.counts, &self.ordered.taken);
        let writing = work.writing();
        fields(json!({
            "id_kind": work.terms.id_kind, "mode": work.mode().as_str(),
            "rules": writing.rules.number(), "form": writing.form.to_string(),
            "region": writing.region.map(|region| region.to_string()),
            "partition": work.partition.to_string(), "rows_of_other_parts": self.rows.elsewhere,
            "rows": rows, "empty": empty, "invalid": invalid,
            "invalid_first": self.rows.invalid.document(),
            "consent_column": self.rows.consent,
            "everyone_consented": work.everyone_consented(),
            "rows_not_asked_for_consent": self.rows.unasked,
            "without_consent": taken.without_consent,
            "duplicates": taken.duplicates, "distinct": taken.distinct, "known": taken.known,
            "new": taken.distinct - taken.known,
        }))
    }

    /// Ids that an earlier run matched, and this one is not asked for.
    pub fn known_left_out(&self, work: &Work<'_>) -> u64 {
        match work.mode() {
            Mode::Append => self.ordered.taken.known,
            _ => 0,
        }
    }
}
