//! The program `incamera-room`, as it is built.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use incamera_agreement::{AdMeasurement, PartyInputs, files, sign, template_ad_measurement};
use incamera_attest::TeeKind;
use incamera_keys::SigningKey;
use incamera_room::RoomConfig;
use incamera_testkit::stage::free_address;

const PROGRAM: &str = env!("CARGO_BIN_EXE_incamera-room");

fn program(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).current_dir(folder);
    command.stdin(Stdio::null()).output().unwrap()
}

/// An agreement that both parties have signed, and a room's configuration under it.
fn prepare(folder: &Path, listen: SocketAddr, health: SocketAddr) {
    let key = || SigningKey::generate(&mut rand::rng());
    let parties = ["shop", "mailer"].map(|name| (name, key()));
    let inputs = |(name, signs): &(&str, SigningKey)| PartyInputs {
        name: Some(name.parse().unwrap()),
        signs: Some(signs.public()),
        service: Some(key().public()),
        receives: None,
        url: Some(format!("https://{name}.example:7443").parse().unwrap()),
        people: Some(100),
    };
    let text = template_ad_measurement(&AdMeasurement {
        name: Some("campaign".into()),
        expires: Some("2999-12-31".parse().unwrap()),
        shop: inputs(&parties[0]),
        mailer: inputs(&parties[1]),
        analyst_key: Some(key().public()),
        room_url: Some(format!("https://{listen}").parse().unwrap()),
        tee: Some(TeeKind::Simulated),
        measurement: Some(incamera_room::own_measurement().unwrap()),
        ..AdMeasurement::default()
    });
    let path = folder.join("campaign.toml");
    std::fs::write(&path, &text).unwrap();
    for (name, signs) in &parties {
        let signature = sign(text.as_bytes(), signs).unwrap().to_armor();
        let to = files::signature_path(&path, &name.parse().unwrap());
        std::fs::write(to, signature).unwrap();
    }
    let config = format!(
        "format = \"incamera-room/1\"\nlisten = \"{listen}\"\nhealth = \"{health}\"\nagreement = \"campaign.toml\"\nstorage = \"storage\"\ninsecure_simulated_tee = true\n"
    );
    std::fs::write(folder.join("room.toml"), config).unwrap();
}

#[test]
fn it_says_its_version_and_how_it_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let version = program(folder.path(), &["--version"]);
    let expected = format!("incamera-room {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(version.stdout, expected.as_bytes());
    assert_eq!(version.status.code(), Some(0));
    let help = program(folder.path(), &["--help"]);
    assert_eq!(help.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&help.stdout).contains("incamera room serve --config"));
    for wrong in [&["--confg"][..], &["a.toml", "b.toml"]] {
        let wrong = program(folder.path(), wrong);
        assert_eq!((wrong.status.code(), wrong.stdout.len()), (Some(2), 0));
    }
}

/// A query that were let in by that number would end the room, or not, by people's rows.
#[test]
fn i7_it_does_not_start_with_more_memory_than_there_is() {
    let folder = tempfile::tempdir().unwrap();
    prepare(
        folder.path(),
        free_address().unwrap(),
        free_address().unwrap(),
    );
    let path = folder.path().join("room.toml");
    let config = std::fs::read_to_string(&path).unwrap();
    let most = i64::MAX;
    std::fs::write(&path, format!("{config}memory_bytes = {most}\n")).unwrap();
    let refused = program(folder.path(), &[]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("`memory_bytes` is {most}")),
        "{said}"
    );
}

/// The reasons are the configuration's own, which `incamera room serve` shows as well.
#[test]
fn it_refuses_what_the_configuration_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("room.toml");
    let bad = "format = \"incamera-room/1\"\nlisten = \"127.0.0.1:1\"\nagrement = \"a.toml\"\n";
    for text in [None, Some(bad), Some("format = \"incamera-room/9\"\n")] {
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let expected = RoomConfig::load(&path).unwrap_err();
        let refused = program(folder.path(), &[path.to_str().unwrap()]);
        assert_eq!(refused.status.code(), Some(1));
        let said = String::from_utf8(refused.stderr).unwrap();
        let expected = format!("error: {:#}", anyhow::Error::from(expected));
        assert_eq!(said.trim(), expected.trim());
    }
}

/// Ended for good if a test fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn connected(address: SocketAddr) -> TcpStream {
    let start = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return stream,
            Err(error) if start.elapsed() > Duration::from_secs(60) => panic!("{error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// It binds, says over HTTP that it is well, and a second one on its port is refused.
#[test]
fn it_serves_a_room() {
    let folder = tempfile::tempdir().unwrap();
    let (listen, health) = (free_address().unwrap(), free_address().unwrap());
    prepare(folder.path(), listen, health);
    let mut command = Command::new(PROGRAM);
    command.current_dir(folder.path()).stdin(Stdio::null());
    let room = Running(command.stderr(Stdio::null()).spawn().unwrap());
    let mut stream = connected(health);
    let limit = Some(Duration::from_secs(10));
    stream.set_read_timeout(limit).unwrap();
    let get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    write!(stream, "{get}").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    assert!(response.contains("\"name\":\"room\""), "{response}");
    drop(connected(listen));
    // I1: a crash writes no memory to disk.
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", room.0.id())).unwrap();
    let mut limits = limits
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let core = limits.find(|words| words.starts_with(&["Max", "core"]));
    assert_eq!(core.unwrap()[4..6], ["0", "0"], "soft and hard limit");
    let second = program(folder.path(), &["room.toml"]);
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(said.contains("the room cannot listen there"), "{said}");
}
