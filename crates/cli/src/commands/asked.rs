//! The query that a command is about: the agreement's, or that of a proposal.

use std::path::{Path, PathBuf};

use incamera_agreement::{Agreement, ApprovedProposal, Proposal, ProposalError, Query, files};
use incamera_query::{CheckedQuery, Refusal, check};
use incamera_types::limits::MAX_PROPOSAL_BYTES;
use incamera_types::{Params, QueryName};

use super::agreement::refused;
use super::parameters;
use crate::agreement_error;
use crate::args::WhichQuery;
use crate::clock::now;
use crate::failure::{Context, Done, Exit, Failure};

/// A query, and the file that has it.
pub struct Asked {
    query: Query,
    file: PathBuf,
    text: Vec<u8>,
    proposal: Option<Proposal>,
}

impl Asked {
    /// Reads the agreement, whoever has signed it, and the query that is meant.
    pub fn open(which: &WhichQuery) -> Result<(Agreement, Self), Failure> {
        let agreement = agreement_error::read(&which.agreement)?;
        let asked = Self::under(&agreement, which)?;
        Ok((agreement, asked))
    }

    /// The query that is meant, under an agreement that was read.
    pub fn under(agreement: &Agreement, which: &WhichQuery) -> Result<Self, Failure> {
        let (file, proposal) = (&which.agreement, which.proposal.as_deref());
        Self::new(agreement, file, &which.name, proposal)
    }

    /// The query of this name: of the proposal where one is named, else of the agreement.
    pub fn new(
        agreement: &Agreement,
        file: &Path,
        name: &QueryName,
        proposal: Option<&Path>,
    ) -> Result<Self, Failure> {
        let Some(path) = proposal else {
            return Ok(Self {
                query: parameters::query(agreement, name)?.clone(),
                file: file.to_owned(),
                text: agreement.bytes().to_vec(),
                proposal: None,
            });
        };
        let proposal = read(agreement, path)?;
        if &proposal.query().name != name {
            return Err(
                Failure::usage(format!("`{}` proposes no query `{name}`", path.display()))
                    .hint(format!("it proposes `{}`", proposal.query().name)),
            );
        }
        Ok(Self::of(proposal, path))
    }

    /// Its parameters, and the query once it is checked with them.
    pub fn checked(
        &self,
        agreement: &Agreement,
        arguments: &[String],
    ) -> Result<(Params, CheckedQuery), Failure> {
        let params = parameters::read(&self.query, arguments)?;
        let checked = check(agreement, &self.query, &params);
        let checked = checked.map_err(|refusal| self.refused(&refusal))?;
        Ok((params, checked))
    }

    /// The query of a proposal.
    pub fn of(proposal: Proposal, path: &Path) -> Self {
        Self {
            query: proposal.query().clone(),
            file: path.to_owned(),
            text: proposal.bytes().to_vec(),
            proposal: Some(proposal),
        }
    }

    /// The query.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The proposal with its signatures, which lie beside it; nothing of a query of the
    /// agreement.
    pub fn approved(&self) -> Result<Option<ApprovedProposal>, Failure> {
        let Some(proposal) = &self.proposal else {
            return Ok(None);
        };
        let what = format!("query `{}` was not asked", self.query.name);
        let signed = signed(proposal, &self.file)?;
        let unread = "an approval was not read";
        let approvals = files::read_signatures(&self.file, proposal.agreement());
        let approvals = approvals.or_fail(unread).map_err(|failure| {
            failure.hint("get that party's .sig file again, or let it approve again")
        })?;
        let approved = signed.approved(&approvals, now());
        approved.map(Some).map_err(|error| {
            Failure::new(Exit::Refused, what).because(&error).hint(format!(
                "give the proposal and its .sig to those owners: `incamera query approve`, and put what they give back beside `{}`; nothing was spent",
                self.file.display()
            ))
        })
    }

    /// A refusal, drawn into the file that has the query.
    pub fn refused(&self, refusal: &Refusal) -> Failure {
        refused(&self.file, &self.text, &self.query, refusal)
    }
}

/// Reads a proposal, whoever signed it.
pub fn read(agreement: &Agreement, path: &Path) -> Result<Proposal, Failure> {
    let bytes = files::read_bytes(path, MAX_PROPOSAL_BYTES)
        .or_fail("the proposal was not read")
        .map_err(|failure| failure.hint("name a file that `incamera query propose` wrote"))?;
    let proposal = agreement.proposal(&bytes);
    proposal.map_err(|error| failed(path, &bytes, &error, "the proposal does not hold"))
}

/// The proposal once its analyst's signature, which lies beside it, holds.
pub fn signed(
    proposal: &Proposal,
    path: &Path,
) -> Result<incamera_agreement::ProposedQuery, Failure> {
    let beside = files::proposed_path(path);
    let hint = format!(
        "put the analyst's signature beside it as `{}`; if it is there, the proposal was changed since",
        beside.display()
    );
    let signature = files::read_signature(&beside).or_fail("the analyst's signature was not read");
    let signature = signature.map_err(|failure| failure.or_hint(hint.clone()))?;
    let analyst = proposal.analyst().clone();
    let signed = match signature {
        Some(signature) => proposal.clone().signed(&signature),
        None => Err(ProposalError::NotSigned { analyst }),
    };
    signed.map_err(|error| {
        Failure::new(Exit::Refused, "the proposal does not hold")
            .because(&error)
            .hint(hint)
    })
}

/// What a proposal's error means to a person; what is malformed is drawn into the text.
pub fn failed(path: &Path, text: &[u8], error: &ProposalError, what: &str) -> Failure {
    if let ProposalError::Invalid(source) = error {
        return agreement_error::invalid(path, text, "proposal", "[queries.", source);
    }
    let failure = Failure::new(Exit::Refused, what).because(error);
    match error {
        ProposalError::OtherAgreement => failure.hint(
            "name its agreement with `--agreement FILE`, or propose it under the newest version",
        ),
        ProposalError::Beyond { .. } => failure.hint(
            "change the query, or agree on a new version with other ceilings under [proposals]",
        ),
        _ => failure.hint("agree on a new version whose section [proposals] allows it"),
    }
}

/// Refuses a proposal that is over.
pub fn in_time(proposal: &Proposal, what: &str) -> Done {
    let day = proposal.expires();
    match now() > day.end() {
        true => Err(Failure::new(Exit::Refused, what)
            .because(&ProposalError::Expired { day })
            .hint("let the analyst propose it again")),
        false => Ok(()),
    }
}
