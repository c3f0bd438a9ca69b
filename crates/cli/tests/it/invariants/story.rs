//! One whole run, recorded: every byte on a socket, every file, every word said.
//!
//! Each service stands behind a recording proxy and writes its TLS keys, so that the traffic
//! can be read as the endpoints read it. The services log at `debug`. Some commands fail on
//! purpose, on rows that hold the marks.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use incamera_net::client;
use incamera_net::services::AttestRequest;
use incamera_net::tls::TlsOptions;
use incamera_testkit::stage::free_address;
use incamera_testkit::wiretap::{KeyLog, Tap, decrypt_folder, http2_bodies};
use incamera_wire::v1::BoundEvidence;
use tokio::runtime::Runtime;

use super::snapshot::Snapshot;
use super::support::Holdings;
use crate::world::{AGREEMENT, Data, MARKED, MARKED_AMOUNT, PROGRAM, WINDOW, World};

/// Stands in the shop's file only.
pub const SHOP_ONLY: &str = "only.at.the.shop@marked.example";
/// Stands in the mailer's file only.
pub const MAILER_ONLY: &str = "only.at.the.mailer@marked.example";
/// Travels in clear inside TLS, so that a search that finds nothing is known to search.
pub const CONTROL: &str = "planted-control-mark-7a3f";

/// What a command said and how it ended.
pub struct Said {
    pub command: String,
    pub code: Option<i32>,
    pub out: String,
    pub errors: String,
}

/// One direction of one connection, decrypted.
pub struct Heard {
    pub connection: String,
    /// As it went through TLS: HTTP/2 with all its frames.
    pub stream: Vec<u8>,
    /// The messages alone, one body after the other.
    pub bodies: Vec<u8>,
}

/// The recorded run.
pub struct Story {
    /// All bytes on all sockets.
    pub raw: Vec<u8>,
    /// The same, decrypted: each direction of each connection.
    pub decrypted: Vec<Heard>,
    /// Decrypted, of the matching alone.
    pub matching: Vec<Heard>,
    /// Every command, in order.
    pub said: Vec<Said>,
    /// Every file, at the end.
    pub files: Snapshot,
    /// What the room shows to whoever connects.
    pub evidence: BoundEvidence,
}

impl Story {
    /// The recorded run; made once.
    pub fn get() -> &'static Self {
        static STORY: OnceLock<Story> = OnceLock::new();
        STORY.get_or_init(record)
    }

    /// Two matching runs where own matches are revealed; made once.
    pub fn revealing() -> &'static Self {
        static STORY: OnceLock<Story> = OnceLock::new();
        STORY.get_or_init(|| {
            let tapped = Tapped::new(World::revealing);
            tapped.start();
            tapped.match_people();
            let matching = tapped.decrypt();
            tapped.told(matching)
        })
    }

    /// What commands that start like this said.
    pub fn said_by(&self, command: &str) -> Vec<&Said> {
        self.said
            .iter()
            .filter(|said| said.command.starts_with(command))
            .collect()
    }
}

/// A world behind proxies.
struct Tapped {
    world: World,
    runtime: Runtime,
    taps: Vec<Tap>,
    said: Mutex<Vec<Said>>,
}

fn record() -> Story {
    let tapped = Tapped::new(|text| text);
    tapped.start();
    tapped.match_people();
    let matching = tapped.decrypt();
    tapped.seal_and_push();
    tapped.refused_files();
    tapped.ask();
    tapped.refused_questions();
    tapped.look();
    tapped.told(matching)
}

fn concatenated(folder: &Path) -> Vec<u8> {
    let files = super::support::files_below(folder);
    files
        .iter()
        .flat_map(|file| fs::read(file).unwrap())
        .collect()
}

/// The small data with a person of each side's own; the marked person's purchases are marked.
fn data() -> Data {
    let mut data = Data::small();
    data.customers += &format!("{SHOP_ONLY},ads;measurement\n");
    data.purchases += &format!("{SHOP_ONLY},2026-04-11,{MARKED_AMOUNT},food\n");
    data.mailing += &format!("{MAILER_ONLY},true\n");
    data
}

impl Tapped {
    fn new(edit: impl FnOnce(String) -> String) -> Self {
        let mut tapped: Vec<(SocketAddr, SocketAddr)> = Vec::new();
        let behind = |listens| {
            let public = free_address().unwrap();
            tapped.push((public, listens));
            public
        };
        let world = World::agreed_as_at(behind, edit);
        for folder in ["tmp", "cwd", "traffic"] {
            fs::create_dir(world.root().join(folder)).unwrap();
        }
        for file in ["shop/party.toml", "mailer/party.toml", "room/room.toml"] {
            world.configure(file, "insecure_tls_key_log = \"../keys.log\"");
        }
        let runtime = Runtime::new().unwrap();
        let start = |(name, (public, listens)): (&str, &(SocketAddr, SocketAddr))| {
            let folder = world.root().join("traffic");
            runtime
                .block_on(Tap::start(name, *public, *listens, &folder))
                .unwrap()
        };
        let taps = ["shop", "mailer", "room"]
            .into_iter()
            .zip(&tapped)
            .map(start)
            .collect();
        world.write_data(&data());
        Self {
            world,
            runtime,
            taps,
            said: Mutex::default(),
        }
    }

    /// The story so far, which ends here.
    fn told(mut self, matching: Vec<Heard>) -> Story {
        let evidence = self.evidence();
        self.world.stage.stop_all();
        self.taps.clear();
        Story {
            raw: concatenated(&self.world.root().join("traffic")),
            decrypted: self.decrypt(),
            matching,
            said: std::mem::take(&mut self.said.lock().unwrap()),
            files: Snapshot::of(self.world.root()),
            evidence,
        }
    }

    fn path(&self, relative: &str) -> String {
        self.world.path(relative)
    }

    fn start(&self) {
        let tmp = self.path("tmp");
        let environment = [("TMPDIR", tmp.as_str()), ("INCAMERA_LOG", "debug")];
        for name in ["shop", "mailer"] {
            self.world.start_party(name, &environment);
        }
        let config = self.path("room/room.toml");
        let (arguments, log) = (
            ["room", "serve", "--config", &config],
            self.world.root().join("room.log"),
        );
        let stage = &self.world.stage;
        stage
            .start(
                "room",
                &arguments,
                &environment,
                &log,
                self.world.room.listens,
            )
            .unwrap();
    }

    /// Runs a command as a person would, and keeps what it says.
    fn run(&self, arguments: &[&str]) -> Option<i32> {
        let output = Command::new(PROGRAM)
            .args(arguments)
            .current_dir(self.path("cwd"))
            .env("TMPDIR", self.path("tmp"))
            .env("INCAMERA_LOG", "debug")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.said.lock().unwrap().push(Said {
            command: arguments.join(" "),
            code: output.status.code(),
            out: text(&output.stdout),
            errors: text(&output.stderr),
        });
        output.status.code()
    }

    #[track_caller]
    fn must(&self, code: i32, arguments: &[&str]) {
        let ended = self.run(arguments);
        let said = self.said.lock().unwrap();
        let errors = said.last().map_or("", |said| said.errors.as_str());
        assert_eq!(ended, Some(code), "{arguments:?}\n{errors}");
    }

    /// Two runs: the second mixes in what the first gave.
    fn match_people(&self) {
        let (shop, mailer) = (self.path("shop"), self.path("mailer"));
        let (ours, theirs) = (
            self.path("data/customers.csv"),
            self.path("data/mailing.csv"),
        );
        for _ in 0..2 {
            std::thread::scope(|scope| {
                scope.spawn(|| self.run(&["match", "run", "--party", &mailer, "--data", &theirs]));
                self.run(&["match", "run", "--party", &shop, "--data", &ours]);
            });
        }
        let said = self.said.lock().unwrap();
        assert!(
            said.iter().all(|said| said.code == Some(0)),
            "{}",
            said[0].errors
        );
    }

    /// Files that are refused at a row that holds the marks.
    fn refused_files(&self) {
        let shop = self.path("shop");
        let head = "email,day,amount,category\n";
        let broken: [(&str, Vec<u8>); 4] = [
            (
                "column `amount`",
                format!("{head}{MARKED},2026-04-08,{MARKED_AMOUNT}x,food\n").into(),
            ),
            (
                "column `day`",
                format!("{head}{MARKED},2026-04-{MARKED},{MARKED_AMOUNT},food\n").into(),
            ),
            (
                "no column",
                format!("email,day\n{MARKED},2026-04-08\n").into(),
            ),
            (
                "UTF-8",
                [
                    format!("{head}{MARKED}").as_bytes(),
                    b"\xff\xfe,2026-04-08,1,food\n",
                ]
                .concat(),
            ),
        ];
        for (at, (why, bytes)) in broken.into_iter().enumerate() {
            let file = self.path(&format!("data/broken-{at}.csv"));
            fs::write(&file, bytes).unwrap();
            self.must(
                1,
                &[
                    "data",
                    "seal",
                    "purchases",
                    "--party",
                    &shop,
                    "--data",
                    &file,
                ],
            );
            let said = self.said.lock().unwrap().last().unwrap().errors.clone();
            assert!(said.contains(why), "{why}: {said}");
            self.run(&[
                "match", "run", "--party", &shop, "--data", &file, "--wait", "1",
            ]);
        }
    }

    fn seal_and_push(&self) {
        for (party, dataset) in [
            ("shop", "customers"),
            ("shop", "purchases"),
            ("mailer", "mailing"),
        ] {
            let (folder, file) = (self.path(party), self.path(&format!("data/{dataset}.csv")));
            self.must(
                0,
                &["data", "seal", dataset, "--party", &folder, "--data", &file],
            );
        }
        for party in ["shop", "mailer"] {
            self.must(0, &["data", "push", "--party", &self.path(party)]);
        }
    }

    fn question<'a>(&'a self, paths: &'a [String; 3], more: &[&'a str]) -> Vec<&'a str> {
        let [agreement, key, out] = paths;
        let mut arguments = vec![
            "query",
            "run",
            "lift",
            "--agreement",
            agreement,
            "--as",
            "mailer/ana",
        ];
        arguments.extend(["--key", key, "--out", out, "--yes", "--reason", CONTROL]);
        arguments.extend(WINDOW);
        arguments.extend(more);
        arguments
    }

    fn paths(&self, out: &str) -> [String; 3] {
        [
            self.path(&format!("mailer/agreements/{AGREEMENT}.toml")),
            self.path("mailer/analysts/ana"),
            self.path(out),
        ]
    }

    /// The question, and the same again.
    fn ask(&self) {
        for out in ["answer.release", "again.release"] {
            let paths = self.paths(out);
            self.must(0, &self.question(&paths, &[]));
        }
        let paths = self.paths("json.release");
        self.must(0, &self.question(&paths, &["--json"]));
        let (shop, out) = (self.path("shop"), self.path("shop/received"));
        fs::create_dir(&out).unwrap();
        self.must(0, &["query", "receive", "--party", &shop, "--out", &out]);
    }

    /// Questions without an answer.
    fn refused_questions(&self) {
        let paths = self.paths("refused.release");
        self.must(3, &self.question(&paths, &["--purpose", "ads"]));
        let [agreement, _, out] = self.paths("refused.release");
        let wrong_key = [agreement, self.path("shop/signing_key"), out];
        assert_ne!(self.run(&self.question(&wrong_key, &[])), Some(0));
        let parts = self.world.root().join("room/storage/purchases/parts");
        let part = fs::read_dir(parts).unwrap().next().unwrap().unwrap().path();
        let whole = fs::read(&part).unwrap();
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        fs::write(&part, damaged).unwrap();
        assert_ne!(self.run(&self.question(&paths, &[])), Some(0));
        fs::write(&part, whole).unwrap();
        assert!(!Path::new(&paths[2]).exists());
    }

    fn look(&self) {
        let [agreement, _, out] = self.paths("answer.release");
        let (shop, manifest) = (
            self.path("shop"),
            self.path("room/storage/purchases/manifest"),
        );
        self.must(0, &["agreement", "show", &agreement]);
        self.must(0, &["agreement", "check", &agreement]);
        self.must(
            0,
            &[
                "query",
                "explain",
                "lift",
                "--agreement",
                &agreement,
                WINDOW[0],
                WINDOW[1],
            ],
        );
        self.must(0, &["verify", &out, "--agreement", &agreement]);
        self.must(0, &["verify", &out, "--agreement", &agreement, "--json"]);
        self.must(0, &["verify", &manifest, "--agreement", &agreement]);
        self.must(0, &["data", "inspect", &manifest]);
        self.must(0, &["status", "--party", &shop]);
    }

    fn evidence(&self) -> BoundEvidence {
        let url = Holdings(self.world.root())
            .agreement()
            .room
            .url
            .as_str()
            .to_owned();
        self.runtime.block_on(async {
            let room = client::connect_unattested(&url, None, &TlsOptions::default())
                .await
                .unwrap();
            let challenge = vec![7; 32];
            let reply = client::room(room.channel())
                .attest(AttestRequest { challenge })
                .await;
            reply.unwrap().into_inner().evidence.unwrap()
        })
    }

    fn decrypt(&self) -> Vec<Heard> {
        let keys = KeyLog::read(&self.world.root().join("keys.log")).unwrap();
        let mut all = Vec::new();
        for recorded in decrypt_folder(&self.world.root().join("traffic"), &keys).unwrap() {
            let name = recorded.name;
            let said = recorded
                .outcome
                .unwrap_or_else(|error| panic!("{name} is not searched: {error}"));
            for (side, stream) in [("client", said.client), ("server", said.server)] {
                let bodies = http2_bodies(&stream)
                    .into_iter()
                    .flat_map(|body| body.bytes)
                    .collect();
                all.push(Heard {
                    connection: format!("{name} {side}"),
                    stream,
                    bodies,
                });
            }
        }
        assert!(all.len() >= 4);
        all
    }
}
