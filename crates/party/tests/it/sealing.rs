//! `[sealing]` of a party's configuration.

use std::fs;
use std::path::PathBuf;

use incamera_party::PartyConfig;
use incamera_seal::SealLimits;
use tempfile::TempDir;

/// A configuration with these lines under `[sealing]`.
fn with(lines: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/party-1.toml");
    let text = fs::read_to_string(golden).unwrap();
    assert!(!text.contains("[sealing]"));
    let file = folder.path().join("party.toml");
    fs::write(&file, format!("{text}\n[sealing]\n{lines}")).unwrap();
    (folder, file)
}

fn limits(lines: &str) -> SealLimits {
    let (_folder, file) = with(lines);
    PartyConfig::load(&file).unwrap().sealing.limits()
}

#[test]
fn every_key_of_sealing_is_read() {
    let all = limits("memory_mib = 3\npart_rows = 70_000\nclass_people = 25\n");
    let said = SealLimits {
        memory_bytes: 3 << 20,
        part_rows: 70_000,
        class_people: 25,
    };
    assert_eq!(all, said);
    let default = SealLimits::default();
    assert_eq!(limits(""), default);
    let one = SealLimits {
        class_people: 1,
        ..default
    };
    assert_eq!(limits("class_people = 1\n"), one);
}

#[test]
fn other_keys_and_senseless_values_of_sealing_are_refused() {
    for (line, says) in [
        ("class_person = 10", "class_person"),
        ("memory = 1024", "memory"),
        ("memory_mib = 0", "expected a nonzero"),
        ("part_rows = -1", "expected a nonzero"),
        ("class_people = \"few\"", "expected a nonzero"),
    ] {
        let (_folder, file) = with(line);
        let error = PartyConfig::load(&file).unwrap_err();
        let mut text = error.to_string();
        let mut next = std::error::Error::source(&error);
        while let Some(cause) = next {
            text += &format!(" {cause}");
            next = cause.source();
        }
        assert!(text.contains(says), "{line}: {text}");
    }
}
