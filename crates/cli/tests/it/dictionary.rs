//! A dictionary against all that a real `match run` leaves: what the relay carries, what the peer
//! hears, and what lies in both parties' folders while the run is under way.
//!
//! The attacker's wordlist has everybody in it. It undoes a column of plain hashes in a second.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use incamera_group::{EncodedPoint, Scalar, multiply_batch};
use incamera_matching::journal::{Journal, JournalKey, Opened};
use incamera_matching::{Method, Reveals, Terms};
use incamera_testkit::stage::free_address;
use incamera_testkit::wiretap::{KeyLog, Tap, decrypt_folder};
use incamera_types::Digest as _;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

use crate::cut_off::{Running, journal_bytes, until};
use crate::invariants::oracle::Oracle;
use crate::invariants::support::{Holdings, copy_folder, files_below};
use crate::world::World;

const WORDS: usize = 100_000;
/// One word in so many is somebody of the shop's.
const EVERY: usize = 12;
/// What is looked for: the first half of anything longer.
const KEPT: usize = 16;

type Needle = [u8; KEPT];
type Seen = HashSet<Needle>;

fn wordlist() -> Vec<String> {
    let hosts = ["mail", "post", "web", "home", "work"];
    let word = |n: usize| format!("person{n}@{}.example", hosts[n % hosts.len()]);
    (0..WORDS).map(word).collect()
}

fn needle(bytes: &[u8]) -> Needle {
    bytes[..KEPT].try_into().unwrap()
}

/// Every 16 bytes that stand one after the other in something.
fn windows(bytes: &[u8]) -> Seen {
    bytes.windows(KEPT).map(needle).collect()
}

fn sha(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// How many of the words something is seen of.
fn undone<'n>(guesses: impl Iterator<Item = &'n Vec<Needle>>, seen: &Seen) -> usize {
    guesses
        .filter(|needles| needles.iter().any(|needle| seen.contains(needle)))
        .count()
}

/// A recorded run.
struct Recorded {
    world: World,
    words: Vec<String>,
    /// The shop's people who agreed to something.
    agreed: Vec<usize>,
    /// And those who agreed to nothing.
    silent: Vec<usize>,
    /// Everything on the sockets, and the same without TLS: frames that the relay and the peer
    /// see.
    raw: Vec<u8>,
    frames: Vec<u8>,
    /// What lay in both folders while the run was under way.
    files: Vec<(PathBuf, Vec<u8>)>,
    oracle: Oracle,
}

fn of_shop(n: usize) -> bool {
    n.is_multiple_of(EVERY)
}

/// The mailer knows some of the shop's people, and others.
fn of_mailer(n: usize) -> bool {
    n.is_multiple_of(6 * EVERY) || n % (2 * EVERY) == 1
}

fn agrees(n: usize) -> bool {
    !(n / EVERY).is_multiple_of(10)
}

fn record() -> Recorded {
    let mut places = Vec::new();
    let world = World::agreed_at(|listens| {
        let public = free_address().unwrap();
        places.push((public, listens));
        public
    });
    for file in ["shop/party.toml", "mailer/party.toml"] {
        world.configure(file, "insecure_tls_key_log = \"../keys.log\"");
    }
    let runtime = Runtime::new().unwrap();
    let traffic = world.root().join("traffic");
    let tap = |(name, (public, listens))| {
        let start = Tap::start(name, public, listens, &traffic);
        runtime.block_on(start).unwrap()
    };
    let taps: Vec<Tap> = ["shop", "mailer"]
        .into_iter()
        .zip(places)
        .map(tap)
        .collect();
    let words = wordlist();
    write_data(&world, &words);
    world.start_party("shop", &[]);
    world.start_party("mailer", &[]);
    let files = run(&world);
    world.stage.stop_all();
    drop(taps);
    let raw = files_below(&traffic);
    let raw: Vec<u8> = raw
        .iter()
        .flat_map(|file| fs::read(file).unwrap())
        .collect();
    let keys = KeyLog::read(&world.root().join("keys.log")).unwrap();
    let conversations = decrypt_folder(&traffic, &keys).unwrap().into_iter();
    let frames = conversations.flat_map(|one| {
        let said = one.outcome.unwrap();
        [said.client, said.server].concat()
    });
    let frames = frames.collect();
    let oracle = Oracle::new(Holdings(world.root()).matching_slot());
    let shop = (0..WORDS).filter(|n| of_shop(*n));
    let (agreed, silent) = shop.partition(|n| agrees(*n));
    Recorded {
        words,
        agreed,
        silent,
        raw,
        frames,
        files,
        oracle,
        world,
    }
}

fn write_data(world: &World, words: &[String]) {
    fs::create_dir_all(world.path("data")).unwrap();
    let mut shop = "email,consent\n".to_owned();
    let mut mailer = "email\n".to_owned();
    for (n, word) in words.iter().enumerate() {
        if of_shop(n) {
            let consent = if agrees(n) { "ads" } else { "" };
            shop += &format!("{word},{consent}\n");
        }
        if of_mailer(n) {
            mailer += &format!("{word}\n");
        }
    }
    fs::write(world.path("data/shop.csv"), shop).unwrap();
    fs::write(world.path("data/mailer.csv"), mailer).unwrap();
}

/// One run of both, stopped in its middle to copy what lies in their folders.
fn run(world: &World) -> Vec<(PathBuf, Vec<u8>)> {
    let small = ["--arena", "64"];
    let runs = ["shop", "mailer"].map(|party| Running::of(world, party, &small));
    until("under way", || journal_bytes(world, "shop") > 20_000);
    runs.iter().for_each(|run| run.signal("-STOP"));
    let mut files = Vec::new();
    for party in ["shop", "mailer"] {
        let copy = world.root().join(format!("copy/{party}"));
        copy_folder(&world.root().join(party).join("matching"), &copy);
        let found = files_below(&copy).into_iter();
        files.extend(found.map(|path| (path.clone(), fs::read(path).unwrap())));
    }
    runs.iter().for_each(|run| run.signal("-CONT"));
    for run in runs {
        run.good();
    }
    let kinds = ["spill-", "journal", "history"];
    for kind in kinds {
        let is = |(path, bytes): &(PathBuf, Vec<u8>)| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(kind) && !bytes.is_empty()
        };
        assert!(files.iter().filter(|file| is(file)).count() >= 2, "{kind}");
    }
    files
}

impl Recorded {
    fn terms(&self) -> Terms {
        let agreement = Holdings(self.world.root()).agreement();
        Terms {
            agreement_id: agreement.id,
            agreement_digest: agreement.digest,
            epoch: agreement.matching.epoch,
            id_kind: "email".parse().unwrap(),
            method: Method::Commutative,
            reveals: Reveals::Nothing,
            max_ids: agreement.matching.max_ids,
        }
    }

    /// What the shop's points went out under: out of its journal, which needs its key ring.
    fn blinding(&self) -> Scalar {
        let holdings = Holdings(self.world.root());
        let slot = holdings.matching_slot();
        let ring = holdings.ring("shop");
        let secret = ring.matching_secret(&slot).unwrap();
        let key = JournalKey::of(secret.key(), &self.terms(), &"mailer".parse().unwrap());
        let journal = self.files.iter().find(|(path, _)| {
            path.ends_with("journal") && path.components().any(|part| part.as_os_str() == "shop")
        });
        let copy = journal.unwrap().1.clone();
        let Opened::Run { header, .. } = Journal::open(copy, key).unwrap() else {
            panic!("the journal was not begun");
        };
        self.oracle
            .blinding(header.seed.expose(), header.input.as_bytes())
    }

    /// `H(word)` of every word.
    fn points(&self) -> Vec<EncodedPoint> {
        self.words
            .iter()
            .map(|word| self.oracle.point(word))
            .collect()
    }

    fn places(&self) -> Vec<(String, Seen)> {
        let mut places = vec![
            ("the sockets".to_owned(), windows(&self.raw)),
            ("the frames".to_owned(), windows(&self.frames)),
        ];
        let files = self.files.iter();
        places.extend(files.map(|(path, bytes)| (path.display().to_string(), windows(bytes))));
        for log in ["shop.log", "mailer.log"] {
            let log = fs::read(self.world.root().join(log)).unwrap();
            places.push(("a log".to_owned(), windows(&log)));
        }
        places
    }
}

/// What this thread has worked, whatever else the machine does.
fn own_time() -> Duration {
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(spent.tv_sec as u64, spent.tv_nsec as u32)
}

/// What hashing alone makes of a word, and the word.
fn plain(word: &str) -> Vec<Needle> {
    let hash = sha(word.as_bytes());
    vec![
        needle(word.as_bytes()),
        needle(&hash),
        needle(hex::encode(hash).as_bytes()),
        needle(&sha(&hash)),
    ]
}

/// For each word what can be made of it with these secrets: the point and its pseudonym.
fn raised(oracle: &Oracle, points: &[EncodedPoint], secret: &Scalar) -> Vec<Vec<Needle>> {
    let raised = multiply_batch(points, secret).unwrap();
    let of = |point: &EncodedPoint| vec![needle(point.as_bytes()), oracle.pseudonym(point)];
    raised.iter().map(of).collect()
}

#[test]
fn i1_i2_no_dictionary_undoes_what_a_real_run_leaves() {
    let recorded = record();
    let Recorded { words, oracle, .. } = &recorded;
    let mut guesses: Vec<Vec<Needle>> = words.iter().map(|word| plain(word)).collect();

    // The same list against what the trade exchanges: a column of hashes.
    let shop = recorded.agreed.iter().chain(&recorded.silent);
    let column: Seen = shop.map(|n| needle(&sha(words[*n].as_bytes()))).collect();
    let attack = || {
        let start = own_time();
        let hash = |word: &String| column.contains(&needle(&sha(word.as_bytes())));
        (
            words.iter().filter(|word| hash(word)).count(),
            own_time() - start,
        )
    };
    let (found, time) = attack();
    assert_eq!(found, column.len());
    assert!(time < Duration::from_secs(1), "{time:?}");

    let holdings = Holdings(recorded.world.root());
    let [ours, theirs] = ["shop", "mailer"].map(|party| oracle.secret(&holdings.ring(party)));
    let points = recorded.points();
    // Whoever is the mailer's too has an entry of the mailer's own.
    for (n, (guess, point)) in guesses.iter_mut().zip(&points).enumerate() {
        guess.extend([needle(point.as_bytes()), oracle.pseudonym(point)]);
        if of_mailer(n) {
            guess.clear();
        }
    }
    let with_theirs = raised(oracle, &points, &theirs);
    let places = recorded.places();
    for (place, seen) in &places {
        assert_eq!(undone(guesses.iter(), seen), 0, "{place}");
        assert_eq!(
            undone(with_theirs.iter(), seen),
            0,
            "the mailer's secret, {place}"
        );
    }
    // The search finds what stands there: hashes or points planted among the frames.
    let frames = &places[1].1;
    assert!(frames.len() > 500_000, "{}", frames.len());
    let planted = |at: usize| {
        let planted = recorded.agreed.iter().filter(|n| !of_mailer(**n));
        let planted: Seen = planted.map(|n| guesses[*n][at]).collect();
        (undone(guesses.iter(), &(frames | &planted)), planted.len())
    };
    for at in 0..guesses[EVERY].len() {
        let (found, planted) = planted(at);
        assert_eq!(found, planted, "{at}");
    }
    // With the secrets of both, which nobody has, pseudonyms are undone.
    let crosswalk = holdings.crosswalk("shop");
    let pseudonyms: Seen = crosswalk.iter().map(|(_, one)| *one.as_bytes()).collect();
    assert_eq!(undone(with_theirs.iter(), &pseudonyms), 0);
    let both = raised(oracle, &points, &ours.multiply(&theirs));
    assert_eq!(undone(both.iter(), &pseudonyms), recorded.agreed.len());
    who_agreed_to_nothing_is_in_no_point(&recorded, &points, frames);
}

/// With the run's blinding known, points say whose they are.
fn who_agreed_to_nothing_is_in_no_point(
    recorded: &Recorded,
    points: &[EncodedPoint],
    frames: &Seen,
) {
    let sent = raised(&recorded.oracle, points, &recorded.blinding());
    let found = |people: &[usize]| undone(people.iter().map(|n| &sent[*n]), frames);
    assert!(recorded.silent.len() > 500);
    // A point that two frames share is in neither as a whole; where they end is the network's.
    let all = recorded.agreed.len();
    assert!(found(&recorded.agreed) > all - all / 100);
    assert_eq!(found(&recorded.silent), 0);
}
