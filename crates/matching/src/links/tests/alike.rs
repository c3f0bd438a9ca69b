//! What enough providers have alike counts.

use super::*;

/// One of three providers withholds, or keeps what was taken away: two of three decide.
#[test]
fn an_entry_counts_that_as_many_providers_as_the_threshold_have_alike() {
    let both = ["ads", "measurement"];
    let honest: Stored = entries("x", &[edge(1, &both, 5)]);
    let nothing = Stored::new();
    let of = |all: [&Stored; 3]| asked_of(&all.map(Clone::clone), &["x"]);
    assert_eq!(of([&honest, &nothing, &honest]).0, [one(1, 5)]);
    let (found, passed, _) = of([&nothing, &nothing, &honest]);
    assert_eq!(found, [Resolved::None]);
    assert_eq!(passed.at_too_few, 2);
    // One still has what the source has replaced; and one that says a thing twice is one.
    let newer: Stored = entries("x", &[edge(2, &both, 5)]);
    assert_eq!(of([&honest, &newer, &newer]).0, [one(2, 5)]);
    // Two of four honest ones were not told: neither counts, and not both.
    let four = [&honest, &newer, &honest, &newer].map(Clone::clone);
    assert_eq!(asked_of(&four, &["x"]).0, [Resolved::None]);
    let four = [&honest, &newer, &newer, &newer].map(Clone::clone);
    assert_eq!(asked_of(&four, &["x"]).0, [one(2, 5)]);
    let twice = [honest.clone(), honest.clone()].concat();
    assert_eq!(of([&twice, &nothing, &nothing]).0, [Resolved::None]);
}

/// What one provider makes up under each label keeps nobody asking.
#[test]
fn a_chain_ends_where_too_few_have_anything_alike() {
    let both = ["ads", "measurement"];
    let honest: Stored = entries("x", &[edge(1, &both, 5)]);
    let made_up: Stored = (0..MAX_EDGES as u64)
        .flat_map(|number| {
            both.map(|name| {
                let (purpose, source) = (purpose(name), party("shop"));
                Entry {
                    label: terms().label(&f("x"), &purpose, &source, number),
                    purpose,
                    source,
                    expires: Date::from_days(TODAY + 9),
                    value: vec![7; VALUE_BYTES],
                }
            })
        })
        .collect();
    let (found, _, rounds) = asked_of(&[made_up, honest.clone(), honest], &["x"]);
    assert_eq!(found, [one(1, 5)]);
    // Two purposes and two sources; then what was found, and nothing behind it.
    assert_eq!(rounds, [4, 2]);
}
