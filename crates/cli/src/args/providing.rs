//! What `provider` can be asked.

use clap::{Args, Subcommand};

use super::{PartyFolder, UnderAgreement};

/// The verbs of `provider`.
#[derive(Debug, Subcommand)]
pub enum Provider {
    /// Run the provider's service until it is stopped.
    Serve(PartyFolder),
    /// The matching key that all providers of an agreement hold together.
    #[command(subcommand)]
    Keys(ProviderKeys),
    /// Which keys this provider has shares of, and what it counted.
    Status(PartyFolder),
}

/// The verbs of `provider keys`.
#[derive(Debug, Subcommand)]
pub enum ProviderKeys {
    /// Make the key, once; all providers' services have to run.
    Make(ProviderCeremony),
    /// Make new shares of the same key: the old ones are worth nothing from then on.
    Refresh(ProviderCeremony),
    /// Finish what was left of `make` or `refresh`, with whoever is up.
    Finish(ProviderCeremony),
}

/// Arguments of `provider keys make`, `refresh` and `finish`.
#[derive(Debug, Args)]
pub struct ProviderCeremony {
    #[command(flatten)]
    pub party: PartyFolder,
    #[command(flatten)]
    pub under: UnderAgreement,
}
