//! Ctrl-C while ids are matched.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// A program that becomes ours by these words of a shell.
fn script(world: &World, name: &str, words: &str) -> PathBuf {
    let script = world.root().join(name);
    fs::write(&script, format!("#!/bin/sh\n{words} '{PROGRAM}' \"$@\"\n")).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    script
}

/// Starts the program as shells start jobs in the background.
fn in_the_background(world: &World) -> PathBuf {
    script(world, "background", "trap '' INT\nexec")
}

/// As they start it in front, also where these tests are a job in the background.
fn in_front(world: &World) -> PathBuf {
    let default = "env --default-signal=INT";
    let words = format!("{default} true 2>/dev/null && exec {default} '{PROGRAM}' \"$@\"\nexec");
    script(world, "front", &words)
}

/// It ends the run with a word and the code that shells know; the run goes on where it was. A
/// run in the background does not hear of it.
#[test]
fn ctrl_c_says_that_the_run_goes_on() {
    let world = world();
    let script = in_the_background(&world);
    let names = ["shop", "shop", "data/shop.csv"];
    let shop = Running::start_of(&script, &world, names, &["--everyone-consented"]);
    let mailer = Running::start(&world, "mailer", &[]);
    until_under_way(&world, "shop");
    shop.signal("-INT");
    shop.good();
    mailer.good();
    let undisturbed = take_away(&world);

    let shop = Running::start_of(&in_front(&world), &world, names, &["--everyone-consented"]);
    let mailer = Running::start(&world, "mailer", &[]);
    until_under_way(&world, "shop");
    shop.signal("-INT");
    assert_eq!(shop.end().0, 130);
    let said = fs::read_to_string(world.path("shop.err")).unwrap();
    assert!(said.contains("it goes on where it was"), "{said}");
    let again = Running::start(&world, "shop", &[]).good();
    mailer.good();
    assert!(number(&again, "/resumed_from") > 0, "{again:#}");
    assert_eq!(take_away(&world), undisturbed);
}
