//! What `data seal` and others that read an owner's files can be asked.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::Args;
use incamera_types::{DatasetName, Date, PurposeName};

use super::{PartyFolder, UnderAgreement};

/// An owner's own file, and its column of ids.
#[derive(Debug, Args)]
pub struct OwnFile {
    /// The CSV or Parquet file that holds it, or a folder of such.
    #[arg(long, value_name = "FILE|DIR")]
    pub data: PathBuf,
    /// The column with raw ids, where it is not named like their kind (`email`).
    #[arg(long = "column", alias = "id-column", value_name = "COLUMN")]
    pub id_column: Option<String>,
}

/// Arguments of `data seal`.
#[derive(Debug, Args)]
pub struct DataSeal {
    #[command(flatten)]
    pub party: PartyFolder,
    #[command(flatten)]
    pub under: UnderAgreement,
    /// The data set of the agreement.
    pub dataset: DatasetName,
    #[command(flatten)]
    pub file: OwnFile,
    /// Add the rows to the version before, whose parts stay as they are.
    #[arg(long, conflicts_with = "replace")]
    pub append: bool,
    /// Put these rows in the place of the version before: what is done if nothing is said.
    #[arg(long)]
    pub replace: bool,
    /// Rows held in memory, in MiB; further ones go to the disk, encrypted.
    /// `[sealing] memory_mib` of party.toml where not said.
    #[arg(long, value_name = "MIB")]
    pub memory_mib: Option<NonZeroU64>,
    /// Seal even if nothing, or less than half of the version before, would be in it.
    #[arg(long, short)]
    pub yes: bool,
    /// Leave out ids that do not count until the end of this day (YYYY-MM-DD), so that the data
    /// set can be used until then. Without it, until the first of its ids ends.
    #[arg(long, value_name = "DATE")]
    pub until: Option<Date>,
    /// Let this purpose, which was revoked, open the data set again.
    #[arg(long, value_name = "PURPOSE")]
    pub restore: Vec<PurposeName>,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use crate::args::{Arguments, Command, Data};

    /// Scripts may have the older spelling.
    #[test]
    fn the_column_of_ids_has_two_spellings() {
        for flag in ["--column", "--id-column"] {
            let words = ["incamera", "data", "seal", "people", "--party", "shop"];
            let words = [&words[..], &["--data", "a.csv", flag, "mail"]].concat();
            let parsed = Arguments::try_parse_from(words).unwrap();
            let Command::Data(Data::Seal(seal)) = parsed.command else {
                panic!("{flag}: another command");
            };
            assert_eq!(seal.file.id_column.as_deref(), Some("mail"), "{flag}");
        }
    }
}
