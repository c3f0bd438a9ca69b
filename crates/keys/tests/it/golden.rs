//! Committed signatures and notes, of the key whose 32 secret bytes are 7.
//!
//! `cargo test -p incamera-keys -- --ignored write_golden_files` made them; what changes gets
//! files of its own beside these.

use std::fs;
use std::path::{Path, PathBuf};

use incamera_keys::{ReceiveKey, SigningKey, SshSig, note, open_signed, sign_message};
use incamera_wire::v1::{DataVersion, Signed};
use incamera_wire::{Format, decode, encode};

const MESSAGE: &[u8] = b"what was signed\n";
const NAMESPACE: &str = "incamera-agreement";
const CHECKPOINT: &str = "incamera/log/of/shop\n3\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";

fn golden(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.join("tests/golden").join(name)
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

/// A body of any kind: what is looked at here is the frame around it.
fn body() -> DataVersion {
    DataVersion {
        dataset: "purchases".into(),
        version: 3,
        manifest: vec![1; 32],
    }
}

fn receive_key() -> ReceiveKey {
    ReceiveKey::from_text(&fs::read_to_string(golden("receive_key-1")).unwrap()).unwrap()
}

fn made() -> [(&'static str, Vec<u8>); 4] {
    let signature = key().sign(NAMESPACE, MESSAGE).unwrap().to_armor();
    let note = note::sign(CHECKPOINT, "incamera/log/of/shop", &key()).unwrap();
    let signed = sign_message(&key(), Format::Grant, &body()).unwrap();
    [
        ("signature-1.sig", signature.into_bytes()),
        ("note-1.txt", note.into_bytes()),
        ("signed-1", encode(&signed)),
        (
            "receive_key-1.pub",
            receive_key().public().to_string().into_bytes(),
        ),
    ]
}

#[test]
#[ignore = "writes the golden files anew: only for a format that has no version yet"]
fn write_golden_files() {
    for (name, bytes) in made() {
        fs::write(golden(name), bytes).unwrap();
    }
}

/// Ed25519 gives one signature for one message, and 32 bytes are one key.
#[test]
fn signatures_are_made_the_same_again() {
    for (name, bytes) in made() {
        assert_eq!(fs::read(golden(name)).unwrap(), bytes, "{name}");
    }
}

#[test]
fn the_signature_holds() {
    let text = fs::read_to_string(golden("signature-1.sig")).unwrap();
    let signature = SshSig::from_armor(&text).unwrap();
    assert_eq!(
        (signature.namespace(), signature.to_armor()),
        (NAMESPACE, text)
    );
    key()
        .public()
        .verify(NAMESPACE, MESSAGE, &signature)
        .unwrap();
}

#[test]
fn the_note_holds() {
    let note = fs::read_to_string(golden("note-1.txt")).unwrap();
    let text = note::verify(&note, "incamera/log/of/shop", &key().public());
    assert_eq!(text.unwrap(), CHECKPOINT);
}

#[test]
fn the_signed_message_opens_and_no_other_version_of_it() {
    let bytes = fs::read(golden("signed-1")).unwrap();
    let mut signed: Signed = decode(&bytes, bytes.len()).unwrap();
    let opened: DataVersion = open_signed(&signed, Format::Grant, &key().public(), 100).unwrap();
    assert_eq!(opened, body());
    signed.format = "incamera-grant/2".into();
    let refused = open_signed::<DataVersion>(&signed, Format::Grant, &key().public(), 100);
    let text = refused.unwrap_err().to_string();
    assert!(text.contains("incamera-grant/2"), "{text}");
    assert!(text.contains("a newer version of incamera"), "{text}");
}
