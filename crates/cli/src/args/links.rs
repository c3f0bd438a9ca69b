//! What `match links` can be asked.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use incamera_types::{Date, IdKind, RegionCode};

use super::{PartyFolder, UnderAgreement, WrittenForm, WrittenIds};

/// Verbs of `match links`.
#[derive(Debug, Subcommand)]
pub enum MatchLinks {
    /// Leave with the providers, encrypted, which of your ids of one kind goes with which of
    /// another.
    Put(LinksPut),
    /// Take the links of people back.
    Remove(LinksRemove),
    /// Tell providers what they could not be told before, and say what they have.
    Send(LinksSend),
}

/// Arguments of `match links put`.
#[derive(Debug, Args)]
pub struct LinksPut {
    #[command(flatten)]
    pub party: PartyFolder,
    #[command(flatten)]
    pub under: UnderAgreement,
    /// A CSV or Parquet file with a pair of ids in each row, or a folder of such; several may be
    /// named. What it says of an id takes the place of what was said of it before.
    #[arg(long, required = true, value_name = "FILE|DIR")]
    pub data: Vec<PathBuf>,
    /// The kind of the ids that are looked up; the one of the agreement's only link where not
    /// named.
    #[arg(long, value_name = "KIND")]
    pub from: Option<IdKind>,
    /// The kind of the ids whose pseudonyms they get.
    #[arg(long, value_name = "KIND")]
    pub to: Option<IdKind>,
    /// The column of the first, where it is not named like the kind.
    #[arg(long, value_name = "COLUMN")]
    pub from_column: Option<String>,
    /// The column of the second, where it is not named like the kind.
    #[arg(long, value_name = "COLUMN")]
    pub to_column: Option<String>,
    /// How the first are written, as with `match run --form`.
    #[arg(long, value_enum, default_value_t = WrittenForm::Raw)]
    pub from_form: WrittenForm,
    /// How the second are written.
    #[arg(long, value_enum, default_value_t = WrittenForm::Raw)]
    pub to_form: WrittenForm,
    /// The country that phone numbers without a country's code are of, such as `DE`.
    #[arg(long, value_name = "COUNTRY")]
    pub region: Option<RegionCode>,
    /// The column that says for what a row's person agreed to be linked; the one of the
    /// agreement's data set where not named.
    #[arg(long, value_name = "COLUMN")]
    pub consent: Option<String>,
    /// Everybody in the data agreed to be linked for the agreement's purposes, though no column
    /// says so.
    #[arg(long, conflicts_with = "consent")]
    pub everyone_consented: bool,
    /// The column with the day on which you learnt of the pair, as in 2027-03-31; today where not
    /// named.
    #[arg(long, value_name = "COLUMN")]
    pub recorded: Option<String>,
    /// The column with the last day on which the link counts.
    #[arg(long, value_name = "COLUMN")]
    pub expires: Option<String>,
    /// The last day on which any of them counts, at most that of the providers' key.
    #[arg(long, value_name = "DATE")]
    pub until: Option<Date>,
}

/// Arguments of `match links remove`.
#[derive(Debug, Args)]
pub struct LinksRemove {
    #[command(flatten)]
    pub party: PartyFolder,
    #[command(flatten)]
    pub under: UnderAgreement,
    /// Their ids, of either kind: a column of a CSV or Parquet file, or a folder of such.
    #[arg(long, required = true, value_name = "FILE|DIR")]
    pub data: Vec<PathBuf>,
    /// The kind of id.
    #[arg(long, value_name = "KIND")]
    pub id: IdKind,
    #[command(flatten)]
    pub ids: WrittenIds,
}

/// Arguments of `match links send`.
#[derive(Debug, Args)]
pub struct LinksSend {
    #[command(flatten)]
    pub party: PartyFolder,
    #[command(flatten)]
    pub under: UnderAgreement,
}
