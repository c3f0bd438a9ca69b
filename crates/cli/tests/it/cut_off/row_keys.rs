//! Proofs that all rows are under one key.

use super::*;
use crate::alone::has_figures;

/// Both sides ask for proofs: the crosswalks are those of a run without, and what the peer proved
/// is known from then on.
#[test]
fn with_proofs_the_crosswalks_are_the_same() {
    let world = world();
    let wanted = reference(&world);
    let proven = ["--row-keys"];
    let shop = Running::start(&world, "shop", &proven);
    let mailer = Running::start(&world, "mailer", &proven).good();
    for document in [shop.good(), mailer] {
        assert_eq!(document["row_keys"], true, "{document:#}");
        has_figures(&document, "commutative", false);
    }
    assert!(take_away(&world) == wanted);
    for party in ["shop", "mailer"] {
        let history = fs::read_to_string(slot(&world, party).join("history")).unwrap();
        assert_eq!(history.matches("\"peer_key\":").count(), 1, "{history}");
    }
    // Without them once more: the key stays known.
    reference(&world);
    let shop = Running::start(&world, "shop", &proven);
    Running::start(&world, "mailer", &proven).good();
    shop.good();
}

/// One side alone: both are told what to do, and no run is used up.
#[test]
fn proofs_are_asked_for_on_both_sides() {
    let world = world();
    for (one, other) in [("shop", "mailer"), ("mailer", "shop")] {
        let one = Running::start(&world, one, &["--row-keys"]);
        let other = Running::start(&world, other, &[]);
        for ran in [one, other] {
            let (code, refused) = ran.end();
            assert_eq!(code, 1, "{refused:#}");
            let said = refused.to_string();
            assert!(
                said.contains("both with `--row-keys` or neither"),
                "{refused:#}"
            );
        }
    }
    for party in ["shop", "mailer"] {
        let history = fs::read_to_string(slot(&world, party).join("history")).unwrap();
        assert_eq!(history.matches("\"run\":{").count(), 0);
    }
}

/// The mailer comes with another ring than the one whose key it proved: it is refused by name
/// before a point is sent, and nobody is called a cheat, for the ring may have been lost.
#[test]
fn a_peer_with_another_key_is_refused() {
    let world = world();
    let proven = ["--row-keys"];
    let shop = Running::start(&world, "shop", &proven);
    Running::start(&world, "mailer", &proven).good();
    shop.good();
    take_away(&world);
    let other = World::agreed();
    for file in ["mailer/ring.age", "mailer/passphrase.txt"] {
        fs::copy(other.root().join(file), world.root().join(file)).unwrap();
    }
    let shop = Running::start(&world, "shop", &proven);
    let mailer = Running::start(&world, "mailer", &proven);
    let (code, refused) = shop.end();
    assert_eq!(code, 1, "{refused:#}");
    let said = refused.to_string();
    assert!(
        said.contains("mailer") && said.contains("not the one of the earlier runs"),
        "{refused:#}"
    );
    assert!(said.contains("new matching epoch"), "{refused:#}");
    assert!(!said.contains("does not keep to"), "{refused:#}");
    let (code, _) = mailer.end();
    assert_eq!(code, 1);
    let history = fs::read_to_string(slot(&world, "shop").join("history")).unwrap();
    assert_eq!(history.matches("\"run\":{").count(), 1, "not counted");
}

/// Another word about proofs does not throw away what an interrupted run has done.
#[test]
fn an_interrupted_run_keeps_its_proofs() {
    let world = world();
    let wanted = reference(&world);
    let runs = ["shop", "mailer"].map(|party| Running::start(&world, party, &["--row-keys"]));
    until_under_way(&world, "shop");
    assert_eq!(runs.map(Running::kill), [true; 2]);
    let (code, refused) = Running::start(&world, "shop", &[]).end();
    assert_eq!(code, 2, "{refused:#}");
    assert!(
        refused.to_string().contains("say `--row-keys` again"),
        "{refused:#}"
    );
    let [shop, mailer] =
        ["shop", "mailer"].map(|party| Running::start(&world, party, &["--row-keys"]));
    assert!(number(&shop.good(), "/resumed_from") > 0);
    assert!(number(&mailer.good(), "/resumed_from") > 0);
    assert!(take_away(&world) == wanted);
}
