//! `query explain | run`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use incamera_agreement::{Agreement, ApprovedProposal, Query, SignedAgreement};
use incamera_keys::ReceiveKey;
use incamera_net::client;
use incamera_net::services::{ManifestsRequest, RunRequest, RunResult, run_event::Event};
use incamera_query::{Needed, NoEpsilon, prove, table};
use incamera_release::{Address, ReceiptReport, Receiver, Request, open_answer, verify_release};
use incamera_seal::{SignedManifest, open_manifest};
use incamera_types::{AnalystRef, DatasetName, ManifestDigest, RequestDigest};
use incamera_wire::v1::{ReleaseFile, Signed};
use serde_json::json;

use super::asked::Asked;
use super::block_on;
use super::room_client::{self, AttestedRoom, status_failure};
use crate::args::{Exports, QueryCheck, QueryExplain, QueryRun};
use crate::clock::now;
use crate::export::{self, Exported};
use crate::failure::{Context, Done, Exit, Failure};
use crate::kept::{self, Place};
use crate::printer::Printer;
use crate::{ask, receipt, spending};

/// How long a signed request is good for, in seconds.
const REQUEST_LIFETIME_S: u64 = 600;

/// Shows the bounded plan, the cost and the error to expect.
pub fn explain(arguments: &QueryExplain, printer: &Printer) -> Done {
    let (agreement, asked) = Asked::open(&arguments.of)?;
    let (params, checked) = asked.checked(&agreement, &arguments.params)?;
    let foretell =
        |name: &str, half_width| checked.epsilon_for(&agreement, &params, name, half_width);
    let needed = arguments.error.iter().map(|error| needed(error, foretell));
    let needed = needed.collect::<Result<Vec<_>, _>>()?;
    let mut explanation = checked.explain(&agreement).with_needed(needed);
    if arguments.bounds {
        let clamps = checked.clamps(&agreement, &params);
        let asked = checked.bounds_to_ask(&agreement).into_iter();
        let sections = asked.map(|(_, section)| section).collect();
        explanation = explanation.with_clamps(clamps, sections);
    }
    printer.result(
        explanation.to_string(),
        "incamera-explanation/1",
        &explanation,
    );
    Ok(())
}

/// The epsilon that an error would need: `NAME=HALF_WIDTH`.
fn needed(
    argument: &str,
    foretell: impl Fn(&str, f64) -> Result<Needed, NoEpsilon>,
) -> Result<Needed, Failure> {
    let form = || {
        Failure::usage(format!("`{argument}` names no error"))
            .hint("write `--error NAME=HALF_WIDTH`, such as `--error spend=1000`")
    };
    let (name, half_width) = argument.split_once('=').ok_or_else(form)?;
    let half_width: f64 = half_width.parse().map_err(|_| form())?;
    foretell(name, half_width).map_err(|error| {
        Failure::usage("no epsilon can be told")
            .because(&error)
            .hint("name an aggregate of the query, and half the width of the range that is wanted")
    })
}

/// Says what the query reveals at worst, whatever its parameters.
pub fn check_worst(arguments: &QueryCheck, printer: &Printer) -> Done {
    let (agreement, asked) = Asked::open(&arguments.of)?;
    let proved = prove(&agreement, asked.query()).map_err(|refusal| asked.refused(&refusal))?;
    let reveals = proved.reveals(&agreement);
    if let Some(warning) = reveals.memory.warning() {
        printer.warn(warning);
    }
    let text = format!("{reveals}{}", reveals.memory);
    printer.result(text, "incamera-reveals/1", &reveals);
    Ok(())
}

/// Asks: attests the room, signs the request, shows the answer and keeps the receipt.
pub fn run(arguments: &QueryRun, printer: &Printer) -> Done {
    let agreement = room_client::signed_agreement(&arguments.of.agreement)?;
    let terms = agreement.agreement();
    let meant = Asked::under(terms, &arguments.of)?;
    let query = meant.query();
    stands(terms, arguments)?;
    let (params, _) = meant.checked(terms, &arguments.params)?;
    let proposed = meant.approved()?;
    confirm(arguments, query)?;
    writable(arguments)?;
    let what = (query, proposed.as_ref());
    let asked = block_on(ask(arguments, &agreement, what, params, printer))?;
    show(&agreement, query, asked, &arguments.exports, printer)
}

/// Whoever asks for a purpose that a new version renamed or split is told so before anything is
/// asked.
fn stands(agreement: &Agreement, arguments: &QueryRun) -> Done {
    let succession = arguments.purpose.as_ref();
    let succession = succession.and_then(|purpose| agreement.succession(purpose));
    succession.map_or(Ok(()), |succession| {
        Err(Failure::new(
            Exit::Refused,
            format!("query `{}` was not asked", arguments.of.name),
        )
        .why(succession.to_string())
        .hint(
            "ask for a purpose that stands in this version: `incamera agreement show` lists them",
        ))
    })
}

/// Finds out before anything is spent whether the answer could be kept.
fn writable(arguments: &QueryRun) -> Done {
    let out = arguments.out.as_deref().unwrap_or(Path::new("."));
    let failed = match out.is_dir() {
        true => arguments.out.is_some() || !export::can_make(&out.join("answer")),
        false => !export::can_make(out),
    };
    if failed {
        return Err(Failure::usage(format!(
            "the answer could not be written to `{}`",
            out.display()
        ))
        .why("the folder cannot be written, or the name is a folder's")
        .hint("name a file with `--out FILE`; nothing was spent"));
    }
    export::writable(&arguments.exports, arguments.out.as_deref())
}

/// Says what it costs, and asks a person; a program says `--yes`.
fn confirm(arguments: &QueryRun, query: &Query) -> Done {
    if arguments.yes {
        return Ok(());
    }
    let cost = format!(
        "`{}` costs each owner epsilon {} (a repeat costs nothing)",
        query.name, query.epsilon
    );
    let nobody = || {
        Failure::usage("nothing was asked")
            .why(format!(
                "{cost}, and nobody is at a terminal to agree to it"
            ))
            .hint("say `--yes` to spend it")
    };
    ask::agreed(
        &format!("{cost}. Ask?"),
        "nothing was asked, and nothing spent",
        nobody,
    )
}

/// Who asks, and the key: the command line has both wherever a room is asked.
fn asker(arguments: &QueryRun) -> Result<(&AnalystRef, &Path), Failure> {
    let asker = arguments.analyst.as_ref().zip(arguments.key.as_deref());
    asker.ok_or_else(|| {
        Failure::usage("who asks?").hint("name the analyst with `--as` and the key with `--key`")
    })
}

/// What came back.
struct Answered {
    release: ReleaseFile,
    report: ReceiptReport,
    place: Place,
}

async fn ask(
    arguments: &QueryRun,
    agreement: &SignedAgreement,
    (query, proposed): (&Query, Option<&ApprovedProposal>),
    params: incamera_types::Params,
    printer: &Printer,
) -> Result<Answered, Failure> {
    let (analyst, key) = asker(arguments)?;
    let key = room_client::analyst_key(agreement.agreement(), analyst, key)?;
    let bar = printer.progress("attesting the room", None);
    let room = room_client::attested(agreement, Some(&key), printer)
        .await
        .map_err(|failure| {
            failure.or_hint("ask whoever runs the room to start it: `incamera room serve`")
        })?;
    let manifests = manifests(&room, agreement, query).await?;
    let what = "the request was not made";
    let measurement = room.workload().measurement();
    let request = match proposed {
        Some(proposed) => Request::proposed(proposed, params, &manifests, measurement),
        None => Request::new(
            agreement.agreement(),
            &query.name,
            params,
            &manifests,
            measurement,
        ),
    };
    let mut request = request.or_fail(what)?;
    if let Some(purpose) = &arguments.purpose {
        request = request.for_purpose(purpose.clone());
    }
    let place = match request.purpose() == &query.purpose {
        true => kept::place(
            out(arguments, request.digest()),
            request.digest(),
            agreement,
        )?,
        // No owner grants for it, and no answer will come.
        false => Place::Free(out(arguments, request.digest())),
    };
    let expires = now().plus(REQUEST_LIFETIME_S);
    let mut rng = rand::rng();
    let reply = ReceiveKey::generate(&mut rng).or_fail(what)?;
    let keys = (&key, reply.public());
    let signed = request
        .sign_for_reply(analyst, &arguments.reason, expires, keys, &mut rng)
        .or_fail(what)?;
    let result = run_in_room(&room, signed, &bar).await;
    bar.finish_and_clear();
    let result = result.map_err(|failure| match advice(arguments, query) {
        Some(advice) => failure.or_hint(advice),
        None => failure,
    })?;
    let address = Address {
        agreement: agreement.agreement().digest,
        request: request.digest(),
        receiver: Receiver::Analyst(analyst.clone()),
    };
    let (release, report) = opened(result, &reply, &address, agreement)?;
    if report.request_digest != request.digest() {
        return Err(Failure::failed("the room's answer does not hold")
            .why("its receipt is of another request than the one that was signed")
            .hint(SUSPECT));
    }
    Ok(Answered {
        release,
        report,
        place,
    })
}

/// The answer, with its receipt verified. Rooms of earlier programs do not seal it.
fn opened(
    result: RunResult,
    reply: &ReceiveKey,
    address: &Address,
    agreement: &SignedAgreement,
) -> Result<(ReleaseFile, ReceiptReport), Failure> {
    let suspect = |failure: Failure| failure.hint(SUSPECT);
    let what = "the room's answer does not hold";
    if let Some(sealed) = result.sealed {
        let opened = open_answer(&sealed, reply, address, agreement);
        return opened.or_fail(what).map_err(suspect);
    }
    let release = result.release.unwrap_or_default();
    let report = verify_release(&release, agreement)
        .or_fail(what)
        .map_err(suspect)?;
    Ok((release, report))
}

const SUSPECT: &str = "do not use it; asking again is free, and if it stays so, whoever runs the room has to explain it";

/// What the analyst can do about a refusal, by what the agreement says. That the key is the
/// analyst's was checked before.
fn advice(arguments: &QueryRun, query: &Query) -> Option<String> {
    let asked = arguments.purpose.as_ref();
    if asked.is_some_and(|purpose| purpose != &query.purpose) {
        return Some("leave `--purpose` out, or let the parties agree on a query for it".into());
    }
    let asks = arguments.analyst.as_ref();
    let may = asks.is_some_and(|analyst| query.analysts.contains(analyst));
    if !may {
        return Some(format!(
            "only {} may ask `{}`: let the parties agree on another version",
            names(&query.analysts),
            query.name
        ));
    }
    let proposal = arguments.of.proposal.as_ref();
    proposal.map(|_| "whether an owner still lets the proposal run is for its people to say: `incamera query approve`".into())
}

fn names(analysts: &[AnalystRef]) -> String {
    let names: Vec<String> = analysts.iter().map(ToString::to_string).collect();
    names.join(", ")
}

/// Where the answer is to be kept.
fn out(arguments: &QueryRun, request: RequestDigest) -> PathBuf {
    let short: String = request.to_string().chars().take(12).collect();
    let named = || format!("{}-{short}.release", arguments.of.name).into();
    arguments.out.clone().unwrap_or_else(named)
}

/// The manifests in the room, each signed by its data set's owner.
async fn manifests(
    room: &AttestedRoom,
    agreement: &SignedAgreement,
    query: &Query,
) -> Result<BTreeMap<DatasetName, ManifestDigest>, Failure> {
    let datasets = query.datasets();
    let names = datasets.iter().map(|name| name.to_string()).collect();
    let reply = client::room(room.channel())
        .manifests(ManifestsRequest { datasets: names })
        .await;
    let reply = reply.map_err(|status| status_failure("the room has not all data", &status))?;
    let mut digests = BTreeMap::new();
    for (dataset, signed) in datasets.into_iter().zip(reply.into_inner().manifests) {
        let manifest = open(agreement, dataset, &signed)?;
        digests.insert(dataset.clone(), manifest.digest());
    }
    Ok(digests)
}

fn open(
    agreement: &SignedAgreement,
    dataset: &DatasetName,
    signed: &Signed,
) -> Result<SignedManifest, Failure> {
    let failed = || {
        Failure::failed(format!(
            "the manifest of `{dataset}` in the room is not its owner's"
        ))
        .hint("its owner pushes it again: `incamera data push`")
    };
    let terms = agreement.agreement();
    let owner = terms
        .datasets
        .get(dataset)
        .and_then(|spec| terms.service_key(&spec.owner));
    let owner = owner.ok_or_else(|| failed().why("the agreement has no such data set"))?;
    let manifest = open_manifest(signed, owner).map_err(|error| failed().because(&error))?;
    if manifest.dataset() != dataset {
        return Err(failed().why("it is the manifest of another data set"));
    }
    Ok(manifest)
}

async fn run_in_room(
    room: &AttestedRoom,
    request: Signed,
    bar: &indicatif::ProgressBar,
) -> Result<RunResult, Failure> {
    let refused = |status| status_failure("there is no answer", &status);
    let run = client::room(room.channel())
        .run(RunRequest {
            request: Some(request),
        })
        .await;
    let mut events = run.map_err(refused)?.into_inner();
    while let Some(event) = events.message().await.map_err(refused)? {
        match event.event {
            Some(Event::Step(step)) => bar.set_message(step.step),
            Some(Event::Result(result)) => return Ok(result),
            None => {}
        }
    }
    Err(Failure::failed("there is no answer").why("the room hung up"))
}

fn show(
    agreement: &SignedAgreement,
    query: &Query,
    asked: Answered,
    exports: &Exports,
    printer: &Printer,
) -> Done {
    let Answered {
        release,
        report,
        place,
    } = asked;
    let terms = agreement.agreement();
    let shown = table(&report.answer, terms, query, report.request.params())
        .or_fail("the answer was not understood")?;
    let mut text = format!(
        "{shown}\n{}",
        spending::line(&report, terms, query, shown.accounted_shown())
    );
    let kept = kept::keep(place, &release, &report).map_err(|(path, error)| {
        // Nobody else keeps the answer: it is shown, whatever else went wrong.
        printer.warn(&text);
        Failure::failed(format!(
            "the answer was not written to `{}`",
            path.display()
        ))
        .because(&error)
        .hint("the charge stands: ask again with another `--out`, the same request is free")
    })?;
    let path = kept.path.display();
    text.push_str(&format!("\nanswer and receipt: {path}"));
    if let Some(note) = kept.note {
        text.push_str(&format!(" ({note})"));
    }
    let exported = Exported::released(&release, &report, &shown, terms, query);
    let written = export::write(exports, &exported, query.name.as_str()).map_err(|failure| {
        printer.warn(&text);
        failure.hint(format!(
            "the answer is kept: `incamera verify {path}` writes it with the same flags"
        ))
    })?;
    text.push_str(&export::line(&written));
    let document = json!({
        "answer": shown, "table": text, "request_digest": report.request_digest, "release": kept.path,
        "parameters": receipt::parameters(&report),
        "simulated": report.simulated, "charges": receipt::charges(&report),
        "spent": receipt::spent(&report, terms),
        "runs_left": spending::runs_left(&report, terms, query),
        "written": written,
    });
    printer.result(&text, "incamera-answer/1", &document);
    Ok(())
}
