//! A proposed query inside a signed request: the file, and whose signatures it has.
//!
//! All of it travels with each request, so that the room and every owner check the same, and
//! whoever holds the receipt can check it again. That an owner has not taken its approval back
//! is for that owner to know: [`OwnRules::approved`](crate::OwnRules::approved).

use std::collections::BTreeMap;

use incamera_agreement::{Agreement, ApprovedProposal, ProposalError};
use incamera_keys::SshSig;
use incamera_types::limits::MAX_PARTIES;
use incamera_types::{PartyName, UnixTime};
use incamera_wire::v1::{Approval, ProposedQuery};

use crate::{RequestError, RequestRefusal};

const MALFORMED: RequestError = RequestError::Field { field: "proposed" };

pub(crate) fn to_wire(approved: &ApprovedProposal) -> ProposedQuery {
    let approvals = approved.approvals().iter();
    ProposedQuery {
        proposal: approved.proposal().bytes().to_vec(),
        signature: approved.signature().to_bytes(),
        approvals: approvals
            .map(|(party, signature)| Approval {
                party: party.to_string(),
                signature: signature.to_bytes(),
            })
            .collect(),
    }
}

/// The proposal, once its analyst and every owner read have signed it under this agreement, and
/// it is within the ceilings and in time.
pub(crate) fn open(
    message: &ProposedQuery,
    agreement: &Agreement,
    now: UnixTime,
) -> Result<ApprovedProposal, RequestRefusal> {
    let proposal = agreement.proposal(&message.proposal)?;
    let analyst = proposal.analyst().clone();
    let signature = SshSig::from_bytes(&message.signature);
    let signature = signature.map_err(|_| ProposalError::NotSigned { analyst })?;
    let approvals = approvals(&message.approvals)?;
    Ok(proposal.signed(&signature)?.approved(&approvals, now)?)
}

fn approvals(list: &[Approval]) -> Result<BTreeMap<PartyName, SshSig>, RequestError> {
    if list.len() > MAX_PARTIES {
        return Err(MALFORMED);
    }
    let one = |approval: &Approval| {
        let party = approval.party.parse().map_err(|_| MALFORMED)?;
        let signature = SshSig::from_bytes(&approval.signature).map_err(|_| MALFORMED)?;
        Ok((party, signature))
    };
    list.iter().map(one).collect()
}
