//! The real PyArrow: it reads our sealed parts for one purpose, and we read what it encrypted.
//! `INCAMERA_PYTHON` names a Python that has it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::ring_serve::{Serving, access_log, sealed, sealed_folder};
use crate::world::{AGREEMENT, MARKED_AMOUNT, World};

const HELPERS: &str = r#"
import json, os, sys, pathlib
import pyarrow as pa, pyarrow.parquet as pq, pyarrow.parquet.encryption as pe
import incamera_kms as kms
folder, party = sys.argv[1], sys.argv[2]
def out(value): print(json.dumps(value, default=str))
def error(action):
    try:
        action()
    except Exception as e:
        return [type(e).__name__, str(e)]
    return None
"#;

/// A Python with PyArrow, or a word that the test is skipped.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("INCAMERA_PYTHON").map(PathBuf::from);
    let python = named.clone().unwrap_or_else(|| "python3".into());
    let found = Command::new(&python)
        .args(["-c", "import pyarrow.parquet.encryption"])
        .output();
    if found.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    assert!(named.is_none(), "INCAMERA_PYTHON is no Python with PyArrow");
    eprintln!("SKIPPED: no Python with PyArrow; INCAMERA_PYTHON may name one");
    None
}

struct Script<'a> {
    python: PathBuf,
    world: &'a World,
    dataset: &'static str,
}

impl Script<'_> {
    fn run(&self, script: &str) -> Output {
        let client = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../python");
        Command::new(&self.python)
            .args(["-c", &format!("{HELPERS}{script}")])
            .arg(sealed_folder(self.world, self.dataset))
            .arg(self.world.path("shop"))
            .env("PYTHONPATH", client)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .output()
            .unwrap()
    }

    /// What a script prints as JSON.
    #[track_caller]
    fn says(&self, script: &str) -> Value {
        let output = self.run(script);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    }
}

/// The shop's purchases in clear: how often each day, amount and category stands there, by
/// whether the person agreed to measurement.
fn purchases(world: &World, measured_only: bool) -> BTreeMap<String, usize> {
    let read =
        |name: &str| std::fs::read_to_string(world.path(&format!("data/{name}.csv"))).unwrap();
    let customers = read("customers");
    let refused: Vec<&str> = customers
        .lines()
        .filter_map(|line| line.strip_suffix(",ads"))
        .collect();
    let mut rows = BTreeMap::new();
    for line in read("purchases").lines().skip(1) {
        let (email, rest) = line.split_once(',').unwrap();
        if !(measured_only && refused.contains(&email)) {
            *rows.entry(rest.to_owned()).or_default() += 1;
        }
    }
    rows
}

#[test]
fn i3_pyarrow_opens_the_columns_of_one_purpose() {
    let Some(python) = python() else { return };
    let world = sealed();
    let script = Script {
        python,
        world: &world,
        dataset: "purchases",
    };
    let read = r#"
rows = kms.read_columns(folder, ["day", "amount", "category"], party).to_pylist()
counts = {}
for row in rows:
    key = f"{row['day']},{row['amount']},{row['category']}"
    counts[key] = counts.get(key, 0) + 1
out(counts)
"#;
    let measurement = Serving::start(&world, "measurement");
    let found: BTreeMap<String, usize> = serde_json::from_value(script.says(read)).unwrap();
    assert_eq!(found, purchases(&world, true));
    assert!(found.keys().any(|row| row.contains(MARKED_AMOUNT)));
    let log = access_log(&world);
    let granted = |column: &str| {
        let of = |line: &&Value| line["granted"] == true && line["column"] == column;
        log.iter().filter(of).count()
    };
    let each = ["day", "amount", "category"].map(granted);
    assert!(each[0] > 0 && each == [each[0]; 3], "{each:?}");
    assert!(
        log.iter().any(|line| line["granted"] == false),
        "parts without consent"
    );
    measurement.stop();

    let ads = Serving::start(&world, "ads");
    let both = script.says(
        r#"
read = lambda columns: kms.read_columns(folder, columns, party)
out([read(["category"]).num_rows, error(lambda: read(["amount"])), error(lambda: read(None))])
"#,
    );
    assert_eq!(both[0], purchases(&world, false).values().sum::<usize>());
    for refused in [&both[1], &both[2]] {
        let said = refused[1].as_str().unwrap_or_default();
        assert!(said.contains("for the purpose `ads`"), "{both}");
    }
    // Statistics of a column are under its key. PyArrow ends the process where there is none.
    for (column, seen) in [("category", true), ("day", false), ("amount", false)] {
        let read = format!(
            r#"
for part, crypto in kms.open_parts(folder, party):
    # A part of people who agreed to less has fewer columns.
    if "{column}" not in part.schema_arrow.names: continue
    at = part.schema_arrow.names.index("{column}")
    print("least", part.metadata.row_group(0).column(at).statistics.min)
"#
        );
        let output = script.run(&read);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.success(), seen, "{column}: {output:?}");
        assert_eq!(said.contains("least food"), seen, "{column}: {said}");
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(why.contains("no key of"), !seen, "{column}: {why}");
    }
    ads.stop();
    let stopped = script.says("out(error(lambda: kms.read_columns(folder, ['category'], party)))");
    assert!(
        stopped[1].as_str().unwrap().contains("ring serve"),
        "{stopped}"
    );
}

/// The page's examples, as they stand there.
#[test]
fn the_page_on_pyarrow_says_what_works() {
    let Some(python) = python() else { return };
    let page = include_str!("../../../../docs/pyarrow.md");
    let blocks = page.split("```python\n").skip(1);
    let blocks: Vec<&str> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 2);
    let world = sealed();
    let data = world.path("data/purchases.csv");
    std::fs::copy(data, world.path("purchases.csv")).unwrap();
    let script = Script {
        python,
        world: &world,
        dataset: "purchases",
    };
    let serving = Serving::start(&world, "measurement");
    for block in blocks {
        let root = world.path("");
        let output = script.run(&format!("os.chdir({root:?})\n{block}"));
        assert!(output.status.success(), "{output:?}");
    }
    serving.stop();
    let (shop, data) = (world.path("shop"), world.path("purchases.parquet"));
    world.done(&[
        "data",
        "seal",
        "purchases",
        "--party",
        &shop,
        "--data",
        &data,
    ]);
}

#[test]
fn a_part_that_was_replaced_opens_no_more_in_pyarrow() {
    let Some(python) = python() else { return };
    let world = sealed();
    let script = Script {
        python,
        world: &world,
        dataset: "purchases",
    };
    let folder = sealed_folder(&world, "purchases");
    let old = world.root().join("old");
    let copy = Command::new("cp")
        .arg("-r")
        .args([&folder, &old])
        .status()
        .unwrap();
    assert!(copy.success());
    let _serving = Serving::start(&world, "measurement");
    let read = r#"
old = str(pathlib.Path(party).parent / "old")
t = lambda path: kms.read_columns(path, ["amount"], party).num_rows
out([t(folder), error(lambda: t(old))])
"#;
    let before = script.says(read);
    assert!(
        before[0].as_u64() > Some(0) && before[1].is_null(),
        "{before}"
    );
    world.seal_one("shop", "purchases");
    let after = script.says(&read.replace("t(folder), error(lambda: t(old))", r#"t(folder), error(lambda: [kms.pyarrow.parquet.ParquetFile(p, decryption_properties=kms.factory().file_decryption_properties(kms.connection(party))) for p in pathlib.Path(old, "parts").iterdir()])"#));
    assert_eq!(after[0], before[0]);
    assert!(
        after[1][1].as_str().unwrap().contains("was replaced"),
        "{after}"
    );
}

/// A new version of the agreement: purchases have a column more.
fn with_a_column_more(world: &World) {
    let first = world.path(&format!("shop/agreements/{AGREEMENT}.toml"));
    let category = |text: &str| {
        text.lines()
            .find(|line| line.starts_with("category"))
            .unwrap()
            .to_owned()
    };
    let before = category(&std::fs::read_to_string(&first).unwrap());
    world.second_at_parties(|text| {
        let amount = text
            .lines()
            .find(|line| line.starts_with("amount"))
            .unwrap()
            .to_owned();
        let more = "branch = { type = \"int\", purposes = [\"measurement\"] }";
        text.replacen(&amount, &format!("{amount}\n{before}\n{more}"), 1)
    });
}

#[test]
fn parts_without_a_new_column_are_left_out_and_said_to_be() {
    let Some(python) = python() else { return };
    let world = sealed();
    let script = Script {
        python,
        world: &world,
        dataset: "purchases",
    };
    with_a_column_more(&world);
    let rows: String = (0..240)
        .map(|at| format!("p{at}@mail.example,2026-05-02,1.50,food,{at}\n"))
        .collect();
    let (shop, more) = (world.path("shop"), world.path("data/more.csv"));
    std::fs::write(&more, format!("email,day,amount,category,branch\n{rows}")).unwrap();
    let file = world.path("shop/agreements/second.toml");
    world.done(&["data", "retag", "--party", &shop, "--agreement", &file]);
    let sealed = world.done(&[
        "data",
        "seal",
        "purchases",
        "--append",
        "--party",
        &shop,
        "--data",
        &more,
        "--agreement",
        &file,
    ]);
    assert!(sealed.number("/parts_kept") > 0, "{}", sealed.document);
    let _serving = Serving::start_under(&world, "measurement", "second");
    let said = script.says(
        r#"
import warnings
def read(columns):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        table = kms.read_columns(folder, columns, party)
        return [table.num_rows, table.schema.names, [str(w.message) for w in told]]
out([read(["branch", "amount"]), read(["amount", "day"]),
     error(lambda: read(["nosuch"])), error(lambda: read(["amount", "nosuch"])), error(lambda: read(None))])
"#,
    );
    // Nobody refuses `measurement` but every tenth person.
    assert_eq!(said[0][0], 216 - 1, "{said}");
    assert_eq!(said[0][1], serde_json::json!(["branch", "amount"]));
    let told = said[0][2][0].as_str().unwrap();
    assert!(told.contains("sealed without `branch`"), "{told}");
    let before: usize = purchases(&world, true).values().sum();
    assert_eq!(said[1][0], 215 + before, "{said}");
    assert_eq!(said[1][1], serde_json::json!(["amount", "day"]));
    assert_eq!(said[1][2], serde_json::json!([]));
    for refused in [&said[2], &said[3]] {
        assert_eq!(refused[0], "Refused", "{said}");
        assert!(
            refused[1].as_str().unwrap().contains("the column `nosuch`"),
            "{said}"
        );
    }
    assert!(
        said[4][1].as_str().unwrap().contains("different columns"),
        "{said}"
    );
}

/// What the endpoint's log says of a refusal, whoever reads in Python hears too.
#[test]
fn pyarrow_hears_why_no_key_is_given() {
    let Some(python) = python() else { return };
    let world = sealed();
    let script = Script {
        python,
        world: &world,
        dataset: "purchases",
    };
    let shop = world.path("shop");
    let read = "out(error(lambda: kms.read_columns(folder, ['amount'], party)))";
    let folder = sealed_folder(&world, "purchases").join("manifest");
    let manifest = std::fs::read(&folder).unwrap();
    world.done(&["data", "rotate", "purchases", "--party", &shop]);
    // The wraps of before, whose keys were destroyed.
    std::fs::write(&folder, manifest).unwrap();
    let serving = Serving::start(&world, "measurement");
    let said = script.says(read);
    serving.stop();
    let log = access_log(&world);
    let why = log.last().unwrap()["why"].as_str().unwrap().to_owned();
    assert!(why.contains("destroyed"), "{why}");
    assert_eq!(said, serde_json::json!(["Refused", why]));
    // Of a purpose that was ended nothing is sealed.
    world.seal_one("shop", "purchases");
    world.done(&["data", "revoke", "ads", "--yes", "--party", &shop]);
    let _serving = Serving::start(&world, "ads");
    let said = script.says("out(error(lambda: kms.read_columns(folder, ['category'], party)))");
    let log = access_log(&world);
    assert_eq!(said[0], "Refused", "{said}");
    assert_eq!(said[1], log.last().unwrap()["why"], "{said}");
    let nowhere = script.says("out(error(lambda: kms.read_columns(party, ['category'], party)))");
    assert!(
        nowhere[1].as_str().unwrap().contains("has no parts"),
        "{nowhere}"
    );
}

/// How PyArrow may encrypt: what the call says, and whether we read it.
const MATRIX: [(&str, &str); 9] = [
    ("uniform", ""),
    (
        "columns",
        "column_keys={'purchases/amount': ['amount'], 'purchases/rest': ['email', 'day', 'category']}",
    ),
    ("one-column", "column_keys={'purchases/amount': ['amount']}"),
    (
        "bits-128",
        "column_keys={'purchases/amount': ['amount']}, data_key_length_bits=128",
    ),
    ("uniform-128", "data_key_length_bits=128"),
    (
        "double",
        "column_keys={'purchases/amount': ['amount']}, double_wrapping=True",
    ),
    (
        "double-128",
        "double_wrapping=True, data_key_length_bits=128",
    ),
    (
        "footer-in-clear",
        "column_keys={'purchases/amount': ['amount', 'email']}, plaintext_footer=True",
    ),
    (
        "footer-in-clear-double",
        "column_keys={'purchases/amount': ['amount']}, plaintext_footer=True, double_wrapping=True",
    ),
];

/// What we refuse, and a word of why.
const REFUSED: [(&str, &str, &str); 3] = [
    (
        "ctr",
        "encryption_algorithm='AES_GCM_CTR_V1'",
        "AES_GCM_CTR_V1",
    ),
    (
        "ctr-columns",
        "column_keys={'purchases/amount': ['amount']}, encryption_algorithm='AES_GCM_CTR_V1', data_key_length_bits=128",
        "AES_GCM_CTR_V1",
    ),
    ("bits-192", "data_key_length_bits=192", "192 bits"),
];

#[test]
fn what_pyarrow_encrypted_is_sealed() {
    let Some(python) = python() else { return };
    let world = sealed();
    let script = Script {
        python,
        world: &world,
        dataset: "purchases",
    };
    let serving = Serving::start(&world, "ads");
    let mut write = String::from(
        "import pyarrow.csv\ndata = pathlib.Path(party).parent / 'data'\nt = pyarrow.csv.read_csv(data / 'purchases.csv')\n",
    );
    let all = MATRIX.iter().map(|(name, how)| (name, how));
    for (name, how) in all.chain(REFUSED.iter().map(|(name, how, _)| (name, how))) {
        write +=
            &format!("kms.write_table(t, data / '{name}.parquet', 'purchases', party, {how})\n");
    }
    write += r#"
kms.write_table(t, data / 'other.parquet', 'customers', party)
class Foreign(pe.KmsClient):
    def __init__(self, c): super().__init__()
    def wrap_key(self, key, master): return b"A" * 60
    def unwrap_key(self, key, master): raise KeyError(master)
c = pe.CryptoFactory(Foreign)
p = c.file_encryption_properties(pe.KmsConnectionConfig(), pe.EncryptionConfiguration(footer_key="k", uniform_encryption=True))
pq.write_table(t, data / 'foreign.parquet', encryption_properties=p)
k = kms.factory()
outside = pe.EncryptionConfiguration(footer_key="purchases", uniform_encryption=True, internal_key_material=False)
def external():
    p = k.file_encryption_properties(kms.connection(party), outside)
    pq.write_table(t, data / 'outside.parquet', encryption_properties=p)
out([error(external), error(lambda: kms.read_columns(folder, ['category'], party).num_rows)])
"#;
    let done = script.says(&write);
    assert!(done[1].is_null(), "{done}");
    serving.stop();
    let seal = |name: &str| {
        let (shop, data) = (
            world.path("shop"),
            world.path(&format!("data/{name}.parquet")),
        );
        let arguments = [
            "data",
            "seal",
            "purchases",
            "--party",
            &shop,
            "--data",
            &data,
        ];
        world.stage.command(&arguments).unwrap()
    };
    for (name, _) in MATRIX {
        let bytes = std::fs::read(world.path(&format!("data/{name}.parquet"))).unwrap();
        let in_clear = name.starts_with("footer-in-clear");
        assert_eq!(bytes.ends_with(b"PARE"), !in_clear, "{name}");
        let sealed = seal(name);
        assert_eq!(sealed.code, 0, "{name}: {}", sealed.failure());
        let serving = Serving::start(&world, "measurement");
        let rows = script.says(
            "out(sorted(f\"{r['day']},{r['amount']},{r['category']}\" for r in kms.read_columns(folder, ['day', 'amount', 'category'], party).to_pylist()))",
        );
        serving.stop();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for row in rows.as_array().unwrap() {
            *counts.entry(row.as_str().unwrap().to_owned()).or_default() += 1;
        }
        assert_eq!(counts, purchases(&world, true), "{name}");
    }
    let refused = REFUSED.iter().map(|(name, _, why)| (*name, *why));
    for (name, why) in refused.chain([
        ("foreign", "another key management"),
        ("other", "wrapped for the data set `customers`"),
    ]) {
        let outcome = seal(name);
        assert_eq!(outcome.code, 1, "{name}");
        assert!(
            outcome.failure().contains(why),
            "{name}: {}",
            outcome.failure()
        );
    }
}

#[test]
fn ids_are_matched_in_a_file_that_pyarrow_encrypted() {
    let Some(python) = python() else { return };
    let world = sealed();
    let script = Script {
        python,
        world: &world,
        dataset: "customers",
    };
    let serving = Serving::start(&world, "ads");
    script.says("import pyarrow.csv\ndata = pathlib.Path(party).parent / 'data'\nt = pyarrow.csv.read_csv(data / 'customers.csv')\nkms.write_table(t, data / 'customers.parquet', 'customers', party)\nout(1)");
    serving.stop();
    for party in ["shop", "mailer"] {
        world.start_party(party, &[]);
    }
    let run = |party: &str, data: &str| {
        let (folder, data) = (world.path(party), world.path(data));
        world.done(&["match", "run", "--party", &folder, "--data", &data])
    };
    let ours = std::thread::scope(|scope| {
        let theirs = scope.spawn(|| run("mailer", "data/mailing.csv"));
        let ours = run("shop", "data/customers.parquet");
        theirs.join().unwrap();
        ours
    });
    assert_eq!(ours.number("/distinct"), 240);
}
