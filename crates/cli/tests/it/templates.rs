//! `query template` and `query explain --bounds`: asked of nobody, before anything is signed.

use std::path::Path;

use serde_json::Value;

use crate::help::{run, stderr, stdout};

/// An agreement without queries, in a folder of its own.
struct Draft {
    folder: tempfile::TempDir,
}

const PURCHASES: [&str; 2] = ["data=purchases", "amount=amount"];
const ASKED: [&str; 3] = [
    "purpose=measurement",
    "analysts=mailer/ana",
    "receivers=shop",
];

impl Draft {
    fn new() -> Self {
        let draft = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let example =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../query/src/tests/agreement.toml");
        std::fs::copy(example, draft.path()).unwrap();
        draft
    }

    fn path(&self) -> String {
        self.folder.path().join("draft.toml").display().to_string()
    }

    /// The command with these words, for this agreement; its exit code and what it says.
    fn says(&self, words: &[&str]) -> (i32, String, String) {
        let path = self.path();
        let output = run(&[words, &["--agreement", &path]].concat());
        (
            output.status.code().unwrap(),
            stdout(&output),
            stderr(&output),
        )
    }

    fn filled(&self, template: &str, words: &[&str]) -> (i32, String, String) {
        self.says(&[&["query", "template", template], words, &ASKED].concat())
    }

    /// Fails with this code, and says all of this.
    fn refuses(&self, template: &str, words: &[&str], code: i32, said: &[&str]) {
        let (found, out, error) = self.filled(template, words);
        assert_eq!((found, out.as_str()), (code, ""), "{words:?}\n{error}");
        let flat = error.split_whitespace().collect::<Vec<_>>().join(" ");
        for part in said {
            assert!(flat.contains(part), "`{part}` is not in {flat}");
        }
    }
}

fn json(words: &[&str]) -> Value {
    let output = run(&[words, &["--json"]].concat());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn templates_are_listed_with_what_they_need() {
    let text = stdout(&run(&["query", "template"]));
    let listed = json(&["query", "template"]);
    assert_eq!(listed["format"], "incamera-query-templates/1");
    let templates = listed["templates"].as_array().unwrap();
    assert!(templates.len() >= 10);
    for template in templates {
        let (name, about) = (
            template["name"].as_str().unwrap(),
            template["about"].as_str().unwrap(),
        );
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")));
        assert!(
            line.is_some_and(|line| line.ends_with(about)),
            "{name}: {text}"
        );
        let output = run(&["query", "template", name]);
        let said = stderr(&output);
        assert_eq!(
            (output.status.code(), stdout(&output)),
            (Some(2), String::new())
        );
        for blank in template["blanks"].as_array().unwrap() {
            let (key, means) = (
                blank["key"].as_str().unwrap(),
                blank["means"].as_str().unwrap(),
            );
            let example = format!("{key}={}", blank["example"].as_str().unwrap());
            let told = said.contains(&format!("{key}: {means}")) && said.contains(&example);
            assert_eq!(told, blank["default"].is_null(), "{key}: {said}");
        }
    }
    let failed = json(&["query", "template", "reach"]);
    assert_eq!(failed["format"], "incamera-failure/1");
    assert_eq!(failed["error"]["exit"], 2);
    let unknown = run(&["query", "template", "magic"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        stderr(&unknown).contains("choose one of overlap, "),
        "{}",
        stderr(&unknown)
    );
}

/// What is printed for an agreement is accepted in it, and explained beside.
#[test]
fn what_is_printed_is_accepted() {
    let draft = Draft::new();
    let words = [&PURCHASES[..], &["bands=10,50", "registers=customers"]].concat();
    let (code, section, beside) = draft.filled("histogram", &words);
    assert_eq!(code, 0, "{beside}");
    assert!(
        section.starts_with("# Histogram") && section.contains("[queries.histogram]"),
        "{section}"
    );
    assert!(
        beside.contains("noise to expect, 19 times in 20"),
        "{beside}"
    );
    let text = std::fs::read_to_string(draft.path()).unwrap();
    std::fs::write(draft.path(), format!("{text}\n{section}")).unwrap();
    let checked = run(&["agreement", "check", &draft.path()]);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
    assert!(stdout(&checked).contains("histogram"));
    draft.refuses(
        "histogram",
        &words,
        2,
        &["has a query `histogram` already", "name=..."],
    );
    let again = [&words[..], &["name=spending"]].concat();
    assert_eq!(draft.filled("histogram", &again).0, 0);
}

#[test]
fn what_does_not_fit_is_refused_by_its_blank() {
    let draft = Draft::new();
    let with = |words: &[&'static str]| [words, &["bands=10,50", "registers=customers"]].concat();
    let refuses =
        |words: &[&'static str], said: &[&str]| draft.refuses("histogram", &with(words), 2, said);
    refuses(
        &["data=receipts", "amount=amount"],
        &[
            "`data` has no valid value",
            "has no data set `receipts`; it has customers, ",
        ],
    );
    refuses(
        &["data=regions", "amount=amount"],
        &["data set `regions` is public"],
    );
    refuses(
        &["data=purchases", "amount=price"],
        &[
            "has no column `price`; it has person, day, amount",
            "such as amount=amount",
        ],
    );
    refuses(
        &["data=purchases", "amount=category"],
        &["is of type text; it must be decimal or int"],
    );
    refuses(
        &["data=purchases.day", "amount=amount"],
        &["the pseudonym column of `purchases` is `person`, not `day`"],
    );
    refuses(
        &["data=purchases", "amount=amount", "colour=red"],
        &["has no blank `colour`"],
    );
    refuses(
        &["data=purchases", "amount=amount;--"],
        &["`amount` has no valid value"],
    );
    // A value that is one, and a query that the language refuses: nobody's consents are asked.
    let words = ["first=customers", "second=mailing"];
    draft.refuses(
        "overlap",
        &words,
        3,
        &["without the consents that `shop` keeps"],
    );
    let analyst = [
        "data=purchases",
        "amount=amount",
        "bands=10",
        "registers=customers",
        "name=other",
    ];
    let (code, _, error) = draft.says(
        &[
            &["query", "template", "histogram"],
            &analyst[..],
            &[
                "purpose=measurement",
                "analysts=mailer/bob",
                "receivers=shop",
            ],
        ]
        .concat(),
    );
    assert_eq!(code, 1);
    assert!(
        error.contains("party `mailer` has no analyst `bob`"),
        "{error}"
    );
}

/// What a smaller error costs is told, or why it is not, and nothing is asked of anybody.
#[test]
fn the_epsilon_of_an_error_is_told() {
    let draft = Draft::new();
    let words = [&PURCHASES[..], &["bands=10,50", "registers=customers"]].concat();
    let (_, section, _) = draft.filled("histogram", &words);
    let text = std::fs::read_to_string(draft.path()).unwrap();
    std::fs::write(draft.path(), format!("{text}\n{section}")).unwrap();
    let explain = |error: &str| draft.says(&["query", "explain", "histogram", "--error", error]);
    let (code, told, said) = explain("people=25");
    assert_eq!(code, 0, "{said}");
    assert!(told.contains("people +- 25 would need epsilon "), "{told}");
    let path = draft.path();
    let document = json(&[
        "query",
        "explain",
        "histogram",
        "--error",
        "people=25",
        "--error",
        "people=50",
        "--agreement",
        &path,
    ]);
    let needed = |at: usize| document["needed"][at]["epsilon"].as_f64().unwrap();
    assert_eq!(document["needed"][0]["half_width"], 25.0);
    assert!(needed(0) > 1.9 * needed(1), "{document}");
    for (error, why) in [
        ("people", "names no error"),
        ("people=few", "names no error"),
        (
            "buyers=3",
            "the query has no aggregate `buyers`; it has `people`",
        ),
        ("people=0", "no epsilon gives an error of that size"),
        ("people=-25", "no epsilon gives an error of that size"),
        ("people=NaN", "no epsilon gives an error of that size"),
    ] {
        let (code, out, said) = explain(error);
        assert_eq!((code, out.as_str()), (2, ""), "{error}");
        let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(said.contains(why), "{error}: {said}");
    }
}

/// The noise of each clamp, and a section that is accepted as it is printed.
#[test]
fn bounds_are_explained_before_anything_is_asked() {
    let draft = Draft::new();
    let sql =
        "SELECT COUNT(DISTINCT purchases.person) AS people, SUM(amount) AS spend FROM purchases
JOIN customers ON customers.person = purchases.person";
    let text = std::fs::read_to_string(draft.path()).unwrap();
    let query = format!(
        "[queries.spending]\npurpose = \"measurement\"\nanalysts = [\"mailer/ana\"]\nreceivers = [\"shop\"]\nreads = [\"customers.person\", \"purchases.person\", \"purchases.amount\"]\nsql = '''\n{sql}\n'''\nrows = {{ purchases = 30 }}\nper_person = {{ groups = 1, spend = [0, 400] }}\nepsilon = 1.0\ndelta = 1e-8\nmin_people = 50\n"
    );
    std::fs::write(draft.path(), format!("{text}\n{query}")).unwrap();
    let (code, plain, _) = draft.says(&["query", "explain", "spending"]);
    assert!(code == 0 && !plain.contains("by its clamp"), "{plain}");
    let (code, told, _) = draft.says(&["query", "explain", "spending", "--bounds"]);
    assert_eq!(code, 0);
    for part in [
        "noise of spend by its clamp",
        "0 .. 100 ",
        "0 .. 400 ",
        "as agreed",
        "[queries.bounds-amount]",
    ] {
        assert!(told.contains(part), "`{part}` is not in {told}");
    }
    let path = draft.path();
    let document = json(&[
        "query",
        "explain",
        "spending",
        "--bounds",
        "--agreement",
        &path,
    ]);
    assert_eq!(document["clamps"][0]["name"], "spend");
    let choices = document["clamps"][0]["choices"].as_array().unwrap();
    let agreed = choices.iter().filter(|choice| choice["agreed"] == true);
    assert_eq!(
        agreed.map(|choice| &choice["clamp"]).collect::<Vec<_>>(),
        ["0 .. 400"]
    );
    let section = document["bounds"][0].as_str().unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{text}\n{section}")).unwrap();
    let checked = run(&["agreement", "check", &path]);
    assert_eq!(checked.status.code(), Some(0), "{}", stderr(&checked));
}

/// What a room needs stands beside a section, an explanation and a check, and whoever is about
/// to sign is warned where a room as it comes has less.
#[test]
fn what_a_room_needs_is_told_before_anybody_signs() {
    let draft = Draft::new();
    let words = ["data=purchases", "value=category", "values_a_person=5"];
    let words = [&words[..], &["registers=customers"]].concat();
    let agreement = std::fs::read_to_string(draft.path()).unwrap();
    for (people, verdict, warned) in [
        ("100_000", "it has enough", false),
        ("50_000_000", "it will refuse", true),
    ] {
        let agreement = agreement.replace("people = 100_000", &format!("people = {people}"));
        std::fs::write(draft.path(), &agreement).unwrap();
        let (code, section, beside) = draft.filled("top", &words);
        assert_eq!(code, 0, "{beside}");
        assert!(beside.contains(verdict), "{beside}");
        std::fs::write(draft.path(), format!("{agreement}\n{section}")).unwrap();
        let explained = draft.says(&["query", "explain", "top"]);
        assert!(explained.1.contains(verdict), "{}", explained.1);
        let worst = draft.says(&["query", "check", "top"]);
        assert!(worst.1.contains(verdict), "{}", worst.1);
        let checked = run(&["agreement", "check", &draft.path()]);
        for said in [&worst.2, &stderr(&checked)] {
            let flat = said.split_whitespace().collect::<Vec<_>>().join(" ");
            let told = flat.contains("such a room refuses to run it")
                && flat.contains("fewer `groups` of one person");
            assert_eq!(told, warned, "{said}");
        }
        let listed = json(&["agreement", "check", &draft.path()]);
        let listed = listed["warnings"].to_string();
        assert_eq!(
            listed.contains("the query top: it may need"),
            warned,
            "{listed}"
        );
    }
}
