//! The real ADBC driver for Flight SQL asks a room. `INCAMERA_PYTHON` names a Python that has
//! it; with `INCAMERA_REQUIRE_ADBC` set, a test without it fails.

use std::path::{Path, PathBuf};
use std::process::Command;

use incamera_testkit::stage::Outcome;
use serde_json::Value;

use crate::world::{AGREEMENT, World};

const HELPERS: &str = r#"
import json, sys
from datetime import date
import incamera_flight as room, pyarrow as pa
url, folder, digest = sys.argv[1:4]
def connect(**changed):
    said = dict(token=folder + "/query.token", certificate=folder + "/room.pem",
                agreement=digest, purpose="measurement")
    said.update(changed)
    return room.connect(url, **said)
days = {"from": date(2026, 4, 1), "until": date(2026, 4, 30)}
def error(action):
    try:
        action()
    except Exception as e:
        return str(e)
    return None
def out(value): print(json.dumps(value, default=str))
"#;

/// A Python with the driver, or a word that the test is skipped.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("INCAMERA_PYTHON").map(PathBuf::from);
    let python = named.unwrap_or_else(|| "python3".into());
    let found = Command::new(&python)
        .args(["-c", "import adbc_driver_flightsql.dbapi, pyarrow"])
        .output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    assert!(
        std::env::var_os("INCAMERA_REQUIRE_ADBC").is_none(),
        "INCAMERA_REQUIRE_ADBC says that {} has adbc-driver-flightsql and pyarrow",
        python.display()
    );
    eprintln!(
        "SKIPPED: no Python with adbc-driver-flightsql and pyarrow; INCAMERA_PYTHON may name one"
    );
    None
}

struct Notebook {
    python: PathBuf,
    world: World,
    digest: String,
    token: String,
}

impl Notebook {
    fn new(python: PathBuf) -> Self {
        let world = World::ready();
        trust(&world);
        let made = token(&world, &["lift"]);
        Self {
            python,
            world,
            digest: made.text("/agreement_digest"),
            token: made.text("/token_digest"),
        }
    }

    /// What a script prints as JSON.
    #[track_caller]
    fn says(&self, script: &str) -> Value {
        let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python");
        let output = Command::new(&self.python)
            .args(["-c", &format!("{HELPERS}{script}")])
            .arg(format!("https://{}", self.world.room.listens))
            .arg(self.world.root())
            .arg(&self.digest)
            .env("PYTHONPATH", client)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    }
}

fn file(world: &World) -> String {
    world.path(&format!("mailer/agreements/{AGREEMENT}.toml"))
}

fn trust(world: &World) -> Outcome {
    let (file, pem) = (file(world), world.path("room.pem"));
    world.done(&["evidence", "trust", "--agreement", &file, "--out", &pem])
}

fn token(world: &World, queries: &[&str]) -> Outcome {
    let (file, key) = (file(world), world.path("mailer/analysts/ana"));
    let out = world.path("query.token");
    let mut arguments = vec!["query", "token"];
    arguments.extend(queries);
    arguments.extend(["--agreement", &file, "--as", "mailer/ana", "--key", &key]);
    arguments.extend(["--reason", "a dashboard", "--out", &out]);
    world.done(&arguments)
}

#[test]
fn a_driver_gets_types_ranges_and_a_receipt() {
    let Some(python) = python() else { return };
    let notebook = Notebook::new(python);
    let said = notebook.says(
        r#"
with connect() as it:
    answer = room.ask(it, "lift", days)
    again = room.ask(it, "lift", days)
    by_order = it.cursor()
    by_order.execute("lift", [days["from"], days["until"]])
    room.keep_receipt(answer, folder + "/driver.release")
    out({"types": {f.name: str(f.type) for f in answer.schema}, "rows": answer.to_pylist(),
         "same": answer.equals(again), "by_order": by_order.fetch_arrow_table().equals(answer),
         "metadata": {k.decode(): v.decode()[:40] for k, v in answer.schema.metadata.items()},
         "server": it.adbc_get_info()["vendor_name"]})
"#,
    );
    let types = &said["types"];
    assert_eq!(types["campaign_group"], "string");
    assert_eq!(types["withheld"], "bool");
    for number in ["people", "people_low", "people_high", "spend", "spend_low"] {
        assert_eq!(types[number], "double", "{number}");
    }
    assert_eq!(said["same"], true, "the same question has the same answer");
    assert_eq!(said["by_order"], true);
    assert_eq!(said["server"], "In Camera room");
    assert_eq!(said["metadata"]["incamera.query"], "lift");
    assert_eq!(said["metadata"]["incamera.simulated"], "true");
    let rows = said["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let number = |name: &str| row[name].as_f64().unwrap();
        assert!(number("people_low") < number("people"));
        assert!(number("people") < number("people_high"));
    }
    // What the command shows of the receipt is what the driver got.
    let world = &notebook.world;
    let (release, agreement) = (world.path("driver.release"), file(world));
    let verified = world.done(&["verify", &release, "--agreement", &agreement]);
    assert_eq!(verified.text("/analyst"), "mailer/ana");
    assert_eq!(verified.text("/token"), notebook.token);
    // Three questions, one charge; the command's same question is free, another window is not.
    let spent = world.spent("shop");
    assert_ne!(spent, 0);
    assert_eq!(
        world.query(&["from=2026-04-01", "until=2026-04-30"]).code,
        0
    );
    assert_eq!(world.spent("shop"), spent);
    assert_eq!(world.query(&[]).code, 0);
    assert_eq!(world.spent("shop"), 2 * spent);
}

#[test]
fn a_driver_is_told_what_is_wrong_and_what_to_do() {
    let Some(python) = python() else { return };
    let notebook = Notebook::new(python);
    let said = notebook.says(
        r#"
wrong = open(folder + "/wrong.token", "w"); wrong.write("AAAA"); wrong.close()
def asks(query="lift", parameters=days, **changed):
    def action():
        with connect(**changed) as it:
            room.ask(it, query, parameters)
    return error(action)
out({"fine": asks(),
     "sql": asks("SELECT email FROM customers", None),
     "token": asks(token=folder + "/wrong.token"),
     "purpose": asks(purpose="ads"),
     "agreement": asks(agreement="ab" * 32),
     "missing": asks(parameters={"from": date(2026, 4, 1)}),
     "none": asks(parameters=None),
     "name": asks(parameters={"from": date(2026, 4, 1), "to": date(2026, 4, 30)}),
     "order": asks(parameters={"0": date(2026, 4, 1), "1": 5}),
     "swapped": asks(parameters={"Until": date(2026, 4, 30), "From": date(2026, 4, 1)}),
     "null": asks(parameters={"from": None, "until": date(2026, 4, 1)}),
     "nested": asks(parameters={"from": [1, 2], "until": date(2026, 4, 1)}),
     "moment": asks(parameters={"from": 1.5, "until": date(2026, 4, 1)}),
     "more": asks(parameters={"0": date(2026, 4, 1), "1": date(2026, 4, 1), "2": 1}),
     "type": asks(parameters={"from": "soon", "until": "later"}),
     "certificate": asks(certificate="/dev/null")})
"#,
    );
    assert_eq!(said["fine"], Value::Null);
    for (case, words) in [
        ("sql", "approves no such query"),
        ("sql", "the token covers lift"),
        ("token", "incamera query token"),
        ("purpose", "serves the purpose `measurement` and no other"),
        ("agreement", "another agreement"),
        ("missing", "`until` is missing"),
        ("none", "`from` is missing"),
        ("name", "has no such parameter"),
        ("order", "must be a date"),
        ("swapped", "has no such parameter"),
        ("null", "flat columns"),
        ("nested", "flat columns"),
        ("moment", "flat columns"),
        ("more", "as many parameters"),
        ("type", "must be a date"),
        ("certificate", "certificate"),
    ] {
        let text = said[case].as_str().unwrap_or_default();
        assert!(text.contains(words), "{case}: {text}");
    }
}

/// I4: an owner who takes no tokens refuses what came by one, and says so; the analyst's own
/// question goes on.
#[test]
fn i4_a_token_is_refused_by_owners_too() {
    let Some(python) = python() else { return };
    let notebook = Notebook::new(python);
    let world = &notebook.world;
    world.stage.stop("shop");
    world.configure("shop/party.toml", "tokens = false");
    world.start_party("shop", &[]);
    let asks = "out(error(lambda: room.ask(connect(), 'lift', days)))";
    let said = notebook.says(asks);
    let text = said.as_str().unwrap();
    assert!(
        text.contains("`shop`: this party takes no questions by tokens"),
        "{text}"
    );
    assert_eq!(world.spent("shop"), 0);
    assert_eq!(world.query(&[]).code, 0);
    assert_ne!(world.spent("shop"), 0);
}
