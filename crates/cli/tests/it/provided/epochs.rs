//! A crosswalk of another key.

use super::*;

/// Under a version with the next epoch nothing is sealed by pseudonyms of the key before.
#[test]
fn rows_of_another_epoch_are_not_sealed() {
    let world = World::ready("max_ids = 100\nkey_days = 90");
    let data = world.ids("some", 0..50);
    let first = world.matched("shop", &data, &[]);
    assert_eq!(first.code, 0, "{}", first.failure());
    let text = world.second_version();
    let text = text.replacen("max_runs = 9", "epoch = 2\nmax_runs = 9", 1);
    world.sign_as(&text, "b.toml");
    let (party, second) = (world.path("shop"), world.path("shop/agreements/b.toml"));
    let rows = world.path("rows.csv");
    fs::write(&rows, "person,spend\nperson-1@example.net,7\n").unwrap();
    let seal = |agreement: &str| {
        let words = [
            "data", "seal", "of_shop", "--party", &party, "--data", &rows,
        ];
        let words = [&words[..], &["--agreement", agreement]].concat();
        world.stage.command(&words).unwrap()
    };
    refused(
        &seal(&second),
        1,
        "is of matching epoch 1, and the agreement is in epoch 2",
    );
    // New ids alone would take the place of everybody.
    let words = world.words(&party, &data, &["--agreement", &second, "--append"]);
    let alone = world.stage.command(&words).unwrap();
    refused(&alone, 2, "there is no run in epoch 2 yet");
    // The providers have no key of that epoch, and say so.
    let words = world.words(&party, &data, &["--agreement", &second]);
    let early = world.stage.command(&words).unwrap();
    refused(&early, 1, "it has no key yet");
}
