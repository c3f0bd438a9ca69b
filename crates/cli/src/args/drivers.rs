//! Arguments of what database drivers need: a token, and a room that was attested.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use incamera_types::{AnalystRef, QueryName};

/// Verbs of `evidence`.
#[derive(Debug, Subcommand)]
pub enum Evidence {
    /// Attest the room, and write its TLS certificate for programs that cannot attest it.
    Trust(EvidenceTrust),
}

/// Arguments of `evidence trust`.
#[derive(Debug, Args)]
pub struct EvidenceTrust {
    /// The agreement; its signatures lie beside it.
    #[arg(long, short, value_name = "FILE")]
    pub agreement: PathBuf,
    /// Where to write the certificate.
    #[arg(long, short, default_value = "room.pem", value_name = "FILE")]
    pub out: PathBuf,
}

/// Arguments of `query token`.
#[derive(Debug, Args)]
pub struct QueryToken {
    /// The queries that may be asked; all that the analyst may ask where none is named.
    pub queries: Vec<QueryName>,
    /// The agreement; its signatures lie beside it.
    #[arg(long, short, value_name = "FILE")]
    pub agreement: PathBuf,
    /// Who asks: PARTY/ANALYST.
    #[arg(long = "as", value_name = "PARTY/ANALYST")]
    pub analyst: AnalystRef,
    /// The analyst's OpenSSH private key.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Why, in words; goes into the owners' logs with each question.
    #[arg(long, default_value = "")]
    pub reason: String,
    /// For how many hours: 168 at most.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=168))]
    pub hours: u64,
    /// Where to write the token, readable by its owner alone.
    #[arg(long, short, default_value = "query.token", value_name = "FILE")]
    pub out: PathBuf,
}
