//! `query template`: questions that many parties have, with blanks.

use std::path::Path;

use incamera_agreement::{
    Agreement, Blank, FillError, FilledQuery, QueryTemplate, query_template, query_templates,
};
use incamera_query::{Explanation, prove};
use serde_json::{Value, json};

use super::agreement::refused;
use crate::agreement_error;
use crate::args::QueryTemplate as Arguments;
use crate::failure::{Done, Failure};
use crate::printer::Printer;

/// Lists the templates, or fills one in.
pub fn run(arguments: &Arguments, printer: &Printer) -> Done {
    let Some(name) = &arguments.template else {
        list(printer);
        return Ok(());
    };
    let template = query_template(name).ok_or_else(|| {
        let known: Vec<&str> = query_templates().map(|template| template.name).collect();
        Failure::usage(format!("there is no template `{name}`"))
            .hint(format!("choose one of {}", known.join(", ")))
    })?;
    let values = arguments.values.iter().map(|argument| pair(argument));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let agreement = arguments.agreement.as_deref();
    let agreement = match agreement {
        Some(path) => Some((path, agreement_error::read(path)?)),
        None => None,
    };
    let terms = agreement.as_ref().map(|(_, agreement)| &**agreement);
    let filled = template
        .fill(&values, terms)
        .map_err(|error| unfilled(template, &error))?;
    let explanation = match &agreement {
        Some((path, agreement)) => Some(accepted(path, agreement, &filled)?),
        None => None,
    };
    if let Some(explanation) = &explanation {
        printer.note(format!("{explanation}"));
    }
    let document = json!({
        "template": template.name, "query": filled.name, "section": filled.text,
        "explanation": explanation,
    });
    printer.result(&filled.text, "incamera-query-section/1", &document);
    Ok(())
}

fn list(printer: &Printer) {
    let width = query_templates().map(|template| template.name.len()).max();
    let width = width.unwrap_or_default();
    let line = |template: &QueryTemplate| format!("{:width$}  {}", template.name, template.about);
    let mut lines: Vec<String> = query_templates().map(line).collect();
    lines.push(printer.guide(
        "\nwhat one needs:  incamera query template NAME\nfilled in:       incamera query template NAME KEY=VALUE ...".to_owned(),
    ));
    let document = |template: &QueryTemplate| {
        let blanks = template.blanks();
        let blanks: Vec<Value> = blanks.iter().map(described).collect();
        json!({ "name": template.name, "about": template.about, "blanks": blanks })
    };
    let documents: Vec<Value> = query_templates().map(document).collect();
    printer.result(
        lines.join("\n"),
        "incamera-query-templates/1",
        &json!({ "templates": documents }),
    );
}

fn described(blank: &Blank) -> Value {
    json!({
        "key": blank.name, "form": blank.form(), "means": blank.means,
        "example": blank.example, "default": blank.default,
    })
}

fn pair(argument: &str) -> Result<(String, String), Failure> {
    let pair = argument.split_once('=');
    let (name, value) = pair.ok_or_else(|| {
        Failure::usage(format!("`{argument}` fills no blank")).hint("write KEY=VALUE")
    })?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What a blank means, and a value.
fn told(blank: &Blank) -> String {
    let (name, form, means) = (blank.name, blank.form(), blank.means);
    format!("{name}: {means}; {form}, such as {name}={}", blank.example)
}

fn unfilled(template: &QueryTemplate, error: &FillError) -> Failure {
    let mut failure = Failure::usage(format!("template `{}` was not filled in", template.name));
    match error {
        FillError::Missing(blanks) => {
            for blank in blanks {
                failure = failure.why(told(blank));
            }
            let others = template.blanks().into_iter();
            let others = others.filter(|blank| !blanks.contains(blank));
            let others: Vec<&str> = others.map(|blank| blank.name).collect();
            failure.hint(format!(
                "add KEY=VALUE for each; there are also {}: `--json` without a name tells all",
                others.join(", ")
            ))
        }
        FillError::Value { blank, .. } => failure.because(error).hint(told(blank)),
        other => failure.because(other).hint(format!(
            "`incamera query template {}` says what it needs",
            template.name
        )),
    }
}

/// Proves that the agreement would accept the section, and explains the query.
fn accepted(
    path: &Path,
    agreement: &Agreement,
    filled: &FilledQuery,
) -> Result<Explanation, Failure> {
    let name = &filled.name;
    if agreement.queries.contains_key(name) {
        return Err(
            Failure::usage(format!("the agreement has a query `{name}` already"))
                .hint("give this one another name: name=..."),
        );
    }
    let mut whole = agreement.bytes().to_vec();
    whole.extend_from_slice(b"\n");
    whole.extend_from_slice(filled.text.as_bytes());
    let whole = Agreement::parse(&whole).map_err(|error| {
        let mut failure = Failure::failed(format!(
            "`{}` with query `{name}` in it is not a valid agreement",
            path.display()
        ));
        for problem in error.problems() {
            failure = failure.why(&problem.what);
        }
        failure.hint(&error.first().help)
    })?;
    let query = super::parameters::query(&whole, name)?;
    let proved =
        prove(&whole, query).map_err(|refusal| refused(path, whole.bytes(), query, &refusal))?;
    Ok(proved.explain(&whole))
}
