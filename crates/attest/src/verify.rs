//! The verifier: pure, everything an input.

use std::collections::BTreeMap;

use incamera_types::limits::MAX_EVIDENCE_BYTES;
use incamera_types::{EvidenceDigest, Measurement, RequestDigest, Transcript, UnixTime};
use incamera_wire::v1::Evidence;

use crate::{Accepted, Binding, Policy, TeeKind};

/// How old evidence may be.
pub const MAX_AGE_S: u64 = 300;
/// How far ahead of ours the clock of a TEE may be.
pub const MAX_AHEAD_S: u64 = 60;

/// Why evidence was not verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttestError {
    /// The kind is not one that this program knows.
    #[error("the evidence is of an unknown kind: a newer version of incamera may know it")]
    UnknownKind,
    /// The kind is known, but this build cannot check it.
    #[error("this build does not know {} TEEs: {}", .kind, how_to(*.kind))]
    Unsupported {
        /// The kind.
        kind: TeeKind,
    },
    /// The agreement accepts other kinds.
    #[error("the agreement does not accept `{kind}`: run the room in a TEE that it names")]
    KindNotAccepted {
        /// The kind of the evidence.
        kind: TeeKind,
    },
    /// The bytes are no evidence of this kind.
    #[error("the {kind} evidence is malformed")]
    Malformed {
        /// The kind it claims.
        kind: TeeKind,
    },
    /// A signature does not hold.
    #[error("the {kind} evidence is not genuine: its signature does not hold")]
    NotGenuine {
        /// The kind it claims.
        kind: TeeKind,
    },
    /// Genuine evidence of a guest that its host can look into.
    #[error("the room runs in debug mode, so its host can read its memory: start it without")]
    Debug,
    /// Genuine evidence of other code.
    #[error(
        "the room's code measures `{found}`, which the agreement does not accept: run the agreed version, or agree on this one"
    )]
    WrongMeasurement {
        /// What the TEE measured.
        found: Measurement,
    },
    /// Genuine evidence that was made for another challenge, key, agreement or request.
    #[error(
        "the evidence is not bound to this challenge, these keys, this agreement and this request"
    )]
    WrongBinding,
    /// The platform is older than the agreement accepts, or does not say.
    #[error(
        "the platform's `{component}` is below version {least}, which the agreement demands: update the host"
    )]
    TcbTooOld {
        /// The component.
        component: String,
        /// Its lowest accepted version.
        least: u64,
    },
    /// Evidence from the past.
    #[error(
        "the evidence is {age_s} s old, more than {MAX_AGE_S} s: ask for fresh evidence, and check both clocks"
    )]
    Stale {
        /// Its age.
        age_s: u64,
    },
    /// Evidence from the future.
    #[error("the evidence is dated {ahead_s} s ahead of our clock: check both clocks")]
    FromTheFuture {
        /// How far ahead.
        ahead_s: u64,
    },
}

fn how_to(kind: TeeKind) -> &'static str {
    match kind {
        TeeKind::Simulated => {
            "it is a production build; use real hardware, or a build with the feature `simulated` to try things out"
        }
        _ => "use a version of incamera that supports the kind, or agree on another kind",
    }
}

/// What genuine evidence of any kind says.
pub(crate) struct Report {
    pub(crate) kind: TeeKind,
    pub(crate) measurement: Measurement,
    pub(crate) report_data: Vec<u8>,
    pub(crate) issued_at: UnixTime,
    pub(crate) debug: bool,
    pub(crate) tcb: BTreeMap<String, u64>,
}

/// Proof that evidence was checked: genuine, accepted by the policy, fresh, bound.
///
/// Only [`verify`] makes one.
///
/// ```compile_fail
/// use incamera_attest::VerifiedWorkload;
/// fn forge(w: VerifiedWorkload) -> VerifiedWorkload {
///     VerifiedWorkload { ..w }
/// }
/// ```
#[derive(Debug)]
pub struct VerifiedWorkload {
    kind: TeeKind,
    measurement: Measurement,
    digest: EvidenceDigest,
    binding: Binding,
}

impl VerifiedWorkload {
    /// The kind of TEE.
    #[must_use]
    pub fn kind(&self) -> TeeKind {
        self.kind
    }

    /// The code that runs.
    #[must_use]
    pub fn measurement(&self) -> Measurement {
        self.measurement
    }

    /// Whether the TEE is simulated, and so protects nothing (I10).
    #[must_use]
    pub fn simulated(&self) -> bool {
        self.kind == TeeKind::Simulated
    }

    /// The digest of the evidence with its collateral.
    #[must_use]
    pub fn digest(&self) -> EvidenceDigest {
        self.digest
    }

    /// The request that the evidence was made for; `None` for evidence on which nothing may
    /// be granted.
    #[must_use]
    pub fn for_request(&self) -> Option<RequestDigest> {
        self.binding.request()
    }

    /// What the evidence is bound to.
    #[must_use]
    pub fn binding(&self) -> &Binding {
        &self.binding
    }
}

/// The digest of evidence with its collateral.
#[must_use]
pub fn evidence_digest(evidence: &Evidence) -> EvidenceDigest {
    Transcript::new("incamera-evidence/1")
        .field(&evidence.kind)
        .field(&evidence.body)
        .field(&evidence.collateral)
        .finish()
}

/// Checks evidence against what the agreement accepts and what the verifier knows.
///
/// # Errors
/// [`AttestError`], a variant for each way in which evidence fails.
pub fn verify(
    evidence: &Evidence,
    policy: &Policy,
    binding: &Binding,
    now: UnixTime,
) -> Result<VerifiedWorkload, AttestError> {
    let kind: TeeKind = evidence
        .kind
        .parse()
        .map_err(|_| AttestError::UnknownKind)?;
    let accepted = policy
        .of(kind)
        .ok_or(AttestError::KindNotAccepted { kind })?;
    if evidence
        .body
        .len()
        .saturating_add(evidence.collateral.len())
        > MAX_EVIDENCE_BYTES
    {
        return Err(AttestError::Malformed { kind });
    }
    let report = genuine(kind, evidence)?;
    check(&report, accepted, binding, now)?;
    Ok(VerifiedWorkload {
        kind: report.kind,
        measurement: report.measurement,
        digest: evidence_digest(evidence),
        binding: binding.clone(),
    })
}

fn genuine(kind: TeeKind, evidence: &Evidence) -> Result<Report, AttestError> {
    #[cfg(not(feature = "simulated"))]
    let _ = evidence;
    match kind {
        #[cfg(feature = "simulated")]
        TeeKind::Simulated => crate::simulated::report(evidence),
        kind => Err(AttestError::Unsupported { kind }),
    }
}

fn check(
    report: &Report,
    accepted: &Accepted,
    binding: &Binding,
    now: UnixTime,
) -> Result<(), AttestError> {
    if report.debug {
        return Err(AttestError::Debug);
    }
    if !accepted.measurements.contains(&report.measurement) {
        return Err(AttestError::WrongMeasurement {
            found: report.measurement,
        });
    }
    for (component, least) in &accepted.min_tcb {
        if report.tcb.get(component).is_none_or(|found| found < least) {
            return Err(AttestError::TcbTooOld {
                component: component.clone(),
                least: *least,
            });
        }
    }
    if report.report_data != binding.report_data() {
        return Err(AttestError::WrongBinding);
    }
    fresh(report.issued_at, now)
}

fn fresh(issued_at: UnixTime, now: UnixTime) -> Result<(), AttestError> {
    let (age_s, ahead_s) = (now.since(issued_at), issued_at.since(now));
    if age_s > MAX_AGE_S {
        return Err(AttestError::Stale { age_s });
    }
    if ahead_s > MAX_AHEAD_S {
        return Err(AttestError::FromTheFuture { ahead_s });
    }
    Ok(())
}
