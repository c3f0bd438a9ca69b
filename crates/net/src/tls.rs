//! TLS 1.3 between parties that know each other's public keys.
//!
//! # Claim
//! There are no certificate authorities. Each side shows a self-signed X.509 leaf made from its
//! Ed25519 key; the other side compares the public key and checks the handshake signature, and
//! nothing else in the leaf (names and dates are there for other people's clients). A server
//! takes any well-formed Ed25519 client leaf, or none: who may do what is the handler's to say,
//! with a clear error. No sessions are resumed, so each connection is checked.
//! # Reference
//! RFC 8446; RFC 8410 for Ed25519 in X.509.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use incamera_keys::{PublicKey, SigningKey};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError,
    ServerConfig, SignatureScheme,
};

#[cfg(feature = "simulated")]
mod key_log;

/// The one protocol spoken inside TLS.
const ALPN_H2: &[u8] = b"h2";

/// Why TLS cannot be set up on our side.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A host cannot stand in a leaf.
    #[error("`{host}` is not a host name or address: give the hosts of the service's url")]
    Host {
        /// The host refused.
        host: String,
    },
    /// The key or leaf is not taken; never seen with a key of `incamera-keys`.
    #[error("no TLS leaf can be made from the key: {reason}")]
    Leaf {
        /// The library's reason.
        reason: String,
    },
    /// The key log cannot be written.
    #[error("the TLS key log cannot be opened: {reason}")]
    KeyLog {
        /// The system's reason.
        reason: String,
    },
}

/// What may be set beyond keys. The default is right everywhere but in a demonstration.
#[derive(Clone, Debug, Default)]
pub struct TlsOptions {
    /// Appends the keys of each connection to this file. Whoever reads it reads the traffic.
    #[cfg(feature = "simulated")]
    pub key_log: Option<std::path::PathBuf>,
}

/// The other side's public key is not the one that was wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's key is {seen}, not {expected}")]
pub(crate) struct OtherServerKey {
    pub(crate) expected: String,
    pub(crate) seen: String,
}

/// A server's side of TLS, with its leaf made from `key` for `hosts`.
///
/// TLS 1.3 only, ALPN h2 only; a client leaf is asked for and optional.
///
/// # Errors
/// [`TlsError`].
pub fn server_config(
    key: &SigningKey,
    hosts: &[String],
    options: &TlsOptions,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(leaf_error)?
        .with_client_cert_verifier(Arc::new(AnyClient))
        .with_single_cert(vec![leaf(key, hosts)?], private_key(key))
        .map_err(leaf_error)?;
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    if let Some(log) = key_log(options)? {
        config.key_log = log;
    }
    Ok(Arc::new(config))
}

/// A client's side of TLS that takes only `pin`'s server.
pub(crate) fn client_config(
    pin: Arc<ServerPin>,
    me: Option<&SigningKey>,
    options: &TlsOptions,
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(leaf_error)?
        .dangerous()
        .with_custom_certificate_verifier(pin);
    let mut config = match me {
        None => builder.with_no_client_auth(),
        Some(key) => builder
            .with_client_auth_cert(vec![leaf(key, &[])?], private_key(key))
            .map_err(leaf_error)?,
    };
    config.alpn_protocols = vec![ALPN_H2.to_vec()];
    config.resumption = Resumption::disabled();
    if let Some(log) = key_log(options)? {
        config.key_log = log;
    }
    Ok(Arc::new(config))
}

#[cfg(feature = "simulated")]
fn key_log(options: &TlsOptions) -> Result<Option<Arc<dyn rustls::KeyLog>>, TlsError> {
    let Some(path) = &options.key_log else {
        return Ok(None);
    };
    tracing::warn!("the keys of each TLS connection are written to a file: not for real data");
    let log = key_log::KeyLogFile::open(path).map_err(|error| TlsError::KeyLog {
        reason: error.to_string(),
    })?;
    Ok(Some(Arc::new(log)))
}

#[cfg(not(feature = "simulated"))]
fn key_log(_options: &TlsOptions) -> Result<Option<Arc<dyn rustls::KeyLog>>, TlsError> {
    Ok(None)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn leaf_error(error: impl std::fmt::Display) -> TlsError {
    TlsError::Leaf {
        reason: error.to_string(),
    }
}

fn private_key(key: &SigningKey) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.to_pkcs8().to_vec()).into()
}

/// A self-signed X.509 v3 leaf of `key`, not a CA, with `hosts` as alternative names.
fn leaf(key: &SigningKey, hosts: &[String]) -> Result<CertificateDer<'static>, TlsError> {
    let der = PrivatePkcs8KeyDer::from(key.to_pkcs8().to_vec());
    let pair = rcgen::KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ED25519)
        .map_err(leaf_error)?;
    let mut params = CertificateParams::default();
    params.subject_alt_names = hosts
        .iter()
        .map(|host| alternative_name(host))
        .collect::<Result<_, _>>()?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "incamera");
    let leaf = params.self_signed(&pair).map_err(leaf_error)?;
    Ok(leaf.into())
}

fn alternative_name(host: &str) -> Result<SanType, TlsError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let refused = || TlsError::Host {
        host: host.to_owned(),
    };
    ServerName::try_from(host).map_err(|_| refused())?;
    let name = host.try_into().map_err(|_| refused())?;
    Ok(SanType::DnsName(name))
}

/// The Ed25519 key of a leaf certificate: what a connection is pinned to.
///
/// # Errors
/// If it is no certificate, or of another kind of key.
pub fn leaf_key(leaf: &CertificateDer<'_>) -> Result<PublicKey, rustls::Error> {
    let parsed = rustls::server::ParsedCertificate::try_from(leaf)?;
    PublicKey::from_spki(parsed.subject_public_key_info().as_ref()).map_err(refuse)
}

fn refuse(error: impl std::error::Error + Send + Sync + 'static) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(error))).into()
}

fn check_signature(
    message: &[u8],
    leaf: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let algorithms = ring::default_provider().signature_verification_algorithms;
    rustls::crypto::verify_tls13_signature(message, leaf, signed, &algorithms)
}

fn no_tls12() -> Result<HandshakeSignatureValid, rustls::Error> {
    Err(rustls::Error::General("TLS 1.3 only".to_owned()))
}

/// Takes one server: the one with the key that was given, or, if none was, the first met.
#[derive(Debug, Default)]
pub(crate) struct ServerPin {
    key: OnceLock<PublicKey>,
    /// The leaf that was shown with it first.
    leaf: OnceLock<CertificateDer<'static>>,
}

impl ServerPin {
    /// Takes the server with this key.
    pub(crate) fn to(key: &PublicKey) -> Arc<Self> {
        Arc::new(Self {
            key: OnceLock::from(*key),
            leaf: OnceLock::new(),
        })
    }

    /// Takes any server once, and from then on only that one.
    pub(crate) fn first() -> Arc<Self> {
        Arc::default()
    }

    /// The key, once it is known.
    pub(crate) fn key(&self) -> Option<PublicKey> {
        self.key.get().copied()
    }

    /// The leaf that showed the key first.
    pub(crate) fn leaf(&self) -> Option<Vec<u8>> {
        self.leaf.get().map(|leaf| leaf.to_vec())
    }
}

impl ServerCertVerifier for ServerPin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let seen = leaf_key(end_entity)?;
        let expected = self.key.get_or_init(|| seen);
        if seen != *expected {
            return Err(refuse(OtherServerKey {
                expected: expected.fingerprint(),
                seen: seen.fingerprint(),
            }));
        }
        self.leaf
            .get_or_init(|| CertificateDer::from(end_entity.to_vec()));
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// Takes any client with an Ed25519 leaf, or without one.
#[derive(Debug)]
struct AnyClient;

impl ClientCertVerifier for AnyClient {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        leaf_key(end_entity)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
