//! Batch arithmetic in ristretto255, and in the field of 2^128 elements ([`Gf128`]).
//!
//! One group everywhere: ristretto255 (RFC 9496), of prime order, so that a point that
//! decodes is a member and no cofactor needs care. A text becomes a point by
//! `expand_message_xmd` with SHA-512 (RFC 9380, section 5.3.1) and the one-way map of
//! RFC 9496, section 4.3.4, which together are `HashToGroup` of RFC 9497. A plain hash taken
//! for a coordinate would leak a bit of each text, blinded or not.
//!
//! Batches share their inversions, use all processors, and on x86-64 work on several points
//! side by side: eight by AVX-512 IFMA, four by AVX2, chosen at run time ([`Backend`]).
//! Everywhere else, and for a point alone, the arithmetic is curve25519-dalek's.
//! Arithmetic with a [`Scalar`] takes the same time for every scalar and every point.
//!
//! `unsafe` stands in the modules of instructions (`lanes::ifma`, `lanes::avx2`,
//! `gf128::clmul`) and nowhere else in the house.

mod backend;
mod batch;
mod gf128;
mod hash;
#[cfg(target_arch = "x86_64")]
mod lanes;
mod point;
#[cfg(feature = "remember")]
mod remembered;
#[cfg(all(feature = "remember", not(debug_assertions)))]
compile_error!(
    "feature `remember` holds secrets and tells by its time: it is for the fuzzer of `fuzz/` alone"
);
mod scalar;

#[cfg(not(feature = "remember"))]
pub use backend::Backend;
#[doc(hidden)]
pub use backend::Part;
pub use batch::{
    BatchError, add_hash_and_multiply_batch, hash_and_multiply_batch, hash_batch, multiply_batch,
    multiply_one_batch, multiply_one_less_hash_batch,
};
pub use gf128::{Gf128, add_polynomial, add_products, mul_add, power_sum};
pub use hash::{HashDomain, HashError, hash_to_group};
pub use point::{EncodedPoint, Point, PointError, PointFault};
#[cfg(feature = "remember")]
pub use remembered::Backend;
pub use scalar::{Scalar, ScalarError};
