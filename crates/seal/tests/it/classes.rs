//! Consent classes of few people are sealed as lower ones, never as higher ones (invariant I3).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use incamera_types::{ConsentClass, Pseudonym};

use crate::world::{World, column_texts, customers, pseudonym, purchases, set};

const SAID: [&str; 8] = [
    "ads;measurement;safety",
    "ads;measurement",
    "ads;safety",
    "measurement;safety",
    "ads",
    "measurement",
    "safety",
    "",
];

/// So many people of each class of [`SAID`].
fn register(people: [usize; 8]) -> (String, BTreeMap<String, ConsentClass>) {
    let (mut csv, mut said) = ("email,consent\n".to_owned(), BTreeMap::new());
    for (class, count) in SAID.iter().zip(people) {
        for n in 0..count {
            let id = format!("{}-{n}@x", class.replace(';', "-"));
            writeln!(csv, "{id},{class}").unwrap();
            let names: Vec<&str> = class.split(';').filter(|name| !name.is_empty()).collect();
            said.insert(text(&pseudonym(&id).unwrap()), set(&names));
        }
    }
    (csv, said)
}

/// A pseudonym as a column shows it.
fn text(person: &Pseudonym) -> String {
    hex::encode(person.as_bytes())
}

/// The class that each person's rows are sealed in.
fn sealed(world: &World, dataset: &str) -> BTreeMap<String, ConsentClass> {
    let mut all = BTreeMap::new();
    for purpose in ["ads", "measurement"] {
        for (part, batch) in world.read(dataset, purpose, &["person"]) {
            for person in column_texts(&batch, 0) {
                all.insert(person, part.class.clone());
            }
        }
    }
    all
}

#[test]
fn i3_few_people_are_sealed_for_fewer_purposes() {
    let mut world = World::new();
    world.limits.class_people = 10;
    let (csv, said) = register([3, 20, 0, 0, 5, 2, 4, 6]);
    let report = world.seal_csv(&customers(), csv).unwrap();
    let small = report.small_classes;
    assert_eq!((small.people_moved, small.rows_moved), (3, 3));
    // The columns of the register are for ads and measurement: `safety` opens nothing anyway.
    assert_eq!((small.people_left_out, small.rows_left_out), (7, 7));
    assert_eq!((report.sealed, report.without_consent), (23, 10));
    let found = sealed(&world, "customers");
    let classes: BTreeSet<String> = found.values().map(ToString::to_string).collect();
    assert_eq!(classes.into_iter().collect::<Vec<_>>(), ["ads,measurement"]);
    assert_eq!(found.len(), 23);
    for (person, class) in &found {
        assert!(class.is_subset(&said[person]));
    }
    // What people said is kept as they said it: other data sets have other people.
    let consents = report.consents.unwrap();
    let all = consents.class(&pseudonym("ads-measurement-safety-0@x").unwrap());
    assert_eq!(all, Some(&set(&["ads", "measurement", "safety"])));
    let mut lines = "email,day,amount,category\n".to_owned();
    for n in 0..3 {
        writeln!(lines, "ads-measurement-safety-{n}@x,2026-03-01,1.00,food").unwrap();
        writeln!(lines, "ads-measurement-{n}@x,2026-03-01,1.00,food").unwrap();
    }
    world.consents = Some(consents);
    let report = world.seal_csv(&purchases(), &lines).unwrap();
    assert_eq!(
        (report.sealed, report.small_classes.people_left_out),
        (0, 6)
    );
    world.limits.class_people = 4;
    let report = world.seal_csv(&purchases(), &lines).unwrap();
    assert_eq!((report.sealed, report.small_classes.people_moved), (6, 3));
    world.limits.class_people = 3;
    let report = world.seal_csv(&purchases(), &lines).unwrap();
    assert_eq!((report.sealed, report.small_classes.people_moved), (6, 0));
    world.limits.class_people = 1;
    let report = world.seal_csv(&purchases(), &lines).unwrap();
    assert_eq!((report.sealed, report.small_classes.people_moved), (6, 0));
}

#[test]
fn one_class_for_everybody_stays() {
    let mut world = World::new();
    world.limits.class_people = 1_000;
    let report = world.seal_csv(
        &purchases(),
        "email,day,amount,category\na@x,2026-03-01,1,food\n",
    );
    assert_eq!(report.unwrap().sealed, 1);
    let mut public = purchases();
    public.public = true;
    public.columns.remove(0);
    let report = world.seal_csv(&public, "day,amount,category\n2026-03-01,1,food\n");
    assert_eq!(report.unwrap().sealed, 1);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(12))]
    /// Whatever people say, and however few: each row is sealed for purposes that its person
    /// agreed to, and every class that is sealed has enough people.
    #[test]
    fn i3_no_row_is_sealed_for_more_than_was_agreed(
        people in proptest::array::uniform8(0usize..15),
        least in 1u64..20,
    ) {
        let mut world = World::new();
        world.limits.class_people = least;
        let (csv, said) = register(people);
        let report = world.seal_csv(&customers(), csv).unwrap();
        let found = sealed(&world, "customers");
        proptest::prop_assert_eq!(found.len() as u64, report.sealed);
        let mut sizes: BTreeMap<&ConsentClass, u64> = BTreeMap::new();
        for (person, class) in &found {
            proptest::prop_assert!(class.is_subset(&said[person]));
            *sizes.entry(class).or_default() += 1;
        }
        proptest::prop_assert!(sizes.values().all(|people| *people >= least));
    }
}

/// `advertising` was another name of `ads`: who agreed to the one agreed to the other, whether
/// the file that says so is sealed now or was before.
#[test]
fn an_old_name_of_a_purpose_counts_for_the_new_one() {
    let mut world = World::new();
    let csv = "email,consent\nold@x,advertising;safety\nnew@x,ads\nnobody-knows@x,safety\n";
    let report = world.seal_csv(&customers(), csv).unwrap();
    let consents = report.consents.unwrap();
    let said =
        |consents: &incamera_seal::Consents, id| consents.class(&pseudonym(id).unwrap()).cloned();
    assert_eq!(said(&consents, "old@x"), Some(set(&["ads", "safety"])));
    let before = consents.changed(|_, class| {
        let old = |purpose: &incamera_types::PurposeName| match purpose.as_str() {
            "ads" => "advertising".parse().unwrap(),
            _ => purpose.clone(),
        };
        Some(class.iter().map(old).collect())
    });
    assert_eq!(said(&before, "new@x"), Some(set(&["advertising"])));
    world.consents = Some(before);
    let lines =
        "email,day,amount,category\nold@x,2026-03-01,1.00,food\nnew@x,2026-03-02,2.00,toys\n";
    world.seal_csv(&purchases(), lines).unwrap();
    assert_eq!(
        world.texts("purchases", "ads", "category"),
        ["food", "toys"]
    );
    let split = world.seal_csv(&customers(), "email,consent\nold@x,marketing\n");
    assert!(matches!(split, Err(incamera_seal::SealError::Source(_))));
}
