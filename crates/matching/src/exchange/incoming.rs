//! What comes in: greetings, beginnings, points, answers.

use std::sync::Arc;

use incamera_types::{Digest as _, MatchRunDigest};
use incamera_wire::v1::match_message::Message;
use incamera_wire::v1::{MatchBegin, MatchHello};

use super::hello::{Claim, Greeting, Meeting};
use super::job::{LINK_LABEL, Proofs};
use super::own::Own;
use super::talk::Ways;
use super::theirs::Theirs;
use super::{Agreed, Exchange};
use crate::{MatchError, Misbehaviour};

impl Exchange {
    pub(super) fn take(&mut self, message: Message) -> Result<(), MatchError> {
        let message = match message {
            Message::Hello(hello) => return self.greeted(hello),
            message => message,
        };
        let taken = match message {
            _ if self.talk.agreed.is_none() => Err(Misbehaviour::BeforeHello),
            Message::Begin(begin) => self.begun(&begin),
            message => match self.open_ways_mut() {
                Some(_) => self.travelled(message),
                None => Err(Misbehaviour::BeforeBegin),
            },
        };
        taken.map_err(|source| self.hall.misbehaved(source))
    }

    fn greeted(&mut self, hello: MatchHello) -> Result<(), MatchError> {
        let talk = &self.talk;
        if talk.agreed.is_some() || talk.anew.is_some() {
            return Err(self.hall.misbehaved(Misbehaviour::SecondHello));
        }
        let peer = self.hall.check(hello)?;
        let meeting = self.hall.meet(self.held.as_ref(), &peer);
        match meeting.map_err(|source| self.hall.misbehaved(source))? {
            Meeting::Joined { run, theirs } => {
                if !self.patience.answers_again(theirs.received, peer.size) {
                    return Err(self.hall.gets_nowhere());
                }
                self.join(run, &peer, theirs);
            }
            Meeting::WeStartAnew { peer_too } => {
                self.talk.anew = Some((!peer_too).then_some(peer.hello));
            }
            Meeting::PeerStartsAnew if self.talk.again => {
                return Err(self.hall.misbehaved(Misbehaviour::SecondHello));
            }
            Meeting::PeerStartsAnew => self.talk.again = true,
        }
        Ok(())
    }

    fn join(&mut self, run: MatchRunDigest, peer: &Greeting, theirs: Claim) {
        let held = self
            .held
            .map_or((0, 0), |held| (held.received, held.raised));
        let (received, raised) = held;
        let (own, size) = (self.hall.hello.set_size, peer.size);
        self.talk.ways = Some(Ways {
            own: Own::new(
                own,
                received..theirs.raised,
                self.tuning,
                self.public_key.is_some(),
            ),
            theirs: Theirs::new(size, theirs.received, raised, self.tuning),
        });
        self.talk.proofs = self.proofs(run, peer).map(Arc::new);
        let ours = &self.hall.hello;
        self.talk.agreed = Some(Agreed {
            run,
            nonce: self.nonce,
            greeting: self.greeting(),
            goes_on: self.held.is_some(),
            peer_size: size,
            peer_mode: peer.mode,
            other_numbering: (peer.numbering != ours.numbering).then(|| peer.numbering.clone()),
            peer_key: peer.public_key.map(|key| *key.as_bytes()),
            received,
            answered: theirs.received,
        });
    }

    /// What proofs take over this link, if they are wanted.
    fn proofs(&self, run: MatchRunDigest, peer: &Greeting) -> Option<Proofs> {
        let (ours, theirs) = self.public_key.zip(peer.public_key)?;
        Some(Proofs {
            run,
            me: self.hall.me.clone(),
            peer: self.hall.peer.clone(),
            ours,
            theirs,
            hedge: self
                .hedge
                .derive_for(LINK_LABEL, &[&self.link.to_be_bytes()]),
        })
    }

    fn begun(&mut self, begin: &MatchBegin) -> Result<(), Misbehaviour> {
        let talk = &mut self.talk;
        let agreed = talk.agreed.as_ref().ok_or(Misbehaviour::BeforeHello)?;
        if talk.peer_begun {
            return Err(Misbehaviour::SecondBegin);
        }
        if begin.run != agreed.run.as_bytes() {
            return Err(Misbehaviour::OtherRun);
        }
        if (begin.blinded_from, begin.raised_from) != (agreed.answered, agreed.received) {
            return Err(Misbehaviour::Places);
        }
        talk.peer_begun = true;
        Ok(())
    }

    /// What comes once both have begun.
    fn travelled(&mut self, message: Message) -> Result<(), Misbehaviour> {
        let proven = self.public_key.is_some();
        let tags = self.tools.answers_are_tags() && !proven;
        let ways = self.talk.ways.as_mut();
        let ways = ways.ok_or(Misbehaviour::BeforeBegin)?;
        match message {
            Message::Blinded(points) => ways.theirs.blinded(&points),
            Message::Raised(points) if !tags => ways.own.raised(&points),
            Message::Tags(values) if tags => ways.own.tags(&values, &mut self.keeping),
            Message::Raised(_) | Message::Tags(_) => Err(Misbehaviour::WrongAnswers),
            Message::Done(done) => self.talk.ended(done.received),
            Message::Begin(_) => Err(Misbehaviour::SecondBegin),
            Message::Hello(_) => Err(Misbehaviour::SecondHello),
            Message::Proof(proof) => ways.own.proof(proof),
            Message::Nonce(_) | Message::Vole(_) => Err(Misbehaviour::EmptyMessage),
        }
    }
}
