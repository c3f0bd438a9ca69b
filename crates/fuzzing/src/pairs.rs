//! The file that says which ids are linked.

use std::sync::LazyLock;

use incamera_matching::ids::{Leaves, Normaliser};
use incamera_matching::links::{Gathering, Pairs, Row, RowFault, Tally, led_to_ids, looked_up_ids};
use incamera_seal::{Source, consents_in, read_columns};
use incamera_types::{Date, IdRules, IdWriting, PurposeName, PurposeSet};

use crate::files::file;
use crate::parts::array;
use crate::reach::reached;

const COLUMNS: [&str; 5] = ["from", "to", "consent", "recorded", "expires"];

static PURPOSES: LazyLock<PurposeSet> = LazyLock::new(|| {
    let purposes = ["ads", "measurement"].map(|p| p.parse().unwrap());
    purposes.into_iter().collect()
});
static LEAVES: LazyLock<Leaves> = LazyLock::new(|| Leaves::new(&PURPOSES).unwrap());

fn normaliser(kind: &str) -> Normaliser {
    let writing = IdWriting {
        rules: IdRules::Published,
        ..IdWriting::default()
    };
    Normaliser::of(&kind.parse().unwrap(), &writing).unwrap()
}

fn day(text: &str) -> Date {
    text.parse().unwrap()
}

fn today() -> Date {
    day("2027-01-31")
}

fn until() -> Date {
    day("2027-03-31")
}

/// A row of the file: its ids, its days, and what its person agreed to.
struct Written {
    ids: [String; 2],
    days: [Option<String>; 2],
    agreed: u64,
}

/// `how`: 1 and 2 whether columns say days, 4 whether one says consents.
fn rows(data: &[u8], how: u8) -> Vec<Written> {
    let leaf = |name: &PurposeName| PURPOSES.contains(name).then(|| name.clone());
    let file = file(data, ".csv");
    let (source, mut rows) = (Source::of(file.path()).unwrap(), Vec::new());
    let read = read_columns(&source, COLUMNS, &mut |_,
                                                    [
        from,
        to,
        consent,
        recorded,
        expires,
    ]| {
        let agreed = consents_in(consent, leaf).map(|to| LEAVES.agreed(&to));
        rows.push(Written {
            ids: [from.to_owned(), to.to_owned()],
            days: [(1, recorded), (2, expires)]
                .map(|(bit, day)| (how & bit != 0).then(|| day.to_owned())),
            agreed: match how & 4 {
                0 => Leaves::EVERYTHING,
                _ => agreed.unwrap_or_default(),
            },
        });
    });
    if read.is_err() {
        rows.clear();
    }
    rows
}

/// What rows come to, and how many of them have a day that is none.
fn gathered<'a>(rows: impl Iterator<Item = &'a Written>, kind: &str) -> (Pairs, Tally, usize) {
    let (from, to) = (normaliser("email"), normaliser(kind));
    let (mut gathering, mut unread) = (Gathering::new(from, to, today(), until()), 0);
    for Written { ids, days, agreed } in rows {
        let [recorded, expires] = days.each_ref().map(Option::as_deref);
        let [from, to] = ids;
        let row = Row {
            from,
            to,
            recorded,
            expires,
        };
        let taken = gathering.row(row, || *agreed);
        unread += usize::from(taken == Err(RowFault::Day));
    }
    let (pairs, tally) = gathering.finish(&LEAVES);
    (pairs, tally, unread)
}

/// Which columns there are, and the second kind of id; then a CSV file, its first line too if
/// that says so. Only who agreed to something is linked, up to the last day, in whatever order
/// the rows stand.
pub fn pairs(data: &[u8]) {
    let mut rest = data;
    let [how] = array(&mut rest);
    let kind = ["plain", "email"][usize::from(how >> 3 & 1)];
    let rows = match how & 16 {
        0 => rows(rest, how),
        _ => rows(&[COLUMNS.join(",").as_bytes(), b"\n", rest].concat(), how),
    };
    let (pairs, tally, unread) = gathered(rows.iter(), kind);
    let all = pairs.values().flatten();
    for (_, said) in all.clone() {
        assert!(!LEAVES.class(said.agreed).is_empty());
        assert!(said.recorded <= today() && today() <= said.expires && said.expires <= until());
    }
    assert_eq!(tally.rows, rows.len() as u64);
    let valid = tally.from.valid().min(tally.to.valid());
    let kept = all.count() as u64;
    assert!(kept + tally.duplicates + tally.without_consent + tally.over <= valid);
    assert!(looked_up_ids(&pairs).len() <= pairs.len() && led_to_ids(&pairs).len() as u64 <= kept);
    let other = gathered(rows.iter().rev(), kind);
    assert!(other == (pairs, tally.clone(), unread));
    let places = [
        ("linked", kept > 0),
        ("in part", tally.in_part > 0),
        ("over", tally.over > 0),
        ("said again", tally.duplicates > 0),
        ("without consent", tally.without_consent > 0),
        ("no day", unread > 0),
    ];
    places
        .iter()
        .filter(|place| place.1)
        .for_each(|place| reached(place.0));
}
