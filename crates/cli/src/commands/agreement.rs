//! `agreement check | show | sign`.

use std::path::Path;

use incamera_agreement::{
    Agreement, NAMESPACE, Problem, Query, Standing, concerns, doubts, explain_with, files,
};
use incamera_keys::SshSig;
use incamera_query::{Refusal, RefusalKind};
use incamera_types::PartyName;
use serde_json::json;

use crate::agreement_error;
use crate::args::{AgreementFile, AgreementShow, AgreementSign};
use crate::clock::now;
use crate::failure::{Context, Done, Exit, Failure};
use crate::folder::Folder;
use crate::printer::Printer;
use crate::{newer, spending};

use super::agreement_diff::{beside, false_claims, succeeds};
use super::status;

/// Checks the file, and proves that each query reads just what it declares.
pub fn check(arguments: &AgreementFile, printer: &Printer) -> Done {
    let agreement = agreement_error::read(&arguments.file)?;
    let (mut proven, mut too_large) = (Vec::new(), Vec::new());
    for query in agreement.queries.values() {
        let proved = incamera_query::prove(&agreement, query)
            .map_err(|refusal| refused(&arguments.file, agreement.bytes(), query, &refusal))?;
        let warning = proved.memory().warning();
        too_large.extend(warning.map(|why| format!("the query {}: {why}", query.name)));
        proven.push(query.name.to_string());
    }
    let warnings = agreement.warnings().iter().map(Problem::to_string);
    let warnings: Vec<String> = warnings
        .chain(concerns(&agreement, Some(now())))
        .chain(doubts(&agreement))
        .chain(too_large)
        .chain(false_claims(&agreement, &[beside(&arguments.file)]))
        .collect();
    for warning in &warnings {
        printer.warn(warning);
    }
    let matching = &agreement.matching;
    let written: Vec<_> = matching.written().collect();
    let proved = match proven.is_empty() {
        true => "it has no query yet".to_owned(),
        false => format!(
            "each query reads just what it declares: {}",
            proven.join(", ")
        ),
    };
    let text = format!(
        "`{}` version {} is well formed; {proved}\n  ids are written by rules {}: {}\n  digest {}",
        agreement.name,
        agreement.version,
        matching.rules,
        written.join("; "),
        agreement.digest
    );
    let unsealed = agreement.unsealed_receivers();
    let names: Vec<String> = unsealed.iter().map(ToString::to_string).collect();
    let receiving = match unsealed.is_empty() {
        true => String::new(),
        false => format!(
            "\n  answers are not sealed to {}: no `receives` in this version",
            names.join(", ")
        ),
    };
    let text = text + &receiving;
    let document = json!({
        "name": agreement.name, "version": agreement.version, "digest": agreement.digest,
        "id": agreement.id, "queries": proven, "warnings": warnings,
        "ids": matching.ids, "ids_written": written,
        "unsealed_receivers": unsealed,
    });
    printer.result(text, "incamera-agreement-checked/1", &document);
    Ok(())
}

/// A refused query, drawn into the text of the file that has it.
pub fn refused(path: &Path, text: &[u8], query: &Query, refusal: &Refusal) -> Failure {
    // Parameters are the caller's to mend; everything else is for the parties to agree on.
    let exit = match refusal.kind() {
        RefusalKind::Params => Exit::Usage,
        _ => Exit::Refused,
    };
    let mut failure = Failure::new(exit, format!("query `{}` was refused", query.name))
        .why(format!("{}: {}", refusal.what(), refusal.why()))
        .hint(refusal.instead());
    if let Some(span) = refusal.span() {
        let text = String::from_utf8_lossy(text);
        let span = query.sql_at + span.start..query.sql_at + span.end;
        failure.picture = Some(agreement_error::draw_at(path, &text, span, refusal.what()));
    }
    failure
}

/// Explains the agreement in words, and how it stands.
pub fn show(arguments: &AgreementShow, printer: &Printer) -> Done {
    let agreement = agreement_error::read(&arguments.file)?;
    let signatures = files::read_signatures(&arguments.file, &agreement)
        .or_fail("a signature was not read")
        .map_err(|failure| {
            failure.hint("get that party's .sig file again, or let it sign again")
        })?;
    let mut standing = Standing::default();
    standing.signed = Some(agreement.clone().verify(&signatures).map(|_| ()));
    standing.now = Some(now());
    standing.replaced = newer::beside(&arguments.file, &agreement).map(newer::why);
    if let Some(folder) = folder_of(arguments)? {
        match status::own(&folder, &agreement) {
            Ok(Some(own)) => {
                standing.spent.insert(folder.name().clone(), own.spent);
                standing.own_left.insert(folder.name().clone(), own.left);
                standing.replaced = standing.replaced.or(own.replaced);
            }
            Ok(None) => printer.note(format!(
                "the service of `{}` does not know this version: what is left is not known",
                folder.name()
            )),
            Err(failure) => printer.note(format!("what is left is not known: {}", failure.what)),
        }
    }
    let text = explain_with(&agreement, &standing);
    let signatures = match &standing.signed {
        Some(Err(error)) => error.to_string(),
        _ => "all parties have signed this version".to_owned(),
    };
    let spent = standing.spent.iter().filter_map(|(owner, spent)| {
        let ceiling = agreement.budgets.get(owner)?;
        Some((owner.to_string(), spending::document(spent, ceiling)))
    });
    let document = json!({
        "name": agreement.name, "version": agreement.version, "digest": agreement.digest,
        "replaced": standing.replaced, "expires": agreement.expires.to_string(),
        "text": text, "signatures": signatures, "signed": matches!(standing.signed, Some(Ok(()))),
        "concerns": concerns(&agreement, standing.now),
        "spent": spent.collect::<serde_json::Map<_, _>>(),
    });
    printer.result(&text, "incamera-agreement-shown/1", &document);
    Ok(())
}

/// The folder of the party that looks: named, or that in whose `agreements` the file lies.
fn folder_of(arguments: &AgreementShow) -> Result<Option<Folder>, Failure> {
    if let Some(folder) = &arguments.party {
        return Folder::open(folder).map(Some);
    }
    let file = arguments.file.canonicalize().ok();
    let folder = file
        .as_deref()
        .and_then(Path::parent)
        .filter(|folder| folder.ends_with("agreements"))
        .and_then(Path::parent);
    // Somebody else's folder by chance is no error of this command.
    Ok(folder.and_then(|folder| Folder::open(folder).ok()))
}

/// Signs the agreement's exact bytes.
pub fn sign(arguments: &AgreementSign, printer: &Printer) -> Done {
    let agreement = agreement_error::read(&arguments.file)?;
    let folder = Folder::open(&arguments.party.party)?;
    let key = folder.signing_key()?;
    let party = agreement.parties.get(folder.name());
    if party.map(|party| party.signs) != Some(key.public()) {
        return Err(Failure::new(Exit::Refused, "the agreement was not signed")
            .why(format!(
                "it does not name this folder's signing key for `{}`",
                folder.name()
            ))
            .hint("check `[parties]` in the agreement, or use the folder whose key it names"));
    }
    for query in agreement.queries.values() {
        incamera_query::prove(&agreement, query)
            .map_err(|refusal| refused(&arguments.file, agreement.bytes(), query, &refusal))?;
    }
    succeeds(&agreement, &arguments.file, &folder)?;
    let what = "the agreement was not signed";
    let signature = incamera_agreement::sign(agreement.bytes(), &key).or_fail(what)?;
    let path = files::signature_path(&arguments.file, folder.name());
    for warning in signed_otherwise(&arguments.file, &agreement, folder.name()) {
        printer.warn(warning);
    }
    for concern in concerns(&agreement, Some(now())) {
        printer.warn(concern);
    }
    std::fs::write(&path, signature.to_armor()).or_fail(what)?;
    let text = format!(
        "`{}` has signed version {} of `{}`{}\n  digest           {}",
        folder.name(),
        agreement.version,
        agreement.name,
        printer.guide(format!("\n  give the others  {}", path.display())),
        agreement.digest
    );
    let document = json!({ "party": folder.name(), "signature": path, "digest": agreement.digest });
    printer.result(text, "incamera-agreement-signed/1", &document);
    Ok(())
}

/// What the signatures that lie there already are not over: these very bytes.
fn signed_otherwise(file: &Path, agreement: &Agreement, me: &PartyName) -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, party) in &agreement.parties {
        let path = files::signature_path(file, name);
        let Ok(text) = std::fs::read_to_string(&path) else {
            continue;
        };
        let signature = SshSig::from_armor(&text);
        let holds = signature.is_ok_and(|signature| {
            let verified = party.signs.verify(NAMESPACE, agreement.bytes(), &signature);
            verified.is_ok()
        });
        let path = path.display();
        match (holds, name == me) {
            (true, _) => {}
            (false, true) => warnings.push(format!(
                "`{path}` was over another text than this file's, and is replaced: if the file was changed by somebody else, compare the two before you give the signature away"
            )),
            (false, false) => warnings.push(format!(
                "the signature of `{name}` beside it is not over this file's text: it has signed another one, or the file was changed since; compare digests"
            )),
        }
    }
    warnings
}
