//! Pinned TLS, gRPC, configuration and tracing: what the services share, without their logic.
//!
//! | module | holds |
//! |---|---|
//! | [`services`] | generated gRPC code; make servers with [`server`], clients with [`client`], which set the size limits |
//! | [`tls`] | leaves made from service keys, server configuration, verifiers that compare public keys |
//! | [`server`] | accepts, shakes hands, serves, tells handlers who calls, ends gracefully |
//! | [`client`] | connects to one public key, or captures the key for attesting |
//! | [`agreements`] | the folder of agreements of whoever serves: which count, which are in force |
//! | [`status`] | [`Problem`](status::Problem): what went wrong, carried through a gRPC status |
//! | [`config`] | one TOML file, unknown keys refused, errors with line and column |
//! | [`telemetry`] | tracing to standard error, the end on a signal |
//! | [`traffic`] | how many bytes the connections carried |
//! | [`health`] | `/healthz` on the loopback |
//! | [`disk_full()`] | whether a disk takes no more |
//! | [`harden()`] | no core dumps, no inspection, panics without their message |

pub mod agreements;
pub mod client;
pub mod config;
mod disk;
mod harden;
pub mod health;
mod peer;
pub mod server;
pub mod status;
pub mod telemetry;
pub mod tls;
pub mod traffic;

pub use disk::disk_full;
pub use harden::harden;

/// The gRPC services and their messages, version 1.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod services {
    include!("generated/incamera.services.v1.rs");
}
