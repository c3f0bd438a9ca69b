//! Processes of the built program: services that run, commands that end.
//!
//! Everything that a [`Stage`] started ends with it.

use std::fs::File;
use std::io::{self, Read};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ports for services: above those of the system's own, below those that it gives away.
const PORTS: Range<u16> = 10_000..32_000;

/// How long a service may take to come up.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What did not work on the stage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StageError {
    /// A process did not start.
    #[error("`{name}` did not start")]
    Start {
        /// Which.
        name: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A service ended, or did not listen in time.
    #[error("`{name}` does not listen: its log is {log}")]
    Silent {
        /// Which.
        name: String,
        /// Where its log is.
        log: PathBuf,
    },
    /// The stage is closing.
    #[error("nothing is started any more")]
    Closed,
    /// A command that must succeed did not.
    #[error("`{command}` ended with exit code {code}: {why}")]
    Failed {
        /// The command's arguments.
        command: String,
        /// Its exit code; -1 where a signal ended it.
        code: i32,
        /// What it said.
        why: String,
    },
}

/// What a command answered.
#[derive(Debug)]
pub struct Outcome {
    /// Its exit code; -1 where a signal ended it.
    pub code: i32,
    /// Its one JSON document.
    pub document: Value,
    /// What it wrote to standard error.
    pub errors: String,
}

impl Outcome {
    /// A text inside the document, by JSON pointer; empty if there is none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> String {
        match self.document.pointer(pointer) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Null) | None => String::new(),
            Some(other) => other.to_string(),
        }
    }

    /// A whole number inside the document, by JSON pointer; zero if there is none.
    #[must_use]
    pub fn number(&self, pointer: &str) -> u64 {
        let value = self.document.pointer(pointer);
        value.and_then(Value::as_u64).unwrap_or_default()
    }

    /// What the failure says: what, then why.
    #[must_use]
    pub fn failure(&self) -> String {
        let causes = self.document.pointer("/error/why");
        let causes = causes.and_then(Value::as_array).into_iter().flatten();
        let mut all = vec![self.text("/error/what")];
        all.extend(causes.filter_map(Value::as_str).map(str::to_owned));
        all.join(": ")
    }
}

/// `query run` of the lift as the mailer's analyst, with the answer in `out`; what follows are
/// parameters.
#[must_use]
pub fn run_lift<'a>(agreement: &'a str, key: &'a str, out: &'a str) -> Vec<&'a str> {
    vec![
        "query",
        "run",
        "lift",
        "--agreement",
        agreement,
        "--as",
        "mailer/ana",
        "--key",
        key,
        "--out",
        out,
        "--yes",
    ]
}

/// Running processes. All of them end when the stage goes.
#[derive(Debug)]
pub struct Stage {
    program: PathBuf,
    running: Mutex<Vec<(String, Child)>>,
    closed: AtomicBool,
}

impl Stage {
    /// A stage for processes of `program`.
    #[must_use]
    pub fn new(program: PathBuf) -> Self {
        Self {
            program,
            running: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    fn running(&self) -> MutexGuard<'_, Vec<(String, Child)>> {
        locked(&self.running)
    }

    fn spawn(&self, name: &str, command: &mut Command) -> Result<Child, StageError> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(StageError::Closed);
        }
        let started = command.stdin(Stdio::null()).spawn();
        started.map_err(|source| StageError::Start {
            name: name.to_owned(),
            source,
        })
    }

    /// Starts a service with more environment and waits until it listens; its log goes to
    /// `log`.
    ///
    /// # Errors
    /// [`StageError`] if it does not start or does not listen within a minute.
    pub fn start(
        &self,
        name: &str,
        arguments: &[&str],
        environment: &[(&str, &str)],
        log: &Path,
        listens: SocketAddr,
    ) -> Result<(), StageError> {
        let failed = |source| StageError::Start {
            name: name.to_owned(),
            source,
        };
        let errors = File::options().create(true).append(true).open(log);
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(errors.map_err(failed)?);
        let child = self.spawn(name, &mut command)?;
        self.running().push((name.to_owned(), child));
        self.wait_for(name, listens, log)
    }

    fn wait_for(&self, name: &str, listens: SocketAddr, log: &Path) -> Result<(), StageError> {
        let start = Instant::now();
        while TcpStream::connect_timeout(&listens, Duration::from_millis(200)).is_err() {
            if !self.runs(name) || start.elapsed() > START_LIMIT {
                return Err(StageError::Silent {
                    name: name.to_owned(),
                    log: log.to_owned(),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Whether a service of this name still runs.
    #[must_use]
    pub fn runs(&self, name: &str) -> bool {
        let mut running = self.running();
        let mut found = running.iter_mut().filter(|(known, _)| known == name);
        found.any(|(_, child)| matches!(child.try_wait(), Ok(None)))
    }

    /// The process of a running service.
    #[must_use]
    pub fn process(&self, name: &str) -> Option<u32> {
        let running = self.running();
        let found = running.iter().find(|(known, _)| known == name);
        found.map(|(_, child)| child.id())
    }

    /// Runs one command with `--json --quiet` to its end. It ends early when the stage does.
    ///
    /// # Errors
    /// [`StageError`] if it does not start. That it fails is no error here.
    pub fn command(&self, arguments: &[&str]) -> Result<Outcome, StageError> {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .args(["--json", "--quiet"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self.spawn(&arguments.join(" "), &mut command)?;
        let (mut out, mut err) = (child.stdout.take(), child.stderr.take());
        let name = format!("command {}", child.id());
        self.running().push((name.clone(), child));
        let errors = std::thread::spawn(move || read_all(err.as_mut()));
        let result = read_all(out.as_mut());
        let errors = errors.join().unwrap_or_default();
        let errors = String::from_utf8_lossy(&errors).trim().to_owned();
        let code = self.wait(&name).unwrap_or(-1);
        let document = serde_json::from_slice(&result)
            .unwrap_or_else(|_| serde_json::json!({ "error": { "what": errors } }));
        Ok(Outcome {
            code,
            document,
            errors,
        })
    }

    /// Runs one command that must succeed.
    ///
    /// # Errors
    /// [`StageError::Failed`] with what it said.
    pub fn done(&self, arguments: &[&str]) -> Result<Outcome, StageError> {
        let outcome = self.command(arguments)?;
        if outcome.code == 0 {
            return Ok(outcome);
        }
        Err(StageError::Failed {
            command: arguments.join(" "),
            code: outcome.code,
            why: outcome.failure(),
        })
    }

    fn wait(&self, name: &str) -> Option<i32> {
        let mut child = {
            let mut running = self.running();
            let at = running.iter().position(|(known, _)| known == name)?;
            running.swap_remove(at).1
        };
        child.wait().ok()?.code()
    }

    /// Kills one service, as a crash would, and waits for its end.
    pub fn stop(&self, name: &str) {
        let mut running = self.running();
        for (_, child) in running.iter_mut().filter(|(known, _)| known == name) {
            end(child);
        }
        running.retain(|(known, _)| known != name);
    }

    /// Starts nothing any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Ends everything.
    pub fn stop_all(&self) {
        for (_, mut child) in self.running().drain(..) {
            end(&mut child);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.stop_all();
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn read_all(stream: Option<&mut impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        let _ = stream.read_to_end(&mut bytes);
    }
    bytes
}

/// A loopback address that nobody listens on, and that no other caller is given while this
/// process runs.
///
/// A port that the system chooses may be chosen again, for a listener or for a connection,
/// before its service listens. These lie below the ports that systems choose, and the UDP
/// port of the same number is held as the mark that one is taken.
///
/// # Errors
/// The system's, if it has none.
pub fn free_address() -> io::Result<SocketAddr> {
    static TAKEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let chosen = UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port();
    let ports = PORTS.end - PORTS.start;
    let first = chosen % ports;
    for port in (0..ports).map(|step| PORTS.start + (first + step) % ports) {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if let (Ok(mark), Ok(_)) = (UdpSocket::bind(address), TcpListener::bind(address)) {
            locked(&TAKEN).push(mark);
            return Ok(address);
        }
    }
    Err(io::ErrorKind::AddrInUse.into())
}
