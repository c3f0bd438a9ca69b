//! `agreement diff`: what a new version changes, and what it asks of sealed data.

use std::path::Path;

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
    let differences = diff(&old, &new);
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

/// Refuses to sign a version that says of purposes what is not so, where the version before it
/// lies beside it or in the party's folder.
pub fn succeeds(agreement: &Agreement, file: &Path, folder: &Folder) -> Done {
    let beside = file.parent().unwrap_or(Path::new("."));
    let beside = match beside.as_os_str().is_empty() {
        true => Path::new("."),
        false => beside,
    };
    let known = [beside, folder.agreements()].into_iter();
    let mut known = known.flat_map(|folder| agreement_files(folder).unwrap_or_default());
    let before = known.find_map(|path| {
        let before = files::read(&path).ok()?;
        (Some(before.digest) == agreement.follows).then_some(before)
    });
    let claims = before.map_or(Vec::new(), |before| agreement.false_successions(&before));
    match claims.first() {
        None => Ok(()),
        Some(claim) => Err(Failure::new(Exit::Refused, "the agreement was not signed")
            .why(claim.clone())
            .hint("let `replaces` name what a new purpose takes the place of, and nothing else: `incamera agreement diff` shows what consents become")),
    }
}
