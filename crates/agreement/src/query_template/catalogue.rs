//! The templates that there are.

mod counting;
mod marketing;
mod trials;

use super::{Blank, BlankKind, QueryTemplate, TypeOf};

/// All templates, by subject; within one, in the order in which people need them.
const ALL: &[&[QueryTemplate]] = &[marketing::TEMPLATES, counting::TEMPLATES, trials::TEMPLATES];

/// Every template.
pub fn query_templates() -> impl Iterator<Item = &'static QueryTemplate> {
    ALL.iter().copied().flatten()
}

/// The template of this name.
#[must_use]
pub fn query_template(name: &str) -> Option<&'static QueryTemplate> {
    query_templates().find(|template| template.name == name)
}

/// The blanks of every template.
pub(super) fn common(name: &'static str, epsilon: &'static str) -> [Blank; 7] {
    let blank = |name, kind, means, example, default| Blank {
        name,
        kind,
        means,
        example,
        default,
    };
    [
        blank(
            "name",
            BlankKind::Query,
            "what the query is called in the agreement",
            name,
            Some(name),
        ),
        blank(
            "purpose",
            BlankKind::Purpose,
            "the leaf purpose that the answer serves; every column must have it",
            "measurement",
            None,
        ),
        blank(
            "analysts",
            BlankKind::Analysts,
            "who may ask",
            "mailer/ana",
            None,
        ),
        blank(
            "receivers",
            BlankKind::Parties,
            "the parties that get the answer",
            "mailer,shop",
            None,
        ),
        blank(
            "epsilon",
            BlankKind::Number,
            "what a run costs each owner read",
            epsilon,
            Some(epsilon),
        ),
        blank(
            "delta",
            BlankKind::Number,
            "the small part of a run's cost: far below one in the number of people",
            "0.00000001",
            Some("0.00000001"),
        ),
        blank(
            "min_people",
            BlankKind::Whole {
                least: 1,
                most: 4_294_967_295,
            },
            "a group with fewer people, by the noisy count, is withheld",
            "50",
            Some("50"),
        ),
    ]
}

/// A blank of a template.
const fn blank(
    name: &'static str,
    kind: BlankKind,
    means: &'static str,
    example: &'static str,
    default: Option<&'static str>,
) -> Blank {
    Blank {
        name,
        kind,
        means,
        example,
        default,
    }
}

/// Registers of people, whose consents every counted person has given.
const fn registers(example: &'static str) -> Blank {
    blank(
        "registers",
        BlankKind::Registers,
        "of each owner read that keeps one, the data set of people and their consents: only people in all of them count",
        example,
        Some(""),
    )
}

/// How many rows of one person are read.
const fn rows(name: &'static str, means: &'static str, default: &'static str) -> Blank {
    blank(
        name,
        BlankKind::Whole {
            least: 1,
            most: 1_000_000,
        },
        means,
        default,
        Some(default),
    )
}

/// So many, at least one.
const fn count(
    name: &'static str,
    means: &'static str,
    example: &'static str,
    default: Option<&'static str>,
) -> Blank {
    blank(
        name,
        BlankKind::Whole {
            least: 1,
            most: 100_000,
        },
        means,
        example,
        default,
    )
}

/// An amount of one person: the end of a clamp.
const fn most(
    name: &'static str,
    means: &'static str,
    example: &'static str,
    default: Option<&'static str>,
) -> Blank {
    blank(name, BlankKind::Number, means, example, default)
}

const NUMBERS: &[TypeOf] = &[TypeOf::Decimal, TypeOf::Int];

const SOLD: Blank = blank(
    "sold",
    BlankKind::Column {
        of: "sales",
        types: marketing::WHEN,
    },
    "the column that says when the purchase was",
    "day",
    None,
);

const AMOUNT: Blank = blank(
    "amount",
    BlankKind::Column {
        of: "sales",
        types: NUMBERS,
    },
    "the column with what was paid",
    "amount",
    None,
);

const AMOUNT_OF_DATA: Blank = blank(
    "amount",
    BlankKind::Column {
        of: "data",
        types: NUMBERS,
    },
    "the column that is added up for each person",
    "amount",
    None,
);
