//! The one place that decides what a person or a program gets to see.
//!
//! Standard output is the result, standard error everything else.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use incamera_types::visible;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::failure::{Done, Failure};

/// Whether part of a result could not be written.
static LOST: AtomicBool = AtomicBool::new(false);

/// How results are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// For people.
    Text,
    /// One versioned JSON document.
    Json,
}

/// Shows results, notes and progress.
#[derive(Clone, Copy, Debug)]
pub struct Printer {
    style: Style,
    quiet: bool,
}

impl Printer {
    /// A printer; `quiet` drops notes and progress.
    pub fn new(style: Style, quiet: bool) -> Self {
        Self { style, quiet }
    }

    /// Whether results are JSON.
    pub fn json(&self) -> bool {
        self.style == Style::Json
    }

    /// Shows the result: `text` for people, `document` (with its format) for programs.
    pub fn result<T: Serialize>(&self, text: impl AsRef<str>, format: &str, document: &T) {
        match self.style {
            Style::Text => self.line(&visible(text.as_ref())),
            Style::Json => self.document(format, document),
        }
    }

    fn document<T: Serialize>(&self, format: &str, document: &T) {
        let mut whole = serde_json::json!({ "format": format });
        let fields = serde_json::to_value(document).unwrap_or_default();
        match (whole.as_object_mut(), fields) {
            (Some(whole), serde_json::Value::Object(fields)) => whole.extend(fields),
            (Some(whole), other) => drop(whole.insert("value".into(), other)),
            (None, _) => {}
        }
        self.line(&serde_json::to_string_pretty(&whole).unwrap_or_default());
    }

    /// One line of the result; [`Self::all_written`] tells whether it could be written.
    pub fn line(&self, text: &str) {
        let mut out = std::io::stdout().lock();
        let written = writeln!(out, "{}", text.trim_end_matches('\n')).and_then(|()| out.flush());
        if written.is_err_and(|error| error.kind() != ErrorKind::BrokenPipe) {
            LOST.store(true, Ordering::Relaxed);
        }
    }

    /// An error if part of the result could not be written: a full disk, say. A reader that
    /// went away is no error.
    pub fn all_written(&self) -> Done {
        match LOST.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(Failure::failed("the result was not written")
                .why("standard output could not be written: is the disk full?")
                .hint(
                    "what the command did is done; to see the result, make room and run it again",
                )),
        }
    }

    /// What a person may do next, for the end of a result; `--quiet` drops it.
    pub fn guide(&self, lines: String) -> String {
        match self.quiet {
            true => String::new(),
            false => lines,
        }
    }

    /// A note beside the result.
    pub fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            let _ = writeln!(std::io::stderr().lock(), "{}", visible(text.as_ref()));
        }
    }

    /// Something that people must not overlook, `--quiet` or not.
    pub fn warn(&self, text: impl AsRef<str>) {
        let text = visible(text.as_ref());
        let _ = writeln!(std::io::stderr().lock(), "warning: {text}");
    }

    /// Progress on long work: a bar on a terminal, elsewhere a line every ten seconds.
    pub fn progress(&self, what: &str, total: Option<u64>) -> ProgressBar {
        if self.quiet {
            return ProgressBar::hidden();
        }
        if !std::io::stderr().is_terminal() {
            let bar = ProgressBar::hidden();
            bar.set_length(total.unwrap_or_default());
            bar.set_message(what.to_owned());
            tell_now_and_then(&bar);
            return bar;
        }
        let bar = total.map_or_else(ProgressBar::new_spinner, ProgressBar::new);
        let form = match total {
            Some(_) => "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}",
            None => "{msg} {spinner} {human_pos} {elapsed}",
        };
        if let Ok(style) = ProgressStyle::with_template(form) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

/// How often a log hears of long work.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// How fast it goes, and how long the rest will take at that rate.
fn left(done: u64, total: u64, seconds: u64) -> String {
    let rate = done / seconds.max(1);
    match total.saturating_sub(done).checked_div(rate) {
        Some(left) if done < total => format!(", {rate} a second, {left} s left"),
        _ => String::new(),
    }
}

/// What is under way, as the bar's message says by now, and how far it is.
fn told(bar: &ProgressBar) -> String {
    let far = (bar.position(), bar.length().unwrap_or_default());
    told_after(&bar.message(), far, bar.elapsed().as_secs())
}

/// The same, `far` being what is done and what is to be done.
fn told_after(what: &str, far: (u64, u64), seconds: u64) -> String {
    match far {
        (0, _) => format!("{what}: {seconds} s"),
        (done, 0) => format!("{what}: {done} in {seconds} s"),
        (done, total) => format!(
            "{what}: {done} of {total} in {seconds} s{}",
            left(done, total, seconds)
        ),
    }
}

/// Writes a line every now and then until the bar is finished or dropped.
fn tell_now_and_then(bar: &ProgressBar) {
    let bar = bar.downgrade();
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(TELL_EVERY);
            let Some(bar) = bar.upgrade().filter(|bar| !bar.is_finished()) else {
                return;
            };
            let _ = writeln!(std::io::stderr().lock(), "{}", visible(&told(&bar)));
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log hears what is waited for, and not only what the whole is.
    #[test]
    fn progress_says_what_is_under_way() {
        let bar = ProgressBar::hidden();
        bar.set_message("matching");
        assert!(told(&bar).starts_with("matching: "));
        bar.set_message("waiting for `shop` to run `match run`");
        assert!(told(&bar).starts_with("waiting for `shop` to run `match run`: "));
        bar.set_length(20);
        bar.set_position(7);
        assert!(told(&bar).starts_with("waiting for `shop` to run `match run`: 7 of 20 in "));
        assert_eq!(told_after("matching", (0, 20), 5), "matching: 5 s");
        assert_eq!(told_after("matching", (7, 0), 5), "matching: 7 in 5 s");
        let half = told_after("matching", (50, 100), 10);
        assert_eq!(half, "matching: 50 of 100 in 10 s, 5 a second, 10 s left");
    }

    #[test]
    fn time_left_is_what_the_rate_so_far_gives() {
        assert_eq!(left(30, 120, 10), ", 3 a second, 30 s left");
        assert_eq!(left(3, 120, 10), "");
        assert_eq!(left(120, 120, 10), "");
    }
}
