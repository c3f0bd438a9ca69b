//! Templates that compare two groups, against plain loops over the same rows.

use arrow::array::{BooleanArray, Date32Array, Decimal128Array, Int64Array, StringArray};
use incamera_types::Value;

use super::*;
use crate::{check, table};

/// One person of the experiment.
struct One {
    who: u8,
    arm: &'static str,
    stage: &'static str,
    event: bool,
    /// Tenths.
    score: i128,
    /// Days of May and cents.
    bought: Vec<(i32, i128)>,
}

/// Whether the person is in both registers.
fn counts(one: &One) -> bool {
    one.who % 10 != 3 && one.who % 7 != 2
}

fn people_of_the_trial() -> Vec<One> {
    let one = |who: u8| {
        let number = i128::from(who);
        One {
            who,
            arm: ["old", "new", "none"][usize::from(who % 3)],
            stage: ["early", "late", "unknown"][usize::from(who / 3 % 3)],
            event: (number * 7 % 11) < if who.is_multiple_of(3) { 6 } else { 3 },
            score: number * 13 % 1_200,
            bought: (0..number % 4)
                .map(|nth| (20_574 + nth as i32 * 20, 2_000 + number * 40))
                .collect(),
        }
    };
    let mut all: Vec<One> = (0..240).map(one).collect();
    all.sort_by_key(|one| person(one.who));
    all
}

fn memory(all: &[One]) -> Memory {
    let who = |keep: fn(&One) -> bool| {
        let kept = all.iter().filter(move |one| keep(one));
        people(kept.map(|one| person(one.who)))
    };
    let scores: Decimal128Array = all.iter().map(|one| Some(one.score)).collect();
    let sales = || {
        let each = |one: &'_ One| {
            one.bought
                .iter()
                .map(|sale| (one.who, *sale))
                .collect::<Vec<_>>()
        };
        all.iter().flat_map(each)
    };
    let amounts: Decimal128Array = sales().map(|sale| Some(sale.1.1)).collect();
    let texts = |of: fn(&One) -> &'static str| -> ArrayRef {
        Arc::new(all.iter().map(|one| Some(of(one))).collect::<StringArray>())
    };
    let tables = [
        ("customers", vec![("person", who(|one| one.who % 10 != 3))]),
        ("audience", vec![("person", who(|one| one.who % 7 != 2))]),
        (
            "assigned",
            vec![
                ("person", who(|_| true)),
                ("arm", texts(|one| one.arm)),
                ("stage", texts(|one| one.stage)),
            ],
        ),
        (
            "outcomes",
            vec![
                ("person", who(|_| true)),
                (
                    "event",
                    Arc::new(
                        all.iter()
                            .map(|one| Some(one.event))
                            .collect::<BooleanArray>(),
                    ),
                ),
                (
                    "grade",
                    Arc::new(
                        all.iter()
                            .map(|one| Some(i64::from(one.event) * 3))
                            .collect::<Int64Array>(),
                    ),
                ),
                (
                    "score",
                    Arc::new(scores.with_precision_and_scale(6, 1).unwrap()),
                ),
            ],
        ),
        (
            "purchases",
            vec![
                ("person", people(sales().map(|sale| person(sale.0)))),
                (
                    "day",
                    Arc::new(sales().map(|sale| Some(sale.1.0)).collect::<Date32Array>()),
                ),
                (
                    "amount",
                    Arc::new(amounts.with_precision_and_scale(10, 2).unwrap()),
                ),
            ],
        ),
    ];
    let parts = tables
        .into_iter()
        .map(|(name, rows)| ((dataset(name), 0), vec![vec![batch(rows)]]));
    Memory {
        partitions: 1,
        parts: parts.collect(),
    }
}

/// The exact totals of a template by group; and that its answer is a table with comparisons.
fn found(template: &str, values: &str) -> Vec<Vec<i128>> {
    let values: Vec<_> = values.split_whitespace().chain(ASKED).collect();
    let filled = section(&base(), template, &values);
    let (agreement, _) = accepted(&base(), &filled);
    let query = &agreement.queries[&filled.name];
    let days = [("from", "2026-05-01"), ("until", "2026-05-31")];
    let asked = days.into_iter();
    let asked = asked.filter(|(name, _)| query.params.contains_key(*name));
    let asked: Vec<_> = asked
        .map(|(name, day)| (name, Value::Date(day.parse().unwrap())))
        .collect();
    let params = params(&asked);
    let checked = check(&agreement, query, &params).unwrap();
    let raw = || try_raw(&checked, Arc::new(memory(&people_of_the_trial())), 1).unwrap();
    let shown = table(&answer(raw(), 1), &agreement, query, &params).unwrap();
    assert_eq!(shown.comparisons.len(), query.compare.len());
    assert!(shown.sampling);
    println!("{}", checked.explain(&agreement));
    let exact = exact(&raw());
    exact
        .chunks(checked.measures.len())
        .map(<[_]>::to_vec)
        .collect()
}

/// Those who count, of an arm.
fn of<'a>(all: &'a [One], arm: &'a str) -> impl Iterator<Item = &'a One> {
    all.iter().filter(move |one| counts(one) && one.arm == arm)
}

/// Count, sum from the middle, and sum of squares, as an average has them.
fn summed(values: impl Iterator<Item = i128>, low: i128, high: i128) -> [i128; 3] {
    let middle = low + (high - low) / 2;
    let away = values.map(|value| value.clamp(low, high) - middle);
    away.fold([0; 3], |[n, s, q], v| [n + 1, s + v, q + v * v])
}

const TWO: &str = "assigned=assigned arm=arm group=new against=old registers=customers,audience";

#[test]
fn lift_is_that_of_a_plain_loop() {
    let found = found(
        "lift",
        &format!("{TWO} sales=purchases sold=day amount=amount most=100"),
    );
    let all = people_of_the_trial();
    let may = "2026-05-01".parse::<incamera_types::Date>().unwrap().days();
    let row = |arm: &str| {
        let spent = |one: &One| {
            let inside = one.bought.iter();
            let inside = inside.filter(|(day, _)| (may..may + 31).contains(day));
            inside.map(|(_, cents)| *cents).collect::<Vec<_>>()
        };
        let people = of(&all, arm).count() as i128;
        let buyers = of(&all, arm).filter(|one| !spent(one).is_empty()).count() as i128;
        let sums = of(&all, arm).map(|one| spent(one).iter().sum());
        let mut row = vec![people, buyers];
        row.extend(summed(sums, 0, 10_000));
        row
    };
    let expected = vec![row("new"), row("old")];
    assert!(expected[0][1] > 5 && expected[0][1] < expected[0][0]);
    assert_eq!(found, expected);
}

#[test]
fn two_by_two_is_that_of_a_plain_loop() {
    let all = people_of_the_trial();
    let row = |arm: &str| {
        let events = of(&all, arm).filter(|one| one.event);
        vec![of(&all, arm).count() as i128, events.count() as i128]
    };
    let expected = vec![row("new"), row("old")];
    let text = format!("{TWO} outcomes=outcomes");
    assert_eq!(
        found("two-by-two", &format!("{text} event=event")),
        expected
    );
    let grade = format!("{text} event=grade event_is=3");
    assert_eq!(found("two-by-two", &grade), expected);
}

#[test]
fn strata_are_those_of_a_plain_loop() {
    let all = people_of_the_trial();
    let row = |(arm, stage): (&str, &str)| {
        let inside: Vec<&One> = of(&all, arm).filter(|one| one.stage == stage).collect();
        let events = inside.iter().filter(|one| one.event).count();
        vec![inside.len() as i128, events as i128]
    };
    let cells = [
        ("new", "early"),
        ("new", "late"),
        ("old", "early"),
        ("old", "late"),
    ];
    let text = format!("{TWO} outcomes=outcomes event=event stratum=stage strata=early,late");
    assert_eq!(found("stratified", &text), cells.map(row));
}

#[test]
fn a_mean_difference_is_that_of_a_plain_loop() {
    let all = people_of_the_trial();
    let row = |arm: &str| {
        let mut row = vec![of(&all, arm).count() as i128];
        row.extend(summed(of(&all, arm).map(|one| one.score), 100, 900));
        row
    };
    let text = format!("{TWO} outcomes=outcomes value=score least=10 most=90");
    assert_eq!(found("mean-difference", &text), [row("new"), row("old")]);
}
