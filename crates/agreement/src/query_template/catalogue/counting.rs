//! Sums and values of people, of any data set.

use super::{AMOUNT_OF_DATA, blank, count, most, registers, rows};
use crate::query_template::{Blank, BlankKind, Most, QueryTemplate, TypeOf};

const DATA: Blank = blank(
    "data",
    BlankKind::Dataset {
        rows: Most::Blank("data_rows"),
    },
    "the data set",
    "purchases",
    None,
);

const DATA_ROWS: Blank = rows(
    "data_rows",
    "how many rows of one person are read at most; those of more are left out by lot",
    "1000",
);

pub(super) const TEMPLATES: &[QueryTemplate] = &[
    QueryTemplate {
        name: "histogram",
        about: "how many people have a sum in each of several bands",
        epsilon: "0.5",
        blanks: &[
            DATA,
            AMOUNT_OF_DATA,
            blank(
                "bands",
                BlankKind::Borders,
                "where one band ends and the next begins, rising",
                "10,50,100,500",
                None,
            ),
            DATA_ROWS,
            registers("customers"),
        ],
        text: include_str!("../text/histogram.toml"),
    },
    QueryTemplate {
        name: "top",
        about: "the values that most people have",
        epsilon: "1",
        blanks: &[
            DATA,
            blank(
                "value",
                BlankKind::Column {
                    of: "data",
                    types: &[TypeOf::Text, TypeOf::Int, TypeOf::Date, TypeOf::Bool],
                },
                "the column with the values",
                "category",
                None,
            ),
            count(
                "values_a_person",
                "for how many values one person counts at most; of more, some are drawn by lot",
                "5",
                None,
            ),
            count("show", "how many values to show", "10", Some("10")),
            DATA_ROWS,
            registers("customers"),
        ],
        text: include_str!("../text/top.toml"),
    },
    QueryTemplate {
        name: "bounds",
        about: "how much people add, and how many rows they have: to choose clamps and `rows` by",
        epsilon: "0.5",
        blanks: &[
            DATA,
            AMOUNT_OF_DATA,
            most(
                "least",
                "the least that a person's sum could be",
                "0",
                Some("0"),
            ),
            most(
                "most",
                "the most that a person's sum could be: far more than is likely",
                "10000",
                None,
            ),
            rows(
                "data_rows",
                "how many rows one person could have: far more than is likely",
                "10000",
            ),
            registers("customers"),
        ],
        text: include_str!("../text/bounds.toml"),
    },
];
