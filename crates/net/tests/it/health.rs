//! `/healthz`.

use incamera_net::health::{self, HealthError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

async fn get(path: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(health::serve(
        listener,
        "party \"shop\"",
        "0.1.0",
        std::future::pending(),
    ));
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn answers_with_name_and_version() {
    let answer = get("/healthz").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let body: serde_json::Value =
        serde_json::from_str(answer.rsplit("\r\n\r\n").next().unwrap()).unwrap();
    assert_eq!(body["status"], "ok");
    assert_eq!(body["name"], "party \"shop\"");
    assert_eq!(body["version"], "0.1.0");
}

#[tokio::test]
async fn answers_nothing_else() {
    let answer = get("/").await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test]
async fn refuses_to_be_reached_from_elsewhere() {
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let error = health::serve(listener, "x", "0", std::future::ready(())).await;
    assert!(matches!(error, Err(HealthError::NotLoopback)));
}

#[tokio::test]
async fn ends_when_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    assert!(
        health::serve(listener, "x", "0", std::future::ready(()))
            .await
            .is_ok()
    );
}
