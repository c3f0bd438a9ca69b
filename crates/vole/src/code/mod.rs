//! The code that makes a few places of noise look random everywhere.
//!
//! A vector `e` of `2 m` elements becomes one of `m`:
//!
//! ```text
//! out_i = e_i + sum over 11 places of z + rho_i (sum over 10 places of z)
//! z     = two convolutions of e_m, ..., e_(2m-1)
//! ```
//!
//! ([`convolve`], [`expand`]): the dual of an *expand-convolute* code with an expander of
//! weight 21 and convolutions over 24 elements, its rows in front an identity. The map is
//! linear over GF(2^128), and applied to both halves of `w = v + e delta` it keeps the relation.
//!
//! # Claim
//! With noise of weight 400, one place in each of 400 equal blocks ([`super::silent`]), the
//! output for `e` looks random under the dual LPN assumption for this code. No theorem covers
//! this field and these constants; what stands for it is what is known to fail.
//!
//! * *Linear tests* see it with less than 2^-128 if the code's distance times the length is such
//!   that `(1 - d)^400 < 2^-128`, `d >= 0.2`. That 0.2 is the estimate of libOTe's author for
//!   weight 21 and 24 taps (its `ExConvConfigure`, called conservative there); the paper was
//!   not at hand, and the estimate is not ours.
//! * *Linear algebra over bits.* An element of GF(2^128) is 128 bits, and noise in elements is
//!   128 vectors of bits with noise at the same places. Whatever part of the code has
//!   coefficients 0 and 1 alone gives checks that hold for each of them, and up to some 120
//!   places (250 of the whole) fall to them in seconds. Two parts had to be taken out of it: the
//!   constant in the convolutions and the weights `rho_i` in the expander. Both have a test
//!   that finds every place without them and none with them. That shows these attacks gone, it
//!   is no proof that there is no third.
//! * *Algebra on regular noise*, by a rough count of degrees (decision 0083): far above 2^128.
//!
//! The other party sees the output under the receiver's store, so that it could attack only with
//! all but a few of the receiver's ids known to it.
//!
//! What the code is, hangs on the context of the run, which neither side chooses alone: no one
//! can look for a weak code or prepare for one.
//!
//! # Reference
//! Raghuraman, Rindal, Tanguy, *Expand-Convolute Codes for Pseudorandom Correlation Generators
//! from LPN* (Crypto 2023, eprint 2023/882).

mod convolve;
mod expand;
#[cfg(test)]
mod tests;

use incamera_group::Gf128;

use crate::prg::Prg;

/// What the code's streams hang on: number 0 and 1 for the taps of the convolutions, 2 for the
/// expander's places, 3 for its weights.
const LABEL: &str = "incamera-vole-code/2";
/// The constant of the convolutions, outside every proper subfield: the first 16 bytes of
/// SHA-256 of `incamera-vole-alpha/1`.
const ALPHA: Gf128 = Gf128::from_bits(0xd948_3699_07ec_b8de_135f_77a8_446c_2094);

/// Encodes `LANES` vectors side by side, in place: the first half of `vector` is what comes
/// out, the second is spoilt. Lengths are even and 22 at least.
pub(crate) fn encode<const LANES: usize>(context: &[u8; 32], vector: &mut [[Gf128; LANES]]) {
    encode_with(ALPHA, context, vector, weights(context));
}

/// With any constant, and with weights that `weights` gives, a batch at a time.
fn encode_with<const LANES: usize>(
    alpha: Gf128,
    context: &[u8; 32],
    vector: &mut [[Gf128; LANES]],
    weights: impl FnMut(&mut [Gf128]),
) {
    let (out, z) = vector.split_at_mut(vector.len() / 2);
    for pass in [0, 1] {
        convolve::convolve(z, alpha, &mut Prg::public(LABEL, context, pass));
    }
    expand::expand(out, z, &mut Prg::public(LABEL, context, 2), weights);
}

/// The weights of a run.
fn weights(context: &[u8; 32]) -> impl FnMut(&mut [Gf128]) {
    let mut stream = Prg::public(LABEL, context, 3);
    move |rho| {
        let mut places = rho.iter_mut();
        stream.elements(places.len(), |_, element| {
            places.by_ref().take(1).for_each(|place| *place = element);
        });
    }
}
