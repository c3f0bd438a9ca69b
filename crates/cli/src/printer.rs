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
        shape(&bar, if total.is_some() { COUNTED } else { UNBOUNDED });
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

/// How a bar looks on a terminal.
const COUNTED: &str = "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}";
const UNBOUNDED: &str = "{msg} {spinner} {human_pos} {elapsed}";
const WAITING: &str = "{msg} {spinner} {elapsed}";

fn shape(bar: &ProgressBar, form: &str) {
    if let Ok(style) = ProgressStyle::with_template(form) {
        bar.set_style(style);
    }
}

/// From here on somebody is waited for: nothing is done meanwhile, at no rate.
pub fn waits(bar: &ProgressBar, what: String) {
    shape(bar, WAITING);
    bar.set_length(0);
    bar.reset();
    bar.set_message(what);
}

/// From here on there is work again; time that was waited does not count into its rate.
pub fn works(bar: &ProgressBar, what: &'static str) {
    shape(bar, COUNTED);
    bar.reset_elapsed();
    bar.reset_eta();
    bar.set_message(what);
}

/// How often what is under way is looked at, and how many looks later a log hears of it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const TELL_EVERY: u32 = 10;

/// How fast it goes, what was there `before` left out, and how long the rest takes at that rate.
fn left(before: u64, done: u64, total: u64, seconds: u64) -> String {
    let rate = done.saturating_sub(before) / seconds.max(1);
    match total.saturating_sub(done).checked_div(rate) {
        Some(left) if done < total => format!(", {rate} a second, {left} s left"),
        _ => String::new(),
    }
}

/// What is under way, and what of it was done before it was.
#[derive(Debug, Default)]
struct UnderWay {
    what: String,
    before: u64,
}

impl UnderWay {
    fn of(bar: &ProgressBar) -> Self {
        Self {
            what: bar.message(),
            before: bar.position(),
        }
    }

    /// As the bar's message says by now.
    fn look(&mut self, bar: &ProgressBar) {
        if self.what != bar.message() {
            *self = Self::of(bar);
        }
    }

    fn told(&self, bar: &ProgressBar) -> String {
        let far = (bar.position(), bar.length().unwrap_or_default());
        self.told_after(far, bar.elapsed().as_secs())
    }

    /// The same, `far` being what is done and what is to be done.
    fn told_after(&self, far: (u64, u64), seconds: u64) -> String {
        let what = &self.what;
        match far {
            (0, _) => format!("{what}: {seconds} s"),
            (done, 0) => format!("{what}: {done} in {seconds} s"),
            (done, total) => format!(
                "{what}: {done} of {total} in {seconds} s{}",
                left(self.before, done, total, seconds)
            ),
        }
    }
}

/// Writes a line every now and then until the bar is finished or dropped.
fn tell_now_and_then(bar: &ProgressBar) {
    let (mut way, bar) = (UnderWay::of(bar), bar.downgrade());
    std::thread::spawn(move || {
        for look in 1_u32.. {
            std::thread::sleep(LOOK_EVERY);
            let Some(bar) = bar.upgrade().filter(|bar| !bar.is_finished()) else {
                return;
            };
            way.look(&bar);
            if look.is_multiple_of(TELL_EVERY) {
                let _ = writeln!(std::io::stderr().lock(), "{}", visible(&way.told(&bar)));
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_after(what: &str, far: (u64, u64), seconds: u64) -> String {
        let (what, before) = (what.to_owned(), 0);
        UnderWay { what, before }.told_after(far, seconds)
    }

    #[test]
    fn progress_says_what_is_under_way() {
        assert_eq!(told_after("matching", (0, 20), 5), "matching: 5 s");
        assert_eq!(told_after("matching", (7, 0), 5), "matching: 7 in 5 s");
        let half = told_after("matching", (50, 100), 10);
        assert_eq!(half, "matching: 50 of 100 in 10 s, 5 a second, 10 s left");
    }

    /// A log hears what is waited for, and not only what the whole is; nobody is told a rate of
    /// work that does not go on, or of what an earlier start did.
    #[test]
    fn a_wait_has_no_rate_and_work_before_it_does_not_count() {
        let bar = ProgressBar::hidden();
        bar.set_message("matching");
        let mut way = UnderWay::of(&bar);
        assert!(way.told(&bar).starts_with("matching: "));
        bar.set_length(100);
        bar.set_position(60);
        waits(&bar, "waiting for `shop`".to_owned());
        way.look(&bar);
        let waiting = way.told(&bar);
        assert!(waiting.starts_with("waiting for `shop`: "), "{waiting}");
        assert!(!waiting.contains("60"), "{waiting}");
        works(&bar, "matching ids");
        bar.set_length(100);
        bar.set_position(60);
        way.look(&bar);
        let first = way.told_after((60, 100), 1);
        assert_eq!(first, "matching ids: 60 of 100 in 1 s");
        let later = way.told_after((80, 100), 10);
        assert_eq!(
            later,
            "matching ids: 80 of 100 in 10 s, 2 a second, 10 s left"
        );
    }

    #[test]
    fn time_left_is_what_the_rate_so_far_gives() {
        assert_eq!(left(0, 30, 120, 10), ", 3 a second, 30 s left");
        assert_eq!(left(20, 50, 110, 10), ", 3 a second, 20 s left");
        assert_eq!(left(0, 3, 120, 10), "");
        assert_eq!(left(0, 120, 120, 10), "");
    }
}
