//! I5: charge before release. A crash may lose an answer, never a charge.
//!
//! `crates/ledger` kills processes at each of its failpoints; here the whole broker dies.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::world::World;

/// What a party's books say: what it spent, and how many entries its log has.
fn books(world: &World, party: &str) -> (u64, u64) {
    let status = world.done(&["status", "--party", &world.path(party)]);
    let entries = status.document["agreements"][0]["log_entries"]
        .as_u64()
        .unwrap();
    (status.number("/spent/rho"), entries)
}

/// Whether the shop ends within some seconds: who asked may hear of it first.
fn ends(world: &World) -> bool {
    let start = Instant::now();
    while world.stage.runs("shop") && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(50));
    }
    !world.stage.runs("shop")
}

/// Restarts the shop so that it dies at a failpoint, asks, and restarts it in health.
/// No answer may come out.
fn crash_at(world: &World, failpoint: &str) {
    world.stage.stop("shop");
    world.start_party("shop", &[("INCAMERA_FAILPOINT", failpoint)]);
    let outcome = world.query(&[]);
    assert_ne!(outcome.code, 0, "{failpoint}");
    assert!(
        ends(world),
        "the failpoint `{failpoint}` was not met: {}",
        outcome.failure()
    );
    assert!(!Path::new(&world.path("answer.release")).exists());
    assert!(outcome.document.get("answer").is_none());
    world.stage.stop("shop");
    world.start_party("shop", &[]);
}

#[test]
fn i5_a_broker_that_dies_between_charge_and_grant_has_charged() {
    let world = World::ready();
    // Before the charge is durable nothing is charged.
    for failpoint in ["reserved", "charging"] {
        crash_at(&world, failpoint);
        assert_eq!(books(&world, "shop"), (0, 0), "{failpoint}");
    }
    // After it, and before the grant leaves, the charge stands, logged.
    crash_at(&world, "charged");
    let (charge, entries) = books(&world, "shop");
    assert!(charge > 0);
    assert_eq!(entries, 1);

    // The retry is free, and answers; each owner was charged once.
    let outcome = world.query(&[]);
    assert_eq!(outcome.code, 0, "{}", outcome.failure());
    assert_eq!(books(&world, "shop"), (charge, 2));
    assert_eq!(world.spent("mailer"), charge);
    let first = std::fs::read(world.path("answer.release")).unwrap();
    assert!(!first.is_empty());
    assert_eq!(
        world.query(&[]).document["answer"],
        outcome.document["answer"]
    );
    assert_eq!(
        (world.spent("shop"), world.spent("mailer")),
        (charge, charge)
    );
}
