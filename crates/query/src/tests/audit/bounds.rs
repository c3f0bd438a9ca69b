//! What two sets of answers prove of a mechanism that is seen from outside alone.
//!
//! An event is chosen on the answers of a pilot, and counted among other ones: the counts of the
//! second half are binomial, however the event was found. Clopper-Pearson gives the least that
//! its probability can be over the one data set, and the most over the neighbour.

/// How often a bound may be wrong: in the pilot nothing hangs on it.
pub(super) const WRONG: f64 = 1e-3;

/// One answer, as numbers; `None` where it holds no such number.
pub(super) type Answer = Vec<Option<i64>>;

/// Answers over a data set, and over its neighbour.
pub(super) struct Samples {
    pub(super) here: Vec<Answer>,
    pub(super) there: Vec<Answer>,
}

impl Samples {
    /// The first part, on which the event is chosen, and the rest, on which it is counted.
    fn split(self, pilot: usize) -> (Self, Self) {
        let (mut first, mut rest) = (self.here, self.there);
        let (here, there) = (first.split_off(pilot), rest.split_off(pilot));
        let pilot = Self {
            here: first,
            there: rest,
        };
        (pilot, Self { here, there })
    }
}

/// What a mechanism is said to keep to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Claim {
    /// The probability of any event is at most `e^epsilon` times the neighbour's.
    Pure { epsilon: f64 },
    /// Rho of zCDP, save with a probability of `delta0` (of thresholds).
    Zcdp { rho: f64, delta0: f64 },
}

impl Claim {
    /// The number that is claimed.
    pub(super) fn said(self) -> f64 {
        match self {
            Self::Pure { epsilon } => epsilon,
            Self::Zcdp { rho, .. } => rho,
        }
    }

    /// What it is a number of.
    pub(super) fn unit(self) -> &'static str {
        match self {
            Self::Pure { .. } => "epsilon",
            Self::Zcdp { .. } => "rho",
        }
    }

    /// The least that it can be, if an event has at least the probability `p` here and at most
    /// `q` there.
    fn least(self, p: f64, q: f64) -> f64 {
        match self {
            Self::Pure { .. } => (p / q).ln().max(0.0),
            Self::Zcdp { delta0, .. } => zcdp(p - delta0, q),
        }
    }
}

/// The least rho under which `p` and `q` are possible: looking whether the event happened makes
/// no divergence larger, so none of the two outcomes' exceeds the order times rho.
fn zcdp(p: f64, q: f64) -> f64 {
    if p <= q {
        return 0.0;
    }
    let order = |a: f64| {
        let part = |p: f64, q: f64| match p > 0.0 {
            true => (a * p.ln() + (1.0 - a) * q.ln()).exp(),
            false => 0.0,
        };
        (part(p, q) + part(1.0 - p, 1.0 - q)).ln() / (a - 1.0) / a
    };
    let orders = (1..400).map(|step| 1.0 + 0.05 * f64::from(step));
    orders.map(order).fold(0.0, f64::max)
}

/// The least probability that explains so many of `n`.
fn at_least(seen: usize, n: usize) -> f64 {
    match seen {
        0 => 0.0,
        _ => quantile(WRONG / 2.0, seen as f64, (n - seen + 1) as f64),
    }
}

/// The largest probability that explains so many of `n`.
fn at_most(seen: usize, n: usize) -> f64 {
    match seen == n {
        true => 1.0,
        false => quantile(1.0 - WRONG / 2.0, (seen + 1) as f64, (n - seen) as f64),
    }
}

/// The quantile of the beta distribution: where its distribution function comes to `at`.
fn quantile(at: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if beta(middle, a, b) < at {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// The distribution function of the beta distribution, by its continued fraction.
fn beta(x: f64, a: f64, b: f64) -> f64 {
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - beta(1.0 - x, b, a);
    }
    let whole = libm::lgamma(a + b) - libm::lgamma(a) - libm::lgamma(b);
    let front = (whole + a * x.ln() + b * (1.0 - x).ln()).exp() / a;
    // From the inside out; at these counts far fewer steps suffice.
    let step = |inner: f64, m: f64| {
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        1.0 + even / (1.0 + odd / inner)
    };
    let inner = (1..200).rev().map(f64::from).fold(1.0, step);
    front / (1.0 - (a + b) * x / (a + 1.0) / inner)
}

/// Something that an answer shows or does not.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// The number is there.
    There(usize),
    /// A weighted sum of numbers is as large or larger.
    Above(Vec<f64>, f64),
    /// The number's lowest bits.
    Residue(usize, i64, i64),
    /// The opposite.
    Not(Box<Event>),
    /// Both.
    Both(Box<Event>, Box<Event>),
}

impl Event {
    fn holds(&self, answer: &Answer) -> bool {
        match self {
            Self::There(at) => answer[*at].is_some(),
            Self::Above(weights, least) => weighed(weights, answer) >= *least,
            Self::Residue(at, of, rest) => {
                answer[*at].is_some_and(|value| value.rem_euclid(*of) == *rest)
            }
            Self::Not(event) => !event.holds(answer),
            Self::Both(one, other) => one.holds(answer) && other.holds(answer),
        }
    }

    fn count(&self, answers: &[Answer]) -> usize {
        answers.iter().filter(|answer| self.holds(answer)).count()
    }

    /// What the event proves of a claim, and which way round.
    fn proves(&self, claim: Claim, samples: &Samples) -> f64 {
        let (here, there) = (self.count(&samples.here), self.count(&samples.there));
        let (n, m) = (samples.here.len(), samples.there.len());
        let ways = [
            (at_least(here, n), at_most(there, m)),
            (at_least(there, m), at_most(here, n)),
        ];
        ways.map(|(p, q)| claim.least(p, q))
            .into_iter()
            .fold(0.0, f64::max)
    }
}

fn weighed(weights: &[f64], answer: &Answer) -> f64 {
    let both = weights.iter().zip(answer);
    both.map(|(weight, value)| weight * value.unwrap_or(0) as f64)
        .sum()
}

/// The events that are tried on the pilot: presence, thresholds of every number and of the sum
/// that tells the two apart best, and the lowest three bits.
fn events(pilot: &Samples) -> Vec<Event> {
    let width = pilot.here[0].len();
    let alone = |at: usize| {
        let mut weights = vec![0.0; width];
        weights[at] = 1.0;
        weights
    };
    let sums = (0..width).map(alone).chain([apart(pilot)]);
    let above = sums.flat_map(|weights| {
        let all = pilot.here.iter().chain(&pilot.there);
        let mut all: Vec<f64> = all.map(|answer| weighed(&weights, answer)).collect();
        all.sort_by(f64::total_cmp);
        let places = (1..40).map(|part| all[(all.len() - 1) * part / 40]);
        let events = places.map(|least| Event::Above(weights.clone(), least));
        events.collect::<Vec<_>>()
    });
    let bits = (0..width).flat_map(|at| {
        let all = [2, 4, 8].into_iter();
        all.flat_map(move |of| (0..of).map(move |rest| Event::Residue(at, of, rest)))
    });
    let events = (0..width).map(Event::There).chain(above).chain(bits);
    events
        .flat_map(|event| [event.clone(), Event::Not(Box::new(event))])
        .collect()
}

/// Each number by how far its means lie apart, in its variances.
fn apart(pilot: &Samples) -> Vec<f64> {
    let moments = |answers: &[Answer], at: usize| {
        let values = answers.iter().filter_map(|answer| answer[at]);
        let values: Vec<f64> = values.map(|value| value as f64).collect();
        let n = values.len().max(1) as f64;
        let mean = values.iter().sum::<f64>() / n;
        let square = values.iter().map(|value| (value - mean).powi(2));
        (mean, square.sum::<f64>() / n)
    };
    let weight = |at| {
        let (a, b) = (moments(&pilot.here, at), moments(&pilot.there, at));
        (a.0 - b.0) / (a.1 + b.1 + 1e-9)
    };
    (0..pilot.here[0].len()).map(weight).collect()
}

/// What was found out about a mechanism.
#[derive(Debug)]
pub(super) struct Found {
    /// Its loss is at least this, unless one in a thousand such audits errs.
    pub(super) least: f64,
    /// By this event.
    pub(super) event: Event,
}

/// How many events are tried together with each other.
const TOGETHER: usize = 24;

/// Chooses on the first `pilot` answers of each, and counts among the rest.
pub(super) fn audit(claim: Claim, samples: Samples, pilot: usize) -> Found {
    let (pilot, rest) = samples.split(pilot);
    let tried = |event: Event| (event.proves(claim, &pilot), event);
    let mut alone: Vec<_> = events(&pilot).into_iter().map(tried).collect();
    alone.sort_by(|a, b| b.0.total_cmp(&a.0));
    let best = || alone.iter().take(TOGETHER).map(|(_, event)| event);
    let both = best().flat_map(|one| {
        best().map(|other| Event::Both(Box::new(one.clone()), Box::new(other.clone())))
    });
    let together: Vec<_> = both.map(tried).collect();
    let all = alone.iter().chain(&together);
    let best = all.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap().1.clone();
    Found {
        least: best.proves(claim, &rest),
        event: best,
    }
}

/// By the definition: under the bound, so many or more are seen this seldom.
#[test]
fn bounds_are_those_of_clopper_and_pearson() {
    let pmf = |n: usize, p: f64, k: usize| {
        let ways: f64 = (0..k).map(|i| ((n - i) as f64 / (i + 1) as f64).ln()).sum();
        (ways + k as f64 * p.ln() + (n - k) as f64 * (1.0 - p).ln()).exp()
    };
    for (seen, n) in [(1, 10), (5, 10), (20, 400), (399, 400)] {
        let (low, high) = (at_least(seen, n), at_most(seen, n));
        let above: f64 = (seen..=n).map(|k| pmf(n, low, k)).sum();
        let below: f64 = (0..=seen).map(|k| pmf(n, high, k)).sum();
        for tail in [above, below] {
            assert!(
                (tail / (WRONG / 2.0) - 1.0).abs() < 1e-4,
                "{seen} {n} {tail}"
            );
        }
    }
    assert_eq!((at_least(0, 9), at_most(9, 9)), (0.0, 1.0));
}

/// Two coins of known loss: what events prove of them is below it, and close.
#[test]
fn what_events_prove_is_below_the_truth() {
    let pure = Claim::Pure { epsilon: 1.0 };
    assert!((pure.least(0.5, 0.5 / 1f64.exp()) - 1.0).abs() < 1e-12);
    // Gaussians a deviation apart, of rho one half: their halves.
    let p = 0.691_462_461_274_013;
    let found = zcdp(p, 1.0 - p);
    assert!((0.2..0.5).contains(&found), "{found}");
    assert_eq!(zcdp(0.3, 0.3), 0.0);
    // Randomized response of epsilon one is of rho tanh(1/2)/2 at least, and one half at most.
    let p = 1f64.exp() / (1.0 + 1f64.exp());
    let found = zcdp(p, 1.0 - p);
    assert!((0.231..0.5).contains(&found), "{found}");
}

/// Wide noise that leaves the lowest bit alone, which is what noise of floats does.
#[test]
fn a_low_bit_without_noise_is_found() {
    let answers = |bit: i64| (0..300).map(move |n| vec![Some(n * 7_919 % 1_000_003 * 2 + bit)]);
    let audit = |bit| {
        let samples = Samples {
            here: answers(0).collect(),
            there: answers(bit).collect(),
        };
        super::bounds::audit(Claim::Pure { epsilon: 1.0 }, samples, 100)
    };
    assert!(audit(1).least > 3.0);
    assert_eq!(audit(2).least, 0.0);
}
