//! Real data: a year of baskets and who was sent which campaign, against a plain loop.
//!
//! Read from `../shared/data/completejourney` beside the checkout; without it these tests say
//! that they skip. How often answers with noise hold the truth is tested in the room's tests.

use std::sync::OnceLock;

use arrow::array::{Date32Array, Decimal128Array, StringArray};
use incamera_testkit::journey::{CAMPAIGNS, Group, Journey};
use incamera_types::{Date, Digest, Pseudonym, RequestDigest, Transcript, Value};

use super::*;
use crate::check;

const SQL: &str = "SELECT CASE WHEN mailing.person IS NOT NULL THEN 'mailed' ELSE 'not mailed' END AS campaign_group,
  COUNT(DISTINCT customers.person) AS people,
  COUNT(DISTINCT purchases.person) AS buyers,
  SUM(purchases.amount) AS spend
FROM customers
LEFT JOIN mailing ON mailing.person = customers.person AND mailing.campaign = $campaign
LEFT JOIN purchases ON purchases.person = customers.person AND purchases.day BETWEEN $from AND $until
GROUP BY 1";

const PARTITIONS: u32 = 4;
/// The most of one household, in cents.
const CLAMP: i128 = 200_000;

/// Rows of both sides in the order of people, who are pseudonyms.
struct Real {
    journey: Journey,
    customers: Vec<Person>,
    /// Person, day, cents.
    purchases: Vec<(Person, i32, i128)>,
    /// Person and campaign.
    mailing: Vec<(Person, i64)>,
}

fn pseudonym(household: i64) -> Person {
    let digest: RequestDigest = Transcript::new("household")
        .field(household.to_string())
        .finish();
    digest.as_bytes()[..16].try_into().unwrap()
}

/// The data, read once.
fn real() -> Option<&'static Real> {
    static REAL: OnceLock<Option<Real>> = OnceLock::new();
    let real = REAL.get_or_init(|| Journey::read().map(Real::new)).as_ref();
    if real.is_none() {
        eprintln!("SKIPPED: no ../shared/data/completejourney beside the checkout");
    }
    real
}

impl Real {
    fn new(journey: Journey) -> Self {
        let bought = |bought: &incamera_testkit::journey::Purchase| {
            (pseudonym(bought.household), bought.day, bought.cents)
        };
        let mut purchases: Vec<_> = journey.purchases.iter().map(bought).collect();
        purchases.sort_by_key(|row| row.0);
        let sent = |(household, campaign): &(i64, i64)| (pseudonym(*household), *campaign);
        let mut mailing: Vec<_> = journey.mailing.iter().map(sent).collect();
        mailing.sort();
        let mut customers: Vec<Person> = purchases.iter().map(|row| row.0).collect();
        customers.dedup();
        Self {
            journey,
            customers,
            purchases,
            mailing,
        }
    }

    fn memory(&self) -> Memory {
        let mut memory = Memory {
            partitions: PARTITIONS,
            ..Memory::default()
        };
        for slice in 0..PARTITIONS {
            let inside =
                |person: &Person| Pseudonym::from_bytes(*person).partition(PARTITIONS) == slice;
            let customers = people(
                self.customers
                    .iter()
                    .copied()
                    .filter(|person| inside(person)),
            );
            let mailing = self.mailing.iter().filter(|row| inside(&row.0));
            let purchases = self.purchases.iter().filter(|row| inside(&row.0));
            let campaigns: StringArray =
                mailing.clone().map(|row| Some(row.1.to_string())).collect();
            let days: Date32Array = purchases.clone().map(|row| Some(row.1)).collect();
            let amounts: Decimal128Array = purchases.clone().map(|row| Some(row.2)).collect();
            let amounts = amounts.with_precision_and_scale(10, 2).unwrap();
            let tables = [
                ("customers", batch(vec![("person", customers)])),
                (
                    "mailing",
                    batch(vec![
                        ("person", people(mailing.map(|row| row.0))),
                        ("campaign", Arc::new(campaigns)),
                    ]),
                ),
                (
                    "purchases",
                    batch(vec![
                        ("person", people(purchases.map(|row| row.0))),
                        ("day", Arc::new(days)),
                        ("amount", Arc::new(amounts)),
                    ]),
                ),
            ];
            for (name, rows) in tables {
                memory
                    .parts
                    .insert((dataset(name), slice), vec![vec![rows]]);
            }
        }
        memory
    }
}

/// The agreement; amounts may be as large as in the data.
fn lift() -> Agreement {
    agreement(
        SQL,
        &[
            (
                "reads",
                "[\"customers.person\", \"purchases.person\", \"purchases.day\", \"purchases.amount\", \"mailing.person\", \"mailing.campaign\"]",
            ),
            (
                "params",
                "{ campaign = { type = \"text\" }, from = { type = \"date\" }, until = { type = \"date\" } }",
            ),
            (
                "groups",
                "{ campaign_group = [\"mailed\", \"not mailed\"] }",
            ),
            ("rows", "{ purchases = 5_000, mailing = 20 }"),
            ("per_person", "{ groups = 1, spend = [0, 2000] }"),
            ("weights", "{ people = 1, buyers = 1, spend = 8 }"),
            (
                "ratios",
                "{ rate = \"buyers / people\", spend_per_person = \"spend / people\" }",
            ),
            (
                "compare",
                "{ ratio = \"spend_per_person\", group = \"mailed\", against = \"not mailed\" }",
            ),
            ("min_people", "50"),
        ],
    )
}

fn exact(real: &Real, (campaign, from, until): (i64, &str, &str)) -> [Group; 2] {
    let day = |text: &str| text.parse::<Date>().unwrap();
    real.journey.exact(campaign, day(from), day(until), CLAMP)
}

#[test]
fn real_sums_are_those_of_a_plain_loop() {
    let Some(real) = real() else { return };
    let agreement = lift();
    for campaign in CAMPAIGNS {
        let values = params(&[
            (
                "campaign",
                Value::Text(campaign.0.to_string().as_str().into()),
            ),
            ("from", Value::Date(campaign.1.parse().unwrap())),
            ("until", Value::Date(campaign.2.parse().unwrap())),
        ]);
        let checked = check(&agreement, query(&agreement), &values).unwrap();
        let group = |group: &Group| [group.people, group.buyers, group.cents];
        let exact = exact(real, campaign)
            .iter()
            .flat_map(group)
            .collect::<Vec<_>>();
        assert_eq!(totals(&checked, real.memory(), 1), exact, "{campaign:?}");
    }
}

#[test]
fn real_noise_on_spend_is_below_a_fifth() {
    let Some(real) = real() else { return };
    let agreement = lift();
    let checked = crate::prove(&agreement, query(&agreement)).unwrap();
    let exact = exact(real, CAMPAIGNS[0]);
    for group in exact {
        let share = checked.measures[2].half_width() / (group.cents as f64 / 100.0);
        assert!(share < 0.20, "{share}");
    }
    // The households that the source counts.
    assert_eq!(exact.map(|group| group.people), [1_076, 1_393]);
    assert_eq!(exact.map(|group| group.buyers), [1_057, 1_121]);
}
