//! Lines that are bad, and peers that are not of the same mind.

use incamera_testkit::relay::{Line, Relay};
use incamera_testkit::stage::free_address;

use super::*;
use crate::world::AGREEMENT;

/// The line to the meeting point stalls, goes on, breaks, stays broken for a while and comes
/// back: both commands end well, with the bytes of an undisturbed run.
#[test]
fn a_line_that_stalls_breaks_and_comes_back() {
    let mut addresses = Vec::new();
    let world = with_ids(World::agreed_at(|listens| {
        let public = free_address().unwrap();
        addresses.push((public, listens));
        public
    }));
    let relays: Vec<Relay> = addresses
        .iter()
        .map(|(public, listens)| Relay::start(*public, *listens).unwrap())
        .collect();
    let lines = |line| relays.iter().for_each(|relay| relay.set(line));
    let wanted = reference(&world);
    let accepted = || relays.iter().map(Relay::accepted).sum::<u32>();
    let before = accepted();

    let shop = Running::start(&world, "shop", &[]);
    let mut mailer = Running::start(&world, "mailer", &[]);
    until_under_way(&world, "mailer");
    lines(Line::Stalls);
    // What was under way arrives.
    std::thread::sleep(Duration::from_secs(1));
    let stalled = journal_bytes(&world, "mailer");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(journal_bytes(&world, "mailer"), stalled);
    assert!(!mailer.has_ended());
    lines(Line::Passes);
    until("went on", || {
        journal_bytes(&world, "mailer") > stalled + 20_000
    });
    assert_eq!(accepted(), before + 2, "over the same connections");
    lines(Line::Broken);
    std::thread::sleep(Duration::from_secs(2));
    assert!(!mailer.has_ended());
    lines(Line::Passes);
    for run in [shop, mailer] {
        repeated_at_most_a_window(&run.good());
    }
    assert!(accepted() > before + 2);
    assert!(take_away(&world) == wanted);
}

/// One side has a newer version of the agreement, which all signed, and the other does not know
/// it: they do not match, each hears why without waiting to the end, and no run is used up.
#[test]
fn sides_of_two_versions_do_not_match() {
    let world = world();
    world.second_at_parties(|text| text);
    for file in fs::read_dir(world.path("mailer/agreements")).unwrap() {
        let path = file.unwrap().path();
        if path.display().to_string().contains("second") {
            fs::remove_file(path).unwrap();
        }
    }
    let newer = world.path("shop/agreements/second.toml");
    let older = world.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
    let shop = Running::start(&world, "shop", &["--agreement", &newer, "--wait", "60"]);
    until("waiting", || {
        let log = fs::read_to_string(world.path("shop.log"));
        log.unwrap_or_default().contains("joined the meeting point")
    });
    let mailer = Running::start(&world, "mailer", &["--agreement", &older, "--wait", "5"]);
    let (code, refused) = mailer.end();
    assert_eq!(code, 3, "{refused:#}");
    let (code, alone) = shop.end();
    assert_eq!(code, 3, "{alone:#}");
    let text = refused.to_string();
    assert!(text.contains("put version 2 and its .sig"), "{refused:#}");
    let text = alone.to_string();
    for part in [
        "`mailer` came to match under another version",
        "no run is used up",
    ] {
        assert!(text.contains(part), "{alone:#}");
    }
    for party in ["shop", "mailer"] {
        let history = fs::read_to_string(slot(&world, party).join("history"));
        assert!(!history.unwrap_or_default().contains("\"run\":{"));
    }
}
