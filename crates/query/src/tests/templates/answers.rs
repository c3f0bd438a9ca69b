//! Exact totals against plain loops, then an answer with its noise.

use std::collections::BTreeSet;

use incamera_types::Value;

use super::data::*;
use super::*;
use crate::{check, table};

/// What a template gives over the rows: exact totals by group and measure, in order of the
/// agreement, and of the SELECT.
struct Found {
    agreement: Agreement,
    checked: CheckedQuery,
    world: World,
    params: Params,
}

/// From when to when purchases, or first steps, count.
const PERIOD: (&str, &str) = ("2026-02-01", "2026-05-31");

impl Found {
    fn of(template: &str, values: &str) -> Self {
        let values: Vec<_> = values.split_whitespace().chain(ASKED).collect();
        let filled = section(&base(), template, &values);
        let (agreement, _) = accepted(&base(), &filled);
        let query = &agreement.queries[&filled.name];
        let all = [("from", PERIOD.0), ("until", PERIOD.1)];
        let asked = all
            .iter()
            .filter(|(name, _)| query.params.contains_key(*name));
        let asked: Vec<_> = asked
            .map(|(name, day)| (*name, Value::Date(day.parse().unwrap())))
            .collect();
        let params = params(&asked);
        let checked = check(&agreement, query, &params).unwrap();
        let world = world();
        Self {
            agreement,
            checked,
            world,
            params,
        }
    }

    fn raw(&self) -> RawAggregate {
        try_raw(&self.checked, Arc::new(self.world.memory()), 1).unwrap()
    }

    /// A row for each group: the exact totals, which are as expected, and then near those of
    /// the answer, which has ranges.
    fn is(&self, expected: &[Vec<i128>]) {
        let measures = self.checked.measures.len();
        let found = exact(&self.raw());
        let found: Vec<Vec<i128>> = found.chunks(measures).map(<[_]>::to_vec).collect();
        assert_eq!(found, expected);
        assert!(
            expected.iter().flatten().any(|total| *total > 20),
            "{expected:?}"
        );
        let noisy = answer(self.raw(), 1);
        let mut away = 0;
        for (group, expected) in noisy.groups.iter().zip(expected) {
            for ((value, exact), measure) in group
                .values
                .iter()
                .zip(expected)
                .zip(self.checked.measures())
            {
                let off = (i128::from(*value) - exact).unsigned_abs();
                // Six standard deviations: one false failure in about 1e9.
                assert!(
                    (off as f64) < 6.0 * measure.sigma(),
                    "{} {value} {exact}",
                    measure.name
                );
                away += off;
            }
        }
        assert!(away > 0, "no noise");
        let query = &self.checked.query;
        let shown = table(&noisy, &self.agreement, query, &self.params).unwrap();
        assert_eq!(shown.rows.len(), expected.len());
        let explained = self.checked.explain(&self.agreement).to_string();
        assert!(explained.contains("noise to expect"), "{explained}");
    }

    /// Purchases on one day are one: person, day, cents.
    fn sales(&self) -> BTreeMap<(u8, i32), i128> {
        let (from, until) = (day(PERIOD.0), day(PERIOD.1));
        let mut sales = BTreeMap::new();
        for (who, on, cents, _) in &self.world.purchases {
            if (from..=until).contains(on) {
                *sales.entry((*who, *on)).or_default() += cents;
            }
        }
        sales
    }
}

#[test]
fn overlap_is_that_of_sets() {
    let found = Found::of(
        "overlap",
        "first=purchases second=exposures registers=customers,audience",
    );
    let world = &found.world;
    let buyers: BTreeSet<u8> = world.purchases.iter().map(|row| row.0).collect();
    let reached: BTreeSet<u8> = world.exposures.iter().map(|row| row.0).collect();
    let known: BTreeSet<u8> = world.both().collect();
    let count = |who: &dyn Fn(&u8) -> bool| known.iter().filter(|one| who(one)).count() as i128;
    let row = vec![
        count(&|who| buyers.contains(who) || reached.contains(who)),
        count(&|who| buyers.contains(who)),
        count(&|who| reached.contains(who)),
        count(&|who| buyers.contains(who) && reached.contains(who)),
    ];
    found.is(&[row]);
}

/// How often each campaign reached each person of the mailer's register.
fn times(world: &World) -> BTreeMap<(&'static str, u8), i128> {
    let mut times = BTreeMap::new();
    for (who, _, campaign) in &world.exposures {
        if world.audience.contains(who) {
            *times.entry((*campaign, *who)).or_default() += 1;
        }
    }
    times
}

#[test]
fn reach_is_that_of_a_plain_loop() {
    let found = Found::of(
        "reach",
        "exposures=exposures campaign=campaign campaigns=autumn,spring,summer campaigns_a_person=3 times=2 registers=audience",
    );
    let times = times(&found.world);
    let row = |campaign: &&str| {
        let of: Vec<i128> = times
            .iter()
            .filter(|(key, _)| key.0 == *campaign)
            .map(|(_, n)| *n)
            .collect();
        vec![of.len() as i128, of.iter().map(|n| (*n).min(2)).sum()]
    };
    found.is(&CAMPAIGNS.iter().map(row).collect::<Vec<_>>());
}

#[test]
fn frequency_is_that_of_a_plain_loop() {
    let found = Found::of(
        "frequency",
        "exposures=exposures times=6 registers=audience",
    );
    let mut each: BTreeMap<u8, i128> = BTreeMap::new();
    for ((_, who), n) in times(&found.world) {
        *each.entry(who).or_default() += n;
    }
    let bands = [1..=1, 2..=2, 3..=5, 6..=i128::MAX];
    let row = |band: &std::ops::RangeInclusive<i128>| {
        let of: Vec<i128> = each
            .values()
            .copied()
            .filter(|n| band.contains(n))
            .collect();
        vec![of.len() as i128, of.iter().map(|n| (*n).min(6)).sum()]
    };
    found.is(&bands.iter().map(row).collect::<Vec<_>>());
}

/// The rows of an attribution: of each campaign the people, their purchases and revenue, from
/// what each person adds to it.
fn credited(adds: &BTreeMap<(&str, u8), (i128, i128)>, most: (i128, i128)) -> Vec<Vec<i128>> {
    let row = |campaign: &&str| {
        let of = adds
            .iter()
            .filter(|(key, _)| key.0 == *campaign)
            .map(|(_, adds)| adds);
        let of: Vec<_> = of.collect();
        let (purchases, revenue) = (
            of.iter().map(|a| a.0.min(most.0)),
            of.iter().map(|a| a.1.min(most.1)),
        );
        vec![of.len() as i128, purchases.sum(), revenue.sum()]
    };
    CAMPAIGNS.iter().map(row).collect()
}

const ATTRIBUTED: &str = "exposures=exposures campaign=campaign campaigns=autumn,spring,summer
    sales=purchases sold=day amount=amount most_revenue=60 campaigns_a_person=3 days=30
    most_purchases=2 registers=customers,audience";

#[test]
fn last_touch_is_that_of_a_plain_loop() {
    let found = Found::of("last-touch", &format!("{ATTRIBUTED} touched=day"));
    let known: BTreeSet<u8> = found.world.both().collect();
    let mut adds: BTreeMap<(&str, u8), (i128, i128)> = BTreeMap::new();
    for ((who, on), cents) in found.sales() {
        let before = found
            .world
            .exposures
            .iter()
            .filter(|row| row.0 == who && row.1 <= on);
        // Of several on one day it is the last by name.
        let last = before.map(|row| (row.1, row.2)).max();
        if let Some((_, campaign)) = last.filter(|(day, _)| *day >= on - 30 && known.contains(&who))
        {
            let add = adds.entry((campaign, who)).or_default();
            *add = (add.0 + 1, add.1 + cents);
        }
    }
    found.is(&credited(&adds, (2, 6_000)));
}

/// Shares of each purchase: of whole ones in units of 1e-8, of cents in units of 1e-6.
fn shares(found: &Found, before: &dyn Fn(u8, i32) -> Vec<&'static str>) -> Vec<Vec<i128>> {
    let known: BTreeSet<u8> = found.world.both().collect();
    let mut adds: BTreeMap<(&str, u8), (i128, i128)> = BTreeMap::new();
    for ((who, on), cents) in found.sales() {
        let touches = before(who, on);
        let n = touches.len() as i128;
        for campaign in touches.iter().filter(|_| known.contains(&who)) {
            let add = adds.entry((campaign, who)).or_default();
            *add = (add.0 + 100_000_000 / n, add.1 + cents * 10_000 / n);
        }
    }
    credited(&adds, (200_000_000, 60_000_000))
}

#[test]
fn linear_attribution_is_that_of_a_plain_loop() {
    let found = Found::of("linear", &format!("{ATTRIBUTED} touched=day"));
    let exposures = &found.world.exposures;
    let before = |who: u8, on: i32| -> Vec<&'static str> {
        let of = exposures
            .iter()
            .filter(|row| row.0 == who && (on - 30..=on).contains(&row.1));
        of.map(|row| row.2).collect()
    };
    found.is(&shares(&found, &before));
}

/// The same with the days of campaigns in a public data set.
#[test]
fn attributions_take_days_from_a_public_data_set() {
    let scheduled = format!("{ATTRIBUTED} touched=calendar.begins schedule=calendar");
    let found = Found::of("linear", &scheduled);
    let begins: BTreeMap<&str, i32> = found.world.calendar.iter().copied().collect();
    let before = |who: u8, on: i32| -> Vec<&'static str> {
        let of = found.world.exposures.iter().filter(|row| row.0 == who);
        let of = of.filter(|row| (on - 30..=on).contains(&begins[row.2]));
        of.map(|row| row.2).collect()
    };
    found.is(&shares(&found, &before));
    let last = Found::of("last-touch", &scheduled);
    // Revenue is credited, and shared out, in its unit; purchases are numbers.
    for found in [&found, &last] {
        let units = found.checked.measures().iter();
        let units: Vec<_> = units.map(|measure| measure.unit.as_deref()).collect();
        assert_eq!(units, [None, None, Some("EUR")]);
    }
    let known: BTreeSet<u8> = last.world.both().collect();
    let mut adds: BTreeMap<(&str, u8), (i128, i128)> = BTreeMap::new();
    for ((who, on), cents) in last.sales() {
        let touches = last
            .world
            .exposures
            .iter()
            .filter(|row| row.0 == who && begins[row.2] <= on);
        let touch = touches.map(|row| (begins[row.2], row.2)).max();
        if let Some((_, campaign)) =
            touch.filter(|(day, _)| *day >= on - 30 && known.contains(&who))
        {
            let add = adds.entry((campaign, who)).or_default();
            *add = (add.0 + 1, add.1 + cents);
        }
    }
    last.is(&credited(&adds, (2, 6_000)));
}

/// The month of a day, counted from December 2025.
fn month(on: i32) -> i32 {
    let starts = [
        "2026-01-01",
        "2026-02-01",
        "2026-03-01",
        "2026-04-01",
        "2026-05-01",
        "2026-06-01",
    ];
    starts.iter().filter(|start| day(start) <= on).count() as i32
}

#[test]
fn retention_is_that_of_a_plain_loop() {
    retention("2026-01-01,2026-02-01,2026-03-01", 1, 0);
}

/// The month after December is January of the next year: the same visits a month earlier.
#[test]
fn retention_crosses_the_year() {
    retention("2025-12-01,2026-01-01,2026-02-01", 0, 31);
}

/// Cohorts, by name and from this month on, of visits that were so many days earlier.
fn retention(cohorts: &str, from: i32, earlier: i32) {
    let mut found = Found::of(
        "cohort",
        &format!("events=visits at=at cohorts={cohorts} months=3 registers=customers"),
    );
    for visit in &mut found.world.visits {
        visit.1 -= i64::from(earlier) * 86_400;
    }
    let mut months: BTreeMap<u8, BTreeSet<i32>> = BTreeMap::new();
    for (who, second, _) in &found.world.visits {
        if found.world.customers.contains(who) {
            let on = i32::try_from(second.div_euclid(86_400)).unwrap();
            months.entry(*who).or_default().insert(month(on));
        }
    }
    let row = |cohort: i32| {
        let of = months
            .values()
            .filter(move |months| months.first() == Some(&cohort));
        let of: Vec<_> = of.collect();
        let later =
            |after: i32| of.iter().filter(|m| m.contains(&(cohort + after))).count() as i128;
        (0..=3).map(later).collect::<Vec<_>>()
    };
    found.is(&(from..from + 3).map(row).collect::<Vec<_>>());
}

#[test]
fn a_funnel_is_that_of_a_plain_loop() {
    let mut found = Found::of(
        "funnel",
        "events=visits at=at step=step steps=view,basket,order days=60 registers=customers",
    );
    // At the last moment that counts, and a second later.
    for (who, late) in [(240, 0), (241, 1)] {
        let began = i64::from(day("2026-03-10")) * 86_400;
        let end = began + 60 * 86_400 + late;
        found.world.customers.push(who);
        let visits = [
            (who, began, "view"),
            (who, end, "basket"),
            (who, end, "order"),
        ];
        found.world.visits.extend(visits);
    }
    let (from, until) = (
        i64::from(day(PERIOD.0)) * 86_400,
        i64::from(day(PERIOD.1) + 1) * 86_400,
    );
    let mut reached = vec![0i128; 3];
    for who in &found.world.customers {
        let of = |step: &str, low: i64, high: i64| {
            let rows = found
                .world
                .visits
                .iter()
                .filter(|row| row.0 == *who && row.2 == step);
            rows.map(|row| row.1)
                .filter(|at| (low..=high).contains(at))
                .min()
        };
        let Some(began) = of("view", from, until - 1) else {
            continue;
        };
        let end = began + 60 * 86_400;
        let mut at = Some(began);
        for (place, step) in STEPS.iter().enumerate() {
            at = match place {
                0 => at,
                _ => at.and_then(|at| of(step, at, end)),
            };
            reached[place] += i128::from(at.is_some());
        }
    }
    found.is(&[reached]);
}

#[test]
fn a_histogram_is_that_of_a_plain_loop() {
    let mut found = Found::of(
        "histogram",
        "data=purchases amount=amount bands=50,100.50,300 registers=customers",
    );
    // Where bands begin, and just below.
    for (who, cents) in [(240, 5_000), (241, 4_999), (242, 10_050), (243, 10_049)] {
        found.world.customers.push(who);
        let purchase = (who, day("2026-03-10"), cents, "food");
        found.world.purchases.push(purchase);
    }
    let mut sums: BTreeMap<u8, i128> = BTreeMap::new();
    for (who, _, cents, _) in &found.world.purchases {
        if found.world.customers.contains(who) {
            *sums.entry(*who).or_default() += cents;
        }
    }
    let bands = [
        i128::MIN..5_000,
        5_000..10_050,
        10_050..30_000,
        30_000..i128::MAX,
    ];
    let row = |band: &std::ops::Range<i128>| {
        vec![sums.values().filter(|sum| band.contains(sum)).count() as i128]
    };
    found.is(&bands.iter().map(row).collect::<Vec<_>>());
    let names = found.checked.query.groups[0].declared().unwrap();
    assert_eq!(
        names,
        ["below 50", "50 to 100.50", "100.50 to 300", "300 or more"]
    );
}

#[test]
fn the_top_is_that_of_a_plain_loop() {
    let found = Found::of(
        "top",
        "data=purchases value=category values_a_person=6 show=2 registers=customers",
    );
    let mut people: BTreeMap<&str, BTreeSet<u8>> = BTreeMap::new();
    for (who, _, _, category) in &found.world.purchases {
        if found.world.customers.contains(who) {
            people.entry(category).or_default().insert(*who);
        }
    }
    let raw = found.raw();
    let totals: Vec<(String, i128)> = raw
        .totals
        .iter()
        .map(|(key, total)| (key[0].clone(), total.of(0)))
        .collect();
    let plain: Vec<_> = people
        .iter()
        .map(|(name, who)| ((*name).to_owned(), who.len() as i128))
        .collect();
    assert_eq!(totals, plain);
    // With little noise the first are the first.
    let values = "data=purchases value=category values_a_person=6 show=2 registers=customers epsilon=1000 min_people=1";
    let sure = Found::of("top", values);
    let noisy = answer(sure.raw(), 1);
    let shown = table(&noisy, &sure.agreement, &sure.checked.query, &sure.params).unwrap();
    let mut order: Vec<_> = plain.clone();
    order.sort_by_key(|(_, people)| std::cmp::Reverse(*people));
    assert!(order[1].1 > order[2].1 + 2, "{order:?}");
    let names: Vec<&str> = shown.rows.iter().map(|row| row.key[0].as_str()).collect();
    assert_eq!(names, [&order[0].0, &order[1].0]);
}

#[test]
fn bounds_are_quantiles_of_a_plain_loop() {
    let found = Found::of(
        "bounds",
        "data=purchases amount=amount most=1000 data_rows=50 registers=customers",
    );
    let mut each: BTreeMap<u8, (i128, i128)> = BTreeMap::new();
    for (who, _, cents, _) in &found.world.purchases {
        if found.world.customers.contains(who) {
            let of = each.entry(*who).or_default();
            *of = (of.0 + cents, of.1 + 1);
        }
    }
    let sorted = |of: &dyn Fn(&(i128, i128)) -> i128| {
        let mut values: Vec<i128> = each.values().map(of).collect();
        values.sort_unstable();
        values
    };
    let (sums, rows) = (sorted(&|of| of.0), sorted(&|of| of.1));
    let raw = found.raw();
    let total = raw.totals.get(&Vec::new()).unwrap();
    assert_eq!(total.of(0), each.len() as i128);
    for measure in 1..7 {
        let mut values = total.values(measure).to_vec();
        values.sort_unstable();
        assert_eq!(
            values,
            if measure < 4 {
                sums.clone()
            } else {
                rows.clone()
            }
        );
    }
    let noisy = answer(raw, 1);
    let drawn = &noisy.measures[1..];
    assert!(drawn.iter().all(|measure| measure.ranks > 0.0));
    let shares: Vec<f64> = drawn.iter().map(|measure| measure.quantile).collect();
    assert_eq!(shares, [0.5, 0.9, 0.99, 0.5, 0.9, 0.99]);
}
