//! Field elements of each kernel against big integers, at the bounds of their limbs.

#![expect(unsafe_code, reason = "looks into vectors")]

use num_bigint::BigUint;
use proptest::prelude::*;

use super::curve::Extended;
use super::ristretto::{EncodeDoubles, Map, SQRT_M1};
use super::{Avx2, Ifma, Kernel, MAX_LANES, Words, avx2, ifma};

/// What the tests alone see of a kernel.
trait Limbs: Kernel {
    /// Where the limbs stand.
    const PLACES: &'static [u32];
    /// No limb of a reduced element reaches this.
    const REDUCED: &'static [u64];
    /// Nor of a product of two reduced elements.
    const PRODUCT: u64;
    fn with_limbs(self, limbs: &[u64]) -> Self::Field;
    /// Of each lane.
    fn limbs(a: &Self::Field) -> Vec<Vec<u64>>;
    fn wide_limbs(a: &Self::Wide) -> Vec<Vec<u64>>;
}

macro_rules! limbs {
    ($kernel:ty, $module:ident, $lanes:literal) => {
        fn with_limbs(self, limbs: &[u64]) -> Self::Field {
            let mut columns = limbs.iter().map(|limb| [*limb; $lanes]);
            $module::Field(std::array::from_fn(|_| {
                // SAFETY: both have the same size without padding.
                unsafe { std::mem::transmute(columns.next().unwrap()) }
            }))
        }

        fn limbs(a: &Self::Field) -> Vec<Vec<u64>> {
            let columns = a.0.map(|limb| {
                // SAFETY: both have the same size without padding.
                unsafe { std::mem::transmute::<_, [u64; $lanes]>(limb) }
            });
            let lane = |lane: usize| columns.iter().map(|column| column[lane]).collect();
            (0..$lanes).map(lane).collect()
        }

        fn wide_limbs(a: &Self::Wide) -> Vec<Vec<u64>> {
            Self::limbs(&$module::Field(a.0))
        }
    };
}

impl Limbs for Ifma {
    const PLACES: &'static [u32] = &[0, 51, 102, 153, 204];
    const REDUCED: &'static [u64] = &[(1 << 51) + (1 << 18); 5];
    const PRODUCT: u64 = 1 << 59;
    limbs!(Ifma, ifma, 8);
}

const EVEN: u64 = 1 << 26;
const ODD: u64 = (1 << 25) + (1 << 19);

impl Limbs for Avx2 {
    const PLACES: &'static [u32] = &[0, 26, 51, 77, 102, 128, 153, 179, 204, 230];
    const REDUCED: &'static [u64] = &[EVEN, ODD, EVEN, ODD, EVEN, ODD, EVEN, ODD, EVEN, ODD];
    const PRODUCT: u64 = 1 << 59;
    limbs!(Avx2, avx2, 4);
}

fn p() -> BigUint {
    (BigUint::from(1_u8) << 255) - 19_u8
}

fn number(words: &[u64; 4]) -> BigUint {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    BigUint::from_bytes_le(&bytes)
}

fn value<K: Limbs>(limbs: &[u64]) -> BigUint {
    let placed = limbs.iter().zip(K::PLACES);
    placed
        .map(|(limb, place)| BigUint::from(*limb) << *place)
        .sum()
}

/// Of each lane, with a look at the bounds on the way.
fn values<K: Limbs>(a: &K::Field) -> Vec<BigUint> {
    let lanes = K::limbs(a);
    for limb in lanes.iter().flat_map(|limbs| limbs.iter().zip(K::REDUCED)) {
        assert!(limb.0 < limb.1, "{:x} of {:x}", limb.0, limb.1);
    }
    lanes.iter().map(|limbs| value::<K>(limbs) % p()).collect()
}

fn wide_values<K: Limbs>(a: &K::Wide) -> Vec<BigUint> {
    K::wide_limbs(a)
        .iter()
        .map(|limbs| value::<K>(limbs) % p())
        .collect()
}

fn map2(a: &[BigUint], b: &[BigUint], f: impl Fn(&BigUint, &BigUint) -> BigUint) -> Vec<BigUint> {
    a.iter().zip(b).map(|(a, b)| f(a, b) % p()).collect()
}

fn bits(lanes: impl IntoIterator<Item = bool>) -> u8 {
    let lanes = lanes.into_iter().enumerate();
    lanes.fold(0, |mask, (lane, set)| mask | u8::from(set) << lane)
}

fn is_odd(a: &BigUint) -> bool {
    a.bit(0)
}

/// Every operation on a pair of reduced elements.
fn agrees<K: Limbs>(k: K, a: &K::Field, b: &K::Field) {
    let (x, y) = (values::<K>(a), values::<K>(b));
    let zero = BigUint::ZERO;
    assert_eq!(values::<K>(&k.add(a, b)), map2(&x, &y, |x, y| x + y));
    assert_eq!(values::<K>(&k.sub(a, b)), map2(&x, &y, |x, y| x + p() - y));
    assert_eq!(values::<K>(&k.mul(a, b)), map2(&x, &y, |x, y| x * y));
    assert_eq!(values::<K>(&k.square(a)), map2(&x, &x, |x, y| x * y));
    let (xx, yy, xy) = (k.wide_square(a), k.wide_square(b), k.wide_mul(a, b));
    for wide in [&xx, &yy, &xy] {
        assert!(
            K::wide_limbs(wide)
                .iter()
                .flatten()
                .all(|limb| *limb < K::PRODUCT)
        );
    }
    // The doubling's: the most that is added and taken away.
    let sum = k.wide_add(&xx, &yy);
    let least = k.wide_sub(&xy, &sum);
    assert_eq!(wide_values::<K>(&sum), map2(&x, &y, |x, y| x * x + y * y));
    let expected = map2(&x, &y, |x, y| {
        x * y + (p() - x * x % p()) + (p() - y * y % p())
    });
    assert_eq!(values::<K>(&k.reduce(&least)), expected);
    let most = k.wide_sub(&k.wide_add(&sum, &xx), &xy);
    let expected = map2(&x, &y, |x, y| 2_u8 * x * x + y * y + (p() - x * y % p()));
    assert_eq!(values::<K>(&k.reduce(&most)), expected);
    for (bits, sign) in [(0, 1), (u64::MAX, -1)] {
        let factor = k.negate_factor(a, bits);
        for wide in [k.wide_mul(&factor, b), k.wide_mul(b, &factor)] {
            let signed = |x: &BigUint, y: &BigUint| if sign < 0 { (p() - x) * y } else { x * y };
            assert_eq!(values::<K>(&k.reduce(&wide)), map2(&x, &y, signed));
        }
        let merged = K::limbs(&k.merge(a, b, bits));
        for (merged, (a, b)) in merged.iter().zip(K::limbs(a).iter().zip(K::limbs(b))) {
            let or = a
                .iter()
                .zip(b)
                .map(|(a, b)| a | if bits == 0 { 0 } else { b });
            assert!(or.eq(merged.iter().copied()));
        }
    }
    assert_eq!(k.negative(a), bits(x.iter().map(is_odd)));
    assert_eq!(k.zero(a), bits(x.iter().map(|x| *x == zero)));
    assert_eq!(k.equal(a, b), bits(x.iter().zip(&y).map(|(x, y)| x == y)));
    for mask in [0, 1, 0b10, 0x5a, 0xff] {
        let chosen = values::<K>(&k.select(mask, a, b));
        for lane in 0..K::LANES {
            let expected = if mask >> lane & 1 == 1 { &x } else { &y };
            assert_eq!(chosen[lane], expected[lane]);
        }
    }
    let abs = map2(&x, &x, |x, _| if is_odd(x) { p() - x } else { x.clone() });
    assert_eq!(values::<K>(&k.abs(a)), abs);
    for (words, x) in k.store(a).iter().zip(&x) {
        assert_eq!(number(words), *x);
    }
}

/// Numbers around the modulus and the limbs' edges; lanes get them in turn.
fn edges() -> Vec<[u64; 4]> {
    let ones = u64::MAX;
    let mut edges = vec![
        [0; 4],
        [1, 0, 0, 0],
        [2, 0, 0, 0],
        [18, 0, 0, 0],
        [19, 0, 0, 0],
    ];
    // From p - 2 to 2^255 + 18, whose bit 255 is ignored.
    edges.extend((0..=20).map(|less| [ones - less, ones, ones, ones >> 1]));
    edges.extend([[ones; 4], [18, 0, 0, 1 << 63], [0, 0, 0, 1 << 62]]);
    for place in [25, 26, 50, 51, 52, 63] {
        edges.push([(1 << place) - 1, 0, 1 << place, 0]);
        edges.push([1 << place, (1 << place) - 1, 0, (1 << place) - 1]);
    }
    edges
}

fn rotated(numbers: &[[u64; 4]], by: usize) -> Words {
    std::array::from_fn(|lane| numbers[(lane + by) % numbers.len()])
}

fn edges_agree<K: Limbs>(k: K) {
    let edges = edges();
    for by in 0..edges.len() {
        let first = rotated(&edges, by);
        let a = k.load(&first);
        let ignored = first.map(|[a, b, c, d]| number(&[a, b, c, d & u64::MAX >> 1]) % p());
        assert_eq!(values::<K>(&a), ignored[..K::LANES]);
        for other in [by, by + 1, by + 5, by + 11, by + 17] {
            agrees(k, &a, &k.load(&rotated(&edges, other)));
        }
    }
    for words in edges {
        let constant = values::<K>(&k.constant(words));
        assert_eq!(constant, values::<K>(&k.load(&[words; MAX_LANES])));
    }
}

/// Every limb as large, or one of them as large, as an element may have it.
fn bounds_agree<K: Limbs>(k: K) {
    let most: Vec<u64> = K::REDUCED.iter().map(|bound| bound - 1).collect();
    let mut all = vec![most.clone(), vec![0; most.len()]];
    for at in 0..most.len() {
        let mut one = vec![0; most.len()];
        one[at] = most[at];
        all.push(one);
        let mut others = most.clone();
        others[at] = 0;
        all.push(others);
    }
    let all: Vec<K::Field> = all.iter().map(|limbs| k.with_limbs(limbs)).collect();
    for a in &all {
        for b in &all {
            agrees(k, a, b);
        }
    }
}

fn random_agree<K: Limbs>(k: K, a: &Words, b: &Words) {
    agrees(k, &k.load(a), &k.load(b));
}

#[test]
fn elements_near_the_modulus_agree_with_integers() {
    Ifma::detect().into_iter().for_each(edges_agree);
    Avx2::detect().into_iter().for_each(edges_agree);
}

#[test]
fn elements_with_the_largest_limbs_agree_with_integers() {
    Ifma::detect().into_iter().for_each(bounds_agree);
    Avx2::detect().into_iter().for_each(bounds_agree);
}

proptest! {
    #[test]
    fn random_elements_agree_with_integers(a in any::<Words>(), b in any::<Words>()) {
        Ifma::detect().into_iter().for_each(|k| random_agree(k, &a, &b));
        Avx2::detect().into_iter().for_each(|k| random_agree(k, &a, &b));
    }
}

/// The identity among other points: its zero must not reach the others through the inversion
/// that they share.
fn identity_alone_is_zero<K: Kernel>(k: K, negative: bool) {
    let number: Words = [[0x1234_5678, 3, 5, 7]; MAX_LANES];
    let halves = [number, number.map(|[a, ..]| [a + 1, 0, 0, 9])];
    let point = k.enter(Map(&halves));
    let identity = Extended::identity(k);
    // The identity of ristretto255 is four points of the curve: (0, 1), (i, 0), (0, -1), (-i, 0).
    // Two of them stand in each of two vectors, for kernels of four lanes.
    let (zero, lanes) = (k.nought(), 0b110);
    let (mut i, mut one) = (k.constant(SQRT_M1), identity.y);
    if negative {
        (i, one) = (k.sub(&zero, &i), k.sub(&zero, &one));
    }
    let x = k.select(0b100, &i, &zero);
    let y = k.select(0b100, &zero, &one);
    let mixed = Extended {
        x: k.select(lanes, &x, &point.x),
        y: k.select(lanes, &y, &point.y),
        z: k.select(lanes, &identity.z, &point.z),
        t: k.select(lanes, &zero, &point.t),
    };
    let (mut alone, mut beside) = ([[[1; 4]; MAX_LANES]; 1], [[[1; 4]; MAX_LANES]; 3]);
    let points = &[point];
    k.enter(EncodeDoubles {
        points,
        out: &mut alone,
    });
    let points = &[point, mixed, point];
    k.enter(EncodeDoubles {
        points,
        out: &mut beside,
    });
    for at in 0..K::LANES {
        assert_eq!(beside[0][at], alone[0][at]);
        assert_eq!(beside[2][at], alone[0][at]);
        let expected = if at == 1 || at == 2 {
            [0; 4]
        } else {
            alone[0][at]
        };
        assert_eq!(beside[1][at], expected);
    }
}

#[test]
fn the_identity_spoils_no_other_point() {
    for negative in [false, true] {
        Ifma::detect()
            .into_iter()
            .for_each(|k| identity_alone_is_zero(k, negative));
        Avx2::detect()
            .into_iter()
            .for_each(|k| identity_alone_is_zero(k, negative));
    }
}
