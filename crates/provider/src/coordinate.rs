//! The command at one provider that asks all of them to make or refresh their key.
//!
//! It relays packages, and holds nothing that it could change unseen: see
//! [`ceremony`](crate::ceremony). Whatever was left of an earlier ceremony is finished first:
//! a statement that one provider has with all signatures is given to those that lack it. That
//! needs no more than those who are there ([`finish_keys`]); a new ceremony needs all.

use std::collections::BTreeMap;
use std::time::Duration;

use incamera_agreement::{ActiveAgreement, Agreement};
use incamera_keys::{SigningKey, peek_signed};
use incamera_matching::statement::{Agreed, KeyStatement, StatementError};
use incamera_net::agreements::now;
use incamera_net::client::{self, ConnectError};
use incamera_net::services::ceremony_frame::Step;
use incamera_net::services::ceremony_reply::Reply;
use incamera_net::services::provider_client::ProviderClient;
use incamera_net::services::{
    CeremonyBegin, CeremonyCompare, CeremonyFinish, CeremonyFrame, CeremonyNonces,
    CeremonyPackages, KeysRequest,
};
use incamera_net::status::Problem;
use incamera_net::tls::TlsOptions;
use incamera_types::{Digest as _, PartyName};
use incamera_wire::v1::{CeremonyPackage, ProviderKeysFile, Signed};
use incamera_wire::{Format, encode};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Response, Status};

use crate::admit::agreed;

/// No package is larger.
const MAX_PACKAGE_BYTES: usize = 16 << 10;
/// The longest that a provider may take for one step, which takes it milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no new key, or are no new shares.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// The agreement matches by another method.
    #[error("the agreement has no providers: its method of matching is another")]
    NoProviders,
    /// A provider's service is not there.
    #[error("the service of `{provider}` was not reached")]
    Unreachable {
        /// Which.
        provider: PartyName,
        /// Why.
        #[source]
        error: ConnectError,
    },
    /// A provider's service does not answer.
    #[error("`{provider}` did not answer within {} s", PATIENCE.as_secs())]
    Silent {
        /// Which.
        provider: PartyName,
    },
    /// Nobody who was reached has a key statement that all have signed.
    #[error("no provider has a key statement that all have signed: there is nothing to finish")]
    NothingToFinish,
    /// A provider refuses, or found somebody at fault.
    #[error("`{provider}` ended the ceremony: {problem}")]
    Refused {
        /// Who says so.
        provider: PartyName,
        /// What.
        problem: Box<Problem>,
    },
    /// A provider answers what nobody asked.
    #[error("`{provider}` answers a step of the ceremony with something else")]
    OtherAnswer {
        /// Which.
        provider: PartyName,
    },
    /// Somebody told two providers two things.
    #[error(
        "{} broadcast different things to different providers: two signatures of its own prove it",
        quoted(providers)
    )]
    Equivocated {
        /// Who.
        providers: Vec<String>,
    },
    /// The providers did not end with one statement, and nobody's signatures show why.
    #[error(
        "`{provider}` ended the ceremony with another key statement than `{first}`: one of them, or what relays, does not keep to the ceremony"
    )]
    Differs {
        /// The first by name.
        first: PartyName,
        /// The one that differs.
        provider: PartyName,
    },
    /// A provider shows a statement that is not taken.
    #[error("the key statement of `{provider}` does not hold")]
    Shown {
        /// Which.
        provider: PartyName,
        /// Why.
        #[source]
        error: StatementError,
    },
    /// The statement is not taken.
    #[error("the key statement does not hold")]
    Statement(#[from] StatementError),
}

fn quoted(names: &[String]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// Makes the key of an agreement's providers; gives the statement that all have signed.
///
/// # Errors
/// [`CeremonyError`]; nothing was changed, or what was left is finished by the next attempt.
pub async fn make_keys(
    agreement: &ActiveAgreement,
    me: &PartyName,
    service: &SigningKey,
    options: &TlsOptions,
) -> Result<KeyStatement, CeremonyError> {
    let mut all = Providers::connect(agreement.agreement(), me, service, options).await?;
    let settled = all.settle().await;
    all.are_all()?;
    match settled {
        // A ceremony whose end was cut off: it is the key that was to be made.
        Some(settled) if !settled.given.is_empty() => Ok(settled.statement),
        _ => all.hold(false).await,
    }
}

/// Makes new shares of the same key; gives the next statement.
///
/// # Errors
/// [`CeremonyError`]; as for [`make_keys`].
pub async fn refresh_keys(
    agreement: &ActiveAgreement,
    me: &PartyName,
    service: &SigningKey,
    options: &TlsOptions,
) -> Result<KeyStatement, CeremonyError> {
    let mut all = Providers::connect(agreement.agreement(), me, service, options).await?;
    all.settle().await;
    all.are_all()?;
    all.hold(true).await
}

/// What [`finish_keys`] did.
#[derive(Debug)]
pub struct Finished {
    /// The newest statement that a provider has with all signatures.
    pub statement: KeyStatement,
    /// Who lacked it, and has it now.
    pub given: Vec<PartyName>,
    /// Who was not reached, or does not keep to the ceremony.
    pub left: Vec<CeremonyError>,
}

/// Gives the newest statement that a provider has with all signatures to those that lack it,
/// with whoever is there.
///
/// # Errors
/// [`CeremonyError`], where nobody has such a statement.
pub async fn finish_keys(
    agreement: &ActiveAgreement,
    me: &PartyName,
    service: &SigningKey,
    options: &TlsOptions,
) -> Result<Finished, CeremonyError> {
    let mut all = Providers::connect(agreement.agreement(), me, service, options).await?;
    let settled = all.settle().await;
    let Some(Settled { statement, given }) = settled else {
        all.are_all()?;
        return Err(CeremonyError::NothingToFinish);
    };
    let left = all.faults;
    Ok(Finished {
        statement,
        given,
        left,
    })
}

struct Provider {
    name: PartyName,
    client: ProviderClient<Channel>,
}

/// What was left of an earlier ceremony.
struct Settled {
    statement: KeyStatement,
    /// Who lacked it.
    given: Vec<PartyName>,
}

/// A provider's statement, and the file of it.
type Shown = (PartyName, KeyStatement, Vec<u8>);

/// The providers that are there, in order of name.
struct Providers {
    digest: Vec<u8>,
    agreed: Agreed,
    me: PartyName,
    all: Vec<Provider>,
    /// Who is not there, or did not settle what was left.
    faults: Vec<CeremonyError>,
    refresh: bool,
}

impl Providers {
    async fn connect(
        agreement: &Agreement,
        me: &PartyName,
        service: &SigningKey,
        options: &TlsOptions,
    ) -> Result<Self, CeremonyError> {
        let agreed = agreed(agreement).ok_or(CeremonyError::NoProviders)?;
        let (mut all, mut faults) = (Vec::new(), Vec::new());
        for (name, key) in &agreed.providers {
            let party = agreement.parties.get(name);
            let url = party.ok_or(CeremonyError::NoProviders)?.url.to_string();
            let name = name.clone();
            match client::connect(&url, key, Some(service), options).await {
                Ok(channel) => {
                    let client = client::provider(channel);
                    all.push(Provider { name, client });
                }
                Err(error) => faults.push(CeremonyError::Unreachable {
                    provider: name,
                    error,
                }),
            }
        }
        Ok(Self {
            digest: agreement.digest.as_bytes().to_vec(),
            agreed,
            me: me.clone(),
            all,
            faults,
            refresh: false,
        })
    }

    /// An error if somebody is not there, or did not settle what was left.
    fn are_all(&mut self) -> Result<(), CeremonyError> {
        match self.faults.is_empty() {
            true => Ok(()),
            false => Err(self.faults.remove(0)),
        }
    }

    /// Gives the newest statement that anybody has to those that lack it. Whoever refuses, or
    /// shows what does not hold, is noted, and keeps it from nobody else.
    async fn settle(&mut self) -> Option<Settled> {
        let shown = self.shown().await;
        let alike = |one: &KeyStatement| shown.iter().filter(|(_, other, _)| other == one).count();
        // Of first keys, which no order makes one, that which most have.
        let rank = |(_, one, _): &&Shown| match one.number() {
            1 => (1, alike(one), Vec::new()),
            number => (number, 0, one.body()),
        };
        let (_, statement, file) = shown.iter().max_by_key(rank)?;
        let have = |name: &PartyName| {
            let mut shown = shown.iter();
            shown.any(|(provider, one, _)| provider == name && one == statement)
        };
        let lack = (0..self.all.len()).filter(|at| !self.name(*at).is_some_and(have));
        let lack: Vec<_> = lack.collect();
        let given = self.give(&lack, file).await;
        let statement = statement.clone();
        Some(Settled { statement, given })
    }

    /// Each provider's statement, as far as it holds.
    async fn shown(&mut self) -> Vec<Shown> {
        let mut shown = Vec::new();
        for provider in &mut self.all {
            let request = KeysRequest {
                agreement_digest: self.digest.clone(),
            };
            let reply = match provider.in_time(|client| client.keys(request)).await {
                Ok(reply) => reply,
                Err(error) => {
                    self.faults.push(error);
                    continue;
                }
            };
            let (name, file) = (provider.name.clone(), reply.statement);
            if file.is_empty() {
                continue;
            }
            match KeyStatement::open(&file, &self.agreed) {
                Ok(statement) => shown.push((name, statement, file)),
                Err(error) => self.faults.push(CeremonyError::Shown {
                    provider: name,
                    error,
                }),
            }
        }
        shown
    }

    /// Gives a statement with all signatures to these; who has taken it. The others are noted.
    async fn give(&mut self, to: &[usize], file: &[u8]) -> Vec<PartyName> {
        let mut given = Vec::new();
        for at in to {
            match self.finish(*at, file).await {
                Ok(()) => given.extend(self.name(*at).cloned()),
                Err(error) => self.faults.push(error),
            }
        }
        given
    }

    async fn hold(&mut self, refresh: bool) -> Result<KeyStatement, CeremonyError> {
        self.refresh = refresh;
        let valid_from = now().0;
        let begin = Step::Begin(CeremonyBegin { valid_from });
        let mut nonces = Vec::new();
        let mut statements = Vec::new();
        for (provider, reply) in self.ask_all(|_| begin.clone()).await? {
            match reply {
                Reply::Nonce(nonce) => nonces.push(nonce),
                // One provider alone.
                Reply::Statement(signed) => statements.push((provider, signed)),
                _ => return Err(CeremonyError::OtherAnswer { provider }),
            }
        }
        if statements.is_empty() {
            statements = self.exchange(nonces).await?;
        }
        let file = self.signed_by_all(statements).await?;
        let statement = KeyStatement::open(&file, &self.agreed)?;
        let all: Vec<_> = (0..self.all.len()).collect();
        self.give(&all, &file).await;
        self.are_all()?;
        Ok(statement)
    }

    /// Both rounds; gives each provider's signature.
    async fn exchange(
        &mut self,
        nonces: Vec<Vec<u8>>,
    ) -> Result<Vec<(PartyName, Signed)>, CeremonyError> {
        let nonces = Step::Nonces(CeremonyNonces { nonces });
        let first = self.packages(|_| nonces.clone()).await?;
        let others = |me: &PartyName| {
            let others = first.iter().filter(|(sender, _)| *sender != me);
            others.flat_map(|(_, packages)| packages.clone()).collect()
        };
        let step = |name: &PartyName| {
            Step::First(CeremonyPackages {
                packages: others(name),
            })
        };
        let second = self.packages(step).await?;
        let to = |me: &PartyName| {
            let all = second.values().flatten();
            all.filter(|signed| receiver(signed).as_deref() == Some(me.as_str()))
                .cloned()
                .collect()
        };
        let step = |name: &PartyName| Step::Second(CeremonyPackages { packages: to(name) });
        let mut statements = Vec::new();
        for (provider, reply) in self.ask_all(step).await? {
            match reply {
                Reply::Statement(signed) => statements.push((provider, signed)),
                _ => return Err(CeremonyError::OtherAnswer { provider }),
            }
        }
        Ok(statements)
    }

    /// The file, if all have signed the same.
    async fn signed_by_all(
        &mut self,
        statements: Vec<(PartyName, Signed)>,
    ) -> Result<Vec<u8>, CeremonyError> {
        let Some((first, one)) = statements.first() else {
            return Err(CeremonyError::NoProviders);
        };
        let other = statements
            .iter()
            .find(|(_, signed)| signed.body != one.body);
        if let Some((provider, _)) = other {
            let (first, provider) = (first.clone(), provider.clone());
            let providers = self.compare().await?;
            return Err(match providers.is_empty() {
                true => CeremonyError::Differs { first, provider },
                false => CeremonyError::Equivocated { providers },
            });
        }
        let body = one.body.clone();
        // The holders' places are in order of name, as the providers are here.
        let signatures = statements.into_iter().map(|(_, signed)| signed.signature);
        Ok(encode(&ProviderKeysFile {
            format: Format::ProviderKeys.as_str().to_owned(),
            body,
            signatures: signatures.collect(),
        }))
    }

    /// Who is proved to have broadcast two things, by what all heard and by the word of this
    /// provider's own service.
    async fn compare(&mut self) -> Result<Vec<String>, CeremonyError> {
        let heard = self
            .packages(|_| Step::Compare(CeremonyCompare::default()))
            .await?;
        let mut named = Vec::new();
        for packages in heard.into_values() {
            let me = self.me.clone();
            let mut own = (0..self.all.len()).filter(|at| self.name(*at) == Some(&me));
            let Some(own) = own.next() else { continue };
            let compare = Step::Compare(CeremonyCompare { packages });
            if let (_, Reply::Named(reply)) = self.ask(own, compare).await? {
                named.extend(reply.providers);
            }
        }
        named.sort();
        named.dedup();
        Ok(named)
    }

    fn name(&self, at: usize) -> Option<&PartyName> {
        self.all.get(at).map(|provider| &provider.name)
    }

    async fn packages(
        &mut self,
        step: impl Fn(&PartyName) -> Step,
    ) -> Result<BTreeMap<PartyName, Vec<Signed>>, CeremonyError> {
        let replies = self.ask_all(step).await?.into_iter();
        let packages = replies.map(|(provider, reply)| match reply {
            Reply::Packages(CeremonyPackages { packages }) => Ok((provider, packages)),
            _ => Err(CeremonyError::OtherAnswer { provider }),
        });
        packages.collect()
    }

    async fn ask_all(
        &mut self,
        step: impl Fn(&PartyName) -> Step,
    ) -> Result<Vec<(PartyName, Reply)>, CeremonyError> {
        let mut replies = Vec::new();
        for at in 0..self.all.len() {
            if let Some(step) = self.name(at).map(&step) {
                replies.push(self.ask(at, step).await?);
            }
        }
        Ok(replies)
    }

    async fn finish(&mut self, at: usize, file: &[u8]) -> Result<(), CeremonyError> {
        let statement = file.to_vec();
        let finish = Step::Finish(CeremonyFinish { statement });
        match self.ask(at, finish).await? {
            (_, Reply::Finished(_)) => Ok(()),
            (provider, _) => Err(CeremonyError::OtherAnswer { provider }),
        }
    }

    async fn ask(&mut self, at: usize, step: Step) -> Result<(PartyName, Reply), CeremonyError> {
        let frame = CeremonyFrame {
            agreement_digest: self.digest.clone(),
            refresh: self.refresh,
            step: Some(step),
        };
        let provider = self.all.get_mut(at).ok_or(CeremonyError::NoProviders)?;
        let name = provider.name.clone();
        let reply = provider.in_time(|client| client.ceremony(frame)).await?;
        match reply.reply {
            Some(reply) => Ok((name, reply)),
            None => Err(CeremonyError::OtherAnswer { provider: name }),
        }
    }
}

impl Provider {
    /// The answer, if it comes.
    async fn in_time<'a, T, F>(
        &'a mut self,
        ask: impl FnOnce(&'a mut ProviderClient<Channel>) -> F,
    ) -> Result<T, CeremonyError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let provider = self.name.clone();
        match timeout(PATIENCE, ask(&mut self.client)).await {
            Ok(Ok(reply)) => Ok(reply.into_inner()),
            Ok(Err(status)) => Err(CeremonyError::Refused {
                provider,
                problem: Box::new(Problem::from_status(&status)),
            }),
            Err(_) => Err(CeremonyError::Silent { provider }),
        }
    }
}

/// Whom a package is for, as it says: its receiver checks it.
fn receiver(signed: &Signed) -> Option<String> {
    let package = peek_signed::<CeremonyPackage>(signed, Format::Ceremony, MAX_PACKAGE_BYTES);
    Some(package.ok()?.unverified().receiver.clone())
}
