//! The exact answer, read from the files and not from what made them.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use incamera_types::{Date, Decimal};

use super::Files;

/// Why the truth is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TruthError {
    /// A file cannot be read.
    #[error("cannot read `{}`", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        #[source]
        source: csv::Error,
    },
    /// A row is not as the generator writes it.
    #[error("row {row} of `{}` is not as generated", file.display())]
    Row {
        /// The file.
        file: PathBuf,
        /// The row, from 1 after the header.
        row: u64,
    },
}

/// Bounds in hundredths, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clamps {
    /// Of one purchase: the agreement's `min` and `max` of the column.
    pub amount: (i64, i64),
    /// Of one person's purchases together: the query's `per_person`.
    pub spend: (i64, i64),
}

/// What is true of one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupTruth {
    /// People.
    pub people: u64,
    /// Those of them who bought something in the window.
    pub buyers: u64,
    /// What they all spent in it, clamped, in hundredths.
    pub spend: i64,
}

/// What is true of the campaign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LiftTruth {
    /// Of people who were mailed.
    pub mailed: GroupTruth,
    /// Of people who were not.
    pub not_mailed: GroupTruth,
}

impl GroupTruth {
    /// Buyers in a hundred people.
    fn rate(&self) -> f64 {
        100.0 * self.buyers as f64 / self.people as f64
    }

    /// Spend a person.
    fn spend_per_person(&self) -> f64 {
        self.spend as f64 / 100.0 / self.people as f64
    }

    fn row(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (people, buyers) = (thousands(self.people), thousands(self.buyers));
        let (rate, spend) = (self.rate(), self.spend_per_person());
        writeln!(
            f,
            "{name:<10} {people:>9} {buyers:>9} {rate:>7.2} % {spend:>12.3} EUR"
        )
    }
}

impl LiftTruth {
    /// By how many percent those who were mailed spent more.
    #[must_use]
    pub fn lift_percent(&self) -> f64 {
        100.0 * (self.mailed.spend_per_person() / self.not_mailed.spend_per_person() - 1.0)
    }
}

impl fmt::Display for LiftTruth {
    /// The table of the answer, without ranges.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<10} {:>9} {:>9} {:>9} {:>16}",
            "group", "people", "buyers", "rate", "spend per person"
        )?;
        self.mailed.row("mailed", f)?;
        self.not_mailed.row("not mailed", f)?;
        write!(f, "{:<10} {:+.2} %", "lift", self.lift_percent())
    }
}

/// A number with commas between groups of three digits.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let place = |at: usize| (digits.len() - at).is_multiple_of(3) && at > 0;
    let with_comma = |(at, digit)| place(at).then_some(',').into_iter().chain([digit]);
    digits.chars().enumerate().flat_map(with_comma).collect()
}

/// What one person bought in the window.
#[derive(Clone, Copy, Default)]
struct Bought {
    purchases: u64,
    spend: i64,
}

/// Computes what the lift query would answer without noise: over people who are on the mailing
/// list and are customers who agreed to `measurement`, between two days (both included).
///
/// # Errors
/// [`TruthError`].
pub fn lift_truth(
    files: &Files,
    from: Date,
    until: Date,
    clamps: Clamps,
) -> Result<LiftTruth, TruthError> {
    let mut bought = consenting(&files.customers)?;
    add_purchases(&files.purchases, from, until, clamps.amount, &mut bought)?;
    let mut mailed = HashMap::new();
    rows(&files.mailing, |[email, flag]| {
        mailed.insert(tidy(email), flag == "true");
        Some(())
    })?;
    let mut truth = LiftTruth::default();
    for (email, was_mailed) in mailed {
        let Some(person) = bought.get(&email) else {
            continue;
        };
        let group = if was_mailed {
            &mut truth.mailed
        } else {
            &mut truth.not_mailed
        };
        group.people += 1;
        group.buyers += u64::from(person.purchases > 0);
        group.spend += person.spend.clamp(clamps.spend.0, clamps.spend.1);
    }
    Ok(truth)
}

/// Customers who agreed to `measurement`, with nothing bought yet.
fn consenting(file: &PathBuf) -> Result<HashMap<String, Bought>, TruthError> {
    let mut people = HashMap::new();
    rows(file, |[email, consent]| {
        if consent.split(';').any(|purpose| purpose == "measurement") && !tidy(email).is_empty() {
            people.insert(tidy(email), Bought::default());
        }
        Some(())
    })?;
    Ok(people)
}

fn add_purchases(
    file: &PathBuf,
    from: Date,
    until: Date,
    clamp: (i64, i64),
    people: &mut HashMap<String, Bought>,
) -> Result<(), TruthError> {
    let mut days: HashMap<String, Date> = HashMap::new();
    rows(file, |[email, text, amount, _]| {
        let day = match days.get(text) {
            Some(day) => *day,
            None => *days.entry(text.to_owned()).or_insert(text.parse().ok()?),
        };
        let amount = hundredths(amount)?;
        if let Some(person) = people
            .get_mut(&tidy(email))
            .filter(|_| from <= day && day <= until)
        {
            person.purchases += 1;
            person.spend += amount.clamp(clamp.0, clamp.1);
        }
        Some(())
    })
}

fn hundredths(text: &str) -> Option<i64> {
    let amount = Decimal::parse(text, 2).ok()?;
    i64::try_from(amount.unscaled()).ok()
}

fn tidy(email: &str) -> String {
    email.trim().to_lowercase()
}

/// Hands over every row of a file with `N` columns; none from `each` means a bad row.
fn rows<const N: usize>(
    file: &PathBuf,
    mut each: impl FnMut([&str; N]) -> Option<()>,
) -> Result<(), TruthError> {
    let read = |source| TruthError::Read {
        file: file.clone(),
        source,
    };
    let mut reader = csv::Reader::from_path(file).map_err(read)?;
    let mut record = csv::StringRecord::new();
    let mut row = 0;
    while reader.read_record(&mut record).map_err(read)? {
        row += 1;
        let fields: Vec<&str> = record.iter().collect();
        let taken = fields.try_into().ok().and_then(&mut each);
        taken.ok_or_else(|| TruthError::Row {
            file: file.clone(),
            row,
        })?;
    }
    Ok(())
}
