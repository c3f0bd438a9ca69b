//! A PIN that is all but used up, and one that is locked.
//!
//! SoftHSM counts no tries and locks nothing. What it says of a token stands in the token's own
//! file, so a test writes there what a token that locks itself would say.

use std::fs;
use std::path::{Path, PathBuf};

use cryptoki::context::Pkcs11;
use cryptoki::session::UserType;
use incamera_keys::SecretString;
use incamera_seal::{TokenError, TokenName, TokenPlace, TokenRing};

use super::{PIN, create, insider, module, open, place, secret_keys, with_token};
use crate::ring::{ensure, key_slot, opens, wrapped};
use crate::world::all_text;

const FINAL_TRY: u64 = 0x0002_0000;
/// SoftHSM notes that a wrong PIN was tried.
const TRIED: u64 = 0x0001_0000;
const LOCKED: u64 = 0x0004_0000;
/// `CKA_OS_TOKENFLAGS`, and that its value is a whole number.
const FLAGS: [u8; 16] = [0, 0, 0, 0, 0x80, 0, 0x53, 0x4B, 0, 0, 0, 0, 0, 0, 0, 2];

/// Where the token's file has its flags.
fn flags(folder: &Path) -> (PathBuf, Vec<u8>, usize) {
    let token = fs::read_dir(folder.join("tokens")).unwrap().next();
    let path = token.unwrap().unwrap().path().join("token.object");
    let bytes = fs::read(&path).unwrap();
    let windows = bytes.windows(FLAGS.len()).collect::<Vec<_>>();
    let at = windows.iter().position(|window| **window == FLAGS).unwrap();
    (path, bytes, at + FLAGS.len())
}

/// Has the token say that `flag` holds, or does not; the module is started anew.
fn say(folder: &Path, flag: u64, holds: bool) {
    Pkcs11::new(module().unwrap()).unwrap().finalize().unwrap();
    let (path, mut bytes, at) = flags(folder);
    let said = u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap());
    let said = if holds { said | flag } else { said & !flag };
    bytes[at..at + 8].copy_from_slice(&said.to_be_bytes());
    fs::write(path, bytes).unwrap();
}

fn says(folder: &Path, flag: u64) -> bool {
    let (_, bytes, at) = flags(folder);
    u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap()) & flag != 0
}

/// The last try is the owner's: no PIN is offered, not even the right one.
#[test]
fn the_last_try_is_left_to_the_token_s_own_program() {
    let test = "pin::the_last_try_is_left_to_the_token_s_own_program";
    with_token(test, |folder| {
        let ads = key_slot(1, "ads");
        let mut ring = create(folder);
        ensure(&mut ring, &ads, 3).unwrap();
        let wrap = wrapped(&ring, &ads);
        say(folder, FINAL_TRY, true);
        let error = ring.unwrap(&ads, b"a place", &wrap).unwrap_err();
        assert!(all_text(&error).contains("one wrong PIN more locks it"));
        let wrong = TokenPlace {
            pin: SecretString::from("0000-battery"),
            ..place()
        };
        for place in [place(), wrong] {
            let error = TokenRing::connect(place).err().unwrap();
            assert!(matches!(error, TokenError::LastTry { .. }), "{error}");
        }
        assert!(!says(folder, TRIED), "a try was made");
        // The token's own program logs in once, which gives the tries back.
        say(folder, FINAL_TRY, false);
        assert!(opens(&ring, &ads, &wrap));
    });
}

/// The security officer's PIN ends a lock, and the keys are there.
#[test]
fn a_locked_pin_is_set_anew_and_the_keys_stay() {
    let test = "pin::a_locked_pin_is_set_anew_and_the_keys_stay";
    with_token(test, |folder| {
        let ads = key_slot(1, "ads");
        let mut ring = create(folder);
        ensure(&mut ring, &ads, 3).unwrap();
        let wrap = wrapped(&ring, &ads);
        drop(ring);
        say(folder, LOCKED, true);
        let error = TokenRing::connect(place()).err().unwrap();
        assert!(matches!(error, TokenError::Locked { .. }), "{error}");
        assert!(error.to_string().contains("security officer's PIN"));

        let module = Pkcs11::new(module().unwrap()).unwrap();
        let slot = module.get_slots_with_initialized_token().unwrap()[0];
        let session = module.open_rw_session(slot).unwrap();
        let officer = "12345678".to_owned().into();
        session.login(UserType::So, Some(&officer)).unwrap();
        session.init_pin(&PIN.to_owned().into()).unwrap();
        session.logout().unwrap();
        drop(session);
        assert!(opens(&open(folder).unwrap(), &ads, &wrap));
    });
}

/// A token whose user PIN nobody ever set.
#[test]
fn a_token_without_a_user_pin_is_told() {
    with_token("pin::a_token_without_a_user_pin_is_told", |folder| {
        let fresh = Pkcs11::new(module().unwrap()).unwrap();
        drop(create(folder));
        let slots = fresh.get_slots_with_token().unwrap();
        let free = *slots.last().unwrap();
        let officer = "12345678".to_owned().into();
        fresh.init_token(free, &officer, "bare").unwrap();
        let bare = TokenPlace {
            name: TokenName::Label("bare".into()),
            ..place()
        };
        let error = TokenRing::connect(bare).err().unwrap();
        assert!(matches!(error, TokenError::Locked { .. }), "{error}");
        assert!(error.to_string().contains("never set"), "{error}");
    });
}

/// A thief with the token and without its PIN finds no key in it, however often it tries. (One
/// that people use locks itself meanwhile; SoftHSM does not.)
#[test]
fn without_the_pin_no_key_is_found() {
    with_token("pin::without_the_pin_no_key_is_found", |folder| {
        let ads = key_slot(1, "ads");
        let mut ring = create(folder);
        ensure(&mut ring, &ads, 3).unwrap();
        let wrap = wrapped(&ring, &ads);
        let session = insider();
        assert_eq!(secret_keys(&session).len(), 2);
        session.logout().unwrap();
        for guess in 0..20 {
            let pin = format!("{guess:04}-guess").into();
            assert!(session.login(UserType::User, Some(&pin)).is_err());
            assert!(secret_keys(&session).is_empty());
        }
        drop(session);
        assert!(opens(&ring, &ads, &wrap), "the owner's PIN opens it again");
    });
}
