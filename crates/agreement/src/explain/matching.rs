//! How people are matched and linked, in words.

use incamera_dp::interval::thousands;
use incamera_types::{IdKind, and};

use super::providers;
use crate::model::{Agreement, Linking, Matching, MatchingMethod, Reveals, Security};
use crate::page::Page;

/// What matching protects.
pub(super) fn layer(page: &mut Page, agreement: &Agreement) {
    let matching = &agreement.matching;
    match matching.method {
        MatchingMethod::None => page.point("pseudonyms: made by the owner with its own key"),
        MatchingMethod::Provider => {
            if let Some(providers) = &matching.providers {
                providers::providers(page, matching, providers);
                providers::links(page, agreement);
            }
        }
        MatchingMethod::Vole => vole(page, matching),
        method => page.point(format_args!(
            "matching ({method}, by {}): each party gets pseudonyms for its own people and learns {}; ids are blinded before they leave (at most {} a run, {} runs)",
            and(&matching.ids),
            learned(matching.reveals),
            thousands(matching.max_ids),
            matching.max_runs
        )),
    }
    if matching.match_partitions > 1 {
        page.sub_point(format_args!(
            "ids are split by a hash into {} parts, and matched part by part: each side sees how many ids of the other are in each part; what is allowed holds for all parts together",
            thousands(matching.match_partitions)
        ));
    }
    let written: Vec<_> = matching.written().collect();
    page.sub_point(format_args!(
        "ids are written alike before that, by rules {}: {}",
        matching.rules,
        written.join("; ")
    ));
    if !matching.hashed.is_empty() {
        page.sub_point(format_args!(
            "the SHA-256 stands for an id of kind {}, so that a party may bring hashes that it was given; whoever can guess ids can undo such a hash, so it is kept and blinded like an id",
            and(&matching.hashed)
        ));
    }
    if let Some(rule) = matching.link {
        page.point(linking(rule, &matching.ids));
    }
}

/// What risk remains beside it.
pub(super) fn risks(page: &mut Page, matching: &Matching) {
    if matching.reveals == Reveals::Nothing {
        return;
    }
    page.point("matching itself tells each party, id by id and without noise, which of its own people the other has; whoever brings ids that it only guesses learns of each whether the other has it, up to the limit of ids and runs");
    if matching.method == MatchingMethod::Vole {
        page.point("the party last by name makes the key of a run, and could keep it: it could then compute the pseudonym of anybody whose id it can name, and send signs of people that it does not have, so that the other believes in matches that are none");
        return;
    }
    for risk in [
        "each party can compute every pseudonym of the other's rows, of people that it does not have too (not their ids): it could put them into data of its own and so claim any of these people, and questions would join them",
        "the keys of matching last: each party sees which of the other's rows, known to it by nothing else, stay, go and come from run to run; and if few ids are appended, when its own people among them came to the other",
        "a party that cheats in the matching can make the other believe in matches that are none",
    ] {
        page.point(risk);
    }
}

/// Matching by `vole`.
fn vole(page: &mut Page, matching: &Matching) {
    page.point(format_args!(
        "matching (vole, by {}): each party gets pseudonyms for its own people and learns {}; each has its ids evaluated under the other's key without showing them (at most {} evaluated a run, whatever a party does: about {} ids that it declares; {} runs)",
        and(&matching.ids),
        learned(matching.reveals),
        thousands(matching.max_ids),
        thousands(matching.max_ids / 53 * 20),
        matching.max_runs
    ));
    page.sub_point("each run gives everybody a new pseudonym, so all ids are matched in each, and all data of both owners are sealed again after it: data of two runs do not join, and nothing tells a person of one run in another");
    page.sub_point(match matching.security {
        Security::Malicious => "every step is checked, and what shows matches is long enough against any party (security malicious)",
        Security::SemiHonest => "every step is checked; what shows matches is short, and long enough between parties that keep to the protocol (security semi-honest)",
    });
}

fn learned(reveals: Reveals) -> &'static str {
    match reveals {
        Reveals::Nothing => "nothing but how many ids the other sent",
        Reveals::OwnMatches => {
            "which of its own ids the other has too, and how many ids the other sent"
        }
    }
}

/// The rule of linking, in words.
fn linking(rule: Linking, kinds: &[IdKind]) -> String {
    let stability = rule.stability(kinds.len());
    match rule {
        Linking::Waterfall => format!(
            "linking (waterfall): who of one owner is who of the other is found in the room alone, by {} in this order: of each value that both have, the first person of each side (in order of the owners' own keys) who is not linked yet; others who have the same value are linked by a later kind or stay alone. What is protected is a person at both owners, who can change {stability} linked people by coming or going: noise is {stability} times what it would be with one kind, at the same epsilon",
            and(kinds)
        ),
    }
}
