//! `ring serve`.

use std::fs;
use std::fs::TryLockError;
use std::path::{Path, PathBuf};

use incamera_agreement::{Agreement, ConsentSource};
use incamera_net::telemetry;
use incamera_seal::{OwnDataset, OwnKeys};
use incamera_types::{DatasetSpec, PurposeName};
use serde_json::json;
use tokio::net::TcpListener;

use super::{block_on, kept_until, room_client};
use crate::args::RingServe;
use crate::clock::now;
use crate::endpoint::{self, AccessLog, ENDPOINT_FORMAT, Endpoint, Token};
use crate::failure::{Context, Done, Failure};
use crate::folder::{Folder, write_private};
use crate::printer::Printer;

/// Gives the keys of one purpose to programs on this machine, until it is stopped.
pub fn run(arguments: &RingServe, printer: &Printer) -> Done {
    if !arguments.listen.ip().is_loopback() {
        let what = format!(
            "`{}` is not an address of this machine alone",
            arguments.listen
        );
        return Err(Failure::usage(what)
            .why("keys go out unencrypted: nobody else may reach the endpoint")
            .hint("listen on 127.0.0.1 or [::1]"));
    }
    let folder = Folder::open(&arguments.party.party)?;
    let file = folder.agreement_file(arguments.under.agreement.as_deref())?;
    let agreement = room_client::own_agreement(&folder, &file)?;
    check_purpose(&agreement, &arguments.purpose)?;
    let _lock = endpoint_lock(&folder)?;
    let keys = own_keys(&folder, &agreement, &arguments.purpose, printer)?;
    let (token_file, log) = (token_file(arguments, &folder), folder.access_log());
    let access = AccessLog::open(&log, arguments.purpose.clone())
        .or_fail(format!("`{}` was not opened", log.display()))?;
    block_on(async {
        let listener = TcpListener::bind(arguments.listen).await.map_err(|error| {
            Failure::failed(format!("`{}` cannot be listened on", arguments.listen))
                .because(&error)
                .hint("stop what listens there, or take port 0 for a free one")
        })?;
        let url = format!("http://{}", listener.local_addr().or_fail("no address")?);
        let token = Token::generate();
        let document = json!({
            "format": ENDPOINT_FORMAT, "url": url, "token": token.expose(),
            "purpose": arguments.purpose, "agreement_id": agreement.id,
        });
        let _file = TokenFile::write(&token_file, &document.to_string())?;
        show(arguments, &url, &token_file, &log, printer);
        let endpoint = Endpoint::new(token, keys, access, now);
        endpoint::serve(listener, endpoint, telemetry::shutdown()).await;
        Ok(())
    })
}

fn show(arguments: &RingServe, url: &str, token_file: &Path, log: &Path, printer: &Printer) {
    let purpose = &arguments.purpose;
    let text = format!(
        "keys for `{purpose}` at {url}, until Ctrl-C\n  address and token  {}: whoever reads it gets these keys\n  each request       {}",
        token_file.display(),
        log.display()
    );
    let document = json!({
        "url": url, "purpose": purpose, "token_file": token_file, "access_log": log,
    });
    printer.result(text, "incamera-ring-serving/1", &document);
}

fn check_purpose(agreement: &Agreement, purpose: &PurposeName) -> Done {
    let leaves = agreement.leaf_purposes();
    if leaves.contains(purpose) {
        return Ok(());
    }
    let names: Vec<String> = leaves.iter().map(|leaf| format!("`{leaf}`")).collect();
    Err(
        Failure::usage(format!("`{purpose}` is no leaf purpose of the agreement"))
            .hint(format!("data are sealed for {}", names.join(", "))),
    )
}

fn own_keys(
    folder: &Folder,
    agreement: &Agreement,
    purpose: &PurposeName,
    printer: &Printer,
) -> Result<OwnKeys, Failure> {
    let mut ring = folder.ring()?;
    kept_until::enforce(folder, agreement, &mut ring, printer)?;
    let register = |spec: &DatasetSpec| match agreement.consent_of(spec) {
        ConsentSource::Dataset(register) if register.name != spec.name => {
            Some(register.name.clone())
        }
        _ => None,
    };
    let own = agreement.datasets.values();
    let own = own.filter(|spec| &spec.owner == folder.name() && !spec.public);
    let own = own.map(|spec| {
        let own = OwnDataset {
            spec: spec.clone(),
            folder: folder.sealed(&agreement.id, &spec.name),
            register: register(spec),
        };
        (spec.name.clone(), own)
    });
    Ok(OwnKeys {
        ring,
        agreement_id: agreement.id,
        matching_epoch: agreement.matching.epoch,
        partitions: agreement.matching.partitions,
        purpose: purpose.clone(),
        owner: folder.service_key()?.public(),
        datasets: own.collect(),
    })
}

fn token_file(arguments: &RingServe, folder: &Folder) -> PathBuf {
    let named = arguments.token_file.clone();
    named.unwrap_or_else(|| folder.endpoint_file())
}

/// One endpoint a folder: with two, nobody knows which purpose a program gets.
fn endpoint_lock(folder: &Folder) -> Result<fs::File, Failure> {
    let what = "the endpoint was not started";
    let lock = fs::File::create(folder.endpoint_lock()).or_fail(what)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Failure::failed(what)
            .why(format!("another one gives keys of `{}`", folder.name()))
            .hint("use that one, or end it first: there is one purpose at a time")),
        Err(TryLockError::Error(error)) => Err(Failure::failed(what).because(&error)),
    }
}

/// Address and token, there for as long as they are of use.
struct TokenFile(PathBuf);

impl TokenFile {
    fn write(path: &Path, text: &str) -> Result<Self, Failure> {
        write_private(path, text)?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        // A token that is left behind opens nothing: the next run makes another.
        let _ = fs::remove_file(&self.0);
    }
}
