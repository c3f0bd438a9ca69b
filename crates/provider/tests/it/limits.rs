//! What a party may have evaluated, and that it is counted before it is answered.

use incamera_group::EncodedPoint;
use incamera_net::status::Problem;
use incamera_oprf::session::{self, Hello};
use incamera_provider::Store;
use incamera_wire::v1::MatchPoints;

use crate::asking::{Session, hello, numbered};
use crate::world::{Client, Terms, World};

const SET: [&str; 2] = ["alpha", "beta"];

/// A world whose alpha allows runs of 40 points, two of them.
async fn small() -> World {
    World::with_key(Terms {
        max_ids: 40,
        max_runs: 2,
        ..Terms::default()
    })
    .await
}

async fn refused(client: &mut Client, hello: &Hello) -> String {
    let refused = Session::open(client, hello).await.err().unwrap();
    refused.code().to_owned()
}

/// The points that alpha counted for the shop.
fn counted(world: &World) -> u64 {
    let store = Store::look_at(&world.store("alpha")).unwrap();
    store
        .counted()
        .unwrap()
        .iter()
        .map(|party| party.evaluated)
        .sum()
}

#[tokio::test]
async fn a_run_has_as_many_points_as_it_said_and_a_party_as_many_runs_as_agreed() {
    let mut world = small().await;
    let mut client = world.client("alpha", "shop").await;
    let greeting = |size| Hello {
        size,
        ..hello(&world, &SET, 1)
    };
    assert_eq!(refused(&mut client, &greeting(41)).await, "ids-limit");
    // Of thirty points, twenty and then eleven.
    let (first, second) = (greeting(30), greeting(40));
    let mut session = Session::open(&mut client, &first).await.unwrap();
    session.ask(0, &numbered(20)).await.unwrap();
    let more = session.ask(20, &numbered(11)).await.unwrap_err();
    assert_eq!(more.code(), "run-limit");
    // The same run goes on, where it was; with another size it is none.
    let mut session = Session::open(&mut client, &first).await.unwrap();
    assert_eq!(session.evaluated, 20);
    session.ask(20, &numbered(10)).await.unwrap();
    let larger = Hello {
        size: 40,
        ..first.clone()
    };
    assert_eq!(refused(&mut client, &larger).await, "run-changed");
    // A second run, and no third: not after a restart either. Another kind has its own.
    Session::open(&mut client, &second).await.unwrap();
    let third = greeting(1);
    assert_eq!(refused(&mut client, &third).await, "runs-limit");
    let phone = Hello {
        id_kind: "phone".parse().unwrap(),
        ..greeting(40)
    };
    world.restart("alpha").await;
    let mut client = world.client("alpha", "shop").await;
    assert_eq!(refused(&mut client, &third).await, "runs-limit");
    Session::open(&mut client, &phone).await.unwrap();
    let session = Session::open(&mut client, &first).await.unwrap();
    assert_eq!(session.evaluated, 30);
    // Each party counts for itself, and each provider.
    let mailer = Hello {
        party: "mailer".parse().unwrap(),
        ..third.clone()
    };
    let mut client = world.client("alpha", "mailer").await;
    Session::open(&mut client, &mailer).await.unwrap();
    let mut client = world.client("beta", "shop").await;
    Session::open(&mut client, &third).await.unwrap();
}

#[tokio::test]
async fn a_batch_of_the_last_sixteen_is_answered_again_for_nothing() {
    let world = small().await;
    let mut client = world.client("alpha", "shop").await;
    let hello = Hello {
        size: 40,
        ..hello(&world, &SET, 1)
    };
    let points = numbered(18);
    let batch = |at: usize| (at as u64, &points[at..=at]);
    let mut session = Session::open(&mut client, &hello).await.unwrap();
    for at in 0..17 {
        let (first, points) = batch(at);
        session.ask(first, points).await.unwrap();
    }
    assert_eq!(counted(&world), 17);
    // The last sixteen, in another session of the run and with another set of providers.
    let other = Hello {
        providers: vec!["alpha".parse().unwrap(), "gamma".parse().unwrap()],
        ..hello
    };
    let mut session = Session::open(&mut client, &other).await.unwrap();
    for at in 1..17 {
        let (first, points) = batch(at);
        session.ask(first, points).await.unwrap();
    }
    assert_eq!(counted(&world), 17);
    // The one before them; and one of them in another place.
    let (first, zeroth) = batch(0);
    session.ask(first, zeroth).await.unwrap();
    assert_eq!(counted(&world), 18);
    session.ask(99, batch(16).1).await.unwrap();
    assert_eq!(counted(&world), 19);
}

/// Whoever sends points and goes away before the answer has used them up.
#[tokio::test]
async fn a_crash_between_count_and_answer_loses_the_answer_and_not_the_count() {
    let mut world = small().await;
    let mut client = world.client("alpha", "shop").await;
    let hello = Hello {
        size: 40,
        ..hello(&world, &SET, 1)
    };
    let mut session = Session::open(&mut client, &hello).await.unwrap();
    // The last point is none: evaluation fails when all are counted.
    let mut points = numbered(9);
    points.push(EncodedPoint::from_bytes([0xff; 32]));
    let refused = session.ask(0, &points).await.unwrap_err();
    assert_eq!(refused.code(), "not-a-point");
    assert_eq!(counted(&world), 10);
    world.restart("alpha").await;
    assert_eq!(counted(&world), 10);
    let mut client = world.client("alpha", "shop").await;
    let session = Session::open(&mut client, &hello).await.unwrap();
    assert_eq!(session.evaluated, 10);
}

#[tokio::test]
async fn a_party_has_four_sessions_at_once() {
    let world = World::with_key(Terms::default()).await;
    let mut client = world.client("alpha", "shop").await;
    let hello = hello(&world, &SET, 1);
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(Session::open(&mut client, &hello).await.unwrap());
    }
    assert_eq!(refused(&mut client, &hello).await, "sessions-at-once");
    drop(open);
    // The service notices soon.
    opened(&mut client, &hello).await;
}

/// Twelve thousand points at four thousand a second: one second's worth at once.
#[tokio::test]
async fn a_party_is_served_at_the_agreed_rate() {
    let world = World::with_key(Terms {
        max_ids: 12_000,
        rate: 4_000,
        ..Terms::default()
    })
    .await;
    let mut client = world.client("alpha", "shop").await;
    let hello = Hello {
        size: 12_000,
        ..hello(&world, &SET, 1)
    };
    let mut session = Session::open(&mut client, &hello).await.unwrap();
    let points = numbered(4_000);
    let began = std::time::Instant::now();
    for first in [0, 4_000, 8_000] {
        session.ask(first, &points).await.unwrap();
    }
    assert!(began.elapsed().as_millis() > 900, "{:?}", began.elapsed());
}

#[tokio::test]
async fn batches_that_are_none_are_refused() {
    let world = World::with_key(Terms::default()).await;
    let mut client = world.client("alpha", "shop").await;
    let greeting = hello(&world, &SET, 1);
    let too_many = vec![0; 32 * (session::BATCH_POINTS + 1)];
    for points in [vec![], vec![1; 33], too_many] {
        let mut session = Session::open(&mut client, &greeting).await.unwrap();
        session.send(MatchPoints { first: 0, points }).await;
        let refused: Problem = session.next().await.err().unwrap();
        assert_eq!(refused.code(), "malformed-message");
    }
    assert_eq!(counted(&world), 0);
}

/// A session, once one of the party's four is free.
async fn opened(client: &mut Client, hello: &Hello) -> Session {
    for _ in 0..100 {
        match Session::open(client, hello).await {
            Ok(session) => return session,
            Err(busy) => assert_eq!(busy.code(), "sessions-at-once"),
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("places are not free again");
}

/// The encodings of RFC 9496 that are refused, of every class, and the identity.
fn no_points() -> Vec<EncodedPoint> {
    let lines = include_str!("../../../group/vectors/rfc9496.txt").lines();
    let refused = lines.filter_map(|line| line.strip_prefix("refuse "));
    let byte = |hex: &str, at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
    let refused = refused.map(|hex| std::array::from_fn(|at| byte(hex, at)));
    let all = refused.chain([[0; 32]]).map(EncodedPoint::from_bytes);
    all.collect()
}

/// Refused wherever they stand in a batch, and counted, since whatever is asked is counted before
/// it is looked at.
#[tokio::test]
async fn points_that_are_none_are_refused_and_counted() {
    let world = World::with_key(Terms::default()).await;
    let mut client = world.client("alpha", "shop").await;
    let greeting = Hello {
        size: 200,
        ..hello(&world, &SET, 1)
    };
    let (good, mut expected) = (numbered(2), 0);
    let bad = no_points();
    assert_eq!(bad.len(), 30);
    for bad in bad {
        for points in [vec![bad], vec![good[0], good[1], bad]] {
            let mut session = opened(&mut client, &greeting).await;
            let refused = session.ask(expected, &points).await.unwrap_err();
            assert_eq!(refused.code(), "not-a-point", "{bad:?}");
            expected += points.len() as u64;
            assert_eq!(counted(&world), expected);
        }
    }
    // The control.
    let mut session = opened(&mut client, &greeting).await;
    session.ask(expected, &good).await.unwrap();
}
