//! What is audited: each mechanism, with the neighbours that it has most to hide from. And how
//! mechanisms are broken, by parameters of what a check has made: no agreement can ask for it.

use incamera_dp::quantile::Method;
use incamera_dp::{Quantile, Quantiles, Threshold};

use super::*;
use crate::measure::Draw;
use crate::prove;

pub(super) struct Case {
    pub(super) name: &'static str,
    /// Aggregates after the count of people.
    aggregates: &'static str,
    /// Columns that they read, besides person and category.
    reads: &'static [&'static str],
    settings: &'static [(&'static str, &'static str)],
    /// Whether the agreement names the groups.
    declared: bool,
    /// Rows of the other people of a pair's group, `a` or `b`: values of each.
    crowd: fn(&str) -> Vec<Value>,
    /// Rows of the person of a pair, each in the first or the second group.
    here: &'static [Own],
    there: &'static [Own],
    /// The part of the claim that the audit must at least find to count as one.
    pub(super) power: f64,
    pub(super) quick: Size,
}

/// A purchase: amount, items, points.
type Value = (&'static str, u32, u32);
/// Which group, what, how often.
type Own = (&'static str, Value, u32);

/// How a mechanism is broken.
pub(super) type Broken = fn(&mut CheckedQuery);

const SOME: Size = Size {
    pairs: 16,
    runs: 120,
};

/// Fifteen people with the same, so that a group is seldom withheld.
fn alike(_: &str) -> Vec<Value> {
    vec![("3.00", 1, 1); 15]
}

/// The rest of the people around whose 95th percentile somebody with two values at the end of
/// the domain decides most.
///
/// 36 values stand at the one end and two in between. Without the person all below those two are
/// a tenth of a rank away and all above 1.9; with the person it is 2.0 and 0: each changes by
/// 0.95 of the two ranks that two values can, one side towards and one away from what is wanted.
/// So the odds of the two sides change by `e^(0.95 epsilon)`. The two in between stand where the
/// side that is far off has four times as many numbers: a draw that falls there is rare, and
/// tells most.
fn around_the_percentile(side: &str) -> Vec<Value> {
    let between = if side == "a" { 800 } else { 200 };
    let values = [(36, 0), (2, between)];
    let values = values.map(|(people, points)| vec![("3.00", 1, points); people]);
    values.concat()
}

pub(super) const CASES: &[Case] = &[
    Case {
        name: "count",
        aggregates: "",
        reads: &[],
        settings: &[
            ("per_person", "{ groups = 1 }"),
            ("epsilon", "2.0"),
            ("delta", "0"),
        ],
        declared: true,
        crowd: alike,
        here: &[("a", ("3.00", 1, 1), 1)],
        there: &[("b", ("3.00", 1, 1), 1)],
        power: 0.5,
        quick: SOME,
    },
    Case {
        name: "sum",
        aggregates: ", SUM(amount) AS spend",
        reads: &["amount"],
        settings: &[
            ("per_person", "{ groups = 1, spend = [0, 10] }"),
            ("weights", "{ people = 1, spend = 4 }"),
            ("epsilon", "8.0"),
            ("delta", "1e-6"),
        ],
        declared: true,
        crowd: alike,
        here: &[("a", ("500.00", 1, 1), 1)],
        there: &[("b", ("500.00", 1, 1), 1)],
        power: 0.3,
        quick: SOME,
    },
    Case {
        name: "average",
        aggregates: ", AVG(amount) AS mean, VAR_POP(amount) AS spread",
        reads: &["amount"],
        settings: &[
            (
                "per_person",
                "{ groups = 1, mean = { value = [0, 500], rows = 2 }, spread = { value = [0, 500], rows = 2 } }",
            ),
            ("epsilon", "8.0"),
            ("delta", "1e-6"),
        ],
        declared: true,
        crowd: alike,
        here: &[("a", ("500.00", 1, 1), 2)],
        there: &[("b", ("0.00", 1, 1), 2)],
        power: 0.2,
        quick: SOME,
    },
    // Two values at the upper end, in the one group or in the other: each has its own draw, of
    // half the share. MEDIAN, MIN and MAX are draws of the same kind, with other shares below.
    Case {
        name: "quantile",
        aggregates: ", APPROX_PERCENTILE_CONT(points, 0.95) AS upper",
        reads: &["points"],
        settings: &[
            (
                "per_person",
                "{ groups = 1, upper = { value = [0, 1000], rows = 2 } }",
            ),
            ("weights", "{ people = 1, upper = 19 }"),
            ("epsilon", "3.0"),
            ("delta", "0"),
        ],
        declared: true,
        crowd: around_the_percentile,
        here: &[("a", ("3.00", 1, 1000), 2)],
        there: &[("b", ("3.00", 1, 1000), 2)],
        power: 0.4,
        quick: Size {
            pairs: 80,
            runs: 120,
        },
    },
    Case {
        name: "different values",
        aggregates: ", COUNT(DISTINCT points) AS kinds",
        reads: &["points"],
        settings: &[
            ("per_person", "{ groups = 1, kinds = { distinct = 1 } }"),
            ("weights", "{ people = 1, kinds = 4 }"),
            ("epsilon", "3.0"),
            ("delta", "0"),
        ],
        declared: true,
        crowd: alike,
        here: &[("a", ("3.00", 1, 7), 1)],
        there: &[("b", ("3.00", 1, 7), 1)],
        power: 0.3,
        quick: SOME,
    },
    Case {
        name: "many rows",
        aggregates: ", COUNT(*) AS n",
        reads: &[],
        settings: &[
            ("per_person", "{ groups = 1, n = [0, 2] }"),
            ("weights", "{ people = 1, n = 9 }"),
            ("epsilon", "2.0"),
            ("delta", "0"),
        ],
        declared: true,
        crowd: alike,
        here: &[("a", ("3.00", 1, 1), 40)],
        there: &[("b", ("3.00", 1, 1), 40)],
        power: 0.3,
        quick: SOME,
    },
    Case {
        name: "many groups",
        aggregates: ", COUNT(*) AS n",
        reads: &[],
        settings: &[
            ("per_person", "{ groups = 1, n = [0, 2] }"),
            ("rows", "{ purchases = 40 }"),
            ("epsilon", "4.0"),
            ("delta", "0"),
        ],
        declared: true,
        crowd: alike,
        here: &[("a", ("3.00", 1, 1), 9), ("b", ("3.00", 1, 1), 9)],
        there: &[],
        power: 0.01,
        quick: SOME,
    },
    // Somebody alone in a group: whether it is listed. Of such a delta that it shows in some
    // thousand answers by how much one less would be too few.
    Case {
        name: "discovered",
        aggregates: "",
        reads: &[],
        settings: &[
            ("per_person", "{ groups = 1 }"),
            ("epsilon", "0.1"),
            ("delta", "0.44"),
        ],
        declared: false,
        crowd: |_| Vec::new(),
        here: &[("a", ("3.00", 1, 1), 1)],
        there: &[("b", ("3.00", 1, 1), 1)],
        power: 0.0,
        quick: Size {
            pairs: 128,
            runs: 200,
        },
    },
];

pub(super) const BROKEN: &[(&str, Broken)] = &[
    ("half the noise", |checked| {
        for measure in &mut checked.measures {
            if let Draw::Added(noise) = &mut measure.draw {
                *noise = halved(noise);
            }
        }
    }),
    ("no clamp", |checked| {
        let spend = checked.measures.iter_mut();
        let mut spend = spend.filter(|measure| measure.name == "spend");
        spend.next().unwrap().high = i128::from(i64::MAX);
    }),
    ("twice the epsilon", |checked| {
        for measure in &mut checked.measures {
            if let Draw::Quantile { plan, per_mille } = &mut measure.draw {
                let wanted = vec![Quantile::new(*per_mille, 1000).unwrap()];
                let each = measure.each.unwrap();
                let rows = each.rows.try_into().unwrap();
                let question = Quantiles::new(measure.low, measure.high, rows, wanted).unwrap();
                let Method::Exponential { epsilon } = plan.method() else {
                    panic!("another method")
                };
                // Rho is the eighth of a square.
                let twice = u128::from(2 * epsilon.units());
                let rho = Rho::from_units((twice * twice / 8).try_into().unwrap());
                *plan = question.exponential(rho).unwrap();
            }
        }
    }),
    ("threshold off by one", |checked| {
        let right = checked.threshold.take().unwrap();
        let noise = checked.measures[0].noise().unwrap();
        // As if a person alone added nothing.
        let wrong = Threshold::smallest(noise, 1, 0, checked.loss.delta0).unwrap();
        assert_eq!(wrong.tau() + 1, right.tau());
        checked.threshold = Some(wrong);
    }),
];

/// Noise of half the size.
fn halved(noise: &incamera_dp::Noise) -> incamera_dp::Noise {
    use incamera_dp::{Noise, Ratio};
    let over = |ratio: &Ratio, by: u32| {
        Ratio::new(ratio.numerator().clone(), ratio.denominator() * by).unwrap()
    };
    match noise {
        Noise::Laplace { scale } => Noise::Laplace {
            scale: over(scale, 2),
        },
        Noise::Gaussian { sigma2 } => Noise::Gaussian {
            sigma2: over(sigma2, 4),
        },
    }
}

impl Case {
    pub(super) fn agreement(&self, pairs: usize) -> Agreement {
        let base = DATASETS
            .replace("consent = { type = \"purposes\" }\n", "")
            .replace("max_runs = 12", "max_runs = 12\npartitions = 1");
        let sql = format!(
            "SELECT category AS category, COUNT(DISTINCT person) AS people{} FROM purchases GROUP BY category",
            self.aggregates
        );
        let columns = ["person", "category"].iter().chain(self.reads);
        let reads: Vec<_> = columns
            .map(|name| format!("\"purchases.{name}\""))
            .collect();
        let reads = format!("[{}]", reads.join(", "));
        let keys = (0..pairs).flat_map(|pair| [format!("\"a{pair}\""), format!("\"b{pair}\"")]);
        let keys = match self.declared {
            true => format!("[{}]", keys.collect::<Vec<_>>().join(", ")),
            false => "\"discovered\"".to_owned(),
        };
        let groups = format!("{{ category = {keys} }}");
        let mut settings = vec![
            ("reads", reads.as_str()),
            ("groups", groups.as_str()),
            ("rows", "{ purchases = 2 }"),
        ];
        settings.extend(self.settings);
        agreement_of(&base, &sql, &settings)
    }

    /// Lines of purchases: each group's crowd, and the person of each pair.
    pub(super) fn rows(&self, here: bool, pairs: usize) -> Vec<String> {
        let line = |who: String, (amount, items, points): Value, category: String| {
            format!("{who}@x.example,2026-03-01,{amount},{items},{points},{category},")
        };
        let own = if here { self.here } else { self.there };
        let mut lines = Vec::new();
        for pair in 0..pairs {
            for side in ["a", "b"] {
                let crowd = (self.crowd)(side).into_iter().enumerate();
                lines.extend(crowd.map(|(n, value)| {
                    line(format!("{side}{pair}n{n}"), value, format!("{side}{pair}"))
                }));
            }
            for (side, value, times) in own {
                let one = line(format!("x{pair}"), *value, format!("{side}{pair}"));
                lines.extend(std::iter::repeat_n(one, *times as usize));
            }
        }
        lines
    }

    pub(super) fn delta(&self) -> Delta {
        let agreement = self.agreement(1);
        query(&agreement).delta
    }

    /// What the agreement charges.
    pub(super) fn claim(&self) -> Claim {
        let agreement = self.agreement(1);
        let query = query(&agreement);
        if query.delta == Delta::ZERO {
            let epsilon = query.epsilon.to_f64();
            return Claim::Pure { epsilon };
        }
        let loss = prove(&agreement, query).unwrap().loss();
        Claim::Zcdp {
            rho: loss.rho.to_f64(),
            delta0: loss.delta0.to_f64(),
        }
    }
}
