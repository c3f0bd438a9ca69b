//! Ranges the wrong way round.

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
