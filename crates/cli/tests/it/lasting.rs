//! Data sealed until a last day, with all services: before it is over and behind it.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use incamera_keys::sign_message;
use incamera_seal::{MANIFEST_FILE, peek_manifest, read_manifest_file};
use incamera_types::{Date, Digest as _};
use incamera_wire::Format;
use incamera_wire::v1 as wire;

use crate::invariants::support::Holdings;
use crate::world::World;

fn today() -> Date {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Date::from_days(i32::try_from(since.as_secs() / 86_400).unwrap())
}

/// The shop's purchases, as `status` tells of them.
fn status(world: &World) -> serde_json::Value {
    let status = world.done(&["status", "--party", &world.path("shop")]);
    let data = status.document["agreements"][0]["data"].as_array().unwrap();
    let purchases = data.iter().find(|one| one["dataset"] == "purchases");
    purchases.unwrap().clone()
}

/// The next version of the purchases, with an earlier last day: clocks cannot be turned.
fn seal_for_yesterday(world: &World) {
    let holdings = Holdings(world.root());
    let file = holdings.sealed("shop", "purchases").join(MANIFEST_FILE);
    let signed = read_manifest_file(&file).unwrap();
    let mut body: wire::Manifest = incamera_wire::decode(&signed.body, usize::MAX).unwrap();
    body.previous = peek_manifest(&signed).unwrap().digest().as_bytes().to_vec();
    body.version += 1;
    body.last_day = Some(today().days() - 1);
    let key = holdings.key("shop/service_key");
    let signed = sign_message(&key, Format::Manifest, &body).unwrap();
    fs::write(file, incamera_wire::encode(&signed)).unwrap();
}

#[test]
fn a_query_reads_data_until_their_last_day() {
    let world = World::ready();
    let (shop, data) = (world.path("shop"), world.path("data/purchases.csv"));
    let seal = |until: &str| {
        let words = ["data", "seal", "purchases", "--party", &shop];
        let words = [&words[..], &["--data", &data, "--until", until]].concat();
        world.stage.command(&words).unwrap()
    };
    let past = seal("2020-02-29");
    assert_eq!(past.code, 2, "{}", past.failure());
    assert!(past.failure().contains("2020-02-29"), "{}", past.failure());
    let last = today().to_string();
    let sealed = seal(&last);
    assert_eq!(sealed.code, 0, "{}", sealed.failure());
    assert_eq!(sealed.document["last_day"], last.as_str());
    world.push_one("shop");
    let told = status(&world);
    assert_eq!(told["last_day"], last.as_str());
    assert_eq!(told["past_last_day"], false);
    let asked = world.query(&[]);
    assert_eq!(asked.code, 0, "{}", asked.failure());

    seal_for_yesterday(&world);
    let pushed = world.push_one("shop");
    let over = format!(
        "data set `purchases` was sealed until the end of {}",
        Date::from_days(today().days() - 1)
    );
    assert!(pushed.errors.contains(&over), "{}", pushed.errors);
    assert_eq!(status(&world)["past_last_day"], true);
    let before = world.spent("shop");
    // The room finds out by itself, before it asks an owner.
    world.stage.stop("shop");
    let refused = world.query(&[]);
    assert_eq!(refused.code, 3, "{}", refused.failure());
    assert!(refused.failure().contains(&over), "{}", refused.failure());
    world.start_party("shop", &[]);
    assert_eq!(world.spent("shop"), before);
}
