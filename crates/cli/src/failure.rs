//! What goes wrong, told in three parts: what, why, what to do.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;
use incamera_net::disk_full;
use incamera_types::visible;

use crate::printer::Printer;

/// The exit codes, as documented in the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Something failed.
    Failed = 1,
    /// The command was used wrongly.
    Usage = 2,
    /// A policy refused it.
    Refused = 3,
    /// The room's evidence did not hold.
    Attestation = 4,
    /// Nothing is left of a budget.
    Budget = 5,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// The end of a command that did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What failed, in one line.
    pub what: String,
    /// Why: the chain of causes.
    pub causes: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// A text with a place in it, already drawn.
    pub picture: Option<String>,
}

/// What commands return.
pub type Done = Result<(), Failure>;

impl Failure {
    /// A failure with its kind and what failed.
    pub fn new(exit: Exit, what: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            causes: Vec::new(),
            hint: None,
            picture: None,
        }
    }

    /// A plain failure.
    pub fn failed(what: impl Into<String>) -> Self {
        Self::new(Exit::Failed, what)
    }

    /// Wrong use of the command.
    pub fn usage(what: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what)
    }

    /// Wrong use that the parser of arguments found.
    pub fn misused(error: &clap::Error) -> Self {
        let text = error.to_string();
        let first: Vec<&str> = text
            .split("\n\n")
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .collect();
        let what = match error.kind() {
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                "a command is missing".to_owned()
            }
            _ => first.join(" ").trim_start_matches("error: ").to_owned(),
        };
        let usage = text.lines().find(|line| line.starts_with("Usage: "));
        let usage = usage.map_or_else(String::new, |usage| format!("{usage}; "));
        Self::usage(what).hint(format!("{usage}`--help` says more"))
    }

    /// Adds why: an error and all its sources. Of a full disk it is known what to do.
    #[must_use]
    pub fn because(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        if disk_full(error) {
            self = self.or_hint("make room on the disk and run the command again");
        }
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            if self.causes.last() != Some(&text) {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Adds why, in words.
    #[must_use]
    pub fn why(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what to do, unless something better is known already.
    #[must_use]
    pub fn or_hint(self, hint: impl Into<String>) -> Self {
        match self.hint {
            Some(_) => self,
            None => self.hint(hint),
        }
    }

    /// Changes the exit code.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Shows the failure and gives its exit code. With `--json` it is one document on
    /// standard output, as a success would be.
    pub fn report(self, printer: &Printer) -> ExitCode {
        // Where standard output is what failed, standard error is left.
        if printer.json() && printer.all_written().is_ok() {
            let document = serde_json::json!({
                "error": { "what": self.what, "why": self.causes, "hint": self.hint,
                           "exit": self.exit as u8 }
            });
            printer.result("", "incamera-failure/1", &document);
        } else {
            let _ = write!(std::io::stderr().lock(), "{}", visible(&self.to_string()));
        }
        self.exit.into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "error: {}", self.what)?;
        for cause in &self.causes {
            writeln!(f, "  cause: {cause}")?;
        }
        if let Some(picture) = &self.picture {
            writeln!(f, "{picture}")?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Says what failed where an error comes up.
pub trait Context<T> {
    /// Turns the error into a plain failure of `what`, with the error as its cause.
    fn or_fail(self, what: impl Into<String>) -> Result<T, Failure>;
}

impl<T, E: std::error::Error + 'static> Context<T> for Result<T, E> {
    fn or_fail(self, what: impl Into<String>) -> Result<T, Failure> {
        self.map_err(|error| Failure::failed(what).because(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_parts() {
        let error = std::io::Error::other("the disk is full");
        let failure = Failure::failed("`a.csv` was not sealed")
            .because(&error)
            .hint("make room and run the command again");
        assert_eq!(
            failure.to_string(),
            "error: `a.csv` was not sealed\n  cause: the disk is full\n  hint: make room and run the command again\n"
        );
    }
}
