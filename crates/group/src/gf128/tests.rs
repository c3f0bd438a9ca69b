use proptest::prelude::*;
use zeroize::Zeroize;

use super::batch::{AddPolynomial, AddProducts, MulAdd, PowerSum};
use super::*;

/// Every way to multiply that this processor has.
fn ways() -> Vec<Instructions> {
    vec![Instructions::best(), Instructions::Portable(Portable)]
}

/// GHASH writes the coefficient of `x^0` first: in the highest bit of the first byte.
fn ghash_order(hex: &str) -> Gf128 {
    let bytes: [u8; 16] = hex::decode(hex).unwrap().try_into().unwrap();
    Gf128(u128::from_be_bytes(bytes).reverse_bits())
}

fn batch_power(x: Gf128, exponent: u64) -> Gf128 {
    (0..exponent).fold(Gf128::ONE, |power, _| power * x)
}

/// The product bit by bit, as the definition has it.
fn slow_product(a: u128, b: u128) -> u128 {
    (0..128).rev().fold(0_u128, |sum, i| {
        let carry = if sum >> 127 == 1 { 0x87 } else { 0 };
        (sum << 1) ^ carry ^ if (b >> i) & 1 == 1 { a } else { 0 }
    })
}

fn element() -> impl Strategy<Value = Gf128> {
    // Sparse and dense ones, and those with runs at either end.
    prop_oneof![
        any::<u128>().prop_map(Gf128),
        (0..128_u32).prop_map(|i| Gf128(1 << i)),
        (0..128_u32).prop_map(|i| Gf128(u128::MAX >> i)),
        (0..128_u32).prop_map(|i| Gf128(u128::MAX << i)),
    ]
}

/// The intermediate values of GHASH in test cases 2 and 3 of "The Galois/Counter Mode of
/// Operation" (McGrew, Viega).
#[test]
fn products_are_those_of_aes_gcm() {
    let cases = [
        (
            "66e94bd4ef8a2c3b884cfa59ca342b2e",
            &[
                (
                    "0388dace60b6a392f328c2b971b2fe78",
                    "5e2ec746917062882c85b0685353deb7",
                ),
                (
                    "00000000000000000000000000000080",
                    "f38cbb1ad69223dcc3457ae5b6b0f885",
                ),
            ][..],
        ),
        (
            "b83b533708bf535d0aa6e52980d53b78",
            &[
                (
                    "42831ec2217774244b7221b784d0d49c",
                    "59ed3f2bb1a0aaa07c9f56c6a504647b",
                ),
                (
                    "e3aa212f2c02a4e035c17e2329aca12e",
                    "b714c9048389afd9f9bc5c1d4378e052",
                ),
                (
                    "21d514b25466931c7d8f6a5aac84aa05",
                    "47400c6577b1ee8d8f40b2721e86ff10",
                ),
                (
                    "1ba30b396a0aac973d58e091473f5985",
                    "4796cf49464704b5dd91f159bb1b7f95",
                ),
            ][..],
        ),
    ];
    for (key, steps) in cases {
        let mut state = Gf128::ZERO;
        for (block, expected) in steps {
            state = (state + ghash_order(block)) * ghash_order(key);
            assert!(state == ghash_order(expected), "{key} {block}");
        }
    }
}

#[test]
fn bytes_are_little_endian_coefficients() {
    let mut bytes = [0; 16];
    bytes[0] = 2;
    let x = Gf128::from_bytes(bytes);
    assert_eq!(x.bits(), 2);
    assert!(x == Gf128::ONE.mul_x());
    let power = (0..128).fold(Gf128::ONE, |power, _| power.mul_x());
    assert_eq!(power.to_bytes()[0], 0x87);
    assert_eq!(power.bits(), 0x87);
}

#[test]
fn zero_has_no_inverse_and_one_its_own() {
    assert!(Gf128::ZERO.invert().is_none());
    assert!(Gf128::ONE.invert() == Some(Gf128::ONE));
}

#[test]
fn debug_shows_nothing_and_wiping_leaves_zero() {
    let mut element = Gf128(0x1234_5678);
    assert_eq!(format!("{element:?}"), "Gf128(..)");
    element.zeroize();
    assert!(element == Gf128::ZERO);
}

proptest! {
    #[test]
    fn products_are_as_defined(a in element(), b in element()) {
        for way in ways() {
            prop_assert_eq!(way.mul(a.0, b.0), slow_product(a.0, b.0));
        }
        prop_assert_eq!((a * b).bits(), slow_product(a.0, b.0));
    }

    #[test]
    fn batches_are_single_products(
        terms in proptest::collection::vec(element(), 0..40),
        points in proptest::collection::vec(element(), 0..40),
        coefficients in proptest::collection::vec(element(), 0..8),
        by in element(),
        first in 0..200_u64,
    ) {
        let slow: Vec<_> = points.iter().zip(&terms).map(|(p, t)| *p + *t * by).collect();
        let evaluated = |k: &Gf128| {
            let terms = coefficients.iter().scan(Gf128::ONE, |power, c| {
                *power = *power * *k;
                Some(*power * *c)
            });
            terms.fold(Gf128::ZERO, Gf128::add)
        };
        let values: Vec<_> = terms.iter().zip(&points).map(|(t, k)| *t + evaluated(k)).collect();
        let mut power = (0..first).fold(Gf128::ONE, |power, _| power * by);
        let summed = terms.iter().fold(Gf128::ZERO, |sum, term| {
            power = power * by;
            sum + power * *term
        });
        prop_assert!(power_sum(by, &terms, first) == summed);
        for way in ways() {
            let mut sums = points.clone();
            way.enter(MulAdd { sums: &mut sums, terms: &terms, by });
            prop_assert!(sums.iter().zip(&slow).all(|(a, b)| a == b));
            let mut sums = points.clone();
            way.enter(AddProducts { sums: &mut sums, terms: &terms, factors: &slow });
            let products = terms.iter().zip(&slow).map(|(t, f)| *t * *f);
            let mut expected = points.clone();
            expected.iter_mut().zip(products).for_each(|(sum, product)| *sum += product);
            prop_assert!(sums == expected);
            let mut sums = terms.clone();
            way.enter(AddPolynomial {
                sums: &mut sums, points: &points, coefficients: &coefficients,
            });
            prop_assert!(sums.iter().zip(&values).all(|(a, b)| a == b));
            let sum = way.enter(PowerSum { x: by, terms: &terms });
            prop_assert!(sum * batch_power(by, first) == summed);
        }
    }

    #[test]
    fn laws_of_a_field(a in element(), b in element(), c in element()) {
        prop_assert!(a * b == b * a);
        prop_assert!((a * b) * c == a * (b * c));
        prop_assert!(a * (b + c) == a * b + a * c);
        prop_assert!(a * Gf128::ONE == a && a + Gf128::ZERO == a);
        prop_assert!(a + a == Gf128::ZERO);
        prop_assert!(a.square() == a * a);
        prop_assert!(a.mul_x() == a * Gf128::from_bits(2));
        if let Some(inverse) = a.invert() {
            prop_assert!(a * inverse == Gf128::ONE);
        }
    }

    #[test]
    fn encodings_come_back(a in element()) {
        prop_assert!(Gf128::from_bytes(a.to_bytes()) == a);
    }
}
