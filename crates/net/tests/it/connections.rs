//! Who may connect to whom, and what each side learns.

use std::time::Duration;

use incamera_net::client::{self, ConnectError};
use incamera_net::services::StatusRequest;
use incamera_net::services::owner_client::OwnerClient;
use incamera_net::status::{Problem, ProblemKind};
use incamera_net::tls::{self, TlsError, TlsOptions};
use tokio::net::TcpListener;
use tonic::transport::Channel;

use crate::support::{CHATTY, Running, key, register, seen_as};

#[tokio::test]
async fn the_right_key_connects_and_the_handler_sees_the_caller() {
    let server = Running::start(&key(1)).await;
    let mut client = server.client(&key(1), Some(&key(2))).await;
    assert_eq!(seen_as(&mut client).await, key(2).public().to_string());
}

#[tokio::test]
async fn callers_on_different_connections_are_told_apart() {
    let server = Running::start(&key(1)).await;
    let mut two = server.client(&key(1), Some(&key(2))).await;
    let mut three = server.client(&key(1), Some(&key(3))).await;
    let mut none = server.client(&key(1), None).await;
    assert_eq!(seen_as(&mut three).await, key(3).public().to_string());
    assert_eq!(seen_as(&mut none).await, "nobody");
    assert_eq!(seen_as(&mut two).await, key(2).public().to_string());
}

#[tokio::test]
async fn another_server_key_is_refused_with_both_fingerprints() {
    let server = Running::start(&key(1)).await;
    let options = TlsOptions::default();
    let (expected, seen) = (key(9).public(), key(1).public());
    let error = client::connect(&server.url(), &expected, Some(&key(2)), &options)
        .await
        .unwrap_err();
    assert_eq!(
        error,
        ConnectError::OtherKey {
            address: server.address.to_string(),
            expected: expected.fingerprint(),
            seen: seen.fingerprint(),
        }
    );
    let problem = Problem::from(error);
    assert_eq!(problem.kind(), ProblemKind::Refused);
    for part in [expected.fingerprint(), seen.fingerprint()] {
        assert!(problem.message().contains(&part), "{problem}");
    }
}

#[tokio::test]
async fn evidence_names_the_key_as_spki() {
    let server = Running::start(&key(1)).await;
    let options = TlsOptions::default();
    let connect = |spki: Vec<u8>| {
        let (url, options) = (server.url(), options.clone());
        async move { client::connect_pinned_spki(&url, &spki, None, &options).await }
    };
    assert!(connect(key(1).public().to_spki()).await.is_ok());
    let other = connect(key(9).public().to_spki()).await.unwrap_err();
    assert!(matches!(other, ConnectError::OtherKey { .. }));
    let bad = connect(vec![1, 2, 3]).await.unwrap_err();
    assert!(matches!(bad, ConnectError::Handshake { .. }));
}

#[tokio::test]
async fn an_unattested_channel_stays_with_its_first_key() {
    let first = Running::start(&key(1)).await;
    let address = first.address;
    let options = TlsOptions::default();
    let unattested = client::connect_unattested(&first.url(), None, &options)
        .await
        .unwrap();
    assert_eq!(unattested.key(), &key(1).public());
    let mut client = client::owner(unattested.channel());
    assert_eq!(seen_as(&mut client).await, "nobody");
    first.stop().await;

    // Somebody else takes the address over: the channel does not follow.
    let impostor = Running::start_at(&key(5), address, &options).await;
    let problem = reconnected(&mut client).await.unwrap_err();
    assert_eq!(problem.code(), "other-server-key", "{problem}");
    impostor.stop().await;

    // The same key at the same address: it goes on.
    let _again = Running::start_at(&key(1), address, &options).await;
    reconnected(&mut client).await.unwrap();
}

/// A call on a new connection: those that find the old one breaking are repeated.
async fn reconnected(client: &mut OwnerClient<Channel>) -> Result<(), Problem> {
    loop {
        match client.status(StatusRequest {}).await.map_err(Problem::from) {
            Err(problem) if problem.code() == "connection-lost" => {}
            result => return result.map(|_| ()),
        }
    }
}

#[tokio::test]
async fn nobody_there_is_said_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let options = TlsOptions::default();
    let error = client::connect(&address, &key(1).public(), None, &options)
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&address), "{error}");
    assert_eq!(Problem::from(error).kind(), ProblemKind::Unavailable);
}

#[tokio::test]
async fn a_service_that_goes_away_is_said_so_in_a_later_call() {
    let server = Running::start(&key(1)).await;
    let mut client = server.client(&key(1), None).await;
    server.stop().await;
    for _ in 0..3 {
        let status = client.status(StatusRequest {}).await.unwrap_err();
        let problem = Problem::from_status(&status);
        assert_eq!(problem.kind(), ProblemKind::Unavailable, "{problem}");
    }
    let problem = reconnected(&mut client).await.unwrap_err();
    assert_eq!(problem.code(), "unreachable");
}

#[tokio::test]
async fn addresses_are_checked() {
    let options = TlsOptions::default();
    for address in [
        "",
        "shop",
        "shop:",
        "shop:99999",
        "http://shop:1",
        "a b:1",
        "shop:1/x",
    ] {
        let error = client::connect(address, &key(1).public(), None, &options).await;
        assert!(
            matches!(error, Err(ConnectError::Address { .. })),
            "{address}: {error:?}"
        );
    }
    let server = Running::start(&key(1)).await;
    let port = server.address.port();
    for address in [
        format!("https://127.0.0.1:{port}/"),
        format!("127.0.0.1:{port}"),
        format!("localhost:{port}"),
    ] {
        let channel = client::connect(&address, &key(1).public(), None, &options).await;
        assert!(channel.is_ok(), "{address}: {channel:?}");
    }
}

#[test]
fn hosts_of_leaves_are_checked() {
    let config =
        |host: &str| tls::server_config(&key(1), &[host.to_owned()], &TlsOptions::default());
    for host in [
        "shop.example",
        "localhost",
        "10.0.0.1",
        "::1",
        "[::1]",
        "shop_1",
    ] {
        assert!(config(host).is_ok(), "{host}");
    }
    for host in ["", "a b", "https://shop.example"] {
        let error = config(host).unwrap_err();
        assert_eq!(error, TlsError::Host { host: host.into() });
    }
}

#[tokio::test]
async fn large_messages_pass_and_too_large_ones_do_not() {
    let server = Running::start(&key(1)).await;
    let mut client = server.client(&key(1), None).await;
    let eight_mib = 8 << 20;
    assert_eq!(
        register(&mut client, vec![0; eight_mib]).await.unwrap(),
        8 << 20
    );

    // A service cannot fill its caller's memory: the replies of an owner are small.
    let mut client = server.client(&key(1), Some(&key(CHATTY))).await;
    let status = client.status(StatusRequest {}).await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::OutOfRange);
}

#[tokio::test]
async fn requests_under_way_end_before_the_server_does() {
    let server = Running::start(&key(1)).await;
    let mut client = server.client(&key(1), None).await;
    let slow = tokio::spawn(async move { register(&mut client, b"slow".to_vec()).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = tokio::time::Instant::now();
    server.stop().await;
    assert_eq!(slow.await.unwrap().unwrap(), 4);
    assert!(before.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn an_idle_client_does_not_hold_the_server() {
    let server = Running::start(&key(1)).await;
    let mut client = server.client(&key(1), None).await;
    seen_as(&mut client).await;
    tokio::time::timeout(Duration::from_secs(5), server.stop())
        .await
        .unwrap();
}
