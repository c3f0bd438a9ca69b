//! Providers that were not told of everything, that stall, and people whose links nothing finds.

use std::time::{Duration, Instant};

use incamera_testkit::relay::Line;

use super::*;

/// What the shop's `status` says of links that providers are still to be told, and of pairs that are
/// to be put anew.
fn links_due(world: &World) -> (serde_json::Value, u64) {
    let shop = world.path("shop");
    let config = fs::read_to_string(format!("{shop}/party.toml")).unwrap();
    let listen = config.lines().find_map(|line| {
        let address = line.strip_prefix("listen = \"")?;
        address.trim_end_matches('"').parse().ok()
    });
    let (log, words) = (world.path("shop.log"), ["party", "serve", "--party", &shop]);
    let stage = &world.stage;
    let started = stage.start("shop", &words, &[], log.as_ref(), listen.unwrap());
    started.unwrap();
    let status = done(world.told(&["status", "--party", &shop]));
    stage.stop("shop");
    let due = status.document["agreements"][0]["links_due"].clone();
    (due, status.number("/agreements/0/links_to_put"))
}

/// A provider that was down may still have what an id led to before: `put` ends by its name until
/// it was told.
#[test]
fn a_put_is_not_done_while_a_provider_has_what_stood_before() {
    let world = world();
    let mut all: Vec<_> = (0..45).map(|n| pair(n, n)).collect();
    all[44].3 = day(0);
    // One that leads to several is no other where it is said again.
    all.push(pair(43, 48));
    all.push(("cookie-48".into(), email(48), "ads", String::new()));
    done(world.put("shop", &all));
    world.stop("gamma");
    // What is said again alike, or is new, may be told later.
    all.push(pair(46, 46));
    let same = done(world.put("shop", &all));
    assert_eq!(same.document["providers"]["behind"], json!([]));
    all[5] = pair(5, 50);
    let words = "still has what stood in their place";
    refused(&world.put("shop", &all), 1, words);
    let gamma = json!([{ "provider": "gamma", "behind": true }]);
    assert_eq!(links_due(&world), (gamma.clone(), 0));
    // As if the agreement had had more purposes: what stands under all that it has is not asked
    // for.
    let book = Connection::open(world.path("shop/links.sqlite")).unwrap();
    let before = "UPDATE edges SET under = ' ads measurement safety '";
    book.execute(before, []).unwrap();
    assert_eq!(links_due(&world), (gamma, 1));
    refused(&world.put("shop", &[pair(47, 47)]), 1, "`gamma`");
    world.start("gamma");
    let shop = world.path("shop");
    let send = ["match", "links", "send", "--party", &shop];
    let sent = done(world.told(&send));
    assert_eq!(sent.document["providers"]["behind"], json!([]));
    world.match_emails(0..60);
    let emails = world.crosswalk("shop");
    // Beta, alone, keeps the old one: gamma and alpha decide.
    let spoil = "UPDATE links SET value = randomblob(96)";
    world.store("beta").execute(spoil, []).unwrap();
    let looked = done(world.looked_up(0..50));
    assert_eq!(looked.text("/first_over"), day(0));
    assert_eq!(world.linked()["cookie-5"].0, emails[&email(50)]);
    // Nothing is done where two of three would be needed and one is there.
    for name in ["alpha", "gamma"] {
        world.stop(name);
    }
    assert_eq!(world.put("shop", &[pair(5, 5)]).code, 1);
}

/// Who is forgotten while a provider is down is forgotten here; it fails by the provider's name.
#[test]
fn whoever_is_forgotten_is_told_of_until_all_providers_know() {
    let world = world();
    done(world.put("shop", &pairs()));
    let (shop, people) = (
        world.path("shop"),
        world.file("people.txt", &format!("{}\n", email(4))),
    );
    let forget = || {
        world.told(&[
            "data", "forget", "--party", &shop, "--ids", &people, "--id", "email", "--yes",
        ])
    };
    // Without a crosswalk, and with one that the person is not in, it is said what takes the
    // links back.
    let by_id = "incamera match links remove";
    refused(&forget(), 1, by_id);
    world.match_emails(10..60);
    let nobody = forget();
    refused(&nobody, 1, by_id);
    refused(&nobody, 1, "nobody is concerned");
    world.match_emails(0..60);
    world.stop("gamma");
    let rows: String = (0..60).map(|n| email(n) + ",5\n").collect();
    let data = world.file("of_shop.csv", &format!("email,spend\n{rows}"));
    let seal = ["data", "seal", "of_shop", "--party", &shop, "--data", &data];
    done(world.told(&seal));
    let before = world.stored("alpha");
    let forgotten = forget();
    refused(&forgotten, 1, "`gamma`");
    let send = "incamera match links send";
    assert!(forgotten.errors.contains(send), "{}", forgotten.errors);
    assert_eq!(before - world.stored("alpha"), 2);
    assert!(!world.crosswalk("shop").contains_key(&email(4)));
    // Nothing of the person is known here any more, nor is it said that there is.
    let again = forget();
    refused(&again, 1, "nobody is concerned");
    assert!(!again.failure().contains(by_id), "{}", again.failure());
}

/// A provider that stalls is left out, where somebody says so without being asked.
#[test]
fn a_provider_that_stalls_holds_up_no_look_up() {
    let world = world();
    done(world.put("shop", &pairs()));
    let honest = done(world.looked_up(0..50));
    let rows = world.linked();
    world.providers["alpha"].line(Line::Stalls);
    for more in [["--without", "alpha"], ["--wait", "2"]] {
        let start = Instant::now();
        let data = world.path("visits.csv");
        let words = [&["--id", "email", "--via", "cookie"], &more[..]].concat();
        let looked = done(world.matched("press", &data, &words));
        assert!(start.elapsed() < Duration::from_secs(30), "{more:?}");
        assert_eq!(looked.document["providers_left_out"], json!(["alpha"]));
        assert_eq!(looked.number("/linked"), honest.number("/linked"));
        assert_eq!(world.linked(), rows);
    }
}

/// A version of the agreement has a purpose less: what was due to a provider does not stop it.
#[test]
fn a_purpose_that_is_gone_stops_nobody() {
    let world = world();
    world.stop("gamma");
    done(world.put("shop", &pairs()));
    let text = world.second_version();
    let text = text.replacen("ads = { label = \"Choosing\" }\n", "", 1);
    world.sign_as(&text, "b.toml");
    world.start("gamma");
    let (shop, second) = (world.path("shop"), world.path("shop/agreements/b.toml"));
    let send = [
        "match",
        "links",
        "send",
        "--party",
        &shop,
        "--agreement",
        &second,
    ];
    let sent = done(world.told(&send));
    assert_eq!(sent.document["providers"]["told"], json!(PROVIDERS));
    for provider in PROVIDERS {
        let ads = "SELECT count(*) FROM links WHERE purpose = 'ads'";
        let store = world.store(provider);
        let ads: i64 = store.query_row(ads, [], |row| row.get(0)).unwrap();
        assert_eq!(ads, 0, "{provider}");
        assert_eq!(world.stored(provider) % 32, 0);
        assert!(world.stored(provider) > 0);
    }
}
