//! `method = "none"`: one party, pseudonyms under its own key, nobody met.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Output;

use incamera_seal::Crosswalk;
use incamera_types::Pseudonym;
use serde_json::Value;

use crate::help::{run, stderr};

/// A party with a signed agreement of its own.
pub struct House {
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        Self::agreed_as(|text| text)
    }

    /// With an agreement changed by `edit`.
    pub fn agreed_as(edit: impl FnOnce(String) -> String) -> Self {
        let house = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let party = house.path("house");
        house.done(&[
            "init",
            &party,
            "--name",
            "house",
            "--insecure-accept-simulated",
        ]);
        let text = edit(house.agreement());
        fs::write(house.path("house/agreements/house.toml"), text).unwrap();
        let agreement = house.path("house/agreements/house.toml");
        house.done(&["agreement", "check", &agreement]);
        house.done(&["agreement", "sign", &agreement, "--party", &party]);
        house
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn agreement(&self) -> String {
        let public = fs::read_to_string(self.path("house/public.toml")).unwrap();
        let keys = public.lines().filter(|line| {
            let key = line.split(" = ").next().unwrap();
            ["signs", "service", "url", "people"].contains(&key)
        });
        format!(
            r#"format = "incamera-agreement/1"
[agreement]
name = "house"
version = 1
expires = 2099-12-31
[parties.house]
{}
[room]
url = "https://127.0.0.1:7444"
[[room.accept]]
tee = "simulated"
measurements = ["{}"]
[matching]
method = "none"
ids = ["email"]
rules = 2
[purposes]
measurement = {{ label = "Measuring" }}
[datasets.people]
owner = "house"
[datasets.people.columns]
person = {{ type = "pseudonym" }}
spend = {{ type = "int", min = 0, max = 100, purposes = ["measurement"] }}
[budgets.house]
epsilon = 8.0
delta = 1e-6
"#,
            keys.collect::<Vec<_>>().join("\n"),
            "9f".repeat(32)
        )
    }

    pub fn done(&self, arguments: &[&str]) {
        let output = run(arguments);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?} {}",
            stderr(&output)
        );
    }

    pub fn matches(&self, ids: &str, more: &[&str]) -> Output {
        fs::write(self.path("ids.csv"), ids).unwrap();
        let (party, file) = (self.path("house"), self.path("ids.csv"));
        let words = ["--json", "match", "run", "--party", &party, "--data", &file];
        run(&[&words, more].concat())
    }

    pub fn matched(&self, ids: &str, more: &[&str]) -> Value {
        let output = self.matches(ids, more);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    pub fn has_crosswalk(&self) -> bool {
        let files = fs::read_dir(self.path("house/crosswalks"));
        files.is_ok_and(|mut files| files.next().is_some())
    }

    pub fn crosswalk(&self) -> BTreeMap<String, Pseudonym> {
        let mut files = fs::read_dir(self.path("house/crosswalks")).unwrap();
        let file: PathBuf = files.next().unwrap().unwrap().path();
        let crosswalk = Crosswalk::read(&file).unwrap();
        let rows = crosswalk.iter();
        rows.map(|(id, pseudonym)| (id.to_owned(), pseudonym))
            .collect()
    }
}

/// What is told of a run whatever the method.
const FIGURES: [&str; 17] = [
    "rows",
    "empty",
    "invalid",
    "without_consent",
    "duplicates",
    "distinct",
    "rows_not_asked_for_consent",
    "crosswalk_rows",
    "resumed_from",
    "seconds",
    "cpu_seconds",
    "ids_per_second",
    "bytes_sent",
    "bytes_received",
    "link_bytes_sent",
    "link_bytes_received",
    "peak_mib",
];

/// All of them are there; bytes travelled unless the party is alone, and who is in both sets is
/// told where that is revealed alone.
#[track_caller]
pub fn has_figures(told: &Value, method: &str, reveals_matches: bool) {
    for name in FIGURES {
        let figure = told[name].as_f64();
        let nothing = name.contains("bytes") && method == "none";
        let expected = name.contains("bytes") || name.contains("second");
        let fits = |figure: f64| !expected || (figure > 0.0) != nothing;
        assert!(figure.is_some_and(fits), "{name}: {told:#}");
    }
    assert_eq!(told["method"], method, "{told:#}");
    has_documented_fields(told);
    assert_eq!(told["matches"].is_u64(), reveals_matches, "{told:#}");
}

/// The page on formats names every field of a document, in the row of its format.
#[track_caller]
pub fn has_documented_fields(told: &Value) {
    names_fields(told["format"].as_str().unwrap(), told);
}

/// The same of an object in such a document.
#[track_caller]
pub fn names_fields(format: &str, told: &Value) {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/formats.md");
    let page = fs::read_to_string(page).unwrap();
    let mut rows = page.lines();
    let row = rows.find(|line| line.starts_with(&format!("| `{format}` |")));
    let row = row.unwrap();
    let fields = told.as_object().unwrap().keys();
    let of_every_document = ["format", "simulated"];
    for name in fields.filter(|name| !of_every_document.contains(&name.as_str())) {
        assert!(row.contains(&format!("`{name}`")), "`{name}` of {format}");
    }
}

/// The same for people.
#[test]
fn people_are_told_the_same_figures() {
    let house = House::new();
    let (party, file) = (house.path("house"), house.path("ids.csv"));
    fs::write(&file, "email\na@b.example\na@b.example\nnobody\n\" \"\n").unwrap();
    let output = run(&["match", "run", "--party", &party, "--data", &file]);
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "each of your 1 distinct ids of kind `email` has a pseudonym, under your own key (",
        "\n  rows 4, empty 1, invalid 1, duplicates 1, distinct 1\n",
        " ids a second; over the line, TLS included: 0 kB sent, 0 kB received\n",
        "\n  crosswalk (yours alone): ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

/// Rows with a word for nobody are one person: that is warned of, without saying which word.
#[test]
fn one_id_in_very_many_rows_is_warned_of() {
    let house = House::new();
    let people: String = (0..3_000).map(|n| format!("p{n}@x.example\n")).collect();
    let nobody = "none@none.example\n".repeat(300);
    let said = |ids: &str| stderr(&house.matches(ids, &[]));
    let words = "stands in more than a fiftieth of all rows";
    let warned = said(&format!("email\n{people}{nobody}"));
    assert!(warned.contains(words), "{warned}");
    assert!(
        !warned.contains("none@") && !warned.contains("300"),
        "{warned}"
    );
    let plain = said(&format!("email\n{people}\n\n"));
    assert!(!plain.contains(words), "{plain}");
    assert_eq!(
        house.matched(&format!("email\n{people}\n\n"), &[])["empty"],
        2
    );
}

/// A kind that has no rules though its name suggests some is warned of where it is matched, too.
#[test]
fn a_kind_that_only_looks_like_email_is_warned_of() {
    let warned = |kind: &str| {
        let ids = format!("ids = [\"{kind}\"]");
        let house = House::agreed_as(|text| text.replace("ids = [\"email\"]", &ids));
        let output = house.matches(&format!("{kind}\na@b.example\n"), &[]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stderr(&output).contains("NO RULES HOLD for ids of kind")
    };
    assert!(warned("e-mail"));
    assert!(!warned("email") && !warned("mapped"));
}

#[test]
fn a_party_alone_has_pseudonyms_that_stay() {
    let house = House::new();
    let first = "email\nAna.Bo+x@gmail.com\nanabo@gmail.com\nc@d.example\n\" \"\nnobody\n";
    let told = house.matched(first, &[]);
    let count = |told: &Value, name: &str| told[name].as_u64().unwrap();
    let counts = ["rows", "empty", "invalid", "duplicates", "distinct", "new"];
    assert_eq!(
        counts.map(|name| count(&told, name)),
        [5, 1, 1, 1, 2, 2],
        "{told}"
    );
    assert!(told["peer"].is_null());
    has_figures(&told, "none", false);
    let before = house.crosswalk();
    assert_eq!(before.len(), 2);
    assert_ne!(before["anabo@gmail.com"], before["c@d.example"]);

    let told = house.matched("email\nc@d.example\ne@f.example\n", &[]);
    assert_eq!(
        (count(&told, "known"), count(&told, "new")),
        (1, 1),
        "{told}"
    );
    house.matched("email\ng@h.example\n", &["--append"]);
    let after = house.crosswalk();
    assert_eq!(after.len(), 4);
    for (id, pseudonym) in &before {
        assert_eq!(&after[id], pseudonym);
    }

    // Sealing reads the same ids, however they are written.
    fs::write(
        house.path("people.csv"),
        "email,spend\nANA.BO@gmail.com,5\ng@h.example,7\nx@y.example,9\n",
    )
    .unwrap();
    let (party, file) = (house.path("house"), house.path("people.csv"));
    let seal = [
        "--json", "data", "seal", "people", "--data", &file, "--party", &party,
    ];
    let output = run(&seal);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let sealed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(sealed["sealed"], 2, "{sealed}");
    assert_eq!(sealed["without_pseudonym"], 1, "{sealed}");
}

#[test]
fn another_key_ring_makes_no_second_pseudonym_of_anybody() {
    let house = House::new();
    house.matched("email\na@b.example\nc@d.example\n", &[]);
    let before = house.crosswalk();
    let (ring, passphrase) = (
        house.path("house/ring.age"),
        house.path("house/passphrase.txt"),
    );
    fs::remove_file(&ring).unwrap();
    house.done(&[
        "ring",
        "new",
        "--out",
        &ring,
        "--passphrase-file",
        &passphrase,
    ]);
    let output = house.matches("email\na@b.example\n", &[]);
    assert_eq!(output.status.code(), Some(1));
    let told = format!(
        "{}{}",
        stderr(&output),
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(told.contains("not the one of the earlier runs"), "{told}");
    assert_eq!(house.crosswalk(), before);
}
