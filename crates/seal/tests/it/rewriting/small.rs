//! Classes that a change makes small are written as lower ones, as when they are sealed.

use std::collections::{BTreeMap, BTreeSet};

use incamera_seal::{Anew, Change, Movement};
use incamera_types::{ConsentClass, Pseudonym, PurposeSet};

use super::{Want, planned, remade, whole};
use crate::world::{
    World, column_texts, customers, manifest_digest, pseudonym, purchases, purpose, set,
};

const LEAST: u64 = 4;

/// Purchases of so many people of each class, each with two rows, in so many slices.
fn world(partitions: u32, people: &[(&str, usize)]) -> World {
    let mut world = World::new();
    world.partitions = partitions;
    sealed_in(world, people)
}

fn sealed_in(mut world: World, people: &[(&str, usize)]) -> World {
    let (mut register, mut rows) = (
        "email,consent\n".to_owned(),
        "email,day,amount,category\n".to_owned(),
    );
    for (class, count) in people {
        for at in 0..*count {
            register += &format!("{},{class}\n", id(class, at));
            for amount in 0..2 {
                rows += &format!("{},2026-03-01,{amount},food\n", id(class, at));
            }
        }
    }
    let report = world.seal_csv(&customers(), register).unwrap();
    world.consents = report.consents;
    world.seal_csv(&purchases(), rows).unwrap();
    world
}

fn id(class: &str, at: usize) -> String {
    format!("{}-{at}@x", class.replace(';', "-"))
}

fn person(class: &str, at: usize) -> Pseudonym {
    pseudonym(&id(class, at)).unwrap()
}

/// The classes that people's rows are in, with the people of each.
fn classes(world: &World) -> BTreeMap<String, BTreeSet<String>> {
    let mut all: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for to in ["ads", "measurement"] {
        for (part, batch) in world.read("purchases", to, &["person"]) {
            let people = all.entry(part.class.to_string()).or_default();
            people.extend(column_texts(&batch, 0));
        }
    }
    all.retain(|_, people| !people.is_empty());
    all
}

fn sizes(world: &World) -> Vec<(String, usize)> {
    let classes = classes(world).into_iter();
    classes
        .map(|(class, people)| (class, people.len()))
        .collect()
}

fn without_ads(_: &Pseudonym, class: &ConsentClass) -> Option<ConsentClass> {
    Some(class.difference(&set(&["ads"])))
}

fn gone(_: &Pseudonym, _: &ConsentClass) -> Option<ConsentClass> {
    Some(PurposeSet::default())
}

fn want<'a>(among: &'a BTreeSet<Pseudonym>, class: To<'a>, least: u64) -> Want<'a> {
    Want {
        movement: Some(Movement {
            among: Some(among),
            class,
        }),
        class_people: least,
        change: Change::ConsentRemoved,
        ..Want::default()
    }
}

pub type To<'a> = &'a dyn Fn(&Pseudonym, &ConsentClass) -> Option<ConsentClass>;

fn sized(list: &[(&str, usize)]) -> Vec<(String, usize)> {
    let list = list.iter();
    list.map(|(class, people)| ((*class).to_owned(), *people))
        .collect()
}

/// A person whose new class would have nobody else is in one with fewer purposes that has.
#[test]
fn i3_rows_that_move_make_no_class_of_few() {
    for partitions in [1, 16] {
        let mut world = world(
            partitions,
            &[("ads;measurement;safety", 9), ("measurement", 5)],
        );
        let one = BTreeSet::from([person("ads;measurement;safety", 0)]);
        let want = want(&one, &without_ads, LEAST);
        planned(&world, "purchases", &want, |_, plan| {
            let plan = plan.unwrap();
            let small = plan.small_classes();
            assert_eq!((small.people_moved, small.rows_moved), (1, 2));
            assert_eq!((small.people_left_out, small.rows_left_out), (0, 0));
            assert_eq!(
                small.moved,
                BTreeSet::from([set(&["measurement", "safety"])])
            );
            let counts = plan.counts();
            assert_eq!((counts.rows_moved, counts.rows_gone), (2, 0));
        });
        remade(&mut world, "purchases", &want).unwrap();
        let found = sizes(&world);
        let expected = sized(&[("ads,measurement,safety", 8), ("measurement", 6)]);
        assert_eq!(found, expected, "{partitions} slices");
        whole(&world, "purchases");
        assert_eq!(
            world.texts("purchases", "measurement", "amount").len(),
            2 * 14
        );
        // Done once, it is done.
        planned(&world, "purchases", &want, |_, plan| {
            assert!(!plan.unwrap().changes());
        });
    }
}

/// However many move, they make parts as sealing does.
#[test]
fn rows_that_move_make_parts_of_the_size_of_sealing() {
    const BOTH: &str = "ads;measurement";
    let moved = |part_rows| {
        let mut world = World::new();
        (world.partitions, world.limits.part_rows) = (1, 4);
        let mut world = sealed_in(world, &[(BOTH, 14)]);
        let some: BTreeSet<Pseudonym> = (0..9).map(|at| person(BOTH, at)).collect();
        let want = Want {
            part_rows,
            ..want(&some, &without_ads, 1)
        };
        remade(&mut world, "purchases", &want).unwrap();
        whole(&world, "purchases");
        let rows = world.read("purchases", "measurement", &["person"]);
        let rows = rows
            .into_iter()
            .map(|(part, batch)| (part.class, batch.num_rows()));
        let (stay, moved): (Vec<_>, Vec<_>) = rows.partition(|(class, _)| class.len() == 2);
        let count = |parts: &[(ConsentClass, usize)]| parts.iter().map(|(_, rows)| rows).sum();
        assert_eq!((count(&stay), count(&moved)), (10usize, 18usize));
        moved.into_iter().map(|(_, rows)| rows).collect::<Vec<_>>()
    };
    assert_eq!(moved(u64::MAX), [18]);
    let parts = moved(6);
    assert!(parts.len() > 1, "{parts:?}");
    // Enough, and what the last part read had beside it.
    assert!(parts.iter().all(|rows| *rows < 6 + 4), "{parts:?}");
}

/// With the limit off, the part of one person is what it was: the negative control.
#[test]
fn a_limit_of_one_leaves_classes_as_they_are() {
    let mut world = world(4, &[("ads;measurement;safety", 9), ("measurement", 5)]);
    let one = BTreeSet::from([person("ads;measurement;safety", 0)]);
    remade(&mut world, "purchases", &want(&one, &without_ads, 1)).unwrap();
    assert_eq!(sizes(&world).len(), 3);
}

/// Nobody else's rows move, but the class that is left has become small: in slices, too, where
/// nobody was taken out.
#[test]
fn i3_a_class_that_others_left_is_merged_too() {
    let mut world = world(16, &[("ads;measurement", 4), ("measurement", 9)]);
    let old = world.manifest("purchases");
    let one = BTreeSet::from([person("ads;measurement", 2)]);
    let forget = Want {
        change: Change::Forgotten,
        ..want(&one, &gone, LEAST)
    };
    let (counts, done) = remade(&mut world, "purchases", &forget).unwrap();
    assert_eq!((counts.rows_gone, counts.rows_moved), (2, 0));
    assert_eq!(sizes(&world), sized(&[("measurement", 12)]));
    whole(&world, "purchases");
    // Whatever opened their rows for `ads` was taken away: new data keys, old ones destroyed.
    assert!(done.keys_destroyed > 0 && done.key_epoch > old.key_epoch());
    let both = set(&["ads", "measurement"]);
    let before = old.parts().iter().filter(|part| part.class == both);
    let new = world.manifest("purchases");
    for part in before {
        assert!(new.part(&part.file_id).is_none());
    }
}

/// Where no class has fewer purposes that open something, their rows are left out, and that is
/// told.
#[test]
fn i3_few_people_without_a_lower_class_are_left_out() {
    let mut world = world(4, &[("ads", 4), ("measurement", 9)]);
    let one = BTreeSet::from([person("ads", 0)]);
    let want = want(&one, &gone, LEAST);
    planned(&world, "purchases", &want, |_, plan| {
        let plan = plan.unwrap();
        let small = plan.small_classes();
        assert_eq!((small.people_left_out, small.rows_left_out), (3, 6));
        assert_eq!(small.left_out, BTreeSet::from([set(&["ads"])]));
        assert_eq!(plan.counts().rows_gone, 2);
    });
    remade(&mut world, "purchases", &want).unwrap();
    assert_eq!(sizes(&world), sized(&[("measurement", 9)]));
}

/// What takes nobody's rows leaves small classes as they are, and so does a change of people
/// whom nobody here knows.
#[test]
fn small_classes_stay_where_nothing_is_taken() {
    let mut world = world(4, &[("ads;measurement", 2), ("measurement", 9)]);
    let before = sizes(&world);
    let stranger = BTreeSet::from([pseudonym("stranger@x").unwrap()]);
    planned(
        &world,
        "purchases",
        &want(&stranger, &gone, LEAST),
        |_, plan| {
            let plan = plan.unwrap();
            assert!(!plan.changes() && *plan.small_classes() == Default::default());
        },
    );
    let rotated = Want {
        anew: Anew::DataKeys,
        class_people: LEAST,
        change: Change::Rotated,
        ..Want::default()
    };
    remade(&mut world, "purchases", &rotated).unwrap();
    assert_eq!(sizes(&world), before);
}

/// Without consents there is one class for everybody, however few they are.
#[test]
fn without_consents_no_class_is_small() {
    let mut world = World::new();
    let csv = "email,day,amount,category\na@x,2026-03-01,1,food\nb@x,2026-03-01,2,food\n";
    world.seal_csv(&purchases(), csv).unwrap();
    let one = BTreeSet::from([pseudonym("a@x").unwrap()]);
    remade(&mut world, "purchases", &want(&one, &gone, 1_000)).unwrap();
    assert_eq!(world.texts("purchases", "measurement", "amount"), ["2.00"]);
}

/// A data set that gets its first register has consents from then on, and no class of few.
#[test]
fn i3_the_first_register_makes_no_class_of_few() {
    let said = [
        ("ads;measurement", 9),
        ("measurement;safety", 1),
        ("measurement", 5),
    ];
    let mut agreed = BTreeMap::new();
    let mut rows = "email,day,amount,category\n".to_owned();
    for (class, count) in said {
        for at in 0..count {
            let purposes = set(&class.split(';').collect::<Vec<_>>());
            agreed.insert(person(class, at), purposes);
            rows += &format!("{},2026-03-01,1,food\n", id(class, at));
        }
    }
    let mut world = World::new();
    world.seal_csv(&purchases(), rows).unwrap();
    let class = |person: &Pseudonym, class: &ConsentClass| {
        let agreed = agreed.get(person).cloned().unwrap_or_default();
        Some(class.intersection(&agreed))
    };
    let want = Want {
        movement: Some(Movement {
            among: None,
            class: &class,
        }),
        class_people: LEAST,
        register: Some(manifest_digest()),
        ..Want::default()
    };
    remade(&mut world, "purchases", &want).unwrap();
    let expected = sized(&[("ads,measurement", 9), ("measurement", 6)]);
    assert_eq!(sizes(&world), expected);
}

/// A person with rows in two classes is one person.
#[test]
fn i3_people_of_two_classes_count_once() {
    // Some of `ads;measurement` were few at first and sealed as `measurement`; the rows added
    // later are enough for a class of their own.
    let mut world = World::new();
    world.partitions = 2;
    let ids: Vec<String> = (0..4).map(|at| id("ads;measurement", at)).collect();
    let register = ids.iter().map(|id| format!("{id},ads;measurement\n"));
    let register = format!(
        "email,consent\nm@x,measurement\n{}",
        register.collect::<String>()
    );
    let report = world.seal_csv(&customers(), register).unwrap();
    world.consents = report.consents;
    let row = |id: &String| format!("{id},2026-03-01,1,food\n");
    world.limits.class_people = 5;
    let first: String = ids.iter().map(row).collect();
    let first = format!("email,day,amount,category\nm@x,2026-03-01,1,food\n{first}");
    world.seal_csv(&purchases(), first).unwrap();
    world.limits.class_people = LEAST;
    world.append = true;
    let more: String = ids.iter().map(row).collect();
    world
        .seal_csv(&purchases(), format!("email,day,amount,category\n{more}"))
        .unwrap();
    let expected = sized(&[("ads,measurement", 4), ("measurement", 5)]);
    assert_eq!(sizes(&world), expected);
    // Two go: of three people left, two have rows in either class.
    let two = BTreeSet::from([person("ads;measurement", 0), person("ads;measurement", 1)]);
    remade(&mut world, "purchases", &want(&two, &gone, LEAST)).unwrap();
    assert_eq!(sizes(&world), []);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]
    /// Whoever leaves: no class that is written is small, nobody's rows are in a class that the
    /// person did not agree to, and who is not told as left out is in.
    #[test]
    fn i3_no_class_is_small_after_a_change(
        people in proptest::array::uniform4(0usize..7),
        taken in proptest::collection::vec((0usize..4, 0usize..7), 1..5),
        forget in proptest::bool::ANY,
        least in 1u64..7,
    ) {
        let said = ["ads;measurement;safety", "ads;measurement", "measurement;safety", "measurement"];
        let all: Vec<(&str, usize)> = said.into_iter().zip(people).collect();
        proptest::prop_assume!(people.iter().sum::<usize>() > 0);
        let mut world = world(4, &all);
        let taken: BTreeSet<(usize, usize)> =
            taken.into_iter().filter(|(class, at)| *at < people[*class]).collect();
        let among: BTreeSet<Pseudonym> =
            taken.iter().map(|(class, at)| person(said[*class], *at)).collect();
        let to: To<'_> = if forget { &gone } else { &without_ads };
        let want = want(&among, to, least);
        let mut left_out = 0;
        let mut taken_rows = false;
        planned(&world, "purchases", &want, |_, plan| {
            let plan = plan.unwrap();
            left_out = plan.small_classes().people_left_out as usize;
            taken_rows = plan.counts().rows_moved + plan.counts().rows_gone > 0 || left_out > 0;
        });
        if !taken_rows {
            return Ok(());
        }
        remade(&mut world, "purchases", &want).unwrap();
        let found = classes(&world);
        let mut known = 0;
        for (class, at) in said.iter().zip(people).flat_map(|(class, count)| (0..count).map(move |at| (*class, at))) {
            let person = person(class, at);
            let text = hex::encode(person.as_bytes());
            let mut agreed = set(&class.split(';').collect::<Vec<_>>());
            if among.contains(&person) {
                agreed = to(&person, &agreed).unwrap();
            }
            for (found, _) in found.iter().filter(|(_, people)| people.contains(&text)) {
                let found: ConsentClass = found.split(',').map(purpose).collect();
                proptest::prop_assert!(found.is_subset(&agreed));
                known += 1;
            }
        }
        for (class, people) in &found {
            proptest::prop_assert!(people.len() as u64 >= least, "{} {}", class, people.len());
        }
        let all: usize = people.iter().sum();
        let forgotten = if forget { among.len() } else { 0 };
        proptest::prop_assert_eq!(known, all - forgotten - left_out);
    }
}
