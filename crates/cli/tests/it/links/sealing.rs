//! What is sealed by links lasts as long as they do.

use incamera_testkit::stage::Outcome;

use super::{day, done, pairs, world};
use crate::provided::{World, refused};

fn sealed(world: &World, more: &[&str]) -> Outcome {
    let rows: String = (0..50).map(|n| format!("cookie-{n},5\n")).collect();
    let data = world.file("of_press.csv", &format!("cookie,spend\n{rows}"));
    let press = world.path("press");
    let words = ["data", "seal", "of_press", "--party", &press];
    world.told(&[&words[..], &["--data", &data, "--yes"], more].concat())
}

#[test]
fn sealed_data_end_with_the_first_of_their_links() {
    let world = world();
    world.match_emails(0..60);
    done(world.put("shop", &pairs()));
    let looked = done(world.looked_up(0..50));
    // The link of one cookie ends today.
    assert_eq!(looked.document["first_over"], day(0));
    let all = done(sealed(&world, &[]));
    assert_eq!(all.document["last_day"], day(0));
    assert_eq!(all.number("/sealed"), 41);
    // Without that one they last as long as they are wanted to.
    let later = done(sealed(&world, &["--until", &day(30)]));
    assert_eq!(later.document["last_day"], day(30));
    assert_eq!(
        (later.number("/sealed"), later.number("/pseudonyms_over")),
        (40, 1)
    );
    // Beyond the providers' key nothing does.
    let none = sealed(&world, &["--until", &day(100)]);
    refused(&none, 1, &format!("counts until {}", day(100)));
    refused(&none, 1, &format!("the last counts until {}", day(90)));
    let said = none.document.to_string();
    assert!(said.contains("name a day that is no later"), "{said}");
    refused(&sealed(&world, &["--until", &day(-1)]), 2, "is over");
    // Whoever told of links cannot know who sealed by them: it hears whose data to ask for.
    let (shop, gone) = (
        world.path("shop"),
        world.file("gone.csv", "cookie\ncookie-3\n"),
    );
    let remove = ["match", "links", "remove", "--party", &shop];
    let removed = [&remove[..], &["--id", "cookie", "--data", &gone]].concat();
    let removed = done(world.told(&removed));
    assert_eq!(removed.number("/ids_that_lost_links"), 1);
    let theirs = ["of_mailer", "of_press"];
    assert_eq!(removed.document["seal_again"], serde_json::json!(theirs));
}

/// Commands that link tell the figures of `match run`, and runs for links are counted as it counts
/// its own: here, and so that providers are not asked in vain.
#[test]
fn runs_for_links_are_counted_and_told() {
    let world = super::world_of(2);
    world.match_emails(0..60);
    let put = done(world.put("shop", &pairs()));
    let number = |of: &Outcome, name: &str| of.number(&format!("/{name}"));
    assert_eq!(number(&put, "used/cookie/runs"), 1);
    assert_eq!(number(&put, "used/email/runs"), 2);
    let counted = |kind: &str| -> u64 {
        let sql = "SELECT count(*) FROM sessions WHERE party = 'shop' AND kind = ?1";
        let store = world.store("alpha");
        let runs: i64 = store.query_row(sql, [kind], |row| row.get(0)).unwrap();
        runs.cast_unsigned()
    };
    // Alpha is one of those asked where all answer.
    assert_eq!((counted("cookie"), counted("email")), (1, 2));
    let looked = done(world.looked_up(0..50));
    assert_eq!(number(&looked, "used/runs"), 1);
    assert_eq!(number(&looked, "used/ids"), 50);
    for told in [&put, &looked] {
        assert!(number(told, "link_bytes_sent") > 0);
        assert!(told.document["ids_per_second"].as_f64().unwrap() > 0.0);
    }
    refused(&world.put("shop", &pairs()), 3, "2 were made");
    assert_eq!(counted("cookie"), 1);
    assert_eq!(done(world.looked_up(0..50)).number("/used/runs"), 2);
    refused(&world.looked_up(0..50), 3, "2 were made");

    let gone = "cookie\ncookie-3\ncookie-3\nnever-seen\n";
    let (shop, gone) = (world.path("shop"), world.file("gone.csv", gone));
    let remove = ["match", "links", "remove", "--party", &shop];
    let remove = [&remove[..], &["--id", "cookie", "--data", &gone]].concat();
    let removed = done(world.told(&remove));
    let figures = ["duplicates", "ids", "without_links", "ids_that_lost_links"];
    let figures = figures.map(|name| number(&removed, name));
    assert_eq!(figures, [1, 2, 1, 1], "{}", removed.document);
    assert!(number(&removed, "link_bytes_sent") > 0);
}
