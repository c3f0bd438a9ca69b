//! Every backend against curve25519-dalek, one point at a time.

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar as Inner;
use curve25519_dalek::traits::IsIdentity;
use incamera_group::{Backend, EncodedPoint, HashDomain, PointFault, Scalar};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use crate::vectors::refused;

/// Points that share an inversion in the widest backend: batches are cut here.
pub(crate) const BLOCK: usize = 128;

fn domain() -> HashDomain {
    HashDomain::new(b"backends").unwrap()
}

fn both(scalar: Inner) -> (Scalar, Inner) {
    (
        Scalar::from_canonical_bytes(scalar.to_bytes()).unwrap(),
        scalar,
    )
}

fn random_scalar(rng: &mut ChaCha20Rng) -> (Scalar, Inner) {
    both(Inner::random(rng))
}

fn random_bytes<const N: usize>(rng: &mut ChaCha20Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// Scalars whose digits are all alike, largest, or carried from the bottom to the top.
fn edges() -> Vec<Inner> {
    let small = (1..=17_u64).map(Inner::from);
    let mut edges: Vec<Inner> = small.clone().chain(small.map(|s| -s)).collect();
    edges.extend([0x11, 0x77, 0x78, 0x87, 0x88, 0x99, 0xff].map(|byte| {
        let mut bytes = [byte; 32];
        bytes[31] &= 0x0f;
        Inner::from_bytes_mod_order(bytes)
    }));
    let half = Inner::from(2_u8).invert();
    edges.extend([half, -half, half + half * half]);
    let doubled: Vec<_> = edges.iter().map(|scalar| scalar + scalar).collect();
    edges.extend(doubled);
    edges
}

pub(crate) fn encode(point: RistrettoPoint) -> EncodedPoint {
    EncodedPoint::from_bytes(point.compress().0)
}

pub(crate) fn random_points(rng: &mut ChaCha20Rng, count: usize) -> Vec<RistrettoPoint> {
    let point = |_| RistrettoPoint::from_uniform_bytes(&random_bytes(rng));
    (0..count).map(point).collect()
}

/// Multiplication, decoding and encoding.
fn multiplies(rng: &mut ChaCha20Rng, count: usize, (scalar, inner): &(Scalar, Inner)) {
    let points = random_points(rng, count);
    let encoded: Vec<_> = points.iter().copied().map(encode).collect();
    let expected: Vec<_> = points.iter().map(|point| encode(point * inner)).collect();
    for backend in Backend::all() {
        let done = backend.multiply(&encoded, scalar);
        assert_eq!(done.as_ref(), Ok(&expected), "{backend}, {count} points");
    }
}

/// The hash, multiplication and encoding.
fn hashes(rng: &mut ChaCha20Rng, count: usize, (scalar, inner): &(Scalar, Inner)) {
    let texts: Vec<[u8; 24]> = (0..count).map(|_| random_bytes(rng)).collect();
    let expected: Vec<_> = texts
        .iter()
        .map(|text| hashed(text) * inner)
        .map(encode)
        .collect();
    for backend in Backend::all() {
        let done = backend.hash_and_multiply(&domain(), &texts, scalar);
        assert_eq!(done, expected, "{backend}, {count} texts");
    }
}

/// `hash_to_group` with nothing of this crate but its tag: RFC 9380, section 5.3.1.
fn hashed(text: &[u8]) -> RistrettoPoint {
    use sha2::{Digest, Sha512};
    let tag = [b"backends".as_slice(), &[8]].concat();
    let first = Sha512::digest([&[0; 128], text, &[0, 64, 0], &tag].concat());
    let bytes = Sha512::digest([&first, [1].as_slice(), &tag].concat());
    RistrettoPoint::from_uniform_bytes(&bytes.into())
}

/// What dalek says about 32 bytes.
fn verdict(bytes: [u8; 32]) -> Result<(), PointFault> {
    match CompressedRistretto(bytes).decompress() {
        None => Err(PointFault::Malformed),
        Some(point) if point.is_identity() => Err(PointFault::Identity),
        Some(_) => Ok(()),
    }
}

/// Bytes alone in a batch, at each place of which they stand once.
fn judges(bytes: [u8; 32], others: &[EncodedPoint], at: usize) {
    let (one, _) = both(Inner::ONE);
    let mut batch = others.to_vec();
    batch[at] = EncodedPoint::from_bytes(bytes);
    for backend in Backend::all() {
        let done = backend.multiply(&batch, &one);
        let found = done.as_ref().map(|done| assert_eq!(done, &batch));
        let found = found.map_err(|error| (error.index, error.fault));
        let expected = verdict(bytes).map_err(|fault| (at, fault));
        assert_eq!(found, expected, "{backend}: {} at {at}", hex::encode(bytes));
    }
}

fn random_inputs(seed: u64, count: usize) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut done = 0;
    while done < count {
        let size = (rng.next_u32() % 300) as usize;
        let scalar = random_scalar(&mut rng);
        multiplies(&mut rng, size, &scalar);
        hashes(&mut rng, size, &scalar);
        done += size;
    }
}

/// Random numbers below `2^255`, even: about a quarter encode a point.
fn random_encodings(seed: u64, count: usize) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let (one, _) = both(Inner::ONE);
    let mut good = Vec::new();
    for _ in 0..count {
        let mut bytes: [u8; 32] = random_bytes(&mut rng);
        bytes[31] &= 0x7f;
        bytes[0] &= 0xfe;
        let expected = verdict(bytes);
        let encoded = EncodedPoint::from_bytes(bytes);
        good.extend(expected.is_ok().then_some(encoded));
        if expected.is_err() {
            // At a place that changes, after good ones.
            let from = good.len().saturating_sub(rng.next_u32() as usize % 17);
            let batch = [&good[from..], &[encoded]].concat();
            for backend in Backend::all() {
                let error = backend.multiply(&batch, &one).unwrap_err();
                assert_eq!(error.index, batch.len() - 1, "{backend}");
                assert_eq!(Err(error.fault), expected, "{backend}");
            }
        }
    }
    assert!(good.len() > count / 8);
    for backend in Backend::all() {
        assert_eq!(
            backend.multiply(&good, &one).as_ref(),
            Ok(&good),
            "{backend}"
        );
    }
}

#[test]
fn the_best_backend_is_the_first() {
    assert_eq!(Some(Backend::best()), Backend::all().next());
    let names: Vec<_> = Backend::all().map(|backend| backend.to_string()).collect();
    assert_eq!(names.last().map(String::as_str), Some("portable"));
}

/// Tests of lanes that are not there pass by doing nothing: they are said here, and a processor
/// that has the instructions must have the backend.
#[test]
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn the_processor_s_instructions_are_used() {
    let information = std::fs::read_to_string("/proc/cpuinfo").unwrap();
    let flags = information.lines().find(|line| line.starts_with("flags"));
    let flags: Vec<_> = flags.unwrap().split_whitespace().collect();
    let names: Vec<_> = Backend::all().map(|backend| backend.to_string()).collect();
    for (name, needed) in [
        ("ifma", ["avx512f", "avx512dq", "avx512ifma"].as_slice()),
        ("avx2", &["avx2"]),
    ] {
        let there = needed.iter().all(|flag| flags.contains(flag));
        if !there {
            eprintln!("SKIPPED, because this processor lacks it: every test of {name}");
        }
        assert_eq!(names.iter().any(|found| found == name), there, "{name}");
    }
}

#[test]
fn random_batches_are_dalek_s() {
    random_inputs(1, 3_000);
}

#[test]
fn random_encodings_are_judged_as_dalek_judges_them() {
    random_encodings(2, 2_000);
}

#[test]
#[ignore = "a million inputs of each kind: four CPU minutes with --release"]
fn a_million_inputs_are_dalek_s() {
    random_inputs(3, 1_000_000);
    random_encodings(4, 1_000_000);
}

#[test]
fn every_size_of_batch_is_right() {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let scalar = random_scalar(&mut rng);
    for size in (0..=17).chain(BLOCK - 2..BLOCK + 3) {
        multiplies(&mut rng, size, &scalar);
        hashes(&mut rng, size, &scalar);
    }
}

#[test]
fn scalars_at_the_edges_are_right() {
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    for scalar in edges() {
        multiplies(&mut rng, 9, &both(scalar));
    }
}

#[test]
fn malformed_points_are_refused_at_every_place() {
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let others: Vec<_> = random_points(&mut rng, BLOCK + 3)
        .into_iter()
        .map(encode)
        .collect();
    let mut bad = refused();
    assert_eq!(bad.len(), 29);
    bad.push([0; 32]);
    // The even numbers from p to 2^255: second encodings of small ones, which parity lets pass.
    for above in (1..18).step_by(2) {
        let mut number = [0xff; 32];
        (number[0], number[31]) = (0xed + above, 0x7f);
        bad.push(number);
    }
    // Bit 255 of a good one, which names the same point and is not its encoding.
    let mut high = *others[0].as_bytes();
    high[31] |= 0x80;
    bad.push(high);
    for bytes in &bad {
        assert!(verdict(*bytes).is_err());
        // Both vectors of a pair, whatever the lanes.
        for at in 0..16 {
            judges(*bytes, &others[..17], at);
        }
    }
    for at in 0..others.len() {
        judges(bad[at % bad.len()], &others, at);
    }
}
