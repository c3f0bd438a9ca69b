//! The command at one provider that asks all of them to make or refresh their key.
//!
//! It relays packages, and holds nothing that it could change unseen: see
//! [`ceremony`](crate::ceremony). Whatever was left of an earlier ceremony is finished first:
//! a statement that one provider has with all signatures is given to those that lack it.

use std::collections::BTreeMap;

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
use tonic::transport::Channel;

use crate::admit::agreed;

/// No package is larger.
const MAX_PACKAGE_BYTES: usize = 16 << 10;

/// Why there is no new key, or are no new shares.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// The agreement matches by another method.
    #[error("the agreement has no providers: its method of matching is another")]
    NoProviders,
    /// A provider's service is not there.
    #[error("the service of `{provider}` was not reached: all providers take part")]
    Unreachable {
        /// Which.
        provider: PartyName,
        /// Why.
        #[source]
        error: ConnectError,
    },
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
    match all.settle().await? {
        // A ceremony whose end was cut off: it is the key that was to be made.
        Some((statement, true)) => Ok(statement),
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
    all.settle().await?;
    all.hold(true).await
}

struct Provider {
    name: PartyName,
    client: ProviderClient<Channel>,
}

/// All providers, in order of name.
struct Providers {
    digest: Vec<u8>,
    agreed: Agreed,
    me: PartyName,
    all: Vec<Provider>,
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
        let mut all = Vec::new();
        for (name, key) in &agreed.providers {
            let party = agreement.parties.get(name);
            let url = party.ok_or(CeremonyError::NoProviders)?.url.to_string();
            let channel = client::connect(&url, key, Some(service), options).await;
            let channel = channel.map_err(|error| CeremonyError::Unreachable {
                provider: name.clone(),
                error,
            })?;
            all.push(Provider {
                name: name.clone(),
                client: client::provider(channel),
            });
        }
        Ok(Self {
            digest: agreement.digest.as_bytes().to_vec(),
            agreed,
            me: me.clone(),
            all,
            refresh: false,
        })
    }

    /// Gives the newest statement that anybody has to those that lack it; whether there were
    /// any.
    async fn settle(&mut self) -> Result<Option<(KeyStatement, bool)>, CeremonyError> {
        let mut files = BTreeMap::new();
        for provider in &mut self.all {
            let request = KeysRequest {
                agreement_digest: self.digest.clone(),
            };
            let reply = provider.client.keys(request).await;
            let reply = reply.map_err(|status| provider.refused(&status))?;
            files.insert(provider.name.clone(), reply.into_inner().statement);
        }
        let mut newest: Option<(KeyStatement, Vec<u8>)> = None;
        for file in files.values().filter(|file| !file.is_empty()) {
            let statement = KeyStatement::open(file, &self.agreed)?;
            let known = newest.as_ref().map_or(0, |(known, _)| known.number());
            if statement.number() > known {
                newest = Some((statement, file.clone()));
            }
        }
        let Some((statement, file)) = newest else {
            return Ok(None);
        };
        let mut lacked = false;
        for provider in 0..self.all.len() {
            let name = self.all.get(provider).map(|provider| &provider.name);
            if name.and_then(|name| files.get(name)) != Some(&file) {
                lacked = true;
                self.finish(provider, &file).await?;
            }
        }
        Ok(Some((statement, lacked)))
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
        for provider in 0..self.all.len() {
            self.finish(provider, &file).await?;
        }
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
        let reply = provider.client.ceremony(frame).await;
        let reply = reply.map_err(|status| provider.refused(&status))?;
        let other = || CeremonyError::OtherAnswer {
            provider: provider.name.clone(),
        };
        let reply = reply.into_inner().reply.ok_or_else(other)?;
        Ok((provider.name.clone(), reply))
    }
}

impl Provider {
    fn refused(&self, status: &tonic::Status) -> CeremonyError {
        CeremonyError::Refused {
            provider: self.name.clone(),
            problem: Box::new(Problem::from_status(status)),
        }
    }
}

/// Whom a package is for, as it says: its receiver checks it.
fn receiver(signed: &Signed) -> Option<String> {
    let package = peek_signed::<CeremonyPackage>(signed, Format::Ceremony, MAX_PACKAGE_BYTES);
    Some(package.ok()?.unverified().receiver.clone())
}
