//! A party's side of a session, over the wire.

use incamera_group::{Backend, EncodedPoint, Scalar};
use incamera_matching::statement::KeyStatement;
use incamera_net::services::evaluate_frame::Frame;
use incamera_net::services::{EvaluateFrame, EvaluateReady};
use incamera_net::status::Problem;
use incamera_oprf::client::{Blinding, Checked, Quorum};
use incamera_oprf::lagrange::{Place, Places};
use incamera_oprf::server::Answer;
use incamera_oprf::session::{self, Hello};
use incamera_oprf::suite::Output;
use incamera_types::{AgreementDigest, CeremonyDigest, Digest as _};
use incamera_wire::v1::{EvaluatedBatch, MatchPoints, ProviderKeys, ProviderKeysFile};
use rusqlite::{Connection, OptionalExtension as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use crate::world::{Client, World};

/// The ceremony of the statement that counts at a provider, or nothing.
fn ceremony(world: &World, provider: &str) -> CeremonyDigest {
    let store = Connection::open(world.store(provider)).unwrap();
    let sql = "SELECT statement FROM shares WHERE waits = 0 ORDER BY epoch DESC LIMIT 1";
    let file = store.query_row(sql, [], |row| row.get::<_, Vec<u8>>(0));
    let Some(file) = file.optional().unwrap() else {
        return CeremonyDigest::from_bytes([0; 32]);
    };
    let file: ProviderKeysFile = incamera_wire::decode(&file, file.len()).unwrap();
    let keys: ProviderKeys = incamera_wire::decode(&file.body, file.body.len()).unwrap();
    CeremonyDigest::from_slice(&keys.ceremony).unwrap()
}

/// A greeting of the shop's for e-mail addresses, good at `number`.
pub fn hello(world: &World, providers: &[&str], number: u64) -> Hello {
    Hello {
        agreement_digest: AgreementDigest::from_slice(&world.digest()).unwrap(),
        party: "shop".parse().unwrap(),
        id_kind: "email".parse().unwrap(),
        epoch: world.agreement().agreement().matching.epoch,
        number,
        providers: providers.iter().map(|name| name.parse().unwrap()).collect(),
        nonce: rand::random(),
        size: 100,
        ceremony: ceremony(world, providers[0]),
    }
}

/// An open session.
pub struct Session {
    batches: mpsc::Sender<EvaluateFrame>,
    answers: Streaming<EvaluateFrame>,
    /// What the provider counted before.
    pub evaluated: u64,
}

fn frame(frame: Frame) -> EvaluateFrame {
    EvaluateFrame { frame: Some(frame) }
}

impl Session {
    pub async fn open(client: &mut Client, hello: &Hello) -> Result<Self, Problem> {
        Self::greet(client, Frame::Hello(hello.to_message())).await
    }

    /// With whatever comes first.
    pub async fn greet(client: &mut Client, first: Frame) -> Result<Self, Problem> {
        let (batches, receiver) = mpsc::channel(8);
        batches.send(frame(first)).await.unwrap();
        let answers = client.evaluate(ReceiverStream::new(receiver)).await;
        let answers = answers.map_err(|status| Problem::from_status(&status))?;
        let mut session = Self {
            batches,
            answers: answers.into_inner(),
            evaluated: 0,
        };
        let Frame::Ready(EvaluateReady { evaluated }) = session.next().await? else {
            panic!("not ready");
        };
        session.evaluated = evaluated;
        Ok(session)
    }

    pub async fn next(&mut self) -> Result<Frame, Problem> {
        let next = self.answers.message().await;
        let next = next.map_err(|status| Problem::from_status(&status))?;
        Ok(next.unwrap().frame.unwrap())
    }

    pub async fn send(&self, message: MatchPoints) {
        let _ = self.batches.send(frame(Frame::Points(message))).await;
    }

    pub async fn ask(&mut self, first: u64, points: &[EncodedPoint]) -> Result<Answer, Problem> {
        self.send(session::write_points(first, points)).await;
        let Frame::Evaluated(EvaluatedBatch {
            points: Some(answered),
            proof: Some(proof),
        }) = self.next().await?
        else {
            panic!("no answer");
        };
        assert_eq!(answered.first, first);
        Ok(Answer {
            points: session::read_points(&answered).unwrap(),
            proof: session::read_proof(&proof, first, points.len()).unwrap(),
        })
    }
}

pub fn backend() -> Backend {
    Backend::best()
}

pub fn blinding() -> Blinding {
    Blinding::new(backend(), Scalar::random(&mut rand::rng()))
}

/// Blinded ids under a blind that nobody keeps.
pub fn points(ids: &[&str]) -> Vec<EncodedPoint> {
    blinding().blind(ids)
}

pub fn numbered(count: usize) -> Vec<EncodedPoint> {
    let ids: Vec<String> = (0..count).map(|n| format!("{n}@example.net")).collect();
    blinding().blind(&ids)
}

/// The function of ids, by a set of providers, each answer checked.
pub async fn evaluate(
    world: &World,
    providers: &[&str],
    ids: &[&str],
) -> Result<Vec<Output>, Problem> {
    let statement = world.statement(providers[0]).await;
    let statement = KeyStatement::open(&statement, &world.agreed()).unwrap();
    let place = |name: &&str| -> Place {
        let mut holders = statement.holders().iter();
        *holders
            .find(|(_, holder)| holder.as_str() == *name)
            .unwrap()
            .0
    };
    let places: Vec<Place> = providers.iter().map(place).collect();
    let set = Places::new(places.iter().copied()).unwrap();
    let quorum = Quorum::new(backend(), statement.keys(), &set).unwrap();
    let (blinding, hello) = (blinding(), hello(world, providers, statement.number()));
    let blinded = blinding.blind(ids);
    let mut checked: Vec<Checked> = Vec::new();
    for (name, place) in providers.iter().zip(places) {
        let mut client = world.client(name, "shop").await;
        let mut session = Session::open(&mut client, &hello).await?;
        let answer = session.ask(0, &blinded).await?;
        let (digest, role) = (hello.session(), name.parse().unwrap());
        let context = session::context(&digest, &role, 0);
        checked.push(quorum.check(place, context, &blinded, answer).unwrap());
    }
    Ok(blinding.finish(&quorum, &blinded, &checked, ids).unwrap())
}
