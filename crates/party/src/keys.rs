//! `[keys]` of `party.toml`: where keys lie, and what opens the key ring.

use std::io;
use std::path::{Path, PathBuf};

use incamera_keys::{ExposeSecret as _, KeyError, SecretString, SigningKey};
use incamera_seal::{AgeFile, Backend, KeyRing, RingError};
use rand_core::CryptoRng;
use serde::Deserialize;

/// Where keys lie, and what opens the key ring.
///
/// ```toml
/// [keys]
/// signing = "signing_key"
/// service = "service_key"
/// receive = "receive_key"              # opens the answers that are sealed to this party
/// ring = "ring.age"
/// # one of these; the first where none is named
/// passphrase_file = "passphrase.txt"
/// ring_identity = "identity.txt"       # an age X25519 identity
/// ring_ssh_key = "ring_key"            # an OpenSSH Ed25519 key that does nothing else
/// [keys.token]                         # or a PKCS#11 token
/// module = "/usr/lib/softhsm/libsofthsm2.so"
/// label = "shop"                       # or: serial = "..."
/// pin_file = "pin.txt"                 # or: pin_file_env = "SHOP_PIN_FILE", which names it
/// ```
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Keys")]
pub struct KeyPaths {
    /// The signing key; may lie elsewhere, offline.
    pub signing: PathBuf,
    /// The service key.
    pub service: PathBuf,
    /// The key that opens answers; may be missing where the party receives none.
    pub receive: PathBuf,
    /// The key ring.
    pub ring: PathBuf,
    /// What opens the key ring.
    pub lock: RingLock,
}

/// What opens a key ring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RingLock {
    /// The passphrase in a file.
    PassphraseFile(PathBuf),
    /// The age X25519 identity in a file.
    Identity(PathBuf),
    /// An OpenSSH Ed25519 private key.
    SshKey(PathBuf),
    /// A PKCS#11 token, which also keeps the purpose keys.
    Token(TokenLock),
}

/// A PKCS#11 token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenLock {
    /// The library that came with it.
    pub module: PathBuf,
    /// Its name.
    pub token: TokenId,
    /// Where its user PIN is.
    pub pin: PinFile,
}

/// How a token is told from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenId {
    /// By label.
    Label(String),
    /// By serial number.
    Serial(String),
}

/// Where a PIN is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PinFile {
    /// In this file.
    At(PathBuf),
    /// In the file that this environment variable names.
    Env(String),
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    signing: Option<PathBuf>,
    service: Option<PathBuf>,
    receive: Option<PathBuf>,
    ring: Option<PathBuf>,
    passphrase_file: Option<PathBuf>,
    ring_identity: Option<PathBuf>,
    ring_ssh_key: Option<PathBuf>,
    token: Option<Token>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    module: PathBuf,
    label: Option<String>,
    serial: Option<String>,
    pin_file: Option<PathBuf>,
    pin_file_env: Option<String>,
}

impl TryFrom<Keys> for KeyPaths {
    type Error = &'static str;

    fn try_from(keys: Keys) -> Result<Self, Self::Error> {
        let given = [
            keys.passphrase_file.map(RingLock::PassphraseFile),
            keys.ring_identity.map(RingLock::Identity),
            keys.ring_ssh_key.map(RingLock::SshKey),
            keys.token.map(token_lock).transpose()?.map(RingLock::Token),
        ];
        let mut locks = given.into_iter().flatten();
        let lock = locks
            .next()
            .unwrap_or_else(|| RingLock::PassphraseFile("passphrase.txt".into()));
        if locks.next().is_some() {
            return Err(
                "a key ring has one of `passphrase_file`, `ring_identity`, `ring_ssh_key` and `[keys.token]`",
            );
        }
        let ring = match &lock {
            RingLock::Token(_) => "ring.token",
            _ => "ring.age",
        };
        Ok(Self {
            signing: keys.signing.unwrap_or_else(|| "signing_key".into()),
            service: keys.service.unwrap_or_else(|| "service_key".into()),
            receive: keys.receive.unwrap_or_else(|| "receive_key".into()),
            ring: keys.ring.unwrap_or_else(|| ring.into()),
            lock,
        })
    }
}

fn token_lock(token: Token) -> Result<TokenLock, &'static str> {
    let id = match (token.label, token.serial) {
        (Some(label), None) => TokenId::Label(label),
        (None, Some(serial)) => TokenId::Serial(serial),
        _ => return Err("a token is named by one of `label` and `serial`"),
    };
    let pin = match (token.pin_file, token.pin_file_env) {
        (Some(file), None) => PinFile::At(file),
        (None, Some(variable)) => PinFile::Env(variable),
        _ => return Err("a token's PIN is in one of `pin_file` and `pin_file_env`"),
    };
    Ok(TokenLock {
        module: token.module,
        token: id,
        pin,
    })
}

impl Default for KeyPaths {
    fn default() -> Self {
        Self {
            signing: "signing_key".into(),
            service: "service_key".into(),
            receive: "receive_key".into(),
            ring: "ring.age".into(),
            lock: RingLock::PassphraseFile("passphrase.txt".into()),
        }
    }
}

impl KeyPaths {
    pub(crate) fn make_absolute(&mut self, folder: &Path) {
        let lock = match &mut self.lock {
            RingLock::PassphraseFile(file) | RingLock::Identity(file) | RingLock::SshKey(file) => {
                Some(file)
            }
            RingLock::Token(TokenLock {
                pin: PinFile::At(file),
                ..
            }) => Some(file),
            RingLock::Token(_) => None,
        };
        let keys = [
            &mut self.signing,
            &mut self.service,
            &mut self.receive,
            &mut self.ring,
        ];
        for path in keys.into_iter().chain(lock) {
            *path = folder.join(&*path);
        }
    }
}

/// Why a key ring does not open.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// A file that opens the ring cannot be read.
    #[error("cannot read `{}`, which opens the key ring", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The environment does not say where the PIN is.
    #[error("the environment variable `{variable}` does not name a file with the token's PIN")]
    NoVariable {
        /// The variable.
        variable: String,
    },
    /// The OpenSSH key is not usable.
    #[error("the OpenSSH key `{}` does not open", path.display())]
    SshKey {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// This program was built without PKCS#11.
    #[error(
        "this program was built without the feature `pkcs11`, so it opens no key ring in a token"
    )]
    NoTokens,
    /// The token does not do its part.
    #[cfg(feature = "pkcs11")]
    #[error("the token does not open the key ring")]
    Token(#[from] incamera_seal::TokenError),
    /// The ring does not open.
    #[error(transparent)]
    Ring(#[from] RingError),
}

impl RingLock {
    /// Opens the ring at `path`; `key_passphrase` opens an OpenSSH key that has one.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn open(
        &self,
        path: &Path,
        key_passphrase: Option<&SecretString>,
    ) -> Result<KeyRing, LockError> {
        let backend = match self {
            Self::Token(lock) => connect(lock)?,
            file => Box::new(file.age(key_passphrase)?),
        };
        Ok(KeyRing::open_in(path, backend)?)
    }

    /// Makes a new ring at `path`.
    ///
    /// # Errors
    /// [`LockError`].
    pub fn create(
        &self,
        path: &Path,
        key_passphrase: Option<&SecretString>,
        rng: &mut impl CryptoRng,
    ) -> Result<KeyRing, LockError> {
        let backend = match self {
            Self::Token(lock) => new_in_token(lock, rng)?,
            file => Box::new(file.age(key_passphrase)?),
        };
        Ok(KeyRing::create_in(path, backend, rng)?)
    }

    /// What opens an age file.
    ///
    /// # Errors
    /// [`LockError`]; a token opens none.
    pub fn age(&self, key_passphrase: Option<&SecretString>) -> Result<AgeFile, LockError> {
        match self {
            Self::PassphraseFile(path) => Ok(AgeFile::passphrase(&secret_line(path)?)),
            Self::Identity(path) => Ok(AgeFile::identity(read(path)?.expose_secret())?),
            Self::SshKey(path) => {
                let key = SigningKey::from_openssh(read(path)?.expose_secret(), key_passphrase);
                let key = key.map_err(|source| LockError::SshKey {
                    path: path.clone(),
                    source,
                })?;
                Ok(AgeFile::ssh_key(&key)?)
            }
            Self::Token(_) => Err(RingError::Identity.into()),
        }
    }
}

#[cfg(feature = "pkcs11")]
fn connect(lock: &TokenLock) -> Result<Box<dyn Backend>, LockError> {
    Ok(Box::new(incamera_seal::TokenRing::connect(place(lock)?)?))
}

#[cfg(feature = "pkcs11")]
fn new_in_token(lock: &TokenLock, rng: &mut impl CryptoRng) -> Result<Box<dyn Backend>, LockError> {
    let ring = incamera_seal::TokenRing::create(place(lock)?, rng)?;
    Ok(Box::new(ring))
}

#[cfg(feature = "pkcs11")]
fn place(lock: &TokenLock) -> Result<incamera_seal::TokenPlace, LockError> {
    use incamera_seal::TokenName;
    let pin = match &lock.pin {
        PinFile::At(path) => secret_line(path)?,
        PinFile::Env(variable) => {
            let path = std::env::var_os(variable).ok_or_else(|| LockError::NoVariable {
                variable: variable.clone(),
            })?;
            secret_line(Path::new(&path))?
        }
    };
    Ok(incamera_seal::TokenPlace {
        module: lock.module.clone(),
        name: match &lock.token {
            TokenId::Label(label) => TokenName::Label(label.clone()),
            TokenId::Serial(serial) => TokenName::Serial(serial.clone()),
        },
        pin,
    })
}

#[cfg(not(feature = "pkcs11"))]
fn connect(_lock: &TokenLock) -> Result<Box<dyn Backend>, LockError> {
    Err(LockError::NoTokens)
}

#[cfg(not(feature = "pkcs11"))]
fn new_in_token(
    _lock: &TokenLock,
    _rng: &mut impl CryptoRng,
) -> Result<Box<dyn Backend>, LockError> {
    Err(LockError::NoTokens)
}

/// The text of a secret file.
fn read(path: &Path) -> Result<SecretString, LockError> {
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| LockError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(SecretString::from(text))
}

/// The one line of a secret file.
fn secret_line(path: &Path) -> Result<SecretString, LockError> {
    let text = read(path)?;
    let line = text.expose_secret().trim_end_matches(['\n', '\r']);
    Ok(SecretString::from(line.to_owned()))
}
