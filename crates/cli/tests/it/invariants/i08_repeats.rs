//! I8: who asks again gets the same numbers and pays nothing: in another room, after a restart,
//! with another reason.

use std::path::Path;

use incamera_testkit::stage::free_address;
use incamera_wire::v1::{Answer, ReleaseFile};
use tokio::runtime::Runtime;

use super::analyst::{Analyst, ask};
use super::support::copy_folder;
use crate::world::{Data, World};

/// The answer that a release file holds, byte for byte.
fn answer(path: &str) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let release: ReleaseFile = incamera_wire::decode(&bytes, usize::MAX).unwrap();
    release.answer
}

fn numbers(answer: &[u8]) -> Vec<i64> {
    let answer: Answer = incamera_wire::decode(answer, usize::MAX).unwrap();
    answer
        .groups
        .into_iter()
        .flat_map(|group| group.values)
        .collect()
}

/// Asks by the command and gives the answer's bytes.
fn asked(world: &World, more: &[&str]) -> Vec<u8> {
    let path = world.path("answer.release");
    let _ = std::fs::remove_file(&path);
    let outcome = world.query(more);
    assert_eq!(outcome.code, 0, "{}", outcome.failure());
    answer(&path)
}

fn spent(world: &World) -> [u64; 2] {
    ["shop", "mailer"].map(|party| world.spent(party))
}

#[test]
fn i8_the_same_request_has_one_answer_and_one_charge() {
    // With the template's 50, noise alone withholds one of two groups of a hundred people in
    // one run of sixty.
    let all = |text: String| text.replacen("min_people = 50", "min_people = 1", 1);
    let world = World::agreed_as(all);
    world.prepare(&Data::small());
    let first = asked(&world, &[]);
    let cost = spent(&world);
    assert!(cost[0] > 0 && cost[0] == cost[1]);
    assert_eq!(
        numbers(&first).len(),
        6,
        "two groups of three measures, none withheld"
    );

    assert_eq!(
        asked(&world, &["--reason", "another reason"]),
        first,
        "again, for another reason"
    );

    // Everybody restarts; the room has new keys.
    for name in ["shop", "mailer", "room"] {
        world.stage.stop(name);
    }
    world.start();
    assert_eq!(asked(&world, &[]), first, "after restarts");

    clones(&world, &first);
    assert_eq!(spent(&world), cost, "charged once");

    // The same rows under other parameters: all that differs is the noise.
    let later = asked(&world, &["from=2026-03-01", "until=2026-06-30"]);
    let same = numbers(&first)
        .into_iter()
        .zip(numbers(&later))
        .filter(|(one, two)| one == two)
        .count();
    assert!(same <= 2, "{:?} {:?}", numbers(&first), numbers(&later));
    assert_eq!(spent(&world), cost.map(|cost| 2 * cost), "a new charge");
    assert_eq!(asked(&world, &[]), first, "the first is still free");
    assert_eq!(spent(&world), cost.map(|cost| 2 * cost));
}

/// Two copies of the room answer at the same time, each by itself, beside the original.
fn clones(world: &World, first: &[u8]) {
    let analyst = Analyst::ana(world);
    let mut addresses = vec![world.room.listens];
    for name in ["clone-1", "clone-2"] {
        let (folder, address) = (world.root().join(name), free_address().unwrap());
        copy_folder(&world.root().join("room"), &folder);
        let config = std::fs::read_to_string(folder.join("room.toml")).unwrap();
        let config = config.replace(&world.room.listens.to_string(), &address.to_string());
        std::fs::write(folder.join("room.toml"), config).unwrap();
        start_room(world, name, &folder, address);
        addresses.push(address);
    }
    let runtime = Runtime::new().unwrap();
    let request = analyst.request("2026-05-31");
    let asking: Vec<_> = addresses
        .iter()
        .map(|address| {
            runtime.spawn(ask(
                *address,
                analyst.sign(&request),
                analyst.key.duplicate(),
            ))
        })
        .collect();
    for (asked, address) in asking.into_iter().zip(addresses) {
        let release = runtime.block_on(asked).unwrap().unwrap();
        assert_eq!(release.answer, first, "from the room at {address}");
    }
    for name in ["clone-1", "clone-2"] {
        world.stage.stop(name);
    }
}

fn start_room(world: &World, name: &str, folder: &Path, address: std::net::SocketAddr) {
    let config = folder.join("room.toml").display().to_string();
    let arguments = ["room", "serve", "--config", &config];
    let log = world.root().join(format!("{name}.log"));
    world
        .stage
        .start(name, &arguments, &[], &log, address)
        .unwrap();
}
