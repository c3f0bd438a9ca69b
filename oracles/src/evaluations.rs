//! The function of RFC 9497 by voprf 0.5.0, against ours evaluated with shares.

use incamera_group::{Backend, Scalar};
use incamera_oprf::client::{Blinding, Quorum};
use incamera_oprf::dleq::Context;
use incamera_oprf::lagrange::{Place, Places};
use incamera_oprf::server::Evaluator;
use incamera_oprf::shares::{PublicKeys, Share};
use incamera_oprf::suite::Output;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use voprf::{OprfServer, Ristretto255};

const CONTEXT: Context<'_> = Context {
    session: b"oracle",
    role: "twin",
    first: 0,
};

/// Shares at 1 to 3 of a random key, any two of which have it; or the key alone.
fn deal(alone: bool, rng: &mut ChaCha20Rng) -> (Scalar, Vec<Share>, PublicKeys) {
    let key = Scalar::random(rng);
    let slope = Scalar::random(rng);
    let places = if alone { 1..=1 } else { 1..=3 };
    let shares: Vec<_> = places
        .map(|number: u16| {
            let x = Scalar::from_number(u64::from(number).try_into().unwrap());
            let secret = if alone {
                Scalar::from_canonical_bytes(*key.to_canonical_bytes()).unwrap()
            } else {
                key.add(&slope.multiply(&x)).unwrap()
            };
            Share::new(Place::new(number).unwrap(), secret)
        })
        .collect();
    let keys = shares.iter().map(|s| (s.place(), s.public_key()));
    let public = PublicKeys::new(if alone { 1 } else { 2 }, keys).unwrap();
    (key, shares, public)
}

fn evaluate(
    inputs: &[Vec<u8>],
    shares: &[Share],
    public: &PublicKeys,
    set: &[u16],
    rng: &mut ChaCha20Rng,
) -> Vec<Output> {
    let backend = Backend::best();
    let set = Places::new(set.iter().map(|n| Place::new(*n).unwrap())).unwrap();
    let blinding = Blinding::new(backend, Scalar::random(rng));
    let blinded = blinding.blind(inputs);
    let quorum = Quorum::new(backend, public, &set).unwrap();
    let asked = shares.iter().filter(|share| set.contains(share.place()));
    let checked: Vec<_> = asked
        .map(|share| {
            let evaluator = Evaluator::new(backend, share, &set).unwrap();
            let answer = evaluator.evaluate(CONTEXT, &blinded, rng).unwrap();
            quorum
                .check(share.place(), CONTEXT, &blinded, answer)
                .unwrap()
        })
        .collect();
    blinding.finish(&quorum, &checked, inputs).unwrap()
}

#[test]
fn ten_thousand_inputs_are_voprfs() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    for round in 0..20 {
        let (key, shares, public) = deal(round % 4 == 0, &mut rng);
        let inputs: Vec<_> = (0..500)
            .map(|_| {
                let mut input = vec![0; (rng.next_u32() % 200) as usize];
                rng.fill_bytes(&mut input);
                input
            })
            .collect();
        let twin = OprfServer::<Ristretto255>::new_with_key(key.to_canonical_bytes().as_slice());
        let twin = twin.unwrap();
        let set: &[u16] = [&[1][..], &[1, 2], &[1, 3], &[2, 3]][round % 4];
        let found = evaluate(&inputs, &shares, &public, set, &mut rng);
        for (input, found) in inputs.iter().zip(&found) {
            let expected = twin.evaluate(input).unwrap();
            assert_eq!(found.as_bytes().as_slice(), expected.as_slice());
        }
    }
}
