//! `query receive`: a party's answers, sealed to it, fetched from the room and opened.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use incamera_agreement::SignedAgreement;
use incamera_keys::{ReceiveKey, ReceivePublicKey};
use incamera_net::client;
use incamera_net::services::AnswersRequest;
use incamera_query::table;
use incamera_release::{Address, ReceiptReport, Receiver, SealedAnswerError, open_answer};
use incamera_types::{Digest as _, PartyName, RequestDigest};
use incamera_wire::v1::{ReleaseFile, SealedAnswer};
use serde_json::{Value, json};

use super::block_on;
use super::room_client::{self, status_failure};
use crate::args::QueryReceive;
use crate::failure::{Context, Done, Exit, Failure};
use crate::folder::{Folder, agreement_files, read_receive_key};
use crate::kept::{self, Place};
use crate::printer::Printer;
use crate::receipt;

const WHAT: &str = "the answers were not received";

/// Fetches, opens, verifies, keeps and shows.
pub fn run(arguments: &QueryReceive, printer: &Printer) -> Done {
    let folder = Folder::open(&arguments.party.party)?;
    let file = folder.agreement_file(arguments.under.agreement.as_deref())?;
    let agreement = room_client::own_agreement(&folder, &file)?;
    let keys = keys(&folder, &agreement, &arguments.keys)?;
    if !arguments.out.is_dir() {
        return Err(Failure::usage(WHAT)
            .why(format!("`{}` is no folder", arguments.out.display()))
            .hint("name a folder with `--out DIR`"));
    }
    let receiver = Receiving {
        me: folder.name().clone(),
        keys,
        versions: versions(&folder, agreement),
        out: arguments.out.clone(),
    };
    let mut outcome = Outcome::default();
    let fetched = block_on(receiver.fetch(&folder, &file, printer, &mut outcome));
    match fetched.and_then(|()| outcome.whole()) {
        Ok(()) => {
            show(&outcome, printer);
            Ok(())
        }
        Err(failure) => {
            // What came before is kept, and is shown.
            let texts = outcome.kept.iter().map(|(_, text, _)| text);
            texts.for_each(|text| printer.warn(text));
            Err(failure)
        }
    }
}

/// The keys given, and the folder's, which must be the one that the agreement names unless one
/// of those is.
fn keys(
    folder: &Folder,
    agreement: &SignedAgreement,
    given: &[PathBuf],
) -> Result<Vec<ReceiveKey>, Failure> {
    let keys = given.iter().map(|path| read_receive_key(path));
    let mut keys = keys.collect::<Result<Vec<_>, _>>()?;
    match agreement.agreement().receive_key(folder.name()) {
        Some(named) if keys.iter().any(|key| key.public() == named) => {}
        Some(named) => keys.push(own_key(folder, named)?),
        None if keys.is_empty() => {
            return Err(Failure::new(Exit::Refused, WHAT)
                .why(format!(
                    "this version of the agreement has no `receives` for `{}`: the room seals nothing to it",
                    folder.name()
                ))
                .hint("agree on a new version with the line `receives = ...` of your public.toml"));
        }
        None => {}
    }
    Ok(keys)
}

/// The key in the folder, which must be the one that the agreement names.
fn own_key(folder: &Folder, named: &ReceivePublicKey) -> Result<ReceiveKey, Failure> {
    let key = folder.receive_key()?;
    if key.public() == named {
        return Ok(key);
    }
    Err(Failure::new(Exit::Refused, WHAT)
        .why(format!(
            "the key in the folder is not the one that the agreement names, {}",
            named.fingerprint()
        ))
        .hint("say under `[keys]` in `party.toml` where `receive` is, name the key with `--key FILE`, or agree on a new version"))
}

/// This version of the agreement and the others that the party has: answers outlive versions.
fn versions(folder: &Folder, newest: SignedAgreement) -> Vec<SignedAgreement> {
    let id = newest.agreement().id;
    let files = agreement_files(folder.agreements()).unwrap_or_default();
    let others = files
        .iter()
        .filter_map(|file| incamera_agreement::files::read_signed(file).ok());
    let digest = newest.agreement().digest;
    let others =
        others.filter(|other| other.agreement().id == id && other.agreement().digest != digest);
    std::iter::once(newest.clone()).chain(others).collect()
}

struct Receiving {
    me: PartyName,
    keys: Vec<ReceiveKey>,
    versions: Vec<SignedAgreement>,
    out: PathBuf,
}

/// What came of it.
#[derive(Default)]
struct Outcome {
    kept: Vec<(PathBuf, String, Value)>,
    had: usize,
    /// Of versions that the party has not.
    unknown: usize,
    /// Sealed to keys that are not at hand.
    other_keys: usize,
    /// What does not hold, and what holds and was not kept.
    refused: Vec<String>,
    unkept: Vec<String>,
}

impl Outcome {
    /// That every answer which could be opened was opened, holds and is kept.
    fn whole(&self) -> Done {
        let (what, hint) = match (self.refused.is_empty(), self.unkept.is_empty()) {
            (true, true) => return Ok(()),
            (true, false) => (
                "not all answers were kept",
                "the room still has them: mend what is named, and run this again",
            ),
            (false, _) => (
                "not all answers hold",
                "let the analyst ask the same again, for nothing: the room then seals it anew; if it stays so, whoever runs the room has to explain it",
            ),
        };
        let why = [&self.refused[..], &self.unkept].concat();
        Err(Failure::failed(what).why(why.join("; ")).hint(hint))
    }
}

impl Receiving {
    async fn fetch(
        &self,
        folder: &Folder,
        file: &Path,
        printer: &Printer,
        outcome: &mut Outcome,
    ) -> Done {
        let agreement = self.versions.first();
        let agreement = agreement.ok_or_else(|| Failure::failed(WHAT))?;
        let key = folder.service_key()?;
        let room = room_client::attested(agreement, Some(&key), printer)
            .await
            .map_err(|failure| {
                failure.or_hint(format!("check `[room]` in `{}`", file.display()))
            })?;
        let have = self.have();
        let request = AnswersRequest {
            have: have
                .keys()
                .map(|digest| digest.as_bytes().to_vec())
                .collect(),
        };
        let refused = |status| status_failure(WHAT, &status);
        let answers = client::room(room.channel()).answers(request).await;
        let mut answers = answers.map_err(refused)?.into_inner();
        outcome.had = have.len();
        while let Some(event) = answers.message().await.map_err(refused)? {
            self.take(&event.sealed.unwrap_or_default(), &have, outcome);
        }
        Ok(())
    }

    /// The answers that are in the folder.
    fn have(&self) -> BTreeMap<RequestDigest, PathBuf> {
        let entries = std::fs::read_dir(&self.out).into_iter().flatten();
        let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
        let answers = paths.filter(|path| path.extension().is_some_and(|end| end == "release"));
        let digest = |path: PathBuf| {
            let mut versions = self.versions.iter();
            let report = versions.find_map(|agreement| kept::read(&path, agreement))?;
            Some((report.request_digest, path))
        };
        answers.filter_map(digest).collect()
    }

    /// Opens one answer and keeps it. Whatever is wrong with it, the next one's turn comes.
    fn take(
        &self,
        sealed: &SealedAnswer,
        have: &BTreeMap<RequestDigest, PathBuf>,
        outcome: &mut Outcome,
    ) {
        let (agreement, request) = match self.addressed(sealed) {
            Ok((Some(agreement), request)) => (agreement, request),
            Ok((None, _)) => return outcome.unknown += 1,
            Err(error) => return outcome.refused.push(in_words(&error)),
        };
        if have.contains_key(&request) {
            return;
        }
        let Some(key) = self.key_under(agreement) else {
            return outcome.other_keys += 1;
        };
        let address = Address {
            agreement: agreement.agreement().digest,
            request,
            receiver: Receiver::Party(self.me.clone()),
        };
        let short: String = request.to_string().chars().take(12).collect();
        match open_answer(sealed, key, &address, agreement) {
            Ok((release, report)) => {
                if let Err(failure) = self.keep(&release, &report, agreement, outcome) {
                    let causes = failure.causes.join(": ");
                    outcome
                        .unkept
                        .push(format!("{short}: {}: {causes}", failure.what));
                }
            }
            Err(error) => outcome
                .refused
                .push(format!("{short}: {}", in_words(&error))),
        }
    }

    /// The key that answers under this version are sealed to; none: it is not at hand. Where the
    /// version names none nothing is sealed, and any key will say so.
    fn key_under(&self, agreement: &SignedAgreement) -> Option<&ReceiveKey> {
        let named = agreement.agreement().receive_key(&self.me);
        let mut keys = self.keys.iter();
        keys.find(|key| named.is_none_or(|named| key.public() == named))
    }

    /// The version of the agreement that a sealed answer names, and the request.
    fn addressed(
        &self,
        sealed: &SealedAnswer,
    ) -> Result<(Option<&SignedAgreement>, RequestDigest), SealedAnswerError> {
        let claimed = Address::claimed(sealed)?;
        let mut versions = self.versions.iter();
        let agreement = versions.find(|known| known.agreement().digest == claimed.agreement);
        Ok((agreement, claimed.request))
    }

    fn keep(
        &self,
        release: &ReleaseFile,
        report: &ReceiptReport,
        agreement: &SignedAgreement,
        outcome: &mut Outcome,
    ) -> Done {
        let (asked, query) = (report.request.query(), &report.query);
        let shown = table(
            &report.answer,
            agreement.agreement(),
            query,
            report.request.params(),
        )
        .or_fail("the answer was not understood")?;
        let short: String = report.request_digest.to_string().chars().take(12).collect();
        let path = self.out.join(format!("{asked}-{short}.release"));
        let kept = kept::keep(Place::Free(path), release, report).map_err(|(path, error)| {
            Failure::failed(format!(
                "the answer was not written to `{}`",
                path.display()
            ))
            .because(&error)
        })?;
        let text = format!(
            "`{asked}`{}\n\n{shown}\n{}\nanswer and receipt: {}",
            receipt::parameters_text(report),
            receipt::text(report, query),
            kept.path.display()
        );
        let mut document = receipt::document(report);
        if let Some(fields) = document.as_object_mut() {
            fields.insert("answer".into(), json!(shown));
            fields.insert("release".into(), json!(kept.path));
        }
        outcome.kept.push((kept.path, text, document));
        Ok(())
    }
}

fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    words
}

fn show(outcome: &Outcome, printer: &Printer) {
    let texts = outcome.kept.iter().map(|(_, text, _)| text.as_str());
    let mut lines: Vec<String> = texts.map(str::to_owned).collect();
    let (new, had) = (outcome.kept.len(), outcome.had);
    lines.push(match new {
        0 => format!("no new answer; {had} are here already"),
        1 => format!("1 new answer; {had} were here already"),
        new => format!("{new} new answers; {had} were here already"),
    });
    if outcome.unknown > 0 {
        lines.push(format!(
            "{} are of versions of the agreement that lie not in the party's `agreements` folder: not opened",
            outcome.unknown
        ));
    }
    if outcome.other_keys > 0 {
        lines.push(format!(
            "{} are sealed to a key that an earlier version of the agreement names: open them with `--key FILE`",
            outcome.other_keys
        ));
    }
    let answers = outcome.kept.iter().map(|(_, _, document)| document);
    let answers: Vec<&Value> = answers.collect();
    let document = json!({
        "answers": answers, "had": outcome.had, "other_versions": outcome.unknown,
        "other_keys": outcome.other_keys, "refused": outcome.refused,
    });
    printer.result(lines.join("\n\n"), "incamera-received/1", &document);
}
