//! Other people's implementations, to compare ours with. See README.md.
#![cfg(test)]

mod evaluations;
mod samplers;
mod thresholds;
