//! The code that makes a few places of noise look random everywhere.
//!
//! A vector `e` of `2 m` elements becomes one of `m`:
//!
//! ```text
//! out_i = e_i + sum over 21 places of z,      z = two convolutions of e_m, ..., e_(2m-1)
//! ```
//!
//! ([`convolve`], [`expand`]): the dual of an *expand-convolute* code with an expander of
//! weight 21 and convolutions over 24 elements, its rows in front an identity. The map is
//! linear over GF(2^128), and applied to both halves of `w = v + e delta` it keeps the relation.
//!
//! # Claim
//! With noise of weight 400, one place in each of 400 equal blocks ([`super::silent`]), the
//! output for `e` looks random under the dual LPN assumption for this code. For every known
//! *linear* test to see it with less than 2^-128 the code's distance times the length must be
//! such that `(1 - d)^400 < 2^-128`, `d >= 0.2`. That 0.2 is the estimate of libOTe's author for
//! weight 21 and 24 taps (its `ExConvConfigure`, called conservative there); the paper was not
//! at hand, no theorem covers this field and these constants, and the estimate is not ours.
//! Decoding by information sets, at rate one half, costs some 2^400 for regular noise of that
//! weight. Attacks on the regularity of noise by algebra ask for far less weight at this rate
//! as far as is known to us; they were not computed for these sizes.
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
/// expander.
const LABEL: &str = "incamera-vole-code/1";
/// The constant of the convolutions, outside every proper subfield: the first 16 bytes of
/// SHA-256 of `incamera-vole-alpha/1`.
const ALPHA: Gf128 = Gf128::from_bits(0xd948_3699_07ec_b8de_135f_77a8_446c_2094);

/// Encodes `LANES` vectors side by side, in place: the first half of `vector` is what comes
/// out, the second is spoilt. Lengths are even and 22 at least.
pub(crate) fn encode<const LANES: usize>(context: &[u8; 32], vector: &mut [[Gf128; LANES]]) {
    encode_with(ALPHA, context, vector);
}

fn encode_with<const LANES: usize>(
    alpha: Gf128,
    context: &[u8; 32],
    vector: &mut [[Gf128; LANES]],
) {
    let (out, z) = vector.split_at_mut(vector.len() / 2);
    for pass in [0, 1] {
        convolve::convolve(z, alpha, &mut Prg::public(LABEL, context, pass));
    }
    expand::expand(out, z, &mut Prg::public(LABEL, context, 2));
}
