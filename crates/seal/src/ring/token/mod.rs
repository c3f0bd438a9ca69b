//! A key ring in a PKCS#11 token: purpose keys are made inside, wrap and unwrap inside, and
//! never come out.
//!
//! What the ring computes with (the seed key, matching secrets) cannot be used inside a token
//! and lies in the ring's file, under a key inside the token: see the module `token_file`.
//!
//! # Keys in the token
//! AES-256, made by the token (`CKA_LOCAL`), sensitive, never extractable, not to be copied or
//! modified, for encryption and decryption alone: a key that may wrap would wrap another out.
//! Their CKA_ID is a digest of ring, agreement id, data set, key epoch and purpose; the label
//! says the same for people. A key that bears a name of the ring but is not such a key is
//! refused.
//!
//! # Claim
//! Whoever has the ring's file but not the token reads nothing of it. Whoever has the token and
//! its PIN can use the keys while they have it, and take none along.
//!
//! # Processes
//! A module's state is the process's. It does not survive a fork: start services by exec.

mod error;
mod session;

use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use incamera_keys::DataKey;
use rand_core::{CryptoRng, Rng as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

pub use error::TokenError;
pub use session::{TokenName, TokenPlace};

use super::backend::{Backend, BackendError, KeptKey, PurposeSlot, WRAPPED_BYTES};
use super::document::TOKEN_RING_FORMAT;
use super::token_file::{RingId, TokenFile};
use session::{Live, Token};

const NONCE_BYTES: usize = 12;

/// The back end of a ring in a token.
pub struct TokenRing {
    token: Token,
    ring: RingId,
}

impl TokenRing {
    /// For a new ring: makes its document key in the token.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn create(place: TokenPlace, rng: &mut impl CryptoRng) -> Result<Self, TokenError> {
        let mut ring = RingId::default();
        rng.fill_bytes(&mut ring);
        let token = Token::connect(place)?;
        let id = document_key(&ring);
        token.with(|live| make(live, &id, "incamera ring"))?;
        Ok(Self { token, ring })
    }

    /// For a ring whose file says which of the token's keys are its own.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn connect(place: TokenPlace) -> Result<Self, TokenError> {
        Ok(Self {
            token: Token::connect(place)?,
            ring: RingId::default(),
        })
    }

    fn encrypt(
        &self,
        id: &[u8],
        aad: &[u8],
        key: &DataKey,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Vec<u8>, BackendError> {
        let wrapped = self.token.with(|live| {
            let key_handle = find(live, id)?;
            encrypt(live, key_handle, aad, key, nonce)
        })?;
        Ok(wrapped)
    }

    fn decrypt(&self, id: &[u8], aad: &[u8], wrapped: &[u8]) -> Result<DataKey, BackendError> {
        let opened = self.token.with(|live| {
            let key = find(live, id)?;
            match decrypt(live, key, aad, wrapped) {
                Err(error) => match error.refuses_bytes() {
                    Some(false) => Err(error),
                    Some(true) => Ok(None),
                    // The same code for a wrong tag and a broken token: does the key work?
                    None => works(live, key).map(|()| None),
                },
                opened => opened,
            }
        })?;
        opened.ok_or(BackendError::Refused)
    }
}

impl Backend for TokenRing {
    fn kind(&self) -> &'static str {
        "PKCS#11 token"
    }

    fn format(&self) -> &'static str {
        TOKEN_RING_FORMAT
    }

    fn seal_document(&self, document: &[u8]) -> Result<Vec<u8>, BackendError> {
        let mut rng = rand::rng();
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        let id = document_key(&self.ring);
        TokenFile::seal(self.ring, document, &mut rng, |key, aad| {
            self.encrypt(&id, aad, key, nonce)
        })
    }

    fn open_document(&mut self, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, BackendError> {
        let file = TokenFile::parse(sealed)?;
        let id = document_key(&file.ring);
        let key = match self.decrypt(&id, &file.key_aad(), &file.key) {
            Err(BackendError::NoKey) => return Err(BackendError::WrongIdentity),
            Err(BackendError::Refused) => return Err(BackendError::Damaged),
            key => key?,
        };
        let document = file.open(&key)?;
        self.ring = file.ring;
        Ok(document)
    }

    fn make_key(
        &self,
        slot: &PurposeSlot,
        _rng: &mut dyn CryptoRng,
    ) -> Result<KeptKey, BackendError> {
        let id = key_id(&self.ring, slot);
        let label = format!(
            "incamera {} {} {} {}",
            short(&slot.agreement_id.to_string()),
            slot.dataset,
            slot.key_epoch,
            slot.purpose
        );
        self.token.with(|live| make(live, &id, &label))?;
        Ok(KeptKey::new(&id))
    }

    fn wrap(
        &self,
        kept: &KeptKey,
        aad: &[u8],
        key: &DataKey,
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, BackendError> {
        let mut nonce = [0; NONCE_BYTES];
        rng.fill_bytes(&mut nonce);
        self.encrypt(kept.expose(), aad, key, nonce)
    }

    fn unwrap(&self, kept: &KeptKey, aad: &[u8], wrapped: &[u8]) -> Result<DataKey, BackendError> {
        self.decrypt(kept.expose(), aad, wrapped)
    }

    fn destroy_key(&self, kept: &KeptKey) -> Result<(), BackendError> {
        let id = kept.expose();
        self.token.with(|live| {
            live.handles.remove(id);
            // Every object of the name: one that is not as it should be must go as well.
            for object in objects(live, id)? {
                live.session.destroy_object(object)?;
            }
            Ok(())
        })?;
        Ok(())
    }
}

fn short(id: &str) -> &str {
    id.get(..16).unwrap_or(id)
}

/// The CKA_ID of the key that wraps the keys of the ring's file.
fn document_key(ring: &RingId) -> [u8; 32] {
    digest(&[b"incamera-token-key/1", b"document", ring])
}

/// The CKA_ID of a purpose key.
fn key_id(ring: &RingId, slot: &PurposeSlot) -> [u8; 32] {
    digest(&[
        b"incamera-token-key/1",
        b"purpose",
        ring,
        slot.agreement_id.to_string().as_bytes(),
        slot.dataset.as_str().as_bytes(),
        &slot.key_epoch.to_be_bytes(),
        slot.purpose.as_str().as_bytes(),
    ])
}

/// SHA-256 over fields, each behind its length.
fn digest(fields: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for field in fields {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    hash.finalize().into()
}

/// Makes the key of `id`, unless a crash has left it there before anything was wrapped.
fn make(live: &mut Live, id: &[u8], label: &str) -> Result<(), TokenError> {
    match find(live, id) {
        Err(TokenError::NoKey) => {}
        found => return found.map(drop),
    }
    live.session.generate_key(
        &Mechanism::AesKeyGen,
        &[
            Attribute::Token(true),
            Attribute::Private(true),
            Attribute::Sensitive(true),
            Attribute::Extractable(false),
            Attribute::Modifiable(false),
            Attribute::Copyable(false),
            Attribute::ValueLen(32.into()),
            Attribute::Encrypt(true),
            Attribute::Decrypt(true),
            Attribute::Wrap(false),
            Attribute::Unwrap(false),
            Attribute::Derive(false),
            Attribute::Id(id.to_vec()),
            Attribute::Label(label.as_bytes().to_vec()),
        ],
    )?;
    find(live, id).map(drop)
}

/// The handle of the one key of `id`, which must be one that no caller can take out.
fn find(live: &mut Live, id: &[u8]) -> Result<ObjectHandle, TokenError> {
    if let Some(known) = live.handles.get(id) {
        return Ok(*known);
    }
    let found = objects(live, id)?;
    let [key] = found.as_slice() else {
        return Err(if found.is_empty() {
            TokenError::NoKey
        } else {
            TokenError::UnsafeKey
        });
    };
    if !stays_inside(live, *key)? {
        return Err(TokenError::UnsafeKey);
    }
    live.handles.insert(id.to_vec(), *key);
    Ok(*key)
}

fn objects(live: &Live, id: &[u8]) -> Result<Vec<ObjectHandle>, TokenError> {
    Ok(live.session.find_objects(&[
        Attribute::Token(true),
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Id(id.to_vec()),
    ])?)
}

/// Whether a key was made inside and can neither be read nor wrapped out, ever.
fn stays_inside(live: &Live, key: ObjectHandle) -> Result<bool, TokenError> {
    let asked = [
        AttributeType::Local,
        AttributeType::Sensitive,
        AttributeType::AlwaysSensitive,
        AttributeType::Extractable,
        AttributeType::NeverExtractable,
        AttributeType::Wrap,
    ];
    let said = live.session.get_attributes(key, &asked)?;
    let good = |attribute: &Attribute| {
        matches!(
            attribute,
            Attribute::Local(true)
                | Attribute::Sensitive(true)
                | Attribute::AlwaysSensitive(true)
                | Attribute::Extractable(false)
                | Attribute::NeverExtractable(true)
                | Attribute::Wrap(false)
        )
    };
    Ok(said.len() == asked.len() && said.iter().all(good))
}

fn encrypt(
    live: &Live,
    key: ObjectHandle,
    aad: &[u8],
    message: &DataKey,
    mut nonce: [u8; NONCE_BYTES],
) -> Result<Vec<u8>, TokenError> {
    let parameters = GcmParams::new(&mut nonce, aad, 128.into())?;
    let mechanism = Mechanism::AesGcm(parameters);
    let body = live.session.encrypt(&mechanism, key, message.expose())?;
    // A token that insists on nonces of its own has written the one it took.
    let wrapped = [nonce.as_slice(), &body].concat();
    if wrapped.len() != WRAPPED_BYTES {
        return Err(cryptoki::error::Error::InvalidValue.into());
    }
    Ok(wrapped)
}

fn decrypt(
    live: &Live,
    key: ObjectHandle,
    aad: &[u8],
    wrapped: &[u8],
) -> Result<Option<DataKey>, TokenError> {
    let Some((nonce, body)) = wrapped.split_first_chunk::<NONCE_BYTES>() else {
        return Ok(None);
    };
    let mut nonce = *nonce;
    let parameters = GcmParams::new(&mut nonce, aad, 128.into())?;
    let opened = live
        .session
        .decrypt(&Mechanism::AesGcm(parameters), key, body)?;
    Ok(DataKey::from_slice(&Zeroizing::new(opened)))
}

/// Whether the token opens under `key` what it has just sealed under it.
fn works(live: &Live, key: ObjectHandle) -> Result<(), TokenError> {
    let nonce = live.session.generate_random_vec(12)?;
    let nonce = nonce.try_into().unwrap_or([0; NONCE_BYTES]);
    let probe = DataKey::from_bytes([0; 32]);
    let aad = b"incamera-token-key/1 probe";
    let sealed = encrypt(live, key, aad, &probe, nonce)?;
    decrypt(live, key, aad, &sealed).map(drop)
}
