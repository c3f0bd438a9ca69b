//! What lies on a provider's disk.

use std::path::Path;

use incamera_keys::aead;
use incamera_net::agreements::now;
use incamera_oprf::session::Hello;
use incamera_provider::Store;
use incamera_types::Digest as _;
use incamera_wire::v1::ProviderKeysFile;
use rusqlite::{Connection, params};

use crate::asking::{Session, blinding, evaluate, hello};
use crate::refusals::{moved_back, set_statement};
use crate::world::{Terms, World, share_key};

const IDS: [&str; 3] = ["pia@example.net", "zoe@example.net", "ann@example.net"];

/// Every byte of the files beside the store.
pub fn dump(store: &Path) -> Vec<u8> {
    let folder = store.parent().unwrap();
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = files.filter(|path| {
        path.file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("provider.sqlite")
    });
    files
        .flat_map(|path| std::fs::read(path).unwrap())
        .collect()
}

pub fn holds(dump: &[u8], what: &[u8]) -> bool {
    dump.windows(what.len()).any(|window| window == what)
}

/// The share that counts, opened with the key that a provider's key ring has.
fn share(world: &World, provider: &str, number: u64) -> Vec<u8> {
    let store = Connection::open(world.store(provider)).unwrap();
    let (sealed, place): (Vec<u8>, u16) = store
        .query_row(
            "SELECT sealed, place FROM shares WHERE waits = 0",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let matching = &world.agreed();
    let (epoch, number) = (matching.epoch.0.to_be_bytes(), number.to_be_bytes());
    let place = place.to_be_bytes();
    let id = matching.agreement_id;
    let fields: [&[u8]; 4] = [id.as_bytes(), &epoch, &number, &place];
    let label = "incamera-provider-share/1";
    let key = share_key(provider).derive_for(label, &fields);
    let bound = [label.as_bytes(), &fields.concat()].concat();
    aead::open(&key, &bound, &sealed).unwrap().to_vec()
}

/// The only share, as it is kept.
fn sealed(world: &World) -> Vec<u8> {
    let store = Connection::open(world.store("alpha")).unwrap();
    let one = store.query_row("SELECT sealed FROM shares", [], |row| row.get(0));
    one.unwrap()
}

#[tokio::test]
async fn no_id_no_point_and_no_share_lies_on_a_providers_disk() {
    let world = World::with_key(Terms::default()).await;
    let outputs = evaluate(&world, &["alpha", "beta"], &IDS).await.unwrap();
    let blinded = blinding().blind(&IDS);
    let mut client = world.client("alpha", "shop").await;
    let hello = hello(&world, &["alpha", "beta"], 1);
    let mut session = Session::open(&mut client, &hello).await.unwrap();
    let answer = session.ask(0, &blinded).await.unwrap();
    let dump = dump(&world.store("alpha"));
    // The control: names and nonces of runs are there.
    assert!(holds(&dump, b"shop") && holds(&dump, &hello.nonce));
    for id in IDS {
        assert!(!holds(&dump, id.as_bytes()), "{id}");
    }
    for point in blinded.iter().chain(&answer.points) {
        assert!(!holds(&dump, point.as_bytes()));
    }
    for output in &outputs {
        assert!(!holds(&dump, &output.as_bytes()[..16]));
    }
    let share = share(&world, "alpha", 1);
    assert_eq!(share.len(), 32);
    assert!(!holds(&dump, &share));
}

/// After a refresh the share before is gone from the file, not only from its tables.
#[tokio::test]
async fn an_old_share_is_overwritten() {
    let world = World::with_key(Terms::default()).await;
    let (old, secret) = (sealed(&world), share(&world, "alpha", 1));
    assert!(holds(&dump(&world.store("alpha")), &old));
    world.refresh().await.unwrap();
    let new = sealed(&world);
    assert_ne!(share(&world, "alpha", 2), secret);
    let dump = dump(&world.store("alpha"));
    assert!(holds(&dump, &new));
    assert!(!holds(&dump, &old));
}

/// Shares that are kept and never refreshed would give the key to whoever copies the stores of as
/// many providers as the threshold, years apart.
#[tokio::test]
async fn shares_of_an_earlier_epoch_are_erased() {
    let mut world = World::with_key(Terms::default()).await;
    let (old, waiting) = (sealed(&world), [7; 60]);
    let store = Connection::open(world.store("alpha")).unwrap();
    let beside = "INSERT INTO shares SELECT agreement_id, epoch, 1, 2, place, ?1, ?2 FROM shares";
    let file: ProviderKeysFile =
        incamera_wire::decode(&world.statement("alpha").await, 1 << 20).unwrap();
    let kept = store.execute(beside, params![waiting, file.body]);
    assert_eq!(kept.unwrap(), 1);
    let there = |world: &World| {
        let dump = dump(&world.store("alpha"));
        [&old, waiting.as_slice()].map(|sealed| holds(&dump, sealed))
    };
    world.restart("alpha").await;
    assert_eq!(there(&world), [true, true], "the control");
    world.next_version("epoch = 2");
    world.restart("alpha").await;
    assert_eq!(there(&world), [false, false]);
    let store = Store::look_at(&world.store("alpha")).unwrap();
    assert!(store.held().unwrap().is_empty());
}

/// The statement stays: without it a second key could be made in the epoch of the first.
#[tokio::test]
async fn a_share_of_a_key_that_is_over_is_erased() {
    let mut world = World::with_key(Terms {
        providers: &["alpha"],
        threshold: 1,
        ..Terms::default()
    })
    .await;
    let good = world.statement("alpha").await;
    let day = 24 * 60 * 60;
    let old = sealed(&world);
    for (passed, erased) in [(89, false), (91, true)] {
        set_statement(&world, &moved_back(&world, &good, passed * day));
        // A start erases nothing: the clock may not be set yet.
        world.restart("alpha").await;
        assert!(holds(&dump(&world.store("alpha")), &old));
        let mut store = Store::open(&world.store("alpha"), &"alpha".parse().unwrap()).unwrap();
        store.erase_over(now()).unwrap();
        assert_eq!(holds(&dump(&world.store("alpha")), &old), !erased);
        let held = store.held().unwrap();
        assert_eq!(
            held.iter().map(|one| one.erased).collect::<Vec<_>>(),
            [erased]
        );
    }
    let mut client = world.client("alpha", "shop").await;
    let refused = Session::open(&mut client, &hello(&world, &["alpha"], 1)).await;
    assert_eq!(refused.err().unwrap().code(), "key-expired");
    let again = crate::ceremonies::refusal(world.make().await.unwrap_err());
    assert_eq!(again.code(), "key-exists");
    let refreshed = crate::ceremonies::refusal(world.refresh().await.unwrap_err());
    assert_eq!(refreshed.code(), "key-expired");
}

/// What one provider has opens under another's key ring, or as another's share, for nobody.
#[tokio::test]
async fn a_share_opens_in_its_own_store_alone() {
    let mut world = World::with_key(Terms::default()).await;
    let beta = Connection::open(world.store("beta")).unwrap();
    let sealed: Vec<u8> = beta
        .query_row("SELECT sealed FROM shares", [], |row| row.get(0))
        .unwrap();
    world.stop("alpha").await;
    let alpha = Connection::open(world.store("alpha")).unwrap();
    alpha
        .execute("UPDATE shares SET sealed = ?1", [sealed])
        .unwrap();
    drop(alpha);
    world.start("alpha").await;
    let mut client = world.client("alpha", "shop").await;
    let hello: Hello = hello(&world, &["alpha", "beta"], 1);
    let refused = Session::open(&mut client, &hello).await.err().unwrap();
    assert_eq!(refused.code(), "internal");
}
