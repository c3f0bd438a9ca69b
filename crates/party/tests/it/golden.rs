//! Committed files of each format and version. Written by hand: they are what people write.

use std::fs;
use std::path::{Path, PathBuf};

use incamera_net::config::ConfigError;
use incamera_party::{PartyConfig, PublicFile, RingLock};

fn golden(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.join("tests/golden").join(name)
}

#[test]
fn the_configuration_of_version_1_is_read() {
    let file = golden("party-1.toml");
    let config = PartyConfig::load(&file).unwrap();
    assert_eq!(config.name.as_str(), "shop");
    assert_eq!(config.listen, "127.0.0.1:7443".parse().unwrap());
    assert_eq!(config.health, Some("127.0.0.1:7444".parse().unwrap()));
    assert_eq!(config.agreements, golden("agreements"));
    assert_eq!(config.keys.signing, Path::new("/offline/signing_key"));
    assert_eq!(config.keys.service, golden("service_key"));
    assert_eq!(config.keys.ring, golden("ring.age"));
    let passphrase = RingLock::PassphraseFile(golden("passphrase.txt"));
    assert_eq!(config.keys.lock, passphrase);
    assert_eq!(config.ledger.path, golden("ledger.sqlite"));
    assert_eq!(config.budget.epsilon.to_string(), "20");
    assert!(!config.paused);
    assert!(config.refused_queries.contains("lift"));
    assert_eq!(config.refused_analysts.len(), 1);
    assert!(config.tokens && config.refused_tokens.is_empty());
}

/// What came later, and may be missing.
#[test]
fn owners_may_refuse_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(golden("party-1.toml")).unwrap();
    let with = |lines: &str| {
        let path = folder.path().join("party.toml");
        let text = text.replacen("paused = false", lines, 1);
        fs::write(&path, text).unwrap();
        PartyConfig::load(&path)
    };
    assert!(!with("tokens = false").unwrap().tokens);
    let digest = "7f".repeat(32);
    let one = with(&format!("refused_tokens = [\"{digest}\"]")).unwrap();
    let refused: Vec<String> = one.refused_tokens.iter().map(ToString::to_string).collect();
    assert_eq!(refused, [digest]);
    assert!(matches!(
        with("refused_tokens = [\"query.token\"]"),
        Err(ConfigError::Invalid { .. })
    ));
}

#[test]
fn the_public_file_of_version_1_is_read_and_written_the_same_again() {
    let file = golden("public-1.toml");
    let public = PublicFile::load(&file).unwrap();
    assert_eq!((public.name.as_str(), public.people), ("shop", 100_000));
    assert_eq!(public.analysts.len(), 1);
    assert_ne!(public.signs, public.service);
    assert_eq!(public.to_toml().unwrap(), fs::read_to_string(file).unwrap());
}

/// A file of a version that is not known yet says what it is and what would read it.
#[test]
fn versions_to_come_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let newer = |name: &str| {
        let text = fs::read_to_string(golden(name)).unwrap();
        let path = folder.path().join(name);
        fs::write(&path, text.replacen("/1\"", "/2\"", 1)).unwrap();
        path
    };
    let refusals = [
        (
            "incamera-party/2",
            PartyConfig::load(&newer("party-1.toml")).err(),
        ),
        (
            "incamera-public/2",
            PublicFile::load(&newer("public-1.toml")).err(),
        ),
    ];
    for (format, error) in refusals {
        assert!(
            matches!(error, Some(ConfigError::Format { .. })),
            "{format}"
        );
        let text = error.unwrap().to_string();
        assert!(
            text.contains(format) && text.contains("a newer version"),
            "{text}"
        );
    }
}

/// There is no public file without its format.
#[test]
fn a_public_file_names_its_format() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("public.toml");
    let text = fs::read_to_string(golden("public-1.toml")).unwrap();
    fs::write(
        &path,
        text.replacen("format = \"incamera-public/1\"\n", "", 1),
    )
    .unwrap();
    let error = PublicFile::load(&path).unwrap_err();
    assert!(error.to_string().contains("format"), "{error}");
}
