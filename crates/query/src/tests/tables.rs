//! What people read.

use incamera_wire::v1 as wire;

use super::*;
use crate::{TableError, table};

const SQL: &str = "SELECT CASE WHEN mailing.person IS NOT NULL THEN 'mailed' ELSE 'not mailed' END AS campaign_group,
  COUNT(DISTINCT customers.person) AS people,
  COUNT(DISTINCT mailing.person) AS buyers,
  SUM(purchases.amount) AS spend
FROM customers LEFT JOIN mailing ON mailing.person = customers.person JOIN purchases ON purchases.person = customers.person
GROUP BY 1";

fn lift() -> Agreement {
    lift_of(DATASETS, "{ purchases = 10, mailing = 1 }")
}

fn lift_of(base: &str, rows: &str) -> Agreement {
    agreement_of(
        base,
        SQL,
        &[
            (
                "reads",
                "[\"customers.person\", \"mailing.person\", \"purchases.person\", \"purchases.amount\"]",
            ),
            ("rows", rows),
            (
                "groups",
                "{ campaign_group = [\"mailed\", \"not mailed\"] }",
            ),
            ("per_person", "{ groups = 1, spend = [0, 400] }"),
            (
                "ratios",
                "{ rate = \"buyers / people\", spend_per_person = \"spend / people\" }",
            ),
            (
                "compare",
                "{ ratio = \"spend_per_person\", group = \"mailed\", against = \"not mailed\" }",
            ),
        ],
    )
}

fn measure(name: &str, unit: &str, scale: u32, sigma: f64, clamp: (&str, &str)) -> wire::Measure {
    wire::Measure {
        name: name.into(),
        unit: unit.into(),
        scale,
        sigma,
        clamp_low: clamp.0.into(),
        clamp_high: clamp.1.into(),
        ..wire::Measure::default()
    }
}

/// The answer of the design's example.
fn answer(mailed: [i64; 3], others: [i64; 3]) -> wire::Answer {
    let group = |key: &str, values: [i64; 3]| wire::Group {
        key: vec![key.into()],
        withheld: false,
        values: values.into(),
    };
    wire::Answer {
        query: "q".into(),
        keys: vec!["campaign_group".into()],
        measures: vec![
            measure("people", "", 0, 12.0, ("0", "1")),
            measure("buyers", "", 0, 11.0, ("0", "1")),
            measure("spend", "EUR", 2, 480_000.0, ("0.00", "400.00")),
        ],
        groups: vec![group("mailed", mailed), group("not mailed", others)],
        simulated: false,
        threshold: 0,
    }
}

const MAILED: [i64; 3] = [41_930, 5_612, 76_312_600];
const OTHERS: [i64; 3] = [48_105, 5_730, 77_449_050];

#[test]
fn the_table_of_the_design() {
    let agreement = lift();
    let table = table(
        &answer(MAILED, OTHERS),
        &agreement,
        query(&agreement),
        &Params::new(),
    )
    .unwrap();
    let expected = "\
campaign group  people        buyers       spend                           rate               spend per person
mailed          41,930 +- 24  5,612 +- 22  763,000 EUR (754,000 .. 773,000)  13.38 % +- 0.05  18.20 EUR (17.98 .. 18.42)
";
    let shown = table.to_string();
    assert_eq!(
        words(shown.lines().nth(1).unwrap()),
        words(expected.lines().nth(1).unwrap())
    );
    assert_eq!(table.columns.len(), 6);
    assert!(
        shown.contains("lift of spend per person (mailed over not mailed): +13.0 % (+11."),
        "{shown}"
    );
    assert!(shown.contains("clearly above zero"), "{shown}");
    assert!(
        shown.contains("spend up to 400 EUR a person is counted"),
        "{shown}"
    );
    let population = "whose consent covers `measurement` at every owner read that keeps consents";
    assert!(shown.contains(population), "{shown}");
    assert!(!shown.contains("SIMULATED"));
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[test]
fn no_clear_difference_and_noise_beyond_use() {
    let agreement = lift();
    let same = table(
        &answer(MAILED, MAILED),
        &agreement,
        query(&agreement),
        &Params::new(),
    )
    .unwrap();
    assert_eq!(same.comparisons[0].verdict, "no clear difference");
    let lost = table(
        &answer([10, 3, 500], OTHERS),
        &agreement,
        query(&agreement),
        &Params::new(),
    )
    .unwrap();
    let open = "hidden by the noise: the range is open";
    let comparison = &lost.comparisons[0];
    assert_eq!(comparison.text, format!("no clear difference ({open})"));
    assert_eq!(comparison.verdict, "no clear difference");
    assert_eq!(lost.rows[0].cells[3].text, open);
}

#[test]
fn below_zero_is_said_to_be_noise() {
    let agreement = lift();
    let note = "a number below zero is noise: the true one is zero or more";
    let noted = |values| {
        let table = table(
            &answer(values, OTHERS),
            &agreement,
            query(&agreement),
            &Params::new(),
        )
        .unwrap();
        table.notes.iter().any(|found| found == note)
    };
    let [people, buyers, spend] = MAILED;
    assert!(!noted(MAILED));
    assert!(noted([people, -30, spend]));
    assert!(noted([people, buyers, -1]));
    // Where a person can take away, so can everybody.
    let mut both = answer([people, buyers, -1], OTHERS);
    both.measures[2].clamp_low = "-5".into();
    let table = table(&both, &agreement, query(&agreement), &Params::new()).unwrap();
    assert!(!table.notes.iter().any(|found| found == note));
    // Nor is it said of what is not shown.
    let mut withheld = answer([people, -30, spend], OTHERS);
    withheld.groups[0].withheld = true;
    let table = crate::table(&withheld, &agreement, query(&agreement), &Params::new()).unwrap();
    assert!(!table.notes.iter().any(|found| found == note));
}

#[test]
fn withheld_groups_show_nothing() {
    let agreement = lift();
    let mut answer = answer(MAILED, OTHERS);
    answer.groups[1].withheld = true;
    answer.groups[1].values.clear();
    answer.simulated = true;
    let table = table(&answer, &agreement, query(&agreement), &Params::new()).unwrap();
    assert_eq!(table.comparisons[0].text, "withheld");
    let shown = table.to_string();
    assert!(
        shown
            .lines()
            .any(|line| words(line) == ["not", "mailed", "withheld"]),
        "{shown}"
    );
    assert!(
        shown.contains("withheld: fewer than 1 people") && shown.contains("SIMULATED TEE"),
        "{shown}"
    );
}

/// A note about consents is of those that there are.
#[test]
fn the_note_about_consents_is_true() {
    // A register has one row a person; what is none has as many as the query says.
    let note = |base: &str| {
        let register = base.contains("\"purposes\"");
        let rows = match register {
            true => "{ purchases = 10, mailing = 1 }",
            false => "{ customers = 1, purchases = 10, mailing = 1 }",
        };
        let text = lift_of(base, rows);
        let table = table(&answer(MAILED, OTHERS), &text, query(&text), &Params::new()).unwrap();
        let mut notes = table.notes.into_iter();
        notes.find(|note| note.contains("consent")).unwrap()
    };
    assert!(note(DATASETS).starts_with("counted are people whose consent covers `measurement`"));
    let without = DATASETS.replacen("consent = { type = \"purposes\" }\n", "", 1);
    assert_ne!(without, DATASETS);
    let none = "no owner read keeps consents: every person counts";
    assert_eq!(note(&without), none);
}

#[test]
fn other_answers_are_refused() {
    let agreement = lift();
    let mut other = answer(MAILED, OTHERS);
    other.query = "another".into();
    assert_eq!(
        table(&other, &agreement, query(&agreement), &Params::new()).err(),
        Some(TableError)
    );
    let mut short = answer(MAILED, OTHERS);
    short.groups[0].values.pop();
    assert_eq!(
        table(&short, &agreement, query(&agreement), &Params::new()).err(),
        Some(TableError)
    );
}

#[test]
fn an_explanation_says_what_it_costs() {
    let agreement = lift();
    let text = crate::prove(&agreement, query(&agreement))
        .unwrap()
        .explain(&agreement)
        .to_string();
    for part in [
        "keep at most 10 rows of each person's, by lot",
        "group by campaign_group = CASE WHEN mailing.person IS NOT NULL",
        "spend is a sum, clamped to 0.00 .. 400.00 EUR",
        "withhold rows with noisy people below 1",
        "epsilon 1, delta 1e-8",
        "with 90,000 people, before conditions, in 2 equal groups",
        "read person of data set `mailing` (mailer): every row: its owner states no consents",
        "(shop): rows of people who agreed to `measurement`",
        "people +- 26, 0.058 % of",
        "spend +- 10,000 EUR, 0.23 EUR a person, 0.12 % of 9,000,000 EUR",
        "no noise is foretold of rate, spend_per_person, lift of spend_per_person",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}
