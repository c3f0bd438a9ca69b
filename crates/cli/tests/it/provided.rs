//! Three owners match through two of three providers, with the built program and real services.

mod ends;
mod epochs;
mod hindered;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use incamera_agreement::{ActiveAgreement, files, sign};
use incamera_keys::{ReceiveKey, Secret32, SigningKey};
use incamera_net::agreements::now;
use incamera_net::tls::TlsOptions;
use incamera_provider::{Own, ProviderConfig, ShareKey, Store, make_keys, refresh_keys, serve};
use incamera_seal::{Crosswalk, CrosswalkReader};
use incamera_testkit::relay::{Line, Relay};
use incamera_testkit::stage::{Outcome, Stage, free_address};
use incamera_types::Pseudonym;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::alone::has_figures;
use crate::world::PROGRAM;

pub const PROVIDERS: [&str; 3] = ["alpha", "beta", "gamma"];
const OWNERS: [&str; 3] = ["mailer", "press", "shop"];

/// A provider: its keys, its folder, its service while it runs.
pub struct Provider {
    signs: SigningKey,
    service: SigningKey,
    receive: ReceiveKey,
    pub folder: PathBuf,
    /// As the agreement names it: the relay's.
    address: SocketAddr,
    listens: SocketAddr,
    relay: Relay,
    running: RefCell<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
}

impl Provider {
    /// What becomes of all that is sent to it.
    pub fn line(&self, line: Line) {
        self.relay.set(line);
    }
}

/// Three providers, whose services run in this process, and three owners, who use the program,
/// with an agreement that all have signed.
pub struct World {
    pub stage: Stage,
    folder: tempfile::TempDir,
    runtime: Runtime,
    pub providers: BTreeMap<&'static str, Provider>,
}

impl World {
    /// With the services up and the key made.
    fn ready(matching: &str) -> Self {
        Self::ready_with(matching, 9)
    }

    /// With so many runs allowed.
    fn ready_with(matching: &str, runs: u32) -> Self {
        let runs = format!("max_runs = {runs}");
        Self::agreed(|sections| agreement(sections, matching).replacen("max_runs = 9", &runs, 1))
    }

    /// The same with an agreement made of the parties' sections.
    pub fn agreed(text: impl FnOnce(&str) -> String) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let providers = PROVIDERS.map(|name| (name, provider(&folder.path().join(name))));
        let world = Self {
            stage: Stage::new(PathBuf::from(PROGRAM)),
            folder,
            runtime: Runtime::new().unwrap(),
            providers: providers.into(),
        };
        let mut sections = String::new();
        for (name, provider) in &world.providers {
            sections += &format!(
                "[parties.{name}]\nsigns = \"{}\"\nservice = \"{}\"\nreceives = \"{}\"\nurl = \"https://{}\"\n",
                provider.signs.public(),
                provider.service.public(),
                provider.receive.public(),
                provider.address
            );
        }
        for name in OWNERS {
            sections += &world.init(name);
        }
        world.sign(&text(&sections));
        for name in PROVIDERS {
            world.start(name);
        }
        let (active, alpha) = (world.active(), &world.providers["alpha"]);
        let (me, options) = ("alpha".parse().unwrap(), TlsOptions::default());
        let made = make_keys(&active, &me, &alpha.service, &options);
        world.runtime.block_on(made).unwrap();
        world
    }

    /// An owner's folder; its section of the agreement.
    fn init(&self, name: &str) -> String {
        let (folder, listen) = (self.path(name), free_address().unwrap().to_string());
        let words = [
            "init",
            &folder,
            "--name",
            name,
            "--listen",
            &listen,
            "--insecure-accept-simulated",
        ];
        self.stage.done(&words).unwrap();
        let ring = |file: &str| self.path(&format!("{name}/ring.{file}"));
        fs::copy(ring("age"), ring("before")).unwrap();
        let public = fs::read_to_string(self.path(&format!("{name}/public.toml"))).unwrap();
        let lines = public.lines().filter(|line| {
            let key = line.split(" = ").next().unwrap();
            ["signs", "service", "receives", "url"].contains(&key)
        });
        let lines: Vec<_> = lines.collect();
        format!("[parties.{name}]\n{}\npeople = 100\n", lines.join("\n"))
    }

    /// The agreement and everybody's signature, in everybody's folder.
    fn sign(&self, text: &str) {
        self.sign_as(text, "a.toml");
    }

    pub fn sign_as(&self, text: &str, called: &str) {
        let path = |name: &str| self.path(&format!("{name}/agreements/{called}"));
        let file = |name: &str| PathBuf::from(path(name));
        let signature = |at: &str, by: &str| files::signature_path(&file(at), &by.parse().unwrap());
        for name in PROVIDERS.iter().chain(&OWNERS) {
            fs::write(file(name), text).unwrap();
        }
        for by in OWNERS {
            let (file, party) = (path(by), self.path(by));
            let words = ["agreement", "sign", &file, "--party", &party];
            self.stage.done(&words).unwrap();
            for at in PROVIDERS.iter().chain(&OWNERS).filter(|at| **at != by) {
                fs::copy(signature(by, by), signature(at, by)).unwrap();
            }
        }
        for (by, provider) in &self.providers {
            let signed = sign(text.as_bytes(), &provider.signs).unwrap().to_armor();
            for at in PROVIDERS.iter().chain(&OWNERS) {
                fs::write(signature(at, by), &signed).unwrap();
            }
        }
    }

    pub fn active(&self) -> ActiveAgreement {
        let file = PathBuf::from(self.agreement("alpha"));
        files::read_signed(&file).unwrap().at(now()).unwrap()
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    pub fn agreement(&self, name: &str) -> String {
        self.path(&format!("{name}/agreements/a.toml"))
    }

    /// The agreement's text as that of the version that follows it.
    pub fn second_version(&self) -> String {
        let file = self.agreement("shop");
        let digest = self.stage.done(&["agreement", "check", &file]).unwrap();
        let digest = digest.text("/digest").to_owned();
        let head = format!("version = 2\nid = \"{digest}\"\nfollows = \"{digest}\"");
        let text = fs::read_to_string(&file).unwrap();
        text.replacen("version = 1", &head, 1)
    }

    pub fn start(&self, name: &'static str) {
        let provider = &self.providers[name];
        let config = ProviderConfig {
            format: ProviderConfig::FORMAT.to_owned(),
            listen: provider.listens,
            health: None,
            store: provider.folder.join("provider.sqlite"),
            sessions: 4.try_into().unwrap(),
        };
        let own = Own {
            name: name.parse().unwrap(),
            signs: provider.signs.public(),
            service: provider.service.duplicate(),
            receive: Some(ReceiveKey::from_text(&provider.receive.to_text()).unwrap()),
            agreements: provider.folder.join("agreements"),
            shares: ShareKey::new(Secret32::from_bytes([name.as_bytes()[0]; 32])),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, is_ready) = oneshot::channel();
        let ended = self.runtime.spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            let options = TlsOptions::default();
            let ready = || ready.send(()).unwrap();
            serve(config, own, &options, ready, stopped).await.unwrap();
        });
        self.runtime.block_on(is_ready).unwrap();
        *provider.running.borrow_mut() = Some((stop, ended));
    }

    pub fn stop(&self, name: &str) {
        let (stop, ended) = self.providers[name].running.take().unwrap();
        stop.send(()).unwrap();
        self.runtime.block_on(ended).unwrap();
    }

    fn refresh(&self) {
        let (active, beta) = (self.active(), &self.providers["beta"]);
        let (me, options) = ("beta".parse().unwrap(), TlsOptions::default());
        let made = refresh_keys(&active, &me, &beta.service, &options);
        self.runtime.block_on(made).unwrap();
    }

    /// A file with these people's addresses.
    fn ids(&self, name: &str, people: impl Iterator<Item = u32>) -> String {
        let path = self.path(&format!("{name}.csv"));
        let rows: String = people
            .map(|n| format!("person-{n}@example.net\n"))
            .collect();
        fs::write(&path, format!("email\n{rows}")).unwrap();
        path
    }

    fn words<'a>(&'a self, party: &'a str, data: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        let words = ["match", "run", "--party", party, "--data", data];
        words.iter().chain(more).copied().collect()
    }

    pub fn matched(&self, name: &str, data: &str, more: &[&str]) -> Outcome {
        let party = self.path(name);
        self.stage.command(&self.words(&party, data, more)).unwrap()
    }

    /// The runs and ids that a provider counted of an owner.
    fn counted(&self, provider: &str, owner: &str) -> (u64, u64) {
        let store = Store::look_at(&self.providers[provider].folder.join("provider.sqlite"));
        let counted = store.unwrap().counted().unwrap().into_iter();
        let mut of_owner = counted.filter(|one| one.party.as_str() == owner);
        of_owner
            .next()
            .map_or((0, 0), |one| (one.runs, one.evaluated))
    }

    /// An owner comes back out of a backup of its first day.
    fn forget_runs(&self, name: &str) {
        let folder = self.folder.path().join(name);
        for file in ["matching", "crosswalks"] {
            fs::remove_dir_all(folder.join(file)).unwrap();
        }
        fs::create_dir(folder.join("crosswalks")).unwrap();
        fs::copy(folder.join("ring.before"), folder.join("ring.age")).unwrap();
    }

    fn journal_bytes(&self, name: &str) -> u64 {
        let matching = self.folder.path().join(name).join("matching");
        let slots = fs::read_dir(matching).into_iter().flatten();
        let sizes =
            slots.filter_map(|slot| fs::metadata(slot.unwrap().path().join("journal")).ok());
        sizes.map(|file| file.len()).sum()
    }

    /// Whole crosswalks.
    fn crosswalks(&self, name: &str) -> usize {
        let folder = self.folder.path().join(name).join("crosswalks");
        let files = fs::read_dir(folder).unwrap();
        let whole = files.filter(|file| {
            let path = file.as_ref().unwrap().path();
            path.extension().is_some_and(|e| e == "parquet")
        });
        whole.count()
    }

    pub fn crosswalk_path(&self, name: &str) -> PathBuf {
        let folder = self.folder.path().join(name).join("crosswalks");
        let mut files = fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path());
        files
            .find(|path| path.extension().is_some_and(|e| e == "parquet"))
            .unwrap()
    }

    pub fn crosswalk(&self, name: &str) -> BTreeMap<String, Pseudonym> {
        let crosswalk = Crosswalk::read(&self.crosswalk_path(name)).unwrap();
        crosswalk.iter().map(|(id, p)| (id.to_owned(), p)).collect()
    }
}

fn provider(folder: &Path) -> Provider {
    fs::create_dir_all(folder.join("agreements")).unwrap();
    let mut rng = rand::rng();
    let (address, listens) = (free_address().unwrap(), free_address().unwrap());
    Provider {
        signs: SigningKey::generate(&mut rng),
        service: SigningKey::generate(&mut rng),
        receive: ReceiveKey::generate(&mut rng).unwrap(),
        folder: folder.to_owned(),
        relay: Relay::start(address, listens).unwrap(),
        address,
        listens,
        running: RefCell::new(None),
    }
}

pub fn agreement(parties: &str, matching: &str) -> String {
    let datasets: String = OWNERS
        .iter()
        .map(|owner| {
            format!(
                "[datasets.of_{owner}]\nowner = \"{owner}\"\n[datasets.of_{owner}.columns]\nperson = {{ type = \"pseudonym\", id = \"email\" }}\nspend = {{ type = \"int\", min = 0, max = 100, purposes = [\"measurement\"] }}\n"
            )
        })
        .collect();
    let budgets: String = OWNERS
        .iter()
        .map(|owner| format!("[budgets.{owner}]\nepsilon = 8.0\ndelta = 1e-6\n"))
        .collect();
    format!(
        r#"format = "incamera-agreement/1"
[agreement]
name = "matching"
version = 1
expires = 2099-12-31
{parties}
[room]
url = "https://127.0.0.1:7444"
[[room.accept]]
tee = "simulated"
measurements = ["{}"]
[matching]
method = "provider"
providers = ["alpha", "beta", "gamma"]
threshold = 2
ids = ["email"]
rules = 2
reveals = "nothing"
max_runs = 9
{matching}
[purposes]
measurement = {{ label = "Measuring" }}
{datasets}{budgets}"#,
        "9f".repeat(32)
    )
}

/// How many files below a folder hold one of these.
pub fn found_in(folder: &Path, secrets: &[Vec<u8>]) -> usize {
    let mut found = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found += found_in(&path, secrets);
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        // By their first four bytes, so that a file is gone through once.
        let mut heads: BTreeMap<&[u8], Vec<&Vec<u8>>> = BTreeMap::new();
        for secret in secrets {
            heads.entry(&secret[..4]).or_default().push(secret);
        }
        let holds = bytes.windows(4).enumerate().any(|(at, head)| {
            let candidates = heads.get(head).into_iter().flatten();
            candidates
                .into_iter()
                .any(|secret| bytes[at..].starts_with(secret))
        });
        found += usize::from(holds);
    }
    found
}

pub fn refused(outcome: &Outcome, code: i32, words: &str) {
    assert_eq!(outcome.code, code, "{}", outcome.failure());
    assert!(outcome.failure().contains(words), "{}", outcome.failure());
}

/// What everybody has of the people that all of these have, by a plain join.
fn common(sets: &[BTreeMap<String, Pseudonym>]) -> Vec<&String> {
    let (first, others) = sets.split_first().unwrap();
    let everywhere = first
        .iter()
        .filter(|(id, own)| others.iter().all(|other| other.get(*id) == Some(own)));
    everywhere.map(|(id, _)| id).collect()
}

#[test]
fn three_owners_match_through_two_of_three_providers() {
    let world = World::ready("max_ids = 1_000\nkey_days = 10");
    let files = [
        world.ids("mailer", 0..120),
        world.ids("press", 60..180),
        world.ids("shop", 100..300),
    ];
    // One provider is down when the first owner matches, and back for the others.
    world.stop("beta");
    let one = world.matched("mailer", &files[0], &[]);
    assert_eq!(one.code, 0, "{}", one.failure());
    assert_eq!(
        one.document["providers_left_out"],
        serde_json::json!(["beta"])
    );
    assert!(one.errors.contains("`beta`"), "{}", one.errors);
    // Who got its points, and who could have.
    let named = |outcome: &Outcome, field| outcome.document[field].clone();
    let all = serde_json::json!(["alpha", "beta", "gamma"]);
    assert_eq!(
        named(&one, "providers"),
        serde_json::json!(["alpha", "gamma"])
    );
    assert_eq!(named(&one, "key_holders"), all);
    assert_eq!(one.number("/key_statement"), 1);
    has_figures(&one.document, "provider", false);
    assert_eq!(
        (one.number("/distinct"), one.number("/crosswalk_rows")),
        (120, 120)
    );
    // Ten days are fewer than fourteen.
    assert!(
        one.errors.contains("pseudonyms end with it"),
        "{}",
        one.errors
    );
    world.start("beta");
    let two = world.matched("press", &files[1], &[]);
    assert_eq!(two.code, 0, "{}", two.failure());
    assert_eq!(two.document["providers_left_out"], serde_json::json!([]));
    assert_eq!(
        named(&two, "providers"),
        serde_json::json!(["alpha", "beta"])
    );
    // Refreshed between two runs: other shares, the same pseudonyms.
    world.refresh();
    let three = world.matched("shop", &files[2], &[]);
    assert_eq!(three.code, 0, "{}", three.failure());
    assert_eq!(three.number("/key_statement"), 2);

    let sets = ["mailer", "press", "shop"].map(|name| world.crosswalk(name));
    let all: Vec<String> = (100..120)
        .map(|n| format!("person-{n}@example.net"))
        .collect();
    assert_eq!(common(&sets), all.iter().collect::<Vec<_>>());
    assert_eq!(common(&sets[..2]).len(), 60);
    assert_eq!(common(&sets[1..]).len(), 80);
    // Different people have different pseudonyms, at whomever's.
    let pseudonyms: BTreeMap<_, _> = sets.iter().flatten().map(|(id, p)| (p, id)).collect();
    assert_eq!(pseudonyms.len(), 300);

    // All name the key, as rooms and brokers compare it, whatever was refreshed.
    let of_key = |name| {
        let reader = CrosswalkReader::open(&world.crosswalk_path(name)).unwrap();
        reader.columns().run.unwrap()
    };
    assert_eq!(["mailer", "press"].map(of_key), [of_key("shop"); 2]);

    // Every row counts until the key ends.
    let mut rows = CrosswalkReader::open(&world.crosswalk_path("shop")).unwrap();
    while let Some(row) = rows.next().unwrap() {
        let until = row.valid_until.unwrap().to_string();
        assert_eq!(until, three.text("/valid_until"));
    }
    // What is new is added, and what was there stays.
    let more = world.ids("more", 290..310);
    let added = world.matched("shop", &more, &["--append"]);
    assert_eq!(added.code, 0, "{}", added.failure());
    assert_eq!(
        (added.number("/new"), added.number("/crosswalk_rows")),
        (10, 210)
    );
    let after = world.crosswalk("shop");
    assert!(sets[2].iter().all(|(id, p)| after.get(id) == Some(p)));

    // All that a provider stores and logs names nobody, and no pseudonym.
    let texts = sets[2].keys().map(|id| id.as_bytes().to_vec());
    let values = after.values().map(|p| p.as_bytes().to_vec());
    let secrets: Vec<_> = texts.chain(values).collect();
    for name in PROVIDERS {
        assert_eq!(
            found_in(&world.folder.path().join(name), &secrets),
            0,
            "{name}"
        );
    }
    // The control: the same search finds the pseudonyms at their owner's.
    assert!(found_in(&world.folder.path().join("shop"), &secrets) > 0);
    // Two of three down: nobody can evaluate, and it is said who is missing.
    world.stop("beta");
    world.stop("gamma");
    let alone = world.matched("press", &files[1], &[]);
    refused(&alone, 1, "1 of the 3 providers can be asked");
    for name in ["`beta`", "`gamma`"] {
        assert!(alone.failure().contains(name), "{}", alone.failure());
    }
}

#[test]
fn limits_are_the_agreements_and_no_other_provider_is_asked_beyond_them() {
    let world = World::ready("max_ids = 50\nkey_days = 90");
    let many = world.ids("many", 0..51);
    refused(
        &world.matched("shop", &many, &[]),
        3,
        "the agreement allows 50 a run",
    );
    let some = world.ids("some", 0..50);
    for run in 0..9 {
        let outcome = world.matched("shop", &some, &["--anew"]);
        assert_eq!(outcome.code, 0, "{run}: {}", outcome.failure());
        assert!(
            !outcome.errors.contains("pseudonyms end"),
            "{}",
            outcome.errors
        );
    }
    let tenth = world.matched("shop", &some, &[]);
    refused(&tenth, 3, "the agreement allows 9 runs");
    assert!(
        !tenth.errors.contains("others are asked"),
        "{}",
        tenth.errors
    );
    // Whoever has no count of its own hears it of the providers: two of them are believed, and
    // nobody else is asked.
    world.forget_runs("shop");
    let tenth = world.matched("shop", &some, &[]);
    refused(&tenth, 3, "had all its 9 runs");
    refused(&tenth, 3, "`alpha` and `beta` say so");
    let errors = &tenth.errors;
    assert!(!errors.contains("others are asked"), "{errors}");
    assert!(tenth.text("/error/hint").contains("max_runs"));
    assert_eq!(world.counted("gamma", "shop").1, 0);
}

/// What it says is heard.
fn spawn_heard(words: &[&str]) -> Child {
    let mut command = Command::new(PROGRAM);
    let command = command.args(words).arg("--json").stdin(Stdio::null());
    command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn spawn(words: &[&str]) -> Child {
    let mut command = Command::new(PROGRAM);
    let command = command.args(words).arg("--json").stdin(Stdio::null());
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Killed in the middle: the next start goes on, and the crosswalk is that of a run that
/// nobody killed.
#[test]
fn a_run_that_is_killed_goes_on_where_it_was() {
    let world = World::ready("max_ids = 40_000\nkey_days = 90\nrate = 6_000");
    let data = world.ids("all", 0..40_000);
    let party = world.path("shop");
    let words = world.words(&party, &data, &[]);
    let mut child = spawn(&words);
    // Two batches of 4,096, 16 bytes each.
    while world.journal_bytes("shop") < 2 * 4096 * 16 {
        assert!(
            child.try_wait().unwrap().is_none(),
            "it ended before it was killed"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let resumed = world.matched("shop", &data, &[]);
    assert_eq!(resumed.code, 0, "{}", resumed.failure());
    let from = resumed.number("/resumed_from");
    assert!((2 * 4096..40_000).contains(&from), "{from}");
    let file = world.crosswalk_path("shop");
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    let undisturbed = world.matched("shop", &data, &[]);
    assert_eq!(undisturbed.number("/resumed_from"), 0);
    assert_eq!(fs::read(&file).unwrap(), bytes);
}
