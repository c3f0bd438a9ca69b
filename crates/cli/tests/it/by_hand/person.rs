//! Somebody at a shell.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use incamera_seal::Crosswalk;
use incamera_testkit::stage::{Outcome, Stage, free_address, run_lift};

use super::AGREEMENT;
use super::services::wait_while;
use crate::help::{stderr, stdout};
use crate::world::{PROGRAM, WINDOW};

/// A person at a shell in an empty folder. Services end when the person leaves.
pub struct Person {
    folder: tempfile::TempDir,
    /// What the README calls `PORT`, and the free one taken instead.
    ports: Vec<(&'static str, SocketAddr)>,
    pub services: Vec<Child>,
    /// What each command wrote to standard output.
    pub said: Vec<(String, String)>,
}

impl Person {
    pub fn new() -> Self {
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

    pub fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    pub fn text_path(&self, relative: &str) -> String {
        self.path(relative).display().to_string()
    }

    pub fn shell(&self, command: &str) -> Command {
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

    pub fn types(&mut self, command: &str) {
        let output = self.shell(command).output().unwrap();
        self.note(command, &output);
    }

    pub fn note(&mut self, command: &str, output: &Output) {
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
    pub fn types_at_once(&mut self, commands: &[String]) {
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
    pub fn starts(&mut self, command: &str) {
        let first = command.contains("shop") || command.contains("hospital");
        let listens = match (command.contains("party serve"), first) {
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
        let service = self.services.last_mut().unwrap();
        wait_while(listens, || {
            let log = || std::fs::read_to_string(&log).unwrap();
            assert!(
                service.try_wait().unwrap().is_none(),
                "`{command}` ended: {}",
                log()
            );
        });
    }

    /// What the command that starts so said.
    #[track_caller]
    pub fn heard(&self, start: &str) -> &str {
        let mut said = self.said.iter();
        let found = said.find(|(command, _)| command.starts_with(start));
        &found
            .unwrap_or_else(|| panic!("the README has no `{start}`"))
            .1
    }

    #[track_caller]
    pub fn json(&self, arguments: &[&str]) -> Outcome {
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

    pub fn spent(&self, party: &str) -> u64 {
        self.json(&["status", "--party", &format!("@/{party}")])
            .number("/spent/rho")
    }

    pub fn asks(&self) -> Outcome {
        // An answer is never written over.
        let _ = std::fs::remove_file(self.path("again.release"));
        let mut arguments = run_lift(AGREEMENT, "@/mailer/analysts/ana", "@/again.release");
        arguments.extend(WINDOW);
        self.json(&arguments)
    }

    /// Both sides match, with these files.
    pub fn matches(&self, customers: &str, mailing: &str) -> (Outcome, Outcome) {
        std::thread::scope(|scope| {
            let theirs = scope
                .spawn(|| self.json(&["match", "run", "--party", "@/mailer", "--data", mailing]));
            let ours = ["match", "run", "--party", "@/shop", "--data", customers];
            let ours = self.json(&[&ours[..], &["--everyone-consented"]].concat());
            (ours, theirs.join().unwrap())
        })
    }

    pub fn crosswalk(&self, party: &str) -> Crosswalk {
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
    pub fn sealed(&self, party: &str, dataset: &str) -> PathBuf {
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

pub fn has_ssh_keygen() -> bool {
    let tried = Command::new("ssh-keygen")
        .arg("-?")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok()
}
