//! `party serve`, `room serve`, `room measure`.

use std::io::IsTerminal;

use incamera_net::telemetry;
use incamera_party::PartyConfig;
use incamera_room::RoomConfig;

use crate::args::{PartyFolder, RoomServe};
use crate::commands::block_on;
use crate::failure::{Context, Done};
use crate::folder::Folder;
use crate::printer::Printer;

/// Runs a party's service until it is stopped.
pub fn party(arguments: &PartyFolder, printer: &Printer) -> Done {
    let folder = Folder::open(&arguments.party)?;
    let config: PartyConfig = folder.config.clone();
    let passphrase = folder.passphrase()?;
    start_log();
    printer.note(format!("`{}` listens on {}", config.name, config.listen));
    block_on(async {
        incamera_party::serve(config, passphrase, telemetry::shutdown())
            .await
            .or_fail("the party's service ended")
    })
}

/// Runs a room until it is stopped.
pub fn room(arguments: &RoomServe, printer: &Printer) -> Done {
    let config = RoomConfig::load(&arguments.config).or_fail("the configuration was not read")?;
    start_log();
    if config.insecure_simulated_tee {
        printer.warn("SIMULATED TEE: no hardware protects this room");
    }
    printer.note(format!("the room listens on {}", config.listen));
    block_on(async {
        incamera_room::serve(config, telemetry::shutdown())
            .await
            .or_fail("the room ended")
    })
}

/// Shows what this program would attest.
pub fn measure(printer: &Printer) -> Done {
    let measurement = incamera_room::own_measurement().or_fail("this program was not measured")?;
    let document = serde_json::json!({ "tee": "simulated", "measurement": measurement });
    let text = format!(
        "[[room.accept]]\ntee          = \"simulated\"   # SIMULATED TEE: protects nothing\nmeasurements = [\"{measurement}\"]"
    );
    printer.result(text, "incamera-measurement/1", &document);
    Ok(())
}

fn start_log() {
    telemetry::init(std::io::stderr().is_terminal());
}
