//! Ranges the wrong way round.

use incamera_types::Date;

use super::*;
use crate::{RefusalKind, check};

/// Both dates, as `from` and `until`, in a query with this condition.
fn asked(condition: &str, from: &str, until: &str) -> Result<(), crate::Refusal> {
    let sql = format!(
        "SELECT COUNT(DISTINCT customers.person) AS people, COUNT(*) AS bought FROM customers
         JOIN purchases ON purchases.person = customers.person AND {condition}"
    );
    let settings = [
        (
            "reads",
            "[\"customers.person\", \"purchases.person\", \"purchases.day\"]",
        ),
        ("rows", "{ purchases = 10 }"),
        ("per_person", "{ groups = 1, bought = [0, 10] }"),
        (
            "params",
            "{ from = { type = \"date\" }, until = { type = \"date\" } }",
        ),
    ];
    let agreement = agreement(&sql, &settings);
    let date = |text: &str| incamera_types::Value::Date(text.parse().unwrap());
    let params = params(&[("from", date(from)), ("until", date(until))]);
    check(&agreement, query(&agreement), &params).map(drop)
}

/// Before anything is spent; a day alone and the right way round are taken.
#[test]
fn an_empty_range_is_refused() {
    for condition in [
        "purchases.day BETWEEN $from AND $until",
        "purchases.day >= $from AND purchases.day <= $until",
        "$until > purchases.day AND $from < purchases.day",
    ] {
        let refusal = asked(condition, "2026-05-31", "2026-03-01").unwrap_err();
        assert_eq!(refusal.kind(), RefusalKind::Params, "{condition}");
        assert_eq!(refusal.what(), "the range of `day` is empty");
        assert!(refusal.instead().contains("nothing spent"));
        // What was asked stays out of the refusal: the room's log has it.
        assert!(!refusal.to_string().contains("2026"), "{refusal}");
        asked(condition, "2026-03-01", "2026-05-31").unwrap();
    }
    asked(
        "purchases.day BETWEEN $from AND $until",
        "2026-03-01",
        "2026-03-01",
    )
    .unwrap();
    // Where a range is excluded, or one of two is enough, nothing is empty.
    for condition in [
        "purchases.day NOT BETWEEN $from AND $until",
        "NOT (purchases.day BETWEEN $from AND $until)",
        "NOT (purchases.day >= $from AND purchases.day <= $until)",
        "(purchases.day >= $from OR purchases.day <= $until)",
        "(purchases.day BETWEEN $from AND $until OR purchases.day = $from)",
    ] {
        asked(condition, "2026-05-31", "2026-03-01").unwrap();
    }
}

/// Before it is signed a query has no parameters of anybody's: no range is empty then.
#[test]
fn an_agreement_is_checked_whatever_its_ranges() {
    let settings = [
        ("reads", "[\"purchases.person\", \"purchases.items\"]"),
        ("rows", "{ purchases = 10 }"),
        ("params", "{ most = { type = \"int\" } }"),
    ];
    let sql =
        "SELECT COUNT(DISTINCT person) AS people FROM purchases WHERE items BETWEEN 1 AND $most";
    let agreement = agreement(sql, &settings);
    crate::prove(&agreement, query(&agreement)).unwrap();
    let params = params(&[("most", incamera_types::Value::Int(0))]);
    let refused = check(&agreement, query(&agreement), &params).unwrap_err();
    assert_eq!(refused.kind(), RefusalKind::Params);
}

/// What is dropped before the cut is said; a condition that needs another data set's rows, or
/// null where a LEFT JOIN finds none, drops nothing before it.
#[test]
fn the_explanation_names_the_conditions() {
    let explained = |condition: &str| {
        let sql = format!(
            "SELECT COUNT(DISTINCT customers.person) AS people, COUNT(*) AS n
FROM customers JOIN mailing ON mailing.person = customers.person
LEFT JOIN purchases ON purchases.person = customers.person AND purchases.day >= $from
WHERE {condition}"
        );
        let reads = "[\"customers.person\", \"mailing.person\", \"mailing.mailed\", \"purchases.person\", \"purchases.day\", \"purchases.items\"]";
        let settings = [
            ("reads", reads),
            ("rows", "{ purchases = 3, mailing = 1 }"),
            ("params", "{ from = { type = \"date\" } }"),
            ("per_person", "{ groups = 1, n = [0, 9] }"),
        ];
        let agreement = agreement(&sql, &settings);
        let from = incamera_types::Value::Date(Date::from_days(20_000));
        let checked = crate::check(&agreement, query(&agreement), &params(&[("from", from)]));
        checked.unwrap().explain(&agreement).steps
    };
    let place = |steps: &[String], part: &str| steps.iter().position(|step| step.contains(part));
    let steps = explained("mailing.mailed AND (purchases.items = 3 OR purchases.items IS NULL)");
    let drops = place(&steps, "drop those without purchases.day >= 2024-10-04");
    let cut = place(&steps, "keep at most 3 rows");
    assert!(drops.is_some() && drops < cut, "{steps:#?}");
    assert!(
        place(&steps, "drop those without mailing.mailed").is_some(),
        "{steps:#?}"
    );
    assert!(
        place(&steps, "without purchases.items").is_none(),
        "{steps:#?}"
    );
    let later = "keep the rows with purchases.items = 3 OR purchases.items IS NULL";
    assert!(place(&steps, later) > cut, "{steps:#?}");
    let steps = explained("mailing.mailed OR purchases.items = 3");
    assert!(place(&steps, "without mailing").is_none(), "{steps:#?}");
}

/// What is made of a person's rows before the top is said, in order.
#[test]
fn the_explanation_says_what_is_made_of_rows() {
    let sql = "SELECT COUNT(DISTINCT person) AS people, SUM(n) AS n FROM
        (SELECT person, COUNT(*) AS n FROM (SELECT person, day FROM purchases UNION ALL SELECT person, day FROM purchases) u
         WHERE person IN (SELECT person FROM purchases WHERE items > 3) GROUP BY person) t";
    let reads = "[\"purchases.person\", \"purchases.items\"]";
    let settings = [
        ("reads", reads),
        ("rows", "{ purchases = 3 }"),
        ("per_person", "{ groups = 1, n = [0, 6] }"),
    ];
    let agreement = agreement(sql, &settings);
    let checked = crate::prove(&agreement, query(&agreement)).unwrap();
    let steps = checked.explain(&agreement).steps;
    let place = |part: &str| {
        let found = steps.iter().position(|step| step.contains(part));
        found.unwrap_or_else(|| panic!("{part}: {steps:#?}"))
    };
    let union = place("put one after the other the rows of reading 1 of `purchases` and reading 2");
    let semi = place("of people with rows in reading 3 of `purchases`");
    let made = place("make a row for each u.person, with n = COUNT(*)");
    assert!(union < semi && semi < made, "{steps:#?}");
    place("in reading 3, drop those without purchases.items > 3");
}
