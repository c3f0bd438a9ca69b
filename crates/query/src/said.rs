//! What the engine says of SQL that it cannot plan, in words of SQL: what, why, and what to
//! write instead. It saw the SQL and the data sets' columns, no rows.

use datafusion::common::{Column, DataFusionError, SchemaError};

use crate::refusal::{Refusal, RefusalKind};

/// The most columns that are listed.
const MOST_LISTED: usize = 24;

/// Functions that others have: their names, why they are not here, and what to write instead.
const OTHERS: &[(&[&str], &str, &str)] = &[
    (
        &[
            "now",
            "today",
            "current_date",
            "current_time",
            "current_timestamp",
            "localtimestamp",
            "sysdate",
            "getdate",
        ],
        "there is no clock: an answer follows from the rows and the request alone",
        "give days and moments as parameters: day >= $from, with params = { from = { type = \"date\" } }",
    ),
    (
        &["random", "rand", "uuid", "gen_random_uuid"],
        "there is no chance in a query: an answer follows from the rows and the request alone",
        "leave it out; which of a person's rows count is drawn by lot, by `rows` of the agreement",
    ),
    (
        &[
            "array_agg",
            "string_agg",
            "group_concat",
            "listagg",
            "json_agg",
            "any_value",
        ],
        "it would hand out values of single rows",
        "count or add them up, by groups that the agreement declares",
    ),
    (
        &["approx_distinct", "approx_count_distinct", "hll_count"],
        "what one person adds to it is not bounded",
        "write COUNT(DISTINCT column)",
    ),
    (
        &["approx_median"],
        "what one person adds to it is not bounded",
        "write MEDIAN(column)",
    ),
];

/// A planner's or parser's error.
pub(crate) fn syntax(error: &DataFusionError) -> Refusal {
    let refusal = match error.find_root() {
        DataFusionError::External(other) => other.downcast_ref::<Refusal>().cloned(),
        DataFusionError::SchemaError(schema, _) => schema_refusal(schema),
        _ => None,
    };
    let text = error.find_root().strip_backtrace();
    let text = plain(&text);
    let refusal = refusal.or_else(|| known(text)).unwrap_or_else(|| {
        Refusal::new(
            RefusalKind::Syntax,
            "the SQL",
            in_sql(text),
            "correct the SQL",
        )
    });
    match (error.diagnostic().and_then(|said| said.span), place(text)) {
        (_, Some((line, column))) => refusal.at_line(line, column),
        (Some(span), _) => refusal.at_span(span),
        _ => refusal.or_at_text(quoted(text)),
    }
}

/// The first line of an error, without what kind of error it is.
fn plain(text: &str) -> &str {
    let text = text.lines().next().unwrap_or_default();
    let kinds = [
        "SQL error: ParserError(",
        "Error during planning: ",
        "Schema error: ",
    ];
    let text = kinds
        .iter()
        .fold(text, |text, kind| text.strip_prefix(kind).unwrap_or(text));
    text.trim_matches(|c| matches!(c, '"' | ')' | '.'))
}

/// Names that are not there, or stand for several columns.
fn schema_refusal(error: &SchemaError) -> Option<Refusal> {
    let refuse = |what, why: String, instead| Refusal::new(RefusalKind::Syntax, what, why, instead);
    match error {
        SchemaError::FieldNotFound { field, .. } if other(&field.name).is_some() => {
            other(&field.name)
        }
        SchemaError::FieldNotFound {
            field,
            valid_fields,
        } => {
            let known = listed(field, valid_fields);
            let instead = match known.is_empty() {
                true => "name a column of the data sets in FROM".to_owned(),
                false => format!("name one of these: {known}"),
            };
            let why = "no data set or sub-query in FROM has it here".to_owned();
            Some(
                refuse(format!("column `{}`", field.flat_name()), why, instead)
                    .or_at_text(&field.flat_name()),
            )
        }
        SchemaError::AmbiguousReference { field } => Some(
            refuse(
                format!("column `{}`", field.name),
                "several data sets in FROM have it".into(),
                format!("write whose it is: DATASET.{}", field.name),
            )
            .or_at_text(&field.name),
        ),
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => Some(
            refuse(
                format!("two columns called `{name}`"),
                "what stands around could not tell them apart".into(),
                "give each its own name with AS".into(),
            )
            .or_at_text(name),
        ),
    }
}

/// The columns that could be meant: of the data set that is named, if there is one.
fn listed(field: &Column, known: &[Column]) -> String {
    let of = |column: &&Column| field.relation.is_none() || column.relation == field.relation;
    let mut near: Vec<&Column> = known.iter().filter(of).collect();
    if near.is_empty() {
        near = known.iter().collect();
    }
    let named = |name: &str| {
        !name.starts_with("__") && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    let mut names: Vec<String> = near
        .into_iter()
        .filter(|column| named(&column.name))
        .map(Column::flat_name)
        .collect();
    if names.len() > MOST_LISTED {
        names.truncate(MOST_LISTED);
        names.push("...".into());
    }
    names.join(", ")
}

/// The refusal of a function that others have.
fn other(name: &str) -> Option<Refusal> {
    let wanted = name.to_ascii_lowercase();
    let (_, why, instead) = OTHERS
        .iter()
        .find(|(names, ..)| names.contains(&wanted.as_str()))?;
    let what = format!("{}()", name.to_ascii_uppercase());
    Some(Refusal::new(RefusalKind::Expression, what, *why, *instead).or_at_text(name))
}

/// Errors that have no type of their own, by their text.
fn known(text: &str) -> Option<Refusal> {
    let first = text.split('\'').nth(1).unwrap_or_default();
    if text.starts_with("Invalid function") {
        return Some(other(first).unwrap_or_else(|| {
            Refusal::new(
                RefusalKind::Expression,
                format!("{}()", first.to_ascii_uppercase()),
                "it is not on the list of functions",
                "use the functions of docs/sql.md",
            )
            .or_at_text(first)
        }));
    }
    if text.starts_with("Cannot infer common argument type") {
        return Some(compared(text));
    }
    if text.starts_with("Cannot create filter with non-boolean predicate") {
        return Some(
            Refusal::new(
                RefusalKind::Syntax,
                "a condition that is not true or false",
                "WHERE and HAVING keep the rows for which it is true",
                "compare it with something",
            )
            .or_at_text(first.rsplit('.').next().unwrap_or_default()),
        );
    }
    if text.contains("must be in GROUP BY") || text.contains("must appear in the GROUP BY") {
        return Some(
            Refusal::new(
                RefusalKind::Syntax,
                "a column beside aggregates",
                "each row of the answer is a group, and the column differs within one",
                "add it to GROUP BY, or put an aggregate around it",
            )
            .or_at_text(quoted(text)),
        );
    }
    if text.starts_with("Projections require unique expression names") {
        return Some(Refusal::new(
            RefusalKind::Syntax,
            "two columns of one name",
            "what stands around could not tell them apart",
            "give each its own name with AS",
        ));
    }
    let function = text
        .split_once("a call to '")
        .or_else(|| text.split_once("Function '"));
    let name = function.and_then(|(_, rest)| rest.split('\'').next())?;
    Some(
        Refusal::new(
            RefusalKind::Syntax,
            format!("{}() of such values", name.to_ascii_uppercase()),
            "it takes others: so many, of such types",
            "give sums, averages, medians and spreads numbers; see docs/sql.md for what each takes",
        )
        .or_at_text(name),
    )
}

/// A comparison of values that do not meet.
fn compared(text: &str) -> Refusal {
    if text.contains("FixedSizeBinary") {
        return pseudonym("a comparison with a pseudonym");
    }
    Refusal::new(
        RefusalKind::Syntax,
        "a comparison of two types",
        in_sql(text),
        "compare values of one type: numbers as 12.50, texts as '...', days as DATE '2026-03-01', moments as TIMESTAMP '2026-03-01 10:00:00'",
    )
}

/// The refusal of what would look into a pseudonym.
pub(crate) fn pseudonym(what: &str) -> Refusal {
    Refusal::new(
        RefusalKind::Expression,
        what,
        "it could pick out one person",
        "pseudonyms are only set equal to each other, tested for NULL and counted",
    )
}

/// A text of the engine with types as SQL calls them.
fn in_sql(text: &str) -> String {
    const TYPES: [(&str, &str); 9] = [
        ("FixedSizeBinary(16)", "a pseudonym"),
        ("LargeUtf8", "TEXT"),
        ("Utf8View", "TEXT"),
        ("Utf8", "TEXT"),
        ("Int64", "BIGINT"),
        ("Int32", "INT"),
        ("Date32", "DATE"),
        ("Decimal128", "DECIMAL"),
        ("Timestamp(µs, \"UTC\")", "TIMESTAMP"),
    ];
    TYPES.iter().fold(text.to_owned(), |text, (engine, sql)| {
        text.replace(engine, sql)
    })
}

/// The place that the parser names: `at Line: 3, Column: 14`.
fn place(text: &str) -> Option<(u64, u64)> {
    let (_, rest) = text.rsplit_once("Line: ")?;
    let (line, rest) = rest.split_once(", Column: ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((line.parse().ok()?, digits.parse().ok()?))
}

/// The first name that an error sets in quotes, not one that it proposes.
fn quoted(text: &str) -> &str {
    let said = text.split("Did you mean").next().unwrap_or_default();
    let inside = said.split(['\'', '`', '"']).nth(1).unwrap_or_default();
    inside.rsplit('.').next().unwrap_or_default()
}
