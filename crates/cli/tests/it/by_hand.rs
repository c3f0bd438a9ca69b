//! The README's walk-through, as a person would go through it: its shell commands are taken
//! out of the text and run, then what it says about them is checked.

mod answers;
mod person;
mod proposals;
mod real_data;
mod services;
pub mod tables;
mod texts;
mod trials;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use incamera_seal::Crosswalk;
use incamera_testkit::stage::Outcome;
use incamera_types::Pseudonym;

use crate::world::{Data, MARKED};
use person::{Person, has_ssh_keygen};
use tables::{column, write_parquet, write_purchases};
use texts::shell_commands;

const AGREEMENT: &str = "@/mailer/agreements/spring-campaign.toml";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn readme() -> String {
    std::fs::read_to_string(repository().join("README.md")).unwrap()
}

/// Goes through the README from its first folder to its last command.
fn walk(person: &mut Person) {
    let readme = readme();
    let part = readme
        .split("\n## ")
        .find(|part| part.starts_with("The same by hand"))
        .unwrap();
    walk_through(person, part);
}

/// Types every shell command of a text.
fn walk_through(person: &mut Person, text: &str) {
    let mut matching = Vec::new();
    for command in shell_commands(text) {
        if command.starts_with("incamera match run") {
            matching.push(command);
            continue;
        }
        person.types_at_once(&std::mem::take(&mut matching));
        if command.starts_with("incamera party serve") || command.starts_with("incamera room serve")
        {
            person.starts(&command);
        } else if command.starts_with("incamera query run") {
            // Nobody is there to say yes.
            person.types(&format!("{command} --yes"));
        } else if command.contains("ssh-keygen") && !has_ssh_keygen() {
            skip(&command);
        } else {
            person.types(&command);
        }
    }
}

/// Says loudly what was not run.
#[allow(clippy::print_stderr)]
fn skip(command: &str) {
    eprintln!("SKIPPED: no ssh-keygen here; not run: {command}");
}

fn write_data(person: &Person, data: &Data) {
    for (name, text) in [
        ("customers", &data.customers),
        ("purchases", &data.purchases),
        ("mailing", &data.mailing),
    ] {
        std::fs::write(person.path(&format!("{name}.csv")), text).unwrap();
    }
}

#[test]
fn the_readme_works_as_written() {
    let mut data = Data::small();
    // A stranger to the register, and an amount above the agreement's 500.
    data.purchases += "stranger@mail.example,2026-04-02,5.00,food\n";
    data.purchases += "p1@mail.example,2026-04-02,900.00,toys\n";
    let mut person = Person::new();
    write_data(&person, &data);
    walk(&mut person);
    check_what_was_said(&person);
    same_again_is_free(&person);
    verified_offline(&person);
    second_match_keeps_pseudonyms(&person, &data);
    parquet_is_as_good(&person, &data);
}

fn check_what_was_said(person: &Person) {
    let services = person.services.len();
    assert_eq!(services, 3, "the README starts {services} services");
    let shown = person.heard("incamera agreement show");
    for word in ["shop", "mailer", "lift", "simulated", "State:"] {
        assert!(
            shown.contains(word),
            "`agreement show` does not say `{word}`: {shown}"
        );
    }
    assert!(person.heard("incamera agreement check").contains("lift"));
    if has_ssh_keygen() {
        let said = person.heard("ssh-keygen -Y verify");
        assert!(
            said.starts_with("Good \"incamera-agreement\" signature for shop"),
            "{said}"
        );
    }
    for (party, ids) in [("shop", 240), ("mailer", 240)] {
        let said = person.heard(&format!("incamera match run --party {party}"));
        assert!(
            said.contains(&format!("each of your {ids} distinct ids")),
            "{said}"
        );
    }
    let explained = person.heard("incamera query explain");
    for word in ["people", "buyers", "spend"] {
        assert!(
            explained.contains(word),
            "`query explain` does not say `{word}`: {explained}"
        );
    }
    let answer = person.heard("incamera query run");
    for word in ["mailed", "not mailed", "people", "buyers", "answer.release"] {
        assert!(
            answer.contains(word),
            "the answer does not say `{word}`: {answer}"
        );
    }
    for (command, said) in &person.said {
        assert!(!said.contains(MARKED), "`{command}` shows an id: {said}");
    }
    let verified = person.heard("incamera verify answer.release");
    assert!(verified.to_lowercase().contains("simulated"), "{verified}");
    let status = person.heard("incamera status");
    assert!(
        status.contains("spring-campaign version 1: in force until"),
        "{status}"
    );
    for dataset in ["customers", "purchases"] {
        assert!(
            status.contains(&format!("data set {dataset}: version 1")),
            "{status}"
        );
    }
}

fn same_again_is_free(person: &Person) {
    let before = (person.spent("shop"), person.spent("mailer"));
    assert!(
        before.0 > 0 && before.1 > 0,
        "the README's query cost {before:?}"
    );
    let (one, two) = (person.asks(), person.asks());
    let table = |outcome: &Outcome| outcome.document.pointer("/answer").cloned().unwrap();
    assert_eq!(table(&one), table(&two));
    assert_eq!(
        (person.spent("shop"), person.spent("mailer")),
        before,
        "a repeat was charged"
    );
    // The answer of the walk-through was the same one: its table is in what it said.
    let text = one.text("/table");
    let rows = text.lines().take_while(|line| !line.contains("cost"));
    for row in rows.filter(|row| row.contains("mailed")) {
        assert!(
            person.heard("incamera query run").contains(row),
            "another answer: {row}"
        );
    }
}

fn verified_offline(person: &Person) {
    let agreement = person.json(&["verify", AGREEMENT]);
    assert_eq!(agreement.text("/kind"), "agreement");
    let release = person.json(&["verify", "@/answer.release", "--agreement", AGREEMENT]);
    assert_eq!(release.text("/simulated"), "true", "{}", release.document);
    let purchases = person.sealed("shop", "purchases").display().to_string();
    let manifest = format!("{purchases}/manifest");
    let verified = person.json(&["verify", &manifest, "--agreement", AGREEMENT]);
    assert_eq!(verified.text("/owner"), "shop");
    assert_eq!(verified.number("/version"), 1);
    // What the room holds is what the owner sealed.
    let in_room = person.json(&[
        "verify",
        "@/room/storage/purchases/manifest",
        "--agreement",
        AGREEMENT,
    ]);
    assert_eq!(in_room.text("/digest"), verified.text("/digest"));
    for place in [
        purchases.as_str(),
        manifest.as_str(),
        "@/room/storage/purchases",
    ] {
        let inspected = person.json(&["data", "inspect", place]);
        assert_eq!(
            inspected.text("/dataset"),
            "purchases",
            "{}",
            inspected.document
        );
        assert!(!inspected.document.to_string().contains(MARKED));
    }
}

/// A second run, with Parquet files and one more person on either side: what was known keeps
/// its pseudonym, and both sides give the new person the same one.
fn second_match_keeps_pseudonyms(person: &Person, data: &Data) {
    let before = (person.crosswalk("shop"), person.crosswalk("mailer"));
    assert_eq!(before.0.len(), 240);
    let known = |crosswalk: &Crosswalk| -> BTreeMap<String, Pseudonym> {
        crosswalk
            .iter()
            .map(|(id, pseudonym)| (id.to_owned(), pseudonym))
            .collect()
    };
    assert_eq!(
        known(&before.0),
        known(&before.1),
        "the same people, the same pseudonyms"
    );
    let new = "new.person@mail.example";
    // The same person in other letters, no id, and something that is none.
    let odd = [new, " P0@MAIL.Example ", "", "no address"].map(str::to_owned);
    let customers = column(&data.customers, 0).chain(odd);
    write_parquet(
        &person.path("more.parquet"),
        vec![("email", tables::texts(customers))],
    );
    std::fs::write(
        person.path("more.csv"),
        format!("{}{new},true\n", data.mailing),
    )
    .unwrap();
    let (ours, theirs) = person.matches("@/more.parquet", "@/more.csv");
    assert_eq!(
        (ours.number("/distinct"), theirs.number("/distinct")),
        (241, 241)
    );
    assert_eq!(
        (ours.number("/peer_ids"), theirs.number("/peer_ids")),
        (241, 241)
    );
    for (count, expected) in [
        ("rows", 244),
        ("duplicates", 1),
        ("empty", 1),
        ("invalid", 1),
    ] {
        assert_eq!(ours.number(&format!("/{count}")), expected, "{count}");
    }
    let after = (person.crosswalk("shop"), person.crosswalk("mailer"));
    assert_eq!(after.0.len(), 241);
    for (id, pseudonym) in before.0.iter() {
        assert_eq!(
            after.0.lookup(id),
            Some(pseudonym),
            "a known id has another pseudonym"
        );
    }
    assert!(after.0.lookup(new).is_some());
    assert_eq!(known(&after.0), known(&after.1));
}

/// The same purchases from Parquet instead of CSV: sealed alike, and good for an answer.
fn parquet_is_as_good(person: &Person, data: &Data) {
    let seal = |file: &str| {
        person.json(&[
            "data",
            "seal",
            "purchases",
            "--party",
            "@/shop",
            "--data",
            file,
        ])
    };
    let csv = seal("@/purchases.csv");
    write_purchases(&person.path("purchases.parquet"), data);
    let parquet = seal("@/purchases.parquet");
    for field in [
        "/rows",
        "/sealed",
        "/parts",
        "/without_pseudonym",
        "/without_consent",
        "/clamped",
        "/ignored",
    ] {
        assert_eq!(csv.text(field), parquet.text(field), "{field}");
    }
    assert_eq!(csv.number("/without_pseudonym"), 1, "the stranger");
    assert_eq!(csv.number("/clamped/amount"), 1, "the amount above 500");
    assert_eq!(csv.text("/ignored"), "[\"category\"]");
    let left_out = csv.number("/without_pseudonym") + csv.number("/without_consent");
    assert_eq!(
        csv.number("/sealed") + left_out,
        csv.number("/rows"),
        "{}",
        csv.document
    );
    assert!(
        csv.number("/without_consent") > 0,
        "who refuses `measurement` is left out"
    );
    assert_ne!(csv.text("/manifest"), parquet.text("/manifest"));
    person.json(&["data", "push", "--party", "@/shop"]);
    let before = person.spent("shop");
    let answer = person.asks();
    assert_eq!(answer.text("/format"), "incamera-answer/1");
    assert!(
        person.spent("shop") > before,
        "other data are another question, and cost"
    );
    person.json(&["verify", "@/again.release", "--agreement", AGREEMENT]);
    let inspected = person.json(&["data", "inspect", "@/room/storage/purchases"]);
    assert_eq!(inspected.number("/version"), 3, "{}", inspected.document);
}
