//! A provider that has shares made new in a loop, which ends every session each time.

use rusqlite::Connection;

use crate::asking::evaluate;
use crate::ceremonies::refusal;
use crate::unfinished::{hand, signed_in};
use crate::world::{Terms, World};

const IDS: [&str; 2] = ["pia@example.net", "zoe@example.net"];
const HONEST: [&str; 2] = ["alpha", "beta"];
const DAY_S: i64 = 24 * 60 * 60;

/// So many seconds pass, as these providers see it: a clock cannot be turned.
fn pass(world: &World, seconds: i64) {
    for name in world.terms.providers {
        let store = Connection::open(world.store(name)).unwrap();
        let moved = store.execute("UPDATE refreshes SET at = at - ?1", [seconds]);
        moved.unwrap();
    }
}

async fn refused(world: &World) {
    let refused = refusal(world.refresh_by("gamma").await.unwrap_err());
    assert_eq!(refused.code(), "refreshed-often");
}

#[tokio::test]
async fn shares_are_made_new_so_often_a_day_and_no_more() {
    let mut world = World::with_key(Terms::default()).await;
    let before = evaluate(&world, &HONEST, &IDS).await.unwrap();
    for number in 2..=5 {
        let refreshed = world.refresh_by("gamma").await.unwrap();
        assert_eq!(refreshed.number(), number);
    }
    refused(&world).await;
    // Gamma forgets, and honest ones do not, started anew or not.
    let gamma = Connection::open(world.store("gamma")).unwrap();
    gamma.execute("DELETE FROM refreshes", []).unwrap();
    for name in HONEST {
        world.restart(name).await;
    }
    refused(&world).await;
    pass(&world, DAY_S - 600);
    refused(&world).await;
    assert_eq!(evaluate(&world, &HONEST, &IDS).await.unwrap(), before);
    pass(&world, 700);
    assert_eq!(world.refresh_by("gamma").await.unwrap().number(), 6);
    // What a clock noted that was a year ahead holds nothing up.
    pass(&world, -365 * DAY_S);
    assert_eq!(world.refresh_by("gamma").await.unwrap().number(), 7);
    assert_eq!(evaluate(&world, &HONEST, &IDS).await.unwrap(), before);
}

/// What is signed and not finished counts too: one after the other could be finished later, at one
/// moment. Whatever was signed can be finished all the same.
#[tokio::test]
async fn refreshes_that_nobody_finishes_count() {
    let mut world = World::with_key(Terms::default()).await;
    let before = evaluate(&world, &HONEST, &IDS).await.unwrap();
    let mut last = Vec::new();
    for _ in 0..4 {
        last = signed_in(&mut world, true).await;
    }
    refused(&world).await;
    hand(&world, "beta", &last).await.unwrap();
    let finished = world.finish_by("gamma").await.unwrap();
    assert_eq!((finished.statement.number(), finished.given.len()), (2, 2));
    refused(&world).await;
    assert_eq!(evaluate(&world, &HONEST, &IDS).await.unwrap(), before);
}
