//! What every process that sees keys or rows does first.
//!
//! # Claim
//! After [`harden`], a crash writes no memory to disk, no other process of the same user reads
//! it, and a panic prints where it happened and nothing of what was at hand. Not defended:
//! swap, which a process cannot forbid for memory that it does not own by itself, and the
//! operator of the machine.

use std::panic::{self, PanicHookInfo};

/// Forbids core dumps and inspection by others, and makes panics say no more than their place.
///
/// Called again it does the same again. A system that refuses one of the limits is reported
/// in the log and changes nothing else.
pub fn harden() {
    panic::set_hook(Box::new(|info| report(&place(info))));
    for (what, forbidden) in [("core dumps", no_core()), ("inspection", no_inspection())] {
        if !forbidden {
            tracing::warn!("{what} of this process cannot be forbidden on this system");
        }
    }
}

/// Where a panic happened. Its message is left out: it may be made of a row or a key.
fn place(info: &PanicHookInfo<'_>) -> String {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed").to_owned();
    match info.location() {
        Some(at) => format!("thread `{thread}` panicked at {}:{}", at.file(), at.line()),
        None => format!("thread `{thread}` panicked"),
    }
}

/// Says it in the log; on standard error where none was started, so that it is never silent.
fn report(place: &str) {
    if tracing::enabled!(tracing::Level::ERROR) {
        tracing::error!("{place}: this is a bug; its message is not shown, as it may hold data");
    } else {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr().lock(), "error: {place}: this is a bug");
    }
}

#[cfg(unix)]
fn no_core() -> bool {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).is_ok()
}

/// A core that is piped to a program heeds no limit; this forbids it too, and tracing.
#[cfg(target_os = "linux")]
fn no_inspection() -> bool {
    use rustix::process::{DumpableBehavior, set_dumpable_behavior};
    set_dumpable_behavior(DumpableBehavior::NotDumpable).is_ok()
}

#[cfg(not(unix))]
fn no_core() -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn no_inspection() -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

    #[test]
    fn i1_memory_is_for_nobody_else() {
        assert!(no_core() && no_inspection());
        let core = getrlimit(Resource::Core);
        assert_eq!((core.current, core.maximum), (Some(0), Some(0)));
        let dumpable = dumpable_behavior().unwrap();
        assert_eq!(dumpable, DumpableBehavior::NotDumpable);
    }

    /// Run by the test below, in a process of its own.
    #[test]
    #[ignore = "panics"]
    fn panics_with_a_row() {
        if std::env::var_os("INCAMERA_TEST_HARDENED").is_some() {
            harden();
        }
        let row = "somebody@marked.example";
        assert_eq!(row, "nobody", "a message with what was at hand");
    }

    #[test]
    fn i1_a_panic_shows_its_place_and_no_row() {
        let said = |hardened: bool| {
            let mut child = std::process::Command::new(std::env::current_exe().unwrap());
            child.args(["--exact", "--ignored", "--nocapture"]);
            child.arg("harden::tests::panics_with_a_row");
            if hardened {
                child.env("INCAMERA_TEST_HARDENED", "1");
            }
            let output = child.output().unwrap();
            assert!(!output.status.success());
            String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
        };
        assert!(said(false).contains("marked.example"), "a panic shows it");
        let hardened = said(true);
        assert!(!hardened.contains("marked.example"), "{hardened}");
        assert!(hardened.contains("harden.rs:"), "{hardened}");
    }
}
