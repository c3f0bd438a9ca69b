use incamera_types::PartyName;

use super::super::tests::{ceremony, holders, keys_of, name, statement_of};
use super::*;

/// Statement `number` of the key `k`, with shares that hang on `slope`.
fn of(k: u8, slope: u8, number: u64) -> KeyStatement {
    statement_of(number, keys_of(k, slope), holders(), ceremony(slope))
}

fn shown(all: &[(&str, &KeyStatement)]) -> Vec<(PartyName, KeyStatement)> {
    let one = |(who, statement): &(&str, &KeyStatement)| (name(who), (*statement).clone());
    all.iter().map(one).collect()
}

fn choose(
    all: &[(&str, &KeyStatement)],
    known: Option<&KeyStatement>,
) -> Result<(u64, Vec<(String, Deviation)>), ChoiceError> {
    let chosen = Chosen::of(shown(all), known, 2)?;
    let others = chosen.others.into_iter();
    Ok((
        chosen.statement.number(),
        others.map(|(who, how)| (who.to_string(), how)).collect(),
    ))
}

/// Whatever one provider of three shows, the two others' statement counts, and it is named.
#[test]
fn one_provider_that_shows_something_else_holds_nobody_up() {
    let (counts, before) = (of(7, 8, 2), of(7, 5, 1));
    let cases = [
        (
            of(7, 5, 1),
            Deviation::Behind {
                found: 1,
                counts: 2,
            },
        ),
        // A refresh that it began and told nobody of: with all signatures.
        (
            of(7, 9, 3),
            Deviation::Alone {
                found: 3,
                counts: 2,
            },
        ),
        (
            of(7, 9, 2),
            Deviation::Alone {
                found: 2,
                counts: 2,
            },
        ),
        (of(6, 9, 1), Deviation::OtherKey),
        (of(6, 9, 2), Deviation::OtherKey),
        (of(6, 9, 9), Deviation::OtherKey),
    ];
    for (theirs, how) in cases {
        // Who knows no key takes neither of two.
        let skipped = usize::from(how == Deviation::OtherKey);
        for known in [None, Some(&before), Some(&counts)]
            .into_iter()
            .skip(skipped)
        {
            for deviates in ["alpha", "beta", "gamma"] {
                let all = ["alpha", "beta", "gamma"]
                    .map(|who| (who, if who == deviates { &theirs } else { &counts }));
                let chosen = choose(&all, known).unwrap();
                assert_eq!(chosen, (2, vec![(deviates.to_owned(), how)]), "{how:?}");
            }
        }
    }
    let all = ["alpha", "beta", "gamma"].map(|who| (who, &counts));
    assert_eq!(choose(&all, None), Ok((2, Vec::new())));
    // One of them is down.
    assert_eq!(choose(&all[1..], None), Ok((2, Vec::new())));
}

#[test]
fn the_newest_that_enough_show_counts() {
    let (old, new) = (of(7, 8, 1), of(7, 9, 2));
    let four = [("a", &old), ("b", &new), ("c", &old), ("d", &new)];
    let behind = Deviation::Behind {
        found: 1,
        counts: 2,
    };
    let others = ["a", "c"].map(|who| (who.to_owned(), behind));
    assert_eq!(choose(&four, None), Ok((2, others.to_vec())));
    // Of one number what more of them show.
    let rival = of(7, 5, 2);
    let five = [
        ("a", &new),
        ("b", &rival),
        ("c", &new),
        ("d", &rival),
        ("e", &rival),
    ];
    let chosen = Chosen::of(shown(&five), None, 2).unwrap();
    assert_eq!(chosen.statement, rival);
    assert_eq!(chosen.others.len(), 2);
}

/// With shares of two statements, or one provider alone, nobody evaluates.
#[test]
fn what_too_few_show_counts_for_nobody() {
    let (old, new) = (of(7, 8, 1), of(7, 9, 2));
    let error = choose(&[("alpha", &new), ("beta", &old)], None).unwrap_err();
    let behind = Deviation::Behind {
        found: 1,
        counts: 2,
    };
    let others = vec![(name("beta"), behind)];
    let (together, needed) = (1, 2);
    assert_eq!(
        error,
        ChoiceError::TooFew {
            together,
            needed,
            others
        }
    );
    let error = choose(&[], None).unwrap_err();
    assert!(matches!(error, ChoiceError::TooFew { together: 0, .. }));
}

/// Enough of them to make pseudonyms, that would join with nobody's or with none from before.
#[test]
fn enough_that_show_another_key_are_refused() {
    let (one, other) = (of(7, 8, 1), of(6, 9, 2));
    let four = [("a", &one), ("b", &other), ("c", &one), ("d", &other)];
    let two_keys = choose(&four, None).unwrap_err();
    assert!(
        matches!(two_keys, ChoiceError::TwoKeys { .. }),
        "{two_keys}"
    );
    assert!(
        two_keys.to_string().contains("`a`, `c` and `b`, `d`"),
        "{two_keys}"
    );
    // One provider is enough: which key each owner were to go by would be its choice.
    for theirs in [&other, &of(6, 9, 1)] {
        let three = [("alpha", &one), ("beta", theirs), ("gamma", &one)];
        let two_keys = choose(&three, None).unwrap_err().to_string();
        assert!(
            two_keys.contains("`alpha`, `gamma` and `beta`"),
            "{two_keys}"
        );
        let two = choose(&three[1..], None).unwrap_err();
        assert!(matches!(two, ChoiceError::TwoKeys { .. }), "{two}");
    }
    // What was gone by before says which.
    assert_eq!(choose(&four, Some(&one)).unwrap().0, 1);
    let all = ["alpha", "beta", "gamma"].map(|who| (who, &other));
    let changed = choose(&all, Some(&one)).unwrap_err();
    assert!(
        matches!(
            &changed,
            ChoiceError::Known {
                error: StatementError::Contradiction { .. },
                ..
            }
        ),
        "{changed}"
    );
    // All of them came out of old backups.
    let newest = of(7, 9, 3);
    let all = all.map(|(who, _)| (who, &one));
    let back = choose(&all, Some(&newest)).unwrap_err();
    assert!(
        matches!(
            &back,
            ChoiceError::Known {
                error: StatementError::WentBack {
                    newest: 3,
                    found: 1
                },
                ..
            }
        ),
        "{back}"
    );
}
