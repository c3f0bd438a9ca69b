//! An answer as files: `--csv`, `--parquet`, `--html`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use incamera_agreement::{Agreement, Query};
use incamera_query::{Marks, Page, Table, csv, frame, page, parquet};
use incamera_release::ReceiptReport;
use incamera_wire::v1::{Answer, ReleaseFile};

use crate::args::Exports;
use crate::failure::{Context, Done, Failure};
use crate::{kept, spending};

/// An answer with what there is to say about it.
pub struct Exported<'a> {
    pub answer: &'a Answer,
    pub table: &'a Table,
    pub marks: Marks,
    pub facts: Vec<(String, String)>,
    /// The answer's receipt, where it has one.
    pub release: Option<&'a ReleaseFile>,
}

impl<'a> Exported<'a> {
    /// An answer that left a room.
    pub fn released(
        release: &'a ReleaseFile,
        report: &'a ReceiptReport,
        table: &'a Table,
        agreement: &Agreement,
        query: &Query,
    ) -> Self {
        let marks = Marks {
            simulated: report.simulated,
            ..Marks::default()
        };
        Self {
            answer: &report.answer,
            table,
            marks,
            facts: facts(report, table, agreement, query),
            release: Some(release),
        }
    }
}

fn facts(
    report: &ReceiptReport,
    table: &Table,
    agreement: &Agreement,
    query: &Query,
) -> Vec<(String, String)> {
    let asked = crate::receipt::parameters_text(report);
    let fact = |name: &str, text: String| (name.to_owned(), text);
    let mut facts = vec![
        fact("query", format!("{}{asked}", query.name)),
        fact(
            "agreement",
            format!("{} version {}", agreement.name, agreement.version),
        ),
        fact("purpose", report.request.purpose().to_string()),
        fact("asked by", asked_by(report)),
        fact(
            "cost",
            spending::line(report, agreement, query, table.accounted_shown()),
        ),
        fact("request", report.request_digest.to_string()),
        fact("agreement digest", report.agreement.to_string()),
    ];
    if !report.reason.is_empty() {
        facts.insert(4, fact("reason", report.reason.clone()));
    }
    facts
}

fn asked_by(report: &ReceiptReport) -> String {
    match report.token {
        Some(token) => format!("{}, by token {token}", report.analyst),
        None => report.analyst.to_string(),
    }
}

/// Finds out, before anything is spent, whether the files could be written.
///
/// # Errors
/// A usage [`Failure`] if a file is there already, is named twice (`beside` is written too), or
/// cannot be made.
pub fn writable(exports: &Exports, beside: Option<&Path>) -> Done {
    let mut seen: BTreeSet<PathBuf> = beside.map(place).into_iter().collect();
    for (_, path) in exports.files() {
        let shown = path.display();
        let failed = || Failure::usage(format!("the answer could not be written to `{shown}`"));
        let hint = "name another file; nothing was spent";
        if !seen.insert(place(path)) {
            return Err(failed()
                .why("two files of the answer have this name")
                .hint(hint));
        }
        if path.exists() {
            return Err(failed().why("it is there already").hint(hint));
        }
        if !can_make(path) {
            return Err(failed().why("the folder cannot be written").hint(hint));
        }
    }
    Ok(())
}

/// A file's name in its folder, however the folder is written.
fn place(path: &Path) -> PathBuf {
    let folder = folder(path).canonicalize();
    match (folder, path.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => path.to_owned(),
    }
}

fn folder(path: &Path) -> &Path {
    let folder = path.parent().filter(|path| !path.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Whether a file can be made in the folder of this one.
pub fn can_make(path: &Path) -> bool {
    let probe = folder(path).join(format!(".incamera-{}", std::process::id()));
    let made = std::fs::write(&probe, b"").is_ok();
    let _ = std::fs::remove_file(&probe);
    made
}

/// Writes the files; the answer is which were written, by kind.
///
/// # Errors
/// A [`Failure`] if one could not be made or written.
pub fn write(
    exports: &Exports,
    exported: &Exported<'_>,
    title: &str,
) -> Result<BTreeMap<&'static str, PathBuf>, Failure> {
    let mut written = BTreeMap::new();
    for (kind, path) in exports.files() {
        let what = format!("the answer was not written to `{}`", path.display());
        let bytes = exported.bytes(kind, title, &what)?;
        kept::write(path, &bytes).or_fail(&what)?;
        written.insert(kind, path.clone());
    }
    Ok(written)
}

impl Exported<'_> {
    fn bytes(&self, kind: &str, title: &str, what: &str) -> Result<Vec<u8>, Failure> {
        if kind == "html" {
            return Ok(self.page(title).into_bytes());
        }
        let frame = frame(self.answer, self.table).or_fail(what)?;
        if kind == "csv" {
            return csv(&frame, self.marks).or_fail(what);
        }
        let receipt = self
            .release
            .map(|file| STANDARD.encode(incamera_wire::encode(file)));
        let said = receipt.map(|receipt| ("incamera.release".to_owned(), receipt));
        let said: HashMap<String, String> = said.into_iter().collect();
        parquet(&frame, self.marks, said).or_fail(what)
    }

    fn page(&self, title: &str) -> String {
        let about = Page {
            title: title.to_owned(),
            marks: self.marks,
            facts: self.facts.clone(),
        };
        page(self.table, &about)
    }
}

/// The line under an answer that names the files.
pub fn line(written: &BTreeMap<&'static str, PathBuf>) -> String {
    let names: Vec<String> = written
        .values()
        .map(|path| path.display().to_string())
        .collect();
    match names.is_empty() {
        true => String::new(),
        false => format!("\nalso written: {}", names.join(", ")),
    }
}
