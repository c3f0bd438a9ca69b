//! What a package belongs to, in front of it.
//!
//! Name and version, a zero byte, the ceremony's id (32 bytes), what is made and the round (a
//! byte each), the places of sender and receiver (two bytes each, big-endian; a receiver of 0
//! is all), then what [`frost`](crate::frost) says.

use std::fmt;

use zeroize::Zeroizing;

use super::{CeremonyId, Fault};
use crate::lagrange::Place;

/// Starts every package.
const NAME: &[u8] = b"incamera-ceremony/1\0";

/// A package to send. A secret one is wiped when dropped; `Debug` shows neither.
#[derive(Clone)]
pub struct Package {
    receiver: Option<Place>,
    bytes: Zeroizing<Vec<u8>>,
}

impl Package {
    /// Whom it is for alone, sealed; `None`: for all, and not secret.
    #[must_use]
    pub fn receiver(&self) -> Option<Place> {
        self.receiver
    }

    /// What to sign and send.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl fmt::Debug for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Package(..)")
    }
}

#[derive(Clone, Copy)]
pub(super) enum Round {
    First = 1,
    Second = 2,
}

/// What a package belongs to.
pub(super) struct Header {
    pub(super) id: CeremonyId,
    pub(super) refreshes: bool,
    pub(super) round: Round,
    pub(super) sender: Place,
    pub(super) receiver: Option<Place>,
}

impl Header {
    pub(super) fn package(&self, body: &[u8]) -> Package {
        let [sender, receiver] = self.places();
        let parts: [&[u8]; 6] = [NAME, &self.id, &self.step(), &sender, &receiver, body];
        Package {
            receiver: self.receiver,
            bytes: Zeroizing::new(parts.concat()),
        }
    }

    /// The body of a package that belongs here.
    pub(super) fn open<'a>(&self, package: &'a [u8]) -> Result<&'a [u8], Fault> {
        let rest = package.strip_prefix(NAME).ok_or(Fault::Malformed)?;
        let (id, rest) = rest.split_first_chunk().ok_or(Fault::Malformed)?;
        let (step, rest) = rest.split_first_chunk().ok_or(Fault::Malformed)?;
        let (sender, rest) = rest.split_first_chunk().ok_or(Fault::Malformed)?;
        let (receiver, body) = rest.split_first_chunk().ok_or(Fault::Malformed)?;
        let [own_sender, own_receiver] = self.places();
        let checks = [
            (*id == self.id, Fault::OtherCeremony),
            (*step == self.step(), Fault::OtherStep),
            (*sender == own_sender, Fault::OtherSender),
            (*receiver == own_receiver, Fault::OtherReceiver),
        ];
        match checks.into_iter().find(|(holds, _)| !holds) {
            Some((_, fault)) => Err(fault),
            None => Ok(body),
        }
    }

    fn step(&self) -> [u8; 2] {
        [u8::from(self.refreshes), self.round as u8]
    }

    fn places(&self) -> [[u8; 2]; 2] {
        let receiver = self.receiver.map_or(0, Place::get);
        [self.sender.get(), receiver].map(u16::to_be_bytes)
    }
}
