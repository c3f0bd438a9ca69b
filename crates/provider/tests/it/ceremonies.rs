//! Keys made and refreshed, by providers that crash at every step.

use incamera_matching::statement::KeyStatement;
use incamera_net::services::ceremony_frame::Step;
use incamera_net::services::ceremony_reply::Reply;
use incamera_net::services::{CeremonyBegin, CeremonyFinish, CeremonyNonces, CeremonyPackages};
use incamera_net::status::Problem;
use incamera_provider::CeremonyError;
use incamera_wire::v1::{CeremonyPackage, ProviderKeysFile, Signed};

use crate::asking::{Session, evaluate, hello, points};
use crate::world::{Terms, World};

const IDS: [&str; 3] = ["pia@example.net", "zoe@example.net", "ann@example.net"];
const FIVE: &[&str] = &["alpha", "beta", "delta", "gamma", "omega"];

#[tokio::test]
async fn any_two_of_three_evaluate_the_same_before_and_after_a_refresh() {
    let world = World::with_key(Terms::default()).await;
    let before = evaluate(&world, &["alpha", "beta"], &IDS).await.unwrap();
    for set in [["alpha", "gamma"], ["beta", "gamma"]] {
        assert_eq!(evaluate(&world, &set, &IDS).await.unwrap(), before);
    }
    let old = world.statement("alpha").await;
    let refreshed = world.refresh().await.unwrap();
    assert_eq!(refreshed.number(), 2);
    for provider in world.terms.providers {
        assert_ne!(world.statement(provider).await, old);
    }
    for set in [["alpha", "beta"], ["alpha", "gamma"], ["beta", "gamma"]] {
        assert_eq!(evaluate(&world, &set, &IDS).await.unwrap(), before);
    }
    // A second key under the same agreement and epoch is none.
    let again = world.make().await.unwrap_err();
    assert_eq!(refusal(again).code(), "key-exists");
    // Who goes by the statement before is told.
    let mut client = world.client("beta", "shop").await;
    let late = hello(&world, &["alpha", "beta"], 1);
    let refused = Session::open(&mut client, &late).await.err().unwrap();
    assert_eq!(refused.code(), "other-key-statement");
}

#[tokio::test]
async fn any_three_of_five_evaluate_the_same() {
    let world = World::with_key(Terms {
        providers: FIVE,
        threshold: 3,
        ..Terms::default()
    })
    .await;
    let one = evaluate(&world, &["alpha", "beta", "delta"], &IDS).await;
    let other = evaluate(&world, &["beta", "gamma", "omega"], &IDS).await;
    assert_eq!(one.unwrap(), other.unwrap());
    world.refresh().await.unwrap();
    let third = evaluate(&world, &["alpha", "gamma", "omega"], &IDS).await;
    assert_eq!(
        third.unwrap(),
        evaluate(&world, &["alpha", "beta", "delta"], &IDS)
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn one_provider_alone_draws_its_key_and_has_nothing_to_refresh() {
    let world = World::with_key(Terms {
        providers: &["alpha"],
        threshold: 1,
        ..Terms::default()
    })
    .await;
    let outputs = evaluate(&world, &["alpha"], &IDS).await.unwrap();
    assert_eq!(evaluate(&world, &["alpha"], &IDS).await.unwrap(), outputs);
    let refused = world.refresh().await.unwrap_err();
    assert_eq!(refusal(refused).code(), "nothing-to-refresh");
}

/// What a provider said no with.
pub fn refusal(error: CeremonyError) -> Problem {
    match error {
        CeremonyError::Refused { problem, .. } => *problem,
        other => panic!("{other:?}"),
    }
}

/// A ceremony driven by hand, by alpha.
pub struct ByHand<'a> {
    pub world: &'a mut World,
    pub refresh: bool,
    pub valid_from: u64,
    pub nonces: Vec<Vec<u8>>,
    pub first: Vec<Signed>,
    pub second: Vec<Signed>,
    pub signed: Vec<Signed>,
}

impl<'a> ByHand<'a> {
    pub fn new(world: &'a mut World, refresh: bool) -> Self {
        Self {
            world,
            refresh,
            valid_from: incamera_net::agreements::now().0,
            nonces: Vec::new(),
            first: Vec::new(),
            second: Vec::new(),
            signed: Vec::new(),
        }
    }

    pub async fn ask(&self, of: &str, step: Step) -> Result<Reply, Problem> {
        self.world.step("alpha", of, self.refresh, step).await
    }

    pub async fn packages(&self, of: &str, step: Step) -> Result<Vec<Signed>, Problem> {
        match self.ask(of, step).await? {
            Reply::Packages(CeremonyPackages { packages }) => Ok(packages),
            other => panic!("{other:?}"),
        }
    }

    pub async fn begin(&self, of: &str) -> Result<Vec<u8>, Problem> {
        let valid_from = self.valid_from;
        match self
            .ask(of, Step::Begin(CeremonyBegin { valid_from }))
            .await?
        {
            Reply::Nonce(nonce) => Ok(nonce),
            other => panic!("{other:?}"),
        }
    }

    /// Step 0, 1, 2 or 3 at one provider.
    pub async fn step(&mut self, number: usize, of: &str) -> Result<(), Problem> {
        match number {
            0 => {
                let nonce = self.begin(of).await?;
                self.nonces.push(nonce);
            }
            1 => {
                let nonces = self.nonces.clone();
                let step = Step::Nonces(CeremonyNonces { nonces });
                let packages = self.packages(of, step).await?;
                self.first.extend(packages);
            }
            2 => {
                let packages = packages(&self.first, |package| package.sender != of);
                let packages = self.packages(of, Step::First(packages)).await?;
                self.second.extend(packages);
            }
            _ => {
                let packages = packages(&self.second, |package| package.receiver == of);
                match self.ask(of, Step::Second(packages)).await? {
                    Reply::Statement(signed) => self.signed.push(signed),
                    other => panic!("{other:?}"),
                }
            }
        }
        Ok(())
    }

    pub fn file(&self) -> Vec<u8> {
        incamera_wire::encode(&ProviderKeysFile {
            format: "incamera-provider-keys/1".into(),
            body: self.signed[0].body.clone(),
            signatures: self.signed.iter().map(|s| s.signature.clone()).collect(),
        })
    }

    pub async fn finish(&self, of: &str) -> Result<Reply, Problem> {
        let statement = self.file();
        self.ask(of, Step::Finish(CeremonyFinish { statement }))
            .await
    }
}

pub fn packages(all: &[Signed], wanted: impl Fn(&CeremonyPackage) -> bool) -> CeremonyPackages {
    let read = |signed: &&Signed| wanted(&content(signed));
    CeremonyPackages {
        packages: all.iter().filter(read).cloned().collect(),
    }
}

pub fn content(signed: &Signed) -> CeremonyPackage {
    incamera_wire::decode(&signed.body, 1 << 20).unwrap()
}

/// Beta crashes after each step. Nothing came of the ceremony, and the next one makes keys; what
/// counted before counts still.
#[tokio::test]
async fn a_crash_at_any_step_ends_the_ceremony_and_costs_nothing() {
    for refresh in [false, true] {
        for crash in 0..4 {
            let mut world = World::new(Terms::default()).await;
            let mut before = None;
            if refresh {
                world.make().await.unwrap();
                before = Some(evaluate(&world, &["alpha", "beta"], &IDS).await.unwrap());
            }
            let mut by_hand = ByHand::new(&mut world, refresh);
            for step in 0..=crash {
                for of in ["alpha", "beta", "gamma"] {
                    by_hand.step(step, of).await.unwrap();
                }
            }
            by_hand.world.restart("beta").await;
            if crash < 3 {
                let refused = by_hand.step(crash + 1, "beta").await.unwrap_err();
                assert_eq!(refused.code(), "no-ceremony", "{crash}");
            }
            let made = match refresh {
                false => world.make().await,
                true => world.refresh().await,
            };
            assert_eq!(made.unwrap().number(), if refresh { 2 } else { 1 });
            let after = evaluate(&world, &["beta", "gamma"], &IDS).await.unwrap();
            if let Some(before) = before {
                assert_eq!(after, before);
            }
        }
    }
}

/// Beta crashes when it has signed. Its share is there, and waits: with all signatures it
/// counts; without them, the one before does.
#[tokio::test]
async fn a_share_that_was_signed_for_outlives_a_crash() {
    let mut world = World::with_key(Terms::default()).await;
    let before = evaluate(&world, &["alpha", "beta"], &IDS).await.unwrap();
    let mut by_hand = ByHand::new(&mut world, true);
    for step in 0..4 {
        for of in ["alpha", "beta", "gamma"] {
            by_hand.step(step, of).await.unwrap();
        }
    }
    by_hand.world.restart("beta").await;
    let unfinished = evaluate(by_hand.world, &["beta", "gamma"], &IDS).await;
    assert_eq!(unfinished.unwrap(), before);
    // Alpha has the end, and the others do not yet: they cannot evaluate together.
    by_hand.finish("alpha").await.unwrap();
    let (file, mixed) = (by_hand.file(), ["alpha", "beta"]);
    let refused = evaluate(by_hand.world, &mixed, &IDS).await.unwrap_err();
    assert_eq!(refused.code(), "other-key-statement");
    // The next command gives the statement to those that lack it, and then goes on.
    by_hand.world.restart("gamma").await;
    let agreed = world.agreed();
    assert_eq!(KeyStatement::open(&file, &agreed).unwrap().number(), 2);
    assert_eq!(world.refresh().await.unwrap().number(), 3);
    for set in [["alpha", "beta"], ["beta", "gamma"]] {
        assert_eq!(evaluate(&world, &set, &IDS).await.unwrap(), before);
    }
}

/// The command that makes the first key is killed when alpha alone has it: the same command
/// again gives it to the others, and makes no other.
#[tokio::test]
async fn a_key_that_one_provider_has_is_the_key() {
    let mut world = World::new(Terms::default()).await;
    let mut by_hand = ByHand::new(&mut world, false);
    for step in 0..4 {
        for of in ["alpha", "beta", "gamma"] {
            by_hand.step(step, of).await.unwrap();
        }
    }
    by_hand.finish("alpha").await.unwrap();
    let (file, signed) = (by_hand.file(), by_hand.signed.len());
    assert_eq!(signed, 3);
    assert!(world.statement("beta").await.is_empty());
    let made = world.make().await.unwrap();
    assert_eq!(made, KeyStatement::open(&file, &world.agreed()).unwrap());
    for provider in ["alpha", "beta", "gamma"] {
        assert_eq!(world.statement(provider).await, file);
    }
    let one = evaluate(&world, &["alpha", "beta"], &IDS).await.unwrap();
    assert_eq!(
        evaluate(&world, &["beta", "gamma"], &IDS).await.unwrap(),
        one
    );
}

/// A session that began before a refresh ends with it: its share is gone.
#[tokio::test]
async fn a_session_does_not_outlive_its_share() {
    let world = World::with_key(Terms::default()).await;
    let mut client = world.client("alpha", "shop").await;
    let hello = hello(&world, &["alpha", "beta"], 1);
    let mut session = Session::open(&mut client, &hello).await.unwrap();
    session.ask(0, &points(&IDS)).await.unwrap();
    world.refresh().await.unwrap();
    let refused = session.ask(3, &points(&IDS)).await.unwrap_err();
    assert_eq!(refused.code(), "other-key-statement");
}
