//! A dealer, which the product does not have: it knows the key that it shares.

use incamera_group::{Backend, EncodedPoint, Point, Scalar};
use incamera_oprf::client::{Blinding, Checked, ClientError, Quorum};
use incamera_oprf::dleq::Context;
use incamera_oprf::lagrange::{Place, Places};
use incamera_oprf::server::{Answer, Evaluator};
use incamera_oprf::shares::{PublicKeys, Share};
use incamera_oprf::suite::{Output, finalize, hash_domain};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

pub const CONTEXT: Context<'_> = Context {
    session: b"session",
    role: "alpha",
    first: 0,
};

pub fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

pub fn place(number: u16) -> Place {
    Place::new(number).unwrap()
}

pub fn places(numbers: &[u16]) -> Places {
    Places::new(numbers.iter().map(|number| place(*number))).unwrap()
}

/// All sets of `size` among 1 to `count`.
pub fn subsets(count: u16, size: usize) -> Vec<Vec<u16>> {
    let all = (0_u32..1 << count).filter(|set| set.count_ones() as usize == size);
    all.map(|set| (1..=count).filter(|n| set >> (n - 1) & 1 == 1).collect())
        .collect()
}

/// Shares of a known key, by a random polynomial.
pub struct Dealt {
    pub key: Scalar,
    pub shares: Vec<Share>,
    pub public: PublicKeys,
}

impl Dealt {
    pub fn new(threshold: usize, count: u16, seed: u64) -> Self {
        let mut rng = rng(seed);
        let coefficients: Vec<_> = (0..threshold).map(|_| Scalar::random(&mut rng)).collect();
        let shares: Vec<_> = (1..=count)
            .map(|number| {
                let x = Scalar::from_number(u64::from(number).try_into().unwrap());
                let downwards = coefficients.iter().rev().map(copy);
                let secret = downwards.reduce(|sum, next| sum.multiply(&x).add(&next).unwrap());
                Share::new(place(number), secret.unwrap())
            })
            .collect();
        let keys = shares.iter().map(|s| (s.place(), s.public_key()));
        Self {
            key: copy(&coefficients[0]),
            public: PublicKeys::new(threshold, keys).unwrap(),
            shares,
        }
    }
}

pub fn copy(scalar: &Scalar) -> Scalar {
    Scalar::from_canonical_bytes(*scalar.to_canonical_bytes()).unwrap()
}

/// The function by its definition, with the whole key.
pub fn directly(key: &Scalar, input: &[u8]) -> Output {
    let point = hash_domain().hash(input).multiply(key);
    finalize(input, &point.encode()).unwrap()
}

/// What the holder of a share answers among `set`.
pub fn answer(share: &Share, set: &Places, blinded: &[EncodedPoint]) -> Answer {
    let evaluator = Evaluator::new(Backend::best(), share, set).unwrap();
    evaluator.evaluate(CONTEXT, blinded, &mut rng(9)).unwrap()
}

/// A whole session with the holders `set`.
pub fn evaluate(
    shares: &[Share],
    public: &PublicKeys,
    set: &[u16],
    inputs: &[&[u8]],
) -> Result<Vec<Output>, ClientError> {
    let backend = Backend::best();
    let set = places(set);
    let blinding = Blinding::new(backend, Scalar::random(&mut rng(8)));
    let blinded = blinding.blind(inputs);
    let quorum = Quorum::new(backend, public, &set).unwrap();
    let asked = shares.iter().filter(|share| set.contains(share.place()));
    let checked = asked.map(|share| {
        quorum.check(
            share.place(),
            CONTEXT,
            &blinded,
            answer(share, &set, &blinded),
        )
    });
    let checked: Vec<Checked> = checked.collect::<Result<_, _>>()?;
    blinding.finish(&quorum, &blinded, &checked, inputs)
}

pub fn public_key(scalar: &Scalar) -> EncodedPoint {
    Point::base_multiply(scalar).encode()
}
