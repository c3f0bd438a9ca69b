//! Signed notes.

use incamera_keys::note::{self, NoteError};
use incamera_keys::{PublicKey, SigningKey};
use proptest::prelude::*;

use crate::signer;

/// The example of Go's `golang.org/x/mod/sumdb/note`.
const EXAMPLE: &str = "If you think cryptography is the answer to your problem,\n\
    then you don't know what your problem is.\n\
    \n\
    \u{2014} PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
const EXAMPLE_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

fn example_key() -> PublicKey {
    use base64::Engine as _;
    let body = EXAMPLE_KEY.splitn(3, '+').nth(2).unwrap();
    let bytes = base64::engine::general_purpose::STANDARD
        .decode(body)
        .unwrap();
    assert_eq!(bytes[0], 1);
    PublicKey::from_bytes(&bytes[1..]).unwrap()
}

#[test]
fn verifies_the_known_note() {
    let key = example_key();
    assert_eq!(note::verifier_key("PeterNeumann", &key), EXAMPLE_KEY);
    assert_eq!(note::key_id("PeterNeumann", &key), [0xc7, 0x4f, 0x20, 0xa3]);
    let text = note::verify(EXAMPLE, "PeterNeumann", &key).unwrap();
    assert!(text.ends_with("problem is.\n"));
    let changed = EXAMPLE.replace("don't", "do");
    assert!(matches!(
        note::verify(&changed, "PeterNeumann", &key),
        Err(NoteError::Wrong { .. })
    ));
}

#[test]
fn key_ids_follow_the_rule() {
    let (name, key) = ("shop.example/log", signer(1).public());
    let input = [name.as_bytes(), &[0x0a, 0x01], key.as_bytes()].concat();
    let digest = ring::digest::digest(&ring::digest::SHA256, &input);
    assert_eq!(note::key_id(name, &key), digest.as_ref()[..4]);
}

#[test]
fn cosigned_notes_verify_for_each_signer() {
    let (shop, mailer) = (signer(1), signer(2));
    let signed = note::sign("a checkpoint\n7\n", "shop", &shop).unwrap();
    let both = note::cosign(&signed, "mailer", &mailer).unwrap();
    for (name, key) in [("shop", &shop), ("mailer", &mailer)] {
        let text = note::verify(&both, name, &key.public()).unwrap();
        assert_eq!(text, "a checkpoint\n7\n");
    }
    let unsigned = NoteError::Unsigned {
        name: "mailer".into(),
    };
    assert_eq!(
        note::verify(&signed, "mailer", &mailer.public()),
        Err(unsigned.clone())
    );
    // A line under another name does not count, even with the right key id.
    let renamed = signed.replace("\u{2014} shop ", "\u{2014} another ");
    assert!(matches!(
        note::verify(&renamed, "shop", &shop.public()),
        Err(NoteError::Unsigned { .. })
    ));
    // The right name with another key is somebody else.
    assert_eq!(note::verify(&both, "mailer", &shop.public()), Err(unsigned));
}

#[test]
fn what_is_no_note_is_refused() {
    let key = signer(1);
    let verify = |text: &str| note::verify(text, "shop", &key.public()).unwrap_err();
    let good = note::sign("text\n", "shop", &key).unwrap();
    for bad in [
        "",
        "text\n",
        "text\n\n",
        "text\n\nno dash\n",
        "text\n\n\u{2014} shop !!!\n",
        good.trim_end(),
    ] {
        assert_eq!(verify(bad), NoteError::Malformed, "{bad:?}");
    }
    let sign = |text: &str, name: &str| note::sign(text, name, &key).unwrap_err();
    assert_eq!(sign("no end of line", "shop"), NoteError::Malformed);
    assert_eq!(sign("a\u{7}\n", "shop"), NoteError::Malformed);
    assert!(matches!(sign("text\n", "a b"), NoteError::Name { .. }));
    assert!(matches!(sign("text\n", "a+b"), NoteError::Name { .. }));
    assert!(matches!(sign("text\n", ""), NoteError::Name { .. }));
}

proptest! {
    #[test]
    fn notes_round_trip(text in "[a-z \n]{0,60}", name in "[a-z./]{1,20}") {
        let key = SigningKey::from_seed(&[5; 32]);
        let text = text + "\n";
        let signed = note::sign(&text, &name, &key).unwrap();
        prop_assert_eq!(note::verify(&signed, &name, &key.public()), Ok(text));
    }

    #[test]
    fn truncated_notes_are_refused(end in 0..EXAMPLE.len()) {
        if let Some(cut) = EXAMPLE.get(..end) {
            prop_assert!(note::verify(cut, "PeterNeumann", &example_key()).is_err());
        }
    }
}
