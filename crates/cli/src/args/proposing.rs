//! What `query propose` and `query approve` can be asked.

use std::path::PathBuf;

use clap::Args;
use incamera_types::{AnalystRef, Date};

use super::{PartyFolder, UnderAgreement};

/// Arguments of `query propose`.
#[derive(Debug, Args)]
pub struct QueryPropose {
    /// The draft: one section [queries.NAME], as it would stand in the agreement.
    #[arg(value_name = "FILE")]
    pub draft: PathBuf,
    /// The agreement; its signatures lie beside it.
    #[arg(long, short, value_name = "FILE")]
    pub agreement: PathBuf,
    /// Who proposes: PARTY/ANALYST.
    #[arg(long = "as", value_name = "PARTY/ANALYST")]
    pub analyst: AnalystRef,
    /// The analyst's OpenSSH private key.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// The last day on which it runs; the last that the agreement allows where not named.
    #[arg(long, value_name = "YEAR-MONTH-DAY")]
    pub until: Option<Date>,
    /// Where to write the proposal; NAME.proposal where not named. The signature lies beside it.
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `query approve`.
#[derive(Debug, Args)]
#[command(long_about = APPROVE)]
pub struct QueryApprove {
    #[command(flatten)]
    pub party: PartyFolder,
    #[command(flatten)]
    pub under: UnderAgreement,
    /// The proposal, its analyst's signature beside it; without it, lists those in the party's
    /// folder.
    #[arg(value_name = "FILE")]
    pub proposal: Option<PathBuf>,
    /// Approve without asking.
    #[arg(long, short)]
    pub yes: bool,
    /// Take an approval back: the party's service then grants nothing for the proposal.
    #[arg(long, requires = "proposal", conflicts_with = "yes")]
    pub withdraw: bool,
}

const APPROVE: &str = "\
Let a proposed query run over your data, or take that back; or list what is proposed.

Shows what the query asks, costs and reveals at worst, then signs the proposal with the
party's signing key. The approval lies in the party's folder, where its service looks for it
with each request, and beside FILE, for the analyst. A query runs once every owner whose data
it reads has approved it.

Example:  incamera query approve reach.proposal --party shop";
