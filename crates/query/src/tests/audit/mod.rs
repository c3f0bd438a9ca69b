//! A black-box audit: neighbouring data sets, from sealed parts to the released answer, many
//! times with fresh seeds. What the answers prove of the loss stays below what is charged; and
//! of mechanisms that are broken on purpose it does not.
//!
//! # Many audits in one answer
//! A data set holds pairs of groups, `a0 b0 a1 b1 ...`, and in each pair one person who is in
//! one of the two data sets and not in the other, or has other rows there. Nobody else's rows
//! or noise has part in a pair's numbers, so that those of one pair are answers to a question
//! about neighbours, and one run over sealed parts gives as many of them as there are pairs. The
//! long audit makes no use of that: one pair, and as many runs as answers.

mod bounds;
mod cases;

use std::time::Instant;

use incamera_dp::epsilon_of;
use incamera_seal::SignedManifest;
use incamera_types::{Delta, Rho};
use incamera_wire::v1 as wire;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use self::bounds::{Answer, Claim, Found, Samples};
use self::cases::{BROKEN, Broken, CASES, Case};
use super::sealed::{Made, Room};
use super::*;
use crate::{RoomData, compute, release};

/// How much is asked.
#[derive(Clone, Copy)]
struct Size {
    /// Pairs of groups in an answer.
    pairs: usize,
    /// Answers over each data set; the first third chooses the event.
    runs: usize,
}

/// A sealed data set, its query, and the ring of its keys.
struct Subject {
    room: Room,
    checked: CheckedQuery,
    data: RoomData,
    manifests: BTreeMap<DatasetName, SignedManifest>,
    pairs: usize,
}

impl Subject {
    fn new(case: &Case, side: bool, pairs: usize) -> Self {
        let room = Room::new(Made {
            agreement: case.agreement(pairs),
            params: Params::default(),
            purchases: Some(case.rows(side, pairs)),
            ..Made::default()
        });
        Self {
            data: room.data(),
            manifests: room.manifests(),
            checked: room.checked(),
            room,
            pairs,
        }
    }

    /// The numbers of each pair in an answer with the noise of a key: as a room computes it,
    /// with keys unwrapped for it.
    async fn answers(&self, noise: NoiseKey) -> Vec<Answer> {
        let loss = self.checked.loss();
        let (checked, manifests) = (&self.checked, &self.manifests);
        let grants = self.room.grants_of(checked, manifests, loss, noise);
        let limits = Limits {
            threads: 1,
            ..Limits::default()
        };
        let raw = compute(checked, &self.data, &grants, &limits).await;
        let answer = release(raw.unwrap(), &grants).unwrap().answer();
        let pairs = 0..self.pairs;
        pairs.map(|pair| numbers(&answer, pair)).collect()
    }
}

/// The numbers of a pair of groups.
fn numbers(answer: &wire::Answer, pair: usize) -> Answer {
    let of = |key: String| {
        let mut groups = answer.groups.iter();
        let group = groups.find(|group| group.key == [key.as_str()]);
        let value = move |at| group.and_then(|group| group.values.get(at)).copied();
        (0..answer.measures.len()).map(value)
    };
    ["a", "b"]
        .into_iter()
        .flat_map(|side| of(format!("{side}{pair}")))
        .collect()
}

/// Answers over each of the two data sets.
fn samples(case: &Case, broken: Option<Broken>, size: Size, rng: &mut StdRng) -> Samples {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .build()
        .unwrap();
    let [here, there] = [true, false].map(|side| {
        let mut subject = Subject::new(case, side, size.pairs);
        if let Some(broken) = broken {
            broken(&mut subject.checked);
        }
        let run = |_| runtime.block_on(subject.answers(NoiseKey::from_bytes(rng.random())));
        (0..size.runs).flat_map(run).collect()
    });
    Samples { here, there }
}

/// What is claimed of a case, and what its answers prove.
fn audited(case: &Case, broken: Option<Broken>, size: Size, rng: &mut StdRng) -> (Claim, Found) {
    let claim = case.claim();
    let samples = samples(case, broken, size, rng);
    let pilot = size.runs / 3 * size.pairs;
    (claim, bounds::audit(claim, samples, pilot))
}

/// As a person reads it, in epsilon.
fn told(name: &str, case: &Case, claim: Claim, found: &Found) -> String {
    let (said, least) = (claim.said(), found.least);
    let epsilon = |rho: f64| match claim {
        Claim::Pure { .. } => rho,
        Claim::Zcdp { .. } => {
            let units = (rho * Rho::UNITS_PER_ONE as f64) as u64;
            epsilon_of(Rho::from_units(units), case.delta()).to_f64()
        }
    };
    format!(
        "{name}: {} {said:.3} claimed, at least {least:.3} found; epsilon {:.2} and {:.2}; by {:.2?}",
        claim.unit(),
        epsilon(said),
        epsilon(least),
        found.event
    )
}

fn case(name: &str) -> &'static Case {
    CASES.iter().find(|case| case.name == name).unwrap()
}

/// How a mechanism is broken.
fn breaks(name: &str) -> Broken {
    BROKEN.iter().find(|(broken, _)| *broken == name).unwrap().1
}

/// The mechanism as it is: nothing beyond the claim.
fn holds(name: &str) {
    let case = case(name);
    let (claim, found) = audited(case, None, case.quick, &mut StdRng::seed_from_u64(1));
    println!("{}", told(name, case, claim, &found));
    assert!(found.least <= claim.said(), "{found:?}");
    // An audit that finds nothing has not looked.
    assert!(found.least >= case.power * claim.said(), "{found:?}");
}

/// A broken one: more than the claim.
fn caught(name: &str, of: &str) {
    let case = case(of);
    let mut rng = StdRng::seed_from_u64(2);
    let (claim, found) = audited(case, Some(breaks(name)), case.quick, &mut rng);
    println!("{}", told(&format!("{of}, {name}"), case, claim, &found));
    assert!(found.least > claim.said(), "{found:?}");
}

#[test]
fn counts_lose_no_more_than_is_charged() {
    holds("count");
}

#[test]
fn sums_lose_no_more_than_is_charged() {
    holds("sum");
}

#[test]
fn averages_and_different_values_lose_no_more_than_is_charged() {
    holds("average");
    holds("different values");
}

#[test]
fn quantiles_lose_no_more_than_is_charged() {
    holds("quantile");
}

#[test]
fn a_person_with_more_rows_and_groups_than_allowed_loses_no_more_than_is_charged() {
    holds("many rows");
    holds("many groups");
}

#[test]
fn groups_that_the_data_name_lose_no_more_than_is_charged() {
    holds("discovered");
}

#[test]
fn half_the_noise_is_caught() {
    caught("half the noise", "count");
    caught("half the noise", "sum");
}

#[test]
fn no_clamp_is_caught() {
    caught("no clamp", "sum");
}

#[test]
fn twice_the_epsilon_is_caught() {
    caught("twice the epsilon", "quantile");
}

#[test]
fn a_threshold_off_by_one_is_caught() {
    caught("threshold off by one", "discovered");
}

/// The long audit, each answer of a run of its own, seeds of the machine's randomness; of all
/// mechanisms as they are, and of the broken ones:
/// `cargo nextest run --release -p incamera-query --run-ignored only audit --no-capture`.
#[test]
#[ignore = "some minutes in release"]
fn the_long_audit() {
    let as_they_are = CASES.iter().map(|case| (case, "as it is", None));
    let broken = [
        ("count", "half the noise"),
        ("sum", "half the noise"),
        ("sum", "no clamp"),
        ("quantile", "twice the epsilon"),
        ("discovered", "threshold off by one"),
    ];
    let broken = broken.map(|(of, name)| (case(of), name, Some(breaks(name))));
    for (case, name, broken) in as_they_are.chain(broken) {
        let size = Size {
            pairs: 1,
            runs: case.quick.pairs * case.quick.runs,
        };
        let mut rng = StdRng::from_rng(&mut rand::rng());
        let begun = Instant::now();
        let (claim, found) = audited(case, broken, size, &mut rng);
        let name = format!("{}, {name}, {} runs a side", case.name, size.runs);
        println!(
            "{} ({:.0?})",
            told(&name, case, claim, &found),
            begun.elapsed()
        );
        assert_eq!(
            found.least > claim.said(),
            broken.is_some(),
            "{name}: {found:?}"
        );
    }
}
