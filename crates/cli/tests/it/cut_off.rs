//! `match run` that is cut off, by a kill or the line, and goes on where it was.

mod attempts;
mod cramped;
mod ctrl_c;
pub mod endings;
mod folder;
mod lines;
mod row_keys;

pub use cramped::refused as refused_on;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::invariants::support::only_entry;
use crate::world::{PROGRAM, World};

/// Points of a side under way at once.
pub const WINDOW: u64 = 256;

/// Bytes of a whole journal: 16 for each id of either side, and what stands around them.
pub const WHOLE_JOURNAL: u64 = 11_000 * 16 + 44 * 49;

/// Two parties with thousands of ids each, half of them in common, and services that run.
pub fn world() -> World {
    world_with(500)
}

/// The same, with so many runs allowed.
fn world_with(max_runs: u32) -> World {
    world_of(|text| text.replacen("max_runs = 12", &format!("max_runs = {max_runs}"), 1))
}

/// The same, with as many runs as any test takes, under an agreement changed by `edit`.
pub fn world_as(edit: impl FnOnce(String) -> String) -> World {
    world_of(|text| edit(text.replacen("max_runs = 12", "max_runs = 500", 1)))
}

fn world_of(agree: impl FnOnce(String) -> String) -> World {
    with_ids(World::agreed_as(agree))
}

fn with_ids(world: World) -> World {
    fs::create_dir_all(world.path("data")).unwrap();
    write_ids(&world, "shop", 0..6_000);
    write_ids(&world, "mailer", 3_000..8_000);
    world.start_party("shop", &[]);
    world.start_party("mailer", &[]);
    world
}

pub fn write_ids(world: &World, party: &str, people: std::ops::Range<u32>) {
    let lines = people.map(|person| format!("q{person}@mail.example\n"));
    let text = String::from("email\n") + &lines.collect::<String>();
    fs::write(world.path(&format!("data/{party}.csv")), text).unwrap();
}

/// A `match run` under way.
pub struct Running {
    child: Child,
    out: PathBuf,
}

impl Running {
    pub fn start(world: &World, party: &str, more: &[&str]) -> Self {
        Self::start_as(world, party, party, more)
    }

    /// What it says goes to files of another name.
    pub fn start_as(world: &World, party: &str, name: &str, more: &[&str]) -> Self {
        Self::start_on(world, party, name, &format!("data/{party}.csv"), more)
    }

    /// The same, with another file of ids.
    pub fn start_on(world: &World, party: &str, name: &str, file: &str, more: &[&str]) -> Self {
        let more = [&["--everyone-consented"], more].concat();
        Self::named(world, party, name, file, &more)
    }

    /// One that asks what people agreed to.
    pub fn of(world: &World, party: &str, more: &[&str]) -> Self {
        Self::named(world, party, party, &format!("data/{party}.csv"), more)
    }

    fn named(world: &World, party: &str, name: &str, file: &str, more: &[&str]) -> Self {
        Self::start_of(Path::new(PROGRAM), world, [party, name, file], more)
    }

    /// The same of a program that is the built one, or starts it; what it says goes to files of
    /// the second name, the third is that of the data.
    fn start_of(
        program: &Path,
        world: &World,
        [party, name, file]: [&str; 3],
        more: &[&str],
    ) -> Self {
        let (folder, data) = (world.path(party), world.path(file));
        let out = world.root().join(format!("{name}.out"));
        let err = world.root().join(format!("{name}.err"));
        let window = WINDOW.to_string();
        let child = Command::new(program)
            .args([
                "--json", "match", "run", "--party", &folder, "--data", &data,
            ])
            .args(["--window", &window])
            .args(match more.contains(&"--wait") {
                true => &[][..],
                false => &["--wait", "60"],
            })
            .args(more)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(err).unwrap())
            .spawn()
            .unwrap();
        Self { child, out }
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    pub fn signal(&self, signal: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Kills it; whether it still ran.
    pub fn kill(mut self) -> bool {
        let ran = !self.has_ended();
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        ran
    }

    /// Its exit code and document.
    pub fn end(mut self) -> (i32, Value) {
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        let text = fs::read_to_string(&self.out).unwrap();
        (code, serde_json::from_str(&text).unwrap_or_default())
    }

    #[track_caller]
    pub fn good(self) -> Value {
        let errors = fs::read_to_string(self.out.with_extension("err"));
        let (code, document) = self.end();
        assert_eq!(code, 0, "{document:#} {}", errors.unwrap());
        document
    }
}

pub fn number(document: &Value, pointer: &str) -> u64 {
    document.pointer(pointer).and_then(Value::as_u64).unwrap()
}

pub fn crosswalk(world: &World, party: &str) -> PathBuf {
    only_entry(&world.root().join(party).join("crosswalks"))
}

/// The folder of the one matching of a party.
pub fn slot(world: &World, party: &str) -> PathBuf {
    only_entry(&world.root().join(party).join("matching"))
}

pub fn journal_bytes(world: &World, party: &str) -> u64 {
    let folders = fs::read_dir(world.root().join(party).join("matching"));
    let journals = folders.into_iter().flatten();
    let bytes = journals.map(|folder| {
        let journal = folder.unwrap().path().join("journal");
        fs::metadata(journal).map_or(0, |found| found.len())
    });
    bytes.sum()
}

/// An undisturbed run.
fn reference_kept(world: &World) {
    let shop = Running::start(world, "shop", &[]);
    Running::start(world, "mailer", &[]).good();
    shop.good();
}

/// An undisturbed run, whose crosswalks are taken away: theirs are the bytes to come to.
pub fn reference(world: &World) -> [Vec<u8>; 2] {
    reference_kept(world);
    take_away(world)
}

pub fn take_away(world: &World) -> [Vec<u8>; 2] {
    ["shop", "mailer"].map(|party| {
        let path = crosswalk(world, party);
        let bytes = fs::read(&path).unwrap();
        fs::remove_file(path).unwrap();
        bytes
    })
}

#[track_caller]
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(60), "never {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until some of a run is done, and not all.
pub fn until_under_way(world: &World, party: &str) {
    until("under way", || journal_bytes(world, party) > 20_000);
}

fn repeated_at_most_a_window(document: &Value) {
    let multiplied = |kind: &str| number(document, &format!("/points_multiplied/{kind}"));
    let (own, peer) = (number(document, "/distinct"), number(document, "/peer_ids"));
    for (kind, needed) in [("blinded", own), ("raised", peer), ("completed", own)] {
        let repeated = multiplied(kind).saturating_sub(needed);
        assert!(repeated <= WINDOW, "{kind}: {repeated}");
    }
}
