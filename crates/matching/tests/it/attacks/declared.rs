//! What a peer can do where own matches are revealed, as the documentation says that it can.

use super::*;

/// The shop's answers to the mailer's points, in order of place.
fn answered(attack: &mut Attack) -> Vec<u8> {
    let points = attack.points.clone();
    attack.send(blinded(0, points)).unwrap();
    let mut answers = Vec::new();
    while let Some(message) = attack.shop.exchange.outgoing() {
        if let Some(Message::Tags(chunk)) = message.message {
            answers.extend(chunk.tags);
        }
    }
    assert_eq!(answers.len(), 3 * 16);
    answers
}

/// Declared: a peer that answers with the tags of its own ids makes us believe in matches that
/// are none, and gives our ids the pseudonyms of its own.
#[test]
fn false_tags_make_matches_that_are_none() {
    let mut attack = begun(Reveals::OwnMatches, &["p", "q"]);
    let answers = answered(&mut attack);
    attack.send(tags(0, answers[..32].to_vec())).unwrap();
    assert_eq!(attack.shop.matches(), ["p", "q"]);
    let theirs = attack.shop.plan.terms.pseudonyms();
    let theirs: Vec<_> = attack
        .shop
        .journal
        .theirs
        .iter()
        .map(|tag| theirs.of_tag(tag))
        .collect();
    let crosswalk = attack.shop.crosswalk();
    assert!(
        crosswalk
            .values()
            .all(|pseudonym| theirs.contains(pseudonym))
    );
    // The control: whoever keeps to the protocol has no id in common.
    let (_, honest) = matched(
        &mailer(Reveals::OwnMatches, &["x", "y", "z"]),
        &shop(Reveals::OwnMatches, &["p", "q"]),
    );
    assert!(honest.matches().is_empty());
}

/// Declared: a peer that answers with anything else hides matches from us, and sees them itself.
#[test]
fn false_tags_hide_matches() {
    let mut attack = begun(Reveals::OwnMatches, &["x", "q"]);
    let answers = answered(&mut attack);
    attack.send(tags(0, vec![7; 32])).unwrap();
    assert!(attack.shop.matches().is_empty());
    // Of the shop's points the mailer makes tags itself: one is an answer that it got.
    let (mailer, _) = matched(
        &mailer(Reveals::OwnMatches, &["x", "y", "z"]),
        &shop(Reveals::OwnMatches, &["x", "q"]),
    );
    let seen = mailer
        .journal
        .theirs
        .iter()
        .filter(|tag| answers.as_chunks::<16>().0.contains(*tag));
    assert_eq!(seen.count(), 1);
}
