//! The templates over a year of baskets: the page on real data fills them in, and their exact
//! totals are those that another program counted over the files.
//!
//! Read from `../shared/data/completejourney` beside the checkout; without it these tests say
//! that they skip.

use arrow::array::{Decimal128Array, Int64Array, TimestampMicrosecondArray};
use incamera_testkit::journey::{FREQUENCY, Journey, LAST_TOUCH, LINEAR, REACH};
use incamera_types::{Digest as _, RequestDigest, Transcript, Value};

use super::*;
use crate::check;

fn household(number: i64) -> Person {
    let digest: RequestDigest = Transcript::new("household")
        .field(number.to_string())
        .finish();
    digest.as_bytes()[..16].try_into().unwrap()
}

fn moments(of: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(TimestampMicrosecondArray::from_iter_values(of).with_timezone("UTC"))
}

fn memory(journey: &Journey) -> Memory {
    let mut bought: Vec<_> = journey
        .purchases
        .iter()
        .map(|row| (household(row.household), row))
        .collect();
    bought.sort_by_key(|row| row.0);
    let mut sent: Vec<_> = journey
        .mailing
        .iter()
        .map(|row| (household(row.0), row.1))
        .collect();
    sent.sort_unstable();
    let cents = Decimal128Array::from_iter_values(bought.iter().map(|row| row.1.cents));
    let purchases = batch(vec![
        ("person", people(bought.iter().map(|row| row.0))),
        (
            "transaction_timestamp",
            moments(bought.iter().map(|row| row.1.moment)),
        ),
        (
            "sales_value",
            Arc::new(cents.with_precision_and_scale(10, 2).unwrap()),
        ),
    ]);
    let campaigns = Int64Array::from_iter_values(sent.iter().map(|row| row.1));
    let mailing = batch(vec![
        ("person", people(sent.iter().map(|row| row.0))),
        ("campaign_id", Arc::new(campaigns)),
    ]);
    let calendar = batch(vec![
        (
            "campaign_id",
            Arc::new(Int64Array::from_iter_values(journey.starts.keys().copied())),
        ),
        ("start_date", moments(journey.starts.values().copied())),
    ]);
    let tables = [
        ("purchases", purchases),
        ("mailing", mailing),
        ("calendar", calendar),
    ];
    let parts = tables.map(|(name, rows)| ((dataset(name), 0), vec![vec![rows]]));
    Memory {
        partitions: 1,
        parts: parts.into(),
    }
}

#[test]
fn real_answers_of_templates_are_those_of_another_program() {
    let Some(journey) = Journey::read() else {
        eprintln!("SKIPPED: no ../shared/data/completejourney beside the checkout");
        return;
    };
    let (head, _) = DATASETS.split_once("[datasets.customers]").unwrap();
    let example = include_str!("../../../../../docs/examples/completejourney.toml");
    let (datasets, _) = example.split_once("[queries.lift]").unwrap();
    let base = format!("{head}{datasets}");
    let commands = page::commands(include_str!("../../../../../docs/real-data.md"));
    assert_eq!(commands.len(), 4);
    for words in commands {
        let values: Vec<_> = words
            .iter()
            .map(String::as_str)
            .filter(|word| word.contains('='))
            .collect();
        let filled = section(&base, &words[0], &values);
        let (agreement, _) = accepted(&base, &filled);
        let query = &agreement.queries[&filled.name];
        let quarter = [("from", "2017-04-01"), ("until", "2017-06-30")];
        let asked = quarter
            .iter()
            .filter(|(name, _)| query.params.contains_key(*name));
        let asked: Vec<_> = asked
            .map(|(name, day)| (*name, Value::Date(day.parse().unwrap())))
            .collect();
        let checked = check(&agreement, query, &params(&asked)).unwrap();
        let found = totals(&checked, memory(&journey), 1);
        let expected: Vec<i128> = match words[0].as_str() {
            "reach" => REACH.concat(),
            "frequency" => FREQUENCY.concat(),
            "last-touch" => LAST_TOUCH.concat(),
            "linear" => LINEAR.concat(),
            other => panic!("{other}"),
        };
        assert_eq!(found, expected, "{}", words[0]);
    }
}
