//! `[keys]` of `party.toml`: what opens the ring is said once, and nothing else is taken.

use std::fs;
use std::path::Path;

use incamera_net::config::ConfigError;
use incamera_party::{LockError, PartyConfig, PinFile, RingLock, TokenId, TokenLock};

const HEAD: &str = include_str!("../golden/party-1.toml");

/// The configuration with other lines under `[keys]`.
fn with(folder: &Path, keys: &str) -> Result<PartyConfig, ConfigError> {
    let (head, rest) = HEAD.split_once("[keys]\n").unwrap();
    let (_, tail) = rest.split_once("[ledger]").unwrap();
    let file = folder.join("party.toml");
    fs::write(&file, format!("{head}[keys]\n{keys}\n[ledger]{tail}")).unwrap();
    PartyConfig::load(&file)
}

#[test]
fn what_opens_the_ring_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let lock = |keys: &str| {
        let keys = with(folder.path(), keys).unwrap().keys;
        (keys.ring, keys.lock)
    };
    let default = RingLock::PassphraseFile(at("passphrase.txt"));
    assert_eq!(lock(""), (at("ring.age"), default));
    assert_eq!(
        lock("ring = \"r\"\npassphrase_file = \"/secret\""),
        (at("r"), RingLock::PassphraseFile("/secret".into()))
    );
    let identity = RingLock::Identity(at("id"));
    assert_eq!(lock("ring_identity = \"id\""), (at("ring.age"), identity));
    let ssh = RingLock::SshKey(at("id"));
    assert_eq!(lock("ring_ssh_key = \"id\""), (at("ring.age"), ssh));
    let token = TokenLock {
        module: "hsm.so".into(),
        token: TokenId::Label("shop".into()),
        pin: PinFile::At(at("pin")),
    };
    let keys = "[keys.token]\nmodule = \"hsm.so\"\nlabel = \"shop\"\npin_file = \"pin\"";
    assert_eq!(
        lock(keys),
        (at("ring.token"), RingLock::Token(token.clone()))
    );
    let other = TokenLock {
        token: TokenId::Serial("1".into()),
        pin: PinFile::Env("PIN".into()),
        ..token
    };
    let keys = "[keys.token]\nmodule = \"hsm.so\"\nserial = \"1\"\npin_file_env = \"PIN\"";
    assert_eq!(lock(keys).1, RingLock::Token(other));
}

#[test]
fn two_ways_to_open_it_and_unknown_words_are_refused_by_line() {
    let folder = tempfile::tempdir().unwrap();
    for (keys, says) in [
        (
            "passphrase_file = \"a\"\nring_identity = \"b\"",
            "has one of",
        ),
        ("ring_identity = \"a\"\nring_ssh_key = \"b\"", "has one of"),
        (
            "[keys.token]\nmodule = \"m\"\npin_file = \"p\"",
            "`label` and `serial`",
        ),
        (
            "[keys.token]\nmodule = \"m\"\nlabel = \"l\"\nserial = \"s\"\npin_file = \"p\"",
            "`label` and `serial`",
        ),
        (
            "[keys.token]\nmodule = \"m\"\nlabel = \"l\"",
            "`pin_file_env`",
        ),
        ("[keys.token]\nlabel = \"l\"\npin_file = \"p\"", "module"),
        (
            "[keys.token]\nmodule = \"m\"\nlabel = \"l\"\npin = \"4711\"",
            "unknown field",
        ),
        ("passphrase = \"correct horse\"", "unknown field"),
    ] {
        match with(folder.path(), keys) {
            Err(ConfigError::Invalid { message, line, .. }) => {
                assert!(message.contains(says), "{keys}: {message}");
                assert!(line > 10, "{keys}: line {line}");
                assert!(
                    !message.contains("4711") && !message.contains("horse"),
                    "{message}"
                );
            }
            other => panic!("{keys}: {other:?}"),
        }
    }
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let ring = folder.path().join("ring.age");
    let missing = folder.path().join("missing");
    let locks = [
        RingLock::PassphraseFile(missing.clone()),
        RingLock::Identity(missing.clone()),
        RingLock::SshKey(missing.clone()),
    ];
    for lock in locks {
        let error = lock.open(&ring, None).unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
    }
    fs::write(&missing, "correct horse").unwrap();
    let error = RingLock::SshKey(missing.clone())
        .open(&ring, None)
        .unwrap_err();
    assert!(matches!(error, LockError::SshKey { .. }), "{error}");
    let error = RingLock::Identity(missing).open(&ring, None).unwrap_err();
    assert!(!error.to_string().contains("horse"), "{error}");
    let lock = TokenLock {
        module: "hsm.so".into(),
        token: TokenId::Label("shop".into()),
        pin: PinFile::Env("INCAMERA_NO_SUCH_VARIABLE".into()),
    };
    let error = RingLock::Token(lock).open(&ring, None).unwrap_err();
    assert!(
        matches!(error, LockError::NoVariable { .. } | LockError::NoTokens),
        "{error}"
    );
}
