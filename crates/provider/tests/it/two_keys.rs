//! A provider that makes two first keys, gives one of the others the one and the other the other,
//! and would choose for each owner which it matches by.

use incamera_matching::statement::{ChoiceError, Chosen, Deviation, KeyStatement};

use crate::unfinished::{hand, signed_in};
use crate::world::{Terms, World};

/// What an owner goes by whom alpha shows this file; the two others are honest.
async fn chosen(
    world: &World,
    alpha: &[u8],
    known: Option<&KeyStatement>,
) -> Result<Chosen, ChoiceError> {
    let mut shown = Vec::new();
    for name in world.terms.providers {
        let file = match *name {
            "alpha" => alpha.to_vec(),
            honest => world.statement(honest).await,
        };
        let statement = KeyStatement::open(&file, &world.agreed()).unwrap();
        shown.push((name.parse().unwrap(), statement));
    }
    Chosen::of(shown, known, world.terms.threshold)
}

#[tokio::test]
async fn one_provider_gives_no_two_owners_two_keys() {
    let mut world = World::new(Terms::default()).await;
    let [one, other] = [
        signed_in(&mut world, false).await,
        signed_in(&mut world, false).await,
    ];
    let agreed = world.agreed();
    let open = |file: &[u8]| KeyStatement::open(file, &agreed).unwrap();
    assert_eq!((open(&one).number(), open(&other).number()), (1, 1));
    hand(&world, "beta", &one).await.unwrap();
    hand(&world, "gamma", &other).await.unwrap();
    // With alpha's word each has enough.
    for (file, alike) in [(&one, ["alpha", "beta"]), (&other, ["alpha", "gamma"])] {
        let refused = chosen(&world, file, None).await.unwrap_err();
        let ChoiceError::TwoKeys { one, other } = &refused else {
            panic!("{refused:?}");
        };
        let [one, other] = [one, other].map(|names| names.iter().map(|name| name.as_str()));
        assert_eq!(
            (one.collect::<Vec<_>>(), other.count()),
            (alike.to_vec(), 1)
        );
    }
    // Who matched before stays with its key, and names who shows another.
    let known = open(&one);
    let goes_on = chosen(&world, &one, Some(&known)).await.unwrap();
    let gamma = ("gamma".parse().unwrap(), Deviation::OtherKey);
    assert_eq!((goes_on.statement, goes_on.others), (known, vec![gamma]));
    // Neither of the honest ones takes the other's key, whoever finishes.
    world.stop("alpha").await;
    let left = world.finish_by("beta").await.unwrap().left;
    assert!(
        left.iter()
            .any(|left| left.to_string().contains("contradict")),
        "{left:?}"
    );
    let fingerprints = [
        open(&world.statement("beta").await).fingerprint(),
        open(&world.statement("gamma").await).fingerprint(),
    ];
    assert_ne!(fingerprints[0], fingerprints[1]);
}
