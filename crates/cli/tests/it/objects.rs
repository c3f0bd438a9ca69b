//! Commands on data that lie in an object store.

use std::fs;
use std::path::Path;
use std::process::Command;

use incamera_testkit::objects::{Faults, ObjectStore};
use serde_json::Value;

use crate::world::{Data, PROGRAM, World};

/// Runs a command in the environment of the store; gives its exit code, its document and all it
/// said.
fn run(store: &ObjectStore, arguments: &[&str]) -> (i32, Value, String) {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).args(["--json", "--quiet"]);
    let output = command.envs(store.environment()).output().unwrap();
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    let document = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let code = output.status.code().unwrap();
    (code, document, String::from_utf8(said).unwrap())
}

/// What does not differ from one sealing of the same rows to the next.
fn counts(document: &Value) -> Vec<Value> {
    let names = [
        "rows",
        "sealed",
        "parts",
        "without_pseudonym",
        "without_consent",
        "clamped",
    ];
    names.map(|name| document[name].clone()).to_vec()
}

#[test]
fn data_are_sealed_from_a_store_as_from_a_file() {
    let world = &World::agreed();
    world.write_data(&Data::small());
    world.start();
    let store = ObjectStore::start(None).unwrap();
    for name in ["customers", "purchases"] {
        let text = fs::read_to_string(world.path(&format!("data/{name}.csv"))).unwrap();
        let (header, rows) = text.split_once('\n').unwrap();
        let half = rows
            .match_indices('\n')
            .nth(rows.lines().count() / 2)
            .unwrap()
            .0;
        let (first, second) = rows.split_at(half + 1);
        store.put(&format!("box/{name}.csv"), text.as_bytes());
        store.put(&format!("box/{name}/1.csv"), format!("{header}\n{first}"));
        store.put(&format!("box/{name}/2.csv"), format!("{header}\n{second}"));
    }
    let shop = world.path("shop");
    // Ids come from a store too.
    let mailer = world.path("mailer");
    let mailing = world.path("data/mailing.csv");
    std::thread::scope(|scope| {
        let theirs = ["match", "run", "--party", &mailer, "--data", &mailing];
        let theirs = scope.spawn(move || world.done(&theirs));
        let ours = [
            "match",
            "run",
            "--party",
            &shop,
            "--data",
            "s3://box/customers/",
        ];
        let (code, document, said) = run(&store, &ours);
        assert_eq!(code, 0, "{said}");
        assert!(!document.is_null(), "{said}");
        theirs.join().unwrap();
        sealed_alike(world, &store, &shop);
    });
}

fn sealed_alike(world: &World, store: &ObjectStore, shop: &str) {
    for name in ["customers", "purchases"] {
        let file = world.seal_one("shop", name);
        for object in [format!("s3://box/{name}.csv"), format!("gs://box/{name}/")] {
            let seal = ["data", "seal", name, "--party", shop, "--data", &object];
            let (code, document, said) = run(store, &seal);
            assert_eq!(code, 0, "{said}");
            assert_eq!(counts(&document), counts(&file.document), "{object}");
        }
    }
    refusals(store, shop);
    proposals(world, store);
    let temporary = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    let csv = |path: &Path| path.extension().is_some_and(|ending| ending == "csv");
    assert!(!temporary.map(|entry| entry.path()).any(|path| csv(&path)));
}

fn refusals(store: &ObjectStore, shop: &str) {
    let denied = Faults {
        status: Some(403),
        ..Faults::default()
    };
    store.put_faulty("box/denied.csv", "", denied);
    let address = store.address();
    let signed = format!("http://{address}/box/gone.csv?X-Amz-Signature=secret");
    for (object, says, hint) in [
        (
            "s3://box/denied.csv",
            "does not let these credentials",
            "AWS_ACCESS_KEY_ID",
        ),
        (
            "s3://box/gone.csv",
            "no such object",
            "run the command again",
        ),
        (signed.as_str(), "no such object", "run the command again"),
        (
            "ftp://host.example/a.csv",
            "not read from",
            ".csv or .parquet",
        ),
    ] {
        let seal = [
            "data",
            "seal",
            "purchases",
            "--party",
            shop,
            "--data",
            object,
        ];
        let (code, _, said) = run(store, &seal);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(says) && said.contains(hint), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }
}

fn proposals(world: &World, store: &ObjectStore) {
    let out = world.path("proposed.toml");
    let new = [
        "agreement",
        "new",
        "--data",
        "s3://box/purchases.csv",
        "--out",
        &out,
    ];
    let (code, _, said) = run(store, &new);
    assert_eq!(code, 0, "{said}");
    let text = fs::read_to_string(out).unwrap();
    assert!(text.contains("[datasets.purchases]"), "{text}");
}
