//! Configuration files.

use std::path::Path;

use incamera_net::config::{self, ConfigError};
use serde::Deserialize;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    format: String,
    listen: String,
    ledger: Ledger,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ledger {
    path: String,
}

const GOOD: &str = r#"format = "incamera-example/1"
listen = "127.0.0.1:7443"
[ledger]
path = "ledger.sqlite"
"#;

fn load(text: &str) -> Result<Example, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("example.toml");
    std::fs::write(&path, text).unwrap();
    config::load(&path)
}

#[test]
fn a_file_is_read() {
    let config = load(GOOD).unwrap();
    assert_eq!(config.listen, "127.0.0.1:7443");
    assert_eq!(config.ledger.path, "ledger.sqlite");
}

#[test]
fn an_unknown_key_is_refused_with_its_line() {
    let error = load(&format!("{GOOD}pth = \"typing mistake\"\n")).unwrap_err();
    let ConfigError::Invalid {
        line,
        column,
        message,
        ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!((*line, *column), (5, 1));
    assert!(message.contains("pth"), "{message}");
    assert!(error.to_string().contains("example.toml:5:1: "), "{error}");
}

#[test]
fn a_wrong_value_is_refused_with_its_place() {
    let error = load(&GOOD.replace("\"127.0.0.1:7443\"", "7443")).unwrap_err();
    let ConfigError::Invalid { line, column, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((*line, *column), (2, 10));
    let error = load("format = \n").unwrap_err();
    assert!(
        matches!(error, ConfigError::Invalid { line: 1, .. }),
        "{error}"
    );
}

#[test]
fn columns_count_characters() {
    let error = config::parse::<Example>(Path::new("x"), "format = \"é\"; b\n").unwrap_err();
    let ConfigError::Invalid { line, column, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((*line, *column), (1, 13), "{error}");
}

#[test]
fn missing_and_huge_files_are_refused() {
    let missing = config::load::<Example>(Path::new("there/is/none.toml")).unwrap_err();
    assert!(matches!(missing, ConfigError::Read { .. }));
    let huge = load(&"#".repeat(2 << 20)).unwrap_err();
    assert!(matches!(huge, ConfigError::TooLarge { .. }));
}

#[test]
fn unknown_formats_are_refused_by_name() {
    let path = Path::new("example.toml");
    assert!(config::expect_format(path, "a/1", "a/1").is_ok());
    let error = config::expect_format(path, "a/2", "a/1").unwrap_err();
    assert!(error.to_string().contains("a/2"), "{error}");
}
