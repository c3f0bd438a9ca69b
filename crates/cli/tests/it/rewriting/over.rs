//! Data sets that are kept no longer hold up nothing that is done to the others.

use super::{bad, consents, good, person, rows, under_second, write_ids};
use crate::invariants::support::Holdings;
use crate::world::World;

/// A second version by which a data set of the shop is kept no longer.
pub fn no_longer_kept(world: &World, name: &str) {
    world.second(|text| {
        let head = format!("[datasets.{name}]\nowner = \"shop\"");
        assert!(text.contains(&head));
        text.replacen(&head, &format!("{head}\nkeep_until = 2020-02-29"), 1)
    });
}

fn held_up_by(over: &str, other: &str) {
    let world = World::ready();
    no_longer_kept(&world, over);
    let holdings = Holdings(world.root());
    let crosswalk = holdings.crosswalk("shop");
    let [one, two] = ["p1@mail.example", "p2@mail.example"].map(|id| person(&crosswalk, id));
    let ids = write_ids(&world, "p1@mail.example\n");
    let agreed = |person| consents(&world).class(person).map(ToString::to_string);
    let there = |person: &incamera_types::Pseudonym, to| {
        rows(&world, other, to).contains_key(person.as_bytes())
    };
    assert!(there(&one, "measurement") && there(&two, "measurement"));
    let remove = ["consent", "--remove", "measurement", "--ids", &ids, "--yes"];
    let told = good(under_second(&world, "shop", &remove));
    let beside = told.document["beside"].to_string();
    assert!(
        beside.contains(&format!("`{over}` is not kept any longer")),
        "{beside}"
    );
    assert!(!there(&one, "measurement") && there(&two, "measurement"));
    assert_eq!(agreed(&one).as_deref(), Some("ads"));

    let forget = ["forget", "--ids", &ids, "--yes"];
    good(under_second(&world, "shop", &forget));
    assert!(!there(&one, "measurement") && there(&two, "measurement"));
    assert_eq!((agreed(&one), agreed(&two).is_some()), (None, true));
    let left = holdings.crosswalk("shop");
    assert!(left.lookup("p1@mail.example").is_none());
    assert!(left.lookup("p2@mail.example").is_some());

    for verb in [
        &["retag"][..],
        &["rotate"],
        &["rotate", other],
        &["revoke", "ads", "--yes"],
    ] {
        good(under_second(&world, "shop", verb));
    }
    assert!(there(&two, "measurement"));
    let id = holdings.agreement().id;
    let slots = holdings
        .ring("shop")
        .purpose_slots(&id, &over.parse().unwrap());
    assert_eq!(slots, []);
    let named = under_second(&world, "shop", &["rotate", over]);
    bad(&named, 3, &["2020-02-29", "`keep_until`"]);
    if other == "purchases" {
        // Sealed by the consents that are left, also when the register's files are deleted.
        std::fs::remove_dir_all(holdings.sealed("shop", over)).unwrap();
        let source = world.path("data/purchases.csv");
        let seal = ["seal", other, "--yes", "--data", &source];
        good(under_second(&world, "shop", &seal));
        assert!(!there(&one, "measurement") && there(&two, "measurement"));
    }
}

#[test]
fn i3_a_data_set_kept_no_longer_holds_up_nothing() {
    held_up_by("purchases", "customers");
}

/// Its consents go on.
#[test]
fn i3_a_register_kept_no_longer_holds_up_nothing() {
    held_up_by("customers", "purchases");
}
