//! Ids on their way in: a file of rows, normalised, asked for consents, brought into order.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use incamera_keys::Secret32;
use incamera_matching::ids::{IdFault, Leaves, Normaliser};
use incamera_matching::intake::{Choice, Intake, Ordered, Taken};
use incamera_matching::sort::Memory;
use incamera_matching::{KNOWN_IDS, Mode, Partition, Reveals};
use incamera_seal::{Source, consents_in, read_columns};
use incamera_types::{IdForm, IdRules, IdWriting, PurposeName, PurposeSet};

use crate::exchange::terms;
use crate::files::file;
use crate::parts::array;
use crate::reach::reached;
use crate::resumed::rng;
use crate::spill::Changed;

/// Few bytes, so that few rows go to the store.
const MEMORY: Memory = Memory {
    arena_bytes: 600,
    block_bytes: 200,
    fan_in: 2,
    keeps_sequences: false,
};

/// Every way of writing ids, with its name.
const FORMS: [&str; 9] = [
    "email 1", "phone 1", "plain 1", "email", "phone", "phone DE", "plain", "hashed", "sha256",
];

fn normaliser(form: &str) -> Normaliser {
    let (kind, rest) = form.split_once(' ').unwrap_or((form, ""));
    let rules = match rest {
        "1" => IdRules::First,
        _ => IdRules::Published,
    };
    let writing = IdWriting {
        rules,
        hashed: ["hashed", "sha256"].contains(&kind),
        form: kind.parse().unwrap_or(IdForm::Raw),
        region: (rest == "DE").then(|| "DE".parse().unwrap()),
    };
    let kind = if writing.hashed { "email" } else { kind };
    Normaliser::of(&kind.parse().unwrap(), &writing).unwrap()
}

static NORMALISERS: LazyLock<Vec<Normaliser>> =
    LazyLock::new(|| FORMS.map(normaliser).into_iter().collect());

/// An id that is normal is normal, in whatever letters its hash is written.
fn settled(form: &str, normaliser: &Normaliser, id: &str) {
    assert!(normaliser.normalised(id).as_deref() == Some(id) || form == "hashed");
    if !["hashed", "sha256"].contains(&form) {
        return;
    }
    let (bytes, hash) = (unhex(id), normaliser_of("sha256"));
    assert_eq!(bytes.len(), 32);
    let forms = [
        id.to_uppercase(),
        BASE64_STANDARD.encode(&bytes),
        BASE64_URL_SAFE_NO_PAD.encode(&bytes),
    ];
    for text in forms {
        assert_eq!(hash.normalised(&text).as_deref(), Some(id));
    }
}

fn normaliser_of(form: &str) -> &'static Normaliser {
    let at = FORMS.iter().position(|one| *one == form).unwrap();
    &NORMALISERS[at]
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.map(byte).collect()
}

/// A row as it is taken in: an id, and what its person agreed to; none: of an earlier run.
type Taking = (String, Option<u64>);

/// What the rows of a file come to. A consent of `earlier` is an id that has its pseudonym.
fn rows(data: &[u8], form: &'static str, partition: Partition) -> Vec<Taking> {
    let purposes: PurposeSet = ["ads", "measurement"]
        .map(|p| p.parse().unwrap())
        .into_iter()
        .collect();
    let leaves = Leaves::new(&purposes).unwrap();
    let leaf = |name: &PurposeName| purposes.contains(name).then(|| name.clone());
    let part = terms(Reveals::Nothing).part(partition);
    let (normaliser, mut buffer, mut rows) = (normaliser_of(form), String::new(), Vec::new());
    let file = file(data, ".csv");
    let read = read_columns(
        &Source::of(file.path()).unwrap(),
        ["id", "consent"],
        &mut |_, [id, consent]| match normaliser.normalise(id, &mut buffer) {
            Ok(id) => {
                settled(form, normaliser, id);
                reached(form);
                let agreed = consents_in(consent, leaf).map(|to| leaves.agreed(&to));
                let agreed = agreed.unwrap_or_default();
                if part.has(id) {
                    rows.push((id.to_owned(), (consent != "earlier").then_some(agreed)));
                }
            }
            Err(IdFault::EncodedDigits) => assert_eq!(form, "sha256"),
            Err(_) => {}
        },
    );
    if read.is_err() {
        rows.clear();
    }
    rows
}

fn taken_in<'a>(rows: impl Iterator<Item = &'a Taking>, choice: Choice) -> Ordered<Changed> {
    let (order, known) = (Secret32::from_bytes([1; 32]), Secret32::from_bytes([2; 32]));
    let store = Changed::unchanged();
    let mut intake = Intake::new(&order, &known, &store, MEMORY, &mut rng());
    for (id, agreed) in rows {
        match agreed {
            Some(agreed) => intake.row(id, *agreed).unwrap(),
            None => intake.known(id).unwrap(),
        }
    }
    intake.finish(choice).unwrap()
}

/// What stands of one id in all its rows.
#[derive(Clone, Copy)]
struct Person {
    agreed: u64,
    now: bool,
    known: bool,
}

fn people(rows: &[Taking]) -> BTreeMap<&str, Person> {
    let mut people = BTreeMap::new();
    for (id, agreed) in rows {
        let nothing = Person {
            agreed: u64::MAX,
            now: false,
            known: false,
        };
        let person: &mut Person = people.entry(id.as_str()).or_insert(nothing);
        person.agreed &= agreed.unwrap_or(u64::MAX);
        person.now |= agreed.is_some();
        person.known |= agreed.is_none();
    }
    people
}

fn counted(rows: &[Taking], people: &BTreeMap<&str, Person>) -> Taken {
    let count = |which: &dyn Fn(&Person) -> bool| {
        let found = people.values().filter(|person| which(person));
        found.count() as u64
    };
    let now = rows.iter().filter(|(_, agreed)| agreed.is_some()).count() as u64;
    let with = count(&|one| one.now && one.agreed != 0);
    let without = count(&|one| one.now && one.agreed == 0);
    Taken {
        duplicates: now - with - without,
        without_consent: without,
        distinct: with,
        known: count(&|one| one.now && one.agreed != 0 && one.known),
        earlier: rows.len() as u64 - now,
        mixed_in: 0,
    }
}

/// The ids that travel, with what is known of each: some of the people, each once, and all that
/// the run is about.
fn check(ordered: &Ordered<Changed>, people: &BTreeMap<&str, Person>, choice: Choice) {
    let mut reader = ordered.read_from(0).unwrap();
    let mut asked = people.iter().filter(|(_, one)| {
        one.now && one.agreed != 0 && !(one.known && choice.mode == Mode::Append)
    });
    let (mut seen, mut mixed_in) = (BTreeMap::new(), 0);
    while let Some(entry) = reader.next().unwrap() {
        let one = people[entry.id];
        let gone = one.now && one.agreed == 0;
        assert!(!gone && (entry.now(), entry.known()) == (one.now, one.known));
        assert!(entry.now() || choice.absent);
        mixed_in += u64::from(!entry.now() || (entry.known() && choice.mode == Mode::Append));
        assert!(seen.insert(entry.id.to_owned(), ()).is_none());
    }
    assert!(asked.all(|(id, _)| seen.contains_key(*id)));
    assert_eq!(
        (mixed_in, seen.len() as u64),
        (ordered.taken.mixed_in, ordered.len())
    );
    assert!(mixed_in <= KNOWN_IDS as u64);
}

/// How ids are written, which part is matched and what run it is; then a CSV file with the
/// columns `id` and `consent`, its first line too if that says so. What travels is what the rows
/// say, in an order that does not hang on theirs.
pub fn ids(data: &[u8]) {
    let mut rest = data;
    let [form, how] = array(&mut rest);
    let form = FORMS[usize::from(form) % FORMS.len()];
    let partition = match how & 4 {
        0 => Partition::WHOLE,
        _ => Partition::new(u32::from(how >> 4 & 1), 2).unwrap(),
    };
    let choice = Choice {
        mode: [Mode::Full, Mode::Append][usize::from(how & 1)],
        absent: how & 2 != 0,
    };
    let rows = match how & 8 {
        0 => rows(rest, form, partition),
        _ => rows(&[b"id,consent\n", rest].concat(), form, partition),
    };
    let ordered = taken_in(rows.iter(), choice);
    let people = people(&rows);
    let taken = Taken {
        mixed_in: 0,
        ..ordered.taken
    };
    assert_eq!(taken, counted(&rows, &people));
    check(&ordered, &people, choice);
    let other = taken_in(rows.iter().rev(), choice);
    assert_eq!(other.order_digest, ordered.order_digest);
    if ordered.taken.mixed_in > 0 {
        reached("mixed in");
    }
}
