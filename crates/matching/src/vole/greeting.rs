//! Greetings of a run, its name, and what neither side chose alone.

use incamera_types::{Digest as _, MatchRunDigest, MatchTermsDigest, Transcript};
use incamera_vole::hash::Domain;
use incamera_vole::oprf::Direction;
use incamera_wire::Format;
use incamera_wire::v1::MatchHello;

use super::{Security, Setup, check_set};
use crate::exchange::hello::{Common, run_name};
use crate::{Incompatible, MatchError, Misbehaviour};

/// Digest of the terms, which commitments hang on.
const TERMS_LABEL: &str = "incamera-vole-terms/1";
/// Label of a run's name.
const RUN_LABEL: &str = "incamera-vole-run/1";
/// Brings the name and both nonces together.
const TOSSED_LABEL: &str = "incamera-vole-tossed/1";

/// The peer's greeting, checked.
pub(super) struct Greeting {
    pub(super) size: u64,
    pub(super) numbering: String,
    pub(super) commitment: [u8; 32],
    pub(super) run: MatchRunDigest,
}

impl Setup {
    /// Our place by name.
    pub(super) fn place(&self) -> Direction {
        match self.me < self.peer {
            true => Direction::First,
            false => Direction::Second,
        }
    }

    /// What both sides know before they greet.
    pub(super) fn terms_digest(&self) -> MatchTermsDigest {
        let (first, second) = ((&self.me).min(&self.peer), (&self.me).max(&self.peer));
        let terms = &self.terms;
        Transcript::new(TERMS_LABEL)
            .field(terms.agreement_id)
            .field(terms.agreement_digest)
            .number(u64::from(terms.epoch.0))
            .field(terms.id_kind.as_str())
            .field(terms.method.as_str())
            .field(terms.reveals.as_str())
            .field(self.security.as_str())
            .number(u64::from(self.alike.rules))
            .field(self.alike.partition.to_string())
            .field(first.as_str())
            .field(second.as_str())
            .finish()
    }

    /// Our greeting.
    pub(super) fn hello(&self, commitment: [u8; 32]) -> MatchHello {
        let terms = &self.terms;
        MatchHello {
            format: Format::Vole.as_str().to_owned(),
            agreement_digest: terms.agreement_digest.as_bytes().to_vec(),
            party: self.me.to_string(),
            epoch: terms.epoch.0,
            id_kind: terms.id_kind.to_string(),
            method: terms.method.to_string(),
            reveals: terms.reveals.to_string(),
            set_size: self.own,
            rules: self.alike.rules,
            partition: self.alike.partition.number(),
            partitions: self.alike.partition.of(),
            numbering: self.numbering.clone(),
            security: self.security.to_string(),
            commitment: commitment.to_vec(),
            ..MatchHello::default()
        }
    }

    /// The peer's greeting against ours.
    pub(super) fn greeted(
        &self,
        ours: &MatchHello,
        theirs: &MatchHello,
    ) -> Result<Greeting, MatchError> {
        self.compatible(theirs)
            .map_err(|source| MatchError::PeerIncompatible {
                peer: self.peer.clone(),
                source,
            })?;
        let malformed = |field| self.misbehaved(Misbehaviour::Hello { field });
        let commitment = theirs.commitment.as_slice().try_into();
        if theirs.resume.is_some() || theirs.row_keys || !theirs.nonce.is_empty() {
            return Err(malformed("resume"));
        }
        Ok(Greeting {
            size: theirs.set_size,
            numbering: theirs.numbering.clone(),
            commitment: commitment.map_err(|_| malformed("commitment"))?,
            run: run_name(RUN_LABEL, ours, theirs),
        })
    }

    fn compatible(&self, theirs: &MatchHello) -> Result<(), Incompatible> {
        let common = Common {
            terms: &self.terms,
            peer: &self.peer,
            alike: &self.alike,
        };
        common.check(Format::Vole, theirs)?;
        if theirs.security != self.security.as_str() {
            let ours = self.security;
            return Err(Incompatible::Security { ours });
        }
        check_set(theirs.set_size, self.terms.max_ids)?;
        Ok(())
    }

    pub(super) fn misbehaved(&self, source: Misbehaviour) -> MatchError {
        MatchError::PeerMisbehaved {
            peer: self.peer.clone(),
            source,
        }
    }
}

/// What all steps hang on: what both tossed, and all that the greetings said, sizes included.
pub(super) fn domain(tossed: Domain, run: &MatchRunDigest) -> Domain {
    let digest: MatchTermsDigest = Transcript::new(TOSSED_LABEL)
        .field(tossed.as_bytes())
        .field(run)
        .finish();
    Domain::from_digest(*digest.as_bytes())
}

impl Security {
    /// What the crate below calls it.
    pub(super) fn tags(self) -> incamera_vole::oprf::Security {
        match self {
            Self::Malicious => incamera_vole::oprf::Security::Malicious,
            Self::SemiHonest => incamera_vole::oprf::Security::SemiHonest,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the two nonces, so that nobody chooses it alone; of the name, so that sides which were
    /// greeted differently have no step in common.
    #[test]
    fn steps_hang_on_what_both_tossed_and_on_the_name() {
        let of = |tossed, run| {
            let run = MatchRunDigest::from_bytes([run; 32]);
            domain(Domain::from_digest([tossed; 32]), &run)
        };
        assert!(of(1, 2) == of(1, 2));
        assert!(of(1, 2) != of(3, 2));
        assert!(of(1, 2) != of(1, 3));
    }

    /// What nonces are committed under: everything that is agreed and both parties, in the order
    /// of their names.
    #[test]
    fn commitments_hang_on_all_terms() {
        let setup = || Setup {
            terms: crate::terms::tests::terms(),
            security: Security::Malicious,
            me: "mailer".parse().unwrap(),
            peer: "shop".parse().unwrap(),
            own: 3,
            alike: crate::exchange::Alike {
                rules: 1,
                partition: crate::Partition::WHOLE,
            },
            numbering: String::new(),
        };
        let whole = setup().terms_digest();
        let mut theirs = setup();
        std::mem::swap(&mut theirs.me, &mut theirs.peer);
        theirs.own = 9;
        assert_eq!(theirs.terms_digest(), whole);
        let changes: [fn(&mut Setup); 9] = [
            |s| s.terms.agreement_id = incamera_types::AgreementId::from_bytes([9; 32]),
            |s| s.terms.agreement_digest = incamera_types::AgreementDigest::from_bytes([9; 32]),
            |s| s.terms.epoch = incamera_types::MatchingEpoch(9),
            |s| s.terms.id_kind = "phone".parse().unwrap(),
            |s| s.terms.reveals = crate::Reveals::OwnMatches,
            |s| s.security = Security::SemiHonest,
            |s| s.alike.rules = 2,
            |s| s.alike.partition = crate::Partition::new(1, 2).unwrap(),
            |s| s.peer = "press".parse().unwrap(),
        ];
        for (at, change) in changes.into_iter().enumerate() {
            let mut other = setup();
            change(&mut other);
            assert_ne!(other.terms_digest(), whole, "{at}");
        }
    }
}
