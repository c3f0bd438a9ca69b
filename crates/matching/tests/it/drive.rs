//! Two runs in one process, without a network.

use std::collections::BTreeMap;

use incamera_matching::{MatchError, MatchingSecret, Method, Reveals, Run, Terms};
use incamera_types::{AgreementDigest, AgreementId, Digest, MatchingEpoch, Pseudonym};
use incamera_wire::v1::MatchMessage;
use incamera_wire::v1::match_message::Message;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

pub type Crosswalk = BTreeMap<String, Pseudonym>;
pub type Known = Vec<(String, Pseudonym)>;

pub fn terms() -> Terms {
    Terms {
        agreement_id: AgreementId::from_bytes([1; 32]),
        agreement_digest: AgreementDigest::from_bytes([2; 32]),
        epoch: MatchingEpoch(1),
        id_kind: "email".parse().unwrap(),
        method: Method::Commutative,
        reveals: Reveals::Nothing,
        max_ids: 100_000,
    }
}

/// One side with its key, ids and what it knows.
pub struct Side {
    pub terms: Terms,
    pub key: u8,
    pub ids: Vec<String>,
    pub known: Known,
}

impl Side {
    pub fn new(key: u8, ids: &[&str]) -> Self {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        Self {
            terms: terms(),
            key,
            ids,
            known: Vec::new(),
        }
    }

    pub fn start(self, me: &str, peer: &str, seed: u64) -> Run {
        let secret = MatchingSecret::from_key(&[self.key; 32]);
        let mut rng = ChaCha20Rng::seed_from_u64(seed ^ (u64::from(self.key) << 32));
        let (me, peer) = (me.parse().unwrap(), peer.parse().unwrap());
        Run::new(
            self.terms,
            me,
            peer,
            &secret,
            self.ids,
            &self.known,
            &mut rng,
        )
        .unwrap()
    }
}

/// Starts the mailer's run.
pub fn mailer(side: Side) -> Run {
    side.start("mailer", "shop", 7)
}

/// Starts the shop's run.
pub fn shop(side: Side) -> Run {
    side.start("shop", "mailer", 8)
}

/// Passes messages until nobody has any, altering each of the mailer's on the way.
pub fn exchange_altered(
    a: &mut Run,
    b: &mut Run,
    alter: &mut dyn FnMut(&mut MatchMessage),
) -> Result<(), MatchError> {
    loop {
        let mut moved = false;
        while let Some(mut message) = a.outgoing() {
            moved = true;
            alter(&mut message);
            b.incoming(message)?;
        }
        while let Some(message) = b.outgoing() {
            moved = true;
            a.incoming(message)?;
        }
        if !moved {
            return Ok(());
        }
    }
}

pub fn exchange(a: &mut Run, b: &mut Run) {
    exchange_altered(a, b, &mut |_| ()).unwrap();
    assert!(a.is_finished() && b.is_finished());
}

/// A whole run of both; the crosswalks of mailer and shop.
pub fn matched(mailer_side: Side, shop_side: Side) -> (Crosswalk, Crosswalk) {
    let (mut a, mut b) = (mailer(mailer_side), shop(shop_side));
    exchange(&mut a, &mut b);
    let crosswalk = |run: Run| run.finish().unwrap().into_iter().collect();
    (crosswalk(a), crosswalk(b))
}

/// The points of a message that carries some.
pub fn points(message: &mut MatchMessage) -> Option<&mut incamera_wire::v1::MatchPoints> {
    match message.message.as_mut()? {
        Message::Blinded(points) | Message::Raised(points) => Some(points),
        _ => None,
    }
}
