//! Refusals of what [`lineage`](crate::lineage) walks over.

use datafusion::common::JoinType;
use datafusion::logical_expr::{Distinct, LogicalPlan};
use incamera_types::DatasetSpec;

use crate::refusal::{Refusal, RefusalKind};

/// The refusal of rows that no longer belong to a known person.
pub(crate) fn unit_lost(what: String) -> Refusal {
    Refusal::new(
        RefusalKind::UnitLost,
        what,
        "what one person adds could not be bounded",
        "keep the pseudonym column of a private data set all the way up",
    )
}

pub(crate) fn not_linked() -> Refusal {
    Refusal::new(
        RefusalKind::Join,
        "private data sets joined on something else than the person",
        "one person's row would meet other people's",
        "JOIN ... ON a.person = b.person, with further conditions after AND",
    )
    .or_at_text("join")
}

pub(crate) fn not_in() -> Refusal {
    Refusal::new(
        RefusalKind::Join,
        "NOT IN with persons that may be null",
        "one null decides on everybody's rows",
        "write NOT EXISTS (SELECT ... WHERE b.person = a.person)",
    )
    .or_at_text("not")
}

pub(crate) fn not_asked(spec: &DatasetSpec, register: &DatasetSpec) -> Refusal {
    let (name, owner) = (&spec.name, &spec.owner);
    let instead = if name == &register.name {
        format!(
            "start from `{register}` or JOIN it, without LEFT",
            register = register.name
        )
    } else {
        format!(
            "JOIN `{register}` before the LEFT JOIN: then those who refused are not counted at all",
            register = register.name
        )
    };
    Refusal::new(
        RefusalKind::Join,
        format!("a LEFT JOIN to `{name}` without the consents that `{owner}` keeps"),
        "people who refused the purpose there would be counted as people without rows",
        instead,
    )
    .or_at_text(name.as_str())
}

pub(crate) fn not_everywhere(spec: &DatasetSpec, register: &DatasetSpec) -> Refusal {
    let (name, owner) = (&spec.name, &spec.owner);
    Refusal::new(
        RefusalKind::Join,
        format!("a UNION ALL with `{name}` without the consents that `{owner}` keeps"),
        "rows of the other side would be counted of people who refused the purpose there",
        format!(
            "JOIN `{register}` to the other side, or to the whole",
            register = register.name
        ),
    )
    .or_at_text("union")
}

pub(crate) fn public_left() -> Refusal {
    Refusal::new(
        RefusalKind::UnitLost,
        "a public data set with a LEFT JOIN to a private one",
        "its unmatched rows would belong to nobody",
        "start from the private data set",
    )
    .or_at_text("left")
}

pub(crate) fn join_type(found: JoinType) -> Refusal {
    let instead = match found {
        JoinType::Right => "exchange the sides and write LEFT JOIN",
        JoinType::LeftMark => {
            return Refusal::new(
                RefusalKind::Join,
                "EXISTS or IN (SELECT ...) within OR, NOT or CASE",
                "only a condition joined to others by AND becomes a join",
                "write it beside AND, or LEFT JOIN the sub-query and test its person for NULL",
            )
            .or_at_text("exists");
        }
        _ => "write JOIN or LEFT JOIN",
    };
    Refusal::new(
        RefusalKind::Join,
        format!("a {} join", found.to_string().to_uppercase()),
        "it is not on the list of joins",
        instead,
    )
    .or_at_text(&found.to_string())
}

/// The refusal of a plan node, in words of SQL.
pub(crate) fn not_allowed(plan: &LogicalPlan) -> Refusal {
    let (what, why, instead) = match plan {
        LogicalPlan::Sort(_) => (
            "ORDER BY",
            "the rows of a sub-query have no order",
            "leave it out there; to number a person's rows, ROW_NUMBER() OVER (PARTITION BY person ORDER BY ...)",
        ),
        LogicalPlan::Limit(_) => (
            "LIMIT",
            "which people's rows it takes would hang on other people's",
            "leave it out; of each person's rows, ROW_NUMBER() OVER (PARTITION BY person ORDER BY ...) picks some",
        ),
        LogicalPlan::Distinct(Distinct::All(_)) => (
            "DISTINCT",
            "each row of the answer is another group already",
            "leave it out at the top",
        ),
        LogicalPlan::Distinct(Distinct::On(_)) => (
            "DISTINCT ON",
            "which of several rows it keeps is not said",
            "number the rows by ROW_NUMBER() OVER (PARTITION BY person ORDER BY ...) and keep those with 1",
        ),
        LogicalPlan::RecursiveQuery(_) => (
            "WITH RECURSIVE",
            "how often it runs could hang on a row",
            "join as many times as are needed",
        ),
        LogicalPlan::Subquery(_) => (
            "a sub-query in an expression",
            "it could carry one person's rows into another's",
            "join the data set on the pseudonym, or write EXISTS or IN as a condition beside AND",
        ),
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => (
            "a SELECT without a data set",
            "there is nothing to ask",
            "SELECT ... FROM a data set of the agreement",
        ),
        _ => (
            "a clause",
            "it is not on the list of clauses",
            "write SELECT, FROM, JOIN, WHERE, GROUP BY, HAVING, UNION ALL and WITH",
        ),
    };
    let word = if what.starts_with(|c: char| c.is_ascii_uppercase()) {
        what
    } else {
        ""
    };
    Refusal::new(RefusalKind::Clause, what, why, instead).or_at_text(word)
}
