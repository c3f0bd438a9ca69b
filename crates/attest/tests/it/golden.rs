//! Committed evidence and the digests that it binds.
//!
//! `cargo test -p incamera-attest --features simulated -- --ignored write_golden_files` made
//! them; what changes gets files of its own beside these.

use std::fs;
use std::path::{Path, PathBuf};

use incamera_attest::simulated::{collect, measure};
use incamera_attest::{Accepted, Binding, Policy, TeeKind, evidence_digest, verify};
use incamera_types::{AgreementDigest, Digest as _, Measurement, RequestDigest, UnixTime};
use incamera_wire::v1::{BoundEvidence, RoomKeys};
use incamera_wire::{decode, encode};

const NOW: UnixTime = UnixTime(1_800_000_000);
const EVIDENCE: &str = "evidence-simulated-1";
const DIGESTS: &str = "digests-1.txt";

fn golden(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.join("tests/golden").join(name)
}

fn keys() -> RoomKeys {
    RoomKeys {
        hpke_key: vec![5; 48],
        tls_key: vec![6; 44],
        receipt_key: vec![7; 32],
    }
}

fn binding() -> Binding {
    let agreement = AgreementDigest::from_bytes([3; 32]);
    Binding::for_request(
        [9; 32],
        keys(),
        agreement,
        RequestDigest::from_bytes([4; 32]),
    )
}

fn made() -> BoundEvidence {
    let measurement = Measurement::from_bytes([1; 32]);
    binding().with(collect(measurement, &binding(), NOW).unwrap())
}

fn digests(bound: &BoundEvidence) -> String {
    let push = Binding::for_push([9; 32], keys(), AgreementDigest::from_bytes([3; 32]));
    let program = measure(b"a program".as_slice()).unwrap();
    format!(
        "{}  binding for a request\n{}  binding without a request\n{}  evidence\n{program}  a program\n",
        hex(&binding().digest()),
        hex(&push.digest()),
        evidence_digest(bound.evidence.as_ref().unwrap()),
    )
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
#[ignore = "writes the golden files anew: only for a format that has no version yet"]
fn write_golden_files() {
    fs::write(golden(EVIDENCE), encode(&made())).unwrap();
    fs::write(golden(DIGESTS), digests(&made())).unwrap();
}

#[test]
fn the_evidence_is_verified_and_made_the_same_again() {
    let bytes = fs::read(golden(EVIDENCE)).unwrap();
    let bound: BoundEvidence = decode(&bytes, bytes.len()).unwrap();
    assert_eq!(Binding::claimed(&bound).unwrap(), binding());
    let policy = Policy::new(vec![Accepted {
        kind: TeeKind::Simulated,
        measurements: vec![Measurement::from_bytes([1; 32])],
        min_tcb: Default::default(),
    }]);
    let evidence = bound.evidence.as_ref().unwrap();
    let workload = verify(evidence, &policy.unwrap(), &binding(), NOW).unwrap();
    assert!(workload.simulated());
    assert_eq!(encode(&made()), bytes);
    assert_eq!(
        digests(&bound),
        fs::read_to_string(golden(DIGESTS)).unwrap()
    );
}
