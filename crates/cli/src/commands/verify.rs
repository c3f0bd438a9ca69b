//! `verify FILE`: checks a file offline.

use std::path::Path;

use incamera_agreement::{SignedAgreement, files};
use incamera_query::table;
use incamera_release::{ReceiptError, verify_release};
use incamera_seal::{open_manifest, peek_manifest};
use incamera_types::limits::MAX_MANIFEST_BYTES;
use incamera_wire::v1::{ReleaseFile, Signed};
use incamera_wire::{Format, decode, encode};
use serde_json::json;

use super::proposals;
use super::room_client::signed_agreement;
use crate::agreement_error;
use crate::args::{Exports, Verify};
use crate::export::{self, Exported};
use crate::failure::{Context, Done, Exit, Failure};
use crate::printer::Printer;
use crate::{newer, receipt};

/// What a file is.
enum Kind {
    Release(Box<ReleaseFile>),
    Manifest(Signed),
    Agreement,
    Proposal,
}

/// Finds out what the file is, and checks it.
pub fn run(arguments: &Verify, printer: &Printer) -> Done {
    let path = &arguments.file;
    let bytes = std::fs::read(path).or_fail(format!("`{}` was not read", path.display()))?;
    let found = kind(&bytes);
    nothing_more(found.as_ref(), &bytes)?;
    only_answers(found.as_ref(), arguments)?;
    match found {
        Some(Kind::Release(release)) => self::release(
            &release,
            &agreement(arguments)?,
            &arguments.exports,
            printer,
        ),
        Some(Kind::Manifest(signed)) => manifest(&signed, &agreement(arguments)?, printer),
        Some(Kind::Agreement) => signatures(path, printer),
        Some(Kind::Proposal) => proposals::verify(path, &agreement(arguments)?, printer),
        None => Err(Failure::usage(format!(
            "`{}` is nothing that can be verified",
            path.display()
        ))
        .hint("give an agreement, a proposal, a manifest, or a release with its receipt")),
    }
}

/// Only an answer can be written as a table.
fn only_answers(found: Option<&Kind>, arguments: &Verify) -> Done {
    let file = arguments.exports.files().next();
    match (found, file) {
        (Some(Kind::Release(_)), _) => export::writable(&arguments.exports, None),
        (None, _) | (_, None) => Ok(()),
        (Some(_), Some((kind, _))) => Err(Failure::usage(format!(
            "`{}` holds no answer",
            arguments.file.display()
        ))
        .why(format!("`--{kind}` writes the answer of a release"))
        .hint("give a release, or leave the flag out")),
    }
}

/// Nothing may stand in a file beside what is checked: else two files would have one receipt.
fn nothing_more(found: Option<&Kind>, bytes: &[u8]) -> Done {
    let (what, written) = match found {
        Some(Kind::Release(release)) => ("the receipt does not hold", encode(release.as_ref())),
        Some(Kind::Manifest(signed)) => ("the manifest does not hold", encode(signed)),
        Some(Kind::Agreement | Kind::Proposal) | None => return Ok(()),
    };
    match written == bytes {
        true => Ok(()),
        false => Err(Failure::failed(what)
            .why("the file has bytes that are no part of it: something was appended or put in")
            .hint("ask whoever sent the file for it again, as it was written")),
    }
}

fn kind(bytes: &[u8]) -> Option<Kind> {
    let limit = MAX_MANIFEST_BYTES;
    if let Ok(release) = decode::<ReleaseFile>(bytes, limit)
        && Format::Release.expect(&release.format).is_ok()
    {
        return Some(Kind::Release(Box::new(release)));
    }
    if let Ok(signed) = decode::<Signed>(bytes, limit)
        && Format::Manifest.expect(&signed.format).is_ok()
    {
        return Some(Kind::Manifest(signed));
    }
    of_text(std::str::from_utf8(bytes).ok()?)
}

/// The format line comes first; what a text names further down is not what it is.
fn of_text(text: &str) -> Option<Kind> {
    let kinds = [
        ("incamera-agreement/", Kind::Agreement),
        ("incamera-proposal/", Kind::Proposal),
    ];
    let found = kinds.into_iter();
    let found = found.filter_map(|(format, kind)| Some((text.find(format)?, kind)));
    found.min_by_key(|(at, _)| *at).map(|(_, kind)| kind)
}

/// The signed agreement that a file belongs to. An agreement that has expired since still
/// says what held at the time.
fn agreement(arguments: &Verify) -> Result<SignedAgreement, Failure> {
    let path = arguments.agreement.as_deref().ok_or_else(|| {
        Failure::usage("which agreement does the file belong to?")
            .hint("name it with `--agreement FILE`; its signatures lie beside it")
    })?;
    let agreement = agreement_error::read(path)?;
    let what = format!("the agreement `{}` is not signed by all", path.display());
    let signatures = files::read_signatures(path, &agreement).or_fail(&what)?;
    agreement
        .verify(&signatures)
        .map_err(|error| Failure::new(Exit::Refused, what).because(&error))
}

fn release(
    release: &ReleaseFile,
    agreement: &SignedAgreement,
    exports: &Exports,
    printer: &Printer,
) -> Done {
    let what = "the receipt does not hold";
    let report = verify_release(release, agreement).map_err(|error| {
        let failure = Failure::failed(what).because(&error);
        match error {
            ReceiptError::OtherAgreement { .. } => {
                failure.hint("name the version that it belongs to with `--agreement FILE`")
            }
            _ => failure.hint(
                "ask whoever sent the file for it again; if it stays so, keep it: it is evidence",
            ),
        }
    })?;
    let (asked, query) = (report.request.query(), &report.query);
    let shown = table(&report.answer, agreement, query, report.request.params())
        .or_fail("the answer was not understood")?;
    let exported = Exported::released(release, &report, &shown, agreement.agreement(), query);
    let written = export::write(exports, &exported, asked.as_str())?;
    let text = format!(
        "`{asked}`{}\n\n{shown}\n{}{}",
        receipt::parameters_text(&report),
        receipt::text(&report, query),
        export::line(&written)
    );
    let mut document = receipt::document(&report);
    if let Some(fields) = document.as_object_mut() {
        fields.insert("answer".into(), json!(shown));
        fields.insert("written".into(), json!(written));
    }
    printer.result(text, "incamera-verified/1", &document);
    Ok(())
}

fn manifest(signed: &Signed, agreement: &SignedAgreement, printer: &Printer) -> Done {
    let what = "the manifest does not hold";
    let terms = agreement.agreement();
    let peeked = peek_manifest(signed).or_fail(what)?;
    let spec = terms.datasets.get(peeked.dataset());
    let owner = spec.and_then(|spec| terms.service_key(&spec.owner));
    let owner =
        owner.ok_or_else(|| Failure::failed(what).why("the agreement has no such data set"))?;
    let manifest = open_manifest(signed, owner).or_fail(what)?;
    if manifest.agreement_id() != &terms.id {
        return Err(Failure::failed(what).why("it was sealed under another agreement"));
    }
    let text = format!(
        "the manifest of `{}` version {} is signed by `{}`\n  digest {}",
        manifest.dataset(),
        manifest.version(),
        manifest.owner(),
        manifest.digest()
    );
    let document = json!({
        "kind": "manifest", "dataset": manifest.dataset(), "version": manifest.version(),
        "owner": manifest.owner(), "digest": manifest.digest(),
    });
    printer.result(text, "incamera-verified/1", &document);
    Ok(())
}

fn signatures(path: &Path, printer: &Printer) -> Done {
    let signed = signed_agreement(path)?;
    let agreement = signed.agreement();
    if let Some(version) = newer::beside(path, agreement) {
        let what = format!("the agreement `{}` is not in force", path.display());
        return Err(Failure::new(Exit::Refused, what)
            .why(newer::why(version))
            .hint("all have signed this one too, but it opens nothing more: verify the newest version"));
    }
    let parties: Vec<String> = agreement.parties.keys().map(ToString::to_string).collect();
    let text = format!(
        "the agreement `{}` version {} is signed by {} and in force until the end of {} (UTC)\n  digest {}",
        agreement.name,
        agreement.version,
        parties.join(", "),
        agreement.expires,
        agreement.digest
    );
    let document = json!({ "kind": "agreement", "name": agreement.name, "version": agreement.version, "expires": agreement.expires.to_string(), "digest": agreement.digest, "signed_by": parties });
    printer.result(text, "incamera-verified/1", &document);
    Ok(())
}
