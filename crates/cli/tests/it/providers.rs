//! Providers as their people run them: folders, services, keys.

mod cramped;
mod restored;
mod two_keys;
mod walk;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use incamera_testkit::stage::{Outcome, Stage, free_address};
use serde_json::Value;

use crate::cut_off::until;
use crate::full_disk::cramped_program;
use crate::world::PROGRAM;

const PROVIDERS: [&str; 3] = ["alpha", "beta", "gamma"];
const PARTIES: [&str; 4] = ["alpha", "beta", "gamma", "shop"];

/// Three providers and an owner, with an agreement that all have signed.
struct Providers {
    stage: Stage,
    /// Services with too little room.
    cramped: RefCell<Vec<Stage>>,
    listen: BTreeMap<&'static str, SocketAddr>,
    folder: tempfile::TempDir,
}

impl Providers {
    fn agreed() -> Self {
        let world = Self {
            stage: Stage::new(PathBuf::from(PROGRAM)),
            cramped: RefCell::default(),
            listen: PARTIES.map(|name| (name, free_address().unwrap())).into(),
            folder: tempfile::tempdir().unwrap(),
        };
        let mut sections = BTreeMap::new();
        for name in PARTIES {
            let (folder, listen) = (world.path(name), world.listen[name].to_string());
            let mut words = vec!["init", &folder, "--name", name, "--listen", &listen];
            if name != "shop" {
                words.push("--provider");
            }
            world.stage.done(&words).unwrap();
            let public = fs::read_to_string(world.path(&format!("{name}/public.toml"))).unwrap();
            let lines = public.lines().filter(|line| {
                let key = line.split(" = ").next().unwrap();
                ["signs", "service", "receives", "url"].contains(&key)
            });
            let people = if name == "shop" { "\npeople = 100" } else { "" };
            let lines: Vec<_> = lines.collect();
            sections.insert(
                name,
                format!("[parties.{name}]\n{}{people}\n", lines.join("\n")),
            );
        }
        let text = agreement(&sections.into_values().collect::<String>());
        for name in PARTIES {
            fs::write(world.agreement(name), &text).unwrap();
            let (file, party) = (world.agreement(name), world.path(name));
            world
                .stage
                .done(&["agreement", "sign", &file, "--party", &party])
                .unwrap();
        }
        for (one, other) in PARTIES
            .iter()
            .flat_map(|one| PARTIES.map(|other| (one, other)))
        {
            let signature = format!("{}.{one}.sig", world.agreement(one));
            let copied = format!("{}.{one}.sig", world.agreement(other));
            if signature != copied {
                fs::copy(signature, copied).unwrap();
            }
        }
        world
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn agreement(&self, name: &str) -> String {
        self.path(&format!("{name}/agreements/a.toml"))
    }

    fn start(&self, name: &str) {
        self.start_with(name, &[]);
    }

    /// With no file beyond so many blocks of 512 bytes.
    fn start_cramped(&self, name: &str, blocks: u32) {
        let program = cramped_program(self.folder.path(), blocks);
        let (party, log) = (self.path(name), self.path(&format!("{name}.log")));
        let words = ["provider", "serve", "--party", &party];
        let started = Stage::new(program);
        let listens = self.listen[name];
        let started_one = started.start(name, &words, &[], Path::new(&log), listens);
        started_one.unwrap();
        self.cramped.borrow_mut().push(started);
    }

    /// A file with these people's addresses.
    fn ids(&self, name: &str, people: std::ops::Range<u32>) -> String {
        let path = self.path(&format!("{name}.csv"));
        let rows = people.map(|n| format!("person-{n}@example.net\n"));
        fs::write(&path, format!("email\n{}", rows.collect::<String>())).unwrap();
        path
    }

    fn matched(&self, data: &str, more: &[&str]) -> Outcome {
        let party = self.path("shop");
        let words = ["match", "run", "--party", &party, "--data", data];
        self.stage.command(&[&words[..], more].concat()).unwrap()
    }

    /// Runs and ids that a provider counted, of the shop; it says the limits beside them.
    fn counted(&self, name: &str) -> (u64, u64) {
        let status = self.status(name);
        if let Some(counted) = status["counted"].get(0) {
            let limits = ["max_runs", "max_ids", "ids_allowed", "rate"];
            let limits = limits.map(|field| counted[field].as_u64().unwrap());
            assert_eq!(limits, [3, 1_000, 3_000, 20_000]);
        }
        let of = |field: &str| status["counted"][0][field].as_u64().unwrap_or(0);
        (of("runs"), of("evaluated"))
    }

    fn start_with(&self, name: &str, environment: &[(&str, &str)]) {
        let (party, log) = (self.path(name), self.path(&format!("{name}.log")));
        let words = ["provider", "serve", "--party", &party];
        let (log, listens) = (Path::new(&log), self.listen[name]);
        let started = self.stage.start(name, &words, environment, log, listens);
        started.unwrap();
    }

    fn keys(&self, verb: &str, party: &str) -> Outcome {
        let party = self.path(party);
        let words = ["provider", "keys", verb, "--party", &party];
        self.stage.command(&words).unwrap()
    }

    /// So many refreshes a day are held; as their stores have it, the last ones are of another.
    fn next_day(&self) {
        for name in PROVIDERS {
            let store = self.path(&format!("{name}/provider.sqlite"));
            let store = rusqlite::Connection::open(store).unwrap();
            store.busy_timeout(Duration::from_secs(10)).unwrap();
            let moved = store.execute("UPDATE refreshes SET at = at - 100000", []);
            moved.unwrap();
        }
    }

    fn status(&self, name: &str) -> Value {
        let party = self.path(name);
        let words = ["provider", "status", "--party", &party];
        self.stage.done(&words).unwrap().document
    }

    /// The numbers of the statements that count at each provider.
    fn numbers(&self) -> [Option<u64>; 3] {
        PROVIDERS.map(|name| self.status(name)["keys"][0]["number"].as_u64())
    }
}

fn agreement(parties: &str) -> String {
    format!(
        r#"format = "incamera-agreement/1"
[agreement]
name = "matching"
version = 1
expires = 2099-12-31
{parties}
[room]
url = "https://127.0.0.1:7444"
[[room.accept]]
tee = "simulated"
measurements = ["{}"]
[matching]
method = "provider"
providers = ["alpha", "beta", "gamma"]
threshold = 2
key_days = 90
ids = ["email"]
rules = 2
reveals = "nothing"
max_ids = 1_000
max_runs = 3
[purposes]
measurement = {{ label = "Measuring" }}
[datasets.people]
owner = "shop"
[datasets.people.columns]
person = {{ type = "pseudonym", id = "email" }}
spend = {{ type = "int", min = 0, max = 100, purposes = ["measurement"] }}
[budgets.shop]
epsilon = 8.0
delta = 1e-6
"#,
        "9f".repeat(32)
    )
}

#[test]
fn three_providers_make_a_key_and_refresh_its_shares() {
    let world = Providers::agreed();
    for name in PROVIDERS {
        assert_eq!(world.status(name)["keys"], Value::Array(Vec::new()));
        world.start(name);
    }
    let early = world.keys("refresh", "beta");
    assert_eq!(early.code, 1, "{}", early.failure());
    assert!(early.failure().contains("no key"), "{}", early.failure());
    let made = world.keys("make", "beta");
    assert_eq!(made.code, 0, "{}", made.failure());
    assert_eq!(made.text("/format"), "incamera-provider-keys-made/1");
    assert_eq!((made.number("/number"), made.number("/threshold")), (1, 2));
    assert_eq!(world.numbers(), [Some(1); 3]);
    let again = world.keys("make", "alpha");
    assert_eq!(again.code, 1, "{}", again.failure());
    assert!(
        again.failure().contains("a key already"),
        "{}",
        again.failure()
    );
    let refreshed = world.keys("refresh", "gamma");
    assert_eq!(refreshed.code, 0, "{}", refreshed.failure());
    assert_eq!(world.numbers(), [Some(2); 3]);
    // An owner makes no keys, and has no provider's folder.
    let owner = world.keys("make", "shop");
    assert_eq!(owner.code, 3, "{}", owner.failure());
    let party = world.path("shop");
    let serve = world
        .stage
        .command(&["provider", "serve", "--party", &party])
        .unwrap();
    assert_eq!(serve.code, 2, "{}", serve.failure());
    assert!(
        serve.failure().contains("provider.toml"),
        "{}",
        serve.failure()
    );
}

/// Beta is killed at each step of a refresh. Whatever was done, the next one goes through, and
/// no provider is left behind.
#[test]
fn a_provider_that_is_killed_at_any_step_of_a_refresh_is_no_harm() {
    let world = Providers::agreed();
    for name in PROVIDERS {
        world.start(name);
    }
    let made = world.keys("make", "alpha");
    assert_eq!(made.code, 0, "{}", made.failure());
    let mut number = 1;
    for step in [
        "begin", "nonces", "first", "second", "signed", "finish", "kept",
    ] {
        world.stage.stop("beta");
        world.start_with("beta", &[("INCAMERA_FAILPOINT", step)]);
        let cut_off = world.keys("refresh", "alpha");
        assert_eq!(cut_off.code, 1, "{step}: {}", cut_off.failure());
        assert!(
            cut_off.failure().contains("`beta`"),
            "{step}: {}",
            cut_off.failure()
        );
        // Its line broke before it is gone.
        until("beta is gone", || !world.stage.runs("beta"));
        world.start("beta");
        // What all had signed counts; the refresh after it is one more.
        number += if ["finish", "kept"].contains(&step) {
            2
        } else {
            1
        };
        let refreshed = world.keys("refresh", "alpha");
        assert_eq!(refreshed.code, 0, "{step}: {}", refreshed.failure());
        assert_eq!(world.numbers(), [Some(number); 3], "{step}");
        world.next_day();
    }
}
