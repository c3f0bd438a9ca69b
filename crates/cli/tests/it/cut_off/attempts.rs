//! Runs that are cut off at any moment.

use super::*;

/// Killed at any moment on either side, the run goes on and comes to the same bytes; whoever
/// was not killed did at most one window of each kind of work twice.
#[test]
fn killed_at_any_moment_a_run_goes_on() {
    let world = world();
    let wanted = reference(&world);
    let attempts = 15;
    let mut cut_off = 0;
    for attempt in 0..attempts {
        let mut runs = ["shop", "mailer"].map(|party| Some(Running::start(&world, party, &[])));
        // From before its beginning to behind its end.
        let moment = WHOLE_JOURNAL * attempt / (attempts - 3);
        let ended =
            |runs: &mut [Option<Running>; 2]| runs.iter_mut().flatten().any(Running::has_ended);
        while journal_bytes(&world, "shop") < moment && !ended(&mut runs) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let killed = match attempt % 3 {
            0 => &[0][..],
            1 => &[1],
            _ => &[0, 1],
        };
        let ran: Vec<bool> = killed
            .iter()
            .map(|at| runs[*at].take().unwrap().kill())
            .collect();
        let mut written = Vec::new();
        for (at, _) in killed.iter().zip(ran).filter(|(_, ran)| *ran) {
            let party = ["shop", "mailer"][*at];
            match is_written(&world, party) {
                true => written.push((*at, party)),
                false => runs[*at] = Some(Running::start(&world, party, &[])),
            }
            cut_off += 1;
        }
        // With its crosswalk written, a side is back only if the other waits for answers: else
        // it would begin another run.
        let wait = Instant::now();
        while !written.is_empty() && wait.elapsed() < Duration::from_secs(15) {
            if runs.iter_mut().flatten().all(Running::has_ended) {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        for (at, party) in written {
            if runs.iter_mut().flatten().all(Running::has_ended) {
                let _ = fs::remove_file(slot(&world, party).join("journal"));
            } else {
                runs[at] = Some(Running::start(&world, party, &[]));
            }
        }
        for (at, run) in runs.into_iter().enumerate() {
            let Some(document) = run.map(Running::good) else {
                continue;
            };
            if !killed.contains(&at) {
                repeated_at_most_a_window(&document);
            }
            // Killed behind its last answer, it cannot know whether the other side, which is
            // done and gone, has everything.
            let journal = journal_bytes(&world, ["shop", "mailer"][at]);
            assert_eq!(journal == 0, document["peer_has_all"] == true, "{attempt}");
            assert!(journal == 0 || killed.contains(&at), "attempt {attempt}");
        }
        assert!(take_away(&world) == wanted, "attempt {attempt}");
    }
    assert!(cut_off > attempts / 2, "{cut_off}");
}

/// Whether the crosswalk took its place; one that was being written has another name.
fn is_written(world: &World, party: &str) -> bool {
    let crosswalks = fs::read_dir(world.root().join(party).join("crosswalks")).unwrap();
    let mut paths = crosswalks.map(|entry| entry.unwrap().path());
    paths.any(|path| path.extension().is_some_and(|end| end == "parquet"))
}

/// Killed in the middle, a run does not begin at its beginning, and is counted once.
#[test]
fn a_run_that_goes_on_keeps_what_was_done_and_counts_once() {
    let world = world();
    let wanted = reference(&world);
    let runs = |party: &str| {
        let history = fs::read_to_string(slot(&world, party).join("history")).unwrap();
        history.matches("\"run\":{").count()
    };
    let before = ["shop", "mailer"].map(runs);
    let shop = Running::start(&world, "shop", &[]);
    let mailer = Running::start(&world, "mailer", &[]);
    until_under_way(&world, "shop");
    assert!(shop.kill());
    let shop = Running::start(&world, "shop", &[]).good();
    repeated_at_most_a_window(&mailer.good());
    let from = number(&shop, "/resumed_from");
    assert!(from > 0, "{shop:#}");
    assert_eq!(number(&shop, "/points_multiplied/blinded"), 6_000 - from);
    assert!(take_away(&world) == wanted);
    assert_eq!(["shop", "mailer"].map(runs), before.map(|runs| runs + 1));
}

/// Whoever is left behind by a peer that was killed hears that it went away, and that the run can
/// be gone on with.
#[test]
fn who_is_left_behind_hears_that_the_run_goes_on() {
    let world = world();
    let shop = Running::start(&world, "shop", &["--wait", "10"]);
    let mailer = Running::start(&world, "mailer", &[]);
    until_under_way(&world, "shop");
    assert!(mailer.kill());
    let (code, failure) = shop.end();
    assert_eq!(code, 1, "{failure:#}");
    let failure = failure.to_string();
    for words in [
        "`mailer` went away and did not come back within 10 s",
        "a run that was begun goes on where it was",
    ] {
        assert!(failure.contains(words), "{failure}");
    }
}

/// Other ids are another run: with another blinding, and counted.
#[test]
fn ids_that_changed_are_matched_anew() {
    let world = world();
    reference(&world);
    for party in ["shop", "mailer"] {
        let ours = Running::start(&world, party, &[]);
        let peer = if party == "shop" { "mailer" } else { "shop" };
        let theirs = Running::start(&world, peer, &[]);
        until_under_way(&world, party);
        assert!(ours.kill());
        let range = if party == "shop" {
            0..6_001
        } else {
            2_999..8_000
        };
        write_ids(&world, party, range);
        let ours = Running::start(&world, party, &[]).good();
        assert_eq!(number(&ours, "/resumed_from"), 0);
        theirs.good();
        take_away(&world);
    }
}

/// So is the consent of one person that changed, though the ids are the same and in the same
/// order.
#[test]
fn a_consent_that_changed_is_another_run() {
    let world = world();
    let consents = |last: &str| {
        let row = |person| format!("q{person}@mail.example,ads;measurement\n");
        let rows: String = (0..5_999).map(row).collect();
        let text = format!("email,consent\n{rows}q5999@mail.example,{last}\n");
        fs::write(world.path("data/shop.csv"), text).unwrap();
    };
    for (before, after, from_start) in [
        ("ads;measurement", "measurement", true),
        ("measurement", "measurement", false),
    ] {
        consents(before);
        let ours = Running::of(&world, "shop", &[]);
        let theirs = Running::start(&world, "mailer", &[]);
        until_under_way(&world, "shop");
        assert!(ours.kill());
        consents(after);
        let ours = Running::of(&world, "shop", &[]).good();
        assert_eq!(number(&ours, "/resumed_from") == 0, from_start);
        assert_eq!(number(&ours, "/without_consent"), 0);
        theirs.good();
        take_away(&world);
    }
}

/// The meeting point is stopped and comes back, and neither command notices more than a pause.
#[test]
fn a_link_that_drops_comes_back() {
    let world = world();
    let wanted = reference(&world);
    for host in ["shop", "mailer"] {
        let shop = Running::start(&world, "shop", &[]);
        let mailer = Running::start(&world, "mailer", &[]);
        until_under_way(&world, "mailer");
        // Both meet at the service of the party whose name comes later; the other is of no use.
        world.stage.stop(host);
        std::thread::sleep(Duration::from_secs(1));
        world.start_party(host, &[]);
        for run in [shop, mailer] {
            repeated_at_most_a_window(&run.good());
        }
        assert!(take_away(&world) == wanted);
    }
}

#[test]
fn either_side_may_come_first() {
    let world = world();
    let wanted = reference(&world);
    for (first, second) in [("shop", "mailer"), ("mailer", "shop")] {
        let first = Running::start(&world, first, &[]);
        std::thread::sleep(Duration::from_secs(2));
        Running::start(&world, second, &[]).good();
        first.good();
        assert!(take_away(&world) == wanted);
    }
}

/// A peer that was interrupted for longer than the other side waits is served by the next run.
#[test]
fn both_killed_go_on_when_both_are_back() {
    let world = world();
    let wanted = reference(&world);
    let runs = ["shop", "mailer"].map(|party| Running::start(&world, party, &[]));
    until_under_way(&world, "shop");
    assert_eq!(runs.map(Running::kill), [true; 2]);
    let [shop, mailer] = ["shop", "mailer"].map(|party| Running::start(&world, party, &[]));
    assert!(number(&shop.good(), "/resumed_from") > 0);
    assert!(number(&mailer.good(), "/resumed_from") > 0);
    assert!(take_away(&world) == wanted);
}
