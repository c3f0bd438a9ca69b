//! docs/kinds.md, as two owners would go through it: two kinds of id, matched one by one, linked
//! in the room, asked; against a plain computation over the same files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use incamera_testkit::stage::Outcome;
use incamera_types::Pseudonym;

use crate::invariants::support::Holdings;
use crate::world::{Data, World};

const PAGE: &str = include_str!("../../../../docs/kinds.md");

/// A block of code of the page.
fn block(language: &str) -> &'static str {
    let (_, rest) = PAGE.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

/// The agreement of the campaign with what the page says, and so little noise that an answer
/// tells who was linked.
fn with_two_kinds(text: String) -> String {
    let (matching, datasets) = block("toml").split_once("[datasets.customers]").unwrap();
    let between = |text: &str, from: &str, to: &str, new: &str| {
        let (head, rest) = text.split_once(from).unwrap();
        let (_, tail) = rest.split_once(to).unwrap();
        format!("{head}{new}\n{to}{tail}")
    };
    let text = between(&text, "[matching]", "[purposes]", matching);
    let datasets = format!("[datasets.customers]{datasets}");
    let text = between(&text, "[datasets.customers]", "[queries.lift]", &datasets);
    text.replacen(
        "\"customers.person\",",
        "\"customers.person\", \"customers.email\", \"customers.phone\", \"mailing.email\", \"mailing.phone\",",
        1,
    )
    .replacen("spend = [0, 400]", "spend = [0, 40]", 1)
    .replacen("min_people = 50", "min_people = 1", 1)
    .replacen("epsilon = 1.0", "epsilon = 900.0", 1)
    .replace("epsilon = 8.0", "epsilon = 1000.0")
}

/// Somebody as an owner knows them.
#[derive(Default)]
struct One {
    email: String,
    /// As it is dialled in the country.
    phone: String,
    consent: &'static str,
    mailed: bool,
    spent: u32,
}

/// An owner's people by their numbers.
type Side = BTreeMap<String, One>;

fn mail(n: usize) -> String {
    format!("p{n}@mail.example")
}

fn phone(n: usize) -> String {
    format!("030 55{n:04}")
}

/// People of every sort; the shop's, then the mailer's.
fn people() -> [Side; 2] {
    let mut sides = [Side::new(), Side::new()];
    let [shop, mailer] = &mut sides;
    let mut add = |n: usize, ours: [String; 2], theirs: [String; 2]| {
        let [email, phone] = ours;
        let consent = match n % 16 {
            3 => "ads",
            5 => "",
            _ => "ads;measurement",
        };
        let one = One {
            email,
            phone,
            consent,
            spent: (n as u32 * 7) % 31,
            ..One::default()
        };
        shop.insert(format!("c{n:03}"), one);
        let [email, phone] = theirs;
        let one = One {
            email,
            phone,
            mailed: !n.is_multiple_of(3),
            ..One::default()
        };
        mailer.insert(format!("m{n:03}"), one);
    };
    let none = String::new;
    for n in 0..420 {
        match n {
            // Both have the address.
            0..100 => add(n, [mail(n), none()], [mail(n).to_uppercase(), phone(n)]),
            // The number alone is known to both.
            100..180 => add(n, [none(), phone(n)], [mail(n), phone(n)]),
            // By another address at each.
            180..240 => add(n, [mail(n), phone(n)], [mail(n + 1000), phone(n)]),
            // Two of the shop's have one number; so have two of the mailer's in every other pair.
            240..320 => {
                let theirs = n - n % if n % 4 < 2 { 2 } else { 1 };
                add(n, [none(), phone(n - n % 2)], [none(), phone(theirs)]);
            }
            // Linked by the address, so the number is left to somebody else.
            320..380 => add(n, [mail(n - n % 2), phone(n)], [mail(n), phone(n ^ 1)]),
            // Nobody of the other's.
            _ => add(n, [mail(n), phone(n)], [mail(n + 2000), phone(n + 2000)]),
        }
    }
    sides
}

/// The files of both; the shop writes numbers as they are dialled at home.
fn data([shop, mailer]: &[Side; 2]) -> Data {
    let mut data = Data {
        customers: "person,email,phone,consent\n".into(),
        purchases: "person,day,amount\n".into(),
        mailing: "person,email,phone,mailed\n".into(),
    };
    for (number, one) in shop {
        let (email, phone, consent) = (&one.email, &one.phone, one.consent);
        data.customers += &format!("{number},{email},{phone},{consent}\n");
        for day in 1..=2 {
            if one.spent > 0 {
                let half = f64::from(one.spent) / 2.0;
                data.purchases += &format!("{number},2026-04-0{day},{half:.2}\n");
            }
        }
    }
    for (number, one) in mailer {
        let (email, mailed) = (&one.email, one.mailed);
        let phone = one.phone.replacen("030", "+49 30", 1);
        data.mailing += &format!("{number},{email},{phone},{mailed}\n");
    }
    data
}

/// What the page types, with the world's folders.
fn commands(world: &World, start: &str) -> Vec<Vec<String>> {
    let lines = block("text").lines();
    let lines = lines.filter_map(|line| line.strip_prefix("incamera "));
    let place = |word: &str| match word {
        "shop" | "mailer" => world.path(word),
        file if file.ends_with(".csv") => world.path(&format!("data/{file}")),
        other => other.to_owned(),
    };
    let words = |line: &str| line.split_whitespace().map(place).collect();
    lines
        .filter(|line| line.starts_with(start))
        .map(words)
        .collect()
}

fn types(world: &World, command: &[String]) -> Outcome {
    world.done(&command.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Each kind by both at once, the shop first.
fn match_both(world: &World) -> Vec<[Outcome; 2]> {
    let all = commands(world, "match run");
    assert_eq!(all.len(), 4);
    let both = all.chunks(2).map(|both| {
        std::thread::scope(|scope| {
            let theirs = scope.spawn(|| types(world, &both[1]));
            [types(world, &both[0]), theirs.join().unwrap()]
        })
    });
    both.collect()
}

type Value = fn(&One) -> String;

const KINDS: [Value; 2] = [|one| one.email.to_lowercase(), |one| one.phone.clone()];

/// The shop's values of a kind that enter the matching: of several people with one, all have to
/// agree to something.
fn entering(shop: &Side, value: Value) -> BTreeSet<String> {
    let silent = shop.values().filter(|one| one.consent.is_empty());
    let silent: BTreeSet<String> = silent.map(value).collect();
    let all = shop.values().map(value);
    all.filter(|value| !value.is_empty() && !silent.contains(value))
        .collect()
}

/// People, buyers and spend of who was mailed and who was not, where everybody who is linked
/// counts: the rule as the page says it, written once more.
fn truth(world: &World, sides: &[Side; 2], kinds: &[Value]) -> [[f64; 3]; 2] {
    let holdings = Holdings(world.root());
    let agreement = holdings.agreement();
    let in_order = |party: &str, side: &'_ Side| -> Vec<(Pseudonym, String)> {
        let ring = holdings.ring(party);
        let keys = ring.person_keys(agreement.id, agreement.matching.epoch);
        let keys = keys.unwrap();
        let numbers = side
            .iter()
            .filter(|(_, one)| party == "mailer" || one.consent.contains("measurement"));
        let mut all: Vec<_> = numbers
            .map(|(number, _)| (keys.key(number).unwrap(), number.clone()))
            .collect();
        all.sort();
        all
    };
    let [shop, mailer] = sides;
    let (ours, theirs) = (in_order("shop", shop), in_order("mailer", mailer));
    let mut linked: BTreeMap<&str, &str> = BTreeMap::new();
    for value in kinds {
        let entering = entering(shop, *value);
        let taken: BTreeSet<&str> = linked.values().copied().collect();
        let first = |people: &'_ [(Pseudonym, String)],
                     side: &Side,
                     gone: &dyn Fn(&str) -> bool| {
            let mut first: BTreeMap<String, usize> = BTreeMap::new();
            for (at, (_, number)) in people.iter().enumerate().filter(|(_, one)| !gone(&one.1)) {
                let value = value(&side[number]);
                if entering.contains(&value) {
                    first.entry(value).or_insert(at);
                }
            }
            first
        };
        let left = first(&ours, shop, &|number| linked.contains_key(number));
        let right = first(&theirs, mailer, &|number| taken.contains(number));
        for (value, at) in left {
            if let Some(other) = right.get(&value) {
                linked.insert(&ours[at].1, &theirs[*other].1);
            }
        }
    }
    let mut found = [[0.0; 3]; 2];
    for (ours, theirs) in linked {
        let group = &mut found[usize::from(!mailer[theirs].mailed)];
        let spent = f64::from(shop[ours].spent);
        group[0] += 1.0;
        group[1] += f64::from(u8::from(spent > 0.0));
        group[2] += spent;
    }
    found
}

#[test]
fn people_with_two_kinds_of_id_are_linked_and_counted() {
    let world = World::agreed_as(with_two_kinds);
    for party in ["shop", "mailer"] {
        let file = world.path(&format!("{party}/party.toml"));
        let text = fs::read_to_string(&file).unwrap();
        let richer = text.replacen("epsilon = 20.0", "epsilon = 1000.0", 1);
        assert_ne!(richer, text);
        fs::write(file, richer).unwrap();
    }
    let sides = people();
    world.write_data(&data(&sides));
    world.start();
    let matched = match_both(&world);
    let [emails, phones] = KINDS.map(|value| entering(&sides[0], value).len() as u64);
    assert_eq!(matched[0][1].number("/peer_ids"), emails);
    assert_eq!(matched[1][1].number("/peer_ids"), phones);
    assert!(matched[1][0].number("/without_consent") > 0);
    for command in commands(&world, "data seal") {
        types(&world, &command);
    }
    world.push();
    let answer = world.query(&[]);
    assert_eq!(answer.code, 0, "{}", answer.failure());

    let exact = truth(&world, &sides, &KINDS);
    let rows = answer.document["answer"]["rows"].as_array().unwrap();
    let cells = rows.iter().map(|row| row["cells"].as_array().unwrap());
    let found: Vec<Vec<f64>> = cells
        .map(|cells| {
            cells[..3]
                .iter()
                .map(|cell| cell["value"].as_f64().unwrap())
                .collect()
        })
        .collect();
    assert_eq!(found.len(), 2);
    assert!(near(&found, exact), "{found:?} {exact:?}");
    // Neither kind alone gives that.
    for kinds in KINDS.chunks(1) {
        let other = truth(&world, &sides, kinds);
        assert!(!near(&found, other), "{found:?} {other:?}");
    }
    forgotten_by_number(&world, sides[0].keys().next().unwrap());
}

/// Whoever is forgotten by an owner's own number stands in no crosswalk, but may stand in what an
/// interrupted matching would go on with.
fn forgotten_by_number(world: &World, number: &str) {
    let matchings = fs::read_dir(world.path("shop/matching")).unwrap();
    let journal = matchings.map(|entry| entry.unwrap().path().join("journal"));
    let journal = journal.last().unwrap();
    fs::write(&journal, "of a run that was killed").unwrap();
    let ids = world.path("numbers.txt");
    fs::write(&ids, format!("{number}\n")).unwrap();
    let folder = world.path("shop");
    world.done(&["data", "forget", "--ids", &ids, "--yes", "--party", &folder]);
    assert!(!journal.exists());
}

/// Up to the noise, which is less than one here for people and less than thirty for spend.
fn near(found: &[Vec<f64>], exact: [[f64; 3]; 2]) -> bool {
    let cells = found.iter().flatten().zip(exact.as_flattened());
    let mut off = cells.zip([6.0, 6.0, 150.0].into_iter().cycle());
    off.all(|((found, exact), off)| (found - exact).abs() < off)
}
