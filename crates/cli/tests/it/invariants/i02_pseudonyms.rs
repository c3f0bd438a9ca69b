//! I2: a party's traffic, folder and secrets are searched for pseudonyms that only the other
//! side's crosswalk has, as they came and after every computation that its secrets allow.
//!
//! `crates/matching` has the same of each message, with runs that misbehave.

use std::collections::BTreeSet;

use incamera_group::{EncodedPoint, Scalar};
use memchr::memmem;

use super::oracle::{Oracle, raise};
use super::story::{MAILER_ONLY, SHOP_ONLY, Story};
use super::support::Holdings;
use crate::world::MARKED;

pub type Pseudonyms = BTreeSet<[u8; 16]>;

/// Both parties' crosswalks and secrets.
pub struct Both {
    pub oracle: Oracle,
    pub shop: Pseudonyms,
    pub mailer: Pseudonyms,
    pub secrets: [Scalar; 2],
}

impl Both {
    pub fn of(story: &Story) -> Self {
        let folder = story.files.restore(&["shop", "mailer"]);
        let holdings = Holdings(folder.path());
        let oracle = Oracle::new(holdings.matching_slot());
        let pseudonyms = |party| {
            let crosswalk = holdings.crosswalk(party);
            crosswalk
                .iter()
                .map(|(_, pseudonym)| *pseudonym.as_bytes())
                .collect()
        };
        Self {
            shop: pseudonyms("shop"),
            mailer: pseudonyms("mailer"),
            secrets: [
                oracle.secret(&holdings.ring("shop")),
                oracle.secret(&holdings.ring("mailer")),
            ],
            oracle,
        }
    }

    pub fn all(&self) -> Pseudonyms {
        &self.shop | &self.mailer
    }
}

pub fn found<'a>(pseudonyms: &'a Pseudonyms, bytes: &[u8]) -> Vec<&'a [u8; 16]> {
    let occurs = |pseudonym: &&[u8; 16]| memmem::find(bytes, *pseudonym).is_some();
    pseudonyms.iter().filter(occurs).collect()
}

#[test]
fn i2_crosswalks_hold_just_the_own_ids() {
    let story = Story::get();
    let folder = story.files.restore(&["shop", "mailer"]);
    let (shop, mailer) = (
        Holdings(folder.path()).crosswalk("shop"),
        Holdings(folder.path()).crosswalk("mailer"),
    );
    assert_eq!((shop.len(), mailer.len()), (241, 241));
    assert_eq!(shop.lookup(MAILER_ONLY), None);
    assert_eq!(mailer.lookup(SHOP_ONLY), None);
    // The same person has the same pseudonym on both sides: that is what matching is for.
    assert_eq!(shop.lookup(MARKED), mailer.lookup(MARKED));
    let both = Both::of(story);
    assert_eq!((&both.shop & &both.mailer).len(), 240);
}

#[test]
fn i2_no_pseudonym_travels() {
    let story = Story::get();
    let both = Both::of(story);
    assert!(found(&both.all(), &story.raw).is_empty());
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
    }
    for said in &story.said {
        let hex: Vec<String> = both.all().iter().map(hex::encode).collect();
        let text = format!("{}{}", said.out, said.errors);
        assert!(
            !hex.iter().any(|hex| text.contains(hex)),
            "{}",
            said.command
        );
    }
}

#[test]
fn i2_no_party_stores_the_others_pseudonyms() {
    let story = Story::get();
    let both = Both::of(story);
    let theirs = [
        ("shop", &both.mailer - &both.shop),
        ("mailer", &both.shop - &both.mailer),
    ];
    for (party, others) in theirs {
        assert_eq!(others.len(), 1, "the control: somebody only the other has");
        for (path, bytes) in story.files.below(&[party, "answer.release", "room"]) {
            assert!(found(&others, bytes).is_empty(), "{}", path.display());
        }
    }
    // The search works on what a party does store.
    let crosswalks = story.files.below(&["shop/crosswalks"]);
    let own: usize = crosswalks
        .iter()
        .map(|(_, bytes)| found(&both.shop, bytes).len())
        .sum();
    assert_eq!(own, 241);
}

/// Every 32 bytes of every message of the matching, wherever they start.
pub fn windows(story: &Story) -> impl Iterator<Item = &[u8]> {
    story
        .matching
        .iter()
        .flat_map(|heard| heard.bodies.windows(EncodedPoint::BYTES))
}

/// A party that raises what it received, by whatever it has, gets no pseudonym: not of the
/// other's own people, and not of those it shares, which would tell it that they are shared.
#[test]
fn i2_no_party_computes_the_others_pseudonyms() {
    let story = Story::get();
    let both = Both::of(story);
    let all = both.all();
    let mut points = 0;
    for window in windows(story) {
        let point = EncodedPoint::from_bytes(window.try_into().unwrap());
        for secret in &both.secrets {
            let Some(raised) = raise(&point, secret) else {
                break;
            };
            points += 1;
            assert!(!all.contains(&both.oracle.pseudonym(&raised)));
            let lowered = raise(&point, &secret.invert()).unwrap();
            assert!(!all.contains(&both.oracle.pseudonym(&lowered)));
        }
        assert!(!all.contains(&both.oracle.pseudonym(&point)));
    }
    // Two runs of 241 points each way, and back.
    assert!(points > 2 * 4 * 241, "{points}");
    // With both secrets, which nobody has, it is the pseudonym.
    let [shop, mailer] = &both.secrets;
    let point = raise(&both.oracle.point(MARKED), &shop.multiply(mailer)).unwrap();
    assert!(both.shop.contains(&both.oracle.pseudonym(&point)));
}
