//! `match run` under `method = "none"`: nobody is met, nothing is sent, no run is counted.

use std::time::Instant;

use incamera_matching::Seed;
use incamera_matching::alone::Alone;
use incamera_matching::finish::Finished;
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
    let taken = &input.ordered.taken;
    let kind = &work.terms.id_kind;
    let seconds = start.elapsed().as_secs_f64();
    let asked = taken.distinct - input.known_left_out(work);
    let text = format!(
        "each of your {} distinct ids of kind `{kind}` has a pseudonym, under your own key ({seconds:.1} s)\n  {}{}\n  nothing was sent: the agreement names no matching with others\n  crosswalk (yours alone): {}",
        asked.saturating_sub(finished.forgotten),
        input.words(),
        input.beside(work),
        work.crosswalk_path().display()
    );
    let mut document = input.document(work);
    let run = json!({
        "peer": null, "forgotten_meanwhile": finished.forgotten,
        "compared": finished.compared, "crosswalk_rows": finished.rows,
        "seconds": seconds, "crosswalk": work.crosswalk_path(),
    });
    document.extend(run.as_object().cloned().unwrap_or_default());
    work.printer.result(text, "incamera-matched/2", &document);
}
