//! The agreement in words, for a lawyer or a privacy officer: who, what, why, how long, what
//! each layer protects, what risk remains.

mod matching;
mod providers;

use incamera_attest::TeeKind;
use incamera_dp::interval::{shown_factor, thousands};
use incamera_dp::{loss_of, odds_factor};
use incamera_types::{
    Budget, ColumnSpec, ColumnType, DatasetSpec, Delta, OtherText, PrivacyLoss, PurposeSet,
};

use crate::Agreement;
use crate::model::{
    Analysts, Compare, CompareKind, ConsentSource, GroupValues, PersonBounds, Purpose, Query,
};
use crate::page::Page;
use crate::standing::{self, Standing};
use incamera_types::and;

/// The agreement in words, before anything is spent.
#[must_use]
pub fn explain(agreement: &Agreement) -> String {
    explain_with(agreement, &Standing::default())
}

/// The agreement in words, with how it stands: signatures, time, and what is left of budgets.
#[must_use]
pub fn explain_with(agreement: &Agreement, standing: &Standing) -> String {
    let mut page = Page::default();
    title(&mut page, agreement, standing);
    who(&mut page, agreement);
    why(&mut page, agreement);
    what(&mut page, agreement);
    questions(&mut page, agreement);
    proposals(&mut page, agreement);
    standing::budgets(&mut page, agreement, standing);
    room(&mut page, agreement);
    how_long(&mut page, agreement);
    layers(&mut page, agreement);
    risks(&mut page, agreement);
    page.finish()
}

fn title(page: &mut Page, agreement: &Agreement, standing: &Standing) {
    page.heading(&format!(
        "Agreement {}, version {}",
        agreement.name, agreement.version
    ));
    standing::state(page, agreement, standing);
    page.text(format_args!(
        "{} let chosen questions be asked about their data. Nobody sees the other's data: a room computes each answer, adds noise so that no single person can be made out, and gives out the answer only.",
        and(agreement.parties.keys()),
    ));
    page.point(format_args!("digest of this version: {}", agreement.digest));
    page.point(format_args!("id (digest of version 1): {}", agreement.id));
    if let Some(follows) = agreement.follows {
        page.point(format_args!("follows the version with digest {follows}"));
    }
    if agreement.room.policy.accepts_simulated() {
        simulated(page);
    }
}

/// I10: whoever reads on knows it.
fn simulated(page: &mut Page) {
    page.heading("!!! SIMULATED TEE !!!");
    page.text("This agreement accepts a SIMULATED TEE. No hardware protects the room: whoever runs the machine can read everything in it. It is for trying things out with invented data. Do not sign it for real people's data.");
}

fn who(page: &mut Page, agreement: &Agreement) {
    page.heading("Who");
    for (name, party) in &agreement.parties {
        let people = match party.people {
            0 => "brings no private data".to_owned(),
            people => format!("data about some {} people", thousands(people)),
        };
        page.point(format_args!(
            "{name}: {people}; its service is at {}",
            party.url
        ));
        page.sub_point(format_args!("signs with key {}", party.signs.fingerprint()));
        page.sub_point(format_args!(
            "its service has key {}",
            party.service.fingerprint()
        ));
        match &party.analysts {
            Analysts::Vouched => page.sub_point("lets people ask for whom it vouches, request by request; their names stand in the log"),
            Analysts::Named(people) if people.is_empty() => page.sub_point("lets nobody ask"),
            Analysts::Named(people) => {
                page.sub_point(format_args!("lets these people ask, each with a key: {}", and(people.keys())));
            }
        }
    }
}

fn why(page: &mut Page, agreement: &Agreement) {
    page.heading("Why: the purposes");
    page.text("Data are sealed for these purposes. For any other purpose no key exists.");
    for (name, purpose) in &agreement.purposes {
        let mut line = format!("{name}: {}", purpose.label);
        if !purpose.leaf {
            line.push_str(&format!(
                " (stands for {})",
                and(agreement.leaves_of(name).iter())
            ));
        }
        if let Some(iri) = &purpose.iri {
            line.push_str(&format!(" <{iri}>"));
        }
        page.point(line);
        if !purpose.replaces.is_empty() {
            page.sub_point(replaced(agreement, purpose));
        }
    }
}

/// What a purpose stands for now, and whether people have to be asked again.
fn replaced(agreement: &Agreement, purpose: &Purpose) -> String {
    let names = agreement.consent_names();
    let carried = purpose.replaces.iter().any(|gone| names.contains_key(gone));
    let consents = match carried {
        true => "who agreed to that agreed to this: it is the same purpose by another name",
        false => "nobody has agreed to this by having agreed to that: people are to be asked",
    };
    format!(
        "replaces {} of earlier versions; {consents}",
        and(&purpose.replaces)
    )
}

fn what(page: &mut Page, agreement: &Agreement) {
    page.heading("What data");
    for spec in agreement.datasets.values() {
        if spec.public {
            page.point(format_args!(
                "{} of {}: public, about no person, not encrypted",
                spec.name, spec.owner
            ));
        } else {
            page.point(format_args!(
                "{} of {}; {}",
                spec.name,
                spec.owner,
                consent(agreement, spec)
            ));
        }
        if let Some(day) = spec.keep_until {
            page.sub_point(format_args!(
                "kept until the end of {day} (UTC); after that no key of it is released"
            ));
        }
        for column in &spec.columns {
            page.sub_point(column_words(spec, column));
        }
    }
}

fn consent(agreement: &Agreement, spec: &DatasetSpec) -> String {
    match agreement.consent_of(spec) {
        ConsentSource::Dataset(source) if source.name == spec.name => {
            "says what each person agreed to".to_owned()
        }
        ConsentSource::Dataset(source) => format!(
            "each row is used only as its person agreed in {}; who is missing there agreed to nothing",
            source.name
        ),
        ConsentSource::Everything(_) => {
            "holds no consents: every row may be used for every purpose of its columns".to_owned()
        }
    }
}

fn column_words(spec: &DatasetSpec, column: &ColumnSpec) -> String {
    let name = &column.name;
    let purposes = |purposes: &PurposeSet| match purposes.is_empty() {
        true => String::new(),
        false => format!(", for {}", and(purposes.iter())),
    };
    match column.ty {
        ColumnType::Pseudonym => {
            let kind = column
                .id_kind
                .as_ref()
                .map(|kind| format!(" made from {kind}"));
            let own = if column.purposes.is_empty() {
                ", opens with any other column".to_owned()
            } else {
                purposes(&column.purposes)
            };
            format!("{name}: pseudonym{}{own}", kind.unwrap_or_default())
        }
        ColumnType::Person => format!(
            "{name}: its owner's own key of the person, made of a number that only the owner knows{}",
            match column.purposes.is_empty() {
                true => ", opens with any other column".to_owned(),
                false => purposes(&column.purposes),
            }
        ),
        ColumnType::Purposes => format!("{name}: what the person agreed to; not stored"),
        ty => {
            let unit = column
                .unit
                .as_ref()
                .map(|unit| format!(" in {unit}"))
                .unwrap_or_default();
            let public = if spec.public { ", public" } else { "" };
            format!(
                "{name}: {ty}{unit}{}{}{public}",
                limits(column),
                purposes(&column.purposes)
            )
        }
    }
}

fn limits(column: &ColumnSpec) -> String {
    let mut text = match (column.min, column.max) {
        (Some(min), Some(max)) => format!(", clamped to {min} .. {max}"),
        (Some(min), None) => format!(", at least {min}"),
        (None, Some(max)) => format!(", at most {max}"),
        (None, None) => String::new(),
    };
    if let Some(values) = &column.values {
        let other = match &column.other {
            OtherText::Null => "any other becomes empty".to_owned(),
            OtherText::Becomes(value) => format!("any other becomes {value}"),
            _ => "any other refuses the file".to_owned(),
        };
        text.push_str(&format!(", one of {} ({other})", values.join(", ")));
    }
    if column.nullable {
        text.push_str(", may be empty");
    }
    if let Some(zone) = &column.time_zone {
        text.push_str(&format!(
            ", by clocks of {zone} where the file names no offset"
        ));
    }
    text
}

fn questions(page: &mut Page, agreement: &Agreement) {
    page.heading("Which questions, and who gets the answers");
    if agreement.queries.is_empty() {
        page.text("None: nothing may be asked under this version.");
    }
    for query in agreement.queries.values() {
        question(page, agreement, query);
    }
    page.text("An analyst signs each request. The same request again gives the same answer and costs nothing. Each owner's log keeps, for good, which analyst asked, the reason given, and when.");
}

pub(crate) fn question(page: &mut Page, agreement: &Agreement, query: &Query) {
    let label = agreement
        .purposes
        .get(&query.purpose)
        .map(|purpose| purpose.label.as_str());
    page.point(format_args!(
        "{}, for the purpose {} ({})",
        query.name,
        query.purpose,
        label.unwrap_or_default()
    ));
    page.sub_point(format_args!("may be asked by {}", and(&query.analysts)));
    page.sub_point(format_args!("the answer goes to {}", and(&query.receivers)));
    receiving(page, agreement, query);
    let reads: Vec<_> = query.reads.iter().collect();
    page.sub_point(format_args!("reads {}, and nothing else", and(reads)));
    if !query.params.is_empty() {
        let params = query
            .params
            .iter()
            .map(|(name, param)| format!("{name} ({param})"));
        page.sub_point(format_args!(
            "the analyst chooses {} freely, in each run: other values are another run, so two spans of days that differ by one day are two runs",
            and(params)
        ));
    }
    for group in &query.groups {
        page.sub_point(match &group.values {
            GroupValues::Declared(values) => {
                format!("shows a row for each {}: {}", group.name, and(values))
            }
            GroupValues::Discovered => format!(
                "shows a row for each {} that enough people have, by the noisy count, and no word of the others; a part of delta ({}) is for that",
                group.name,
                agreement.cost(query).delta0
            ),
        });
    }
    bounds(page, agreement, query);
    page.sub_point(format_args!(
        "a row with fewer than {} people, by the noisy count, is withheld",
        query.min_people
    ));
    for ratio in &query.ratios {
        page.sub_point(format_args!(
            "shows {} = {} / {}",
            ratio.name, ratio.numerator, ratio.denominator
        ));
    }
    for compare in &query.compare {
        page.sub_point(compare_words(compare));
    }
    if query.sampling {
        page.sub_point("takes its people as a sample of more like them, and says the sampling error of shares, averages and comparisons apart from the noise; the squares that averages need for that are part of the cost below");
    }
    page.sub_point(format_args!(
        "a run costs each of {}: {}",
        and(agreement.owners_read(query)),
        cost(query)
    ));
    page.sub_point("in SQL:");
    for line in query.sql.trim_end().lines() {
        page.verbatim(line);
    }
}

fn compare_words(compare: &Compare) -> String {
    let (name, group, against) = (compare.of.name(), &compare.group, &compare.against);
    let over = compare.strata.as_ref();
    let over = over.map_or_else(String::new, |key| format!(", over the strata of {key}"));
    match compare.kind {
        CompareKind::Lift => format!("compares {name} of {group} with that of {against}"),
        CompareKind::Difference => {
            format!("shows the difference of {name} between {group} and {against}")
        }
        CompareKind::OddsRatio => {
            format!("shows the odds ratio of {name} of {group} against {against}{over}")
        }
    }
}

fn bounds(page: &mut Page, agreement: &Agreement, query: &Query) {
    let groups = query.per_person.groups;
    page.sub_point(format_args!(
        "one person counts in at most {groups} group{}; in a count of people, once",
        if groups == 1 { "" } else { "s" }
    ));
    for (measure, bounds) in &query.per_person.measures {
        page.sub_point(bounds_words(measure, bounds));
    }
    for (dataset, rows) in &query.rows {
        let spec = agreement.datasets.get(dataset);
        let (s, most) = (if *rows == 1 { "" } else { "s" }, thousands(*rows));
        if spec.is_some_and(|spec| spec.public) {
            page.sub_point(format_args!(
                "the public {dataset} has at most {most} row{s} in all; with more, nothing runs"
            ));
        } else {
            page.sub_point(format_args!(
                "at most {most} row{s} a person of {dataset} counts, of those that the SQL's conditions on it let through"
            ));
        }
    }
}

fn bounds_words(measure: &str, bounds: &PersonBounds) -> String {
    match bounds {
        PersonBounds::Adds(low, high) => format!(
            "one person adds {low} to {high} to {measure} of a group; what is outside is cut off"
        ),
        PersonBounds::Values { low, high, rows } => format!(
            "{measure} is made from values of {low} to {high}, what is outside brought to the nearer end; one person counts as {} at most in a group",
            values(*rows)
        ),
        PersonBounds::Distinct(most) => format!(
            "for {measure}, at most {} different {} of one person {} in a group, chosen by lot",
            most,
            if *most == 1 { "value" } else { "values" },
            if *most == 1 { "counts" } else { "count" }
        ),
    }
}

fn values(rows: u32) -> String {
    format!("{rows} value{}", if rows == 1 { "" } else { "s" })
}

/// What may be asked besides, if analysts may propose.
fn proposals(page: &mut Page, agreement: &Agreement) {
    let Some(ceilings) = &agreement.proposals else {
        return;
    };
    page.heading("What may be asked besides: proposals");
    page.text("An analyst may propose a further question. It runs once every owner whose data it reads has approved that very text with its signing key; the other parties are not asked. An owner can take its approval back at any time.");
    page.point(format_args!("proposed by {}", and(&ceilings.analysts)));
    page.point("asked and received by whomever the proposal names, analysts and parties of this agreement: who approves it reads whom");
    page.point(format_args!("for {}", and(ceilings.purposes.iter())));
    match &ceilings.datasets {
        Some(datasets) => page.point(format_args!(
            "reads columns of {}, and of no other",
            and(datasets)
        )),
        None => page.point("reads columns of any data set that are for that purpose"),
    }
    page.point(format_args!(
        "a run costs each owner read at most epsilon {}, delta {}: it {}; budgets are the same as for all questions",
        ceilings.budget.epsilon,
        ceilings.budget.delta,
        shifts(&loss_of(&ceilings.budget), &ceilings.budget)
    ));
    page.point(format_args!(
        "a row with fewer than {} people, by the noisy count, is withheld: no proposal shows more",
        ceilings.min_people
    ));
    page.point(format_args!(
        "no proposal runs after {} (UTC), nor under a later version of this agreement",
        agreement.last_day_of_proposals()
    ));
}

/// What a run costs, in words.
fn cost(query: &Query) -> String {
    format!(
        "epsilon {}, delta {}. In words: whatever anybody believes about one person, the answer {}",
        query.epsilon,
        query.delta,
        shifts(&query.loss, &query.budget()),
    )
}

/// What a loss does to a guess about one person, in words.
pub(crate) fn shifts(loss: &PrivacyLoss, budget: &Budget) -> String {
    let factor = shown_factor(odds_factor(loss, budget));
    let save = match budget.delta == Delta::ZERO {
        true => String::new(),
        false => format!(", save with a probability of {}", budget.delta),
    };
    format!("shifts the odds by a factor of {factor} at most{save}")
}

fn room(page: &mut Page, agreement: &Agreement) {
    page.heading("Where: the room");
    page.text(format_args!(
        "Queries run at {}. Keys are released only to code with one of these measurements:",
        agreement.room.url
    ));
    for accepted in agreement.room.policy.accepted() {
        let simulated = if accepted.kind == TeeKind::Simulated {
            " (SIMULATED TEE: no hardware protects it)"
        } else {
            ""
        };
        page.point(format_args!("kind {}{simulated}", accepted.kind));
        for measurement in &accepted.measurements {
            page.sub_point(measurement);
        }
        for (part, floor) in &accepted.min_tcb {
            page.sub_point(format_args!("{part} at version {floor} or later"));
        }
    }
    page.text(format_args!(
        "This agreement does not say who runs the machine at {}. Whoever does is trusted to keep it running, and for nothing else.",
        agreement.room.url
    ));
}

/// How the receivers get the answer.
fn receiving(page: &mut Page, agreement: &Agreement, query: &Query) {
    let receivers = query.receivers.iter();
    let (sealed, unsealed): (Vec<_>, Vec<_>) =
        receivers.partition(|party| agreement.receive_key(party).is_some());
    if !sealed.is_empty() {
        page.sub_point(format_args!(
            "the room seals it to {}, each by its own key: what the room keeps for them, no one else opens",
            and(sealed)
        ));
    }
    if !unsealed.is_empty() {
        page.sub_point(format_args!(
            "for {} this agreement has no key to receive with (`receives`): nothing is kept there, the room hands it over inside the connection on which it is asked",
            and(unsealed)
        ));
    }
}

fn how_long(page: &mut Page, agreement: &Agreement) {
    page.heading("How long");
    page.point(format_args!(
        "until the end of {} (UTC); after that no key is released for it",
        agreement.expires
    ));
    page.point("an owner may pause its keys at any time, and may destroy them: sealed data then stay closed");
    page.point("the end stops keys and deletes nothing: sealed data stay in the room's storage, and crosswalks (raw ids beside pseudonyms) and consents at each party, until somebody deletes them");
    page.point("answers that were given stay with who received them");
    page.point("a change is a new version that all parties sign; pseudonyms, sealed data and spent budgets live on");
}

fn layers(page: &mut Page, agreement: &Agreement) {
    page.heading("What each layer protects");
    matching::layer(page, agreement);
    page.point("sealing: every column is encrypted at its owner; each key is wrapped for the column's purposes that the person agreed to, and for no other; the room's disk and its operator see ciphertext");
    page.point("evidence: before a key leaves its owner, the room proves which code it runs and under which agreement");
    page.point("release: each owner checks the analyst's signature, the purpose, this agreement and its budget, then writes charge and log entry to disk, then releases the keys of the needed columns for this one request");
    page.point("noise: exact random noise covers what any one person adds; each owner fixes a share of it beforehand, so nobody can average it away");
    page.point("receipt: each answer comes with a signed record that anybody can check later");
}

fn risks(page: &mut Page, agreement: &Agreement) {
    page.heading("What risk remains");
    page.point("the code in the room DOES see the data in clear while a query runs; the parties trust that code, and the maker of the hardware that measures it; to remove this trust the computation itself would have to run on encrypted data, which incamera does not do");
    if agreement.room.policy.accepts_simulated() {
        page.point("with the SIMULATED TEE that this agreement accepts, the operator of the room's machine sees the data too");
    }
    for owner in agreement.owners() {
        let own = agreement.datasets.values();
        let private = own.filter(|spec| &spec.owner == owner && !spec.public);
        let open =
            |spec: &DatasetSpec| matches!(agreement.consent_of(spec), ConsentSource::Everything(_));
        if private.into_iter().any(open) {
            page.point(format_args!(
                "{owner} states no consents: that its people agreed to the purposes is {owner}'s word alone"
            ));
        }
    }
    matching::risks(page, &agreement.matching);
    page.point("hardware side channels and physical attacks are not covered");
    page.point("pseudonyms are pseudonymous, not anonymous: who holds a crosswalk can go back to the person");
    page.point("others can see how many ids and rows there are, when queries ran, and which");
    page.point("noise bounds what an answer tells about one person; it does not hide what is true of large groups");
    page.point("a party may bring false data, and ids of people that it only guesses; the answer is as true as the data");
    page.point("people who did not agree are not counted, so answers speak of those who did");
    page.point(
        "an insider with an owner's raw key ring can read that owner's own data outside every log",
    );
}
