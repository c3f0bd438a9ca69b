//! Whom a sample is of: people, each of whom counts once.

use arrow::array::{Decimal128Array, Int64Array, StringArray};

use super::*;

/// People with these amounts, in cents, each a row of the old arm.
fn amounts_of(all: &[&[i128]]) -> Memory {
    let rows = all.iter().zip(0u32..).flat_map(|(amounts, number)| {
        let mut person = [0; 16];
        person[..4].copy_from_slice(&number.to_be_bytes());
        amounts.iter().map(move |amount| (person, *amount))
    });
    let rows: Vec<(Person, i128)> = rows.collect();
    let amounts: Decimal128Array = rows.iter().map(|row| Some(row.1)).collect();
    let batch = batch(vec![
        ("person", people(rows.iter().map(|row| row.0))),
        (
            "amount",
            Arc::new(amounts.with_precision_and_scale(10, 2).unwrap()),
        ),
        ("items", Arc::new(Int64Array::from(vec![1; rows.len()]))),
        (
            "category",
            Arc::new(StringArray::from(vec!["old"; rows.len()])),
        ),
    ]);
    Memory {
        partitions: 1,
        parts: [((dataset("purchases"), 0), vec![vec![batch]])].into(),
    }
}

/// How one person's values differ is no sampling error: of each person the average is squared.
#[test]
fn squares_are_of_each_persons_average() {
    let agreement = trial(SQL, &[("rows", "{ purchases = 10 }")]);
    let checked = prove(&agreement, query(&agreement)).unwrap();
    let totals = |all: &[&[i128]]| totals(&checked, amounts_of(all), 1)[..5].to_vec();
    // Nothing and 100 EUR by turns: 50 EUR each, as is the middle.
    let turns: &[i128] = &[0, 10_000, 0, 10_000];
    assert_eq!(totals(&[turns; 40]), [40, 0, 40, 0, 0]);
    // 20 EUR more than the middle, in one value or in two; and 10 EUR less.
    let one: &[&[i128]] = &[&[7_000], &[4_000]];
    let several: &[&[i128]] = &[&[6_000, 8_000], &[4_000]];
    assert_eq!(totals(one), [2, 0, 2, 1_000, 5_000_000]);
    assert_eq!(totals(several), totals(one));
}

/// Groups that may have people in common: their sampling errors do not add up.
#[test]
fn groups_with_people_in_common_are_compared_by_noise_alone() {
    let of = |groups: u32| {
        let per_person =
            format!("{{ groups = {groups}, mean = {{ value = [0, 100], rows = 1 }} }}");
        let agreement = trial(SQL, &[("per_person", &per_person)]);
        tabled(&agreement, &[OLD, NEW], SIGMAS)
    };
    let said = "comparisons have no sampling error: one person counts in up to 2 groups";
    let (apart, common) = (of(1), of(2));
    assert!(!apart.to_string().contains("comparisons have no sampling"));
    assert!(common.to_string().contains(said), "{common}");
    assert_eq!(common.comparisons.len(), 5);
    for (found, apart) in common.comparisons.iter().zip(&apart.comparisons) {
        assert!(apart.sampling.is_some() && apart.both.is_some());
        assert!(
            found.sampling.is_none() && found.both.is_none(),
            "{found:?}"
        );
        assert_eq!(found.verdict, "not computable");
        assert_eq!((found.value, found.low), (apart.value, apart.low));
    }
    // Within one group a person is there once.
    let (cells, apart) = (&common.rows[0].cells, &apart.rows[0].cells);
    assert!(cells[2].sampling.is_some() && cells[3].sampling.is_some());
    assert_eq!(cells[3].text, apart[3].text);
}

/// A lift is of numbers above zero: of others it says nothing, least of all that they are alike.
#[test]
fn a_lift_of_what_is_not_above_zero_is_no_verdict() {
    let compare = "{ average = \"mean\", group = \"new\", against = \"old\" }";
    let agreement = trial(
        SQL,
        &[
            (
                "per_person",
                "{ groups = 1, mean = { value = [-1000, 1000], rows = 1 } }",
            ),
            ("compare", compare),
            ("sampling", "false"),
        ],
    );
    let of = |new: i64, old: i64, sigma: f64| {
        let group = |mean: i64| [1_000, 10, 1_000, mean * 100_000];
        let sigmas = [3.0, 3.0, 3.0, sigma];
        let table = tabled(&agreement, &[&group(old), &group(new)], &sigmas);
        let found = &table.comparisons[0];
        (found.verdict, found.text.clone(), found.value)
    };
    let undefined = "not computable (a lift needs numbers well above zero and their noise: compare the difference)";
    let not = ("not computable", undefined.to_owned(), None);
    assert_eq!(of(-500, -300, 50_000.0), not);
    assert_eq!(of(-300, -300, 50_000.0), not);
    assert_eq!(of(300, 0, 50_000.0), not);
    assert_eq!(of(0, 300, 50_000.0), not);
    let (verdict, text, _) = of(2, -1, 1_000_000.0);
    assert_eq!(verdict, "no clear difference");
    assert!(text.contains("hidden by the noise"), "{text}");
    assert_eq!(of(500, 300, 50_000.0).0, "clearly above zero");
}
