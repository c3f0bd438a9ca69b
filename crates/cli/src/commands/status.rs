//! `status`: what a party has agreed to, sealed and spent.

use std::path::PathBuf;
use std::time::Duration;

use incamera_agreement::{Agreement, Ceiling, files};
use incamera_net::client;
use incamera_net::services::{
    AgreementStatus, NewestManifestReply, NewestManifestRequest, StatusReply, StatusRequest,
};
use incamera_net::tls::TlsOptions;
use incamera_seal::{SignedManifest, open_manifest};
use incamera_types::{
    AgreementDigest, AgreementId, DatasetName, Digest, IdKind, PartyName, PrivacyLoss,
};
use incamera_wire::v1::{DataVersion, Loss};
use serde_json::{Value, json};
use tonic::transport::Channel;

use super::matching::{LinksDue, Used, links_due, links_to_put, used_under};
use super::own_data::{self, OwnData};
use super::room_client::{connect_failure, status_failure};
use super::{block_on, matching};
use crate::args::PartyFolder;
use crate::failure::{Context, Done, Failure};
use crate::folder::{Folder, agreement_files};
use crate::printer::Printer;
use crate::spending;
use crate::words::counted;

/// Asks the party's own service.
pub fn run(arguments: &PartyFolder, printer: &Printer) -> Done {
    let folder = Folder::open(&arguments.party)?;
    let removed = matching::remove_expired(&folder)?;
    let status = block_on(ask(&folder))?;
    let known = status.agreements.iter();
    let known: Vec<Known<'_>> = known
        .map(|one| Known::new(&folder, own_left(&status), one))
        .collect();
    let document = json!({
        "party": status.party,
        "spent": loss(status.spent.as_ref()),
        "ceiling": loss(status.ceiling.as_ref()),
        "agreements": known.iter().map(|one| one.document(folder.name())).collect::<Vec<_>>(),
        "data": data_document(&status.data),
        "match_journals_removed": removed,
    });
    if removed > 0 {
        printer.note(format!(
            "{} of an interrupted matching, too old to be gone on with: removed",
            counted(removed.into(), "journal", "journals")
        ));
    }
    printer.result(
        text(&folder, &status, &known),
        "incamera-status/1",
        &document,
    );
    Ok(())
}

/// What the party's own service answers, if it does in time.
async fn in_time<T>(answer: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let silent = || {
        Failure::failed("the party's service did not answer")
            .why(format!("it said nothing for {} s", PATIENCE.as_secs()))
            .hint("look at its log, or start it anew: `incamera party serve`")
    };
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    answer.map_err(|_| silent())?
}

async fn ask(folder: &Folder) -> Result<StatusReply, Failure> {
    in_time(async {
        let mut owner = client::owner(connected(folder).await?);
        refusal(owner.status(StatusRequest {}).await)
    })
    .await
}

async fn ask_manifest(
    folder: &Folder,
    request: NewestManifestRequest,
) -> Result<NewestManifestReply, Failure> {
    in_time(async {
        let mut owner = client::owner_of_manifests(connected(folder).await?);
        refusal(owner.newest_manifest(request).await)
    })
    .await
}

fn refusal<T>(reply: Result<tonic::Response<T>, tonic::Status>) -> Result<T, Failure> {
    let reply = reply.map_err(|status| status_failure("the party's service refused", &status));
    reply.map(tonic::Response::into_inner)
}

async fn connected(folder: &Folder) -> Result<Channel, Failure> {
    let key = folder.service_key()?;
    let address = folder.config.listen.to_string();
    let (service, options) = (key.public(), TlsOptions::default());
    let channel = client::connect(&address, &service, Some(&key), &options);
    channel.await.map_err(|error| {
        connect_failure("the party's service was not reached", &error)
            .hint("start it with `incamera party serve`")
    })
}

/// How long the party's own service has to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a party's own service knows of an agreement.
pub struct Own {
    /// What the party has spent under it.
    pub spent: PrivacyLoss,
    /// What is left of the party's own ceiling over all agreements.
    pub left: PrivacyLoss,
    /// Why it opens nothing, where that is neither its date nor a signature.
    pub replaced: Option<String>,
}

/// What the party's own service knows of an agreement; nothing if it does not know this version.
pub fn own(folder: &Folder, agreement: &Agreement) -> Result<Option<Own>, Failure> {
    let status = block_on(ask(folder))?;
    let digest: &[u8] = agreement.digest.as_ref();
    let mut known = status.agreements.iter();
    let known = known.find(|known| known.digest == digest);
    Ok(known.map(|known| Own {
        spent: spending::from_wire(known.spent.as_ref()),
        left: own_left(&status),
        replaced: (known.state == "agreement-superseded").then(|| known.why.clone()),
    }))
}

/// The newest version of a data set that the party's own service knows.
pub fn newest(
    folder: &Folder,
    agreement: &AgreementId,
    dataset: &DatasetName,
) -> Result<Option<DataVersion>, Failure> {
    let status = block_on(ask(folder))?;
    let id: &[u8] = agreement.as_ref();
    let mut known = status.agreements.into_iter();
    let known = known.find(|known| known.id == id);
    let mut data = known.into_iter().flat_map(|known| known.data);
    Ok(data.find(|data| data.dataset == dataset.as_str()))
}

/// The newest manifest of a data set that the party's own service has, signed by the party.
pub fn newest_manifest(
    folder: &Folder,
    agreement: &AgreementId,
    dataset: &DatasetName,
) -> Result<Option<SignedManifest>, Failure> {
    let request = NewestManifestRequest {
        agreement_id: agreement.as_bytes().to_vec(),
        dataset: dataset.to_string(),
    };
    let reply = block_on(ask_manifest(folder, request))?;
    let key = folder.service_key()?.public();
    let open = |signed| open_manifest(&signed, &key);
    let manifest = reply.manifest.map(open).transpose();
    let manifest = manifest.or_fail("the manifest that the party's service has does not count")?;
    let asked =
        |found: &SignedManifest| found.agreement_id() == agreement && found.dataset() == dataset;
    match manifest.as_ref().is_none_or(asked) {
        true => Ok(manifest),
        false => Err(
            Failure::failed("the manifest that the party's service has does not count")
                .why("it is another data set's"),
        ),
    }
}

/// What is left of the party's own ceiling over all agreements.
fn own_left(status: &StatusReply) -> PrivacyLoss {
    let spent = spending::from_wire(status.spent.as_ref());
    spent.left_of(&spending::from_wire(status.ceiling.as_ref()))
}

fn data_document(data: &[DataVersion]) -> Vec<Value> {
    let one = |data: &DataVersion| json!({ "dataset": data.dataset, "version": data.version });
    data.iter().map(one).collect()
}

fn loss(loss: Option<&Loss>) -> Value {
    let loss = loss.copied().unwrap_or_default();
    json!({ "rho": loss.rho, "delta0": loss.delta0 })
}

/// An agreement as the service knows it, with the file that it is, where the folder has it.
struct Known<'a> {
    status: &'a AgreementStatus,
    own_left: PrivacyLoss,
    terms: Option<Agreement>,
    data: Vec<OwnData>,
    /// Of each kind of id that was matched.
    used: Vec<(IdKind, Used)>,
    /// The providers that are still to be told of links.
    links_due: Vec<LinksDue>,
    /// Pairs that are to be put anew.
    links_to_put: u64,
}

impl<'a> Known<'a> {
    fn new(folder: &Folder, own_left: PrivacyLoss, status: &'a AgreementStatus) -> Self {
        let files = agreement_files(folder.agreements()).unwrap_or_default();
        let read = |path: PathBuf| files::read(&path).ok();
        let ours = |terms: &Agreement| AsRef::<[u8]>::as_ref(&terms.digest) == status.digest;
        let terms = files.into_iter().filter_map(read).find(ours);
        Self {
            status,
            own_left,
            data: own_data::all(folder, &status.data, terms.as_ref()),
            used: terms
                .as_ref()
                .map_or(Vec::new(), |terms| used_under(folder, terms)),
            links_due: terms
                .as_ref()
                .map_or(Vec::new(), |terms| links_due(folder, terms)),
            links_to_put: terms
                .as_ref()
                .filter(|_| status.state == IN_FORCE)
                .map_or(0, |terms| links_to_put(folder, terms)),
            terms,
        }
    }

    fn spent(&self) -> PrivacyLoss {
        spending::from_wire(self.status.spent.as_ref())
    }

    fn ceiling(&self, party: &PartyName) -> Option<&Ceiling> {
        self.terms.as_ref()?.budgets.get(party)
    }

    fn in_force(&self) -> bool {
        self.status.state == IN_FORCE
    }

    /// How many runs are left of each query: none, where the agreement opens nothing.
    fn left(&self, party: &PartyName) -> Vec<(String, u64)> {
        let left = self
            .terms
            .iter()
            .flat_map(|terms| spending::runs_by_query(terms, party, &self.spent(), &self.own_left));
        let left = left.map(|(query, runs)| (query.name.to_string(), runs));
        left.map(|(query, runs)| (query, if self.in_force() { runs } else { 0 }))
            .collect()
    }

    /// `in force until 2028-01-01`, or why it is not.
    fn state(&self) -> String {
        let status = self.status;
        match (status.state.as_str(), status.missing.as_slice()) {
            (IN_FORCE, _) => match &self.terms {
                Some(terms) => format!("in force until the end of {} (UTC)", terms.expires),
                None => "in force".to_owned(),
            },
            (_, missing @ [_, ..]) => {
                format!("waits for a valid signature of {}", missing.join(", "))
            }
            ("agreement-expired", _) => format!("EXPIRED: {}", status.why),
            ("agreement-superseded", _) => format!("superseded: {}", status.why),
            _ => "does not count here: it gives this party other keys, follows no version known here, or lets a purpose replace one that it cannot".to_owned(),
        }
    }

    fn document(&self, party: &PartyName) -> Value {
        let status = self.status;
        let left = self.left(party).into_iter();
        json!({
            "name": status.name, "version": status.version,
            "state": status.state, "in_force": self.in_force(),
            "expires": self.terms.as_ref().map(|terms| terms.expires.to_string()),
            "data": self.data.iter().map(OwnData::document).collect::<Vec<_>>(),
            "digest": AgreementDigest::from_slice(&status.digest).ok(),
            "missing_signatures": status.missing,
            "spent": loss(status.spent.as_ref()),
            "ceiling": loss(status.ceiling.as_ref()),
            "epsilon": self.ceiling(party).map(|ceiling| spending::document(&self.spent(), ceiling)),
            "runs_left": left.map(|(query, runs)| (query, json!(runs))).collect::<serde_json::Map<_, _>>(),
            "log_entries": status.log_entries,
            "links_due": self.links_due.iter().map(LinksDue::document).collect::<Vec<_>>(),
            "links_to_put": self.links_to_put,
            "matching_used": self.used.iter().map(|(kind, used)| (kind.to_string(), used.document())).collect::<serde_json::Map<_, _>>(),
        })
    }

    fn lines(&self, party: &PartyName) -> Vec<String> {
        let status = self.status;
        let spent = match self.ceiling(party) {
            Some(ceiling) => spending::at_delta(&self.spent(), &ceiling.budget),
            None => format!("rho {}, no ceiling here", self.spent().rho),
        };
        let left = self.left(party).into_iter();
        let left: String = left
            .filter(|_| self.in_force())
            .map(|(query, runs)| format!("; room for {runs} runs of {query}"))
            .collect();
        let entries = counted(status.log_entries, "log entry", "log entries");
        let used = self.used.iter();
        let used = used.map(|(kind, used)| format!("  matching by {kind}: {}", used.words()));
        let lines = [
            format!(
                "agreement {} version {}: {}",
                status.name,
                status.version,
                self.state()
            ),
            format!("  spent {spent}{left}; {entries}"),
        ];
        let due = self.links_due.iter().map(LinksDue::line);
        let lines = lines.into_iter().chain(used).chain(due);
        lines.chain(self.to_put_anew()).collect()
    }

    fn to_put_anew(&self) -> Option<String> {
        let pairs = counted(self.links_to_put, "pair", "pairs");
        let line = format!(
            "  {pairs} of linked ids were put when the agreement had other purposes, and do not count: `incamera match links put` with all pairs puts them anew"
        );
        (self.links_to_put > 0).then_some(line)
    }
}

/// What the service calls the state of an agreement in force.
const IN_FORCE: &str = "in-force";

fn text(folder: &Folder, status: &StatusReply, known: &[Known<'_>]) -> String {
    let budget = &folder.config.budget;
    let spent = spending::from_wire(status.spent.as_ref());
    let mut lines = vec![format!(
        "{}: spent over all agreements {}",
        status.party,
        spending::at_delta(&spent, budget)
    )];
    let mut ordered: Vec<&Known<'_>> = known.iter().collect();
    ordered.sort_by_key(|known| (&known.status.name, &known.status.id, known.status.version));
    for (at, known) in ordered.iter().enumerate() {
        lines.extend(known.lines(folder.name()));
        let next = ordered.get(at + 1);
        if next.is_none_or(|next| next.status.id != known.status.id) {
            lines.extend(known.data.iter().map(OwnData::line));
        }
    }
    lines.push(spending::why());
    lines.join("\n")
}
