//! The RFC's vectors, with one share of one.

use incamera_group::{Backend, Scalar};
use incamera_oprf::client::{Blinding, Quorum};
use incamera_oprf::server::Evaluator;
use incamera_oprf::shares::{PublicKeys, Share};
use incamera_oprf::suite::{MAX_INPUT_BYTES, finalize};

use crate::common::{CONTEXT, place, places, public_key, rng};

const VECTORS: &str = include_str!("../../vectors/rfc9497.txt");

fn values(name: &str) -> Vec<Vec<u8>> {
    let lines = VECTORS.lines().filter_map(|line| line.split_once(' '));
    lines
        .filter(|(key, _)| *key == name)
        .map(|(_, value)| hex::decode(value).unwrap())
        .collect()
}

fn scalar(bytes: &[u8]) -> Scalar {
    Scalar::from_canonical_bytes(bytes.try_into().unwrap()).unwrap()
}

#[test]
fn one_share_of_one_gives_the_rfcs_bytes() {
    let [inputs, blinds, blinded, evaluated, outputs] = [
        "Input",
        "Blind",
        "BlindedElement",
        "EvaluationElement",
        "Output",
    ]
    .map(values);
    assert_eq!(inputs.len(), 2);
    let share = Share::new(place(1), scalar(&values("skSm")[0]));
    let keys = PublicKeys::new(1, [(place(1), share.public_key())]).unwrap();
    assert_eq!(*keys.key(), public_key(share.secret()));
    let set = places(&[1]);
    for backend in Backend::all() {
        for at in 0..inputs.len() {
            let input = &[inputs[at].as_slice()];
            let blinding = Blinding::new(backend, scalar(&blinds[at]));
            let asked = blinding.blind(input);
            assert_eq!(asked[0].as_bytes().as_slice(), blinded[at]);
            let evaluator = Evaluator::new(backend, &share, &set).unwrap();
            let answer = evaluator.evaluate(CONTEXT, &asked, &mut rng(1)).unwrap();
            assert_eq!(answer.points[0].as_bytes().as_slice(), evaluated[at]);
            let quorum = Quorum::new(backend, &keys, &set).unwrap();
            let checked = quorum.check(place(1), CONTEXT, &asked, answer).unwrap();
            let found = blinding.finish(&quorum, &asked, &[checked], input).unwrap();
            assert_eq!(found[0].as_bytes().as_slice(), outputs[at]);
        }
    }
}

#[test]
fn inputs_longer_than_their_length_are_refused() {
    let point = public_key(&Scalar::random(&mut rng(1)));
    assert!(finalize(&vec![0; MAX_INPUT_BYTES], &point).is_ok());
    let refused = finalize(&vec![0; MAX_INPUT_BYTES + 1], &point).unwrap_err();
    assert_eq!(refused.found, MAX_INPUT_BYTES + 1);
    let output = finalize(b"x", &point).unwrap();
    assert_eq!(format!("{output:?}"), "Output(..)");
}
