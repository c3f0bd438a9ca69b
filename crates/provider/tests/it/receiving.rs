//! Keys to receive with: what is lost with one.

use incamera_keys::ReceiveKey;

use crate::asking::evaluate;
use crate::world::{Terms, World};

/// What the others seal to a provider opens for nobody who has another key: shares are neither made
/// nor refreshed, and those that there are go on.
#[tokio::test]
async fn without_its_receive_key_a_provider_refreshes_nothing_and_evaluates() {
    let mut world = World::with_key(Terms::default()).await;
    let ids = ["pia@example.net"];
    let before = evaluate(&world, &["alpha", "gamma"], &ids).await.unwrap();
    let old = world.statement("gamma").await;
    let other = ReceiveKey::generate(&mut rand::rng()).unwrap();
    let gamma = world.parties.get_mut("gamma").unwrap();
    let lost = std::mem::replace(&mut gamma.receive, other);
    world.restart("gamma").await;
    world.refresh().await.unwrap_err();
    assert_eq!(world.statement("gamma").await, old);
    let after = evaluate(&world, &["alpha", "gamma"], &ids).await.unwrap();
    assert_eq!(after, before);
    // The control: with the key that the agreement names, shares are refreshed.
    world.parties.get_mut("gamma").unwrap().receive = lost;
    world.restart("gamma").await;
    assert_eq!(world.refresh().await.unwrap().number(), 2);
}
