//! Ceremonies with a liar, or with somebody in the middle. Gamma is played by the test.

use incamera_keys::{SigningKey, sign_message};
use incamera_net::services::ceremony_frame::Step;
use incamera_net::services::ceremony_reply::Reply;
use incamera_net::services::{CeremonyCompare, CeremonyPackages};
use incamera_net::status::Problem;
use incamera_oprf::keygen::{Ceremony, CeremonyId, First};
use incamera_oprf::lagrange::{Place, Places};
use incamera_types::{CeremonyDigest, Digest as _, Transcript};
use incamera_wire::Format;
use incamera_wire::v1::{CeremonyPackage, Signed};

use crate::ceremonies::{ByHand, content, packages};
use crate::world::{Terms, World};

const ALL: [&str; 3] = ["alpha", "beta", "gamma"];

fn signed(key: &SigningKey, package: &CeremonyPackage) -> Signed {
    sign_message(key, Format::Ceremony, package).unwrap()
}

/// A package of gamma, changed and signed again with its key.
fn again(by_hand: &ByHand<'_>, of: &Signed, change: impl Fn(&mut CeremonyPackage)) -> Signed {
    let mut package = content(of);
    change(&mut package);
    signed(&by_hand.world.parties["gamma"].service, &package)
}

/// Who is said to be at fault by what code.
fn blamed(refused: &Problem) -> (&str, bool) {
    (refused.code(), refused.message().contains("`gamma`"))
}

/// Up to the end of a step, of all.
async fn up_to(by_hand: &mut ByHand<'_>, last: usize) {
    for step in 0..=last {
        for of in ALL {
            by_hand.step(step, of).await.unwrap();
        }
    }
}

/// What alpha says when gamma's package of round 1 is another.
async fn first_with(change: impl Fn(&ByHand<'_>, &Signed) -> Signed) -> Problem {
    let mut world = World::new(Terms::default()).await;
    let mut by_hand = ByHand::new(&mut world, false);
    up_to(&mut by_hand, 1).await;
    let theirs = by_hand.first.pop().unwrap();
    let changed = change(&by_hand, &theirs);
    by_hand.first.push(changed);
    let refused = by_hand.step(2, "alpha").await.unwrap_err();
    // Nothing came of it, and there is a next time.
    world.make().await.unwrap();
    refused
}

#[tokio::test]
async fn who_lies_in_round_one_is_named() {
    let short = first_with(|by_hand, theirs| again(by_hand, theirs, |p| p.content.truncate(90)));
    assert_eq!(blamed(&short.await), ("provider-at-fault", true));
    let proof = |package: &mut CeremonyPackage| {
        let last = package.content.len() - 1;
        package.content[last] ^= 1;
    };
    let wrong = first_with(|by_hand, theirs| again(by_hand, theirs, proof));
    assert_eq!(blamed(&wrong.await), ("provider-at-fault", true));
    let elsewhere = first_with(|by_hand, theirs| again(by_hand, theirs, |p| p.ceremony[0] ^= 1));
    assert_eq!(blamed(&elsewhere.await), ("other-ceremony", true));
    let round = first_with(|by_hand, theirs| again(by_hand, theirs, |p| p.round = 2));
    assert_eq!(blamed(&round.await), ("other-ceremony", true));
}

#[tokio::test]
async fn nobody_speaks_for_a_provider() {
    // Who relays changes a byte, signs itself, or hands on a stranger's.
    let changed = first_with(|_, theirs| {
        let mut changed = theirs.clone();
        let last = changed.body.len() - 1;
        changed.body[last] ^= 1;
        changed
    });
    assert_eq!(blamed(&changed.await), ("package-signature", true));
    let of_alpha = first_with(|by_hand, theirs| {
        signed(&by_hand.world.parties["alpha"].service, &content(theirs))
    });
    assert_eq!(blamed(&of_alpha.await), ("package-signature", true));
    let of_the_shop = first_with(|by_hand, theirs| {
        let package = CeremonyPackage {
            sender: "shop".into(),
            ..content(theirs)
        };
        signed(&by_hand.world.parties["shop"].service, &package)
    });
    assert_eq!(of_the_shop.await.code(), "malformed-message");
}

#[tokio::test]
async fn a_package_that_is_missing_or_there_twice_ends_the_ceremony() {
    for count in [0, 2] {
        let mut world = World::new(Terms::default()).await;
        let mut by_hand = ByHand::new(&mut world, false);
        up_to(&mut by_hand, 1).await;
        let theirs = by_hand.first.pop().unwrap();
        by_hand.first.extend(vec![theirs; count]);
        let refused = by_hand.step(2, "alpha").await.unwrap_err();
        let code = if count == 0 {
            "provider-missing"
        } else {
            "provider-at-fault"
        };
        assert_eq!(blamed(&refused), (code, true));
    }
}

/// Whoever relays the nonces leaves none out, adds none, and puts none in the place of another:
/// each provider finds its own.
#[tokio::test]
async fn nonces_that_are_not_all_of_the_providers_are_refused() {
    for bend in 0..3 {
        let mut world = World::new(Terms::default()).await;
        let mut by_hand = ByHand::new(&mut world, false);
        up_to(&mut by_hand, 0).await;
        match bend {
            0 => by_hand.nonces[0] = vec![9; 32],
            1 => drop(by_hand.nonces.pop()),
            _ => by_hand.nonces.push(vec![9; 32]),
        }
        let refused = by_hand.step(1, "alpha").await.unwrap_err();
        assert_eq!(refused.code(), "malformed-message", "{bend}");
    }
}

/// In round 2: a value that was sealed for another, or not at all, and one of gamma's for beta
/// handed to alpha.
#[tokio::test]
async fn who_lies_in_round_two_is_named() {
    for lie in 0..3 {
        let mut world = World::new(Terms::default()).await;
        let mut by_hand = ByHand::new(&mut world, false);
        up_to(&mut by_hand, 2).await;
        let from = |receiver: &str| {
            let mut all = by_hand.second.iter();
            let found = all.position(|signed| {
                let package = content(signed);
                package.sender == "gamma" && package.receiver == receiver
            });
            found.unwrap()
        };
        let (to_alpha, to_beta) = (from("alpha"), from("beta"));
        let of_beta = content(&by_hand.second[to_beta]).content;
        let theirs = by_hand.second[to_alpha].clone();
        let changed = match lie {
            0 => again(&by_hand, &theirs, |package| {
                package.content = of_beta.clone()
            }),
            1 => again(&by_hand, &theirs, |package| package.content.truncate(1_000)),
            _ => by_hand.second[to_beta].clone(),
        };
        by_hand.second[to_alpha] = changed;
        let gamma =
            |p: &CeremonyPackage| p.receiver == "alpha" || (lie == 2 && p.sender == "gamma");
        let all = packages(&by_hand.second, gamma);
        let refused = by_hand.ask("alpha", Step::Second(all)).await.unwrap_err();
        let code = if lie == 2 {
            "other-ceremony"
        } else {
            "provider-at-fault"
        };
        assert_eq!(blamed(&refused), (code, true), "{lie}");
    }
}

/// The ceremony's id, as its providers make it.
fn id(by_hand: &ByHand<'_>) -> CeremonyId {
    let agreement = by_hand.world.agreement();
    let id: CeremonyDigest = Transcript::new("incamera-ceremony-id/1")
        .field(agreement.agreement().digest)
        .number(agreement.agreement().matching.epoch.0.into())
        .number(0)
        .number(by_hand.valid_from)
        .number(0)
        .list(by_hand.nonces.iter())
        .finish();
    *id.as_bytes()
}

/// Gamma, who broadcasts one thing to alpha and another to beta, with values that fit each.
struct Gamma {
    id: CeremonyId,
    first: First,
    package: CeremonyPackage,
}

impl Gamma {
    fn new(id: CeremonyId) -> Self {
        let places = |all: std::ops::RangeInclusive<u16>| {
            Places::new(all.map(|number| Place::new(number).unwrap())).unwrap()
        };
        let ceremony = Ceremony::make(id, Place::new(3).unwrap(), places(1..=3), 2).unwrap();
        let (first, package) = First::start(ceremony, &mut rand::rng()).unwrap();
        let package = CeremonyPackage {
            ceremony: id.to_vec(),
            round: 1,
            sender: "gamma".into(),
            receiver: String::new(),
            content: package.as_bytes().to_vec(),
        };
        Self { id, first, package }
    }

    /// Its value for one of the others.
    fn value(self, world: &World, others: &[Signed], receiver: &str) -> Signed {
        let place = |name: &str| {
            let at = ALL.iter().position(|one| *one == name).unwrap();
            Place::new(u16::try_from(at + 1).unwrap()).unwrap()
        };
        let others: Vec<_> = others
            .iter()
            .map(|signed| {
                let package = content(signed);
                (place(&package.sender), package.content)
            })
            .collect();
        let (_, values) = self.first.receive(&others).unwrap();
        let wanted = Some(place(receiver));
        let value = values
            .iter()
            .find(|value| value.receiver() == wanted)
            .unwrap();
        let mut package = CeremonyPackage {
            ceremony: self.id.to_vec(),
            round: 2,
            sender: "gamma".into(),
            receiver: receiver.into(),
            content: Vec::new(),
        };
        let bound = incamera_wire::encode(&package);
        let key = world.parties[receiver].receive.public();
        let (info, rng) = (b"incamera-ceremony/1", &mut rand::rng());
        let sealed = key.seal(info, &bound, value.as_bytes(), rng).unwrap();
        package.content = [sealed.encapped_key, sealed.ciphertext].concat();
        signed(&world.parties["gamma"].service, &package)
    }
}

/// Both end their part, with two statements, so that there is no key; and gamma's own two
/// signatures name it. What gamma says of beta names nobody.
#[tokio::test]
async fn who_broadcasts_two_things_is_named_by_its_own_signatures() {
    let mut world = World::new(Terms::default()).await;
    let mut by_hand = ByHand::new(&mut world, false);
    for of in ["alpha", "beta"] {
        by_hand.step(0, of).await.unwrap();
    }
    by_hand.nonces.push(vec![7; 32]);
    let id = id(&by_hand);
    for of in ["alpha", "beta"] {
        by_hand.step(1, of).await.unwrap();
    }
    assert_eq!(content(&by_hand.first[0]).ceremony, id);
    let key = by_hand.world.parties["gamma"].service.duplicate();
    let mut told = Vec::new();
    for (of, other) in [("alpha", 1), ("beta", 0)] {
        let gamma = Gamma::new(id);
        let broadcast = signed(&key, &gamma.package);
        told.push(broadcast.clone());
        let theirs = vec![by_hand.first[other].clone(), broadcast];
        let step = Step::First(CeremonyPackages { packages: theirs });
        let values = by_hand.packages(of, step).await.unwrap();
        by_hand.second.extend(values);
        let value = gamma.value(by_hand.world, &by_hand.first, of);
        by_hand.second.push(value);
    }
    for of in ["alpha", "beta"] {
        by_hand.step(3, of).await.unwrap();
    }
    assert_ne!(by_hand.signed[0].body, by_hand.signed[1].body);
    let named = async |packages: Vec<Signed>| {
        let step = Step::Compare(CeremonyCompare { packages });
        let Reply::Named(named) = by_hand.ask("alpha", step).await.unwrap() else {
            panic!("nothing named");
        };
        named.providers
    };
    let step = || Step::Compare(CeremonyCompare::default());
    let heard = by_hand.packages("beta", step()).await.unwrap();
    assert_eq!(heard.len(), 3);
    assert_eq!(named(heard).await, ["gamma"]);
    // Nobody is named by what all heard alike, by what was changed, or by another's signature.
    let own = by_hand.packages("alpha", step()).await.unwrap();
    assert!(named(own).await.is_empty());
    let mut changed = told[1].clone();
    changed.signature[80] ^= 1;
    let mut of_beta = content(&by_hand.first[1]);
    of_beta.content[100] ^= 1;
    let false_report = signed(&key, &of_beta);
    assert!(named(vec![changed, false_report]).await.is_empty());
}
