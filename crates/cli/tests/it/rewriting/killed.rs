//! A command that is killed.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use incamera_seal::{Change, MANIFEST_FILE, PARTS_FOLDER};
use incamera_types::Pseudonym;

use super::{bad, consents, data, good, person, rows, run, write_ids};
use crate::invariants::support::{Holdings, files_below};
use crate::world::{PROGRAM, World};

/// Killed at any moment, the old version or the new one is there, whole, and the same command
/// does the rest.
#[test]
fn i3_killed_at_any_moment_and_done_by_the_next() {
    let world = World::ready();
    let crosswalk = Holdings(world.root()).crosswalk("shop");
    let ids = write_ids(
        &world,
        "p1@mail.example\np2@mail.example\np6@mail.example\n",
    );
    let shop = world.path("shop");
    for (verb, more) in [
        ("consent", &["--remove", "ads"][..]),
        ("forget", &[]),
        ("rotate", &["--data-keys"]),
    ] {
        let mut arguments = vec!["data", verb, "--party", &shop];
        arguments.extend(more);
        if verb != "rotate" {
            arguments.extend(["--ids", &ids, "--yes"]);
        }
        let mut finished = 0;
        for wait in 0..24u64 {
            let child = Command::new(PROGRAM)
                .args(&arguments)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let mut child = child.unwrap();
            std::thread::sleep(Duration::from_millis(60 * wait));
            let ended = child.try_wait().unwrap().is_some();
            child.kill().unwrap();
            child.wait().unwrap();
            whole(&world);
            if ended {
                finished += 1;
            }
            if finished > 1 {
                break;
            }
        }
        // The last one was killed: the register may be further than what follows it.
        if finished < 2 {
            good(run(&world, &arguments));
        }
        whole(&world);
    }
    for id in ["p1@mail.example", "p2@mail.example", "p6@mail.example"] {
        let one = person(&crosswalk, id);
        assert!(!rows(&world, "customers", "measurement").contains_key(one.as_bytes()));
        assert!(!rows(&world, "purchases", "measurement").contains_key(one.as_bytes()));
        assert!(consents(&world).class(&one).is_none());
    }
    assert_eq!(
        Holdings(world.root()).crosswalk("shop").len() + 3,
        crosswalk.len()
    );
    good(data(&world, &["push"]));
    good(world.query(&[]));
}

/// Every data set's manifest opens, each part that it names is there and opens, and no file
/// holds plaintext.
fn whole(world: &World) {
    for name in ["customers", "purchases"] {
        assert!(!rows(world, name, "measurement").is_empty());
    }
    for file in files_below(&world.root().join("shop/sealed")) {
        let bytes = fs::read(&file).unwrap();
        assert!(!bytes.starts_with(b"PAR1"), "{}", file.display());
        assert!(memchr::memmem::find(&bytes, b"mail.example").is_none());
    }
}

/// What takes somebody out, to be followed by `--ids FILE --yes`.
const CONSENT: &[&str] = &["consent", "--remove", "measurement"];
const FORGET: &[&str] = &["forget"];

/// One person's ids in a file, and the command that takes that person out.
struct Taken {
    person: Pseudonym,
    command: Vec<String>,
}

impl Taken {
    fn new(world: &World, id: &str, verb: &[&str]) -> Self {
        let ids = write_ids(world, &format!("{id}\n"));
        let command = [verb, &["--ids", &ids, "--yes"]].concat();
        Self {
            person: person(&Holdings(world.root()).crosswalk("shop"), id),
            command: command.into_iter().map(str::to_owned).collect(),
        }
    }

    fn command(&self) -> Vec<&str> {
        self.command.iter().map(String::as_str).collect()
    }

    /// Whether the data set has rows of the person for what consent is taken back to.
    fn is_in(&self, world: &World, name: &str) -> bool {
        rows(world, name, "measurement").contains_key(self.person.as_bytes())
    }

    fn agrees(&self, world: &World) -> bool {
        let agreed = consents(world);
        let agreed = agreed.class(&self.person);
        agreed.is_some_and(|agreed| agreed.to_string().contains("measurement"))
    }
}

/// Whether the newest version of the data set says that it took somebody's rows away.
fn says_so(world: &World, name: &str) -> bool {
    let manifest = Holdings(world.root()).manifest("shop", name);
    let last = manifest.removals().last();
    let takes = |change| matches!(change, Change::ConsentRemoved | Change::Forgotten);
    takes(manifest.change())
        && last.is_some_and(|last| last.version == manifest.version() && takes(last.change))
}

/// The register has its new version, and what follows it does not: whatever command comes next
/// takes the rows away there too, and says so.
#[test]
fn i3_cut_short_behind_the_register_and_done_by_any_other() {
    let world = World::ready();
    let parts = Holdings(world.root())
        .sealed("shop", "purchases")
        .join(PARTS_FOLDER);
    for (id, verb, next) in [
        ("p1@mail.example", CONSENT, Some("rotate")),
        ("p2@mail.example", CONSENT, Some("retag")),
        ("p3@mail.example", FORGET, Some("rotate")),
        ("p5@mail.example", FORGET, None),
    ] {
        let taken = Taken::new(&world, id, verb);
        assert!(taken.is_in(&world, "customers") && taken.is_in(&world, "purchases"));
        fs::rename(&parts, world.path("aside")).unwrap();
        let cut = data(&world, &taken.command());
        fs::rename(world.path("aside"), &parts).unwrap();
        bad(
            &cut,
            1,
            &["`purchases` was left as it is", "`customers` version"],
        );
        assert!(!taken.is_in(&world, "customers") && taken.is_in(&world, "purchases"));
        let next = next.map_or_else(|| taken.command(), |next| vec![next]);
        good(data(&world, &next));
        assert!(!taken.is_in(&world, "purchases"), "{id}: {next:?}");
        assert!(says_so(&world, "purchases"), "{id}: {next:?}");
        whole(&world);
    }
    good(data(&world, &["push"]));
}

/// The consents are written, and the register is as it was: its next version takes the rows away.
#[test]
fn i3_cut_short_ahead_of_the_register_and_done_by_any_other() {
    let world = World::ready();
    let register = Holdings(world.root()).sealed("shop", "customers");
    let way = register.join(format!("{MANIFEST_FILE}.new"));
    for (id, verb, next) in [
        ("p1@mail.example", CONSENT, Some("retag")),
        ("p2@mail.example", FORGET, Some("rotate")),
        ("p3@mail.example", CONSENT, None),
    ] {
        let taken = Taken::new(&world, id, verb);
        fs::create_dir(&way).unwrap();
        let cut = data(&world, &taken.command());
        fs::remove_dir(&way).unwrap();
        bad(&cut, 1, &["`customers` was left as it is"]);
        assert!(!taken.agrees(&world) && taken.is_in(&world, "customers"));
        let next = next.map_or_else(|| taken.command(), |next| vec![next]);
        good(data(&world, &next));
        for name in ["customers", "purchases"] {
            assert!(!taken.is_in(&world, name), "{id}: {next:?}: {name}");
            assert!(says_so(&world, name), "{id}: {next:?}: {name}");
        }
        whole(&world);
    }
    good(data(&world, &["push"]));
}
