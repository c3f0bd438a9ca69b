//! A real client and a real server with a tap between them.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};

use incamera_testkit::wiretap::{
    Conversation, DecryptError, KeyLog, Mark, Recorded, Tap, decrypt, decrypt_folder, overhear,
    search_bytes, search_folder,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

const SECRET: &str = "person000123@mail.example";
const LOOPBACK: &str = "127.0.0.1:0";

/// Collects secrets as a key log file would hold them.
#[derive(Debug, Default)]
struct Log(Mutex<String>);

impl Log {
    fn keys(&self) -> KeyLog {
        KeyLog::parse(&self.0.lock().unwrap())
    }
}

impl rustls::KeyLog for Log {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let (random, secret) = (hex::encode(client_random), hex::encode(secret));
        self.0
            .lock()
            .unwrap()
            .push_str(&format!("{label} {random} {secret}\n"));
    }
}

struct Setup {
    client: CryptoProvider,
    server: CryptoProvider,
    /// Whether the client changes its traffic keys in the middle.
    update: bool,
}

impl Setup {
    fn plain() -> Self {
        Self {
            client: ring::default_provider(),
            server: ring::default_provider(),
            update: false,
        }
    }

    fn with_suite(suite: SupportedCipherSuite) -> Self {
        let mut setup = Self::plain();
        setup.client.cipher_suites = vec![suite];
        setup
    }
}

fn configs(setup: &Setup, log: &Arc<Log>) -> (ClientConfig, ServerConfig) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder_with_provider(Arc::new(setup.server.clone()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut client = ClientConfig::builder_with_provider(Arc::new(setup.client.clone()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.key_log = log.clone();
    (client, server)
}

/// What client and server say: some 40 records each.
fn said() -> Conversation {
    let long = |who: &str| format!("{who} {SECRET} {}", "x".repeat(600_000)).into_bytes();
    Conversation {
        client: long("asks for"),
        server: long("knows"),
    }
}

async fn serve(listener: TcpListener, config: ServerConfig) {
    let (stream, _) = listener.accept().await.unwrap();
    let mut tls = TlsAcceptor::from(Arc::new(config))
        .accept(stream)
        .await
        .unwrap();
    let mut heard = vec![0; said().client.len()];
    tls.read_exact(&mut heard).await.unwrap();
    tls.write_all(&said().server).await.unwrap();
    tls.shutdown().await.unwrap();
}

async fn talk(address: SocketAddr, config: ClientConfig, update: bool) {
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let mut tls = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await
        .unwrap();
    let all = said().client;
    let (first, second) = all.split_at(1000);
    tls.write_all(first).await.unwrap();
    tls.flush().await.unwrap();
    if update {
        tls.get_mut().1.refresh_traffic_keys().unwrap();
    }
    tls.write_all(second).await.unwrap();
    tls.flush().await.unwrap();
    let mut heard = Vec::new();
    tls.read_to_end(&mut heard).await.unwrap();
    assert_eq!(heard, said().server);
    tls.shutdown().await.unwrap();
}

/// One conversation over a tap that records into `folder`.
async fn record(setup: &Setup, folder: &Path) -> Arc<Log> {
    let log = Arc::new(Log::default());
    let (client, server) = configs(setup, &log);
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let target = listener.local_addr().unwrap();
    let tap = Tap::start("shop", LOOPBACK.parse().unwrap(), target, folder)
        .await
        .unwrap();
    let serving = tokio::spawn(serve(listener, server));
    talk(tap.address(), client, setup.update).await;
    serving.await.unwrap();
    log
}

fn only(recorded: Vec<Recorded>) -> Result<Conversation, DecryptError> {
    let [one] = <[Recorded; 1]>::try_from(recorded).unwrap();
    assert_eq!(one.name, "shop-0000");
    one.outcome
}

async fn reads_back(setup: Setup) {
    let folder = tempfile::tempdir().unwrap();
    let log = record(&setup, folder.path()).await;
    let recorded = decrypt_folder(folder.path(), &log.keys()).unwrap();
    assert!(only(recorded) == Ok(said()));
}

#[tokio::test]
async fn every_suite_is_read_back() {
    // Another crate of the workspace may have turned TLS 1.2 on.
    let tls13 = ring::ALL_CIPHER_SUITES
        .iter()
        .filter(|suite| suite.tls13().is_some());
    let suites: Vec<SupportedCipherSuite> = tls13.copied().collect();
    assert_eq!(suites.len(), 3);
    for suite in suites {
        reads_back(Setup::with_suite(suite)).await;
    }
}

#[tokio::test]
async fn a_second_greeting_is_read_back() {
    let mut setup = Setup::plain();
    setup.client.kx_groups = vec![ring::kx_group::X25519, ring::kx_group::SECP256R1];
    setup.server.kx_groups = vec![ring::kx_group::SECP256R1];
    reads_back(setup).await;
}

#[tokio::test]
async fn a_key_update_is_read_back() {
    reads_back(Setup {
        update: true,
        ..Setup::plain()
    })
    .await;
}

#[tokio::test]
async fn the_text_is_found_with_the_keys_and_not_without() {
    let folder = tempfile::tempdir().unwrap();
    let log = record(&Setup::plain(), folder.path()).await;
    let marks = [Mark::text("known e-mail", SECRET)];
    assert_eq!(search_folder(folder.path(), &marks).unwrap(), []);

    let spoken = only(decrypt_folder(folder.path(), &log.keys()).unwrap()).unwrap();
    assert_eq!(search_bytes("client", &spoken.client, &marks).len(), 1);
    assert_eq!(search_bytes("server", &spoken.server, &marks).len(), 1);

    let without = only(decrypt_folder(folder.path(), &KeyLog::default()).unwrap());
    assert_eq!(without, Err(DecryptError::NoSecrets));
    // Another connection's secrets under this one's name.
    let text = log.0.lock().unwrap().clone();
    let wrong: Vec<String> = text
        .lines()
        .map(|line| format!("{}{}", &line[..line.len() - 64], "0".repeat(64)))
        .collect();
    let wrong = only(decrypt_folder(folder.path(), &KeyLog::parse(&wrong.join("\n"))).unwrap());
    assert!(
        matches!(wrong, Err(DecryptError::Sealed { record: 0, .. })),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn a_changed_or_cut_recording() {
    let folder = tempfile::tempdir().unwrap();
    let log = record(&Setup::plain(), folder.path()).await;
    let read = |end: &str| fs::read(folder.path().join(format!("shop-0000-{end}.raw"))).unwrap();
    let (client, server) = (read("client"), read("server"));
    let cut = decrypt(&client[..client.len() / 2], &server, &log.keys()).unwrap();
    assert!(said().client.starts_with(&cut.client) && cut.client.len() > 100_000);
    assert_eq!(cut.server.len(), said().server.len());

    let mut flipped = client.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    assert!(decrypt(&flipped, &server, &log.keys()).is_err());
    let none = decrypt(b"GET / HTTP/1.1", &server, &log.keys());
    assert!(matches!(none, Err(DecryptError::NoHello { .. })));
    assert!(decrypt(&[], &[], &log.keys()).is_err());
}

#[tokio::test]
async fn each_connection_has_its_own_files() {
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind(LOOPBACK).await.unwrap();
    let target = listener.local_addr().unwrap();
    let tap = Tap::start("room", LOOPBACK.parse().unwrap(), target, folder.path())
        .await
        .unwrap();
    for number in 0..3 {
        let mut client = TcpStream::connect(tap.address()).await.unwrap();
        let (mut server, _) = listener.accept().await.unwrap();
        let text = format!("hello {number}");
        client.write_all(text.as_bytes()).await.unwrap();
        client.shutdown().await.unwrap();
        let mut heard = String::new();
        server.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, text);
        server.write_all(b"bye").await.unwrap();
        drop(server);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "bye");
        let file = |end: &str| folder.path().join(format!("room-000{number}-{end}.raw"));
        assert_eq!(fs::read(file("client")).unwrap(), text.as_bytes());
        assert_eq!(fs::read(file("server")).unwrap(), b"bye");
    }
    let address = tap.address();
    drop(tap);
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn all_recordings_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut keys = KeyLog::default();
    for party in ["shop", "mailer"] {
        let log = record(&Setup::plain(), &folder.path().join(party)).await;
        keys.add(log.keys());
    }
    assert_eq!(keys.connections(), 2);
    // Somebody dialled and said nothing; somebody greeted and hung up.
    let client = fs::read(folder.path().join("shop/shop-0000-client.raw")).unwrap();
    for (name, said) in [("silent", &[] as &[u8]), ("greeted", &client[..300])] {
        fs::write(folder.path().join(format!("{name}-client.raw")), said).unwrap();
        fs::write(folder.path().join(format!("{name}-server.raw")), []).unwrap();
    }
    let heard = overhear(folder.path(), &keys).unwrap();
    assert_eq!((heard.decrypted, heard.undecrypted), (2, 0));
    let said = said();
    assert_eq!(
        heard.said_bytes as usize,
        2 * (said.client.len() + said.server.len())
    );
    let marks = [Mark::text("known e-mail", SECRET)];
    assert_eq!(search_bytes("traffic", &heard.plaintext, &marks).len(), 4);

    let deaf = overhear(folder.path(), &KeyLog::default()).unwrap();
    assert_eq!(
        (deaf.decrypted, deaf.undecrypted, deaf.plaintext.len()),
        (0, 2, 0)
    );
}
