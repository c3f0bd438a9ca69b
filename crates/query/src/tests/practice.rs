//! The practice room: every query runs, the same seed gives the same answer, and the answer is
//! near the exact one of the same rows.

use incamera_types::{Date, Value};

use super::*;
use crate::practice::MadeUp;
use crate::{Practice, check, practice, table};

/// A query that joins three data sets, with conditions on text and days.
fn spend() -> Agreement {
    agreement(
        "SELECT CASE WHEN mailing.mailed THEN 'mailed' ELSE 'not mailed' END AS campaign_group,
  COUNT(DISTINCT customers.person) AS people, SUM(purchases.amount) AS spend
FROM customers JOIN mailing ON mailing.person = customers.person
LEFT JOIN purchases ON purchases.person = customers.person
  AND purchases.category = 'garden' AND purchases.day BETWEEN $from AND $until
GROUP BY 1",
        &[
            (
                "reads",
                "[\"customers.person\", \"purchases.person\", \"purchases.day\", \"purchases.category\", \"purchases.amount\", \"mailing.person\", \"mailing.mailed\"]",
            ),
            (
                "params",
                "{ from = { type = \"date\" }, until = { type = \"date\" } }",
            ),
            (
                "groups",
                "{ campaign_group = [\"mailed\", \"not mailed\"] }",
            ),
            ("rows", "{ purchases = 5, mailing = 1 }"),
            ("per_person", "{ groups = 1, spend = [0, 400] }"),
            ("min_people", "10"),
        ],
    )
}

fn window() -> Params {
    let day = |days| Value::Date(Date::from_days(days));
    params(&[("from", day(20_000)), ("until", day(20_060))])
}

fn run(checked: &CheckedQuery, seed: u64) -> crate::Practised {
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let made = Practice {
        people: 4_000,
        seed,
    };
    runtime.block_on(practice(checked, &made)).unwrap()
}

#[test]
fn a_seed_decides_everything() {
    let agreement = spend();
    let checked = check(&agreement, query(&agreement), &window()).unwrap();
    let first = run(&checked, 7);
    assert_eq!(first, run(&checked, 7));
    assert_ne!(first.answer, run(&checked, 8).answer);
    assert_eq!(first.people, 4_000);
}

/// The released numbers lie near the exact ones of the same rows, which do not vanish: the
/// query's own text and days are among the values.
#[test]
fn answers_are_near_the_exact_ones() {
    let agreement = spend();
    let checked = check(&agreement, query(&agreement), &window()).unwrap();
    let made = Practice {
        people: 4_000,
        seed: 3,
    };
    let raw = try_raw(&checked, Arc::new(MadeUp::new(&checked, &made)), 1).unwrap();
    let exact = exact(&raw);
    let people: i128 = [exact[0], exact[2]].iter().sum();
    assert!((3_000..4_000).contains(&people), "{exact:?}");
    assert!(exact[1] > 1_000_000 && exact[3] > 1_000_000, "{exact:?}");
    let answer = run(&checked, 3).answer;
    let released = answer.groups.iter().flat_map(|group| group.values.clone());
    let sigma = answer.measures.iter().cycle().map(|measure| measure.sigma);
    for ((released, exact), sigma) in released.zip(&exact).zip(sigma) {
        let off = (i128::from(released) - exact).abs();
        assert!((off as f64) < 6.0 * sigma, "{released} {exact} {sigma}");
    }
    table(&answer, &agreement, query(&agreement), &window()).unwrap();
}

/// Numbers of a small range are codes, such as an arm of a trial, and flags: each occurs, about
/// as often as another; and the largest amount is one.
#[test]
fn each_code_occurs() {
    let few = "items = { type = \"int\", min = 0, max = 3,";
    let base = DATASETS.replacen("items = { type = \"int\", min = 0, max = 100,", few, 1);
    assert!(base.contains(few));
    let agreement = agreement_of(
        &base,
        "SELECT CASE items WHEN 0 THEN 'a' WHEN 1 THEN 'b' WHEN 2 THEN 'c' ELSE 'd' END AS arm,
           COUNT(DISTINCT person) AS people FROM purchases GROUP BY 1",
        &[
            ("reads", "[\"purchases.person\", \"purchases.items\"]"),
            ("groups", "{ arm = [\"a\", \"b\", \"c\", \"d\"] }"),
            ("rows", "{ purchases = 1 }"),
        ],
    );
    let checked = check(&agreement, query(&agreement), &Params::new()).unwrap();
    let made = Practice {
        people: 4_000,
        seed: 1,
    };
    let raw = try_raw(&checked, Arc::new(MadeUp::new(&checked, &made)), 1).unwrap();
    let exact = exact(&raw);
    let all: i128 = exact.iter().sum();
    assert!(all > 3_000, "{exact:?}");
    assert!(
        exact.iter().all(|of| *of * 5 > all && *of * 3 < all),
        "{exact:?}"
    );
}

/// Rows keep to the agreement: bounds, values, what may be missing, rows a person.
#[test]
fn rows_are_as_the_agreement_declares() {
    let agreement = spend();
    let checked = check(&agreement, query(&agreement), &window()).unwrap();
    let made = Practice {
        people: 3_000,
        seed: 1,
    };
    let source = MadeUp::new(&checked, &made);
    let spec = &agreement.datasets[&dataset("purchases")];
    let rows: Vec<_> = (0..source.stretches())
        .flat_map(|stretch| source.stretch(spec, stretch))
        .collect();
    let columns: Vec<_> = spec
        .stored_columns()
        .map(|column| column.name.as_str())
        .collect();
    let at = |name: &str| columns.iter().position(|column| *column == name).unwrap();
    let mut of_person = BTreeMap::new();
    for row in &rows {
        let crate::practice::Made::Number(amount) = row[at("amount")] else {
            panic!("an amount may not be missing")
        };
        assert!((0..=50_000).contains(&amount), "{amount}");
        *of_person
            .entry(format!("{:?}", row[at("person")]))
            .or_insert(0) += 1;
    }
    assert!(of_person.values().all(|rows| *rows <= 5));
    assert!(of_person.values().any(|rows| *rows == 5));
    let missing = |name| {
        let values = rows.iter().map(|row| &row[at(name)]);
        values
            .filter(|value| **value == crate::practice::Made::Missing)
            .count()
    };
    assert!(missing("category") > 0 && missing("day") == 0);
}

/// Groups that the data name, public data, averages, quantiles: whatever the check accepts.
#[test]
fn every_shape_of_query_runs() {
    let count = "COUNT(DISTINCT customers.person) AS people";
    let joined = "FROM customers JOIN purchases ON purchases.person = customers.person";
    let reads = "[\"customers.person\", \"purchases.person\", \"purchases.category\", \"purchases.amount\", \"purchases.items\"]";
    let category = "\"purchases.category\"";
    let settings: &[(&str, String, &str, &str, &str)] = &[
        (
            "plain",
            format!("SELECT {count} FROM customers"),
            "[\"customers.person\"]",
            "{}",
            "{ groups = 1 }",
        ),
        (
            "discovered",
            format!("SELECT purchases.category AS category, {count} {joined} GROUP BY 1"),
            "[\"customers.person\", \"purchases.person\", \"purchases.category\"]",
            "{ category = \"discovered\" }",
            "{ groups = 1 }",
        ),
        (
            "average",
            format!(
                "SELECT {count}, AVG(purchases.amount) AS mean, SUM(purchases.items) AS items {joined} WHERE {} LIKE 'gar%'",
                category.replace('"', "")
            ),
            reads,
            "{}",
            "{ groups = 1, mean = { value = [0, 500], rows = 3 }, items = [0, 50] }",
        ),
    ];
    for (name, sql, reads, groups, per_person) in settings {
        let rows = if reads.contains("purchases") {
            "{ purchases = 3 }"
        } else {
            "{}"
        };
        let agreement = agreement(
            sql,
            &[
                ("reads", reads),
                ("groups", groups),
                ("per_person", per_person),
                ("rows", rows),
                ("delta", "1e-6"),
            ],
        );
        let checked = check(&agreement, query(&agreement), &Params::new())
            .unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        let practised = run(&checked, 1);
        let shown = table(
            &practised.answer,
            &agreement,
            query(&agreement),
            &Params::new(),
        );
        assert!(!shown.unwrap().rows.is_empty(), "{name}");
    }
}

/// What a query reveals at worst, in words, and as somebody who counts would say it.
#[test]
fn what_is_revealed_at_worst_is_said() {
    let agreement = spend();
    let reveals = check(&agreement, query(&agreement), &window())
        .unwrap()
        .reveals(&agreement);
    insta::assert_snapshot!("reveals", reveals.to_string());
    let odds = reveals.one_run;
    assert!(
        odds.factor > 1f64.exp() && odds.factor < 1.2f64.exp(),
        "{}",
        odds.factor
    );
    let after = 0.01 * odds.factor / (0.99 + 0.01 * odds.factor) * 100.0;
    assert!((odds.from_1_percent - after).abs() < 1e-9);
    let after = odds.factor / (1.0 + odds.factor) * 100.0;
    assert!((odds.from_50_percent - after).abs() < 1e-9);
}

/// The factor holds for the noise that is drawn: the loss of a Gaussian of this rho is above it
/// with no more than the probability that is said.
#[test]
fn odds_hold_for_the_noise() {
    let agreement = spend();
    let checked = check(&agreement, query(&agreement), &window()).unwrap();
    let odds = checked.reveals(&agreement).one_run;
    let rho = checked.loss().rho.to_f64();
    // The loss of a Gaussian mechanism is normal, of mean rho and variance 2 rho.
    let above = (odds.factor.ln() - rho) / (2.0 * rho).sqrt();
    // 5.6120 is the normal quantile of 1 - 1e-8.
    assert!(above >= 5.6120, "{above}");
}

/// The query of the starting file, with all that it has: ratios, a comparison, days.
#[test]
fn the_template_runs() {
    let text = include_bytes!("../../../agreement/tests/golden/agreement-1.toml");
    let agreement = Agreement::parse(text).unwrap();
    for query in agreement.queries.values() {
        let checked = crate::prove(&agreement, query).unwrap();
        let practised = run(&checked, 1);
        let people = practised
            .answer
            .groups
            .iter()
            .map(|group| group.values.len());
        assert!(people.sum::<usize>() > 0, "{}", query.name);
        assert_eq!(practised.answer.query, query.name.as_str());
    }
}
