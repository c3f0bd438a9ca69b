//! What both sides of a direction are: parts on their way, and a phase that each step of the
//! peer takes further.

use std::fmt;

use incamera_wire::v1::VolePart;
use zeroize::Zeroizing;

use super::message::{Due, Mailbox, Received};
use super::{Misbehaviour, Output, Progress, Run, Value, VoleError};
use crate::prg::Random;

/// A side of one direction: a [`Receiver`](super::Receiver) or a [`Sender`](super::Sender).
///
/// A run that ended early, or in an error, is never gone on with: its key has answered.
pub struct Side<P> {
    run: Run,
    pub(super) mail: Mailbox,
    state: State<P>,
}

enum State<P> {
    Going(P),
    Finished(Output),
    Failed,
}

/// What is due from the peer, and what follows when it has come.
pub trait Phase: Sized {
    /// Of [`Debug`](fmt::Debug).
    const SIDE: &'static str;

    /// What the peer sends next.
    fn due(&self, run: &Run) -> Result<Due, VoleError>;

    /// Takes it.
    fn advance(
        self,
        run: &Run,
        mail: &mut Mailbox,
        step: &Received,
    ) -> Result<Next<Self>, VoleError>;
}

/// What follows on a step.
pub enum Next<P> {
    Phase(P),
    Finished(Output),
}

impl<P: Phase> Side<P> {
    pub(super) fn with(run: Run, phase: P) -> Self {
        Self {
            run,
            mail: Mailbox::new(run.direction, &run.context()),
            state: State::Going(phase),
        }
    }

    /// A side of a direction that is not played, for so many ids of its own: nobody else has
    /// or can compute their values, which are drawn.
    pub(super) fn skipped(run: Run, items: usize, rng: &mut Random) -> Self {
        let mut values = Zeroizing::new(vec![Value::default(); items]);
        values.iter_mut().for_each(|value| value.draw(rng));
        let matched = run.matched(vec![false; items]);
        Self {
            run,
            mail: Mailbox::new(run.direction, &run.context()),
            state: State::Finished(Output { values, matched }),
        }
    }

    /// The next part for the peer, if one is due now.
    pub fn outgoing(&mut self) -> Option<VolePart> {
        self.mail.outgoing()
    }

    /// Takes a part of the peer; computes what follows once a step is whole.
    ///
    /// # Errors
    /// [`VoleError`], after which the run is over.
    pub fn incoming(&mut self, part: &VolePart) -> Result<(), VoleError> {
        let taken = self.take(part);
        if taken.is_err() {
            self.state = State::Failed;
            self.mail.clear();
        }
        taken
    }

    /// Whether nothing is left to send or to receive. A run with an empty set is at once.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::Finished(_)) && self.mail.is_idle()
    }

    /// Whether the receiver's store is on its way or has come: the direction counts as a run
    /// from here on, however it ends, since the receiver has chosen which ids it asks for.
    #[must_use]
    pub fn counts(&self) -> bool {
        self.mail.counts()
    }

    /// How far the run is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.mail.progress(&self.run)
    }

    /// The values.
    ///
    /// # Errors
    /// [`VoleError::Misuse`] before the run [is finished](Self::is_finished).
    pub fn finish(self) -> Result<Output, VoleError> {
        match self.state {
            State::Finished(output) if self.mail.is_idle() => Ok(output),
            _ => Err(VoleError::Misuse),
        }
    }

    fn take(&mut self, part: &VolePart) -> Result<(), VoleError> {
        let due = match &self.state {
            State::Going(phase) => phase.due(&self.run)?,
            State::Finished(_) => {
                return Err(Misbehaviour::NothingDue { found: part.step }.into());
            }
            State::Failed => return Err(VoleError::Misuse),
        };
        let Some(step) = self.mail.incoming(due, part)? else {
            return Ok(());
        };
        let State::Going(phase) = std::mem::replace(&mut self.state, State::Failed) else {
            return Err(VoleError::Misuse);
        };
        self.state = match phase.advance(&self.run, &mut self.mail, &step)? {
            Next::Phase(phase) => State::Going(phase),
            Next::Finished(output) => State::Finished(output),
        };
        Ok(())
    }

    /// What a test asks a phase for.
    #[cfg(test)]
    pub(super) fn phase(&self) -> Option<&P> {
        match &self.state {
            State::Going(phase) => Some(phase),
            _ => None,
        }
    }
}

impl<P: Phase> fmt::Debug for Side<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(..)", P::SIDE)
    }
}
