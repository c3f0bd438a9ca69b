#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    missing_docs
)]

mod golden;
mod notes;
mod openssh;
mod sealing;
mod secrets;
mod signed;
mod ssh_keygen;

use incamera_keys::SigningKey;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;

/// A generator that gives the same bytes on each run.
fn rng(seed: u8) -> ChaCha20Rng {
    ChaCha20Rng::from_seed([seed; 32])
}

fn signer(seed: u8) -> SigningKey {
    SigningKey::generate(&mut rng(seed))
}
