//! Talking to services: a party's by its service key, the room by its evidence.

use std::path::Path;

use incamera_agreement::{Agreement, AnalystKey, SignedAgreement, files};
use incamera_attest::{Binding, VerifiedWorkload, verify};
use incamera_keys::SigningKey;
use incamera_net::agreements::{Agreements, NotOurs};
use incamera_net::client::{self, ConnectError};
use incamera_net::services::AttestRequest;
use incamera_net::status::Problem;
use incamera_net::tls::TlsOptions;
use incamera_types::AnalystRef;
use incamera_wire::v1::BoundEvidence;
use rand::Rng;
use tonic::Status;
use tonic::transport::Channel;

use crate::agreement_error;
use crate::clock::now;
use crate::failure::{Context, Done, Exit, Failure};
use crate::folder::{Folder, read_key};
use crate::printer::Printer;

/// Reads an agreement with the signatures beside it; all must hold.
pub fn signed_agreement(path: &Path) -> Result<SignedAgreement, Failure> {
    let agreement = agreement_error::read(path)?;
    let what = format!("the agreement `{}` is not in force", path.display());
    let signatures = files::read_signatures(path, &agreement)
        .or_fail(&what)
        .map_err(|failure| {
            failure.hint("get that party's .sig file again, or let it sign again")
        })?;
    let signed = agreement.verify(&signatures).map_err(|error| {
        Failure::new(Exit::Refused, &what).because(&error).hint(
            "each party signs it with `incamera agreement sign`; keep all .sig files beside it",
        )
    })?;
    signed.at(now()).map_err(|error| {
        Failure::new(Exit::Refused, &what)
            .because(&error)
            .hint("sign a new version with a later `expires`")
    })?;
    Ok(signed)
}

/// [`signed_agreement`] for the party of `folder`: it must give that party its own keys, and
/// follow a version that the party knows, and no newer one may count. A file that all have signed may still be another's,
/// who wrote keys of its own choosing into it.
pub fn own_agreement(folder: &Folder, path: &Path) -> Result<SignedAgreement, Failure> {
    let signed = signed_agreement(path)?;
    let terms = signed.agreement();
    let me = folder.name();
    if !terms.parties.contains_key(me) {
        return Err(
            Failure::usage(format!("`{me}` is no party of this agreement"))
                .hint("name another with `--agreement FILE`"),
        );
    }
    let known = agreements(folder)?;
    known.admit(terms).map_err(|error| {
        let what = format!("the agreement `{}` does not count for `{me}`", path.display());
        Failure::new(Exit::Refused, what)
            .because(&error)
            .hint(match error {
                NotOurs::Follows => "put the version before it, with all its .sig files, into the party's `agreements` folder",
                _ => "nothing was done: use the file that you have signed; if your own keys are new, agree on a new version that names them",
            })
    })?;
    newest(&known, terms, path)?;
    Ok(signed)
}

/// The versions that count for the party of this folder.
pub fn agreements(folder: &Folder) -> Result<Agreements, Failure> {
    let service = folder.service_key()?.public();
    let (me, signs) = (folder.name().clone(), folder.config.signs);
    Ok(Agreements::new(folder.agreements(), me, signs, service))
}

/// No newer version that counts: what is sealed or pushed under an older one obeys terms, of
/// consent among them, that the parties have since replaced.
fn newest(known: &Agreements, terms: &Agreement, path: &Path) -> Done {
    let what = format!("the agreement `{}` is not in force", path.display());
    let newest = known.newest(&terms.id).or_fail(&what)?;
    let later = newest
        .map(|other| other.agreement().version)
        .filter(|version| *version > terms.version);
    match later {
        Some(version) => Err(Failure::new(Exit::Refused, what)
            .why(format!(
                "version {version} of it, signed by all, lies in this party's `agreements` folder and took its place"
            ))
            .hint("nothing was done: name the file of the newest version with `--agreement FILE`")),
        None => Ok(()),
    }
}

/// The analyst's key, read and checked.
pub fn analyst_key(
    agreement: &Agreement,
    analyst: &AnalystRef,
    path: &Path,
) -> Result<SigningKey, Failure> {
    let key = read_key(path).map_err(|failure| {
        failure.or_hint("name the analyst's private key: `incamera init --analyst` makes one")
    })?;
    check_analyst(agreement, analyst, &key)?;
    Ok(key)
}

/// The key must be the one that the agreement names for the analyst: else nobody is dialled.
fn check_analyst(agreement: &Agreement, analyst: &AnalystRef, key: &SigningKey) -> Done {
    let named = match agreement.analyst_key(analyst) {
        Some(AnalystKey::Key(named)) => named,
        _ => {
            let what = format!("the agreement knows no such analyst with a key: `{analyst}`");
            return Err(Failure::new(Exit::Refused, what).hint(format!(
                "ask `{}` to name {} in a new version of the agreement",
                analyst.party, analyst.analyst
            )));
        }
    };
    if *named == key.public() {
        return Ok(());
    }
    let what = format!("the key given is not that of `{analyst}`");
    Err(Failure::new(Exit::Refused, what)
        .why("nobody would take its signature for that of the key in the agreement")
        .hint(format!(
            "use the key that the agreement names for `{analyst}`: {}",
            named.fingerprint()
        )))
}

/// Connects to a party's service as the party of `folder`.
pub async fn party_service(
    folder: &Folder,
    agreement: &SignedAgreement,
    party: &str,
) -> Result<Channel, Failure> {
    let terms = agreement.agreement();
    let found = terms.parties.get(party);
    let found =
        found.ok_or_else(|| Failure::usage(format!("`{party}` is no party of this agreement")))?;
    let key = folder.service_key()?;
    client::connect(
        found.url.as_str(),
        &found.service,
        Some(&key),
        &options(folder),
    )
    .await
    .map_err(|error| {
        let start = match party == folder.name().as_str() {
            true => "start it with `incamera party serve`".to_owned(),
            false => format!("ask `{party}` to start its service: `incamera party serve`"),
        };
        connect_failure(&format!("`{party}` was not reached"), &error).or_hint(start)
    })
}

/// Connects to the party's own service.
pub async fn own_service(folder: &Folder, agreement: &SignedAgreement) -> Result<Channel, Failure> {
    party_service(folder, agreement, folder.name().as_str()).await
}

/// TLS options: a key log only where the party's configuration asks for one.
pub fn options(folder: &Folder) -> TlsOptions {
    #[cfg(feature = "simulated")]
    return TlsOptions {
        key_log: folder.config.insecure_tls_key_log.clone(),
    };
    #[cfg(not(feature = "simulated"))]
    {
        let _ = folder;
        TlsOptions::default()
    }
}

/// A room whose evidence held.
pub struct AttestedRoom {
    channel: Channel,
    workload: VerifiedWorkload,
    leaf: Vec<u8>,
}

impl AttestedRoom {
    /// A channel to the TLS key that the evidence names.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The room's TLS leaf, a DER certificate of the key that the evidence names.
    pub fn leaf(&self) -> &[u8] {
        &self.leaf
    }

    /// What was verified.
    pub fn workload(&self) -> &VerifiedWorkload {
        &self.workload
    }
}

/// Connects to the agreement's room and verifies its evidence: fresh, accepted by the
/// agreement, and bound to the TLS key of this connection and to this agreement.
pub async fn attested(
    agreement: &SignedAgreement,
    me: Option<&SigningKey>,
    printer: &Printer,
) -> Result<AttestedRoom, Failure> {
    let terms = agreement.agreement();
    let url = terms.room.url.as_str();
    let room = client::connect_unattested(url, me, &TlsOptions::default())
        .await
        .map_err(|error| {
            connect_failure("the room was not reached", &error)
                .or_hint("ask whoever runs the room to start it: `incamera room serve`")
        })?;
    let mut challenge = [0u8; 32];
    rand::rng().fill_bytes(&mut challenge);
    let request = AttestRequest {
        challenge: challenge.to_vec(),
    };
    let reply = client::room(room.channel()).attest(request).await;
    let reply = reply.map_err(|status| status_failure("the room gave no evidence", &status))?;
    let bound = reply.into_inner().evidence.unwrap_or_default();
    let workload = check(agreement, &bound, challenge, &room.key().to_spki())?;
    if workload.simulated() {
        printer.warn("SIMULATED TEE: nothing proves what runs on the room's machine");
    }
    Ok(AttestedRoom {
        channel: room.channel(),
        workload,
        leaf: room.leaf().to_vec(),
    })
}

fn check(
    agreement: &SignedAgreement,
    bound: &BoundEvidence,
    challenge: [u8; 32],
    tls_key: &[u8],
) -> Result<VerifiedWorkload, Failure> {
    let terms = agreement.agreement();
    let refused = |why: &str| {
        Failure::new(Exit::Attestation, "the room's evidence does not hold")
            .why(why)
            .hint("nothing was sent: ask whoever runs the room, and check the agreement's `url` of the room")
    };
    let keys = bound.keys.clone().unwrap_or_default();
    if keys.tls_key != tls_key {
        return Err(refused(
            "it is bound to another TLS key than this connection's: somebody stands in between",
        ));
    }
    if bound.agreement_digest != AsRef::<[u8]>::as_ref(&terms.digest) {
        return Err(refused("the room works under another agreement, or another version of it")
            .hint("check `agreement` in the room's configuration, and that you have the newest version"));
    }
    let evidence = bound
        .evidence
        .as_ref()
        .ok_or_else(|| refused("it is empty"))?;
    let binding = Binding::for_push(challenge, keys, terms.digest);
    verify(evidence, &terms.room.policy, &binding, now()).map_err(|error| {
        Failure::new(Exit::Attestation, "the room's evidence does not hold")
            .because(&error)
            .hint("compare `incamera room measure` on the room with `[[room.accept]]` in the agreement")
    })
}

/// What a service answered instead of doing what it was asked.
pub fn status_failure(what: &str, status: &Status) -> Failure {
    problem_failure(what, &Problem::from_status(status))
}

/// What a service said no with.
pub fn problem_failure(what: &str, problem: &Problem) -> Failure {
    let exit = match problem.exit_code() {
        2 | 1 => Exit::Failed,
        4 => Exit::Attestation,
        5 => Exit::Budget,
        _ => Exit::Refused,
    };
    let mut failure = Failure::new(exit, what).why(problem.message());
    failure.hint = problem.hint_text().map(str::to_owned);
    failure
}

/// Why a service was not reached, and what to do where that depends on the reason alone.
pub fn connect_failure(what: &str, error: &ConnectError) -> Failure {
    let failure = Failure::failed(what).because(error);
    match error {
        ConnectError::OtherKey { .. } => failure.exit(Exit::Refused).hint(
            "ask whoever runs it, on another way, which key it uses: a new key needs a new version of the agreement",
        ),
        ConnectError::Handshake { .. } => failure.hint(
            "compare address and port with the agreement's `url`: something else answers there",
        ),
        _ => failure,
    }
}
