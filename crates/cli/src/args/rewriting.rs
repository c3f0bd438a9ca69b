//! Verbs of `data` that make new versions of sealed data sets.

use std::path::PathBuf;

use clap::Args;
use incamera_types::{DatasetName, IdKind, PurposeName};

use super::{PartyFolder, UnderAgreement};

/// Where sealed data sets get a new version.
#[derive(Debug, Args)]
pub struct Rewriting {
    #[command(flatten)]
    pub party: PartyFolder,
    #[command(flatten)]
    pub under: UnderAgreement,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// People, by their ids.
#[derive(Debug, Args)]
pub struct People {
    /// Their ids: a column of a CSV or Parquet file, or the lines of any other file.
    #[arg(long, value_name = "FILE")]
    pub ids: PathBuf,
    /// The kind of id; the agreement's only one where not named.
    #[arg(long)]
    pub id: Option<IdKind>,
    /// The column that holds it, where it is not named like the kind.
    #[arg(long, value_name = "COLUMN")]
    pub column: Option<String>,
}

/// Arguments of `data retag`.
#[derive(Debug, Args)]
pub struct DataRetag {
    #[command(flatten)]
    pub options: Rewriting,
    /// The data sets; all sealed ones where none is named.
    pub datasets: Vec<DatasetName>,
}

/// Arguments of `data consent`.
#[derive(Debug, Args)]
pub struct DataConsent {
    #[command(flatten)]
    pub options: Rewriting,
    /// The purpose that they agree to no longer; of one with purposes below it, all these.
    #[arg(long, value_name = "PURPOSE")]
    pub remove: PurposeName,
    #[command(flatten)]
    pub ids: People,
    /// Do it without asking.
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `data forget`.
#[derive(Debug, Args)]
pub struct DataForget {
    #[command(flatten)]
    pub options: Rewriting,
    #[command(flatten)]
    pub ids: People,
    /// Do it without asking.
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `data revoke`.
#[derive(Debug, Args)]
pub struct DataRevoke {
    #[command(flatten)]
    pub options: Rewriting,
    /// The purpose; of one with purposes below it, all these.
    pub purpose: PurposeName,
    /// The data sets; all sealed ones where none is named.
    pub datasets: Vec<DatasetName>,
    /// Do it without asking.
    #[arg(long, short)]
    pub yes: bool,
}

/// Arguments of `data rotate`.
#[derive(Debug, Args)]
pub struct DataRotate {
    #[command(flatten)]
    pub options: Rewriting,
    /// The data sets; all sealed ones where none is named.
    pub datasets: Vec<DatasetName>,
    /// Encrypt every part anew under new data keys, too.
    #[arg(long)]
    pub data_keys: bool,
}
