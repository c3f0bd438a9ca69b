use std::collections::BTreeMap;

use incamera_attest::simulated::{collect, measure};
use incamera_attest::{
    Accepted, AttestError, Binding, MAX_AGE_S, MAX_AHEAD_S, Policy, TeeKind, evidence_digest,
    verify,
};
use incamera_types::{
    AgreementDigest, Digest as _, Measurement, RequestDigest, Transcript, UnixTime,
};
use incamera_wire::v1::{Evidence, RoomKeys};
use proptest::prelude::*;

const NOW: UnixTime = UnixTime(1_800_000_000);

fn measurement(of: u8) -> Measurement {
    Measurement::from_bytes([of; 32])
}

fn policy_of(kind: TeeKind, min_tcb: BTreeMap<String, u64>) -> Policy {
    Policy::new(vec![Accepted {
        kind,
        measurements: vec![measurement(1), measurement(2)],
        min_tcb,
    }])
    .unwrap()
}

fn policy() -> Policy {
    policy_of(TeeKind::Simulated, BTreeMap::new())
}

fn keys() -> RoomKeys {
    RoomKeys {
        hpke_key: vec![5; 1216],
        tls_key: vec![6; 44],
        receipt_key: vec![7; 32],
    }
}

fn agreement(of: u8) -> AgreementDigest {
    AgreementDigest::from_bytes([of; 32])
}

fn request(of: u8) -> RequestDigest {
    RequestDigest::from_bytes([of; 32])
}

fn binding() -> Binding {
    Binding::for_request([9; 32], keys(), agreement(3), request(4))
}

fn good() -> Evidence {
    collect(measurement(1), &binding(), NOW).unwrap()
}

fn refusal(evidence: &Evidence) -> AttestError {
    verify(evidence, &policy(), &binding(), NOW).unwrap_err()
}

#[test]
fn i10_simulated_evidence_is_verified_and_says_so() {
    let workload = verify(&good(), &policy(), &binding(), NOW).unwrap();
    assert!(workload.simulated());
    assert_eq!(workload.kind(), TeeKind::Simulated);
    assert_eq!(workload.measurement(), measurement(1));
    assert_eq!(workload.for_request(), Some(request(4)));
    assert_eq!(workload.digest(), evidence_digest(&good()));
    assert_eq!(workload.binding(), &binding());
    let bound = binding().with(good());
    assert_eq!(Binding::claimed(&bound).unwrap(), binding());
}

#[test]
fn i4_evidence_without_a_request_releases_nothing() {
    let push = Binding::for_push([9; 32], keys(), agreement(3));
    let evidence = collect(measurement(1), &push, NOW).unwrap();
    let workload = verify(&evidence, &policy(), &push, NOW).unwrap();
    assert_eq!(workload.for_request(), None);
    assert!(workload.binding().hpke_key().is_empty());
    assert_eq!(refusal(&evidence), AttestError::WrongBinding);
    assert_eq!(Binding::claimed(&push.with(evidence)).unwrap(), push);
}

#[test]
fn i4_evidence_is_bound_to_each_part() {
    let evidence = good();
    let (challenge, agreed, asked) = ([9; 32], agreement(3), request(4));
    let other_keys = |change: fn(&mut RoomKeys)| {
        let mut keys = keys();
        change(&mut keys);
        Binding::for_request(challenge, keys, agreed, asked)
    };
    for wrong in [
        Binding::for_request([8; 32], keys(), agreed, asked),
        Binding::for_request(challenge, keys(), agreement(8), asked),
        Binding::for_request(challenge, keys(), agreed, request(8)),
        Binding::for_push(challenge, keys(), agreed),
        other_keys(|keys| keys.hpke_key[0] ^= 1),
        other_keys(|keys| keys.tls_key[0] ^= 1),
        other_keys(|keys| keys.receipt_key[0] ^= 1),
        // the same bytes, cut elsewhere
        other_keys(|keys| keys.tls_key.push(keys.receipt_key.pop().unwrap())),
    ] {
        let refused = verify(&evidence, &policy(), &wrong, NOW).unwrap_err();
        assert_eq!(refused, AttestError::WrongBinding, "{wrong:?}");
    }
}

#[test]
fn i4_other_code_is_refused() {
    let evidence = collect(measurement(8), &binding(), NOW).unwrap();
    let found = measurement(8);
    assert_eq!(refusal(&evidence), AttestError::WrongMeasurement { found });
}

#[test]
fn i4_evidence_is_fresh() {
    let at = |now| verify(&good(), &policy(), &binding(), now);
    assert!(at(NOW.plus(MAX_AGE_S)).is_ok());
    let age_s = MAX_AGE_S + 1;
    assert_eq!(
        at(NOW.plus(age_s)).unwrap_err(),
        AttestError::Stale { age_s }
    );
    assert!(at(UnixTime(NOW.0 - MAX_AHEAD_S)).is_ok());
    let ahead_s = MAX_AHEAD_S + 1;
    let early = at(UnixTime(NOW.0 - ahead_s)).unwrap_err();
    assert_eq!(early, AttestError::FromTheFuture { ahead_s });
}

#[test]
fn i4_kinds_are_a_closed_list() {
    let of_kind = |kind: &str| Evidence {
        kind: kind.into(),
        ..good()
    };
    assert_eq!(refusal(&of_kind("trust-me")), AttestError::UnknownKind);
    let kind = TeeKind::SevSnp;
    let not_named = refusal(&of_kind("sev-snp"));
    assert_eq!(not_named, AttestError::KindNotAccepted { kind });
    let snp = policy_of(kind, BTreeMap::new());
    let unsupported = verify(&of_kind("sev-snp"), &snp, &binding(), NOW).unwrap_err();
    assert_eq!(unsupported, AttestError::Unsupported { kind });
    assert!(
        unsupported
            .to_string()
            .contains("use a version of incamera")
    );
    let kind = TeeKind::Simulated;
    let real_only = verify(&good(), &snp, &binding(), NOW).unwrap_err();
    assert_eq!(real_only, AttestError::KindNotAccepted { kind });
}

#[test]
fn i4_a_floor_that_is_not_stated_is_not_met() {
    let floor = BTreeMap::from([("microcode".to_owned(), 1)]);
    let refused = verify(
        &good(),
        &policy_of(TeeKind::Simulated, floor),
        &binding(),
        NOW,
    );
    let (component, least) = ("microcode".into(), 1);
    assert_eq!(
        refused.unwrap_err(),
        AttestError::TcbTooOld { component, least }
    );
}

#[test]
fn i4_no_byte_of_the_body_is_unsigned() {
    let kind = TeeKind::Simulated;
    let mut tail = good();
    tail.body.push(0);
    assert_eq!(refusal(&tail), AttestError::Malformed { kind });
    let mut collateral = good();
    collateral.collateral.push(0);
    assert_eq!(refusal(&collateral), AttestError::Malformed { kind });
    let mut huge = good();
    huge.body = vec![0; 2 << 20];
    assert_eq!(refusal(&huge), AttestError::Malformed { kind });
}

#[test]
fn measurements_differ_by_program() {
    let one = measure(&b"program 1"[..]).unwrap();
    assert_eq!(one, measure(&b"program 1"[..]).unwrap());
    assert_ne!(one, measure(&b"program 2"[..]).unwrap());
}

/// The format, written down a second time.
#[test]
fn bindings_have_a_label_for_each_use() {
    let digest = |list: Transcript| *list.finish::<RequestDigest>().as_bytes();
    let common = |label, hpke: &[u8]| {
        Transcript::new(label)
            .field([9; 32])
            .field(hpke)
            .field(keys().tls_key)
            .field(keys().receipt_key)
            .field(agreement(3))
    };
    let hpke = keys().hpke_key;
    let for_request = common("incamera-binding-request/1", &hpke).field(request(4));
    assert_eq!(binding().digest(), digest(for_request));
    let push = Binding::for_push([9; 32], keys(), agreement(3));
    assert_eq!(
        push.digest(),
        digest(common("incamera-binding-push/1", &[]))
    );
    assert_eq!(push.report_data()[..32], push.digest());
    assert_eq!(push.report_data()[32..], [0; 32]);
}

#[test]
fn claimed_bindings_have_all_parts() {
    let bound = binding().with(good());
    for spoil in [
        (|bound| bound.keys = None) as fn(&mut incamera_wire::v1::BoundEvidence),
        |bound| bound.challenge.truncate(31),
        |bound| bound.agreement_digest.clear(),
        |bound| bound.request_digest.truncate(31),
    ] {
        let mut bound = bound.clone();
        spoil(&mut bound);
        assert!(Binding::claimed(&bound).is_err());
    }
}

proptest! {
    /// Any change of any bit, and any truncation, is refused.
    #[test]
    fn i4_changed_evidence_is_refused(at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let mut changed = good();
        let at = at.index(changed.body.len());
        changed.body[at] ^= 1 << bit;
        prop_assert!(verify(&changed, &policy(), &binding(), NOW).is_err());
        changed.body.truncate(at);
        prop_assert!(verify(&changed, &policy(), &binding(), NOW).is_err());
    }
}
