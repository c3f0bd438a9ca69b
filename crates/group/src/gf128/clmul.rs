//! Products by PCLMULQDQ, which multiplies 64 coefficients by 64.

#![expect(
    unsafe_code,
    reason = "instructions that the compiler does not know to be there"
)]

use std::arch::x86_64::{
    __m128i, _mm_clmulepi64_si128, _mm_move_epi64, _mm_set_epi64x, _mm_slli_si128, _mm_srli_si128,
    _mm_xor_si128,
};
use std::mem::transmute;

use super::batch::{Multiply, Work};

/// Proof that the processor has PCLMULQDQ.
#[derive(Clone, Copy)]
pub(super) struct Clmul(());

impl Clmul {
    /// The proof, if it is so.
    #[inline]
    pub(super) fn detect() -> Option<Self> {
        is_x86_feature_detected!("pclmulqdq").then_some(Self(()))
    }
}

impl Multiply for Clmul {
    #[inline(always)]
    fn mul(self, a: u128, b: u128) -> u128 {
        // SAFETY: `self` exists, so `detect` found the feature that `product` is compiled for.
        unsafe { product(a, b) }
    }

    fn enter<W: Work>(self, work: W) -> W::Out {
        #[target_feature(enable = "pclmulqdq")]
        #[inline(never)]
        fn entry<W: Work>(kernel: Clmul, work: W) -> W::Out {
            work.run(kernel)
        }
        // SAFETY: `self` exists, so `detect` found the feature that `entry` is compiled for.
        unsafe { entry(self, work) }
    }
}

/// Four products of halves, then twice what is above `x^127`, folded by `x^7 + x^2 + x + 1`.
#[target_feature(enable = "pclmulqdq")]
#[inline]
fn product(a: u128, b: u128) -> u128 {
    // SAFETY: both types are 16 bytes, of which every value is one of either.
    let [a, b] = unsafe { [transmute::<u128, __m128i>(a), transmute::<u128, __m128i>(b)] };
    let crossed = _mm_xor_si128(
        _mm_clmulepi64_si128::<0x01>(a, b),
        _mm_clmulepi64_si128::<0x10>(a, b),
    );
    let low = _mm_xor_si128(
        _mm_clmulepi64_si128::<0x00>(a, b),
        _mm_slli_si128::<8>(crossed),
    );
    let high = _mm_xor_si128(
        _mm_clmulepi64_si128::<0x11>(a, b),
        _mm_srli_si128::<8>(crossed),
    );
    let fold = _mm_set_epi64x(0, 0x87);
    // The upper half of `high` reaches 7 places above 128, which `over` folds once more.
    let upper = _mm_clmulepi64_si128::<0x01>(high, fold);
    let low = _mm_xor_si128(low, _mm_slli_si128::<8>(upper));
    let over = _mm_xor_si128(_mm_srli_si128::<8>(upper), _mm_move_epi64(high));
    let folded = _mm_xor_si128(low, _mm_clmulepi64_si128::<0x00>(over, fold));
    // SAFETY: as above.
    unsafe { transmute::<__m128i, u128>(folded) }
}
