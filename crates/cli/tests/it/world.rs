//! A small world of two parties and a room, made with the built program as a person would.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use incamera_testkit::stage::{Outcome, Stage, free_address, run_lift};
use tempfile::TempDir;

/// The built program.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_incamera");
/// The marked person: stands once in the shop's and once in the mailer's file.
pub const MARKED: &str = "marked.person@marked.example";
/// The marked amount, in the shop's purchases only.
pub const MARKED_AMOUNT: &str = "387.65";
pub const WINDOW: [&str; 2] = ["from=2026-03-01", "until=2026-05-31"];
pub const AGREEMENT: &str = "spring-campaign";

/// One service.
pub struct Role {
    pub name: &'static str,
    pub listens: SocketAddr,
    /// What the agreement names: the same, or a proxy in front.
    pub public: SocketAddr,
}

/// Parties, room and data in one folder.
pub struct World {
    pub stage: Stage,
    pub shop: Role,
    pub mailer: Role,
    pub room: Role,
    folder: TempDir,
}

/// How the small data look.
pub struct Data {
    pub customers: String,
    pub purchases: String,
    pub mailing: String,
}

impl Data {
    /// 240 people; the marked one is in both files. Every tenth refuses `measurement`.
    pub fn small() -> Self {
        let mut data = Self {
            customers: "email,consent\n".into(),
            purchases: "email,day,amount,category\n".into(),
            mailing: "email,mailed\n".into(),
        };
        for person in 0..240 {
            let email = if person == 7 {
                MARKED.to_owned()
            } else {
                format!("p{person}@mail.example")
            };
            let consent = if person % 10 == 9 {
                "ads"
            } else {
                "ads;measurement"
            };
            data.customers += &format!("{email},{consent}\n");
            data.mailing += &format!("{email},{}\n", person % 2 == 0);
            for n in 0..person % 4 {
                let amount = if person == 7 {
                    MARKED_AMOUNT.to_owned()
                } else {
                    format!("{}.50", 3 + n + person % 30)
                };
                data.purchases +=
                    &format!("{email},2026-04-{:02},{amount},food\n", 1 + person % 28);
            }
        }
        data
    }
}

impl World {
    /// Folders, keys and a signed agreement; nothing runs yet.
    pub fn agreed() -> Self {
        Self::agreed_at(|listens| listens)
    }

    /// The same, with an agreement changed by `edit`.
    pub fn agreed_as(edit: impl FnOnce(String) -> String) -> Self {
        Self::made(|listens| listens, edit, &[])
    }

    /// The same, with more arguments of the shop's `init`.
    pub fn agreed_in(shop: &[&str]) -> Self {
        Self::made(|listens| listens, |text| text, shop)
    }

    /// The same, with `public` telling what address the agreement names for each service.
    pub fn agreed_at(public: impl FnMut(SocketAddr) -> SocketAddr) -> Self {
        Self::made(public, |text| text, &[])
    }

    /// The same, with the agreement changed as well.
    pub fn agreed_as_at(
        public: impl FnMut(SocketAddr) -> SocketAddr,
        edit: impl FnOnce(String) -> String,
    ) -> Self {
        Self::made(public, edit, &[])
    }

    fn made(
        mut public: impl FnMut(SocketAddr) -> SocketAddr,
        edit: impl FnOnce(String) -> String,
        shop: &[&str],
    ) -> Self {
        let mut role = |name| {
            let listens = free_address().unwrap();
            Role {
                name,
                listens,
                public: public(listens),
            }
        };
        let world = Self {
            shop: role("shop"),
            mailer: role("mailer"),
            room: role("room"),
            stage: Stage::new(PathBuf::from(PROGRAM)),
            folder: tempfile::tempdir().unwrap(),
        };
        world.init(&world.shop, shop);
        world.init(&world.mailer, &["--analyst", "ana"]);
        world.agree(AGREEMENT, edit);
        world.write_room(AGREEMENT);
        world
    }

    /// An agreement under which each party learns which of its own ids the other has.
    pub fn revealing(text: String) -> String {
        text.replacen("reveals = \"nothing\"", "reveals = \"own-matches\"", 1)
    }

    fn init(&self, role: &Role, more: &[&str]) {
        let folder = self.path(role.name);
        let (listens, url) = (role.listens.to_string(), format!("https://{}", role.public));
        let mut arguments = vec![
            "init",
            &folder,
            "--name",
            role.name,
            "--listen",
            &listens,
            "--url",
            &url,
            "--people",
            "240",
            "--insecure-accept-simulated",
        ];
        arguments.extend(more);
        self.done(&arguments);
    }

    /// Writes an agreement changed by `edit`, signed by both parties and given to everybody.
    pub fn agree(&self, name: &str, edit: impl FnOnce(String) -> String) {
        let (shop, mailer) = (self.path("shop"), self.path("mailer"));
        let file = self.path(&format!("shop/agreements/{name}.toml"));
        let url = format!("https://{}", self.room.public);
        self.done(&[
            "agreement",
            "new",
            "--for",
            "ad-measurement",
            "--with",
            &shop,
            "--with",
            &mailer,
            "--room-url",
            &url,
            "--insecure-simulated-tee",
            "--out",
            &file,
        ]);
        let text = std::fs::read_to_string(&file)
            .unwrap()
            .replacen(AGREEMENT, name, 1);
        std::fs::write(&file, edit(text)).unwrap();
        self.done(&["agreement", "sign", &file, "--party", &shop]);
        let copy = self.path(&format!("mailer/agreements/{name}.toml"));
        std::fs::copy(&file, &copy).unwrap();
        self.done(&["agreement", "sign", &copy, "--party", &mailer]);
        self.exchange(name);
    }

    fn exchange(&self, name: &str) {
        std::fs::create_dir_all(self.path("room")).unwrap();
        let shop = format!("shop/agreements/{name}.toml.shop.sig");
        let mailer = format!("mailer/agreements/{name}.toml.mailer.sig");
        for (from, to) in [
            (
                shop.as_str(),
                format!("mailer/agreements/{name}.toml.shop.sig"),
            ),
            (shop.as_str(), format!("room/{name}.toml.shop.sig")),
            (
                mailer.as_str(),
                format!("shop/agreements/{name}.toml.mailer.sig"),
            ),
            (mailer.as_str(), format!("room/{name}.toml.mailer.sig")),
            (
                &format!("shop/agreements/{name}.toml"),
                format!("room/{name}.toml"),
            ),
        ] {
            std::fs::copy(self.path(from), self.path(&to)).unwrap();
        }
    }

    /// Version 2 of the agreement, changed by `edit`, in the place of version 1, of the room too:
    /// its file is called `second`.
    pub fn second(&self, edit: impl FnOnce(String) -> String) {
        self.second_at_parties(edit);
        self.stage.stop("room");
        self.write_room("second");
        self.start_room();
    }

    /// The same, of which the room knows nothing.
    pub fn second_at_parties(&self, edit: impl FnOnce(String) -> String) {
        let first = self.path(&format!("mailer/agreements/{AGREEMENT}.toml"));
        let digest = self.done(&["agreement", "check", &first]).text("/digest");
        self.agree("second", |text| {
            let head = format!("version = 2\nid = \"{digest}\"\nfollows = \"{digest}\"");
            let text = text.replacen("\"second\"", &format!("\"{AGREEMENT}\""), 1);
            edit(text.replacen("version = 1", &head, 1))
        });
    }

    pub fn write_room(&self, agreement: &str) {
        let text = format!(
            "format = \"incamera-room/1\"\nlisten = \"{}\"\nagreement = \"{agreement}.toml\"\nstorage = \"storage\"\ninsecure_simulated_tee = true\n",
            self.room.listens
        );
        std::fs::write(self.path("room/room.toml"), text).unwrap();
    }

    /// Adds a line to the head of a service's configuration.
    pub fn configure(&self, file: &str, line: &str) {
        let text = std::fs::read_to_string(self.path(file)).unwrap();
        let at = text.find("\n[").map_or(text.len(), |at| at + 1);
        std::fs::write(
            self.path(file),
            format!("{}{line}\n{}", &text[..at], &text[at..]),
        )
        .unwrap();
    }

    /// Everything up to pushed data, all services running.
    pub fn ready() -> Self {
        let world = Self::agreed();
        world.prepare(&Data::small());
        world
    }

    pub fn prepare(&self, data: &Data) {
        self.write_data(data);
        self.start();
        self.match_people();
        self.seal();
        self.push();
    }

    pub fn write_data(&self, data: &Data) {
        std::fs::create_dir_all(self.path("data")).unwrap();
        for (name, text) in [
            ("customers", &data.customers),
            ("purchases", &data.purchases),
            ("mailing", &data.mailing),
        ] {
            std::fs::write(self.path(&format!("data/{name}.csv")), text).unwrap();
        }
    }

    pub fn start(&self) {
        self.start_party("shop", &[]);
        self.start_party("mailer", &[]);
        self.start_room();
    }

    pub fn start_party(&self, name: &str, environment: &[(&str, &str)]) {
        let role = if name == "shop" {
            &self.shop
        } else {
            &self.mailer
        };
        let folder = self.path(name);
        let log = self.root().join(format!("{name}.log"));
        let arguments = ["party", "serve", "--party", &folder];
        self.stage
            .start(name, &arguments, environment, &log, role.listens)
            .unwrap();
    }

    pub fn start_room(&self) {
        let config = self.path("room/room.toml");
        let arguments = ["room", "serve", "--config", &config];
        self.stage
            .start(
                "room",
                &arguments,
                &[],
                &self.root().join("room.log"),
                self.room.listens,
            )
            .unwrap();
    }

    pub fn match_people(&self) -> (Outcome, Outcome) {
        let (shop, mailer) = (self.path("shop"), self.path("mailer"));
        let (customers, mailing) = (
            self.path("data/customers.csv"),
            self.path("data/mailing.csv"),
        );
        std::thread::scope(|scope| {
            let theirs = scope
                .spawn(|| self.done(&["match", "run", "--party", &mailer, "--data", &mailing]));
            let ours = self.done(&["match", "run", "--party", &shop, "--data", &customers]);
            (ours, theirs.join().unwrap())
        })
    }

    pub fn seal(&self) {
        for (party, dataset) in [
            ("shop", "customers"),
            ("shop", "purchases"),
            ("mailer", "mailing"),
        ] {
            self.seal_one(party, dataset);
        }
    }

    pub fn seal_one(&self, party: &str, dataset: &str) -> Outcome {
        let data = self.path(&format!("data/{dataset}.csv"));
        self.done(&[
            "data",
            "seal",
            dataset,
            "--party",
            &self.path(party),
            "--data",
            &data,
        ])
    }

    pub fn push(&self) {
        for party in ["shop", "mailer"] {
            self.push_one(party);
        }
    }

    pub fn push_one(&self, party: &str) -> Outcome {
        self.done(&["data", "push", "--party", &self.path(party)])
    }

    /// Runs the lift query. The newest answer lies in `answer.release`, whatever lay there.
    pub fn query(&self, more: &[&str]) -> Outcome {
        self.query_under(AGREEMENT, more)
    }

    pub fn query_under(&self, agreement: &str, more: &[&str]) -> Outcome {
        let file = self.path(&format!("mailer/agreements/{agreement}.toml"));
        let key = self.path("mailer/analysts/ana");
        // An answer is never written over.
        let out = self.path("asked.release");
        let _ = std::fs::remove_file(&out);
        let mut arguments = run_lift(&file, &key, &out);
        if !more.iter().any(|argument| argument.starts_with("from=")) {
            arguments.extend(WINDOW);
        }
        arguments.extend(more);
        let outcome = self.stage.command(&arguments).unwrap();
        if outcome.code == 0 {
            std::fs::rename(out, self.path("answer.release")).unwrap();
        }
        outcome
    }

    /// What a party has spent, in units of rho.
    pub fn spent(&self, party: &str) -> u64 {
        self.done(&["status", "--party", &self.path(party)])
            .number("/spent/rho")
    }

    #[track_caller]
    pub fn done(&self, arguments: &[&str]) -> Outcome {
        match self.stage.done(arguments) {
            Ok(outcome) => outcome,
            Err(error) => panic!("{error}"),
        }
    }

    pub fn root(&self) -> &Path {
        self.folder.path()
    }

    /// A path in the world's folder, as text.
    pub fn path(&self, relative: &str) -> String {
        self.root().join(relative).display().to_string()
    }
}
