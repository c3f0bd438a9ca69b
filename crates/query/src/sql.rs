//! The SQL as text: parsed, and kept short.

use datafusion::common::DataFusionError;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::refusal::{Refusal, RefusalKind};

/// Parses SQL that must be one SELECT.
pub(crate) fn one_select(sql: &str) -> Result<Statement, Refusal> {
    let refuse = |what: &str| {
        let instead = "write exactly one SELECT";
        Refusal::new(
            RefusalKind::NotOneSelect,
            what,
            "a query of the agreement is one SELECT",
            instead,
        )
    };
    short(sql)?;
    let mut statements = DFParser::parse_sql(sql).map_err(|e| syntax(&e))?;
    let first = statements
        .pop_front()
        .ok_or_else(|| refuse("an empty text"))?;
    if !statements.is_empty() {
        return Err(refuse("more than one statement"));
    }
    match &first {
        Statement::Statement(statement)
            if matches!(statement.as_ref(), ast::Statement::Query(_)) =>
        {
            Ok(first)
        }
        _ => Err(refuse("a statement that is no SELECT")
            .or_at_text(sql.split_whitespace().next().unwrap_or(""))),
    }
}

/// The longest SQL, in bytes.
const MAX_SQL_BYTES: usize = 64 << 10;
/// The most operators, keywords and brackets of one expression: planners recurse as deep as
/// expressions nest, and a thread's stack is short.
const MAX_NESTING: usize = 64;

/// Refuses SQL that could nest deeper than a thread's stack.
fn short(sql: &str) -> Result<(), Refusal> {
    let refuse = |what: String, instead: &str| {
        Refusal::new(
            RefusalKind::Syntax,
            what,
            "a query of the agreement is short enough for people to read",
            instead,
        )
    };
    if sql.len() > MAX_SQL_BYTES {
        return Err(refuse(
            format!("more than {MAX_SQL_BYTES} bytes of SQL"),
            "write less of it",
        ));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize();
    let tokens = tokens.map_err(|error| {
        let refusal = Refusal::new(
            RefusalKind::Syntax,
            "the SQL",
            error.message,
            "correct the SQL",
        );
        refusal.at_line(error.location.line, error.location.column)
    })?;
    if nesting(&tokens) > MAX_NESTING {
        let what =
            format!("an expression with more than {MAX_NESTING} operators, keywords and brackets");
        return Err(refuse(
            what,
            "write IN (...) for many values, and more measures for many cases",
        ));
    }
    Ok(())
}

/// How deep expressions can nest, at most: what stands between two commas or clauses,
/// together with the brackets around it.
fn nesting(tokens: &[Token]) -> usize {
    use Keyword::{FROM, GROUP, JOIN, NoKeyword, ON, SELECT, WHERE};
    let (mut deepest, mut here, mut outside) = (0, 0, Vec::new());
    for token in tokens {
        let base = outside.last().copied().unwrap_or(0);
        match token {
            Token::Comma => here = base,
            Token::Word(word) if word.keyword == NoKeyword => {}
            Token::Word(word) if [SELECT, FROM, WHERE, GROUP, JOIN, ON].contains(&word.keyword) => {
                here = base
            }
            Token::Period
            | Token::Whitespace(_)
            | Token::Number(..)
            | Token::Placeholder(_)
            | Token::SingleQuotedString(_) => {}
            Token::RParen => {
                outside.pop();
            }
            other => {
                here += 1;
                if *other == Token::LParen {
                    outside.push(here);
                }
            }
        }
        deepest = deepest.max(here);
    }
    deepest
}

/// A planner's or parser's error: it saw the SQL and the data sets' columns, no rows.
pub(crate) fn syntax(error: &DataFusionError) -> Refusal {
    let text = error.strip_backtrace();
    let text = text.lines().next().unwrap_or_default();
    let plain = [
        "SQL error: ParserError(",
        "Error during planning: ",
        "Schema error: ",
    ]
    .iter()
    .fold(text, |text, prefix| {
        text.strip_prefix(prefix).unwrap_or(text)
    })
    .trim_matches(|c| matches!(c, '"' | ')' | '.'));
    let function = plain.starts_with("Invalid function");
    let kind = if function {
        RefusalKind::Expression
    } else {
        RefusalKind::Syntax
    };
    let instead = if function {
        "use COUNT(*), COUNT(DISTINCT person), SUM and CASE"
    } else {
        "correct the SQL"
    };
    let refusal = Refusal::new(kind, "the SQL", plain, instead);
    match place(plain) {
        Some((line, column)) => refusal.at_line(line, column),
        None => refusal.or_at_text(quoted(plain)),
    }
}

/// The place that the parser names: `at Line: 3, Column: 14`.
fn place(text: &str) -> Option<(u64, u64)> {
    let (_, rest) = text.rsplit_once("Line: ")?;
    let (line, rest) = rest.split_once(", Column: ")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((line.parse().ok()?, digits.parse().ok()?))
}

/// The first name that an error sets in quotes.
fn quoted(text: &str) -> &str {
    let inside = text.split(['\'', '`', '"']).nth(1).unwrap_or_default();
    inside.rsplit('.').next().unwrap_or_default()
}
