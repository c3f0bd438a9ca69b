//! Simulated TEEs: evidence that anybody can make, and that says so (I10).
//!
//! The key below is published. A signature of it shows that the program works, and nothing
//! about the machine. This module exists only with the feature `simulated`; builds without
//! it refuse the kind.
//!
//! # Format of the body
//! A protobuf `SimulatedEvidence` whose last 66 bytes are its field `signature` (tag and
//! length, then 64 bytes): an Ed25519 signature over a label and all bytes before. No byte is
//! unsigned.

use std::io::{self, Read};

use incamera_types::{Digest as _, Measurement, Transcript, UnixTime};
use incamera_wire::v1::{Evidence, SimulatedEvidence};
use incamera_wire::{decode, encode};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

use crate::verify::Report;
use crate::{AttestError, Binding, TeeKind};

/// The published key: it protects nothing.
const SEED: &[u8; 32] = b"incamera simulated: no security!";
const LABEL: &[u8] = b"incamera-simulated-evidence/1\n";
const SIGNATURE_FIELD: [u8; 2] = [5 << 3 | 2, 64];
const SIGNATURE_BYTES: usize = SIGNATURE_FIELD.len() + 64;

/// Makes evidence of the kind `simulated`.
///
/// # Errors
/// [`AttestError::Unsupported`] if the published key cannot be read (it can).
pub fn collect(
    measurement: Measurement,
    binding: &Binding,
    now: UnixTime,
) -> Result<Evidence, AttestError> {
    sign(&SimulatedEvidence {
        measurement: measurement.as_bytes().to_vec(),
        report_data: binding.report_data().to_vec(),
        issued_at: now.0,
        debug: false,
        signature: Vec::new(),
    })
}

/// The measurement of a simulated room: a digest of its program file.
///
/// # Errors
/// If the program cannot be read.
pub fn measure(mut program: impl Read) -> io::Result<Measurement> {
    let mut bytes = Vec::new();
    program.read_to_end(&mut bytes)?;
    Ok(Transcript::new("incamera-simulated-measurement/1")
        .field(bytes)
        .finish())
}

fn key() -> Result<Ed25519KeyPair, AttestError> {
    Ed25519KeyPair::from_seed_unchecked(SEED).map_err(|_| AttestError::Unsupported {
        kind: TeeKind::Simulated,
    })
}

fn message(signed: &[u8]) -> Vec<u8> {
    [LABEL, signed].concat()
}

fn sign(report: &SimulatedEvidence) -> Result<Evidence, AttestError> {
    let mut body = encode(report);
    let signature = key()?.sign(&message(&body));
    body.extend_from_slice(&SIGNATURE_FIELD);
    body.extend_from_slice(signature.as_ref());
    Ok(Evidence {
        kind: TeeKind::Simulated.to_string(),
        body,
        collateral: Vec::new(),
    })
}

/// Checks the signature over the raw bytes and reads the report.
pub(crate) fn report(evidence: &Evidence) -> Result<Report, AttestError> {
    let kind = TeeKind::Simulated;
    let malformed = || AttestError::Malformed { kind };
    if !evidence.collateral.is_empty() {
        return Err(malformed());
    }
    let end = evidence.body.len().checked_sub(SIGNATURE_BYTES);
    let (signed, tail) = evidence
        .body
        .split_at_checked(end.ok_or_else(malformed)?)
        .ok_or_else(malformed)?;
    let signature = tail.strip_prefix(&SIGNATURE_FIELD).ok_or_else(malformed)?;
    UnparsedPublicKey::new(&ED25519, key()?.public_key())
        .verify(&message(signed), signature)
        .map_err(|_| AttestError::NotGenuine { kind })?;
    let body: SimulatedEvidence = decode(signed, evidence.body.len()).map_err(|_| malformed())?;
    Ok(Report {
        kind,
        measurement: Measurement::from_slice(&body.measurement).map_err(|_| malformed())?,
        report_data: body.report_data,
        issued_at: UnixTime(body.issued_at),
        debug: body.debug,
        tcb: Default::default(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use incamera_types::AgreementDigest;
    use incamera_wire::v1::RoomKeys;

    use super::*;
    use crate::{Accepted, Policy, verify};

    #[test]
    fn i4_a_debug_guest_is_refused() {
        let measurement = Measurement::from_bytes([1; 32]);
        let agreement = AgreementDigest::from_bytes([2; 32]);
        let binding = Binding::for_push([3; 32], RoomKeys::default(), agreement);
        let now = UnixTime(1_800_000_000);
        let policy = Policy::new(vec![Accepted {
            kind: TeeKind::Simulated,
            measurements: vec![measurement],
            min_tcb: BTreeMap::new(),
        }])
        .unwrap();
        let evidence = |debug| {
            sign(&SimulatedEvidence {
                measurement: measurement.as_bytes().to_vec(),
                report_data: binding.report_data().to_vec(),
                issued_at: now.0,
                debug,
                signature: Vec::new(),
            })
            .unwrap()
        };
        assert!(verify(&evidence(false), &policy, &binding, now).is_ok());
        let refused = verify(&evidence(true), &policy, &binding, now).unwrap_err();
        assert_eq!(refused, AttestError::Debug);
    }
}
