//! What `match run` makes of its input: consents, forms, regions, and what it says of them.

use std::fs;

use serde_json::{Value, json};

use crate::alone::House;
use crate::help::{run, stderr};

/// A register with consents beside the people.
fn with_register(text: String) -> String {
    let register = "[datasets.register]\nowner = \"house\"\n[datasets.register.columns]\nperson = { type = \"pseudonym\", purposes = [\"measurement\"] }\nagreed = { type = \"purposes\" }\n";
    text.replacen(
        "[datasets.people]",
        &format!("{register}[datasets.people]"),
        1,
    )
    .replacen(
        "measurement = { label",
        "ads = { label = \"Choosing\" }\nmeasurement = { label",
        1,
    )
}

fn counts(told: &Value, names: &[&str]) -> Vec<u64> {
    let count = |name: &&str| told[*name].as_u64().unwrap();
    names.iter().map(count).collect()
}

/// The document of a refusal.
#[track_caller]
fn refused(house: &House, ids: &str, more: &[&str]) -> Value {
    let output = house.matches(ids, more);
    assert_ne!(output.status.code(), Some(0), "{ids}");
    assert!(!house.has_crosswalk());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn who_agreed_to_nothing_never_enters() {
    let house = House::agreed_as(with_register);
    let rows = "email,agreed\na@b.example,ads\nc@d.example,\ne@f.example,measurement;ads\n\
                g@h.example,ads\ng@h.example,measurement\ni@j.example,ads\ni@j.example,\"ads, measurement\"\n";
    let told = house.matched(rows, &[]);
    // Of several rows what all of them say counts: the person of `g` agreed to nothing.
    let names = ["rows", "without_consent", "distinct", "duplicates", "new"];
    assert_eq!(counts(&told, &names), [7, 2, 3, 2, 3], "{told}");
    assert_eq!(told["consent_column"], "agreed");
    let ids: Vec<String> = house.crosswalk().into_keys().collect();
    assert_eq!(ids, ["a@b.example", "e@f.example", "i@j.example"]);

    // Who takes consent back keeps the pseudonym that there is, and is not matched again.
    let told = house.matched("email,agreed\na@b.example,\nk@l.example,ads\n", &[]);
    let names = ["without_consent", "distinct", "known", "new", "compared"];
    assert_eq!(counts(&told, &names), [1, 1, 0, 1, 2], "{told}");
    assert_eq!(house.crosswalk().len(), 4);
}

#[test]
fn a_column_of_consents_has_the_name_that_is_given() {
    let house = House::agreed_as(with_register);
    let rows = "email,ok,agreed\na@b.example,ads,\nc@d.example,,ads\n";
    let told = house.matched(rows, &["--consent", "ok"]);
    assert_eq!(counts(&told, &["without_consent", "distinct"]), [1, 1]);
    assert_eq!(told["consent_column"], "ok");
    assert!(house.crosswalk().contains_key("a@b.example"));
    let told = house.matched(rows, &["--everyone-consented"]);
    assert_eq!(counts(&told, &["without_consent", "distinct"]), [0, 2]);
    assert_eq!(
        (&told["consent_column"], &told["everyone_consented"]),
        (&json!(null), &json!(true))
    );
    let text = run(&[
        "match",
        "run",
        "--party",
        &house.path("house"),
        "--data",
        &house.path("ids.csv"),
        "--everyone-consented",
    ]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("nobody's consent was looked at"), "{text}");
}

#[test]
fn a_column_of_consents_that_is_missing_is_refused() {
    let house = House::agreed_as(with_register);
    for (rows, more) in [
        ("email\na@b.example\n", &[][..]),
        ("email,agreed\na@b.example,ads\n", &["--consent", "ok"]),
    ] {
        let told = refused(&house, rows, more).to_string();
        assert!(
            told.contains("no column `")
                && !told.contains("it: ")
                && told.contains("--everyone-consented"),
            "{told}"
        );
    }
    // Without the ids, that is what is missing.
    let told = refused(&house, "mail\na@b.example\n", &[]).to_string();
    assert!(
        told.contains("`email`") && told.contains("--column"),
        "{told}"
    );
    // Where the agreement has no such column, nobody is asked.
    let house = House::agreed_as(|text| text);
    let told = house.matched("email,agreed\na@b.example,\n", &[]);
    assert_eq!(counts(&told, &["without_consent", "distinct"]), [0, 1]);
    assert_eq!(told["consent_column"], Value::Null);
    assert_eq!(
        counts(&told, &["rows", "rows_not_asked_for_consent"]),
        [1, 1]
    );
    let text = said_to_people(&house, "email\na@b.example\n");
    assert!(text.contains("everybody in the file is matched"), "{text}");
    // Where all are asked there is nothing to say.
    let house = House::agreed_as(with_register);
    let rows = "email,agreed\na@b.example,ads\n";
    let told = house.matched(rows, &[]);
    assert_eq!(counts(&told, &["rows_not_asked_for_consent"]), [0]);
    let text = said_to_people(&house, rows);
    assert!(!text.contains("is matched"), "{text}");
}

/// What a run tells people.
fn said_to_people(house: &House, ids: &str) -> String {
    let (party, file) = (house.path("house"), house.path("ids.csv"));
    fs::write(&file, ids).unwrap();
    let output = run(&["match", "run", "--party", &party, "--data", &file]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// Ids that others made of people's (made up here in their forms: RampIDs, UID2s with padding,
/// their like in base64url) are taken as they are: nothing is trimmed of them but white space
/// around them, and those that differ by case alone are two.
#[test]
fn ids_that_others_mapped_are_taken_as_they_are() {
    let house = House::agreed_as(|text| text.replace("ids = [\"email\"]", "ids = [\"mapped\"]"));
    let mapped = [
        "Ag/AVacu1uAxgAxH+HJ8+nWlS2H4uVqr6i+HBDCNREHD8WKsio==",
        "Ag/AVacu1uAxgAxH+HJ8+nWlS2H4uVqr6i+HBDCNREHD8WKsio=",
        "Ag_AVacu1uAxgAxH-HJ8-nWlS2H4uVqr6i-HBDCNREHD8WKsio",
        "XY1005wXyWPB1SgpMUKIpzA0I3UaLEz-2lg0BFAr1PWK7DMhs_",
        "xy1005wXyWPB1SgpMUKIpzA0I3UaLEz-2lg0BFAr1PWK7DMhs_",
        "A4A1-QR_k.x~0=",
    ];
    let rows = format!("mapped\n{}\n", mapped.join("\n"));
    let told = house.matched(&rows, &[]);
    let names = ["rows", "empty", "invalid", "duplicates", "distinct"];
    assert_eq!(counts(&told, &names), [6, 0, 0, 0, 6], "{told}");
    let crosswalk = house.crosswalk();
    let mut expected = mapped.to_vec();
    expected.sort_unstable();
    assert!(crosswalk.keys().eq(expected.iter()), "{crosswalk:?}");

    // Sealing finds each by the same text, and by no other.
    let people = format!(
        "mapped,spend\n{},5\n{},7\n",
        mapped[3],
        mapped[3].to_lowercase()
    );
    fs::write(house.path("people.csv"), people).unwrap();
    let (party, file) = (house.path("house"), house.path("people.csv"));
    let output = run(&[
        "--json", "data", "seal", "people", "--data", &file, "--party", &party,
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let sealed: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(counts(&sealed, &["sealed", "without_pseudonym"]), [1, 1]);
}

/// Under the first rules, which are in force, it is a warning.
#[test]
fn under_the_first_rules_a_missing_column_of_consents_is_a_warning() {
    let house = House::agreed_as(|text| with_register(text).replace("rules = 2\n", ""));
    let output = house.matches("email\na@b.example\n", &[]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("warning: ") && said.contains("`agreed`"),
        "{said}"
    );
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["consent_column"], Value::Null);
    assert_eq!(counts(&told, &["rows_not_asked_for_consent"]), [1]);
    // A column that there is is read.
    let told = house.matched("email,agreed\nc@d.example,\ne@f.example,ads\n", &[]);
    assert_eq!(counts(&told, &["without_consent", "distinct"]), [1, 1]);
}

/// Of several files each says what its people agreed to, or none.
#[test]
fn files_of_which_some_say_nothing_of_consents_are_refused() {
    let house = House::agreed_as(|text| with_register(text).replace("rules = 2\n", ""));
    let folder = house.path("files");
    fs::create_dir(&folder).unwrap();
    for (name, text) in [
        ("a.csv", "email,agreed\na@b.example,ads\n"),
        ("b.csv", "email\nc@d.example\n"),
    ] {
        fs::write(house.path(&format!("files/{name}")), text).unwrap();
    }
    let party = house.path("house");
    let words = [
        "--json", "match", "run", "--party", &party, "--data", &folder,
    ];
    let output = run(&words);
    assert_eq!(output.status.code(), Some(1));
    assert!(!house.has_crosswalk());
}

/// Words of a consent that the agreement does not know may be a "no": they are told by their
/// places, without the words.
#[test]
fn consents_that_nobody_understands_are_refused() {
    let house = House::agreed_as(with_register);
    let rows =
        "email,agreed\na@b.example,ads\nb@b.example,secret-word\n\nc@b.example,ads;secret-word\n";
    let told = refused(&house, rows, &[]).to_string();
    assert!(told.contains("in 2 rows: line 3, line 5"), "{told}");
    assert!(
        !told.contains("secret-word") && !told.contains("b.example"),
        "{told}"
    );
    // The column is right: what is to be mended is in the lines, and nobody else is let in.
    assert!(
        told.contains("purposes of the agreement there (`ads`, `measurement`)")
            && !told.contains("--everyone-consented"),
        "{told}"
    );
}

#[test]
fn files_without_rows_are_told_apart_from_other_columns() {
    let house = House::agreed_as(|text| text);
    for (rows, says) in [
        ("", "ids.csv` is empty"),
        ("email\n", "`match run --allow-empty`"),
    ] {
        let told = refused(&house, rows, &[]).to_string();
        assert!(told.contains(says) && !told.contains("--column"), "{told}");
    }
}

#[test]
fn rows_that_are_no_ids_are_told_by_where_they_stand() {
    let house = House::agreed_as(|text| text);
    let rows = "email\na@b.example\nwho\n\"two\nlines\"\n\n,\n".replace("\n,\n", "\n\"\"\n")
        + &"nobody\n".repeat(7);
    let output = house.matches(&rows, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        counts(&told, &["rows", "invalid", "empty"]),
        [12, 9, 2],
        "{told}"
    );
    let lines: Vec<u64> = told["invalid_first"]
        .as_array()
        .unwrap()
        .iter()
        .map(|place| place["line"].as_u64().unwrap())
        .collect();
    assert_eq!(lines, [3, 4, 8, 9, 10]);
    let (party, file) = (house.path("house"), house.path("ids.csv"));
    let text = run(&["match", "run", "--party", &party, "--data", &file]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("invalid: line 3, line 4, line 8, line 9, line 10, ..."),
        "{text}"
    );
    assert!(!text.contains("nobody"), "{text}");
}

const HASH: &str = "b4c9a289323b21a01c3e940f150eb9b8c542587f1abfd8f0e1cc1ffc5e475514";

fn hashed(text: String) -> String {
    text.replacen("rules = 2", "rules = 2\nhashed = [\"email\"]", 1)
}

/// A party with ids and one with their hashes mean the same people, and sealing reads a file
/// as the run did.
#[test]
fn hashes_and_the_ids_they_are_of_are_one() {
    let house = House::agreed_as(hashed);
    house.matched("email\nUser@example.com\n", &[]);
    let of_ids = house.crosswalk();
    assert_eq!(of_ids.keys().collect::<Vec<_>>(), [HASH]);
    assert_eq!(sealed(&house, "email,spend\nuser@EXAMPLE.com,5\n"), (1, 0));

    let base64 = "tMmiiTI7IaAcPpQPFQ65uMVCWH8av9jw4cwf/F5HVRQ=";
    let rows = format!("email\n{}\n{base64}\n", HASH.to_uppercase());
    let output = house.matches(&rows, &["--form", "sha256"]);
    assert!(
        stderr(&output).contains("from now on"),
        "{}",
        stderr(&output)
    );
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        counts(&told, &["known", "distinct", "duplicates"]),
        [1, 1, 1]
    );
    assert_eq!(told["form"], "sha256");
    assert_eq!(house.crosswalk(), of_ids);
    // The crosswalk says how its owner has the ids, and no flag does.
    let rows = format!("email,spend\n{HASH},5\n{base64},6\nuser@example.com,7\n");
    assert_eq!(sealed(&house, &rows), (2, 1));
}

/// Rows sealed, and rows without a pseudonym.
fn sealed(house: &House, rows: &str) -> (u64, u64) {
    let (party, file) = (house.path("house"), house.path("people.csv"));
    fs::write(&file, rows).unwrap();
    let words = [
        "--json", "data", "seal", "people", "--party", &party, "--data", &file, "--yes",
    ];
    let output = run(&words);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let counts = counts(&told, &["sealed", "without_pseudonym"]);
    (counts[0], counts[1])
}

#[test]
fn a_number_at_home_needs_its_country() {
    let house = House::agreed_as(|text| text.replacen("[\"email\"]", "[\"phone\"]", 1));
    let told = refused(&house, "phone\n030 123456\n030 123457\n", &[]).to_string();
    assert!(told.contains("`--region` names"), "{told}");
    let told = house.matched("phone\n+49 30 123456\n030 123457\n", &[]);
    assert_eq!(counts(&told, &["distinct", "invalid"]), [1, 1]);
    let told = house.matched("phone\n030 123456\n030 123457\n", &["--region", "de"]);
    assert_eq!(counts(&told, &["distinct", "known", "new"]), [2, 1, 1]);
    assert_eq!(told["region"], "DE");
    let ids: Vec<String> = house.crosswalk().into_keys().collect();
    assert_eq!(ids, ["+4930123456", "+4930123457"]);
    let rows = "phone,spend\n030 123456,5\n0049 30 123457,6\n030 999999,7\n";
    assert_eq!(sealed(&house, rows), (2, 1));
}

/// What is asked for against the agreement, and what to do instead.
#[test]
fn forms_and_countries_that_do_not_fit_are_refused() {
    let plain = House::agreed_as(|text| text);
    let first = House::agreed_as(|text| text.replace("rules = 2\n", ""));
    let hashing = House::agreed_as(hashed);
    let digits =
        "YjRjOWEyODkzMjNiMjFhMDFjM2U5NDBmMTUwZWI5YjhjNTQyNTg3ZjFhYmZkOGYwZTFjYzFmZmM1ZTQ3NTUxNA==";
    let digits = format!("email\n{digits}\n");
    let id = "email\na@b.example\n";
    for (house, rows, more, why, hint) in [
        (
            &plain,
            id,
            &["--form", "sha256"][..],
            "not their hashes",
            "hashed = [\"email\"]",
        ),
        (&first, id, &["--form", "sha256"], "rules 1", "rules = 2"),
        (&first, id, &["--region", "DE"], "rules 1", "`--region` out"),
        (
            &plain,
            id,
            &["--region", "DE"],
            "region is for phone",
            "`--region` out",
        ),
        (
            &hashing,
            &digits,
            &["--form", "sha256"],
            "has no valid `email`",
            "32 bytes",
        ),
    ] {
        let told = refused(house, rows, more);
        let told = told.to_string().replace("\\\"", "\"");
        assert!(
            told.contains(why) && told.contains(hint),
            "{more:?}: {told}"
        );
    }
    // Some such rows among others are told of.
    let rows = format!("{digits}{HASH}\n");
    let output = hashing.matches(&rows, &["--form", "sha256"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        stderr(&output).contains("encode the 32 bytes"),
        "{}",
        stderr(&output)
    );
}
