//! Taking ciphertext from owners.

use std::sync::Arc;

use incamera_agreement::Agreement;
use incamera_keys::PublicKey;
use incamera_net::disk_full;
use incamera_net::services::{PushFrame, PushReply, push_frame::Frame};
use incamera_net::status::{Problem, ProblemKind};
use incamera_seal::{SignedManifest, open_manifest, peek_manifest};
use incamera_types::FileId;
use incamera_wire::v1::Signed;
use tonic::{Status, Streaming};

use crate::store::{Receiving, Store, StoreError};

/// Receives a manifest and any number of parts; answers which parts are still wanted.
pub(crate) async fn receive(
    store: &Store,
    agreement: &Agreement,
    caller: Option<PublicKey>,
    mut frames: Streaming<PushFrame>,
) -> Result<PushReply, Status> {
    owner_calls(agreement, caller)?;
    let first = frames.message().await?.and_then(|frame| frame.frame);
    let Some(Frame::Manifest(signed)) = first else {
        return Err(invalid("a push starts with a manifest").into());
    };
    let manifest = admit(store, agreement, caller, &signed)?;
    let mut taking = Taking::new(store.clone(), Arc::new(manifest));
    while let Some(frame) = frames.message().await? {
        // Disks are slow: not on the threads that serve others.
        taking = tokio::task::spawn_blocking(move || taking.take(frame))
            .await
            .map_err(|error| Status::from(Problem::internal(error)))??;
    }
    let reply = tokio::task::spawn_blocking(move || taking.finish(&signed));
    Ok(reply
        .await
        .map_err(|error| Status::from(Problem::internal(error)))??)
}

/// Before anything that the caller sent is read: a manifest may be large, and only owners of
/// data here have one to push.
fn owner_calls(agreement: &Agreement, caller: Option<PublicKey>) -> Result<(), Problem> {
    let party = caller.and_then(|key| agreement.party_of_service(&key));
    let mut datasets = agreement.datasets.values();
    if datasets.any(|spec| Some(&spec.owner) == party) {
        return Ok(());
    }
    Err(refused(
        "not-an-owner",
        "the caller's TLS key is not the service key of an owner of data in this agreement",
    )
    .hint("push with the owner's folder"))
}

/// The manifest must be signed by the owner of a data set of this agreement, pushed by that
/// owner, and no older than the one that is here.
fn admit(
    store: &Store,
    agreement: &Agreement,
    caller: Option<PublicKey>,
    signed: &Signed,
) -> Result<SignedManifest, Problem> {
    let malformed =
        |error: &dyn std::error::Error| invalid("the manifest is malformed").detail(error);
    let peeked = peek_manifest(signed).map_err(|error| malformed(&error))?;
    let spec = agreement.datasets.get(peeked.dataset());
    let spec = spec.ok_or_else(|| {
        refused(
            "unknown-dataset",
            "the agreement has no data set of the manifest's name",
        )
    })?;
    let owner = agreement
        .service_key(&spec.owner)
        .filter(|key| Some(**key) == caller);
    let owner = owner.ok_or_else(|| {
        refused(
            "not-the-owner",
            "the caller's TLS key is not the service key of the data set's owner",
        )
        .hint("push with the owner's folder")
    })?;
    let manifest = open_manifest(signed, owner).map_err(|error| {
        refused(
            "manifest-signature",
            "the manifest is not signed by the data set's owner",
        )
        .detail(error)
    })?;
    fits(agreement, &manifest)?;
    newest(store, owner, &manifest)?;
    Ok(manifest)
}

fn fits(agreement: &Agreement, manifest: &SignedManifest) -> Result<(), Problem> {
    if manifest.agreement_id() == &agreement.id {
        return Ok(());
    }
    Err(refused(
        "other-agreement",
        "the data set was sealed under another agreement",
    )
    .hint("seal it under this agreement"))
}

fn newest(store: &Store, owner: &PublicKey, manifest: &SignedManifest) -> Result<(), Problem> {
    let Ok(here) = store.manifest(manifest.dataset(), owner) else {
        return Ok(());
    };
    let older = manifest.version() < here.version();
    let forked = manifest.version() == here.version() && manifest.digest() != here.digest();
    if older || forked {
        return Err(refused(
            "manifest-not-newest",
            "the room has a newer version of this data set",
        )
        .hint("push the newest version"));
    }
    Ok(())
}

/// A push under way.
struct Taking {
    store: Store,
    manifest: Arc<SignedManifest>,
    part: Option<Receiving>,
    parts: u64,
    bytes: u64,
}

impl Taking {
    fn new(store: Store, manifest: Arc<SignedManifest>) -> Self {
        Self {
            store,
            manifest,
            part: None,
            parts: 0,
            bytes: 0,
        }
    }

    fn take(mut self, frame: PushFrame) -> Result<Self, Problem> {
        match frame.frame {
            Some(Frame::Part(header)) => {
                self.finish_part()?;
                let id = FileId::from_slice(&header.file_id)
                    .ok_or_else(|| invalid("a part has a malformed id"))?;
                self.part = Some(self.store.receive(&self.manifest, &id)?);
            }
            Some(Frame::Chunk(bytes)) => {
                let part = self.part.as_mut();
                let part = part.ok_or_else(|| invalid("a chunk comes before its part"))?;
                part.chunk(&bytes)?;
            }
            _ => return Err(invalid("a push has one manifest, then parts")),
        }
        Ok(self)
    }

    fn finish_part(&mut self) -> Result<(), Problem> {
        if let Some(part) = self.part.take() {
            self.bytes += part.finish()?;
            self.parts += 1;
        }
        Ok(())
    }

    fn finish(mut self, signed: &Signed) -> Result<PushReply, Problem> {
        self.finish_part()?;
        let wanted = self.store.wanted(&self.manifest);
        if wanted.is_empty() {
            self.store.install(&self.manifest, signed)?;
            let (dataset, version) = (self.manifest.dataset(), self.manifest.version());
            tracing::info!(%dataset, version, parts = self.parts, "data set installed");
        }
        Ok(PushReply {
            version: self.manifest.version(),
            parts_stored: self.parts,
            bytes_stored: self.bytes,
            parts_missing: wanted.iter().map(|id| id.as_bytes().to_vec()).collect(),
        })
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let mut text = error.to_string();
        if let Some(source) = std::error::Error::source(&error) {
            text.push_str(&format!(": {source}"));
        }
        match error {
            StoreError::Missing { .. } => Problem::new(ProblemKind::NotFound, "data-missing", text),
            StoreError::Damaged { .. } | StoreError::Manifest { .. } => {
                Problem::new(ProblemKind::Conflict, "data-damaged", text)
                    .hint("the owner runs `incamera data push` again")
            }
            StoreError::TooLong | StoreError::UnknownPart => invalid(&text),
            StoreError::Io(error) if disk_full(&error) => {
                let text = "the room's disk is full; what it had is as it was";
                let hint = "its operator makes room on the disk; then push again";
                Problem::new(ProblemKind::Unavailable, "disk-full", text).hint(hint)
            }
            StoreError::Io(_) => Problem::internal(text),
        }
    }
}

fn invalid(text: &str) -> Problem {
    Problem::new(ProblemKind::Invalid, "malformed-push", text)
}

fn refused(code: &str, text: &str) -> Problem {
    Problem::new(ProblemKind::Refused, code, text)
}
