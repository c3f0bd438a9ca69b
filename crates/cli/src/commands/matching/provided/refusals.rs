//! Providers that refuse: one of them may do so falsely, as many as the threshold do not.

use incamera_matching::provided::ProvidedError;
use incamera_net::status::{Problem, ProblemKind};
use incamera_types::PartyName;

use super::super::super::room_client::problem_failure;
use super::evaluating::failed;
use crate::failure::{Done, Failure};

/// What a provider says that another would say too, if it is true.
pub struct Refusal {
    /// In one line.
    pub message: String,
    /// Whether a limit is met.
    of_limit: bool,
    /// Whether another key statement counts by now.
    of_statement: bool,
    failure: Failure,
}

impl Refusal {
    /// None where the provider does not serve now, and says nothing of the run.
    pub fn of(problem: &Problem) -> Option<Self> {
        const WHAT: &str = "the ids were not evaluated";
        let failure = match problem.kind() {
            ProblemKind::Refused | ProblemKind::Expired | ProblemKind::Invalid => {
                problem_failure(WHAT, problem)
            }
            ProblemKind::Conflict => problem_failure(WHAT, problem).hint(
                "run `match run` again: it goes on where it was, with the newest key statement",
            ),
            _ => return None,
        };
        Some(Self {
            message: problem.message().to_owned(),
            of_limit: problem.code().ends_with("-limit"),
            of_statement: problem.code() == "other-key-statement",
            failure,
        })
    }
}

/// Who refused so far.
pub struct Refusals {
    /// So many of them are believed: one at least is honest.
    enough: usize,
    names: Vec<String>,
    /// Those of them that said that a limit is met.
    of_limit: Vec<PartyName>,
    /// Those that said that another key statement counts.
    of_statement: Vec<PartyName>,
    last: Option<Failure>,
}

impl Refusals {
    pub fn new(enough: usize) -> Self {
        Self {
            enough,
            names: Vec::new(),
            of_limit: Vec::new(),
            of_statement: Vec::new(),
            last: None,
        }
    }

    /// One more; an end where enough refuse.
    pub fn add(&mut self, provider: &PartyName, refusal: Refusal) -> Done {
        self.names.push(format!("`{provider}`"));
        if refusal.of_limit {
            self.of_limit.push(provider.clone());
        }
        if refusal.of_statement {
            self.of_statement.push(provider.clone());
        }
        self.last = Some(refusal.failure);
        match self.names.len() < self.enough {
            true => Ok(()),
            false => Err(self.end()),
        }
    }

    /// Whether this one said that a limit is met.
    pub fn is_of_limit(&self, provider: &PartyName) -> bool {
        self.of_limit.contains(provider)
    }

    /// Whether this one said that another key statement counts; whether anybody did.
    pub fn is_of_statement(&self, provider: Option<&PartyName>) -> bool {
        match provider {
            Some(provider) => self.of_statement.contains(provider),
            None => !self.of_statement.is_empty(),
        }
    }

    /// The end of a run: where too few are left, what the last one refused is why.
    pub fn explain(&mut self, error: &ProvidedError) -> Failure {
        match error {
            ProvidedError::TooFew { .. } if self.last.is_some() => self.end().because(error),
            _ => failed(error),
        }
    }

    fn end(&mut self) -> Failure {
        self.names.sort();
        let names = self.names.join(" and ");
        let verb = match self.names.as_slice() {
            [_] => "says",
            _ => "say",
        };
        let failure = self.last.take();
        let failure = failure.unwrap_or_else(|| Failure::failed("the ids were not evaluated"));
        failure.why(format!("{names} {verb} so"))
    }
}
