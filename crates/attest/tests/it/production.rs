use std::collections::BTreeMap;

use incamera_attest::{Accepted, AttestError, Binding, Policy, TeeKind, verify};
use incamera_types::{AgreementDigest, Digest as _, Measurement, UnixTime};
use incamera_wire::v1::{Evidence, RoomKeys};

/// Without the feature the kind is refused, also under an agreement that accepts it.
#[test]
fn i10_a_production_build_knows_no_simulation() {
    let kind = TeeKind::Simulated;
    let policy = Policy::new(vec![Accepted {
        kind,
        measurements: vec![Measurement::from_bytes([1; 32])],
        min_tcb: BTreeMap::new(),
    }])
    .unwrap();
    let agreement = AgreementDigest::from_bytes([2; 32]);
    let binding = Binding::for_push([3; 32], RoomKeys::default(), agreement);
    let evidence = Evidence {
        kind: kind.to_string(),
        ..Evidence::default()
    };
    let refusal = verify(&evidence, &policy, &binding, UnixTime(0)).unwrap_err();
    assert_eq!(refusal, AttestError::Unsupported { kind });
    let text = refusal.to_string();
    assert!(
        text.starts_with("this build does not know simulated TEEs"),
        "{text}"
    );
    assert!(!kind.is_supported());
}
