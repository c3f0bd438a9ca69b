//! Links between kinds of id, with the built program and real providers: the shop knows which
//! cookie goes with which e-mail, and the press has cookies.

mod dump;
mod lagging;
mod own_numbers;
mod sealing;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use incamera_seal::CrosswalkReader;
use incamera_testkit::stage::Outcome;
use incamera_types::{Date, Pseudonym};
use rusqlite::Connection;
use serde_json::json;

use crate::provided::{PROVIDERS, World, agreement, refused};

/// A row of the shop's: cookie, e-mail, consent, last day.
type Pair = (String, String, &'static str, String);

const ALL: &str = "ads;measurement";

fn day(from_now: i32) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let today = i32::try_from(since.as_secs() / 86_400).unwrap();
    Date::from_days(today + from_now).to_string()
}

fn email(n: u32) -> String {
    format!("person-{n}@example.net")
}

fn pair(cookie: u32, person: u32) -> Pair {
    (
        format!("cookie-{cookie}"),
        email(person),
        ALL,
        String::new(),
    )
}

fn world() -> World {
    world_of(99)
}

fn world_of(max_runs: u32) -> World {
    let kinds = "ids = [\"email\", \"cookie\"]\nlinks = [{ from = \"cookie\", to = \"email\" }]";
    let purposes = "measurement = { label = \"Measuring\" }\nads = { label = \"Choosing\" }";
    World::agreed(|sections| {
        agreement(sections, "max_ids = 1_000\nkey_days = 90")
            .replace("ids = [\"email\"]", kinds)
            .replace("max_runs = 9", &format!("max_runs = {max_runs}"))
            .replace("measurement = { label = \"Measuring\" }", purposes)
    })
}

impl World {
    fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn told(&self, words: &[&str]) -> Outcome {
        self.stage.command(words).unwrap()
    }

    /// A party tells providers of these pairs.
    fn put(&self, party: &str, pairs: &[Pair]) -> Outcome {
        let rows = pairs
            .iter()
            .map(|(cookie, email, consent, until)| format!("{cookie},{email},{consent},{until}\n"));
        let text = "cookie,email,agreed,until\n".to_owned() + &rows.collect::<String>();
        let (data, party) = (self.file("pairs.csv", &text), self.path(party));
        self.told(&[
            "match",
            "links",
            "put",
            "--party",
            &party,
            "--data",
            &data,
            "--consent",
            "agreed",
            "--expires",
            "until",
        ])
    }

    /// The press looks its cookies up.
    fn looked_up(&self, cookies: std::ops::Range<u32>) -> Outcome {
        let rows: String = cookies.map(|n| format!("cookie-{n}\n")).collect();
        let data = self.file("visits.csv", &format!("cookie\n{rows}"));
        self.matched("press", &data, &["--id", "email", "--via", "cookie"])
    }

    /// The press's crosswalk, with the last day of each row.
    fn linked(&self) -> BTreeMap<String, (Pseudonym, String)> {
        let mut rows = CrosswalkReader::open(&self.crosswalk_path("press")).unwrap();
        assert_eq!(rows.scope().via, Some("cookie".parse().unwrap()));
        let mut all = BTreeMap::new();
        while let Some(row) = rows.next().unwrap() {
            let until = row.valid_until.unwrap().to_string();
            all.insert(row.id.to_owned(), (row.pseudonym, until));
        }
        all
    }

    fn store(&self, provider: &str) -> Connection {
        Connection::open(self.providers[provider].folder.join("provider.sqlite")).unwrap()
    }

    fn stored(&self, provider: &str) -> i64 {
        let count = "SELECT count(*) FROM links";
        self.store(provider)
            .query_row(count, [], |row| row.get(0))
            .unwrap()
    }

    fn match_emails(&self, people: std::ops::Range<u32>) {
        let rows: String = people.map(|n| email(n) + "\n").collect();
        let data = self.file("customers.csv", &format!("email\n{rows}"));
        let matched = self.matched("shop", &data, &["--id", "email"]);
        assert_eq!(matched.code, 0, "{}", matched.failure());
    }
}

fn done(outcome: Outcome) -> Outcome {
    assert_eq!(outcome.code, 0, "{}", outcome.failure());
    outcome
}

/// Pairs of every fate, by cookie: 0 to 39 are plain.
fn pairs() -> Vec<Pair> {
    let mut pairs: Vec<_> = (0..40).map(|n| pair(n, n)).collect();
    let with =
        |n, consent, until: &str| (format!("cookie-{n}"), email(n), consent, until.to_owned());
    pairs.extend([
        with(40, ALL, &day(-1)),
        with(41, "measurement", ""),
        pair(42, 42),
        pair(42, 43),
        with(43, "", ""),
        with(44, ALL, &day(0)),
        pair(0, 0),
        ("cookie-45".into(), "no address".into(), ALL, String::new()),
    ]);
    pairs
}

#[test]
fn cookies_get_the_pseudonyms_of_e_mails() {
    let world = world();
    world.match_emails(0..60);
    let emails = world.crosswalk("shop");
    // A provider is down: the others take the links, and it is told later.
    world.stop("beta");
    let put = done(world.put("shop", &pairs()));
    let number = |name: &str| put.number(&format!("/{name}"));
    assert_eq!(
        (number("rows"), number("invalid"), number("duplicates")),
        (48, 1, 1)
    );
    assert_eq!(
        (number("over"), number("without_consent"), number("in_part")),
        (1, 1, 1)
    );
    assert_eq!(
        (number("ids"), number("ambiguous"), number("pairs")),
        (42, 1, 43)
    );
    // 40, two edges and the one of today under two purposes each; of what was agreed to in part
    // nothing.
    assert_eq!(number("entries"), 80 + 4 + 2);
    assert_eq!(put.document["providers"]["told"], json!(["alpha", "gamma"]));
    assert_eq!(put.document["providers_left_out"], json!(["beta"]));
    assert!(put.document.to_string().contains("beta"));
    let entries = number("entries") + number("filled_up");
    assert_eq!(world.stored("alpha").cast_unsigned(), entries);
    assert_eq!((entries % 32, world.stored("beta")), (0, 0));

    let looked = done(world.looked_up(0..50));
    let number = |name: &str| looked.number(&format!("/{name}"));
    assert_eq!(
        (
            number("linked"),
            number("ambiguous"),
            number("without_link")
        ),
        (41, 1, 8)
    );
    assert_eq!(number("crosswalk_rows"), 41);
    assert_eq!(looked.document["via"], "cookie");
    let rows = world.linked();
    let expected: BTreeSet<_> = (0..40).chain([44]).map(|n| format!("cookie-{n}")).collect();
    assert_eq!(rows.keys().cloned().collect::<BTreeSet<_>>(), expected);
    let until = looked.text("/valid_until").to_owned();
    for n in 0..40 {
        let wanted = (emails[&email(n)], until.clone());
        assert_eq!(rows[&format!("cookie-{n}")], wanted, "{n}");
    }
    assert_eq!(rows["cookie-44"], (emails[&email(44)], day(0)));

    // Nothing is evaluated again for the one that was down.
    let evaluated = || -> i64 {
        let sum = "SELECT sum(evaluated) FROM sessions WHERE party = 'shop'";
        world
            .store("alpha")
            .query_row(sum, [], |row| row.get(0))
            .unwrap()
    };
    let (before, shop) = (evaluated(), world.path("shop"));
    let send = ["match", "links", "send", "--party", &shop];
    refused(&world.told(&send), 1, "`beta`");
    world.start("beta");
    let sent = done(world.told(&send));
    assert_eq!(sent.document["providers"]["told"], json!(PROVIDERS));
    assert_eq!(sent.document["links"][0]["pairs"], 44);
    assert_eq!(evaluated(), before);
    assert_eq!(world.stored("beta").cast_unsigned(), entries);
    // Now any other may be down, and a run again gives the same bytes.
    let bytes = fs::read(world.crosswalk_path("press")).unwrap();
    world.stop("alpha");
    let again = done(world.looked_up(0..50));
    assert_eq!(again.document["providers_left_out"], json!(["alpha"]));
    assert_eq!(fs::read(world.crosswalk_path("press")).unwrap(), bytes);
    // Two are down: it is said who is missing, and what was found stays.
    world.stop("gamma");
    refused(&world.looked_up(0..50), 1, "`gamma`");
    assert_eq!(fs::read(world.crosswalk_path("press")).unwrap(), bytes);
}

/// What differs in one row changes what is found of one id.
#[test]
fn neighbouring_pairs_change_one_row() {
    let world = world();
    let all = pairs();
    done(world.put("shop", &all));
    done(world.looked_up(0..50));
    let before = world.linked();
    let changed = |pairs: &[Pair]| -> Vec<String> {
        done(world.put("shop", pairs));
        done(world.looked_up(0..50));
        let after = world.linked();
        let both = before.keys().chain(after.keys()).collect::<BTreeSet<_>>();
        let other = both
            .into_iter()
            .filter(|id| before.get(*id) != after.get(*id));
        other.cloned().collect()
    };
    assert_eq!(changed(&all), [""; 0]);
    // The second of an ambiguous id goes; a row's consent; another e-mail; one to a part.
    for (at, with) in [
        (43, pair(42, 42)),
        (3, ("cookie-3".into(), email(3), "", String::new())),
        (5, pair(5, 50)),
        (7, ("cookie-7".into(), email(7), "ads", String::new())),
        (9, ("cookie-9".into(), email(9), ALL, day(3))),
    ] {
        let mut one = all.clone();
        let id = with.0.clone();
        one[at] = with;
        assert_eq!(changed(&one), [id]);
        assert_eq!(changed(&all), [""; 0]);
    }
}

/// People take links back: by a command, and where they are forgotten or take a purpose back.
#[test]
fn links_are_taken_back_wherever_they_were_told() {
    let world = world();
    done(world.put("shop", &pairs()));
    let linked = || {
        done(world.looked_up(0..50));
        world.linked().into_keys().collect::<BTreeSet<_>>()
    };
    let all = linked();
    let gone = |ids: &[u32]| -> BTreeSet<String> {
        let ids: BTreeSet<_> = ids.iter().map(|n| format!("cookie-{n}")).collect();
        all.difference(&ids).cloned().collect()
    };
    let shop = world.path("shop");
    let cookies = world.file("gone.csv", "cookie\ncookie-1\ncookie-99\n");
    let words = ["match", "links", "remove", "--party", &shop, "--id"];
    let removed = |rest: &[&str]| world.told(&[&words, rest].concat());
    let phones = removed(&["phone", "--data", &cookies]);
    refused(&phones, 2, "no links of kind `phone`");
    let one = done(removed(&["cookie", "--data", &cookies]));
    assert_eq!(
        (one.number("/ids_that_lost_links"), one.number("/entries")),
        (1, 2)
    );
    assert_eq!(linked(), gone(&[1]));
    // One is down: it fails until all were told, and two of three have dropped it by then.
    world.stop("gamma");
    let emails = world.file("gone.csv", &format!("email\n{}\n", email(2)));
    refused(&removed(&["email", "--data", &emails]), 1, "`gamma`");
    world.start("gamma");
    assert_eq!(linked(), gone(&[1, 2]), "two of three providers decide");
    let held = world.stored("gamma");
    done(world.told(&["match", "links", "send", "--party", &shop]));
    assert_eq!(held - world.stored("gamma"), 2);

    // Forgotten at the shop, by e-mail.
    world.match_emails(0..60);
    // First while nothing is sealed: they stand in the crosswalk and in links all the same.
    let people = world.file("people.txt", &format!("{}\n", email(8)));
    let forget = |more: &str| {
        world.told(&[
            "data", "forget", "--party", &shop, "--ids", &people, "--id", "email", more,
        ])
    };
    let dry = done(forget("--dry-run"));
    let note = dry.document["notes"][0].as_str().unwrap();
    assert!(note.starts_with("no data set with people"), "{note}");
    assert_eq!(linked(), gone(&[1, 2]));
    assert!(world.crosswalk("shop").contains_key(&email(8)));
    let forgotten = done(forget("--yes"));
    assert_eq!(forgotten.number("/people/known"), 1);
    assert!(!world.crosswalk("shop").contains_key(&email(8)));
    assert_eq!(linked(), gone(&[1, 2, 8]));
    let rows: String = (0..60).map(|n| email(n) + ",5\n").collect();
    let data = world.file("of_shop.csv", &format!("email,spend\n{rows}"));
    let seal = ["data", "seal", "of_shop", "--party", &shop, "--data", &data];
    done(world.told(&seal));
    let people = world.file("people.txt", &format!("{}\n", email(4)));
    done(world.told(&[
        "data", "forget", "--party", &shop, "--ids", &people, "--id", "email", "--yes",
    ]));
    assert_eq!(linked(), gone(&[1, 2, 4, 8]));
    // And at the press, whose ids are cookies.
    let press = world.path("press");
    let rows = "cookie,spend\ncookie-6,5\ncookie-7,5\ncookie-99,5\n";
    let data = world.file("of_press.csv", rows);
    let sealed = done(world.told(&[
        "data", "seal", "of_press", "--party", &press, "--data", &data, "--yes",
    ]));
    assert_eq!(
        (
            sealed.number("/sealed"),
            sealed.number("/without_pseudonym")
        ),
        (2, 1)
    );
    let people = world.file("people.txt", "cookie-6\n");
    let forget = |kind: &str| {
        world.told(&[
            "data", "forget", "--party", &press, "--ids", &people, "--id", kind, "--yes",
        ])
    };
    refused(&forget("email"), 2, "has ids of kind `cookie`");
    done(forget("cookie"));
    assert!(!world.linked().contains_key("cookie-6"));
    // Nobody who was forgotten is named in what stays at home.
    let book = fs::read(world.path("shop/links.sqlite")).unwrap();
    for n in [2, 4] {
        let named = email(n).into_bytes();
        assert!(!book.windows(named.len()).any(|at| at == named), "{n}");
    }
}

/// M6: what others store under the shop's labels, and what a store spoils.
#[test]
fn foreign_and_spoilt_entries_hide_and_break_nothing() {
    let world = world();
    done(world.put("shop", &pairs()));
    done(world.looked_up(0..50));
    let honest = fs::read(world.crosswalk_path("press")).unwrap();
    for provider in PROVIDERS {
        let foreign = "INSERT INTO links SELECT agreement_id, epoch, label, purpose, 'mailer',
            expires, randomblob(96) FROM links WHERE source = 'shop'";
        world.store(provider).execute(foreign, []).unwrap();
    }
    // Beta has lost half of all, and changed the rest.
    let beta = world.store("beta");
    beta.execute("DELETE FROM links WHERE random() % 2 = 0", [])
        .unwrap();
    beta.execute("UPDATE links SET value = randomblob(96)", [])
        .unwrap();
    let looked = done(world.looked_up(0..50));
    assert!(looked.number("/links_passed_over/foreign") > 80 * 2);
    assert!(looked.number("/links_passed_over/at_too_few") > 0);
    assert_eq!(fs::read(world.crosswalk_path("press")).unwrap(), honest);
    // The mailer has one of the cookies, and says that it is somebody else: it is nobody then,
    // until that is taken back.
    let said = done(world.put("mailer", &[pair(5, 59)]));
    assert_eq!(said.number("/entries"), 2);
    let looked = done(world.looked_up(0..50));
    assert_eq!(looked.number("/ambiguous"), 2);
    assert!(!world.linked().contains_key("cookie-5"));
    let (mailer, gone) = (
        world.path("mailer"),
        world.file("gone.csv", "cookie\ncookie-5\n"),
    );
    done(world.told(&[
        "match", "links", "remove", "--party", &mailer, "--id", "cookie", "--data", &gone,
    ]));
    done(world.looked_up(0..50));
    assert_eq!(fs::read(world.crosswalk_path("press")).unwrap(), honest);
}

#[test]
fn what_is_not_known_or_not_agreed_is_refused_before_anything_is_sent() {
    let world = world();
    let shop = world.path("shop");
    let data = world.file(
        "pairs.csv",
        "cookie,email,agreed,learnt\nc1,a@example.net,ads,2020-01-01\nc2,b@example.net,spying,2999-01-01\n",
    );
    let put = |rest: &[&str]| {
        let words = ["match", "links", "put", "--party", &shop, "--data", &data];
        world.told(&[&words, rest].concat())
    };
    refused(&put(&[]), 1, "who agreed to be linked is not known");
    refused(&put(&["--consent", "said"]), 1, "no column `said`");
    refused(
        &put(&["--consent", "agreed"]),
        1,
        "no purpose of the agreement in 1 row: line 3",
    );
    let learnt = ["--everyone-consented", "--recorded", "learnt"];
    refused(&put(&learnt), 1, "one to come");
    refused(
        &put(&["--everyone-consented", "--to", "phone"]),
        2,
        "which kinds of id",
    );
    for (flags, hint) in [
        (["--expires", "gone"], "with `--expires` as"),
        (["--recorded", "gone"], "with `--recorded` as"),
        (["--from-column", "gone"], "with `--from-column` as"),
        (["--to-column", "gone"], "with `--to-column` as"),
    ] {
        let words = [&["--everyone-consented"][..], &flags].concat();
        let refusal = put(&words);
        refused(&refusal, 1, "no column `gone`");
        let told = refusal.text("/error/hint");
        assert!(told.contains(hint), "{told}");
    }
    let past = ["--everyone-consented", "--until", "2020-01-01"];
    refused(&put(&past), 2, "2020-01-01 is over");
    let press = world.path("press");
    let visits = world.file("visits.csv", "phone\n1\n");
    let run = |rest: &[&str]| {
        let words = ["match", "run", "--party", &press, "--data", &visits, "--id"];
        world.told(&[&words, rest].concat())
    };
    refused(
        &run(&["email", "--via", "phone"]),
        2,
        "no link from `phone` to `email`",
    );
    refused(
        &run(&["cookie", "--via", "email"]),
        2,
        "no link from `email` to `cookie`",
    );
    refused(
        &run(&["email", "--via", "cookie", "--append"]),
        2,
        "cannot be used with",
    );
    for provider in PROVIDERS {
        assert_eq!(world.stored(provider), 0);
        let asked = "SELECT count(*) FROM sessions";
        let asked: i64 = world
            .store(provider)
            .query_row(asked, [], |row| row.get(0))
            .unwrap();
        assert_eq!(asked, 0);
    }
    // Ids of two ways do not take each other's place.
    done(world.put("shop", &pairs()));
    done(world.looked_up(0..50));
    let emails = world.file("emails.csv", "email\na@example.net\n");
    let direct = world.matched("press", &emails, &["--id", "email"]);
    refused(&direct, 1, "has ids of kind `cookie`");
}
