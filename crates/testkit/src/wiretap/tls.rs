//! TLS 1.3 (RFC 8446) read back from a recording.

use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf;

use super::keylog::{KeyLog, Secrets};

/// Bytes before the payload of a record.
const RECORD_HEADER_BYTES: usize = 5;
/// Content types.
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// Handshake messages.
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const FINISHED: u8 = 20;
const KEY_UPDATE: u8 = 24;

/// What both sides said inside TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// What the client sent.
    pub client: Vec<u8>,
    /// What the server sent.
    pub server: Vec<u8>,
}

/// Why a recording cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// No greeting of a TLS client or server: something else was recorded, or too little.
    #[error("the {side} does not greet as in TLS 1.3")]
    NoHello {
        /// Whose bytes.
        side: Side,
    },
    /// The key log does not know the connection.
    #[error("the key log has no secrets of this connection")]
    NoSecrets,
    /// A cipher suite outside TLS 1.3, or an unusual one.
    #[error("the cipher suite {0:#06x} is not read")]
    Suite(u16),
    /// Bytes that are no record.
    #[error("record {record} of the {side} is malformed")]
    Malformed {
        /// Whose record.
        side: Side,
        /// Its number among those encrypted, from 0.
        record: u64,
    },
    /// A record that the secrets do not open.
    #[error("record {record} of the {side} does not open with the logged secrets")]
    Sealed {
        /// Whose record.
        side: Side,
        /// Its number among those encrypted, from 0.
        record: u64,
    },
}

/// An end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Side {
    /// Who dialled.
    Client,
    /// Who was dialled.
    Server,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Server => "server",
        })
    }
}

/// Decrypts both directions of one connection. A recording that ends in the middle gives what
/// came before.
///
/// # Errors
/// [`DecryptError`].
pub fn decrypt(client: &[u8], server: &[u8], keys: &KeyLog) -> Result<Conversation, DecryptError> {
    let random = client_random(client).ok_or(DecryptError::NoHello { side: Side::Client })?;
    let suite = cipher_suite(server).ok_or(DecryptError::NoHello { side: Side::Server })?;
    let suite = Suite::of(suite).ok_or(DecryptError::Suite(suite))?;
    let Secrets {
        client_handshake,
        server_handshake,
        client_application,
        server_application,
    } = keys.of(&random).ok_or(DecryptError::NoSecrets)?.clone();
    let half = |side, bytes, handshake: Option<Vec<u8>>, application: Option<Vec<u8>>| {
        let handshake = handshake.ok_or(DecryptError::NoSecrets)?;
        let application = application.unwrap_or_default();
        Half {
            side,
            suite,
            application,
            keys: suite.keys(&handshake),
            secret: handshake,
            record: 0,
        }
        .read(bytes)
    };
    Ok(Conversation {
        client: half(Side::Client, client, client_handshake, client_application)?,
        server: half(Side::Server, server, server_handshake, server_application)?,
    })
}

/// The random value of the first greeting of a client.
fn client_random(client: &[u8]) -> Option<Vec<u8>> {
    let messages = plain_messages(client);
    let (kind, body) = messages.first()?;
    let random = body.get(2..34)?;
    (*kind == CLIENT_HELLO).then(|| random.to_vec())
}

/// The cipher suite of the last greeting of a server; an earlier one asks for another key share.
fn cipher_suite(server: &[u8]) -> Option<u16> {
    let messages = plain_messages(server);
    let (_, body) = messages
        .iter()
        .rev()
        .find(|(kind, _)| *kind == SERVER_HELLO)?;
    let session_bytes = usize::from(*body.get(34)?);
    let suite = body.get(35 + session_bytes..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*suite))
}

/// The handshake messages before anything is encrypted.
fn plain_messages(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut buffer = Vec::new();
    for record in Records(bytes).take_while(|record| record.kind != APPLICATION_DATA) {
        if record.kind == HANDSHAKE {
            buffer.extend_from_slice(record.payload);
        }
    }
    std::iter::from_fn(|| take_message(&mut buffer)).collect()
}

/// Takes a whole handshake message from the front.
fn take_message(buffer: &mut Vec<u8>) -> Option<(u8, Vec<u8>)> {
    let [kind, a, b, c] = *buffer.first_chunk::<4>()?;
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    let body = buffer.get(4..4 + length)?.to_vec();
    buffer.drain(..4 + length);
    Some((kind, body))
}

struct Record<'a> {
    kind: u8,
    header: &'a [u8],
    payload: &'a [u8],
}

/// Whole records; what is cut off at the end is left out.
struct Records<'a>(&'a [u8]);

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let [kind, _, _, a, b] = *self.0.first_chunk::<RECORD_HEADER_BYTES>()?;
        let end = RECORD_HEADER_BYTES + usize::from(u16::from_be_bytes([a, b]));
        let (record, rest) = self.0.split_at_checked(end)?;
        let (header, payload) = record.split_at_checked(RECORD_HEADER_BYTES)?;
        self.0 = rest;
        Some(Record {
            kind,
            header,
            payload,
        })
    }
}

/// A cipher suite of TLS 1.3.
#[derive(Clone, Copy)]
struct Suite {
    aead: &'static aead::Algorithm,
    hkdf: hkdf::Algorithm,
}

impl Suite {
    fn of(number: u16) -> Option<Self> {
        let (aead, hkdf) = match number {
            0x1301 => (&aead::AES_128_GCM, hkdf::HKDF_SHA256),
            0x1302 => (&aead::AES_256_GCM, hkdf::HKDF_SHA384),
            0x1303 => (&aead::CHACHA20_POLY1305, hkdf::HKDF_SHA256),
            _ => return None,
        };
        Some(Self { aead, hkdf })
    }

    /// `HKDF-Expand-Label` with an empty context (RFC 8446, section 7.1).
    fn expand(self, secret: &[u8], label: &str, bytes: usize) -> Option<Vec<u8>> {
        let prk = hkdf::Prk::new_less_safe(self.hkdf, secret);
        let length = u16::try_from(bytes).ok()?.to_be_bytes();
        let label = format!("tls13 {label}");
        let label_length = [u8::try_from(label.len()).ok()?];
        let info = [length.as_slice(), &label_length, label.as_bytes(), &[0]];
        let mut out = vec![0; bytes];
        prk.expand(&info, Length(bytes))
            .and_then(|okm| okm.fill(&mut out))
            .ok()?;
        Some(out)
    }

    fn keys(self, secret: &[u8]) -> Option<Keys> {
        let key = self.expand(secret, "key", self.aead.key_len())?;
        let iv = self.expand(secret, "iv", aead::NONCE_LEN)?;
        let key = LessSafeKey::new(UnboundKey::new(self.aead, &key).ok()?);
        Some(Keys {
            key,
            iv,
            sequence: 0,
        })
    }
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The keys of one direction under one traffic secret.
struct Keys {
    key: LessSafeKey,
    iv: Vec<u8>,
    sequence: u64,
}

impl Keys {
    /// Content type and content of the next encrypted record.
    fn open(&mut self, record: &Record<'_>) -> Option<(u8, Vec<u8>)> {
        let mut nonce: [u8; aead::NONCE_LEN] = self.iv.as_slice().try_into().ok()?;
        for (byte, part) in nonce.iter_mut().rev().zip(self.sequence.to_le_bytes()) {
            *byte ^= part;
        }
        self.sequence += 1;
        let mut buffer = record.payload.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let inner = self
            .key
            .open_in_place(nonce, Aad::from(record.header), &mut buffer)
            .ok()?;
        let last = inner.iter().rposition(|byte| *byte != 0)?;
        let (content, padded) = inner.split_at_checked(last)?;
        Some((*padded.first()?, content.to_vec()))
    }
}

/// One direction: which keys it is under, and what came out of it.
struct Half {
    side: Side,
    suite: Suite,
    /// The secret after the handshake; empty once it is in use, or if it was not logged.
    application: Vec<u8>,
    secret: Vec<u8>,
    keys: Option<Keys>,
    record: u64,
}

impl Half {
    fn read(mut self, bytes: &[u8]) -> Result<Vec<u8>, DecryptError> {
        let (mut data, mut messages) = (Vec::new(), Vec::new());
        let encrypted = Records(bytes).skip_while(|record| record.kind != APPLICATION_DATA);
        for record in encrypted.filter(|record| record.kind != CHANGE_CIPHER_SPEC) {
            let (kind, content) = self.open(&record)?;
            match kind {
                APPLICATION_DATA => data.extend_from_slice(&content),
                HANDSHAKE => {
                    messages.extend_from_slice(&content);
                    self.handshake(&mut messages)?;
                }
                ALERT => (),
                _ => return Err(self.malformed()),
            }
            self.record += 1;
        }
        Ok(data)
    }

    fn open(&mut self, record: &Record<'_>) -> Result<(u8, Vec<u8>), DecryptError> {
        if record.kind != APPLICATION_DATA {
            return Err(self.malformed());
        }
        let sealed = DecryptError::Sealed {
            side: self.side,
            record: self.record,
        };
        self.keys
            .as_mut()
            .and_then(|keys| keys.open(record))
            .ok_or(sealed)
    }

    /// Changes keys where a message says so.
    fn handshake(&mut self, messages: &mut Vec<u8>) -> Result<(), DecryptError> {
        while let Some((kind, _)) = take_message(messages) {
            if kind == FINISHED {
                self.secret = std::mem::take(&mut self.application);
            } else if kind == KEY_UPDATE {
                let bytes = self.secret.len();
                let next = self.suite.expand(&self.secret, "traffic upd", bytes);
                self.secret = next.ok_or_else(|| self.malformed())?;
            } else {
                continue;
            }
            if self.secret.is_empty() {
                return Err(DecryptError::NoSecrets);
            }
            self.keys = self.suite.keys(&self.secret);
        }
        Ok(())
    }

    fn malformed(&self) -> DecryptError {
        DecryptError::Malformed {
            side: self.side,
            record: self.record,
        }
    }
}
