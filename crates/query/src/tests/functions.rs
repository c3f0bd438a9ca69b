//! Each function and operator on the list: what it gives, and that nothing a row can hold makes
//! it fail (I7).

use arrow::array::{
    Date32Array, Decimal128Array, Int64Array, StringArray, TimestampMicrosecondArray,
};

use super::*;
use crate::{RefusalKind, prove};

/// Day, amount in cents, items, points, category, microseconds.
#[derive(Clone, Default)]
struct Values {
    day: Option<i32>,
    amount: Option<i128>,
    items: Option<i64>,
    points: Option<i64>,
    category: Option<String>,
    at: Option<i64>,
}

/// One row a person.
fn memory(rows: &[Values]) -> Memory {
    let who = |number: usize| {
        let mut person = [9; 16];
        person[..4].copy_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
        person
    };
    let amounts: Decimal128Array = rows.iter().map(|row| row.amount).collect();
    let at: TimestampMicrosecondArray = rows.iter().map(|row| row.at).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("person", people((0..rows.len()).map(who))),
        (
            "day",
            Arc::new(rows.iter().map(|row| row.day).collect::<Date32Array>()),
        ),
        (
            "amount",
            Arc::new(amounts.with_precision_and_scale(10, 2).unwrap()),
        ),
        (
            "items",
            Arc::new(rows.iter().map(|row| row.items).collect::<Int64Array>()),
        ),
        (
            "points",
            Arc::new(rows.iter().map(|row| row.points).collect::<Int64Array>()),
        ),
        (
            "category",
            Arc::new(
                rows.iter()
                    .map(|row| row.category.as_deref())
                    .collect::<StringArray>(),
            ),
        ),
        ("at", Arc::new(at.with_timezone("UTC"))),
    ];
    let parts = [((dataset("purchases"), 0), vec![vec![batch(columns)]])];
    Memory {
        partitions: 1,
        parts: parts.into(),
    }
}

const COLUMNS: [&str; 6] = ["day", "amount", "items", "points", "category", "at"];

fn names(sql: &str, column: &str) -> bool {
    let mut words = sql.split(|c: char| !c.is_alphanumeric() && c != '_');
    words.any(|word| word == column)
}

fn grouped(expr: &str, value: &str) -> Result<CheckedQuery, crate::Refusal> {
    let sql = format!(
        "SELECT {expr} AS k, COUNT(DISTINCT person) AS people FROM purchases GROUP BY {expr}"
    );
    let read = COLUMNS.iter().filter(|column| names(expr, column));
    let read: String = read
        .map(|column| format!(", \"purchases.{column}\""))
        .collect();
    let settings = [
        ("reads", format!("[\"purchases.person\"{read}]")),
        ("rows", "{ purchases = 1 }".to_owned()),
        ("groups", format!("{{ k = [{value:?}] }}")),
    ];
    let settings: Vec<_> = settings.iter().map(|(a, b)| (*a, b.as_str())).collect();
    let agreement = agreement(&sql, &settings);
    prove(&agreement, query(&agreement))
}

/// 2024-02-29, 12.50, 7, -3, `Ärger_100% `, 2024-02-29 23:59:30.
fn plain() -> Values {
    Values {
        day: Some(19_782),
        amount: Some(1_250),
        items: Some(7),
        points: Some(-3),
        category: Some("Ärger_100% ".to_owned()),
        at: Some(19_782 * 86_400_000_000 + 86_370_000_000),
    }
}

#[test]
fn functions_give_what_the_list_says() {
    let null = Values::default();
    for (expr, of_plain, of_null) in [
        ("items / 2", "3", None),
        ("points / 2", "-1", None),
        ("items / NULLIF(items - 7, 0)", "null", None),
        ("items / 0", "null", None),
        ("amount / 3", "4.166666", None),
        ("items / 2.0", "3.5000", None),
        ("amount / amount", "1.000000", None),
        ("points % 2", "-1", None),
        ("amount % 5", "2.50", None),
        ("items % 0", "null", None),
        ("abs(points)", "3", None),
        ("abs(-amount)", "12.50", None),
        ("round(amount)", "13", None),
        ("round(-amount)", "-13", None),
        ("round(amount, 1)", "12.5", None),
        ("round(items, -1)", "10", None),
        ("round(amount, -1)", "10", None),
        ("round(-amount, -1)", "-10", None),
        ("floor(-amount)", "-13", None),
        ("ceil(-amount)", "-12", None),
        ("ceil(amount)", "13", None),
        ("floor(items)", "7", None),
        ("width_bucket(amount, 0, 100, 10)", "2", None),
        ("width_bucket(points, 0, 100, 10)", "0", None),
        ("width_bucket(items, 0, 7, 10)", "11", None),
        ("date_trunc('year', day)", "2024-01-01", None),
        ("date_trunc('quarter', day)", "2024-01-01", None),
        ("date_trunc('month', day)", "2024-02-01", None),
        ("date_trunc('week', day)", "2024-02-26", None),
        ("CAST(date_trunc('month', at) AS DATE)", "2024-02-01", None),
        ("date_part('year', day)", "2024", None),
        ("EXTRACT(month FROM day)", "2", None),
        ("EXTRACT(dow FROM day)", "4", None),
        ("date_part('week', day)", "9", None),
        ("date_part('doy', day)", "60", None),
        ("date_part('hour', at)", "23", None),
        ("date_part('minute', at)", "59", None),
        ("date_part('hour', date_trunc('hour', at))", "23", None),
        ("day + INTERVAL '1 year'", "2025-02-28", None),
        ("day - INTERVAL '1 month'", "2024-01-29", None),
        (
            "DATE '2024-01-31' + INTERVAL '1' MONTH",
            "2024-02-29",
            Some("2024-02-29"),
        ),
        ("day + 1", "2024-03-01", None),
        ("day - items", "2024-02-22", None),
        ("items + day", "2024-03-07", None),
        ("day - DATE '2024-01-01'", "59", None),
        (
            "CAST(at + INTERVAL '31 seconds' AS DATE)",
            "2024-03-01",
            None,
        ),
        ("CAST(at - INTERVAL '24 hours' AS DATE)", "2024-02-28", None),
        ("lower(category)", "ärger_100% ", None),
        ("upper(category)", "ÄRGER_100% ", None),
        ("trim(category)", "Ärger_100%", None),
        ("trim(LEADING 'Ä' FROM category)", "rger_100% ", None),
        ("rtrim(category, ' %')", "Ärger_100", None),
        ("substr(category, 2, 3)", "rge", None),
        ("SUBSTRING(category FROM 1 FOR 2)", "Är", None),
        ("substring(category, -1, 3)", "Ä", None),
        ("left(category, 1)", "Ä", None),
        ("right(category, 2)", "% ", None),
        ("starts_with(category, 'Är')", "true", None),
        ("ends_with(category, ' ')", "true", None),
        ("contains(category, 'x')", "false", None),
        ("length(category)", "11", None),
        ("category || 'x'", "Ärger_100% x", None),
        ("concat(category, 'x')", "Ärger_100% x", Some("x")),
        ("coalesce(points, items, 0)", "-3", Some("0")),
        (
            "coalesce(NULL, category, 'none')",
            "Ärger_100% ",
            Some("none"),
        ),
        ("nullif(items, 7)", "null", None),
        ("nullif(items, 8)", "7", None),
        ("least(items, points)", "-3", None),
        ("greatest(items, points, NULL)", "7", None),
        (
            "greatest(day, DATE '2025-01-01')",
            "2025-01-01",
            Some("2025-01-01"),
        ),
        ("greatest(amount, items, 12.505)", "12.505", Some("12.505")),
        ("category LIKE '%100\\%%'", "true", None),
        ("category LIKE 'Ä____\\_%'", "true", None),
        ("category ILIKE 'äRGER%'", "true", None),
        ("category NOT LIKE '%z%'", "true", None),
        ("at >= TIMESTAMP '2024-02-29 23:59:30'", "true", None),
    ] {
        // A null key is no group: it is named.
        let key = format!("coalesce(CAST({expr} AS TEXT), 'null')");
        for (row, expected) in [
            (plain(), of_plain),
            (null.clone(), of_null.unwrap_or("null")),
        ] {
            let checked =
                grouped(&key, expected).unwrap_or_else(|refusal| panic!("{expr}: {refusal}"));
            let found = totals(&checked, memory(&[row]), 1);
            assert_eq!(found, [1], "{expr} is not {expected}");
        }
    }
}

/// Every kind of value that an owner could seal.
fn hostile() -> Vec<Values> {
    let texts: Vec<Option<String>> = vec![
        None,
        Some(String::new()),
        Some("\0".into()),
        Some("İıßﬃ\u{1F468}\u{200D}\u{1F469}e\u{301}".into()),
        Some("%_\\".repeat(9)),
        Some("İ".repeat(512)),
        Some("x".repeat(1_024)),
        Some("ß".repeat(100_000)),
    ];
    let days = [
        None,
        Some(i32::MIN),
        Some(i32::MAX),
        Some(-719_162),
        Some(2_932_896),
        Some(0),
    ];
    let moments = [None, Some(i64::MIN), Some(i64::MAX), Some(-1), Some(0)];
    let amounts = [
        None,
        Some(i128::MIN),
        Some(i128::MAX),
        Some(0),
        Some(1),
        Some(-1),
    ];
    let numbers = [
        None,
        Some(i64::MIN),
        Some(i64::MAX),
        Some(0),
        Some(1),
        Some(-1),
    ];
    let mut rows = Vec::new();
    for (a, category) in texts.iter().enumerate() {
        for (b, day) in days.iter().enumerate() {
            for (c, amount) in amounts.iter().enumerate() {
                rows.push(Values {
                    day: *day,
                    amount: *amount,
                    items: numbers[(a + b) % 6],
                    points: numbers[(b + c) % 6],
                    category: category.clone(),
                    at: moments[(a + b + c) % 5],
                });
            }
        }
    }
    rows
}

/// Every function, over everything: each row gets a group, null or not.
#[test]
fn i7_no_value_makes_a_function_fail() {
    let rows = hostile();
    for expr in [
        "points / 7 / items",
        "items / NULLIF(items, 0)",
        "amount / amount",
        "amount / 0.01 / 3",
        "points % items",
        "amount % amount",
        "amount % 0.3",
        "abs(points)",
        "round(amount, -18)",
        "round(points / 2, -3)",
        "round(amount, 18)",
        "floor(amount / 7)",
        "ceil(-amount)",
        "width_bucket(points, -9223372036854775807, 9223372036854775807, 100000)",
        "width_bucket(amount, 0.001, 499.9, 7)",
        "date_trunc('year', day)",
        "date_trunc('week', day)",
        "date_trunc('quarter', day)",
        "CAST(date_trunc('week', at) AS DATE)",
        "CAST(date_trunc('minute', at) AS DATE)",
        "date_part('week', day)",
        "date_part('doy', at)",
        "date_part('minute', at)",
        "day + INTERVAL '99999 years'",
        "day - INTERVAL '999999 days'",
        "day + INTERVAL '1 month' - INTERVAL '1 month'",
        "CAST(at + INTERVAL '999999 hours' AS DATE)",
        "CAST(at - INTERVAL '9 years 9 months 9 days 9 seconds' AS DATE)",
        "day + points",
        "day - points",
        "day - (day + points)",
        "lower(category)",
        "upper(category)",
        "trim(category)",
        "ltrim(category, '%x')",
        "substr(category, 9223372036854775807, 9223372036854775807)",
        "substr(category, -9223372036854775807, 9223372036854775807)",
        "substr(category, 2)",
        "left(category, 9223372036854775807)",
        "right(category, 3)",
        "starts_with(category, '')",
        "ends_with(category, 'ß')",
        "contains(category, 'ß')",
        "length(category || category)",
        "category || category || category",
        "concat(category, category, 'x')",
        "coalesce(category, 'none')",
        "coalesce(amount, points)",
        "nullif(points, items)",
        "nullif(category, '')",
        "least(day, DATE '2024-01-01')",
        "greatest(category, 'm')",
        "least(points, amount)",
        "category LIKE '%_\\%%'",
        "category ILIKE '%ß_İ%'",
        "category LIKE 'x%y%z%_%'",
        "category LIKE 'abc\\'",
        "category NOT ILIKE ''",
        "CAST(day AS TEXT)",
        "CAST(points AS TEXT) || CAST(amount AS TEXT)",
        "CASE WHEN points > 0 THEN 1 / 0 ELSE points / 0 END",
    ] {
        let key = format!("CASE WHEN ({expr}) IS NULL THEN 'null' ELSE 'value' END");
        let count = |value| {
            let checked = grouped(&key, value);
            let checked = checked.unwrap_or_else(|refusal| panic!("{expr}: {refusal}"));
            let raw = try_raw(&checked, Arc::new(memory(&rows)), 1);
            exact(&raw.unwrap_or_else(|error| panic!("{expr}: {error}")))[0]
        };
        assert_eq!(count("null") + count("value"), rows.len() as i128, "{expr}");
    }
}

/// A pattern as long as may be, of the kind that becomes largest in the engine.
#[test]
fn the_largest_pattern_is_taken() {
    for pattern in [
        "_".repeat(200),
        "%_".repeat(100),
        "ß".repeat(100),
        "\\%".repeat(100),
    ] {
        for like in ["LIKE", "ILIKE"] {
            let key = format!("CAST(category {like} '{pattern}' AS TEXT)");
            let checked = grouped(&key, "true").unwrap();
            try_raw(&checked, Arc::new(memory(&hostile())), 1).unwrap();
        }
    }
}

#[test]
fn what_bounds_nothing_is_refused() {
    for (expr, kind) in [
        ("substr(category, items)", RefusalKind::Expression),
        ("left(category, -1)", RefusalKind::Expression),
        ("starts_with(category, category)", RefusalKind::Expression),
        ("category LIKE category", RefusalKind::Expression),
        ("category LIKE 'a!%' ESCAPE '!'", RefusalKind::Expression),
        ("date_trunc('hour', day)", RefusalKind::Expression),
        ("date_trunc('century', day)", RefusalKind::Expression),
        ("date_trunc(category, day)", RefusalKind::Expression),
        ("day + INTERVAL '1 hour'", RefusalKind::Expression),
        ("round(amount, items)", RefusalKind::Expression),
        ("width_bucket(amount, 5, 1, 3)", RefusalKind::Expression),
        ("width_bucket(amount, 0, items, 3)", RefusalKind::Expression),
        ("lower(items)", RefusalKind::Expression),
        ("abs(category)", RefusalKind::Expression),
        ("coalesce(person, person)", RefusalKind::Expression),
        ("nullif(person, person)", RefusalKind::Expression),
        ("least(day, at)", RefusalKind::Syntax),
        ("coalesce(items, category)", RefusalKind::Syntax),
        (
            "points / 0.000000000000000001 / 0.000000000000000001 / 0.000000000000000001",
            RefusalKind::Numbers,
        ),
        ("abs(points) + abs(points)", RefusalKind::Numbers),
        ("now()", RefusalKind::Expression),
        ("random()", RefusalKind::Expression),
        ("regexp_match(category, 'x')", RefusalKind::Expression),
        ("category SIMILAR TO 'x'", RefusalKind::Expression),
    ] {
        let key = format!("CASE WHEN ({expr}) IS NULL THEN 'null' ELSE 'value' END");
        let refusal = grouped(&key, "value").map(drop).unwrap_err();
        assert_eq!(refusal.kind(), kind, "{expr}: {refusal}");
        assert!(!refusal.instead().is_empty());
    }
}
