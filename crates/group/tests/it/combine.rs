//! Sums of many points by every backend, against curve25519-dalek one point at a time.

use curve25519_dalek::ristretto::RistrettoPoint;
use curve25519_dalek::scalar::Scalar as Inner;
use curve25519_dalek::traits::Identity;
use incamera_group::{Backend, BatchError, EncodedPoint, PointError, PointFault, Scalar};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use crate::backends::{BLOCK, encode, random_points};
use crate::vectors::refused;

fn random_number(rng: &mut ChaCha20Rng) -> u128 {
    u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())
}

/// Numbers whose digits are all alike, at the ends, or carried from the bottom to the top.
fn edges() -> Vec<u128> {
    let mut edges: Vec<u128> = (0..=17).collect();
    edges.extend((0..=17).map(|less| u128::MAX - less));
    edges.extend((1..=15).map(|nibble| u128::MAX / 15 * nibble));
    edges.extend((0..128).map(|bit| 1 << bit));
    edges.extend((0..128).map(|bit| u128::MAX >> bit));
    edges.extend([u128::MAX / 15 * 8 - 1, u128::MAX / 15 * 7 + 1]);
    edges
}

fn combines(points: &[RistrettoPoint], numbers: &[u128]) {
    let encoded: Vec<_> = points.iter().copied().map(encode).collect();
    let terms = points.iter().zip(numbers);
    let expected: RistrettoPoint = terms.map(|(p, number)| p * Inner::from(*number)).sum();
    for backend in Backend::all() {
        let sum = backend.combine(&encoded, numbers).unwrap();
        assert_eq!(sum.encode(), encode(expected), "{backend}");
    }
}

#[test]
fn combinations_of_every_size_are_dalek_s() {
    let mut rng = ChaCha20Rng::seed_from_u64(11);
    for size in (0..=18).chain(BLOCK - 9..BLOCK + 10).chain([2 * BLOCK + 1]) {
        let points = random_points(&mut rng, size);
        let numbers: Vec<_> = points.iter().map(|_| random_number(&mut rng)).collect();
        combines(&points, &numbers);
    }
}

#[test]
fn numbers_at_the_edges_are_right_in_every_lane() {
    let mut rng = ChaCha20Rng::seed_from_u64(12);
    let edges = edges();
    let points = random_points(&mut rng, edges.len());
    combines(&points, &edges);
    for (at, number) in edges.iter().enumerate() {
        combines(&points[at..=at], &[*number]);
        // Others beside it, in a lane that changes.
        let mut numbers = vec![0; 8];
        numbers[at % 8] = *number;
        combines(&points[..8], &numbers);
    }
}

#[test]
fn points_that_cancel_come_to_the_identity() {
    let mut rng = ChaCha20Rng::seed_from_u64(13);
    let point = random_points(&mut rng, 1)[0];
    let points = [point, -point, point, -point];
    combines(&points, &[7, 7, u128::MAX, u128::MAX]);
    combines(&points, &[0; 4]);
    combines(&[point; 9], &[3; 9]);
    let encoded = points.map(encode);
    for backend in Backend::all() {
        let none = backend.combine(&[], &[]).unwrap();
        assert!(none.is_identity(), "{backend}");
        let cancelled = backend.combine(&encoded, &[9; 4]).unwrap();
        assert!(cancelled.is_identity(), "{backend}");
    }
}

#[test]
fn sums_are_multiplied_as_dalek_does() {
    let mut rng = ChaCha20Rng::seed_from_u64(14);
    let inner = Inner::random(&mut rng);
    let scalar = Scalar::from_canonical_bytes(inner.to_bytes()).unwrap();
    for lists in 0..4 {
        for size in [0, 1, 7, 9, BLOCK, 2 * BLOCK + 5] {
            let mut points: Vec<_> = (0..lists).map(|_| random_points(&mut rng, size)).collect();
            if let ([first, second, ..], true) = (points.as_mut_slice(), size > 3) {
                // A sum that is the identity beside others.
                second[3] = -first[3];
            }
            let sums = (0..if lists == 0 { 0 } else { size })
                .map(|at| points.iter().map(|list| list[at]).sum::<RistrettoPoint>());
            let expected: Vec<_> = sums.map(|sum| encode(sum * inner)).collect();
            let encoded: Vec<Vec<_>> = points
                .into_iter()
                .map(|list| list.into_iter().map(encode).collect())
                .collect();
            let slices: Vec<&[EncodedPoint]> = encoded.iter().map(Vec::as_slice).collect();
            for backend in Backend::all() {
                let done = backend.sum_and_multiply(&slices, &scalar).unwrap();
                assert_eq!(done, expected, "{backend}, {lists} of {size}");
            }
        }
    }
}

#[test]
fn bad_points_are_named_by_list_and_place() {
    let mut rng = ChaCha20Rng::seed_from_u64(15);
    let good: Vec<_> = random_points(&mut rng, BLOCK + 20)
        .into_iter()
        .map(encode)
        .collect();
    let scalar = Scalar::random(&mut rng);
    let mut bad: Vec<_> = refused()
        .into_iter()
        .map(EncodedPoint::from_bytes)
        .collect();
    bad.push(encode(RistrettoPoint::identity()));
    for (number, point) in bad.iter().enumerate() {
        for index in [number, BLOCK + number % 20] {
            let mut points = good.clone();
            points[index] = *point;
            let fault = point.decode().unwrap_err();
            let expected = |list| BatchError::Point {
                list,
                error: PointError { index, fault },
            };
            for backend in Backend::all() {
                let combined = backend.combine(&points, &vec![1; points.len()]);
                assert_eq!(combined, Err(expected(0)), "{backend}");
                let summed = backend.sum_and_multiply(&[&good, &points, &good], &scalar);
                assert_eq!(summed, Err(expected(1)), "{backend}");
            }
        }
    }
    assert_eq!(bad[29].decode(), Err(PointFault::Identity));
}

#[test]
fn lists_of_other_lengths_are_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(16);
    let points: Vec<_> = random_points(&mut rng, 3).into_iter().map(encode).collect();
    let scalar = Scalar::random(&mut rng);
    for backend in Backend::all() {
        let expected = BatchError::Lengths {
            expected: 3,
            found: 2,
        };
        assert_eq!(backend.combine(&points, &[1, 1]), Err(expected));
        let lists = [points.as_slice(), &points, &points[..2]];
        assert_eq!(backend.sum_and_multiply(&lists, &scalar), Err(expected));
    }
}
