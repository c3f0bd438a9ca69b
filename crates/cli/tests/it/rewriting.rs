//! Sealed data sets that get new versions without their source: with the built program, against
//! running services.

mod followers;
mod killed;
mod left;
mod matching;
mod over;
mod renamed;
mod restored;
mod sealed_again;
mod stale;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use incamera_ledger::Ledger;
use incamera_seal::{
    Consents, Crosswalk, check_part_file, granted_parts, part_path, read_part, unwrap_keys,
};
use incamera_testkit::stage::Outcome;
use incamera_types::{ColumnName, Pseudonym};
use incamera_wire::v1::LogEntry;

use crate::invariants::support::{Holdings, copy_folder, files_below, purpose};
use crate::world::World;

/// `p1` has one purchase, `P2` two; the others nobody knows.
const IDS: &str = "p1@mail.example\n  P2@Mail.example\nunknown@x.example\nno id at all\n\n";

fn run(world: &World, arguments: &[&str]) -> Outcome {
    world.stage.command(arguments).unwrap()
}

/// A verb of `data` at the shop.
fn data(world: &World, arguments: &[&str]) -> Outcome {
    let shop = world.path("shop");
    run(world, &[&["data"], arguments, &["--party", &shop]].concat())
}

#[track_caller]
fn good(outcome: Outcome) -> Outcome {
    assert_eq!(outcome.code, 0, "{}\n{}", outcome.failure(), outcome.errors);
    outcome
}

#[track_caller]
fn bad(outcome: &Outcome, code: i32, says: &[&str]) {
    let text = format!("{} {}", outcome.failure(), outcome.text("/error/hint"));
    assert_eq!(outcome.code, code, "{text}");
    for word in says {
        assert!(text.contains(word), "`{word}`: {text}");
    }
}

fn dataset<'a>(outcome: &'a Outcome, name: &str) -> &'a serde_json::Value {
    let all = outcome.document["datasets"].as_array().unwrap();
    all.iter().find(|one| one["dataset"] == name).unwrap()
}

fn write_ids(world: &World, text: &str) -> String {
    fs::write(world.path("ids.txt"), text).unwrap();
    world.path("ids.txt")
}

/// How many rows each person has in what the shop's own keys open for a purpose.
pub fn rows(world: &World, name: &str, to: &str) -> BTreeMap<[u8; 16], usize> {
    let holdings = Holdings(world.root());
    let (manifest, ring) = (holdings.manifest("shop", name), holdings.ring("shop"));
    let columns: [ColumnName; 1] = ["person".parse().unwrap()];
    let keys = unwrap_keys(&manifest, &purpose(to), &columns, &ring).unwrap();
    let parts = granted_parts(&manifest, &purpose(to), &columns, keys).unwrap();
    let mut people = BTreeMap::new();
    for (id, keys) in &parts {
        let part = manifest.part(id).unwrap();
        let path = part_path(&holdings.sealed("shop", name), id);
        check_part_file(&path, &manifest, part).unwrap();
        let file = fs::File::open(path).unwrap();
        for batch in read_part(file, &manifest, part, keys, &columns, 100).unwrap() {
            let batch = batch.unwrap();
            let column: &arrow::array::FixedSizeBinaryArray =
                batch.column(0).as_any().downcast_ref().unwrap();
            for row in 0..batch.num_rows() {
                let person = <[u8; 16]>::try_from(column.value(row)).unwrap();
                *people.entry(person).or_default() += 1;
            }
        }
    }
    people
}

fn person(crosswalk: &Crosswalk, id: &str) -> Pseudonym {
    crosswalk.lookup(id).unwrap()
}

fn deletions(world: &World) -> Vec<LogEntry> {
    let holdings = Holdings(world.root());
    let ledger = Ledger::open(
        &holdings.path("shop/ledger.sqlite"),
        &"shop".parse().unwrap(),
    );
    let entries = ledger
        .unwrap()
        .log_entries(&holdings.agreement().id, 0, 100);
    let entries = entries.unwrap().into_iter();
    let entries = entries.map(|entry| incamera_wire::decode::<LogEntry>(&entry, 1 << 16).unwrap());
    entries.filter(|entry| entry.event == "deletion").collect()
}

fn consents(world: &World) -> Consents {
    let folder = world.root().join("shop/consents");
    let files = files_below(&folder).into_iter();
    let mut files = files.filter(|file| file.extension().is_some_and(|end| end == "parquet"));
    Consents::read(&files.next().unwrap()).unwrap()
}

fn sealed_bytes(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = files_below(&world.root().join("shop/sealed")).into_iter();
    files
        .map(|file| (file.clone(), fs::read(file).unwrap()))
        .collect()
}

#[test]
fn i3_a_forgotten_person_is_nowhere_and_the_log_says_that_not_who() {
    let world = World::ready();
    let crosswalk = Holdings(world.root()).crosswalk("shop");
    let (one, two) = (
        person(&crosswalk, "p1@mail.example"),
        person(&crosswalk, "p2@mail.example"),
    );
    let before = rows(&world, "purchases", "measurement");
    assert_eq!((before[one.as_bytes()], before[two.as_bytes()]), (1, 2));
    let ids = write_ids(&world, IDS);
    let sealed = sealed_bytes(&world);
    bad(
        &data(&world, &["forget", "--ids", &ids]),
        2,
        &["nobody is at a terminal", "`--yes`", "`--dry-run`"],
    );
    let dry = good(data(&world, &["forget", "--ids", &ids, "--dry-run"]));
    assert_eq!(dataset(&dry, "purchases")["rows_gone"], 3);
    assert_eq!(sealed_bytes(&world), sealed, "a dry run wrote something");
    refused_ids(&world);
    assert_eq!(sealed_bytes(&world), sealed, "a refusal wrote something");
    // Whoever kept everything sealed so far.
    let old = tempfile::tempdir().unwrap();
    copy_folder(&world.root().join("shop"), &old.path().join("shop"));

    let forgotten = good(data(&world, &["forget", "--ids", &ids, "--yes"]));
    assert_eq!(forgotten.number("/people/known"), 2);
    assert_eq!(forgotten.number("/people/unknown"), 1);
    assert_eq!(forgotten.number("/people/invalid"), 1);
    for (name, gone) in [("customers", 2), ("purchases", 3)] {
        let told = dataset(&forgotten, name);
        assert_eq!(told["rows_gone"], gone, "{told}");
        assert!(told["keys_destroyed"].as_u64().unwrap() > 0, "{told}");
        assert_eq!(
            (&told["key_epoch"], &told["version"]),
            (&2.into(), &2.into())
        );
    }
    let backups = forgotten.text("/backups");
    assert!(backups.contains("ring.age") && backups.contains("ring.recovery.age"));
    let after = rows(&world, "purchases", "measurement");
    let mut expected = before.clone();
    expected.retain(|person, _| person != one.as_bytes() && person != two.as_bytes());
    assert_eq!(after, expected);
    old_copy_is_shut(&world, old.path());
    let left = Holdings(world.root()).crosswalk("shop");
    assert_eq!(left.len() + 2, crosswalk.len());
    assert!(left.lookup("p1@mail.example").is_none());
    assert!(consents(&world).class(&one).is_none());

    // Pushed: only what is new; the query runs; the log says what was done and not to whom.
    let pushed = good(data(&world, &["push"]));
    let sent = pushed.document["datasets"].as_array().unwrap();
    let sent: u64 = sent
        .iter()
        .map(|one| one["parts_sent"].as_u64().unwrap())
        .sum();
    assert!((1..=4).contains(&sent), "{sent} parts");
    good(world.query(&[]));
    let entries = deletions(&world);
    let mut told: Vec<_> = entries
        .iter()
        .map(|one| (&*one.dataset, &*one.what))
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [("customers", "forgotten"), ("purchases", "forgotten")]
    );
    for entry in &entries {
        assert_eq!(
            (entry.manifest.len(), entry.manifest_before.len()),
            (32, 32)
        );
        let silent = LogEntry {
            format: entry.format.clone(),
            event: entry.event.clone(),
            agreement_id: entry.agreement_id.clone(),
            agreement_digest: entry.agreement_digest.clone(),
            at: entry.at,
            dataset: entry.dataset.clone(),
            manifest_before: entry.manifest_before.clone(),
            manifest: entry.manifest.clone(),
            what: entry.what.clone(),
            ..LogEntry::default()
        };
        assert_eq!(*entry, silent);
    }
    again_and_older(&world, &ids, old.path());
}

/// What is no list of people known here.
fn refused_ids(world: &World) {
    let forget = |file: &str, more: &[&str]| {
        data(world, &[&["forget", "--ids", file, "--yes"], more].concat())
    };
    bad(
        &forget(&world.path("missing.txt"), &[]),
        1,
        &["were not read"],
    );
    for (text, why) in [
        ("", "the file has no rows"),
        ("no id\n", "has a valid `email`"),
        ("nobody@x.example\n", "is in the crosswalk"),
    ] {
        fs::write(world.path("bad.txt"), text).unwrap();
        bad(&forget(&world.path("bad.txt"), &[]), 1, &[why]);
    }
    fs::write(world.path("bad.csv"), "name\np1@mail.example\n").unwrap();
    bad(
        &forget(&world.path("bad.csv"), &[]),
        1,
        &["email", "`--column`"],
    );
    let other = forget(&world.path("bad.csv"), &["--id", "phone"]);
    bad(&other, 2, &["`--id`", "`email`"]);
    let ids = write_ids(world, IDS);
    let consent = data(
        world,
        &["consent", "--remove", "fun", "--ids", &ids, "--yes"],
    );
    bad(&consent, 2, &["no purpose `fun`", "`ads`", "`measurement`"]);
    bad(
        &data(world, &["revoke", "fun", "--yes"]),
        2,
        &["`measurement`"],
    );
    bad(
        &data(world, &["rotate", "mailing"]),
        2,
        &["no data set of `shop`"],
    );
    let restored = data(
        world,
        &[
            "seal",
            "purchases",
            "--data",
            &world.path("data/purchases.csv"),
            "--restore",
            "ads",
        ],
    );
    bad(&restored, 2, &["`ads` is no revoked purpose"]);
}

/// Old files, old manifests and the ring as it is: nothing opens. With the old ring, all does.
fn old_copy_is_shut(world: &World, old: &Path) {
    let now = Holdings(world.root());
    let then = Holdings(old);
    for name in ["customers", "purchases"] {
        let manifest = then.manifest("shop", name);
        for to in ["ads", "measurement"] {
            let open = |ring: &incamera_seal::KeyRing| {
                let names = manifest.columns().iter();
                let mut open = names.map(|column| {
                    unwrap_keys(
                        &manifest,
                        &purpose(to),
                        std::slice::from_ref(&column.name),
                        ring,
                    )
                    .map_or(0, |keys| keys.len())
                });
                open.clone()
                    .sum::<usize>()
                    .max(open.next().unwrap_or_default())
            };
            assert_eq!(open(&now.ring("shop")), 0, "{name} for {to}");
            let had = manifest
                .parts()
                .iter()
                .any(|part| part.opens_for(&purpose(to)));
            assert_eq!(open(&then.ring("shop")) > 0, had, "{name} for {to}");
        }
    }
}

fn again_and_older(world: &World, ids: &str, old: &Path) {
    bad(
        &data(world, &["forget", "--ids", ids, "--yes"]),
        1,
        &["nobody is concerned", "forgotten already"],
    );
    // The source still has them, and nobody knows them any more.
    let sealed = world.seal_one("shop", "customers");
    assert_eq!(sealed.number("/without_pseudonym"), 2);
    assert_eq!(
        Holdings(world.root())
            .manifest("shop", "customers")
            .key_epoch(),
        3
    );
    // The version before comes back: no broker takes it.
    let folder = Holdings(world.root()).sealed("shop", "purchases");
    fs::remove_dir_all(&folder).unwrap();
    copy_folder(&Holdings(old).sealed("shop", "purchases"), &folder);
    bad(
        &data(world, &["push", "purchases"]),
        3,
        &["versions only go up"],
    );
}

#[test]
fn i3_consent_withdrawn_at_home_holds_everywhere() {
    let world = World::ready();
    let one = person(&Holdings(world.root()).crosswalk("shop"), "p1@mail.example");
    let register = |to| rows(&world, "customers", to).contains_key(one.as_bytes());
    assert!(register("ads") && register("measurement"));
    let ids = write_ids(&world, "email\np1@mail.example\n");
    fs::rename(&ids, world.path("ids.csv")).unwrap();
    let ids = world.path("ids.csv");
    let remove = ["consent", "--remove", "measurement", "--ids", &ids, "--yes"];
    let told = good(data(&world, &remove));
    assert_eq!(dataset(&told, "customers")["rows_moved"], 1);
    assert_eq!(dataset(&told, "purchases")["rows_gone"], 1);
    assert!(told.text("/notes").contains("source file"));
    assert!(register("ads") && !register("measurement"));
    assert!(!rows(&world, "purchases", "measurement").contains_key(one.as_bytes()));
    assert_eq!(consents(&world).class(&one).unwrap().to_string(), "ads");
    // Once more changes nothing.
    let sealed = sealed_bytes(&world);
    let told = good(data(&world, &remove));
    assert_eq!(dataset(&told, "purchases")["changes"], false);
    assert_eq!(sealed_bytes(&world), sealed);
    good(data(&world, &["push"]));
    good(world.query(&[]));
    let what: Vec<String> = deletions(&world).into_iter().map(|one| one.what).collect();
    assert_eq!(what, ["consent-removed", "consent-removed"]);
    // Its other data sets are sealed by the new consents.
    assert!(
        world
            .seal_one("shop", "purchases")
            .number("/without_consent")
            > 0
    );
    assert!(!rows(&world, "purchases", "measurement").contains_key(one.as_bytes()));
}

/// Under the newest version, at one party.
fn under_second(world: &World, party: &str, arguments: &[&str]) -> Outcome {
    let folder = world.path(party);
    let file = world.path(&format!("{party}/agreements/second.toml"));
    let more = ["--party", &folder, "--agreement", &file];
    run(world, &[&["data"], arguments, &more].concat())
}

#[test]
fn i3_purposes_follow_the_agreement() {
    let world = World::ready();
    world.second(|text| {
        let more = "max = 500, purposes = [\"ads\", \"measurement\"]";
        let text = text.replacen("max = 500, purposes = [\"measurement\"]", more, 1);
        let fewer = "\"pseudonym\", purposes = [\"measurement\"]";
        text.replacen(
            "\"pseudonym\", purposes = [\"ads\", \"measurement\"]",
            fewer,
            1,
        )
    });
    let unfit = under_second(&world, "shop", &["push"]);
    bad(&unfit, 3, &["list of columns", "`incamera data retag`"]);
    let before = rows(&world, "purchases", "measurement");
    let told = good(under_second(&world, "shop", &["retag"]));
    // One purpose more for purchases: keys alone. One fewer for customers: encrypted anew, and
    // whoever agreed to nothing else is in no part.
    let purchases = dataset(&told, "purchases");
    assert_eq!(
        (&purchases["parts_rewritten"], &purchases["key_epoch"]),
        (&0.into(), &1.into())
    );
    assert!(purchases["parts_rewrapped"].as_u64().unwrap() > 0);
    let customers = dataset(&told, "customers");
    assert!(customers["parts_rewritten"].as_u64().unwrap() > 0);
    assert!(customers["parts_left_out"].as_u64().unwrap() > 0);
    assert_eq!(customers["key_epoch"], 2);
    let again = good(under_second(&world, "shop", &["retag"]));
    assert_eq!(dataset(&again, "customers")["changes"], false);
    assert_eq!(rows(&world, "purchases", "measurement"), before);
    assert_eq!(rows(&world, "purchases", "ads"), before);
    good(under_second(&world, "shop", &["push"]));
    good(under_second(&world, "mailer", &["push"]));
    good(world.query_under("second", &[]));
    let told: Vec<String> = deletions(&world)
        .iter()
        .map(|one| format!("{} {}", one.dataset, one.what))
        .collect();
    assert_eq!(told, ["customers retagged"]);
}

/// Values that were cut at the old bound stay cut: `retag` does what it can, and says what it
/// cannot.
#[test]
fn what_only_the_source_has_is_asked_for() {
    let world = World::ready();
    world.second(|text| {
        let wider = "max = 900, purposes = [\"ads\", \"measurement\"]";
        text.replacen("max = 500, purposes = [\"measurement\"]", wider, 1)
    });
    let asked = |told: &Outcome, name: &str| dataset(told, name)["seal_from_source"].to_string();
    let told = good(under_second(&world, "shop", &["retag"]));
    assert_eq!(
        asked(&told, "purchases"),
        "[\"column `amount` has other bounds\"]"
    );
    assert_eq!(asked(&told, "customers"), "[]");
    assert_eq!(dataset(&told, "purchases")["changes"], true);
    assert_eq!(
        rows(&world, "purchases", "ads"),
        rows(&world, "purchases", "measurement")
    );
    // It is said for as long as it is so, also to people.
    let folder = world.path("shop");
    let file = world.path("shop/agreements/second.toml");
    let retag = ["data", "retag", "--party", &folder, "--agreement", &file];
    let said = std::process::Command::new(crate::world::PROGRAM)
        .args(retag)
        .output()
        .unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(
        said.contains("column `amount` has other bounds") && said.contains("data seal purchases"),
        "{said}"
    );
    let source = world.path("data/purchases.csv");
    good(under_second(
        &world,
        "shop",
        &["seal", "purchases", "--data", &source],
    ));
    let told = good(under_second(&world, "shop", &["retag"]));
    assert_eq!(asked(&told, "purchases"), "[]");
}

#[test]
fn i3_a_revoked_purpose_comes_back_only_when_it_is_named() {
    let world = World::ready();
    good(world.query(&[]));
    let told = good(data(
        &world,
        &["revoke", "measurement", "purchases", "--yes"],
    ));
    assert_eq!(dataset(&told, "purchases")["keys_destroyed"], 1);
    assert!(told.text("/notes").contains("granted already"));
    good(data(&world, &["push"]));
    let refused = |hint: &str| {
        let outcome = world.query(&["from=2026-03-02", "until=2026-05-30"]);
        assert_ne!(outcome.code, 0, "{hint}");
        assert!(
            outcome.failure().contains("revoked"),
            "{}",
            outcome.failure()
        );
    };
    refused("revoked");
    // Sealing again, with the manifest here or lost, does not bring it back.
    let again = data(
        &world,
        &[
            "seal",
            "purchases",
            "--yes",
            "--data",
            &world.path("data/purchases.csv"),
        ],
    );
    good(again);
    good(data(&world, &["push"]));
    refused("sealed again");
    let folder = Holdings(world.root()).sealed("shop", "purchases");
    fs::remove_dir_all(&folder).unwrap();
    let source = world.path("data/purchases.csv");
    good(data(
        &world,
        &["seal", "purchases", "--yes", "--data", &source],
    ));
    good(data(&world, &["push"]));
    refused("lost and sealed again");
    fs::remove_dir_all(&folder).unwrap();
    good(data(
        &world,
        &[
            "seal",
            "purchases",
            "--yes",
            "--data",
            &source,
            "--restore",
            "measurement",
        ],
    ));
    good(data(&world, &["push"]));
    good(world.query(&["from=2026-03-02", "until=2026-05-30"]));
}

#[test]
fn new_keys_need_no_part_sent_again() {
    let world = World::ready();
    let told = good(data(&world, &["rotate"]));
    assert_eq!(dataset(&told, "purchases")["parts_rewritten"], 0);
    let pushed = good(data(&world, &["push"]));
    let sent = pushed.document["datasets"].as_array().unwrap();
    assert!(sent.iter().all(|one| one["parts_sent"] == 0), "{sent:?}");
    good(world.query(&[]));
    let told = good(data(&world, &["rotate", "purchases", "--data-keys"]));
    assert!(
        dataset(&told, "purchases")["parts_rewritten"]
            .as_u64()
            .unwrap()
            > 0
    );
    good(data(&world, &["push"]));
    good(world.query(&["from=2026-03-02", "until=2026-05-30"]));
    assert!(deletions(&world).is_empty());
}
