//! Rows of which every answer is known by a plain loop.

use arrow::array::{Date32Array, Decimal128Array, StringArray, TimestampMicrosecondArray};
use incamera_types::Date;

use super::*;

pub(super) const CAMPAIGNS: [&str; 3] = ["autumn", "spring", "summer"];
pub(super) const STEPS: [&str; 3] = ["view", "basket", "order"];
const CATEGORIES: [&str; 6] = ["food", "home", "toys", "garden", "books", "music"];

/// Days of 2026-01-01 and 2026-06-30.
pub(super) const FIRST: &str = "2026-01-01";

pub(super) fn day(text: &str) -> i32 {
    text.parse::<Date>().unwrap().days()
}

/// Everybody's rows.
#[derive(Default)]
pub(super) struct World {
    pub(super) customers: Vec<u8>,
    pub(super) audience: Vec<u8>,
    /// Person, day, cents, category.
    pub(super) purchases: Vec<(u8, i32, i128, &'static str)>,
    /// Person, day, campaign.
    pub(super) exposures: Vec<(u8, i32, &'static str)>,
    /// Person, second, step.
    pub(super) visits: Vec<(u8, i64, &'static str)>,
    /// Campaign and its first day.
    pub(super) calendar: Vec<(&'static str, i32)>,
}

/// Numbers that follow from a seed.
struct Lots(u64);

impl Lots {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

/// Two hundred people over half a year; some are in one register, some in both.
pub(super) fn world() -> World {
    let mut lots = Lots(42);
    let mut world = World::default();
    let first = day(FIRST);
    for who in 0..200u8 {
        if who % 10 != 3 {
            world.customers.push(who);
        }
        if who % 7 != 2 {
            world.audience.push(who);
        }
        let at = |lots: &mut Lots| first + lots.below(180) as i32;
        for _ in 0..lots.below(9) {
            let on = at(&mut lots);
            let cents = i128::from(lots.below(9_000));
            // Twice on one day is one purchase.
            for _ in 0..=lots.below(2) {
                world
                    .purchases
                    .push((who, on, cents, lots.one(&CATEGORIES)));
            }
        }
        for _ in 0..lots.below(8) {
            let on = at(&mut lots);
            world.exposures.push((who, on, lots.one(&CAMPAIGNS)));
        }
        for _ in 0..lots.below(12) {
            let second = i64::from(at(&mut lots)) * 86_400 + lots.below(86_400) as i64;
            world.visits.push((who, second, lots.one(&STEPS)));
        }
    }
    world.calendar = CAMPAIGNS
        .iter()
        .zip([20, 70, 120])
        .map(|(name, after)| (*name, first + after))
        .collect();
    world
}

impl World {
    /// Those who are in both registers.
    pub(super) fn both(&self) -> impl Iterator<Item = u8> {
        let customers = self.customers.iter().copied();
        customers.filter(|who| self.audience.contains(who))
    }

    pub(super) fn memory(&self) -> Memory {
        let sorted = |who: &mut Vec<usize>, of: &dyn Fn(usize) -> u8| {
            who.sort_by_key(|at| person(of(*at)));
        };
        let mut parts = BTreeMap::new();
        let mut put = |name: &str, rows: RecordBatch| {
            parts.insert((dataset(name), 0), vec![vec![rows]]);
        };
        for (name, register) in [("customers", &self.customers), ("audience", &self.audience)] {
            let mut rows: Vec<Person> = register.iter().map(|who| person(*who)).collect();
            rows.sort_unstable();
            put(name, batch(vec![("person", people(rows))]));
        }
        let mut order: Vec<usize> = (0..self.purchases.len()).collect();
        sorted(&mut order, &|at| self.purchases[at].0);
        let rows = || order.iter().map(|at| self.purchases[*at]);
        let amounts = Decimal128Array::from_iter_values(rows().map(|row| row.2));
        put(
            "purchases",
            batch(vec![
                ("person", people(rows().map(|row| person(row.0)))),
                (
                    "day",
                    Arc::new(Date32Array::from_iter_values(rows().map(|row| row.1))),
                ),
                (
                    "amount",
                    Arc::new(amounts.with_precision_and_scale(10, 2).unwrap()),
                ),
                (
                    "category",
                    Arc::new(StringArray::from_iter_values(rows().map(|row| row.3))),
                ),
            ]),
        );
        let mut order: Vec<usize> = (0..self.exposures.len()).collect();
        sorted(&mut order, &|at| self.exposures[at].0);
        let rows = || order.iter().map(|at| self.exposures[*at]);
        put(
            "exposures",
            batch(vec![
                ("person", people(rows().map(|row| person(row.0)))),
                (
                    "day",
                    Arc::new(Date32Array::from_iter_values(rows().map(|row| row.1))),
                ),
                (
                    "campaign",
                    Arc::new(StringArray::from_iter_values(rows().map(|row| row.2))),
                ),
            ]),
        );
        let mut order: Vec<usize> = (0..self.visits.len()).collect();
        sorted(&mut order, &|at| self.visits[at].0);
        let rows = || order.iter().map(|at| self.visits[*at]);
        let moments = rows().map(|row| row.1 * 1_000_000);
        put(
            "visits",
            batch(vec![
                ("person", people(rows().map(|row| person(row.0)))),
                (
                    "at",
                    Arc::new(
                        TimestampMicrosecondArray::from_iter_values(moments).with_timezone("UTC"),
                    ),
                ),
                (
                    "step",
                    Arc::new(StringArray::from_iter_values(rows().map(|row| row.2))),
                ),
            ]),
        );
        let begins = Date32Array::from_iter_values(self.calendar.iter().map(|row| row.1));
        let names = StringArray::from_iter_values(self.calendar.iter().map(|row| row.0));
        put(
            "calendar",
            batch(vec![
                ("campaign", Arc::new(names)),
                ("begins", Arc::new(begins)),
            ]),
        );
        Memory {
            partitions: 1,
            parts,
        }
    }
}
