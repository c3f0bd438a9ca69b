//! `query propose | approve`, `verify NAME.proposal`: queries that the agreement has not.

use std::path::{Path, PathBuf};

use incamera_agreement::{
    Agreement, Proposal, SignedAgreement, approve as sign, doubts_of, files, propose as put,
};
use incamera_keys::SshSig;
use incamera_party::proposal_files;
use incamera_query::{CheckedQuery, Explanation, Reveals, prove};
use incamera_types::PartyName;
use incamera_types::limits::MAX_PROPOSAL_BYTES;
use serde_json::{Value, json};

use super::agreement::refused;
use super::asked::{self, Asked};
use super::room_client;
use crate::agreement_error;
use crate::args::{QueryApprove, QueryPropose};
use crate::clock::now;
use crate::failure::{Context, Done, Exit, Failure};
use crate::folder::Folder;
use crate::printer::Printer;
use crate::{ask, kept};

/// What a proposed query asks, costs and reveals: the same words for who proposes and for who
/// is asked to approve.
struct Words {
    asks: String,
    explanation: Explanation,
    reveals: Reveals,
    doubts: Vec<String>,
}

impl Words {
    fn new(proposal: &Proposal, checked: &CheckedQuery) -> Self {
        let agreement = proposal.agreement();
        Self {
            asks: proposal.explain(),
            explanation: checked.explain(agreement),
            reveals: checked.reveals(agreement),
            doubts: doubts_of(agreement, proposal.query())
                .into_iter()
                .chain(checked.memory().warning())
                .collect(),
        }
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{}\nWhat it costs, and how good the answer will be\n----------------------------------------------\n{}\n\nWhat it reveals at worst\n------------------------\n{}\n",
            self.asks, self.explanation, self.reveals
        );
        for doubt in &self.doubts {
            text.push_str(&format!("\nCAUTION: {doubt}\n"));
        }
        text
    }

    fn document(&self) -> Value {
        json!({
            "text": self.asks, "explanation": self.explanation,
            "reveals": self.reveals, "doubts": self.doubts,
        })
    }
}

/// Makes a proposal of a draft, checks it as the agreement's queries are, and signs it.
pub fn propose(arguments: &QueryPropose, printer: &Printer) -> Done {
    let what = "nothing was proposed";
    let signed = room_client::signed_agreement(&arguments.agreement)?;
    let agreement = signed.agreement();
    let key = room_client::analyst_key(agreement, &arguments.analyst, &arguments.key)?;
    let draft = draft(&arguments.draft)?;
    let until = arguments.until;
    let until = until.unwrap_or_else(|| agreement.last_day_of_proposals());
    let proposal = agreement
        .propose(&draft, &arguments.analyst, until)
        .map_err(|error| asked::failed(&arguments.draft, draft.as_bytes(), &error, what))?;
    asked::in_time(&proposal, what)?;
    // Places are shown in what the analyst wrote: the head that was put before it is not there.
    let mut query = proposal.query().clone();
    query.sql_at -= proposal.bytes().len() - draft.len();
    let checked = prove(agreement, &query)
        .map_err(|refusal| refused(&arguments.draft, draft.as_bytes(), &query, &refusal))?;
    let words = Words::new(&proposal, &checked);
    let out = arguments.out.clone();
    let out = out.unwrap_or_else(|| PathBuf::from(format!("{}.proposal", query.name)));
    let signature = put(&proposal, &key).or_fail(what)?;
    let beside = files::proposed_path(&out);
    write_new(&out, proposal.bytes(), what)?;
    write_new(&beside, signature.to_armor().as_bytes(), what)?;
    let owners = owners(&proposal);
    let text = format!(
        "{}\n`{}` is proposed by {}\n  digest  {}{}",
        words.text(),
        query.name,
        proposal.analyst(),
        proposal.digest(),
        printer.guide(format!(
            "\n  give {}  {} and {}\n  who approves it gives back  {}.PARTY.sig",
            owners.join(", "),
            out.display(),
            beside.display(),
            out.display()
        ))
    );
    let mut document = of_proposal(&proposal);
    add(&mut document, words.document());
    add(
        &mut document,
        json!({ "proposal": out, "signature": beside }),
    );
    printer.result(&text, "incamera-proposed/1", &document);
    Ok(())
}

fn draft(path: &Path) -> Result<String, Failure> {
    let what = "the draft was not read";
    let bytes = files::read_bytes(path, MAX_PROPOSAL_BYTES).or_fail(what);
    let bytes = bytes.map_err(|failure| {
        failure
            .hint("name a file with one section [queries.NAME], as it would stand in the agreement")
    })?;
    String::from_utf8(bytes)
        .or_fail(what)
        .map_err(|failure| failure.hint("save the file as UTF-8"))
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, bytes: &[u8], what: &str) -> Done {
    kept::write(path, bytes).or_fail(what).map_err(|failure| {
        let why = format!("`{}` was not written", path.display());
        let failure = Failure { what: what.to_owned(), ..failure };
        failure.why(why).or_hint("name another file with `--out`: nothing is written over, since owners may have approved what is there")
    })
}

fn owners(proposal: &Proposal) -> Vec<String> {
    proposal.owners().iter().map(ToString::to_string).collect()
}

/// What every document about a proposal has.
fn of_proposal(proposal: &Proposal) -> Value {
    json!({
        "name": proposal.query().name, "digest": proposal.digest(),
        "agreement_digest": proposal.agreement().digest,
        "analyst": proposal.analyst().to_string(), "owners": owners(proposal),
        "expires": proposal.expires().to_string(),
    })
}

fn add(document: &mut Value, more: Value) {
    if let (Some(fields), Value::Object(more)) = (document.as_object_mut(), more) {
        fields.extend(more);
    }
}

/// Lists proposals, approves one, or takes an approval back.
pub fn approve(arguments: &QueryApprove, printer: &Printer) -> Done {
    let folder = Folder::open(&arguments.party.party)?;
    let file = folder.agreement_file(arguments.under.agreement.as_deref())?;
    let Some(path) = &arguments.proposal else {
        return list(&folder, &agreement_error::read(&file)?, printer);
    };
    if arguments.withdraw {
        // Whatever became of the agreement since.
        return withdraw(&folder, path, printer);
    }
    let agreement = room_client::own_agreement(&folder, &file)?;
    let proposal = asked::read(agreement.agreement(), path)?;
    approvable(&folder, &proposal, path)?;
    let asked = Asked::of(proposal.clone(), path);
    let checked =
        prove(proposal.agreement(), proposal.query()).map_err(|refusal| asked.refused(&refusal))?;
    let words = Words::new(&proposal, &checked);
    if !printer.json() {
        printer.line(&words.text());
    }
    confirm(arguments, &proposal)?;
    let (home, given) = sign_for(&folder, &proposal, path)?;
    let text = format!(
        "`{}` has approved `{}`: its service grants keys for it from now on\n  digest  {}\n  to take it back  incamera query approve --withdraw {}{}",
        folder.name(),
        proposal.query().name,
        proposal.digest(),
        home.display(),
        printer.guide(format!("\n  give the analyst  {}", given.display()))
    );
    let mut document = of_proposal(&proposal);
    add(&mut document, words.document());
    add(
        &mut document,
        json!({ "party": folder.name(), "signature": given, "kept": home }),
    );
    printer.result(&text, "incamera-approved/1", &document);
    Ok(())
}

const NOT_APPROVED: &str = "the proposal was not approved";

/// What has to hold before a person is asked.
fn approvable(folder: &Folder, proposal: &Proposal, path: &Path) -> Done {
    asked::signed(proposal, path)?;
    asked::in_time(proposal, NOT_APPROVED)?;
    match proposal.owners().contains(folder.name()) {
        true => Ok(()),
        false => Err(Failure::new(Exit::Refused, NOT_APPROVED)
            .why(format!("it reads no data of `{}`", folder.name()))
            .hint(format!(
                "it is for {} to approve",
                owners(proposal).join(", ")
            ))),
    }
}

fn confirm(arguments: &QueryApprove, proposal: &Proposal) -> Done {
    if arguments.yes {
        return Ok(());
    }
    let query = proposal.query();
    let means = format!(
        "`{}` may then be asked until {} without asking you again, each run for epsilon {}",
        query.name,
        proposal.expires(),
        query.epsilon
    );
    let nobody = || {
        Failure::usage(NOT_APPROVED)
            .why(format!(
                "{means}, and nobody is at a terminal to agree to it"
            ))
            .hint("read what it reveals, then say `--yes`")
    };
    ask::agreed(&format!("{means}. Approve?"), NOT_APPROVED, nobody)
}

/// Signs, and keeps proposal and signatures at home: gives where they are kept, and the
/// signature for the analyst.
fn sign_for(
    folder: &Folder,
    proposal: &Proposal,
    path: &Path,
) -> Result<(PathBuf, PathBuf), Failure> {
    let me = folder.name();
    let signature = sign(proposal, &folder.signing_key()?).or_fail(NOT_APPROVED)?;
    if !proposal.is_approval(me, &signature) {
        return Err(Failure::new(Exit::Refused, NOT_APPROVED)
            .why(format!(
                "this folder's signing key is not the one that the agreement has for `{me}`"
            ))
            .hint("use the folder whose key it names"));
    }
    let home = match at_home(folder, proposal.bytes()).into_iter().next() {
        Some(home) => home,
        None => keep(folder, proposal, path)?,
    };
    let (given, own) = (
        files::signature_path(path, me),
        files::signature_path(&home, me),
    );
    for file in [&given, &own] {
        let written = std::fs::write(file, signature.to_armor());
        written.or_fail(format!("`{}` was not written", file.display()))?;
    }
    Ok((home, given))
}

/// Copies a proposal and its analyst's signature home, under a name that no other has.
fn keep(folder: &Folder, proposal: &Proposal, path: &Path) -> Result<PathBuf, Failure> {
    let short: String = proposal.digest().to_string().chars().take(12).collect();
    let name = format!("{}-{short}.proposal", proposal.query().name);
    let home = folder.agreements().join(name);
    let copied = std::fs::write(&home, proposal.bytes())
        .and_then(|()| std::fs::copy(files::proposed_path(path), files::proposed_path(&home)));
    copied.or_fail(format!("`{}` was not written", home.display()))?;
    Ok(home)
}

/// Where these very bytes lie in the party's own folder.
fn at_home(folder: &Folder, bytes: &[u8]) -> Vec<PathBuf> {
    let same = |path: &PathBuf| {
        files::read_bytes(path, MAX_PROPOSAL_BYTES).is_ok_and(|found| found == bytes)
    };
    proposal_files(folder.agreements())
        .into_iter()
        .filter(same)
        .collect()
}

/// Takes the own approval away at home: the service looks there anew for each request.
fn withdraw(folder: &Folder, path: &Path, printer: &Printer) -> Done {
    let me = folder.name();
    let bytes = files::read_bytes(path, MAX_PROPOSAL_BYTES).or_fail("the proposal was not read")?;
    let own = at_home(folder, &bytes).into_iter();
    let own: Vec<PathBuf> = own
        .map(|path| files::signature_path(&path, me))
        .filter(|path| path.exists())
        .collect();
    if own.is_empty() {
        return Err(Failure::usage("nothing was taken back")
            .why(format!(
                "`{me}` has no approval of this proposal in its folder"
            ))
            .hint("`incamera query approve` without a file lists what is approved"));
    }
    for path in &own {
        std::fs::remove_file(path).or_fail(format!("`{}` was not removed", path.display()))?;
    }
    let text = format!(
        "`{me}` has taken its approval back: its service grants nothing for this proposal from now on, whoever has a copy of the approval\n  answers that were given stay with who received them"
    );
    let document = json!({ "party": me, "removed": own });
    printer.result(text, "incamera-approval-withdrawn/1", &document);
    Ok(())
}

/// Whether a proposal is its analyst's, and who has approved it: by the signatures beside it.
/// One without all approvals is what it says, and runs not yet.
pub fn verify(path: &Path, agreement: &SignedAgreement, printer: &Printer) -> Done {
    let what = "the proposal does not hold";
    let proposal = asked::read(agreement.agreement(), path)?;
    asked::signed(&proposal, path)?;
    let signatures = files::read_signatures(path, proposal.agreement()).or_fail(what)?;
    let owners = proposal.owners();
    let of_others = |party: &PartyName, signature: &SshSig| {
        owners.contains(party) && !proposal.is_approval(party, signature)
    };
    if let Some((party, _)) = signatures.iter().find(|(p, s)| of_others(p, s)) {
        return Err(Failure::failed(what)
            .why(format!(
                "`{}` is no approval of this text by `{party}`",
                files::signature_path(path, party).display()
            ))
            .hint("ask that party for its approval again, or whoever gave you the proposal"));
    }
    asked::in_time(&proposal, what)?;
    let (approved, missing): (Vec<&PartyName>, Vec<&PartyName>) = owners
        .iter()
        .partition(|party| signatures.contains_key(*party));
    let (approved, missing) = (named(&approved), named(&missing));
    let stands = match missing.is_empty() {
        true => format!("approved by {}: it may be asked", approved.join(", ")),
        false if approved.is_empty() => format!("not approved yet: {}", missing.join(", ")),
        false => format!(
            "approved by {}; not yet by {}",
            approved.join(", "),
            missing.join(", ")
        ),
    };
    let text = format!(
        "the proposal of query `{}` is signed by {}, who may propose it until the end of {} (UTC)\n  {stands}\n  digest {}\n  signatures are those beside the file; an owner may have taken its approval back",
        proposal.query().name,
        proposal.analyst(),
        proposal.expires(),
        proposal.digest()
    );
    let mut document = of_proposal(&proposal);
    add(
        &mut document,
        json!({ "kind": "proposal", "approved_by": approved, "not_approved_by": missing }),
    );
    printer.result(text, "incamera-verified/1", &document);
    Ok(())
}

fn named(parties: &[&PartyName]) -> Vec<String> {
    parties.iter().map(ToString::to_string).collect()
}

/// The proposals in the party's folder, and how each stands.
fn list(folder: &Folder, agreement: &Agreement, printer: &Printer) -> Done {
    let me = folder.name();
    let mut lines = Vec::new();
    let mut documents = Vec::new();
    for path in proposal_files(folder.agreements()) {
        let (line, document) = listed(me, agreement, &path);
        lines.push(line);
        documents.push(document);
    }
    if lines.is_empty() {
        lines.push(format!(
            "no proposal lies in `{}`",
            folder.agreements().display()
        ));
    }
    let document = json!({ "party": me, "proposals": documents });
    printer.result(lines.join("\n"), "incamera-proposals/1", &document);
    Ok(())
}

fn listed(me: &PartyName, agreement: &Agreement, path: &Path) -> (String, Value) {
    let bytes = files::read_bytes(path, MAX_PROPOSAL_BYTES).unwrap_or_default();
    let proposal = match agreement.proposal(&bytes) {
        Ok(proposal) => proposal,
        Err(error) => {
            let line = format!("{}\n  RUNS NOT: {error}", path.display());
            return (line, json!({ "file": path, "state": error.to_string() }));
        }
    };
    let signatures = files::read_signatures(path, agreement).unwrap_or_default();
    let owners = proposal.owners().into_iter();
    let approved: Vec<PartyName> = owners
        .filter(|owner| {
            let signature = signatures.get(owner);
            signature.is_some_and(|signature| proposal.is_approval(owner, signature))
        })
        .collect();
    let by_me = approved.contains(me);
    let state = match (by_me, now() > proposal.expires().end()) {
        (_, true) => "over",
        (true, _) => "approved",
        (false, _) => "not approved",
    };
    let query = proposal.query();
    let line = format!(
        "{}\n  `{}` by {}, until {}: {state} here; a run costs epsilon {}, delta {}",
        path.display(),
        query.name,
        proposal.analyst(),
        proposal.expires(),
        query.epsilon,
        query.delta
    );
    let mut document = of_proposal(&proposal);
    let here: Vec<String> = approved.iter().map(ToString::to_string).collect();
    add(
        &mut document,
        json!({ "file": path, "state": state, "approvals_here": here }),
    );
    (line, document)
}
