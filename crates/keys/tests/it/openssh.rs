//! Keys and signatures that OpenSSH made (files in `vectors`, by ssh-keygen 9).

use incamera_keys::{KeyError, PublicKey, PublicKeyError, SignatureError, SigningKey, SshSig};
use proptest::prelude::*;

use crate::signer;

const MESSAGE: &[u8] = include_bytes!("vectors/message");
const SIGNATURE: &str = include_str!("vectors/message.sig");
const NAMESPACE: &str = "incamera-test";

fn plain() -> SigningKey {
    SigningKey::from_openssh(include_str!("vectors/plain"), None).unwrap()
}

fn public() -> PublicKey {
    include_str!("vectors/plain.pub").parse().unwrap()
}

#[test]
fn reads_a_key_pair() {
    assert_eq!(plain().public(), public());
    assert_eq!(
        public().fingerprint(),
        "SHA256:zG84WJ/xYz7zfLiObZVTe8FrPDUJnVo5M/RSZuNzkgg"
    );
    let line = include_str!("vectors/plain.pub").trim();
    assert_eq!(public().to_string(), line.trim_end_matches(" vector"));
}

#[test]
fn opens_an_encrypted_key_with_its_passphrase_only() {
    let text = include_str!("vectors/locked");
    let open = |passphrase: &str| SigningKey::from_openssh(text, Some(&passphrase.into()));
    let public: PublicKey = include_str!("vectors/locked.pub").parse().unwrap();
    assert_eq!(open("open sesame").unwrap().public(), public);
    assert_eq!(open("open barley").unwrap_err(), KeyError::WrongPassphrase);
    let none = SigningKey::from_openssh(text, None).unwrap_err();
    assert_eq!(none, KeyError::Encrypted);
}

#[test]
fn other_kinds_of_keys_are_refused_by_name() {
    let error = SigningKey::from_openssh(include_str!("vectors/ec"), None).unwrap_err();
    assert!(error.to_string().contains("ecdsa-sha2-nistp256"), "{error}");
    let error = SigningKey::from_openssh("no key", None).unwrap_err();
    assert_eq!(error, KeyError::Malformed);
}

#[test]
fn makes_the_signature_that_ssh_keygen_makes() {
    // Ed25519 is deterministic, so ours must be theirs to the byte.
    let ours = plain().sign(NAMESPACE, MESSAGE).unwrap();
    assert_eq!(ours.to_armor(), SIGNATURE);
    let theirs = SshSig::from_armor(SIGNATURE).unwrap();
    assert_eq!(public().verify(NAMESPACE, MESSAGE, &theirs), Ok(()));
}

#[test]
fn signatures_hold_for_one_key_namespace_and_message() {
    let signature = SshSig::from_armor(SIGNATURE).unwrap();
    let other = signer(1).public();
    assert!(matches!(
        other.verify(NAMESPACE, MESSAGE, &signature),
        Err(SignatureError::OtherKey { .. })
    ));
    assert!(matches!(
        public().verify("incamera-grant", MESSAGE, &signature),
        Err(SignatureError::OtherNamespace { .. })
    ));
    assert_eq!(
        public().verify(NAMESPACE, b"a message", &signature),
        Err(SignatureError::Wrong)
    );
    assert_eq!(
        plain().sign("", MESSAGE).unwrap_err(),
        KeyError::NoNamespace
    );
}

#[test]
fn other_signature_kinds_are_refused() {
    let rsa = SshSig::from_armor(include_str!("vectors/rsa.sig")).unwrap_err();
    assert_eq!(rsa, SignatureError::Unsupported { what: "key" });
    let sha256 = SshSig::from_armor(include_str!("vectors/sha256.sig")).unwrap_err();
    assert_eq!(sha256, SignatureError::Unsupported { what: "hash" });
    let mut later = SshSig::from_armor(SIGNATURE).unwrap().to_bytes();
    later[9] = 2;
    assert_eq!(
        SshSig::from_bytes(&later).unwrap_err(),
        SignatureError::Unsupported { what: "version" }
    );
}

#[test]
fn a_signature_has_one_binary_form() {
    let bytes = SshSig::from_armor(SIGNATURE).unwrap().to_bytes();
    // A reserved string that is not empty would be signed for by nobody.
    let at = bytes.windows(4).rposition(|w| w == [0, 0, 0, 6]).unwrap();
    let mut reserved = bytes.clone();
    reserved[at - 1] = 1;
    reserved.insert(at, b'x');
    assert_eq!(
        SshSig::from_bytes(&reserved).unwrap_err(),
        SignatureError::Malformed
    );
    assert_eq!(SshSig::from_bytes(&bytes).unwrap().to_bytes(), bytes);
}

#[test]
fn text_that_is_no_public_key_is_refused() {
    for text in [
        "",
        "ssh-rsa AAAA",
        "ssh-ed25519",
        "ssh-ed25519 !!!!",
        "ssh-ed25519 AAAA",
    ] {
        let error = text.parse::<PublicKey>().unwrap_err();
        assert_eq!(error, PublicKeyError::Text, "{text}");
    }
}

#[test]
fn keys_anybody_can_sign_for_are_refused() {
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(
        PublicKey::from_bytes(&identity).unwrap_err(),
        PublicKeyError::Weak
    );
    let order_eight = "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a";
    assert_eq!(
        PublicKey::from_bytes(&hex::decode(order_eight).unwrap()).unwrap_err(),
        PublicKeyError::Weak
    );
    assert_eq!(
        PublicKey::from_bytes(&[1; 31]).unwrap_err(),
        PublicKeyError::Length { found: 31 }
    );
}

#[test]
fn spki_round_trip() {
    let spki = public().to_spki();
    assert_eq!(PublicKey::from_spki(&spki), Ok(public()));
    for end in 0..spki.len() {
        assert!(PublicKey::from_spki(&spki[..end]).is_err(), "{end}");
    }
    let longer = [spki.as_slice(), &[0]].concat();
    assert_eq!(PublicKey::from_spki(&longer), Err(PublicKeyError::Spki));
}

#[test]
fn pkcs8_is_the_key() {
    let pair = ring::signature::Ed25519KeyPair::from_pkcs8_maybe_unchecked(&plain().to_pkcs8());
    let pair = pair.unwrap();
    let public_key = ring::signature::KeyPair::public_key(&pair);
    assert_eq!(public_key.as_ref(), public().as_bytes());
}

#[test]
fn serde_is_the_openssh_line() {
    let json = serde_json::to_string(&public()).unwrap();
    assert_eq!(json, format!("\"{}\"", public()));
    assert_eq!(serde_json::from_str::<PublicKey>(&json).unwrap(), public());
    assert!(serde_json::from_str::<PublicKey>("\"ssh-ed25519 AAAA\"").is_err());
}

proptest! {
    #[test]
    fn keys_and_signatures_round_trip(seed: u8, namespace in "[a-z-]{1,40}", message: Vec<u8>) {
        let key = signer(seed);
        let text = key.to_openssh("a comment").unwrap();
        let again = SigningKey::from_openssh(&text, None).unwrap();
        prop_assert_eq!(again.public(), key.public());
        let signature = again.sign(&namespace, &message).unwrap();
        let read = SshSig::from_bytes(&signature.to_bytes()).unwrap();
        prop_assert_eq!(&SshSig::from_armor(&signature.to_armor()).unwrap(), &read);
        prop_assert_eq!(key.public().verify(&namespace, &message, &read), Ok(()));
    }

    #[test]
    fn truncated_signatures_are_refused(end in 0..SIGNATURE.len() - 1) {
        prop_assert!(SshSig::from_armor(&SIGNATURE[..end]).is_err());
        let bytes = SshSig::from_armor(SIGNATURE).unwrap().to_bytes();
        let end = end % bytes.len();
        prop_assert!(SshSig::from_bytes(&bytes[..end]).is_err());
    }

    #[test]
    fn changed_signatures_do_not_hold(at: prop::sample::Index, bit in 0..8) {
        let mut bytes = SshSig::from_armor(SIGNATURE).unwrap().to_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1u8 << bit;
        let holds = SshSig::from_bytes(&bytes)
            .is_ok_and(|sig| public().verify(NAMESPACE, MESSAGE, &sig).is_ok());
        prop_assert!(!holds);
    }
}
