//! Parts of a run alone, for benchmarks.

use incamera_group::Gf128;
use rand_core::CryptoRng;
use subtle::Choice;

use crate::ot::{Chooser, PairSender, Transfers};
use crate::pprf::Grower;
use crate::{PeerFault, code};

const CONTEXT: [u8; 32] = [0; 32];

/// Encodes vectors side by side, in place.
pub fn encode<const LANES: usize>(vector: &mut [[Gf128; LANES]]) {
    code::encode(&CONTEXT, vector);
}

/// The chooser's part of so many transfers and the sender's, one after the other.
pub struct Transfer {
    chooser: Chooser,
    message: Vec<u8>,
    sender: PairSender,
    count: usize,
}

impl Transfer {
    /// Chooses.
    pub fn new(count: usize, rng: &mut impl CryptoRng) -> Self {
        let transfers = Transfers::new(&CONTEXT, 0);
        let sender = PairSender::new(transfers.clone(), rng);
        let choices = (0..count).map(|index| Choice::from((index & 1) as u8));
        let (chooser, message) = Chooser::new(transfers, choices, rng);
        Self {
            chooser,
            message,
            sender,
            count,
        }
    }

    /// Makes the chooser's keys, then the sender's.
    ///
    /// # Errors
    /// None: both sides are honest.
    pub fn finish(self) -> Result<(), PeerFault> {
        self.chooser.keys(self.sender.message())?;
        self.sender.keys(self.count, &self.message)?;
        Ok(())
    }
}

/// Grows a tree for the sender, and for a receiver.
pub fn grow(depth: u32) {
    let keys = vec![[[0; 16]; 2]; depth as usize];
    let (mut message, mut grower) = (Vec::new(), Grower::new(&CONTEXT, depth));
    grower.send(&[1; 16], &keys, &mut message);
    grower.receive(0, &vec![[0; 16]; depth as usize], &message);
}
