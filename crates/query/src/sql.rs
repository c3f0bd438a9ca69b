//! The SQL as text: parsed, and kept short.

use std::collections::BTreeSet;

use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::refusal::{Refusal, RefusalKind};
use crate::said::syntax;

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
    match first {
        Statement::Statement(mut statement)
            if matches!(statement.as_ref(), ast::Statement::Query(_)) =>
        {
            pieces(&mut statement);
            Ok(Statement::Statement(statement))
        }
        _ => Err(refuse("a statement that is no SELECT")
            .or_at_text(sql.split_whitespace().next().unwrap_or(""))),
    }
}

/// Writes SUBSTRING(text FROM from FOR length) as the function that it is: without features
/// that are not wanted, the planner does not know it.
fn pieces(statement: &mut ast::Statement) {
    let piece = |expr: &mut ast::Expr| {
        if let ast::Expr::Substring {
            expr: text,
            substring_from,
            substring_for,
            ..
        } = expr
        {
            let first = || {
                Box::new(ast::Expr::Value(
                    ast::Value::Number("1".into(), false).into(),
                ))
            };
            let from = substring_from.take().unwrap_or_else(first);
            let args = [Some(text.clone()), Some(from), substring_for.take()];
            *expr = call("substr", args.into_iter().flatten().map(|arg| *arg));
        }
        std::ops::ControlFlow::<()>::Continue(())
    };
    let _ = ast::visit_expressions_mut(statement, piece);
}

fn call(name: &str, args: impl Iterator<Item = ast::Expr>) -> ast::Expr {
    let args = args.map(|arg| ast::FunctionArg::Unnamed(ast::FunctionArgExpr::Expr(arg)));
    ast::Expr::Function(ast::Function {
        name: ast::Ident::new(name).into(),
        uses_odbc_syntax: false,
        parameters: ast::FunctionArguments::None,
        args: ast::FunctionArguments::List(ast::FunctionArgumentList {
            duplicate_treatment: None,
            args: args.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
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
    if tokens.iter().any(is_other_literal) {
        return Err(Refusal::new(
            RefusalKind::Syntax,
            "a literal with escapes or a prefix",
            "people approve what they read, and it holds something else",
            "write it between plain quotation marks: '...'",
        ));
    }
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

/// The names of the parameters that SQL uses, as `$name`. None of SQL that has no tokens.
pub(crate) fn placeholders(sql: &str) -> BTreeSet<String> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize();
    let named = tokens
        .into_iter()
        .flatten()
        .filter_map(|token| match token {
            Token::Placeholder(text) => Some(text.trim_start_matches('$').to_owned()),
            _ => None,
        });
    named.collect()
}

/// Whether a token is a text that is not between plain quotation marks: what it holds is not
/// what people read.
fn is_other_literal(token: &Token) -> bool {
    matches!(
        token,
        Token::EscapedStringLiteral(_)
            | Token::UnicodeStringLiteral(_)
            | Token::NationalStringLiteral(_)
            | Token::QuoteDelimitedStringLiteral(_)
            | Token::NationalQuoteDelimitedStringLiteral(_)
            | Token::DollarQuotedString(_)
            | Token::TripleSingleQuotedString(_)
            | Token::TripleDoubleQuotedString(_)
            | Token::SingleQuotedByteStringLiteral(_)
            | Token::DoubleQuotedByteStringLiteral(_)
            | Token::TripleSingleQuotedByteStringLiteral(_)
            | Token::TripleDoubleQuotedByteStringLiteral(_)
            | Token::SingleQuotedRawStringLiteral(_)
            | Token::DoubleQuotedRawStringLiteral(_)
            | Token::TripleSingleQuotedRawStringLiteral(_)
            | Token::TripleDoubleQuotedRawStringLiteral(_)
    )
}

/// How deep expressions can nest, at most: what stands between two commas or clauses,
/// together with the brackets around it.
fn nesting(tokens: &[Token]) -> usize {
    use Keyword::{
        FROM, GROUP, HAVING, JOIN, LIMIT, NoKeyword, ON, ORDER, PARTITION, SELECT, UNION, WHERE,
        WITH,
    };
    const CLAUSES: [Keyword; 12] = [
        SELECT, FROM, WHERE, GROUP, JOIN, ON, HAVING, LIMIT, ORDER, PARTITION, UNION, WITH,
    ];
    let (mut deepest, mut here, mut outside) = (0, 0, Vec::new());
    for token in tokens {
        let base = outside.last().copied().unwrap_or(0);
        match token {
            Token::Comma => here = base,
            Token::Word(word) if word.keyword == NoKeyword => {}
            Token::Word(word) if CLAUSES.contains(&word.keyword) => here = base,
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
