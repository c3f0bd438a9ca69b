//! Which method, and why.

use super::constants::{PART_IDS, PROVIDER_RATE};
use super::{Line, PlannedMethod, Situation, has_parts, wants_parts};
use crate::Reveals;

/// From here on VOLE's start no longer weighs.
const VOLE_LEAST_IDS: u64 = 1 << 15;
/// A link below which bytes count more than cores: bits a second.
const SLOW_LINK: u64 = 100_000_000;

/// A sentence each; the first names the method to take in this version.
pub(super) fn advice(situation: &Situation, lines: &[Line]) -> Vec<String> {
    let mut advice = Vec::new();
    let available = lines
        .iter()
        .find(|line| line.method.is_available(situation.reveals));
    advice.push(match available {
        Some(line) => format!("take `{}`: {}", line.method, why(line.method, situation)),
        None => "nothing that agreements may say in this version fits".to_owned(),
    });
    if let Some(better) = better(situation)
        && Some(better) != available.map(|line| line.method)
        && lines.iter().any(|line| line.method == better)
    {
        let why = why(better, situation);
        advice.push(match better.is_available(situation.reveals) {
            true => format!("or take `{better}`, which is slower on many cores: {why}"),
            false => format!("`{better}` would fit better ({why}), and is not in this version"),
        });
    }
    if situation.parties > 2 && situation.reveals == Reveals::OwnMatches {
        advice.push(
            "more than two parties match through providers, which reveal nothing: write reveals = \"nothing\"".to_owned(),
        );
    }
    if wants_parts(situation) && !has_parts(situation) {
        advice.push(
            "one run has to do: ids are matched part by part between two parties, with reveals = \"nothing\" alone".to_owned(),
        );
    }
    if situation.own == 0 || situation.peer == 0 {
        advice.push(
            "a side without ids has nothing to match: it only answers the other, and its `match run` wants `--allow-empty`"
                .to_owned(),
        );
    }
    advice
}

/// The method that fits best, in this version or not.
fn better(situation: &Situation) -> Option<PlannedMethod> {
    let small = situation.own.max(situation.peer) < VOLE_LEAST_IDS;
    let large = situation.own.max(situation.peer) > PART_IDS;
    let slow = situation.link_bits_per_s < SLOW_LINK;
    match situation.parties {
        0..=2 if situation.appends || small || large || slow => Some(PlannedMethod::Commutative),
        0..=2 => Some(PlannedMethod::Vole),
        _ => Some(PlannedMethod::Provider),
    }
}

fn why(method: PlannedMethod, situation: &Situation) -> String {
    match method {
        PlannedMethod::Commutative if situation.appends => {
            "pseudonyms last, so that new ids can be added later".to_owned()
        }
        PlannedMethod::Commutative => {
            "memory stays the same whatever the size, a run that is cut off goes on, and new ids can be added later".to_owned()
        }
        PlannedMethod::Vole => {
            "the least CPU and the fewest bytes; every run is all ids anew with pseudonyms of its own, and all data are sealed again after it".to_owned()
        }
        PlannedMethod::Provider => format!(
            "each party asks the providers alone, however many parties there are; at most {PROVIDER_RATE:.0} ids a second and party"
        ),
    }
}
