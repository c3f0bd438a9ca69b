//! The room alone, as it runs in a confidential VM: `incamera-room CONFIG`.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::ExitCode;

use incamera_net::telemetry;
use incamera_room::{RoomConfig, serve};

const HELP: &str = "\
Runs a room until it is stopped: the same as `incamera room serve --config CONFIG`.

Usage: incamera-room [CONFIG]

CONFIG is `room.toml` unless it is given. `--version` and `--help` say what they say.
";

fn main() -> ExitCode {
    // Before a key or a row is in memory.
    incamera_net::harden();
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [word] if word == "--version" || word == "-V" => {
            say(&format!("incamera-room {}\n", env!("CARGO_PKG_VERSION")))
        }
        [word] if word == "--help" || word == "-h" => say(HELP),
        [] => run("room.toml".as_ref()),
        [config] if !config.to_string_lossy().starts_with('-') => run(config.as_ref()),
        _ => {
            let _ = write!(std::io::stderr().lock(), "{HELP}");
            ExitCode::from(2)
        }
    }
}

fn say(text: &str) -> ExitCode {
    match write!(std::io::stdout().lock(), "{text}") {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn run(config: &Path) -> ExitCode {
    telemetry::init(std::io::stderr().is_terminal());
    match served(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn served(config: &Path) -> anyhow::Result<()> {
    let config = RoomConfig::load(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(serve(config, || {}, telemetry::shutdown()))?)
}
