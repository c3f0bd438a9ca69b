//! I8: the request digest covers all that the raw answer depends on, and nothing else.

use incamera_dp::NoiseKey;
use incamera_release::Request;
use incamera_types::{Digest as _, ManifestDigest};

use crate::world::{World, measurement, name, params};

#[test]
fn i8_every_field_makes_another_request() {
    let mut world = World::new();
    let agreement = world.agreement.agreement().clone();
    let make = |from: &str, of: u8, digests: &_| {
        Request::new(
            &agreement,
            &name("lift"),
            params(from),
            digests,
            measurement(of),
        )
        .unwrap()
    };
    let digests = world.digests();
    let one = make("2026-03-01", 1, &digests);
    let mut all = vec![
        one.digest(),
        make("2026-03-02", 1, &digests).digest(),
        make("2026-03-01", 2, &digests).digest(),
        one.clone().for_purpose(name("ads")).digest(),
    ];
    for dataset in digests.keys() {
        let mut other = digests.clone();
        other.insert(dataset.clone(), ManifestDigest::from_bytes([9; 32]));
        all.push(make("2026-03-01", 1, &other).digest());
    }
    let buyers = Request::new(
        &agreement,
        &name("buyers"),
        Default::default(),
        &digests,
        measurement(1),
    );
    all.push(buyers.unwrap().digest());
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
    // Who asks, why, and until when is no part of it.
    let signed = (world.sign(&one), world.sign(&one));
    assert_ne!(signed.0, signed.1);
    assert_eq!(make("2026-03-01", 1, &digests).digest(), one.digest());
}

/// What another program counts may differ: under the same noise, the difference of two answers
/// would be exact.
#[test]
fn i8_another_program_draws_other_noise() {
    let world = World::new();
    let agreement = world.agreement.agreement().clone();
    let digests = world.digests();
    let draw = |program: u8| {
        let params = params("2026-03-01");
        let program = measurement(program);
        let request = Request::new(&agreement, &name("lift"), params, &digests, program).unwrap();
        let key = NoiseKey::combine(&[&[3; 32], &[4; 32]], &request.digest());
        key.stream("spend", &["mailed"]).bits()
    };
    assert_eq!(draw(1), draw(1));
    assert_ne!(draw(1), draw(2));
}

#[test]
fn messages_round_trip() {
    let world = World::new();
    let request = world.request();
    let read = Request::from_wire(&request.to_wire(), world.agreement.agreement(), None);
    assert_eq!(read.unwrap(), request);
}
