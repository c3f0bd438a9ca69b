//! `data push | inspect`.

use std::path::Path;

use incamera_agreement::{Agreement, SignedAgreement};
use incamera_net::services::owner_client::OwnerClient;
use incamera_net::services::room_client::RoomClient;
use incamera_net::services::{
    PartHeader, PushFrame, PushReply, RegisterManifestRequest, push_frame,
};
use incamera_seal::{
    MANIFEST_FILE, SignedManifest, check_part_file, destroy_superseded,
    inspect as inspect_manifest, open_manifest, part_path, peek_manifest, read_manifest_file,
};
use incamera_types::limits::CHUNK_BYTES;
use incamera_types::{DatasetName, DatasetSpec, FileId};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::behind::{self, Behind};
use super::keeping::Newest;
use super::room_client::{self, status_failure};
use super::{block_on, kept_until};
use crate::args::{DataInspect, DataPush};
use crate::clock::now;
use crate::failure::{Context, Done, Exit, Failure};
use crate::folder::Folder;
use crate::printer::Printer;

/// Chunks of a part under way.
const CHUNKS_UNDER_WAY: usize = 4;

/// The data set of this name, if it is the party's own.
pub fn own_dataset<'a>(
    folder: &Folder,
    agreement: &'a Agreement,
    name: &DatasetName,
) -> Result<&'a DatasetSpec, Failure> {
    let spec = agreement.datasets.get(name);
    let own = spec.filter(|spec| &spec.owner == folder.name());
    own.ok_or_else(|| {
        let owned = agreement
            .datasets
            .values()
            .filter(|spec| &spec.owner == folder.name());
        let names: Vec<String> = owned.map(|spec| format!("`{}`", spec.name)).collect();
        Failure::usage(format!("`{name}` is no data set of `{}`", folder.name()))
            .hint(format!("the agreement gives it {}", names.join(", ")))
    })
}

/// The party's own newest manifest of a data set, if it ever sealed one.
pub fn read_manifest(
    folder: &Folder,
    agreement: &Agreement,
    dataset: &DatasetName,
) -> Result<Option<SignedManifest>, Failure> {
    let path = folder.sealed(&agreement.id, dataset).join(MANIFEST_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let what = format!("the manifest of `{dataset}` was not read");
    let key = folder.service_key()?.public();
    let signed = read_manifest_file(&path).or_fail(&what);
    let opened = signed.and_then(|signed| open_manifest(&signed, &key).or_fail(&what));
    let fitting = opened.and_then(|manifest| match manifest.dataset() != dataset {
        true => Err(Failure::failed(&what).why(format!(
            "`{}` is the manifest of `{}`",
            path.display(),
            manifest.dataset()
        ))),
        false => Ok(manifest),
    });
    fitting.map(Some).map_err(|failure| {
        failure.hint(format!(
            "put `{}` back from a backup, or seal the data set again with `--yes`, with the party's service running: it knows which version comes next",
            path.display()
        ))
    })
}

/// The party's own newest manifest of a data set.
pub fn own_manifest(
    folder: &Folder,
    agreement: &Agreement,
    dataset: &DatasetName,
) -> Result<SignedManifest, Failure> {
    read_manifest(folder, agreement, dataset)?.ok_or_else(|| {
        Failure::failed(format!("`{dataset}` is not sealed yet"))
            .hint(format!("run `incamera data seal {dataset} --data FILE`"))
    })
}

/// Registers sealed data sets with the party's own broker and pushes them to the room.
pub fn push(arguments: &DataPush, printer: &Printer) -> Done {
    let folder = Folder::open(&arguments.party.party)?;
    let file = folder.agreement_file(arguments.under.agreement.as_deref())?;
    let agreement = room_client::own_agreement(&folder, &file)?;
    let manifests = chosen(arguments, &folder, &agreement)?;
    let mut ring = folder.ring()?;
    kept_until::enforce(&folder, &agreement, &mut ring, printer)?;
    for manifest in &manifests {
        let destroyed = destroy_superseded(&mut ring, manifest);
        destroyed.or_fail(format!(
            "nothing was pushed: old keys of `{}` were not destroyed",
            manifest.dataset()
        ))?;
        whole(&folder, &agreement, manifest)?;
        if let Err(over) = manifest.counts_at(now()) {
            printer.warn(over.to_string());
        }
    }
    let newest = match arguments.append {
        true => Some(Newest::ask(&folder, agreement.agreement(), &manifests)?),
        false => None,
    };
    let pushed = push_all(&folder, &agreement, &manifests, newest.as_ref(), printer);
    let pushed = block_on(pushed)?;
    let behind = behind::after_push(&folder, agreement.agreement(), &manifests);
    let text: Vec<String> = pushed.iter().map(Pushed::text).collect();
    let sets: Vec<_> = pushed.iter().map(Pushed::document).collect();
    let waiting: Vec<_> = behind.iter().map(Behind::document).collect();
    let document = json!({ "datasets": sets, "opens_nothing": waiting });
    printer.result(text.join("\n"), "incamera-pushed/1", &document);
    for one in behind {
        printer.warn(one.text());
    }
    Ok(())
}

fn chosen(
    arguments: &DataPush,
    folder: &Folder,
    agreement: &Agreement,
) -> Result<Vec<SignedManifest>, Failure> {
    let mut manifests = Vec::new();
    for name in &arguments.datasets {
        own_dataset(folder, agreement, name)?;
        manifests.push(own_manifest(folder, agreement, name)?);
    }
    if arguments.datasets.is_empty() {
        let own = agreement
            .datasets
            .values()
            .filter(|spec| &spec.owner == folder.name());
        for spec in own {
            manifests.extend(read_manifest(folder, agreement, &spec.name)?);
        }
    }
    if manifests.is_empty() {
        return Err(Failure::failed("there is nothing to push")
            .hint("seal a data set first: `incamera data seal NAME --data FILE`"));
    }
    Ok(manifests)
}

/// Whether every part is here as it was sealed. Looked at before anything is registered: a
/// version that cannot be pushed would leave every question without an answer.
fn whole(folder: &Folder, agreement: &Agreement, manifest: &SignedManifest) -> Done {
    let name = manifest.dataset();
    let sealed = folder.sealed(&agreement.id, name);
    for part in manifest.parts() {
        let path = part_path(&sealed, &part.file_id);
        check_part_file(&path, manifest, part).map_err(|error| {
            Failure::failed(format!("`{name}` is damaged here: nothing was pushed"))
                .because(&error)
                .hint(format!(
                    "put `{}` back from a backup, or seal the data set again: `incamera data seal {name} --data FILE`",
                    path.display()
                ))
        })?;
    }
    Ok(())
}

/// What one push did.
struct Pushed {
    dataset: DatasetName,
    version: u64,
    parts: u64,
    bytes: u64,
}

impl Pushed {
    fn text(&self) -> String {
        let Self {
            dataset,
            version,
            parts,
            bytes,
        } = self;
        format!("`{dataset}` version {version} is in the room: {parts} parts sent, {bytes} bytes")
    }

    fn document(&self) -> serde_json::Value {
        let Self {
            dataset,
            version,
            parts,
            bytes,
        } = self;
        json!({ "dataset": dataset, "version": version, "parts_sent": parts, "bytes_sent": bytes })
    }
}

async fn push_all(
    folder: &Folder,
    agreement: &SignedAgreement,
    manifests: &[SignedManifest],
    add_to: Option<&Newest>,
    printer: &Printer,
) -> Result<Vec<Pushed>, Failure> {
    let broker = room_client::own_service(folder, agreement).await?;
    let room = room_client::attested(agreement, Some(&folder.service_key()?), printer).await?;
    if let Some(newest) = add_to {
        for manifest in manifests {
            newest.kept_by(manifest, folder, room.channel()).await?;
        }
    }
    let mut pushed = Vec::new();
    for manifest in manifests {
        register(OwnerClient::new(broker.clone()), manifest).await?;
        let sealed = folder.sealed(&agreement.agreement().id, manifest.dataset());
        pushed.push(push_one(room.channel(), manifest, &sealed, printer).await?);
    }
    Ok(pushed)
}

async fn register(mut broker: OwnerClient<Channel>, manifest: &SignedManifest) -> Done {
    let request = RegisterManifestRequest {
        manifest: Some(manifest.signed().clone()),
    };
    broker
        .register_manifest(request)
        .await
        .map(|_| ())
        .map_err(|status| status_failure("the party's broker did not take the manifest", &status))
}

async fn push_one(
    channel: Channel,
    manifest: &SignedManifest,
    sealed: &Path,
    printer: &Printer,
) -> Result<Pushed, Failure> {
    let asked = send(channel.clone(), manifest, Vec::new(), sealed, printer).await?;
    let wanted: Vec<FileId> = asked
        .parts_missing
        .iter()
        .filter_map(|id| FileId::from_slice(id))
        .collect();
    let done = match wanted.is_empty() {
        true => asked,
        false => send(channel, manifest, wanted, sealed, printer).await?,
    };
    if !done.parts_missing.is_empty() {
        return Err(
            Failure::failed(format!("`{}` is not whole in the room", manifest.dataset()))
                .hint("push it again; if that does not help, seal it again"),
        );
    }
    Ok(Pushed {
        dataset: manifest.dataset().clone(),
        version: done.version,
        parts: done.parts_stored,
        bytes: done.bytes_stored,
    })
}

/// Sends the manifest and some parts. The room answers which parts it still wants.
async fn send(
    channel: Channel,
    manifest: &SignedManifest,
    parts: Vec<FileId>,
    sealed: &Path,
    printer: &Printer,
) -> Result<PushReply, Failure> {
    let (frames, receiver) = mpsc::channel(CHUNKS_UNDER_WAY);
    let first = push_frame::Frame::Manifest(manifest.signed().clone());
    let (bar, sealed) = (printer.progress("pushing", None), sealed.to_owned());
    let feed = tokio::spawn(async move {
        let sent = feed(&frames, first, &parts, &sealed, &bar).await;
        bar.finish_and_clear();
        sent
    });
    let reply = RoomClient::new(channel)
        .push(ReceiverStream::new(receiver))
        .await;
    let read = feed.await.unwrap_or(Ok(()));
    let reply =
        reply.map_err(|status| status_failure("the room did not take the data", &status))?;
    read?;
    Ok(reply.into_inner())
}

async fn feed(
    frames: &mpsc::Sender<PushFrame>,
    first: push_frame::Frame,
    parts: &[FileId],
    sealed: &Path,
    bar: &indicatif::ProgressBar,
) -> Done {
    let send = async |frame| frames.send(PushFrame { frame: Some(frame) }).await.is_ok();
    let mut open = send(first).await;
    for id in parts {
        let what = format!("the part {id} was not read");
        let bytes = tokio::fs::read(part_path(sealed, id)).await.or_fail(what)?;
        let header = PartHeader {
            file_id: id.as_bytes().to_vec(),
        };
        open = open && send(push_frame::Frame::Part(header)).await;
        for chunk in bytes.chunks(CHUNK_BYTES) {
            open = open && send(push_frame::Frame::Chunk(chunk.to_vec())).await;
            bar.inc(chunk.len() as u64);
        }
        if !open {
            // The room's answer says why it hung up.
            return Ok(());
        }
    }
    Ok(())
}

const UNCHECKED: &str = "not checked: whether its owner signed it, and whether the parts are whole; `incamera verify FILE --agreement FILE` checks the signature";

/// Shows what a sealed data set tells somebody without keys.
pub fn inspect(arguments: &DataInspect, printer: &Printer) -> Done {
    let path = match arguments.path.is_dir() {
        true => arguments.path.join(MANIFEST_FILE),
        false => arguments.path.clone(),
    };
    let what = format!("`{}` was not read", path.display());
    let read = read_manifest_file(&path).or_fail(&what);
    let manifest = read.and_then(|signed| peek_manifest(&signed).or_fail(&what));
    let manifest = manifest.map_err(|failure| {
        failure
            .exit(Exit::Failed)
            .hint("name a sealed data set's folder, or the `manifest` in it; a damaged one is put back from a backup, or made anew by `incamera data seal`")
    })?;
    let inspection = inspect_manifest(&manifest);
    let text = format!("{inspection}\n{UNCHECKED}");
    let mut document = json!(inspection);
    if let Some(fields) = document.as_object_mut() {
        fields.insert("signature".into(), json!("not checked"));
    }
    printer.result(text, "incamera-inspection/1", &document);
    Ok(())
}
