//! `status`: what a party has agreed to, sealed and spent.

use std::path::PathBuf;

use incamera_agreement::{Agreement, Ceiling, files};
use incamera_net::client;
use incamera_net::services::{AgreementStatus, StatusReply, StatusRequest};
use incamera_net::tls::TlsOptions;
use incamera_types::{AgreementDigest, Digest, PartyName, PrivacyLoss};
use incamera_wire::v1::Loss;
use serde_json::{Value, json};

use super::block_on;
use super::room_client::{connect_failure, status_failure};
use crate::args::PartyFolder;
use crate::failure::{Done, Failure};
use crate::folder::{Folder, agreement_files};
use crate::printer::Printer;
use crate::spending;

/// Asks the party's own service.
pub fn run(arguments: &PartyFolder, printer: &Printer) -> Done {
    let folder = Folder::open(&arguments.party)?;
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
        "data": status.data.iter().map(|data| json!({ "dataset": data.dataset, "version": data.version })).collect::<Vec<_>>(),
    });
    printer.result(
        text(&folder, &status, &known),
        "incamera-status/1",
        &document,
    );
    Ok(())
}

async fn ask(folder: &Folder) -> Result<StatusReply, Failure> {
    let key = folder.service_key()?;
    let address = folder.config.listen.to_string();
    let channel = client::connect(&address, &key.public(), Some(&key), &TlsOptions::default())
        .await
        .map_err(|error| {
            connect_failure("the party's service was not reached", &error)
                .hint("start it with `incamera party serve`")
        })?;
    let reply = client::owner(channel).status(StatusRequest {}).await;
    let reply = reply.map_err(|status| status_failure("the party's service refused", &status))?;
    Ok(reply.into_inner())
}

/// What the party has spent under an agreement, and what is left of its own ceiling over all,
/// by its own service; nothing if the service does not know this version.
pub fn spent(
    folder: &Folder,
    agreement: &Agreement,
) -> Result<Option<(PrivacyLoss, PrivacyLoss)>, Failure> {
    let status = block_on(ask(folder))?;
    let digest: &[u8] = agreement.digest.as_ref();
    let mut known = status.agreements.iter();
    let known = known.find(|known| known.digest == digest);
    let spent = known.map(|known| spending::from_wire(known.spent.as_ref()));
    Ok(spent.map(|spent| (spent, own_left(&status))))
}

/// What is left of the party's own ceiling over all agreements.
fn own_left(status: &StatusReply) -> PrivacyLoss {
    let spent = spending::from_wire(status.spent.as_ref());
    spent.left_of(&spending::from_wire(status.ceiling.as_ref()))
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
}

impl<'a> Known<'a> {
    fn new(folder: &Folder, own_left: PrivacyLoss, status: &'a AgreementStatus) -> Self {
        let files = agreement_files(folder.agreements()).unwrap_or_default();
        let read = |path: PathBuf| files::read(&path).ok();
        let ours = |terms: &Agreement| AsRef::<[u8]>::as_ref(&terms.digest) == status.digest;
        Self {
            status,
            own_left,
            terms: files.into_iter().filter_map(read).find(ours),
        }
    }

    fn spent(&self) -> PrivacyLoss {
        spending::from_wire(self.status.spent.as_ref())
    }

    fn ceiling(&self, party: &PartyName) -> Option<&Ceiling> {
        self.terms.as_ref()?.budgets.get(party)
    }

    fn left(&self, party: &PartyName) -> Vec<(String, u64)> {
        let left = self
            .terms
            .iter()
            .flat_map(|terms| spending::runs_by_query(terms, party, &self.spent(), &self.own_left));
        left.map(|(query, runs)| (query.name.to_string(), runs))
            .collect()
    }

    fn document(&self, party: &PartyName) -> Value {
        let status = self.status;
        let left = self.left(party).into_iter();
        json!({
            "name": status.name,
            "digest": AgreementDigest::from_slice(&status.digest).ok(),
            "missing_signatures": status.missing,
            "spent": loss(status.spent.as_ref()),
            "ceiling": loss(status.ceiling.as_ref()),
            "epsilon": self.ceiling(party).map(|ceiling| spending::document(&self.spent(), ceiling)),
            "runs_left": left.map(|(query, runs)| (query, json!(runs))).collect::<serde_json::Map<_, _>>(),
            "log_entries": status.log_entries,
        })
    }

    fn lines(&self, party: &PartyName) -> [String; 2] {
        let status = self.status;
        let state = match status.missing.as_slice() {
            [] => "in force".to_owned(),
            missing => format!("waits for a valid signature of {}", missing.join(", ")),
        };
        let spent = match self.ceiling(party) {
            Some(ceiling) => spending::at_delta(&self.spent(), &ceiling.budget),
            None => format!("rho {}, no ceiling here", self.spent().rho),
        };
        let left = self.left(party).into_iter();
        let left: String = left
            .map(|(query, runs)| format!("; room for {runs} runs of {query}"))
            .collect();
        [
            format!("agreement {}: {state}", status.name),
            format!("  spent {spent}{left}; {} log entries", status.log_entries),
        ]
    }
}

fn text(folder: &Folder, status: &StatusReply, known: &[Known<'_>]) -> String {
    let budget = &folder.config.budget;
    let spent = spending::from_wire(status.spent.as_ref());
    let mut lines = vec![format!(
        "{}: spent over all agreements {}",
        status.party,
        spending::at_delta(&spent, budget)
    )];
    for known in known {
        lines.extend(known.lines(folder.name()));
    }
    for data in &status.data {
        lines.push(format!(
            "data set {}: version {}",
            data.dataset, data.version
        ));
    }
    lines.push(spending::why());
    lines.join("\n")
}
