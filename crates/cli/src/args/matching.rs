//! What `match` can be asked.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use incamera_matching::Partition;
use incamera_types::{IdForm, IdKind, IdWriting, PartyName, RegionCode};

use super::{PartyFolder, UnderAgreement};

/// Arguments of `match run`.
#[derive(Debug, Args)]
pub struct MatchRun {
    #[command(flatten)]
    pub party: PartyFolder,
    #[command(flatten)]
    pub under: UnderAgreement,
    /// A CSV or Parquet file with this party's ids, or a folder of such; name several to match
    /// all their ids.
    #[arg(long, required_unless_present = "split", value_name = "FILE|DIR")]
    pub data: Vec<PathBuf>,
    /// The folder that `match split` made of the data, in their place: how ids are written, and
    /// who agreed, was said there.
    #[arg(long, value_name = "DIR", conflicts_with_all = [
        "data", "via", "column", "form", "region", "consent", "everyone_consented",
    ])]
    pub split: Option<PathBuf>,
    /// The kind of id; the agreement's only one where not named.
    #[arg(long)]
    pub id: Option<IdKind>,
    /// The kind of the ids in the data, where they are of another kind and get the pseudonyms that
    /// links between kinds lead to.
    #[arg(long, value_name = "KIND", conflicts_with = "append")]
    pub via: Option<IdKind>,
    #[command(flatten)]
    pub ids: WrittenIds,
    #[command(flatten)]
    pub asked: AskedConsents,
    /// Match although nobody is left of the data: the other party's ids are answered, and the
    /// crosswalk gets no new rows.
    #[arg(long, conflicts_with = "append")]
    pub allow_empty: bool,
    /// Match only ids that no earlier run had, and add them to the crosswalk; a few earlier ones
    /// are sent along to be compared.
    #[arg(long)]
    pub append: bool,
    /// Which part of the ids, by a hash, where the agreement has them matched in parts: its
    /// number, from 0, and how many there are, as in 7/256.
    #[arg(long, value_name = "N/PARTS")]
    pub partition: Option<Partition>,
    /// How long to wait for the other party, in seconds; how long a provider may be silent, up to
    /// 60, before another one is asked.
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    pub wait: u64,
    /// A provider that is not asked, whatever it says; name several to leave out several. As many
    /// as the agreement's threshold must be left.
    #[arg(long, value_name = "PROVIDER")]
    pub without: Vec<PartyName>,
    /// Begin anew, whatever an interrupted run left; counts as one more run.
    #[arg(long)]
    pub anew: bool,
    /// How long an interrupted run can be gone on with, in hours.
    #[arg(long, default_value_t = 168, value_name = "HOURS",
          value_parser = clap::value_parser!(u64).range(1..=720))]
    pub keep_journal: u64,
    /// Prove that all answers are made with one key, and have the other party prove it, which
    /// asks for the same: it cannot give ids each other's pseudonyms then, and its key is compared
    /// with that of earlier runs. Takes more time.
    #[arg(long)]
    pub row_keys: bool,
    /// Points of this party under way at once.
    #[arg(long, hide = true, default_value_t = 16_384,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(256..=65_536))]
    pub window: usize,
    /// The instructions that points are multiplied with.
    #[arg(long, hide = true, value_enum)]
    pub instructions: Option<Instructions>,
    /// Memory for sorting, in KiB.
    #[arg(long, hide = true, default_value_t = 16_384)]
    pub arena: usize,
}

/// Arguments of `match split`.
#[derive(Debug, Args)]
pub struct MatchSplit {
    #[command(flatten)]
    pub party: PartyFolder,
    #[command(flatten)]
    pub under: UnderAgreement,
    /// A CSV or Parquet file with this party's ids, or a folder of such; several may be named.
    #[arg(long, required = true, value_name = "FILE|DIR")]
    pub data: Vec<PathBuf>,
    /// A folder that is not there yet, for a file for each part of the ids.
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// The kind of id; the agreement's only one where not named.
    #[arg(long)]
    pub id: Option<IdKind>,
    #[command(flatten)]
    pub ids: WrittenIds,
    #[command(flatten)]
    pub asked: AskedConsents,
}

/// How the ids stand in the data.
#[derive(Debug, Args)]
pub struct WrittenIds {
    /// The column that holds the ids, where it is not named like their kind.
    #[arg(long, value_name = "COLUMN")]
    pub column: Option<String>,
    /// How the ids are written: as people write them, or as their SHA-256, where the agreement
    /// matches hashes of the kind.
    #[arg(long, value_enum, default_value_t = WrittenForm::Raw)]
    pub form: WrittenForm,
    /// The country that phone numbers without a country's code are of, such as `DE`.
    #[arg(long, value_name = "COUNTRY")]
    pub region: Option<RegionCode>,
}

impl WrittenIds {
    /// The column of ids of this kind.
    pub fn column<'a>(&'a self, kind: &'a IdKind) -> &'a str {
        self.column.as_deref().unwrap_or(kind.as_str())
    }

    /// How the party has them, and what the agreement has them brought to.
    pub fn writing(&self, agreed: IdWriting) -> IdWriting {
        IdWriting {
            form: self.form.into(),
            region: self.region,
            ..agreed
        }
    }
}

/// Where it stands who agreed.
#[derive(Debug, Args)]
pub struct AskedConsents {
    /// The column that says what a row's person agreed to; the one of the agreement's data set
    /// where not named.
    #[arg(long, value_name = "COLUMN")]
    pub consent: Option<String>,
    /// Everybody in the data agreed to the agreement's purposes, though no column says so.
    #[arg(long, conflicts_with = "consent")]
    pub everyone_consented: bool,
}

/// How a party has its ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WrittenForm {
    // The word of files and JSON; `plain-text` is what earlier programs called it.
    #[value(alias = "plain-text")]
    Raw,
    // Of the normalised id, in hexadecimal or base64.
    Sha256,
}

impl From<WrittenForm> for IdForm {
    fn from(form: WrittenForm) -> Self {
        match form {
            WrittenForm::Raw => Self::Raw,
            WrittenForm::Sha256 => Self::Sha256,
        }
    }
}

/// Which of the processor's instructions are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Instructions {
    /// Eight points side by side.
    Ifma,
    /// Four points side by side.
    Avx2,
    /// One point after the other.
    Portable,
}

impl MatchRun {
    /// How long to wait for the other party.
    pub fn patience(&self) -> Duration {
        Duration::from_secs(self.wait)
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    /// The word of a flag is the one that files have; scripts may have the older one.
    #[test]
    fn forms_have_the_words_of_files() {
        for (word, form) in [
            ("raw", IdForm::Raw),
            ("plain-text", IdForm::Raw),
            ("sha256", IdForm::Sha256),
        ] {
            let read = WrittenForm::from_str(word, false).map(IdForm::from);
            assert_eq!(read, Ok(form), "{word}");
        }
        for form in WrittenForm::value_variants() {
            let shown = form.to_possible_value().unwrap();
            assert_eq!(shown.get_name(), IdForm::from(*form).as_str());
        }
    }
}
