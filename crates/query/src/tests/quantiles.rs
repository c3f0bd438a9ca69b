//! Quantiles of values.

use arrow::array::Int64Array;
use proptest::prelude::*;

use super::*;
use crate::measure::Draw;
use crate::{prove, table};

const SQL: &str = "SELECT COUNT(DISTINCT person) AS people, MEDIAN(items) AS middle,
  APPROX_PERCENTILE_CONT(items, 0.95) AS upper,
  APPROX_PERCENTILE_CONT(0.25) WITHIN GROUP (ORDER BY items DESC) AS third,
  MIN(items) AS least, MAX(items) AS most FROM purchases";

fn quantiles(rows: u32, more: &[(&str, &str)]) -> (Agreement, CheckedQuery) {
    let each = format!("{{ value = [0, 100], rows = {rows} }}");
    let per_person = format!(
        "{{ groups = 1, middle = {each}, upper = {each}, third = {each}, least = {each}, most = {each} }}"
    );
    let mut settings = vec![
        ("reads", "[\"purchases.person\", \"purchases.items\"]"),
        ("rows", "{ purchases = 10 }"),
        ("epsilon", "8.0"),
        ("per_person", per_person.as_str()),
    ];
    settings.extend(more);
    let agreement = agreement(SQL, &settings);
    let checked = prove(&agreement, query(&agreement)).unwrap();
    (agreement, checked)
}

fn bought(mut rows: Vec<(u16, i64)>) -> Memory {
    let someone = |number: u16| {
        let mut bytes = [9; 16];
        bytes[..2].copy_from_slice(&number.wrapping_mul(40_503).to_be_bytes());
        bytes
    };
    rows.sort_by_key(|(number, _)| someone(*number));
    let items: Int64Array = rows.iter().map(|(_, items)| Some(*items)).collect();
    let rows = batch(vec![
        (
            "person",
            people(rows.iter().map(|(number, _)| someone(*number))),
        ),
        ("items", Arc::new(items)),
    ]);
    Memory {
        partitions: 1,
        parts: [((dataset("purchases"), 0), vec![vec![rows]])].into(),
    }
}

/// Each value lies within the ranks that the answer states: 2,000 people, one value each, twenty
/// at each of 0 to 99. At 95 % each: of ten answers of five quantiles not more than ten are off
/// (a false failure in about 1e-4 of free keys).
#[test]
fn quantiles_lie_within_their_ranks() {
    let (agreement, checked) = quantiles(1, &[]);
    let mut off = 0;
    for key in 0..10 {
        let rows = bought((0..2_000).map(|n| (n, i64::from(n / 20))).collect());
        let found = answer(try_raw(&checked, Arc::new(rows), key).unwrap(), key);
        for (measure, value) in found.measures.iter().zip(&found.groups[0].values).skip(1) {
            let (below, upto) = (value * 20, (value + 1) * 20);
            let wanted = measure.quantile * 2_000.0;
            let away = (below as f64 - wanted).max(wanted - upto as f64);
            assert!(measure.ranks > 0.0 && measure.ranks < 200.0, "{measure:?}");
            off += usize::from(away > measure.ranks);
        }
        let shares: Vec<f64> = found.measures.iter().map(|m| m.quantile).collect();
        assert_eq!(shares[..4], [0.0, 0.5, 0.95, 0.75]);
        assert!(shares[4] <= 0.1 && shares[5] >= 0.9, "{shares:?}");
        let shown = table(&found, &agreement, query(&agreement), &Params::new()).unwrap();
        let text = &shown.rows[0].cells[1].text;
        assert!(text.contains(", rank 50 % ("), "{text}");
        let note = "middle is one of 0 .. 100, by at most 1 value a person";
        assert!(
            shown.notes.iter().any(|found| found.starts_with(note)),
            "{:?}",
            shown.notes
        );
    }
    assert!(off <= 10, "{off}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// One person's rows change the values that quantiles are of by no more than so many: what
    /// is not in both is at most what a person may have, on either side.
    #[test]
    fn one_person_has_so_many_values(
        others in prop::collection::vec((1u16..6, -50i64..150), 0..30),
        before in prop::collection::vec(-50i64..150, 0..10),
        after in prop::collection::vec(-50i64..150, 0..10),
    ) {
        let (_, checked) = quantiles(3, &[]);
        let values = |mine: &[i64]| {
            let mut rows = others.clone();
            rows.truncate(25);
            rows.extend(mine.iter().map(|value| (0, *value)));
            let raw = try_raw(&checked, Arc::new(bought(rows)), 1).unwrap();
            let mut values = raw.totals.get(&Vec::new()).map_or(Vec::new(), |all| all.values(1).to_vec());
            values.sort_unstable();
            values
        };
        let (a, b) = (values(&before), values(&after));
        prop_assert!(a.iter().chain(&b).all(|value| (0..=100).contains(value)));
        let without = |these: &[i128], those: &[i128]| {
            let mut rest = those.to_vec();
            let gone = these.iter().filter(|value| match rest.iter().position(|other| &other == value) {
                Some(at) => {
                    rest.swap_remove(at);
                    false
                }
                None => true,
            });
            gone.count()
        };
        prop_assert!(without(&a, &b) <= 3 && without(&b, &a) <= 3);
        prop_assert!(before.len() > 3 || a.len() >= before.len());
    }
}

/// Somebody who moves changes as many groups as they may be in, twice: each draw has that part
/// of the share.
#[test]
fn groups_share_what_a_quantile_may_spend() {
    let epsilon = |groups: &str| {
        let sql = "SELECT items AS items, COUNT(DISTINCT person) AS people, MEDIAN(items) AS middle FROM purchases GROUP BY items";
        let per_person = format!("{{ groups = {groups}, middle = {{ value = [0, 100] }} }}");
        let settings = [
            ("reads", "[\"purchases.person\", \"purchases.items\"]"),
            ("rows", "{ purchases = 10 }"),
            ("delta", "0"),
            ("groups", "{ items = [\"1\", \"2\", \"3\", \"4\"] }"),
            ("per_person", per_person.as_str()),
        ];
        let agreement = agreement(sql, &settings);
        let checked = prove(&agreement, query(&agreement)).unwrap();
        let Draw::Quantile { plan, .. } = &checked.measures[1].draw else {
            panic!("a quantile")
        };
        match plan.method() {
            incamera_dp::quantile::Method::Exponential { epsilon } => epsilon.to_f64(),
            other => panic!("{other:?}"),
        }
    };
    // Half of epsilon 1, over two changes of one group, or of four.
    assert!((epsilon("1") - 0.25).abs() < 1e-5);
    assert!((epsilon("4") - 0.0625).abs() < 1e-5);
}
