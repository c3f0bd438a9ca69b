//! `party serve`, `provider serve`, `room serve`, `room measure`.

use std::io::IsTerminal;

use incamera_agreement::files;
use incamera_net::telemetry;
use incamera_party::PartyConfig;
use incamera_provider::Own;
use incamera_room::RoomConfig;

use crate::args::{PartyFolder, RoomServe};
use crate::clock::now;
use crate::commands::block_on;
use crate::commands::room_client::options;
use crate::failure::{Context, Done, Exit, Failure};
use crate::folder::Folder;
use crate::newer;
use crate::printer::Printer;

/// Runs a party's service until it is stopped.
pub fn party(arguments: &PartyFolder, printer: &Printer) -> Done {
    let folder = Folder::open(&arguments.party)?;
    let config: PartyConfig = folder.config.clone();
    let ring = folder.ring()?;
    let _lock = folder.serving_lock()?;
    start_log();
    let up = format!("`{}` listens on {}", config.name, config.listen);
    let ended = |error| {
        let failure = Failure::failed("the party's service ended").because(&error);
        match error {
            incamera_party::ServeError::Listen(_) => failure.hint(PORT),
            _ => failure,
        }
    };
    block_on(async {
        let ready = || printer.note(up);
        let shutdown = telemetry::shutdown();
        let served = incamera_party::serve(config, ring, ready, shutdown);
        served.await.map_err(ended)
    })
}

/// Runs a provider's service until it is stopped.
pub fn provider(arguments: &PartyFolder, printer: &Printer) -> Done {
    let folder = Folder::open(&arguments.party)?;
    let config = folder.provider()?;
    let own = Own {
        name: folder.name().clone(),
        signs: folder.config.signs,
        service: folder.service_key()?,
        receive: folder
            .config
            .keys
            .receive
            .exists()
            .then(|| folder.receive_key())
            .transpose()?,
        agreements: folder.agreements().to_owned(),
        shares: folder.share_key()?,
    };
    let _lock = folder.serving_lock()?;
    start_log();
    let up = format!("the provider `{}` listens on {}", own.name, config.listen);
    let options = options(&folder);
    let ended = |error| {
        let failure = Failure::failed("the provider's service ended").because(&error);
        match error {
            incamera_provider::ServeError::Listen(_) => failure.hint(PORT),
            _ => failure,
        }
    };
    block_on(async {
        let ready = || printer.note(up);
        let shutdown = telemetry::shutdown();
        let served = incamera_provider::serve(config, own, &options, ready, shutdown);
        served.await.map_err(ended)
    })
}

const PORT: &str = "stop the other process that listens there, or change `listen` (or `health`) in the configuration";

/// Runs a room until it is stopped.
pub fn room(arguments: &RoomServe, printer: &Printer) -> Done {
    let config = RoomConfig::load(&arguments.config)
        .or_fail("the configuration was not read")
        .map_err(|failure| {
            failure.hint("name the room's file with `--config FILE`, and mend the line that is named; the README shows a whole one")
        })?;
    serves_somebody(&config, printer)?;
    start_log();
    if config.insecure_simulated_tee {
        printer.warn("SIMULATED TEE: no hardware protects this room");
    }
    let up = format!("the room listens on {}", config.listen);
    let ended = |error| {
        let failure = Failure::failed("the room ended").because(&error);
        match error {
            incamera_room::ServeError::Listen(_) => failure.hint(PORT),
            _ => failure,
        }
    };
    block_on(async {
        let ready = || printer.note(up);
        let served = incamera_room::serve(config, ready, telemetry::shutdown());
        served.await.map_err(ended)
    })
}

/// Whether any party will talk to this room: not under an agreement that is over, nor if what
/// it attests is not what the agreement accepts.
fn serves_somebody(config: &RoomConfig, printer: &Printer) -> Done {
    // Where it cannot be read or is not signed, starting says so.
    let Ok(signed) = files::read_signed(&config.agreement) else {
        return Ok(());
    };
    signed.at(now()).map_err(|error| {
        Failure::new(Exit::Refused, "the room was not started")
            .because(&error)
            .hint("name the newest version as `agreement` in the room's configuration")
    })?;
    let terms = signed.agreement();
    if let Some(version) = newer::beside(&config.agreement, terms) {
        printer.warn(format!(
            "the room's agreement is superseded: {}; no owner grants keys under it",
            newer::why(version)
        ));
    }
    let measured = incamera_room::own_measurement().or_fail("this program was not measured")?;
    if config.insecure_simulated_tee && !terms.room.policy.names(&measured) {
        printer.warn(format!(
            "the agreement does not accept this program: it measures as {measured}, and no party will send data or keys; agree on a version that names it (`incamera room measure`)"
        ));
    }
    Ok(())
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
