//! `status`: what a party has agreed to, sealed and spent.

use incamera_dp::epsilon_of;
use incamera_net::client;
use incamera_net::services::{AgreementStatus, StatusReply, StatusRequest};
use incamera_net::tls::TlsOptions;
use incamera_types::{AgreementDigest, Delta, Digest, Rho};
use incamera_wire::v1::Loss;
use serde_json::{Value, json};

use super::block_on;
use super::room_client::{connect_failure, status_failure};
use crate::args::PartyFolder;
use crate::failure::{Done, Failure};
use crate::folder::Folder;
use crate::printer::Printer;

/// Asks the party's own service.
pub fn run(arguments: &PartyFolder, printer: &Printer) -> Done {
    let folder = Folder::open(&arguments.party)?;
    let status = block_on(ask(&folder))?;
    let document = json!({
        "party": status.party,
        "spent": loss(status.spent.as_ref()),
        "ceiling": loss(status.ceiling.as_ref()),
        "agreements": status.agreements.iter().map(agreement).collect::<Vec<_>>(),
        "data": status.data.iter().map(|data| json!({ "dataset": data.dataset, "version": data.version })).collect::<Vec<_>>(),
    });
    printer.result(text(&status), "incamera-status/1", &document);
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

fn loss(loss: Option<&Loss>) -> Value {
    let loss = loss.copied().unwrap_or_default();
    json!({ "rho": loss.rho, "delta0": loss.delta0 })
}

fn agreement(status: &AgreementStatus) -> Value {
    json!({
        "name": status.name,
        "digest": AgreementDigest::from_slice(&status.digest).ok(),
        "missing_signatures": status.missing,
        "spent": loss(status.spent.as_ref()),
        "ceiling": loss(status.ceiling.as_ref()),
        "log_entries": status.log_entries,
    })
}

/// Epsilon at a delta that people know how to read.
fn epsilon(loss: Option<&Loss>) -> String {
    let rho = Rho::from_units(loss.map(|loss| loss.rho).unwrap_or_default());
    let delta = Delta::from_f64(1e-6).unwrap_or_default();
    format!("{:.3}", epsilon_of(rho, delta).to_f64())
}

fn spent_of(spent: Option<&Loss>, ceiling: Option<&Loss>) -> String {
    let limit = match ceiling {
        Some(limit) if limit.rho > 0 => format!(" of {}", epsilon(Some(limit))),
        _ => ", no ceiling".to_owned(),
    };
    format!("epsilon {}{limit} (at delta 1e-6)", epsilon(spent))
}

fn text(status: &StatusReply) -> String {
    let mut lines = vec![format!(
        "{}: spent over all agreements {}",
        status.party,
        spent_of(status.spent.as_ref(), status.ceiling.as_ref())
    )];
    for known in &status.agreements {
        let state = match known.missing.as_slice() {
            [] => "in force".to_owned(),
            missing => format!("waits for a valid signature of {}", missing.join(", ")),
        };
        lines.push(format!("agreement {}: {state}", known.name));
        lines.push(format!(
            "  spent {}; {} log entries",
            spent_of(known.spent.as_ref(), known.ceiling.as_ref()),
            known.log_entries
        ));
    }
    for data in &status.data {
        lines.push(format!(
            "data set {}: version {}",
            data.dataset, data.version
        ));
    }
    lines.join("\n")
}
