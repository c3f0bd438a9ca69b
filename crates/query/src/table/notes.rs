//! What stands under a table: what is counted, and what the ranges are.

use std::collections::BTreeSet;

use incamera_agreement::{Agreement, ConsentSource, Query};
use incamera_wire::v1 as wire;

use super::Row;
use super::read::{HARDLY_KNOWN, Reader};
use crate::check::CheckedQuery;
use crate::measure::{Function, Made};

pub(super) fn notes(
    answer: &wire::Answer,
    agreement: &Agreement,
    reader: &Reader<'_>,
    rows: &[Row],
) -> Vec<String> {
    let checked = reader.checked;
    let query = &checked.query;
    let counted = checked
        .made
        .iter()
        .filter_map(|made| counted(made, checked));
    let mut notes: Vec<String> = counted.collect();
    notes.extend(ranges(reader));
    if checked.outputs.iter().any(|output| output.term.chooses()) {
        notes.push(
            "where CASE, COALESCE or NULLIF chooses, the range is that of what was chosen".into(),
        );
    }
    notes.extend(hardly_known(rows));
    let mut cells = rows.iter().flat_map(|row| &row.cells);
    if cells.any(|cell| cell.text.ends_with("(no range)")) {
        notes
            .push("no range: it is made from noisy numbers in a way that none follows from".into());
    }
    notes.push(consents(agreement, query));
    if below_zero(answer) {
        notes.push("a number below zero is noise: the true one is zero or more".into());
    }
    if answer.threshold > 0 {
        let least = answer.threshold.max(query.min_people);
        notes.push(format!(
            "listed are groups with at least {least} people by the noisy count; whether there are others is not said"
        ));
    }
    let withheld = answer.groups.iter().filter(|group| group.withheld).count();
    if withheld > 0 {
        let least = query.min_people;
        notes.push(match checked.steps.is_empty() {
            true => format!("withheld: fewer than {least} people by the noisy count"),
            false => format!(
                "not listed, and no part of HAVING, ORDER BY and LIMIT: {withheld} withheld with fewer than {least} people by the noisy count"
            ),
        });
    }
    notes
}

/// A warning of quantiles that may mislead.
fn hardly_known(rows: &[Row]) -> Option<String> {
    let cells = rows.iter().flat_map(|row| &row.cells);
    let wide = cells.filter(|cell| cell.rank.is_some() && cell.text.ends_with(HARDLY_KNOWN));
    let names: BTreeSet<&str> = wide.map(|cell| cell.name.as_str()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    (!names.is_empty()).then(|| {
        format!(
            "WARNING, {HARDLY_KNOWN}: the rank of {} may lie anywhere in a range that is wider than 20 points, or reaches 0 or 100 %: the number may be far from the one asked for; more people or a larger epsilon make it narrower",
            names.join(", ")
        )
    })
}

/// What the ranges are of.
fn ranges(reader: &Reader<'_>) -> Vec<String> {
    let query = reader.query;
    let mut said = Vec::new();
    if !query.sampling {
        said.push("ranges are of the noise alone, at 95 %".to_owned());
    } else {
        said.push("ranges are of the noise alone, at 95 %; what stands behind `sampling` is apart from it: the error, at 95 %, of having these people and not others, as if each group's had been drawn at random from many alike".to_owned());
        let outputs = reader.checked.outputs.iter();
        let plain = outputs.filter(|output| reader.sampled_average(&output.term).is_none());
        let quotients = query.ratios.iter().filter(|ratio| !reader.is_share(ratio));
        let names = plain.map(|output| &output.name);
        let names: Vec<&str> = names
            .chain(quotients.map(|ratio| &ratio.name))
            .map(String::as_str)
            .collect();
        if !names.is_empty() {
            said.push(format!(
                "no sampling error is told of {}: totals are of these people, and it is told of shares of all people of a group and of averages of one value a person",
                names.join(", ")
            ));
        }
    }
    let groups = query.per_person.groups;
    if query.sampling && groups > 1 && !query.compare.is_empty() {
        said.push(format!(
            "comparisons have no sampling error: one person counts in up to {groups} groups, so that groups need not be of different people, and how they differ hangs on who is in both"
        ));
    }
    if query.compare.len() > 1 {
        said.push(format!(
            "each of the {} comparisons is at 95 % by itself: where nothing differs, one in 20 is clear by chance",
            query.compare.len()
        ));
    }
    said
}

/// What of a person counts in an aggregate; nothing for a count of people.
fn counted(made: &Made, checked: &CheckedQuery) -> Option<String> {
    let measure = checked.measures.get(made.first)?;
    let name = &made.name;
    let unit = made.unit.as_ref().map(|unit| format!(" {unit}"));
    let unit = unit.unwrap_or_default();
    let text = |value: i128| {
        let number = incamera_types::Decimal::new(value, made.scale)?.to_string();
        Some(trimmed(&number).to_owned())
    };
    if let (Function::Quantile { .. } | Function::Extreme { .. }, Some(each)) =
        (made.function, made.each)
    {
        let (low, high) = (text(each.low)?, text(each.high)?);
        let rows = each.rows;
        let values = if rows == 1 { "value" } else { "values" };
        let of = match made.counted {
            Some(_) => "the noisy count of its values",
            None => {
                "people by the noisy count, as if each had a value: where fewer have one, the range is wider"
            }
        };
        return Some(format!(
            "{name} is one of {low} .. {high}{unit}, by at most {rows} {values} a person; noise moves its rank among them, within the range at 95 % that stands beside it, in percent of {of}"
        ));
    }
    if let Some(each) = made.each {
        let (low, high) = (text(each.low)?, text(each.high)?);
        let rows = each.rows;
        let values = if rows == 1 { "value" } else { "values" };
        let cut = match made.function {
            Function::Average => {
                "; no average lies outside of these, so it and its range end there"
            }
            _ => "",
        };
        return Some(format!(
            "{name} is of values brought to {low} .. {high}{unit}, at most {rows} {values} a person{cut}"
        ));
    }
    let (low, high) = (text(measure.low)?, text(measure.high)?);
    Some(match made.function {
        Function::People => return None,
        Function::Distinct => format!(
            "{name} counts what is among at most {high} different values a person, chosen by lot: values that only people with more have may be missed"
        ),
        _ if measure.low == 0 => format!("{name} up to {high}{unit} a person is counted"),
        _ => format!("{name} from {low} to {high}{unit} a person is counted"),
    })
}

/// Who counts, by the consents that the owners read keep.
fn consents(agreement: &Agreement, query: &Query) -> String {
    let names = query.datasets().into_iter();
    let specs = names.filter_map(|name| agreement.datasets.get(name));
    let mut private = specs.filter(|spec| !spec.public);
    let keeps = |spec| matches!(agreement.consent_of(spec), ConsentSource::Dataset(_));
    match private.any(keeps) {
        true => format!(
            "counted are people whose consent covers `{}` at every owner read that keeps consents",
            query.purpose
        ),
        false => "no owner read keeps consents: every person counts".into(),
    }
}

/// Whether a number is shown that only noise can have made negative.
fn below_zero(answer: &wire::Answer) -> bool {
    let cannot = |measure: &wire::Measure| !measure.clamp_low.starts_with('-');
    let shown = answer.groups.iter().filter(|group| !group.withheld);
    shown
        .flat_map(|group| answer.measures.iter().zip(&group.values))
        .any(|(measure, value)| *value < 0 && cannot(measure))
}

/// A decimal without zeros at its end.
fn trimmed(number: &str) -> &str {
    match number.contains('.') {
        true => number.trim_end_matches('0').trim_end_matches('.'),
        false => number,
    }
}
