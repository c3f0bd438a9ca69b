//! `data seal | push | inspect`.

use std::path::Path;

use incamera_agreement::{Agreement, ConsentSource, SignedAgreement};
use incamera_matching::ids;
use incamera_net::services::owner_client::OwnerClient;
use incamera_net::services::room_client::RoomClient;
use incamera_net::services::{
    PartHeader, PushFrame, PushReply, RegisterManifestRequest, push_frame,
};
use incamera_seal::{
    Consent, Consents, Crosswalk, MANIFEST_FILE, SealError, SealJob, SealReport, SignedManifest,
    Source, SourceError, inspect as inspect_manifest, open_manifest, part_path, peek_manifest,
    read_manifest_file, seal_dataset,
};
use incamera_types::limits::CHUNK_BYTES;
use incamera_types::{DatasetName, DatasetSpec, FileId, IdKind};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::block_on;
use super::room_client::{self, status_failure};
use crate::agreement_error;
use crate::args::{DataInspect, DataPush, DataSeal};
use crate::clock::now;
use crate::failure::{Context, Done, Exit, Failure};
use crate::folder::Folder;
use crate::printer::Printer;

/// Chunks of a part under way.
const CHUNKS_UNDER_WAY: usize = 4;

/// Seals a file as one of the party's data sets.
pub fn seal(arguments: &DataSeal, printer: &Printer) -> Done {
    let folder = Folder::open(&arguments.party.party)?;
    let file = folder.agreement_file(arguments.under.agreement.as_deref())?;
    let agreement = agreement_error::read(&file)?;
    let spec = own_dataset(&folder, &agreement, &arguments.dataset)?;
    let report = seal_file(arguments, &folder, &agreement, spec, printer)?;
    if let Some(consents) = &report.consents {
        let path = folder.consents(&agreement.id);
        consents
            .write(&path)
            .or_fail("the consents were not kept")?;
    }
    let sealed = folder.sealed(&agreement.id, &arguments.dataset);
    show_report(&report, &arguments.dataset, &sealed, printer);
    Ok(())
}

/// The data set of this name, if it is the party's own.
fn own_dataset<'a>(
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

fn seal_file(
    arguments: &DataSeal,
    folder: &Folder,
    agreement: &Agreement,
    spec: &DatasetSpec,
    printer: &Printer,
) -> Result<SealReport, Failure> {
    let what = format!("`{}` was not sealed", arguments.data.display());
    let source = Source::of(&arguments.data)
        .or_fail(&what)
        .map_err(|failure| failure.hint("give a file that ends in .csv or .parquet"))?;
    let crosswalk = crosswalk(folder, agreement, spec)?;
    let people = |id: &str| {
        let (kind, crosswalk) = crosswalk.as_ref()?;
        crosswalk.lookup(&ids::normalise(id, kind).ok()?)
    };
    let consents = consents(folder, agreement, spec)?;
    let before = match read_manifest(folder, agreement, &arguments.dataset)? {
        Some(before) => (before.version(), Some(before.digest())),
        None => (0, None),
    };
    let bar = printer.progress("sealing", None);
    let out = folder.sealed(&agreement.id, &arguments.dataset);
    let job = SealJob {
        spec,
        agreement_id: agreement.id,
        version: before.0 + 1,
        previous: before.1,
        key_epoch: 1,
        matching_epoch: agreement.matching.epoch,
        partitions: agreement.matching.partitions,
        purposes: &agreement.leaf_purposes(),
        source: &source,
        id_column: arguments.id_column.as_deref(),
        people: &people,
        consent: consents.as_consent(),
        out: &out,
        progress: &mut |rows| bar.set_position(rows),
    };
    let mut ring = folder.ring()?;
    let report = seal_dataset(
        job,
        &mut ring,
        &folder.service_key()?,
        now(),
        &mut rand::rng(),
    );
    bar.finish_and_clear();
    report.map_err(|error| {
        Failure::failed(what)
            .because(&error)
            .hint(mend_and_seal(&error))
    })
}

fn mend_and_seal(error: &SealError) -> &'static str {
    match error {
        SealError::Source(SourceError::MissingColumns { .. }) => {
            "nothing was sealed: mend the file, or name the column with raw ids with `--id-column`"
        }
        SealError::Source(_) => {
            "nothing was sealed: mend the file, or the agreement, and seal again"
        }
        _ => "nothing was sealed: run the command again once that is mended",
    }
}

/// Where consents come from, with what must stay in memory for it.
enum ConsentFrom {
    Column,
    People(Consents),
    Everyone,
}

impl ConsentFrom {
    fn as_consent(&self) -> Consent<'_> {
        match self {
            Self::Column => Consent::Column,
            Self::People(consents) => Consent::ByPerson(consents),
            Self::Everyone => Consent::Everyone,
        }
    }
}

fn consents(
    folder: &Folder,
    agreement: &Agreement,
    spec: &DatasetSpec,
) -> Result<ConsentFrom, Failure> {
    let register = match agreement.consent_of(spec) {
        ConsentSource::Dataset(register) => register,
        ConsentSource::Everything(_) => return Ok(ConsentFrom::Everyone),
    };
    if register.name == spec.name {
        return Ok(ConsentFrom::Column);
    }
    let read = Consents::read(&folder.consents(&agreement.id));
    read.map(ConsentFrom::People).map_err(|error| {
        Failure::failed(format!("`{}` was not sealed", spec.name))
            .because(&error)
            .hint(format!(
                "seal `{}` first: it says what each person agreed to",
                register.name
            ))
    })
}

/// The crosswalk of the data set's kind of id; none for a data set without people.
fn crosswalk(
    folder: &Folder,
    agreement: &Agreement,
    spec: &DatasetSpec,
) -> Result<Option<(IdKind, Crosswalk)>, Failure> {
    let Some(column) = spec.pseudonym_column() else {
        return Ok(None);
    };
    let kind = column
        .id_kind
        .clone()
        .or_else(|| agreement.matching.ids.first().cloned());
    let Some(kind) = kind else {
        return Ok(None);
    };
    let path = folder.crosswalk(&agreement.id, &kind);
    let crosswalk = Crosswalk::read(&path).map_err(|error| {
        Failure::failed(format!("`{}` was not sealed", spec.name))
            .because(&error)
            .hint("run `incamera match run` first: it makes the crosswalk")
    })?;
    Ok(Some((kind, crosswalk)))
}

fn show_report(report: &SealReport, dataset: &DatasetName, sealed: &Path, printer: &Printer) {
    let count = |(column, count): (&incamera_types::ColumnName, &u64)| format!("{column} {count}");
    let clamped: Vec<String> = report.clamped.iter().map(count).collect();
    let replaced: Vec<String> = report.replaced.iter().map(count).collect();
    let mut text = format!(
        "`{dataset}` is sealed: {} of {} rows in {} parts, {} bytes\n  in {}",
        report.sealed,
        report.rows,
        report.parts,
        report.bytes,
        sealed.display()
    );
    for (what, counts) in [
        (
            "without a pseudonym, left out",
            vec![report.without_pseudonym.to_string()],
        ),
        (
            "without consent to any purpose, left out",
            vec![report.without_consent.to_string()],
        ),
        ("clamped", clamped.clone()),
        ("not in the agreement's list", replaced.clone()),
        (
            "columns not in the agreement, ignored",
            report.ignored.clone(),
        ),
    ] {
        if !counts.is_empty() && counts != ["0"] {
            text.push_str(&format!("\n  {what}: {}", counts.join(", ")));
        }
    }
    let document = json!({
        "dataset": dataset, "rows": report.rows, "sealed": report.sealed, "parts": report.parts,
        "bytes": report.bytes, "without_pseudonym": report.without_pseudonym,
        "without_consent": report.without_consent, "clamped": report.clamped,
        "replaced": report.replaced, "ignored": report.ignored, "manifest": report.manifest,
    });
    printer.result(text, "incamera-sealed/1", &document);
}

/// The party's own newest manifest of a data set, if it ever sealed one.
fn read_manifest(
    folder: &Folder,
    agreement: &Agreement,
    dataset: &DatasetName,
) -> Result<Option<SignedManifest>, Failure> {
    let path = folder.sealed(&agreement.id, dataset).join(MANIFEST_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let what = format!("the manifest of `{dataset}` was not read");
    let signed = read_manifest_file(&path).or_fail(&what)?;
    let key = folder.service_key()?.public();
    open_manifest(&signed, &key).map(Some).or_fail(what)
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
    let agreement = room_client::signed_agreement(&file)?;
    let manifests = chosen(arguments, &folder, &agreement)?;
    let pushed = block_on(push_all(&folder, &agreement, &manifests, printer))?;
    let text: Vec<String> = pushed.iter().map(Pushed::text).collect();
    let sets: Vec<_> = pushed.iter().map(Pushed::document).collect();
    printer.result(
        text.join("\n"),
        "incamera-pushed/1",
        &json!({ "datasets": sets }),
    );
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
    printer: &Printer,
) -> Result<Vec<Pushed>, Failure> {
    let broker = room_client::own_service(folder, agreement).await?;
    let room = room_client::attested(agreement, Some(&folder.service_key()?), printer).await?;
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

/// Shows what a sealed data set tells somebody without keys.
pub fn inspect(arguments: &DataInspect, printer: &Printer) -> Done {
    let path = match arguments.path.is_dir() {
        true => arguments.path.join(MANIFEST_FILE),
        false => arguments.path.clone(),
    };
    let what = format!("`{}` was not read", path.display());
    let signed = read_manifest_file(&path).or_fail(&what)?;
    let manifest = peek_manifest(&signed).or_fail(&what).map_err(|failure| {
        failure
            .exit(Exit::Failed)
            .hint("name a sealed data set's folder, or its manifest")
    })?;
    let inspection = inspect_manifest(&manifest);
    printer.result(inspection.to_string(), "incamera-inspection/1", &inspection);
    Ok(())
}
