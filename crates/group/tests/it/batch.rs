//! Batches against one point at a time.

use incamera_group::{
    Backend, EncodedPoint, HashDomain, Point, PointFault, Scalar, add_hash_and_multiply_batch,
    hash_and_multiply_batch, hash_batch, multiply_batch, multiply_one_batch,
    multiply_one_less_hash_batch,
};
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

fn domain() -> HashDomain {
    HashDomain::new(b"test").unwrap()
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|number| format!("text {number}")).collect()
}

/// One at a time, without the halving and the shared inversion.
fn slowly(texts: &[String], scalar: &Scalar) -> Vec<EncodedPoint> {
    texts
        .iter()
        .map(|text| domain().hash(text.as_bytes()).multiply(scalar).encode())
        .collect()
}

#[test]
fn large_batches_keep_their_order() {
    let scalar = Scalar::random(&mut ChaCha20Rng::seed_from_u64(1));
    let texts = texts(1501);
    let fast = hash_and_multiply_batch(&domain(), &texts, &scalar);
    assert_eq!(fast, slowly(&texts, &scalar));
    let again = multiply_batch(&fast, &scalar).unwrap();
    assert_eq!(again, slowly(&texts, &scalar.multiply(&scalar)));
}

#[test]
fn the_first_bad_place_is_named_across_threads() {
    let scalar = Scalar::random(&mut ChaCha20Rng::seed_from_u64(2));
    let mut points = hash_and_multiply_batch(&domain(), &texts(1500), &scalar);
    points[1400] = EncodedPoint::from_bytes([0xff; 32]);
    points[1301] = EncodedPoint::from_bytes([0; 32]);
    let error = multiply_batch(&points, &scalar).unwrap_err();
    assert_eq!((error.index, error.fault), (1301, PointFault::Identity));
}

/// Every backend, every filling of its blocks; the sum of a point and its negative too.
#[test]
fn hashes_are_added_before_the_multiplication() {
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let (a, b) = (Scalar::random(&mut rng), Scalar::random(&mut rng));
    let texts = texts(300);
    let points = hash_and_multiply_batch(&domain(), &texts, &a);
    let mut pairs: Vec<_> = points.into_iter().zip(texts.iter().rev()).collect();
    let hashed = |text: &String| domain().hash(text.as_bytes());
    pairs[7].0 = (&(&hashed(pairs[7].1) - &hashed(pairs[7].1)) - &hashed(pairs[7].1)).encode();
    let slowly = |(point, text): &(EncodedPoint, &String)| {
        let sum = &point.decode().unwrap() + &hashed(text);
        sum.multiply(&b).encode()
    };
    let slowly: Vec<_> = pairs.iter().map(slowly).collect();
    assert_eq!(slowly[7].as_bytes(), &[0; 32]);
    let fast = add_hash_and_multiply_batch(&domain(), &pairs, &b);
    assert_eq!(fast.as_ref(), Ok(&slowly));
    for backend in Backend::all() {
        for count in [0, 1, 7, 8, 9, 127, 128, 129, 300] {
            let fast = backend.add_hash_and_multiply(&domain(), &pairs[..count], &b);
            assert_eq!(fast.unwrap(), slowly[..count], "{backend} {count}");
        }
        let mut bad = pairs.clone();
        bad[290].0 = EncodedPoint::from_bytes([0xff; 32]);
        bad[257].0 = EncodedPoint::from_bytes([0; 32]);
        let error = backend
            .add_hash_and_multiply(&domain(), &bad, &b)
            .unwrap_err();
        assert_eq!(
            (error.index, error.fault),
            (257, PointFault::Identity),
            "{backend}"
        );
    }
    pairs[299].0 = EncodedPoint::from_bytes([0xff; 32]);
    let error = add_hash_and_multiply_batch(&domain(), &pairs, &b).unwrap_err();
    assert_eq!((error.index, error.fault), (299, PointFault::Malformed));
}

#[test]
fn an_empty_batch_is_empty() {
    let scalar = Scalar::random(&mut ChaCha20Rng::seed_from_u64(3));
    assert_eq!(multiply_batch(&[], &scalar), Ok(Vec::new()));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// The order of two scalars does not matter, and an inverse takes one away again.
    #[test]
    fn scalars_commute(seed in any::<u64>(), count in 0_usize..40) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let (a, b) = (Scalar::random(&mut rng), Scalar::random(&mut rng));
        let once = hash_and_multiply_batch(&domain(), &texts(count), &a);
        let ab = multiply_batch(&once, &b).unwrap();
        let ba = multiply_batch(&hash_and_multiply_batch(&domain(), &texts(count), &b), &a).unwrap();
        prop_assert_eq!(&ab, &ba);
        prop_assert_eq!(multiply_batch(&ab, &b.invert()).unwrap(), once);
    }

    /// Bytes that are accepted are the only encoding of their point.
    #[test]
    fn accepted_encodings_are_canonical(bytes in any::<[u8; 32]>()) {
        let mut one = [0; 32];
        one[0] = 1;
        let one = Scalar::from_canonical_bytes(one).unwrap();
        if let Ok(same) = multiply_batch(&[EncodedPoint::from_bytes(bytes)], &one) {
            prop_assert_eq!(same[0].as_bytes(), &bytes);
        }
    }
}

/// Every backend, every filling of its blocks, and the scalars whose digits are all alike.
#[test]
fn one_point_is_multiplied_by_many_scalars() {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let mut scalars: Vec<_> = (0..300).map(|_| Scalar::random(&mut rng)).collect();
    let one = Scalar::from_number(std::num::NonZero::<u64>::MIN);
    scalars[1] = one.add(&one).unwrap();
    scalars[2] = scalars[1].subtract(&scalars[0]).unwrap();
    for (place, digits) in [(3, 0x88), (4, 0x77), (5, 0x08)] {
        let mut bytes = [digits; 32];
        bytes[31] = 0;
        scalars[place] = Scalar::from_canonical_bytes(bytes).unwrap();
    }
    scalars[6] = scalars[0].subtract(&scalars[0].add(&one).unwrap()).unwrap();
    let texts = texts(300);
    let hashed = |text: &String| domain().hash(text.as_bytes());
    let plain: Vec<_> = texts.iter().map(|text| hashed(text).encode()).collect();
    assert_eq!(hash_batch(&domain(), &texts), plain);
    for point in [Point::base(), hashed(&texts[0])] {
        let multiples: Vec<_> = scalars
            .iter()
            .map(|scalar| point.multiply(scalar))
            .collect();
        let encoded: Vec<_> = multiples.iter().map(Point::encode).collect();
        let less = multiples.iter().zip(&texts);
        let less: Vec<_> = less
            .map(|(one, text)| (one - &hashed(text)).encode())
            .collect();
        let pairs: Vec<_> = scalars.iter().zip(&texts).collect();
        assert_eq!(multiply_one_batch(&point, &scalars), encoded);
        assert_eq!(
            multiply_one_less_hash_batch(&point, &domain(), &pairs),
            less
        );
        for backend in Backend::all() {
            for count in [0, 1, 3, 4, 7, 8, 9, 16, 17, 127, 128, 129, 300] {
                let name = format!("{backend} {count}");
                let found = backend.multiply_one(&point, &scalars[..count]);
                assert_eq!(found, encoded[..count], "{name}");
                let found = backend.multiply_one_less_hash(&point, &domain(), &pairs[..count]);
                assert_eq!(found, less[..count], "{name}");
                assert_eq!(
                    backend.hash(&domain(), &texts[..count]),
                    plain[..count],
                    "{name}"
                );
            }
        }
    }
    // A difference that is the identity: once the point is the hash itself, times one.
    let less = multiply_one_less_hash_batch(&hashed(&texts[0]), &domain(), &[(&one, &texts[0])]);
    assert_eq!(less[0].as_bytes(), &[0; 32]);
}
