//! What is made of released values.

use arrow::array::{Array, Float64Array, StringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::datasource::MemTable;
use datafusion::prelude::SessionContext;
use incamera_wire::v1 as wire;

use super::*;
use crate::{Table, table};

/// Columns over `items` (a key), `people` and `spend`: what the engine makes of them too.
const COLUMNS: &[&str] = &[
    "spend / people",
    "1.5 * spend - 3 * people + 2",
    "(spend + people) / (people - 4)",
    "spend / (people - people)",
    "CASE WHEN people > 500 THEN spend WHEN people > 100 THEN -spend END",
    "CASE items WHEN '1' THEN people ELSE 0 END",
    "COALESCE(spend / NULLIF(people - 900, 0), -1)",
    "ROUND(spend / people, 1)",
    "ROUND(spend / people, -1)",
    "FLOOR(spend / 7) + CEIL(people / 7.0) - TRUNC(spend / 11, 1)",
    "ABS(people - spend) * SQRT(spend)",
    "CASE WHEN NOT (people BETWEEN 200 AND 700) AND items IN ('1', '3') OR spend IS NULL THEN 1 ELSE 2 END",
    "CASE WHEN (people > 500) IS TRUE AND people <> 900 THEN 1 ELSE 0 END",
    "-spend / 2",
    "CAST(people AS DOUBLE) / 7",
];

fn made(columns: &str, outer: &str) -> Agreement {
    let sql = format!(
        "SELECT items, people, {columns} FROM (
  SELECT items AS items, COUNT(DISTINCT person) AS people, SUM(amount) AS spend
  FROM purchases GROUP BY items) AS released {outer}"
    );
    let all = "[\"purchases.person\", \"purchases.items\", \"purchases.amount\"]";
    agreement(
        &sql,
        &[
            ("reads", all),
            ("rows", "{ purchases = 10 }"),
            ("groups", "{ items = [\"1\", \"2\", \"3\", \"4\"] }"),
            (
                "params",
                match sql.contains("$least") {
                    true => "{ least = { type = \"int\", min = 0, max = 1000 } }",
                    false => "{}",
                },
            ),
            ("per_person", "{ groups = 1, spend = [0, 400] }"),
        ],
    )
}

/// People and spend of the groups.
const RELEASED: [(i64, i64); 4] = [(900, 150_025), (450, 320_050), (120, 1_300), (640, 64_000)];

fn released() -> wire::Answer {
    let measure = |name: &str, unit: &str, scale, sigma| wire::Measure {
        name: name.into(),
        unit: unit.into(),
        scale,
        sigma,
        clamp_low: "0".into(),
        clamp_high: "1".into(),
        ..wire::Measure::default()
    };
    let group = |(at, (people, spend)): (usize, (i64, i64))| wire::Group {
        key: vec![(at + 1).to_string()],
        withheld: false,
        values: vec![people, spend],
    };
    wire::Answer {
        query: "q".into(),
        keys: vec!["items".into()],
        measures: vec![
            measure("people", "", 0, 5.0),
            measure("spend", "EUR", 2, 3_000.0),
        ],
        groups: RELEASED.into_iter().enumerate().map(group).collect(),
        ..wire::Answer::default()
    }
}

fn shown(answer: &wire::Answer, columns: &str, outer: &str) -> Table {
    let agreement = made(columns, outer);
    let least = ("least", incamera_types::Value::Int(300));
    let given = match query(&agreement).params.is_empty() {
        true => params(&[]),
        false => params(&[least]),
    };
    table(answer, &agreement, query(&agreement), &given).unwrap()
}

/// What the engine makes of the released values.
fn engine(columns: &str) -> Vec<Vec<Option<f64>>> {
    let texts: StringArray = (1..=4).map(|n| Some(n.to_string())).collect();
    let people: Float64Array = RELEASED.iter().map(|row| Some(row.0 as f64)).collect();
    let spend: Float64Array = RELEASED
        .iter()
        .map(|row| Some(row.1 as f64 / 100.0))
        .collect();
    let rows = batch(vec![
        ("items", Arc::new(texts)),
        ("people", Arc::new(people)),
        ("spend", Arc::new(spend)),
    ]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let batches = runtime.block_on(async {
        let context = SessionContext::new();
        let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
        context.register_table("released", Arc::new(table)).unwrap();
        let sql = format!("SELECT {columns} FROM released ORDER BY items");
        context.sql(&sql).await.unwrap().collect().await.unwrap()
    });
    let number = |column: &ArrayRef| -> Vec<Option<f64>> {
        let column = cast(column, &DataType::Float64).unwrap();
        let numbers = column.as_any().downcast_ref::<Float64Array>().unwrap();
        // What has no number, such as a quotient by zero, is null here.
        let finite = |number: Option<f64>| number.filter(|number| number.is_finite());
        numbers.iter().map(finite).collect()
    };
    let batch = arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
    batch.columns().iter().map(number).collect()
}

#[test]
fn the_engine_makes_the_same_of_released_values() {
    let named: Vec<String> = COLUMNS
        .iter()
        .enumerate()
        .map(|(at, sql)| format!("{sql} AS c{at}"))
        .collect();
    let columns = named.join(", ");
    let table = shown(&released(), &columns, "");
    // Functions that the engine is built without.
    let built = |sql: &&&str| {
        !["ROUND", "FLOOR", "ABS"]
            .iter()
            .any(|name| sql.contains(name))
    };
    let plain: Vec<&&str> = COLUMNS.iter().filter(built).collect();
    assert!(plain.len() > 10);
    for (at, sql) in COLUMNS.iter().enumerate().filter(|(_, sql)| built(sql)) {
        let engine = engine(&format!("{sql} AS c")).remove(0);
        for (row, engine) in table.rows.iter().zip(engine) {
            let found = row
                .cells
                .iter()
                .find(|cell| cell.name == format!("c{at}"))
                .unwrap();
            let (found, engine) = (found.value.unwrap_or(f64::MAX), engine.unwrap_or(f64::MAX));
            let near = (found - engine).abs() <= 1e-9 * engine.abs().max(1.0);
            assert!(near, "{sql} of {:?}: {found} {engine}", row.key);
        }
    }
    let cell = |row: usize, name: &str| {
        let mut cells = table.rows[row].cells.iter();
        cells.find(|cell| cell.name == name).unwrap().value
    };
    assert_eq!(cell(0, "c7"), Some(1.7));
    assert_eq!(cell(1, "c8"), Some(10.0));
    let expected = (1500.25f64 / 7.0).floor() + (900f64 / 7.0).ceil() - 136.3;
    assert!((cell(0, "c9").unwrap() - expected).abs() < 1e-9);
    assert!((cell(2, "c10").unwrap() - 107.0 * 13f64.sqrt()).abs() < 1e-9);
}

#[test]
fn rows_are_kept_sorted_and_cut() {
    let keys = |outer: &str| -> Vec<String> {
        let table = shown(&released(), "spend / people AS rate", outer);
        table.rows.into_iter().map(|row| row.key.concat()).collect()
    };
    assert_eq!(keys("WHERE people > $least"), ["1", "2", "4"]);
    assert_eq!(
        keys("WHERE spend / people > 1.5 OR items = 3"),
        ["1", "2", "3"]
    );
    assert_eq!(keys("ORDER BY people"), ["3", "2", "4", "1"]);
    assert_eq!(keys("ORDER BY rate DESC, items LIMIT 2"), ["2", "1"]);
    assert_eq!(keys("ORDER BY people LIMIT 2 OFFSET 1"), ["2", "4"]);
    // Nulls stand where SQL has them, ties in the agreement's order.
    assert_eq!(
        keys("ORDER BY CASE WHEN people > 500 THEN 1 END"),
        ["1", "4", "2", "3"]
    );
    assert_eq!(
        keys("ORDER BY CASE WHEN people > 500 THEN 1 END NULLS FIRST"),
        ["2", "3", "1", "4"]
    );
}

/// Withheld groups have no values: they are no part of conditions and order, and counted in a
/// note.
#[test]
fn withheld_groups_have_no_part_in_steps() {
    let mut answer = released();
    answer.groups[1].withheld = true;
    answer.groups[1].values.clear();
    let table = shown(&answer, "spend / people AS rate", "ORDER BY people LIMIT 3");
    let keys: Vec<String> = table.rows.iter().map(|row| row.key.concat()).collect();
    assert_eq!(keys, ["3", "4", "1"]);
    let note = "not listed, and no part of HAVING, ORDER BY and LIMIT: 1 withheld";
    assert!(
        table.notes.iter().any(|found| found.starts_with(note)),
        "{:?}",
        table.notes
    );
    let plain = shown(&answer, "spend / people AS rate", "");
    assert!(plain.rows[1].withheld && plain.rows[1].cells.is_empty());
}

#[test]
fn columns_have_ranges_where_they_follow() {
    let columns = "spend / people AS rate, 100 * (people - spend / 10) / people AS left_over,
      spend * people AS area, CASE WHEN people > 500 THEN 'many' ELSE 'few' END AS size,
      COALESCE(spend, 0) AS known, 2 + 3 AS five, people > 500 AS large";
    let table = shown(&released(), columns, "");
    let text = table.to_string();
    let cells = &table.rows[0].cells;
    let texts: Vec<&str> = cells.iter().map(|cell| cell.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "900 +- 10",
            "1.67 EUR (1.60 .. 1.74)",
            "83.3 +- 0.7",
            "1,350,225 EUR (no range)",
            "many",
            "1,500 EUR (1,440 .. 1,560)",
            "5",
            "true",
        ],
        "{text}"
    );
    assert!(text.contains("where CASE, COALESCE or NULLIF chooses"));
    assert!(text.contains("no range: it is made from noisy numbers"));
    assert_eq!((cells[3].low, cells[3].value), (None, Some(1_350_225.0)));
}

/// Outside its domain a parameter is refused, before anything is planned; at its ends it is not,
/// and a proof takes the end that is farther from zero.
#[test]
fn parameters_keep_to_their_domains() {
    use incamera_types::Value;
    let agreement = made("spend", "WHERE people > $least LIMIT 2");
    let asked = |least: i64| {
        let params = params(&[("least", Value::Int(least))]);
        crate::check(&agreement, query(&agreement), &params).map(|_| ())
    };
    assert_eq!((asked(0), asked(1000)), (Ok(()), Ok(())));
    for outside in [-1, 1001, i64::MIN, i64::MAX] {
        let refusal = asked(outside).unwrap_err();
        assert_eq!(refusal.kind(), crate::RefusalKind::Params);
        assert!(refusal.instead().contains("from 0 to 1000"), "{refusal}");
    }
    let param = query(&agreement).params.values().next().unwrap();
    assert_eq!(crate::params::worst_value(param), Value::Int(1000));
}
