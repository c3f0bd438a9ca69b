//! What linking does to noise, thresholds and words, and what SQL may not read of it.

use incamera_dp::{Noise as Drawn, Threshold};

use super::*;
use crate::RefusalKind;

fn sigma2(checked: &CheckedQuery, at: usize) -> f64 {
    match checked.measures[at].noise().unwrap() {
        Drawn::Gaussian { sigma2 } => sigma2.to_f64(),
        Drawn::Laplace { scale } => scale.to_f64().powi(2),
    }
}

/// The same query where people have one kind of id.
fn plain(sql: &str, settings: &[(&str, &str)]) -> Agreement {
    let base = base()
        .replace("ids = [\"email\", \"phone\"]\nlink = \"waterfall\"", "ids = [\"email\"]")
        .replace("email = { type = \"pseudonym\", id = \"email\" }\nphone = { type = \"pseudonym\", id = \"phone\" }\n", "")
        .replace("type = \"person\"", "type = \"pseudonym\"");
    agreement_of(&base, sql, settings)
}

#[test]
fn noise_is_for_as_many_as_one_changes_at_the_same_cost() {
    let settings = [
        (
            "reads",
            "[\"customers.person\", \"customers.vip\", \"mailing.person\", \"mailing.mailed\"]",
        ),
        ("rows", "{ customers = 1, mailing = 1 }"),
        ("per_person", "{ groups = 1, hits = [0, 1] }"),
    ];
    let one = plain(HITS, &settings);
    let one = checked(&one);
    let several = hits();
    let several = checked(&several);
    assert_eq!((one.stability(), several.stability()), (1, 6));
    assert_eq!(one.loss(), several.loss());
    for at in 0..2 {
        let ratio = sigma2(&several, at) / sigma2(&one, at);
        assert!((ratio - 36.0).abs() < 1e-6, "measure {at}: {ratio}");
    }
    // Both are worth what they are charged, and no more by exact accounting.
    assert!(several.accounted() <= several.query.epsilon);
    assert!(one.memory().needed < several.memory().needed);
    // A query of one owner's people links nobody.
    let sql = "SELECT COUNT(DISTINCT person) AS people FROM customers";
    let alone = agreement_of(
        &base(),
        sql,
        &[
            ("reads", "[\"customers.person\"]"),
            ("rows", "{ customers = 1 }"),
        ],
    );
    assert_eq!(checked(&alone).stability(), 1);
}

/// Groups that the data name: one person can bring as many people to a new one as it changes.
#[test]
fn groups_are_listed_only_above_what_one_person_brings() {
    let sql = "SELECT clicks.amount AS clicked, COUNT(DISTINCT customers.person) AS people
        FROM customers JOIN mailing ON mailing.person = customers.person
        JOIN clicks ON clicks.person = mailing.person GROUP BY 1";
    let settings = [
        (
            "reads",
            "[\"customers.person\", \"customers.email\", \"customers.phone\", \"mailing.person\", \"mailing.email\", \"mailing.phone\", \"clicks.person\", \"clicks.amount\"]",
        ),
        ("rows", "{ customers = 1, mailing = 1, clicks = 1 }"),
        ("groups", "{ clicked = \"discovered\" }"),
    ];
    let agreement = agreement_of(&base(), sql, &settings);
    let checked = checked(&agreement);
    let found = checked.threshold.clone().unwrap();
    let noise = checked.measures[0].noise().unwrap();
    let most = checked.loss().delta0;
    assert!(found.delta() <= most);
    // Six people in each of six groups, where one person is in one at most.
    assert_eq!(found, Threshold::smallest(noise, 6, 6, most).unwrap());
    let above = f64::from(u32::try_from(found.tau() - 6).unwrap());
    assert!(
        noise.tail(above as u64) * 6.0
            <= most.units() as f64 / incamera_types::Delta::UNITS_PER_ONE as f64 * (1.0 + 1e-6)
    );
}

#[test]
fn a_quantile_is_drawn_as_if_one_person_had_all_their_values() {
    let sql = "SELECT COUNT(DISTINCT customers.person) AS people, MEDIAN(clicks.amount) AS middle
        FROM customers JOIN mailing ON mailing.person = customers.person
        JOIN clicks ON clicks.person = mailing.person";
    let reads = "[\"customers.person\", \"customers.email\", \"customers.phone\", \"mailing.person\", \"mailing.email\", \"mailing.phone\", \"clicks.person\", \"clicks.amount\"]";
    let settings = [
        ("reads", reads),
        ("rows", "{ customers = 1, mailing = 1, clicks = 2 }"),
        (
            "per_person",
            "{ groups = 1, middle = { value = [0, 100], rows = 2 } }",
        ),
    ];
    let several = agreement_of(&base(), sql, &settings);
    let plain_reads =
        "[\"customers.person\", \"mailing.person\", \"clicks.person\", \"clicks.amount\"]";
    let mut settings = settings;
    settings[0].1 = plain_reads;
    let one = plain(sql, &settings);
    let ranks = |agreement: &Agreement| checked(agreement).measures[1].ranks().unwrap();
    let (one, several) = (ranks(&one), ranks(&several));
    assert!((several / one - 6.0).abs() < 0.4, "{one} {several}");
}

#[test]
fn pseudonyms_of_kinds_are_not_for_sql() {
    let reads = "[\"customers.person\", \"customers.email\", \"customers.phone\", \"mailing.person\", \"mailing.email\", \"mailing.phone\"]";
    for sql in [
        "SELECT COUNT(DISTINCT customers.person) AS people FROM customers JOIN mailing ON mailing.person = customers.person WHERE customers.email IS NOT NULL",
        "SELECT COUNT(DISTINCT customers.person) AS people FROM customers JOIN mailing ON mailing.person = customers.person AND mailing.phone = customers.phone",
        "SELECT COUNT(DISTINCT customers.email) AS people FROM customers JOIN mailing ON mailing.person = customers.person",
    ] {
        let settings = [("reads", reads), ("rows", "{ customers = 1, mailing = 1 }")];
        let agreement = agreement_of(&base(), sql, &settings);
        let refused = prove(&agreement, query(&agreement)).unwrap_err();
        assert!(
            refused.to_string().contains("pseudonym"),
            "{sql}: {refused}"
        );
    }
    let sql = "SELECT COUNT(DISTINCT customers.person) AS people FROM customers JOIN mailing ON mailing.person = customers.person WHERE customers.email IS NOT NULL";
    let settings = [("reads", reads), ("rows", "{ customers = 1, mailing = 1 }")];
    let agreement = agreement_of(&base(), sql, &settings);
    let refused = prove(&agreement, query(&agreement)).unwrap_err();
    assert_eq!(refused.kind(), RefusalKind::Reads, "{refused}");
    assert!(
        refused.to_string().contains("`customers.email` is read"),
        "{refused}"
    );
}

#[test]
fn explain_says_what_linking_does_to_the_noise() {
    let agreement = hits();
    let checked = checked(&agreement);
    let explained = checked.explain(&agreement).to_string();
    let said = "link people of both owners by email and phone in this order";
    assert!(explained.contains(said), "{explained}");
    assert!(
        explained.contains("noise is made for 6 at once, at the same cost"),
        "{explained}"
    );
    let reveals = checked.reveals(&agreement).to_string();
    assert!(
        reveals.contains("all of that for each of 6 people"),
        "{reveals}"
    );
}
