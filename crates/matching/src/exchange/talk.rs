//! The state of one link. A run may see several.

use std::collections::VecDeque;
use std::sync::Arc;

use incamera_wire::v1::match_message::Message;
use incamera_wire::v1::{MatchDone, MatchHello};

use super::Agreed;
use super::job::Proofs;
use super::own::Own;
use super::theirs::Theirs;
use crate::Misbehaviour;

/// The state of one link.
#[derive(Default)]
pub(super) struct Talk {
    pub(super) outbox: VecDeque<Message>,
    pub(super) agreed: Option<Agreed>,
    /// Whether the peer greets again.
    pub(super) again: bool,
    /// We hold part of a run that the peer does not know; its greeting, if that stands.
    pub(super) anew: Option<Option<MatchHello>>,
    pub(super) ways: Option<Ways>,
    pub(super) proofs: Option<Arc<Proofs>>,
    pub(super) begun: bool,
    pub(super) peer_begun: bool,
    pub(super) done_sent: bool,
    pub(super) peer_done: bool,
}

/// Both directions of a link.
pub(super) struct Ways {
    pub(super) own: Own,
    pub(super) theirs: Theirs,
}

impl Ways {
    /// Up to which place the peer is answered now: a window further than it has answered us, as
    /// shares of two sets that may differ in size. Were both sides to wait for the other by this
    /// rule, each would have answered the larger share.
    pub(super) fn due(&self) -> u64 {
        let Some((received, of)) = self.own.share() else {
            return u64::MAX;
        };
        let share = u128::from(self.theirs.size()) * u128::from(received) / u128::from(of);
        let share = u64::try_from(share).unwrap_or(u64::MAX);
        share.saturating_add(self.theirs.window())
    }
}

impl Talk {
    /// Both directions, once points may travel.
    pub(super) fn open_ways(&self) -> Option<&Ways> {
        self.ways.as_ref().filter(|_| self.begun && self.peer_begun)
    }

    /// The same, to be changed.
    pub(super) fn open_ways_mut(&mut self) -> Option<&mut Ways> {
        let open = self.begun && self.peer_begun;
        self.ways.as_mut().filter(|_| open)
    }

    /// Step 4, once, when the values of all our ids are kept.
    pub(super) fn done(&mut self, received: u64) -> Option<Message> {
        let begun = self.begun && self.peer_begun && !self.done_sent;
        let complete = self.ways.as_ref()?.own.is_complete();
        (begun && complete).then(|| {
            self.done_sent = true;
            Message::Done(MatchDone { received })
        })
    }

    /// The peer's step 4.
    pub(super) fn ended(&mut self, received: u64) -> Result<(), Misbehaviour> {
        let expected = self.agreed.as_ref().map_or(0, |agreed| agreed.peer_size);
        let complete = |ways: &Ways| ways.theirs.is_complete();
        let due = !self.peer_done && self.ways.as_ref().is_some_and(complete);
        if !due || received != expected {
            let found = received;
            return Err(Misbehaviour::WrongCount { expected, found });
        }
        self.peer_done = true;
        Ok(())
    }
}
