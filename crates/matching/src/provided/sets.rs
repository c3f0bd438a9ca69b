//! Who is asked together.

use std::collections::BTreeMap;
use std::sync::Arc;

use incamera_group::Backend;
use incamera_oprf::client::Quorum;
use incamera_oprf::lagrange::{Place, Places};
use incamera_oprf::session::Hello;
use incamera_oprf::shares::SharesError;
use incamera_types::{EvaluateSessionDigest, PartyName};

use super::ProvidedError;
use crate::statement::KeyStatement;

/// The holders of a key's shares, without those who are left out.
#[derive(Clone, Debug)]
pub struct Sets {
    statement: Arc<KeyStatement>,
    left_out: BTreeMap<PartyName, String>,
}

/// The providers that a session asks.
pub struct Asked {
    pub(super) round: u64,
    pub(super) session: EvaluateSessionDigest,
    pub(super) quorum: Quorum,
    hello: Hello,
    members: BTreeMap<Place, PartyName>,
}

impl Sets {
    /// All holders of the statement.
    #[must_use]
    pub fn new(statement: Arc<KeyStatement>) -> Self {
        Self {
            statement,
            left_out: BTreeMap::new(),
        }
    }

    /// The key statement.
    #[must_use]
    pub fn statement(&self) -> &KeyStatement {
        &self.statement
    }

    /// Asks a provider no more; says why.
    pub fn leave_out(&mut self, provider: &PartyName, why: impl Into<String>) {
        self.left_out
            .entry(provider.clone())
            .or_insert_with(|| why.into());
    }

    /// Who is left out, and why.
    pub fn left_out(&self) -> impl Iterator<Item = (&PartyName, &str)> {
        self.left_out.iter().map(|(name, why)| (name, why.as_str()))
    }

    /// As many as the threshold, of those who are not left out: the first by place.
    fn chosen(&self) -> Result<BTreeMap<Place, PartyName>, ProvidedError> {
        let needed = self.statement.keys().threshold();
        let holders = self.statement.holders();
        let left = holders
            .iter()
            .filter(|(_, name)| !self.left_out.contains_key(*name));
        let all: BTreeMap<_, _> = left.map(|(place, name)| (*place, name.clone())).collect();
        if all.len() < needed {
            let left_out = self.left_out.clone().into_iter();
            return Err(ProvidedError::TooFew {
                left: all.len(),
                all: holders.len(),
                needed,
                left_out: left_out.collect(),
            });
        }
        Ok(all.into_iter().take(needed).collect())
    }

    /// Whom to ask now, as `round`; `hello` says all but who and by which statement.
    pub(super) fn ask(
        &self,
        backend: Backend,
        round: u64,
        hello: &Hello,
    ) -> Result<Asked, ProvidedError> {
        let members = self.chosen()?;
        let set = Places::new(members.keys().copied()).map_err(SharesError::from)?;
        let hello = Hello {
            number: self.statement.number(),
            ceremony: self.statement.ceremony(),
            providers: members.values().cloned().collect(),
            ..hello.clone()
        };
        Ok(Asked {
            round,
            session: hello.session(),
            quorum: Quorum::new(backend, self.statement.keys(), &set)?,
            hello,
            members,
        })
    }
}

impl Asked {
    /// Which choice of providers this is, from 0: what comes of an earlier one is of no use.
    #[must_use]
    pub fn round(&self) -> u64 {
        self.round
    }

    /// The greeting of each session.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Whom to greet.
    pub fn members(&self) -> impl Iterator<Item = (Place, &PartyName)> {
        self.members.iter().map(|(place, name)| (*place, name))
    }

    pub(super) fn name(&self, place: Place) -> Option<&PartyName> {
        self.members.get(&place)
    }
}
