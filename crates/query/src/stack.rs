//! A stack that the deepest SQL that is taken fits in.

use crate::refusal::{Refusal, RefusalKind};

/// The stack of a planner's thread: parser and planner recurse as deep as SQL nests.
const STACK_BYTES: usize = 64 << 20;

/// Runs a check on a thread with enough stack.
pub(crate) fn with_stack<T: Send>(
    check: impl FnOnce() -> Result<T, Refusal> + Send,
) -> Result<T, Refusal> {
    let refuse = || {
        Refusal::new(
            RefusalKind::Syntax,
            "the SQL",
            "it could not be planned on this machine",
            "try again, or write it differently",
        )
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, check);
        let joined = thread.map_err(|_| refuse())?.join();
        joined.unwrap_or_else(|_| Err(refuse()))
    })
}
