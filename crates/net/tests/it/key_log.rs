//! The key log of simulated rooms.

use std::os::unix::fs::PermissionsExt as _;

use incamera_net::client;
use incamera_net::tls::{TlsError, TlsOptions};

use crate::support::{Running, key, seen_as};

#[tokio::test]
async fn keys_of_both_sides_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let log = |name: &str| TlsOptions {
        key_log: Some(dir.path().join(name)),
    };
    let at = "127.0.0.1:0".parse().unwrap();
    let server = Running::start_at(&key(1), at, &log("server")).await;
    let channel = client::connect(&server.url(), &key(1).public(), None, &log("client")).await;
    seen_as(&mut client::owner(channel.unwrap())).await;
    let read = |name: &str| {
        let path = dir.path().join(name);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(path).unwrap();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let lines = read("server");
    assert_eq!(lines, read("client"));
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("CLIENT_TRAFFIC_SECRET_0 "))
    );
}

#[test]
fn a_log_that_cannot_be_written_is_said_so() {
    let options = TlsOptions {
        key_log: Some("there/is/none.log".into()),
    };
    let error = incamera_net::tls::server_config(&key(1), &[], &options).unwrap_err();
    assert!(matches!(error, TlsError::KeyLog { .. }), "{error}");
}
