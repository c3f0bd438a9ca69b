//! The plan in words: what parties read is of the plan that runs, says all of it, and nothing
//! that nobody asked for.

use super::*;
use crate::prove;
use crate::words::readings;

/// What holds of the words for every query: there are some, in no engine's language, without a
/// value that nobody gave, and rows are dropped before the cut where they are in what runs.
pub(super) fn are_of_the_plan(agreement: &Agreement, checked: &CheckedQuery) {
    let sql = &checked.query.sql;
    let told = checked.spoken.as_ref().and_then(|spoken| spoken.told());
    let told = told.unwrap_or_else(|| panic!("no words for {sql}"));
    let steps = checked.explain(agreement).steps.join("\n");
    for engine in [
        "Int64",
        "Utf8",
        "Date32",
        "Decimal128",
        "NULLS",
        "PRECEDING",
        "UNBOUNDED",
        "__",
    ] {
        assert!(!steps.contains(engine), "{engine} in\n{steps}\nof {sql}");
    }
    let named = !checked.query.params.is_empty();
    assert!(!named || !steps.contains("1970-01-01"), "{steps}\nof {sql}");
    let sorted = |mut all: BTreeMap<String, Vec<Option<String>>>| {
        for readings in all.values_mut() {
            if named {
                readings.iter_mut().flatten().for_each(String::clear);
            }
            readings.sort();
        }
        all
    };
    assert_eq!(
        sorted(told.readings),
        sorted(readings(&checked.optimized)),
        "{sql}"
    );
}

fn steps(sql: &str, settings: &[(&str, &str)]) -> Vec<String> {
    let agreement = agreement(sql, settings);
    let checked = prove(&agreement, query(&agreement)).unwrap();
    are_of_the_plan(&agreement, &checked);
    checked.explain(&agreement).steps
}

/// Steps from the first that starts so, to compare.
fn from(steps: &[String], start: &str, most: usize) -> Vec<String> {
    let at = steps.iter().position(|step| step.starts_with(start));
    let at = at.unwrap_or_else(|| panic!("{start}: {steps:#?}"));
    steps[at..].iter().take(most).cloned().collect()
}

/// Parameters without values stand by their names, of every type, wherever they stand.
#[test]
fn parameters_stand_by_their_names() {
    let sql = "SELECT COUNT(DISTINCT person) AS people, COUNT(*) FILTER (WHERE items > $few) AS n FROM purchases
WHERE day BETWEEN $from AND $until AND category = $cat AND amount > $least AND at >= $since
  AND day < $from + INTERVAL '30 days' AND items + $few > 3";
    let settings = [
        (
            "reads",
            "[\"purchases.person\", \"purchases.day\", \"purchases.category\", \"purchases.amount\", \"purchases.at\", \"purchases.items\"]",
        ),
        ("rows", "{ purchases = 3 }"),
        (
            "params",
            "{ from = { type = \"date\" }, until = { type = \"date\" }, cat = { type = \"text\" }, least = { type = \"decimal(10,2)\" }, since = { type = \"timestamp\" }, few = { type = \"int\", min = 0, max = 9 } }",
        ),
        ("per_person", "{ groups = 1, n = [0, 3] }"),
    ];
    let said = steps(sql, &settings);
    assert_eq!(
        from(&said, "drop", 1),
        [
            "drop those without purchases.day >= $from AND purchases.day <= $until AND purchases.category = $cat AND purchases.amount > $least AND purchases.at >= $since AND purchases.items + $few > 3 AND purchases.day < $from + 30 days"
        ]
    );
    assert_eq!(
        from(&said, "ask", 1),
        [
            "ask of them people = COUNT(DISTINCT purchases.person), n = COUNT(*) FILTER (WHERE purchases.items > $few)"
        ]
    );
}

/// Values that were given are said.
#[test]
fn values_that_are_given_are_said() {
    let sql = "SELECT COUNT(DISTINCT person) AS people FROM purchases WHERE category = $cat";
    let settings = [
        ("reads", "[\"purchases.person\", \"purchases.category\"]"),
        ("rows", "{ purchases = 3 }"),
        ("params", "{ cat = { type = \"text\" } }"),
    ];
    let agreement = agreement(sql, &settings);
    let given = params(&[("cat", incamera_types::Value::Text("it's".into()))]);
    let checked = crate::check(&agreement, query(&agreement), &given).unwrap();
    are_of_the_plan(&agreement, &checked);
    let said = checked.explain(&agreement).steps;
    assert_eq!(
        from(&said, "drop", 1),
        ["drop those without purchases.category = 'it''s'"]
    );
}

/// Readings of one data set, a join of it with itself, HAVING and days between columns.
#[test]
fn second_readings_and_conditions_on_groups_are_said() {
    let sql = "WITH first AS (SELECT person, MIN(day) AS day, COUNT(*) AS n FROM purchases GROUP BY person HAVING COUNT(*) > 1)
SELECT COUNT(DISTINCT first.person) AS people FROM first
JOIN purchases p ON p.person = first.person AND p.items > 2 AND p.day BETWEEN first.day + 1 AND first.day + 30
WHERE first.n < 9";
    let settings = [
        (
            "reads",
            "[\"purchases.person\", \"purchases.day\", \"purchases.items\"]",
        ),
        ("rows", "{ purchases = 3 }"),
    ];
    let said = steps(sql, &settings);
    assert_eq!(
        from(&said, "in reading 1", 8),
        [
            "in reading 1, take all",
            "in reading 2, drop those without purchases.items > 2",
            "keep at most 3 rows of each person's, by lot",
            "of reading 1 of `purchases`, make a row for each purchases.person, with day = MIN(purchases.day), n = COUNT(*)",
            "keep the rows with n > 1 AND n < 9",
            "call these rows `first`",
            "call the rows of reading 2 of `purchases` `p`",
            "join `first` and `p` on the person, where p.day >= first.day + 1 AND p.day <= first.day + 30",
        ]
    );
}

/// Functions with OVER, which rows they look at, and the conditions above them.
#[test]
fn functions_over_rows_are_said() {
    let sql = "WITH placed AS (SELECT person, items,
  ROW_NUMBER() OVER (PARTITION BY person ORDER BY day DESC) AS place,
  SUM(1 - items) OVER (PARTITION BY person ORDER BY day) AS sum,
  SUM(items) OVER (PARTITION BY person ORDER BY day ROWS BETWEEN 2 PRECEDING AND CURRENT ROW) AS few,
  LAG(items) OVER (PARTITION BY person ORDER BY day) AS before
FROM purchases)
SELECT COUNT(DISTINCT person) AS people FROM placed WHERE place = 1 AND sum > 3 AND few < 9 AND before > 1";
    let settings = [
        (
            "reads",
            "[\"purchases.person\", \"purchases.day\", \"purchases.items\"]",
        ),
        ("rows", "{ purchases = 3 }"),
    ];
    let said = steps(sql, &settings);
    assert_eq!(
        from(&said, "give", 6),
        [
            "give each row of `purchases` place = ROW_NUMBER() over the rows with the same purchases.person, in order of purchases.day, the last first",
            "give each row of `purchases` sum = SUM(1 - purchases.items) over the rows with the same purchases.person, in order of purchases.day, from the first to itself and its equals",
            "give each row of `purchases` few = SUM(purchases.items) over the rows with the same purchases.person, in order of purchases.day, from 2 rows before it to itself",
            "give each row of `purchases` before = LAG(purchases.items) over the rows with the same purchases.person, in order of purchases.day",
            "keep the rows of `purchases` with place = 1 AND sum > 3 AND few < 9 AND before > 1",
            "call the rows of `purchases` `placed`",
        ]
    );
}

/// Readings that ask the same are said together.
#[test]
fn readings_that_ask_the_same_are_said_together() {
    let sql = "SELECT COUNT(DISTINCT a.person) AS people FROM purchases a
JOIN purchases b ON b.person = a.person JOIN purchases c ON c.person = a.person
WHERE a.items > 3 AND c.items > 3";
    let settings = [
        ("reads", "[\"purchases.person\", \"purchases.items\"]"),
        ("rows", "{ purchases = 3 }"),
    ];
    let said = steps(sql, &settings);
    assert_eq!(
        from(&said, "in reading", 2),
        [
            "in readings 1 and 3, drop those without purchases.items > 3",
            "in reading 2, take all",
        ]
    );
}

/// Sides of a UNION ALL are put together, and not joined.
#[test]
fn sides_of_a_union_are_not_joined() {
    let sql = "WITH all_rows AS (SELECT person, 1 AS seen FROM mailing WHERE mailed
UNION ALL SELECT person, 0 AS seen FROM purchases)
SELECT COUNT(DISTINCT all_rows.person) AS people, SUM(seen) AS seen FROM all_rows JOIN customers ON customers.person = all_rows.person";
    let settings = [
        (
            "reads",
            "[\"mailing.person\", \"mailing.mailed\", \"purchases.person\", \"customers.person\"]",
        ),
        ("rows", "{ purchases = 3, mailing = 2 }"),
        ("per_person", "{ groups = 1, seen = [0, 3] }"),
    ];
    let said = steps(sql, &settings);
    assert_eq!(
        from(&said, "give", 5),
        [
            "give each row of `mailing` seen = 1",
            "give each row of `purchases` seen = 0",
            "put one after the other the rows of `mailing` and `purchases`",
            "call these rows `all_rows`",
            "join `all_rows` and `customers` on the person",
        ]
    );
}

/// Sub-queries that are conditions, and what a LEFT JOIN adds.
#[test]
fn conditions_on_other_rows_are_said() {
    let sql = "SELECT COUNT(DISTINCT customers.person) AS people, COUNT(purchases.items) AS n FROM customers
LEFT JOIN purchases ON purchases.person = customers.person AND purchases.items > 1
WHERE EXISTS (SELECT 1 FROM mailing WHERE mailing.person = customers.person AND mailing.mailed)
AND NOT EXISTS (SELECT 1 FROM mailing WHERE mailing.person = customers.person AND mailing.campaign = 'x')";
    let settings = [
        (
            "reads",
            "[\"customers.person\", \"mailing.person\", \"mailing.mailed\", \"mailing.campaign\", \"purchases.person\", \"purchases.items\"]",
        ),
        ("rows", "{ purchases = 3, mailing = 2 }"),
        ("per_person", "{ groups = 1, n = [0, 3] }"),
    ];
    let said = steps(sql, &settings);
    assert_eq!(
        from(&said, "join", 3),
        [
            "join to `customers` what there is of `purchases` on the person",
            "keep the rows of people with rows in reading 1 of `mailing`",
            "drop the rows of people with rows in reading 2 of `mailing`",
        ]
    );
    assert_eq!(
        from(&said, "in reading 1", 2),
        [
            "in reading 1, drop those without mailing.mailed",
            "in reading 2, drop those without mailing.campaign = 'x'",
        ]
    );
}
