//! Peers that do not keep to the protocol.

use std::sync::Arc;
use std::time::Duration;

use incamera_net::client::{self, CONNECT_LIMIT, ConnectError};
use incamera_net::server::HANDSHAKE_LIMIT;
use incamera_net::tls::TlsOptions;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{
    ClientConfig, DigitallySignedStruct, ServerConfig, SignatureAlgorithm, SignatureScheme,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::support::{Running, key, seen_as};

#[tokio::test]
async fn garbage_does_not_stop_the_server() {
    let server = Running::start(&key(1)).await;
    let garbage: [&[u8]; 4] = [
        b"GET / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        &[0xff; 4096],
        &[0x16, 0x03, 0x01, 0xff, 0xff, 0x01, 0x00],
    ];
    for bytes in garbage {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        tcp.shutdown().await.unwrap();
        // The server closes; a reset counts.
        let _ = tcp.read_to_end(&mut Vec::new()).await;
    }
    let mut client = server.client(&key(1), None).await;
    assert_eq!(seen_as(&mut client).await, "nobody");
}

#[tokio::test]
async fn stalled_handshakes_do_not_block_others_and_are_ended() {
    let server = Running::start(&key(1)).await;
    let mut stalled = Vec::new();
    for _ in 0..50 {
        let mut tcp = TcpStream::connect(server.address).await.unwrap();
        tcp.write_all(&[0x16, 0x03, 0x01]).await.unwrap();
        stalled.push(tcp);
    }
    let server_key = key(1);
    let connecting = server.client(&server_key, None);
    let mut client = tokio::time::timeout(Duration::from_secs(3), connecting)
        .await
        .unwrap();
    assert_eq!(seen_as(&mut client).await, "nobody");

    let mut first = stalled.swap_remove(0);
    let limit = HANDSHAKE_LIMIT + Duration::from_secs(5);
    let closed = tokio::time::timeout(limit, first.read_u8()).await.unwrap();
    assert!(closed.is_err());
}

#[tokio::test]
async fn a_silent_server_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let error = client::connect(&address, &key(1).public(), None, &TlsOptions::default())
        .await
        .unwrap_err();
    let limit_s = CONNECT_LIMIT.as_secs();
    assert_eq!(error, ConnectError::TimedOut { address, limit_s });
}

#[tokio::test]
async fn a_server_without_tls_is_named_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            .await
            .unwrap();
    });
    let error = client::connect(&address, &key(1).public(), None, &TlsOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, ConnectError::Handshake { .. }), "{error}");
}

/// A leaf and the key to sign handshakes with, which need not belong together.
fn pair(
    leaf_of: &incamera_keys::SigningKey,
    signed_by: &incamera_keys::SigningKey,
) -> Arc<SingleCertAndKey> {
    let der = |key: &incamera_keys::SigningKey| PrivatePkcs8KeyDer::from(key.to_pkcs8().to_vec());
    let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der(leaf_of), &rcgen::PKCS_ED25519);
    certified(&pair.unwrap(), der(signed_by).into())
}

fn p256() -> Arc<SingleCertAndKey> {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let der = PrivatePkcs8KeyDer::from(pair.serialize_der());
    certified(&pair, der.into())
}

fn certified(leaf_of: &rcgen::KeyPair, signs: PrivateKeyDer<'static>) -> Arc<SingleCertAndKey> {
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let leaf = params.self_signed(leaf_of).unwrap();
    let signer = Arc::new(Stubborn(ring::sign::any_supported_type(&signs).unwrap()));
    let certified = CertifiedKey::new(vec![leaf.der().clone()], signer);
    Arc::new(SingleCertAndKey::from(certified))
}

/// Signs with its own scheme, whatever the other side takes.
#[derive(Debug)]
struct Stubborn(Arc<dyn SigningKey>);

impl SigningKey for Stubborn {
    fn choose_scheme(&self, _: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let own = [
            SignatureScheme::ED25519,
            SignatureScheme::ECDSA_NISTP256_SHA256,
        ];
        self.0.choose_scheme(&own)
    }
    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

/// A TLS server that shows `pair`.
async fn hostile_server(pair: Arc<SingleCertAndKey>) -> String {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(pair);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        // The client is expected to end it.
        let _ = TlsAcceptor::from(Arc::new(config)).accept(tcp).await;
    });
    address
}

async fn connect_to(address: &str) -> ConnectError {
    client::connect(address, &key(1).public(), None, &TlsOptions::default())
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_server_must_hold_the_key_of_the_leaf_it_shows() {
    let address = hostile_server(pair(&key(1), &key(6))).await;
    let error = connect_to(&address).await;
    assert!(matches!(error, ConnectError::Handshake { .. }), "{error}");
    assert!(error.to_string().contains("BadSignature"), "{error}");
}

#[tokio::test]
async fn a_server_must_have_an_ed25519_key() {
    let address = hostile_server(p256()).await;
    let error = connect_to(&address).await;
    assert!(matches!(error, ConnectError::Handshake { .. }), "{error}");
}

/// Takes every server: the client under test is the hostile one.
#[derive(Debug)]
struct Anything;

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// Shakes hands showing `pair`, and says whether the server keeps the connection: it sends its
/// HTTP/2 settings to clients that it takes.
async fn taken(server: &Running, pair: Arc<SingleCertAndKey>) -> bool {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anything))
        .with_client_cert_resolver(pair);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(server.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let Ok(mut tls) = connector.connect(name, tcp).await else {
        return false;
    };
    // The server may have hung up already.
    let _ = tls
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    tls.read_u8().await.is_ok()
}

#[tokio::test]
async fn a_client_must_hold_the_key_of_the_leaf_it_shows() {
    let server = Running::start(&key(1)).await;
    assert!(taken(&server, pair(&key(2), &key(2))).await);
    assert!(!taken(&server, pair(&key(2), &key(6))).await);
    assert!(!taken(&server, p256()).await);
    let mut client = server.client(&key(1), None).await;
    assert_eq!(seen_as(&mut client).await, "nobody");
}
