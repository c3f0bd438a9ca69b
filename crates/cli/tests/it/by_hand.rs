//! The README's walk-through, as a person would go through it: its shell commands are taken
//! out of the text and run, then what it says about them is checked.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, RecordBatch, StringArray};
use incamera_seal::Crosswalk;
use incamera_testkit::stage::{Outcome, Stage, free_address};
use incamera_types::{Date, Pseudonym};
use parquet::arrow::ArrowWriter;

use crate::help::{commands, help_of, stderr, stdout};
use crate::world::{Data, MARKED, PROGRAM, WINDOW, World};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

fn readme() -> String {
    std::fs::read_to_string(repository().join("README.md")).unwrap()
}

// ---------------------------------------------------------------------------------------------
// Texts name only commands that there are.

/// The shell commands in the `sh` blocks of a text: continued lines are joined, a here-document
/// belongs to its command.
fn shell_commands(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() != "```sh" {
            continue;
        }
        let block: Vec<&str> = lines
            .by_ref()
            .take_while(|line| line.trim() != "```")
            .collect();
        all.extend(commands_of(&block));
    }
    all
}

fn commands_of(block: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    let mut lines = block.iter();
    while let Some(line) = lines.next() {
        let mut command = (*line).to_owned();
        while command.ends_with('\\') {
            command.pop();
            command += lines.next().unwrap();
        }
        if command.contains("<<'END'") {
            for line in lines.by_ref() {
                command += &format!("\n{line}");
                if *line == "END" {
                    break;
                }
            }
        }
        if !command.trim().is_empty() {
            all.push(command);
        }
    }
    all
}

/// The words of a command up to its comment, quotes taken off.
fn words(command: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    for c in command.chars().chain([' ']) {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (Some(_), c) => word.push(c),
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') if word.is_empty() => break,
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    all.push(std::mem::take(&mut word));
                }
            }
            (None, c) => word.push(c),
        }
    }
    all
}

/// `incamera ...` in backticks: what prose, hints and error texts tell people to type.
fn mentions(text: &str) -> Vec<String> {
    let starts = text.match_indices("`incamera ").map(|(at, _)| at + 1);
    let ends = starts.filter_map(|at| {
        let rest = &text[at..];
        // Rust continues a string on the next line after a backslash.
        Some(rest[..rest.find('`')?].replace("\\\n", " "))
    });
    ends.collect()
}

/// Why a person who types this is told off, if so.
fn fault(command: &str, helps: &BTreeMap<String, String>) -> Option<String> {
    let words = words(command);
    let named: Vec<&str> = words.iter().skip(1).map(String::as_str).collect();
    let mut path = String::new();
    let mut rest = named.as_slice();
    while let Some((first, more)) = rest.split_first() {
        let longer = format!("{path} {first}").trim().to_owned();
        if !helps.contains_key(&longer) {
            break;
        }
        (path, rest) = (longer, more);
    }
    let help = &helps[&path];
    if path.is_empty() || (help.contains("\nCommands:\n") && !rest.is_empty()) {
        return Some(format!("`{command}`: no such command"));
    }
    let flags = rest
        .iter()
        .filter(|word| word.starts_with('-') && word.len() > 1);
    let flags = flags.map(|word| word.split(['=', '`']).next().unwrap_or_default());
    let known = |flag: &str| help.split([' ', ',', '\n']).any(|word| word == flag);
    let mut unknown = flags.filter(|flag| !known(flag));
    unknown
        .next()
        .map(|flag| format!("`{command}`: `{path}` has no `{flag}`"))
}

fn helps() -> BTreeMap<String, String> {
    commands()
        .into_iter()
        .map(|words| (words.join(" "), help_of(&words)))
        .collect()
}

#[test]
fn readme_names_only_commands_and_flags_that_exist() {
    let (readme, helps) = (readme(), helps());
    let all = shell_commands(&readme);
    let ours: Vec<&String> = all
        .iter()
        .filter(|line| line.starts_with("incamera "))
        .collect();
    assert!(
        ours.len() > 15,
        "only {} commands were found in the README",
        ours.len()
    );
    let faults: Vec<String> = ours
        .into_iter()
        .filter_map(|line| fault(line, &helps))
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // The check itself finds what is wrong.
    assert!(fault("incamera data seal customers --nonsense x", &helps).is_some());
    assert!(fault("incamera data nonsense", &helps).is_some());
    assert!(fault("incamera nonsense", &helps).is_some());
    assert_eq!(
        fault(
            "incamera data seal customers --data \"a b\"  # --nonsense",
            &helps
        ),
        None
    );
}

/// Hints and documents send people to commands; they must be there.
#[test]
fn hints_and_documents_name_only_commands_and_flags_that_exist() {
    let helps = helps();
    let mut files = Vec::new();
    for place in ["crates", "docs"] {
        files_below(&repository().join(place), &mut files);
    }
    files.extend(
        ["README.md", "ARCHITECTURE.md", "SECURITY.md"].map(|name| repository().join(name)),
    );
    let mut faults = String::new();
    let mut seen = 0;
    for file in files {
        let Ok(text) = std::fs::read_to_string(&file) else {
            continue;
        };
        for command in mentions(&text) {
            seen += 1;
            if let Some(fault) = fault(&command, &helps) {
                writeln!(faults, "{}: {fault}", file.display()).unwrap();
            }
        }
    }
    assert!(seen > 20, "only {seen} mentions were found");
    assert!(faults.is_empty(), "{faults}");
}

/// Sources and documents; not tests, which name commands that must not be there.
fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["tests", "target"].contains(&name) {
            files_below(&path, files);
        } else if name.ends_with(".rs") || name.ends_with(".md") {
            files.push(path);
        }
    }
}

// ---------------------------------------------------------------------------------------------
// The walk-through.

/// A person at a shell in an empty folder. Services end when the person leaves.
struct Person {
    folder: tempfile::TempDir,
    /// What the README calls `PORT`, and the free one taken instead.
    ports: Vec<(&'static str, SocketAddr)>,
    services: Vec<Child>,
    /// What each command wrote to standard output.
    said: Vec<(String, String)>,
}

impl Person {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bin")).unwrap();
        std::os::unix::fs::symlink(PROGRAM, folder.path().join("bin/incamera")).unwrap();
        let ports = ["7443", "7453", "7543"].map(|port| (port, free_address().unwrap()));
        Self {
            folder,
            ports: ports.to_vec(),
            services: Vec::new(),
            said: Vec::new(),
        }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    fn text_path(&self, relative: &str) -> String {
        self.path(relative).display().to_string()
    }

    fn shell(&self, command: &str) -> Command {
        let mut command = command.to_owned();
        for (port, free) in &self.ports {
            command = command.replace(port, &free.port().to_string());
        }
        let bin = self.path("bin").display().to_string();
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("sh");
        shell
            .args(["-e", "-c", &command])
            .current_dir(self.folder.path())
            .env("PATH", format!("{bin}:{path}"))
            .env_remove("INCAMERA_PARTY")
            .stdin(Stdio::null());
        shell
    }

    fn types(&mut self, command: &str) {
        let output = self.shell(command).output().unwrap();
        self.note(command, &output);
    }

    fn note(&mut self, command: &str, output: &Output) {
        assert!(
            output.status.success(),
            "{command}\n{}{}",
            stdout(output),
            stderr(output)
        );
        for text in [stdout(output), stderr(output)] {
            assert!(
                !text.contains('\u{1b}'),
                "colour without a terminal: {command}\n{text:?}"
            );
        }
        self.said.push((command.to_owned(), stdout(output)));
    }

    /// Commands that wait for each other, each in a terminal of its own.
    fn types_at_once(&mut self, commands: &[String]) {
        let started: Vec<Child> = commands
            .iter()
            .map(|command| {
                let mut shell = self.shell(command);
                shell
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .unwrap()
            })
            .collect();
        for (command, child) in commands.iter().zip(started) {
            let output = child.wait_with_output().unwrap();
            self.note(command, &output);
        }
    }

    /// A service in a terminal of its own; `exec` makes it the shell's process.
    fn starts(&mut self, command: &str) {
        let listens = match (command.contains("party serve"), command.contains("shop")) {
            (true, true) => self.ports[0].1,
            (true, false) => self.ports[1].1,
            (false, _) => self.ports[2].1,
        };
        let log = self.path(&format!("{}.log", listens.port()));
        let mut shell = self.shell(&format!("exec {command}"));
        shell
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap());
        self.services.push(shell.spawn().unwrap());
        let start = Instant::now();
        while TcpStream::connect_timeout(&listens, Duration::from_millis(200)).is_err() {
            let ended = self.services.last_mut().unwrap().try_wait().unwrap();
            let log = || std::fs::read_to_string(&log).unwrap();
            assert!(ended.is_none(), "`{command}` ended: {}", log());
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "`{command}`: {}",
                log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the command that starts so said.
    #[track_caller]
    fn heard(&self, start: &str) -> &str {
        let mut said = self.said.iter();
        let found = said.find(|(command, _)| command.starts_with(start));
        &found
            .unwrap_or_else(|| panic!("the README has no `{start}`"))
            .1
    }

    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Outcome {
        let stage = Stage::new(PROGRAM.into());
        let placed: Vec<String> = arguments
            .iter()
            .map(|word| word.replace("@/", &self.text_path("")))
            .collect();
        let placed: Vec<&str> = placed.iter().map(String::as_str).collect();
        match stage.done(&placed) {
            Ok(outcome) => outcome,
            Err(error) => panic!("{error}"),
        }
    }

    fn spent(&self, party: &str) -> u64 {
        self.json(&["status", "--party", &format!("@/{party}")])
            .number("/spent/rho")
    }

    fn asks(&self) -> Outcome {
        self.json(&[
            "query",
            "run",
            "lift",
            "--agreement",
            AGREEMENT,
            WINDOW[0],
            WINDOW[1],
            "--as",
            "mailer/ana",
            "--key",
            "@/mailer/analysts/ana",
            "--out",
            "@/again.release",
            "--yes",
        ])
    }

    /// Both sides match, with these files.
    fn matches(&self, customers: &str, mailing: &str) -> (Outcome, Outcome) {
        std::thread::scope(|scope| {
            let theirs = scope
                .spawn(|| self.json(&["match", "run", "--party", "@/mailer", "--data", mailing]));
            let ours = self.json(&["match", "run", "--party", "@/shop", "--data", customers]);
            (ours, theirs.join().unwrap())
        })
    }

    fn crosswalk(&self, party: &str) -> Crosswalk {
        let folder = self.path(&format!("{party}/crosswalks"));
        let entries = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let files: Vec<PathBuf> = entries
            .filter(|path| path.extension().is_some_and(|end| end == "parquet"))
            .collect();
        assert_eq!(files.len(), 1, "{files:?}");
        Crosswalk::read(&files[0]).unwrap()
    }

    /// The folder of a sealed data set.
    fn sealed(&self, party: &str, dataset: &str) -> PathBuf {
        let mut agreements = std::fs::read_dir(self.path(&format!("{party}/sealed"))).unwrap();
        agreements.next().unwrap().unwrap().path().join(dataset)
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        for service in &mut self.services {
            let _ = service.kill();
            let _ = service.wait();
        }
    }
}

const AGREEMENT: &str = "@/mailer/agreements/spring-campaign.toml";

fn has_ssh_keygen() -> bool {
    let tried = Command::new("ssh-keygen")
        .arg("-?")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok()
}

/// Goes through the README from its first folder to its last command.
fn walk(person: &mut Person) {
    let readme = readme();
    let part = readme
        .split("\n## ")
        .find(|part| part.starts_with("The same by hand"))
        .unwrap();
    let mut matching = Vec::new();
    for command in shell_commands(part) {
        if command.starts_with("incamera match run") {
            matching.push(command);
            continue;
        }
        person.types_at_once(&std::mem::take(&mut matching));
        if command.starts_with("incamera party serve") || command.starts_with("incamera room serve")
        {
            person.starts(&command);
        } else if command.starts_with("incamera query run") {
            // Nobody is there to say yes.
            person.types(&format!("{command} --yes"));
        } else if command.contains("ssh-keygen") && !has_ssh_keygen() {
            eprintln!("SKIPPED: no ssh-keygen here; not run: {command}");
        } else {
            person.types(&command);
        }
    }
}

fn write_data(person: &Person, data: &Data) {
    for (name, text) in [
        ("customers", &data.customers),
        ("purchases", &data.purchases),
        ("mailing", &data.mailing),
    ] {
        std::fs::write(person.path(&format!("{name}.csv")), text).unwrap();
    }
}

#[test]
fn the_readme_works_as_written() {
    let mut data = Data::small();
    // A stranger to the register, and an amount above the agreement's 500.
    data.purchases += "stranger@mail.example,2026-04-02,5.00,food\n";
    data.purchases += "p1@mail.example,2026-04-02,900.00,toys\n";
    let mut person = Person::new();
    write_data(&person, &data);
    walk(&mut person);
    check_what_was_said(&person);
    same_again_is_free(&person);
    verified_offline(&person);
    second_match_keeps_pseudonyms(&person, &data);
    parquet_is_as_good(&person, &data);
}

fn check_what_was_said(person: &Person) {
    let services = person.services.len();
    assert_eq!(services, 3, "the README starts {services} services");
    let shown = person.heard("incamera agreement show");
    for word in ["shop", "mailer", "lift", "simulated", "SIGNATURES"] {
        assert!(
            shown.contains(word),
            "`agreement show` does not say `{word}`: {shown}"
        );
    }
    assert!(person.heard("incamera agreement check").contains("lift"));
    if has_ssh_keygen() {
        let said = person.heard("ssh-keygen -Y verify");
        assert!(
            said.starts_with("Good \"incamera-agreement\" signature for shop"),
            "{said}"
        );
    }
    for (party, ids) in [("shop", 240), ("mailer", 240)] {
        let said = person.heard(&format!("incamera match run --party {party}"));
        assert!(
            said.contains(&format!("each of your {ids} distinct ids")),
            "{said}"
        );
    }
    let explained = person.heard("incamera query explain");
    for word in ["people", "buyers", "spend"] {
        assert!(
            explained.contains(word),
            "`query explain` does not say `{word}`: {explained}"
        );
    }
    let answer = person.heard("incamera query run");
    for word in ["mailed", "not mailed", "people", "buyers", "answer.release"] {
        assert!(
            answer.contains(word),
            "the answer does not say `{word}`: {answer}"
        );
    }
    for (command, said) in &person.said {
        assert!(!said.contains(MARKED), "`{command}` shows an id: {said}");
    }
    let verified = person.heard("incamera verify answer.release");
    assert!(verified.to_lowercase().contains("simulated"), "{verified}");
    let status = person.heard("incamera status");
    assert!(status.contains("spring-campaign: in force"), "{status}");
    for dataset in ["customers", "purchases"] {
        assert!(
            status.contains(&format!("data set {dataset}: version 1")),
            "{status}"
        );
    }
}

fn same_again_is_free(person: &Person) {
    let before = (person.spent("shop"), person.spent("mailer"));
    assert!(
        before.0 > 0 && before.1 > 0,
        "the README's query cost {before:?}"
    );
    let (one, two) = (person.asks(), person.asks());
    let table = |outcome: &Outcome| outcome.document.pointer("/answer").cloned().unwrap();
    assert_eq!(table(&one), table(&two));
    assert_eq!(
        (person.spent("shop"), person.spent("mailer")),
        before,
        "a repeat was charged"
    );
    // The answer of the walk-through was the same one: its table is in what it said.
    let text = one.text("/table");
    let rows = text.lines().take_while(|line| !line.contains("cost"));
    for row in rows.filter(|row| row.contains("mailed")) {
        assert!(
            person.heard("incamera query run").contains(row),
            "another answer: {row}"
        );
    }
}

fn verified_offline(person: &Person) {
    let agreement = person.json(&["verify", AGREEMENT]);
    assert_eq!(agreement.text("/kind"), "agreement");
    let release = person.json(&["verify", "@/answer.release", "--agreement", AGREEMENT]);
    assert_eq!(release.text("/simulated"), "true", "{}", release.document);
    let purchases = person.sealed("shop", "purchases").display().to_string();
    let manifest = format!("{purchases}/manifest");
    let verified = person.json(&["verify", &manifest, "--agreement", AGREEMENT]);
    assert_eq!(verified.text("/owner"), "shop");
    assert_eq!(verified.number("/version"), 1);
    // What the room holds is what the owner sealed.
    let in_room = person.json(&[
        "verify",
        "@/room/storage/purchases/manifest",
        "--agreement",
        AGREEMENT,
    ]);
    assert_eq!(in_room.text("/digest"), verified.text("/digest"));
    for place in [
        purchases.as_str(),
        manifest.as_str(),
        "@/room/storage/purchases",
    ] {
        let inspected = person.json(&["data", "inspect", place]);
        assert_eq!(
            inspected.text("/dataset"),
            "purchases",
            "{}",
            inspected.document
        );
        assert!(!inspected.document.to_string().contains(MARKED));
    }
}

/// A second run, with Parquet files and one more person on either side: what was known keeps
/// its pseudonym, and both sides give the new person the same one.
fn second_match_keeps_pseudonyms(person: &Person, data: &Data) {
    let before = (person.crosswalk("shop"), person.crosswalk("mailer"));
    assert_eq!(before.0.len(), 240);
    let known = |crosswalk: &Crosswalk| -> BTreeMap<String, Pseudonym> {
        crosswalk
            .iter()
            .map(|(id, pseudonym)| (id.to_owned(), pseudonym))
            .collect()
    };
    assert_eq!(
        known(&before.0),
        known(&before.1),
        "the same people, the same pseudonyms"
    );
    let new = "new.person@mail.example";
    // The same person in other letters, no id, and something that is none.
    let odd = [new, " P0@MAIL.Example ", "", "no address"].map(str::to_owned);
    let customers = column(&data.customers, 0).chain(odd);
    write_parquet(
        &person.path("more.parquet"),
        vec![("email", texts(customers))],
    );
    std::fs::write(
        person.path("more.csv"),
        format!("{}{new},true\n", data.mailing),
    )
    .unwrap();
    let (ours, theirs) = person.matches("@/more.parquet", "@/more.csv");
    assert_eq!(
        (ours.number("/distinct"), theirs.number("/distinct")),
        (241, 241)
    );
    assert_eq!(
        (ours.number("/peer_ids"), theirs.number("/peer_ids")),
        (241, 241)
    );
    for (count, expected) in [
        ("rows", 244),
        ("duplicates", 1),
        ("empty", 1),
        ("invalid", 1),
    ] {
        assert_eq!(ours.number(&format!("/{count}")), expected, "{count}");
    }
    let after = (person.crosswalk("shop"), person.crosswalk("mailer"));
    assert_eq!(after.0.len(), 241);
    for (id, pseudonym) in before.0.iter() {
        assert_eq!(
            after.0.lookup(id),
            Some(pseudonym),
            "a known id has another pseudonym"
        );
    }
    assert!(after.0.lookup(new).is_some());
    assert_eq!(known(&after.0), known(&after.1));
}

/// The same purchases from Parquet instead of CSV: sealed alike, and good for an answer.
fn parquet_is_as_good(person: &Person, data: &Data) {
    let seal = |file: &str| {
        person.json(&[
            "data",
            "seal",
            "purchases",
            "--party",
            "@/shop",
            "--data",
            file,
        ])
    };
    let csv = seal("@/purchases.csv");
    write_purchases(&person.path("purchases.parquet"), data);
    let parquet = seal("@/purchases.parquet");
    for field in [
        "/rows",
        "/sealed",
        "/parts",
        "/without_pseudonym",
        "/without_consent",
        "/clamped",
        "/ignored",
    ] {
        assert_eq!(csv.text(field), parquet.text(field), "{field}");
    }
    assert_eq!(csv.number("/without_pseudonym"), 1, "the stranger");
    assert_eq!(csv.number("/clamped/amount"), 1, "the amount above 500");
    assert_eq!(csv.text("/ignored"), "[\"category\"]");
    let left_out = csv.number("/without_pseudonym") + csv.number("/without_consent");
    assert_eq!(
        csv.number("/sealed") + left_out,
        csv.number("/rows"),
        "{}",
        csv.document
    );
    assert!(
        csv.number("/without_consent") > 0,
        "who refuses `measurement` is left out"
    );
    assert_ne!(csv.text("/manifest"), parquet.text("/manifest"));
    person.json(&["data", "push", "--party", "@/shop"]);
    let before = person.spent("shop");
    let answer = person.asks();
    assert_eq!(answer.text("/format"), "incamera-answer/1");
    assert!(
        person.spent("shop") > before,
        "other data are another question, and cost"
    );
    person.json(&["verify", "@/again.release", "--agreement", AGREEMENT]);
    let inspected = person.json(&["data", "inspect", "@/room/storage/purchases"]);
    assert_eq!(inspected.number("/version"), 3, "{}", inspected.document);
}

/// Asks for a page as a browser would, and gives the whole response.
fn http_get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

/// Each service says that it is well, and ends in good order when it is told to.
#[test]
fn services_say_that_they_are_well_and_stop_when_told() {
    let world = World::agreed();
    let mut running = Vec::new();
    for (name, file, listens, arguments) in [
        (
            "shop",
            "shop/party.toml",
            world.shop.listens,
            ["party", "serve", "--party", "shop"],
        ),
        (
            "room",
            "room/room.toml",
            world.room.listens,
            ["room", "serve", "--config", "room/room.toml"],
        ),
    ] {
        let health = free_address().unwrap();
        world.configure(file, &format!("health = \"{health}\""));
        let log = std::fs::File::create(world.root().join("log")).unwrap();
        let mut command = Command::new(PROGRAM);
        command
            .args(arguments)
            .current_dir(world.root())
            .stdin(Stdio::null())
            .stderr(log);
        running.push((name, listens, health, Service(command.spawn().unwrap())));
    }
    for ((name, listens, health, mut service), signal) in running.into_iter().zip(["-TERM", "-INT"])
    {
        wait_for(listens);
        wait_for(health);
        let response = http_get(health, "/healthz");
        assert!(response.starts_with("HTTP/1.1 200"), "{response}");
        assert!(
            response.contains("\"status\":\"ok\"") && response.contains(name),
            "{response}"
        );
        assert!(http_get(health, "/other").starts_with("HTTP/1.1 404"));
        let pid = service.0.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &pid])
                .status()
                .unwrap()
                .success()
        );
        let start = Instant::now();
        let status = loop {
            if let Some(status) = service.0.try_wait().unwrap() {
                break status;
            }
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{name} does not end"
            );
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(status.code(), Some(0), "{name} after {signal}");
    }
}

/// Ended for good if a test fails.
struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn wait_for(address: SocketAddr) {
    let start = Instant::now();
    while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_err() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "nothing listens on {address}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// What the room measures of itself is what the agreement accepts.
#[test]
fn the_measurement_is_the_one_in_the_agreement() {
    let stage = Stage::new(PROGRAM.into());
    let measured = stage.done(&["room", "measure"]).unwrap();
    let (tee, measurement) = (measured.text("/tee"), measured.text("/measurement"));
    assert_eq!((tee.as_str(), measurement.len()), ("simulated", 64));
    let draft = stage.done(&[
        "agreement",
        "new",
        "--for",
        "ad-measurement",
        "--insecure-simulated-tee",
    ]);
    let text = draft.unwrap().text("/text");
    assert!(
        text.contains(&format!(
            "tee = \"simulated\"\nmeasurements = [\"{measurement}\"]"
        )),
        "{text}"
    );
    // Nobody gets a simulated TEE without asking for one.
    let draft = stage
        .done(&["agreement", "new", "--for", "ad-measurement"])
        .unwrap()
        .text("/text");
    assert!(!draft.contains("tee = \"simulated\""), "{draft}");
}

/// A column of a CSV text without quotes, header left out.
fn column(csv: &str, at: usize) -> impl Iterator<Item = String> {
    let rows = csv
        .lines()
        .skip(1)
        .map(move |line| line.split(',').nth(at).unwrap().to_owned());
    rows.collect::<Vec<_>>().into_iter()
}

pub fn texts(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values))
}

fn write_purchases(path: &Path, data: &Data) {
    let csv = &data.purchases;
    let days = column(csv, 1).map(|day| day.parse::<Date>().unwrap().days());
    let cents = column(csv, 2).map(|amount| amount.replace('.', "").parse::<i128>().unwrap());
    let amounts = Decimal128Array::from_iter_values(cents)
        .with_precision_and_scale(10, 2)
        .unwrap();
    write_parquet(
        path,
        vec![
            ("email", texts(column(csv, 0))),
            ("day", Arc::new(Date32Array::from_iter_values(days))),
            ("amount", Arc::new(amounts)),
            ("category", texts(column(csv, 3))),
        ],
    );
}

pub fn write_parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn commands_are_read_as_a_shell_reads_them() {
    let text = "a\n```sh\nincamera a \\\n  b  # c\n\ncat > x <<'END'\nk = 1\nEND\nlast\n```\n```toml\nno\n```\n";
    let commands = shell_commands(text);
    assert_eq!(
        commands,
        ["incamera a   b  # c", "cat > x <<'END'\nk = 1\nEND", "last"]
    );
    assert_eq!(
        words("incamera a 'b c' --d=\"e\" # f"),
        ["incamera", "a", "b c", "--d=e"]
    );
    assert_eq!(
        mentions("see `incamera a b` and `incamera c`"),
        ["incamera a b", "incamera c"]
    );
}
