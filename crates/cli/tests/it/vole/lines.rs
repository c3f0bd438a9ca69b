//! Lines that are bad, and sides that come in any order.

use incamera_testkit::relay::{Line, Relay};
use incamera_testkit::stage::free_address;

use super::*;
use crate::cut_off::until;

/// Runs with the services behind relays.
struct Relayed {
    world: World,
    relays: Vec<Relay>,
}

impl Relayed {
    fn new() -> Self {
        let mut addresses = Vec::new();
        let public = |listens| {
            let public = free_address().unwrap();
            addresses.push((public, listens));
            public
        };
        let world = World::agreed_as_at(public, by_vole);
        let relays = addresses.iter();
        let relays = relays.map(|(public, listens)| Relay::start(*public, *listens).unwrap());
        let relays = relays.collect();
        write_ids(&world, "shop", 0..20_000);
        write_ids(&world, "mailer", 10_000..30_000);
        world.start_party("shop", &[]);
        world.start_party("mailer", &[]);
        Self { world, relays }
    }

    fn set(&self, line: Line) {
        self.relays.iter().for_each(|relay| relay.set(line));
    }

    fn accepted(&self) -> u32 {
        self.relays.iter().map(Relay::accepted).sum()
    }

    /// Both sides, which have just counted their run number `number`.
    fn begun(&self, number: usize) -> [Running; 2] {
        let runs = PARTIES.map(|party| Running::start(&self.world, party, &[]));
        until("counted on both sides", || {
            PARTIES
                .iter()
                .all(|party| counted(&self.world, party) == number)
        });
        runs
    }
}

/// Pseudonyms join just as ids do.
#[track_caller]
fn joined(world: &World, both: usize) {
    let [ours, theirs] = PARTIES.map(|party| crosswalk(world, party));
    assert_eq!(ours.run(), theirs.run());
    let theirs: HashMap<&str, _> = theirs.iter().collect();
    let same = ours.iter().filter(|(id, of)| theirs.get(id) == Some(of));
    assert_eq!(same.count(), both);
    let known: std::collections::HashSet<_> = theirs.values().copied().collect();
    assert_eq!(
        ours.iter().filter(|(_, of)| known.contains(of)).count(),
        both
    );
}

fn crosswalks(world: &World) -> [Vec<u8>; 2] {
    PARTIES.map(|party| fs::read(crate::cut_off::crosswalk(world, party)).unwrap())
}

/// A line that stalls costs time alone. One that breaks ends the run on both sides, which say that
/// it counts as one more to begin anew; what an earlier run gave stays, and with the line back a
/// new run ends well.
#[test]
fn a_line_that_stalls_costs_nothing_and_one_that_breaks_a_run() {
    let relayed = Relayed::new();
    let world = &relayed.world;
    let mut runs = relayed.begun(1);
    relayed.set(Line::Stalls);
    let connections = relayed.accepted();
    std::thread::sleep(Duration::from_secs(2));
    assert!(runs.iter_mut().all(|run| !run.has_ended()));
    relayed.set(Line::Passes);
    for run in runs {
        run.good();
    }
    assert_eq!(relayed.accepted(), connections, "over the same connections");
    joined(world, 10_000);
    let before = crosswalks(world);

    let runs = relayed.begun(2);
    relayed.set(Line::Broken);
    for run in runs {
        let (code, said) = run.end();
        assert_eq!(code, 1, "{said:#}");
        let text = said.to_string();
        assert!(text.contains("the matching broke off"), "{said:#}");
        assert!(text.contains("on both sides"), "{said:#}");
        assert!(text.contains("is a new run, and counts as one"), "{said:#}");
    }
    assert!(crosswalks(world) == before, "nothing was written");
    relayed.set(Line::Passes);
    for run in relayed.begun(3) {
        run.good();
    }
    joined(world, 10_000);
    assert!(crosswalks(world) != before);
}

/// How often a party has come to the meeting point, which is the shop's service.
fn came(world: &World) -> usize {
    let log = fs::read_to_string(world.path("shop.log")).unwrap();
    log.matches("joined the meeting point").count()
}

/// Whoever comes first waits for the other.
#[test]
fn either_side_may_come_first() {
    let world = vole();
    write_ids(&world, "shop", 0..300);
    write_ids(&world, "mailer", 250..400);
    world.start_party("shop", &[]);
    world.start_party("mailer", &[]);
    for (number, [first, second]) in [PARTIES, ["mailer", "shop"]].into_iter().enumerate() {
        let waits = Running::start(&world, first, &[]);
        until("the first one waits", || came(&world) == 2 * number + 1);
        Running::start(&world, second, &[]).good();
        waits.good();
        joined(&world, 50);
        assert_eq!(PARTIES.map(|party| counted(&world, party)), [number + 1; 2]);
    }
}
