//! Ctrl-C while ids are matched.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// Starts the program as shells start jobs in the background.
fn in_the_background(world: &World) -> PathBuf {
    let script = world.root().join("background");
    let text = format!("#!/bin/sh\ntrap '' INT\nexec '{PROGRAM}' \"$@\"\n");
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    script
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

    let shop = Running::start(&world, "shop", &[]);
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
