//! Who calls, and by which agreement.

use incamera_agreement::{ActiveAgreement, Agreement, Providers};
use incamera_keys::PublicKey;
use incamera_matching::statement::Agreed;
use incamera_net::agreements::Agreements;
use incamera_net::status::{Problem, ProblemKind};
use incamera_types::{AgreementDigest, Digest as _, MatchingEpoch, PartyName};

use crate::store::Matter;
use std::sync::Arc;

const DAY_S: u64 = 24 * 60 * 60;

/// What an agreement says about the key of its providers; none where another method matches.
#[must_use]
pub fn agreed(agreement: &Agreement) -> Option<Agreed> {
    let providers = agreement.matching.providers.as_ref()?;
    Some(Agreed {
        agreement_id: agreement.id,
        epoch: agreement.matching.epoch,
        threshold: providers.threshold.into(),
        providers: agreement.provider_keys(),
        valid_s: u64::from(providers.key_days).saturating_mul(DAY_S),
    })
}

/// A caller who is known, and the agreement by which it asks.
pub(crate) struct Admitted {
    pub(crate) agreement: ActiveAgreement,
    pub(crate) providers: Providers,
    pub(crate) agreed: Agreed,
    pub(crate) party: PartyName,
}

impl Admitted {
    pub(crate) fn matter(&self) -> Matter {
        Matter {
            agreement_id: self.agreed.agreement_id,
            epoch: self.agreed.epoch,
        }
    }

    /// An owner of data, which the caller says it is.
    pub(crate) fn into_owner(self, claimed: &PartyName) -> Result<Self, Problem> {
        let owns = self.agreement.agreement().owners().contains(&self.party);
        match owns && self.party == *claimed {
            true => Ok(self),
            false => Err(not_the_party(claimed)),
        }
    }

    /// Another provider, or this one itself.
    pub(crate) fn into_provider(self) -> Result<Self, Problem> {
        match self.providers.names.contains(&self.party) {
            true => Ok(self),
            false => Err(Problem::new(
                ProblemKind::Refused,
                "not-a-provider",
                format!(
                    "`{}` is no provider: keys are made by providers alone",
                    self.party
                ),
            )),
        }
    }

    /// Of the epoch that the agreement is at.
    pub(crate) fn at_epoch(self, epoch: MatchingEpoch) -> Result<Self, Problem> {
        let current = self.agreed.epoch;
        match current == epoch {
            true => Ok(self),
            false => Err(Problem::new(
                ProblemKind::Refused,
                "other-epoch",
                format!("the agreement is at matching epoch {current}, not {epoch}"),
            )
            .hint("match again under the agreement's newest version")),
        }
    }
}

/// By the key that the caller's TLS connection showed: a party of an agreement in force in
/// which this provider, `me`, is one.
pub(crate) async fn admit(
    agreements: &Arc<Agreements>,
    me: &PartyName,
    digest: &[u8],
    key: Option<PublicKey>,
) -> Result<Admitted, tonic::Status> {
    let digest = AgreementDigest::from_slice(digest).map_err(|_| malformed("agreement_digest"))?;
    let agreement = agreements.active_aside(digest).await?;
    let terms = agreement.agreement();
    let providers = terms.matching.providers.clone();
    let providers = providers.filter(|providers| providers.names.contains(me));
    let (Some(providers), Some(agreed)) = (providers, agreed(terms)) else {
        return Err(Problem::new(
            ProblemKind::Refused,
            "not-a-provider-here",
            format!("`{me}` is no provider of this agreement"),
        )
        .hint("`providers` under [matching] says who are")
        .into());
    };
    let mut parties = terms.parties.iter();
    let party = parties.find(|(_, party)| Some(&party.service) == key.as_ref());
    let (party, _) = party.ok_or_else(|| {
        let what = "the caller's TLS key is no party's service key";
        Problem::new(ProblemKind::Refused, "not-a-party", what)
            .hint("use the service key that the agreement names")
    })?;
    let party = party.clone();
    Ok(Admitted {
        agreement,
        providers,
        agreed,
        party,
    })
}

fn not_the_party(name: &PartyName) -> Problem {
    Problem::new(
        ProblemKind::Refused,
        "not-the-party",
        format!("the caller is not `{name}`, an owner of data here: its TLS key is not that party's service key"),
    )
    .hint("use the service key that the agreement names")
}

/// A message of which a field is not as it should be.
pub(crate) fn malformed(field: &str) -> Problem {
    Problem::new(
        ProblemKind::Invalid,
        "malformed-message",
        format!("the field `{field}` of a message is missing or malformed"),
    )
}
