//! I2, from inside: everything a party can make of what it holds, against the other's
//! pseudonyms.

use std::collections::HashSet;

use incamera_group::{Backend, EncodedPoint, Scalar, multiply_batch};
use incamera_types::Pseudonym;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::job::Revealing;
use super::*;
use crate::terms::tests::terms;
use crate::{MatchInput, MatchingSecret, Mode, Partition, Reveals, Seed, Terms};

/// One side: its run, what it received and keeps, and the scalars it knows.
struct Party {
    exchange: Exchange,
    ids: &'static [&'static str],
    received: Vec<MatchMessage>,
    own: Vec<Value>,
    theirs: Vec<Value>,
    scalars: Vec<Scalar>,
}

fn one() -> Scalar {
    let mut bytes = [0; 32];
    bytes[0] = 1;
    Scalar::from_canonical_bytes(bytes).unwrap()
}

/// A side; whether it blinds with its lasting secret, as the textbook does.
fn party(
    terms: &Terms,
    me: &str,
    peer: &str,
    key: u8,
    ids: &'static [&'static str],
    textbook: bool,
) -> Party {
    let (me, peer) = (me.parse().unwrap(), peer.parse().unwrap());
    let input = MatchInput {
        terms,
        rules: 2,
        mode: Mode::Full,
        partition: Partition::WHOLE,
        me: &me,
        peer: &peer,
        ids: [key; 32],
        crosswalk: [0; 32],
    };
    let keys = Seed::from_bytes([key + 50; 32]).run(&input.digest());
    let setup = Setup {
        terms: terms.clone(),
        secret: &MatchingSecret::from_key(&[key; 32]),
        keys: &keys,
        own: ids.len() as u64,
        mode: Mode::Full,
        alike: Alike {
            rules: 2,
            partition: Partition::WHOLE,
        },
        numbering: String::new(),
        base: Base::default(),
        row_keys: false,
        tuning: Tuning::default(),
        backend: Backend::best(),
        resume: None,
        me,
        peer,
    };
    let mut rng = ChaCha20Rng::seed_from_u64(u64::from(key));
    let mut exchange = Exchange::new(setup, &mut rng).unwrap();
    let tools = Arc::get_mut(&mut exchange.tools).unwrap();
    if let Revealing::Nothing(blinding) = &mut tools.reveals
        && textbook
    {
        blinding.blind = tools.lasting.multiply(&one());
        blinding.finishing = one();
    }
    let mut basis = vec![tools.lasting.multiply(&one()), tools.lasting.invert()];
    if let Revealing::Nothing(blinding) = &tools.reveals {
        basis.extend([blinding.blind.multiply(&one()), blinding.blind.invert()]);
    }
    let mut scalars: Vec<Scalar> = basis.iter().map(|scalar| scalar.multiply(&one())).collect();
    for a in &basis {
        scalars.extend(basis.iter().map(|b| a.multiply(b)));
    }
    Party {
        exchange,
        ids,
        received: Vec::new(),
        own: Vec::new(),
        theirs: Vec::new(),
        scalars,
    }
}

impl Party {
    fn take(&mut self, message: MatchMessage) {
        self.received.push(message.clone());
        self.exchange.incoming(message).unwrap();
        let _ = self.exchange.begin();
        loop {
            while let Some(keep) = self.exchange.to_keep() {
                match keep.side {
                    Side::Own => self.own.extend(&keep.values),
                    Side::Theirs => self.theirs.extend(&keep.values),
                }
                self.exchange.kept(keep.mark).unwrap();
            }
            if self.exchange.wanted().is_some() {
                let mut block = Block::new();
                self.ids.iter().for_each(|id| block.push(id.as_bytes()));
                self.exchange.give(0, block).unwrap();
            }
            let Some(job) = self.exchange.job() else {
                break;
            };
            self.exchange.done(job.work()).unwrap();
        }
    }

    /// The pseudonyms of its own ids.
    fn pseudonyms(&self) -> HashSet<Pseudonym> {
        assert!(self.exchange.is_finished());
        let terms = &self.exchange.hall.terms;
        let makes = terms.pseudonyms();
        let pseudonym = |value: &Value| match terms.reveals {
            Reveals::OwnMatches => makes.of_tag(value),
            Reveals::Nothing => Pseudonym::from_bytes(*value),
        };
        self.own.iter().map(pseudonym).collect()
    }

    /// Every point that arrived, and every id of one's own as a point.
    fn points(&self) -> Vec<EncodedPoint> {
        let messages = self
            .received
            .iter()
            .filter_map(|message| message.message.as_ref());
        let arrived = messages.filter_map(|message| match message {
            Message::Blinded(some) | Message::Raised(some) => EncodedPoint::split(&some.points),
            _ => None,
        });
        let domain = self.exchange.hall.terms.hash_domain().unwrap();
        let own = self
            .ids
            .iter()
            .map(|id| domain.hash(id.as_bytes()).encode());
        arrived.flatten().chain(own).collect()
    }

    /// Whether it can compute one of `secrets`: as 16 bytes of a message or of what it keeps,
    /// or from a point it got, raised to any product of up to two of its scalars or their
    /// inverses, by way of a tag or not.
    fn reaches(&self, secrets: &HashSet<Pseudonym>) -> bool {
        let terms = &self.exchange.hall.terms;
        let (makes, tags) = (terms.pseudonyms(), terms.tags());
        let is_one = |bytes: &[u8]| {
            let value: Value = bytes.try_into().unwrap();
            secrets.contains(&Pseudonym::from_bytes(value))
                || secrets.contains(&makes.of_tag(&value))
        };
        let bytes = self.received.iter().map(incamera_wire::encode);
        let seen = bytes.into_iter().any(|bytes| bytes.windows(16).any(is_one));
        let kept = self
            .own
            .iter()
            .chain(&self.theirs)
            .any(|value| is_one(value));
        let computed = self.scalars.iter().any(|scalar| {
            let raised = multiply_batch(&self.points(), scalar).unwrap();
            raised.iter().any(|point| {
                secrets.contains(&makes.of_point(point)) || is_one(&tags.of_point(point))
            })
        });
        seen || kept || computed
    }
}

const A: [&str; 4] = [
    "both1@x.example",
    "both2@x.example",
    "a1@x.example",
    "a2@x.example",
];
const B: [&str; 4] = [
    "both1@x.example",
    "both2@x.example",
    "b1@x.example",
    "b2@x.example",
];

/// Whether A reaches a pseudonym of B's rows outside A's own crosswalk, and B one of A's; B
/// blinds with its lasting secret or not.
fn attack(reveals: Reveals, textbook: bool) -> (bool, bool) {
    let terms = Terms { reveals, ..terms() };
    let mut a = party(&terms, "mailer", "shop", 3, &A, false);
    let mut b = party(&terms, "shop", "mailer", 4, &B, textbook);
    while !(a.exchange.is_finished() && b.exchange.is_finished()) {
        while let Some(message) = a.exchange.outgoing() {
            b.take(message);
        }
        while let Some(message) = b.exchange.outgoing() {
            a.take(message);
        }
    }
    let (of_a, of_b) = (a.pseudonyms(), b.pseudonyms());
    assert_eq!(of_a.intersection(&of_b).count(), 2);
    let foreign = |own: &HashSet<Pseudonym>, other: &HashSet<Pseudonym>| {
        other.difference(own).copied().collect::<HashSet<_>>()
    };
    (
        a.reaches(&foreign(&of_a, &of_b)),
        b.reaches(&foreign(&of_b, &of_a)),
    )
}

#[test]
fn i2_nothing_that_is_received_kept_or_computed_is_a_pseudonym_of_the_others_rows() {
    assert_eq!(attack(Reveals::Nothing, false), (false, false));
}

/// The search above is able to find: where B blinds with its lasting secret, A raises B's
/// points to its own and has B's pseudonyms.
#[test]
fn i2_the_search_finds_the_textbook_protocol() {
    assert_eq!(attack(Reveals::Nothing, true), (true, false));
}

/// Under `own-matches` each side holds the tags of all the other's rows, as its documentation
/// says.
#[test]
fn i2_own_matches_shows_each_side_the_tags_of_the_others_rows() {
    assert_eq!(attack(Reveals::OwnMatches, false), (true, true));
}

/// What was answered over links that were lost adds up: a peer that wants so much of it again is
/// left, and one that wants none is not.
#[test]
fn a_peer_that_wants_its_answers_again_and_again_is_left() {
    let terms = terms();
    for (answered, left) in [(0, false), (u64::MAX, true)] {
        let mut shop = party(&terms, "shop", "mailer", 4, &["x"], false).exchange;
        let mut mailer = party(&terms, "mailer", "shop", 3, &["y"], false).exchange;
        shop.patience.answered(answered);
        let met = shop.incoming(mailer.outgoing().unwrap());
        assert_eq!(matches!(met, Err(MatchError::GetsNowhere { .. })), left);
        assert_eq!(met.is_err(), left);
    }
}
