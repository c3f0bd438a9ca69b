//! Comparisons of two groups: what came of having been given one thing or another.

use super::{AMOUNT, NUMBERS, SOLD, blank, most, registers, rows};
use crate::query_template::{Blank, BlankKind, Most, QueryTemplate, TypeOf};

/// A column that names a group.
const NAMING: &[TypeOf] = &[TypeOf::Text, TypeOf::Int, TypeOf::Bool];

const ASSIGNED: Blank = blank(
    "assigned",
    BlankKind::Dataset { rows: Most::One },
    "the data set of who was given what: one row a person",
    "assigned",
    None,
);

const ARM: Blank = blank(
    "arm",
    BlankKind::Column {
        of: "assigned",
        types: NAMING,
    },
    "the column that says what a person was given",
    "arm",
    None,
);

const GROUP: Blank = blank(
    "group",
    BlankKind::Text,
    "the value of `arm` of the group that is compared",
    "new",
    None,
);

const AGAINST: Blank = blank(
    "against",
    BlankKind::Text,
    "the value of `arm` of the group that it is compared with",
    "old",
    None,
);

const OUTCOMES: Blank = blank(
    "outcomes",
    BlankKind::Dataset { rows: Most::One },
    "the data set of what came of it: one row a person; people without one do not count",
    "outcomes",
    None,
);

const EVENT: Blank = blank(
    "event",
    BlankKind::Column {
        of: "outcomes",
        types: NAMING,
    },
    "the column that says whether there was an event",
    "event",
    None,
);

const EVENT_IS: Blank = blank(
    "event_is",
    BlankKind::Text,
    "the value of `event` where there was one",
    "true",
    Some("true"),
);

pub(super) const TEMPLATES: &[QueryTemplate] = &[
    QueryTemplate {
        name: "lift",
        about: "whether people who were given one thing buy more than others, and how much more",
        epsilon: "1",
        blanks: &[
            ASSIGNED,
            ARM,
            GROUP,
            AGAINST,
            blank(
                "sales",
                BlankKind::Dataset {
                    rows: Most::Blank("sale_rows"),
                },
                "the data set of purchases",
                "purchases",
                None,
            ),
            SOLD,
            AMOUNT,
            most(
                "most",
                "the most that one person spends in all that counts",
                "200",
                None,
            ),
            rows(
                "sale_rows",
                "how many rows of purchases of one person are read at most; those of more are left out by lot",
                "1000",
            ),
            registers("customers,audience"),
        ],
        text: include_str!("../text/lift.toml"),
    },
    QueryTemplate {
        name: "two-by-two",
        about: "how often an event is in two groups: odds ratio, difference and lift",
        epsilon: "1",
        blanks: &[
            ASSIGNED,
            ARM,
            GROUP,
            AGAINST,
            OUTCOMES,
            EVENT,
            EVENT_IS,
            registers("customers,audience"),
        ],
        text: include_str!("../text/two-by-two.toml"),
    },
    QueryTemplate {
        name: "stratified",
        about: "the odds ratio of an event over strata of people alike",
        epsilon: "2",
        blanks: &[
            ASSIGNED,
            ARM,
            GROUP,
            AGAINST,
            blank(
                "stratum",
                BlankKind::Column {
                    of: "assigned",
                    types: NAMING,
                },
                "the column whose values are strata",
                "stage",
                None,
            ),
            blank(
                "strata",
                BlankKind::Texts { least: 1, most: 50 },
                "its values; people with others do not count",
                "early,late",
                None,
            ),
            OUTCOMES,
            EVENT,
            EVENT_IS,
            registers("customers,audience"),
        ],
        text: include_str!("../text/stratified.toml"),
    },
    QueryTemplate {
        name: "mean-difference",
        about: "by how much a measured value differs between two groups, on average",
        epsilon: "1",
        blanks: &[
            ASSIGNED,
            ARM,
            GROUP,
            AGAINST,
            OUTCOMES,
            blank(
                "value",
                BlankKind::Column {
                    of: "outcomes",
                    types: NUMBERS,
                },
                "the column with what was measured",
                "score",
                None,
            ),
            most(
                "least",
                "the least value; what is below counts as it",
                "0",
                Some("0"),
            ),
            most("most", "the most; what is above counts as it", "100", None),
            registers("customers,audience"),
        ],
        text: include_str!("../text/mean-difference.toml"),
    },
];
