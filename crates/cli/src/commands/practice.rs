//! `query run --practice`: the query over made-up rows, asked of nobody.

use incamera_query::{Marks, PRACTICE, Practice, Practised, practice, table};
use serde_json::json;

use super::asked::Asked;
use super::block_on;
use crate::args::QueryRun;
use crate::export::{self, Exported};
use crate::failure::{Context, Done};
use crate::printer::Printer;

/// Runs the query over rows that follow from agreement and seed.
pub fn run(arguments: &QueryRun, printer: &Printer) -> Done {
    let (agreement, asked) = Asked::open(&arguments.of)?;
    let (params, checked) = asked.checked(&agreement, &arguments.params)?;
    let query = asked.query();
    export::writable(&arguments.exports, None)?;
    let made = Practice {
        people: arguments.people,
        seed: arguments.seed,
    };
    let bar = printer.progress("practising", None);
    let what = "the query did not run over made-up rows";
    let practised = block_on(async { practice(&checked, &made).await.or_fail(what) });
    bar.finish_and_clear();
    let Practised { answer, people } = practised?;
    let shown =
        table(&answer, &agreement, query, &params).or_fail("the answer was not understood")?;
    let of = format!(
        "rows of {people} people, made from the agreement and seed {}; nothing was asked, and nothing spent",
        arguments.seed
    );
    let exported = Exported {
        answer: &answer,
        table: &shown,
        marks: Marks {
            practice: true,
            ..Marks::default()
        },
        facts: vec![
            ("query".into(), query.name.to_string()),
            ("rows".into(), of.clone()),
        ],
        release: None,
    };
    let written = export::write(&arguments.exports, &exported, query.name.as_str())?;
    let text = format!("{PRACTICE}\n\n{shown}\n{of}{}", export::line(&written));
    let document = json!({
        "practice": true, "answer": shown, "table": text, "people": people,
        "seed": arguments.seed, "written": written,
    });
    printer.result(&text, "incamera-practice/1", &document);
    Ok(())
}
