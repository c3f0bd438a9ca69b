//! One provider that stands in the way: it shows what nobody else has, refuses, hangs, is cut off.

use super::*;

fn left_out(outcome: &Outcome) -> &serde_json::Value {
    &outcome.document["providers_left_out"]
}

fn named(outcome: &Outcome, provider: &str, why: &str) {
    assert_eq!(outcome.code, 0, "{}", outcome.failure());
    assert_eq!(*left_out(outcome), serde_json::json!([provider]));
    let told = format!("{} {}", outcome.errors, outcome.document);
    assert!(told.contains(why), "{told}");
}

/// Alpha has a statement with all signatures of which it told nobody: a refresh that it began.
/// The two others' counts, and alpha is named.
#[test]
fn a_statement_that_one_provider_alone_shows_holds_nobody_up() {
    let world = World::ready("max_ids = 100\nkey_days = 90");
    let data = world.ids("some", 0..50);
    let store = |name: &str| world.providers[name].folder.join("provider.sqlite");
    for name in ["beta", "gamma"] {
        world.stop(name);
        fs::copy(store(name), store(name).with_extension("before")).unwrap();
        world.start(name);
    }
    world.refresh();
    for name in ["beta", "gamma"] {
        world.stop(name);
        fs::copy(store(name).with_extension("before"), store(name)).unwrap();
        world.start(name);
    }
    let run = world.matched("mailer", &data, &[]);
    named(&run, "alpha", "a key statement 2 that too few others have");
    assert_eq!(run.number("/key_statement"), 1);
    // It is not even asked where somebody says so.
    let party = world.path("press");
    let words = world.words(&party, &data, &["--without", "alpha"]);
    let without = world.stage.command(&words).unwrap();
    named(&without, "alpha", "");
    assert!(
        !without.errors.contains("too few others"),
        "{}",
        without.errors
    );
    assert_eq!(world.crosswalk("press"), world.crosswalk("mailer"));
    assert_eq!(world.counted("alpha", "press"), (0, 0));
    // Whom nobody can spare, and who is none.
    for (more, words) in [
        (
            &["--without", "alpha", "--without", "beta"][..],
            "too few providers are left",
        ),
        (&["--without", "shop"], "`shop` is no provider"),
    ] {
        refused(&world.matched("press", &data, more), 2, words);
    }
    // With beta down too, nobody can evaluate, and it is said what each has.
    world.stop("beta");
    let few = world.matched("shop", &data, &[]);
    refused(&few, 1, "1 of the 3 providers can be asked");
    for name in ["`beta`"] {
        refused(&few, 1, name);
    }
}

/// With one batch under way at a time, each is all that anybody could be woken by.
#[test]
fn one_batch_at_a_time_waits_for_nobody() {
    let world = World::ready("max_ids = 10000\nkey_days = 90");
    let data = world.ids("some", 0..9000);
    let run = world.matched("mailer", &data, &["--window", "4096", "--wait", "5"]);
    assert_eq!(run.code, 0, "{}", run.failure());
    assert_eq!(*left_out(&run), serde_json::json!([]));
    assert_eq!(world.crosswalk("mailer").len(), 9000);
}

/// Alpha says that all runs were had, which beta and gamma do not: they are asked.
#[test]
fn a_refusal_of_one_provider_holds_nobody_up() {
    let world = World::ready("max_ids = 100\nkey_days = 90");
    let data = world.ids("some", 0..50);
    let first = world.matched("shop", &data, &[]);
    assert_eq!(first.code, 0, "{}", first.failure());
    let (party, rows) = (world.path("shop"), 20);
    let store = world.providers["alpha"].folder.join("provider.sqlite");
    let store = rusqlite::Connection::open(store).unwrap();
    for row in 0..rows {
        let run = "INSERT INTO sessions (agreement_id, epoch, party, kind, nonce, size)
            SELECT agreement_id, epoch, party, kind, ?1, 0 FROM sessions LIMIT 1";
        store.execute(run, [[row; 32]]).unwrap();
    }
    drop(store);
    let words = world.words(&party, &data, &["--anew"]);
    let run = world.stage.command(&words).unwrap();
    named(&run, "alpha", "had all its 9 runs");
    let errors = &run.errors;
    assert!(errors.contains("others are asked instead"), "{errors}");
    assert_eq!(world.counted("gamma", "shop"), (1, 50));
    assert_eq!(world.counted("alpha", "shop").1, 50);
    // With no other one in its place, its word is why nothing is done.
    world.stop("gamma");
    let alone = world.matched("shop", &data, &["--anew"]);
    refused(&alone, 3, "had all its 9 runs");
    refused(&alone, 3, "`alpha` says so");
    refused(&alone, 3, "`gamma`");
}

/// Alpha takes connections and says nothing, from the start or amid a run: it is left out after
/// the time that somebody gave it.
#[test]
fn a_provider_that_hangs_is_left_out() {
    let world = World::ready("max_ids = 40_000\nkey_days = 90\nrate = 6_000");
    let line = |name: &str, line| world.providers[name].line(line);
    let few = world.ids("few", 0..20);
    line("alpha", Line::Stalls);
    let silent = world.matched("mailer", &few, &["--wait", "2"]);
    named(&silent, "alpha", "did not answer within 2 s");
    line("alpha", Line::Passes);

    let all = world.ids("all", 0..40_000);
    let party = world.path("shop");
    let mut child = spawn(&world.words(&party, &all, &["--wait", "2"]));
    let journal = || world.journal_bytes("shop");
    crate::cut_off::until("under way", || journal() > 2 * 4096 * 16);
    assert!(child.try_wait().unwrap().is_none());
    line("alpha", Line::Stalls);
    assert!(child.wait().unwrap().success());
    line("alpha", Line::Passes);
    assert_eq!(world.crosswalk("shop").len(), 40_000);
    assert_eq!(world.counted("beta", "shop"), (1, 40_000));
    let (runs, ids) = world.counted("gamma", "shop");
    assert_eq!(runs, 1);
    assert!(ids < 40_000, "what was done was asked again");
}

/// The lines to two providers are cut amid a run: it ends by their names, and goes on when they
/// are back, as one run to all.
#[test]
fn lines_that_break_and_come_back_cost_no_run() {
    let world = World::ready("max_ids = 40_000\nkey_days = 90\nrate = 6_000");
    let lines = |line| {
        for name in ["alpha", "beta"] {
            world.providers[name].line(line);
        }
    };
    let all = world.ids("all", 0..40_000);
    let party = world.path("shop");
    let child = spawn_heard(&world.words(&party, &all, &[]));
    crate::cut_off::until("under way", || world.journal_bytes("shop") > 2 * 4096 * 16);
    lines(Line::Broken);
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8(ended.stdout).unwrap();
    for words in [
        "1 of the 3 providers can be asked",
        "`alpha`",
        "`beta`",
        "goes on where it was",
    ] {
        assert!(said.contains(words), "{said}");
    }
    lines(Line::Passes);
    let resumed = world.matched("shop", &all, &[]);
    assert_eq!(resumed.code, 0, "{}", resumed.failure());
    assert!(resumed.number("/resumed_from") >= 2 * 4096);
    assert_eq!(resumed.number("/crosswalk_rows"), 40_000);
    assert_eq!(resumed.number("/used/runs"), 1);
    for name in ["alpha", "beta"] {
        assert_eq!(world.counted(name, "shop"), (1, 40_000), "{name}");
    }
}

/// Shares are made new twice while a run is under way: it goes on by the newest statement, and is
/// the one run that it was.
#[test]
fn a_run_goes_on_where_shares_are_refreshed_meanwhile() {
    let world = World::ready("max_ids = 40_000\nkey_days = 90\nrate = 6_000");
    let data = world.ids("all", 0..30_000);
    let party = world.path("shop");
    let mut child = spawn_heard(&world.words(&party, &data, &[]));
    for batches in [1, 3] {
        while world.counted("alpha", "shop").1 < batches * 4096 {
            assert!(child.try_wait().unwrap().is_none(), "it ended too early");
            std::thread::sleep(Duration::from_millis(20));
        }
        world.refresh();
    }
    let run = child.wait_with_output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert!(run.status.success(), "{told}");
    assert_eq!(told["key_statement"], 3);
    assert_eq!(
        (&told["used"]["runs"], &told["resumed_from"]),
        (&1.into(), &0.into())
    );
    assert_eq!(told["providers_left_out"], serde_json::json!([]));
    assert_eq!(told["providers"], serde_json::json!(["alpha", "beta"]));
    assert_eq!(world.counted("alpha", "shop"), (1, 30_000));
    let file = world.crosswalk_path("shop");
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let undisturbed = world.matched("shop", &data, &[]);
    assert_eq!(undisturbed.code, 0, "{}", undisturbed.failure());
    assert_eq!(fs::read(&file).unwrap(), bytes);
}
