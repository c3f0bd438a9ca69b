//! I2 where own matches are revealed: a party learns which of its own ids the other has, and can
//! make the pseudonyms of the other's rows, as the agreement says; no id of the other, and of an
//! id that it does not have nothing at all.

use std::collections::BTreeSet;

use incamera_group::{EncodedPoint, Scalar};
use incamera_seal::CrosswalkReader;

use super::i01_identifiers::{everything_outside, id_mark};
use super::i02_pseudonyms::{Both, Pseudonyms, found, windows};
use super::marks;
use super::oracle::raise;
use super::story::{MAILER_ONLY, SHOP_ONLY, Story};
use super::support::only_entry;
use crate::world::MARKED;

/// What a party gets of everything that arrived, by one of the secrets.
fn raised<'a>(story: &'a Story, secret: &'a Scalar) -> impl Iterator<Item = EncodedPoint> + 'a {
    windows(story).filter_map(move |window| {
        let point = EncodedPoint::from_bytes(window.try_into().unwrap());
        raise(&point, secret)
    })
}

/// Which ids a party's crosswalk says that the other has too.
fn matched(story: &Story, party: &str) -> BTreeSet<String> {
    let folder = story.files.restore(&[party]);
    let path = only_entry(&folder.path().join(party).join("crosswalks"));
    let mut reader = CrosswalkReader::open(&path).unwrap();
    let mut ids = BTreeSet::new();
    while let Some(row) = reader.next().unwrap() {
        if row.matched.unwrap() {
            ids.insert(row.id.to_owned());
        }
    }
    ids
}

#[test]
fn i2_own_matches_shows_own_ids_alone() {
    let story = Story::revealing();
    let both = Both::of(story);
    for (party, own, other) in [
        ("shop", SHOP_ONLY, MAILER_ONLY),
        ("mailer", MAILER_ONLY, SHOP_ONLY),
    ] {
        let matched = matched(story, party);
        assert_eq!(matched.len(), 240, "{party}");
        assert!(matched.contains(MARKED) && !matched.contains(own));
        let mark = id_mark(&both.oracle, other);
        for (path, bytes) in story.files.below(&[party]) {
            assert!(marks::found(&mark, bytes).is_empty(), "{}", path.display());
        }
    }
    for id in [MARKED, SHOP_ONLY, MAILER_ONLY] {
        let mark = id_mark(&both.oracle, id);
        for (place, bytes) in everything_outside(story) {
            assert!(marks::found(&mark, bytes).is_empty(), "{id} is in {place}");
        }
    }
    // The search finds an id where one is.
    let mark = id_mark(&both.oracle, SHOP_ONLY);
    let crosswalks = story.files.below(&["shop/crosswalks"]);
    assert!(
        crosswalks
            .iter()
            .any(|(_, bytes)| !marks::found(&mark, bytes).is_empty())
    );
}

/// Neither tags nor pseudonyms of the other's people stand in a party's folder in clear, and no
/// pseudonym travels: tags do.
#[test]
fn i2_own_matches_keeps_nothing_of_the_others_rows_in_clear() {
    let story = Story::revealing();
    let both = Both::of(story);
    let [shop, mailer] = &both.secrets;
    let product = shop.multiply(mailer);
    let tag = |id: &str| {
        let point = raise(&both.oracle.point(id), &product).unwrap();
        both.oracle.match_tag(&point)
    };
    let tags = Pseudonyms::from([MARKED, SHOP_ONLY, MAILER_ONLY].map(tag));
    for (party, others) in [
        ("shop", &both.mailer - &both.shop),
        ("mailer", &both.shop - &both.mailer),
    ] {
        assert_eq!(others.len(), 1, "the control: somebody only the other has");
        for (path, bytes) in story.files.below(&[party, "room"]) {
            assert!(found(&others, bytes).is_empty(), "{}", path.display());
            assert!(found(&tags, bytes).is_empty(), "{}", path.display());
        }
        let kept = story.files.below(&[&format!("{party}/matching")]);
        let kept = kept.iter().filter(|(path, _)| path.ends_with("theirs"));
        // 241 tags and what stands around them.
        assert!(kept.clone().all(|(_, bytes)| bytes.len() > 241 * 16));
        assert_eq!(kept.count(), 1, "it keeps them");
    }
    let mut travelled = 0;
    for heard in &story.decrypted {
        assert!(
            found(&both.all(), &heard.stream).is_empty(),
            "{}",
            heard.connection
        );
        assert!(
            found(&both.all(), &heard.bodies).is_empty(),
            "{}",
            heard.connection
        );
        travelled += found(&tags, &heard.bodies).len();
    }
    assert!(travelled >= 3, "the search finds tags where they are");
}

/// An id that a party did not send cannot be tried at home: nothing that it makes of the id meets
/// anything that it got, or makes of what it got.
#[test]
fn i2_own_matches_tells_nothing_of_an_id_that_was_not_sent() {
    let story = Story::revealing();
    let both = Both::of(story);
    let oracle = &both.oracle;
    for (secret, other, id) in [
        (&both.secrets[0], &both.secrets[1], MAILER_ONLY),
        (&both.secrets[1], &both.secrets[0], SHOP_ONLY),
    ] {
        let got: BTreeSet<[u8; 32]> = windows(story)
            .map(|bytes| bytes.try_into().unwrap())
            .collect();
        let mut reached: Pseudonyms = windows(story)
            .flat_map(|bytes| bytes.first_chunk().copied())
            .collect();
        for by in [secret, &secret.invert()] {
            reached.extend(raised(story, by).map(|point| oracle.match_tag(&point)));
        }
        let made = |by: &[&Scalar]| {
            let raised = by
                .iter()
                .fold(oracle.point(id), |point, by| raise(&point, by).unwrap());
            (*raised.as_bytes(), oracle.match_tag(&raised))
        };
        let (inverse, tries) = (secret.invert(), secret);
        for by in [&[][..], &[tries], &[&inverse], &[tries, tries]] {
            let (point, tag) = made(by);
            assert!(!got.contains(&point) && !reached.contains(&tag), "{id}");
        }
        // With the other's secret, which it has not, the id is found.
        assert!(reached.contains(&made(&[secret, other]).1));
        assert!(got.contains(&made(&[other]).0));
    }
}

/// Declared: each side can make every pseudonym of the other's rows, of people that it does not
/// have too.
#[test]
fn i2_own_matches_gives_the_others_pseudonyms_as_it_says() {
    let story = Story::revealing();
    let both = Both::of(story);
    for (secret, theirs) in both.secrets.iter().zip([&both.mailer, &both.shop]) {
        let made: Pseudonyms = raised(story, secret)
            .map(|point| both.oracle.revealing_pseudonym(&point))
            .collect();
        assert!(theirs.is_subset(&made));
    }
    let shown = story.files.file("shop/agreements/spring-campaign.toml");
    let agreement = incamera_agreement::Agreement::parse(shown).unwrap();
    let words = incamera_agreement::explain(&agreement);
    let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words.contains("can compute every pseudonym of the other's rows"),
        "{words}"
    );
}
