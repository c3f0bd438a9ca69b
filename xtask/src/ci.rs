//! `cargo xtask ci`: what `.ci/run` runs, in order of how fast it fails.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

/// A step's name, what cargo is asked, and with which environment.
type Step = (
    &'static str,
    &'static [&'static str],
    &'static [(&'static str, &'static str)],
);

const STEPS: &[Step] = &[
    ("formatting", &["fmt", "--all", "--check"], &[]),
    (
        "clippy",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "--deny",
            "warnings",
        ],
        &[],
    ),
    // What people run: code that only a simulated TEE uses must not be left over in it.
    (
        "clippy of the production build",
        &[
            "clippy",
            "--package",
            "incamera-cli",
            "--no-default-features",
            "--features",
            "pkcs11",
            "--locked",
            "--",
            "--deny",
            "warnings",
        ],
        &[],
    ),
    (
        "documents",
        &["doc", "--workspace", "--no-deps", "--locked"],
        &[("RUSTDOCFLAGS", "--deny warnings")],
    ),
    ("tests", &["test", "--workspace", "--locked"], &[]),
    // By itself the crate has no simulated TEE: what it then refuses no other step would see.
    (
        "tests of evidence in production",
        &["test", "--package", "incamera-attest", "--locked"],
        &[],
    ),
];

/// Runs every step and stops at the first that fails.
pub fn run(root: &Path) -> Result<()> {
    step("tidy", || crate::tidy::run(root))?;
    step("generated code", || crate::codegen::check(root))?;
    for (name, arguments, environment) in STEPS {
        step(name, || cargo(root, arguments, environment))?;
    }
    say("ci: everything passed");
    Ok(())
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    say(&format!("ci: {name} ..."));
    let start = Instant::now();
    work().with_context(|| format!("ci: {name} failed"))?;
    say(&format!(
        "ci: {name} passed in {} s",
        start.elapsed().as_secs()
    ));
    Ok(())
}

fn cargo(root: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Result<()> {
    let status = Command::new(env!("CARGO"))
        .args(arguments)
        .envs(environment.iter().copied())
        .current_dir(root)
        .status()
        .context("cargo starts")?;
    anyhow::ensure!(status.success(), "cargo {} failed", arguments.join(" "));
    Ok(())
}

#[expect(clippy::print_stderr, reason = "a tool for people at a terminal")]
fn say(line: &str) {
    eprintln!("{line}");
}
