//! An analyst's request and a hostile room, built on the libraries and spoken over real
//! sockets to running services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use incamera_agreement::SignedAgreement;
use incamera_attest::{Binding, simulated};
use incamera_keys::SigningKey;
use incamera_keys::hpke::RoomSecretKey;
use incamera_net::client;
use incamera_net::services::run_event::Event;
use incamera_net::services::{
    ChallengeRequest, CommitRequest, ReserveRequest, RunRequest, RunResult,
};
use incamera_net::status::{Problem, ProblemKind};
use incamera_net::tls::TlsOptions;
use incamera_release::{Request, Token, TokenTerms, room_keys};
use incamera_types::{
    AgreementDigest, DatasetName, Digest as _, ManifestDigest, Measurement, Params, RequestDigest,
    UnixTime, Value,
};
use incamera_wire::v1::{BoundEvidence, ReleaseFile, Signed};

use super::support::Holdings;
use crate::world::World;

pub type Answered<T> = Result<T, Problem>;

/// How long a test's request is good for.
const LIFETIME_S: u64 = 600;

pub fn now() -> UnixTime {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    UnixTime(since.unwrap().as_secs())
}

/// What an analyst has at hand.
pub struct Analyst {
    pub agreement: SignedAgreement,
    pub key: SigningKey,
    pub measurement: Measurement,
    pub manifests: BTreeMap<DatasetName, ManifestDigest>,
}

impl Analyst {
    /// Ana, in a world whose data are sealed.
    pub fn ana(world: &World) -> Self {
        let holdings = Holdings(world.root());
        let sets = [
            ("shop", "customers"),
            ("shop", "purchases"),
            ("mailer", "mailing"),
        ];
        let manifest = |(party, dataset): (&str, &str)| {
            (
                dataset.parse().unwrap(),
                holdings.manifest(party, dataset).digest(),
            )
        };
        Self {
            agreement: holdings.agreement(),
            key: holdings.key("mailer/analysts/ana"),
            measurement: world
                .done(&["room", "measure"])
                .text("/measurement")
                .parse()
                .unwrap(),
            manifests: sets.map(manifest).into(),
        }
    }

    /// A request of the lift until a day.
    pub fn request(&self, until: &str) -> Request {
        let day = |text: &str| Value::Date(text.parse().unwrap());
        let params = Params::from([
            ("from".parse().unwrap(), day("2026-03-01")),
            ("until".parse().unwrap(), day(until)),
        ]);
        let query = "lift".parse().unwrap();
        Request::new(
            &self.agreement,
            &query,
            params,
            &self.manifests,
            self.measurement,
        )
        .unwrap()
    }

    pub fn sign(&self, request: &Request) -> Signed {
        self.sign_as("mailer/ana", request, now().plus(LIFETIME_S), &self.key)
    }

    /// A token for the lift.
    pub fn token(&self) -> Token {
        let (analyst, lift) = ("mailer/ana".parse().unwrap(), "lift".parse().unwrap());
        let terms = TokenTerms {
            analyst: &analyst,
            queries: &BTreeSet::from([lift]),
            reason: "a test",
            expires: now().plus(LIFETIME_S),
        };
        Token::new(&self.agreement, &terms, &self.key, &mut rand::rng()).unwrap()
    }

    pub fn sign_as(
        &self,
        who: &str,
        request: &Request,
        expires: UnixTime,
        key: &SigningKey,
    ) -> Signed {
        request
            .sign(
                &who.parse().unwrap(),
                "a test",
                expires,
                key,
                &mut rand::rng(),
            )
            .unwrap()
    }
}

/// Asks the room that listens at an address, whatever the agreement names, with a key that
/// may receive the answer.
pub async fn ask(address: SocketAddr, request: Signed, me: SigningKey) -> Answered<ReleaseFile> {
    Ok(asked(address, request, me).await?.release.unwrap())
}

/// [`ask`], sealed or not.
pub async fn asked(address: SocketAddr, request: Signed, me: SigningKey) -> Answered<RunResult> {
    let (address, options) = (address.to_string(), TlsOptions::default());
    let room = client::connect_unattested(&address, Some(&me), &options).await?;
    let message = RunRequest {
        request: Some(request),
    };
    let run = client::room(room.channel()).run(message).await;
    let mut events = run.map_err(Problem::from)?.into_inner();
    while let Some(event) = events.message().await.map_err(Problem::from)? {
        if let Some(Event::Result(result)) = event.event {
            return Ok(result);
        }
    }
    panic!("the room hung up");
}

/// A room that says what a test wants it to say. Evidence of a simulated TEE is for everybody
/// to make, so that it passes where all else is in order.
pub struct HostileRoom<'a> {
    pub analyst: &'a Analyst,
    pub hpke: RoomSecretKey,
    tls: SigningKey,
    receipt: SigningKey,
}

impl<'a> HostileRoom<'a> {
    pub fn of(analyst: &'a Analyst) -> Self {
        let rng = &mut rand::rng();
        Self {
            analyst,
            hpke: RoomSecretKey::generate(rng),
            tls: SigningKey::generate(rng),
            receipt: SigningKey::generate(rng),
        }
    }

    fn keys(&self) -> incamera_wire::v1::RoomKeys {
        room_keys(
            self.hpke.public(),
            &self.tls.public().to_spki(),
            &self.receipt.public(),
        )
    }

    fn collect(&self, binding: &Binding) -> BoundEvidence {
        binding.with(simulated::collect(self.analyst.measurement, binding, now()).unwrap())
    }

    /// Evidence in order.
    pub fn evidence(&self, challenge: [u8; 32], request: RequestDigest) -> BoundEvidence {
        self.evidence_of(
            self.analyst.measurement,
            challenge,
            self.analyst.agreement.digest,
            request,
            now(),
        )
    }

    /// Evidence of other code, for another agreement, or of another time.
    pub fn evidence_of(
        &self,
        measurement: Measurement,
        challenge: [u8; 32],
        agreement: AgreementDigest,
        request: RequestDigest,
        at: UnixTime,
    ) -> BoundEvidence {
        let binding = Binding::for_request(challenge, self.keys(), agreement, request);
        binding.with(simulated::collect(measurement, &binding, at).unwrap())
    }

    /// Evidence as whoever connects gets it, bound to no request.
    pub fn push_evidence(&self, challenge: [u8; 32]) -> BoundEvidence {
        self.collect(&Binding::for_push(
            challenge,
            self.keys(),
            self.analyst.agreement.digest,
        ))
    }

    async fn broker(
        &self,
        party: &str,
    ) -> incamera_net::services::broker_client::BrokerClient<tonic::transport::Channel> {
        let party =
            &self.analyst.agreement.parties[&party.parse::<incamera_types::PartyName>().unwrap()];
        let options = TlsOptions::default();
        let channel = client::connect(
            party.url.as_str(),
            &party.service,
            Some(&self.tls),
            &options,
        );
        client::broker(channel.await.unwrap())
    }

    pub async fn challenge(&self, party: &str) -> [u8; 32] {
        let agreement_digest = self.analyst.agreement.digest.as_bytes().to_vec();
        let reply = self
            .broker(party)
            .await
            .challenge(ChallengeRequest { agreement_digest })
            .await;
        reply.unwrap().into_inner().challenge.try_into().unwrap()
    }

    pub async fn reserve_with(
        &self,
        party: &str,
        request: Signed,
        evidence: BoundEvidence,
    ) -> Answered<Signed> {
        let message = ReserveRequest {
            request: Some(request),
            evidence: Some(evidence),
        };
        let reply = self.broker(party).await.reserve(message).await?;
        Ok(reply.into_inner().reservation.unwrap())
    }

    /// Reserves with a fresh challenge and evidence in order, whatever the request.
    pub async fn reserve(
        &self,
        party: &str,
        request: Signed,
        digest: RequestDigest,
    ) -> Answered<Signed> {
        let evidence = self.evidence(self.challenge(party).await, digest);
        self.reserve_with(party, request, evidence).await
    }

    pub async fn commit(
        &self,
        party: &str,
        digest: RequestDigest,
        reservations: &[Signed],
    ) -> Answered<Signed> {
        let message = CommitRequest {
            request_digest: digest.as_bytes().to_vec(),
            agreement_digest: self.analyst.agreement.digest.as_bytes().to_vec(),
            reservations: reservations.to_vec(),
        };
        Ok(self
            .broker(party)
            .await
            .commit(message)
            .await?
            .into_inner()
            .grant
            .unwrap())
    }
}

/// That something was refused for the reason that the test is about, and for no other.
#[track_caller]
pub fn refused<T>(answered: Answered<T>, kind: ProblemKind, why: &str) {
    match answered {
        Ok(_) => panic!("not refused, though {why}"),
        Err(problem) => {
            assert!(problem.message().contains(why), "{why}: {problem}");
            assert_eq!(problem.kind(), kind, "{problem}");
        }
    }
}
