//! `data clipped`: what a query's clamps hide in an owner's own file.
//!
//! The numbers are exact. They go to the owner's terminal and nowhere else: nothing is sent,
//! written or logged.

use incamera_query::{Clipped, ClippedError, ClippedSum};
use incamera_seal::{OwnRows, SealError, own_rows};
use incamera_types::{IdKind, Params, PurposeName};
use serde_json::json;

use super::asked::Asked;
use super::block_on;
use super::data::own_dataset;
use super::home::{Home, Reading};
use super::seal::{mend_source, not_done, show_step};
use super::whose::Whose;
use crate::agreement_error;
use crate::args::DataClipped;
use crate::clock::today;
use crate::failure::{Done, Failure};
use crate::folder::Folder;
use crate::printer::Printer;
use crate::words::people;

/// Reads the file, adds up person by person, and says what lies outside the clamps.
pub fn run(arguments: &DataClipped, printer: &Printer) -> Done {
    let folder = Folder::open(&arguments.party.party)?;
    let file = folder.agreement_file(arguments.under.agreement.as_deref())?;
    let agreement = agreement_error::read(&file)?;
    let spec = own_dataset(&folder, &agreement, &arguments.dataset)?;
    let asked = Asked::new(
        &agreement,
        &file,
        &arguments.query,
        arguments.proposal.as_deref(),
    )?;
    let query = asked.query();
    let (params, checked) = asked.checked(&agreement, &arguments.params)?;
    let home = Home::new(&folder, &agreement, spec);
    let rows = read(&home, arguments, &query.purpose, printer)?;
    let clipped = block_on(async {
        let clipped = checked.clipped(&spec.name, &rows.batches).await;
        clipped.map_err(|error| failed(&error, arguments))
    })?;
    show(arguments, &params, &rows, &clipped, printer);
    Ok(())
}

fn failed(error: &ClippedError, arguments: &DataClipped) -> Failure {
    let what = format!("`{}` clips nothing of the file", arguments.query);
    match error {
        ClippedError::NothingAddedUp { .. } => Failure::usage(what)
            .because(error)
            .hint("name the data set whose column the query adds up; `incamera query explain` shows what it reads"),
        _ => Failure::failed("the file was not counted")
            .because(error)
            .hint("seal the file first: `incamera data seal` says what is wrong with it"),
    }
}

/// The file's rows that the query's purpose opens, as sealing would change them.
fn read(
    home: &Home<'_>,
    arguments: &DataClipped,
    purpose: &PurposeName,
    printer: &Printer,
) -> Result<OwnRows, Failure> {
    let what = not_done(&arguments.file.data, "read");
    let mut ring = home.folder.ring()?;
    let source = home.source(&arguments.file.data, &ring, &what)?;
    let whose = Whose::of(home, &mut ring, today())?;
    let people = |id: &str| whose.person(id);
    let kinds = |kind: &IdKind, id: &str| whose.of_kind(kind, id);
    let consents = home.consents()?;
    let bar = printer.progress("reading", None);
    let mut progress = |step| show_step(&bar, step);
    let job = home.job(Reading {
        source: &source,
        id_column: whose.id_column(arguments.file.id_column.as_deref()),
        people: &people,
        kinds: &kinds,
        consents: &consents,
        progress: &mut progress,
    });
    let rows = own_rows(job, purpose);
    bar.finish_and_clear();
    rows.map_err(|error| {
        let object = match &error {
            SealError::Source(error) => mend_source(error),
            _ => None,
        };
        Failure::failed(what).because(&error).hint(
            object.unwrap_or("mend the file, or name the column with raw ids with `--column`"),
        )
    })
}

fn show(
    arguments: &DataClipped,
    params: &Params,
    rows: &OwnRows,
    clipped: &Clipped,
    printer: &Printer,
) {
    let words: String = params
        .iter()
        .map(|(name, value)| format!(" {name}={value}"))
        .collect();
    let mut lines = vec![format!(
        "`{}`{words} over `{}`: {} of {} rows would be sealed",
        arguments.query, arguments.dataset, rows.outline.sealed, rows.outline.rows
    )];
    lines.extend(clipped.sums.iter().flat_map(sum));
    if let (Some(cap), above @ 1..) = (clipped.rows_a_person, clipped.people_above_rows) {
        lines.push(format!(
            "  with more than {cap} rows that pass the conditions below: {}; only {cap} of each one's count in an answer, by lot; here all do",
            people(above)
        ));
    }
    lines.extend(filters(clipped));
    lines.push("  counted here, exactly, for your eyes: told to nobody".to_owned());
    let named = params.iter();
    let named = named.map(|(name, value)| (name.to_string(), json!(value.to_string())));
    let document = json!({
        "dataset": arguments.dataset, "query": arguments.query,
        "parameters": named.collect::<serde_json::Map<_, _>>(),
        "rows": rows.outline.rows, "sealed": rows.outline.sealed,
        "sums": clipped.sums, "applied": clipped.applied, "left_out": clipped.left_out,
        "groups": clipped.groups, "groups_unknown": clipped.groups_unknown,
        "rows_a_person": clipped.rows_a_person, "people_above_rows": clipped.people_above_rows,
    });
    printer.result(lines.join("\n"), "incamera-clipped/1", &document);
}

fn sum(sum: &ClippedSum) -> [String; 3] {
    let unit = sum.unit.as_ref().map(|unit| format!(" {unit}"));
    let unit = unit.unwrap_or_default();
    [
        format!(
            "  {}: clamped to {} .. {}{unit} a person",
            sum.name, sum.low, sum.high
        ),
        format!(
            "    {} of {} people ({}) are above it, {} below",
            sum.above,
            sum.people,
            percent(sum.share_of_people),
            sum.below
        ),
        format!(
            "    cutting them off hides {}{unit} of {}{unit} ({})",
            sum.hidden,
            sum.amount,
            percent(sum.share_of_amount)
        ),
    ]
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// What was applied and what could not be.
fn filters(clipped: &Clipped) -> Vec<String> {
    let mut lines = Vec::new();
    for condition in &clipped.applied {
        lines.push(format!("  applied: {condition}"));
    }
    for condition in &clipped.left_out {
        lines.push(format!(
            "  not applied, as it reads what is not in this file: {condition}"
        ));
    }
    for group in &clipped.groups {
        lines.push(format!("  people are counted once in each {group}"));
    }
    for group in &clipped.groups_unknown {
        lines.push(format!(
            "  {group} is not known here: a person counts as in one"
        ));
    }
    lines
}
