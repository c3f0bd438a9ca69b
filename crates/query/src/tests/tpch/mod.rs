//! Errors of the answered queries of TPC-H, over made rows: what noise and clamps do to each
//! aggregate, beside the same without either.

mod made;

use super::fit::{Base, examples, fitted};
use super::*;
use crate::check::check;
use crate::measure::{Function, Made};

/// What one person can add, of those queries whose groups are of several people each: the
/// groups a person, bounds of the aggregates, and parameters. Of a person 30 orders count, and
/// 150 lines.
struct Asked {
    number: u32,
    keys: &'static [&'static str],
    groups: u32,
    bounds: &'static [(&'static str, Bound)],
}

#[derive(Clone, Copy)]
enum Bound {
    /// What a person adds.
    Adds(i64, i64),
    /// Of each value, for an average of so many a person.
    Each(&'static str, i64),
}
use Bound::{Adds, Each};

const ASKED: [Asked; 13] = [
    Asked {
        number: 1,
        keys: &["l_returnflag", "l_linestatus"],
        groups: 4,
        bounds: &[
            ("sum_qty", Adds(0, 1000)),
            ("sum_base_price", Adds(0, 1_500_000)),
            ("sum_disc_price", Adds(0, 1_400_000)),
            ("sum_charge", Adds(0, 1_500_000)),
            ("avg_qty", Each("0, 50", 40)),
            ("avg_price", Each("0, 100000", 40)),
            ("avg_disc", Each("0, 0.1", 40)),
            ("count_order", Adds(0, 40)),
        ],
    },
    Asked {
        number: 4,
        keys: &["o_orderpriority"],
        groups: 2,
        bounds: &[("order_count", Adds(0, 2))],
    },
    Asked {
        number: 5,
        keys: &["n_name"],
        groups: 1,
        bounds: &[("revenue", Adds(0, 80_000))],
    },
    Asked {
        number: 6,
        keys: &[],
        groups: 1,
        bounds: &[("revenue", Adds(0, 3000))],
    },
    Asked {
        number: 7,
        keys: &["supp_nation", "cust_nation", "l_year"],
        groups: 2,
        bounds: &[("revenue", Adds(0, 100_000))],
    },
    Asked {
        number: 8,
        keys: &["o_year"],
        groups: 2,
        bounds: &[("brazil", Adds(0, 60_000)), ("volume", Adds(0, 60_000))],
    },
    Asked {
        number: 9,
        keys: &["nation", "o_year"],
        groups: 3,
        bounds: &[("sum_profit", Adds(-10_000, 50_000))],
    },
    Asked {
        number: 12,
        keys: &["l_shipmode"],
        groups: 2,
        bounds: &[
            ("high_line_count", Adds(0, 1)),
            ("low_line_count", Adds(0, 2)),
        ],
    },
    Asked {
        number: 13,
        keys: &["c_count"],
        groups: 1,
        bounds: &[],
    },
    Asked {
        number: 14,
        keys: &[],
        groups: 1,
        bounds: &[("revenue", Adds(0, 120_000)), ("promo", Adds(0, 60_000))],
    },
    Asked {
        number: 18,
        keys: &[],
        groups: 1,
        bounds: &[("quantity", Adds(0, 400))],
    },
    Asked {
        number: 19,
        keys: &[],
        groups: 1,
        bounds: &[("revenue", Adds(0, 60_000))],
    },
    Asked {
        number: 22,
        keys: &["cntrycode"],
        groups: 1,
        bounds: &[("totacctbal", Adds(0, 10_000))],
    },
];

/// How many rows of a person count, or there are at all.
fn most(table: &str) -> u64 {
    match table {
        "customer" => 1,
        "orders" => 30,
        "lineitem" => 150,
        "nation" => 25,
        "region" => 5,
        _ => 1_000_000,
    }
}

/// As many as anybody has.
fn all(table: &str) -> u64 {
    most(table) * 20
}

/// The page's SQL with its bounds; without any that matter where it is to be exact.
fn settled(sql: &str, asked: &Asked, exact: bool) -> String {
    let groups = match exact && !asked.keys.is_empty() {
        true => 500,
        false => asked.groups,
    };
    let keys = asked
        .keys
        .iter()
        .map(|key| format!("{key} = \"discovered\""));
    let keys = match keys.collect::<Vec<_>>().join(", ") {
        none if none.is_empty() => none,
        some => format!("-- with groups = {{ {some} }}\n"),
    };
    let bound = |(name, bound): &(&str, Bound)| match (*bound, exact) {
        (Adds(low, high), false) => format!(", {name} = [{low}, {high}]"),
        (Adds(..), true) => format!(", {name} = [-1000000000, 1000000000]"),
        (Each(ends, rows), false) => {
            format!(", {name} = {{ value = [{ends}], rows = {rows} }}")
        }
        (Each(..), true) => format!(", {name} = {{ value = [0, 1000000], rows = 2000 }}"),
    };
    let bounds: String = asked.bounds.iter().map(bound).collect();
    format!("{keys}-- with per_person = {{ groups = {groups}{bounds} }}\n{sql}")
}

/// The number that an aggregate is, from its measures.
fn number(made: &Made, values: &[i128]) -> f64 {
    let scale = 10f64.powi(made.scale.into());
    match (made.function, made.each, &values[made.first..]) {
        (Function::Average, Some(each), [count, sum, ..]) => {
            (each.centre as f64 + *sum as f64 / *count as f64) / scale
        }
        (_, _, [value, ..]) => *value as f64 / scale,
        _ => f64::NAN,
    }
}

/// An aggregate's errors over the groups that are listed, relative to the exact number.
struct Errors {
    aggregate: String,
    listed: usize,
    groups: usize,
    observed: f64,
    noise: f64,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn errors(base: &Base<'_>, sql: &str, asked: &Asked, tables: &Arc<Memory>) -> Vec<Errors> {
    let checked = |exact| {
        let base = Base {
            most: if exact { all } else { most },
            ..*base
        };
        let agreement = fitted(&base, &settled(sql, asked, exact));
        let agreement = agreement.unwrap_or_else(|why| panic!("Q{}: {why}", asked.number));
        let query = query(&agreement);
        let params = match query.params.is_empty() {
            true => Params::default(),
            false => {
                let average = incamera_types::Decimal::new(500_000, 2).unwrap();
                params(&[("average", incamera_types::Value::Decimal(average))])
            }
        };
        check(&agreement, query, &params).unwrap()
    };
    let (bounded, whole) = (checked(false), checked(true));
    let exact = try_raw(&whole, tables.clone(), 1).unwrap();
    let clamped = try_raw(&bounded, tables.clone(), 1).unwrap();
    let inside: BTreeMap<_, Vec<i128>> = clamped
        .totals
        .iter()
        .map(|(key, total)| {
            (
                key.clone(),
                (0..bounded.measures.len()).map(|at| total.of(at)).collect(),
            )
        })
        .collect();
    let released = answer(clamped, 1);
    let listed: Vec<_> = released
        .groups
        .iter()
        .filter(|group| !group.withheld)
        .collect();
    let places = 0..bounded.made.len();
    let one = |at: usize| {
        let (made, of_whole) = (&bounded.made[at], &whole.made[at]);
        let each = listed.iter().filter_map(|group| {
            let total = exact.totals.get(&group.key)?;
            let all: Vec<i128> = (0..whole.measures.len()).map(|at| total.of(at)).collect();
            let truth = number(of_whole, &all);
            let noisy: Vec<i128> = group.values.iter().map(|value| (*value).into()).collect();
            let without = inside
                .get(&group.key)
                .map_or(truth, |values| number(made, values));
            let noisy = number(made, &noisy);
            Some((
                ((noisy - truth) / truth).abs(),
                ((noisy - without) / truth).abs(),
            ))
        });
        let (observed, noise): (Vec<_>, Vec<_>) = each.unzip();
        Errors {
            aggregate: made.name.clone(),
            listed: listed.len(),
            groups: exact.totals.iter().count(),
            observed: median(observed),
            noise: median(noise),
        }
    };
    places.map(one).collect()
}

fn percent(part: f64) -> String {
    match part.is_nan() {
        true => "-".to_owned(),
        false => format!("{:.1} %", 100.0 * part),
    }
}

/// Prints the page's table. `TPCH_SCALE` is the scale factor, a hundredth where it is not set.
#[test]
fn answers_of_tpch_have_the_errors_that_the_page_tells() {
    let scale = std::env::var("TPCH_SCALE").map_or(0.01, |scale| scale.parse().unwrap());
    let (head, _) = DATASETS.split_once("[datasets.customers]").unwrap();
    let head = head.replace("people = 100_000", "people = 150_000");
    let text = format!("{head}{}", include_str!("../tpch.toml"));
    let base = Base {
        text: &text,
        registers: &[],
        public: &["part", "supplier", "partsupp", "nation", "region"],
        most,
        first: "lineitem.person",
    };
    let page = include_str!("../../../../../docs/tpch.md");
    let tables = Arc::new(made::tables(scale));
    println!(
        "| query | aggregate | groups listed | off by | of that noise |\n|---|---|---|---|---|"
    );
    for asked in &ASKED {
        let (_, after) = page
            .split_once(&format!("\n## Q{} ", asked.number))
            .unwrap();
        let checked = examples(after)
            .into_iter()
            .find(|(_, _, said)| said == "checked");
        let found = errors(&base, &checked.unwrap().1, asked, &tables);
        for one in &found {
            println!(
                "| Q{} | `{}` | {} of {} | {} | {} |",
                asked.number,
                one.aggregate,
                one.listed,
                one.groups,
                percent(one.observed),
                percent(one.noise)
            );
        }
        let people = found.iter().find(|one| one.aggregate == "people");
        if let Some(people) = people.filter(|one| asked.number == 1 && one.listed > 0) {
            // Some thousand people, and noise of some tens.
            assert!(people.observed < 0.1, "{}", people.observed);
        }
    }
}
