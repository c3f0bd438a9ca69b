//! The workshop's own commands: `cargo xtask codegen`, `tidy`, `ci`.

mod ci;
mod codegen;
mod decisions;
mod keys_page;
mod tidy;

use std::path::Path;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .context("xtask lies in the workspace")?;
    match std::env::args().nth(1).as_deref() {
        Some("codegen") => codegen::run(root),
        Some("tidy") => tidy::run(root),
        Some("ci") => ci::run(root),
        _ => anyhow::bail!("usage: cargo xtask codegen | tidy | ci"),
    }
}
