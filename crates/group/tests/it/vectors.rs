//! The published vectors in `vectors/rfc9496.txt`.

use incamera_group::{EncodedPoint, PointFault, Scalar, hash_to_group, multiply_batch};

const VECTORS: &str = include_str!("../../vectors/rfc9496.txt");

fn lines(kind: &str) -> Vec<Vec<&'static str>> {
    let words = VECTORS
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    words
        .filter(|words| words.first() == Some(&kind))
        .map(|words| words[1..].to_vec())
        .collect()
}

fn point(hex: &str) -> EncodedPoint {
    EncodedPoint::from_bytes(hex::decode(hex).unwrap().try_into().unwrap())
}

/// The encodings that the RFC has refused.
pub(crate) fn refused() -> Vec<[u8; 32]> {
    let encodings = lines("refuse").into_iter();
    encodings.map(|words| *point(words[0]).as_bytes()).collect()
}

fn scalar(number: u8) -> Scalar {
    let mut bytes = [0; 32];
    bytes[0] = number;
    Scalar::from_canonical_bytes(bytes).unwrap()
}

#[test]
fn multiples_of_the_generator() {
    let multiples = lines("multiple");
    assert_eq!(multiples.len(), 16);
    let generator = point(multiples[1][1]);
    for multiple in &multiples[1..] {
        let number: u8 = multiple[0].parse().unwrap();
        let raised = multiply_batch(&[generator], &scalar(number)).unwrap();
        assert_eq!(raised, [point(multiple[1])]);
    }
}

#[test]
fn the_identity_is_refused() {
    let identity = point(lines("multiple")[0][1]);
    let error = multiply_batch(&[identity], &scalar(2)).unwrap_err();
    assert_eq!((error.index, error.fault), (0, PointFault::Identity));
}

#[test]
fn bad_encodings_are_refused_by_place() {
    let bad = lines("refuse");
    assert_eq!(bad.len(), 29);
    let good = point(lines("multiple")[1][1]);
    for encoding in bad {
        let batch = [good, good, point(encoding[0]), good];
        let error = multiply_batch(&batch, &scalar(2)).unwrap_err();
        assert_eq!(
            (error.index, error.fault),
            (2, PointFault::Malformed),
            "{}",
            encoding[0]
        );
    }
}

#[test]
fn hash_to_group_is_the_one_of_rfc9497() {
    let blinded = lines("blind");
    assert_eq!(blinded.len(), 2);
    for vector in blinded {
        let [tag, input, blind] = [0, 1, 2].map(|at| hex::decode(vector[at]).unwrap());
        let blind = Scalar::from_canonical_bytes(blind.try_into().unwrap()).unwrap();
        let hashed = hash_to_group(&tag, &input).unwrap().multiply(&blind);
        assert_eq!(hashed.encode(), point(vector[3]));
    }
}
