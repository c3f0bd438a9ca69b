//! Groups that the data name.

use arrow::array::{Int64Array, StringArray};
use incamera_dp::Threshold;
use incamera_types::Delta;
use incamera_wire::v1 as wire;

use super::*;
use crate::{Refusal, prove, table};

const SQL: &str = "SELECT category AS category, COUNT(DISTINCT person) AS people,
  SUM(items) AS items FROM purchases GROUP BY category";

fn settings<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = vec![
        (
            "reads",
            "[\"purchases.person\", \"purchases.category\", \"purchases.items\"]",
        ),
        ("rows", "{ purchases = 30 }"),
        ("groups", "{ category = \"discovered\" }"),
        ("per_person", "{ groups = 3, items = [0, 5] }"),
    ];
    all.extend(more);
    all
}

fn discovered(more: &[(&str, &str)]) -> (Agreement, CheckedQuery) {
    let agreement = agreement(SQL, &settings(more));
    let checked = prove(&agreement, query(&agreement)).unwrap();
    (agreement, checked)
}

fn someone(number: u32) -> Person {
    let mut bytes = [7; 16];
    bytes[..4].copy_from_slice(&number.wrapping_mul(2_654_435_761).to_be_bytes());
    bytes
}

/// Rows of these people, each with a category.
fn bought(rows: &[(u32, Option<&str>)]) -> Memory {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|(number, _)| someone(*number));
    let categories: StringArray = rows.iter().map(|(_, category)| *category).collect();
    let items: Int64Array = rows.iter().map(|_| Some(1)).collect();
    let rows = batch(vec![
        (
            "person",
            people(rows.iter().map(|(number, _)| someone(*number))),
        ),
        ("category", Arc::new(categories)),
        ("items", Arc::new(items)),
    ]);
    Memory {
        partitions: 1,
        parts: [((dataset("purchases"), 0), vec![vec![rows]])].into(),
    }
}

fn in_groups(groups: &[(&'static str, u32)]) -> Memory {
    let rows = groups.iter().enumerate();
    let rows = rows.flat_map(|(at, (name, people))| {
        (0..*people).map(move |n| (at as u32 * 100_000 + n, Some(*name)))
    });
    bought(&rows.collect::<Vec<_>>())
}

fn asked(checked: &CheckedQuery, rows: Memory, key: u8) -> wire::Answer {
    answer(try_raw(checked, Arc::new(rows), key).unwrap(), key)
}

fn keys(answer: &wire::Answer) -> Vec<String> {
    answer
        .groups
        .iter()
        .map(|group| group.key.join("/"))
        .collect()
}

/// The noise of a group's count of people.
fn noise_of(checked: &CheckedQuery, group: &str, key: u8) -> i64 {
    use num_traits::ToPrimitive;
    let key = NoiseKey::from_bytes([key; 32]);
    let mut stream = key.stream("people", &[group]);
    checked.measures[0]
        .noise()
        .unwrap()
        .draw(&mut stream)
        .to_i64()
        .unwrap()
}

/// The least noisy count that is listed, and one less: shown means `>= tau`, no more and no
/// fewer.
#[test]
fn a_group_is_listed_from_the_threshold_on() {
    let (_, checked) = discovered(&[]);
    let tau = checked.threshold.as_ref().unwrap().tau();
    for key in 0..6 {
        let noise = noise_of(&checked, "edge", key);
        let exact = u32::try_from(i64::try_from(tau).unwrap() - noise).unwrap();
        let at = |people| {
            let found = asked(&checked, in_groups(&[("edge", people)]), key);
            found.groups.first().map(|group| group.values[0])
        };
        assert_eq!(at(exact), Some(i64::try_from(tau).unwrap()));
        assert_eq!(at(exact - 1), None);
    }
}

/// A text that is too long to be listed is in no group: a room has memory for shorter ones.
#[test]
fn texts_above_the_longest_key_are_in_no_group() {
    let (agreement, checked) = discovered(&[]);
    let longest: &'static str = "x".repeat(256).leak();
    let longer: &'static str = "x".repeat(257).leak();
    let answer = asked(&checked, in_groups(&[(longest, 2_000), (longer, 2_000)]), 1);
    assert_eq!(keys(&answer), [longest]);
    let explained = checked.explain(&agreement).to_string();
    assert!(
        explained.contains("texts above 256 bytes are dropped"),
        "{explained}"
    );
}

/// The tail of somebody who is alone in their groups is within the part of delta that the query
/// pays for it; one less would not be.
#[test]
fn the_threshold_is_the_smallest_that_delta_pays_for() {
    let (agreement, checked) = discovered(&[]);
    let loss = agreement.cost(query(&agreement));
    assert_eq!(
        loss.delta0,
        incamera_dp::for_thresholds(query(&agreement).delta)
    );
    assert!(loss.delta0 > Delta::ZERO && checked.loss() == loss);
    let threshold = checked.threshold.as_ref().unwrap();
    assert!(threshold.delta() <= loss.delta0);
    let noise = checked.measures[0].noise().unwrap();
    let alone = |tau: u64| {
        let none = 3.0 * (-noise.tail(tau - 1)).ln_1p();
        -none.exp_m1()
    };
    assert!(alone(threshold.tau()) <= loss.delta0.to_f64());
    assert!(alone(threshold.tau() - 1) > loss.delta0.to_f64());
    let again = Threshold::smallest(noise, 3, 1, loss.delta0).unwrap();
    assert_eq!(&again, threshold);
    // The smaller delta pays for less noise elsewhere: what is left of it is what rho is of.
    let declared = agreement_of(
        DATASETS,
        SQL,
        &settings(&[("groups", "{ category = [\"a\", \"b\", \"c\"] }")]),
    );
    assert!(declared.cost(query(&declared)).rho > loss.rho);
}

/// Groups stand in order of their keys, whatever the order of rows; small ones and rows without
/// a key are not listed, and nothing says that there were some.
#[test]
fn groups_stand_in_order_of_their_keys() {
    let (agreement, checked) = discovered(&[]);
    let groups = [("zebra", 400), ("apple", 900), ("tiny", 2), ("mid", 600)];
    let found = asked(&checked, in_groups(&groups), 1);
    assert_eq!(keys(&found), ["apple", "mid", "zebra"]);
    assert!(found.groups.iter().all(|group| !group.withheld));
    let nulls: Vec<_> = (0..900).map(|n| (n, None)).collect();
    assert!(asked(&checked, bought(&nulls), 1).groups.is_empty());
    let shown = table(&found, &agreement, query(&agreement), &Params::new()).unwrap();
    let text = shown.to_string();
    let tau = checked.threshold.as_ref().unwrap().tau();
    let note = format!("listed are groups with at least {tau} people by the noisy count");
    assert!(text.contains(&note) && !text.contains("withheld"), "{text}");
    let explained = checked.explain(&agreement).to_string();
    let step = format!("list groups with at least {tau} people by the noisy count");
    assert!(explained.contains(&step), "{explained}");
}

/// What is said of a group does not depend on which others there are.
#[test]
fn a_group_knows_nothing_of_others() {
    let (_, checked) = discovered(&[]);
    let alone = asked(&checked, in_groups(&[("one", 500)]), 1);
    let beside = asked(
        &checked,
        in_groups(&[("one", 500), ("another", 700), ("few", 1)]),
        1,
    );
    assert_eq!(alone.groups[0], beside.groups[1]);
    assert_eq!(keys(&beside), ["another", "one"]);
}

/// A person counts in three groups, by lot, of the twenty that they are in.
#[test]
fn a_person_adds_to_so_many_groups() {
    let names: Vec<String> = (0..20).map(|n| format!("g{n:02}")).collect();
    let rows = |people: u32| {
        let each = names
            .iter()
            .flat_map(move |name| (0..people).map(move |n| (n, Some(name.as_str()))));
        bought(&each.collect::<Vec<_>>())
    };
    let (_, checked) = discovered(&[]);
    let raw = try_raw(&checked, Arc::new(rows(300)), 1).unwrap();
    let counts: Vec<i128> = raw.totals.iter().map(|(_, total)| total.of(0)).collect();
    assert_eq!(counts.iter().sum::<i128>(), 900);
    // Binomial(300, 3/20), 45 expected: outside of 10 to 90 with probability below 1e-8 each.
    assert!(
        counts.len() == 20 && counts.iter().all(|n| (10..90).contains(n)),
        "{counts:?}"
    );
}

/// Declared values of one key, found ones of the other; `min_people` above the threshold.
#[test]
fn declared_and_discovered_keys_go_together() {
    let sql = "SELECT items AS items, category AS category, COUNT(DISTINCT person) AS people
      FROM purchases GROUP BY items, category";
    let more = [
        (
            "groups",
            "{ items = [\"1\", \"2\"], category = \"discovered\" }",
        ),
        ("per_person", "{ groups = 2 }"),
        ("min_people", "600"),
    ];
    let agreement = agreement(sql, &settings(&more));
    let checked = prove(&agreement, query(&agreement)).unwrap();
    let found = asked(
        &checked,
        in_groups(&[("a", 900), ("b", 400), ("c", 800)]),
        1,
    );
    assert_eq!(keys(&found), ["1/a", "1/c"]);
}

#[test]
fn discovered_groups_need_people_and_a_delta() {
    let refused = |sql: &str, more: &[(&str, &str)]| -> Refusal {
        let agreement = agreement(sql, &settings(more));
        prove(&agreement, query(&agreement)).unwrap_err()
    };
    let without =
        "SELECT category AS category, SUM(items) AS items FROM purchases GROUP BY category";
    assert_eq!(refused(without, &[]).what(), "no count of people");
    assert_eq!(
        refused(SQL, &[("delta", "0")]).kind(),
        crate::RefusalKind::Privacy
    );
}

/// Without a delta noise is Laplace's, of epsilons that add up to the query's.
#[test]
fn a_pure_epsilon_has_laplace_noise() {
    let more = [
        ("delta", "0"),
        ("groups", "{ category = [\"a\", \"b\", \"c\"] }"),
        ("weights", "{ items = 3 }"),
    ];
    let (agreement, checked) = discovered(&more);
    let scales: Vec<f64> = checked
        .measures
        .iter()
        .map(|measure| match measure.noise() {
            Some(incamera_dp::Noise::Laplace { scale }) => scale.to_f64(),
            other => panic!("{other:?}"),
        })
        .collect();
    // L1: 2 * 3 * 1 of people, 2 * 3 * 5 of items; a quarter and three quarters of epsilon.
    assert_eq!(scales, [6.0 / 0.25, 30.0 / 0.75]);
    let found = asked(&checked, in_groups(&[("a", 900)]), 1);
    assert_eq!(found.measures[0].noise, "laplace");
    let shown = table(&found, &agreement, query(&agreement), &Params::new()).unwrap();
    let cell = &shown.rows[0].cells[0];
    let width = (cell.high.unwrap() - cell.low.unwrap()) / 2.0;
    // 24 ln 20 = 71.9.
    assert!((71.0..=73.0).contains(&width), "{width}");
    let explained = checked.explain(&agreement).to_string();
    assert!(explained.contains("discrete Laplace noise"), "{explained}");
}
