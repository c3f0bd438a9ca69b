//! AES-256-GCM under a secret key, HPKE to a room's key.

use incamera_keys::aead::{self, AeadError};
use incamera_keys::hpke::{self, HpkeError, RoomPublicKey, RoomSecretKey, Sealed};
use incamera_keys::{PurposeKey, Secret32};
use proptest::prelude::*;

use crate::rng;

#[test]
fn aead_opens_only_what_was_sealed() {
    let key = PurposeKey::generate(&mut rng(1));
    let sealed = aead::seal(&key, b"place", b"a data key", &mut rng(2));
    assert_eq!(sealed.len(), 10 + aead::OVERHEAD_BYTES);
    let open = |aad: &[u8], sealed: &[u8]| aead::open(&key, aad, sealed);
    assert_eq!(open(b"place", &sealed).unwrap().as_slice(), b"a data key");
    assert_eq!(open(b"elsewhere", &sealed).unwrap_err(), AeadError);
    let other = Secret32::generate(&mut rng(3));
    assert_eq!(
        aead::open(&other, b"place", &sealed).unwrap_err(),
        AeadError
    );
}

/// The last case of the GCM specification with a 256-bit key and associated data.
#[test]
fn aead_known_answer() {
    let bytes = |text: &str| hex::decode(text).unwrap();
    let key = bytes("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
    let aad = bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    let plaintext = bytes(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
         1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    );
    let sealed = bytes(
        "cafebabefacedbaddecaf888522dc1f099567d07f47f37a32a84427d643a8cdc\
         bfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e63\
         93ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b",
    );
    let key = Secret32::from_slice(&key).unwrap();
    let opened = aead::open(&key, &aad, &sealed).unwrap();
    assert_eq!(opened.as_slice(), plaintext);
}

#[test]
fn aead_draws_a_nonce_for_each_message() {
    let key = Secret32::from_bytes([1; 32]);
    let mut rng = rng(1);
    let first = aead::seal(&key, b"", b"same", &mut rng);
    let second = aead::seal(&key, b"", b"same", &mut rng);
    assert_ne!(first, second);
}

proptest! {
    #[test]
    fn aead_round_trip_and_tamper(text: Vec<u8>, aad: Vec<u8>, at: prop::sample::Index, bit in 0..8) {
        let key = Secret32::from_bytes([9; 32]);
        let sealed = aead::seal(&key, &aad, &text, &mut rng(4));
        let opened = aead::open(&key, &aad, &sealed).unwrap();
        prop_assert_eq!(opened.as_slice(), text.as_slice());
        let mut changed = sealed.clone();
        changed[at.index(sealed.len())] ^= 1u8 << bit;
        prop_assert!(aead::open(&key, &aad, &changed).is_err());
        prop_assert!(aead::open(&key, &aad, &sealed[..at.index(sealed.len())]).is_err());
    }
}

fn to_room() -> (RoomSecretKey, Sealed) {
    let room = RoomSecretKey::generate(&mut rng(1));
    let sealed = hpke::seal(room.public(), b"info", b"aad", b"keys", &mut rng(2)).unwrap();
    (room, sealed)
}

#[test]
fn hpke_round_trip() {
    let (room, sealed) = to_room();
    assert_eq!(sealed.encapped_key.len(), 1120);
    let opened = hpke::open(&room, b"info", b"aad", &sealed).unwrap();
    assert_eq!(opened.as_slice(), b"keys");
}

#[test]
fn hpke_refuses_other_info_aad_key_and_changes() {
    let (room, sealed) = to_room();
    let refused = |room, info: &[u8], aad: &[u8], sealed: &Sealed| {
        let error = hpke::open(room, info, aad, sealed).unwrap_err();
        assert_eq!(error, HpkeError::Open);
    };
    refused(&room, b"another request", b"aad", &sealed);
    refused(&room, b"info", b"elsewhere", &sealed);
    let clone = RoomSecretKey::generate(&mut rng(3));
    refused(&clone, b"info", b"aad", &sealed);
    for at in [0, 1119] {
        let mut changed = sealed.clone();
        changed.encapped_key[at] ^= 1;
        refused(&room, b"info", b"aad", &changed);
    }
    let mut changed = sealed.clone();
    changed.ciphertext[0] ^= 1;
    refused(&room, b"info", b"aad", &changed);
    let mut short = sealed;
    short.encapped_key.pop();
    refused(&room, b"info", b"aad", &short);
}

#[test]
fn room_public_keys_are_checked() {
    let room = RoomSecretKey::generate(&mut rng(1));
    let bytes = room.public().as_bytes();
    assert_eq!(bytes.len(), 1216);
    let read = RoomPublicKey::from_bytes(bytes).unwrap();
    assert_eq!(&read, room.public());
    assert_eq!(read.digest(), room.public().digest());
    let short = RoomPublicKey::from_bytes(&bytes[1..]).unwrap_err();
    assert_eq!(short, HpkeError::PublicKey);
    // Coefficients of ML-KEM that are not reduced.
    let wild = RoomPublicKey::from_bytes(&[0xff; 1216]).unwrap_err();
    assert_eq!(wild, HpkeError::PublicKey);
}
