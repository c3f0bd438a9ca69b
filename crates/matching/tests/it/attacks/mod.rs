//! What a peer may try. Each error names the peer, and none holds data.

use incamera_matching::exchange::{Alike, Base, MAX_WINDOW, Tuning};
use incamera_matching::{
    Incompatible, KNOWN_IDS, MatchError, Misbehaviour, Misuse, Mode, Partition, Reveals,
};
use incamera_types::MatchingEpoch;
use incamera_types::limits::CHUNK_BYTES;
use incamera_wire::v1::match_message::Message;
use incamera_wire::v1::{
    MatchBegin, MatchDone, MatchHello, MatchMessage, MatchPoints, MatchResume, MatchTags,
};
use proptest::prelude::*;
use prost::Message as _;

use crate::side::{Journal, Plan, Side, mailer, matched, numbered, shop};

const BOTH: [Reveals; 2] = [Reveals::Nothing, Reveals::OwnMatches];

mod declared;
mod greetings;
mod points;

fn wrap(message: Message) -> MatchMessage {
    MatchMessage {
        message: Some(message),
    }
}

fn blinded(first: u64, points: Vec<u8>) -> Message {
    Message::Blinded(MatchPoints { first, points })
}

fn raised(first: u64, points: Vec<u8>) -> Message {
    Message::Raised(MatchPoints { first, points })
}

fn tags(first: u64, tags: Vec<u8>) -> Message {
    Message::Tags(MatchTags { first, tags })
}

fn done(received: u64) -> Message {
    Message::Done(MatchDone { received })
}

/// A mailer of three ids whose messages a test may change, and the shop that it greeted.
struct Attack {
    mailer: Side,
    shop: Side,
    /// The points of the mailer's set.
    points: Vec<u8>,
}

/// Both have begun; the mailer's points have not left yet.
fn begun(reveals: Reveals, ids: &[&str]) -> Attack {
    between(
        mailer(reveals, &["x", "y", "z"]).start(),
        shop(reveals, ids).start(),
    )
}

fn between(mut mailer: Side, mut shop: Side) -> Attack {
    for _ in 0..2 {
        let message = mailer.exchange.outgoing().unwrap();
        shop.incoming(message).unwrap();
        let message = shop.exchange.outgoing().unwrap();
        mailer.incoming(message).unwrap();
    }
    let mut points = Vec::new();
    while let Some(MatchMessage {
        message: Some(Message::Blinded(chunk)),
    }) = mailer.exchange.outgoing()
    {
        points.extend(chunk.points);
    }
    Attack {
        mailer,
        shop,
        points,
    }
}

impl Attack {
    /// The shop takes a message, and works.
    fn send(&mut self, message: Message) -> Result<(), MatchError> {
        self.shop.incoming(wrap(message))
    }

    /// What the shop says of the mailer after a message. The run is over then.
    fn refused(&mut self, message: Message) -> Misbehaviour {
        match self.send(message) {
            Err(MatchError::PeerMisbehaved { peer, source }) => {
                assert_eq!(peer.as_str(), "mailer");
                let exchange = &mut self.shop.exchange;
                assert!(exchange.outgoing().is_none() && exchange.to_keep().is_none());
                assert!(exchange.job().is_none() && exchange.wanted().is_none());
                let after = exchange.incoming(wrap(done(0)));
                assert_eq!(after, Err(Misuse::AfterFailure.into()));
                assert!(!exchange.is_finished());
                source
            }
            other => panic!("{other:?}"),
        }
    }

    fn point(&self, place: usize) -> Vec<u8> {
        self.points[32 * place..32 * (place + 1)].to_vec()
    }
}

fn hello_of(side: &mut Side) -> MatchHello {
    match side.exchange.outgoing().unwrap().message {
        Some(Message::Hello(hello)) => hello,
        other => panic!("{other:?}"),
    }
}

/// A shop that was cut off while it answered a mailer of 40 ids.
fn cut_off(reveals: Reveals) -> (Plan, Journal, Side) {
    let (mut a, b) = (mailer(reveals, &[]), shop(reveals, &["x"]));
    a.ids = numbered(0..40);
    let mut attack = between(a.start(), b.start());
    attack
        .send(blinded(0, attack.points[..32 * 12].to_vec()))
        .unwrap();
    let journal = attack.shop.journal;
    assert_eq!(journal.theirs.len(), 12);
    (b, journal, attack.mailer)
}
