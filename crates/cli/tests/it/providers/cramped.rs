//! A provider's disk that takes no more.

use super::*;

/// Enough for what lies beside the database while it is open, not for what is written to it.
const BLOCKS: u32 = 72;

/// Nothing is answered that is not counted: others take the place of one whose disk is full, and
/// with too few others the run says why it ended, and goes on when there is room.
#[test]
fn a_provider_with_a_full_disk_counts_and_answers_nothing() {
    let world = Providers::agreed();
    PROVIDERS.iter().for_each(|name| world.start(name));
    let made = world.keys("make", "alpha");
    assert_eq!(made.code, 0, "{}", made.failure());
    let data = world.ids("some", 0..900);
    world.stage.stop("alpha");
    world.start_cramped("alpha", BLOCKS);
    let first = world.matched(&data, &[]);
    assert_eq!(first.code, 0, "{}", first.failure());
    assert_eq!(
        first.document["providers_left_out"],
        serde_json::json!(["alpha"])
    );
    assert!(
        first.errors.contains("the provider's disk is full"),
        "{}",
        first.errors
    );
    for name in ["beta", "gamma"] {
        assert_eq!(world.counted(name), (1, 900), "{name}");
    }
    // Beta has no room either.
    world.stage.stop("beta");
    world.start_cramped("beta", BLOCKS);
    let few = world.matched(&data, &["--anew"]);
    assert_eq!(few.code, 1, "{}", few.failure());
    for words in ["1 of the 3 providers", "`alpha`", "`beta`", "disk is full"] {
        assert!(few.failure().contains(words), "{}", few.failure());
    }
    world.cramped.borrow_mut().clear();
    for name in ["alpha", "beta"] {
        world.start(name);
    }
    assert_eq!(
        world.counted("alpha").1,
        0,
        "what was not answered was not counted"
    );
    let again = world.matched(&data, &[]);
    assert_eq!(again.code, 0, "{}", again.failure());
    assert_eq!(again.document["providers_left_out"], serde_json::json!([]));
    assert_eq!(world.counted("alpha"), (2, 900));
    assert_eq!(world.counted("beta"), (2, 1800));
    assert_eq!(again.number("/used/runs"), 2);
}
