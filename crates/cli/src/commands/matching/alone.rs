//! `match run` under `method = "none"`: nobody is met, nothing is sent, no run is counted.

use std::time::Instant;

use incamera_matching::alone::Alone;
use incamera_matching::finish::Finished;
use incamera_matching::{Mode, Seed};
use serde_json::json;

use super::Work;
use super::ingest::Input;
use super::output::write_alone;
use crate::failure::Done;

/// Gives each id its pseudonym.
pub fn run(work: &Work<'_>, start: Instant) -> Done {
    let input = Input::read(work, &Seed::generate(&mut rand::rng()))?;
    input.enough_valid(work, work.printer)?;
    let terms = &work.terms;
    let alone = Alone::new(
        &work.secret,
        &terms.agreement_id,
        terms.epoch,
        &terms.id_kind,
    );
    let finished = write_alone(work, &input, &alone)?;
    show(work, &input, &finished, start);
    Ok(())
}

fn show(work: &Work<'_>, input: &Input, finished: &Finished, start: Instant) {
    let (rows, taken) = (&input.rows, &input.ordered.taken);
    let kind = &work.terms.id_kind;
    let seconds = start.elapsed().as_secs_f64();
    let known = match work.mode() {
        Mode::Append => taken.known,
        _ => 0,
    };
    let matched = (taken.distinct - known).saturating_sub(finished.forgotten);
    let text = format!(
        "each of your {matched} distinct ids of kind `{kind}` has a pseudonym, under your own key ({seconds:.1} s)\n  rows {}, empty {}, invalid {}, duplicates {}\n  nothing was sent: the agreement names no matching with others\n  crosswalk (yours alone): {}",
        rows.rows,
        rows.empty,
        rows.invalid,
        taken.duplicates,
        work.crosswalk_path().display()
    );
    let document = json!({
        "id_kind": kind, "peer": null, "mode": work.mode().as_str(),
        "rows": rows.rows, "empty": rows.empty, "invalid": rows.invalid,
        "duplicates": taken.duplicates, "distinct": taken.distinct, "known": taken.known,
        "new": taken.distinct - taken.known, "forgotten_meanwhile": finished.forgotten,
        "compared": finished.compared, "crosswalk_rows": finished.rows,
        "seconds": seconds, "crosswalk": work.crosswalk_path(),
    });
    work.printer.result(text, "incamera-matched/2", &document);
}
