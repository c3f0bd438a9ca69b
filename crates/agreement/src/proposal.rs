//! Queries that are proposed beside an agreement, and run once the owners of what they read
//! approve them: no new version of the agreement.
//!
//! # Who signs what
//! | file | signature over its exact bytes | key | namespace |
//! |------|--------------------------------|-----|-----------|
//! | `NAME.proposal` | `NAME.proposal.sig` | the analyst's, by the agreement | `incamera-proposal` |
//! | the same | `NAME.proposal.PARTY.sig` | the owner's signing key | `incamera-query` |
//!
//! The bytes hold the agreement's digest, the analyst, the last day and the whole query, so
//! neither signature says anything of another query, version or time. The namespaces differ: a
//! party that has one key for both, or a person whom two parties trust, cannot be made to
//! approve by proposing.
//!
//! # States
//! [`Proposal`] (well formed, within the ceilings of `[proposals]`) → [`ProposedQuery`] (its
//! analyst has signed it) → [`ApprovedProposal`] (so has every owner read, and it is in time).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use incamera_keys::{KeyError, SigningKey, SshSig};
use incamera_types::{
    AnalystRef, Budget, DatasetName, Date, Delta, PartyName, PrivacyLoss, ProposalDigest,
    PurposeSet, UnixTime,
};

use crate::AgreementError;
use crate::explain::question;
use crate::model::{Agreement, AnalystKey, Query};
use crate::page::Page;
use crate::parse::proposal as parse;
use incamera_types::and;

/// The format line of the proposals that this version reads.
pub const PROPOSAL_FORMAT: &str = "incamera-proposal/1";
/// The namespace of an analyst's signature over a proposal.
pub const PROPOSED_NAMESPACE: &str = "incamera-proposal";
/// The namespace of an owner's approval of a proposal.
pub const APPROVED_NAMESPACE: &str = "incamera-query";

/// What may be proposed under an agreement: its section `[proposals]`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Proposals {
    /// Who may propose.
    pub analysts: Vec<AnalystRef>,
    /// For which leaf purposes.
    pub purposes: PurposeSet,
    /// The data sets that may be read; all where none is said.
    pub datasets: Option<BTreeSet<DatasetName>>,
    /// The most that one run may cost each owner read, in epsilon, in delta and in the rho that
    /// both together are charged as.
    pub budget: Budget,
    /// The least `min_people`.
    pub min_people: u64,
    /// The last day on which what was proposed runs; that of the agreement where none is said.
    pub until: Option<Date>,
}

impl Proposals {
    /// What about a query the ceilings do not allow, in words.
    fn beyond(&self, query: &Query) -> Option<String> {
        let Budget { epsilon, delta } = self.budget;
        if !self.purposes.contains(&query.purpose) {
            let (purpose, allowed) = (&query.purpose, and(self.purposes.iter()));
            return Some(format!(
                "it is for the purpose `{purpose}`, and may be for {allowed}"
            ));
        }
        let open = |name: &&DatasetName| {
            self.datasets
                .as_ref()
                .is_none_or(|open| open.contains(*name))
        };
        if let Some(closed) = query.datasets().into_iter().find(|name| !open(name)) {
            let allowed = and(self.datasets.iter().flatten());
            return Some(format!("it reads `{closed}`, and may read {allowed}"));
        }
        if query.epsilon > epsilon {
            return Some(format!(
                "a run costs epsilon {}, and may cost {epsilon}",
                query.epsilon
            ));
        }
        if query.delta > delta {
            return Some(format!(
                "a run costs delta {}, and may cost {delta}",
                query.delta
            ));
        }
        let few = (query.min_people < self.min_people).then(|| {
            format!(
                "it shows groups from {} people on, and may from {} on",
                query.min_people, self.min_people
            )
        });
        few.or_else(|| self.dearer(query))
    }

    /// Epsilon and delta, each within its bound, do not bound what budgets pay: the same epsilon
    /// without delta is charged many times the rho.
    fn dearer(&self, query: &Query) -> Option<String> {
        let Budget { epsilon, delta } = self.budget;
        let rho = incamera_dp::rho_of(epsilon, delta, Delta::ZERO).unwrap_or_default();
        let most = PrivacyLoss {
            rho,
            delta0: incamera_dp::for_thresholds(delta),
        };
        (!query.loss.within(&most)).then(|| {
            format!(
                "at epsilon {} and delta {} a run is charged rho {}, and may be charged rho {rho}, which is epsilon {epsilon} and delta {delta}",
                query.epsilon, query.delta, query.loss.rho
            )
        })
    }
}

/// Why a proposal does not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProposalError {
    /// The agreement has no section `[proposals]`.
    #[error("the agreement lets nobody propose queries: it has no section [proposals]")]
    Nothing,
    /// The file is not a proposal.
    #[error("the proposal is malformed")]
    Invalid(#[source] AgreementError),
    /// Made under another version of the agreement.
    #[error("the proposal was made under another version of the agreement: propose it anew")]
    OtherAgreement,
    /// The agreement does not let the analyst propose.
    #[error("the agreement does not let `{analyst}` propose queries")]
    NotAProposer {
        /// The analyst.
        analyst: AnalystRef,
    },
    /// Above a ceiling.
    #[error("the proposal goes beyond what the agreement lets analysts propose: {what}")]
    Beyond {
        /// What, in words.
        what: String,
    },
    /// The analyst has not signed this text.
    #[error("the proposal is not signed by `{analyst}`, who it says proposes it")]
    NotSigned {
        /// The analyst.
        analyst: AnalystRef,
    },
    /// Not every owner read has approved this text.
    #[error("the proposal is not approved by {}, whose data it reads", names(.owners))]
    NotApproved {
        /// The owners whose approval is missing, or does not hold.
        owners: Vec<PartyName>,
    },
    /// The proposal is over.
    #[error("the proposal ended with {day} (UTC): propose it anew")]
    Expired {
        /// Its last day.
        day: Date,
    },
}

fn names(parties: &[PartyName]) -> String {
    and(parties.iter().map(|party| format!("`{party}`")))
}

/// A query that an analyst proposes, well formed and within the ceilings of the agreement.
/// Whose signatures it has is not said.
#[derive(Clone)]
pub struct Proposal {
    agreement: Agreement,
    analyst: AnalystRef,
    expires: Date,
    query: Query,
    bytes: Vec<u8>,
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proposal({} {})", self.query.name, self.digest())
    }
}

impl Agreement {
    /// Reads a proposal that was made under this very version.
    ///
    /// # Errors
    /// [`ProposalError`] for what is malformed, of another version, or beyond the ceilings.
    pub fn proposal(&self, bytes: &[u8]) -> Result<Proposal, ProposalError> {
        let ceilings = self.proposals.as_ref().ok_or(ProposalError::Nothing)?;
        let parse::Read {
            analyst,
            expires,
            query,
        } = parse::read(bytes, self)?;
        if !ceilings.analysts.contains(&analyst) {
            return Err(ProposalError::NotAProposer { analyst });
        }
        let beyond = |what| Err(ProposalError::Beyond { what });
        if let Some(what) = ceilings.beyond(&query) {
            return beyond(what);
        }
        if self.owners_read(&query).is_empty() {
            return beyond(
                "it reads no private data, so that there is no owner to approve it".into(),
            );
        }
        let last = self.last_day_of_proposals();
        if expires > last {
            return beyond(format!("it ends with {expires}, and has to with {last}"));
        }
        Ok(Proposal {
            agreement: self.clone(),
            analyst,
            expires,
            query,
            bytes: bytes.to_vec(),
        })
    }

    /// The last day on which a proposal of this version runs.
    #[must_use]
    pub fn last_day_of_proposals(&self) -> Date {
        let until = self.proposals.as_ref().and_then(|ceilings| ceilings.until);
        until.unwrap_or(self.expires)
    }

    /// Makes a proposal of a draft, which is the section `[queries.NAME]` alone.
    ///
    /// # Errors
    /// [`ProposalError`]; places are those in the draft.
    pub fn propose(
        &self,
        draft: &str,
        analyst: &AnalystRef,
        expires: Date,
    ) -> Result<Proposal, ProposalError> {
        if self.proposals.is_none() {
            return Err(ProposalError::Nothing);
        }
        parse::draft(draft.as_bytes(), self)?;
        let head = format!(
            "format    = \"{PROPOSAL_FORMAT}\"\nagreement = \"{}\"\nanalyst   = \"{analyst}\"\nexpires   = {expires}\n\n",
            self.digest
        );
        self.proposal(format!("{head}{draft}").as_bytes())
    }
}

/// Signs a proposal as the analyst who makes it.
///
/// # Errors
/// [`KeyError`] if the key cannot sign.
pub fn propose(proposal: &Proposal, key: &SigningKey) -> Result<SshSig, KeyError> {
    key.sign(PROPOSED_NAMESPACE, &proposal.bytes)
}

/// Approves a proposal as an owner, with its signing key.
///
/// # Errors
/// [`KeyError`] if the key cannot sign.
pub fn approve(proposal: &Proposal, key: &SigningKey) -> Result<SshSig, KeyError> {
    key.sign(APPROVED_NAMESPACE, &proposal.bytes)
}

impl Proposal {
    /// The agreement under which it was read.
    #[must_use]
    pub fn agreement(&self) -> &Agreement {
        &self.agreement
    }
    /// Who proposes.
    #[must_use]
    pub fn analyst(&self) -> &AnalystRef {
        &self.analyst
    }
    /// The last day on which it runs.
    #[must_use]
    pub fn expires(&self) -> Date {
        self.expires
    }
    /// The query.
    #[must_use]
    pub fn query(&self) -> &Query {
        &self.query
    }
    /// The exact bytes, which analyst and owners sign.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    /// SHA-256 of the bytes.
    #[must_use]
    pub fn digest(&self) -> ProposalDigest {
        ProposalDigest::of_file(&self.bytes)
    }

    /// The owners who have to approve: those whose private data it reads.
    #[must_use]
    pub fn owners(&self) -> BTreeSet<PartyName> {
        self.agreement.owners_read(&self.query)
    }

    /// Whether this is the party's approval of this very text.
    #[must_use]
    pub fn is_approval(&self, party: &PartyName, signature: &SshSig) -> bool {
        let party = self.agreement.parties.get(party);
        party.is_some_and(|party| {
            let verified = party
                .signs
                .verify(APPROVED_NAMESPACE, &self.bytes, signature);
            verified.is_ok()
        })
    }

    /// Checks that its analyst signed it.
    ///
    /// # Errors
    /// [`ProposalError::NotSigned`].
    pub fn signed(self, signature: &SshSig) -> Result<ProposedQuery, ProposalError> {
        let verified = match self.agreement.analyst_key(&self.analyst) {
            Some(AnalystKey::Key(key)) => key
                .verify(PROPOSED_NAMESPACE, &self.bytes, signature)
                .is_ok(),
            _ => false,
        };
        match verified {
            true => Ok(ProposedQuery {
                proposal: self,
                signature: signature.clone(),
            }),
            false => Err(ProposalError::NotSigned {
                analyst: self.analyst,
            }),
        }
    }

    /// What is proposed, in words: for the owners who are asked to approve it.
    #[must_use]
    pub fn explain(&self) -> String {
        let mut page = Page::default();
        let Self {
            agreement, query, ..
        } = self;
        page.heading(&format!(
            "Proposal {}, under agreement {} version {}",
            query.name, agreement.name, agreement.version
        ));
        page.point(format_args!("proposed by {}", self.analyst));
        page.point(format_args!(
            "it runs once {} approve it, whose data it reads, until the end of {} (UTC), and under this version of the agreement alone",
            and(self.owners()),
            self.expires
        ));
        page.point(format_args!("digest: {}", self.digest()));
        page.heading("What it asks, and who gets the answer");
        question(&mut page, agreement, query);
        page.finish()
    }
}

/// Proof that the analyst who proposes a query signed it. Only [`Proposal::signed`] makes one:
///
/// ```compile_fail,E0451
/// # fn f(proposal: incamera_agreement::Proposal) {
/// let signed = incamera_agreement::ProposedQuery { proposal };
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ProposedQuery {
    proposal: Proposal,
    signature: SshSig,
}

impl ProposedQuery {
    /// The proposal.
    #[must_use]
    pub fn proposal(&self) -> &Proposal {
        &self.proposal
    }

    /// Checks that every owner whose data it reads has approved it, and that it is in time.
    /// Signatures of others are ignored.
    ///
    /// # Errors
    /// [`ProposalError::NotApproved`], [`ProposalError::Expired`].
    pub fn approved(
        self,
        approvals: &BTreeMap<PartyName, SshSig>,
        now: UnixTime,
    ) -> Result<ApprovedProposal, ProposalError> {
        let proposal = self.proposal;
        if now > proposal.expires.end() {
            let day = proposal.expires;
            return Err(ProposalError::Expired { day });
        }
        let approves = |owner: &PartyName| {
            let signature = approvals.get(owner);
            signature.is_some_and(|signature| proposal.is_approval(owner, signature))
        };
        let owners = proposal.owners();
        let missing: Vec<PartyName> = owners.iter().filter(|o| !approves(o)).cloned().collect();
        if !missing.is_empty() {
            return Err(ProposalError::NotApproved { owners: missing });
        }
        let of_owner = |(party, _): &(&PartyName, _)| owners.contains(*party);
        let approvals = approvals.iter().filter(of_owner);
        Ok(ApprovedProposal {
            approvals: approvals.map(|(p, s)| (p.clone(), s.clone())).collect(),
            signature: self.signature,
            proposal,
        })
    }
}

/// Proof that a proposal was signed by its analyst and approved by every owner read, and was in
/// time. Only [`ProposedQuery::approved`] makes one:
///
/// ```compile_fail,E0451
/// # fn f(proposal: incamera_agreement::Proposal) {
/// let approved = incamera_agreement::ApprovedProposal { proposal };
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ApprovedProposal {
    proposal: Proposal,
    signature: SshSig,
    approvals: BTreeMap<PartyName, SshSig>,
}

impl PartialEq for ApprovedProposal {
    /// The same text under the same signatures.
    fn eq(&self, other: &Self) -> bool {
        self.proposal.bytes == other.proposal.bytes
            && self.signature == other.signature
            && self.approvals == other.approvals
    }
}

impl Eq for ApprovedProposal {}

impl ApprovedProposal {
    /// The proposal.
    #[must_use]
    pub fn proposal(&self) -> &Proposal {
        &self.proposal
    }
    /// The signature of its analyst.
    #[must_use]
    pub fn signature(&self) -> &SshSig {
        &self.signature
    }
    /// The approvals of the owners read, and of nobody else.
    #[must_use]
    pub fn approvals(&self) -> &BTreeMap<PartyName, SshSig> {
        &self.approvals
    }
    /// The first second after its last day: what asks it is good until then at most.
    #[must_use]
    pub fn ends(&self) -> UnixTime {
        self.proposal.expires.end().plus(1)
    }
    /// The query, as good as one of the agreement's.
    #[must_use]
    pub fn query(&self) -> &Query {
        &self.proposal.query
    }
}
