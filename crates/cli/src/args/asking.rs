//! What `query explain`, `query check`, `query run` and `query receive` can be asked.

use std::path::PathBuf;

use clap::Args;
use incamera_query::Practice;
use incamera_types::{AnalystRef, PurposeName, QueryName};

use super::{Exports, PartyFolder, UnderAgreement};

/// Which query a command is about.
#[derive(Debug, Args)]
pub struct WhichQuery {
    /// The query of the agreement, or of the proposal.
    #[arg(value_name = "QUERY")]
    pub name: QueryName,
    /// The agreement.
    #[arg(long, short, value_name = "FILE")]
    pub agreement: PathBuf,
    /// The proposal that has the query.
    #[arg(long, value_name = "FILE")]
    pub proposal: Option<PathBuf>,
}

/// Arguments of `query check`.
#[derive(Debug, Args)]
pub struct QueryCheck {
    #[command(flatten)]
    pub of: WhichQuery,
}

/// Arguments of `query explain`.
#[derive(Debug, Args)]
pub struct QueryExplain {
    #[command(flatten)]
    pub of: WhichQuery,
    /// Parameters: NAME=VALUE.
    #[arg(value_name = "NAME=VALUE")]
    pub params: Vec<String>,
    /// Tell also the epsilon that this error would need: the aggregate's name, and half the
    /// width of its 95 % range.
    #[arg(long, value_name = "NAME=HALF_WIDTH")]
    pub error: Vec<String>,
    /// Tell also the noise that other clamps would mean, and print the template `bounds`, filled
    /// in for what the query adds up. Looks at no data.
    #[arg(long)]
    pub bounds: bool,
}

/// Arguments of `query receive`.
#[derive(Debug, Args)]
pub struct QueryReceive {
    #[command(flatten)]
    pub party: PartyFolder,
    #[command(flatten)]
    pub under: UnderAgreement,
    /// The folder that keeps answers with their receipts; one that is there is not fetched.
    #[arg(long, short, default_value = ".", value_name = "DIR")]
    pub out: PathBuf,
    /// A key that answers under earlier versions of the agreement are sealed to; may be given
    /// several times.
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
}

/// Arguments of `query run`.
#[derive(Debug, Args)]
#[command(
    mut_arg("agreement", |arg| arg.help("The agreement; its signatures lie beside it")),
    mut_arg("proposal", |arg| arg.help("The proposal that has the query; its approvals lie beside it"))
)]
pub struct QueryRun {
    #[command(flatten)]
    pub of: WhichQuery,
    /// Who asks: PARTY/ANALYST.
    #[arg(
        long = "as",
        value_name = "PARTY/ANALYST",
        required_unless_present = "practice"
    )]
    pub analyst: Option<AnalystRef>,
    /// The analyst's OpenSSH private key.
    #[arg(long, value_name = "FILE", required_unless_present = "practice")]
    pub key: Option<PathBuf>,
    /// What the answer is for; the query's own purpose where not named.
    #[arg(long)]
    pub purpose: Option<PurposeName>,
    /// Why, in words; goes into the owners' logs.
    #[arg(long, default_value = "")]
    pub reason: String,
    /// Where to keep answer and receipt; QUERY-DIGEST.release where not named.
    #[arg(long, short, value_name = "FILE")]
    pub out: Option<PathBuf>,
    #[command(flatten)]
    pub exports: Exports,
    /// Spend without asking.
    #[arg(long, short)]
    pub yes: bool,
    /// Run over made-up rows instead: asks nobody, spends nothing, needs no signatures.
    #[arg(long, conflicts_with_all = ["analyst", "key", "purpose", "reason", "out"])]
    pub practice: bool,
    /// People in the made-up rows at most.
    #[arg(
        long,
        default_value_t = 50_000,
        value_name = "NUMBER",
        requires = "practice",
        value_parser = clap::value_parser!(u64).range(1..=Practice::MAX_PEOPLE)
    )]
    pub people: u64,
    /// The same seed makes the same rows and the same answer.
    #[arg(
        long,
        default_value_t = 1,
        value_name = "NUMBER",
        requires = "practice"
    )]
    pub seed: u64,
    /// Parameters: NAME=VALUE.
    #[arg(value_name = "NAME=VALUE")]
    pub params: Vec<String>,
}

/// Arguments of `query template`.
#[derive(Debug, Args)]
#[command(after_long_help = TEMPLATE)]
pub struct QueryTemplate {
    /// The template; all are listed where none is named.
    pub template: Option<String>,
    /// What stands in its blanks: KEY=VALUE. Without any, the template says what it needs.
    #[arg(value_name = "KEY=VALUE")]
    pub values: Vec<String>,
    /// The agreement that the section is for: data sets, columns and types are looked up in it,
    /// and the section is printed only if the query would be accepted there.
    #[arg(long, short, value_name = "FILE")]
    pub agreement: Option<PathBuf>,
}

const TEMPLATE: &str = "\
Examples:
  incamera query template
  incamera query template reach
  incamera query template reach exposures=mailing campaigns=discovered campaigns_a_person=5 \\
      purpose=measurement analysts=mailer/ana receivers=shop,mailer --agreement draft.toml >> draft.toml

Nothing is asked and nothing spent: the section counts once every party has signed the agreement
that it stands in.";
