use incamera_types::{AgreementId, MatchingEpoch};

use super::*;

fn matter(epoch: u32) -> Matter {
    Matter {
        agreement_id: AgreementId::from_bytes([1; 32]),
        epoch: MatchingEpoch(epoch),
    }
}

fn party(name: &str) -> PartyName {
    name.parse().unwrap()
}

fn providers() -> [PartyName; 2] {
    ["alpha", "beta"].map(party)
}

fn link() -> IdLink {
    IdLink {
        from: "cookie".parse().unwrap(),
        to: "email".parse().unwrap(),
    }
}

fn entry(label: u8, purpose: &str, expires: i32) -> Entry {
    Entry {
        label: LinkLabel::from_bytes([label; 32]),
        purpose: purpose.parse().unwrap(),
        source: party("shop"),
        expires: Date::from_days(expires),
        value: vec![label; 96],
    }
}

fn id(from: &str, to: &[&str], entries: Vec<Entry>) -> LinkedId {
    LinkedId {
        from: from.into(),
        to: to.iter().map(|to| (*to).into()).collect(),
        until: Date::from_days(0),
        entries,
    }
}

fn purposes(names: &[&str]) -> PurposeSet {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

struct Book {
    book: LinkBook,
    _folder: tempfile::TempDir,
}

impl Book {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let book = LinkBook::open(&folder.path().join("links.sqlite")).unwrap();
        Self {
            book,
            _folder: folder,
        }
    }

    fn put(&mut self, ids: &[LinkedId], nothing: &[Entry]) {
        self.put_under(&["ads", "safety"], ids, nothing);
    }

    fn put_under(&mut self, names: &[&str], ids: &[LinkedId], nothing: &[Entry]) {
        let (all, purposes) = ((ids, nothing), purposes(names));
        let put = (self.book).put(&matter(1), &link(), all, &purposes, &providers());
        put.unwrap();
    }

    fn puts(&self, provider: &str, most: usize) -> Vec<Entry> {
        let by = (&party("shop"), &party(provider));
        self.book.puts(&matter(1), by, most).unwrap()
    }

    fn drops(&self, provider: &str, most: usize) -> Vec<LinkLabel> {
        let drops = self.book.drops(&matter(1), &party(provider), most);
        drops.unwrap()
    }

    /// Labels that a provider is to drop, and to store.
    fn due(&self, provider: &str) -> (Vec<u8>, Vec<u8>) {
        let first = |label: &LinkLabel| label.as_bytes()[0];
        let puts = self.puts(provider, 100);
        (
            self.drops(provider, 100).iter().map(first).collect(),
            puts.iter().map(|entry| first(&entry.label)).collect(),
        )
    }

    /// Tells a provider everything.
    fn tell(&mut self, provider: &str) {
        let (drops, puts) = (self.drops(provider, 100), self.puts(provider, 100));
        let all = drops.iter().chain(puts.iter().map(|entry| &entry.label));
        let told = self.book.told(&matter(1), &party(provider), all);
        told.unwrap();
    }

    fn take_back(&mut self, kind: &str, ids: &[&str], purposes: Option<&str>) -> TakenBack {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        let purposes = purposes.map(|name| super::tests::purposes(&[name]));
        let kind = kind.parse().unwrap();
        let providers = providers();
        let back = (self.book).take_back(&matter(1), &kind, &ids, purposes.as_ref(), &providers);
        back.unwrap()
    }
}

#[test]
fn each_provider_is_told_what_it_was_not_told_yet() {
    let mut world = Book::new();
    let first = id(
        "c1",
        &["a", "b"],
        vec![entry(1, "ads", 50), entry(2, "ads", 50)],
    );
    world.put(&[first], &[entry(9, "ads", 50)]);
    assert_eq!(world.due("alpha"), (vec![], vec![1, 2, 9]));
    world.tell("alpha");
    assert_eq!(world.due("alpha"), (vec![], vec![]));
    // Beta was down. The id comes again, with one entry less and another value.
    let mut newer = entry(1, "ads", 57);
    newer.value = vec![7; 96];
    world.put(&[id("c1", &["a"], vec![newer.clone()])], &[]);
    assert_eq!(world.due("alpha"), (vec![2], vec![1]));
    assert_eq!(world.due("beta"), (vec![2], vec![1, 9]));
    assert_eq!(world.puts("beta", 1), [newer]);
    let still = world.book.still_due(&matter(1)).unwrap();
    assert_eq!(still, [(party("alpha"), 2), (party("beta"), 3)].into());
    let booked = world.book.booked().unwrap();
    assert_eq!((booked.len(), booked[0].edges), (1, 1));
}

#[test]
fn people_take_back_links_by_either_id() {
    let mut world = Book::new();
    let all = [
        id(
            "c1",
            &["a", "b"],
            vec![entry(1, "ads", 50), entry(2, "safety", 50)],
        ),
        id("c2", &["b"], vec![entry(3, "ads", 50)]),
        id("c3", &["c"], vec![entry(4, "ads", 50)]),
    ];
    world.put(&all, &[]);
    for provider in ["alpha", "beta"] {
        world.tell(provider);
    }
    // A purpose, without which it counts for nobody; then by the id that links lead to.
    let back = world.take_back("cookie", &["c1", "c2"], Some("safety"));
    assert_eq!((back.ids, back.entries), (1, 2));
    assert_eq!(world.due("beta"), (vec![1, 2], vec![]));
    let back = world.take_back("email", &["b", "nobody"], None);
    assert_eq!((back.ids, back.entries), (1, 1));
    assert_eq!(world.due("alpha"), (vec![1, 2, 3], vec![]));
    // An id of another kind that reads alike is nobody here.
    assert_eq!(
        world.take_back("email", &["c3"], None),
        TakenBack::default()
    );
    assert_eq!(world.book.booked().unwrap()[0].edges, 1);
    assert_eq!(world.take_back("cookie", &["c3"], None).entries, 1);
    assert!(world.book.booked().unwrap().is_empty());
    // Nobody's id is left in the file.
    let bytes = std::fs::read(world._folder.path().join("links.sqlite")).unwrap();
    assert!(!bytes.windows(2).any(|two| two == b"c3"));
}

#[test]
fn what_is_over_is_forgotten_and_what_is_of_another_epoch_is_told_to_nobody() {
    let mut world = Book::new();
    let old = (&[id("c1", &["a"], vec![entry(1, "ads", 50)])][..], &[][..]);
    let (link, providers) = (link(), providers());
    let purposes = purposes(&["ads"]);
    let put = (world.book).put(&matter(0), &link, old, &purposes, &providers);
    put.unwrap();
    world.put(
        &[
            id("c1", &["a"], vec![entry(2, "ads", 60)]),
            id("c2", &["a"], vec![entry(3, "ads", 40)]),
        ],
        &[entry(9, "ads", 40)],
    );
    world.book.drop_over(Date::from_days(40)).unwrap();
    assert_eq!(world.due("alpha"), (vec![], vec![2, 3, 9]));
    world.book.drop_over(Date::from_days(41)).unwrap();
    assert_eq!(world.due("alpha"), (vec![], vec![2]));
    let edges: Vec<_> = (world.book.booked().unwrap().iter())
        .map(|of| of.edges)
        .collect();
    assert_eq!(edges, [1, 1]);
    // Of both epochs; the providers of the epoch that is over drop it by themselves.
    let back = world.take_back("email", &["a"], None);
    assert_eq!((back.ids, back.entries), (2, 2));
    assert_eq!(world.due("alpha"), (vec![2], vec![]));
    let of_old = world.book.still_due(&matter(0)).unwrap();
    assert_eq!(of_old.values().sum::<u64>(), 2, "as it was due before");
}

/// A provider that was not told may have what was said before: that is known of it until it is.
#[test]
fn a_provider_is_behind_that_may_have_what_must_not_count() {
    let one = |to: &str, value: u8, expires: i32| {
        let mut entry = entry(1, "ads", expires);
        entry.value = vec![value; 96];
        id("c1", &[to], vec![entry])
    };
    let mut world = Book::new();
    world.put(&[one("a", 1, 50)], &[entry(9, "ads", 50)]);
    let behind = |world: &Book| -> Vec<String> {
        let behind = world.book.behind(&matter(1)).unwrap();
        behind.iter().map(ToString::to_string).collect()
    };
    let none: [&str; 0] = [];
    // New to both; said again alike, or for longer.
    assert_eq!(behind(&world), none);
    world.tell("alpha");
    world.tell("beta");
    world.put(&[one("a", 2, 50)], &[]);
    world.put(&[one("a", 3, 57)], &[]);
    assert_eq!(behind(&world), none);
    world.tell("alpha");
    // It leads to another: beta has the old one, also after it was put again, and as it is over.
    world.put(&[one("b", 4, 57)], &[]);
    world.tell("alpha");
    assert_eq!(behind(&world), ["beta"]);
    world.put(&[one("b", 5, 57)], &[]);
    world.tell("alpha");
    assert_eq!(world.due("beta"), (vec![], vec![1]));
    assert_eq!(behind(&world), ["beta"]);
    world.book.drop_over(Date::from_days(58)).unwrap();
    assert_eq!(world.due("beta"), (vec![1], vec![]));
    world.tell("beta");
    assert_eq!(behind(&world), none);
    // It counts less long than before.
    world.put(&[one("b", 5, 90)], &[]);
    world.tell("alpha");
    world.tell("beta");
    world.put(&[one("b", 6, 83)], &[]);
    world.tell("beta");
    assert_eq!(behind(&world), ["alpha"]);
    let ids = ["a", "b", "c"].map(str::to_owned).into();
    let unknown = world.book.unknown(&matter(1), &link().to, &ids);
    assert_eq!(unknown.unwrap(), 2);
}

/// A version of the agreement has a purpose less: nobody is asked to store anything for it, and
/// who has it is to drop it.
#[test]
fn what_stands_under_a_purpose_that_is_gone_is_dropped() {
    let mut world = Book::new();
    let both = vec![entry(1, "ads", 50), entry(2, "safety", 50)];
    world.put(&[id("c1", &["a"], both)], &[entry(9, "ads", 50)]);
    world.tell("alpha");
    let purposes = purposes(&["safety"]);
    for _ in 0..2 {
        let dropped = world
            .book
            .drop_other_purposes(&matter(1), &purposes, &providers());
        dropped.unwrap();
        assert_eq!(world.due("alpha"), (vec![1, 9], vec![]));
        assert_eq!(world.due("beta"), (vec![1, 9], vec![2]));
    }
    assert_eq!(world.take_back("cookie", &["c1"], None).entries, 1);
}

/// Nothing is stored of a pair whose people did not agree to every purpose; it may count under
/// another version of the agreement, and what counts may not.
#[test]
fn pairs_that_were_put_under_other_purposes_are_to_be_put_anew() {
    let mut world = Book::new();
    let whole = vec![entry(1, "ads", 50), entry(2, "safety", 50)];
    let in_part = LinkedId {
        until: Date::from_days(40),
        ..id("c2", &["b", "c"], vec![])
    };
    world.put(&[id("c1", &["a"], whole), in_part.clone()], &[]);
    let anew = |world: &Book, names: &[&str]| {
        let anew = world.book.to_put_anew(&matter(1), &purposes(names));
        anew.unwrap()
    };
    assert_eq!(anew(&world, &["ads", "safety"]), 0);
    // Fewer: what has entries under those left counts as it stands.
    assert_eq!(anew(&world, &["ads"]), 2);
    // More, or others: nothing does.
    assert_eq!(anew(&world, &["ads", "safety", "sales"]), 3);
    assert_eq!(anew(&world, &["ads", "sales"]), 3);
    world.put_under(
        &["ads"],
        &[id("c2", &["b"], vec![entry(3, "ads", 50)])],
        &[],
    );
    assert_eq!(anew(&world, &["ads"]), 0);
    // What nothing is stored of goes with its last day, too.
    world.put(
        &[LinkedId {
            from: "c3".into(),
            ..in_part
        }],
        &[],
    );
    let pairs = |world: &Book| world.book.booked().unwrap()[0].edges;
    for (today, left) in [(40, 4), (41, 2), (50, 2)] {
        world.book.drop_over(Date::from_days(today)).unwrap();
        assert_eq!(pairs(&world), left, "{today}");
    }
}

#[test]
fn a_book_of_version_1_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("links.sqlite");
    let old = Connection::open(&path).unwrap();
    let schema = SCHEMA
        .replace("    expires      INTEGER NOT NULL DEFAULT 0,\n", "")
        .replace("    under        TEXT NOT NULL DEFAULT '',\n", "");
    assert_eq!(schema.matches("DEFAULT").count(), 0);
    old.execute_batch(&schema).unwrap();
    old.execute_batch(&format!(
        "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;
         INSERT INTO edges VALUES (zeroblob(32), 1, 'cookie', 'email', 'c1', 'a');
         INSERT INTO entries VALUES
         (zeroblob(32), 1, zeroblob(32), 'cookie', 'email', 'c1', 'ads', 50, x'00');"
    ))
    .unwrap();
    let mut book = LinkBook::open(&path).unwrap();
    for (today, left) in [(50, 1), (51, 0)] {
        book.drop_over(Date::from_days(today)).unwrap();
        assert_eq!(book.booked().unwrap().len(), left);
    }
    drop(book);
    LinkBook::open(&path).unwrap();
}

#[test]
fn a_file_that_is_no_book_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("links.sqlite");
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE t (a)").unwrap();
    assert!(matches!(LinkBook::open(&path), Err(StoreError::NotAStore)));
}

/// A store sees the order of what it is told, and has the labels: of ids that are put again it
/// must not learn which lead elsewhere now, or for a shorter time.
#[test]
fn the_order_of_an_upload_does_not_say_whose_links_changed() {
    let mut world = Book::new();
    let said = |to: [&str; 4], expires: [i32; 4]| -> Vec<_> {
        let all = (1_u8..).zip(to).zip(expires);
        let one = |((label, to), expires)| {
            let from = format!("c{label}");
            id(&from, &[to], vec![entry(label, "ads", expires)])
        };
        all.map(one).collect()
    };
    world.put(&said(["a", "b", "c", "d"], [50; 4]), &[entry(9, "ads", 50)]);
    world.tell("alpha");
    world.put(
        &said(["a", "b", "c", "x"], [50, 50, 43, 50]),
        &[entry(8, "ads", 50)],
    );
    world.take_back("cookie", &["c2"], None);
    assert_eq!(world.due("alpha"), (vec![2], vec![1, 3, 4, 8]));
    // Beta was never told, and is told alike, in as many pieces as it takes.
    assert_eq!(world.due("beta"), (vec![2], vec![1, 3, 4, 8, 9]));
    let first: Vec<_> = world.puts("alpha", 2);
    assert_eq!(
        first
            .iter()
            .map(|e| e.label.as_bytes()[0])
            .collect::<Vec<_>>(),
        [1, 3]
    );
}

/// What is said again in other words than before may be joined with those by who has both; said in
/// the same, it may not.
#[test]
fn who_leads_to_several_as_before_leaves_nobody_behind() {
    let two = |purposes: [&str; 4], to: &[&str]| {
        let entries = (1..).zip(purposes);
        let entries = entries.map(|(label, purpose)| entry(label, purpose, 50));
        id("c1", to, entries.collect())
    };
    let alike = ["ads", "ads", "care", "care"];
    for (purposes, to, behind) in [
        (alike, &["a", "b"][..], false),
        (alike, &["a", "c"], true),
        // One of them stands under one purpose twice, so a place says nothing of whom it is of.
        (["ads", "ads", "ads", "care"], &["a", "b"], true),
    ] {
        let mut world = Book::new();
        world.put(&[two(alike, &["a", "b"])], &[]);
        world.tell("alpha");
        world.tell("beta");
        world.put(&[two(purposes, to)], &[]);
        let found = world.book.behind(&matter(1)).unwrap();
        assert_eq!(!found.is_empty(), behind, "{to:?}");
        assert_eq!(world.due("alpha").1, [1, 2, 3, 4]);
    }
    // Which of them is over when is not known to the book.
    let mut world = Book::new();
    let weeks = || vec![entry(1, "ads", 57), entry(2, "ads", 50)];
    for _ in 0..2 {
        world.put(&[id("c1", &["a", "b"], weeks())], &[]);
        assert_eq!(world.due("beta").1, [1, 2]);
        world.tell("alpha");
    }
    world.put(&[id("c1", &["a", "b"], weeks())], &[]);
    assert!(
        world
            .book
            .behind(&matter(1))
            .unwrap()
            .contains(&party("alpha"))
    );
    // Fewer than before.
    let mut world = Book::new();
    world.put(&[two(alike, &["a", "b"])], &[]);
    world.tell("alpha");
    let fewer = vec![entry(1, "ads", 50), entry(2, "ads", 50)];
    world.put(&[id("c1", &["a", "b"], fewer)], &[]);
    let behind = world.book.behind(&matter(1)).unwrap();
    assert!(behind.contains(&party("alpha")));
}
