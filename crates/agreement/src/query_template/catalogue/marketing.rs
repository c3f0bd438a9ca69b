//! Campaigns: who was reached, how often, and what came of it.

use super::{AMOUNT, SOLD, blank, count, most, registers, rows};
use crate::query_template::{Blank, BlankKind, Most, QueryTemplate, TypeOf};

/// A column that names a campaign, a channel, a step.
const NAMING: &[TypeOf] = &[TypeOf::Text, TypeOf::Int];
/// A column that says when.
pub(super) const WHEN: &[TypeOf] = &[TypeOf::Date, TypeOf::Timestamp];

const EXPOSURES: Blank = blank(
    "exposures",
    BlankKind::Dataset {
        rows: Most::Blank("exposure_rows"),
    },
    "the data set of who was shown, or sent, what: one row a time",
    "exposures",
    None,
);

const EXPOSURE_ROWS: Blank = rows(
    "exposure_rows",
    "how many exposures of one person are read at most; those of more are left out by lot",
    "100",
);

const CAMPAIGN: Blank = blank(
    "campaign",
    BlankKind::Column {
        of: "exposures",
        types: NAMING,
    },
    "the column that says which campaign it was",
    "campaign",
    None,
);

const CAMPAIGNS: Blank = blank(
    "campaigns",
    BlankKind::Groups,
    "the campaigns to show: a row each, always; or `discovered`, for those with enough people",
    "spring,summer",
    None,
);

const CAMPAIGNS_A_PERSON: Blank = count(
    "campaigns_a_person",
    "in how many campaigns one person counts at most; of more, some are drawn by lot",
    "2",
    None,
);

const TIMES: Blank = count(
    "times",
    "how many exposures of one person in one row of the answer count at most",
    "10",
    Some("10"),
);

const SALES: Blank = blank(
    "sales",
    BlankKind::Dataset {
        rows: Most::Blank("sale_rows"),
    },
    "the data set of purchases; rows of one person at the same moment are one purchase",
    "purchases",
    None,
);

const TOUCHED: Blank = blank(
    "touched",
    BlankKind::Column {
        of: "exposures",
        types: WHEN,
    },
    "the column that says when the exposure was; a day counts from its midnight",
    "day",
    None,
);

const SCHEDULE: Blank = blank(
    "schedule",
    BlankKind::Lookup {
        by: "campaign",
        rows: "schedule_rows",
    },
    "a public data set of campaigns, where that has the day and not the exposures: touched=SCHEDULE.COLUMN",
    "calendar",
    Some(""),
);

const SCHEDULE_ROWS: Blank = rows(
    "schedule_rows",
    "how many rows the public data set may have in all",
    "1000",
);

const DAYS: Blank = count(
    "days",
    "how many days after an exposure a purchase is still credited to it",
    "30",
    Some("30"),
);

/// Both attributions ask for the same.
const ATTRIBUTION: &[Blank] = &[
    EXPOSURES,
    TOUCHED,
    CAMPAIGN,
    CAMPAIGNS,
    SALES,
    SOLD,
    AMOUNT,
    most(
        "most_revenue",
        "the most revenue of one person in one campaign that counts",
        "200",
        None,
    ),
    CAMPAIGNS_A_PERSON,
    DAYS,
    count(
        "most_purchases",
        "the most purchases of one person in one campaign that count",
        "10",
        Some("10"),
    ),
    EXPOSURE_ROWS,
    rows(
        "sale_rows",
        "how many rows of purchases of one person are read at most; those of more are left out by lot",
        "1000",
    ),
    SCHEDULE,
    SCHEDULE_ROWS,
    registers("customers,audience"),
];

const EVENTS: Blank = blank(
    "events",
    BlankKind::Dataset {
        rows: Most::Blank("event_rows"),
    },
    "the data set of what people did, one row a time",
    "visits",
    None,
);

const AT: Blank = blank(
    "at",
    BlankKind::Column {
        of: "events",
        types: WHEN,
    },
    "the column that says when it was",
    "at",
    None,
);

const EVENT_ROWS: Blank = rows(
    "event_rows",
    "how many events of one person are read at most; those of more are left out by lot",
    "1000",
);

const fn first(name: &'static str, means: &'static str, example: &'static str) -> Blank {
    blank(
        name,
        BlankKind::Dataset { rows: Most::One },
        means,
        example,
        None,
    )
}

pub(super) const TEMPLATES: &[QueryTemplate] = &[
    QueryTemplate {
        name: "overlap",
        about: "how many people two data sets have in common",
        epsilon: "0.5",
        blanks: &[
            first("first", "one of the data sets", "customers"),
            first("second", "the other", "exposures"),
            registers("customers,audience"),
        ],
        text: include_str!("../text/overlap.toml"),
    },
    QueryTemplate {
        name: "reach",
        about: "how many people each campaign reached, and how often on average",
        epsilon: "0.5",
        blanks: &[
            EXPOSURES,
            CAMPAIGN,
            CAMPAIGNS,
            CAMPAIGNS_A_PERSON,
            TIMES,
            EXPOSURE_ROWS,
            registers("audience"),
        ],
        text: include_str!("../text/reach.toml"),
    },
    QueryTemplate {
        name: "frequency",
        about: "how many people were reached once, twice, or more often, in all campaigns",
        epsilon: "0.5",
        blanks: &[EXPOSURES, TIMES, EXPOSURE_ROWS, registers("audience")],
        text: include_str!("../text/frequency.toml"),
    },
    QueryTemplate {
        name: "last-touch",
        about: "purchases and revenue by the campaign that was the last to reach the buyer",
        epsilon: "1",
        blanks: ATTRIBUTION,
        text: include_str!("../text/last-touch.toml"),
    },
    QueryTemplate {
        name: "linear",
        about: "purchases and revenue, shared out evenly to all campaigns that reached the buyer",
        epsilon: "1",
        blanks: ATTRIBUTION,
        text: include_str!("../text/linear.toml"),
    },
    QueryTemplate {
        name: "cohort",
        about: "of the people who came first in a month, how many were there in later months",
        epsilon: "1",
        blanks: &[
            EVENTS,
            AT,
            blank(
                "cohorts",
                BlankKind::Groups,
                "the first days of the months to show, such as 2026-01-01; or `discovered`",
                "2026-01-01,2026-02-01",
                None,
            ),
            blank(
                "months",
                BlankKind::UpTo { most: 36 },
                "how many months later to look at",
                "3",
                Some("3"),
            ),
            EVENT_ROWS,
            registers("customers"),
        ],
        text: include_str!("../text/cohort.toml"),
    },
    QueryTemplate {
        name: "funnel",
        about: "how many people took a first step, and of them the second after it, and so on",
        epsilon: "1",
        blanks: &[
            EVENTS,
            AT,
            blank(
                "step",
                BlankKind::Column {
                    of: "events",
                    types: NAMING,
                },
                "the column that says what it was",
                "step",
                None,
            ),
            blank(
                "steps",
                BlankKind::Texts { least: 2, most: 10 },
                "the steps, in order",
                "view,basket,order",
                None,
            ),
            count(
                "days",
                "how many days after the first step a later one still counts",
                "30",
                Some("30"),
            ),
            EVENT_ROWS,
            registers("customers"),
        ],
        text: include_str!("../text/funnel.toml"),
    },
];
