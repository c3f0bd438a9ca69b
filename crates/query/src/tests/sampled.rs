//! People as a sample: the error of that apart from the noise, and what is compared with it.

mod cover;
mod once;

use incamera_dp::Sensitivity;
use incamera_wire::v1 as wire;

use super::*;
use crate::{Table, frame, prove, table};

const SQL: &str = "SELECT category AS arm,
  COUNT(DISTINCT person) AS people,
  COUNT(DISTINCT person) FILTER (WHERE items > 50) AS events,
  AVG(amount) AS mean
FROM purchases GROUP BY 1";

const COMPARE: &str = "[
  { ratio = \"rate\", group = \"new\", against = \"old\" },
  { kind = \"difference\", ratio = \"rate\", group = \"new\", against = \"old\" },
  { kind = \"odds-ratio\", ratio = \"rate\", group = \"new\", against = \"old\" },
  { kind = \"difference\", average = \"mean\", group = \"new\", against = \"old\" },
  { average = \"mean\", group = \"new\", against = \"old\" }]";

/// The query with these settings in the place of its own.
fn trial(sql: &str, settings: &[(&'static str, &str)]) -> Agreement {
    let mut all = vec![
        (
            "reads",
            "[\"purchases.person\", \"purchases.amount\", \"purchases.items\", \"purchases.category\"]",
        ),
        ("rows", "{ purchases = 1 }"),
        ("groups", "{ arm = [\"old\", \"new\"] }"),
        (
            "per_person",
            "{ groups = 1, mean = { value = [0, 100], rows = 1 } }",
        ),
        ("ratios", "{ rate = \"events / people\" }"),
        ("compare", COMPARE),
        ("sampling", "true"),
        ("epsilon", "20"),
    ];
    for setting in settings {
        all.retain(|(name, _)| name != &setting.0);
        all.push(*setting);
    }
    agreement(sql, &all)
}

/// An answer with these values a group, in the agreement's order, and noise of these deviations
/// a measure; a group without values is withheld.
fn answered(agreement: &Agreement, values: &[&[i64]], sigmas: &[f64]) -> wire::Answer {
    let checked = prove(agreement, query(agreement)).unwrap();
    let groups = &checked.query.groups;
    let measures = checked.measures.iter().zip(sigmas);
    let group = |(cell, values): (usize, &&[i64])| wire::Group {
        key: declared_key(groups, cell),
        withheld: values.is_empty(),
        values: values.to_vec(),
    };
    wire::Answer {
        query: "q".into(),
        keys: groups.iter().map(|group| group.name.clone()).collect(),
        measures: measures
            .map(|(measure, sigma)| wire::Measure {
                name: measure.name.clone(),
                unit: measure.unit.clone().unwrap_or_default(),
                scale: measure.scale.into(),
                sigma: *sigma,
                clamp_low: measure.text(measure.low),
                clamp_high: measure.text(measure.high),
                ..wire::Measure::default()
            })
            .collect(),
        groups: values.iter().enumerate().map(group).collect(),
        simulated: false,
        threshold: 0,
    }
}

fn tabled(agreement: &Agreement, values: &[&[i64]], sigmas: &[f64]) -> Table {
    let answer = answered(agreement, values, sigmas);
    table(&answer, agreement, query(agreement), &Params::new()).unwrap()
}

/// People, events, then of the mean: count, sum from 50.00 in cents, squares in cents².
const OLD: &[i64] = &[532, 181, 532, 1_000_000, 4_000_000_000];
const NEW: &[i64] = &[522, 103, 522, 1_500_000, 6_000_000_000];
/// In units of the measure's last digit.
const SIGMAS: &[f64] = &[3.0, 3.0, 3.0, 10_000.0, 40_000_000.0];

fn close(found: f64, wanted: f64) {
    let off = (found - wanted).abs();
    assert!(
        off <= 1e-6 * wanted.abs().max(1.0),
        "{found} is not {wanted}"
    );
}

const Z: f64 = 1.959_963_984_540_054;

/// Mean and variance as a textbook has them.
fn textbook([_, _, n, s, q]: [f64; 5]) -> (f64, f64) {
    let (s, q) = (s / 100.0, q / 10_000.0);
    (50.0 + s / n, (q - s * s / n) / (n - 1.0))
}

fn floats(values: &[i64]) -> [f64; 5] {
    std::array::from_fn(|at| values[at] as f64)
}

#[test]
fn cells_have_sampling_apart_from_noise() {
    let agreement = trial(SQL, &[]);
    let table = tabled(&agreement, &[OLD, NEW], SIGMAS);
    for (row, values) in table.rows.iter().zip([OLD, NEW]) {
        let values = floats(values);
        let [people, events, mean, rate] = row.cells.as_slice() else {
            panic!("{row:?}")
        };
        for total in [people, events] {
            assert!(
                total.sampling.is_none() && total.both.is_none(),
                "{total:?}"
            );
        }
        let (at, variance) = textbook(values);
        let share = values[1] / values[0] * 100.0;
        let of_share = Z * (share * (100.0 - share) / values[0]).sqrt();
        for (cell, value, width) in [
            (mean, at, Z * (variance / values[2]).sqrt()),
            (rate, share, of_share),
        ] {
            let (sampling, both) = (cell.sampling.unwrap(), cell.both.unwrap());
            close(cell.value.unwrap(), value);
            close(sampling.low, value - width);
            close(sampling.high, value + width);
            let noise = (value - cell.low.unwrap(), cell.high.unwrap() - value);
            close(both.low, value - noise.0.hypot(width));
            close(both.high, value + noise.1.hypot(width));
            assert!(cell.text.contains("; sampling +- "), "{}", cell.text);
        }
    }
    let text = table.to_string();
    for part in [
        "34.0 % +- 1.2; sampling +- 4",
        "what stands behind `sampling` is apart from it",
        "no sampling error is told of people, events: totals",
        "each of the 5 comparisons is at 95 % by itself",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let json = serde_json::to_value(&table).unwrap();
    assert!(json["rows"][0]["cells"][3]["sampling"]["low"].is_number());
    assert!(json["rows"][0]["cells"][0].get("sampling").is_none());
    assert_eq!(json["sampling"], true);
}

/// Without `sampling` nothing of it is paid for, computed or said.
#[test]
fn a_census_has_none() {
    let agreement = trial(SQL, &[("sampling", "false")]);
    let checked = prove(&agreement, query(&agreement)).unwrap();
    let names: Vec<&str> = checked.measures.iter().map(|m| m.name.as_str()).collect();
    assert_eq!(names, ["people", "events", "mean.count", "mean.sum"]);
    let table = tabled(&agreement, &[&OLD[..4], &NEW[..4]], &SIGMAS[..4]);
    let json = serde_json::to_string(&table.rows).unwrap();
    assert!(
        !json.contains("\"sampling\"") && !json.contains("both"),
        "{json}"
    );
    assert!(!table.to_string().contains("sampling"), "{table}");
    assert!(
        table
            .notes
            .contains(&"ranges are of the noise alone, at 95 %".to_owned())
    );
    let answer = answered(&agreement, &[&OLD[..4], &NEW[..4]], &SIGMAS[..4]);
    let frame = frame(&answer, &table).unwrap();
    assert!(frame.schema().column_with_name("rate_low").is_some());
    assert!(
        frame
            .schema()
            .column_with_name("rate_sampling_low")
            .is_none()
    );
}

/// Each comparison by formulas of its own, from the released numbers.
#[test]
fn comparisons_are_the_textbooks() {
    let agreement = trial(SQL, &[]);
    let table = tabled(&agreement, &[OLD, NEW], SIGMAS);
    let (old, new) = (floats(OLD), floats(NEW));
    let [lift, points, odds, apart, mean_lift] = table.comparisons.as_slice() else {
        panic!("{:?}", table.comparisons)
    };
    let share = |[n, x, ..]: [f64; 5]| (x / n, 3.0f64.powi(2) * (1.0 + (x / n).powi(2)) / (n * n));
    let ((p, p_noise), (q, q_noise)) = (share(new), share(old));
    let binomial = |p: f64, n: f64| p * (1.0 - p) / n;
    let (p_sampling, q_sampling) = (binomial(p, new[0]), binomial(q, old[0]));
    let check = |found: &crate::Comparison,
                 value: f64,
                 noise: f64,
                 sampling: f64,
                 log: bool,
                 scale: f64| {
        close(found.value.unwrap(), value * scale);
        let around = |variance: f64, up: f64| match log {
            true => {
                let one = if found.kind == "lift" { 1.0 } else { 0.0 };
                ((value + one) * (up * Z * variance.sqrt()).exp() - one) * scale
            }
            false => (value + up * Z * variance.sqrt()) * scale,
        };
        close(found.low.unwrap(), around(noise, -1.0));
        close(found.high.unwrap(), around(noise, 1.0));
        let (alone, both) = (found.sampling.unwrap(), found.both.unwrap());
        close(alone.low, around(sampling, -1.0));
        close(alone.high, around(sampling, 1.0));
        close(both.low, around(noise + sampling, -1.0));
        close(both.high, around(noise + sampling, 1.0));
    };
    check(
        points,
        p - q,
        p_noise + q_noise,
        p_sampling + q_sampling,
        false,
        100.0,
    );
    let relative = |one: f64, other: f64| one / (p * p) + other / (q * q);
    let noise = relative(p_noise, q_noise);
    check(
        lift,
        p / q - 1.0,
        noise,
        relative(p_sampling, q_sampling),
        true,
        100.0,
    );
    // Woolf, with noise of x and of n - x, which have x's in common.
    let arm = |[n, x, ..]: [f64; 5]| {
        let rest = n - x;
        let slope = 1.0 / x + 1.0 / rest;
        (9.0 * slope * slope + 9.0 / (rest * rest), slope)
    };
    let ((new_noise, new_cells), (old_noise, old_cells)) = (arm(new), arm(old));
    let ratio = (103.0 / 419.0) / (181.0 / 351.0);
    check(
        odds,
        ratio,
        new_noise + old_noise,
        new_cells + old_cells,
        true,
        1.0,
    );
    let mean = |values: [f64; 5]| {
        let (at, variance) = textbook(values);
        let n = values[2];
        let away = at - 50.0;
        let noise = (100.0f64.powi(2) + away * away * 9.0) / (n * n);
        (at, noise, variance / n)
    };
    let ((a, a_noise, a_sampling), (b, b_noise, b_sampling)) = (mean(new), mean(old));
    check(
        apart,
        a - b,
        a_noise + b_noise,
        a_sampling + b_sampling,
        false,
        1.0,
    );
    let relative = |one: f64, other: f64| one / (a * a) + other / (b * b);
    let noise = relative(a_noise, b_noise);
    check(
        mean_lift,
        a / b - 1.0,
        noise,
        relative(a_sampling, b_sampling),
        true,
        100.0,
    );
    assert_eq!(points.unit, "points");
    assert_eq!((apart.unit.as_str(), mean_lift.unit.as_str()), ("EUR", "%"));
    let verdicts: Vec<&str> = table.comparisons.iter().map(|c| c.verdict).collect();
    assert_eq!(verdicts[0], "clearly below zero");
    assert_eq!(verdicts[2], "clearly below one");
    let text = table.to_string();
    for part in [
        "lift of rate (new over old): -42 % (noise -",
        "difference of rate (new less old): -14.3 points (noise -",
        "odds ratio of rate (new against old): 0.48 (noise 0.4",
        "difference of mean (new less old): +9.9 EUR (noise +",
        "; sampling ",
        "; both ",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

/// A range of the noise that is clear of zero is no verdict where people are a sample.
#[test]
fn verdicts_count_both_errors() {
    let old: &[i64] = &[532, 181, 532, 0, 4_000_000_000];
    let new: &[i64] = &[532, 190, 532, 0, 4_000_000_000];
    let sigmas = &[0.5, 0.5, 0.5, 10.0, 1000.0];
    let compare = "{ kind = \"difference\", ratio = \"rate\", group = \"new\", against = \"old\" }";
    let sampled = trial(SQL, &[("compare", compare)]);
    let found = tabled(&sampled, &[old, new], sigmas);
    let found = &found.comparisons[0];
    assert!(found.low.unwrap() > 0.0, "{found:?}");
    assert_eq!(found.verdict, "no clear difference");
    let census = trial(SQL, &[("compare", compare), ("sampling", "false")]);
    let found = tabled(&census, &[&old[..4], &new[..4]], &sigmas[..4]);
    assert_eq!(found.comparisons[0].verdict, "clearly above zero");
}

/// Zero, negative and few counts: no number where none can be computed, and no panic.
#[test]
fn what_cannot_be_computed_is_said() {
    let agreement = trial(SQL, &[]);
    let told = |old: &[i64], sigmas: &[f64]| {
        let table = tabled(&agreement, &[old, NEW], sigmas);
        let json = serde_json::to_string(&table).unwrap();
        assert!(
            !json.contains("NaN") && !json.contains("null,\"high\":1"),
            "{json}"
        );
        table
    };
    let none: [&[i64]; 5] = [
        &[532, 0, 532, 0, 4_000_000_000],
        &[532, -7, 532, 0, -5],
        &[100, 120, 0, 0, 0],
        &[0, 0, -3, 5, 5],
        &[i64::MIN, i64::MAX, i64::MIN, i64::MAX, i64::MIN],
    ];
    for values in none {
        let table = told(values, SIGMAS);
        let odds = &table.comparisons[2];
        assert_eq!(odds.verdict, "not computable", "{values:?}");
        assert_eq!(
            odds.text,
            "not computable (a count is not above zero beyond its noise)"
        );
        assert_eq!((odds.value, odds.low, odds.both), (None, None, None));
    }
    // Few people with an event: an odds ratio with noise, and no word on sampling.
    let few = told(&[532, 9, 532, 0, 4_000_000_000], SIGMAS);
    assert!(
        few.rows[0].cells[3]
            .text
            .ends_with("; sampling not told: too few people, or too much noise, for that")
    );
    assert_eq!(few.rows[0].cells[3].sampling, None);
    let odds = &few.comparisons[2];
    assert_eq!(odds.verdict, "not computable");
    assert!(
        odds.text
            .ends_with("not computable with sampling error, which cannot be told of this"),
        "{}",
        odds.text
    );
    assert!(odds.value.is_some() && odds.both.is_none());
    // So much noise on the squares that how people differ is not known.
    let mut sigmas = SIGMAS.to_vec();
    sigmas[4] = 2e9;
    let hidden = told(OLD, &sigmas);
    assert_eq!(hidden.rows[0].cells[2].sampling, None);
    assert!(hidden.rows[0].cells[3].sampling.is_some());
    assert_eq!(hidden.comparisons[3].verdict, "not computable");
    let withheld = tabled(&agreement, &[OLD, &[]], SIGMAS);
    assert!(withheld.comparisons.iter().all(|c| c.text == "withheld"));
}

/// Over strata: the odds ratio of Mantel and Haenszel, with cells put to their strata by name.
#[test]
fn strata_are_kept_apart() {
    let sql = SQL.replace(
        "AS arm,",
        "AS arm, CASE WHEN items > 30 THEN 'late' ELSE 'early' END AS stage,",
    );
    let sql = sql.replace("GROUP BY 1", "GROUP BY 1, 2");
    let settings = [
        (
            "groups",
            "{ arm = [\"old\", \"new\"], stage = [\"early\", \"late\"] }",
        ),
        (
            "compare",
            "{ kind = \"odds-ratio\", ratio = \"rate\", group = \"new\", against = \"old\", strata = \"stage\" }",
        ),
    ];
    let agreement = trial(&sql, &settings);
    // Departments A and B of Berkeley: women are new, men old.
    let group = |all: i64, yes: i64| vec![all, yes, all, 0, 4_000_000_000];
    let values = [
        group(825, 512),
        group(560, 353),
        group(108, 89),
        group(25, 17),
    ];
    let values: Vec<&[i64]> = values.iter().map(Vec::as_slice).collect();
    let table = tabled(&agreement, &values, &[0.0; 5]);
    let found = &table.comparisons[0];
    let (r, s) = (
        89.0 * 313.0 / 933.0 + 17.0 * 207.0 / 585.0,
        19.0 * 512.0 / 933.0 + 8.0 * 353.0 / 585.0,
    );
    close(found.value.unwrap(), r / s);
    assert!(
        found
            .to_string()
            .starts_with("odds ratio of rate (new against old, over stage): 2."),
        "{found}"
    );
    assert_eq!(found.strata.as_deref(), Some("stage"));
    let mut gone = values.clone();
    gone[3] = &[];
    assert_eq!(
        tabled(&agreement, &gone, &[0.0; 5]).comparisons[0].verdict,
        "withheld"
    );
}

#[test]
fn files_have_both_ranges() {
    let agreement = trial(SQL, &[]);
    let answer = answered(&agreement, &[OLD, NEW], SIGMAS);
    let table = tabled(&agreement, &[OLD, NEW], SIGMAS);
    let frame = frame(&answer, &table).unwrap();
    let number = |name: &str| {
        let column = frame.column_by_name(name).unwrap();
        let column = arrow::array::AsArray::as_primitive::<arrow::datatypes::Float64Type>(column);
        (!arrow::array::Array::is_null(column, 0)).then(|| column.value(0))
    };
    let rate = &table.rows[0].cells[3];
    assert_eq!(
        number("rate_sampling_low"),
        rate.sampling.map(|ends| ends.low)
    );
    assert_eq!(number("rate_both_high"), rate.both.map(|ends| ends.high));
    assert_eq!(number("people_sampling_low"), None);
    let said = &frame.schema().metadata["incamera.comparisons"];
    let said: serde_json::Value = serde_json::from_str(said).unwrap();
    assert_eq!(said[2]["kind"], "odds-ratio");
    let csv = String::from_utf8(crate::csv(&frame, crate::Marks::default()).unwrap()).unwrap();
    assert!(
        csv.lines()
            .next()
            .unwrap()
            .ends_with("rate_both_low,rate_both_high"),
        "{csv}"
    );
    let page = crate::page(&table, &crate::Page::default());
    for part in [
        "odds ratio of <bdi>rate</bdi> (<bdi>new</bdi> against <bdi>old</bdi>)",
        "class=\"both\"",
        "the range of noise and sampling error together",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

/// Squares are paid for: a tenth of the average's share, noise by their own bounds, and all
/// shares together are the query's.
#[test]
fn sampling_is_paid_for() {
    let agreement = trial(SQL, &[]);
    let checked = prove(&agreement, query(&agreement)).unwrap();
    let share = |name: &str| {
        let measure = checked.measures.iter().find(|m| m.name == name).unwrap();
        measure.share.to_f64() / checked.loss().rho.to_f64()
    };
    for (name, wanted) in [
        ("people", 1.0 / 3.0),
        ("mean.count", 0.15),
        ("mean.sum", 0.15),
        ("mean.squares", 1.0 / 30.0),
    ] {
        assert!(
            (share(name) - wanted).abs() < 1e-6,
            "{name} {}",
            share(name)
        );
    }
    let squares = checked.measures.last().unwrap();
    let bound = Sensitivity::of_clamp(0, 5_000 * 5_000, 1).unwrap();
    let l2: f64 = bound.l2_squared().to_string().parse().unwrap();
    let rho = l2 / (2.0 * squares.sigma().powi(2));
    assert!((rho / squares.share.to_f64() - 1.0).abs() < 1e-6);
    let text = checked.explain(&agreement).to_string();
    assert!(
        text.contains("squares) of values brought to 0.00 .. 100.00 EUR"),
        "{text}"
    );
    assert!(
        text.contains("tell, apart from the noise, the sampling error"),
        "{text}"
    );
    // Several values of one person do not say how people differ.
    let several = trial(
        SQL,
        &[(
            "per_person",
            "{ groups = 1, mean = { value = [0, 100], rows = 2 } }",
        )],
    );
    let checked = prove(&several, query(&several)).unwrap();
    assert!(checked.measures.iter().all(|m| m.name != "mean.squares"));
    let table = tabled(&several, &[&OLD[..4], &NEW[..4]], &SIGMAS[..4]);
    assert!(
        table
            .to_string()
            .contains("no sampling error is told of people, events, mean:")
    );
    assert_eq!(table.rows[0].cells[2].sampling, None);
    assert_eq!(table.comparisons[3].verdict, "not computable");
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let refused = |sql: &str, settings: &[(&'static str, &str)]| {
        let agreement = trial(sql, settings);
        prove(&agreement, query(&agreement))
            .unwrap_err()
            .to_string()
    };
    let average =
        "{ kind = \"difference\", average = \"events\", group = \"new\", against = \"old\" }";
    let text = refused(SQL, &[("compare", average)]);
    assert!(text.contains("the average `events`"), "{text}");
    let odds = "{ kind = \"odds-ratio\", ratio = \"rate\", group = \"new\", against = \"old\" }";
    let settings = [
        ("compare", odds),
        ("ratios", "{ rate = \"people / events\" }"),
    ];
    let text = refused(SQL, &settings);
    assert!(text.contains("the odds ratio of `rate`"), "{text}");
    let sum = SQL.replace("AVG(amount)", "SUM(amount)");
    let settings = [
        ("per_person", "{ groups = 1, mean = [0, 100] }"),
        ("ratios", "{ rate = \"mean / people\" }"),
        ("compare", odds),
    ];
    let text = refused(&sum, &settings);
    assert!(text.contains("the odds ratio of `rate`"), "{text}");
}
