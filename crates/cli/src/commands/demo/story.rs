//! The six steps, told in a line or two each.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use incamera_dp::interval::thousands;
use incamera_testkit::stage::{Outcome, Stage, StageError, run_lift};
use serde_json::{Value, json};

use super::adversary;
use super::cast::Cast;
use super::tap::Taps;
use crate::args::Demo;
use crate::failure::{Context, Done, Failure};
use crate::printer::Printer;

/// The name of the agreement.
pub const AGREEMENT: &str = "spring-campaign";
/// The campaign's window.
pub const WINDOW: [&str; 2] = ["from=2026-03-01", "until=2026-05-31"];

/// The play: cast, stage and script.
pub struct Play {
    pub cast: Cast,
    pub stage: Arc<Stage>,
    pub taps: Taps,
    people: u32,
    seed: u64,
    stays: bool,
    printer: Printer,
    attempts: Mutex<Vec<Value>>,
}

impl Play {
    /// Sets the stage: chooses addresses and puts recording proxies in front of them.
    pub async fn new(
        root: PathBuf,
        arguments: &Demo,
        printer: Printer,
        stage: Arc<Stage>,
    ) -> Result<Self, Failure> {
        let cast = Cast::new(root)?;
        let taps = Taps::start(&cast).await?;
        Ok(Self {
            cast,
            stage,
            taps,
            people: arguments.people,
            seed: arguments.seed,
            stays: arguments.stay,
            printer,
            attempts: Mutex::default(),
        })
    }

    /// Tells the story from beginning to end.
    pub fn tell(&self) -> Done {
        let start = Instant::now();
        self.say("In Camera: two companies ask whether a mailing made people buy more.");
        self.say("SIMULATED TEE: no hardware protects this room; all else is real.\n");
        self.generate()?;
        self.agree()?;
        self.start_services()?;
        self.match_people()?;
        self.seal_and_push()?;
        let answer = self.ask()?;
        self.show(&answer)?;
        adversary::play(self, &answer)?;
        self.close(start, &answer);
        Ok(())
    }

    /// Runs a command that must succeed.
    fn done(&self, arguments: &[&str]) -> Result<Outcome, Failure> {
        must(self.stage.done(arguments))
    }

    /// Shows a line of the story.
    pub fn say(&self, text: &str) {
        if !self.printer.json() {
            self.printer.line(text);
        }
    }

    /// Tells of something that the adversary tried, and keeps it for the JSON document.
    pub fn attempt(&self, attempt: &str, outcome: &str) {
        self.say(&format!("  {attempt}: {outcome}"));
        let tried = json!({ "attempt": attempt.trim(), "outcome": outcome });
        let mut all = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(tried);
    }

    fn step(&self, name: &str, since: Instant, happened: &str, hidden: &str) {
        let seconds = since.elapsed().as_secs_f64();
        self.say(&format!("{name:<9} {happened} ({seconds:.1} s)"));
        if !hidden.is_empty() {
            self.say(&format!("          hidden: {hidden}"));
        }
    }

    fn generate(&self) -> Done {
        let start = Instant::now();
        let bar = self.printer.progress("generating data", None);
        let campaign = self.campaign();
        campaign
            .write(&self.cast.root.join("data"))
            .or_fail("the generated data were not written")?;
        bar.finish_and_clear();
        let text = format!(
            "{} people; the shop has customers.csv and purchases.csv, the mailer mailing.csv",
            thousands(u64::from(self.people))
        );
        self.step("data", start, &text, "");
        Ok(())
    }

    /// The generated campaign.
    pub fn campaign(&self) -> incamera_testkit::campaign::Campaign {
        incamera_testkit::campaign::Campaign::new(self.people, self.seed)
    }

    fn agree(&self) -> Done {
        let start = Instant::now();
        for role in self.cast.parties() {
            let folder = self.cast.path(role.name);
            let listens = role.listens.to_string();
            let people = self.people.to_string();
            let url = role.url();
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
                &people,
                "--insecure-accept-simulated",
            ];
            if role.name == "mailer" {
                arguments.extend(["--analyst", "ana"]);
            }
            self.done(&arguments)?;
            self.log_keys(role.name)?;
        }
        self.write_agreement(AGREEMENT)?;
        let text = "both parties signed one text file: who, what data, which purposes, which query, what budget";
        self.step("agree", start, text, "");
        self.say(&format!(
            "          read it: incamera agreement show {}",
            self.cast.agreement("shop")
        ));
        Ok(())
    }

    /// Lets a party's service write its TLS keys, so that the demo can read the traffic.
    fn log_keys(&self, party: &str) -> Done {
        let path = self.cast.root.join(party).join("party.toml");
        let what = "the party's configuration was not changed";
        let text = std::fs::read_to_string(&path).or_fail(what)?;
        let line = "insecure_tls_key_log = \"../traffic/keys.log\"  # for the demo's wiretap\n";
        let at = text.find("\n[").map_or(text.len(), |at| at + 1);
        let (head, tail) = text.split_at(at);
        std::fs::write(path, format!("{head}{line}{tail}")).or_fail(what)
    }

    /// Writes an agreement, has both parties sign it, and gives everybody everything.
    pub fn write_agreement(&self, name: &str) -> Done {
        let (shop, mailer) = (self.cast.path("shop"), self.cast.path("mailer"));
        let file = self.cast.path(&format!("shop/agreements/{name}.toml"));
        let room = self.cast.room.url();
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
            &room,
            "--insecure-simulated-tee",
            "--out",
            &file,
        ])?;
        if name != AGREEMENT {
            let text = std::fs::read_to_string(&file).or_fail("the agreement was not read")?;
            let text = text.replacen(AGREEMENT, name, 1);
            std::fs::write(&file, text).or_fail("the agreement was not written")?;
        }
        self.done(&["agreement", "check", &file])?;
        self.done(&["agreement", "sign", &file, "--party", &shop])?;
        let copy = self.cast.path(&format!("mailer/agreements/{name}.toml"));
        std::fs::copy(&file, &copy).or_fail("the agreement was not copied")?;
        self.done(&["agreement", "sign", &copy, "--party", &mailer])?;
        self.cast.exchange(name)
    }

    fn start_services(&self) -> Done {
        let start = Instant::now();
        for role in self.cast.parties() {
            let folder = self.cast.path(role.name);
            let log = self.cast.root.join(format!("{}.log", role.name));
            let arguments = ["party", "serve", "--party", &folder];
            self.stage
                .start(role.name, &arguments, &[], &log, role.listens)
                .or_fail(format!("the {} did not start", role.name))?;
        }
        self.cast.write_room(AGREEMENT)?;
        self.start_room()?;
        self.step(
            "start",
            start,
            "shop, mailer and room run as processes of their own",
            "",
        );
        Ok(())
    }

    /// Starts the room.
    pub fn start_room(&self) -> Done {
        let config = self.cast.path("room/room.toml");
        let log = self.cast.root.join("room.log");
        let arguments = ["room", "serve", "--config", &config];
        self.stage
            .start("room", &arguments, &[], &log, self.cast.room.listens)
            .or_fail("the room did not start")
    }

    fn match_people(&self) -> Done {
        let start = Instant::now();
        let bar = self.printer.progress("matching", None);
        let (shop, mailer) = (self.cast.path("shop"), self.cast.path("mailer"));
        let (customers, mailing) = (
            self.cast.path("data/customers.csv"),
            self.cast.path("data/mailing.csv"),
        );
        let stage = self.stage.clone();
        let other = std::thread::spawn(move || {
            must(stage.done(&["match", "run", "--party", &mailer, "--data", &mailing]))
        });
        let ours = self.done(&["match", "run", "--party", &shop, "--data", &customers]);
        let theirs = other
            .join()
            .unwrap_or_else(|_| Err(Failure::failed("the mailer's matching broke off")));
        let (ours, theirs) = (ours?, theirs?);
        bar.finish_and_clear();
        let text = format!(
            "{} and {} e-mails became pseudonyms, each side its own",
            thousands(ours.number("/distinct")),
            thousands(theirs.number("/distinct"))
        );
        self.step(
            "match",
            start,
            &text,
            "who else has the same person; the sets' sizes are known",
        );
        Ok(())
    }

    fn seal_and_push(&self) -> Done {
        let start = Instant::now();
        let bar = self.printer.progress("sealing", None);
        let (mut rows, mut kept) = (0, 0);
        for (party, dataset) in [
            ("shop", "customers"),
            ("shop", "purchases"),
            ("mailer", "mailing"),
        ] {
            let folder = self.cast.path(party);
            let data = self.cast.path(&format!("data/{dataset}.csv"));
            let sealed =
                self.done(&["data", "seal", dataset, "--party", &folder, "--data", &data])?;
            rows += sealed.number("/rows");
            kept += sealed.number("/sealed");
        }
        bar.finish_and_clear();
        let text = format!(
            "{} of {} rows encrypted, each column's key wrapped once for each purpose it may serve; the others, of people without consent to anything or without a pseudonym, stay home",
            thousands(kept),
            thousands(rows)
        );
        self.step(
            "seal",
            start,
            &text,
            "content; for people who refused `measurement` no key for it exists",
        );
        let start = Instant::now();
        for party in ["shop", "mailer"] {
            self.push(party)?;
        }
        let text = "each owner checked the room's evidence, then pushed ciphertext";
        self.step(
            "push",
            start,
            text,
            "everything: room, operator and disk see ciphertext",
        );
        // The adversary will put this copy, older than every question, back in place.
        self.cast.copy_room()
    }

    /// Pushes a party's sealed data.
    pub fn push(&self, party: &str) -> Result<Outcome, Failure> {
        self.done(&["data", "push", "--party", &self.cast.path(party)])
    }

    /// Runs the query; whether it succeeds is the caller's to judge.
    pub fn query(&self, agreement: &str, more: &[&str]) -> Result<Outcome, Failure> {
        let file = self
            .cast
            .path(&format!("mailer/agreements/{agreement}.toml"));
        let key = self.cast.path("mailer/analysts/ana");
        let out = self.cast.path("answer.release");
        let mut arguments = run_lift(&file, &key, &out);
        arguments.extend(WINDOW);
        arguments.extend(more);
        self.stage
            .command(&arguments)
            .or_fail("the query did not run")
    }

    /// What each owner has spent, as text to compare.
    pub fn spent(&self) -> Result<String, Failure> {
        let mut all = String::new();
        for role in self.cast.parties() {
            let status = self.done(&["status", "--party", &self.cast.path(role.name)])?;
            all.push_str(&format!("{} {} ", role.name, status.text("/spent/rho")));
        }
        Ok(all.trim_end().to_owned())
    }

    fn ask(&self) -> Result<Value, Failure> {
        let start = Instant::now();
        let bar = self.printer.progress("asking", None);
        let outcome = self.query(AGREEMENT, &["--reason", "did the spring mailing pay?"])?;
        bar.finish_and_clear();
        if outcome.code != 0 {
            return Err(Failure::failed("the query failed").why(outcome.failure()));
        }
        let text = "ana signed a request; the room proved its code to each owner; both charged, logged and released keys for just the needed columns";
        self.step("ask", start, text, "rows; the keys are forgotten again");
        Ok(outcome.document)
    }

    fn show(&self, answer: &Value) -> Done {
        self.say("");
        self.say(
            answer
                .pointer("/table")
                .and_then(Value::as_str)
                .unwrap_or_default(),
        );
        let truth = self
            .campaign()
            .truth(&self.cast.root.join("data"))
            .or_fail("the exact truth was not computed")?;
        self.say("\nexact, known to the demo alone, under the same clamps:");
        self.say(&truth.to_string());
        Ok(())
    }

    fn close(&self, start: Instant, answer: &Value) {
        let seconds = start.elapsed().as_secs_f64();
        if self.printer.json() {
            let document = json!({
                "folder": self.cast.root, "simulated": true, "seconds": seconds,
                "answer": answer.pointer("/answer"), "release": self.cast.path("answer.release"),
                "adversary": *self.attempts.lock().unwrap_or_else(PoisonError::into_inner),
            });
            self.printer.result("", "incamera-demo/1", &document);
        }
        self.say(&format!(
            "\nDone in {seconds:.0} s. SIMULATED TEE: see README, \"What it does not protect\"."
        ));
        self.say(&format!(
            "Everything lies in {}. Try next:",
            self.cast.root.display()
        ));
        for line in self.next_commands() {
            self.say(&format!("  incamera {line}"));
        }
    }

    fn next_commands(&self) -> Vec<String> {
        let agreement = self.cast.agreement("mailer");
        let lift = format!("lift --agreement {agreement} {} {}", WINDOW[0], WINDOW[1]);
        let mut all = vec![
            format!("agreement show {agreement}"),
            format!(
                "verify {} --agreement {agreement}",
                self.cast.path("answer.release")
            ),
            format!(
                "data inspect {}",
                self.cast.path("room/storage/purchases/manifest")
            ),
            format!("query explain {lift}"),
        ];
        if self.stays {
            all.push(format!(
                "query run {lift} --as mailer/ana --key {} --out {} --yes",
                self.cast.path("mailer/analysts/ana"),
                self.cast.path("again.release")
            ));
            all.push(format!("status --party {}", self.cast.path("shop")));
        }
        all
    }
}

fn must(outcome: Result<Outcome, StageError>) -> Result<Outcome, Failure> {
    outcome.or_fail("a step of the demo failed")
}
