//! Services as an administrator sees them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use incamera_testkit::stage::{Stage, free_address};

use crate::world::{PROGRAM, World};

/// Asks for a page as a browser would, and gives the whole response.
fn http_get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// Each service says that it is well, and ends in good order when it is told to.
#[test]
fn services_say_that_they_are_well_and_stop_when_told() {
    let world = World::agreed();
    let mut running = Vec::new();
    for (name, file, listens, arguments) in [
        (
            "shop",
            "shop/party.toml",
            world.shop.listens,
            ["party", "serve", "--party", "shop"],
        ),
        (
            "room",
            "room/room.toml",
            world.room.listens,
            ["room", "serve", "--config", "room/room.toml"],
        ),
    ] {
        let health = free_address().unwrap();
        world.configure(file, &format!("health = \"{health}\""));
        let log = std::fs::File::create(world.root().join("log")).unwrap();
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .current_dir(world.root())
            .stdin(Stdio::null())
            .stderr(log);
        running.push((name, listens, health, Service(command.spawn().unwrap())));
    }
    for ((name, listens, health, mut service), signal) in running.into_iter().zip(["-TERM", "-INT"])
    {
        wait_for(listens);
        wait_for(health);
        let response = http_get(health, "/healthz");
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        assert!(
            response.contains("\"status\":\"ok\"") && response.contains(name),
            "{response}"
        );
        assert!(http_get(health, "/other").starts_with("HTTP/1.1 404"));
        let pid = service.0.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        let start = Instant::now();
        let status = loop {
            if let Some(status) = service.0.try_wait().unwrap() {
                break status;
            }
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{name} does not end"
            );
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(status.code(), Some(0), "{name} after {signal}");
    }
}

/// Ended for good if a test fails.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(address: SocketAddr) {
    wait_while(address, || {});
}

/// Waits until somebody listens there; `check` may lose patience before.
pub fn wait_while(address: SocketAddr, mut check: impl FnMut()) {
    let start = Instant::now();
    while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
        check();
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "nothing listens on {address}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the room measures of itself is what the agreement accepts.
#[test]
fn the_measurement_is_the_one_in_the_agreement() {
    let stage = Stage::new(PROGRAM.into());
    let measured = stage.done(&["room", "measure"]).unwrap();
    let (tee, measurement) = (measured.text("/tee"), measured.text("/measurement"));
    assert_eq!((tee.as_str(), measurement.len()), ("simulated", 64));
    let draft = stage.done(&[
        "agreement",
        "new",
        "--for",
        "ad-measurement",
        "--insecure-simulated-tee",
    ]);
    let text = draft.unwrap().text("/text");
    assert!(
        text.contains(&format!(
            "tee = \"simulated\"\nmeasurements = [\"{measurement}\"]"
        )),
        "{text}"
    );
    // Nobody gets a simulated TEE without asking for one.
    let draft = stage
        .done(&["agreement", "new", "--for", "ad-measurement"])
        .unwrap()
        .text("/text");
    assert!(!draft.contains("tee = \"simulated\""), "{draft}");
}
