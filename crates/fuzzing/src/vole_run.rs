//! Two parties' whole runs by VOLE, and somebody between them: greeting, nonces, steps.

use incamera_matching::exchange::Alike;
use incamera_matching::vole::{Outcome, Security, Setup, VoleRun};
use incamera_matching::{MatchError, Method, Partition, Reveals, Terms};
use incamera_wire::v1::MatchMessage;
use incamera_wire::v1::match_message::Message;
use incamera_wire::{decode, encode};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::exchange::terms;
use crate::parts::{array, take};
use crate::reach::reached;

/// Of the mailer and of the shop: three are of both.
const IDS: [std::ops::Range<u8>; 2] = [0..5, 2..9];

struct Party {
    run: VoleRun,
    ids: std::ops::Range<u8>,
    rng: ChaCha20Rng,
}

fn party(which: usize, reveals: Reveals, ids: std::ops::Range<u8>) -> Party {
    let names = ["mailer", "shop"];
    let setup = Setup {
        terms: Terms {
            method: Method::Vole,
            ..terms(reveals)
        },
        security: Security::Malicious,
        me: names[which].parse().unwrap(),
        peer: names[1 - which].parse().unwrap(),
        own: ids.len() as u64,
        alike: Alike {
            rules: 2,
            partition: Partition::WHOLE,
        },
        numbering: String::new(),
    };
    let mut rng = ChaCha20Rng::seed_from_u64(which as u64);
    let run = VoleRun::new(setup, &mut rng).unwrap();
    Party { run, ids, rng }
}

impl Party {
    /// Whatever is due of its own: the run is counted, ids are given.
    fn work(&mut self) -> Result<(), MatchError> {
        if self.run.is_to_be_counted() {
            self.run.begin()?;
        }
        if let Some(hasher) = self.run.hasher() {
            let ids: Vec<_> = self.ids.clone().map(|id| hasher.hash(&[id])).collect();
            self.run.give(&ids, &mut self.rng)?;
        }
        Ok(())
    }
}

/// The message that an instruction makes of the honest one: that, that with a byte changed, or
/// another.
fn message(kind: u8, rest: &mut &[u8], honest: MatchMessage) -> Option<MatchMessage> {
    match kind % 3 {
        0 => Some(honest),
        1 => {
            let [above, below, change] = array(rest);
            let mut bytes = encode(&honest);
            let at = usize::from(u16::from_be_bytes([above, below])) % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= change;
            }
            decode(&bytes, bytes.len()).ok()
        }
        _ => {
            let bytes = take(rest)?;
            decode(bytes, bytes.len()).ok()
        }
    }
}

/// What became of all messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sent {
    Honest,
    Changed,
    /// A greeting, which everything that follows hangs on.
    ChangedGreeting,
    /// A nonce, which its sender had committed to.
    ChangedNonce,
}

/// Messages go to and fro until none is left, or no instruction: one says what becomes of each
/// message.
fn talk(parties: &mut [Party; 2], rest: &mut &[u8]) -> Result<Sent, (MatchError, Sent)> {
    let (mut all, mut silent) = (Sent::Honest, 0);
    for to in [0, 1].into_iter().cycle() {
        let [one, other] = parties;
        let (to, from) = if to == 0 { (one, other) } else { (other, one) };
        let Some(sent) = from.run.outgoing() else {
            silent += 1;
            if silent > 2 {
                break;
            }
            continue;
        };
        silent = 0;
        if rest.is_empty() {
            return Ok(all.max(Sent::Changed));
        }
        let [kind] = array(rest);
        let received = message(kind, rest, sent.clone());
        if received.as_ref() != Some(&sent) {
            all = all.max(match sent.message {
                Some(Message::Hello(_)) => Sent::ChangedGreeting,
                Some(Message::Nonce(_)) => Sent::ChangedNonce,
                _ => Sent::Changed,
            });
        }
        let Some(received) = received else { break };
        let taken = to.run.incoming(received).and_then(|()| to.work());
        taken.map_err(|error| (error, all))?;
    }
    Ok(all)
}

fn pseudonyms_fit(one: &Outcome, other: &Outcome) {
    let (one_common, other_common) = (&one.pseudonyms[2..], &other.pseudonyms[..3]);
    assert!(one_common == other_common);
    assert!(
        one.pseudonyms[..2]
            .iter()
            .all(|p| !other.pseudonyms.contains(p))
    );
    if let Some(matched) = &one.matched {
        assert_eq!(matched, &[false, false, true, true, true]);
    }
    if let Some(matched) = &other.matched {
        assert_eq!(matched, &[true, true, true, false, false, false, false]);
    }
}

/// What is revealed and whose set is empty; then an instruction for each message.
pub fn vole_run(data: &[u8]) {
    let mut rest = data;
    let [how] = array(&mut rest);
    let reveals = [Reveals::Nothing, Reveals::OwnMatches][usize::from(how & 1)];
    let ids = |which: usize| match how >> 1 & 1 << which {
        0 => IDS[which].clone(),
        _ => 0..0,
    };
    let mut parties = [party(0, reveals, ids(0)), party(1, reveals, ids(1))];
    let sent = match talk(&mut parties, &mut rest) {
        Ok(sent) => sent,
        Err((error, sent)) => {
            assert!(sent != Sent::Honest, "{error}");
            return;
        }
    };
    let empty = how & 6 != 0;
    let [one, other] = parties.map(|party| party.run);
    let finished = one.is_finished() && other.is_finished();
    assert!(finished || sent != Sent::Honest);
    assert!(!finished || empty || sent != Sent::ChangedGreeting);
    assert!(!finished || sent != Sent::ChangedNonce);
    if let (Ok(one), Ok(other), Sent::Honest) = (one.finish(), other.finish(), sent) {
        match empty {
            true => reached("empty"),
            false => {
                pseudonyms_fit(&one, &other);
                reached("finished");
            }
        }
    }
}
