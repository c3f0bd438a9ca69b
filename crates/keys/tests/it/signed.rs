//! Messages under one signature.

use incamera_keys::{SignatureError, SignedError, SshSig, open_signed, peek_signed, sign_message};
use incamera_wire::v1::{Loss, Signed};
use incamera_wire::{Format, FormatError};

use crate::signer;

const LOSS: Loss = Loss { rho: 5, delta0: 7 };

fn signed() -> Signed {
    sign_message(&signer(1), Format::Grant, &LOSS).unwrap()
}

fn open(signed: &Signed) -> Result<Loss, SignedError> {
    open_signed(signed, Format::Grant, &signer(1).public(), 100)
}

#[test]
fn round_trip() {
    assert_eq!(open(&signed()), Ok(LOSS));
}

#[test]
fn refuses_another_key() {
    let error = open_signed::<Loss>(&signed(), Format::Grant, &signer(2).public(), 100);
    assert!(matches!(
        error,
        Err(SignedError::Signature(SignatureError::OtherKey { .. }))
    ));
}

#[test]
fn refuses_another_body() {
    let mut changed = signed();
    changed.body = incamera_wire::encode(&Loss { rho: 6, delta0: 7 });
    assert_eq!(open(&changed), Err(SignatureError::Wrong.into()));
}

#[test]
fn refuses_another_format() {
    let error = open_signed::<Loss>(&signed(), Format::Receipt, &signer(1).public(), 100);
    assert!(matches!(
        error,
        Err(SignedError::Format(FormatError::Unknown { .. }))
    ));
    // Renaming the format does not help: the namespace and the signed bytes say which it was.
    let mut renamed = signed();
    renamed.format = Format::Receipt.as_str().to_owned();
    let error = open_signed::<Loss>(&renamed, Format::Receipt, &signer(1).public(), 100);
    assert!(matches!(
        error,
        Err(SignedError::Signature(
            SignatureError::OtherNamespace { .. }
        ))
    ));
}

#[test]
fn the_version_is_signed() {
    let key = signer(1);
    let body = incamera_wire::encode(&LOSS);
    let ours = SshSig::from_bytes(&signed().signature).unwrap();
    let named = [b"incamera-grant/1\n".as_slice(), &body].concat();
    let verified = key.public().verify("incamera-grant", &named, &ours);
    assert_eq!(verified, Ok(()));

    let later = [b"incamera-grant/2\n".as_slice(), &body].concat();
    let signature = key.sign("incamera-grant", &later).unwrap().to_bytes();
    let downgraded = Signed {
        format: Format::Grant.as_str().to_owned(),
        body,
        signature,
    };
    assert_eq!(open(&downgraded), Err(SignatureError::Wrong.into()));
}

#[test]
fn refuses_what_is_too_large_or_malformed() {
    let small = open_signed::<Loss>(&signed(), Format::Grant, &signer(1).public(), 3);
    assert!(matches!(
        small,
        Err(SignedError::Format(FormatError::TooLarge {
            found: 4,
            limit: 3
        }))
    ));
    let mut unsigned = signed();
    unsigned.signature.clear();
    assert_eq!(open(&unsigned), Err(SignatureError::Malformed.into()));
}

#[test]
fn peeking_believes_nothing() {
    let mut changed = signed();
    changed.body = incamera_wire::encode(&Loss { rho: 6, delta0: 7 });
    let peeked = peek_signed::<Loss>(&changed, Format::Grant, 100).unwrap();
    assert_eq!(peeked.unverified().rho, 6);
    assert_eq!(peeked.claimed_key(), &signer(1).public());
    assert!(peek_signed::<Loss>(&changed, Format::Grant, 3).is_err());
    assert!(peek_signed::<Loss>(&changed, Format::Receipt, 100).is_err());
}
