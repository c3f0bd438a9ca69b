//! `match run` under `method = "none"`: nobody is met, nothing is sent, no run is counted.

use std::time::Instant;

use incamera_matching::Seed;
use incamera_matching::alone::Alone;
use serde_json::json;

use super::Work;
use super::ingest::Input;
use super::output::write_alone;
use super::report::{Report, Told, fields};
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
    let report = Report {
        work,
        input: &input,
        finished: Some(finished),
        told: Told {
            by: ", under your own key".to_owned(),
            lines: vec!["nothing was sent: the agreement names no matching with others".to_owned()],
            fields: fields(json!({ "peer": null })),
            ..Told::default()
        },
        start,
    };
    report.show();
    Ok(())
}
