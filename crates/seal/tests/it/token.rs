//! A key ring in a real PKCS#11 token: SoftHSM. Each test runs in a process of its own, because
//! the module's state and its configuration are the process's.

mod pin;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cryptoki::context::Pkcs11;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use incamera_keys::{DataKey, SecretString};
use incamera_seal::{
    AgeFile, BackendError, KeyRing, NoKey, PurposeSlot, RingError, TokenError, TokenName,
    TokenPlace, TokenRing, UnwrapError, unwrap_keys,
};
use tempfile::tempdir;

use crate::ring::{AAD, ensure, has, key_slot, matching_slot, opens, wrapped};
use crate::world::{World, all_text, contains, names, passphrase, purpose, rng};

const PIN: &str = "4711-correct-horse";
const INSIDE: &str = "INCAMERA_TOKEN_TEST";

/// Where Debian and others put SoftHSM's module.
fn module() -> Option<PathBuf> {
    let places = [
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib64/pkcs11/libsofthsm2.so",
        "/usr/local/lib/softhsm/libsofthsm2.so",
    ];
    places.map(PathBuf::from).into_iter().find(|so| so.exists())
}

/// Runs `body` in a process of its own, with a new token called `shop`.
#[allow(clippy::print_stderr)]
fn with_token(test: &str, body: impl FnOnce(&Path)) {
    if let Some(folder) = std::env::var_os(INSIDE) {
        return body(Path::new(&folder));
    }
    if module().is_none() {
        eprintln!("token::{test}: SKIPPED, because SoftHSM is not here (apt-get install softhsm2)");
        return;
    }
    let folder = tempdir().unwrap();
    let tokens = folder.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    let configuration = folder.path().join("softhsm2.conf");
    fs::write(
        &configuration,
        format!(
            "directories.tokendir = {}\nlog.level = ERROR\n",
            tokens.display()
        ),
    )
    .unwrap();
    init_token(&configuration, "shop");
    let exe = std::env::current_exe().unwrap();
    let done = Command::new(exe)
        .args(["--exact", &format!("token::{test}"), "--nocapture"])
        .env("SOFTHSM2_CONF", &configuration)
        .env(INSIDE, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    let ran = String::from_utf8_lossy(&done.stdout);
    assert!(ran.contains("1 passed"), "{ran}");
}

fn init_token(configuration: &Path, label: &str) {
    let made = Command::new("softhsm2-util")
        .args(["--init-token", "--free", "--label", label])
        .args(["--pin", PIN, "--so-pin", "12345678"])
        .env("SOFTHSM2_CONF", configuration)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

fn place() -> TokenPlace {
    TokenPlace {
        module: module().unwrap(),
        name: TokenName::Label("shop".into()),
        pin: SecretString::from(PIN),
    }
}

fn create(folder: &Path) -> KeyRing {
    let backend = TokenRing::create(place(), &mut rng(1)).unwrap();
    KeyRing::create_in(&folder.join("ring.token"), Box::new(backend), &mut rng(2)).unwrap()
}

fn open(folder: &Path) -> Result<KeyRing, RingError> {
    let backend = TokenRing::connect(place()).unwrap();
    KeyRing::open_in(&folder.join("ring.token"), Box::new(backend))
}

/// Somebody with the PIN and a session of their own.
fn insider() -> Session {
    let module = Pkcs11::new(module().unwrap()).unwrap();
    let of_shop = |slot: &_| module.get_token_info(*slot).unwrap().label() == "shop";
    let slots = module.get_slots_with_token().unwrap();
    let slot = slots.into_iter().find(of_shop).unwrap();
    let session = module.open_rw_session(slot).unwrap();
    let _ = session.login(UserType::User, Some(&PIN.to_owned().into()));
    session
}

fn secret_keys(session: &Session) -> Vec<ObjectHandle> {
    let class = Attribute::Class(ObjectClass::SECRET_KEY);
    session.find_objects(&[class]).unwrap()
}

#[test]
fn keys_are_made_inside_and_wrap_inside() {
    with_token("keys_are_made_inside_and_wrap_inside", |folder| {
        let (ads, safety) = (key_slot(1, "ads"), key_slot(1, "safety"));
        let mut ring = create(folder);
        ensure(&mut ring, &ads, 3).unwrap();
        ensure(&mut ring, &safety, 4).unwrap();
        let wrap = wrapped(&ring, &ads);
        assert_eq!(wrap.len(), incamera_seal::WRAPPED_BYTES);
        assert!(opens(&ring, &ads, &wrap));
        assert_ne!(
            wrap,
            ring.wrap(&ads, AAD, &DataKey::from_bytes([7; 32]), &mut rng(5))
                .unwrap()
        );
        // Another place, another purpose's key, changed bytes, cut bytes.
        let other_place = ring.unwrap(&ads, b"another place", &wrap);
        assert!(
            matches!(other_place, Err(UnwrapError::Refused)),
            "{other_place:?}"
        );
        assert!(!opens(&ring, &safety, &wrap));
        for at in [0, 12, 59] {
            let mut changed = wrap.clone();
            changed[at] ^= 1;
            assert!(!opens(&ring, &ads, &changed), "{at}");
        }
        assert!(!opens(&ring, &ads, &wrap[..59]));
        drop(ring);
        let ring = open(folder).unwrap();
        assert!(opens(&ring, &ads, &wrap));
        assert_eq!(ring.kind(), "PKCS#11 token");
    });
}

#[test]
fn no_key_comes_out_of_the_token() {
    with_token("no_key_comes_out_of_the_token", |folder| {
        let mut ring = create(folder);
        ensure(&mut ring, &key_slot(1, "ads"), 3).unwrap();
        let session = insider();
        let keys = secret_keys(&session);
        assert_eq!(keys.len(), 2, "the document's key and one purpose's");
        // The control: a key that may leave does, by the same two ways.
        let loose = session
            .generate_key(
                &Mechanism::AesKeyGen,
                &[
                    Attribute::Sensitive(false),
                    Attribute::Extractable(true),
                    Attribute::ValueLen(32.into()),
                    Attribute::Wrap(true),
                ],
            )
            .unwrap();
        let value = |key| {
            session
                .get_attributes(key, &[AttributeType::Value])
                .unwrap()
        };
        assert_eq!(value(loose).len(), 1);
        assert!(
            session
                .wrap_key(&Mechanism::AesKeyWrap, loose, loose)
                .is_ok()
        );
        assert!(session.copy_object(loose, &[]).is_ok());
        for key in keys {
            assert!(value(key).is_empty(), "CKA_VALUE was given out");
            assert!(
                session
                    .wrap_key(&Mechanism::AesKeyWrap, loose, key)
                    .is_err()
            );
            assert!(
                session
                    .wrap_key(&Mechanism::AesKeyWrap, key, loose)
                    .is_err()
            );
            assert!(
                session
                    .copy_object(key, &[Attribute::Extractable(true)])
                    .is_err()
            );
            let set = session.update_attributes(key, &[Attribute::Extractable(true)]);
            assert!(set.is_err());
            // Nor is anything else of it changed, or a second one made of it.
            let other = [Attribute::Label(b"mine".to_vec())];
            assert!(session.update_attributes(key, &other).is_err());
            assert!(session.copy_object(key, &[]).is_err());
        }
        let file = fs::read(ring.path()).unwrap();
        assert!(!contains(
            &file,
            hex::encode(ring.seed_key().expose()).as_bytes()
        ));
        assert!(!contains(&file, b"purchases"));
    });
}

#[test]
fn a_key_from_outside_under_a_ring_key_s_name_is_not_used() {
    with_token(
        "a_key_from_outside_under_a_ring_key_s_name_is_not_used",
        |folder| {
            let ads = key_slot(1, "ads");
            let mut ring = create(folder);
            ensure(&mut ring, &ads, 3).unwrap();
            let wrap = wrapped(&ring, &ads);
            drop(ring);
            let session = insider();
            // The insider swaps the purpose key for one it knows.
            let label = |key| {
                session
                    .get_attributes(key, &[AttributeType::Label, AttributeType::Id])
                    .unwrap()
            };
            let (key, id) = secret_keys(&session)
                .into_iter()
                .find_map(|key| match label(key).as_slice() {
                    [Attribute::Label(text), id] if text.ends_with(b" ads") => {
                        Some((key, id.clone()))
                    }
                    _ => None,
                })
                .unwrap();
            session.destroy_object(key).unwrap();
            session
                .create_object(&[
                    Attribute::Class(ObjectClass::SECRET_KEY),
                    Attribute::KeyType(KeyType::AES),
                    Attribute::Token(true),
                    Attribute::Sensitive(true),
                    Attribute::Extractable(false),
                    Attribute::Encrypt(true),
                    Attribute::Decrypt(true),
                    Attribute::Wrap(false),
                    Attribute::Value(vec![3; 32]),
                    id,
                ])
                .unwrap();
            let ring = open(folder).unwrap();
            let error = ring.unwrap(&ads, AAD, &wrap).unwrap_err();
            assert!(
                all_text(&error).contains("was not made inside"),
                "{}",
                all_text(&error)
            );
            let error = ring
                .wrap(&ads, AAD, &DataKey::from_bytes([7; 32]), &mut rng(5))
                .unwrap_err();
            assert!(
                all_text(&error).contains("was not made inside"),
                "{}",
                all_text(&error)
            );
        },
    );
}

#[test]
fn a_destroyed_key_is_gone_from_the_token() {
    with_token("a_destroyed_key_is_gone_from_the_token", |folder| {
        let (old, new) = (key_slot(1, "ads"), key_slot(2, "ads"));
        let mut ring = create(folder);
        ensure(&mut ring, &old, 3).unwrap();
        ensure(&mut ring, &new, 4).unwrap();
        let (gone, stays) = (wrapped(&ring, &old), wrapped(&ring, &new));
        let before = fs::read(ring.path()).unwrap();
        assert_eq!(secret_keys(&insider()).len(), 3);
        let mut elsewhere = open(folder).unwrap();
        assert!(opens(&elsewhere, &old, &gone));

        let first = |slot: &PurposeSlot| slot.key_epoch == 1;
        assert_eq!(ring.destroy_purpose_keys(first).unwrap(), 1);
        assert_eq!(secret_keys(&insider()).len(), 2);
        assert!(matches!(
            ring.unwrap(&old, AAD, &gone),
            Err(UnwrapError::NoKey)
        ));
        assert!(opens(&ring, &new, &stays));
        // Another holder has the handle still, and the old file from a backup: neither helps.
        let held = elsewhere.unwrap(&old, AAD, &gone);
        assert!(matches!(held, Err(UnwrapError::NoKey)), "{held:?}");
        assert!(elsewhere.refresh().unwrap());
        assert!(!has(&elsewhere, &old));
        fs::write(ring.path(), before).unwrap();
        let mut restored = open(folder).unwrap();
        assert!(has(&restored, &old));
        let opened = restored.unwrap(&old, AAD, &gone);
        assert!(matches!(opened, Err(UnwrapError::NoKey)), "{opened:?}");
        // A destruction that was cut off is done again.
        assert_eq!(restored.destroy_purpose_keys(first).unwrap(), 1);
        assert_eq!(restored.destroy_purpose_keys(first).unwrap(), 0);
    });
}

#[test]
fn a_wrong_pin_is_tried_once_a_process() {
    with_token("a_wrong_pin_is_tried_once_a_process", |folder| {
        drop(create(folder));
        let wrong = TokenPlace {
            pin: SecretString::from("0000-battery"),
            ..place()
        };
        for _ in 0..3 {
            let error = TokenRing::connect(wrong.clone()).err().unwrap();
            assert!(matches!(error, TokenError::WrongPin { .. }), "{error}");
            assert!(!all_text(&error).contains("battery"));
        }
        // The token itself is not asked again, whatever is offered.
        let error = TokenRing::connect(place()).err().unwrap();
        assert!(matches!(error, TokenError::WrongPin { .. }), "{error}");
        assert!(insider_can_log_in());
    });
}

/// A PIN that nobody knows any more is set anew by the token's security officer; the keys stay.
#[test]
fn a_lost_pin_is_set_anew_and_the_keys_stay() {
    with_token("a_lost_pin_is_set_anew_and_the_keys_stay", |folder| {
        let ads = key_slot(1, "ads");
        let mut ring = create(folder);
        ensure(&mut ring, &ads, 3).unwrap();
        let wrap = wrapped(&ring, &ads);
        let session = insider();
        session.logout().unwrap();
        let officer = "12345678".to_owned().into();
        session.login(UserType::So, Some(&officer)).unwrap();
        session.init_pin(&"another-pin".to_owned().into()).unwrap();
        session.logout().unwrap();
        drop(session);
        let error = ring.unwrap(&ads, AAD, &wrap).unwrap_err();
        assert!(
            all_text(&error).contains("refused the PIN"),
            "{}",
            all_text(&error)
        );
        drop(ring);
        // A program started anew, with the new PIN.
        let again = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "token::the_ring_opens_with_another_pin",
                "--nocapture",
            ])
            .env("INCAMERA_TOKEN_PIN", "another-pin")
            .env("INCAMERA_TOKEN_WRAP", hex::encode(&wrap))
            .output()
            .unwrap();
        assert!(
            again.status.success(),
            "{}",
            String::from_utf8_lossy(&again.stderr)
        );
        assert!(String::from_utf8_lossy(&again.stdout).contains("1 passed"));
    });
}

/// The second program of the test above; nothing by itself.
#[test]
fn the_ring_opens_with_another_pin() {
    let Ok(pin) = std::env::var("INCAMERA_TOKEN_PIN") else {
        return;
    };
    let folder = PathBuf::from(std::env::var(INSIDE).unwrap());
    let place = TokenPlace {
        pin: SecretString::from(pin),
        ..place()
    };
    let backend = TokenRing::connect(place).unwrap();
    let ring = KeyRing::open_in(&folder.join("ring.token"), Box::new(backend)).unwrap();
    let wrap = hex::decode(std::env::var("INCAMERA_TOKEN_WRAP").unwrap()).unwrap();
    assert!(opens(&ring, &key_slot(1, "ads"), &wrap));
}

fn insider_can_log_in() -> bool {
    let session = insider();
    secret_keys(&session).len() == 1
}

#[test]
fn what_is_not_there_is_named() {
    with_token("what_is_not_there_is_named", |folder| {
        let at = |module: &Path, name: TokenName| TokenPlace {
            module: module.to_owned(),
            name,
            pin: SecretString::from(PIN),
        };
        let shop = || TokenName::Label("shop".into());
        let missing = folder.join("no-such.so");
        let error = TokenRing::connect(at(&missing, shop())).err().unwrap();
        assert!(matches!(error, TokenError::Module { .. }), "{error}");
        let error = TokenRing::connect(at(&folder.join("softhsm2.conf"), shop()))
            .err()
            .unwrap();
        assert!(matches!(error, TokenError::Module { .. }), "{error}");
        let so = module().unwrap();
        for name in [
            TokenName::Label("mailer".into()),
            TokenName::Serial("shop".into()),
        ] {
            let error = TokenRing::connect(at(&so, name)).err().unwrap();
            assert!(matches!(error, TokenError::NoToken { .. }), "{error}");
        }
        drop(create(folder));
        let module = Pkcs11::new(&so).unwrap();
        let slots = module.get_slots_with_initialized_token().unwrap();
        let serial = module
            .get_token_info(slots[0])
            .unwrap()
            .serial_number()
            .to_owned();
        let ring = TokenRing::connect(at(&so, TokenName::Serial(serial))).unwrap();
        assert!(KeyRing::open_in(&folder.join("ring.token"), Box::new(ring)).is_ok());
    });
}

#[test]
fn another_token_of_the_same_name_does_not_open_the_ring() {
    with_token(
        "another_token_of_the_same_name_does_not_open_the_ring",
        |folder| {
            let ring = create(folder);
            let session = insider();
            for key in secret_keys(&session) {
                session.destroy_object(key).unwrap();
            }
            drop(ring);
            let error = open(folder).unwrap_err();
            assert!(matches!(error, RingError::WrongIdentity { .. }), "{error}");
        },
    );
}

#[test]
fn two_tokens_of_one_label_are_told_apart_by_serial_only() {
    with_token(
        "two_tokens_of_one_label_are_told_apart_by_serial_only",
        |folder| {
            init_token(&folder.join("softhsm2.conf"), "shop");
            let error = TokenRing::connect(place()).err().unwrap();
            assert!(matches!(error, TokenError::SeveralTokens { .. }), "{error}");
        },
    );
}

#[test]
fn a_lost_session_is_opened_again() {
    with_token("a_lost_session_is_opened_again", |folder| {
        let ads = key_slot(1, "ads");
        let mut ring = create(folder);
        ensure(&mut ring, &ads, 3).unwrap();
        let wrap = wrapped(&ring, &ads);
        // Somebody logs the process out, and then ends the module behind the ring's back.
        let module = Pkcs11::new(module().unwrap()).unwrap();
        let session = insider();
        session.logout().unwrap();
        assert!(opens(&ring, &ads, &wrap));
        drop(session);
        module.clone().finalize().unwrap();
        assert!(opens(&ring, &ads, &wrap));
        module.finalize().unwrap();
        assert!(opens(&ring, &ads, &wrapped(&ring, &ads)));
        let safety = key_slot(1, "safety");
        ensure(&mut ring, &safety, 4).unwrap();
        assert!(has(&ring, &safety));
    });
}

#[test]
fn a_token_that_is_taken_away_is_unavailable_and_not_tampered_with() {
    with_token(
        "a_token_that_is_taken_away_is_unavailable_and_not_tampered_with",
        |folder| {
            let ads = key_slot(1, "ads");
            let mut ring = create(folder);
            ensure(&mut ring, &ads, 3).unwrap();
            let wrap = wrapped(&ring, &ads);
            let (tokens, away) = (folder.join("tokens"), folder.join("away"));
            fs::rename(&tokens, &away).unwrap();
            fs::create_dir(&tokens).unwrap();
            Pkcs11::new(module().unwrap()).unwrap().finalize().unwrap();
            let error = ring.unwrap(&ads, AAD, &wrap).unwrap_err();
            let unavailable = matches!(
                &error,
                UnwrapError::Ring(RingError::Backend {
                    source: BackendError::Unavailable(_),
                    ..
                })
            );
            assert!(unavailable, "{error:?}");
            assert!(
                all_text(&error).contains("no slot has the token `shop`"),
                "{}",
                all_text(&error)
            );
            assert!(ensure(&mut ring, &key_slot(2, "ads"), 4).is_err());
            // It comes back, and nothing was lost.
            fs::remove_dir(&tokens).unwrap();
            fs::rename(&away, &tokens).unwrap();
            Pkcs11::new(module().unwrap()).unwrap().finalize().unwrap();
            ring.refresh().unwrap();
            assert!(opens(&ring, &ads, &wrap));
        },
    );
}

#[test]
fn data_sealed_under_a_token_open_under_it_for_their_purpose_alone() {
    with_token(
        "data_sealed_under_a_token_open_under_it_for_their_purpose_alone",
        |folder| {
            let mut world = World::new();
            world.ring = create(folder);
            world.seal_both();
            let manifest = world.manifest("purchases");
            assert!(!world.texts("purchases", "measurement", "amount").is_empty());
            let slots = world.ring.all_purpose_slots().count();
            assert_eq!(secret_keys(&insider()).len(), 1 + slots, "a key each");
            let amount = names(&["amount"]);
            let refused = unwrap_keys(&manifest, &purpose("ads"), &amount, &world.ring);
            assert!(
                matches!(refused, Err(NoKey::NotWrapped { .. })),
                "{refused:?}"
            );
            let gone = |slot: &PurposeSlot| slot.purpose == purpose("measurement");
            assert!(world.ring.destroy_purpose_keys(gone).unwrap() >= 1);
            let gone = unwrap_keys(&manifest, &purpose("measurement"), &amount, &world.ring);
            assert!(matches!(gone, Err(NoKey::NoPurposeKey { .. })), "{gone:?}");
        },
    );
}

#[test]
fn recovery_of_a_token_ring_covers_its_file_alone() {
    with_token("recovery_of_a_token_ring_covers_its_file_alone", |folder| {
        let ads = key_slot(1, "ads");
        let mut ring = create(folder);
        ensure(&mut ring, &ads, 3).unwrap();
        ring.matching_secret_or_new(&matching_slot("commutative"), &mut rng(4))
            .unwrap();
        ring.count_matching_runs(&matching_slot("commutative"), 1)
            .unwrap();
        let identity = age::x25519::Identity::generate();
        assert!(
            ring.add_recovery(&identity.to_public().to_string())
                .unwrap()
        );
        assert!(ring.keys_in_token());

        use age::secrecy::ExposeSecret as _;
        let opener = AgeFile::identity(identity.to_string().expose_secret()).unwrap();
        let path = folder.join("ring.age");
        let backend = AgeFile::passphrase_with_work_factor(&passphrase(), 1).unwrap();
        let (found, lost) =
            KeyRing::recover(&ring.recovery_file(), opener, &path, Box::new(backend)).unwrap();
        assert_eq!(lost, std::slice::from_ref(&ads));
        assert!(!has(&found, &ads));
        assert_eq!(found.seed_key().expose(), ring.seed_key().expose());
        let secret = found
            .matching_secret(&matching_slot("commutative"))
            .unwrap();
        assert_eq!(secret.runs(), 1);
        // Nor does a ring of another kind take the keys over.
        let other = AgeFile::passphrase_with_work_factor(&passphrase(), 1).unwrap();
        let copied = ring.copy_to(&folder.join("copy.age"), Box::new(other));
        assert!(matches!(copied, Err(RingError::OtherKind { .. })));
    });
}
