//! Attacks on the proof. Each control shows that the attack works where the proof's own
//! defence is taken away.

use proptest::prelude::*;

use super::*;

const CONTEXT: Context<'_> = Context {
    session: b"session",
    role: "a to b",
    first: 128,
};

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

fn scalar(number: u8) -> Scalar {
    Scalar::from_secret(b"dleq", &[number; 32])
}

fn public(key: &Scalar) -> EncodedPoint {
    Point::base_multiply(key).encode()
}

/// Points that were asked, and what an honest prover answers.
struct Rows {
    public_key: EncodedPoint,
    inputs: Vec<EncodedPoint>,
    outputs: Vec<EncodedPoint>,
}

impl Rows {
    fn honest(count: usize) -> Self {
        let inputs = (0..count).map(|row| {
            let number = Scalar::from_secret(b"row", &[u8::try_from(row % 250).unwrap(); 32]);
            let base = Point::base_multiply(&number);
            base.multiply(&scalar(u8::try_from(row / 250).unwrap()))
                .encode()
        });
        let inputs: Vec<_> = inputs.collect();
        Self {
            public_key: public(&scalar(7)),
            outputs: Backend::best().multiply(&inputs, &scalar(7)).unwrap(),
            inputs,
        }
    }

    fn batch(&self) -> Batch<'_> {
        Batch {
            context: CONTEXT,
            public_key: &self.public_key,
            inputs: &self.inputs,
            outputs: &self.outputs,
        }
    }

    fn prove(&self) -> Proof {
        let batch = self.batch();
        batch
            .prove(Backend::best(), &scalar(7), &mut rng())
            .unwrap()
    }

    fn verify(&self, proof: &Proof) -> Result<(), ProofError> {
        self.batch().verify(Backend::best(), proof)
    }

    /// Proof and check with numbers that are not the batch's.
    fn passes_with(&self, numbers: &[u128]) -> bool {
        let (batch, backend) = (self.batch(), Backend::best());
        let digest = batch.digest().unwrap();
        let proof = batch.prove_with(backend, &scalar(7), &digest, numbers, &mut rng());
        let verified = batch.verify_with(backend, &proof.unwrap(), &digest, numbers);
        verified.is_ok()
    }

    /// Adds a point to an output.
    fn shift(&mut self, row: usize, by: &Point) {
        self.outputs[row] = (&self.outputs[row].decode().unwrap() + by).encode();
    }
}

fn number(number: u128) -> Scalar {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&number.to_le_bytes());
    Scalar::from_canonical_bytes(bytes).unwrap()
}

fn minus(point: &Point) -> Point {
    &std::iter::empty().sum::<Point>() - point
}

#[test]
fn honest_batches_pass_with_every_backend() {
    for count in [1, 2, 8, 129, 400] {
        let rows = Rows::honest(count);
        for prover in Backend::all() {
            let proof = rows.batch().prove(prover, &scalar(7), &mut rng()).unwrap();
            assert_eq!(Proof::from_bytes(*proof.as_bytes()), proof);
            for verifier in Backend::all() {
                assert_eq!(rows.batch().verify(verifier, &proof), Ok(()));
            }
        }
    }
}

#[test]
fn one_row_under_another_key_is_found_at_every_place() {
    let honest = Rows::honest(40);
    for row in 0..honest.inputs.len() {
        let mut rows = Rows::honest(40);
        rows.outputs[row] = rows.inputs[row]
            .decode()
            .unwrap()
            .multiply(&scalar(8))
            .encode();
        assert_eq!(rows.verify(&rows.prove()), Err(ProofError::Wrong));
        // Nor does the honest batch's proof hold for it.
        assert_eq!(rows.verify(&honest.prove()), Err(ProofError::Wrong));
    }
}

#[test]
fn all_rows_under_another_key_are_found() {
    let mut rows = Rows::honest(9);
    rows.outputs = Backend::best().multiply(&rows.inputs, &scalar(8)).unwrap();
    for key in [7, 8] {
        let proof = rows
            .batch()
            .prove(Backend::best(), &scalar(key), &mut rng());
        assert_eq!(rows.verify(&proof.unwrap()), Err(ProofError::Wrong));
    }
    // With that key's own public key they are right.
    rows.public_key = public(&scalar(8));
    let proof = rows.batch().prove(Backend::best(), &scalar(8), &mut rng());
    assert_eq!(rows.verify(&proof.unwrap()), Ok(()));
}

#[test]
fn swapped_rows_are_found() {
    let mut rows = Rows::honest(20);
    rows.outputs.swap(3, 17);
    assert_eq!(rows.verify(&rows.prove()), Err(ProofError::Wrong));
    assert!(rows.passes_with(&[1; 20]), "the control");
}

#[test]
fn errors_that_cancel_are_found() {
    let mut rows = Rows::honest(20);
    let delta = Point::base_multiply(&scalar(9));
    rows.shift(3, &delta);
    rows.shift(17, &minus(&delta));
    assert_eq!(rows.verify(&rows.prove()), Err(ProofError::Wrong));
    assert!(rows.passes_with(&[1; 20]), "the control");
}

/// A prover that knows the numbers before it answers shifts two rows so that they cancel.
#[test]
fn the_numbers_hang_on_the_outputs() {
    let mut rows = Rows::honest(5);
    let known = rows.batch().numbers(&rows.batch().digest().unwrap());
    let delta = Point::base_multiply(&scalar(9));
    rows.shift(0, &delta.multiply(&number(known[1])));
    rows.shift(1, &minus(&delta.multiply(&number(known[0]))));
    assert!(rows.passes_with(&known), "the control");
    assert_eq!(rows.verify(&rows.prove()), Err(ProofError::Wrong));
}

/// A proof of some inputs is none of others that come to the same sum under its numbers.
#[test]
fn the_numbers_hang_on_the_inputs() {
    let mut rows = Rows::honest(5);
    let known = rows.batch().numbers(&rows.batch().digest().unwrap());
    let (proof, digest) = (rows.prove(), rows.batch().digest().unwrap());
    let delta = Point::base_multiply(&scalar(9));
    let shifts = [
        delta.multiply(&number(known[1])),
        minus(&delta.multiply(&number(known[0]))),
    ];
    for (input, by) in rows.inputs.iter_mut().zip(&shifts) {
        *input = (&input.decode().unwrap() + by).encode();
    }
    let (batch, backend) = (rows.batch(), Backend::best());
    let control = batch.verify_with(backend, &proof, &digest, &known);
    assert_eq!(control, Ok(()), "the control");
    assert_eq!(rows.verify(&proof), Err(ProofError::Wrong));
}

#[test]
fn numbers_differ_and_have_128_bits() {
    let rows = Rows::honest(300);
    let numbers = rows.batch().numbers(&rows.batch().digest().unwrap());
    let distinct: std::collections::BTreeSet<_> = numbers.iter().collect();
    assert_eq!(distinct.len(), 300);
    let highest = numbers.iter().filter(|number| **number >> 127 == 1);
    let lowest = numbers.iter().filter(|number| **number & 1 == 1);
    // 300 fair coins: outside of this once in 2^40 times.
    assert!((85..=215).contains(&highest.count()) && (85..=215).contains(&lowest.count()));
}

#[test]
fn a_proof_holds_in_its_own_place_alone() {
    let rows = Rows::honest(6);
    let proof = rows.prove();
    let contexts = [
        Context {
            session: b"sessioN",
            ..CONTEXT
        },
        Context {
            session: b"",
            ..CONTEXT
        },
        Context {
            role: "b to a",
            ..CONTEXT
        },
        Context {
            first: 0,
            ..CONTEXT
        },
        // The same bytes cut elsewhere.
        Context {
            session: b"sessiona",
            role: " to b",
            ..CONTEXT
        },
    ];
    assert_eq!(rows.verify(&proof), Ok(()));
    for context in contexts {
        let other = Batch {
            context,
            ..rows.batch()
        };
        assert_eq!(
            other.verify(Backend::best(), &proof),
            Err(ProofError::Wrong),
            "{context:?}"
        );
    }
    // Of a batch that was proved before, a part, or with a row more.
    for count in [5, 7] {
        assert_eq!(Rows::honest(count).verify(&proof), Err(ProofError::Wrong));
    }
}

#[test]
fn bad_keys_points_and_sizes_are_refused_by_place() {
    let rows = Rows::honest(6);
    let proof = rows.prove();
    let identity = EncodedPoint::from_bytes([0; 32]);
    let malformed = EncodedPoint::from_bytes([0xff; 32]);
    for (point, fault) in [
        (identity, PointFault::Identity),
        (malformed, PointFault::Malformed),
    ] {
        let with_key = Batch {
            public_key: &point,
            ..rows.batch()
        };
        let refused = with_key.verify(Backend::best(), &proof);
        assert_eq!(refused, Err(ProofError::PublicKey(fault)));
        let error = PointError { index: 4, fault };
        let mut bad = Rows::honest(6);
        bad.inputs[4] = point;
        assert_eq!(bad.verify(&proof), Err(ProofError::Input(error)));
        let refused = bad.batch().prove(Backend::best(), &scalar(7), &mut rng());
        assert_eq!(refused, Err(ProofError::Input(error)));
        let mut bad = Rows::honest(6);
        bad.outputs[4] = point;
        assert_eq!(bad.verify(&proof), Err(ProofError::Output(error)));
    }
    let (inputs, outputs) = (6, 5);
    let short = Batch {
        outputs: &rows.outputs[..5],
        ..rows.batch()
    };
    assert_eq!(
        short.verify(Backend::best(), &proof),
        Err(ProofError::Lengths { inputs, outputs })
    );
    let size = |points: &[EncodedPoint]| {
        let batch = Batch {
            inputs: points,
            outputs: points,
            ..rows.batch()
        };
        batch.digest().map(drop)
    };
    let many = vec![rows.inputs[0]; MAX_POINTS + 1];
    assert_eq!(size(&[]), Err(ProofError::Size { found: 0 }));
    assert_eq!(size(&many[..MAX_POINTS]), Ok(()));
    assert_eq!(
        size(&many),
        Err(ProofError::Size {
            found: MAX_POINTS + 1
        })
    );
}

/// A prover that does not follow the steps but hashes what the verifier will have: of the two
/// ends of the nonce one is right whatever it answered, the other finds it out.
#[test]
fn both_ends_of_the_nonce_count() {
    let (wrong, nonce) = (scalar(8), scalar(5));
    let mut rows = Rows::honest(9);
    rows.outputs = Backend::best().multiply(&rows.inputs, &wrong).unwrap();
    let digest = rows.batch().digest().unwrap();
    let numbers = rows.batch().numbers(&digest);
    let m = Backend::best().combine(&rows.inputs, &numbers).unwrap();
    let z = Backend::best().combine(&rows.outputs, &numbers).unwrap();
    let ends = [Point::base_multiply(&nonce), m.multiply(&nonce)];
    let challenge = challenge(&digest, &m, &z, &ends);
    for key in [wrong, scalar(7)] {
        let response = nonce.subtract(&challenge.multiply(&key)).unwrap();
        let proof = Proof::new(&challenge, &response);
        assert_eq!(rows.verify(&proof), Err(ProofError::Wrong));
    }
}

/// A prover that chooses its public key after the challenge.
#[test]
fn the_public_key_is_part_of_what_is_proved() {
    let (key, nonce, other) = (scalar(7), scalar(5), scalar(6));
    let mut rows = Rows::honest(9);
    let digest = rows.batch().digest().unwrap();
    let numbers = rows.batch().numbers(&digest);
    let m = Backend::best().combine(&rows.inputs, &numbers).unwrap();
    let ends = [Point::base_multiply(&other), m.multiply(&nonce)];
    let challenge = challenge(&digest, &m, &m.multiply(&key), &ends);
    let response = nonce.subtract(&challenge.multiply(&key)).unwrap();
    let fitting = other.subtract(&response).unwrap();
    rows.public_key = public(&fitting.multiply(&challenge.invert()));
    let proof = Proof::new(&challenge, &response);
    assert_eq!(rows.verify(&proof), Err(ProofError::Wrong));
    let unbound = rows
        .batch()
        .verify_with(Backend::best(), &proof, &digest, &numbers);
    assert_eq!(unbound, Ok(()), "the control");
}

/// A key of the identity "proves" that everything maps to the identity: both are refused.
#[test]
fn a_prover_without_a_key_is_refused() {
    let mut rows = Rows::honest(3);
    rows.outputs = vec![EncodedPoint::from_bytes([0; 32]); 3];
    rows.public_key = EncodedPoint::from_bytes([0; 32]);
    let refused = rows.verify(&rows.prove());
    assert_eq!(refused, Err(ProofError::PublicKey(PointFault::Identity)));
}

#[test]
fn two_proofs_of_one_batch_do_not_share_a_nonce() {
    let rows = Rows::honest(3);
    let digest = rows.batch().digest().unwrap();
    let nonce = |key, digest: &BatchDigest, rng: &mut ChaCha20Rng| {
        *nonce(&scalar(key), digest, rng).to_canonical_bytes()
    };
    let first = nonce(7, &digest, &mut rng());
    let mut later = rng();
    nonce(7, &digest, &mut later);
    assert_ne!(nonce(7, &digest, &mut later), first);
    // A generator that repeats itself: key and batch still tell them apart.
    assert_eq!(nonce(7, &digest, &mut rng()), first);
    assert_ne!(nonce(8, &digest, &mut rng()), first);
    let other = Rows::honest(4).batch().digest().unwrap();
    assert_ne!(nonce(7, &other, &mut rng()), first);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Every bit of the proof counts.
    #[test]
    fn changed_proofs_fail(at in 0_usize..64, bit in 0_u8..8) {
        let rows = Rows::honest(2);
        let mut bytes = *rows.prove().as_bytes();
        bytes[at] ^= 1 << bit;
        prop_assert!(rows.verify(&Proof::from_bytes(bytes)).is_err());
    }

    /// Bytes of anybody are refused, not taken and not a crash.
    #[test]
    fn any_bytes_are_no_proof(bytes in any::<[u8; 32]>(), more in any::<[u8; 32]>()) {
        let mut proof = [0; 64];
        proof[..32].copy_from_slice(&bytes);
        proof[32..].copy_from_slice(&more);
        let refused = Rows::honest(2).verify(&Proof::from_bytes(proof));
        prop_assert!(matches!(refused, Err(ProofError::Malformed | ProofError::Wrong)));
    }
}
