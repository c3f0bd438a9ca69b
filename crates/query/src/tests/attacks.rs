//! Attacks that have no other home: `docs/attacks.md` lists all classes with their tests.

use super::rows::{Row, memory};
use super::*;
use crate::{RefusalKind, prove};

const READS: (&str, &str) = ("reads", "[\"purchases.person\", \"purchases.items\"]");

fn asked(sql: &str, per_person: &str) -> CheckedQuery {
    let agreement = agreement(
        sql,
        &[
            READS,
            ("rows", "{ purchases = 5 }"),
            ("per_person", per_person),
        ],
    );
    prove(&agreement, query(&agreement)).unwrap()
}

fn bought(people: std::ops::Range<u8>, items: i64) -> Vec<Row> {
    let row = |person| Row {
        person,
        items: Some(items),
        ..Row::default()
    };
    people.map(row).collect()
}

/// One number in many disguises, to take their mean: each has noise of its own, and so much more
/// of it that the mean is no better than the number asked once.
#[test]
fn a_number_under_many_names_is_no_better_known() {
    let sql = |names: usize| {
        let sums =
            (0..names).map(|at| format!(", SUM(items) FILTER (WHERE items > -1 - {at}) AS s{at}"));
        let sums: String = sums.collect();
        format!("SELECT COUNT(DISTINCT person) AS people{sums} FROM purchases")
    };
    let bounds = |names: usize| {
        let all = (0..names).map(|at| format!(", s{at} = [0, 9]"));
        format!("{{ groups = 1{} }}", all.collect::<String>())
    };
    let of = |names| asked(&sql(names), &bounds(names));
    let (once, often) = (of(1), of(9));
    let precision = |checked: &CheckedQuery| {
        let sums = checked.measures.iter().skip(1);
        sums.map(|sum| sum.sigma().powi(-2)).sum::<f64>()
    };
    // Weights make it nine tenths of the query's instead of a half, and no more than all.
    assert!(precision(&often) <= precision(&once) * 1.8 * 1.001);
    let answer = answer(totals_of(&often, bought(0..9, 3)), 1);
    let values: std::collections::BTreeSet<_> = answer.groups[0].values.iter().skip(1).collect();
    assert!(values.len() > 5, "{values:?}");
}

fn totals_of(checked: &CheckedQuery, rows: Vec<Row>) -> RawAggregate {
    try_raw(checked, Arc::new(memory(&rows, 1, 64)), 1).unwrap()
}

/// An owner uploads rows of one person alone, or of a thousand, with whatever in them: the noise
/// is the same, draw for draw.
#[test]
fn crafted_rows_do_not_change_the_noise() {
    let sql = "SELECT COUNT(DISTINCT person) AS people, SUM(items) AS items FROM purchases";
    let checked = asked(sql, "{ groups = 1, items = [0, 7] }");
    let crafted = [
        Vec::new(),
        bought(3..4, 0),
        bought(3..4, i64::MAX),
        bought(0..200, i64::MIN),
        bought(0..200, 100),
    ];
    let noise = crafted.map(|rows| {
        let raw = totals_of(&checked, rows);
        let exact = exact(&raw);
        // As if nobody were withheld.
        let mut shown = CheckedQuery::clone(&raw.checked);
        shown.query.min_people = 0;
        shown.people = None;
        let raw = RawAggregate {
            checked: Arc::new(shown),
            ..raw
        };
        let answer = answer(raw, 7);
        let values = answer.groups[0].values.iter().zip(exact);
        values
            .map(|(noisy, exact)| i128::from(*noisy) - exact)
            .collect::<Vec<_>>()
    });
    assert!(noise.iter().all(|one| *one == noise[0]), "{noise:?}");
    assert!(noise[0].iter().any(|one| *one != 0));
}

/// What a column is bounded to says nothing of what is made of it: a person adds what the
/// query's own clamp lets through, and a sum over several people is nobody's.
#[test]
fn a_bound_dies_with_what_it_bounded() {
    let big = "SELECT COUNT(DISTINCT person) AS people, SUM(items) AS items FROM
        (SELECT person, items * 1000000 AS items FROM purchases) t";
    let checked = asked(big, "{ groups = 1, items = [0, 7] }");
    let all = exact(&totals_of(&checked, bought(0..9, 100)));
    assert_eq!(all, [9, 9 * 7]);
    let collapsed = "SELECT COUNT(*) AS n, SUM(s) AS s FROM
        (SELECT items, SUM(items) AS s FROM purchases GROUP BY items) t";
    let agreement = agreement(
        collapsed,
        &[
            READS,
            ("rows", "{ purchases = 5 }"),
            ("per_person", "{ groups = 1, n = [0, 1], s = [0, 1] }"),
        ],
    );
    let refused = prove(&agreement, query(&agreement)).unwrap_err();
    assert_eq!(refused.kind(), RefusalKind::UnitLost);
}

/// Expressions that would do something, or be something else each time.
#[test]
fn expressions_without_effects_alone_are_let_through() {
    let passes = |expr: &str| {
        let sql = format!(
            "SELECT COUNT(DISTINCT person) AS people FROM purchases WHERE {expr} IS NOT NULL AND items > 0"
        );
        let agreement = agreement(&sql, &[READS, ("rows", "{ purchases = 5 }")]);
        prove(&agreement, query(&agreement)).is_ok()
    };
    assert!(passes("items"));
    for expr in [
        "random()",
        "uuid()",
        "now()",
        "current_date",
        "current_time",
        "version()",
        "pg_sleep(9)",
        "arrow_cast(items, 'Float32')",
        "items::float8",
        "nanvl(items, 0)",
        "get_field(items, 'a')",
        "(SELECT MAX(items) FROM purchases)",
    ] {
        assert!(!passes(expr), "{expr}");
    }
}
