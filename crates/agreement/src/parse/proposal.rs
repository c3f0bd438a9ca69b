//! A proposal: its head, and the one section `[queries.NAME]`, read by the code that reads the
//! agreement's.

use incamera_types::limits::MAX_PROPOSAL_BYTES;
use incamera_types::{AgreementDigest, AnalystRef, Date, QueryName};

use super::query::queries;
use super::{Kind, Known, document, format_line};
use crate::error::Problems;
use crate::model::{Agreement, Query};
use crate::proposal::{PROPOSAL_FORMAT, ProposalError};
use crate::reader::Table;

const PROPOSAL: Kind = Kind {
    what: "a proposal",
    format: PROPOSAL_FORMAT,
    family: "incamera-proposal/",
    most_bytes: MAX_PROPOSAL_BYTES,
    shorter: "propose a shorter query",
};

const DRAFT: Kind = Kind {
    what: "a draft of a proposal",
    ..PROPOSAL
};

/// What a proposal's file says.
pub(crate) struct Read {
    pub(crate) analyst: AnalystRef,
    pub(crate) expires: Date,
    pub(crate) query: Query,
}

/// Reads a proposal that was made under `agreement`.
pub(crate) fn read(bytes: &[u8], agreement: &Agreement) -> Result<Read, ProposalError> {
    let read = document(bytes, &PROPOSAL, |root| {
        format_line(root, &PROPOSAL)?;
        let digest = root.need("agreement", "name the digest of the agreement");
        let digest: Option<AgreementDigest> =
            digest.and_then(|item| item.parsed("write the digest that `agreement show` prints"));
        let analyst = root.need("analyst", "name who proposes, such as \"mailer/ana\"");
        let analyst =
            analyst.and_then(|item| item.parsed("write `party/analyst`, such as \"mailer/ana\""));
        let expires = root.need(
            "expires",
            "write the last day, such as expires = 2027-01-31",
        );
        let expires = expires.and_then(|item| item.date());
        if digest? != agreement.digest {
            // Its names mean what they mean there: to say what does not fit would mislead.
            return Some(None);
        }
        let query = only_query(root, agreement);
        root.close();
        Some(Some(Read {
            analyst: analyst?,
            expires: expires?,
            query: query?,
        }))
    });
    read.map_err(ProposalError::Invalid)?
        .ok_or(ProposalError::OtherAgreement)
}

/// Reads the section alone, before it has a head.
pub(crate) fn draft(bytes: &[u8], agreement: &Agreement) -> Result<Query, ProposalError> {
    let read = document(bytes, &DRAFT, |root| {
        let query = only_query(root, agreement);
        root.close();
        query
    });
    read.map_err(ProposalError::Invalid)
}

/// The one query, which is none of the agreement's.
fn only_query(root: &Table<'_>, agreement: &Agreement) -> Option<Query> {
    let known = known(agreement, root.problems());
    const HELP: &str = "write one section [queries.NAME], as it would stand in the agreement";
    root.need("queries", HELP)?;
    let read = queries(root, &known);
    let mut names = root.members::<QueryName>("queries").into_iter();
    let Some(named) = names.next() else {
        root.problem("a proposal has one query, and here is none", HELP);
        return None;
    };
    if let Some(second) = names.next() {
        known.problems.add(
            &second.at,
            format_args!(
                "`{}` is a second query, and a proposal has one",
                second.name
            ),
            "propose each in a file of its own",
        );
    }
    if agreement.queries.contains_key(&named.name) {
        known.problems.add(
            &named.at,
            format_args!("the agreement has a query `{}`", named.name),
            "choose another name",
        );
    }
    read.into_values().next()?
}

/// What the agreement has, for the section that refers to it.
fn known<'d>(agreement: &Agreement, problems: &'d Problems<'d>) -> Known<'d> {
    let parties = agreement.parties.iter();
    let datasets = agreement.datasets.iter();
    Known {
        problems,
        expires: Some(agreement.expires),
        parties: parties
            .map(|(name, party)| (name.clone(), Some(party.clone())))
            .collect(),
        ids: agreement.matching.ids.clone(),
        link: agreement.matching.link,
        purposes: agreement.purposes.clone(),
        datasets: datasets
            .map(|(name, spec)| (name.clone(), Some(spec.clone())))
            .collect(),
    }
}
