//! Files that an answer can also be written to.

use std::path::PathBuf;

use clap::Args;

/// Files that an answer is also written to; none is written over.
#[derive(Debug, Args)]
pub struct Exports {
    /// Also write the answer as CSV, with columns for each number and its range.
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Also write it as Parquet, with notes and receipt in the file's metadata.
    #[arg(long, value_name = "FILE")]
    pub parquet: Option<PathBuf>,
    /// Also write it as one page of HTML with a chart; it needs nothing else and runs no script.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

impl Exports {
    /// The files, with what each is.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &PathBuf)> {
        let all = [
            ("csv", &self.csv),
            ("parquet", &self.parquet),
            ("html", &self.html),
        ];
        all.into_iter()
            .filter_map(|(kind, file)| Some((kind, file.as_ref()?)))
    }
}
