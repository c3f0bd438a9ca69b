//! A provider's folder that was lost, or came back out of a backup.

use super::*;
use crate::alone::has_documented_fields;

/// The ring of another folder does not open the share, and `provider status` says so.
#[test]
fn a_share_that_does_not_open_is_told() {
    let world = Providers::agreed();
    PROVIDERS.iter().for_each(|name| world.start(name));
    assert_eq!(world.keys("make", "alpha").code, 0);
    world.stage.stop("beta");
    for file in ["ring.age", "passphrase.txt"] {
        let own = format!("beta/{file}");
        fs::rename(world.path(&own), world.path(&format!("{own}.own"))).unwrap();
        fs::copy(world.path(&format!("gamma/{file}")), world.path(&own)).unwrap();
    }
    let party = world.path("beta");
    let words = ["provider", "status", "--party", &party];
    let shut = world.stage.command(&words).unwrap();
    assert_eq!(shut.code, 1, "{}", shut.failure());
    assert!(
        shut.failure().contains("DOES NOT OPEN"),
        "{}",
        shut.failure()
    );
    assert!(shut.failure().contains("statement 1"), "{}", shut.failure());
    // The two others go on without it.
    world.start("beta");
    let data = world.ids("some", 0..20);
    let matched = world.matched(&data, &["--without", "beta"]);
    assert_eq!(matched.code, 0, "{}", matched.failure());
    for file in ["ring.age", "passphrase.txt"] {
        let own = world.path(&format!("beta/{file}"));
        fs::rename(format!("{own}.own"), own).unwrap();
    }
    assert_eq!(world.stage.command(&words).unwrap().code, 0);
}

/// A store from before a refresh: parties leave the provider out by name, and the refresh after
/// it says whose share is missing.
#[test]
fn a_share_from_before_a_refresh_is_of_no_use() {
    let world = Providers::agreed();
    PROVIDERS.iter().for_each(|name| world.start(name));
    assert_eq!(world.keys("make", "alpha").code, 0);
    let store = world.path("alpha/provider.sqlite");
    world.stage.stop("alpha");
    fs::copy(&store, world.path("before")).unwrap();
    world.start("alpha");
    assert_eq!(world.keys("refresh", "gamma").code, 0);
    world.stage.stop("alpha");
    fs::copy(world.path("before"), &store).unwrap();
    world.start("alpha");
    let data = world.ids("some", 0..20);
    let matched = world.matched(&data, &[]);
    assert_eq!(matched.code, 0, "{}", matched.failure());
    assert_eq!(matched.number("/key_statement"), 2);
    assert_eq!(
        matched.document["providers_left_out"],
        serde_json::json!(["alpha"])
    );
    assert!(
        matched
            .errors
            .contains("shares from before they were refreshed")
            || matched.document.to_string().contains("alpha"),
        "{}",
        matched.errors
    );
    let refreshed = world.keys("refresh", "gamma");
    assert_eq!(refreshed.code, 1, "{}", refreshed.failure());
    assert!(
        refreshed.failure().contains("`alpha` says so"),
        "{}",
        refreshed.failure()
    );
    assert_eq!(world.numbers(), [Some(1), Some(2), Some(2)]);
}

/// Beta is killed when the end of a refresh reaches it, and alpha, which asked, is lost for good.
/// Gamma has the end, and it is handed on without alpha.
#[test]
fn a_refresh_is_finished_without_a_provider_that_is_lost() {
    let world = Providers::agreed();
    PROVIDERS.iter().for_each(|name| world.start(name));
    assert_eq!(world.keys("make", "alpha").code, 0);
    world.stage.stop("beta");
    world.start_with("beta", &[("INCAMERA_FAILPOINT", "finish")]);
    assert_eq!(world.keys("refresh", "alpha").code, 1);
    assert_eq!(world.numbers(), [Some(2), Some(1), Some(2)]);
    until("beta is gone", || !world.stage.runs("beta"));
    world.start("beta");
    world.stage.stop("alpha");
    let refreshed = world.keys("refresh", "beta");
    assert_eq!(refreshed.code, 1, "{}", refreshed.failure());
    assert!(refreshed.failure().contains("`alpha` was not reached"));
    assert_eq!(world.numbers(), [Some(2); 3]);
    let finished = world.keys("finish", "beta");
    assert_eq!(finished.code, 0, "{}", finished.failure());
    assert_eq!(finished.number("/number"), 2);
    assert!(finished.errors.contains("`alpha` was not reached"));
    assert!(finished.document["given"].as_array().unwrap().is_empty());
    let left = finished.document["left_out"].as_array().unwrap();
    assert!(left.len() == 1 && finished.text("/left_out/0").contains("`alpha`"));
    has_documented_fields(&finished.document);
    let data = world.ids("some", 0..20);
    let matched = world.matched(&data, &[]);
    assert_eq!(matched.code, 0, "{}", matched.failure());
    assert_eq!(matched.number("/key_statement"), 2);
}
