//! Two sides of a VOLE run, and somebody between them.

use incamera_vole::hash::{Domain, IdHash};
use incamera_vole::oprf::{
    Direction, Misbehaviour, Receiver, Reveals, Run, Security, Sender, VoleError,
};
use incamera_wire::decode;
use incamera_wire::v1::VolePart;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::parts::array;
use crate::reach::reached;

const RECEIVER_IDS: std::ops::Range<u8> = 0..5;
const SENDER_IDS: std::ops::Range<u8> = 2..9;

fn hashed(domain: &Domain, ids: std::ops::Range<u8>) -> Vec<IdHash> {
    let hasher = domain.id_hasher();
    ids.map(|id| hasher.hash(&[id])).collect()
}

/// The part that an instruction makes of the honest one: that, that with a byte changed, or
/// another.
fn part(
    kind: u8,
    rest: &mut &[u8],
    mut honest: impl FnMut() -> Option<VolePart>,
) -> Option<VolePart> {
    match kind % 3 {
        0 => honest(),
        1 => {
            let [at, above, change] = array(rest);
            let mut part = honest()?;
            let at = usize::from(u16::from_be_bytes([at, above])) % part.content.len().max(1);
            if let Some(byte) = part.content.get_mut(at) {
                *byte ^= change;
            }
            Some(part)
        }
        _ => {
            let length = usize::from(u16::from_be_bytes(array(rest))).min(rest.len());
            let (bytes, after) = rest.split_at(length);
            *rest = after;
            decode(bytes, bytes.len()).ok()
        }
    }
}

/// What is revealed, then instructions: a byte of whom the part is for (the lowest bit) and what
/// it is, and what that takes.
pub fn vole(data: &[u8]) {
    let mut rest = data;
    let [revealed] = array(&mut rest);
    let domain = Domain::from_digest([7; 32]);
    let run = Run {
        domain,
        direction: Direction::First,
        reveals: [Reveals::Nothing, Reveals::OwnMatches][usize::from(revealed & 1)],
        security: [Security::SemiHonest, Security::Malicious][usize::from(revealed >> 1 & 1)],
        receiver_items: RECEIVER_IDS.len() as u64,
        sender_items: SENDER_IDS.len() as u64,
    };
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let mut receiver = Receiver::new(run, &hashed(&domain, RECEIVER_IDS), &mut rng).unwrap();
    let mut sender = Sender::new(run, &hashed(&domain, SENDER_IDS), &mut rng).unwrap();
    let mut honest = true;
    while !rest.is_empty() {
        let [instruction] = array(&mut rest);
        let kind = instruction >> 1;
        honest &= kind % 3 == 0;
        let taken = if instruction & 1 == 0 {
            let part = part(kind, &mut rest, || sender.outgoing());
            part.map(|part| receiver.incoming(&part))
        } else {
            let part = part(kind, &mut rest, || receiver.outgoing());
            part.map(|part| sender.incoming(&part))
        };
        match taken {
            None | Some(Ok(())) => {}
            Some(Err(VoleError::Peer(Misbehaviour::NothingDue { .. }) | VoleError::Misuse)) => {
                assert!(!honest);
            }
            Some(Err(VoleError::Peer(_))) => {
                assert!(!honest);
                assert!(receiver.outgoing().is_none() || sender.outgoing().is_none());
            }
            Some(Err(error)) => panic!("{error}"),
        }
        for progress in [receiver.progress(), sender.progress()] {
            assert!(progress.done <= progress.total);
        }
    }
    let ends = (receiver.is_finished(), sender.is_finished());
    if let (Ok(theirs), Ok(ours)) = (receiver.finish(), sender.finish()) {
        assert_eq!(ends, (true, true));
        reached("finished");
        assert!(theirs.values[2..] == ours.values[..3]);
        if let Some((theirs, ours)) = theirs.matched.zip(ours.matched) {
            assert_eq!(theirs, [false, false, true, true, true]);
            assert_eq!(ours, [true, true, true, false, false, false, false]);
        }
    }
}
