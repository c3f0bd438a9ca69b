//! `cargo xtask codegen`: Rust code from the protobuf files, with a compiler written in Rust.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

const MESSAGES: &str = "incamera/v1.proto";
const SERVICES: &str = "incamera/services.proto";
/// Passed on as they came: never copied into bytes of their own.
const PASSED_ON: &str = ".incamera.services.v1.MeetingFrame.message";
/// Messages with secrets in clear: what they print is written by hand, in `wire`.
const SECRET: [&str; 3] = [
    ".incamera.v1.GrantSecrets",
    ".incamera.v1.GrantedKey",
    ".incamera.v1.TokenFile",
];

/// Writes the generated code into the work tree.
pub fn run(root: &Path) -> Result<()> {
    generate(
        root,
        &root.join("crates/wire/src/generated"),
        &root.join("crates/net/src/generated"),
    )
}

/// Fails if the committed code is not what the protobuf files give.
pub fn check(root: &Path) -> Result<()> {
    let scratch = target(root).join("codegen");
    let (wire, net) = (scratch.join("wire"), scratch.join("net"));
    generate(root, &wire, &net)?;
    for (fresh, committed) in [(wire, "wire"), (net, "net")] {
        compare(
            &fresh,
            &root.join("crates").join(committed).join("src/generated"),
        )?;
    }
    Ok(())
}

/// Where builds go.
fn target(root: &Path) -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    root.join(named.unwrap_or_else(|| "target".into()))
}

fn compare(fresh: &Path, committed: &Path) -> Result<()> {
    for entry in std::fs::read_dir(fresh)? {
        let path = entry?.path();
        let name = path.file_name().context("a generated file has a name")?;
        let old = std::fs::read(committed.join(name)).unwrap_or_default();
        anyhow::ensure!(
            std::fs::read(&path)? == old,
            "{} is not what the protobuf files give: run `cargo xtask codegen`",
            committed.join(name).display()
        );
    }
    Ok(())
}

fn generate(root: &Path, wire: &Path, net: &Path) -> Result<()> {
    let include = root.join("crates/wire/proto");
    std::fs::create_dir_all(wire)?;
    std::fs::create_dir_all(net)?;
    let compile = |file: &str| {
        protox::compile([include.join(file)], [&include]).context("the protobuf files")
    };
    prost_build::Config::new()
        .out_dir(PathBuf::from(wire))
        .skip_debug(SECRET)
        .compile_fds(compile(MESSAGES)?)?;
    let mut config = prost_build::Config::new();
    config.extern_path(".incamera.v1", "::incamera_wire::v1");
    config.bytes([PASSED_ON]);
    tonic_prost_build::configure()
        .out_dir(net)
        .compile_fds_with_config(compile(SERVICES)?, config)?;
    // The compiler leaves an empty file for the messages, which are `wire`'s.
    let _ = std::fs::remove_file(net.join("incamera.v1.rs"));
    Ok(())
}
