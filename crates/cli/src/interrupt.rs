//! Ctrl-C: what a command says before it ends.

use std::process::exit;
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::printer::Printer;

/// The exit code that shells give a command that Ctrl-C ended.
const INTERRUPTED: i32 = 130;
/// SIGINT in the mask of signals that a process ignores.
const MASK: u64 = 1 << 1;

/// From here on Ctrl-C says this before it ends the process. Nothing is tidied up: what a kill
/// leaves, it leaves.
pub fn say(printer: Printer, words: &'static str) {
    // Jobs that a shell started in the background outlive its Ctrl-C.
    if is_ignored() {
        return;
    }
    // Where signals cannot be heard, Ctrl-C ends the process without a word.
    let Ok(runtime) = Builder::new_current_thread().enable_all().build() else {
        return;
    };
    let heard = {
        let _inside = runtime.enter();
        signal(SignalKind::interrupt())
    };
    let Ok(mut heard) = heard else {
        return;
    };
    thread::spawn(move || {
        if runtime.block_on(heard.recv()).is_some() {
            printer.note(words);
            exit(INTERRUPTED);
        }
    });
}

/// Whether whoever started this process wants it to go on, where the system says so.
fn is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & MASK != 0)
}
