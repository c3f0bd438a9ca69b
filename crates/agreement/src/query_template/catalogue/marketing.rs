//! Campaigns: who was reached, how often, and what came of it.

use super::{blank, count, registers, rows};
use crate::query_template::{Blank, BlankKind, Most, QueryTemplate, TypeOf};

/// A column that names a campaign, a channel, a step.
const NAMING: &[TypeOf] = &[TypeOf::Text, TypeOf::Int];

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

pub(super) const TEMPLATES: &[QueryTemplate] = &[QueryTemplate {
    name: "reach",
    about: "how many people each campaign reached, and how often on average",
    epsilon: "0.5",
    blanks: &[
        EXPOSURES,
        CAMPAIGN,
        CAMPAIGNS,
        count(
            "campaigns_a_person",
            "in how many campaigns one person counts at most; of more, some are drawn by lot",
            "2",
            None,
        ),
        count(
            "times",
            "how many exposures of one person to one campaign count at most",
            "10",
            Some("10"),
        ),
        EXPOSURE_ROWS,
        registers("audience"),
    ],
    text: include_str!("../text/reach.toml"),
}];
