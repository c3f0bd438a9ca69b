//! People with several kinds of id: who is who, how far one person reaches, and what that does
//! to the noise.

mod damage;
mod noise;

use std::cell::RefCell;

use arrow::array::{BooleanArray, FixedSizeBinaryArray, Int64Array};
use incamera_types::Pseudonym;

use super::sealed::{Made, Room};
use super::*;
use crate::practice::MadeUp;
use crate::{Practice, prove};

/// The parties of the tests with two registers of three kinds, and facts at each owner.
fn base() -> String {
    let (head, _) = DATASETS.split_once("[datasets.customers]").unwrap();
    let head = head.replace(
        "ids = [\"email\"]",
        "ids = [\"email\", \"phone\"]\nlink = \"waterfall\"",
    );
    let kinds = "person = { type = \"person\" }\nemail = { type = \"pseudonym\", id = \"email\" }\nphone = { type = \"pseudonym\", id = \"phone\" }\n";
    format!(
        "{head}
[datasets.customers]
owner = \"shop\"
[datasets.customers.columns]
{kinds}vip = {{ type = \"bool\", purposes = [\"measurement\"] }}
[datasets.purchases]
owner = \"shop\"
[datasets.purchases.columns]
person = {{ type = \"person\" }}
amount = {{ type = \"int\", min = 0, max = 100, purposes = [\"measurement\"] }}
[datasets.mailing]
owner = \"mailer\"
[datasets.mailing.columns]
{kinds}mailed = {{ type = \"bool\", purposes = [\"measurement\"] }}
[datasets.clicks]
owner = \"mailer\"
[datasets.clicks.columns]
person = {{ type = \"person\" }}
amount = {{ type = \"int\", min = 0, max = 100, purposes = [\"measurement\"] }}
"
    )
}

/// What a pair adds hangs on both: alone, or of one mind.
const HITS: &str = "SELECT COUNT(DISTINCT customers.person) AS people,
    SUM(CASE WHEN mailing.mailed IS NULL OR customers.vip = mailing.mailed THEN 1 ELSE 0 END) AS hits
    FROM customers LEFT JOIN mailing ON mailing.person = customers.person";
const HITS_READS: &str = "[\"customers.person\", \"customers.email\", \"customers.phone\", \"customers.vip\", \"mailing.person\", \"mailing.email\", \"mailing.phone\", \"mailing.mailed\"]";

fn hits() -> Agreement {
    hits_of("{ customers = 1, mailing = 1 }")
}

/// The same with so many rows of a person.
fn hits_of(rows: &str) -> Agreement {
    let settings = [
        ("reads", HITS_READS),
        ("rows", rows),
        ("per_person", "{ groups = 1, hits = [0, 1] }"),
    ];
    agreement_of(&base(), HITS, &settings)
}

/// Facts of both owners; those of the mailer are more, so that the shop's rows move.
fn facts() -> Agreement {
    let sql = "SELECT CASE WHEN mailing.mailed THEN 'yes' ELSE 'no' END AS mailed,
        COUNT(DISTINCT mailing.person) AS people, SUM(clicks.amount) AS clicks, SUM(bought.spent) AS spent
        FROM mailing JOIN customers ON customers.person = mailing.person
        LEFT JOIN clicks ON clicks.person = mailing.person
        LEFT JOIN (SELECT person, SUM(amount) AS spent FROM purchases WHERE amount > 3 GROUP BY person) AS bought
            ON bought.person = mailing.person
        GROUP BY 1";
    let settings = [
        (
            "reads",
            "[\"customers.person\", \"customers.email\", \"customers.phone\", \"purchases.person\", \"purchases.amount\", \"mailing.person\", \"mailing.email\", \"mailing.phone\", \"mailing.mailed\", \"clicks.person\", \"clicks.amount\"]",
        ),
        (
            "rows",
            "{ customers = 1, mailing = 1, purchases = 9, clicks = 1000 }",
        ),
        ("groups", "{ mailed = [\"yes\", \"no\"] }"),
        (
            "per_person",
            "{ groups = 1, clicks = [0, 100000], spent = [0, 100000] }",
        ),
    ];
    agreement_of(&base(), sql, &settings)
}

/// Somebody as an owner knows them.
#[derive(Clone, Debug, PartialEq)]
struct One {
    ids: [Option<u8>; 2],
    flag: bool,
    amounts: Vec<i64>,
}

/// An owner's people by their keys.
type Side = BTreeMap<Person, One>;

#[derive(Clone, Debug)]
struct World {
    shop: Side,
    mailer: Side,
}

fn keys(values: impl IntoIterator<Item = Option<Person>>) -> ArrayRef {
    let values = values.into_iter();
    Arc::new(FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, 16).unwrap())
}

impl World {
    const SLICES: u32 = 4;

    /// The same for the same seed.
    fn of(seed: u64) -> Self {
        let random = RefCell::new(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let below = |most: u64| {
            let mut state = random.borrow_mut();
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            (*state >> 33) % most
        };
        let values = 2 + below(4);
        let id = |kind: u64| match below(values + 1) {
            0 => None,
            id => Some((kind * 100 + id) as u8),
        };
        let side = |owner: u8| {
            let count = 1 + below(6);
            let person = |_| {
                let mut key = [owner; 16];
                key[0] = below(256) as u8;
                key[15] = below(256) as u8;
                let amounts = (0..below(4)).map(|_| below(9) as i64).collect();
                let ids = [id(0), id(1)];
                let flag = below(2) == 0;
                (key, One { ids, flag, amounts })
            };
            (0..count).map(person).collect()
        };
        Self {
            shop: side(1),
            mailer: side(2),
        }
    }

    fn memory(&self) -> Memory {
        let mut parts = BTreeMap::new();
        let slice_of = |key: &Person| Pseudonym::from_bytes(*key).partition(Self::SLICES);
        for slice in 0..Self::SLICES {
            for (side, register, facts, flag) in [
                (&self.shop, "customers", "purchases", "vip"),
                (&self.mailer, "mailing", "clicks", "mailed"),
            ] {
                let here: Vec<_> = side
                    .iter()
                    .filter(|(key, _)| slice_of(key) == slice)
                    .collect();
                let of_kind = |kind: usize| {
                    keys(here.iter().map(|(_, one)| one.ids[kind].map(|id| [id; 16])))
                };
                let flags: BooleanArray = here.iter().map(|(_, one)| Some(one.flag)).collect();
                let rows = batch(vec![
                    ("person", people(here.iter().map(|(key, _)| **key))),
                    ("email", of_kind(0)),
                    ("phone", of_kind(1)),
                    (flag, Arc::new(flags)),
                ]);
                parts.insert((dataset(register), slice), vec![vec![rows]]);
                let each = here
                    .iter()
                    .flat_map(|(key, one)| one.amounts.iter().map(move |amount| (**key, *amount)));
                let each: Vec<_> = each.collect();
                let amounts = Int64Array::from_iter_values(each.iter().map(|row| row.1));
                let rows = batch(vec![
                    ("person", people(each.iter().map(|row| row.0))),
                    ("amount", Arc::new(amounts)),
                ]);
                parts.insert((dataset(facts), slice), vec![vec![rows]]);
            }
        }
        Memory {
            partitions: Self::SLICES,
            parts,
        }
    }

    /// The owners' files, people named by their keys.
    fn files(&self) -> Vec<(&'static str, &'static str, Vec<String>)> {
        let named = |key: &Person| format!("{:032x}", u128::from_be_bytes(*key));
        let id = |id: Option<u8>| id.map_or_else(String::new, |id| id.to_string());
        let register = |side: &Side| {
            let line = |(key, one): (&Person, &One)| {
                let ids = one.ids.map(id);
                format!("{},{},{},{}", named(key), ids[0], ids[1], one.flag)
            };
            side.iter().map(line).collect()
        };
        let facts = |side: &Side| {
            let lines = side.iter().flat_map(|(key, one)| {
                let line = move |amount: &i64| format!("{},{amount}", named(key));
                one.amounts.iter().map(line)
            });
            lines.collect()
        };
        vec![
            ("customers", "person,email,phone,vip", register(&self.shop)),
            ("purchases", "person,amount", facts(&self.shop)),
            (
                "mailing",
                "person,email,phone,mailed",
                register(&self.mailer),
            ),
            ("clicks", "person,amount", facts(&self.mailer)),
        ]
    }

    /// Who is who, by the rule as it reads.
    fn linked(&self) -> BTreeMap<Person, Person> {
        let mut linked: BTreeMap<Person, Person> = BTreeMap::new();
        for kind in 0..2 {
            let before = linked.clone();
            for id in (0..8).map(|id| kind as u8 * 100 + id) {
                let has = |one: &One| one.ids[kind] == Some(id);
                let mut shop = self.shop.iter();
                let shop = shop.find(|(key, one)| has(one) && !before.contains_key(*key));
                let mut mailer = self.mailer.iter();
                let mailer =
                    mailer.find(|(key, one)| has(one) && !before.values().any(|b| b == *key));
                if let (Some((a, _)), Some((b, _))) = (shop, mailer) {
                    linked.insert(*a, *b);
                }
            }
        }
        linked
    }

    /// The exact answer of [`hits`].
    fn hits(&self) -> Vec<i128> {
        let linked = self.linked();
        let hit = |(key, one): &(&Person, &One)| {
            let other = linked.get(*key).map(|other| &self.mailer[other]);
            other.is_none_or(|other| other.flag == one.flag)
        };
        let hits = self.shop.iter().filter(hit).count();
        vec![self.shop.len() as i128, hits as i128]
    }

    /// The exact answer of [`facts`].
    fn facts(&self) -> Vec<i128> {
        let mut cells = vec![0; 6];
        for (a, b) in self.linked() {
            let (shop, mailer) = (&self.shop[&a], &self.mailer[&b]);
            let cell = if mailer.flag { 0 } else { 3 };
            let spent: i64 = shop.amounts.iter().filter(|amount| **amount > 3).sum();
            let clicks: i64 = mailer.amounts.iter().sum();
            // Every click has a row with all that was spent.
            let rows = mailer.amounts.len().max(1) as i128;
            cells[cell] += 1;
            cells[cell + 1] += i128::from(clicks);
            cells[cell + 2] += i128::from(spent) * rows;
        }
        cells
    }

    /// Every world in which one person is not there.
    fn fewer(&self) -> Vec<Self> {
        let shop = self.shop.keys().map(|key| {
            let mut world = self.clone();
            world.shop.remove(key);
            world
        });
        let mailer = self.mailer.keys().map(|key| {
            let mut world = self.clone();
            world.mailer.remove(key);
            world
        });
        shop.chain(mailer).collect()
    }

    /// Worlds in which one person has other ids and another flag.
    fn changed(&self) -> Vec<Self> {
        let others = [None, Some(1), Some(2)];
        let others = || {
            others
                .into_iter()
                .flat_map(|a| others.map(|b| [a, b.map(|b| b + 100)]))
        };
        let mut worlds = Vec::new();
        let changed = |one: &mut One, ids: [Option<u8>; 2]| {
            (one.ids, one.flag) = (ids, !one.flag);
        };
        for ids in others() {
            for key in self.shop.keys() {
                let mut world = self.clone();
                changed(world.shop.get_mut(key).unwrap(), ids);
                worlds.push(world);
            }
            for key in self.mailer.keys() {
                let mut world = self.clone();
                changed(world.mailer.get_mut(key).unwrap(), ids);
                worlds.push(world);
            }
        }
        worlds
    }
}

fn checked(agreement: &Agreement) -> CheckedQuery {
    prove(agreement, query(agreement)).unwrap_or_else(|refusal| panic!("{refusal}"))
}

#[test]
fn who_is_who_is_found_before_the_sql_sees_a_row() {
    let (hits, facts) = (hits(), facts());
    let (hits, facts) = (checked(&hits), checked(&facts));
    let whose = |checked: &CheckedQuery| checked.link.clone().unwrap().moves.dataset;
    assert_eq!(whose(&hits), dataset("mailing"), "fewer people");
    assert_eq!(whose(&facts), dataset("customers"), "fewer rows");
    let mut pairs = 0;
    for seed in 0..60 {
        let world = World::of(seed);
        pairs += world.linked().len();
        assert_eq!(totals(&hits, world.memory(), 1), world.hits(), "{world:?}");
        assert_eq!(
            totals(&facts, world.memory(), 1),
            world.facts(),
            "{world:?}"
        );
    }
    assert!(pairs > 60, "{pairs}");
}

/// So many people that they are read in several blocks: rows that get other keys are in order
/// of these. Everybody is linked, to somebody of another mind.
#[test]
fn rows_stand_in_order_of_the_people_that_they_are_linked_to() {
    const PEOPLE: u32 = 20_000;
    let wide = |first: u8, number: u32| {
        let mut key = [first; 16];
        key[..4].copy_from_slice(&number.wrapping_mul(0x9E37_79B1).to_be_bytes());
        key
    };
    let register = |first: u8, flag: &str, mind: bool| {
        // The same ids stand in another order of keys at each owner.
        let mut people: Vec<(Person, u32)> = (0..PEOPLE)
            .map(|id| (wide(first, id ^ u32::from(first) << 16), id))
            .collect();
        people.sort_unstable();
        let ids = people.iter().map(|(_, id)| Some(wide(9, *id)));
        let flags: BooleanArray = people
            .iter()
            .map(|(_, id)| Some((id % 2 == 0) == mind))
            .collect();
        batch(vec![
            ("person", super::people(people.iter().map(|(key, _)| *key))),
            ("email", keys(ids)),
            ("phone", keys(people.iter().map(|_| None))),
            (flag, Arc::new(flags)),
        ])
    };
    let cut = |rows: RecordBatch| {
        vec![
            (0..PEOPLE as usize)
                .step_by(5_000)
                .map(|at| rows.slice(at, 5_000))
                .collect(),
        ]
    };
    let parts = [
        ((dataset("customers"), 0), cut(register(1, "vip", true))),
        ((dataset("mailing"), 0), cut(register(2, "mailed", false))),
    ];
    let memory = Memory {
        partitions: 1,
        parts: parts.into(),
    };
    let agreement = hits();
    let checked = checked(&agreement);
    assert_eq!(totals(&checked, memory, 1), [i128::from(PEOPLE), 0]);
}

/// The same over sealed parts, with the keys of the query's columns.
#[test]
fn sealed_registers_are_linked() {
    for (agreement, exact) in [
        (hits(), World::hits as fn(&World) -> Vec<i128>),
        (facts(), World::facts),
    ] {
        for seed in [3, 5, 8, 13] {
            let world = World::of(seed);
            let room = Room::new(Made {
                agreement: agreement.clone(),
                params: params(&[]),
                files: world.files(),
                ..Made::default()
            });
            assert_eq!(room.totals().unwrap(), exact(&world), "{world:?}");
        }
    }
}

/// How far one number is from another's.
fn apart(one: &[i128], other: &[i128]) -> u128 {
    one.iter()
        .zip(other)
        .map(|(a, b)| a.abs_diff(*b))
        .max()
        .unwrap()
}

/// The whole way of a query: what one owner's person changes, who comes or goes, is within half
/// the stability times what one person adds, and reaches it; somebody who goes from both owners
/// reaches farther, and not beyond the stability. Noise for one person alone would not hide it.
#[test]
fn one_person_changes_no_more_than_the_stability() {
    let agreement = hits();
    let checked = checked(&agreement);
    let stability = u128::from(checked.stability());
    assert_eq!(stability, 6, "two kinds");
    // The model finds the worlds that are worth it; the engine is asked.
    let near = |world: &World| {
        let fewer = world.fewer().into_iter();
        fewer.map(|less| apart(&world.hits(), &less.hits())).max()
    };
    let worst = (0..20_000)
        .map(World::of)
        .filter(|world| near(world) == Some(3));
    let worlds: Vec<World> = worst.take(4).chain((0..12).map(World::of)).collect();
    let (mut of_one, mut of_both) = (0, 0);
    for world in worlds {
        let all = totals(&checked, world.memory(), 1);
        let exact = world.hits();
        for less in world.fewer() {
            let found = apart(&all, &totals(&checked, less.memory(), 1));
            assert!(found <= stability / 2, "{world:?} {less:?}");
            of_one = of_one.max(found);
        }
        let two = world.fewer().into_iter().flat_map(|less| less.fewer());
        if let Some(less) = two.max_by_key(|less| apart(&exact, &less.hits())) {
            let found = apart(&all, &totals(&checked, less.memory(), 1));
            assert!(found <= stability, "{world:?} {less:?}");
            of_both = of_both.max(found);
        }
    }
    assert_eq!(of_one, stability / 2, "met");
    assert!(of_both > of_one, "half the noise would be too little");
}

/// Somebody whose ids change is one who goes and one who comes. (That it reaches farther than
/// one, the rule's own tests see.)
#[test]
fn other_ids_count_as_two_people() {
    let near = |world: &World| {
        world
            .changed()
            .into_iter()
            .map(|other| apart(&world.hits(), &other.hits()))
            .max()
    };
    let mut most = 0;
    let mut worst = None;
    for world in (0..200).map(World::of) {
        let reach = near(&world).unwrap();
        assert!(reach <= 2 * 3, "{world:?}");
        if reach > most {
            (most, worst) = (reach, Some(world));
        }
    }
    let agreement = hits();
    let (checked, world) = (checked(&agreement), worst.unwrap());
    let all = totals(&checked, world.memory(), 1);
    let far = world
        .changed()
        .into_iter()
        .find(|other| apart(&world.hits(), &other.hits()) == most);
    let other = totals(&checked, far.unwrap().memory(), 1);
    assert_eq!(apart(&all, &other), most);
}

/// A person who stands twice in a register is one, and by the same row whatever others have.
#[test]
fn a_register_has_one_row_a_person() {
    // Also where the query lets several count.
    let agreement = hits_of("{ customers = 2, mailing = 2 }");
    let checked = checked(&agreement);
    let mut world = World::of(3);
    world.shop.retain(|_, one| one.ids[0].is_none());
    let once = totals(&checked, world.memory(), 1);
    let mut twice = world.memory();
    for rows in twice.parts.values_mut().flatten() {
        let again = rows.clone();
        let both = rows.iter().chain(&again);
        let both = arrow::compute::concat_batches(&rows[0].schema(), both).unwrap();
        let order = arrow::compute::sort_to_indices(both.column(0), None, None).unwrap();
        *rows = vec![arrow::compute::take_record_batch(&both, &order).unwrap()];
    }
    assert_eq!(totals(&checked, twice, 1), once);
}

/// Made-up rows are linked too: made-up people have the same ids at both owners.
#[test]
fn practice_runs_over_linked_people() {
    let agreement = facts();
    let checked = checked(&agreement);
    let made = Practice {
        people: 2_000,
        seed: 3,
    };
    let made = MadeUp::new(&checked, &made);
    let exact = exact(&try_raw(&checked, Arc::new(made), 1).unwrap());
    let people = exact[0] + exact[3];
    assert!((500..=2_000).contains(&people), "{exact:?}");
}
