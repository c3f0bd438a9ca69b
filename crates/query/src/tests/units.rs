//! Units and parameters: what a number counts, and moments that are asked with.

use incamera_types::{Params, Value};

use super::{agreement, params, query};
use crate::check::{CheckedQuery, check};

/// `SELECT` sums of a person's purchases: the columns and what each sum is made from.
fn unit(value: &str, from: &str) -> Option<String> {
    let sql = format!("SELECT COUNT(DISTINCT person) AS people, SUM({value}) AS total FROM {from}");
    let columns = ["amount", "items", "points", "day"];
    let read = columns.iter().filter(|name| sql.contains(*name));
    let read: String = read.map(|name| format!(", \"purchases.{name}\"")).collect();
    let agreement = agreement(
        &sql,
        &[
            ("reads", &format!("[\"purchases.person\"{read}]")),
            ("rows", "{ purchases = 10 }"),
            ("per_person", "{ groups = 1, total = [0, 400] }"),
        ],
    );
    let checked = check(&agreement, query(&agreement), &Params::default());
    checked.unwrap().measures()[1].unit.clone()
}

#[test]
fn a_unit_stays_where_it_is_what_it_was() {
    let nested = |value: &str| {
        format!("(SELECT person, {value} AS v FROM purchases GROUP BY person) AS one")
    };
    let euros = [
        ("amount", "purchases".to_owned()),
        ("v", nested("SUM(amount)")),
        ("v", nested("MAX(amount * items)")),
        ("v + v", nested("SUM(COALESCE(amount, 0))")),
        (
            "CASE WHEN items > 3 THEN amount ELSE 0 END",
            "purchases".into(),
        ),
        ("amount - COALESCE(amount, 0)", "purchases".into()),
        ("-amount", "purchases".into()),
        ("amount / NULLIF(items, 0)", "purchases".into()),
        ("amount * (1 - items)", "purchases".into()),
        (
            "v",
            "(SELECT person, SUM(amount) OVER (PARTITION BY person ORDER BY day) AS v FROM purchases) AS one"
                .into(),
        ),
        (
            "v",
            "(SELECT person, LAG(amount, 1, 0) OVER (PARTITION BY person ORDER BY day) AS v FROM purchases) AS one"
                .into(),
        ),
        // Ones that are added up count rows.
        (
            "amount / n",
            "(SELECT person, amount, SUM(1) OVER (PARTITION BY person) AS n FROM purchases) AS one"
                .into(),
        ),
        (
            "v",
            "(SELECT person, amount AS v FROM purchases
              UNION ALL SELECT person, amount * items FROM purchases) AS both"
                .into(),
        ),
        (
            "v",
            "(SELECT person, CAST(NULL AS DECIMAL(18,2)) AS v FROM purchases
              UNION ALL SELECT person, SUM(amount) FROM purchases GROUP BY person) AS both"
                .into(),
        ),
    ];
    for (value, from) in euros {
        assert_eq!(unit(value, &from).as_deref(), Some("EUR"), "{value} {from}");
    }
    let none = [
        ("items", "purchases".to_owned()),
        ("v", nested("COUNT(amount)")),
        ("amount * 2", "purchases".into()),
        ("amount / 100.0", "purchases".into()),
        ("amount * amount", "purchases".into()),
        ("amount + items", "purchases".into()),
        (
            "CASE WHEN items > 3 THEN amount ELSE items END",
            "purchases".into(),
        ),
        ("items / NULLIF(amount, 0)", "purchases".into()),
        (
            "v",
            "(SELECT person, amount AS v FROM purchases
              UNION ALL SELECT person, items FROM purchases) AS both"
                .into(),
        ),
        (
            "v",
            "(SELECT person, amount AS v FROM purchases
              UNION ALL SELECT person, CAST(5 AS DECIMAL(10,2)) FROM purchases) AS both"
                .into(),
        ),
        (
            "v",
            "(SELECT person, LAG(amount, 1, 5.00) OVER (PARTITION BY person ORDER BY day) AS v FROM purchases) AS one"
                .into(),
        ),
        (
            "amount / n",
            "(SELECT person, amount, MAX(100.0) OVER (PARTITION BY person) AS n FROM purchases) AS one"
                .into(),
        ),
        // A number that is written down stays one, wherever it was written.
        (
            "amount / k",
            "(SELECT person, amount, 100.0 AS k FROM purchases) AS one".into(),
        ),
        (
            "v / items",
            "(SELECT person, amount * amount AS v, items FROM purchases) AS one".into(),
        ),
    ];
    for (value, from) in none {
        assert_eq!(unit(value, &from), None, "{value} {from}");
    }
}

fn since(text: &str) -> Result<CheckedQuery, String> {
    let agreement = agreement(
        "SELECT COUNT(DISTINCT person) AS people FROM purchases
         WHERE at >= $from AND at < $from + INTERVAL '90 minutes'",
        &[
            ("reads", "[\"purchases.person\", \"purchases.at\"]"),
            ("rows", "{ purchases = 10 }"),
            (
                "params",
                "{ from = { type = \"timestamp\", min = 2026-03-01T00:00:00Z, max = 2026-03-31T22:00:00+02:00 } }",
            ),
        ],
    );
    let moment = Value::Timestamp(text.parse().unwrap());
    let checked = check(&agreement, query(&agreement), &params(&[("from", moment)]));
    checked.map_err(|refusal| refusal.to_string())
}

#[test]
fn a_moment_is_asked_with_inside_its_domain() {
    for inside in [
        "2026-03-01T00:00:00Z",
        "2026-03-31T20:00:00Z",
        "2026-03-15T09:30:00.25+01:00",
    ] {
        let checked = since(inside).unwrap();
        assert!(checked.plan.to_string().contains("TimestampMicrosecond"));
    }
    for outside in ["2026-02-28T23:59:59.999999Z", "2026-03-31T20:00:00.000001Z"] {
        let why = since(outside).unwrap_err();
        assert!(why.contains("parameter `from`"), "{why}");
    }
}
