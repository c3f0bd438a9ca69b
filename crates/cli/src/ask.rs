//! Questions to a person at a terminal.

use std::io::{IsTerminal as _, Write as _};

use crate::failure::{Done, Failure};

/// Asks whether to go on; `undone` says how things are if not. Where nobody can be asked, the
/// failure is that of `nobody`.
pub fn agreed(question: &str, undone: &str, nobody: impl FnOnce() -> Failure) -> Done {
    if !std::io::stdin().is_terminal() {
        return Err(nobody());
    }
    let mut errors = std::io::stderr().lock();
    let _ = write!(errors, "{question} [y/N] ");
    let _ = errors.flush();
    let mut line = String::new();
    let _ = std::io::stdin().read_line(&mut line);
    match line.trim() {
        "y" | "yes" => Ok(()),
        // Asked and told no: neither wrong use nor a policy.
        _ => Err(Failure::failed(undone)
            .why("the question was not answered with yes")
            .hint("answer `y` if it is meant so")),
    }
}
