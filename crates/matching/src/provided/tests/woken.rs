//! Rounds of a driver that waits for events.

use super::*;

/// Answers are finished by threads, and the last may be ready first: once all batches that fit have
/// their outputs nothing is under way, so that one round must have something begin.
#[test]
fn a_driver_that_is_woken_once_goes_on() {
    let all = ids(40);
    let mut providers = honest(8);
    let mut session = session(&terms(), 40, 0, 1, statement(8, 1));
    let mut party = Party::new(&all);
    for held in [12, 24, 36, 40] {
        let questions = party.turn(&mut session);
        let asked = session.asked();
        for (place, points) in questions {
            let answer = providers.answer(asked.hello(), place, &points);
            session.answered(asked.round(), place, answer).unwrap();
        }
        session.turn(&mut party).unwrap();
        for job in std::mem::take(&mut party.jobs).into_iter().rev() {
            session.done(job.work()).unwrap();
        }
        session.turn(&mut party).unwrap();
        assert_eq!(party.outputs.len(), held);
        assert!(!party.jobs.is_empty() || session.is_finished(), "{held}");
        for job in std::mem::take(&mut party.jobs) {
            session.done(job.work()).unwrap();
        }
    }
    assert!(session.is_finished());
}
