//! What a peer can do wrong while the vectors are made.

use incamera_group::PointFault;

/// Why the vectors were not made. The peer is at fault, or what came was not what it sent.
///
/// Names a message and a place in it, never its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerFault {
    /// A message has another length than the sizes agreed on give it.
    #[error("the peer's message {message} has {found} bytes where {expected} are due")]
    Length {
        /// Which message.
        message: &'static str,
        /// Its length.
        found: usize,
        /// Its length by the protocol.
        expected: usize,
    },
    /// A point of an oblivious transfer is refused.
    #[error("point {index} of the peer's transfers is refused")]
    Point {
        /// Its place.
        index: usize,
        /// Why.
        #[source]
        fault: PointFault,
    },
    /// Both points of a transfer are the same, as no honest choice makes them.
    #[error("transfer {index} of the peer offers the same point twice")]
    SamePoints {
        /// Its place.
        index: usize,
    },
    /// Check 1: the receiver's corrections do not all hold the same vector.
    #[error("the peer's corrections contradict each other")]
    Corrections,
    /// Check 2: the sender's sums do not fit its vector.
    #[error("the peer's sums contradict each other")]
    Sums,
}

/// Takes a message of a fixed length.
pub(crate) fn array<const LENGTH: usize>(
    message: &'static str,
    bytes: &[u8],
) -> Result<[u8; LENGTH], PeerFault> {
    bytes.try_into().map_err(|_| PeerFault::Length {
        message,
        found: bytes.len(),
        expected: LENGTH,
    })
}

/// Takes a message of the length that is due.
pub(crate) fn of_length<'a>(
    message: &'static str,
    bytes: &'a [u8],
    expected: usize,
) -> Result<&'a [u8], PeerFault> {
    let found = bytes.len();
    if found == expected {
        return Ok(bytes);
    }
    Err(PeerFault::Length {
        message,
        found,
        expected,
    })
}
