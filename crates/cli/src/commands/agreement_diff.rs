//! `agreement diff`: what a new version changes, and what it asks of sealed data.

use std::path::{Path, PathBuf};

use incamera_agreement::{
    Agreement, DatasetImpact, Differences, PurposeChange, Remedy, diff, files,
};
use serde_json::{Value, json};

use crate::agreement_error;
use crate::args::AgreementDiff;
use crate::failure::{Done, Exit, Failure};
use crate::folder::{Folder, agreement_files};
use crate::printer::Printer;

/// Says in words what a new version changes.
pub fn run(arguments: &AgreementDiff, printer: &Printer) -> Done {
    let old = agreement_error::read(&arguments.old)?;
    let new = agreement_error::read(&arguments.new)?;
    let mut differences = diff(&old, &new);
    if !differences.is_empty() {
        let places = [beside(&arguments.new), beside(&arguments.old)];
        for claim in false_claims(&new, &places) {
            let caution = format!("CAUTION: {claim}");
            if !differences.lineage.contains(&caution) {
                differences.lineage.push(caution);
            }
        }
    }
    let document = json!({
        "changes": differences.sentences().collect::<Vec<_>>(),
        "purposes": differences.purposes.iter().map(purpose).collect::<Vec<_>>(),
        "datasets": differences.datasets.iter().map(dataset).collect::<Vec<_>>(),
    });
    printer.result(text(&differences), "incamera-agreement-diff/1", &document);
    Ok(())
}

fn text(differences: &Differences) -> String {
    if differences.is_empty() {
        return "nothing changes".to_owned();
    }
    let mut lines: Vec<String> = differences.sentences().cloned().collect();
    lines.push("what this asks of data sealed under the old version:".to_owned());
    lines.extend(differences.datasets.iter().map(dataset_line));
    lines.join("\n")
}

/// `  purchases of shop: ...; because ...`.
fn dataset_line(impact: &DatasetImpact) -> String {
    let why = match impact.reasons.as_slice() {
        [] => String::new(),
        reasons => format!(", because {}", reasons.join("; ")),
    };
    format!(
        "  {} of {}: {}{why}",
        impact.dataset, impact.owner, impact.remedy
    )
}

fn purpose(change: &PurposeChange) -> Value {
    json!({ "change": change.kind(), "old": change.old_names(), "new": change.new_names() })
}

fn dataset(impact: &DatasetImpact) -> Value {
    let command = match impact.remedy {
        Remedy::Rewrap | Remedy::Reencrypt => Some("data retag"),
        Remedy::Seal => Some("data seal"),
        _ => None,
    };
    json!({
        "dataset": impact.dataset, "owner": impact.owner,
        "needs": impact.remedy.as_str(), "command": command, "reasons": impact.reasons,
    })
}

/// The folder that a file lies in.
pub fn beside(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The versions of an agreement that lie in these folders, whoever has signed them.
pub fn versions(agreement: &Agreement, folders: &[PathBuf]) -> Vec<Agreement> {
    let files = folders
        .iter()
        .flat_map(|folder| agreement_files(folder).unwrap_or_default());
    let mut known: Vec<Agreement> = files.filter_map(|path| files::read(&path).ok()).collect();
    known.retain(|other| other.id == agreement.id);
    known
}

/// What the agreement says of purposes that is not so, by as many versions before it as lie in
/// these folders one after the other; nothing where none does.
pub fn false_claims(agreement: &Agreement, folders: &[PathBuf]) -> Vec<String> {
    let known = versions(agreement, folders);
    let mut chain: Vec<&Agreement> = Vec::new();
    let mut follows = agreement.follows;
    while let Some(before) = known.iter().find(|other| Some(other.digest) == follows) {
        chain.push(before);
        follows = before.follows;
    }
    match chain.split_first() {
        None => Vec::new(),
        Some((before, earlier)) => {
            agreement.false_successions(before, earlier.iter().map(|terms| &***terms))
        }
    }
}

/// Refuses to sign a version that says of purposes what is not so, or writes or matches ids
/// otherwise in one matching epoch, where the versions before it lie beside it or in the party's
/// folder.
pub fn succeeds(agreement: &Agreement, file: &Path, folder: &Folder) -> Done {
    let claims = false_claims(agreement, &[beside(file), folder.agreements().to_owned()]);
    match claims.first() {
        None => Ok(()),
        Some(claim) => Err(Failure::new(Exit::Refused, "the agreement was not signed")
            .why(claim.clone())
            .hint("mend what is said of the version, or take the next `epoch` where the pseudonyms are to be others; if it is about purposes, let `replaces` name what a new purpose takes the place of, and nothing else, and give what is new a name that no version had: `incamera agreement diff` shows what consents become")),
    }
}
