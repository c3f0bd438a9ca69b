//! `data push --append` and `--replace`.

use std::fs;

use incamera_testkit::stage::Outcome;

use crate::world::World;

fn data(world: &World, arguments: &[&str]) -> Outcome {
    let shop = world.path("shop");
    let all = [&["data"], arguments, &["--party", &shop]].concat();
    world.stage.command(&all).unwrap()
}

#[track_caller]
fn good(outcome: Outcome) -> Outcome {
    assert_eq!(outcome.code, 0, "{}\n{}", outcome.failure(), outcome.errors);
    outcome
}

#[track_caller]
fn refused(outcome: &Outcome, says: &[&str]) {
    let text = format!("{} {}", outcome.failure(), outcome.text("/error/hint"));
    assert_eq!(outcome.code, 1, "{text}");
    for words in says {
        assert!(text.contains(words), "`{words}`: {text}");
    }
}

/// Seals some purchases: beside those there are, or in their place.
fn seal(world: &World, day: u32, how: &str) -> u64 {
    let rows: String = (0..240)
        .map(|at| format!("p{at}@mail.example,2026-05-{day:02},1.50,food\n"))
        .collect();
    let file = world.path("data/more.csv");
    fs::write(&file, format!("email,day,amount,category\n{rows}")).unwrap();
    let sealed = data(world, &["seal", "purchases", how, "--data", &file, "--yes"]);
    good(sealed).number("/version")
}

fn push(world: &World, more: &[&str]) -> Outcome {
    data(world, &[&["push", "purchases"], more].concat())
}

/// The version that the room has, and the newest that the shop's service knows.
fn versions(world: &World) -> (u64, u64) {
    let folder = world.path("room/storage/purchases");
    let inspected = world.done(&["data", "inspect", &folder]);
    let status = world.done(&["status", "--party", &world.path("shop")]);
    let data = status.document["data"].as_array().unwrap();
    let known = data.iter().find(|one| one["dataset"] == "purchases");
    let known = known.unwrap()["version"].as_u64().unwrap();
    (inspected.number("/version"), known)
}

#[test]
fn an_addition_keeps_what_was_pushed_or_is_refused() {
    let world = World::ready();
    assert_eq!(versions(&world), (1, 1));
    assert_eq!(seal(&world, 1, "--append"), 2);
    let added = good(push(&world, &["--append"]));
    assert_eq!(added.number("/datasets/0/version"), 2);
    // Two additions at once, of which the service has seen none; then nothing new.
    seal(&world, 2, "--append");
    assert_eq!(seal(&world, 3, "--append"), 4);
    good(push(&world, &["--append"]));
    assert_eq!(versions(&world), (4, 4));
    good(push(&world, &["--append"]));

    assert_eq!(seal(&world, 4, "--replace"), 5);
    let says = [
        "`purchases` was not pushed: `--append` only adds",
        "version 5 leaves out",
        "parts of version 4, the newest that was pushed",
        "nothing was registered or sent: say `--replace`",
    ];
    refused(&push(&world, &["--append"]), &says);
    assert_eq!(versions(&world), (4, 4), "registered or sent all the same");
    // Neither is an addition to a version that was never pushed one to the version that was.
    assert_eq!(seal(&world, 5, "--append"), 6);
    refused(&push(&world, &["--append"]), &["version 6 leaves out"]);
    assert_eq!(versions(&world), (4, 4));
    assert_eq!(push(&world, &["--append", "--replace"]).code, 2);
    let replaced = good(push(&world, &["--replace"]));
    assert_eq!(replaced.number("/datasets/0/version"), 6);
    assert_eq!(versions(&world), (6, 6));

    // A room that lost it cannot say what is kept.
    seal(&world, 6, "--append");
    assert_eq!(seal(&world, 7, "--append"), 8);
    fs::remove_file(world.path("room/storage/purchases/manifest")).unwrap();
    let says = ["version 6, the newest that was pushed, is not in the room"];
    refused(&push(&world, &["--append"]), &says);
    good(push(&world, &[]));
    assert_eq!(versions(&world), (8, 8));
    let answer = world.query(&[]);
    assert_eq!(answer.code, 0, "{}", answer.errors);
}
