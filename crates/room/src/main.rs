//! The room alone, as it runs in a confidential VM: `incamera-room CONFIG`.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use incamera_net::telemetry;
use incamera_room::{RoomConfig, serve};

fn main() -> ExitCode {
    let config = std::env::args_os()
        .nth(1)
        .map_or_else(|| "room.toml".into(), PathBuf::from);
    telemetry::init(std::io::stderr().is_terminal());
    match run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(config: &std::path::Path) -> anyhow::Result<()> {
    let config = RoomConfig::load(config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(serve(config, || {}, telemetry::shutdown()))?)
}
