//! Rows made of one person's: against an oracle that sees one person at a time, over random
//! rows. Where nothing is cut, both agree; and whatever is cut, what everybody adds up to is the
//! sum of what each adds alone: no person's rows have part in another's.

use arrow::array::BooleanArray;
use proptest::prelude::*;

use super::filters::Pruning;
use super::rows::*;
use super::*;
use crate::{CheckedQuery, prove};

/// What everybody has: purchases, and whether they were mailed.
#[derive(Clone, Debug, Default)]
struct Data {
    customers: Vec<u8>,
    mailing: Vec<(u8, Option<bool>)>,
    purchases: Vec<Row>,
}

impl Data {
    /// The same of one person alone.
    fn of(&self, who: u8) -> Self {
        self.of_those(|person| person == who)
    }

    /// The same of some people.
    fn of_those(&self, those: impl Fn(u8) -> bool) -> Self {
        let mut some = self.clone();
        some.customers.retain(|person| those(*person));
        some.mailing.retain(|(person, _)| those(*person));
        some.purchases.retain(|row| those(row.person));
        some
    }

    fn memory(&self, partitions: u32, step: usize) -> Memory {
        let mut memory = super::rows::memory(&self.purchases, partitions, step);
        let mailing = |rows: &[(u8, Option<bool>)]| {
            let mailed: BooleanArray = rows.iter().map(|row| row.1).collect();
            batch(vec![
                ("person", people(rows.iter().map(|row| person(row.0)))),
                ("mailed", Arc::new(mailed)),
            ])
        };
        let customers = |rows: &[u8]| {
            batch(vec![(
                "person",
                people(rows.iter().map(|who| person(*who))),
            )])
        };
        for slice in 0..partitions {
            let inside = |who: u8| {
                incamera_types::Pseudonym::from_bytes(person(who)).partition(partitions) == slice
            };
            let mut mailed: Vec<_> = self
                .mailing
                .iter()
                .copied()
                .filter(|row| inside(row.0))
                .collect();
            mailed.sort_by_key(|row| person(row.0));
            let mut known: Vec<_> = self
                .customers
                .iter()
                .copied()
                .filter(|who| inside(*who))
                .collect();
            known.sort_by_key(|who| person(*who));
            memory
                .parts
                .insert((dataset("mailing"), slice), vec![vec![mailing(&mailed)]]);
            memory
                .parts
                .insert((dataset("customers"), slice), vec![vec![customers(&known)]]);
        }
        memory
    }
}

/// What one person adds.
type Adds = fn(&Data) -> Option<Vec<i128>>;

/// A query, and what one person adds to each of its measures after the count of people: nothing
/// if the person has no row.
struct Case {
    name: &'static str,
    sql: &'static str,
    reads: &'static str,
    adds: Adds,
}

fn days(data: &Data) -> Vec<Option<i128>> {
    data.purchases.iter().map(|row| seen(row, "day")).collect()
}

fn points(data: &Data) -> impl Iterator<Item = i128> {
    data.purchases.iter().filter_map(|row| seen(row, "points"))
}

fn mailed(data: &Data) -> bool {
    data.mailing.iter().any(|row| row.1 == Some(true))
}

/// Day and points, in order of days, those without last.
fn by_day(data: &Data) -> Vec<(Option<i128>, Option<i128>)> {
    let both = |row: &Row| (seen(row, "day"), seen(row, "points"));
    let mut rows: Vec<_> = data.purchases.iter().map(both).collect();
    let last = |value: Option<i128>| (value.is_none(), value);
    rows.sort_by_key(|(day, points)| (last(*day), last(*points)));
    rows
}

const CASES: &[Case] = &[
    Case {
        name: "frequency, with HAVING",
        sql: "SELECT COUNT(DISTINCT person) AS people, SUM(n) AS a FROM
            (SELECT person, COUNT(*) AS n FROM purchases GROUP BY person HAVING COUNT(*) >= 3) t",
        reads: "\"purchases.person\"",
        adds: |data| {
            let n = data.purchases.len() as i128;
            (n >= 3).then(|| vec![n])
        },
    },
    Case {
        name: "sum, least, most, how many kinds",
        sql: "WITH each AS (SELECT person, SUM(amount) AS s, MIN(items) AS low, MAX(items) AS high,
                COUNT(DISTINCT category) AS kinds, COUNT(points) AS n FROM purchases GROUP BY person)
            SELECT COUNT(DISTINCT person) AS people, SUM(s) AS a, SUM(high - low) AS b, SUM(kinds) AS c, SUM(n) AS d FROM each",
        reads: "\"purchases.person\", \"purchases.amount\", \"purchases.items\", \"purchases.category\", \"purchases.points\"",
        adds: |data| {
            let rows = &data.purchases;
            let items: Vec<_> = rows.iter().filter_map(|row| seen(row, "items")).collect();
            let spread = items.iter().max().zip(items.iter().min()).map_or(0, |(a, b)| a - b);
            let kinds: std::collections::BTreeSet<_> =
                rows.iter().filter_map(|row| row.category).collect();
            let spent: i128 = rows.iter().filter_map(|row| seen(row, "amount")).sum();
            let n = points(data).count() as i128;
            (!rows.is_empty()).then(|| vec![spent, spread, kinds.len() as i128, n])
        },
    },
    Case {
        name: "averages, of decimals and of whole numbers",
        sql: "SELECT COUNT(DISTINCT person) AS people, SUM(mean) AS a, SUM(floor(whole)) AS b FROM
            (SELECT person, AVG(amount) AS mean, AVG(items) AS whole FROM purchases GROUP BY person) t",
        reads: "\"purchases.person\", \"purchases.amount\", \"purchases.items\"",
        adds: |data| {
            let mean = |column: &str, digits: i128| {
                let all: Vec<_> = data.purchases.iter().filter_map(|row| seen(row, column)).collect();
                (!all.is_empty()).then(|| all.iter().sum::<i128>() * digits / all.len() as i128)
            };
            (!data.purchases.is_empty())
                .then(|| vec![mean("amount", 10_000).unwrap_or(0), mean("items", 1).unwrap_or(0)])
        },
    },
    Case {
        name: "distinct days",
        sql: "SELECT COUNT(DISTINCT person) AS people, COUNT(*) AS a FROM
            (SELECT DISTINCT person, day FROM purchases) t",
        reads: "\"purchases.person\", \"purchases.day\"",
        adds: |data| {
            let all: std::collections::BTreeSet<_> = days(data).into_iter().collect();
            (!all.is_empty()).then(|| vec![all.len() as i128])
        },
    },
    Case {
        name: "the first purchase",
        sql: "SELECT COUNT(DISTINCT person) AS people, SUM(points) AS a FROM
            (SELECT person, points, ROW_NUMBER() OVER (PARTITION BY person ORDER BY day) AS place FROM purchases) t
            WHERE place = 1",
        reads: "\"purchases.person\", \"purchases.points\", \"purchases.day\"",
        adds: |data| by_day(data).first().map(|(_, points)| vec![points.unwrap_or(0)]),
    },
    Case {
        name: "ranks, and days since the purchase before",
        sql: "SELECT COUNT(DISTINCT person) AS people, SUM(since) AS a, SUM(place - 1) AS b, SUM(total) AS c FROM
            (SELECT person, day - LAG(day) OVER (PARTITION BY person ORDER BY day) AS since,
                RANK() OVER (PARTITION BY person ORDER BY day) AS place,
                SUM(items) OVER (PARTITION BY person) AS total FROM purchases) t",
        reads: "\"purchases.person\", \"purchases.items\", \"purchases.day\"",
        adds: |data| {
            let rows = by_day(data);
            let pairs = rows.iter().zip(rows.iter().skip(1));
            let since: i128 = pairs.filter_map(|(a, b)| Some(b.0? - a.0?)).sum();
            let place = |row: &(Option<i128>, Option<i128>)| {
                rows.iter().position(|other| other.0 == row.0).unwrap_or(0) as i128
            };
            let items: i128 = data.purchases.iter().filter_map(|row| seen(row, "items")).sum();
            (!rows.is_empty())
                .then(|| vec![since, rows.iter().map(place).sum(), items * rows.len() as i128])
        },
    },
    Case {
        name: "counts beside each row",
        sql: "SELECT COUNT(DISTINCT person) AS people, SUM(n) AS a, SUM(k) AS b FROM
            (SELECT person, COUNT(*) OVER (PARTITION BY person) AS n,
                COUNT(points) OVER (PARTITION BY person) AS k FROM purchases) t",
        reads: "\"purchases.person\", \"purchases.points\"",
        adds: |data| {
            let all = data.purchases.len() as i128;
            let known = data.purchases.iter().filter_map(|row| seen(row, "points"));
            let known = known.count() as i128;
            (all > 0).then(|| vec![all * all, all * known])
        },
    },
    Case {
        name: "purchases after the first, read twice",
        sql: "SELECT COUNT(DISTINCT later.person) AS people, SUM(later.points) AS a, COUNT(*) AS b FROM
            (SELECT person, MIN(day) AS first FROM purchases GROUP BY person) begun
            JOIN purchases later ON later.person = begun.person AND later.day > begun.first",
        reads: "\"purchases.person\", \"purchases.points\", \"purchases.day\"",
        adds: |data| {
            let first = days(data).into_iter().flatten().min();
            let later = data.purchases.iter().filter(|row| seen(row, "day") > first && first.is_some());
            let later: Vec<_> = later.collect();
            let points = later.iter().filter_map(|row| seen(row, "points")).sum();
            (!later.is_empty()).then(|| vec![points, later.len() as i128])
        },
    },
    Case {
        name: "EXISTS and IN",
        sql: "SELECT COUNT(DISTINCT customers.person) AS people, COUNT(*) AS a FROM customers
            WHERE EXISTS (SELECT 1 FROM purchases WHERE purchases.person = customers.person AND purchases.items > 3)
            AND person IN (SELECT person FROM mailing WHERE mailed)",
        reads: "\"customers.person\", \"purchases.person\", \"purchases.items\", \"mailing.person\", \"mailing.mailed\"",
        adds: |data| {
            let bought = data.purchases.iter().any(|row| seen(row, "items") > Some(3));
            (!data.customers.is_empty() && bought && mailed(data)).then(|| vec![1])
        },
    },
    Case {
        name: "NOT EXISTS and NOT IN",
        sql: "SELECT COUNT(DISTINCT customers.person) AS people, COUNT(*) AS a FROM customers
            WHERE NOT EXISTS (SELECT 1 FROM purchases WHERE purchases.person = customers.person AND purchases.items > 3)
            AND person NOT IN (SELECT person FROM mailing WHERE mailed)",
        reads: "\"customers.person\", \"purchases.person\", \"purchases.items\", \"mailing.person\", \"mailing.mailed\"",
        adds: |data| {
            let bought = data.purchases.iter().any(|row| seen(row, "items") > Some(3));
            (!data.customers.is_empty() && !bought && !mailed(data)).then(|| vec![1])
        },
    },
    Case {
        name: "UNION ALL, with the register joined to the whole",
        sql: "SELECT COUNT(DISTINCT customers.person) AS people, SUM(events.n) AS a, COUNT(*) AS b FROM
            (SELECT person, items AS n FROM purchases UNION ALL SELECT person, CASE WHEN mailed THEN 1 ELSE 0 END FROM mailing) events
            JOIN customers ON customers.person = events.person",
        reads: "\"customers.person\", \"purchases.person\", \"purchases.items\", \"mailing.person\", \"mailing.mailed\"",
        adds: |data| {
            let items: i128 = data.purchases.iter().filter_map(|row| seen(row, "items")).sum();
            let mails = data.mailing.iter().filter(|row| row.1 == Some(true)).count() as i128;
            let rows = (data.purchases.len() + data.mailing.len()) as i128;
            (!data.customers.is_empty() && rows > 0).then(|| vec![items + mails, rows])
        },
    },
    Case {
        name: "a condition above an aggregate",
        sql: "SELECT COUNT(DISTINCT person) AS people, SUM(s) AS a, COUNT(*) AS b FROM
            (SELECT person, category, SUM(items) AS s, MIN(day) AS first FROM purchases GROUP BY person, category) t
            WHERE s > 50 AND first > DATE '2024-10-04' AND (category = 'food' OR category IS NULL)",
        reads: "\"purchases.person\", \"purchases.items\", \"purchases.day\", \"purchases.category\"",
        adds: |data| {
            let mut groups: BTreeMap<Option<&str>, (Option<i128>, Option<i128>)> = BTreeMap::new();
            for row in &data.purchases {
                let group = groups.entry(row.category).or_default();
                let more = seen(row, "items");
                group.0 = more.map_or(group.0, |more| Some(group.0.unwrap_or(0) + more));
                group.1 = match (group.1, seen(row, "day")) {
                    (Some(a), Some(b)) => Some(a.min(b)),
                    (a, b) => a.or(b),
                };
            }
            groups.retain(|kind, (s, first)| {
                *s > Some(50) && *first > Some(20_000) && matches!(kind, None | Some("food"))
            });
            let s = groups.values().filter_map(|group| group.0).sum();
            (!groups.is_empty()).then(|| vec![s, groups.len() as i128])
        },
    },
    Case {
        name: "the value of the first row, and a frame of rows",
        sql: "SELECT COUNT(DISTINCT person) AS people, SUM(first) AS a, SUM(two) AS b FROM
            (SELECT person, FIRST_VALUE(points) OVER (PARTITION BY person ORDER BY day DESC) AS first,
                SUM(points) OVER (PARTITION BY person ORDER BY day ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS two FROM purchases) t",
        reads: "\"purchases.person\", \"purchases.points\", \"purchases.day\"",
        adds: |data| {
            let rows = by_day(data);
            // Days falling, those without first; then points rising, those without last.
            let last = |value: Option<i128>| (value.is_none(), value);
            let mut falling = rows.clone();
            falling.sort_by_key(|(day, points)| {
                (day.is_some(), std::cmp::Reverse(*day), last(*points))
            });
            let first = falling.first()?.1.unwrap_or(0);
            let all: i128 = rows.iter().filter_map(|row| row.1).sum();
            let but_last: i128 = rows.iter().rev().skip(1).filter_map(|row| row.1).sum();
            Some(vec![first * rows.len() as i128, all + but_last])
        },
    },
];

fn checked(case: &Case, cap: u64) -> CheckedQuery {
    let measures = ["a", "b", "c", "d"].into_iter();
    let measures = measures.filter(|name| case.sql.contains(&format!(" AS {name}")));
    let bounds: String = measures
        .map(|name| format!(", {name} = [-1000000000, 1000000000]"))
        .collect();
    let rows: Vec<String> = [("purchases", cap), ("mailing", 9)]
        .iter()
        .filter(|(name, _)| case.reads.contains(name))
        .map(|(name, cap)| format!("{name} = {cap}"))
        .collect();
    let settings = [
        ("reads", format!("[{}]", case.reads)),
        ("rows", format!("{{ {} }}", rows.join(", "))),
        ("per_person", format!("{{ groups = 1{bounds} }}")),
    ];
    let settings: Vec<_> = settings.iter().map(|(a, b)| (*a, b.as_str())).collect();
    let bounded = DATASETS.replace(
        "points = { type = \"int\",",
        "points = { type = \"int\", min = -9, max = 9,",
    );
    let agreement = agreement_of(&bounded, case.sql, &settings);
    prove(&agreement, query(&agreement))
        .unwrap_or_else(|refusal| panic!("{}: {refusal}", case.name))
}

fn data() -> impl Strategy<Value = Data> {
    let customers = prop::collection::btree_set(0u8..5, 0..5);
    let mailing = prop::collection::vec((0u8..5, any::<Option<bool>>()), 0..9);
    let purchases = prop::collection::vec(row(), 0..60);
    (customers, mailing, purchases).prop_map(|(customers, mailing, mut purchases)| {
        purchases.iter_mut().for_each(|row| row.person %= 5);
        Data {
            customers: customers.into_iter().collect(),
            mailing,
            purchases,
        }
    })
}

fn sum(parts: impl Iterator<Item = Vec<i128>>, width: usize) -> Vec<i128> {
    parts.fold(vec![0; width], |mut sums, part| {
        for (sum, more) in sums.iter_mut().zip(part) {
            *sum += more;
        }
        sums
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3))]

    #[test]
    fn what_is_made_of_a_persons_rows_is_as_the_oracle_says(
        data in data(),
        partitions in 1u32..4,
        step in 1usize..30,
    ) {
        for case in CASES {
            let source = Pruning::new(data.memory(partitions, step));
            let found = exact(&try_raw(&checked(case, 1_000), source, 3).unwrap());
            let each = (0..9).filter_map(|who| (case.adds)(&data.of(who)));
            let each = each.map(|adds| [vec![1], adds].concat());
            prop_assert_eq!(&found, &sum(each, found.len()), "{}", case.name);
        }
    }

    /// Neighbours: whoever else is there, and however many rows are cut, people add the same.
    /// People are parted anew each time: any two of them stand apart in half of all partings,
    /// and a run of each person alone would cost twice as much.
    #[test]
    fn nobodys_rows_have_part_in_anothers(
        data in data(),
        some in 1u8..31,
        step in 1usize..30,
        cap in 1u64..4,
    ) {
        for case in CASES {
            let checked = checked(case, cap);
            let found = totals(&checked, data.memory(1, step), 3);
            let parts = [some, !some].map(|part| data.of_those(|who| part >> who & 1 == 1));
            let each = parts.iter().map(|part| totals(&checked, part.memory(1, step), 3));
            prop_assert_eq!(&found, &sum(each, found.len()), "{}", case.name);
        }
    }
}

/// Many people with many purchases on one day: the engine sorts all of them at once, and not
/// stably. Who is there must not decide which of a person's rows is the first.
#[test]
fn equal_rows_are_put_in_order_by_themselves() {
    let by_points = |data: &Data| {
        let mut all: Vec<_> = points(data).collect();
        all.sort_unstable();
        Some(vec![all.iter().take(2).sum()])
    };
    let by_days = |data: &Data| {
        let two = by_day(data).into_iter().take(2);
        Some(vec![two.filter_map(|(_, points)| points).sum()])
    };
    let cases: [(_, _, Adds); 2] = [
        (
            "SELECT COUNT(DISTINCT person) AS people, SUM(points) AS a FROM
            (SELECT person, points, ROW_NUMBER() OVER (PARTITION BY person ORDER BY day) AS place FROM purchases) t
            WHERE place <= 2",
            "\"purchases.person\", \"purchases.points\", \"purchases.day\"",
            by_days,
        ),
        (
            "SELECT COUNT(DISTINCT person) AS people, SUM(points) AS a FROM
            (SELECT person, points, ROW_NUMBER() OVER (PARTITION BY person) AS place FROM purchases) t
            WHERE place <= 2",
            "\"purchases.person\", \"purchases.points\"",
            by_points,
        ),
    ];
    for (sql, reads, adds) in cases {
        ties(&Case {
            name: "ties",
            sql,
            reads,
            adds,
        });
    }
}

fn ties(case: &Case) {
    let row = |person: u8, at: i64| Row {
        person,
        day: Some(20_000 + i32::try_from(at * at * 31 % 7 % 3).unwrap()),
        points: Some((at * 7 + i64::from(person)) % 19 - 9),
        ..Row::default()
    };
    let data = Data {
        purchases: (0..9)
            .flat_map(|who| (0..200).map(move |at| row(who, at)))
            .collect(),
        ..Data::default()
    };
    let checked = checked(case, 1_000);
    let all = totals(&checked, data.memory(1, 64), 3);
    let alone = |who| totals(&checked, data.of(who).memory(1, 64), 3);
    assert_eq!(all, sum((0..9).map(alone), 2));
    let each = (0..9).filter_map(|who| (case.adds)(&data.of(who)));
    let each = each.map(|adds| [vec![1], adds].concat());
    assert_eq!(all, sum(each, 2));
}

/// Two readings, one with a condition, of people who have too many rows: a row that is kept
/// without the condition and meets it is kept with it.
#[test]
fn readings_keep_the_same_rows() {
    let case = Case {
        name: "readings",
        sql: "SELECT COUNT(DISTINCT customers.person) AS people,
                SUM(CASE WHEN a.items > 50 THEN 1 ELSE 0 END) AS a, SUM(CASE WHEN b.amount IS NULL THEN 0 ELSE 1 END) AS b
            FROM customers JOIN purchases a ON a.person = customers.person
            LEFT JOIN (SELECT person, amount FROM purchases WHERE items > 50) b
                ON b.person = customers.person AND b.amount = a.amount",
        reads: "\"customers.person\", \"purchases.person\", \"purchases.items\", \"purchases.amount\"",
        adds: |_| None,
    };
    let row = |person: u8, at: u8| Row {
        person,
        amount: Some(at.into()),
        items: Some(i64::from(at) * 37 % 101),
        ..Row::default()
    };
    let data = Data {
        customers: (0..30).collect(),
        purchases: (0..30)
            .flat_map(|who| (0..40).map(move |at| row(who, at)))
            .collect(),
        ..Data::default()
    };
    for step in [7, 64, 10_000] {
        let found = totals(&checked(&case, 5), data.memory(1, step), 3);
        assert_eq!(found[1], found[2], "{step}");
        assert!((20..130).contains(&found[1]), "{found:?}");
    }
}
