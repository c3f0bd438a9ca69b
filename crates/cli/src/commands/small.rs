//! Consent classes of few people, told to the owner, who counts its own people here.

use std::collections::BTreeSet;

use incamera_seal::SmallClasses;
use incamera_types::ConsentClass;
use serde_json::{Value, json};

/// What became of them, a line each; nothing if there are none.
pub fn lines(small: &SmallClasses) -> Vec<String> {
    let mut lines = Vec::new();
    for (what, people, rows, classes) in [
        (
            "sealed for fewer purposes",
            small.people_moved,
            small.rows_moved,
            &small.moved,
        ),
        (
            "left out, as no class has fewer purposes",
            small.people_left_out,
            small.rows_left_out,
            &small.left_out,
        ),
    ] {
        if people + rows > 0 {
            lines.push(format!(
                "people of consent classes that few have, {what}: {people} (of {}; `[sealing] class_people` in party.toml says how many a class needs)\n  their rows: {rows}",
                named(classes)
            ));
        }
    }
    lines
}

/// `ads` with `measurement`, `safety`.
fn named(classes: &BTreeSet<ConsentClass>) -> String {
    let purposes = |class: &ConsentClass| {
        let names: Vec<String> = class.iter().map(|name| format!("`{name}`")).collect();
        names.join(" with ")
    };
    let classes: Vec<String> = classes.iter().map(purposes).collect();
    classes.join(", ")
}

/// What programs read.
pub fn document(small: &SmallClasses) -> Value {
    json!({
        "people_moved": small.people_moved, "rows_moved": small.rows_moved,
        "people_left_out": small.people_left_out, "rows_left_out": small.rows_left_out,
        "moved": small.moved, "left_out": small.left_out,
    })
}
