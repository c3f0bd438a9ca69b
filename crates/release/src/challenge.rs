//! Challenges: each good for one reservation, for a short time.

use std::collections::BTreeMap;

use incamera_types::UnixTime;
use rand_core::CryptoRng;

/// How long a challenge is good for.
pub const CHALLENGE_LIFETIME_S: u64 = 120;
/// Open challenges; with more, the oldest end.
pub const MAX_OPEN_CHALLENGES: usize = 4096;

/// Proof that a challenge was ours, recent, and not used before. Only [`Challenges::take`]
/// makes one.
///
/// ```compile_fail
/// fn replay(challenge: incamera_release::FreshChallenge) {
///     drop((challenge, challenge)); // good once
/// }
/// ```
#[derive(Debug)]
pub struct FreshChallenge([u8; 32]);

impl FreshChallenge {
    pub(crate) fn bytes(&self) -> [u8; 32] {
        self.0
    }
}

/// The open challenges of a broker. They end with the process.
#[derive(Debug, Default)]
pub struct Challenges {
    open: BTreeMap<[u8; 32], UnixTime>,
}

impl Challenges {
    /// Draws a challenge.
    pub fn issue(&mut self, now: UnixTime, rng: &mut impl CryptoRng) -> [u8; 32] {
        self.open.retain(|_, ends| *ends > now);
        if self.open.len() >= MAX_OPEN_CHALLENGES {
            let oldest = self.open.iter().min_by_key(|(_, ends)| **ends);
            let oldest = oldest.map(|(challenge, _)| *challenge);
            oldest.and_then(|challenge| self.open.remove(&challenge));
        }
        let mut challenge = [0; 32];
        rng.fill_bytes(&mut challenge);
        self.open.insert(challenge, now.plus(CHALLENGE_LIFETIME_S));
        challenge
    }

    /// Uses a challenge up; `None` if it is not ours, too old or was used.
    pub fn take(&mut self, challenge: &[u8], now: UnixTime) -> Option<FreshChallenge> {
        let challenge: [u8; 32] = challenge.try_into().ok()?;
        let ends = self.open.remove(&challenge)?;
        (ends > now).then_some(FreshChallenge(challenge))
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn i4_a_challenge_is_good_once_and_soon() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let (mut challenges, now) = (Challenges::default(), UnixTime(1000));
        let first = challenges.issue(now, &mut rng);
        let second = challenges.issue(now, &mut rng);
        assert_ne!(first, second);
        assert!(challenges.take(&first, now).is_some());
        assert!(challenges.take(&first, now).is_none());
        assert!(challenges.take(&[7; 32], now).is_none());
        assert!(challenges.take(&second[..31], now).is_none());
        let late = now.plus(CHALLENGE_LIFETIME_S);
        assert!(challenges.take(&second, late).is_none());
    }

    #[test]
    fn open_challenges_are_limited() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let mut challenges = Challenges::default();
        let first = challenges.issue(UnixTime(1), &mut rng);
        for _ in 0..MAX_OPEN_CHALLENGES {
            challenges.issue(UnixTime(2), &mut rng);
        }
        assert_eq!(challenges.open.len(), MAX_OPEN_CHALLENGES);
        assert!(challenges.take(&first, UnixTime(2)).is_none());
    }
}
