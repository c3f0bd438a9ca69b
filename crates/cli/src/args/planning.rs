//! Arguments of `match plan`.

use clap::Args;
use incamera_matching::Reveals;
use incamera_matching::plan::Instructions;

/// Arguments of `match plan`.
#[derive(Debug, Args)]
pub struct MatchPlan {
    /// How many distinct ids this party has: 1_000_000, say.
    #[arg(long, value_name = "IDS", value_parser = ids)]
    pub own: u64,
    /// How many the other has.
    #[arg(long, value_name = "IDS", value_parser = ids)]
    pub peer: u64,
    /// What the parties may learn of each other: nothing, or own-matches.
    #[arg(long, default_value = "nothing")]
    pub reveals: Reveals,
    /// The link between them, in megabits a second.
    #[arg(long, default_value_t = 1000, value_name = "MBIT", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub link: u64,
    /// From a question to its answer, in milliseconds.
    #[arg(long, default_value_t = 20, value_name = "MS")]
    pub rtt: u32,
    /// Cores of a machine.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub cores: u32,
    /// Machines of each side.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub machines: u32,
    /// What the processors have: ifma (AVX-512), avx2 or portable.
    #[arg(long, default_value = "ifma")]
    pub instructions: Instructions,
    /// How many parties match with one another.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=64))]
    pub parties: u32,
    /// New ids are to be added later, to pseudonyms that stay.
    #[arg(long)]
    pub appends: bool,
    /// How many providers evaluate each id, where providers do.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub providers: u32,
    /// Shows how each figure comes about, which is shown anyway for more than a hundred million
    /// ids.
    #[arg(long)]
    pub show_arithmetic: bool,
}

/// A number of ids as agreements write it.
fn ids(text: &str) -> Result<u64, String> {
    let apart = text.starts_with('_') || text.ends_with('_') || text.contains("__");
    let digits = if apart {
        text.to_owned()
    } else {
        text.replace('_', "")
    };
    let parsed = digits.parse::<u64>();
    parsed.map_err(|_| "a number of ids is written 1000000 or 1_000_000".to_owned())
}
