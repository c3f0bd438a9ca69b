//! What a party's own people ask of its service: known by the party's own service key.

use std::sync::Arc;

use incamera_agreement::{Agreement, SignedAgreement};
use incamera_ledger::{LedgerError, NewManifest, NewestManifest, Removed, to_wire};
use incamera_net::agreements::now;
use incamera_net::server::{blocking, caller};
use incamera_net::services::owner_server::Owner as OwnerService;
use incamera_net::services::{
    AgreementStatus, NewestManifestReply, NewestManifestRequest, RegisterManifestReply,
    RegisterManifestRequest, StatusReply, StatusRequest,
};
use incamera_net::status::{Problem, ProblemKind};
use incamera_seal::{SignedManifest, open_manifest};
use incamera_types::limits::MAX_MANIFEST_BYTES;
use incamera_types::{
    AgreementDigest, AgreementId, DatasetName, Digest as _, PartyName, PurposeSet,
};
use incamera_wire::v1::{DataVersion, Loss, Signed};
use incamera_wire::{decode, encode};
use tonic::{Request, Response, Status};

use crate::broker::ledger_problem;
use crate::service::State;

/// The owner's side.
pub(crate) struct Owner {
    state: Arc<State>,
}

impl Owner {
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self { state }
    }

    fn admit<T>(&self, request: &Request<T>) -> Result<(), Problem> {
        if caller(request) == Some(self.state.service.public()) {
            return Ok(());
        }
        Err(Problem::new(
            ProblemKind::Refused,
            "not-the-owner",
            "only this party's own people may ask this: the caller's TLS key is not its service key",
        )
        .hint("name the party's own folder with `--party`, and start the service with its service key"))
    }
}

#[tonic::async_trait]
impl OwnerService for Owner {
    async fn register_manifest(
        &self,
        request: Request<RegisterManifestRequest>,
    ) -> Result<Response<RegisterManifestReply>, Status> {
        self.admit(&request)?;
        let state = self.state.clone();
        let message = request.into_inner();
        let version = blocking(move || register(&state, &message)).await?;
        Ok(Response::new(RegisterManifestReply { version }))
    }

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusReply>, Status> {
        self.admit(&request)?;
        let state = self.state.clone();
        Ok(Response::new(blocking(move || status(&state)).await?))
    }

    async fn newest_manifest(
        &self,
        request: Request<NewestManifestRequest>,
    ) -> Result<Response<NewestManifestReply>, Status> {
        self.admit(&request)?;
        let state = self.state.clone();
        let message = request.into_inner();
        let manifest = blocking(move || registered(&state, &message)).await?;
        Ok(Response::new(NewestManifestReply { manifest }))
    }
}

/// The newest manifest that was registered, as its owner signed it.
fn registered(state: &State, message: &NewestManifestRequest) -> Result<Option<Signed>, Problem> {
    let unknown = || refused("dataset-unknown", "the request names no data set");
    let id = AgreementId::from_slice(&message.agreement_id).map_err(|_| unknown())?;
    let dataset: DatasetName = message.dataset.parse().map_err(|_| unknown())?;
    let newest = state.ledger().newest_manifest(&id, &dataset);
    let newest = newest.map_err(|error| ledger_problem(&error))?;
    let signed = newest.map(|newest| decode(&newest.signed, MAX_MANIFEST_BYTES + 4096));
    signed.transpose().map_err(Problem::internal)
}

fn refused(code: &str, text: &str) -> Problem {
    Problem::new(ProblemKind::Refused, code, text)
}

fn register(state: &State, message: &RegisterManifestRequest) -> Result<u64, Problem> {
    let signed = message.manifest.clone().unwrap_or_default();
    let manifest = open_manifest(&signed, &state.service.public()).map_err(|error| {
        refused(
            "manifest-signature",
            "the manifest is not signed by this party's service key",
        )
        .hint("seal the data set again in the folder that the service runs from")
        .detail(error)
    })?;
    let agreement = check_fit(state, &manifest)?;
    check_keys(state, &manifest, agreement.agreement())?;
    let bytes = encode(&signed);
    let removals = manifest.removals().iter().map(|removal| Removed {
        version: removal.version,
        what: removal.change.as_str(),
    });
    let removals: Vec<Removed<'_>> = removals.collect();
    let new = NewManifest {
        agreement_digest: agreement.agreement().digest,
        removals: &removals,
        agreement: *manifest.agreement_id(),
        dataset: manifest.dataset(),
        version: manifest.version(),
        digest: manifest.digest(),
        previous: manifest.previous(),
        signed: &bytes,
    };
    state
        .ledger()
        .register_manifest(&new, now())
        .map_err(|error| ledger_problem(&error))?;
    let (dataset, version) = (manifest.dataset(), manifest.version());
    tracing::info!(%dataset, version, "manifest registered");
    Ok(manifest.version())
}

/// The manifest must be of a data set of this party in a signed agreement, as declared there;
/// gives the newest version of the agreement.
fn check_fit(state: &State, manifest: &SignedManifest) -> Result<SignedAgreement, Problem> {
    let signed = state
        .agreements
        .newest(manifest.agreement_id())?
        .ok_or_else(|| {
            refused(
                "agreement-unknown",
                "no signed agreement of the manifest's id is known here",
            )
            .hint("put the agreement and all its .sig files into the party's `agreements` folder")
        })?;
    let agreement = signed.agreement();
    let spec = agreement.datasets.get(manifest.dataset());
    let own = spec.filter(|spec| spec.owner == state.name);
    let own = own.ok_or_else(|| {
        refused(
            "not-the-owner",
            "the agreement gives this party no data set of the manifest's name",
        )
    })?;
    let matching = &agreement.matching;
    manifest
        .fits(own, &agreement.id, matching.epoch, matching.partitions)
        .map_err(|error| {
            refused("manifest-unfit", &error.to_string()).hint(
                "bring it to the agreement with `incamera data retag`, or seal the data set again",
            )
        })?;
    Ok(signed)
}

/// Keys only grow newer, and a purpose that was revoked comes back with new ones alone, and only
/// where a version since says that it was given back: one made without the version before it at
/// hand would bring it back unseen. A purpose that has a new name is revoked under that.
fn check_keys(
    state: &State,
    manifest: &SignedManifest,
    agreement: &Agreement,
) -> Result<(), Problem> {
    let (id, dataset) = (manifest.agreement_id(), manifest.dataset());
    let newest = state.ledger().newest_manifest(id, dataset);
    let Some(newest) = newest.map_err(|error| ledger_problem(&error))? else {
        return Ok(());
    };
    let signed = decode(&newest.signed, MAX_MANIFEST_BYTES + 4096).map_err(Problem::internal)?;
    let newest = open_manifest(&signed, &state.service.public()).map_err(Problem::internal)?;
    if manifest.version() <= newest.version() {
        // The ledger knows what to say of those.
        return Ok(());
    }
    let (old, new) = (newest.key_epoch(), manifest.key_epoch());
    if new < old {
        return Err(refused(
            "manifest-keys-old",
            &format!("the manifest's purpose keys are of epoch {new}; those of epoch {old} took their place, and the older are destroyed"),
        )
        .hint("go on from the newest sealed version, or put it back from a backup"));
    }
    let back = come_back(newest.revoked(), manifest.revoked(), agreement);
    let restored = agreement.named_now(&manifest.restored_since(newest.version()));
    if back.is_empty() || back.is_subset(&restored) && new > old {
        return Ok(());
    }
    Err(refused(
        "manifest-restores-purpose",
        "the manifest opens for a purpose that was revoked, and does not say that it was given back",
    )
    .hint("seal the data set again: that takes over what is revoked; with `--restore PURPOSE` if the purpose is meant to come back"))
}

/// The purposes that were revoked before and are not now, by the names that they have now.
pub(crate) fn come_back(
    before: &PurposeSet,
    now: &PurposeSet,
    agreement: &Agreement,
) -> PurposeSet {
    agreement.named_now(before).difference(now)
}

fn status(state: &State) -> Result<StatusReply, Problem> {
    let ledger = state.ledger();
    let failed = |error: LedgerError| ledger_problem(&error);
    let mut reply = StatusReply {
        party: state.name.to_string(),
        spent: Some(to_wire(ledger.spent_in_all().map_err(failed)?)),
        ceiling: Some(to_wire(state.own_ceiling())),
        agreements: Vec::new(),
        data: Vec::new(),
    };
    for (agreement, missing) in state.agreements.all() {
        let spent = ledger.spent(&agreement.id).map_err(failed)?;
        let entries = ledger.log_size(&agreement.id).map_err(failed)?;
        let data = ledger.newest_manifests(&agreement.id).map_err(failed)?;
        let data: Vec<DataVersion> = data.iter().map(data_version).collect();
        // Versions of one agreement share their data sets.
        let id = agreement.id.as_bytes();
        if !reply.agreements.iter().any(|known| known.id == id) {
            reply.data.extend(data.iter().cloned());
        }
        let ceiling = agreement.ceiling(&state.name).map(to_wire);
        reply.agreements.push(AgreementStatus {
            data,
            ..one(&agreement, &missing, to_wire(spent), ceiling, entries)
        });
    }
    drop(ledger);
    for known in &mut reply.agreements {
        set_state(known, state);
    }
    Ok(reply)
}

fn data_version(newest: &NewestManifest) -> DataVersion {
    DataVersion {
        dataset: newest.dataset.to_string(),
        version: newest.version,
        manifest: newest.digest.as_bytes().to_vec(),
    }
}

/// Whether the agreement opens anything today, as the broker decides it.
fn set_state(known: &mut AgreementStatus, state: &State) {
    let Ok(digest) = AgreementDigest::from_slice(&known.digest) else {
        return;
    };
    (known.state, known.why) = match state.agreements.active(&digest) {
        Ok(_) => (IN_FORCE.into(), String::new()),
        Err(problem) => (problem.code().into(), problem.message().into()),
    };
}

/// What the state of an agreement in force is called.
const IN_FORCE: &str = "in-force";

fn one(
    agreement: &Agreement,
    missing: &[PartyName],
    spent: Loss,
    ceiling: Option<Loss>,
    log_entries: u64,
) -> AgreementStatus {
    AgreementStatus {
        name: agreement.name.to_string(),
        digest: agreement.digest.as_bytes().to_vec(),
        missing: missing.iter().map(ToString::to_string).collect(),
        spent: Some(spent),
        ceiling,
        log_entries,
        version: agreement.version,
        id: agreement.id.as_bytes().to_vec(),
        ..AgreementStatus::default()
    }
}
