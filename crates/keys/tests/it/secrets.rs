//! Secrets show nothing, and derive apart.

use incamera_keys::hpke::RoomSecretKey;
use incamera_keys::{DataKey, MatchingKey, NoiseSeed, PurposeKey, Secret32, SeedKey, SigningKey};

use crate::{rng, signer};

#[test]
fn debug_shows_the_kind_only() {
    let bytes = [0xa7; 32];
    let shown = [
        format!("{:?}", Secret32::from_bytes(bytes)),
        format!("{:#?}", DataKey::from_bytes(bytes)),
        format!("{:?}", PurposeKey::from_bytes(bytes)),
        format!("{:?}", NoiseSeed::from_bytes(bytes)),
        format!("{:?}", SeedKey::from_bytes(bytes)),
        format!("{:?}", MatchingKey::from_bytes(bytes)),
        format!("{:#?}", SigningKey::from_seed(&bytes)),
        format!("{:?}", RoomSecretKey::generate(&mut rng(1))),
    ];
    let kinds = [
        "Secret32",
        "DataKey",
        "PurposeKey",
        "NoiseSeed",
        "SeedKey",
        "MatchingKey",
        "SigningKey(Ed25519)",
        "RoomSecretKey",
    ];
    assert_eq!(shown, kinds);
}

#[test]
fn signatures_show_no_bytes() {
    let signature = signer(1).sign("test", b"message").unwrap();
    let shown = format!("{signature:?}");
    assert!(
        shown.contains("SHA256:") && shown.ends_with(".. }"),
        "{shown}"
    );
}

/// HKDF as RFC 5869 writes it, for one block.
fn hkdf_by_hand(key: &[u8], info: &[u8]) -> Vec<u8> {
    use ring::hmac::{HMAC_SHA256, Key, sign};
    let extracted = sign(&Key::new(HMAC_SHA256, &[0; 32]), key);
    let block = [info, &[1]].concat();
    sign(&Key::new(HMAC_SHA256, extracted.as_ref()), &block)
        .as_ref()
        .to_vec()
}

#[test]
fn derives_by_hkdf() {
    let secret = Secret32::from_bytes([3; 32]);
    let info = [
        &8u64.to_be_bytes(),
        b"label/1.".as_slice(),
        &2u64.to_be_bytes(),
        b"ab",
    ]
    .concat();
    let derived = secret.derive_for("label/1.", &[b"ab"]);
    assert_eq!(derived.expose().as_slice(), hkdf_by_hand(&[3; 32], &info));
}

#[test]
fn derives_apart() {
    let secret = NoiseSeed::from_bytes([3; 32]);
    let base = secret.derive("a");
    assert!(base.same(&secret.derive_for("a", &[])));
    for other in [
        secret.derive("b"),
        secret.derive_for("a", &[b""]),
        secret.derive_for("", &[b"a"]),
        NoiseSeed::from_bytes([4; 32]).derive("a"),
    ] {
        assert!(!base.same(&other));
    }
    let split = secret.derive_for("x", &[b"a", b"bc"]);
    assert!(!split.same(&secret.derive_for("x", &[b"ab", b"c"])));
}

#[test]
fn draws_differ_and_lengths_count() {
    let mut rng = rng(1);
    let (first, second) = (DataKey::generate(&mut rng), DataKey::generate(&mut rng));
    assert!(!first.same(&second));
    assert!(first.same(&first.duplicate()));
    assert!(DataKey::from_slice(&[0; 31]).is_none());
    assert!(DataKey::from_slice(first.expose()).unwrap().same(&first));
}
