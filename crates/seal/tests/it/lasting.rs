//! Data sets say until when all of their pseudonyms count, where these do not last.

use std::fs;
use std::path::Path;

use incamera_keys::PublicKey;
use incamera_seal::{
    MANIFEST_FILE, Manifest, ManifestError, PastLastDay, SealError, inspect, open_manifest,
    read_manifest_file,
};
use incamera_types::{Date, UnixTime};
use incamera_wire::{decode, encode, v1 as wire};

use crate::rewriting::{Want, remade};
use crate::world::{PURCHASES_CSV, World, column, dataset, purchases};

fn day(text: &str) -> Option<Date> {
    Some(text.parse().unwrap())
}

fn sealed(last_day: Option<Date>) -> World {
    let mut world = World::new();
    world.last_day = last_day;
    world.seal_csv(&purchases(), PURCHASES_CSV).unwrap();
    world
}

#[test]
fn pseudonyms_count_until_the_end_of_the_last_day() {
    let manifest = sealed(day("2026-12-06")).manifest("purchases");
    let last = manifest.last_day().unwrap();
    assert_eq!(Some(last), day("2026-12-06"));
    assert_eq!(manifest.counts_at(last.end()), Ok(()));
    let over = manifest.counts_at(last.end().plus(1));
    let dataset = "purchases".parse().unwrap();
    assert_eq!(over, Err(PastLastDay { dataset, day: last }));
    let text = inspect(&manifest).to_string();
    assert!(
        text.contains("lasts       until the end of 2026-12-06 (UTC)"),
        "{text}"
    );
    let lasting = sealed(None).manifest("purchases");
    assert_eq!(lasting.last_day(), None);
    assert_eq!(lasting.counts_at(UnixTime(u64::MAX)), Ok(()));
    assert!(!inspect(&lasting).to_string().contains("lasts"));
}

/// Where pseudonyms end with a key of providers, a data set says when, and no later than a key can.
#[test]
fn a_last_day_is_one_that_a_key_of_providers_can_reach() {
    let today = sealed(None).manifest("purchases").sealed_at();
    let from = Date::from_days(i32::try_from(today.0 / 86_400).unwrap());
    let on = |days: i32| Some(Date::from_days(from.days() + days));
    for (last, key_days, fits) in [
        (None, None, true),
        (None, Some(90), false),
        (on(9_000), None, true),
        (on(0), Some(90), true),
        (on(90), Some(90), true),
        // Clocks may differ by an hour, and the day that a key ends in is one that it reaches.
        (on(92), Some(90), false),
        (on(9_000), Some(90), false),
    ] {
        let manifest = sealed(last).manifest("purchases");
        let fit = manifest.ends_with_key(key_days, today);
        assert_eq!(fit.is_ok(), fits, "{last:?}, {key_days:?}");
    }
    // Its owner says when it was sealed: no later than now.
    let long = sealed(on(9_000)).manifest("purchases");
    let mut message: wire::Manifest = decode(&long.signed().body, usize::MAX).unwrap();
    message.sealed_at = u64::MAX;
    let long = Manifest::parse(&encode(&message)).unwrap();
    assert!(long.ends_with_key(Some(90), today).is_err());
    let then = today.plus(9_000 * 86_400);
    long.ends_with_key(Some(90), then).unwrap();
    // Nobody's pseudonym, no end.
    let mut days = dataset("days", vec![column("holiday", "bool", &[])]);
    days.public = true;
    let mut world = World::new();
    world.seal_csv(&days, "holiday\ntrue\n").unwrap();
    let public = world.manifest("days").ends_with_key(Some(90), today);
    public.unwrap();
}

/// Rows that stay keep their day: nothing but sealing all of them again makes it later.
#[test]
fn the_earliest_day_stays_with_the_rows() {
    let mut world = sealed(day("2026-12-06"));
    world.append = true;
    for (added, then) in [
        (day("2027-01-31"), "2026-12-06"),
        (None, "2026-12-06"),
        (day("2026-11-30"), "2026-11-30"),
    ] {
        world.last_day = added;
        world.seal_csv(&purchases(), PURCHASES_CSV).unwrap();
        assert_eq!(world.manifest("purchases").last_day(), day(then));
    }
    remade(&mut world, "purchases", &Want::default()).unwrap();
    let rewritten = world.manifest("purchases");
    assert_eq!(rewritten.last_day(), day("2026-11-30"));
    (world.append, world.last_day) = (false, day("2027-01-31"));
    world.seal_csv(&purchases(), PURCHASES_CSV).unwrap();
    assert_eq!(world.manifest("purchases").last_day(), day("2027-01-31"));
}

#[test]
fn what_is_public_has_no_last_day() {
    let mut days = dataset("days", vec![column("holiday", "bool", &[])]);
    days.public = true;
    let mut world = World::new();
    world.last_day = day("2026-12-06");
    let refused = world.seal_csv(&days, "holiday\ntrue\n").unwrap_err();
    assert!(matches!(refused, SealError::Job { .. }), "{refused}");
    world.last_day = None;
    world.seal_csv(&days, "holiday\ntrue\n").unwrap();
    let manifest = world.manifest("days");
    let body = &manifest.signed().body;
    let mut message: wire::Manifest = decode(body, usize::MAX).unwrap();
    message.last_day = Some(0);
    let parsed = Manifest::parse(&encode(&message));
    assert!(
        matches!(parsed, Err(ManifestError::Malformed { .. })),
        "{parsed:?}"
    );
}

fn golden(name: &str) -> std::path::PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    folder.join("tests/golden").join(name)
}

const GOLDEN: &str = "manifest-1-last-day";
const OWNER: &str = "manifest-1-last-day.pub";

/// `cargo test -p incamera-seal -- --ignored write_golden_last_day` made it.
#[test]
#[ignore = "writes the committed files"]
fn write_golden_last_day() {
    let world = sealed(day("2026-12-06"));
    let path = world.out("purchases").join(MANIFEST_FILE);
    fs::copy(path, golden(GOLDEN)).unwrap();
    let key = world.signer.public();
    fs::write(golden(OWNER), format!("{key} shop\n")).unwrap();
}

#[test]
fn a_committed_last_day_is_read_and_written_the_same_again() {
    let owner: PublicKey = fs::read_to_string(golden(OWNER)).unwrap().parse().unwrap();
    let signed = read_manifest_file(&golden(GOLDEN)).unwrap();
    let manifest = open_manifest(&signed, &owner).unwrap();
    assert_eq!(manifest.last_day(), day("2026-12-06"));
    let body: wire::Manifest = decode(&signed.body, usize::MAX).unwrap();
    assert_eq!(encode(&body), signed.body);
}
